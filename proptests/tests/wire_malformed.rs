//! FRAME-6: at least a million malformed packets per run. Valid packets are damaged, and every rule is broken.
//!
//! `WIREHAUL_SEED=N` repeats a run or starts another one.

use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};

use wirehaul_core::wire::{Reject, RejectCounters};
use wirehaul_proptests::choices::Choices;
use wirehaul_proptests::corpus::ack_payload;
use wirehaul_proptests::{mutate, oracle, packets};

/// What is asked of an input.
type Oracle = fn(&[u8]) -> Result<(), Reject>;

const DEFAULT_SEED: u64 = 20_260_701;
/// Valid packets that are damaged over and over.
const POOL: usize = 2000;

/// Damages inputs from `draw` until `wanted` were refused; returns how often each rule was broken.
fn refuse(name: &str, draw: fn(&mut Choices<'_>) -> Vec<u8>, ask: Oracle, wanted: u64) -> RejectCounters {
    let seed = std::env::var("WIREHAUL_SEED").ok().and_then(|seed| seed.parse().ok()).unwrap_or(DEFAULT_SEED);
    let mut choices = Choices::Seeded(seed);
    let valid: Vec<Vec<u8>> = (0..POOL).map(|_| draw(&mut choices)).collect();
    assert!(valid.iter().all(|bytes| ask(bytes).is_ok()), "{name}: a generated input is not valid");

    let mut counters = RejectCounters::new();
    let mut accepted = 0_u64;
    while counters.total() < wanted {
        assert!(accepted < wanted, "{name}: the damage does too little");
        let mut bytes = valid[choices.below(POOL)].clone();
        let other = &valid[choices.below(POOL)];
        mutate::mutate(&mut choices, &mut bytes, other);
        match catch_unwind(AssertUnwindSafe(|| ask(&bytes))) {
            Ok(Ok(())) => accepted += 1,
            Ok(Err(reject)) => counters.count(reject),
            Err(panic) => {
                eprintln!("{name}: seed {seed} fails on {bytes:02x?}");
                resume_unwind(panic)
            }
        }
    }
    println!("{name}: {} refused, {accepted} accepted, seed {seed}", counters.total());
    counters
}

/// Every rule in `rules` was broken at least once, so that none of them is out of the reach of this test.
fn assert_all_broken(counters: &RejectCounters, rules: impl Iterator<Item = Reject>) {
    let missed: Vec<_> = rules.filter(|rule| counters.get(*rule) == 0).map(Reject::name).collect();
    assert!(missed.is_empty(), "never broken: {missed:?}");
}

fn from_to(first: Reject, last: Reject) -> impl Iterator<Item = Reject> {
    Reject::ALL.into_iter().filter(move |reject| (first..=last).contains(reject))
}

#[test]
fn damaged_bodies_break_every_rule_of_frames() {
    let counters = refuse("bodies", packets::protected_body, oracle::frame, 600_000);
    assert_all_broken(&counters, from_to(Reject::BodyEmpty, Reject::PathResponseLength));
}

#[test]
fn damaged_datagrams_break_every_rule_of_packets() {
    let counters = refuse("datagrams", packets::draw, oracle::packet, 300_000);
    let outer = from_to(Reject::DatagramTooShort, Reject::PacketNumberNotZero);
    // The oracle reads parameters from the front of Noise messages, which are no shorter.
    let handshake = from_to(Reject::HandshakeLength, Reject::ParametersTimeout)
        .filter(|reject| *reject != Reject::ParametersLength);
    assert_all_broken(&counters, outer.chain(handshake));
}

#[test]
fn damaged_acks_break_every_rule_of_acks() {
    let counters = refuse("acks", ack_payload, oracle::ack, 150_000);
    assert_all_broken(&counters, from_to(Reject::AckLength, Reject::AckUnderflow));
}
