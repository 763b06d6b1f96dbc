//! CDN detection: what a look into the tables costs next to other structures, what the command costs from a file to JSON, and how
//! often it is right.

pub mod accuracy;
pub mod command;
pub mod dataset;
pub mod lookups;

/// The next of a sequence of numbers that look random and are the same for the same seed (Steele, Lea and Flood, SplitMix64).
pub fn next_random(state: &mut u64) -> u64 {
    *state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let mut mixed = *state;
    mixed = (mixed ^ mixed >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    mixed = (mixed ^ mixed >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
    mixed ^ mixed >> 31
}

/// One from 0 to `below - 1`.
pub fn random_below(state: &mut u64, below: u128) -> u128 {
    let wide = u128::from(next_random(state)) << 64 | u128::from(next_random(state));
    wide % below.max(1)
}
