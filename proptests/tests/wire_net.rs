//! XDP-5: Ethernet, IP and UDP headers, read and written. The oracle reads and sums byte by byte.

use proptest::collection::vec;
use proptest::prelude::*;
use wirehaul_core::wire::net::{Checksum, NetReject, parse_udp};
use wirehaul_proptests::choices::Choices;
use wirehaul_proptests::frames::{self, Frame};
use wirehaul_proptests::mutate::mutate;

proptest! {
    #![proptest_config(ProptestConfig { cases: 3000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn what_networks_carry_is_read_and_written(bytes in vec(any::<u8>(), 0..200)) {
        let frame = Frame::draw(&mut Choices::Bytes(&bytes));
        let bytes = frame.bytes();
        prop_assert_eq!(frames::read_and_write(&bytes), Ok(()));
        let packet = parse_udp(&bytes).unwrap();
        prop_assert_eq!(&bytes[packet.payload], &frame.payload[..]);
        prop_assert_eq!((packet.source.ip(), packet.destination.ip()), (frame.source, frame.destination));
        prop_assert_eq!((packet.source.port(), packet.destination.port()), frame.ports);
        prop_assert_eq!(packet.ecn, frame.ecn);
        prop_assert_eq!(packet.vlan, frame.tags.first().map(|(_, control)| control & 0xfff));
    }

    #[test]
    fn a_frame_cut_short_is_refused(bytes in vec(any::<u8>(), 0..200), cut in any::<prop::sample::Index>()) {
        let frame = Frame { padding: 0, ..Frame::draw(&mut Choices::Bytes(&bytes)) }.bytes();
        prop_assert!(frames::read_and_write(&frame[..cut.index(frame.len())]).is_err());
    }

    #[test]
    fn any_bytes_are_read_as_byte_by_byte(bytes in vec(any::<u8>(), 0..200)) {
        let _ = frames::read_and_write(&bytes);
    }

    #[test]
    fn sums_are_as_word_by_word(bytes in vec(any::<u8>(), 0..4000), cut in any::<prop::sample::Index>()) {
        let (front, back) = bytes.split_at(cut.index(bytes.len() + 1) & !1);
        let sum = Checksum::new().over(front).over(back).finish();
        prop_assert_eq!(sum, frames::checksum(&bytes));
    }
}

/// Damaged over and over, frames break every rule, and nothing else happens.
#[test]
fn damaged_frames_break_every_rule() {
    let mut choices = Choices::Seeded(20_261_121);
    let valid: Vec<_> = (0..500).map(|_| Frame::draw(&mut choices).bytes()).collect();
    let mut broken = [0_u32; NetReject::COUNT];
    for _ in 0..400_000 {
        let mut bytes = valid[choices.below(valid.len())].clone();
        let other = &valid[choices.below(valid.len())];
        mutate(&mut choices, &mut bytes, other);
        // An IPv4 header is only looked into once its checksum matches, which hardly any damage leaves alone.
        if choices.below(2) == 0 {
            mend(&mut bytes);
        }
        if let Err(reject) = frames::read_and_write(&bytes) {
            broken[reject as usize] += 1;
        }
    }
    let missed: Vec<_> = NetReject::ALL.into_iter().filter(|reject| broken[*reject as usize] == 0).collect();
    // Six bytes of a mapped address do not come about by chance; the unit tests have them.
    assert_eq!(missed, [NetReject::Ipv6Mapped]);
}

/// Makes the checksum of an IPv4 header behind at most one tag right.
fn mend(frame: &mut [u8]) {
    let start = if frame.get(12..14) == Some(&[0x08, 0x00]) { 14 } else { 18 };
    let length = frame.get(start).map_or(0, |byte| usize::from(byte & 0xf) * 4);
    if let Some(header) = frame.get_mut(start..start + length).filter(|header| header.len() >= 20) {
        header[10..12].fill(0);
        let sum = frames::checksum(header);
        header[10..12].copy_from_slice(&sum.to_be_bytes());
    }
}
