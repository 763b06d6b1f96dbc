//! Threads for what waits more than it computes, such as probes of names and web servers: a tokio runtime on each node
//! (NUMA-2).

use std::io;
use std::sync::Arc;

use tokio::runtime::{Builder, Handle, Runtime};
use wirehaul_core::numa::{Choice, CpuSet, Partition};

use super::machine::Machine;
use super::threads;

/// Threads of a node at most: they wait most of the time.
const MOST_THREADS: u32 = 8;

/// A runtime on each node that has CPUs for this process, or a single one where nodes make no difference.
#[derive(Debug)]
pub struct Runtimes {
    parts: Vec<Part>,
    partition: Option<Partition>,
}

#[derive(Debug)]
struct Part {
    node: Option<u32>,
    runtime: Runtime,
}

impl Runtimes {
    /// Starts them. With [`Choice::Node`] there is one, on that node; threads stay on the CPUs of their node, and their memory
    /// comes from it where it has some.
    ///
    /// # Errors
    /// The system gives no thread, or no descriptor to wait with.
    pub fn start(machine: &Machine, choice: Choice) -> io::Result<Self> {
        let nodes = machine.topology.nodes().iter();
        let usable = nodes.map(|node| (node.id, node.cpus.and(&machine.allowed.cpus)));
        let usable: Vec<_> = usable.filter(|(_, cpus)| !cpus.is_empty()).collect();
        let chosen = match choice {
            Choice::Node(named) => usable.iter().filter(|(node, _)| *node == named).copied().collect(),
            Choice::Auto if usable.len() > 1 => usable.clone(),
            Choice::Auto | Choice::Off => Vec::new(),
        };
        if chosen.is_empty() {
            let cpus = usable.iter().fold(CpuSet::EMPTY, |all, (_, cpus)| all.or(cpus));
            let runtime = start(thread_count(&cpus), "control".to_owned(), || ())?;
            return Ok(Self { parts: vec![Part { node: None, runtime }], partition: None });
        }
        let partition = Partition::new(chosen.iter().map(|(_, cpus)| cpus.len()));
        let has_memory = |node| {
            machine
                .topology
                .node(node)
                .is_some_and(|node| node.memory_bytes > 0 && machine.allowed.memory & node.mask() != 0)
        };
        let part = |(node, cpus): (u32, CpuSet)| {
            let memory = has_memory(node).then_some(node);
            let runtime = start(thread_count(&cpus), format!("control-{node}"), move || {
                // What is refused costs speed and nothing else.
                let _ = threads::bind(&cpus);
                let _ = memory.map(threads::prefer);
            })?;
            Ok(Part { node: Some(node), runtime })
        };
        Ok(Self { parts: chosen.into_iter().map(part).collect::<io::Result<_>>()?, partition })
    }

    /// The runtime on this node, or the first one where that node has none.
    #[must_use]
    pub fn on(&self, node: Option<u32>) -> &Handle {
        let found = self.parts.iter().find(|part| part.node == node);
        // There is always one.
        found.unwrap_or(&self.parts[0]).runtime.handle()
    }

    /// The runtime that one of so many items of work belongs to: each gets items in proportion to its CPUs.
    #[must_use]
    pub fn of_item(&self, items: u64, item: u64) -> &Handle {
        let part = self.partition.as_ref().and_then(|partition| partition.part_of(items, item)).unwrap_or(0);
        self.parts[part.min(self.parts.len() - 1)].runtime.handle()
    }

    /// The nodes that have one; `None` for the single one that belongs to none.
    pub fn nodes(&self) -> impl Iterator<Item = Option<u32>> + '_ {
        self.parts.iter().map(|part| part.node)
    }
}

fn thread_count(cpus: &CpuSet) -> usize {
    cpus.len().clamp(1, MOST_THREADS) as usize
}

fn start(count: usize, name: String, settle: impl Fn() + Send + Sync + 'static) -> io::Result<Runtime> {
    let settle = Arc::new(settle);
    Builder::new_multi_thread()
        .worker_threads(count)
        .thread_name(name)
        .on_thread_start(move || settle())
        .enable_all()
        .build()
}
