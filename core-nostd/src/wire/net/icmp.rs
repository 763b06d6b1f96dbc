//! ICMP (RFC 792) and ICMPv6 (RFC 4443): echo, and errors with the packet that they quote.

use core::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use zerocopy::byteorder::big_endian::U16;
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

use super::ip::{
    FLOW_LABEL_MASK, FRAGMENT_MASK, IPV4_PLAIN, IPV6_VERSION, Ipv4Header, Ipv6Header, PROTOCOL_ICMP, PROTOCOL_ICMPV6,
};

/// Bytes of a header, echo or not.
pub(crate) const ICMP_BYTES: usize = 8;

/// Types of ICMP.
pub(crate) mod v4 {
    pub(crate) const ECHO_REPLY: u8 = 0;
    pub(crate) const UNREACHABLE: u8 = 3;
    pub(crate) const ECHO_REQUEST: u8 = 8;
    pub(crate) const TIME_EXCEEDED: u8 = 11;
    /// A code of [`UNREACHABLE`].
    pub(crate) const PORT_UNREACHABLE: u8 = 3;
    /// Codes of [`UNREACHABLE`]: by administrative decision to reach the network, the host, or anything (RFC 1812 5.2.7.1).
    pub(crate) const PROHIBITED: [u8; 3] = [9, 10, 13];
}

/// Types of ICMPv6.
pub(crate) mod v6 {
    pub(crate) const UNREACHABLE: u8 = 1;
    pub(crate) const TIME_EXCEEDED: u8 = 3;
    pub(crate) const ECHO_REQUEST: u8 = 128;
    pub(crate) const ECHO_REPLY: u8 = 129;
    pub(crate) const NEIGHBOUR_SOLICITATION: u8 = 135;
    pub(crate) const NEIGHBOUR_ADVERTISEMENT: u8 = 136;
    /// A code of [`UNREACHABLE`].
    pub(crate) const PORT_UNREACHABLE: u8 = 4;
    /// Codes of [`UNREACHABLE`]: prohibited, failed the policy for sources, a route that rejects.
    pub(crate) const PROHIBITED: [u8; 3] = [1, 5, 6];
}

/// The header of an echo request or reply; of other messages, the last four bytes mean something else.
#[derive(Clone, Copy, FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
pub(crate) struct IcmpHeader {
    pub(crate) kind: u8,
    pub(crate) code: u8,
    pub(crate) checksum: U16,
    pub(crate) id: U16,
    pub(crate) sequence: U16,
}

const _: () = assert!(size_of::<IcmpHeader>() == ICMP_BYTES);

/// The packet that an error quotes, as far as it does.
pub(crate) struct Quoted<'a> {
    pub(crate) source: IpAddr,
    pub(crate) destination: IpAddr,
    pub(crate) protocol: u8,
    /// The IPv4 header's id, or the IPv6 header's flow label.
    pub(crate) mark: u32,
    /// What follows the header.
    pub(crate) segment: &'a [u8],
}

/// Why a quoted packet cannot be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Misquoted {
    /// Its header is not whole.
    Truncated,
    /// It has options, is a fragment, or is none of the outer packet's family.
    Foreign,
}

impl<'a> Quoted<'a> {
    /// Reads the packet that an error of ICMP quotes, or one of ICMPv6 where `is_v6`.
    ///
    /// Its lengths and its checksum are not looked at: routers cut it, and have changed it on the way.
    #[inline]
    pub(crate) fn parse(is_v6: bool, packet: &'a [u8]) -> Result<Self, Misquoted> {
        if is_v6 { Self::parse_v6(packet) } else { Self::parse_v4(packet) }
    }

    fn parse_v4(packet: &'a [u8]) -> Result<Self, Misquoted> {
        let (header, segment) = Ipv4Header::ref_from_prefix(packet).map_err(|_| Misquoted::Truncated)?;
        if header.version_length != IPV4_PLAIN || header.fragment.get() & FRAGMENT_MASK != 0 {
            return Err(Misquoted::Foreign);
        }
        Ok(Self {
            source: Ipv4Addr::from(header.source).into(),
            destination: Ipv4Addr::from(header.destination).into(),
            protocol: header.protocol,
            mark: u32::from(header.id.get()),
            segment,
        })
    }

    fn parse_v6(packet: &'a [u8]) -> Result<Self, Misquoted> {
        let (header, segment) = Ipv6Header::ref_from_prefix(packet).map_err(|_| Misquoted::Truncated)?;
        let version_class_flow = header.version_class_flow.get();
        if version_class_flow >> 28 != IPV6_VERSION >> 28 {
            return Err(Misquoted::Foreign);
        }
        Ok(Self {
            source: Ipv6Addr::from(header.source).into(),
            destination: Ipv6Addr::from(header.destination).into(),
            protocol: header.next_header,
            mark: version_class_flow & FLOW_LABEL_MASK,
            segment,
        })
    }
}

/// The number of the family's ICMP, and its type for an echo request.
pub(crate) const fn echo_request(is_v6: bool) -> (u8, u8) {
    if is_v6 { (PROTOCOL_ICMPV6, v6::ECHO_REQUEST) } else { (PROTOCOL_ICMP, v4::ECHO_REQUEST) }
}
