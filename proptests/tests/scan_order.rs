//! SCAN-2, SCAN-5, NUMA-3: every element of a survey exactly once, whoever shares the work and however often it is interrupted.
#![allow(clippy::expect_used, reason = "a test that meets the unexpected should stop there")]

use std::collections::{BTreeMap, BTreeSet};

use proptest::collection::vec;
use proptest::prelude::*;
use wirehaul_core::numa::Partition;
use wirehaul_core::scan::{Course, Order, Shard, Step, Walk};

fn order(n: u128, seed: u64) -> Order {
    Order::new(n, seed).expect("neither empty nor too large")
}

// --- the order ---

#[test]
fn orders_of_every_small_length_are_permutations() {
    for n in 1..=2_500_u128 {
        for seed in [0, n as u64, u64::MAX] {
            let order = order(n, seed);
            let mut seen = vec![false; n as usize];
            for position in 0..n {
                let element = order.at(position) as usize;
                assert!(!seen[element], "{element} of {n} comes twice with seed {seed}");
                seen[element] = true;
            }
        }
    }
}

/// Lengths of every size alike, up to so many bits.
fn length(most_bits: u32) -> impl Strategy<Value = u128> {
    (1..=most_bits, any::<u128>()).prop_map(|(bits, random)| 1.max(random >> (u128::BITS - bits)))
}

proptest! {
    #[test]
    fn elements_are_in_bounds_and_lead_back_to_where_they_are(
        n in length(120), seed: u64, positions in vec(any::<u128>(), 1..40),
    ) {
        let order = order(n, seed);
        for position in positions.into_iter().map(|position| position % n).chain([0, n - 1]) {
            let element = order.at(position);
            prop_assert!(element < n);
            prop_assert_eq!(order.position_of(element), position);
            prop_assert_eq!(order.at(order.position_of(position)), position);
        }
    }

    #[test]
    fn no_element_comes_twice(n in length(48), wide in 49..81_u32, seed: u64, start: u128) {
        for n in [n, n | 1 << (wide - 1)] {
            let order = order(n, seed);
            let count = n.min(3_000);
            let elements: BTreeSet<_> = (0..count).map(|at| order.at((start % n + at) % n)).collect();
            prop_assert_eq!(elements.len() as u128, count);
        }
    }
}

// --- does it look random? ---

/// Chi-squared of 256 counts, times the expected count. Its mean is 255, and 400 is six standard deviations away.
fn chi_squared(values: impl Iterator<Item = u8>) -> u64 {
    let mut counts = [0_u64; 256];
    values.for_each(|value| counts[usize::from(value)] += 1);
    let expected = counts.iter().sum::<u64>() / 256;
    counts.iter().map(|count| count.abs_diff(expected).pow(2)).sum::<u64>() / expected
}

#[test]
fn neighbours_in_the_order_have_nothing_in_common() {
    const COUNT: u128 = 1 << 17;
    for (n, seed) in [
        (1 << 32, 1),
        ((1 << 32) - 1, 2),
        ((1 << 33) + 5, 3),
        (1 << 24, 4),
        (65_535 << 16, 5),
        (3 << 46, 6),
        (1 << 77, 7),
    ] {
        let order = order(n, seed);
        let elements: Vec<_> = (0..=COUNT).map(|at| order.at(at)).collect();
        let part = |element: u128| (element * 256 / n) as u8;
        let pairs = || elements.windows(2).map(|pair| (pair[0], pair[1]));
        for (what, chi) in [
            ("high part", chi_squared(elements.iter().map(|element| part(*element)))),
            ("low byte", chi_squared(elements.iter().map(|element| *element as u8))),
            ("step, high part", chi_squared(pairs().map(|(one, other)| part(other.wrapping_add(n - one) % n)))),
            ("step, low byte", chi_squared(pairs().map(|(one, other)| (other as u8).wrapping_sub(one as u8)))),
            ("high and low", chi_squared(elements.iter().map(|element| part(*element) ^ *element as u8))),
        ] {
            assert!((130..420).contains(&chi), "{what} of {n}: {chi}");
        }
        let ascents = pairs().filter(|(one, other)| one < other).count();
        assert!(ascents.abs_diff(COUNT as usize / 2) < 700, "{n}: {ascents} of {COUNT} rise");
        let same_slash_24 = pairs().filter(|(one, other)| one / 256 == other / 256).count();
        let expected = (COUNT * 256 / n) as usize;
        assert!(same_slash_24 <= 2 * expected + 8, "{n}: {same_slash_24} in a row in one /24");
    }
}

