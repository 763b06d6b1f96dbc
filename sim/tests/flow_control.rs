//! How much may be under way: windows that are kept, that grow where the path is long and stay small where it is not,
//! and senders with little storage.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test that cannot go on has failed")]

mod common;

use common::{MIB, Pair, bits_per_sec, link, listener, mbit, ms, secs, sender};
use wirehaul_core::time::Duration;
use wirehaul_sim::{
    bulk::{Appetite, Flow},
    host::{Arena, Room},
    link::LinkConfig,
    run::Run,
};

fn receiver_flow<'r>(pair: &'r mut Pair<'_>) -> &'r Flow {
    let b = pair.b;
    pair.run.host(b).app().flows().next().unwrap().1
}

#[test]
fn a_slow_consumer_never_holds_more_than_its_window() {
    for (max_window_bytes, rate) in [(256 << 10, 20), (1 << 20, 5)] {
        let arena = Arena::new();
        let mut b = listener(2);
        (b.session.initial_window_bytes, b.session.max_window_bytes) = (64 << 10, max_window_bytes);
        b.plan.appetite = Appetite { delay: ms(1), rate: Some(mbit(rate)), ..Appetite::default() };
        let mut pair = Pair::new(&arena, 1, sender(1, &[4 * MIB]), b, link(100, ms(20)), link(100, ms(20)));
        let took = pair.complete(secs(30));
        let peak = receiver_flow(&mut pair).peak_held_bytes;
        assert!(peak <= max_window_bytes, "{peak} held of {max_window_bytes}");
        // The consumer, and nothing else, sets the pace.
        let pace = bits_per_sec(4 * MIB, took);
        assert!(pace > rate * 850_000, "{pace} bit/s at a consumer of {rate} Mbit/s");
    }
}

/// A path of 100 ms at 100 Mbit/s holds 1.25 MB: a window that starts at 64 KiB must grow to fill it.
#[test]
fn the_window_grows_until_a_long_path_is_full() {
    let arena = Arena::new();
    let mut b = listener(2);
    b.session.initial_window_bytes = 64 << 10;
    let mut pair = Pair::new(&arena, 1, sender(1, &[400 * MIB]), b, link(100, ms(50)), link(100, ms(50)));
    pair.run.for_span(secs(4));
    let before = receiver_flow(&mut pair).received_bytes();
    pair.run.for_span(secs(6));
    let received = receiver_flow(&mut pair).received_bytes() - before;
    let rate = bits_per_sec(received, secs(6));
    assert!(rate > 90_000_000, "{rate} bit/s\n{}", pair.describe());
}

#[test]
fn the_window_stays_small_on_a_short_path() {
    let arena = Arena::new();
    let mut b = listener(2);
    b.session.initial_window_bytes = 256 << 10;
    // The consumer lags by a millisecond, so that the window is what the peer has to wait for.
    b.plan.appetite = Appetite { delay: ms(1), rate: Some(mbit(800)), ..Appetite::default() };
    let path = link(1000, Duration::from_micros(50));
    let mut pair = Pair::new(&arena, 1, sender(1, &[64 * MIB]), b, path.clone(), path);
    pair.complete(secs(5));
    let peak = receiver_flow(&mut pair).peak_held_bytes;
    assert!(peak <= 256 << 10, "{peak} held");
}

/// A cap that is kept by credit alone: two peers on paths of their own, which know nothing of it, get the whole of it together,
/// and half of it each, though one of them is ten times as far away.
#[test]
fn two_peers_share_a_receiver_s_cap_and_use_it_up() {
    let arena = Arena::new();
    let mut run = Run::new(&arena, 1);
    let mut b = listener(9);
    b.plan.appetite.cap = Some(mbit(40));
    let b = run.add_host(b);
    for (number, delay) in [(1, 3), (2, 30)] {
        let a = run.add_host(sender(number, &[400 * MIB]));
        run.join(a, b, link(200, ms(delay)), link(200, ms(delay)));
        run.connect(a, b);
    }
    let received =
        |run: &mut Run<'_>| -> Vec<u64> { run.host(b).app().flows().map(|(_, flow)| flow.received_bytes()).collect() };
    // The first windows came without a grant.
    run.for_span(secs(3));
    let before = received(&mut run);
    run.for_span(secs(40));
    let after = received(&mut run);
    let [near, far] = [0, 1].map(|flow| bits_per_sec(after[flow] - before[flow], secs(40)));
    assert!((near + far).abs_diff(40_000_000) < 400_000, "{near} and {far} bit/s");
    assert!(near.abs_diff(far) < 400_000, "{near} and {far} bit/s");
}

/// A window update that is lost is told again: nobody waits for ever.
#[test]
fn lost_window_updates_are_repeated() {
    for seed in 0..10 {
        let arena = Arena::new();
        let mut b = listener(2);
        (b.session.initial_window_bytes, b.session.max_window_bytes) = (20_000, 20_000);
        let back = LinkConfig { loss_ppm: 300_000, ..link(50, ms(5)) };
        let mut pair = Pair::new(&arena, seed, sender(1, &[MIB, MIB]), b, link(50, ms(5)), back);
        pair.complete(secs(60));
    }
}

/// A sender with storage for 64 packets: slow on a long path, but never stuck, whatever is lost.
#[test]
fn a_sender_with_tiny_storage_gets_through() {
    for (seed, loss_ppm) in [(1, 0), (2, 50_000), (3, 200_000)] {
        let arena = Arena::new();
        let mut a = sender(1, &[MIB]);
        a.room = Room { sent: 64, packet_gaps: 8, streams: 1, stream_gaps: 2 };
        let mut b = listener(2);
        b.room = a.room;
        let path = LinkConfig { loss_ppm, ..link(50, ms(10)) };
        let mut pair = Pair::new(&arena, seed, a, b, path.clone(), path);
        let took = pair.complete(secs(60));
        if loss_ppm == 0 {
            // 48 packets per round trip of 20 ms are 28 Mbit/s.
            assert!(bits_per_sec(MIB, took) > 15_000_000, "{} ms", took.as_millis());
        }
    }
}

/// All of a tiny storage is lost at once: probes must find room.
#[test]
fn an_outage_that_takes_all_records_is_survived() {
    let arena = Arena::new();
    let mut a = sender(1, &[4 * MIB]);
    a.room.sent = 64;
    let start = Run::new(&arena, 0).now();
    let path = LinkConfig { outages: vec![(start + ms(500), start + ms(2_500))], ..link(50, ms(10)) };
    let mut pair = Pair::new(&arena, 1, a, listener(2), path.clone(), path);
    let took = pair.complete(secs(30));
    assert!(took < secs(6), "{} ms", took.as_millis());
}
