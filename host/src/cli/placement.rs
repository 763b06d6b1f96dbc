//! Tells the bus where this process works, while a screen is up: nodes, cards, workers, and where its threads run.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

#[cfg(target_os = "linux")]
use wirehaul_core::numa::{Choice, Topology};

#[cfg(target_os = "linux")]
use crate::events::CardPlace;
use crate::events::{Bus, Event, NodePlace, Placement, WorkerPlace};
#[cfg(target_os = "linux")]
use crate::numa::Machine;
#[cfg(target_os = "linux")]
use crate::numa::cards::cards;
#[cfg(target_os = "linux")]
use crate::numa::report::Report;

/// How often it is told: memory and threads change slowly.
const EVERY: Duration = Duration::from_secs(5);

/// Tells it until it is dropped.
#[derive(Debug)]
pub(super) struct Telling {
    end: Arc<AtomicBool>,
    known: Arc<Mutex<Known>>,
    thread: Option<JoinHandle<()>>,
}

/// What whoever places work knows of it.
#[derive(Clone, Debug, Default)]
pub(super) struct Known {
    /// Where workers are.
    pub(super) workers: Vec<WorkerPlace>,
    /// What is not at its best place: a line each.
    pub(super) shortfalls: Vec<String>,
}

impl Telling {
    /// Begins. Without a thread for it, nothing is told.
    pub(super) fn start(bus: Bus) -> Self {
        let end = Arc::new(AtomicBool::new(false));
        let known = Arc::new(Mutex::new(Known::default()));
        let (flag, shared) = (Arc::clone(&end), Arc::clone(&known));
        let tell = move || {
            let map = Map::look();
            while !flag.load(Ordering::Relaxed) {
                let (nodes, cards) = map.now();
                let Known { workers, shortfalls } = shared.lock().unwrap_or_else(PoisonError::into_inner).clone();
                let placement = Placement { nodes, cards, workers, shortfalls };
                bus.send(Event::Placement(Arc::new(placement)));
                std::thread::park_timeout(EVERY);
            }
        };
        let thread = std::thread::Builder::new().name("placement".to_owned()).spawn(tell).ok();
        Self { end, known, thread }
    }

    /// Tells at once what is known now.
    pub(super) fn tell(&self, known: Known) {
        *self.known.lock().unwrap_or_else(PoisonError::into_inner) = known;
        if let Some(thread) = &self.thread {
            thread.thread().unpark();
        }
    }
}

impl Drop for Telling {
    fn drop(&mut self) {
        self.end.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            thread.thread().unpark();
            let _ = thread.join();
        }
    }
}

use platform::Map;

#[cfg(target_os = "linux")]
mod platform {
    use super::{CardPlace, Choice, Machine, NodePlace, Report, Topology, cards};

    /// What of the machine does not change.
    pub(super) struct Map {
        machine: Box<Machine>,
    }

    impl Map {
        pub(super) fn look() -> Self {
            // Without hwloc, which wants a process of its own.
            Self { machine: Machine::by_files() }
        }

        pub(super) fn now(&self) -> (Vec<NodePlace>, Vec<CardPlace>) {
            let report = Report::of(self.machine.clone(), Vec::new(), false, Choice::Auto, |_, _| Vec::new());
            let threads = threads_by_node(&self.machine.topology);
            let nodes = report.nodes.iter().map(|state| NodePlace {
                id: state.node.id,
                cpus: state.node.cpus.list().to_string(),
                memory_bytes: state.node.memory_bytes,
                free_bytes: state.free_bytes,
                threads: threads.iter().filter(|node| **node == Some(state.node.id)).count() as u32,
            });
            let place = |iface, node, queues| CardPlace { iface, node, queues };
            // A kernel that does not tell of its cards has none to show.
            let cards = cards(None).unwrap_or_default().into_iter().filter(|card| card.is_up);
            let cards = cards.map(|card| place(card.iface, card.node, card.queues)).collect();
            (nodes.collect(), cards)
        }
    }

    /// The node that each thread of this process ran on last.
    fn threads_by_node(topology: &Topology) -> Vec<Option<u32>> {
        let tasks = std::fs::read_dir("/proc/self/task").into_iter().flatten().flatten();
        let stats = tasks.filter_map(|task| std::fs::read_to_string(task.path().join("stat")).ok());
        stats.map(|stat| topology.node_of(cpu_of(&stat)?)).collect()
    }

    /// The CPU that a thread ran on last: the 39th field (proc_pid_stat(5)). The second is a name in brackets, and may hold anything.
    pub(super) fn cpu_of(stat: &str) -> Option<u32> {
        stat.rsplit_once(')')?.1.split_whitespace().nth(39 - 3)?.parse().ok()
    }
}

#[cfg(not(target_os = "linux"))]
mod platform {
    use super::NodePlace;
    use crate::events::CardPlace;

    /// A machine that does not tell: one node.
    pub(super) struct Map;

    impl Map {
        pub(super) const fn look() -> Self {
            Self
        }

        pub(super) fn now(&self) -> (Vec<NodePlace>, Vec<CardPlace>) {
            let cpus = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
            let cpus = if cpus == 1 { "0".to_owned() } else { format!("0-{}", cpus - 1) };
            (vec![NodePlace { cpus, ..NodePlace::default() }], Vec::new())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::events::Heard;

    /// NUMA-1: the map of this machine, with this process in it.
    #[test]
    fn the_map_is_told_at_once_and_has_this_process_in_it() {
        let bus = Bus::default();
        let mut listener = bus.listen();
        let telling = Telling::start(bus);
        let mut next = || loop {
            match listener.try_next() {
                Some(Heard::Event(Event::Placement(placement))) => break placement,
                _ => std::thread::sleep(Duration::from_millis(1)),
            }
        };
        let placement = next();
        assert!(placement.workers.is_empty());
        let workers = vec![WorkerPlace { number: 3, ..WorkerPlace::default() }];
        telling.tell(Known { workers: workers.clone(), shortfalls: vec!["a remark".to_owned()] });
        let then = next();
        assert_eq!((&then.workers, then.shortfalls.len()), (&workers, 1), "without waiting for its time");
        assert!(!placement.nodes.is_empty() && placement.nodes.iter().all(|node| !node.cpus.is_empty()));
        #[cfg(target_os = "linux")]
        assert!(placement.nodes.iter().map(|node| node.threads).sum::<u32>() >= 2, "{placement:?}");
        drop(telling);
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn a_name_with_brackets_and_spaces_does_not_hide_the_cpu() {
        let rest: Vec<_> = (3..=52).map(|field| field.to_string()).collect();
        assert_eq!(platform::cpu_of(&format!("17 (a) b (c) {}", rest.join(" "))), Some(39));
        assert_eq!(platform::cpu_of("17 (a) R 1 2"), None);
    }
}
