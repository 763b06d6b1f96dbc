//! What the survey's judge has to find in a frame, read byte by byte; and frames for it, from [`crate::responder`].

#![allow(deprecated, reason = "the standard library's SipHash-2-4 is an implementation that is not ours")]

use std::hash::{Hasher, SipHasher};
use std::net::{IpAddr, SocketAddr};

use wirehaul_core::scan::{
    Class, Header, Heard, Judge, Key, MAX_PROBE_BYTES, PortWindow, Probe, Protocol, Reply, Sender,
};
use wirehaul_core::time::{Duration, Instant};
use wirehaul_core::wire::net::MacAddress;

use crate::frames::{Reader, checksum};
use crate::responder::{Link, Packet, TCP, UDP, address4, address6, neighbour_answer, octets};

/// The key of all surveys here.
pub const SECRET: [u64; 2] = [0x0123_4567_89ab_cdef, 0xfedc_ba98_7654_3210];
/// When probes are sent.
pub const SENT: Instant = Instant::from_nanos(7_000_000_123_000);
/// How long answers take.
pub const TOOK: Duration = Duration::from_micros(23_456);
/// Ports whose answers have a field that [`expected`] knows, of 16 bits or more.
pub const SIGNED_PORTS: [u16; 3] = [53, 123, 3478];

/// What probes.
#[must_use]
pub fn sender() -> Sender {
    Sender::new(Key::new(SECRET), PortWindow::DEFAULT, b"ask@example.net")
        .unwrap_or_else(|| unreachable!("a short text"))
}

/// Our own address, a target and a router, of either family.
#[must_use]
pub fn addresses(is_v6: bool, target: u16) -> [IpAddr; 3] {
    let [high, low] = target.to_be_bytes();
    if is_v6 {
        let of = |net: u8, high, low| address6(&[0x20, 1, 0x0d, 0xb8, 0, 0, 0, net, 0, 0, 0, 0, 0, 0, high, low]);
        [of(0, 0, 1), of(1, high, low), of(2, 0, 9)]
    } else {
        [address4(&[192, 0, 2, 1]), address4(&[198, 18, high, low]), address4(&[203, 0, 113, 9])]
    }
}

/// A probe as it arrives.
#[must_use]
pub fn probe(link: Link, source: IpAddr, target: IpAddr, probe: Probe) -> Packet {
    let mut out = [0; MAX_PROBE_BYTES];
    let vlan = if let Link::Vlan(id) = link { Some(id) } else { None };
    let ethernet =
        Header::Ethernet { source: MacAddress([2, 0, 0, 0, 0, 1]), destination: MacAddress([2, 0, 0, 0, 0, 2]), vlan };
    let header = if link.is_ethernet() { ethernet } else { Header::None };
    let written = sender().write(&mut out, &header, source, target, probe, 0, SENT);
    let length = written.unwrap_or_else(|| unreachable!("there is room for every probe"));
    Packet::read(link, &out[..length])
}

/// SipHash of what a cookie covers.
fn cookie(target: IpAddr, protocol: u8, port: u16) -> u64 {
    let mut hasher = SipHasher::new_with_keys(SECRET[0], SECRET[1]);
    let mut address = octets(target);
    address.reverse();
    hasher.write(&address);
    hasher.write(&port.to_le_bytes());
    hasher.write(&[protocol]);
    hasher.finish()
}

fn source_port(cookie: u64) -> u64 {
    0xf000 + (cookie >> 32) % 4096
}

/// What has to be found in a frame.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Expected {
    /// This.
    Heard(Heard),
    /// This or nothing: it depends on a field of a protocol that is not looked into here.
    Perhaps(Heard),
}

/// What has to be found in a frame, `None` where it is to be refused.
#[must_use]
pub fn expected(frame: &[u8], is_ethernet: bool, now: Instant) -> Option<Expected> {
    let mut reader = Reader { bytes: frame, at: 0 };
    let kind = if is_ethernet {
        reader.number(8)?;
        reader.number(4)?;
        let mut kind = reader.number(2)?;
        for tags in 0..3 {
            if kind != 0x8100 && kind != 0x88a8 {
                break;
            }
            if tags == 2 {
                return None;
            }
            reader.number(2)?;
            kind = reader.number(2)?;
        }
        kind
    } else {
        [0x0800, 0x86dd][match frame.first()? >> 4 {
            4 => 0,
            6 => 1,
            _ => return None,
        }]
    };
    let packet = &frame[reader.at..];
    match kind {
        0x0806 => expected_arp(packet),
        0x0800 => in_packet(&read_v4(packet)?, now),
        0x86dd => in_packet(&read_v6(packet)?, now),
        _ => None,
    }
}

