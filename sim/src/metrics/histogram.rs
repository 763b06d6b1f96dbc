//! Spans of time counted by size, each to within one part in 128, in integers only.

use wirehaul_core::time::Duration;

/// Each power of two is divided into so many bins.
const BINS_PER_OCTAVE: usize = 128;
const BIN_BITS: u32 = BINS_PER_OCTAVE.trailing_zeros();
/// Powers of two of a 64-bit number, less those that lie within the first bins.
const BINS: usize = (64 - BIN_BITS as usize + 1) * BINS_PER_OCTAVE;

/// Counted spans.
#[derive(Clone, Debug)]
pub struct Histogram {
    counts: Vec<u64>,
    total: u64,
}

impl Default for Histogram {
    fn default() -> Self {
        Self { counts: vec![0; BINS], total: 0 }
    }
}

impl Histogram {
    /// Counts a span.
    pub fn add(&mut self, span: Duration) {
        if let Some(count) = self.counts.get_mut(bin(span.as_nanos())) {
            *count += 1;
            self.total += 1;
        }
    }

    /// How many spans were counted.
    #[must_use]
    pub const fn total(&self) -> u64 {
        self.total
    }

    /// The least span that `ppm` parts per million of all do not exceed, to within one part in 128; `None` where nothing
    /// was counted.
    #[must_use]
    pub fn quantile(&self, ppm: u64) -> Option<Duration> {
        let wanted = u64::try_from((u128::from(self.total) * u128::from(ppm)).div_ceil(1_000_000)).ok()?.max(1);
        let mut seen = 0;
        for (index, count) in self.counts.iter().enumerate() {
            seen += count;
            if seen >= wanted {
                return Some(Duration::from_nanos(lowest(index)));
            }
        }
        None
    }

    /// Counts from nothing again.
    pub fn clear(&mut self) {
        self.counts.fill(0);
        self.total = 0;
    }
}

/// The bin of a number: the position of its highest bit, and the bits behind it.
const fn bin(value: u64) -> usize {
    let shift = (64 - value.leading_zeros()).saturating_sub(BIN_BITS + 1);
    shift as usize * BINS_PER_OCTAVE + (value >> shift) as usize
}

/// The lowest number of a bin.
const fn lowest(bin: usize) -> u64 {
    let octave = (bin / BINS_PER_OCTAVE).saturating_sub(1);
    ((bin - octave * BINS_PER_OCTAVE) as u64) << octave
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_number_is_found_in_its_bin() {
        let mut value = 1_u64;
        while value < u64::MAX / 3 {
            for near in [value - 1, value, value + 1] {
                let found = lowest(bin(near));
                assert!(found <= near && near - found <= near / 128, "{near} in {found}");
                assert!(bin(near) < BINS && bin(near) <= bin(near + 1));
            }
            value = value * 3 / 2 + 1;
        }
        assert!(bin(u64::MAX) < BINS);
    }

    #[test]
    fn quantiles_count_from_below() {
        let mut histogram = Histogram::default();
        assert_eq!(histogram.quantile(990_000), None);
        (1..=100).for_each(|nanos| histogram.add(Duration::from_nanos(nanos)));
        assert_eq!(histogram.quantile(990_000), Some(Duration::from_nanos(99)));
        assert_eq!(histogram.quantile(1_000_000), Some(Duration::from_nanos(100)));
        assert_eq!(histogram.quantile(0), Some(Duration::from_nanos(1)));
        histogram.clear();
        assert_eq!(histogram.total(), 0);
    }
}
