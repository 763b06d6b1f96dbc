//! The map of a machine: plain values that a text, a JSON line or a screen is made from.

use wirehaul_core::numa::{Choice, CpuSet, Node, Placement, Wish, place};

use super::cards::Card;
use super::check::NodeCheck;
use super::huge_pages::HugePages;
use super::irq::left_behind;
use super::machine::Machine;
use super::words;
use crate::kernel_files::{Files, value_of};

/// The map.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Report {
    /// The machine.
    pub machine: Box<Machine>,
    /// More about its nodes, in the order of their numbers.
    pub nodes: Vec<NodeState>,
    /// Its network cards.
    pub cards: Vec<Card>,
    /// Where work would be done: for each card that was asked about, or without any.
    pub places: Vec<Place>,
    /// Interrupts that processes which died have left elsewhere: a line each.
    pub left_behind: Vec<String>,
    /// What was tried out on each node, where that was asked for.
    pub checks: Option<Vec<NodeCheck>>,
}

/// A node, and how it stands.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct NodeState {
    /// Its number, CPUs and memory.
    pub node: Node,
    /// Its CPUs that this process may use.
    pub allowed_cpus: CpuSet,
    /// Whether this process may have memory from it.
    pub is_memory_allowed: bool,
    /// Its memory that nobody uses, in bytes; `None` where that is not told.
    pub free_bytes: Option<u64>,
    /// Its huge pages, by size, ascending.
    pub huge_pages: Vec<HugePages>,
}

/// Where the packets of a card would be worked on.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Place {
    /// The card's interface; `None` where it is not about a card.
    pub iface: Option<String>,
    /// What was decided.
    pub placement: Placement,
    /// The workers, one for each share of the queues. None where it is not about a card.
    pub workers: Vec<Worker>,
    /// What is not as it would be best, and what is done instead: a line each.
    pub shortfalls: Vec<String>,
}

/// One of the workers.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Worker {
    /// The CPU that it stays on; `None` where there is none for it.
    pub cpu: Option<u32>,
    /// That CPU's node.
    pub node: Option<u32>,
    /// The card's queues that it serves.
    pub queues: Vec<u32>,
}

/// How queues are divided among workers: so many queues, so many workers at most.
pub type Division = fn(u32, usize) -> Vec<Vec<u32>>;

impl Report {
    /// The map of `machine` with these cards. Placed are those that are up, or all where `is_asked`; where there is none, work
    /// without a card.
    #[must_use]
    pub fn of(machine: Box<Machine>, cards: Vec<Card>, is_asked: bool, choice: Choice, divide: Division) -> Self {
        let files = machine.source.is_here().then(Files::of_machine);
        let nodes: Vec<_> = machine.topology.nodes().iter().map(|node| state(&machine, files.as_ref(), node)).collect();
        let placed = cards.iter().filter(|card| card.is_up || is_asked).map(Some);
        let mut places: Vec<_> = placed.map(|card| place_of(&machine, &nodes, card, choice, divide)).collect();
        if places.is_empty() {
            places.push(place_of(&machine, &nodes, None, choice, divide));
        }
        let left_behind = if machine.source.is_here() { left_behind() } else { Vec::new() };
        let left_behind = left_behind.iter().map(words::left_behind).collect();
        Self { machine, nodes, cards, places, left_behind, checks: None }
    }

    /// All lines about what is not as it would be best, each once.
    #[must_use]
    pub fn shortfalls(&self) -> Vec<&str> {
        let mut all: Vec<&str> = Vec::new();
        for shortfall in self.places.iter().flat_map(|place| &place.shortfalls).chain(&self.left_behind) {
            if !all.contains(&shortfall.as_str()) {
                all.push(shortfall);
            }
        }
        all
    }
}

fn state(machine: &Machine, files: Option<&Files>, node: &Node) -> NodeState {
    // A kernel that knows no nodes has files of the whole machine.
    let folder = format!("sys/devices/system/node/node{}", node.id);
    let (meminfo, key) = match files {
        Some(files) if files.exists(&folder) => {
            (files.text(format!("{folder}/meminfo")), format!("Node {} MemFree", node.id))
        }
        Some(files) => (files.text("proc/meminfo"), "MemFree".to_owned()),
        None => (None, String::new()),
    };
    let free_kib = |text: String| value_of(&text, &key)?.split_whitespace().next()?.parse::<u64>().ok();
    let huge_pages = files.map(|files| match files.exists(&folder) {
        true => HugePages::of_node(files, node.id),
        false => HugePages::of_all_nodes(files),
    });
    NodeState {
        node: *node,
        allowed_cpus: node.cpus.and(&machine.allowed.cpus),
        is_memory_allowed: machine.allowed.memory & node.mask() != 0,
        free_bytes: meminfo.and_then(free_kib).map(|kib| kib.saturating_mul(1024)),
        huge_pages: huge_pages.unwrap_or_default(),
    }
}

