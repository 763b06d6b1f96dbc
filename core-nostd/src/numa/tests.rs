//! Topologies of every shape that real machines have, and some that they should not.

use core::fmt::Write;

use heapless::{String, Vec};

use super::*;

/// Nodes of CPUs in threads of two: `(id, cpus, memory)`.
fn machine(nodes: &[(u32, &str, u64)]) -> Topology {
    let node = |(id, cpus, memory_bytes): &(u32, &str, u64)| {
        let cpus = CpuSet::from_list(cpus).unwrap();
        let cores = cpus.iter().filter(|cpu| cpu % 2 == 0).collect();
        Node { id: *id, cpus, cores, memory_bytes: *memory_bytes }
    };
    Topology::new(nodes.iter().map(node)).unwrap()
}

fn two() -> Topology {
    machine(&[(0, "0-3", 1 << 30), (1, "4-7", 1 << 30)])
}

fn place_all(topology: &Topology, wish: Wish) -> Placement {
    place(topology, &Allowed::all(topology), wish)
}

fn on_card(card: u32) -> Wish {
    Wish { card: Some(card), ..Wish::default() }
}

fn asked(node: u32) -> Wish {
    Wish { choice: Choice::Node(node), card: None }
}

fn list(text: &str) -> CpuSet {
    CpuSet::from_list(text).unwrap()
}

#[test]
fn lists_are_read_and_written_as_the_kernel_does() {
    for text in ["", "0", "0-3", "0-3,8,10-11", "63-64", "4095"] {
        let mut written = String::<32>::new();
        write!(written, "{}", list(text).list()).unwrap();
        assert_eq!(written, text);
    }
    assert_eq!(list(" 1,0,2-2\n"), list("0-2"));
    assert_eq!(list("4090-99999"), list("4090-4095"));
    for text in ["3-1", "a", "1-", "-1", "1-2-3", "+1", "0x1", "1 2", "99999999999"] {
        assert_eq!(CpuSet::from_list(text), None, "{text}");
    }
}

#[test]
fn sets_are_combined_and_counted() {
    let (some, others) = (list("0-3,70"), list("2-5"));
    assert_eq!(
        (some.and(&others), some.or(&others), some.without(&others)),
        (list("2-3"), list("0-5,70"), list("0-1,70"))
    );
    assert_eq!((some.len(), CpuSet::EMPTY.len()), (5, 0));
    let mut set = some;
    set.remove(70);
    set.remove(MAX_CPUS);
    assert!(set == list("0-3") && !set.contains(70) && !set.contains(MAX_CPUS) && !set.insert(MAX_CPUS));
}

#[test]
fn a_topology_has_every_node_once_and_in_order() {
    let topology = machine(&[(5, "1", 1), (0, "0", 1)]);
    assert_eq!(topology.nodes().iter().map(|node| node.id).collect::<Vec<_, 8>>(), [0, 5]);
    assert_eq!((topology.node_of(1), topology.node_of(2)), (Some(5), None));
    let node = |id| Node { id, ..Node::default() };
    assert_eq!(Topology::new([node(3), node(3)]), Err(TopologyError::Twice(3)));
    assert_eq!(Topology::new([node(64)]), Err(TopologyError::TooMany));
}

#[test]
fn distances_are_those_that_are_told() {
    let mut topology = two();
    assert_eq!((topology.distance(0, 0), topology.distance(0, 1), topology.told_distance(0, 1)), (10, 20, None));
    topology.set_distance(0, 1, 21);
    topology.set_distance(0, 9, 99);
    assert_eq!((topology.distance(0, 1), topology.distance(1, 0), topology.distance(0, 9)), (21, 20, 20));
}

#[test]
fn a_node_is_nearest_to_itself() {
    let mut topology = two();
    topology.set_distance(1, 1, 200);
    assert_eq!(topology.nearest(1, |_| true).map(|node| node.id), Some(1));
    assert_eq!(topology.nearest(1, |node| node.id != 1).map(|node| node.id), Some(0));
    assert_eq!(topology.nearest(7, |_| true).map(|node| node.id), Some(0));
    assert_eq!(topology.nearest(0, |_| false), None);
}

#[test]
fn parts_get_runs_in_proportion() {
    let partition = Partition::new([4, 0, 2, 1]).unwrap();
    assert_eq!((0..4).map(|part| partition.range(7, part)).collect::<Vec<_, 8>>(), [0..4, 4..4, 4..6, 6..7]);
    assert_eq!(
        (0..8).map(|item| partition.part_of(7, item)).collect::<Vec<_, 8>>(),
        [Some(0), Some(0), Some(0), Some(0), Some(2), Some(2), Some(3), None]
    );
    assert_eq!((partition.range(7, 4), partition.parts()), (7..7, 4));
    assert_eq!((Partition::new([]), Partition::new([0, 0]), Partition::new([1; 65])), (None, None, None));
    let all = Partition::new([u32::MAX; 64]).unwrap();
    assert_eq!(all.range(u64::MAX, 63).end, u64::MAX);
}