#[test]
fn seeds_in_a_row_have_nothing_in_common() {
    for (n, position) in [(1_u128 << 32, 0_u128), ((1 << 40) + 17, 12_345), (1 << 16, 7)] {
        let part = |seed: u64| (order(n, seed).at(position) * 256 / n) as u8;
        let chi = chi_squared((0..1 << 16).map(part));
        assert!((130..420).contains(&chi), "{n}: {chi}");
    }
}

/// Of a /16 with a thousand ports, no /24 gets much more than its share at any time.
#[test]
fn load_is_spread_over_subnets() {
    let (probes, window) = (1_000_u128, 4_096_usize);
    let order = order(65_536 * probes, 99);
    let subnets: Vec<_> = (0..1 << 18).map(|at| (order.at(at) / probes / 256) as u8).collect();
    for window in subnets.chunks(window) {
        let mut counts = [0; 256];
        window.iter().for_each(|subnet| counts[usize::from(*subnet)] += 1);
        // 16 on average.
        assert!(counts.iter().all(|count| *count < 50), "{counts:?}");
    }
}

// --- shards and workers ---

#[derive(Clone, Debug)]
struct Plan {
    elements: u128,
    seed: u64,
    shards: u32,
    attempts: u8,
    spacing: u64,
}

impl Plan {
    fn course(&self, index: u32) -> Course {
        let shard = Shard::new(index, self.shards).expect("from 1 to their number");
        Course::new(self.elements, self.seed, shard, self.attempts, self.spacing).expect("neither empty nor too large")
    }
}

fn plan() -> impl Strategy<Value = Plan> {
    let spacing = prop_oneof![0..5_u64, 0..5_000_u64, 0..100_000_u64];
    let elements = prop_oneof![1..30_u128, 1..30_000_u128];
    (elements, any::<u64>(), 1..=7_u32, 1..=4_u8, spacing)
        .prop_map(|(elements, seed, shards, attempts, spacing)| Plan { elements, seed, shards, attempts, spacing })
}

/// Weights of workers, of which one at least has some.
fn weights() -> impl Strategy<Value = Vec<u32>> {
    vec(0..5_u32, 1..6).prop_filter("somebody has to work", |weights| weights.iter().any(|weight| *weight > 0))
}

fn walks(course: Course, weights: &[u32], from: u64) -> Vec<Walk> {
    let partition = Partition::new(weights.iter().copied()).expect("some have weight");
    (0..weights.len()).map(|worker| Walk::new(course, &partition, worker, from)).collect()
}

fn done_before(walks: &[Walk]) -> u64 {
    walks.iter().map(Walk::done_before).min().unwrap_or(u64::MAX)
}

