//! IPv4 (RFC 791) and IPv6 (RFC 8200) headers of packets that carry UDP.

use core::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use zerocopy::byteorder::big_endian::{U16, U32};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

use super::ether::{TYPE_IPV4, TYPE_IPV6};
use super::{Checksum, NetReject};

/// Bytes of an IPv4 header without options.
pub(super) const IPV4_BYTES: usize = 20;
/// Bytes of an IPv6 header.
pub(super) const IPV6_BYTES: usize = 40;

/// UDP's number among the protocols that IP carries.
const PROTOCOL_UDP: u8 = 17;
/// The routers' choice: do not fragment.
const DONT_FRAGMENT: u16 = 0x4000;
/// The bits of a fragment: more of them follow, and an offset that is not zero.
const FRAGMENT_MASK: u16 = 0x3fff;
/// The ECN field in what IPv4 calls type of service and IPv6 traffic class (RFC 3168 section 5).
const ECN_MASK: u8 = 0b11;

#[derive(FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
struct Ipv4Header {
    /// Version (4 bits), header length in units of four bytes (4 bits).
    version_length: u8,
    service: u8,
    total_length: U16,
    id: U16,
    /// Flags (3 bits), fragment offset (13 bits).
    fragment: U16,
    time_to_live: u8,
    protocol: u8,
    checksum: U16,
    source: [u8; 4],
    destination: [u8; 4],
}

#[derive(FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
struct Ipv6Header {
    /// Version (4 bits), traffic class (8 bits), flow label (20 bits).
    version_class_flow: U32,
    payload_length: U16,
    next_header: u8,
    hop_limit: u8,
    source: [u8; 16],
    destination: [u8; 16],
}

const _: () = assert!(size_of::<Ipv4Header>() == IPV4_BYTES && size_of::<Ipv6Header>() == IPV6_BYTES);

/// What a packet's header says.
pub(super) struct Ip {
    pub(super) source: IpAddr,
    pub(super) destination: IpAddr,
    /// The ECN field, 0 to 3.
    pub(super) ecn: u8,
}

impl Ip {
    /// Reads the header of a packet in a frame of EtherType `kind`; returns it and its payload, without padding.
    #[inline]
    pub(super) fn parse(kind: u16, packet: &[u8]) -> Result<(Self, &[u8]), NetReject> {
        let (ip, payload) = match kind {
            TYPE_IPV4 => parse_ipv4(packet)?,
            TYPE_IPV6 => parse_ipv6(packet)?,
            _ => return Err(NetReject::EtherType),
        };
        if !is_one_host(ip.source) {
            return Err(NetReject::SourceAddress);
        }
        Ok((ip, payload))
    }
}

#[inline]
fn parse_ipv4(packet: &[u8]) -> Result<(Ip, &[u8]), NetReject> {
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
    if header.protocol != PROTOCOL_UDP {
        return Err(NetReject::IpProtocol);
    }
    let ip = Ip {
        source: Ipv4Addr::from(header.source).into(),
        destination: Ipv4Addr::from(header.destination).into(),
        ecn: header.service & ECN_MASK,
    };
    Ok((ip, payload))
}

#[inline]
fn parse_ipv6(packet: &[u8]) -> Result<(Ip, &[u8]), NetReject> {
    let (header, rest) = Ipv6Header::ref_from_prefix(packet).map_err(|_| NetReject::Ipv6Truncated)?;
    let version_class_flow = header.version_class_flow.get();
    if version_class_flow >> 28 != 6 {
        return Err(NetReject::Ipv6Version);
    }
    let payload = rest.get(..usize::from(header.payload_length.get())).ok_or(NetReject::Ipv6Length)?;
    if header.next_header != PROTOCOL_UDP {
        return Err(NetReject::IpProtocol);
    }
    let (source, destination) = (Ipv6Addr::from(header.source), Ipv6Addr::from(header.destination));
    // It would be taken for the IPv4 host itself. Linux drops such packets too (`ip6_rcv_core`, net/ipv6/ip6_input.c).
    if source.to_ipv4_mapped().is_some() || destination.to_ipv4_mapped().is_some() {
        return Err(NetReject::Ipv6Mapped);
    }
    let ip =
        Ip { source: source.into(), destination: destination.into(), ecn: (version_class_flow >> 20) as u8 & ECN_MASK };
    Ok((ip, payload))
}

/// Whether an answer to this address reaches at most one host.
#[inline]
fn is_one_host(address: IpAddr) -> bool {
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
                    version_length: 4 << 4 | (IPV4_BYTES / 4) as u8,
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
                version_class_flow: U32::new(6 << 28 | u32::from(ecn & ECN_MASK) << 20),
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
