//! SCAN-3: probes reach hosts and routers that share nothing with the core, and what these answer is judged: right answers count,
//! and nothing else does.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test that meets the unexpected should stop there")]

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use proptest::collection::vec;
use proptest::prelude::*;
use wirehaul_core::scan::{
    Class, Heard, Key, Link as Neighbour, NeighbourSlot, Neighbours, NoReply, PortWindow, Probe, Protocol, Reply, Seen,
    Window,
};
use wirehaul_core::time::{Duration, Instant};
use wirehaul_core::wire::net::MacAddress;
use wirehaul_proptests::choices::Choices;
use wirehaul_proptests::frames::checksum;
use wirehaul_proptests::mutate::mutate;
use wirehaul_proptests::replies::{SECRET, SENT, SIGNED_PORTS, TOOK, addresses, answers, judge, probe, sender};
use wirehaul_proptests::responder::{Link, Packet, TCP, UDP, neighbour_answer};

const BOTH: [bool; 2] = [false, true];

fn now() -> Instant {
    SENT + TOOK
}

fn reply(link: Link, packet: &Packet) -> Reply {
    match judge(&packet.frame(link), link.is_ethernet(), now()) {
        Ok(Heard::Reply(reply)) => reply,
        other => panic!("{other:?} of {packet:02x?}"),
    }
}

fn refused(link: Link, packet: &Packet) -> NoReply {
    judge(&packet.frame(link), link.is_ethernet(), now()).expect_err("it breaks a rule")
}

/// Every link and family, and the addresses of us, a target and a router there.
fn everywhere() -> impl Iterator<Item = (Link, bool, [IpAddr; 3])> {
    let families = BOTH.into_iter().map(|is_v6| (is_v6, addresses(is_v6, 0x1234)));
    families.flat_map(|(is_v6, addresses)| Link::ALL.map(|link| (link, is_v6, addresses)))
}

// --- what counts ---

#[test]
fn a_syn_finds_ports_open_and_closed() {
    for (link, _, [us, target, _]) in everywhere() {
        let syn = probe(link, us, target, Probe::tcp(443));
        assert_eq!((syn.source, syn.destination, syn.protocol, syn.ttl), (us, target, TCP, 64));
        let open = reply(link, &syn.syn_ack(true));
        let seq = u32::from_be_bytes([4, 5, 6, 7].map(|at| syn.segment[at]));
        let local = (us, u16::from_be_bytes([syn.segment[0], syn.segment[1]])).into();
        let expected = Reply {
            target,
            probe: Probe::tcp(443),
            class: Class::Open,
            responder: target,
            local,
            ttl: 57,
            rtt: Some(TOOK),
            icmp: None,
            ack: Some(seq.wrapping_add(1)),
        };
        assert_eq!(open, expected);
        let plain = reply(link, &syn.syn_ack(false));
        assert_eq!(plain, Reply { rtt: None, ..expected });
        let closed = reply(link, &syn.reset());
        assert_eq!(closed, Reply { class: Class::Closed, rtt: None, ack: None, ..expected });
    }
}

/// The reset to a SYN-ACK has the sequence number that the other side expects.
#[test]
fn our_reset_ends_what_the_syn_began() {
    for (_, _, [us, target, _]) in everywhere() {
        let syn = probe(Link::Bare, us, target, Probe::tcp(22));
        let open = reply(Link::Bare, &syn.syn_ack(true));
        let mut out = [0; 100];
        let header = &wirehaul_core::scan::Header::None;
        let length = sender().write_reset(&mut out, header, us, target, 22, open.ack.unwrap()).unwrap();
        let reset = Packet::read(Link::Bare, &out[..length]);
        assert_eq!(reset.segment[..4], syn.segment[..4], "the same ports");
        assert_eq!(u32::from_be_bytes([4, 5, 6, 7].map(|at| reset.segment[at])), open.ack.unwrap());
        assert_eq!(reset.segment[12..14], [0x50, 0x04]);
    }
}

