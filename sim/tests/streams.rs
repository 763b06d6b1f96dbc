//! What two ends tell each other about streams and themselves: STREAM_OPEN, STREAM_RESET, STREAM_CLOSE, GOAWAY, PING and
//! VERSION_NEGOTIATION (FRAME-1).

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test that cannot go on has failed")]

mod common;

use common::{MIB, Pair, link, listener, ms, secs, sender, stream};
use wirehaul_core::limits::VERSION;
use wirehaul_sim::{
    bulk::Flow,
    host::Arena,
    link::LinkConfig,
    run::{HostId, Run},
};

fn flow_of<'r>(run: &'r Run<'_>, host: HostId) -> &'r Flow {
    run.host_ref(host).app().flows().next().unwrap().1
}

/// A stream that its sender gives up is over for the receiver, whatever of it was lost, and the others go on.
#[test]
fn a_stream_that_is_given_up_ends_with_its_code() {
    for seed in 0..10 {
        let arena = Arena::new();
        let lossy = LinkConfig { loss_ppm: 50_000, ..link(20, ms(10)) };
        let mut pair = Pair::new(&arena, seed, sender(1, &[50 * MIB, MIB]), listener(2), lossy.clone(), lossy);
        pair.run.for_span(ms(300));
        let (a, b) = (pair.a, pair.b);
        let session = pair.run.only_session(a);
        assert!(session.reset_stream(stream(0), 77));
        assert!(!session.reset_stream(stream(0), 78), "once");
        assert!(!session.provide(stream(0), 60 * MIB, true), "nothing more of it");
        assert!(!session.reset_stream(stream(9), 1), "not one that is not open");
        pair.run.for_span(secs(20));
        let flow = flow_of(&pair.run, b);
        assert_eq!(flow.resets, [(stream(0), 77)]);
        assert!(flow.incoming[&stream(1)].finished);
        assert!(flow.incoming.get(&stream(0)).is_none_or(|incoming| !incoming.finished));
        let stats = pair.run.only_session(a).stats();
        assert!(stats.inflight_bytes == 0 && stats.stream_bytes_sent < 5 * MIB, "{stats:?}");
        assert!(!pair.run.only_session(a).reset_stream(stream(1), 1), "all of it is there");
    }
}

/// All streams that a session can have, opened and given up at once, more than one packet may speak of.
#[test]
fn sixteen_streams_may_be_given_up_at_once() {
    let arena = Arena::new();
    let (mut a, mut b) = (sender(1, &[]), listener(2));
    (a.room.streams, b.room.streams) = (16, 16);
    let mut pair = Pair::new(&arena, 1, a, b, link(50, ms(10)), link(50, ms(10)));
    pair.run.for_span(ms(200));
    let (a, b) = (pair.a, pair.b);
    let now = pair.run.now();
    let session = pair.run.only_session(a);
    for n in 0..16 {
        assert!(session.open_stream_with(stream(n), 0, n as u8, now) && session.reset_stream(stream(n), n));
    }
    pair.run.for_span(secs(1));
    assert_eq!(flow_of(&pair.run, b).resets.len(), 16);
    let stats = pair.run.only_session(b).stats();
    assert_eq!(stats.rejects.total(), 0, "{:?}", stats.rejects);
}

/// The bytes that were given up count for the connection's window at both ends alike: it does not leak.
#[test]
fn streams_that_are_given_up_leave_the_connection_s_window_whole() {
    let arena = Arena::new();
    let (mut a, mut b) = (sender(1, &[MIB, MIB, MIB, 4 * MIB]), listener(2));
    for host in [&mut a, &mut b] {
        host.session.initial_window_bytes = 200_000;
        host.session.max_window_bytes = 200_000;
    }
    let lossy = LinkConfig { loss_ppm: 50_000, ..link(20, ms(10)) };
    let mut pair = Pair::new(&arena, 3, a, b, lossy.clone(), lossy);
    let (a, b) = (pair.a, pair.b);
    for n in 0..3 {
        pair.run.for_span(ms(200));
        assert!(pair.run.only_session(a).reset_stream(stream(n), n));
    }
    pair.run.for_span(secs(30));
    assert!(flow_of(&pair.run, b).incoming[&stream(3)].finished, "{}", pair.describe());
}

