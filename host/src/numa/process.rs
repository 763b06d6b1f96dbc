//! This process where it belongs: its threads on the CPUs of one node, their memory on that node (NUMA-2, NUMA-4).

use wirehaul_core::numa::{Choice, CpuSet, Placement, Wish, place};

use super::machine::{Machine, first_of_cores, has_one_node};
use super::{threads, words};

/// Where this process is to be, as long as it works on the packets of one card.
///
/// On a machine with one node there is nothing to decide, and nothing is looked at.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Home {
    placement: Placement,
    /// What is not as it would be best, in words.
    remarks: Vec<String>,
}

impl Home {
    /// Finds it. `card` is asked for the card's node where that matters; where there is none to be had, and the user named no
    /// node either, nothing is chosen unless `must_choose`.
    #[must_use]
    pub fn find(choice: Choice, must_choose: bool, card: impl FnOnce() -> Option<u32>) -> Self {
        let is_named = matches!(choice, Choice::Node(_));
        if choice == Choice::Off || !is_named && has_one_node() {
            return Self::default();
        }
        let wish = Wish { choice, card: card() };
        if wish.card.is_none() && !is_named && !must_choose {
            return Self::default();
        }
        let machine = Machine::here();
        let placement = place(&machine.topology, &machine.allowed, wish);
        let remarks = placement.shortfalls.iter().map(words::shortfall).collect();
        Self { placement, remarks }
    }

    /// Takes this thread there, and all that it starts from now on, with the memory that they are the first to touch. What the
    /// system refuses is a remark.
    pub fn settle(&mut self) {
        if let Some(node) = self.placement.cpu_node
            && let Err(error) = threads::bind(&self.placement.cpus)
        {
            self.remarks.push(format!("threads cannot be kept on NUMA node {node}: {error}"));
        }
        if let Some(node) = self.placement.memory_node
            && let Err(error) = threads::prefer(node)
        {
            self.remarks.push(format!("memory cannot be had from NUMA node {node}: {error}"));
        }
    }

    /// The node whose CPUs do the work; `None` where none was chosen.
    #[must_use]
    pub const fn cpu_node(&self) -> Option<u32> {
        self.placement.cpu_node
    }

    /// The node that buffers are to lie on; `None` where none was chosen.
    #[must_use]
    pub const fn memory_node(&self) -> Option<u32> {
        self.placement.memory_node
    }

    /// The CPUs of that node that this process may use; `None` where no node was chosen.
    #[must_use]
    pub fn cpus(&self) -> Option<CpuSet> {
        self.placement.cpu_node.map(|_| self.placement.cpus)
    }

    /// CPUs for packet workers, the best first: of that node, or of the whole machine.
    #[must_use]
    pub fn worker_cpus(&self) -> Vec<u32> {
        match self.placement.cpu_node {
            Some(_) => self.placement.worker_cpus().collect(),
            // Where nodes make no difference, cores still do.
            None => {
                let cpus = threads::allowed();
                let cores = first_of_cores(&cpus);
                cores.iter().chain(cpus.without(&cores).iter()).collect()
            }
        }
    }

    /// What is not as it would be best, and what is done instead: a line each.
    #[must_use]
    pub fn remarks(&self) -> &[String] {
        &self.remarks
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_node_is_left_alone_and_not_even_looked_at() {
        let unasked = || unreachable!("nobody needs to know");
        assert_eq!(Home::find(Choice::Off, true, unasked), Home::default());
        if has_one_node() {
            assert_eq!(Home::find(Choice::Auto, true, unasked), Home::default());
        }
        let home = Home::default();
        assert_eq!((home.cpu_node(), home.memory_node(), home.cpus()), (None, None, None));
        let mut cpus = home.worker_cpus();
        cpus.sort_unstable();
        assert_eq!(cpus, threads::allowed().iter().collect::<Vec<_>>());
    }

    #[test]
    fn a_node_that_is_not_there_is_a_remark_and_no_failure() {
        let mut home = Home::find(Choice::Node(63), false, || None);
        home.settle();
        assert!(home.remarks().iter().any(|remark| remark.contains("63")), "{home:?}");
        assert!(!home.worker_cpus().is_empty());
    }

    #[test]
    fn a_card_that_has_no_node_leaves_it_to_the_system() {
        assert_eq!(Home::find(Choice::Auto, false, || None), Home::default());
    }
}