#[test]
fn datagrams_and_echoes_are_answered() {
    for (link, is_v6, [us, target, _]) in everywhere() {
        for port in SIGNED_PORTS.into_iter().chain([9999]) {
            let answer = reply(link, &probe(link, us, target, Probe::udp(port)).service_answer());
            assert_eq!((answer.target, answer.probe, answer.class), (target, Probe::udp(port), Class::Open));
            assert_eq!((answer.rtt, answer.icmp, answer.ack), (None, None, None));
        }
        let answer = reply(link, &probe(link, us, target, Probe::ECHO).echo_reply());
        assert_eq!((answer.target, answer.probe, answer.class), (target, Probe::ECHO, Class::Alive));
        assert_eq!((answer.rtt, answer.local), (Some(TOOK), (us, 0).into()));
        assert_eq!(answer.icmp, Some((if is_v6 { 129 } else { 0 }, 0)));
    }
}

/// What each error says of each probe, by whom it comes from; quotes of eight bytes are enough.
#[test]
fn errors_are_about_the_target_whoever_sends_them() {
    let v4 = [(3, 0..=2, Class::Unreachable), (3, 9..=10, Class::Filtered), (3, 13..=13, Class::Filtered)];
    let v4 = v4.into_iter().chain([(3, 4..=8, Class::Unreachable), (11, 0..=1, Class::TimeExceeded)]);
    let v6 = [(1, 0..=0, Class::Unreachable), (1, 1..=1, Class::Filtered), (1, 2..=3, Class::Unreachable)];
    let v6 = v6.into_iter().chain([(1, 5..=6, Class::Filtered), (3, 0..=1, Class::TimeExceeded)]);
    let cases: [Vec<_>; 2] = [v4.collect(), v6.collect()];
    for (link, is_v6, [us, target, router]) in everywhere() {
        for asked in [Probe::tcp(80), Probe::udp(53), Probe::udp(9999), Probe::ECHO] {
            let sent = probe(link, us, target, asked);
            for (from, quote) in [(router, 8), (target, 8), (router, 2000)] {
                for (kind, codes, class) in &cases[usize::from(is_v6)] {
                    for code in codes.clone() {
                        let found = reply(link, &sent.error(from, *kind, code, quote));
                        assert_eq!((found.target, found.probe, found.responder), (target, asked, from));
                        assert_eq!((found.class, found.icmp), (*class, Some((*kind, code))));
                        assert_eq!((found.ttl, found.rtt, found.ack), (250, None, None));
                    }
                }
                let (kind, code) = if is_v6 { (1, 4) } else { (3, 3) };
                let is_closed = asked.protocol == Protocol::Udp && from == target;
                let class = if is_closed { Class::Closed } else { Class::Filtered };
                assert_eq!(reply(link, &sent.error(from, kind, code, quote)).class, class, "{asked:?} {from}");
            }
        }
    }
}

#[test]
fn neighbours_say_their_address() {
    for (link, _, [us, target, _]) in everywhere().filter(|(link, ..)| link.is_ethernet()) {
        let mac = [2, 0, 0, 0, 0, 7];
        let found = judge(&neighbour_answer(link, target, mac, us), true, now());
        assert_eq!(found, Ok(Heard::Neighbour { ip: target, mac: MacAddress(mac) }));
    }
}

#[test]
fn times_that_make_no_sense_are_left_out() {
    let [us, target, _] = addresses(false, 1);
    let (syn, echo) = (probe(Link::Bare, us, target, Probe::tcp(1)), probe(Link::Bare, us, target, Probe::ECHO));
    let rtt = |packet: &Packet, now| match judge(&packet.frame(Link::Bare), false, now) {
        Ok(Heard::Reply(reply)) => reply.rtt,
        other => panic!("{other:?}"),
    };
    for packet in [syn.syn_ack(true), echo.echo_reply()] {
        assert_eq!(rtt(&packet, SENT), Some(Duration::ZERO));
        assert_eq!(rtt(&packet, SENT + Duration::from_secs(60)), Some(Duration::from_secs(60)));
        assert_eq!(rtt(&packet, SENT + Duration::from_micros(60_000_001)), None);
        assert_eq!(rtt(&packet, SENT - Duration::from_micros(1)), None);
    }
}