fn what(step: Step) -> (u128, u8) {
    (step.element, step.attempt)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// Whatever the numbers of shards and workers and their weights, each attempt at each element is made once.
    #[test]
    fn shards_united_are_the_whole_exactly_once(plan in plan(), weights in vec(weights(), 7)) {
        let mut all = Vec::new();
        for index in 1..=plan.shards {
            let course = plan.course(index);
            let before = all.len();
            for walk in walks(course, &weights[index as usize - 1], 0) {
                let steps: Vec<_> = walk.collect();
                prop_assert!(steps.is_sorted_by_key(|step| (step.number, step.attempt)));
                prop_assert!(steps.iter().all(|step| step.number < course.steps()));
                all.extend(steps.into_iter().map(what));
            }
            prop_assert_eq!((all.len() - before) as u128, course.elements() * u128::from(plan.attempts));
        }
        prop_assert_eq!(all.len() as u128, plan.elements * u128::from(plan.attempts));
        let set: BTreeSet<_> = all.iter().copied().collect();
        prop_assert_eq!(set.len(), all.len());
        prop_assert!(set.iter().all(|(element, attempt)| *element < plan.elements && *attempt < plan.attempts));
    }

    /// What is at which step does not depend on who makes it.
    #[test]
    fn workers_change_nothing_about_a_shard(plan in plan(), one in weights(), other in weights()) {
        let steps = |weights: &[u32]| {
            let steps = walks(plan.course(plan.shards), weights, 0).into_iter().flatten();
            steps.map(|step| ((step.number, step.attempt), step.element)).collect::<BTreeMap<_, _>>()
        };
        prop_assert_eq!(steps(&one), steps(&other));
    }

    /// SCAN-5: interrupted anywhere, and gone on with other workers from the least `done_before`: nothing is left out, and nothing
    /// from before it is repeated.
    #[test]
    fn whoever_resumes_skips_nothing(plan in plan(), rounds in vec((weights(), vec(0..20_000_usize, 6)), 1..4)) {
        let course = plan.course(1);
        let mut made = BTreeSet::new();
        let mut from = 0;
        for (weights, stops) in &rounds {
            let mut walks = walks(course, weights, from);
            let mut last = from;
            for (walk, stop) in walks.iter_mut().zip(stops) {
                for step in walk.by_ref().take(*stop) {
                    prop_assert!(step.number >= from);
                    made.insert(what(step));
                }
                prop_assert!(walk.done_before() >= last.min(from));
                last = walk.done_before();
            }
            let next = done_before(&walks);
            prop_assert!(next >= from);
            from = next;
        }
        for step in walks(course, &[1], from).into_iter().flatten() {
            made.insert(what(step));
        }
        prop_assert_eq!(made.len() as u128, course.elements() * u128::from(plan.attempts));
    }

    /// `done_before` is neither late by more than what is under way, nor ever too early.
    #[test]
    fn what_is_done_is_said(plan in plan(), weights in weights(), stop in 0..30_000_usize) {
        let course = plan.course(1);
        for (worker, mut walk) in walks(course, &weights, 0).into_iter().enumerate() {
            let made: Vec<_> = walk.by_ref().take(stop).collect();
            let said = walk.done_before();
            let left: Vec<_> = walk.collect();
            prop_assert!(left.iter().all(|step| step.number >= said), "worker {worker}");
            prop_assert_eq!(left.first().map_or(u64::MAX, |step| step.number), said);
            prop_assert!(made.iter().all(|step| step.number <= said));
        }
    }
}

/// All of IPv4 with every port, and all of a /32 of IPv6: nothing is made beforehand, so that nothing has to be stored.
#[test]
fn the_largest_surveys_have_no_tables() {
    assert!(size_of::<Walk>() <= 256, "{}", size_of::<Walk>());
    for elements in [(1 << 32) * 65_535, 1 << 112, Order::MAX_LEN] {
        let shard = Shard::new(1_000, 1_000).expect("the last one");
        let course = Course::new(elements, 5, shard, 2, 1 << 20).expect("not too large");
        let first: BTreeSet<_> =
            walks(course, &[1, 1], 0).into_iter().flat_map(|walk| walk.take(1_000)).map(what).collect();
        assert_eq!(first.len(), 2_000);
        let late =
            walks(course, &[1, 1], course.steps() - 10_000).into_iter().flatten().map(what).collect::<BTreeSet<_>>();
        assert!(late.len() >= 10_000 && late.iter().all(|(element, _)| *element < elements));
    }
}
