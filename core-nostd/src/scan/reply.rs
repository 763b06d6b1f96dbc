//! What a packet that came in says of a target, if it is an answer to a probe of ours (SCAN-3).

use core::net::{IpAddr, SocketAddr};

use zerocopy::FromBytes;

use super::cookie::is_same;
use super::payload::is_answer;
use super::probe::{EchoPayload, PortWindow, microseconds};
use super::{Key, Probe, Protocol};
use crate::time::{Duration, Instant};
use crate::wire::net::arp::{self, ArpReject};
use crate::wire::net::ether::{Ether, TYPE_ARP, TYPE_IPV4, TYPE_IPV6};
use crate::wire::net::icmp::{ICMP_BYTES, IcmpHeader, Misquoted, Quoted, echo_request, v4, v6};
use crate::wire::net::ip::{Ip, PROTOCOL_ICMP, PROTOCOL_ICMPV6, PROTOCOL_TCP, PROTOCOL_UDP};
use crate::wire::net::ndp::{self, NdpReject};
use crate::wire::net::tcp::{ACK, FIN, RST, SYN, TcpHeader, echoed_timestamp};
use crate::wire::net::udp::{UDP_BYTES, UdpHeader};
use crate::wire::net::{MacAddress, NetReject};
use crate::wire::reasons::reasons;

/// An answer that took longer says nothing of the path: its time is another probe's, or was made up.
const MAX_RTT: Duration = Duration::from_secs(60);

/// What an answer says of the port, or of the target.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Class {
    /// TCP: a SYN-ACK. UDP: a datagram.
    Open,
    /// TCP: a reset. UDP: the target itself says that the port is unreachable.
    Closed,
    /// An echo reply.
    Alive,
    /// ICMP says that somebody decided so: prohibited; or that a port is unreachable where only a filter says that, because
    /// the port was not UDP's, or because not the target says it.
    Filtered,
    /// ICMP says that the network, the host or the protocol cannot be reached.
    Unreachable,
    /// A router dropped the probe because it had passed too many: there is a loop, or the target is very far.
    TimeExceeded,
}

impl Class {
    /// Every class.
    pub const ALL: [Self; 6] =
        [Self::Open, Self::Closed, Self::Alive, Self::Filtered, Self::Unreachable, Self::TimeExceeded];

    /// The class's name in results.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Open => "open",
            Self::Closed => "closed",
            Self::Alive => "alive",
            Self::Filtered => "filtered",
            Self::Unreachable => "unreachable",
            Self::TimeExceeded => "time-exceeded",
        }
    }

    /// How much it says, 1 to 4: a later answer of a higher rank is reported although an earlier one was.
    #[must_use]
    pub const fn rank(self) -> u8 {
        match self {
            Self::Open | Self::Alive => 4,
            Self::Closed => 3,
            Self::Filtered | Self::Unreachable => 2,
            Self::TimeExceeded => 1,
        }
    }

    /// Whether there is something that answers as it should.
    #[must_use]
    pub const fn is_positive(self) -> bool {
        matches!(self, Self::Open | Self::Alive)
    }
}

/// An answer to a probe.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Reply {
    /// The address that was probed.
    pub target: IpAddr,
    /// What it was asked.
    pub probe: Probe,
    /// What that says.
    pub class: Class,
    /// Who says so: the target, or a router on the way, in an error of ICMP.
    pub responder: IpAddr,
    /// Our own address and port, that the probe came from; port 0 for ICMP echo.
    pub local: SocketAddr,
    /// The time to live or hop limit of the answer as it came in.
    pub ttl: u8,
    /// From the probe to its answer, up to 60 s; `None` where the answer does not bring the probe's time back.
    pub rtt: Option<Duration>,
    /// Type and code, where the answer is a message of ICMP or ICMPv6.
    pub icmp: Option<(u8, u8)>,
    /// What a SYN-ACK acknowledges, for [`super::Sender::write_reset`].
    pub ack: Option<u32>,
}

