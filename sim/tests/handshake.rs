//! Who gets a session, who does not, and what each of them is told (SEC-1, SEC-4, XFER-9).

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test that cannot go on has failed")]

mod common;

use common::{MIB, Pair, done, link, listener, ms, secs, sender};
use wirehaul_core::{
    crypto::HandshakeError,
    device::Ecn,
    limits::{AMPLIFICATION_LIMIT, MIN_DATAGRAM_BYTES},
    session::{CloseCode, CloseReason},
    time::Duration,
    wire::{InitBody, PacketFlags, PacketHeader, PacketKind, Reject, VersionBody},
};
use wirehaul_sim::{
    crypto::COMMON_PSK,
    host::{Arena, HostConfig, Room, address},
    link::LinkConfig,
    network::Datagram,
    run::Run,
};

fn lossy(loss_ppm: u32) -> LinkConfig {
    LinkConfig { loss_ppm, ..link(50, ms(20)) }
}

/// Runs a call until it ends; returns why, and after how long.
fn refused(a: HostConfig, b: HostConfig, limit: Duration) -> (CloseReason, Duration) {
    let arena = Arena::new();
    let mut pair = Pair::new(&arena, 1, a, b, link(50, ms(20)), link(50, ms(20)));
    let start = pair.run.now();
    let (host, call) = (pair.a, pair.call);
    done(pair.run.until(limit, |run| run.host(host).close_reason(call).is_some()));
    let took = pair.run.now().saturating_since(start);
    (pair.run.host(pair.a).close_reason(pair.call).unwrap(), took)
}

#[test]
fn thirty_percent_loss_does_not_stop_a_handshake() {
    for seed in 0..40 {
        let arena = Arena::new();
        let mut a = sender(1, &[1]);
        a.session.handshake_timeout = secs(20);
        let mut b = listener(2);
        b.session.handshake_timeout = secs(20);
        let mut pair = Pair::new(&arena, seed, a, b, lossy(300_000), lossy(300_000));
        pair.complete(secs(30));
    }
}

/// SEC-4: whatever an address sends, the answer to it stays within three times that until it is validated.
#[test]
fn an_address_that_was_not_validated_gets_at_most_three_times_what_it_sent() {
    let arena = Arena::new();
    let mut run = Run::new(&arena, 3);
    let (b, victim) = (run.add_host(listener(2)), address(9));
    let mut a = Pair::new(&arena, 3, sender(1, &[]), listener(2), link(50, ms(1)), link(50, ms(1)));
    a.run.network().record();
    a.run.for_span(ms(1));
    let init = a.run.network().recorded()[0].clone();
    assert_eq!(init.bytes.len(), MIN_DATAGRAM_BYTES);

    let back = run.network().add_link(LinkConfig::default());
    let to = run.host(b).address();
    run.network().route(to, victim, &[back]);
    for repeat in 0..200_u64 {
        let at = run.now() + ms(repeat * 10);
        run.network().inject(at, Datagram { from: victim, to, ..init.clone() });
    }
    run.for_span(secs(10));
    let (got, sent) = (run.network().ledger().injected.bytes, run.network().ledger().sent.bytes);
    assert!(sent > 0 && sent <= AMPLIFICATION_LIMIT * got, "{sent} for {got}");
    assert_eq!(run.host(b).worker().session_count(), 0, "a half-open session is given up");

    // One INIT alone is answered once, however long its sender is silent.
    let before = run.network().ledger().sent;
    let now = run.now();
    run.network().inject(now, Datagram { from: victim, to, ..init.clone() });
    run.for_span(secs(10));
    let answer = run.network().ledger().sent.bytes - before.bytes;
    assert!(answer > 0 && answer <= AMPLIFICATION_LIMIT * init.bytes.len() as u64, "{answer}");
}

