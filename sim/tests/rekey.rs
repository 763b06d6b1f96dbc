//! Key changes under way: data never waits for them (SEC-3).

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test that cannot go on has failed")]

mod common;

use common::{MIB, Pair, bits_per_sec, link, listener, ms, secs, sender, stream};
use wirehaul_sim::{host::Arena, link::LinkConfig};

#[test]
fn keys_change_every_200_packets_under_loss_and_reordering_without_a_stall() {
    for seed in 0..10 {
        let arena = Arena::new();
        let faults = LinkConfig {
            loss_ppm: 10_000,
            reorder_ppm: 50_000,
            reorder_by: ms(5),
            duplicate_ppm: 10_000,
            ..link(50, ms(10))
        };
        let (mut a, mut b) = (sender(1, &[2 * MIB]), listener(2));
        a.session.rekey_packets = 200;
        b.plan.send = vec![(stream(0), 2 * MIB)];
        let mut pair = Pair::new(&arena, seed, a, b, faults.clone(), faults);
        pair.complete(secs(60));
        let b = pair.b;
        let (ours, theirs) = (pair.run.stats(pair.a, pair.call), pair.run.only_session(b).stats());
        // 200 packets and two round trips for the exchange itself.
        assert!(ours.epochs >= 5, "{}", ours.epochs);
        assert!(ours.epochs - theirs.epochs <= 1);
    }
}

/// On a clean path no packet is refused around a change, and the rate is that of a session that never changes keys.
#[test]
fn a_change_of_keys_costs_nothing_on_a_clean_path() {
    let mut took = Vec::new();
    for rekey_packets in [1 << 20, 200] {
        let arena = Arena::new();
        let mut a = sender(1, &[8 * MIB]);
        a.session.rekey_packets = rekey_packets;
        let path = LinkConfig { buffer_bytes: None, ..link(50, ms(20)) };
        let mut pair = Pair::new(&arena, 1, a, listener(2), path.clone(), path);
        took.push(pair.complete(secs(10)));
        let b = pair.b;
        let rejects = pair.run.only_session(b).stats().rejects;
        assert_eq!(rejects.total(), 0, "{rejects:?}");
        assert_eq!(pair.run.stats(pair.a, pair.call).epochs >= 3, rekey_packets == 200);
    }
    assert!(took[1] < took[0] + ms(20), "{took:?}, {} bit/s", bits_per_sec(8 * MIB, took[1]));
}

/// SEC-3: keys also change by time, and a session that is idle otherwise does not spin over it.
#[test]
fn keys_change_by_time_on_an_idle_session() {
    let arena = Arena::new();
    let mut a = sender(1, &[]);
    a.session.rekey_interval = secs(120);
    let mut pair = Pair::new(&arena, 1, a, listener(2), link(50, ms(20)), link(50, ms(20)));
    pair.run.for_span(secs(1210));
    let b = pair.b;
    assert_eq!(pair.run.stats(pair.a, pair.call).epochs, 10);
    assert_eq!(pair.run.only_session(b).stats().epochs, 10);
}

/// BBR-7: a copy of an offer that is lost after the answer came has nothing to say again, and does not stay in flight for good.
#[test]
fn a_lost_copy_of_an_offer_that_was_answered_is_settled() {
    let arena = Arena::new();
    let mut a = sender(1, &[]);
    a.session.rekey_interval = secs(3);
    let mut pair = Pair::new(&arena, 1, a, listener(2), link(50, ms(20)), link(50, ms(20)));
    pair.run.for_span(secs(1));
    let stats = |pair: &mut Pair<'_>| {
        let (a, call) = (pair.a, pair.call);
        pair.run.stats(a, call)
    };
    while stats(&mut pair).inflight_bytes == 0 {
        pair.run.for_span(ms(1));
    }
    // The answer takes long, and the copies of the offer that are sent meanwhile are lost.
    let (there, back) = (pair.there, pair.back);
    pair.run.network().link(there).config_mut().loss_ppm = 1_000_000;
    pair.run.network().link(back).config_mut().delay = ms(150);
    pair.run.for_span(ms(200));
    let lost = stats(&mut pair);
    assert!(lost.epochs == 1 && lost.probe_timeouts > 0 && lost.inflight_bytes > 0, "{lost:?}");
    pair.run.network().link(there).config_mut().loss_ppm = 0;
    pair.run.network().link(back).config_mut().delay = ms(20);
    // Sooner than a keepalive, or the next change of keys, would settle it.
    pair.run.for_span(ms(1500));
    assert_eq!(stats(&mut pair).inflight_bytes, 0, "{}", pair.describe());
}

/// Keys that are to change more often than the path allows change as often as it does.
#[test]
fn an_interval_below_the_round_trip_time_does_not_spin() {
    let arena = Arena::new();
    let mut a = sender(1, &[MIB]);
    a.session.rekey_interval = ms(1);
    let mut pair = Pair::new(&arena, 1, a, listener(2), link(50, ms(50)), link(50, ms(50)));
    pair.complete(secs(10));
    pair.run.for_span(secs(10));
    let epochs = pair.run.stats(pair.a, pair.call).epochs;
    assert!(epochs >= 5, "{epochs}");
    // An exchange and its ACKs are a handful of datagrams.
    let sent = pair.run.network().ledger().sent.datagrams;
    assert!(sent < 1_500, "{sent}");
}

/// The packet that carries the answer, and the answer to the answer, may be lost any number of times.
#[test]
fn a_lost_key_exchange_is_repeated() {
    for seed in 0..20 {
        let arena = Arena::new();
        let mut a = sender(1, &[]);
        (a.session.rekey_interval, a.session.handshake_timeout) = (secs(1), secs(30));
        let mut b = listener(2);
        b.session.handshake_timeout = secs(30);
        // At this loss the usual fifteen seconds may well pass without a packet.
        (a.session.idle_timeout, b.session.idle_timeout) = (secs(60), secs(60));
        let path = LinkConfig { loss_ppm: 400_000, ..link(50, ms(20)) };
        let mut pair = Pair::new(&arena, seed, a, b, path.clone(), path);
        pair.run.for_span(secs(60));
        let Some(session) = pair.run.host(pair.a).worker().sessions().next().map(|(_, session)| session.stats()) else {
            panic!("seed {seed}: the session ended");
        };
        assert!(session.epochs >= 2, "seed {seed}: {} epochs{}", session.epochs, pair.describe());
    }
}
