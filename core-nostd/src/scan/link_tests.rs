//! The states of a neighbour, one after the other, and a table that is full.

extern crate std;

use super::*;

const MAC: MacAddress = MacAddress([2, 0, 0, 0, 0, 7]);
const OTHER: MacAddress = MacAddress([2, 0, 0, 0, 0, 8]);

fn at(millis: u64) -> Instant {
    Instant::ZERO + Duration::from_millis(millis)
}

fn host(number: u32) -> IpAddr {
    IpAddr::V4((0x0a00_0000 | number).into())
}

/// SCAN-7
#[test]
fn a_host_is_asked_three_times_a_second_apart_and_then_absent() {
    let mut slots = [NeighbourSlot::default(); 8];
    let mut neighbours = Neighbours::new(&mut slots);
    for round in 0..2 {
        let start = 8_000 * round;
        let mut find = |millis| neighbours.find(at(start + millis), host(1));
        for request in [0, 1_000, 2_000] {
            assert_eq!(find(request), Link::Ask);
            assert_eq!(find(request), Link::Wait(at(start + request + 1_000)));
            assert_eq!(find(request + 999), Link::Wait(at(start + request + 1_000)));
        }
        assert_eq!(find(3_000), Link::Absent);
        assert_eq!(find(7_999), Link::Absent);
        // And is asked anew after that.
    }
}

#[test]
fn an_answer_counts_at_once_and_at_any_time() {
    for millis in [0, 500, 2_500, 3_500, 7_000] {
        let mut slots = [NeighbourSlot::default(); 8];
        let mut neighbours = Neighbours::new(&mut slots);
        (0..=millis / 500).for_each(|step| {
            let _ = neighbours.find(at(500 * step), host(1));
        });
        assert!(neighbours.learn(at(millis), host(1), MAC));
        assert_eq!(neighbours.find(at(millis), host(1)), Link::Known(MAC));
        assert_eq!(neighbours.find(at(millis + 59_999), host(1)), Link::Known(MAC));
    }
}

#[test]
fn what_has_aged_is_asked_again_while_it_is_used() {
    let mut slots = [NeighbourSlot::default(); 8];
    let mut neighbours = Neighbours::new(&mut slots);
    assert_eq!(neighbours.find(at(0), host(1)), Link::Ask);
    assert!(neighbours.learn(at(0), host(1), MAC));
    for second in [60_000, 61_000, 62_000] {
        assert_eq!(neighbours.find(at(second), host(1)), Link::Ask);
        assert_eq!(neighbours.find(at(second), host(1)), Link::Known(MAC));
        assert_eq!(neighbours.find(at(second + 999), host(1)), Link::Known(MAC));
    }
    let mut again = [NeighbourSlot::default(); 8];
    again.copy_from_slice(neighbours.sets.as_flattened());
    assert_eq!(neighbours.find(at(63_000), host(1)), Link::Absent);

    let mut neighbours = Neighbours::new(&mut again);
    assert!(neighbours.learn(at(62_999), host(1), OTHER), "another interface has it now");
    assert_eq!(neighbours.find(at(63_000), host(1)), Link::Known(OTHER));
}

#[test]
fn who_was_not_asked_is_not_heard() {
    let mut slots = [NeighbourSlot::default(); 8];
    let mut neighbours = Neighbours::new(&mut slots);
    assert!(!neighbours.learn(at(0), host(1), MAC));
    assert_eq!(neighbours.find(at(0), host(1)), Link::Ask);
    assert!(!neighbours.learn(at(0), "::".parse().unwrap(), MAC), "no slot that was never used is this host's");
}

#[test]
fn what_is_pinned_stays() {
    let mut slots = [NeighbourSlot::default(); 8];
    let mut neighbours = Neighbours::new(&mut slots);
    assert_eq!(neighbours.find(at(0), host(0)), Link::Ask);
    assert!(neighbours.pin(host(0), OTHER), "in its own place");
    for number in 0..8 {
        assert!(neighbours.pin(host(number), MAC));
    }
    assert!(!neighbours.pin(host(8), MAC), "all places have one");
    assert!(neighbours.pin(host(3), OTHER), "but what is there can be changed");
    assert!(!neighbours.learn(at(1), host(0), OTHER));
    for hours in [0, 1_000_000] {
        let now = at(3_600_000 * hours);
        assert_eq!(neighbours.find(now, host(0)), Link::Known(MAC));
        assert_eq!(neighbours.find(now, host(3)), Link::Known(OTHER));
        assert!(matches!(neighbours.find(now, host(8)), Link::Full(then) if then > now));
    }
}

#[test]
fn a_full_set_says_when_there_is_room() {
    let mut slots = [NeighbourSlot::default(); 8];
    let mut neighbours = Neighbours::new(&mut slots);
    (0..8).for_each(|number| assert_eq!(neighbours.find(at(u64::from(number)), host(number)), Link::Ask));
    // The first could be asked twice more, and then be waited for.
    assert_eq!(neighbours.find(at(10), host(8)), Link::Full(at(3_000)));
    assert!(neighbours.learn(at(20), host(5), MAC));
    assert_eq!(neighbours.find(at(30), host(8)), Link::Full(at(1_020)), "what is known goes when it is not used");
    assert_eq!(neighbours.find(at(900), host(5)), Link::Known(MAC));
    assert_eq!(neighbours.find(at(1_020), host(8)), Link::Full(at(1_900)));
    assert_eq!(neighbours.find(at(1_900), host(8)), Link::Ask);
    assert_eq!(neighbours.find(at(1_900), host(5)), Link::Full(at(3_000)));
    assert_eq!(neighbours.find(at(3_000), host(5)), Link::Ask, "in the place of 0, for which nobody came back");
}

#[test]
fn families_are_kept_apart() {
    let mut slots = [NeighbourSlot::default(); 8];
    let mut neighbours = Neighbours::new(&mut slots);
    for (ip, mac) in [("10.0.0.1", MAC), ("::10.0.0.1", OTHER), ("fe80::1", OTHER)] {
        let ip = ip.parse().unwrap();
        assert_eq!(neighbours.find(at(0), ip), Link::Ask);
        assert!(neighbours.learn(at(0), ip, mac));
        assert_eq!(neighbours.find(at(0), ip), Link::Known(mac));
    }
    assert_eq!(neighbours.find(at(0), "10.0.0.1".parse().unwrap()), Link::Known(MAC));
}

#[test]
fn a_table_of_any_size_works() {
    for size in 0..=40 {
        let mut slots = [NeighbourSlot::default(); 40];
        let mut neighbours = Neighbours::new(&mut slots[..size]);
        let capacity = neighbours.capacity();
        assert_eq!(capacity, if size < 8 { size } else { size / 8 * 8 });
        let asked = (0..400).filter(|number| neighbours.find(at(0), host(*number)) == Link::Ask).count();
        assert_eq!(asked, capacity, "enough hosts reach every place");
    }
}

/// SCAN-7: a /16 on the link in a table of twice its size.
#[test]
fn a_slash_16_has_room() {
    const HOSTS: u32 = 1 << 16;
    let mut slots = std::vec![NeighbourSlot::default(); 2 * HOSTS as usize];
    let mut neighbours = Neighbours::new(&mut slots);
    let full = (0..HOSTS).filter(|number| neighbours.find(at(0), host(*number)) != Link::Ask).count();
    assert_eq!(full, 0, "hosts of one network are spread evenly");
}