/// SEC-4: under a flood of first messages a cookie is asked for, nothing is kept for those that do not show it, no
/// public-key work is done for them, and a genuine initiator still gets in.
#[test]
fn under_load_a_cookie_is_asked_for_and_the_genuine_initiator_gets_in() {
    let arena = Arena::new();
    let mut b = listener(2);
    b.sessions = 32;
    let mut pair = Pair::new(&arena, 4, sender(1, &[MIB]), b, link(100, ms(10)), link(100, ms(10)));
    pair.run.network().record();
    let to = pair.run.host(pair.b).address();
    let nowhere = pair.run.network().add_link(LinkConfig::default());
    // The flood: each INIT authentic, from its own address, with its own index, as somebody with the ticket could.
    for number in 0..400_u16 {
        let mut other = Run::new(&arena, 1000 + u64::from(number));
        let small = Room { sent: 64, packet_gaps: 8, streams: 1, stream_gaps: 8 };
        let id = other.add_host(HostConfig { sessions: 1, room: small, ..sender(100 + number, &[]) });
        let from = other.host(id).address();
        other.network().record();
        let link = other.network().add_link(LinkConfig::default());
        other.network().route(from, to, &[link]);
        other.connect_to(id, to);
        other.for_span(ms(1));
        let init = other.network().recorded()[0].clone();
        pair.run.network().route(to, from, &[nowhere]);
        let at = pair.run.now() + Duration::from_micros(50 * u64::from(number));
        pair.run.network().inject(at, init);
    }
    pair.complete(secs(5));
    let host = pair.run.host(pair.b);
    assert!(host.worker().rejects().get(Reject::CookieInvalid) > 300);
    assert!(host.worker().session_count() <= 10, "{} kept", host.worker().session_count());
    // Eight half-open ones at most, and the genuine one, at a handful of operations each.
    assert!(host.work().public_key_operations() < 60, "{}", host.work().public_key_operations());
    let recorded = pair.run.network().recorded();
    let cookies = recorded.iter().filter(|datagram| datagram.bytes[0] == PacketKind::Cookie as u8).count();
    assert!(cookies > 0, "the genuine initiator was asked for a cookie");
}

#[test]
fn an_unknown_pre_shared_key_is_refused_after_a_grace() {
    let mut a = sender(1, &[MIB]);
    a.identity.psks = vec![(*b"unknown!", 5)];
    let (reason, took) = refused(a, listener(2), secs(10));
    assert_eq!(reason, CloseReason::Refused(HandshakeError::Unauthentic));
    assert!(took >= ms(500) && took < secs(1), "{took:?}");
}

/// An INIT that does not authenticate may be anybody's: it is met with silence, and costs no public-key work (SEC-4).
#[test]
fn a_wrong_secret_under_a_known_name_is_met_with_silence() {
    let arena = Arena::new();
    let mut a = sender(1, &[MIB]);
    a.identity.psks = vec![(COMMON_PSK.0, 666)];
    let mut pair = Pair::new(&arena, 1, a, listener(2), link(50, ms(20)), link(50, ms(20)));
    let (host, call) = (pair.a, pair.call);
    done(pair.run.until(secs(10), |run| run.host(host).close_reason(call).is_some()));
    assert_eq!(pair.run.host(host).close_reason(call), Some(CloseReason::HandshakeTimeout));
    let responder = pair.run.host(pair.b);
    assert_eq!(responder.work().public_key_operations(), 0);
    assert!(responder.worker().rejects().get(Reject::HandshakeUnauthentic) > 1);
    let back = pair.back;
    assert_eq!(pair.run.network().link(back).stats().entered.datagrams, 0);
}

/// A refusal in the clear proves nothing: a forged one does not end a handshake that gets its answer in time.
#[test]
fn a_forged_refusal_does_not_stop_a_genuine_answer() {
    let arena = Arena::new();
    let mut pair = Pair::new(&arena, 1, sender(1, &[MIB]), listener(2), link(50, ms(20)), link(50, ms(20)));
    let (from, to) = (pair.run.host(pair.b).address(), pair.run.host(pair.a).address());
    let index = pair.run.only_session(pair.a).local_index();
    let mut bytes = vec![0; 16];
    PacketHeader { kind: PacketKind::Refused, flags: PacketFlags::empty(), receiver: index, packet_number_low: 0 }
        .write(&mut bytes)
        .unwrap();
    bytes[12] = 1;
    let at = pair.run.now() + ms(5);
    pair.run.network().inject(at, Datagram { from, to, ecn: Ecn::NotEct, bytes });
    pair.complete(secs(5));
}

#[test]
fn a_peer_of_another_version_is_told_so() {
    let arena = Arena::new();
    let mut run = Run::new(&arena, 1);
    let (a, to) = (run.add_host(sender(1, &[MIB])), address(2));
    let from = run.host(a).address();
    let link = run.network().add_link(LinkConfig { delay: ms(10), ..LinkConfig::default() });
    run.network().route(from, to, &[link]);
    let call = run.connect_to(a, to);
    // A responder of versions 2 and 3, by hand.
    let receiver = run.only_session(a).local_index();
    let mut bytes = vec![0; 64];
    PacketHeader { kind: PacketKind::Version, flags: PacketFlags::empty(), receiver, packet_number_low: 0 }
        .write(&mut bytes)
        .unwrap();
    let len = 12 + VersionBody::write([2, 3].into_iter(), &mut bytes[12..]).unwrap();
    bytes.truncate(len);
    let at = run.now() + ms(20);
    run.network().inject(at, Datagram { from: to, to: from, ecn: Ecn::NotEct, bytes });
    done(run.until(secs(10), |run| run.host(a).close_reason(call).is_some()));
    assert_eq!(run.host(a).close_reason(call), Some(CloseReason::Version(3)));
}

