//! The nodes of a machine: their CPUs, their memory, how far they are from each other.

use heapless::Vec;

use super::cpus::CpuSet;

/// Nodes that a topology can have. Linux on x86 and Arm has up to 64 in the kernels of distributions (`CONFIG_NODES_SHIFT=6`),
/// and up to 1024 where it is built so: nodes beyond are not used.
pub const MAX_NODES: usize = 64;
/// From a node to itself, as firmware tells it (ACPI, System Locality Information Table).
pub const LOCAL_DISTANCE: u16 = 10;
/// From a node to another one of which nothing is told.
pub const REMOTE_DISTANCE: u16 = 20;

/// Nodes by their numbers, a bit for each: bit 0 is node 0.
pub type NodeMask = u64;

/// A NUMA node.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Node {
    /// Its number, below [`MAX_NODES`]. Numbers need not be without gaps.
    pub id: u32,
    /// Its CPUs; a node of memory alone has none.
    pub cpus: CpuSet,
    /// Of these, the first of each core: the others share its execution units.
    pub cores: CpuSet,
    /// Its memory in bytes; a node may have none.
    pub memory_bytes: u64,
}

impl Node {
    /// This node's bit.
    #[must_use]
    pub const fn mask(&self) -> NodeMask {
        1 << (self.id % MAX_NODES as u32)
    }
}

/// Why nodes do not make a topology.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TopologyError {
    /// More than [`MAX_NODES`], or a number beyond them.
    TooMany,
    /// Two nodes have this number.
    Twice(u32),
}

/// The nodes of a machine, in the order of their numbers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Topology {
    nodes: Vec<Node, MAX_NODES>,
    /// By position, not by number. Zero where it is not told.
    distances: [[u16; MAX_NODES]; MAX_NODES],
}

impl Default for Topology {
    fn default() -> Self {
        Self { nodes: Vec::new(), distances: [[0; MAX_NODES]; MAX_NODES] }
    }
}

impl Topology {
    /// A machine of these nodes, without distances so far.
    ///
    /// # Errors
    /// [`TopologyError`].
    pub fn new(nodes: impl IntoIterator<Item = Node>) -> Result<Self, TopologyError> {
        let mut topology = Self::default();
        for node in nodes {
            if node.id as usize >= MAX_NODES {
                return Err(TopologyError::TooMany);
            }
            let at = match topology.nodes.binary_search_by_key(&node.id, |known| known.id) {
                Ok(_) => return Err(TopologyError::Twice(node.id)),
                Err(at) => at,
            };
            topology.nodes.insert(at, node).map_err(|_| TopologyError::TooMany)?;
        }
        Ok(topology)
    }

    /// Notes how far it is between two nodes, by their numbers: 10 is local, 20 is twice as far. A node that is not there is
    /// ignored.
    pub fn set_distance(&mut self, from: u32, to: u32, distance: u16) {
        if let (Some(from), Some(to)) = (self.position(from), self.position(to)) {
            self.distances[from][to] = distance;
        }
    }

    /// How far it is from one node to another, by their numbers. Where that is not told, [`LOCAL_DISTANCE`] or
    /// [`REMOTE_DISTANCE`].
    #[must_use]
    pub fn distance(&self, from: u32, to: u32) -> u16 {
        self.told_distance(from, to).unwrap_or(if from == to { LOCAL_DISTANCE } else { REMOTE_DISTANCE })
    }

    /// The same, and nothing where it is not told.
    #[must_use]
    pub fn told_distance(&self, from: u32, to: u32) -> Option<u16> {
        let distance = self.distances[self.position(from)?][self.position(to)?];
        (distance != 0).then_some(distance)
    }

    /// All nodes.
    #[must_use]
    pub fn nodes(&self) -> &[Node] {
        &self.nodes
    }

    /// The node of this number.
    #[must_use]
    pub fn node(&self, id: u32) -> Option<&Node> {
        self.position(id).map(|at| &self.nodes[at])
    }

    /// The node that a CPU belongs to.
    #[must_use]
    pub fn node_of(&self, cpu: u32) -> Option<u32> {
        self.nodes.iter().find(|node| node.cpus.contains(cpu)).map(|node| node.id)
    }

    /// The CPUs of all nodes.
    #[must_use]
    pub fn cpus(&self) -> CpuSet {
        self.nodes.iter().fold(CpuSet::EMPTY, |cpus, node| cpus.or(&node.cpus))
    }

    /// Of the nodes that fit, the nearest to that one; of several, the one with the lowest number. If it fits, it is itself the nearest,
    /// whatever the firmware says.
    #[must_use]
    pub fn nearest(&self, to: u32, fits: impl Fn(&Node) -> bool) -> Option<&Node> {
        self.nodes
            .iter()
            .filter(|node| fits(node))
            .min_by_key(|node| (node.id != to, self.distance(to, node.id), node.id))
    }

    fn position(&self, id: u32) -> Option<usize> {
        self.nodes.binary_search_by_key(&id, |node| node.id).ok()
    }
}