fn place_of(machine: &Machine, nodes: &[NodeState], card: Option<&Card>, choice: Choice, divide: Division) -> Place {
    let wish = Wish { choice, card: card.and_then(|card| card.node) };
    let placement = place(&machine.topology, &machine.allowed, wish);
    let cpus: Vec<u32> = placement.worker_cpus().collect();
    let shares = card.map(|card| divide(card.queues, cpus.len())).unwrap_or_default();
    let cpus = cpus.into_iter().map(Some).chain(std::iter::repeat(None));
    let worker = |(queues, cpu): (Vec<u32>, Option<u32>)| Worker {
        cpu,
        node: cpu.and_then(|cpu| machine.topology.node_of(cpu)),
        queues,
    };
    let workers = shares.into_iter().zip(cpus).map(worker).collect();
    let shortfalls = placement.shortfalls.iter().map(words::shortfall).chain(huge_pages_elsewhere(&placement, nodes));
    let shortfalls = shortfalls.collect();
    Place { iface: card.map(|card| card.iface.clone()), placement, workers, shortfalls }
}

/// Pages are had where they are set aside and nowhere else.
fn huge_pages_elsewhere(placement: &Placement, nodes: &[NodeState]) -> Option<String> {
    let own = placement.memory_node?;
    let has_some = |state: &&NodeState| state.huge_pages.iter().any(|pages| pages.free > 0);
    let other = nodes.iter().find(has_some)?.node.id;
    if nodes.iter().filter(has_some).any(|state| state.node.id == own) {
        return None;
    }
    Some(format!("free huge pages are on NUMA node {other} and not on node {own}: buffers lie on pages of 4 KiB there"))
}

#[cfg(test)]
mod tests {
    use super::super::machine::Source;
    use super::*;
    use wirehaul_core::numa::{Allowed, Topology};

    fn machine() -> Box<Machine> {
        let node = |id: u32| {
            let cpus: CpuSet = (id * 4..id * 4 + 4).collect();
            let cores = cpus.iter().filter(|cpu| cpu % 2 == 0).collect();
            Node { id, cpus, cores, memory_bytes: 1 << 30 }
        };
        let topology = Topology::new([node(0), node(1)]).unwrap();
        let allowed = Allowed::all(&topology);
        Box::new(Machine { topology, allowed, source: Source::Synthetic })
    }

    fn card(iface: &str, node: Option<u32>, is_up: bool) -> Card {
        Card { iface: iface.to_owned(), node, is_up, queues: 3, ..Card::default() }
    }

    fn divide(queues: u32, workers: usize) -> Vec<Vec<u32>> {
        (0..queues.min(workers as u32)).map(|queue| vec![queue]).collect()
    }

    fn report(machine: Box<Machine>, cards: Vec<Card>, choice: Choice) -> Report {
        Report::of(machine, cards, false, choice, divide)
    }

    /// NUMA-1: which worker would run where.
    #[test]
    fn workers_are_on_the_cards_node_a_core_each() {
        let cards = vec![card("eth0", Some(1), true), card("eth1", Some(0), false)];
        let report = report(machine(), cards, Choice::Auto);
        assert_eq!(report.places.len(), 1, "only what is up");
        let place = &report.places[0];
        let workers: Vec<_> =
            place.workers.iter().map(|worker| (worker.cpu, worker.node, &worker.queues[..])).collect();
        let expected: [(_, _, &[u32]); 3] =
            [(Some(4), Some(1), &[0]), (Some(6), Some(1), &[1]), (Some(5), Some(1), &[2])];
        assert_eq!((place.iface.as_deref(), &workers[..]), (Some("eth0"), &expected[..]));
        assert!(report.shortfalls().is_empty());
    }

    #[test]
    fn without_a_card_there_is_a_place_and_no_workers() {
        let report = report(machine(), Vec::new(), Choice::Node(1));
        let [place] = &report.places[..] else { panic!("{report:?}") };
        assert_eq!((place.placement.cpu_node, place.workers.len(), &place.iface), (Some(1), 0, &None));
    }

    #[test]
    fn what_cannot_be_had_is_said_once() {
        let mut machine = machine();
        machine.allowed.memory = 0b01;
        let cards = vec![card("eth0", Some(1), true), card("eth1", Some(1), true)];
        let report = report(machine, cards, Choice::Auto);
        assert_eq!(report.shortfalls().len(), 1);
        assert!(report.shortfalls()[0].contains("no memory of NUMA node 1"), "{report:?}");
        assert!(!report.nodes[1].is_memory_allowed && report.nodes[0].is_memory_allowed);
    }

    #[test]
    fn huge_pages_on_another_node_are_of_no_use() {
        let placement = |node| Placement { memory_node: node, ..Placement::default() };
        let mut nodes = report(machine(), Vec::new(), Choice::Auto).nodes;
        assert_eq!(huge_pages_elsewhere(&placement(Some(1)), &nodes), None, "there are none at all");
        nodes[0].huge_pages = vec![HugePages { page_bytes: 2 << 20, total: 8, free: 8 }];
        let words = huge_pages_elsewhere(&placement(Some(1)), &nodes).unwrap();
        assert!(words.contains("on NUMA node 0 and not on node 1"), "{words}");
        assert_eq!(huge_pages_elsewhere(&placement(Some(0)), &nodes), None);
        assert_eq!(huge_pages_elsewhere(&placement(None), &nodes), None);
    }
}