/// A clock of microseconds in 32 bits comes round after 71 minutes; a probe may be under way then.
#[test]
fn the_clock_of_timestamps_may_come_round() {
    let [us, target, _] = addresses(false, 1);
    let syn = probe(Link::Bare, us, target, Probe::tcp(1));
    let mut answer = syn.syn_ack(true);
    answer.segment[20 + 12..20 + 16].copy_from_slice(&(u32::MAX - 9).to_be_bytes());
    let after = Instant::from_nanos(((7 << 32) + 90) * 1000);
    let Ok(Heard::Reply(reply)) = judge(&answer.summed(16).frame(Link::Bare), false, after) else {
        panic!("an answer")
    };
    assert_eq!(reply.rtt, Some(Duration::from_micros(100)));
}

// --- what does not: a packet that keeps every rule, and the same with one broken ---

/// A change to the bytes of what IP carries.
fn with(packet: &Packet, at: usize, change: u8) -> Packet {
    let mut packet = packet.clone();
    packet.segment[at] ^= change;
    packet
}

fn cut(packet: &Packet, length: usize) -> Packet {
    Packet { segment: packet.segment[..length].to_vec(), ..packet.clone() }
}

/// Packets that break one rule each, with the rule.
fn broken(link: Link, is_v6: bool, [us, target, router]: [IpAddr; 3]) -> Vec<(NoReply, Packet)> {
    let sent = |asked| probe(link, us, target, asked);
    let (syn, ntp, echo) = (sent(Probe::tcp(443)), sent(Probe::udp(123)), sent(Probe::ECHO));
    let (open, reset, pong, time) = (syn.syn_ack(true), syn.reset(), echo.echo_reply(), ntp.service_answer());
    let [exceeded, other] = if is_v6 { [3, 2] } else { [11, 5] };
    let error = |sent: &Packet| sent.error(router, exceeded, 0, 8);
    // Of an error, where the quoted packet begins, and what that carries.
    let (quoted, inner) = (8, if is_v6 { 48 } else { 28 });
    let (quoted_source, quoted_target) = if is_v6 { (quoted + 8, quoted + 39) } else { (quoted + 12, quoted + 19) };
    let stranger = addresses(is_v6, 0x4321)[1];
    let mut cases = vec![
        (NoReply::Truncated, cut(&open, 19)),
        (NoReply::Truncated, cut(&open, 39)),
        (NoReply::Truncated, cut(&time, 7)),
        (NoReply::Truncated, cut(&pong, 7)),
        (NoReply::OtherProtocol, Packet { protocol: 47, ..open.clone() }),
        (NoReply::OtherProtocol, Packet { protocol: if is_v6 { 1 } else { 58 }, ..pong.clone() }),
        (NoReply::NotOurPort, with(&open, 2, 0x80)),
        (NoReply::NotOurPort, with(&time, 2, 0x10)),
        (NoReply::TcpFlags, with(&open, 13, 0x10)),
        (NoReply::TcpFlags, with(&open, 13, 0x02)),
        (NoReply::TcpFlags, with(&open, 13, 0x01)),
        (NoReply::TcpFlags, with(&open, 13, 0x04)),
        (NoReply::TcpFlags, with(&reset, 13, 0x05)),
        (NoReply::ResetWithoutAck, with(&reset, 13, 0x10)),
        (NoReply::Cookie, with(&open, 3, 1)),
        (NoReply::Cookie, with(&reset, 2, 8)),
        (NoReply::Cookie, with(&time, 3, 0x80)),
        (NoReply::Cookie, with(&open, 1, 1)),
        (NoReply::Cookie, Packet { source: stranger, ..open.clone() }),
        (NoReply::Ack, with(&open, 8, 0x80)),
        (NoReply::Ack, with(&reset, 11, 1)),
        (NoReply::UdpLength, with(&time, 4, 0x80)),
        (NoReply::UdpEcho, with(&time, 8 + 24, 1)),
        (NoReply::UdpEcho, with(&time, 8 + 31, 0x80)),
        (NoReply::UdpEcho, ntp.datagram_back(b"")),
        (NoReply::IcmpType, Packet { source: target, destination: us, ..echo.clone() }),
        (NoReply::IcmpType, with(&pong, 1, 1)),
        (NoReply::IcmpType, syn.error(router, other, 0, 8)),
        (NoReply::EchoId, with(&pong, 4, 1)),
        (NoReply::EchoId, with(&pong, 7, 0x80)),
        (NoReply::EchoId, Packet { source: stranger, ..pong.clone() }),
        (NoReply::EchoPayload, with(&pong, 16, 1)),
        (NoReply::EchoPayload, with(&pong, 23, 1)),
        (NoReply::EchoPayload, cut(&pong, 23)),
        (NoReply::QuoteTruncated, cut(&error(&syn), inner - 1)),
        (NoReply::QuoteTruncated, cut(&error(&ntp), inner + 7)),
        (NoReply::QuoteForeign, with(&error(&syn), quoted, 0x20)),
        (NoReply::QuoteForeign, with(&error(&echo), inner, 1)),
        (NoReply::QuoteForeign, with(&error(&echo), inner + 1, 1)),
        (NoReply::QuoteForeign, with(&error(&syn), if is_v6 { quoted + 6 } else { quoted + 9 }, 0x20)),
        (NoReply::QuoteSource, with(&error(&syn), quoted_source, 1)),
        (NoReply::QuoteSource, Packet { destination: stranger, ..error(&syn) }),
        (NoReply::QuotePort, with(&error(&syn), inner, 0x80)),
        (NoReply::QuotePort, with(&error(&ntp), inner, 0x10)),
        (NoReply::QuoteCookie, with(&error(&syn), quoted_target, 1)),
        (NoReply::QuoteCookie, with(&error(&syn), inner + 1, 1)),
        (NoReply::QuoteCookie, with(&error(&syn), inner + 3, 1)),
        (NoReply::QuoteCookie, with(&error(&syn), inner + 4, 0x80)),
        (NoReply::QuoteCookie, with(&error(&ntp), inner + 1, 1)),
        (NoReply::QuoteCookie, with(&error(&ntp), inner + 3, 1)),
        (NoReply::QuoteCookie, with(&error(&ntp), if is_v6 { quoted + 3 } else { quoted + 5 }, 1)),
        (NoReply::QuoteCookie, with(&error(&echo), inner + 7, 1)),
        (NoReply::QuoteCookie, with(&error(&echo), quoted_target, 1)),
    ];
    if !is_v6 {
        cases.push((NoReply::QuoteForeign, with(&error(&syn), quoted, 3)));
        cases.push((NoReply::QuoteForeign, with(&error(&syn), quoted + 6, 0x20)));
        cases.push((NoReply::QuoteForeign, with(&error(&syn), quoted + 7, 1)));
    }
    let group = if is_v6 { "ff02::1" } else { "224.0.0.1" };
    cases.push((NoReply::IpHeader, Packet { source: group.parse().unwrap(), ..open }));
    cases
}

