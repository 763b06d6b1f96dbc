//! What is not at its best place, for people.

use wirehaul_core::numa::Shortfall;

/// What could not be done, why, and what is done instead.
#[must_use]
pub fn shortfall(shortfall: &Shortfall) -> String {
    match *shortfall {
        Shortfall::NoSuchNode { node } => {
            format!(
                "there is no NUMA node {node}: the place is chosen as if none was named (`wirehaul topo` lists them)"
            )
        }
        Shortfall::NoCpus { node, instead } => {
            format!("NUMA node {node} has no CPUs: those of node {instead} are used")
        }
        Shortfall::CpusNotAllowed { node, instead } => format!(
            "this process may use no CPU of NUMA node {node} (cpuset or taskset): those of node {instead} are used"
        ),
        Shortfall::NoMemory { node, instead } => {
            format!("NUMA node {node} has no memory: that of node {instead} is used")
        }
        Shortfall::MemoryNotAllowed { node, instead } => format!(
            "this process may use no memory of NUMA node {node} (cpuset or numactl): that of node {instead} is used"
        ),
        Shortfall::NotTheCards { node, card } => {
            format!("NUMA node {node} was asked for, and the card is on node {card}: every packet crosses between them")
        }
    }
}
