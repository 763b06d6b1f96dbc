//! The algebra of ACK ranges: any set of packets survives the wire, and what does not fit is the oldest.

use std::collections::BTreeSet;

use proptest::collection::{btree_set, vec};
use proptest::prelude::*;
use wirehaul_core::wire::{AckRange, Frame, FrameWriter, View};
use wirehaul_proptests::choices::Choices;
use wirehaul_proptests::spec;

/// The ranges of a set, from newest to oldest.
fn ranges_of(packets: &BTreeSet<u64>) -> Vec<AckRange> {
    let mut ranges: Vec<AckRange> = Vec::new();
    for packet in packets.iter().rev() {
        match ranges.last_mut() {
            Some(range) if range.first == packet + 1 => range.first = *packet,
            _ => ranges.push(AckRange { first: *packet, last: *packet }),
        }
    }
    ranges
}

/// The ranges that come back from a frame into which at most `max` of them were written, in `room` bytes.
fn over_the_wire(ranges: &[AckRange], max: usize, room: usize) -> Option<(usize, Vec<AckRange>)> {
    let mut out = vec![0; room];
    let mut writer = FrameWriter::new(&mut out);
    let count = writer.ack(1, 2, ranges.iter().copied(), max)?;
    let length = writer.finish();
    match Frame::parse(&out[..length]).map(|(frame, _)| frame.view()) {
        Ok(View::Ack(ack)) => Some((count, ack.ranges().collect())),
        other => panic!("{other:?} instead of an ACK"),
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 4000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_set_of_packets_survives_the_wire(
        packets in btree_set(0_u64..300, 1..150),
        base in prop_oneof![Just(0), Just(u64::MAX - 300), any::<u32>().prop_map(u64::from)],
    ) {
        let packets: BTreeSet<u64> = packets.into_iter().map(|packet| base + packet).collect();
        let ranges = ranges_of(&packets);
        let Some((count, read)) = over_the_wire(&ranges, usize::MAX, 9000) else { panic!("does not fit") };
        prop_assert_eq!(count, ranges.len());
        let members: BTreeSet<u64> = read.iter().flat_map(|range| range.first..=range.last).collect();
        prop_assert_eq!(&members, &packets);
        prop_assert_eq!(read.iter().map(|range| range.packets()).sum::<u64>(), packets.len() as u64);
        for packet in base..=base + 299 {
            let read_there = read.iter().any(|range| range.contains(packet));
            prop_assert_eq!(read_there, packets.contains(&packet), "packet {}", packet);
        }
    }

    #[test]
    fn what_does_not_fit_is_the_oldest(bytes in vec(any::<u8>(), 0..400), max in 0_usize..30, room in 0_usize..300) {
        let ranges = spec::ranges(&mut Choices::Bytes(&bytes), 40);
        match over_the_wire(&ranges, max, room) {
            None => prop_assert!(room < 40),
            Some((count, read)) => {
                prop_assert_eq!(count, ranges.len().min(max.max(1)).min(1 + (room - 40) / 8));
                prop_assert_eq!(&read[..], &ranges[..count]);
            }
        }
    }

    #[test]
    fn ranges_in_any_order_never_acknowledge_what_was_not_given(
        given in vec((0_u64..50, 0_u64..50), 1..12),
    ) {
        let ranges: Vec<_> = given.iter().map(|(first, last)| AckRange { first: *first, last: *last }).collect();
        if let Some((count, read)) = over_the_wire(&ranges, usize::MAX, 1000) {
            prop_assert_eq!(&read[..], &ranges[..count]);
            prop_assert!(read.windows(2).all(|pair| pair[1].last + 1 < pair[0].first));
        } else {
            prop_assert!(given[0].0 > given[0].1);
        }
    }
}