/// Frames that break a rule of what is in front of IP's payload, or of neighbours.
fn broken_frames(is_v6: bool, [us, target, _]: [IpAddr; 3]) -> Vec<(NoReply, Vec<u8>)> {
    let link = Link::Ethernet;
    let good = probe(link, us, target, Probe::tcp(443)).syn_ack(true).frame(link);
    let neighbour = neighbour_answer(link, target, [2, 0, 0, 0, 0, 7], us);
    let changed = |frame: &[u8], at: usize, change: u8| {
        let mut frame = frame.to_vec();
        frame[at] ^= change;
        frame
    };
    let mut cases = vec![
        (NoReply::Truncated, good[..13].to_vec()),
        (NoReply::Truncated, good[..good.len() - 1].to_vec()),
        (NoReply::OtherProtocol, changed(&good, 12, 0x10)),
        (NoReply::OtherProtocol, [&good[..12], &[0x81, 0, 0, 1].repeat(3), &good[12..]].concat()),
        (NoReply::IpHeader, changed(&good, 14, 0x20)),
    ];
    if is_v6 {
        // Behind 14 of Ethernet and 40 of IPv6.
        let remade = |at: usize, bytes: &[u8]| {
            let mut message = neighbour[54..].to_vec();
            message[at..at + bytes.len()].copy_from_slice(bytes);
            Packet { source: target, destination: us, protocol: 58, ttl: 255, mark: 0, segment: message }
                .summed(2)
                .frame(link)
        };
        cases.extend([
            (NoReply::OtherProtocol, changed(&good, 20, 44 ^ TCP)),
            (NoReply::NdpHopLimit, changed(&neighbour, 21, 1)),
            (NoReply::NdpChecksum, changed(&neighbour, 60, 1)),
            (NoReply::NdpNoAddress, remade(24, &[1])),
            (NoReply::NdpNoAddress, remade(26, &[3])),
            (NoReply::NeighbourMalformed, remade(25, &[0])),
            (NoReply::NeighbourMalformed, remade(8, &[0xff])),
            (NoReply::IcmpType, remade(0, &[135])),
        ]);
    } else {
        let fragment = |bits: u8| {
            let mut frame = changed(&good, 20, bits);
            mend(&mut frame, true);
            frame
        };
        cases.extend([
            (NoReply::IpChecksum, changed(&good, 24, 1)),
            (NoReply::IpChecksum, changed(&good, 22, 1)),
            (NoReply::Fragment, fragment(0x20)),
            (NoReply::Fragment, fragment(0x01)),
            (NoReply::ArpRequest, changed(&neighbour, 21, 3)),
            (NoReply::NeighbourMalformed, changed(&neighbour, 15, 2)),
            (NoReply::NeighbourMalformed, changed(&neighbour, 22, 1)),
            (NoReply::NeighbourMalformed, neighbour[..41].to_vec()),
        ]);
    }
    cases
}

