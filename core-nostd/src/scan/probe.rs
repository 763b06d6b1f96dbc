//! Probes as frames: templates whose constant parts are summed once, so that writing one costs what differs.

use core::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use zerocopy::byteorder::big_endian::{U16, U32, U64};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

use super::payload::{MAX_PAYLOAD_BYTES, Payloads};
use super::{Cookie, Judge, Key, Probe, Protocol};
use crate::time::Instant;
use crate::wire::net::ether::{self, ETHER_BYTES, TAG_BYTES, TYPE_IPV4, TYPE_IPV6, ether_bytes};
use crate::wire::net::icmp::{ICMP_BYTES, IcmpHeader, echo_request};
use crate::wire::net::ip::{
    DONT_FRAGMENT, IPV4_BYTES, IPV4_PLAIN, IPV6_BYTES, IPV6_VERSION, Ipv4Header, Ipv6Header, PROTOCOL_TCP, PROTOCOL_UDP,
};
use crate::wire::net::tcp::{RST, SYN, SYN_OPTIONS_BYTES, SynOptions, SynSegment, TCP_BYTES, TcpHeader};
use crate::wire::net::udp::{UDP_BYTES, UdpHeader};
use crate::wire::net::{Checksum, MacAddress};

/// The most bytes that a frame of [`Sender::write`] takes: a VLAN tag, IPv6, and the longest payload.
pub const MAX_PROBE_BYTES: usize = ETHER_BYTES + TAG_BYTES + IPV6_BYTES + UDP_BYTES + MAX_PAYLOAD_BYTES;

/// Linux's default.
const TIME_TO_LIVE: u8 = 64;

/// The ports that probes come from: 4096 of them, so that twelve bits of the cookie fit in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct PortWindow {
    first: u16,
}

impl PortWindow {
    /// How many ports a window has.
    pub const COUNT: u16 = 4096;
    /// The bits that all ports of a window share.
    pub const MASK: u16 = !(Self::COUNT - 1);
    /// 61440 to 65535: above what Linux gives to its own sockets (32768 to 60999).
    pub const DEFAULT: Self = Self { first: 0xf000 };

    /// The window from `first` on; `None` where that is no multiple of 4096, or zero: port 0 is none.
    #[must_use]
    pub const fn new(first: u16) -> Option<Self> {
        if first == 0 || first & !Self::MASK != 0 { None } else { Some(Self { first }) }
    }

    /// The lowest port.
    #[must_use]
    pub const fn first(self) -> u16 {
        self.first
    }

    /// The highest port.
    #[must_use]
    pub const fn last(self) -> u16 {
        self.first | !Self::MASK
    }

    /// Whether `port` is one of the window.
    #[must_use]
    pub const fn contains(self, port: u16) -> bool {
        port & Self::MASK == self.first
    }

    /// The port that a probe with this cookie comes from.
    #[must_use]
    pub const fn port(self, cookie: Cookie) -> u16 {
        self.first | cookie.port_offset()
    }
}

impl Default for PortWindow {
    fn default() -> Self {
        Self::DEFAULT
    }
}

/// What stands in front of the IP header.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Header {
    /// An Ethernet header.
    Ethernet {
        /// The interface that sends.
        source: MacAddress,
        /// The next hop's interface.
        destination: MacAddress,
        /// The VLAN's id, 0 to 4095, where the frame carries a tag.
        vlan: Option<u16>,
    },
    /// Nothing: the link carries IP packets as they are (tun, ppp).
    None,
}

impl Header {
    /// Writes the header to the front of `out`; returns how many bytes it has and what is behind.
    #[inline]
    fn write<'o>(&self, out: &'o mut [u8], kind: u16) -> Option<(usize, &'o mut [u8])> {
        let Self::Ethernet { source, destination, vlan } = *self else { return Some((0, out)) };
        let bytes = ether_bytes(vlan);
        let (header, rest) = out.split_at_mut_checked(bytes)?;
        ether::write(header, source, destination, vlan, kind)?;
        Some((bytes, rest))
    }
}

/// An echo request without the contact text behind it.
#[derive(Clone, Copy, FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
pub(super) struct EchoPayload {
    /// Nanoseconds of the sender's clock.
    pub(super) time: U64,
    pub(super) cookie: U64,
}