fn expected_arp(packet: &[u8]) -> Option<Expected> {
    let is_reply = packet.get(..8)? == [0, 1, 8, 0, 6, 4, 0, 2];
    let mac: [u8; 6] = packet.get(8..14)?.try_into().ok()?;
    let ip = address4(packet.get(14..18)?);
    packet.get(18..28)?;
    neighbour(ip, mac).filter(|_| is_reply)
}

fn neighbour(ip: IpAddr, mac: [u8; 6]) -> Option<Expected> {
    let is_right = is_host(ip) && mac != [0; 6] && mac[0].is_multiple_of(2);
    is_right.then_some(Expected::Heard(Heard::Neighbour { ip, mac: MacAddress(mac) }))
}

fn is_host(ip: IpAddr) -> bool {
    let octets = octets(ip);
    let is_mapped = octets.len() == 16 && octets.starts_with(&[0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 255, 255]);
    let is_group = if octets.len() == 4 { octets[0] / 16 == 14 || octets == [255; 4] } else { octets[0] == 255 };
    octets.iter().any(|byte| *byte != 0) && !is_group && !is_mapped
}

fn read_v4(packet: &[u8]) -> Option<Packet> {
    packet.get(..20)?;
    let header = usize::from(packet[0] % 16) * 4;
    let total = usize::from(u16::from_be_bytes([packet[2], packet[3]]));
    let is_right = packet[0] / 16 == 4 && header >= 20 && checksum(packet.get(..header)?) == 0;
    let is_whole = u16::from_be_bytes([packet[6], packet[7]]).is_multiple_of(0x4000);
    let source = address4(&packet[12..16]);
    (is_right && is_whole && is_host(source)).then_some(())?;
    let segment = packet.get(header..total)?.to_vec();
    let (protocol, ttl) = (packet[9], packet[8]);
    Some(Packet { source, destination: address4(&packet[16..20]), protocol, ttl, mark: 0, segment })
}

fn read_v6(packet: &[u8]) -> Option<Packet> {
    let (source, destination) = (address6(packet.get(8..24)?), address6(packet.get(24..40)?));
    let length = usize::from(u16::from_be_bytes([packet[4], packet[5]]));
    let segment = packet.get(40..40 + length)?.to_vec();
    let is_mapped = octets(destination).starts_with(&[0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 255, 255]);
    let is_right = packet[0] >> 4 == 6 && is_host(source) && !is_mapped;
    is_right.then_some(Packet { source, destination, protocol: packet[6], ttl: packet[7], mark: 0, segment })
}

fn in_packet(packet: &Packet, now: Instant) -> Option<Expected> {
    match packet.protocol {
        TCP => in_segment(packet, now),
        UDP => in_datagram(packet),
        58 if packet.source.is_ipv6() && packet.segment.first() == Some(&136) => in_advertisement(packet),
        protocol if protocol == packet.icmp() => in_icmp(packet, now),
        _ => None,
    }
}

/// An answer of the target, which is open.
fn answer(packet: &Packet, protocol: Protocol, port: u64, local: u64) -> Reply {
    Reply {
        target: packet.source,
        probe: Probe { protocol, port: port as u16 },
        class: Class::Open,
        responder: packet.source,
        local: SocketAddr::new(packet.destination, local as u16),
        ttl: packet.ttl,
        rtt: None,
        icmp: None,
        ack: None,
    }
}

fn heard(reply: Reply) -> Option<Expected> {
    Some(Expected::Heard(Heard::Reply(reply)))
}

fn in_segment(packet: &Packet, now: Instant) -> Option<Expected> {
    let mut reader = Reader { bytes: &packet.segment, at: 0 };
    let (from, to, _, ack) = (reader.number(2)?, reader.number(2)?, reader.number(4)?, reader.number(4)?);
    let (length, flags, _) = (reader.number(1)? >> 4, reader.number(1)?, reader.number(6)?);
    let options = packet.segment.get(20..length as usize * 4)?;
    let cookie = cookie(packet.source, TCP, from as u16);
    let is_ours = source_port(cookie) == to && (cookie + 1) as u32 == ack as u32;
    let class = match flags & 0x17 {
        0x12 => Class::Open,
        0x14 => Class::Closed,
        _ => return None,
    };
    let took = |echo: u32| {
        let micros = ((now.as_nanos() / 1000) as u32).wrapping_sub(echo);
        (micros <= 60_000_000).then(|| Duration::from_micros(u64::from(micros)))
    };
    let reply = Reply {
        class,
        ack: (class == Class::Open).then_some(ack as u32),
        rtt: timestamp(options).and_then(took),
        ..answer(packet, Protocol::Tcp, from, to)
    };
    heard(reply).filter(|_| is_ours)
}

