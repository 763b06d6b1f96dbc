//! FRAME-3, FRAME-5 and SEC-4 for whole datagrams: headers, handshake bodies and transport parameters.

use proptest::collection::vec;
use proptest::prelude::*;
use wirehaul_core::wire::{PacketHeader, PacketKind, TransportParameters};
use wirehaul_proptests::choices::Choices;
use wirehaul_proptests::{oracle, packets};

proptest! {
    #![proptest_config(ProptestConfig { cases: 3000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn datagrams_of_every_kind_are_accepted_as_written(kind in 0_usize..7, bytes in vec(any::<u8>(), 0..300)) {
        let kind = packets::KINDS[kind];
        let datagram = packets::draw_kind(&mut Choices::Bytes(&bytes), kind);
        prop_assert_eq!(oracle::packet(&datagram), Ok(()));
        prop_assert_eq!(PacketHeader::parse(&datagram).map(|(header, at)| (header.kind, at)), Ok((kind, 12)));
        prop_assert!(kind != PacketKind::Init || datagram.len() >= 1200);
    }

    #[test]
    fn any_bytes_are_read_without_harm(bytes in vec(any::<u8>(), 0..1300), kind in 0_u8..0x12) {
        let _ = oracle::packet(&bytes);
        let mut plausible = bytes;
        if let Some(start) = plausible.get_mut(..4) {
            start.copy_from_slice(&[kind, 0, 0, 0]);
        }
        let _ = oracle::packet(&plausible);
    }

    #[test]
    fn a_header_that_is_written_is_read_and_no_other(
        kind in 0_usize..7, flags in 0_u8..2, receiver in 0_u32..3, packet_number_low in 0_u32..3,
    ) {
        let kind = packets::KINDS[kind];
        let flags = wirehaul_core::wire::PacketFlags::from_bits_truncate(flags);
        let header = PacketHeader { kind, flags, receiver, packet_number_low };
        let mut datagram = [0; 44];
        match header.write(&mut datagram) {
            Some(_) => prop_assert_eq!(PacketHeader::parse(&datagram), Ok((header, 12))),
            None => {
                datagram[..8].copy_from_slice(&[kind as u8, flags.bits(), 0, 0, 0, 0, 0, receiver as u8]);
                datagram[11] = packet_number_low as u8;
                prop_assert!(PacketHeader::parse(&datagram).is_err());
            }
        }
    }

    #[test]
    fn parameters_are_read_as_written(bytes in vec(any::<u8>(), 0..100)) {
        let parameters = packets::parameters(&mut Choices::Bytes(&bytes));
        let written = parameters.to_bytes();
        prop_assert_eq!(written.map(|bytes| TransportParameters::parse(&bytes)), Some(Ok(parameters)));
    }
}
