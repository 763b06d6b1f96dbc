//! NUMA-2, NUMA-3: work divided over 1 to 64 nodes, and placements on machines of every shape, against what they promise.
#![allow(clippy::expect_used, reason = "a test that meets the unexpected should stop there")]

use std::collections::BTreeSet;

use proptest::collection::{btree_map, vec};
use proptest::prelude::*;
use wirehaul_core::numa::{Allowed, Choice, CpuSet, MAX_CPUS, Node, Partition, Shortfall, Topology, Wish, place};

/// CPUs of up to 64 nodes, of which some have none.
fn weights() -> impl Strategy<Value = Vec<u32>> {
    vec(prop_oneof![1 => Just(0), 4 => 1..=256_u32, 1 => any::<u32>()], 1..=64)
        .prop_filter("some have CPUs", |weights| weights.iter().any(|weight| *weight > 0))
}

fn shares(partition: &Partition, items: u64) -> Vec<u64> {
    let ranges = (0..partition.parts()).map(|part| partition.range(items, part));
    ranges.map(|range| range.end - range.start).collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(4000))]

    #[test]
    fn every_item_has_one_part_and_parts_are_in_proportion(weights in weights(), items in 0..=10_000_000_u64) {
        let partition = Partition::new(weights.iter().copied()).expect("there is weight");
        let total: u128 = weights.iter().map(|weight| u128::from(*weight)).sum();
        let mut next = 0;
        for (part, weight) in weights.iter().enumerate() {
            let range = partition.range(items, part);
            prop_assert_eq!(range.start, next);
            next = range.end;
            // Less than an item away from items * weight / total, in whole numbers.
            let (share, exact) = (u128::from(range.end - range.start) * total, u128::from(items) * u128::from(*weight));
            prop_assert!(share.abs_diff(exact) < total, "part {} has {} of {}", part, range.end - range.start, items);
            prop_assert!(*weight > 0 || range.is_empty());
            for item in [range.start, range.start + (range.end - range.start) / 2, range.end.wrapping_sub(1)] {
                if range.contains(&item) {
                    prop_assert_eq!(partition.part_of(items, item), Some(part));
                }
            }
        }
        prop_assert_eq!(next, items);
        prop_assert_eq!(partition.part_of(items, items), None);
    }

    /// Equal nodes differ by one item at most, and a node without CPUs changes nothing for the others.
    #[test]
    fn parts_are_even_and_stable(nodes in 1..=48_usize, cpus in 1..=512_u32, items in 0..=10_000_000_u64, empty in vec(0..=48_usize, 0..=16)) {
        let mut weights = vec![cpus; nodes];
        let alone = shares(&Partition::new(weights.clone()).expect("there is weight"), items);
        let (least, most) = (alone.iter().min().expect("a node"), alone.iter().max().expect("a node"));
        prop_assert!(most - least <= 1);
        for at in empty {
            weights.insert(at.min(weights.len()), 0);
        }
        let together = shares(&Partition::new(weights.clone()).expect("there is weight"), items);
        let with_cpus = together.iter().zip(&weights).filter(|(_, weight)| **weight > 0).map(|(share, _)| *share);
        prop_assert_eq!(with_cpus.collect::<Vec<_>>(), alone);
    }

    #[test]
    fn lists_mean_what_they_say(cpus in vec(0..MAX_CPUS, 0..40)) {
        let set: CpuSet = cpus.iter().copied().collect();
        let expected: BTreeSet<_> = cpus.into_iter().collect();
        prop_assert_eq!(set.iter().collect::<Vec<_>>(), expected.iter().copied().collect::<Vec<_>>());
        prop_assert_eq!(set.len() as usize, expected.len());
        prop_assert_eq!(CpuSet::from_list(&set.list().to_string()), Some(set));
    }

    #[test]
    fn any_text_is_a_list_or_none(text in "[0-9,\\- \n]{0,40}|.{0,20}") {
        let _ = CpuSet::from_list(&text);
    }
}

/// A machine: for each node the number of its CPUs, its memory, and whether each of both may be used.
#[derive(Clone, Debug)]
struct Machine {
    topology: Topology,
    allowed: Allowed,
}

