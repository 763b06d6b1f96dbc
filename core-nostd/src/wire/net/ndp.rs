//! Neighbour discovery: who has an IPv6 address on an Ethernet link (RFC 4861, RFC 2464).

use core::net::Ipv6Addr;

use zerocopy::byteorder::big_endian::{U16, U32};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

use super::ether::{self, TYPE_IPV6, ether_bytes};
use super::icmp::v6::{NEIGHBOUR_ADVERTISEMENT, NEIGHBOUR_SOLICITATION};
use super::ip::{IPV6_BYTES, IPV6_VERSION, Ip, Ipv6Header, PROTOCOL_ICMPV6};
use super::{Checksum, MacAddress};

/// Bytes of a solicitation or an advertisement without options.
const NEIGHBOUR_BYTES: usize = 24;
/// Bytes of an option that holds an Ethernet address.
const LINK_ADDRESS_BYTES: usize = 8;
/// Options count their length in units of so many bytes.
const OPTION_UNIT: usize = 8;
const SOURCE_LINK_ADDRESS: u8 = 1;
const TARGET_LINK_ADDRESS: u8 = 2;
/// What no router has passed on: only hosts on the link can send it (RFC 4861 section 3.1).
pub(crate) const NEIGHBOUR_HOP_LIMIT: u8 = 255;

/// A solicitation or an advertisement; options follow.
#[derive(Clone, Copy, FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
struct Neighbour {
    kind: u8,
    code: u8,
    checksum: U16,
    /// Router, solicited, override, and reserved bits.
    flags: U32,
    target: [u8; 16],
}

#[derive(Clone, Copy, FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
struct LinkAddress {
    kind: u8,
    /// In units of eight bytes.
    length: u8,
    mac: [u8; 6],
}

/// All of a solicitation.
#[derive(Clone, Copy, FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
struct Solicitation {
    ip: Ipv6Header,
    neighbour: Neighbour,
    source_mac: LinkAddress,
}

const SOLICITATION_BYTES: usize = IPV6_BYTES + NEIGHBOUR_BYTES + LINK_ADDRESS_BYTES;

const _: () = assert!(size_of::<Neighbour>() == NEIGHBOUR_BYTES && size_of::<Solicitation>() == SOLICITATION_BYTES);

/// Why an advertisement tells nothing (RFC 4861 section 7.1.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum NdpReject {
    /// A router passed it on.
    HopLimit,
    /// Its checksum is wrong.
    Checksum,
    /// It is not whole, its options are not, or its target is no single host.
    Malformed,
    /// It says no link-layer address.
    NoLinkAddress,
}

/// The sum over the pseudo header of `length` bytes of ICMPv6 (RFC 8200 8.1).
#[inline]
pub(crate) fn pseudo_header(source: [u8; 16], destination: [u8; 16], length: u32) -> Checksum {
    let addresses = Checksum::new().over_header(&source).over_header(&destination);
    addresses.over_u32(length).over_u16(u16::from(PROTOCOL_ICMPV6))
}

/// Reads an advertisement, whose header is that of `ip`: which address it is about, and the link-layer address of that.
pub(crate) fn parse_advertisement(ip: &Ip, message: &[u8]) -> Result<(Ipv6Addr, MacAddress), NdpReject> {
    if ip.hop_limit != NEIGHBOUR_HOP_LIMIT {
        return Err(NdpReject::HopLimit);
    }
    let (core::net::IpAddr::V6(source), core::net::IpAddr::V6(destination)) = (ip.source, ip.destination) else {
        return Err(NdpReject::Malformed);
    };
    let length = u32::try_from(message.len()).map_err(|_| NdpReject::Malformed)?;
    if pseudo_header(source.octets(), destination.octets(), length).over(message).finish() != 0 {
        return Err(NdpReject::Checksum);
    }
    let (header, mut options) = Neighbour::ref_from_prefix(message).map_err(|_| NdpReject::Malformed)?;
    let target = Ipv6Addr::from(header.target);
    let is_mapped = target.to_ipv4_mapped().is_some();
    if header.kind != NEIGHBOUR_ADVERTISEMENT || header.code != 0 || is_mapped || !super::ip::is_one_host(target.into())
    {
        return Err(NdpReject::Malformed);
    }
    let mut found = None;
    // Each turn takes at least eight bytes: an option of length zero is refused.
    while let Some([kind, units, ..]) = options.get(..OPTION_UNIT) {
        let length = usize::from(*units) * OPTION_UNIT;
        if length == 0 || length > options.len() {
            return Err(NdpReject::Malformed);
        }
        if *kind == TARGET_LINK_ADDRESS {
            let (option, _) = LinkAddress::ref_from_prefix(options).map_err(|_| NdpReject::Malformed)?;
            found = found.or(Some(MacAddress(option.mac)).filter(|mac| mac.is_one_interface()));
        }
        options = options.get(length..).unwrap_or_default();
    }
    if !options.is_empty() {
        return Err(NdpReject::Malformed);
    }
    found.map(|mac| (target, mac)).ok_or(NdpReject::NoLinkAddress)
}

