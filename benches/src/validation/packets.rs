//! Packets to parse, as they are once their tag was checked.

use wirehaul_core::limits::{PACKET_HEADER_BYTES, TAG_BYTES};
use wirehaul_core::wire::{AckRange, DataFlags, FrameWriter, PacketFlags, PacketHeader, PacketKind, StreamId};

/// A datagram with one small frame: the least of these with a payload worth its name.
pub const SMALL_BYTES: usize = 64;
/// A datagram that fills an MTU of 1500 bytes over IPv4.
pub const LARGE_BYTES: usize = 1472;
/// An ACK of three ranges, and DATA in what is left.
pub const MIXED_BYTES: usize = 300;

/// `count` packets of one DATA frame each, that fill `N` bytes.
pub fn data<const N: usize>(count: u64) -> Vec<[u8; N]> {
    (0..count).map(|number| packet(number, |writer| write_data(number, writer))).collect()
}

/// `count` packets with an ACK in front of their DATA.
pub fn ack_and_data(count: u64) -> Vec<[u8; MIXED_BYTES]> {
    let write = |number, writer: &mut FrameWriter<'_>| {
        let newest = 1000 + number;
        let ranges = [(8, 0), (20, 10), (900, 30)];
        let ranges = ranges.map(|(oldest, last)| AckRange { first: newest - oldest, last: newest - last });
        assert_eq!(writer.ack(77, 1, ranges, ranges.len()), Some(3));
        write_data(number, writer);
    };
    (0..count).map(|number| packet(number, |writer| write(number, writer))).collect()
}

fn write_data(number: u64, writer: &mut FrameWriter<'_>) {
    let len = writer.payload_room();
    let payload = writer.data_header(StreamId::FIRST, number * len as u64, DataFlags::empty(), len);
    assert!(payload.is_some_and(|payload| payload.len() == len));
}

fn packet<const N: usize>(number: u64, write: impl FnOnce(&mut FrameWriter<'_>)) -> [u8; N] {
    let mut datagram = [0; N];
    let header = PacketHeader {
        kind: PacketKind::Protected,
        flags: PacketFlags::empty(),
        receiver: 0x0102_0304,
        packet_number_low: number as u32,
    };
    assert!(header.write(&mut datagram).is_some());
    let mut writer = FrameWriter::new(&mut datagram[PACKET_HEADER_BYTES..N - TAG_BYTES]);
    write(&mut writer);
    assert_eq!(writer.finish(), N - PACKET_HEADER_BYTES - TAG_BYTES);
    datagram
}