/// What was heard.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Heard {
    /// An answer to a probe.
    Reply(Reply),
    /// A host on the link says its address: an ARP reply or a neighbour advertisement. Anybody on the link can say so.
    Neighbour {
        /// The IP address.
        ip: IpAddr,
        /// The link-layer address.
        mac: MacAddress,
    },
}

reasons! {
    /// The rule that a packet broke, which is thus no answer. It carries nothing of the packet itself.
    NoReply {
        Truncated, "truncated", "a packet is whole, with all headers that it begins";
        OtherProtocol, "other_protocol", "a packet is TCP, UDP, ICMP or ICMPv6 directly behind IP, or ARP";
        IpHeader, "ip_header", "an IP header has its version, a sensible length, and addresses that a host can have";
        IpChecksum, "ip_checksum", "the checksum of an IPv4 header matches";
        Fragment, "fragment", "a packet is whole, and not a fragment";

        NotOurPort, "not_our_port", "a segment or datagram is for a port that probes come from";
        TcpFlags, "tcp_flags", "a segment is a SYN-ACK or a reset";
        ResetWithoutAck, "reset_without_ack", "a reset acknowledges what it is about";
        Cookie, "cookie", "a segment or datagram is for the port that a probe of its sender came from";
        Ack, "ack", "a segment acknowledges the sequence number of the probe of its sender";
        UdpLength, "udp_length", "a datagram is no shorter than its header and ends within its packet";
        UdpEcho, "udp_echo", "a datagram repeats what its protocol has to repeat of the probe";

        IcmpType, "icmp_type", "a message of ICMP is an echo reply, unreachable, time exceeded, or a neighbour advertisement";
        EchoId, "echo_id", "an echo reply has id and sequence number of the request to its sender";
        EchoPayload, "echo_payload", "an echo reply has the payload of the request to its sender";

        QuoteTruncated, "quote_truncated", "an error of ICMP quotes an IP header and eight bytes behind it";
        QuoteForeign, "quote_foreign", "an error of ICMP quotes a packet of a form that is sent here";
        QuoteSource, "quote_source", "an error of ICMP quotes a packet from the address that it is sent to";
        QuotePort, "quote_port", "an error of ICMP quotes a packet from a port that probes come from";
        QuoteCookie, "quote_cookie", "an error of ICMP quotes a probe of the address that it says";

        NeighbourMalformed, "neighbour_malformed", "ARP and neighbour discovery are whole and about single hosts";
        ArpRequest, "arp_request", "an ARP packet is a reply";
        NdpHopLimit, "ndp_hop_limit", "a neighbour advertisement was passed on by no router";
        NdpChecksum, "ndp_checksum", "the checksum of a neighbour advertisement matches";
        NdpNoAddress, "ndp_no_address", "a neighbour advertisement says a link-layer address";
    }
}

impl From<NetReject> for NoReply {
    fn from(reject: NetReject) -> Self {
        match reject {
            NetReject::EtherTruncated
            | NetReject::Ipv4Truncated
            | NetReject::Ipv4Length
            | NetReject::Ipv6Truncated
            | NetReject::Ipv6Length
            | NetReject::UdpTruncated => Self::Truncated,
            NetReject::EtherTags | NetReject::EtherType | NetReject::IpProtocol => Self::OtherProtocol,
            NetReject::Ipv4Version
            | NetReject::Ipv4HeaderLength
            | NetReject::Ipv6Version
            | NetReject::Ipv6Mapped
            | NetReject::SourceAddress => Self::IpHeader,
            NetReject::Ipv4Checksum => Self::IpChecksum,
            NetReject::Ipv4Fragment => Self::Fragment,
            NetReject::UdpLength | NetReject::UdpSourcePort => Self::UdpLength,
        }
    }
}

/// Tells answers from all else. Knows the survey's key and nothing of what was sent: whether the address is one of the targets
/// is for the caller to see.
#[derive(Clone, Copy, Debug)]
pub struct Judge {
    key: Key,
    window: PortWindow,
}

impl Judge {
    /// For the probes of the sender with this key and window.
    #[must_use]
    pub const fn new(key: Key, window: PortWindow) -> Self {
        Self { key, window }
    }

