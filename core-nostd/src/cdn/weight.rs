//! Weights of evidence and probabilities, in integers.

use core::fmt;
use core::ops::{Add, AddAssign};

/// ln 2, in hundredths of a nat and 16 binary places: 69.3147 * 2^16.
const CENTINATS_PER_OCTAVE_Q16: i64 = 4_542_609;

/// log2(e) / 100 in 32 binary places: octaves of one hundredth of a nat.
const OCTAVES_PER_CENTINAT_Q32: u64 = 61_963_280;

/// 2^-(2^-k) for k = 1..=16, in 32 binary places.
const ROOTS_OF_HALF_Q32: [u64; 16] = [
    3_037_000_500,
    3_611_622_603,
    3_938_502_376,
    4_112_874_773,
    4_202_935_003,
    4_248_701_965,
    4_271_771_996,
    4_283_353_945,
    4_289_156_690,
    4_292_061_010,
    4_293_513_907,
    4_294_240_540,
    4_294_603_903,
    4_294_785_595,
    4_294_876_445,
    4_294_921_870,
];

/// Natural logarithm of a likelihood ratio, in hundredths of a nat: what one piece of evidence says for (positive) or against
/// (negative) a provider. Weights of independent evidence add up.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct CentiNats(pub i32);

impl CentiNats {
    /// Says nothing either way.
    pub const ZERO: Self = Self(0);

    /// ln(numerator / denominator), rounded down; of a ratio with a zero in it the largest or smallest that 64 bits give.
    #[must_use]
    pub fn of_ratio(numerator: u64, denominator: u64) -> Self {
        let octaves = log2_q16(numerator.max(1)) - log2_q16(denominator.max(1));
        // At most 64 octaves: 4436 hundredths.
        Self(((octaves * CENTINATS_PER_OCTAVE_Q16) >> 32) as i32)
    }

    /// The probability of something whose log-odds these are.
    #[must_use]
    pub fn probability(self) -> Probability {
        // odds = 2^-x for the magnitude, and 1 / (1 + odds) of it.
        let octaves_q32 = u64::from(self.0.unsigned_abs()).saturating_mul(OCTAVES_PER_CENTINAT_Q32);
        let odds_q32 = half_to_the(octaves_q32);
        let likely = (1_000_000_u64 << 32) / ((1 << 32) + odds_q32);
        let ppm = if self.0 >= 0 { likely } else { 1_000_000 - likely };
        Probability::of_ppm(ppm as u32)
    }
}

/// log2 of a number that is not 0, in 16 binary places, rounded down.
fn log2_q16(number: u64) -> i64 {
    let whole = number.ilog2();
    // In [1, 2), with 31 binary places.
    let mut mantissa = if whole > 31 { number >> (whole - 31) } else { number << (31 - whole) };
    let mut places = 0;
    for _ in 0..16 {
        mantissa = (mantissa * mantissa) >> 31;
        places <<= 1;
        if mantissa >= 1 << 32 {
            mantissa >>= 1;
            places |= 1;
        }
    }
    i64::from(whole) << 16 | places
}

/// 2^-x in 32 binary places, for x in 32 binary places.
fn half_to_the(x_q32: u64) -> u64 {
    let whole = x_q32 >> 32;
    if whole > 32 {
        return 0;
    }
    let mut power = 1_u64 << 32;
    for (place, root) in ROOTS_OF_HALF_Q32.iter().enumerate() {
        if x_q32 >> (31 - place) & 1 == 1 {
            power = (power * root) >> 32;
        }
    }
    power >> whole
}

impl Add for CentiNats {
    type Output = Self;

    fn add(self, other: Self) -> Self {
        Self(self.0.saturating_add(other.0))
    }
}

impl AddAssign for CentiNats {
    fn add_assign(&mut self, other: Self) {
        *self = *self + other;
    }
}

/// In nats, as `-3.90`.
impl fmt::Display for CentiNats {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let sign = if self.0 < 0 { "-" } else { "+" };
        let magnitude = self.0.unsigned_abs();
        write!(f, "{sign}{}.{:02}", magnitude / 100, magnitude % 100)
    }
}

/// A probability in millionths, never quite 0 and never quite 1: nothing is certain.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Probability(u32);

impl Probability {
    /// One half.
    pub const HALF: Self = Self(500_000);

    /// The nearest to so many millionths.
    #[must_use]
    pub const fn of_ppm(ppm: u32) -> Self {
        Self(match ppm {
            0 => 1,
            1_000_000.. => 999_999,
            _ => ppm,
        })
    }

    /// Millionths, 1 to 999,999.
    #[must_use]
    pub const fn ppm(self) -> u32 {
        self.0
    }

    /// Its log-odds, ln(p / (1 - p)).
    #[must_use]
    pub fn log_odds(self) -> CentiNats {
        CentiNats::of_ratio(self.0.into(), (1_000_000 - self.0).into())
    }
}

/// As `0.999842`.
impl fmt::Display for Probability {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "0.{:06}", self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ratios_of_well_known_logarithms() {
        // 100 ln 2 = 69.3, 100 ln 10 = 230.26, 100 ln 6250 = 874.03.
        for (numerator, denominator, expected) in
            [(1, 1, 0), (2, 1, 69), (10, 1, 230), (1, 10, -231), (6250, 1, 874), (18, 1, 289), (u64::MAX, 1, 4436)]
        {
            let found = CentiNats::of_ratio(numerator, denominator).0;
            assert!((found - expected).abs() <= 1, "ln({numerator}/{denominator}) = {found}, not {expected}");
        }
        assert_eq!(CentiNats::of_ratio(0, 0), CentiNats::ZERO);
    }

    #[test]
    fn probabilities_of_well_known_odds() {
        // 1 / (1 + e^-x)
        for (centinats, expected) in [(0, 500_000), (100, 731_058), (-100, 268_941), (460, 990_048), (-390, 19_840)] {
            let found = CentiNats(centinats).probability().ppm();
            assert!(found.abs_diff(expected) <= 20, "{centinats}: {found}, not {expected}");
        }
        assert_eq!(CentiNats(i32::MAX).probability().ppm(), 999_999);
        assert_eq!(CentiNats(i32::MIN).probability().ppm(), 1);
    }

    #[test]
    fn log_odds_and_probability_undo_each_other() {
        for ppm in (1..1_000_000).step_by(997) {
            let there = Probability::of_ppm(ppm).log_odds();
            let back = there.probability().ppm();
            // One hundredth of a nat is at most 0.25 % of probability.
            assert!(back.abs_diff(ppm) <= 2_600, "{ppm} became {back} by {there}");
        }
    }

    #[test]
    fn more_evidence_never_makes_anything_less_likely() {
        let mut last = 0;
        for centinats in -2_000..2_000 {
            let ppm = CentiNats(centinats).probability().ppm();
            assert!(ppm >= last, "at {centinats}");
            last = ppm;
        }
    }
}
