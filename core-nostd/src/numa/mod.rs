//! Where things belong on a machine with several NUMA nodes: what there is, how work is divided, who goes where (NUMA-1 to 5).
//!
//! Plain data and pure decisions. The host reads [`Topology`] and [`Allowed`] from the system, or from a description of
//! another machine, and carries out what [`place`] says.

mod cpus;
mod interrupts;
mod partition;
mod placement;
#[cfg(test)]
mod tests;
mod topology;

pub use cpus::{CpuList, CpuSet, MAX_CPUS};
pub use interrupts::{Claim, Return, Steering, give_back, interrupt_cpus, steer};
pub use partition::Partition;
pub use placement::{Allowed, Choice, Placement, Shortfall, Shortfalls, Wish, place};
pub use topology::{LOCAL_DISTANCE, MAX_NODES, Node, NodeMask, REMOTE_DISTANCE, Topology, TopologyError};