    /// What a frame says; an Ethernet frame, or an IP packet as a link without Ethernet carries it.
    ///
    /// The checksums of TCP, UDP and echo are not looked at: in the same machine they are left to hardware that never sees the
    /// packet. A packet damaged on its way does not bring its cookie back, or tells of a time or a TTL that is wrong.
    ///
    /// # Errors
    /// The first rule that is broken, from the outside in.
    #[inline]
    pub fn judge(&self, frame: &[u8], is_ethernet: bool, now: Instant) -> Result<Heard, NoReply> {
        let (kind, packet) = if is_ethernet {
            let (ether, packet) = Ether::parse(frame)?;
            (ether.kind, packet)
        } else {
            (packet_kind(frame)?, frame)
        };
        if kind == TYPE_ARP {
            return judge_arp(packet);
        }
        let (ip, segment) = Ip::parse(kind, packet, |_| true)?;
        match (ip.protocol, ip.source.is_ipv6()) {
            (PROTOCOL_TCP, _) => self.judge_tcp(&ip, segment, now).map(Heard::Reply),
            (PROTOCOL_UDP, _) => self.judge_udp(&ip, segment).map(Heard::Reply),
            (PROTOCOL_ICMP, false) => self.judge_icmp(&ip, segment, now).map(Heard::Reply),
            (PROTOCOL_ICMPV6, true) if segment.first() == Some(&v6::NEIGHBOUR_ADVERTISEMENT) => {
                judge_advertisement(&ip, segment)
            }
            (PROTOCOL_ICMPV6, true) => self.judge_icmp(&ip, segment, now).map(Heard::Reply),
            _ => Err(NoReply::OtherProtocol),
        }
    }

    #[inline]
    fn judge_tcp(&self, ip: &Ip, segment: &[u8], now: Instant) -> Result<Reply, NoReply> {
        let (tcp, options) = TcpHeader::parse(segment).ok_or(NoReply::Truncated)?;
        let port = tcp.destination.get();
        if !self.window.contains(port) {
            return Err(NoReply::NotOurPort);
        }
        let class = match tcp.flags & (SYN | ACK | RST | FIN) {
            flags if flags == SYN | ACK => Class::Open,
            flags if flags == RST | ACK => Class::Closed,
            // It would have the sequence number that we acknowledged, and a SYN acknowledges none: nothing in it is ours.
            RST => return Err(NoReply::ResetWithoutAck),
            _ => return Err(NoReply::TcpFlags),
        };
        let probe = Probe { protocol: Protocol::Tcp, port: tcp.source.get() };
        let cookie = self.key.cookie(ip.source, probe);
        if !is_same(u64::from(port ^ self.window.port(cookie))) {
            return Err(NoReply::Cookie);
        }
        let ack = tcp.acknowledgement.get();
        if !is_same(u64::from(ack ^ cookie.seq().wrapping_add(1))) {
            return Err(NoReply::Ack);
        }
        let rtt = echoed_timestamp(options).and_then(|echo| plausible(since_microseconds(echo, now)));
        let ack = Some(ack).filter(|_| class == Class::Open);
        Ok(Reply { class, rtt, ack, ..answer(ip, probe, port) })
    }

    #[inline]
    fn judge_udp(&self, ip: &Ip, segment: &[u8]) -> Result<Reply, NoReply> {
        let (udp, _) = UdpHeader::ref_from_prefix(segment).map_err(|_| NoReply::Truncated)?;
        let payload = segment.get(UDP_BYTES..usize::from(udp.length.get())).ok_or(NoReply::UdpLength)?;
        let port = udp.destination.get();
        if !self.window.contains(port) {
            return Err(NoReply::NotOurPort);
        }
        let probe = Probe { protocol: Protocol::Udp, port: udp.source.get() };
        let cookie = self.key.cookie(ip.source, probe);
        if !is_same(u64::from(port ^ self.window.port(cookie))) {
            return Err(NoReply::Cookie);
        }
        if !is_answer(probe.port, cookie, payload) {
            return Err(NoReply::UdpEcho);
        }
        Ok(answer(ip, probe, port))
    }