/// Bytes of the payload of an echo request that are looked at when they come back.
pub(super) const ECHO_PAYLOAD_BYTES: usize = 16;

const _: () = assert!(size_of::<EchoPayload>() == ECHO_PAYLOAD_BYTES);

/// A SYN of one family, with the sum over it and over the constant words of its pseudo header.
#[derive(Clone, Copy)]
struct SynTemplate {
    segment: SynSegment,
    sum: Checksum,
}

impl SynTemplate {
    /// A SYN as Linux sends it where segments carry `segment_size` bytes: the window is the largest multiple of that within
    /// 65535 bytes.
    fn new(segment_size: u16) -> Self {
        let mut tcp = TcpHeader::new(SYN, SYN_OPTIONS_BYTES);
        tcp.window = U16::new(u16::MAX / segment_size * segment_size);
        let segment = SynSegment { tcp, options: SynOptions::new(segment_size) };
        Self { segment, sum: Checksum::new().over(segment.as_bytes()) }
    }
}

/// Writes the probes of one survey.
#[derive(Clone)]
pub struct Sender {
    key: Key,
    window: PortWindow,
    syn_v4: SynTemplate,
    syn_v6: SynTemplate,
    /// The sum over the words of an IPv4 header that are the same in all probes.
    ipv4_sum: Checksum,
    payloads: Payloads,
}

/// Where a packet goes from and to, the sum over both, and its family's EtherType.
#[derive(Clone, Copy)]
struct Way {
    ends: Ends,
    sum: Checksum,
}

#[derive(Clone, Copy)]
enum Ends {
    V4([u8; 4], [u8; 4]),
    V6([u8; 16], [u8; 16]),
}

impl Way {
    #[inline]
    fn new(source: IpAddr, target: IpAddr) -> Option<Self> {
        match (source, target) {
            (IpAddr::V4(source), IpAddr::V4(target)) => Some(Self::v4(source, target)),
            (IpAddr::V6(source), IpAddr::V6(target)) => Some(Self::v6(source, target)),
            _ => None,
        }
    }

    #[inline]
    fn v4(source: Ipv4Addr, target: Ipv4Addr) -> Self {
        let sum = Checksum::new().over_u32(source.to_bits()).over_u32(target.to_bits());
        Self { ends: Ends::V4(source.octets(), target.octets()), sum }
    }

    #[inline]
    fn v6(source: Ipv6Addr, target: Ipv6Addr) -> Self {
        let (source, target) = (source.octets(), target.octets());
        Self { ends: Ends::V6(source, target), sum: Checksum::new().over_header(&source).over_header(&target) }
    }

    #[inline]
    const fn is_v6(&self) -> bool {
        matches!(self.ends, Ends::V6(..))
    }
}

impl Sender {
    /// What writes the probes of the survey that has this key. `contact` says in the payload of echo requests, and of datagrams
    /// to ports that no protocol is known for, whom to ask about them; it may be empty.
    ///
    /// `None` where `contact` is longer than [`super::MAX_CONTACT_BYTES`].
    #[must_use]
    pub fn new(key: Key, window: PortWindow, contact: &[u8]) -> Option<Self> {
        let ipv4_sum = Checksum::new().over_u16(u16::from(IPV4_PLAIN) << 8).over_u16(DONT_FRAGMENT);
        Some(Self {
            key,
            window,
            syn_v4: SynTemplate::new(1460),
            syn_v6: SynTemplate::new(1440),
            ipv4_sum,
            payloads: Payloads::new(contact)?,
        })
    }

    /// What judges the answers to these probes.
    #[must_use]
    pub const fn judge(&self) -> Judge {
        Judge::new(self.key, self.window)
    }