/// Writes a frame that asks the hosts that may have `target` who has it; returns its length. `None` where there is no room,
/// or the VLAN's id is above 4095.
pub(crate) fn write_solicitation(
    out: &mut [u8],
    mac: MacAddress,
    vlan: Option<u16>,
    source: Ipv6Addr,
    target: Ipv6Addr,
) -> Option<usize> {
    let (header, packet) = out.split_at_mut_checked(ether_bytes(vlan))?;
    let group = solicited_node(target);
    ether::write(header, mac, group_mac(group), vlan, TYPE_IPV6)?;
    let length = (NEIGHBOUR_BYTES + LINK_ADDRESS_BYTES) as u16;
    let mut solicitation = Solicitation {
        ip: Ipv6Header {
            version_class_flow: U32::new(IPV6_VERSION),
            payload_length: U16::new(length),
            next_header: PROTOCOL_ICMPV6,
            hop_limit: NEIGHBOUR_HOP_LIMIT,
            source: source.octets(),
            destination: group.octets(),
        },
        neighbour: Neighbour {
            kind: NEIGHBOUR_SOLICITATION,
            code: 0,
            checksum: U16::ZERO,
            flags: U32::ZERO,
            target: target.octets(),
        },
        source_mac: LinkAddress { kind: SOURCE_LINK_ADDRESS, length: 1, mac: mac.0 },
    };
    let sum = pseudo_header(source.octets(), group.octets(), u32::from(length));
    let sum = sum.over(solicitation.neighbour.as_bytes()).over(solicitation.source_mac.as_bytes());
    solicitation.neighbour.checksum = U16::new(sum.finish());
    solicitation.write_to_prefix(packet).ok()?;
    Some(ether_bytes(vlan) + SOLICITATION_BYTES)
}

/// The group that every host with this address is in, with few others (RFC 4291 section 2.7.1).
const fn solicited_node(target: Ipv6Addr) -> Ipv6Addr {
    let low = target.to_bits() & 0xff_ffff;
    Ipv6Addr::from_bits(0xff02_0000_0000_0000_0000_0001_ff00_0000 | low)
}

/// The Ethernet address of an IPv6 group (RFC 2464 section 7).
const fn group_mac(group: Ipv6Addr) -> MacAddress {
    let [.., a, b, c, d] = group.octets();
    MacAddress([0x33, 0x33, a, b, c, d])
}

#[cfg(test)]
mod tests {
    use core::net::IpAddr;

    use super::*;

    const TARGET: &str = "2001:db8::7";

    /// What the target says to 2001:db8::1, options from byte 24 on.
    fn advertisement<const N: usize>(options: [u8; N]) -> heapless::Vec<u8, 80> {
        let mut message = heapless::Vec::new();
        message.extend_from_slice(&[136, 0, 0, 0, 0x60, 0, 0, 0]).unwrap();
        message.extend_from_slice(&TARGET.parse::<Ipv6Addr>().unwrap().octets()).unwrap();
        message.extend_from_slice(&options).unwrap();
        message
    }

