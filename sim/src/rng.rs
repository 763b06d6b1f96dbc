//! Randomness: one stream of numbers per component and purpose, all from one seed (SIM-1).
//!
//! Because each purpose has a stream of its own, switching one fault off leaves every other fault where it was: a
//! failing run can be reduced step by step.

use rand_xoshiro::{
    Xoshiro256PlusPlus,
    rand_core::{Rng, SeedableRng},
};

/// One million parts: probabilities in the simulator are whole parts per million.
pub const PPM: u64 = 1_000_000;

/// What a run's randomness starts from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Seed(pub u64);

/// What a stream of randomness decides.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u64)]
pub enum Purpose {
    /// Independent losses.
    Loss = 1,
    /// Losses in bursts.
    Burst = 2,
    /// Variation of the delay.
    Jitter = 3,
    /// Which datagrams arrive twice.
    Duplicate = 4,
    /// Which datagrams are overtaken.
    Reorder = 5,
    /// Which bits are flipped.
    Corrupt = 6,
    /// Which datagrams are cut, and where.
    Truncate = 7,
    /// Secrets of a host.
    Keys = 8,
    /// The shape of a randomly drawn scenario.
    Scenario = 9,
    /// Bytes thrown at a session.
    Fuzz = 10,
    /// By how much a host comes late to its timers.
    Wake = 11,
}

impl Seed {
    /// The stream for one purpose of one component; `component` is any number that names it within the run.
    #[must_use]
    pub fn stream(self, component: u64, purpose: Purpose) -> Stream {
        let mixed = mix(mix(mix(self.0) ^ component) ^ purpose as u64);
        Stream(Xoshiro256PlusPlus::seed_from_u64(mixed))
    }
}

/// A stream of random numbers.
#[derive(Clone, Debug)]
pub struct Stream(Xoshiro256PlusPlus);

impl Stream {
    /// The next 64 bits.
    pub fn next_u64(&mut self) -> u64 {
        self.0.next_u64()
    }

    /// A number below `bound`; zero where `bound` is zero.
    pub fn below(&mut self, bound: u64) -> u64 {
        // The high half of a product: its bias is below 2^-32 for any bound that a simulation has.
        ((u128::from(self.next_u64()) * u128::from(bound)) >> 64) as u64
    }

    /// A number from `low` to `high`, both included.
    pub fn between(&mut self, low: u64, high: u64) -> u64 {
        low + self.below(high.saturating_sub(low).saturating_add(1))
    }

    /// True with a probability of `ppm` parts per million. Draws nothing where that is certain either way.
    pub fn chance(&mut self, ppm: u32) -> bool {
        match u64::from(ppm) {
            0 => false,
            ppm if ppm >= PPM => true,
            ppm => self.below(PPM) < ppm,
        }
    }

    /// One of `choices`.
    ///
    /// # Panics
    /// Where there is none.
    pub fn pick<'a, T>(&mut self, choices: &'a [T]) -> &'a T {
        let place = self.below(choices.len() as u64);
        &choices[usize::try_from(place).unwrap_or(0)]
    }

    /// Fills `out`.
    pub fn fill(&mut self, out: &mut [u8]) {
        self.0.fill_bytes(out);
    }
}

/// A bijection on 64 bits whose every input bit affects every output bit (the finaliser of SplitMix64).
#[must_use]
pub const fn mix(value: u64) -> u64 {
    let value = value.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let value = (value ^ (value >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let value = (value ^ (value >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    value ^ (value >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn streams_differ_by_seed_component_and_purpose_and_repeat() {
        let first = |seed: u64, component, purpose| Seed(seed).stream(component, purpose).next_u64();
        let base = first(1, 1, Purpose::Loss);
        assert_eq!(base, first(1, 1, Purpose::Loss));
        assert_ne!(base, first(2, 1, Purpose::Loss));
        assert_ne!(base, first(1, 2, Purpose::Loss));
        assert_ne!(base, first(1, 1, Purpose::Jitter));
    }

    #[test]
    fn chances_are_as_likely_as_they_say() {
        let mut stream = Seed(7).stream(0, Purpose::Scenario);
        let hits = (0..100_000).filter(|_| stream.chance(200_000)).count();
        assert!((19_500..20_500).contains(&hits), "{hits}");
        assert!(!stream.chance(0) && stream.chance(1_000_000));
        assert!((0..1000).all(|_| (5..=9).contains(&stream.between(5, 9))));
    }
}
