//! How sessions live on and how they end (XFER-9).

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test that cannot go on has failed")]

mod common;

use common::{MIB, Pair, done, link, listener, ms, secs, sender};
use wirehaul_core::session::{CloseCode, CloseReason};
use wirehaul_sim::{host::Arena, link::LinkConfig, run::Outcome};

#[test]
fn a_peer_that_vanishes_is_given_up_after_the_idle_time_out() {
    let arena = Arena::new();
    let mut pair = Pair::new(&arena, 1, sender(1, &[100 * MIB]), listener(2), link(50, ms(20)), link(50, ms(20)));
    pair.run.for_span(secs(1));
    let gone = pair.run.now();
    for link in [pair.there, pair.back] {
        pair.run.network().link(link).config_mut().loss_ppm = 1_000_000;
    }
    pair.run.for_span(secs(20));
    for host in [pair.a, pair.b] {
        let (reason, at) = pair.run.host(host).app().flows().next().unwrap().1.closed.unwrap();
        assert_eq!(reason, CloseReason::IdleTimeout);
        let after = at.saturating_since(gone);
        assert!(after >= secs(15) && after < secs(16), "{} ms", after.as_millis());
        assert_eq!(pair.run.host(host).worker().session_count(), 0, "its storage is free again");
    }
}

/// A sender that hears nothing backs off: it does not fill the path with probes.
#[test]
fn probes_into_silence_get_rarer() {
    let arena = Arena::new();
    let mut pair = Pair::new(&arena, 1, sender(1, &[100 * MIB]), listener(2), link(50, ms(20)), link(50, ms(20)));
    pair.run.for_span(secs(1));
    let there = pair.there;
    pair.run.network().link(there).config_mut().loss_ppm = 1_000_000;
    pair.run.for_span(ms(100));
    let before = pair.run.network().link(there).stats().entered.datagrams;
    pair.run.for_span(secs(13));
    let probes = pair.run.network().link(there).stats().entered.datagrams - before;
    assert!((6..=30).contains(&probes), "{probes}");
}

#[test]
fn an_idle_session_stays_up_by_keepalives() {
    let arena = Arena::new();
    let path = LinkConfig { loss_ppm: 100_000, ..link(50, ms(20)) };
    let mut pair = Pair::new(&arena, 1, sender(1, &[]), listener(2), path.clone(), path);
    assert_eq!(pair.run.for_span(secs(600)), Outcome::TimeLimit);
    assert!(pair.run.only_session(pair.a).is_established() && pair.run.only_session(pair.b).is_established());
    let sent = pair.run.network().ledger().sent.datagrams;
    assert!(sent > 150 && sent < 1_200, "{sent} datagrams in ten minutes");
}

/// The peer's shorter idle time-out is kept up with, whatever this end's keepalive was set to.
#[test]
fn a_keepalive_follows_the_peers_idle_time_out() {
    let arena = Arena::new();
    let mut b = listener(2);
    (b.session.idle_timeout, b.session.keepalive) = (secs(1), secs(60));
    let mut pair = Pair::new(&arena, 1, sender(1, &[]), b, link(50, ms(20)), link(50, ms(20)));
    pair.run.for_span(secs(60));
    assert!(pair.run.only_session(pair.a).is_established() && pair.run.only_session(pair.b).is_established());
}

/// RFC 9000 section 10.1: three probes have time to be lost, also where a probe takes as long as the idle time-out.
#[test]
fn a_slow_path_that_is_silent_for_a_while_is_not_given_up() {
    let arena = Arena::new();
    let (mut a, mut b) = (sender(1, &[100 * MIB]), listener(2));
    (a.session.idle_timeout, b.session.idle_timeout) = (ms(1_500), ms(1_500));
    let mut pair = Pair::new(&arena, 1, a, b, link(50, ms(400)), link(50, ms(400)));
    pair.run.for_span(secs(5));
    for (loss_ppm, span) in [(1_000_000, ms(1_700)), (0, secs(5))] {
        for link in [pair.there, pair.back] {
            pair.run.network().link(link).config_mut().loss_ppm = loss_ppm;
        }
        pair.run.for_span(span);
    }
    assert!(pair.run.only_session(pair.a).is_established() && pair.run.only_session(pair.b).is_established());
}

