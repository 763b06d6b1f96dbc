//! Transfers over paths of every kind: whole, in order of nothing, and in reasonable time (XFER, SIM-1, SIM-4).

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::print_stdout,
    reason = "a test that cannot go on has failed"
)]

mod common;

use common::{MIB, Pair, bits_per_sec, link, listener, ms, secs, sender, stream};
use wirehaul_core::congestion::ControllerKind;
use wirehaul_sim::{
    host::Arena,
    link::{Burst, DropReason, LinkConfig},
};

#[test]
fn a_clean_path_carries_both_directions_and_many_streams_at_once() {
    let arena = Arena::new();
    let mut b = listener(2);
    b.plan.send = vec![(stream(0), 2 * MIB), (stream(9), MIB), (stream(10), 0)];
    let a = sender(1, &[3 * MIB, 1, 0, MIB + 7, 65_536]);
    let mut pair = Pair::new(&arena, 1, a, b, link(100, ms(10)), link(100, ms(10)));
    let took = pair.complete(secs(10));
    assert!(took < secs(1), "{took:?}");
    let stats = pair.run.stats(pair.a, pair.call);
    assert_eq!(stats.stream_bytes_sent, 4 * MIB + 8 + 65_536);
}

/// Loss of this many parts per million in both directions; returns the goodput of the slowest of three seeds.
fn goodput(loss_ppm: u32, bytes: u64) -> u64 {
    let path = LinkConfig { loss_ppm, ..link(50, ms(10)) };
    let rates = (0..3).map(|seed| {
        let arena = Arena::new();
        let mut a = sender(1, &[bytes]);
        a.session.controller = ControllerKind::Cubic;
        let mut pair = Pair::new(&arena, seed, a, listener(2), path.clone(), path.clone());
        let took = pair.complete(secs(60));
        let stats = pair.run.stats(pair.a, pair.call);
        // What is sent again is what was lost, and little more: probes, and a few that were only late.
        let lost = bytes * u64::from(loss_ppm) / 1_000_000;
        assert!(stats.stream_bytes_resent < lost * 2 + 100_000, "seed {seed}{}", pair.describe());
        bits_per_sec(bytes, took)
    });
    rates.min().unwrap()
}

/// A loss-based controller's rate falls with the square root of the loss: 1.2 * 1472 B / 20 ms / sqrt(p), after Mathis,
/// is 7 Mbit/s at 1 %, 3 at 5 % and 1.6 at 20 %, where time-outs cost most of it.
#[test]
fn random_loss_slows_a_transfer_down_and_does_not_stop_it() {
    for (loss_ppm, bytes, least) in
        [(10_000, 8 * MIB, 4_000_000), (50_000, 4 * MIB, 1_800_000), (200_000, MIB, 400_000)]
    {
        let rate = goodput(loss_ppm, bytes);
        assert!(rate > least, "{rate} bit/s at a loss of {loss_ppm} ppm");
    }
}

#[test]
fn losses_in_bursts_are_recovered() {
    for seed in 0..5 {
        let burst = Some(Burst { enter_ppm: 4_000, leave_ppm: 150_000, loss_ppm: 900_000 });
        let arena = Arena::new();
        let path = LinkConfig { burst, ..link(50, ms(10)) };
        let mut pair = Pair::new(&arena, seed, sender(1, &[4 * MIB]), listener(2), path.clone(), path);
        pair.complete(secs(60));
        let there = pair.there;
        assert!(pair.run.network().link(there).stats().dropped_for(DropReason::Burst).datagrams > 10);
    }
}

/// The peer opens a stream that this end opens too, at the same time: it is one stream with two directions.
#[test]
fn both_ends_may_use_one_stream() {
    let arena = Arena::new();
    let mut b = listener(2);
    b.plan.send = (0..4).map(|n| (stream(n), MIB / 2)).collect();
    let a = sender(1, &[MIB / 2; 4]);
    let path = LinkConfig { loss_ppm: 10_000, ..link(100, ms(5)) };
    let mut pair = Pair::new(&arena, 3, a, b, path.clone(), path);
    pair.complete(secs(20));
}

/// XFER-8 and the rest: jumbo datagrams are used where both ends say so, and the smaller of the two bounds holds.
#[test]
fn the_smaller_datagram_bound_holds() {
    for (ours, theirs) in [(1200, 1472), (1472, 1200)] {
        let arena = Arena::new();
        let (mut a, mut b) = (sender(1, &[MIB]), listener(2));
        (a.session.datagram_bytes, b.session.datagram_bytes) = (ours, theirs);
        (a.session.max_datagram_bytes, b.session.max_datagram_bytes) = (ours, theirs);
        b.plan.send = vec![(stream(5), MIB)];
        let mut pair = Pair::new(&arena, 1, a, b, link(100, ms(5)), link(100, ms(5)));
        pair.run.network().record();
        pair.complete(secs(5));
        let (a, b) = (pair.a, pair.b);
        for (host, bound) in [(a, ours), (b, theirs)] {
            let from = pair.run.host(host).address();
            let sent = pair.run.network().recorded().iter().filter(|datagram| datagram.from == from);
            assert_eq!(sent.map(|datagram| datagram.bytes.len()).max(), Some(bound));
        }
    }
}