#[test]
fn each_rule_has_a_packet_that_keeps_it_and_one_that_breaks_it() {
    let mut seen = BTreeSet::new();
    for (link, is_v6, addresses) in everywhere() {
        for (name, kept) in answers(link, is_v6, 0x1234) {
            assert!(judge(&kept.frame(link), link.is_ethernet(), now()).is_ok(), "{name}");
        }
        for (reason, packet) in broken(link, is_v6, addresses) {
            assert_eq!(refused(link, &packet), reason, "{packet:02x?}");
            seen.insert(reason);
        }
        for (reason, frame) in broken_frames(is_v6, addresses) {
            assert_eq!(judge(&frame, true, now()), Err(reason), "{frame:02x?}");
            seen.insert(reason);
        }
    }
    let missed: Vec<_> = NoReply::ALL.into_iter().filter(|reason| !seen.contains(reason)).collect();
    assert_eq!(missed, []);
}

#[test]
fn reasons_have_distinct_names_in_snake_case() {
    for (index, reason) in NoReply::ALL.into_iter().enumerate() {
        assert_eq!(reason as usize, index);
        assert!(reason.name().bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'_'));
        let others = &NoReply::ALL[..index];
        assert!(!others.iter().any(|other| other.name() == reason.name() || other.rule() == reason.rule()));
    }
}