#[test]
fn a_close_is_seen_by_the_peer_even_with_loss() {
    for seed in 0..60 {
        let arena = Arena::new();
        let loss_ppm = if seed == 0 { 0 } else { 200_000 };
        let path = LinkConfig { loss_ppm, ..link(50, ms(20)) };
        let mut pair = Pair::new(&arena, seed, sender(1, &[100 * MIB]), listener(2), path.clone(), path);
        pair.run.for_span(secs(5));
        let (b, now) = (pair.b, pair.run.now());
        // The receiver closes while the sender is in full flight, and so is asked again where its word was lost.
        let (id, session) = pair.run.host(b).worker().sessions().next().unwrap();
        session.close(now, CloseCode(300), "enough");
        pair.run.host(b).wake(now);
        let (a, call) = (pair.a, pair.call);
        done(pair.run.until(secs(30), |run| run.host(a).close_reason(call).is_some()));
        let reason = pair.run.host(a).close_reason(call);
        let told = reason == Some(CloseReason::Peer(CloseCode(300)));
        assert!(told, "seed {seed}: {reason:?}");
        assert_eq!(pair.run.host(b).close_reason(id), Some(CloseReason::Local(CloseCode(300))));
        pair.run.for_span(secs(10));
        assert_eq!(pair.run.host(a).worker().session_count(), 0);
        assert_eq!(pair.run.host(b).worker().session_count(), 0, "seed {seed}{}", pair.describe());
    }
}

/// A CLOSE is not repeated for every packet of a peer in full flight (RFC 9000 section 10.2.1).
#[test]
fn a_close_is_not_repeated_for_every_packet() {
    let arena = Arena::new();
    let path = LinkConfig { delay: ms(100), ..link(100, ms(100)) };
    let mut pair = Pair::new(&arena, 1, sender(1, &[100 * MIB]), listener(2), path.clone(), path);
    pair.run.for_span(secs(4));
    let (b, back, now) = (pair.b, pair.back, pair.run.now());
    let before = pair.run.network().link(back).stats().entered.datagrams;
    pair.run.only_session(b).close(now, CloseCode::DONE, "");
    pair.run.for_span(secs(3));
    let closes = pair.run.network().link(back).stats().entered.datagrams - before;
    assert!((1..=16).contains(&closes), "{closes}");
}

/// Storage that a session gave back serves the next one as if it were new.
#[test]
fn a_slot_is_used_again_and_again() {
    let arena = Arena::new();
    let (mut a, mut b) = (sender(1, &[200_000, 10]), listener(2));
    (a.sessions, b.sessions) = (1, 1);
    a.plan.close_after_streams = Some(0);
    let path = LinkConfig { loss_ppm: 30_000, ..link(50, ms(5)) };
    let mut pair = Pair::new(&arena, 1, a, b, path.clone(), path);
    for round in 0..20 {
        let host = pair.a;
        let ended = |run: &mut wirehaul_sim::run::Run<'_>| {
            run.hosts().all(|host| host.app().flows().all(|(_, flow)| flow.closed.is_some()))
        };
        done(pair.run.until(secs(30), ended));
        // The responder's CLOSE of the last session may have been lost: then it takes its idle time-out.
        pair.run.for_span(secs(20));
        let to = pair.b;
        assert_eq!(pair.run.host(host).worker().session_count(), 0, "round {round}");
        assert_eq!(pair.run.host(to).worker().session_count(), 0, "round {round}");
        pair.run.connect(host, to);
    }
    let to = pair.b;
    done(pair.run.until(secs(30), |run| run.host(to).app().flows().count() == 21));
    pair.complete(secs(30));
    for (_, flow) in pair.run.host(pair.b).app().flows() {
        assert_eq!(flow.received_bytes(), 200_010);
    }
}

/// A host whose every timer is done sleeps: no turn comes of nothing.
#[test]
fn nothing_happens_once_all_is_over() {
    let arena = Arena::new();
    let mut a = sender(1, &[MIB]);
    a.plan.close_after_streams = Some(0);
    let mut pair = Pair::new(&arena, 1, a, listener(2), link(50, ms(20)), link(50, ms(20)));
    assert_eq!(pair.run.for_span(secs(60)), Outcome::Idle);
    assert_eq!(pair.run.host(pair.a).close_reason(pair.call), Some(CloseReason::Local(CloseCode::DONE)));
    assert_eq!(pair.run.host(pair.b).worker().session_count(), 0);
}