fn timestamp(options: &[u8]) -> Option<u32> {
    match options {
        [] | [0, ..] => None,
        [1, rest @ ..] => timestamp(rest),
        [8, 10, _, _, _, _, a, b, c, d, ..] => Some(u32::from_be_bytes([*a, *b, *c, *d])),
        [_, length, ..] if *length >= 2 => timestamp(options.get(usize::from(*length)..)?),
        _ => None,
    }
}

fn in_datagram(packet: &Packet) -> Option<Expected> {
    let mut reader = Reader { bytes: &packet.segment, at: 0 };
    let (from, to, length, _) = (reader.number(2)?, reader.number(2)?, reader.number(2)?, reader.number(2)?);
    let payload = packet.segment.get(8..length as usize)?;
    let cookie = cookie(packet.source, UDP, from as u16);
    (source_port(cookie) == to).then_some(())?;
    let reply = answer(packet, Protocol::Udp, from, to);
    let whole = cookie.to_be_bytes();
    let field = match from {
        53 => (0..2, &whole[6..]),
        123 => (24..32, &whole[..]),
        3478 => (8..16, &whole[..]),
        9999 => (0..0, &whole[..0]),
        _ => return Some(Expected::Perhaps(Heard::Reply(reply))),
    };
    heard(reply).filter(|_| payload.get(field.0) == Some(field.1))
}

fn in_advertisement(packet: &Packet) -> Option<Expected> {
    let length = (packet.segment.len() as u32).to_be_bytes();
    let whole =
        [&octets(packet.source), &octets(packet.destination), &length[..], &[0, 0, 0, 58], &packet.segment].concat();
    (packet.ttl == 255 && checksum(&whole) == 0 && packet.segment.get(1)? == &0).then_some(())?;
    let ip = address6(packet.segment.get(8..24)?);
    let mut options = &packet.segment[24..];
    let mut found = None;
    while !options.is_empty() {
        let length = usize::from(*options.get(1)?) * 8;
        let option = options.get(..length).filter(|option| !option.is_empty())?;
        let mac: [u8; 6] = option[2..8].try_into().ok()?;
        if option[0] == 2 && found.is_none() {
            found = neighbour(ip, mac);
        }
        options = &options[length..];
    }
    found
}

fn in_icmp(packet: &Packet, now: Instant) -> Option<Expected> {
    let mut reader = Reader { bytes: &packet.segment, at: 0 };
    let (kind, code, _, number) =
        (reader.number(1)? as u8, reader.number(1)? as u8, reader.number(2)?, reader.number(4)?);
    let is_v6 = packet.source.is_ipv6();
    let icmp = Some((kind, code));
    if kind == if is_v6 { 129 } else { 0 } {
        let (time, whole) = (reader.number(8)?, reader.number(8)?);
        let cookie = cookie(packet.source, 1, 0);
        let took = now.as_nanos().checked_sub(time).filter(|took| *took <= 60_000_000_000);
        let rtt = took.map(Duration::from_nanos);
        let reply = Reply { class: Class::Alive, icmp, rtt, ..answer(packet, Protocol::Icmp, 0, 0) };
        return heard(reply).filter(|_| code == 0 && whole == cookie && number as u32 == cookie as u32);
    }
    let (target, protocol, first, mark) = quoted(packet, packet.segment.get(8..)?)?;
    let mut reader = Reader { bytes: &first, at: 0 };
    let (from, to, number) = (reader.number(2)?, reader.number(2)?, reader.number(4)?);
    let echo = if is_v6 { 0x8000 } else { 0x0800 };
    let (protocol, port, is_ours) = match protocol {
        TCP => {
            let cookie = cookie(target, TCP, to as u16);
            (Protocol::Tcp, to, source_port(cookie) == from && number as u32 == cookie as u32)
        }
        UDP => {
            let cookie = cookie(target, UDP, to as u16);
            let bits = if is_v6 { cookie >> 44 } else { (cookie >> 44) % 65536 };
            (Protocol::Udp, to, source_port(cookie) == from && mark == bits)
        }
        _ if protocol == packet.icmp() => {
            (Protocol::Icmp, 0, from == echo && number as u32 == cookie(target, 1, 0) as u32)
        }
        _ => return None,
    };
    let is_closed = protocol == Protocol::Udp && packet.source == target;
    let class = match (is_v6, kind, code) {
        (false, 11, _) | (true, 3, _) => Class::TimeExceeded,
        (false, 3, 3) | (true, 1, 4) if is_closed => Class::Closed,
        (false, 3, 3 | 9 | 10 | 13) | (true, 1, 1 | 4 | 5 | 6) => Class::Filtered,
        (false, 3, _) | (true, 1, _) => Class::Unreachable,
        _ => return None,
    };
    let local = if protocol == Protocol::Icmp { 0 } else { from };
    let reply = Reply { target, class, icmp, ..answer(packet, protocol, port, local) };
    heard(reply).filter(|_| is_ours)
}