fn machine() -> impl Strategy<Value = Machine> {
    let node = (
        prop_oneof![1 => Just(0), 3 => 1..=8_u32],
        prop_oneof![1 => Just(0), 3 => 1..=1_u64 << 40],
        any::<u8>(),
        any::<bool>(),
    );
    (btree_map(0..64_u32, node, 0..=8), vec((0..64_u32, 0..64_u32, 0..=255_u16), 0..40)).prop_map(
        |(nodes, distances)| {
            let (mut next_cpu, mut allowed) = (0, Allowed { cpus: CpuSet::EMPTY, memory: 0 });
            let nodes = nodes.into_iter().map(|(id, (cpus, memory_bytes, usable, is_memory_usable))| {
                let cpus: CpuSet = (next_cpu..next_cpu + cpus).collect();
                next_cpu += cpus.len();
                let usable: CpuSet = cpus.iter().filter(|cpu| usable >> (cpu % 8) & 1 == 1).collect();
                allowed.cpus = allowed.cpus.or(&usable);
                let node = Node { id, cpus, cores: cpus.iter().filter(|cpu| cpu % 2 == 0).collect(), memory_bytes };
                allowed.memory |= if is_memory_usable { node.mask() } else { 0 };
                node
            });
            let mut topology = Topology::new(nodes).expect("each has its number");
            for (from, to, distance) in distances {
                topology.set_distance(from, to, distance);
            }
            Machine { topology, allowed }
        },
    )
}

fn wish() -> impl Strategy<Value = Wish> {
    let choice = prop_oneof![
        Just(Choice::Auto),
        Just(Choice::Off),
        any::<u32>().prop_map(Choice::Node),
        (0..64_u32).prop_map(Choice::Node)
    ];
    (choice, prop::option::of(0..64_u32)).prop_map(|(choice, card)| Wish { choice, card })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(4000))]

    /// Nothing is ever placed where it may not be, what is not at its best place is said, and nothing is said without cause.
    #[test]
    fn placements_are_allowed_and_honest(Machine { topology, allowed } in machine(), wish in wish()) {
        let placement = place(&topology, &allowed, wish);
        prop_assert_eq!(&placement, &place(&topology, &allowed, wish));
        prop_assert!(placement.cpus.without(&allowed.cpus).is_empty());
        let order: Vec<_> = placement.worker_cpus().collect();
        prop_assert_eq!(order.iter().copied().collect::<CpuSet>(), placement.cpus);
        prop_assert_eq!(order.len(), placement.cpus.len() as usize);
        let can_compute = |id: u32| topology.node(id).is_some_and(|node| !node.cpus.and(&allowed.cpus).is_empty());
        let can_hold = |id: u32| topology.node(id).is_some_and(|node| node.memory_bytes > 0 && allowed.memory & node.mask() != 0);
        if topology.nodes().len() < 2 || wish.choice == Choice::Off {
            prop_assert_eq!((placement.cpu_node, placement.memory_node), (None, None));
            return Ok(());
        }
        if let Some(node) = placement.cpu_node {
            prop_assert!(can_compute(node) && placement.cpus.without(&topology.node(node).expect("it is there").cpus).is_empty());
        } else {
            prop_assert!(!topology.nodes().iter().any(|node| can_compute(node.id)));
        }
        match placement.memory_node {
            Some(node) => prop_assert!(can_hold(node)),
            None => prop_assert!(!topology.nodes().iter().any(|node| can_hold(node.id))),
        }
        let wanted = match wish.choice {
            Choice::Node(node) if topology.node(node).is_some() => Some(node),
            _ => wish.card.filter(|card| topology.node(*card).is_some()),
        };
        if let Some(wanted) = wanted {
            prop_assert!(!can_compute(wanted) || placement.cpu_node == Some(wanted));
            let moved = |shortfall: &Shortfall| matches!(shortfall, Shortfall::NoCpus { .. } | Shortfall::CpusNotAllowed { .. });
            let is_elsewhere = placement.cpu_node.is_some_and(|node| node != wanted);
            prop_assert_eq!(placement.shortfalls.iter().any(moved), is_elsewhere);
            for id in topology.nodes().iter().map(|node| node.id).filter(|id| is_elsewhere && can_compute(*id)) {
                let chosen = placement.cpu_node.expect("elsewhere");
                prop_assert!(topology.distance(wanted, chosen) <= topology.distance(wanted, id));
            }
        }
        let with = placement.cpu_node.or(wanted);
        let far = |shortfall: &Shortfall| matches!(shortfall, Shortfall::NoMemory { .. } | Shortfall::MemoryNotAllowed { .. });
        if let (Some(with), Some(memory)) = (with, placement.memory_node) {
            prop_assert_eq!(placement.shortfalls.iter().any(far), with != memory);
            prop_assert!(!can_hold(with) || with == memory);
        }
    }
}