#[test]
fn what_we_send_is_no_answer() {
    for (link, _, [us, target, _]) in everywhere() {
        for asked in [Probe::tcp(80), Probe::udp(53), Probe::udp(9999), Probe::ECHO] {
            let _ = refused(link, &probe(link, us, target, asked));
        }
    }
}

// --- damage ---

/// Each bit that is covered by cookies, addresses, ports and types: flipped, the answer is refused or is the same answer.
#[test]
fn a_flipped_bit_never_makes_another_answer() {
    for (link, is_v6, _) in everywhere() {
        for (name, packet) in answers(link, is_v6, 0x1234) {
            let genuine = reply(link, &packet);
            let frame = packet.frame(link);
            for bit in 0..8 * frame.len() {
                let mut damaged = frame.clone();
                damaged[bit / 8] ^= 1 << (bit % 8);
                mend(&mut damaged, link.is_ethernet());
                if let Ok(Heard::Reply(found)) = judge(&damaged, link.is_ethernet(), now()) {
                    assert_eq!((found.target, found.probe), (genuine.target, genuine.probe), "{name}: bit {bit}");
                }
            }
            for length in 0..frame.len() {
                if let Ok(Heard::Reply(found)) = judge(&frame[..length], link.is_ethernet(), now()) {
                    panic!("{name}: {found:?} in {length} bytes of it");
                }
            }
        }
    }
}

/// Damaged over and over, answers are judged as byte by byte, break every rule, and never speak of what was not asked.
#[test]
fn damaged_answers_are_never_of_another_target() {
    let mut choices = Choices::Seeded(20_261_130);
    let mut valid = Vec::new();
    let mut asked = BTreeSet::new();
    for (link, is_v6, _) in everywhere() {
        for target in [1, 2, 0x1234, 0xfedc] {
            for (_, packet) in answers(link, is_v6, target) {
                let found = reply(link, &packet);
                asked.insert((found.target, found.probe));
                valid.push((link, packet.frame(link)));
            }
            if link.is_ethernet() {
                let [us, target, _] = addresses(is_v6, target);
                valid.push((link, neighbour_answer(link, target, [2, 0, 0, 0, 0, 7], us)));
            }
        }
    }
    let (mut broken, mut kept, mut strangers) = ([0_u32; NoReply::COUNT], 0, 0);
    for _ in 0..300_000 {
        let (link, frame) = &valid[choices.below(valid.len())];
        let mut frame = frame.clone();
        let (_, other) = &valid[choices.below(valid.len())];
        mutate(&mut choices, &mut frame, other);
        // An IPv4 header is only looked into once its checksum matches, which hardly any damage leaves alone.
        if choices.below(4) != 0 {
            mend(&mut frame, link.is_ethernet());
        }
        match judge(&frame, link.is_ethernet(), now()) {
            Err(reason) => broken[reason as usize] += 1,
            Ok(Heard::Neighbour { .. }) => {}
            Ok(Heard::Reply(found)) if asked.contains(&(found.target, found.probe)) => kept += 1,
            Ok(Heard::Reply(found)) => {
                // A port whose protocol brings nothing back, or less than a byte: the source port alone is guessed once in 4096 times.
                assert_eq!(found.probe.protocol, Protocol::Udp, "{found:?}");
                assert!(!SIGNED_PORTS.contains(&found.probe.port), "{found:?}");
                strangers += 1;
            }
        }
    }
    println!("{kept} the same, {strangers} by chance; {broken:?}");
    assert!(kept > 1000, "some damage is where nothing is told");
    assert!(strangers < 20);
    let missed: Vec<_> = NoReply::ALL.into_iter().filter(|reason| broken[*reason as usize] == 0).collect();
    // Behind a checksum that hardly any damage leaves alone, and nothing here mends; the pairs above have it.
    assert_eq!(missed, [NoReply::NdpNoAddress]);
}