/// A stream of a lower priority number goes first, although it was opened later.
#[test]
fn streams_go_by_priority() {
    let arena = Arena::new();
    let (mut a, b) = (sender(1, &[]), listener(2));
    a.room.streams = 4;
    let mut pair = Pair::new(&arena, 1, a, b, link(10, ms(10)), link(10, ms(10)));
    pair.run.for_span(ms(200));
    let (a, b) = (pair.a, pair.b);
    let (now, call) = (pair.run.now(), pair.call);
    let bytes = 2 * MIB;
    for (n, priority) in [(0, 9), (1, 3)] {
        assert!(pair.run.only_session(a).open_stream_with(stream(n), 0, priority, now));
        pair.run.host(a).promise(call, stream(n), bytes);
    }
    pair.run.for_span(ms(1_000));
    let got = |run: &Run<'_>, n| flow_of(run, b).incoming.get(&stream(n)).map_or(0, |incoming| incoming.bytes);
    assert!(got(&pair.run, 1) > 20 * got(&pair.run, 0).max(1), "{} {}", got(&pair.run, 0), got(&pair.run, 1));
    pair.run.for_span(secs(10));
    assert_eq!((got(&pair.run, 0), got(&pair.run, 1)), (bytes, bytes));
}

/// STREAM_OPEN grants a window beyond that of the handshake: the peer fills it without another word.
#[test]
fn a_stream_may_be_opened_with_a_larger_window() {
    for (window, reaches) in [(0, 64 << 10), (MIB, MIB), (100 * MIB, 64 * MIB)] {
        let arena = Arena::new();
        let (mut a, b) = (sender(1, &[]), listener(2));
        a.session.initial_window_bytes = 64 << 10;
        // It never takes what arrives.
        a.plan.appetite.delay = secs(10_000);
        let mut pair = Pair::new(&arena, 1, a, b, link(50, ms(10)), link(50, ms(10)));
        pair.run.for_span(ms(200));
        let (a, b) = (pair.a, pair.b);
        let now = pair.run.now();
        assert!(pair.run.only_session(a).open_stream_with(stream(0), window, 0, now));
        pair.run.for_span(ms(100));
        let id = pair.run.host(b).worker().sessions().next().unwrap().0;
        pair.run.host(b).promise(id, stream(0), 200 * MIB);
        pair.run.for_span(secs(20));
        let got = flow_of(&pair.run, a).incoming[&stream(0)].bytes;
        assert_eq!(got, reaches, "{window}");
    }
}

/// GOAWAY: what is open goes on, and the peer opens nothing more.
#[test]
fn after_goaway_open_streams_go_on_and_no_new_one_is_opened() {
    let arena = Arena::new();
    let lossy = LinkConfig { loss_ppm: 50_000, ..link(20, ms(10)) };
    let mut pair = Pair::new(&arena, 1, sender(1, &[MIB]), listener(2), lossy.clone(), lossy);
    pair.run.for_span(ms(300));
    let (a, b) = (pair.a, pair.b);
    pair.run.only_session(b).go_away(3);
    pair.complete(secs(10));
    assert!(flow_of(&pair.run, a).peer_is_leaving);
    let now = pair.run.now();
    assert!(!pair.run.only_session(a).open_stream(stream(5), now));
    assert!(pair.run.only_session(b).open_stream(stream(6), now), "the one that leaves may");
}

#[test]
fn a_ping_measures_the_round_trip_and_only_the_newest_is_answered() {
    let arena = Arena::new();
    let mut pair = Pair::new(&arena, 1, sender(1, &[]), listener(2), link(50, ms(20)), link(50, ms(20)));
    pair.run.for_span(secs(1));
    let a = pair.a;
    pair.run.only_session(a).ping();
    pair.run.for_span(secs(1));
    let trips = &flow_of(&pair.run, a).round_trips;
    assert_eq!(trips.len(), 1);
    assert!((ms(40)..ms(41)).contains(&trips[0]), "{trips:?}");
    pair.run.only_session(a).ping();
    pair.run.for_span(ms(10));
    pair.run.only_session(a).ping();
    pair.run.for_span(secs(1));
    let trips = &flow_of(&pair.run, a).round_trips;
    assert_eq!(trips.len(), 2, "{trips:?}");
    assert!((ms(40)..ms(41)).contains(&trips[1]), "{trips:?}");
}

/// The end that was called says under encryption which versions it speaks.
#[test]
fn the_caller_learns_the_peer_s_versions() {
    let arena = Arena::new();
    let mut pair = Pair::new(&arena, 1, sender(1, &[]), listener(2), link(50, ms(20)), link(50, ms(20)));
    pair.run.for_span(secs(1));
    let (a, b) = (pair.a, pair.b);
    assert_eq!(pair.run.only_session(a).stats().peer_newest_version, VERSION);
    assert_eq!(pair.run.only_session(b).stats().peer_newest_version, 0, "nobody asked the caller");
}
