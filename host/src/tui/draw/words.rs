//! Figures as people read them.

use wirehaul_core::rate::Rate;
use wirehaul_core::time::Duration;

use crate::units::format_rate;

/// A count: with commas up to ten millions, then in three digits.
pub(super) fn count(number: u64) -> String {
    const STEPS: [(u64, &str); 3] = [(1_000_000_000_000, "T"), (1_000_000_000, "G"), (1_000_000, "M")];
    if number < 10_000_000 {
        let digits = number.to_string();
        let mut text = String::new();
        for (place, digit) in digits.chars().enumerate() {
            if place > 0 && (digits.len() - place).is_multiple_of(3) {
                text.push(',');
            }
            text.push(digit);
        }
        return text;
    }
    let (factor, unit) = STEPS.into_iter().find(|(factor, _)| number >= *factor).unwrap_or((1, ""));
    let (whole, tenths) = (number / factor, number % factor * 10 / factor);
    if whole < 100 { format!("{whole}.{tenths} {unit}") } else { format!("{whole} {unit}") }
}

/// Parts per million, with two digits behind the point.
pub(super) fn percent(ppm: u64) -> String {
    format!("{}.{:02}%", ppm / 10_000, ppm % 10_000 / 100)
}

/// So many of all, in parts per million.
pub(super) fn ppm_of(part: u64, all: u64) -> u64 {
    let ppm = (u128::from(part) * 1_000_000).checked_div(u128::from(all)).unwrap_or(0);
    u64::try_from(ppm).unwrap_or(u64::MAX)
}

/// Bytes a second, in bits.
pub(super) fn rate(bytes: u64) -> String {
    format_rate(Rate::from_bits_per_sec(bytes.saturating_mul(8).min(u64::MAX - 1)))
}

/// Time as a clock shows it: `1:02:03`.
pub(super) fn clock(span: Duration) -> String {
    let secs = span.as_nanos() / 1_000_000_000;
    format!("{}:{:02}:{:02}", secs / 3600, secs / 60 % 60, secs % 60)
}

/// One thing, or so many things.
pub(super) fn of(number: u64, one: &str, many: &str) -> String {
    if number == 1 { format!("1 {one}") } else { format!("{} {many}", count(number)) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_read_well() {
        assert_eq!([0, 999, 1000, 9_999_999].map(count), ["0", "999", "1,000", "9,999,999"]);
        assert_eq!([10_000_000, 999_999_999, 1_234_567_890].map(count), ["10.0 M", "999 M", "1.2 G"]);
        assert_eq!(count(u64::MAX), "18446744 T");
        assert_eq!(
            (percent(0), percent(12_345), percent(1_000_000)),
            ("0.00%".into(), "1.23%".into(), "100.00%".into())
        );
        assert_eq!((ppm_of(1, 0), ppm_of(1, 3), ppm_of(u64::MAX, u64::MAX)), (0, 333_333, 1_000_000));
        assert_eq!(rate(u64::MAX), "18446744 Tbit/s");
        assert_eq!(clock(Duration::from_secs(3723)), "1:02:03");
        assert_eq!((of(1, "edge", "edges"), of(0, "edge", "edges")), ("1 edge".into(), "0 edges".into()));
    }
}