    /// Writes a probe of `target` to the front of `out`; returns the length of the frame.
    ///
    /// Two probes of one target differ in the time that they carry, and, where a UDP service may be one of several, by `attempt`
    /// (0 for the first) in what they ask. The answer to any attempt is as good.
    ///
    /// `None` where there is no room ([`MAX_PROBE_BYTES`] always suffice), the families of the addresses differ, or the VLAN's
    /// id is above 4095. Then what is in `out` is unspecified.
    #[must_use]
    #[inline]
    #[allow(clippy::too_many_arguments, reason = "they are what a frame is made of")]
    pub fn write(
        &self,
        out: &mut [u8],
        header: &Header,
        source: IpAddr,
        target: IpAddr,
        probe: Probe,
        attempt: u8,
        now: Instant,
    ) -> Option<usize> {
        let way = Way::new(source, target)?;
        let cookie = self.key.cookie(target, probe);
        match probe.protocol {
            Protocol::Tcp => self.write_syn(out, header, &way, cookie, probe.port, now),
            Protocol::Udp => self.write_datagram(out, header, &way, cookie, probe.port, attempt),
            Protocol::Icmp => self.write_echo(out, header, &way, cookie, now),
        }
    }

    /// Writes a reset to a SYN-ACK of `target` that nobody here expects, so that it does not send it again (RFC 9293 section
    /// 3.5.2); returns the length of the frame. `acknowledged` is [`super::Reply::ack`].
    ///
    /// `None` as [`Sender::write`] says.
    #[must_use]
    pub fn write_reset(
        &self,
        out: &mut [u8],
        header: &Header,
        source: IpAddr,
        target: IpAddr,
        port: u16,
        acknowledged: u32,
    ) -> Option<usize> {
        let way = Way::new(source, target)?;
        let cookie = self.key.cookie(target, Probe { protocol: Protocol::Tcp, port });
        let (start, segment) = self.write_ip(out, header, &way, cookie, PROTOCOL_TCP, TCP_BYTES as u16)?;
        let mut tcp = TcpHeader::new(RST, 0);
        tcp.source = U16::new(self.window.port(cookie));
        tcp.destination = U16::new(port);
        tcp.sequence = U32::new(acknowledged);
        let sum = pseudo_header(&way, PROTOCOL_TCP, TCP_BYTES as u16).over(tcp.as_bytes());
        tcp.checksum = U16::new(sum.finish());
        tcp.write_to_prefix(segment).ok()?;
        Some(start + TCP_BYTES)
    }

    #[inline]
    fn write_syn(
        &self,
        out: &mut [u8],
        header: &Header,
        way: &Way,
        cookie: Cookie,
        port: u16,
        now: Instant,
    ) -> Option<usize> {
        const BYTES: usize = size_of::<SynSegment>();
        let (start, segment) = self.write_ip(out, header, way, cookie, PROTOCOL_TCP, BYTES as u16)?;
        let (syn, _) = SynSegment::mut_from_prefix(segment).ok()?;
        let template = if way.is_v6() { &self.syn_v6 } else { &self.syn_v4 };
        let (from, seq, time) = (self.window.port(cookie), cookie.seq(), microseconds(now));
        let sum = pseudo_header(way, PROTOCOL_TCP, BYTES as u16).and(template.sum);
        let sum = sum.over_u16(from).over_u16(port).over_u32(seq).over_u32(time);
        *syn = template.segment;
        syn.tcp.source = U16::new(from);
        syn.tcp.destination = U16::new(port);
        syn.tcp.sequence = U32::new(seq);
        syn.tcp.checksum = U16::new(sum.finish());
        syn.options.timestamp = U32::new(time);
        Some(start + BYTES)
    }

    #[inline]
    fn write_datagram(
        &self,
        out: &mut [u8],
        header: &Header,
        way: &Way,
        cookie: Cookie,
        port: u16,
        attempt: u8,
    ) -> Option<usize> {
        let length = UDP_BYTES as u16 + self.payloads.len(port, attempt);
        let (start, segment) = self.write_ip(out, header, way, cookie, PROTOCOL_UDP, length)?;
        let (udp, payload) = UdpHeader::mut_from_prefix(segment).ok()?;
        let from = self.window.port(cookie);
        let sum = pseudo_header(way, PROTOCOL_UDP, length).over_u16(from).over_u16(port).over_u16(length);
        let sum = self.payloads.write(port, attempt, cookie, payload, sum)?;
        *udp = UdpHeader {
            source: U16::new(from),
            destination: U16::new(port),
            length: U16::new(length),
            checksum: U16::new(sum.finish_udp()),
        };
        Some(start + usize::from(length))
    }