    fn header() -> Ip {
        Ip {
            source: TARGET.parse().unwrap(),
            destination: "2001:db8::1".parse().unwrap(),
            ecn: 0,
            protocol: PROTOCOL_ICMPV6,
            hop_limit: 255,
        }
    }

    /// Reads it with its checksum made right.
    fn read(message: &[u8]) -> Result<(Ipv6Addr, MacAddress), NdpReject> {
        let mut message = heapless::Vec::<u8, 80>::from_slice(message).unwrap();
        let octets = |ip| match ip {
            IpAddr::V6(ip) => Ipv6Addr::octets(&ip),
            IpAddr::V4(_) => unreachable!("the header is IPv6"),
        };
        let ip = header();
        if let Some(field) = message.get_mut(2..4) {
            field.fill(0);
            let sum = pseudo_header(octets(ip.source), octets(ip.destination), message.len() as u32).over(&message);
            message[2..4].copy_from_slice(&sum.finish().to_be_bytes());
        }
        parse_advertisement(&ip, &message)
    }

    const LINK: [u8; 8] = [2, 1, 2, 0, 0, 0, 0, 7];

    #[test]
    fn the_address_is_that_of_the_option() {
        let found = Ok((TARGET.parse().unwrap(), MacAddress([2, 0, 0, 0, 0, 7])));
        assert_eq!(read(&advertisement(LINK)), found);
        let mut behind = [1; 24];
        behind[..2].copy_from_slice(&[14, 2]);
        behind[16..].copy_from_slice(&LINK);
        assert_eq!(read(&advertisement(behind)), found, "behind another option");
    }

    #[test]
    fn each_rule_has_a_message_that_breaks_it() {
        assert_eq!(read(&advertisement([])), Err(NdpReject::NoLinkAddress));
        assert_eq!(read(&advertisement([1, 1, 2, 0, 0, 0, 0, 7])), Err(NdpReject::NoLinkAddress));
        assert_eq!(read(&advertisement([2, 1, 3, 0, 0, 0, 0, 7])), Err(NdpReject::NoLinkAddress), "a group's");
        assert_eq!(read(&advertisement([2, 0, 2, 0, 0, 0, 0, 7])), Err(NdpReject::Malformed), "no length");
        assert_eq!(read(&advertisement([2, 2, 2, 0, 0, 0, 0, 7])), Err(NdpReject::Malformed), "beyond the end");
        assert_eq!(read(&advertisement([2, 1, 2, 0, 0, 0])), Err(NdpReject::Malformed), "cut");
        (4..24).for_each(|cut| assert_eq!(read(&advertisement(LINK)[..cut]), Err(NdpReject::Malformed), "{cut}"));
        let changes = [(0, 135), (1, 1), (8, 0xff)];
        for (at, value) in changes {
            let mut message = advertisement(LINK);
            message[at] = value;
            assert_eq!(read(&message), Err(NdpReject::Malformed), "{at}");
        }
    }

    #[test]
    fn what_a_router_passed_on_or_was_damaged_is_not_heard() {
        let mut message = advertisement(LINK);
        assert_eq!(parse_advertisement(&header(), &message), Err(NdpReject::Checksum));
        assert_eq!(parse_advertisement(&Ip { hop_limit: 254, ..header() }, &message), Err(NdpReject::HopLimit));
        // RFC 1071, word by word.
        message[2..4].copy_from_slice(&[0, 0]);
        let words =
            "2001 0db8 0000 0000 0000 0000 0000 0007 2001 0db8 0000 0000 0000 0000 0000 0001 0000 0020 0000 003a";
        let pseudo = words.split(' ').map(|word| u32::from_str_radix(word, 16).unwrap());
        let (pairs, _) = message.as_chunks::<2>();
        let mut sum = pseudo.chain(pairs.iter().map(|pair| u32::from(u16::from_be_bytes(*pair)))).sum::<u32>();
        while sum > 0xffff {
            sum = (sum & 0xffff) + (sum >> 16);
        }
        message[2..4].copy_from_slice(&(!(sum as u16)).to_be_bytes());
        assert!(parse_advertisement(&header(), &message).is_ok());
    }
}