    fn judge_icmp(&self, ip: &Ip, message: &[u8], now: Instant) -> Result<Reply, NoReply> {
        let (icmp, rest) = IcmpHeader::ref_from_prefix(message).map_err(|_| NoReply::Truncated)?;
        let is_v6 = ip.source.is_ipv6();
        match (is_v6, icmp.kind, icmp.code) {
            (false, v4::ECHO_REPLY, 0) | (true, v6::ECHO_REPLY, 0) => self.judge_echo(ip, icmp, rest, now),
            (false, v4::UNREACHABLE | v4::TIME_EXCEEDED, _) | (true, v6::UNREACHABLE | v6::TIME_EXCEEDED, _) => {
                self.judge_error(ip, icmp, rest)
            }
            _ => Err(NoReply::IcmpType),
        }
    }

    fn judge_echo(&self, ip: &Ip, icmp: &IcmpHeader, payload: &[u8], now: Instant) -> Result<Reply, NoReply> {
        let probe = Probe { protocol: Protocol::Icmp, port: 0 };
        let cookie = self.key.cookie(ip.source, probe);
        if !is_same(u64::from(echo_number(icmp) ^ cookie.seq())) {
            return Err(NoReply::EchoId);
        }
        let (payload, _) = EchoPayload::ref_from_prefix(payload).map_err(|_| NoReply::EchoPayload)?;
        if !is_same(payload.cookie.get() ^ cookie.bits()) {
            return Err(NoReply::EchoPayload);
        }
        let rtt = now.as_nanos().checked_sub(payload.time.get()).map(Duration::from_nanos).and_then(plausible);
        Ok(Reply { class: Class::Alive, rtt, icmp: Some((icmp.kind, icmp.code)), ..answer(ip, probe, 0) })
    }

    /// An error: what counts is the packet that it quotes, which has to be a probe of ours.
    fn judge_error(&self, ip: &Ip, icmp: &IcmpHeader, packet: &[u8]) -> Result<Reply, NoReply> {
        let is_v6 = ip.source.is_ipv6();
        let quoted = Quoted::parse(is_v6, packet).map_err(|misquoted| match misquoted {
            Misquoted::Truncated => NoReply::QuoteTruncated,
            Misquoted::Foreign => NoReply::QuoteForeign,
        })?;
        if quoted.source != ip.destination {
            return Err(NoReply::QuoteSource);
        }
        let (probe, port) = self.quoted_probe(is_v6, &quoted)?;
        Ok(Reply {
            target: quoted.destination,
            probe,
            class: error_class(ip.source, quoted.destination, probe.protocol, icmp),
            responder: ip.source,
            local: SocketAddr::new(ip.destination, port),
            ttl: ip.hop_limit,
            rtt: None,
            icmp: Some((icmp.kind, icmp.code)),
            ack: None,
        })
    }

    /// Which probe is quoted, and the port that it came from. Eight bytes behind the IP header suffice (RFC 792); routers need
    /// not quote more.
    fn quoted_probe(&self, is_v6: bool, quoted: &Quoted<'_>) -> Result<(Probe, u16), NoReply> {
        let (icmp, echo_kind) = echo_request(is_v6);
        let first: &[u8; ICMP_BYTES] = quoted.segment.first_chunk().ok_or(NoReply::QuoteTruncated)?;
        let [a, b, c, d, e, f, g, h] = *first;
        let (port, probe) = match quoted.protocol {
            PROTOCOL_TCP => (u16::from_be_bytes([a, b]), Protocol::Tcp),
            PROTOCOL_UDP => (u16::from_be_bytes([a, b]), Protocol::Udp),
            protocol if protocol == icmp && [a, b] == [echo_kind, 0] => (0, Protocol::Icmp),
            _ => return Err(NoReply::QuoteForeign),
        };
        let probe = match probe {
            Protocol::Icmp => Probe { protocol: probe, port: 0 },
            _ if !self.window.contains(port) => return Err(NoReply::QuotePort),
            _ => Probe { protocol: probe, port: u16::from_be_bytes([c, d]) },
        };
        let cookie = self.key.cookie(quoted.destination, probe);
        // Of a datagram, the cookie is in the payload, which need not be quoted: the IP header has as much of it as it can.
        let number = match probe.protocol {
            Protocol::Tcp | Protocol::Icmp => u32::from_be_bytes([e, f, g, h]) ^ cookie.seq(),
            Protocol::Udp if is_v6 => quoted.mark ^ cookie.flow_label(),
            Protocol::Udp => quoted.mark ^ u32::from(cookie.ip_id()),
        };
        let port_difference = if probe.protocol == Protocol::Icmp { 0 } else { port ^ self.window.port(cookie) };
        if !is_same(u64::from(number) | u64::from(port_difference) << 32) {
            return Err(NoReply::QuoteCookie);
        }
        Ok((probe, port))
    }
}

