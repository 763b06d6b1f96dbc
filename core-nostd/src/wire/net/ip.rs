//! IPv4 (RFC 791) and IPv6 (RFC 8200) headers.

use core::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use zerocopy::byteorder::big_endian::{U16, U32};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

use super::ether::{TYPE_IPV4, TYPE_IPV6};
use super::{Checksum, NetReject};

/// Bytes of an IPv4 header without options.
pub(crate) const IPV4_BYTES: usize = 20;
/// Bytes of an IPv6 header.
pub(crate) const IPV6_BYTES: usize = 40;

/// ICMP's number among the protocols that IP carries (RFC 792).
pub(crate) const PROTOCOL_ICMP: u8 = 1;
/// TCP's number (RFC 9293).
pub(crate) const PROTOCOL_TCP: u8 = 6;
/// UDP's number (RFC 768).
pub(crate) const PROTOCOL_UDP: u8 = 17;
/// ICMPv6's number (RFC 4443).
pub(crate) const PROTOCOL_ICMPV6: u8 = 58;
/// The version and the length of an IPv4 header without options, as its first byte has them.
pub(crate) const IPV4_PLAIN: u8 = 4 << 4 | (IPV4_BYTES / 4) as u8;
/// The version 6 in front of traffic class and flow label.
pub(crate) const IPV6_VERSION: u32 = 6 << 28;
/// The flow label's bits (RFC 6437).
pub(crate) const FLOW_LABEL_MASK: u32 = 0xf_ffff;
/// The routers' choice: do not fragment.
pub(crate) const DONT_FRAGMENT: u16 = 0x4000;
/// The bits of a fragment: more of them follow, and an offset that is not zero.
pub(crate) const FRAGMENT_MASK: u16 = 0x3fff;
/// The ECN field in what IPv4 calls type of service and IPv6 traffic class (RFC 3168 section 5).
const ECN_MASK: u8 = 0b11;

#[derive(Clone, Copy, FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
pub(crate) struct Ipv4Header {
    /// Version (4 bits), header length in units of four bytes (4 bits).
    pub(crate) version_length: u8,
    pub(crate) service: u8,
    pub(crate) total_length: U16,
    pub(crate) id: U16,
    /// Flags (3 bits), fragment offset (13 bits).
    pub(crate) fragment: U16,
    pub(crate) time_to_live: u8,
    pub(crate) protocol: u8,
    pub(crate) checksum: U16,
    pub(crate) source: [u8; 4],
    pub(crate) destination: [u8; 4],
}

#[derive(Clone, Copy, FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
pub(crate) struct Ipv6Header {
    /// Version (4 bits), traffic class (8 bits), flow label (20 bits).
    pub(crate) version_class_flow: U32,
    pub(crate) payload_length: U16,
    pub(crate) next_header: u8,
    pub(crate) hop_limit: u8,
    pub(crate) source: [u8; 16],
    pub(crate) destination: [u8; 16],
}

const _: () = assert!(size_of::<Ipv4Header>() == IPV4_BYTES && size_of::<Ipv6Header>() == IPV6_BYTES);

/// What a packet's header says.
pub(crate) struct Ip {
    pub(crate) source: IpAddr,
    pub(crate) destination: IpAddr,
    /// The ECN field, 0 to 3.
    pub(crate) ecn: u8,
    /// What comes directly behind the header.
    pub(crate) protocol: u8,
    /// How many routers could still have passed it on: IPv4's time to live, IPv6's hop limit.
    pub(crate) hop_limit: u8,
}

impl Ip {
    /// Reads the header of a packet in a frame of EtherType `kind` that carries a protocol that `is_wanted`; returns it and
    /// its payload, without padding.
    #[inline]
    pub(crate) fn parse(kind: u16, packet: &[u8], is_wanted: impl Fn(u8) -> bool) -> Result<(Self, &[u8]), NetReject> {
        let (ip, payload) = match kind {
            TYPE_IPV4 => parse_ipv4(packet, is_wanted)?,
            TYPE_IPV6 => parse_ipv6(packet, is_wanted)?,
            _ => return Err(NetReject::EtherType),
        };
        if !is_one_host(ip.source) {
            return Err(NetReject::SourceAddress);
        }
        Ok((ip, payload))
    }
}

#[inline]
fn parse_ipv4(packet: &[u8], is_wanted: impl Fn(u8) -> bool) -> Result<(Ip, &[u8]), NetReject> {
    let (header, _) = Ipv4Header::ref_from_prefix(packet).map_err(|_| NetReject::Ipv4Truncated)?;
    if header.version_length >> 4 != 4 {
        return Err(NetReject::Ipv4Version);
    }
    let header_length = usize::from(header.version_length & 0xf) * 4;
    if header_length < IPV4_BYTES {
        return Err(NetReject::Ipv4HeaderLength);
    }
    let (plain, options) = packet.split_first_chunk::<IPV4_BYTES>().ok_or(NetReject::Ipv4Truncated)?;
    let options = options.get(..header_length - IPV4_BYTES).ok_or(NetReject::Ipv4Truncated)?;
    let sum = Checksum::new().over_header(plain);
    let sum = if options.is_empty() { sum } else { sum.over(options) };
    if sum.finish() != 0 {
        return Err(NetReject::Ipv4Checksum);
    }
    let total_length = usize::from(header.total_length.get());
    let payload = packet.get(header_length..total_length).ok_or(NetReject::Ipv4Length)?;
    if header.fragment.get() & FRAGMENT_MASK != 0 {
        return Err(NetReject::Ipv4Fragment);
    }
    if !is_wanted(header.protocol) {
        return Err(NetReject::IpProtocol);
    }
    let ip = Ip {
        source: Ipv4Addr::from(header.source).into(),
        destination: Ipv4Addr::from(header.destination).into(),
        ecn: header.service & ECN_MASK,
        protocol: header.protocol,
        hop_limit: header.time_to_live,
    };
    Ok((ip, payload))
}

