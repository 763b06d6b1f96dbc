//! ARP for IPv4 on Ethernet (RFC 826).

use core::net::Ipv4Addr;

use zerocopy::byteorder::big_endian::U16;
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

use super::MacAddress;
use super::ether::{self, TYPE_ARP, TYPE_IPV4, ether_bytes};

/// Bytes of a packet for IPv4 on Ethernet.
pub(crate) const ARP_BYTES: usize = 28;

const HARDWARE_ETHERNET: u16 = 1;
const REQUEST: u16 = 1;
const REPLY: u16 = 2;

#[derive(Clone, Copy, FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
struct ArpPacket {
    hardware: U16,
    protocol: U16,
    hardware_bytes: u8,
    protocol_bytes: u8,
    operation: U16,
    sender_hardware: [u8; 6],
    sender: [u8; 4],
    target_hardware: [u8; 6],
    target: [u8; 4],
}

const _: () = assert!(size_of::<ArpPacket>() == ARP_BYTES);

/// Why an ARP packet tells nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ArpReject {
    /// It is not whole, not for IPv4 on Ethernet, or its sender is no single host.
    Malformed,
    /// It is not a reply.
    NotReply,
}

/// Reads a reply: who says that it has which address.
pub(crate) fn parse_reply(packet: &[u8]) -> Result<(Ipv4Addr, MacAddress), ArpReject> {
    let (packet, _) = ArpPacket::ref_from_prefix(packet).map_err(|_| ArpReject::Malformed)?;
    let is_ours = packet.hardware.get() == HARDWARE_ETHERNET
        && packet.protocol.get() == TYPE_IPV4
        && (packet.hardware_bytes, packet.protocol_bytes) == (6, 4);
    let (ip, mac) = (Ipv4Addr::from(packet.sender), MacAddress(packet.sender_hardware));
    if !is_ours || !super::ip::is_one_host(ip.into()) || !mac.is_one_interface() {
        return Err(ArpReject::Malformed);
    }
    if packet.operation.get() != REPLY { Err(ArpReject::NotReply) } else { Ok((ip, mac)) }
}

/// Writes a frame that asks everybody who has `target`; returns its length. `None` where there is no room, or the VLAN's id
/// is above 4095.
pub(crate) fn write_request(
    out: &mut [u8],
    mac: MacAddress,
    vlan: Option<u16>,
    source: Ipv4Addr,
    target: Ipv4Addr,
) -> Option<usize> {
    let (header, packet) = out.split_at_mut_checked(ether_bytes(vlan))?;
    ether::write(header, mac, MacAddress::BROADCAST, vlan, TYPE_ARP)?;
    let request = ArpPacket {
        hardware: U16::new(HARDWARE_ETHERNET),
        protocol: U16::new(TYPE_IPV4),
        hardware_bytes: 6,
        protocol_bytes: 4,
        operation: U16::new(REQUEST),
        sender_hardware: mac.0,
        sender: source.octets(),
        target_hardware: [0; 6],
        target: target.octets(),
    };
    request.write_to_prefix(packet).ok()?;
    Some(ether_bytes(vlan) + ARP_BYTES)
}

#[cfg(test)]
mod tests {
    use super::*;

    const REQUEST_FRAME: [u8; 42] = [
        0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 2, 0, 0, 0, 0, 1, 0x08, 0x06, // Ethernet
        0, 1, 0x08, 0, 6, 4, 0, 1, 2, 0, 0, 0, 0, 1, 10, 0, 0, 1, 0, 0, 0, 0, 0, 0, 10, 0, 0, 2, // ARP
    ];

    /// What 10.0.0.2 answers.
    const REPLY_PACKET: [u8; 28] =
        [0, 1, 0x08, 0, 6, 4, 0, 2, 2, 0, 0, 0, 0, 2, 10, 0, 0, 2, 2, 0, 0, 0, 0, 1, 10, 0, 0, 1];

    #[test]
    fn a_request_asks_everybody() {
        let (mac, ends) = (MacAddress([2, 0, 0, 0, 0, 1]), [Ipv4Addr::new(10, 0, 0, 1), Ipv4Addr::new(10, 0, 0, 2)]);
        let mut out = [0; 60];
        assert_eq!(write_request(&mut out, mac, None, ends[0], ends[1]), Some(42));
        assert_eq!(out[..42], REQUEST_FRAME);
        assert_eq!(write_request(&mut out, mac, Some(7), ends[0], ends[1]), Some(46));
        assert_eq!(out[12..18], [0x81, 0, 0, 7, 0x08, 0x06]);
        assert_eq!(out[18..46], REQUEST_FRAME[14..]);
        assert_eq!(write_request(&mut out[..45], mac, Some(7), ends[0], ends[1]), None);
        assert_eq!(write_request(&mut out, mac, Some(4096), ends[0], ends[1]), None);
    }

    #[test]
    fn each_rule_for_replies_has_a_packet_that_breaks_it() {
        let kept = Ok((Ipv4Addr::new(10, 0, 0, 2), MacAddress([2, 0, 0, 0, 0, 2])));
        assert_eq!(parse_reply(&REPLY_PACKET), kept);
        let cases: [(usize, &[u8], ArpReject); 10] = [
            (0, &[0, 6], ArpReject::Malformed),
            (2, &[0x86, 0xdd], ArpReject::Malformed),
            (4, &[8], ArpReject::Malformed),
            (5, &[16], ArpReject::Malformed),
            (6, &[0, 1], ArpReject::NotReply),
            (6, &[0, 4], ArpReject::NotReply),
            (8, &[0; 6], ArpReject::Malformed),
            (8, &[0xff; 6], ArpReject::Malformed),
            (8, &[3, 0, 0, 0, 0, 2], ArpReject::Malformed),
            (14, &[224, 0, 0, 1], ArpReject::Malformed),
        ];
        for (at, bytes, reject) in cases {
            let mut packet = REPLY_PACKET;
            packet[at..at + bytes.len()].copy_from_slice(bytes);
            assert_eq!(parse_reply(&packet), Err(reject), "{at} {bytes:?}");
        }
        (0..28).for_each(|cut| assert_eq!(parse_reply(&REPLY_PACKET[..cut]), Err(ArpReject::Malformed), "{cut}"));
    }
}