    #[inline]
    fn write_echo(&self, out: &mut [u8], header: &Header, way: &Way, cookie: Cookie, now: Instant) -> Option<usize> {
        const BYTES: u16 = (ICMP_BYTES + ECHO_PAYLOAD_BYTES) as u16;
        let (protocol, kind) = echo_request(way.is_v6());
        let length = BYTES + self.payloads.contact.len();
        let (start, message) = self.write_ip(out, header, way, cookie, protocol, length)?;
        let (icmp, rest) = IcmpHeader::mut_from_prefix(message).ok()?;
        let (payload, rest) = EchoPayload::mut_from_prefix(rest).ok()?;
        // ICMP has no pseudo header, ICMPv6 has (RFC 4443 section 2.3).
        let sum = if way.is_v6() { pseudo_header(way, protocol, length) } else { Checksum::new() };
        let sum = sum.over_u16(u16::from(kind) << 8).over_u32(cookie.seq());
        let sum = sum.over_u64(now.as_nanos()).over_u64(cookie.bits());
        let sum = self.payloads.contact.write(rest, sum)?;
        *icmp = IcmpHeader {
            kind,
            code: 0,
            checksum: U16::new(sum.finish()),
            id: U16::new((cookie.seq() >> 16) as u16),
            sequence: U16::new(cookie.seq() as u16),
        };
        *payload = EchoPayload { time: U64::new(now.as_nanos()), cookie: U64::new(cookie.bits()) };
        Some(start + usize::from(length))
    }

    /// Writes what is in front of `length` bytes of `protocol`; returns how many bytes that is, and what is behind.
    #[inline]
    fn write_ip<'o>(
        &self,
        out: &'o mut [u8],
        header: &Header,
        way: &Way,
        cookie: Cookie,
        protocol: u8,
        length: u16,
    ) -> Option<(usize, &'o mut [u8])> {
        match way.ends {
            Ends::V4(source, destination) => {
                let (start, packet) = header.write(out, TYPE_IPV4)?;
                let (ip, rest) = Ipv4Header::mut_from_prefix(packet).ok()?;
                let total_length = IPV4_BYTES as u16 + length;
                let sum = self.ipv4_sum.and(way.sum).over_u16(total_length).over_u16(cookie.ip_id());
                let sum = sum.over_u16(u16::from(TIME_TO_LIVE) << 8 | u16::from(protocol));
                *ip = Ipv4Header {
                    version_length: IPV4_PLAIN,
                    service: 0,
                    total_length: U16::new(total_length),
                    // Of a packet that no router may fragment, any id is right (RFC 6864 section 4.1).
                    id: U16::new(cookie.ip_id()),
                    fragment: U16::new(DONT_FRAGMENT),
                    time_to_live: TIME_TO_LIVE,
                    protocol,
                    checksum: U16::new(sum.finish()),
                    source,
                    destination,
                };
                Some((start + IPV4_BYTES, rest))
            }
            Ends::V6(source, destination) => {
                let (start, packet) = header.write(out, TYPE_IPV6)?;
                let (ip, rest) = Ipv6Header::mut_from_prefix(packet).ok()?;
                *ip = Ipv6Header {
                    version_class_flow: U32::new(IPV6_VERSION | cookie.flow_label()),
                    payload_length: U16::new(length),
                    next_header: protocol,
                    hop_limit: TIME_TO_LIVE,
                    source,
                    destination,
                };
                Some((start + IPV6_BYTES, rest))
            }
        }
    }
}

impl core::fmt::Debug for Sender {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("Sender").field("window", &self.window).finish_non_exhaustive()
    }
}

/// The sum over a pseudo header (RFC 9293 section 3.1, RFC 8200 section 8.1).
#[inline]
fn pseudo_header(way: &Way, protocol: u8, length: u16) -> Checksum {
    way.sum.over_u16(u16::from(protocol)).over_u16(length)
}

/// What a SYN's timestamp says: a clock of one tick a microsecond, whose number comes round after 71 minutes.
#[inline]
pub(super) const fn microseconds(now: Instant) -> u32 {
    (now.as_nanos() / 1_000) as u32
}

#[cfg(test)]
#[path = "probe_tests.rs"]
mod tests;