#[inline]
fn parse_ipv6(packet: &[u8], is_wanted: impl Fn(u8) -> bool) -> Result<(Ip, &[u8]), NetReject> {
    let (header, rest) = Ipv6Header::ref_from_prefix(packet).map_err(|_| NetReject::Ipv6Truncated)?;
    let version_class_flow = header.version_class_flow.get();
    if version_class_flow >> 28 != 6 {
        return Err(NetReject::Ipv6Version);
    }
    let payload = rest.get(..usize::from(header.payload_length.get())).ok_or(NetReject::Ipv6Length)?;
    if !is_wanted(header.next_header) {
        return Err(NetReject::IpProtocol);
    }
    let (source, destination) = (Ipv6Addr::from(header.source), Ipv6Addr::from(header.destination));
    // It would be taken for the IPv4 host itself. Linux drops such packets too (`ip6_rcv_core`, net/ipv6/ip6_input.c).
    if source.to_ipv4_mapped().is_some() || destination.to_ipv4_mapped().is_some() {
        return Err(NetReject::Ipv6Mapped);
    }
    let ip = Ip {
        source: source.into(),
        destination: destination.into(),
        ecn: (version_class_flow >> 20) as u8 & ECN_MASK,
        protocol: header.next_header,
        hop_limit: header.hop_limit,
    };
    Ok((ip, payload))
}

/// Whether an answer to this address reaches at most one host.
#[inline]
pub(crate) fn is_one_host(address: IpAddr) -> bool {
    let is_broadcast = matches!(address, IpAddr::V4(address) if address.is_broadcast());
    !(address.is_unspecified() || address.is_multicast() || is_broadcast)
}

/// Where a packet comes from and goes to, in one family.
#[derive(Clone, Copy)]
pub(super) enum Ends {
    V4(Ipv4Addr, Ipv4Addr),
    V6(Ipv6Addr, Ipv6Addr),
}

impl Ends {
    /// Mapped IPv4 addresses count as IPv4. `None` where the families differ.
    #[inline]
    pub(super) fn new(source: IpAddr, destination: IpAddr) -> Option<Self> {
        match (source.to_canonical(), destination.to_canonical()) {
            (IpAddr::V4(source), IpAddr::V4(destination)) => Some(Self::V4(source, destination)),
            (IpAddr::V6(source), IpAddr::V6(destination)) => Some(Self::V6(source, destination)),
            _ => None,
        }
    }

    /// The EtherType of a frame that carries the packet.
    pub(super) const fn ether_type(self) -> u16 {
        match self {
            Self::V4(..) => TYPE_IPV4,
            Self::V6(..) => TYPE_IPV6,
        }
    }

    /// Bytes of the header.
    pub(super) const fn bytes(self) -> usize {
        match self {
            Self::V4(..) => IPV4_BYTES,
            Self::V6(..) => IPV6_BYTES,
        }
    }

    /// The sum over the pseudo header of a datagram of `length` bytes (RFC 768, RFC 8200 8.1).
    #[inline]
    pub(super) fn pseudo_header(self, length: u16) -> Checksum {
        let sum = match self {
            Self::V4(source, destination) => {
                Checksum::new().over_header(&source.octets()).over_header(&destination.octets())
            }
            Self::V6(source, destination) => {
                Checksum::new().over_header(&source.octets()).over_header(&destination.octets())
            }
        };
        let [high, low] = length.to_be_bytes();
        sum.over_header(&[0, 0, high, low, 0, 0, 0, PROTOCOL_UDP])
    }

    /// Writes a header over all of `out`, which has [`Ends::bytes`]; `None` where it has not, or the payload is too long.
    #[inline]
    pub(super) fn write(self, out: &mut [u8], payload_bytes: u16, ecn: u8, hop_limit: u8) -> Option<()> {
        match self {
            Self::V4(source, destination) => {
                let mut header = Ipv4Header {
                    version_length: IPV4_PLAIN,
                    service: ecn & ECN_MASK,
                    total_length: U16::new(payload_bytes.checked_add(IPV4_BYTES as u16)?),
                    // A datagram that no router may fragment needs no id (RFC 6864 section 4.1).
                    id: U16::ZERO,
                    fragment: U16::new(DONT_FRAGMENT),
                    time_to_live: hop_limit,
                    protocol: PROTOCOL_UDP,
                    checksum: U16::ZERO,
                    source: source.octets(),
                    destination: destination.octets(),
                };
                let bytes: &[u8; IPV4_BYTES] = zerocopy::transmute_ref!(&header);
                header.checksum = U16::new(Checksum::new().over_header(bytes).finish());
                header.write_to(out).ok()
            }
            Self::V6(source, destination) => Ipv6Header {
                version_class_flow: U32::new(IPV6_VERSION | u32::from(ecn & ECN_MASK) << 20),
                payload_length: U16::new(payload_bytes),
                next_header: PROTOCOL_UDP,
                hop_limit,
                source: source.octets(),
                destination: destination.octets(),
            }
            .write_to(out)
            .ok(),
        }
    }
}
