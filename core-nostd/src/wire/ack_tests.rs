#![allow(clippy::unwrap_used)]

use super::*;

fn range(first: u64, last: u64) -> AckRange {
    AckRange { first, last }
}

/// A payload from its fields: largest, range count, reserved, first length, then gaps and lengths.
fn payload(out: &mut [u8; 64], largest: u64, count: u16, reserved: u16, lens: &[u32]) -> usize {
    out[..8].copy_from_slice(&largest.to_be_bytes());
    out[8..16].fill(0);
    out[16..18].copy_from_slice(&count.to_be_bytes());
    out[18..20].copy_from_slice(&reserved.to_be_bytes());
    for (len, place) in lens.iter().zip(out[20..].chunks_exact_mut(4)) {
        place.copy_from_slice(&len.to_be_bytes());
    }
    20 + 4 * lens.len()
}

#[test]
fn ranges_come_back_from_newest_to_oldest() {
    let ranges = [range(98, 100), range(50, 50), range(0, 40)];
    let mut out = [0xaa; 64];
    assert_eq!(write_payload(&mut out, 7, 3, ranges, 10), Some((40, 3)));
    assert_eq!(out[40], 0xaa);
    let ack = AckFrame::parse(&out[..40]).unwrap();
    assert_eq!((ack.largest(), ack.delay_us(), ack.ce_count(), ack.range_count()), (100, 7, 3, 3));
    assert_eq!(ack.ranges().len(), 3);
    assert!(ack.ranges().eq(ranges));
}

#[test]
fn each_rule_has_its_reason() {
    let cases: [(u64, u16, u16, &[u32], Reject); 11] = [
        (9, 0, 0, &[1], Reject::AckRangeCountZero),
        (9, 1, 1, &[1], Reject::FrameReservedNotZero),
        (9, 2, 0, &[1], Reject::AckLength),
        (9, 1, 0, &[1, 1], Reject::AckLength),
        (9, 1, 0, &[1, 1, 1], Reject::AckLength),
        (9, 1, 0, &[0], Reject::AckRangeEmpty),
        (9, 1, 0, &[11], Reject::AckUnderflow),
        (9, 2, 0, &[1, 0, 1], Reject::AckGapEmpty),
        (9, 2, 0, &[1, 1, 0], Reject::AckRangeEmpty),
        (9, 2, 0, &[1, 1, 9], Reject::AckUnderflow),
        (9, 2, 0, &[1, 9, 1], Reject::AckUnderflow),
    ];
    let mut bytes = [0; 64];
    for (largest, count, reserved, lens, reject) in cases {
        let length = payload(&mut bytes, largest, count, reserved, lens);
        assert_eq!(AckFrame::parse(&bytes[..length]), Err(reject), "{lens:?}");
    }
    for (lens, oldest) in [(&[10_u32] as &[u32], 0), (&[1, 1, 8], 0), (&[1, 8, 1], 0), (&[2, 3, 2], 3)] {
        let length = payload(&mut bytes, 9, lens.len().div_ceil(2) as u16, 0, lens);
        assert_eq!(AckFrame::parse(&bytes[..length]).unwrap().ranges().last().unwrap().first, oldest);
    }
    for length in 0..24 {
        assert_eq!(AckFrame::parse(&bytes[..length]), Err(Reject::AckLength));
    }
}

#[test]
fn the_writer_keeps_the_newest_that_fit() {
    let ranges = || (0..20_u64).map(|i| range(1000 - 10 * i, 1005 - 10 * i));
    let mut out = [0; 64];
    assert_eq!(write_payload(&mut out[..23], 0, 0, ranges(), 9), None);
    assert_eq!(write_payload(&mut out[..31], 0, 0, ranges(), 9), Some((24, 1)));
    assert_eq!(write_payload(&mut out, 0, 0, ranges(), 9), Some((64, 6)));
    assert_eq!(write_payload(&mut out, 0, 0, ranges(), 3), Some((40, 3)));
    assert!(AckFrame::parse(&out[..40]).unwrap().ranges().eq(ranges().take(3)));
    assert_eq!(write_payload(&mut out, 0, 0, ranges(), 0), Some((24, 1)));
}

#[test]
fn the_writer_stops_before_ranges_that_are_no_ranges() {
    let mut out = [0; 64];
    let mut written = |ranges: &[AckRange]| write_payload(&mut out, 0, 0, ranges.iter().copied(), 9);
    assert_eq!(written(&[]), None);
    assert_eq!(written(&[range(2, 1)]), None);
    assert_eq!(written(&[range(5, 9), range(2, 4)]), Some((24, 1)), "touching");
    assert_eq!(written(&[range(5, 9), range(2, 7)]), Some((24, 1)), "overlapping");
    assert_eq!(written(&[range(5, 9), range(20, 30)]), Some((24, 1)), "ascending");
    assert_eq!(written(&[range(5, 9), range(3, 2)]), Some((24, 1)), "empty");
    assert_eq!(written(&[range(5, 9), range(2, 3)]), Some((32, 2)));
}

#[test]
fn ranges_and_gaps_beyond_32_bits_are_cut() {
    const FAR: u64 = 1 << 32;
    let mut out = [0; 64];
    let long = [range(10, FAR + 10), range(0, 5)];
    assert_eq!(write_payload(&mut out, 0, 0, long, 9), Some((24, 1)));
    assert!(AckFrame::parse(&out[..24]).unwrap().ranges().eq([range(12, FAR + 10)]));
    let apart = [range(FAR + 10, FAR + 10), range(0, 5)];
    assert_eq!(write_payload(&mut out, 0, 0, apart, 9), Some((24, 1)));
    assert_eq!(write_payload(&mut out, 0, 0, [range(0, u64::MAX)], 9), Some((24, 1)));
    assert_eq!(range(0, u64::MAX).packets(), u64::MAX);
    assert!(range(3, 4).contains(4) && !range(3, 4).contains(5));
}