/// The EtherType of a packet on a link without Ethernet.
fn packet_kind(packet: &[u8]) -> Result<u16, NoReply> {
    match packet.first().ok_or(NoReply::Truncated)? >> 4 {
        4 => Ok(TYPE_IPV4),
        6 => Ok(TYPE_IPV6),
        _ => Err(NoReply::OtherProtocol),
    }
}

fn judge_arp(packet: &[u8]) -> Result<Heard, NoReply> {
    let (ip, mac) = arp::parse_reply(packet).map_err(|reject| match reject {
        ArpReject::Malformed => NoReply::NeighbourMalformed,
        ArpReject::NotReply => NoReply::ArpRequest,
    })?;
    Ok(Heard::Neighbour { ip: ip.into(), mac })
}

fn judge_advertisement(ip: &Ip, message: &[u8]) -> Result<Heard, NoReply> {
    let (target, mac) = ndp::parse_advertisement(ip, message).map_err(|reject| match reject {
        NdpReject::HopLimit => NoReply::NdpHopLimit,
        NdpReject::Checksum => NoReply::NdpChecksum,
        NdpReject::Malformed => NoReply::NeighbourMalformed,
        NdpReject::NoLinkAddress => NoReply::NdpNoAddress,
    })?;
    Ok(Heard::Neighbour { ip: target.into(), mac })
}

/// The answer of the target itself: open, unless more is known.
#[inline]
fn answer(ip: &Ip, probe: Probe, port: u16) -> Reply {
    Reply {
        target: ip.source,
        probe,
        class: Class::Open,
        responder: ip.source,
        local: SocketAddr::new(ip.destination, port),
        ttl: ip.hop_limit,
        rtt: None,
        icmp: None,
        ack: None,
    }
}

/// What an error says of a probe of `target`.
fn error_class(responder: IpAddr, target: IpAddr, protocol: Protocol, icmp: &IcmpHeader) -> Class {
    let (time_exceeded, port_unreachable, prohibited) = if target.is_ipv6() {
        (v6::TIME_EXCEEDED, v6::PORT_UNREACHABLE, v6::PROHIBITED)
    } else {
        (v4::TIME_EXCEEDED, v4::PORT_UNREACHABLE, v4::PROHIBITED)
    };
    match icmp.code {
        _ if icmp.kind == time_exceeded => Class::TimeExceeded,
        code if code == port_unreachable && protocol == Protocol::Udp && responder == target => Class::Closed,
        // A host resets a SYN to a closed port and has no ports of echo, and a router knows nothing of another host's ports: it
        // is a rule of a packet filter that says so (`REJECT` of iptables does, unless told otherwise).
        code if code == port_unreachable || prohibited.contains(&code) => Class::Filtered,
        _ => Class::Unreachable,
    }
}

/// Id and sequence number of an echo, as one number.
#[inline]
fn echo_number(icmp: &IcmpHeader) -> u32 {
    u32::from(icmp.id.get()) << 16 | u32::from(icmp.sequence.get())
}

/// The time since the clock of microseconds showed `echo`; more than half an hour where that is still to come.
#[inline]
fn since_microseconds(echo: u32, now: Instant) -> Duration {
    Duration::from_micros(u64::from(microseconds(now).wrapping_sub(echo)))
}

#[inline]
fn plausible(rtt: Duration) -> Option<Duration> {
    Some(rtt).filter(|rtt| *rtt <= MAX_RTT)
}