#[test]
fn an_initiator_of_another_version_gets_the_list_and_no_session() {
    let arena = Arena::new();
    let mut pair = Pair::new(&arena, 1, sender(1, &[]), listener(2), link(50, ms(1)), link(50, ms(1)));
    pair.run.network().record();
    pair.run.for_span(Duration::ZERO);
    let mut init = pair.run.network().recorded()[0].clone();
    init.from = address(7);
    init.bytes[13] = 9;
    let mut run = Run::new(&arena, 1);
    let b = run.add_host(listener(2));
    let back = run.network().add_link(LinkConfig::default());
    let to = run.host(b).address();
    run.network().route(to, address(7), &[back]);
    run.network().record();
    let now = run.now();
    run.network().inject(now, init.clone());
    run.for_span(ms(10));
    let answer = run.network().recorded()[0].clone();
    let (header, body) = PacketHeader::parse(&answer.bytes).unwrap();
    assert_eq!(header.kind, PacketKind::Version);
    assert_eq!(header.receiver, InitBody::version_and_sender(&init.bytes[12..]).unwrap().1);
    assert!(VersionBody::parse(&answer.bytes[body..]).unwrap().versions.contains(1));
    assert_eq!(run.host(b).worker().session_count(), 0);
    assert_eq!(run.host(b).worker().rejects().get(Reject::BadVersion), 1);
}

/// XFER-9: the initiator learns that its key is not known, even where the first CLOSE is lost.
#[test]
fn an_initiator_whose_key_is_unknown_is_told() {
    for seed in 0..20 {
        let arena = Arena::new();
        let mut b = listener(2);
        b.identity.known = Some(vec![77]);
        let path = if seed == 0 { lossy(0) } else { lossy(100_000) };
        let mut pair = Pair::new(&arena, seed, sender(1, &[MIB]), b, path.clone(), path);
        let (host, call) = (pair.a, pair.call);
        done(pair.run.until(secs(20), |run| run.host(host).close_reason(call).is_some()));
        let reason = pair.run.host(pair.a).close_reason(pair.call);
        assert_eq!(reason, Some(CloseReason::Peer(CloseCode::UNKNOWN_PEER)), "seed {seed}");
        let b = pair.b;
        assert_eq!(pair.run.host(b).app().flows().filter(|(_, flow)| flow.connected_at.is_some()).count(), 0);
    }
}

#[test]
fn an_initiator_refuses_a_responder_that_it_does_not_know() {
    let mut a = sender(1, &[MIB]);
    a.identity.known = Some(vec![77]);
    let (reason, _) = refused(a, listener(2), secs(10));
    assert_eq!(reason, CloseReason::Refused(HandshakeError::UnknownPeer));
}

#[test]
fn nobody_there_is_a_time_out_and_no_route_is_said_at_once() {
    let silent = HostConfig::new(2);
    let (reason, took) = refused(sender(1, &[1]), silent, secs(10));
    assert_eq!(reason, CloseReason::HandshakeTimeout);
    assert_eq!(took, secs(5));

    let arena = Arena::new();
    let mut run = Run::new(&arena, 1);
    let a = run.add_host(sender(1, &[1]));
    let call = run.connect_to(a, address(2));
    run.for_span(ms(1));
    assert_eq!(run.host(a).close_reason(call), Some(CloseReason::Unreachable));
}

#[test]
fn a_full_house_and_another_application_are_said_so() {
    let mut b = listener(2);
    b.sessions = 0;
    assert_eq!(refused(sender(1, &[1]), b, secs(10)).0, CloseReason::Busy);
    let mut b = listener(2);
    b.session.application = 9;
    let (reason, _) = refused(sender(1, &[1]), b, secs(10));
    assert_eq!(reason, CloseReason::Refused(HandshakeError::Malformed));
    let mut b = listener(2);
    b.session.suites = wirehaul_core::crypto::SuiteSet::EMPTY.with(wirehaul_core::crypto::Suite::Aes256Gcm);
    assert_eq!(refused(sender(1, &[1]), b, secs(10)).0, CloseReason::NoCommonSuite);
}

/// Each message of the handshake may come twice or late without harm, and an idle pair falls silent soon after.
#[test]
fn a_handshake_is_confirmed_without_data() {
    let arena = Arena::new();
    let duplicated = LinkConfig { duplicate_ppm: 1_000_000, ..link(50, ms(20)) };
    let mut pair = Pair::new(&arena, 1, sender(1, &[]), listener(2), duplicated.clone(), duplicated);
    pair.run.network().record();
    pair.run.for_span(secs(3));
    let sent = pair.run.network().recorded();
    let finishes = sent.iter().filter(|datagram| datagram.bytes[0] == PacketKind::Finish as u8).count();
    assert_eq!(finishes, 1, "FINISH is not repeated once it was confirmed");
    assert!(sent.len() <= 8, "{} datagrams", sent.len());
}
