//! Rates of data as whole bits per second: exact at 100 Gbit/s and far beyond.

use crate::time::Duration;

/// A rate in bits per second.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Rate(u64);

const NANOS_PER_SEC: u128 = 1_000_000_000;

impl Rate {
    /// No data moves.
    pub const ZERO: Self = Self(0);
    /// Faster than any link: 18 exabit/s.
    pub const MAX: Self = Self(u64::MAX);

    /// A rate of `bits` per second.
    #[must_use]
    pub const fn from_bits_per_sec(bits: u64) -> Self {
        Self(bits)
    }

    /// A rate of `bytes` per second.
    #[must_use]
    pub const fn from_bytes_per_sec(bytes: u64) -> Self {
        Self(bytes.saturating_mul(8))
    }

    /// The rate at which `bytes` pass in `span`; [`Rate::MAX`] where `span` is zero.
    #[must_use]
    pub const fn from_bytes_over(bytes: u64, span: Duration) -> Self {
        if span.as_nanos() == 0 {
            return Self::MAX;
        }
        let bits = bytes as u128 * 8 * NANOS_PER_SEC / span.as_nanos() as u128;
        Self(if bits > u64::MAX as u128 { u64::MAX } else { bits as u64 })
    }

    /// Bits per second.
    #[must_use]
    pub const fn as_bits_per_sec(self) -> u64 {
        self.0
    }

    /// Bytes that pass in `span`, rounded down, saturating.
    #[must_use]
    pub const fn bytes_in(self, span: Duration) -> u64 {
        let bytes = self.0 as u128 * span.as_nanos() as u128 / (8 * NANOS_PER_SEC);
        if bytes > u64::MAX as u128 { u64::MAX } else { bytes as u64 }
    }

    /// Time that `bytes` take, rounded down; [`Duration::MAX`] at rate zero.
    ///
    /// A schedule that must not drift keeps the remainder itself: see [`crate::pacer::Pacer`].
    #[must_use]
    pub const fn time_for(self, bytes: u64) -> Duration {
        if self.0 == 0 {
            return Duration::MAX;
        }
        let nanos = bytes as u128 * 8 * NANOS_PER_SEC / self.0 as u128;
        Duration::from_nanos(if nanos > u64::MAX as u128 { u64::MAX } else { nanos as u64 })
    }

    /// `self * numerator / denominator`, rounded down, saturating. A zero `denominator` is taken as 1.
    #[must_use]
    pub const fn mul_ratio(self, numerator: u64, denominator: u64) -> Self {
        let denominator = if denominator == 0 { 1 } else { denominator };
        let wide = self.0 as u128 * numerator as u128 / denominator as u128;
        Self(if wide > u64::MAX as u128 { u64::MAX } else { wide as u64 })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_full_packet_at_100_gbit_per_s_takes_120_ns() {
        let rate = Rate::from_bits_per_sec(100_000_000_000);
        assert_eq!(rate.time_for(1500), Duration::from_nanos(120));
        assert_eq!(rate.bytes_in(Duration::from_nanos(120)), 1500);
        assert_eq!(Rate::from_bytes_over(1500, Duration::from_nanos(120)), rate);
    }

    #[test]
    fn the_edges_do_not_divide_by_zero() {
        assert_eq!(Rate::ZERO.time_for(1), Duration::MAX);
        assert_eq!(Rate::from_bytes_over(1, Duration::ZERO), Rate::MAX);
        assert_eq!(Rate::MAX.mul_ratio(3, 0), Rate::MAX);
    }
}
