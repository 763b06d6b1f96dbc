//! What is not at its best place, for people.

use wirehaul_core::numa::Shortfall;

use super::irq::LeftBehind;

/// Which interrupts are not where they were, and how they get back there.
#[must_use]
pub fn left_behind(left: &LeftBehind) -> String {
    let LeftBehind { process, interface, interrupts, file } = left;
    let numbers: Vec<_> = interrupts.iter().map(u32::to_string).collect();
    format!(
        "the interrupts {} of {interface} are where process {process} had moved them before it died: the next `wirehaul send` or `recv` puts them back ({})",
        numbers.join(", "),
        file.display()
    )
}

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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_left_behind_is_told_with_what_brings_it_back() {
        let left = LeftBehind {
            file: "/run/wirehaul/interrupts/7".into(),
            process: 7,
            interface: "eth0".to_owned(),
            interrupts: vec![38, 39],
        };
        let words = left_behind(&left);
        for part in ["38, 39 of eth0", "process 7", "`wirehaul send` or `recv`", "/run/wirehaul/interrupts/7"] {
            assert!(words.contains(part), "{words}");
        }
    }
}
