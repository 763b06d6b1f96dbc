//! Which node packet workers, their memory and their interrupts go to (NUMA-2, NUMA-4, NUMA-5).

use heapless::Vec;

use super::cpus::CpuSet;
use super::topology::{NodeMask, Topology};

/// What this process may use: less than there is where a cpuset, `taskset` or `numactl` says so.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Allowed {
    /// CPUs that its threads may run on.
    pub cpus: CpuSet,
    /// Nodes that its memory may come from.
    pub memory: NodeMask,
}

impl Allowed {
    /// Everything that a machine has.
    #[must_use]
    pub fn all(topology: &Topology) -> Self {
        Self { cpus: topology.cpus(), memory: topology.nodes().iter().fold(0, |mask, node| mask | node.mask()) }
    }
}

/// What the user asks for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Choice {
    /// The card's node.
    #[default]
    Auto,
    /// As if the machine had one node.
    Off,
    /// This node.
    Node(u32),
}

/// Who is to be placed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Wish {
    /// What the user asks for.
    pub choice: Choice,
    /// The node of the card whose packets are worked on; `None` where it has none or is not known.
    pub card: Option<u32>,
}

/// Why something is not where it would be best.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shortfall {
    /// The user named a node that the machine does not have.
    NoSuchNode {
        /// What was asked for.
        node: u32,
    },
    /// The wanted node has no CPUs.
    NoCpus {
        /// The wanted node.
        node: u32,
        /// Whose CPUs are used.
        instead: u32,
    },
    /// The wanted node has CPUs, and this process may use none of them.
    CpusNotAllowed {
        /// The wanted node.
        node: u32,
        /// Whose CPUs are used.
        instead: u32,
    },
    /// The wanted node has no memory.
    NoMemory {
        /// The wanted node.
        node: u32,
        /// Whose memory is used.
        instead: u32,
    },
    /// The wanted node has memory, and this process may not use it.
    MemoryNotAllowed {
        /// The wanted node.
        node: u32,
        /// Whose memory is used.
        instead: u32,
    },
    /// The workers are not on the card's node, as the user asked.
    NotTheCards {
        /// Where they are.
        node: u32,
        /// The card's node.
        card: u32,
    },
}

/// Everything that is not as it would be best: at most one about each of what the user asked for, CPUs, memory and card.
pub type Shortfalls = Vec<Shortfall, 4>;

/// Where workers and their memory go.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Placement {
    /// The node whose CPUs work on the packets; `None` where nodes make no difference or are not to be looked at.
    pub cpu_node: Option<u32>,
    /// The node that buffers lie on; `None` leaves it to the system.
    pub memory_node: Option<u32>,
    /// CPUs for the workers, the best first: of that node, of each core one before the second of any. Of all nodes, where none
    /// is chosen.
    pub cpus: CpuSet,
    /// Of these, the first of each core.
    pub cores: CpuSet,
    /// What could not be done, and what is done instead.
    pub shortfalls: Shortfalls,
}

impl Placement {
    /// CPUs for workers, one each, the best first: no core twice before each has one.
    pub fn worker_cpus(&self) -> impl Iterator<Item = u32> + use<> {
        self.cores.iter().chain(self.cpus.without(&self.cores).iter())
    }
}

/// Says where the workers go that a wish is about.
///
/// On one node, or with [`Choice::Off`], nothing is chosen and all CPUs are good. Otherwise the workers go to the node that the
/// user names, or to the card's; where there is neither, to the one with the most CPUs that may be used (the first of several).
/// A node that cannot be used gives way to the nearest one that can.
#[must_use]
pub fn place(topology: &Topology, allowed: &Allowed, wish: Wish) -> Placement {
    let mut shortfalls = Shortfalls::new();
    let wanted = wanted(topology, allowed, wish, &mut shortfalls);
    let Some(wanted) = wanted else {
        let cpus = if topology.nodes().is_empty() { allowed.cpus } else { topology.cpus().and(&allowed.cpus) };
        return Placement { cores: first_of_cores(topology, &cpus), cpus, shortfalls, ..Placement::default() };
    };
    let cpu_node = cpu_node(topology, allowed, wanted, &mut shortfalls);
    let memory_node = memory_node(topology, allowed, cpu_node.unwrap_or(wanted), &mut shortfalls);
    if let (Choice::Node(_), Some(card), Some(node)) = (wish.choice, wish.card, cpu_node)
        && topology.node(card).is_some()
        && node != card
    {
        note(&mut shortfalls, Shortfall::NotTheCards { node, card });
    }
    let cpus = match cpu_node.and_then(|node| topology.node(node)) {
        Some(node) => node.cpus.and(&allowed.cpus),
        None => allowed.cpus,
    };
    Placement { cpu_node, memory_node, cores: first_of_cores(topology, &cpus), cpus, shortfalls }
}

/// The node that would be best, if it matters.
fn wanted(topology: &Topology, allowed: &Allowed, wish: Wish, shortfalls: &mut Shortfalls) -> Option<u32> {
    let has = |id: &u32| topology.node(*id).is_some();
    if wish.choice == Choice::Off {
        return None;
    }
    let named = match wish.choice {
        Choice::Node(node) if has(&node) => Some(node),
        Choice::Node(node) => {
            note(shortfalls, Shortfall::NoSuchNode { node });
            None
        }
        Choice::Auto | Choice::Off => None,
    };
    if topology.nodes().len() < 2 {
        return None;
    }
    named.or(wish.card.filter(has)).or_else(|| {
        let usable = |id: u32| topology.node(id).map_or(0, |node| node.cpus.and(&allowed.cpus).len());
        let ids = topology.nodes().iter().map(|node| node.id);
        // Of several that are equal, `max_by_key` takes the last.
        ids.rev().max_by_key(|id| usable(*id))
    })
}

fn cpu_node(topology: &Topology, allowed: &Allowed, wanted: u32, shortfalls: &mut Shortfalls) -> Option<u32> {
    let found = topology.nearest(wanted, |node| !node.cpus.and(&allowed.cpus).is_empty())?.id;
    if found != wanted {
        let has_cpus = topology.node(wanted).is_some_and(|node| !node.cpus.is_empty());
        let (node, instead) = (wanted, found);
        note(
            shortfalls,
            if has_cpus { Shortfall::CpusNotAllowed { node, instead } } else { Shortfall::NoCpus { node, instead } },
        );
    }
    Some(found)
}

/// The memory of the CPUs that work with it.
fn memory_node(topology: &Topology, allowed: &Allowed, of: u32, shortfalls: &mut Shortfalls) -> Option<u32> {
    let found = topology.nearest(of, |node| node.memory_bytes > 0 && node.mask() & allowed.memory != 0)?.id;
    if found != of {
        let has_memory = topology.node(of).is_some_and(|node| node.memory_bytes > 0);
        let (node, instead) = (of, found);
        note(
            shortfalls,
            if has_memory {
                Shortfall::MemoryNotAllowed { node, instead }
            } else {
                Shortfall::NoMemory { node, instead }
            },
        );
    }
    Some(found)
}

/// The first CPU of each core. A core whose first one may not be used has none here, and its others come later.
fn first_of_cores(topology: &Topology, cpus: &CpuSet) -> CpuSet {
    topology.nodes().iter().fold(CpuSet::EMPTY, |cores, node| cores.or(&node.cores)).and(cpus)
}

fn note(shortfalls: &mut Shortfalls, shortfall: Shortfall) {
    // There is room for one about each thing.
    let _ = shortfalls.push(shortfall);
}
