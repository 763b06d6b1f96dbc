//! Sessions whose records of sent packets are few: they are slow, and never stuck.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test that cannot go on has failed")]

mod common;

use common::{Pair, link, listener, ms, secs, sender, stream};
use wirehaul_core::time::Duration;
use wirehaul_sim::{host::Arena, link::LinkConfig};

/// The receiver has little to say that must be acknowledged. While that is lost, its ACKs take up all records behind it.
#[test]
fn lost_packets_in_front_of_many_acks_do_not_keep_their_records() {
    for seed in 0..300 {
        let arena = Arena::new();
        let mut b = listener(2);
        b.room.sent = 64;
        b.plan.send = vec![(stream(0), 0), (stream(9), 0)];
        let there = LinkConfig { delay: Duration::ZERO, ..link(8000, ms(1)) };
        let back = LinkConfig { loss_ppm: 100_000, ..there.clone() };
        let mut pair = Pair::new(&arena, seed, sender(1, &[400_000]), b, there, back);
        pair.complete(secs(10));
    }
}