/// Makes the checksum of an IPv4 header right, behind Ethernet and at most one tag.
fn mend(frame: &mut [u8], is_ethernet: bool) {
    let start = match (is_ethernet, frame.get(12..14)) {
        (false, _) => 0,
        (true, Some([0x81, 0x00])) => 18,
        (true, _) => 14,
    };
    let length = frame.get(start).map_or(0, |byte| usize::from(byte & 0xf) * 4);
    let is_v4 = frame.get(start).is_some_and(|byte| byte >> 4 == 4);
    if let Some(header) = frame.get_mut(start..start + length).filter(|header| is_v4 && header.len() >= 20) {
        header[10..12].fill(0);
        let sum = checksum(header);
        header[10..12].copy_from_slice(&sum.to_be_bytes());
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 4000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_bytes_are_judged_as_byte_by_byte(bytes in vec(any::<u8>(), 0..200), is_ethernet: bool) {
        let _ = judge(&bytes, is_ethernet, now());
    }

    /// Any address and port: the probe is well formed, its answer counts, and another host's or port's does not.
    #[test]
    fn every_probe_is_answered_for_itself(
        host in any::<u16>(), other in any::<u16>(), port in 1_u16.., is_v6: bool, way in 0_usize..3, kind in 0..3,
    ) {
        let (link, [us, target, router]) = (Link::ALL[way], addresses(is_v6, host));
        let asked = [Probe::tcp(port), Probe::udp(port), Probe::ECHO][kind as usize];
        let sent = probe(link, us, target, asked);
        let answer = match asked.protocol {
            Protocol::Tcp => sent.syn_ack(true),
            Protocol::Udp => sent.error(router, if is_v6 { 1 } else { 3 }, 0, 8),
            Protocol::Icmp => sent.echo_reply(),
        };
        let found = reply(link, &answer);
        prop_assert_eq!((found.target, found.probe), (target, asked));
        if asked.protocol != Protocol::Icmp {
            prop_assert!(PortWindow::DEFAULT.contains(found.local.port()));
        }
        if asked.protocol != Protocol::Udp && other != host {
            let moved = Packet { source: addresses(is_v6, other)[1], ..answer };
            prop_assert!(judge(&moved.frame(link), link.is_ethernet(), now()).is_err());
        }
    }

    /// Every datagram that any port is sent is well formed, at any attempt: [`Packet::read`] sums and counts it.
    #[test]
    fn every_datagram_is_well_formed(port in 1_u16.., is_v6: bool, attempt: u8) {
        let [us, target, _] = addresses(is_v6, 5);
        let mut out = [0; wirehaul_core::scan::MAX_PROBE_BYTES];
        let header = &wirehaul_core::scan::Header::None;
        let length = sender().write(&mut out, header, us, target, Probe::udp(port), attempt, SENT).unwrap();
        let packet = Packet::read(Link::Bare, &out[..length]);
        prop_assert_eq!(packet.protocol, UDP);
        prop_assert_ne!(&packet.segment[6..8], &[0, 0][..], "there is a checksum");
        prop_assert_eq!(usize::from(u16::from_be_bytes([packet.segment[4], packet.segment[5]])), packet.segment.len());
    }

    // --- duplicates ---

    /// SCAN-3: against a map that forgets nothing. What is remembered is judged right, what was forgotten is reported again, and a
    /// better answer is never lost.
    #[test]
    fn duplicates_are_as_a_map_has_them(
        notes in vec((0_u16..60, 1_u16..4, 0_usize..6), 0..400), bits in 3_u32..9, seed: u64,
    ) {
        let mut slots = vec![0; 1 << bits];
        let mut window = Window::new(&mut slots, Key::new([seed, SECRET[1]]));
        let mut best: BTreeMap<(u16, u16), u8> = BTreeMap::new();
        for (host, port, class) in notes {
            let class = Class::ALL[class];
            let before = best.get(&(host, port)).copied();
            let seen = window.note(addresses(false, host)[1], Probe::tcp(port), class);
            // A window of 256 entries holds 177 answers, unless too many meet in a set.
            match seen {
                Seen::Better => prop_assert!(before.is_some_and(|before| before < class.rank())),
                Seen::Again => prop_assert!(before.is_some_and(|before| before >= class.rank())),
                Seen::First => {}
            }
            let rank = best.entry((host, port)).or_default();
            *rank = if seen == Seen::First { class.rank() } else { (*rank).max(class.rank()) };
            prop_assert_eq!(window.note(addresses(false, host)[1], Probe::tcp(port), class), Seen::Again);
        }
    }

    // --- neighbours ---

    /// Against a map without a limit, in a table with room for all: the same answer to every question at any time.
    #[test]
    fn neighbours_are_as_a_map_has_them(steps in vec((0_u32..5, 0..10, 0_u64..4000), 0..200)) {
        let mut slots = [NeighbourSlot::default(); 64];
        let mut neighbours = Neighbours::new(&mut slots);
        let mut model = BTreeMap::new();
        let mut now = Instant::from_nanos(1_000_000_000_000);
        for (host, action, millis) in steps {
            now += Duration::from_millis(millis);
            // A sixth of the steps, a long time passes.
            if millis % 6 == 0 {
                now += Duration::from_secs(millis / 100);
            }
            let ip = IpAddr::V4((0x0a00_0000 | host).into());
            let mac = MacAddress([2, 0, 0, 0, action as u8, host as u8]);
            match action {
                0 => prop_assert_eq!(neighbours.learn(now, ip, mac), ModelHost::learn(&mut model, host, now, mac)),
                1 if host == 4 => {
                    prop_assert!(neighbours.pin(ip, mac));
                    model.insert(host, ModelHost { pinned: Some(mac), ..ModelHost::default() });
                }
                _ => prop_assert_eq!(neighbours.find(now, ip), ModelHost::find(&mut model, host, now)),
            }
        }
    }
}

/// What a host is, told by when things happened to it.
#[derive(Clone, Default)]
struct ModelHost {
    pinned: Option<MacAddress>,
    heard: Option<(Instant, MacAddress)>,
    /// When it was asked since it was heard.
    asked: Vec<Instant>,
    given_up: Option<Instant>,
}

impl ModelHost {
    fn learn(model: &mut BTreeMap<u32, Self>, host: u32, now: Instant, mac: MacAddress) -> bool {
        let Some(known) = model.get_mut(&host).filter(|known| known.pinned.is_none()) else { return false };
        *known = Self { heard: Some((now, mac)), ..Self::default() };
        true
    }

    fn find(model: &mut BTreeMap<u32, Self>, host: u32, now: Instant) -> Neighbour {
        let known = model.entry(host).or_default();
        if let Some(mac) = known.pinned {
            return Neighbour::Known(mac);
        }
        if let Some(at) = known.given_up {
            if now.saturating_since(at) < Duration::from_secs(5) {
                return Neighbour::Absent;
            }
            *known = Self::default();
        }
        let is_fresh = |(at, _): &(Instant, _)| now.saturating_since(*at) < Duration::from_secs(60);
        let wait = known.asked.last().map(|at| *at + Duration::from_secs(1)).filter(|until| now < *until);
        match (known.heard, wait) {
            (Some((_, mac)), _) if known.heard.as_ref().is_some_and(is_fresh) => Neighbour::Known(mac),
            (Some((_, mac)), Some(_)) => Neighbour::Known(mac),
            (None, Some(until)) => Neighbour::Wait(until),
            (_, None) if known.asked.len() == 3 => {
                known.given_up = Some(now);
                Neighbour::Absent
            }
            (_, None) => {
                known.asked.push(now);
                Neighbour::Ask
            }
        }
    }
}