/// Where a quoted packet was sent to, what it carried, the first eight bytes of that, and the id or flow label.
fn quoted(error: &Packet, packet: &[u8]) -> Option<(IpAddr, u8, Vec<u8>, u64)> {
    if error.source.is_ipv6() {
        packet.get(..48)?;
        let mark = u64::from(u32::from_be_bytes([0, packet[1] % 16, packet[2], packet[3]]));
        let is_ours = packet[0] >> 4 == 6 && address6(&packet[8..24]) == error.destination;
        return is_ours.then(|| (address6(&packet[24..40]), packet[6], packet[40..48].to_vec(), mark));
    }
    packet.get(..28)?;
    let mark = u64::from(u16::from_be_bytes([packet[4], packet[5]]));
    let is_whole = packet[0] == 0x45 && packet[6].is_multiple_of(64) && packet[7] == 0;
    let is_ours = is_whole && address4(&packet[12..16]) == error.destination;
    is_ours.then(|| (address4(&packet[16..20]), packet[9], packet[20..28].to_vec(), mark))
}

/// Judges a frame, and holds the outcome against [`expected`].
///
/// # Errors
/// What the judge says of a frame that it is right to refuse.
///
/// # Panics
/// Where something does not hold.
pub fn judge(frame: &[u8], is_ethernet: bool, now: Instant) -> Result<Heard, wirehaul_core::scan::NoReply> {
    let found = Judge::new(Key::new(SECRET), PortWindow::DEFAULT).judge(frame, is_ethernet, now);
    let is_right = match expected(frame, is_ethernet, now) {
        None => found.is_err(),
        Some(Expected::Heard(heard)) => found == Ok(heard),
        Some(Expected::Perhaps(heard)) => found.is_err() || found == Ok(heard),
    };
    assert!(is_right, "{found:?}, not {:?}, in {frame:02x?}", expected(frame, is_ethernet, now));
    found
}

/// What the fuzz target asks: the first byte says whether an Ethernet frame follows, or an IP packet.
#[must_use]
pub fn ask(bytes: &[u8]) -> bool {
    let Some((first, frame)) = bytes.split_first() else { return false };
    judge(frame, first & 1 == 0, SENT + TOOK).is_ok()
}

/// An answer of every kind, with its name, to probes of the target of this number.
#[must_use]
pub fn answers(link: Link, is_v6: bool, target: u16) -> Vec<(String, Packet)> {
    let [us, target, router] = addresses(is_v6, target);
    let sent = |asked| probe(link, us, target, asked);
    let (syn, echo) = (sent(Probe::tcp(443)), sent(Probe::ECHO));
    let [unreachable, exceeded, port, prohibited] = if is_v6 { [1, 3, 4, 1] } else { [3, 11, 3, 13] };
    let mut answers = vec![
        ("tcp-open", syn.syn_ack(true)),
        ("tcp-open-plain", syn.syn_ack(false)),
        ("tcp-closed", syn.reset()),
        ("echo", echo.echo_reply()),
        ("echo-exceeded", echo.error(router, exceeded, 0, 8)),
        ("tcp-exceeded", syn.error(router, exceeded, 0, 8)),
        ("tcp-prohibited", syn.error(router, unreachable, prohibited, 40)),
        ("tcp-no-port", syn.error(target, unreachable, port, 40)),
    ];
    for (name, number) in [("dns", 53), ("ntp", 123), ("stun", 3478)] {
        answers.push((name, sent(Probe::udp(number)).service_answer()));
    }
    let datagram = sent(Probe::udp(123));
    answers.push(("udp-closed", datagram.error(target, unreachable, port, 8)));
    answers.push(("udp-no-host", datagram.error(router, unreachable, if is_v6 { 3 } else { 1 }, 100)));
    let family = if is_v6 { "v6" } else { "v4" };
    answers.into_iter().map(|(name, packet)| (format!("{family}-{name}"), packet)).collect()
}

/// The seeds of the fuzz target.
#[must_use]
pub fn seeds() -> Vec<(String, Vec<u8>)> {
    let mut seeds = Vec::new();
    for (link, name) in [(Link::Bare, "bare"), (Link::Ethernet, "ethernet"), (Link::Vlan(7), "vlan")] {
        let first = u8::from(!link.is_ethernet());
        for is_v6 in [false, true] {
            for (kind, packet) in answers(link, is_v6, 7) {
                seeds.push((format!("{kind}-{name}"), [&[first], &packet.frame(link)[..]].concat()));
            }
            if link.is_ethernet() {
                let [us, target, _] = addresses(is_v6, 7);
                let frame = neighbour_answer(link, target, [2, 0, 0, 0, 0, 7], us);
                seeds.push((
                    format!("neighbour-{}-{name}", if is_v6 { "v6" } else { "v4" }),
                    [&[0], &frame[..]].concat(),
                ));
            }
        }
    }
    seeds
}
