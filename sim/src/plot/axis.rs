//! Axes: a round greatest value, round ticks, and the unit in which they are short.

/// What an axis shows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Quantity {
    /// Rates.
    BitsPerSecond,
    /// Amounts of data.
    Bytes,
    /// Spans of time.
    Seconds,
}

impl Quantity {
    /// The unit for values up to `most`, and how many base units it is.
    #[must_use]
    pub fn unit(self, most: f64) -> (&'static str, f64) {
        let units: &[(&str, f64)] = match self {
            Self::BitsPerSecond => &[("bit/s", 1.0), ("kbit/s", 1e3), ("Mbit/s", 1e6), ("Gbit/s", 1e9)],
            Self::Bytes => &[("B", 1.0), ("kB", 1e3), ("MB", 1e6), ("GB", 1e9)],
            Self::Seconds => &[("µs", 1e-6), ("ms", 1e-3), ("s", 1.0)],
        };
        let fitting = units.iter().rev().find(|(_, size)| most >= 2.0 * size);
        fitting.or(units.first()).copied().unwrap_or(("", 1.0))
    }
}

/// The distance of ticks so that there are about `wanted` of them up to `most`: 1, 2 or 5 times a power of ten.
#[must_use]
pub fn tick_distance(most: f64, wanted: f64) -> f64 {
    if !most.is_finite() || most <= 0.0 {
        return 1.0;
    }
    let rough = most / wanted;
    let power = 10_f64.powf(rough.log10().floor());
    let factor = [1.0, 2.0, 5.0, 10.0].into_iter().find(|factor| factor * power >= rough).unwrap_or(10.0);
    factor * power
}

/// A tick's text, with as many decimals as its distance needs.
#[must_use]
pub fn tick_text(value: f64, distance: f64) -> String {
    let decimals = if distance >= 1.0 { 0 } else { (-distance.log10()).ceil().clamp(0.0, 9.0) as usize };
    format!("{value:.decimals$}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ticks_are_round() {
        assert_eq!([7.0, 23.0, 100.0, 0.9].map(|most| tick_distance(most, 5.0)), [2.0, 5.0, 20.0, 0.2]);
        assert_eq!(tick_text(0.4, 0.2), "0.4");
        assert_eq!(tick_text(120.0, 20.0), "120");
        assert_eq!(tick_distance(0.0, 5.0), 1.0);
    }

    #[test]
    fn units_keep_numbers_short() {
        assert_eq!(Quantity::BitsPerSecond.unit(1.2e8).0, "Mbit/s");
        assert_eq!(Quantity::Bytes.unit(900.0).0, "B");
        assert_eq!(Quantity::Seconds.unit(0.06), ("ms", 1e-3));
    }
}
