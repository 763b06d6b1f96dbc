//! Where a process works: the map of its nodes.

/// The map. Plain values, for a screen.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Placement {
    /// The machine's nodes; one where it makes no difference.
    pub nodes: Vec<NodePlace>,
    /// Network cards.
    pub cards: Vec<CardPlace>,
    /// Workers of packets.
    pub workers: Vec<WorkerPlace>,
    /// What is not as it would be best: a line each.
    pub shortfalls: Vec<String>,
}

/// A node.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct NodePlace {
    /// Its number.
    pub id: u32,
    /// Its CPUs, as the kernel writes lists: `0-3,8`.
    pub cpus: String,
    /// Its memory.
    pub memory_bytes: u64,
    /// Its memory that nobody uses; `None` where that is not told.
    pub free_bytes: Option<u64>,
    /// Threads of this process that ran there last.
    pub threads: u32,
}

/// A card.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CardPlace {
    /// Its interface.
    pub iface: String,
    /// The node that it hangs on; `None` where it belongs to all, or to none.
    pub node: Option<u32>,
    /// Its receive queues.
    pub queues: u32,
}

/// A worker.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct WorkerPlace {
    /// Its number.
    pub number: u8,
    /// The CPU that it stays on; `None` leaves it to the system.
    pub cpu: Option<u32>,
    /// That CPU's node, or the node that the process works on.
    pub node: Option<u32>,
    /// The queues that it serves; none where packets come by a socket.
    pub queues: Vec<u32>,
}
