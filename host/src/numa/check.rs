//! Puts threads and memory on each node and looks where they are: what a transfer would do, tried out (NUMA-7).

use std::ptr::NonNull;
use std::sync::mpsc::channel;
use std::thread;

use wirehaul_core::numa::{Choice, CpuSet, Node};

use super::machine::Machine;
use super::memory::{Memory, PageSize, Residency, residency};
use super::pools::Runtimes;
use super::threads;

/// Frames of a queue are about as many bytes.
const FRAME_BYTES: usize = 8 << 20;
/// What a thread touches for the first time, as it does with its own structures.
const HEAP_BYTES: usize = 4 << 20;
const SMALL_PAGE_BYTES: usize = PageSize::Small.bytes();
/// Tasks for each thread of a runtime, so that every one gets some.
const TASKS_PER_THREAD: usize = 8;

/// What was found on a node.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct NodeCheck {
    /// The node.
    pub node: u32,
    /// Where threads were that belong there: each CPU once.
    pub cpus: CpuSet,
    /// Threads that were looked at, and those of them that were elsewhere.
    pub threads: usize,
    /// See above.
    pub misplaced_threads: usize,
    /// Memory like that of frames: bound, filled, verified; and on what pages. `None` on a node without memory for this process.
    pub frames: Option<(Residency, PageSize)>,
    /// Memory that a thread touched first.
    pub heap: Option<Residency>,
    /// What could not be had, in words.
    pub remarks: Vec<String>,
}

impl NodeCheck {
    /// Whether everything is where it belongs, and there was something to look at.
    #[must_use]
    pub fn is_good(&self) -> bool {
        let memory = [self.frames.map(|(found, _)| found), self.heap];
        self.threads > 0
            && self.misplaced_threads == 0
            && memory.into_iter().flatten().all(|found| found.misplaced == 0)
    }
}

/// Tries each node that this process may use. Takes some milliseconds, and as many megabytes, for a moment.
#[must_use]
pub fn check(machine: &Machine) -> Vec<NodeCheck> {
    let nodes = machine.topology.nodes().iter();
    let mut found: Vec<_> = nodes
        .filter(|node| !node.cpus.and(&machine.allowed.cpus).is_empty())
        .map(|node| {
            let cpus = node.cpus.and(&machine.allowed.cpus);
            let may_hold = node.memory_bytes > 0 && machine.allowed.memory & node.mask() != 0;
            let id = node.id;
            let checked = thread::spawn(move || try_thread(id, &cpus, may_hold)).join();
            checked.unwrap_or_else(|_| NodeCheck {
                node: id,
                remarks: vec!["the thread ended".to_owned()],
                ..NodeCheck::default()
            })
        })
        .collect();
    try_runtimes(machine, &mut found);
    found
}

/// On a thread of its own, which stays settled.
fn try_thread(node: u32, cpus: &CpuSet, may_hold: bool) -> NodeCheck {
    let mut found = NodeCheck { node, ..NodeCheck::default() };
    if let Err(error) = threads::bind(cpus) {
        found.remarks.push(format!("a thread cannot be kept there: {error}"));
    }
    found.count(threads::current_cpu(), cpus);
    if !may_hold {
        return found;
    }
    match Memory::new(FRAME_BYTES, Some(node)) {
        Ok(memory) => {
            let all = NonNull::slice_from_raw_parts(memory.start(), memory.len());
            found.frames = residency(all, memory.pages().bytes(), node).map(|found| (found, memory.pages()));
            found.remarks.extend(memory.steps().iter().cloned());
        }
        Err(error) => found.remarks.push(error.to_string()),
    }
    if let Err(error) = threads::prefer(node) {
        found.remarks.push(format!("memory cannot be preferred there: {error}"));
    }
    // Not from the heap, where another thread may have touched it before.
    match memmap2::MmapMut::map_anon(HEAP_BYTES) {
        Ok(mut heap) => {
            heap.fill(1);
            found.heap = residency(NonNull::from(&mut heap[..]), SMALL_PAGE_BYTES, node);
        }
        Err(error) => found.remarks.push(error.to_string()),
    }
    found
}

/// Has every runtime do some tasks, and counts where their threads are.
fn try_runtimes(machine: &Machine, found: &mut [NodeCheck]) {
    let runtimes = match Runtimes::start(machine, Choice::Auto) {
        Ok(runtimes) => runtimes,
        Err(error) => {
            found.iter_mut().for_each(|check| check.remarks.push(format!("no runtime can be had: {error}")));
            return;
        }
    };
    for check in found {
        let Some(cpus) = machine.topology.node(check.node).map(|node: &Node| node.cpus) else { continue };
        // With one node there is one runtime, which belongs to none.
        let runtime = runtimes.on(Some(check.node));
        let (seen, places) = channel();
        for _ in 0..runtime.metrics().num_workers() * TASKS_PER_THREAD {
            let seen = seen.clone();
            runtime.spawn(async move {
                let _ = seen.send(threads::current_cpu());
            });
        }
        drop(seen);
        places.iter().for_each(|cpu| check.count(cpu, &cpus));
    }
}

impl NodeCheck {
    fn count(&mut self, cpu: Option<u32>, expected: &CpuSet) {
        let Some(cpu) = cpu else { return };
        self.threads += 1;
        self.misplaced_threads += usize::from(!expected.contains(cpu));
        self.cpus.insert(cpu);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn everything_is_where_it_belongs_on_this_machine() {
        let machine = Machine::here();
        let found = check(&machine);
        assert!(!found.is_empty());
        for check in found {
            assert!(check.is_good(), "{check:?}");
            assert!(check.threads > 1 && check.cpus.without(&machine.allowed.cpus).is_empty(), "{check:?}");
            if let Some((frames, _)) = check.frames {
                assert!(frames.pages > 0, "{check:?}");
            }
        }
    }

    #[test]
    fn what_is_elsewhere_is_counted() {
        let mut check = NodeCheck::default();
        assert!(!check.is_good(), "nothing was looked at");
        let expected = [3].into_iter().collect();
        check.count(Some(3), &expected);
        assert!(check.is_good());
        check.count(Some(4), &expected);
        assert!(!check.is_good() && check.misplaced_threads == 1 && check.threads == 2);
        let far = NodeCheck { threads: 1, heap: Some(Residency { pages: 2, misplaced: 1 }), ..NodeCheck::default() };
        assert!(!far.is_good());
    }
}