#[test]
fn one_node_is_left_alone() {
    let one = machine(&[(0, "0-3", 1)]);
    for wish in [Wish::default(), on_card(0), on_card(3), asked(0), Wish { choice: Choice::Off, card: Some(0) }] {
        let placement = place_all(&one, wish);
        assert_eq!((placement.cpu_node, placement.memory_node), (None, None), "{wish:?}");
        assert_eq!((placement.cpus, placement.shortfalls.len()), (list("0-3"), 0), "{wish:?}");
    }
    let placement = place_all(&one, asked(1));
    assert_eq!(placement.shortfalls[..], [Shortfall::NoSuchNode { node: 1 }]);
    assert_eq!(placement.cpus, list("0-3"));
}

#[test]
fn workers_and_memory_go_to_the_cards_node() {
    let placement = place_all(&two(), on_card(1));
    assert_eq!((placement.cpu_node, placement.memory_node, placement.cpus), (Some(1), Some(1), list("4-7")));
    assert_eq!(placement.worker_cpus().collect::<Vec<_, 8>>(), [4, 6, 5, 7]);
    assert!(placement.shortfalls.is_empty());
    // One that has no node, or an unknown one: the node with the most CPUs, and the first of equals.
    for wish in [Wish::default(), on_card(7)] {
        assert_eq!(place_all(&two(), wish).cpu_node, Some(0));
    }
    let uneven = machine(&[(0, "0-1", 1), (1, "2-5", 1), (2, "6-9", 1)]);
    assert_eq!(place_all(&uneven, Wish::default()).cpu_node, Some(1));
}

#[test]
fn the_user_decides() {
    let off = place_all(&two(), Wish { choice: Choice::Off, card: Some(1) });
    assert_eq!((off.cpu_node, off.memory_node, off.cpus), (None, None, list("0-7")));
    let named = place_all(&two(), Wish { choice: Choice::Node(0), card: Some(1) });
    assert_eq!((named.cpu_node, named.memory_node), (Some(0), Some(0)));
    assert_eq!(named.shortfalls[..], [Shortfall::NotTheCards { node: 0, card: 1 }]);
    let missing = place_all(&two(), Wish { choice: Choice::Node(9), card: Some(1) });
    assert_eq!((missing.cpu_node, &missing.shortfalls[..]), (Some(1), &[Shortfall::NoSuchNode { node: 9 }][..]));
}

#[test]
fn a_node_without_cpus_or_memory_gives_way_to_the_nearest() {
    let mut four = machine(&[(0, "0-3", 1), (1, "4-7", 1), (2, "", 1), (3, "8-9", 0)]);
    for (from, to, distance) in [(2, 0, 31), (2, 1, 21), (2, 3, 41), (3, 0, 41), (3, 1, 31), (3, 2, 21)] {
        four.set_distance(from, to, distance);
    }
    let placement = place_all(&four, on_card(2));
    assert_eq!((placement.cpu_node, placement.memory_node), (Some(1), Some(1)));
    assert_eq!(placement.shortfalls[..], [Shortfall::NoCpus { node: 2, instead: 1 }]);
    let placement = place_all(&four, on_card(3));
    assert_eq!((placement.cpu_node, placement.memory_node), (Some(3), Some(2)));
    assert_eq!(placement.shortfalls[..], [Shortfall::NoMemory { node: 3, instead: 2 }]);
}

#[test]
fn what_the_process_may_not_use_is_not_used() {
    let two = two();
    let placement = place(&two, &Allowed { cpus: list("1-2"), memory: 0b11 }, on_card(1));
    assert_eq!((placement.cpu_node, placement.memory_node, placement.cpus), (Some(0), Some(0), list("1-2")));
    assert_eq!(placement.worker_cpus().collect::<Vec<_, 8>>(), [2, 1]);
    assert_eq!(placement.shortfalls[..], [Shortfall::CpusNotAllowed { node: 1, instead: 0 }]);
    let placement = place(&two, &Allowed { cpus: list("0-7"), memory: 0b01 }, on_card(1));
    assert_eq!((placement.cpu_node, placement.memory_node), (Some(1), Some(0)));
    assert_eq!(placement.shortfalls[..], [Shortfall::MemoryNotAllowed { node: 1, instead: 0 }]);
    // Nothing at all may be used, by what was read: the system knows better.
    let nothing = place(&two, &Allowed { cpus: CpuSet::EMPTY, memory: 0 }, on_card(1));
    assert_eq!((nothing.cpu_node, nothing.memory_node, nothing.cpus), (None, None, CpuSet::EMPTY));
    assert_eq!(place_all(&Topology::default(), asked(0)).shortfalls.len(), 1);
}
