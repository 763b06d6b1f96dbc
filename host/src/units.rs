//! Rates, sizes and times as people write and read them, in integers only.
//!
//! Written: a number, which may have decimals as long as the result is whole, and a unit. Upper and lower case are the
//! same, but for the one letter that means a bit or a byte in `b/s` and `B/s`.

use core::fmt;

use wirehaul_core::rate::Rate;
use wirehaul_core::scan::Cap;
use wirehaul_core::time::Duration;

/// Why a text is not the quantity that was asked for.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum UnitError {
    /// There is no number at the front.
    #[error("expected a number and a unit, like {example}")]
    Number {
        /// Something that would do.
        example: &'static str,
    },
    /// The unit is missing.
    #[error("the unit is missing; write it behind the number, like {example}")]
    NoUnit {
        /// Something that would do.
        example: &'static str,
    },
    /// The unit is not known.
    #[error("unknown unit `{unit}`; use one of {known}")]
    Unit {
        /// What stands there.
        unit: String,
        /// What may stand there.
        known: &'static str,
    },
    /// More decimals than there are whole units to make of them.
    #[error("this is not a whole number of {what}; leave out some decimals")]
    NotWhole {
        /// What is counted.
        what: &'static str,
    },
    /// Zero, where that makes no sense.
    #[error("zero is not possible here")]
    Zero,
    /// Beyond 64 bits.
    #[error("the number is too large")]
    TooLarge,
}

const KILO: u128 = 1000;
const MEGA: u128 = KILO * 1000;
const GIGA: u128 = MEGA * 1000;
const TERA: u128 = GIGA * 1000;
const KIBI: u128 = 1024;
const MEBI: u128 = KIBI * 1024;
const GIBI: u128 = MEBI * 1024;
const TEBI: u128 = GIBI * 1024;

const RATE_EXAMPLE: &str = "800mbit, 1.5gbit or 100MB/s";
const RATE_UNITS: &str =
    "bit, kbit, mbit, gbit, tbit (also kbps or kbit/s), B/s, kB/s, MB/s, GB/s, KiB/s, MiB/s, GiB/s";
const CAP_EXAMPLE: &str = "10k (packets a second), 250kpps or 100mbit";
const CAP_UNITS: &str = "k, m, g (packets a second; also kpps or pps), bit, kbit, mbit, gbit, B/s, kB/s, MB/s";
const COUNT_EXAMPLE: &str = "5000, 10k or 1.5m";
const COUNT_UNITS: &str = "k, m, g, t (powers of 1000)";
const SIZE_EXAMPLE: &str = "256k, 8gib or 1.5GB";
const SIZE_UNITS: &str = "k, m, g, t or kib, mib, gib, tib (powers of 1024), kb, mb, gb, tb (powers of 1000)";
const DURATION_EXAMPLE: &str = "250ms, 30s or 1h30m";
const DURATION_UNITS: &str = "ns, us, ms, s, m, h, d";

/// A rate, such as `800mbit`, `10gbps`, `1.5 Gbit/s` or `100MB/s`; `unlimited` is [`Rate::MAX`].
///
/// # Errors
/// [`UnitError`] says what is wrong; a rate of zero is.
pub fn parse_rate(text: &str) -> Result<Rate, UnitError> {
    let text = text.trim();
    if text.eq_ignore_ascii_case("unlimited") {
        return Ok(Rate::MAX);
    }
    let (number, unit) = Number::split(text).ok_or(UnitError::Number { example: RATE_EXAMPLE })?;
    if unit.is_empty() {
        return Err(UnitError::NoUnit { example: RATE_EXAMPLE });
    }
    let bits = rate_unit_bits(unit).ok_or_else(|| UnitError::Unit { unit: unit.to_owned(), known: RATE_UNITS })?;
    match number.times(bits, "bits per second")? {
        0 => Err(UnitError::Zero),
        bits => Ok(Rate::from_bits_per_sec(bits)),
    }
}

/// Bits per second in one of this unit.
fn rate_unit_bits(unit: &str) -> Option<u128> {
    let lower = unit.to_ascii_lowercase();
    if let Some(prefix) = lower.strip_suffix("bit/s").or_else(|| lower.strip_suffix("bit")) {
        return prefix_factor(prefix);
    }
    if let Some(prefix) = lower.strip_suffix("bps") {
        return prefix_factor(prefix);
    }
    let prefix = lower.strip_suffix("b/s")?;
    let per_letter = if unit.as_bytes().get(prefix.len()) == Some(&b'B') { 8 } else { 1 };
    prefix_factor(prefix).map(|factor| factor * per_letter)
}

fn prefix_factor(prefix: &str) -> Option<u128> {
    Some(match prefix {
        "" => 1,
        "k" => KILO,
        "m" => MEGA,
        "g" => GIGA,
        "t" => TERA,
        "ki" => KIBI,
        "mi" => MEBI,
        "gi" => GIBI,
        "ti" => TEBI,
        _ => return None,
    })
}

/// A cap so that it can be given again: `10000pps`, `100000000bit`, `unlimited`.
#[must_use]
pub fn format_cap(cap: Cap) -> String {
    match cap {
        Cap::Packets(packets) => format!("{packets}pps"),
        Cap::Bits(rate) => format!("{}bit", rate.as_bits_per_sec()),
        Cap::Unlimited => "unlimited".to_owned(),
    }
}

/// How fast packets may leave: `5000`, `10k` or `1.5mpps` are packets a second, `100mbit` and `10MB/s` are a rate of data.
///
/// # Errors
/// [`UnitError`] says what is wrong; nothing at all a second is.
pub fn parse_cap(text: &str) -> Result<Cap, UnitError> {
    let text = text.trim();
    if text.eq_ignore_ascii_case("unlimited") {
        return Ok(Cap::Unlimited);
    }
    let (number, unit) = Number::split(text).ok_or(UnitError::Number { example: CAP_EXAMPLE })?;
    let lower = unit.to_ascii_lowercase();
    let of_packets = match lower.strip_suffix("pps") {
        Some(prefix) => packets_factor(prefix),
        // A bare letter, as in `10k`; with anything behind it, it is a rate of data.
        None => packets_factor(&lower),
    };
    if let Some(factor) = of_packets {
        return match number.times(factor, "packets per second")? {
            0 => Err(UnitError::Zero),
            packets => Ok(Cap::Packets(packets)),
        };
    }
    let unknown = || UnitError::Unit { unit: unit.to_owned(), known: CAP_UNITS };
    match number.times(rate_unit_bits(unit).ok_or_else(unknown)?, "bits per second")? {
        0 => Err(UnitError::Zero),
        bits => Ok(Cap::Bits(Rate::from_bits_per_sec(bits))),
    }
}

fn packets_factor(prefix: &str) -> Option<u128> {
    if prefix.ends_with('i') { None } else { prefix_factor(prefix) }
}

/// A number of things, such as `5000`, `10k` or `1.5m`: letters are powers of 1000.
///
/// # Errors
/// [`UnitError`] says what is wrong.
pub fn parse_count(text: &str) -> Result<u64, UnitError> {
    let (number, unit) = Number::split(text.trim()).ok_or(UnitError::Number { example: COUNT_EXAMPLE })?;
    let factor = packets_factor(&unit.to_ascii_lowercase());
    let unknown = || UnitError::Unit { unit: unit.to_owned(), known: COUNT_UNITS };
    number.times(factor.ok_or_else(unknown)?, "things")
}

/// A size in bytes, such as `4096`, `256k`, `8gib` or `1.5GB`.
///
/// A bare letter is a power of 1024, as are `kib`, `mib`...; `kb`, `mb`... are powers of 1000.
///
/// # Errors
/// [`UnitError`] says what is wrong.
pub fn parse_size(text: &str) -> Result<u64, UnitError> {
    let (number, unit) = Number::split(text.trim()).ok_or(UnitError::Number { example: SIZE_EXAMPLE })?;
    let bytes = match unit.to_ascii_lowercase().as_str() {
        "" | "b" => 1,
        "k" | "kib" => KIBI,
        "m" | "mib" => MEBI,
        "g" | "gib" => GIBI,
        "t" | "tib" => TEBI,
        "kb" => KILO,
        "mb" => MEGA,
        "gb" => GIGA,
        "tb" => TERA,
        _ => return Err(UnitError::Unit { unit: unit.to_owned(), known: SIZE_UNITS }),
    };
    number.times(bytes, "bytes")
}

/// A span of time, such as `250ms`, `1.5s` or `1h30m`.
///
/// # Errors
/// [`UnitError`] says what is wrong.
pub fn parse_duration(text: &str) -> Result<Duration, UnitError> {
    let mut rest = text.trim();
    let mut nanos: u64 = 0;
    loop {
        let (number, tail) = Number::split(rest).ok_or(UnitError::Number { example: DURATION_EXAMPLE })?;
        let end = tail.find(|c: char| !c.is_ascii_alphabetic()).unwrap_or(tail.len());
        let (unit, next) = tail.split_at(end);
        if unit.is_empty() {
            return Err(UnitError::NoUnit { example: DURATION_EXAMPLE });
        }
        let factor = duration_unit_nanos(unit)
            .ok_or_else(|| UnitError::Unit { unit: unit.to_owned(), known: DURATION_UNITS })?;
        nanos = nanos.checked_add(number.times(factor, "nanoseconds")?).ok_or(UnitError::TooLarge)?;
        rest = next.trim_start();
        if rest.is_empty() {
            return Ok(Duration::from_nanos(nanos));
        }
    }
}

fn duration_unit_nanos(unit: &str) -> Option<u128> {
    Some(match unit.to_ascii_lowercase().as_str() {
        "ns" => 1,
        "us" => KILO,
        "ms" => MEGA,
        "s" => GIGA,
        "m" | "min" => 60 * GIGA,
        "h" => 3600 * GIGA,
        "d" => 24 * 3600 * GIGA,
        _ => return None,
    })
}

/// A decimal number, exactly: `digits` with the last `decimals` of them behind the point.
#[derive(Clone, Copy, Debug)]
struct Number {
    digits: u128,
    decimals: u32,
}

/// More digits than a 64-bit number and a unit of 10^12 can have use for; the product still fits 128 bits.
const MAX_DIGITS: usize = 24;

impl Number {
    /// The number at the front of `text` and what follows it, without the space between them.
    fn split(text: &str) -> Option<(Self, &str)> {
        let end = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
        let (number, unit) = text.split_at(end);
        let (whole, fraction) = number.split_once('.').unwrap_or((number, "0"));
        let well_formed = |part: &str| !part.is_empty() && part.bytes().all(|c| c.is_ascii_digit());
        if !well_formed(whole) || !well_formed(fraction) || whole.len() + fraction.len() > MAX_DIGITS {
            return None;
        }
        let digits = format!("{whole}{fraction}").parse().ok()?;
        // At most MAX_DIGITS, so the cast keeps it.
        Some((Self { digits, decimals: fraction.len() as u32 }, unit.trim_start()))
    }

    /// This many times `factor`, where that is whole and fits.
    fn times(self, factor: u128, what: &'static str) -> Result<u64, UnitError> {
        let divisor = 10_u128.pow(self.decimals);
        let product = self.digits.checked_mul(factor).ok_or(UnitError::TooLarge)?;
        if product % divisor != 0 {
            return Err(UnitError::NotWhole { what });
        }
        u64::try_from(product / divisor).map_err(|_| UnitError::TooLarge)
    }
}

/// A rate for people: `9.87 Gbit/s`, three digits, rounded down; [`Rate::MAX`] is `unlimited`.
#[must_use]
pub fn format_rate(rate: Rate) -> String {
    if rate == Rate::MAX {
        return "unlimited".to_owned();
    }
    const STEPS: [(u128, &str); 5] =
        [(TERA, "Tbit/s"), (GIGA, "Gbit/s"), (MEGA, "Mbit/s"), (KILO, "kbit/s"), (1, "bit/s")];
    ThreeDigits::of(u128::from(rate.as_bits_per_sec()), &STEPS).to_string()
}

/// A size for people: `1.50 GiB`, three digits, rounded down.
#[must_use]
pub fn format_size(bytes: u64) -> String {
    const STEPS: [(u128, &str); 5] = [(TEBI, "TiB"), (GIBI, "GiB"), (MEBI, "MiB"), (KIBI, "KiB"), (1, "B")];
    ThreeDigits::of(u128::from(bytes), &STEPS).to_string()
}

/// A span of time for people: `450 us`, `12.3 s`, `2m05s`, `1h02m`, rounded down.
#[must_use]
pub fn format_duration(span: Duration) -> String {
    const STEPS: [(u128, &str); 4] = [(GIGA, "s"), (MEGA, "ms"), (KILO, "us"), (1, "ns")];
    let secs = span.as_nanos() / 1_000_000_000;
    match secs {
        0..60 => ThreeDigits::of(u128::from(span.as_nanos()), &STEPS).to_string(),
        60..3600 => format!("{}m{:02}s", secs / 60, secs % 60),
        3600..86_400 => format!("{}h{:02}m", secs / 3600, secs / 60 % 60),
        _ => format!("{}d{:02}h", secs / 86_400, secs / 3600 % 24),
    }
}

/// A quantity in the largest unit that it fills, with three significant digits where the unit is divisible.
struct ThreeDigits {
    whole: u128,
    /// Digits behind the point, and how many.
    fraction: u128,
    decimals: usize,
    unit: &'static str,
}

impl ThreeDigits {
    /// `steps`: factors and units, the largest first, the last of them 1.
    fn of(value: u128, steps: &[(u128, &'static str)]) -> Self {
        let fitting = steps.iter().find(|(factor, _)| value >= *factor);
        let (factor, unit) = fitting.or(steps.last()).copied().unwrap_or((1, ""));
        let whole = value / factor;
        let decimals =
            if factor == 1 { 0 } else { [2, 2, 1, 0][whole.checked_ilog10().map_or(0, |n| n as usize + 1).min(3)] };
        let fraction = (value % factor) * 10_u128.pow(decimals as u32) / factor;
        Self { whole, fraction, decimals, unit }
    }
}

impl fmt::Display for ThreeDigits {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { whole, fraction, decimals, unit } = self;
        match decimals {
            0 => write!(f, "{whole} {unit}"),
            decimals => write!(f, "{whole}.{fraction:0decimals$} {unit}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rates_are_exact() {
        for (text, bits) in [
            ("800mbit", 800_000_000),
            ("1.5gbit", 1_500_000_000),
            ("10gbps", 10_000_000_000),
            ("100Gbit/s", 100_000_000_000),
            ("100MB/s", 800_000_000),
            ("100Mb/s", 100_000_000),
            ("1KiB/s", 8192),
            ("0.000000001gbit", 1),
            (" 2.5 Mbps ", 2_500_000),
            ("1bit", 1),
            ("18446744073709551614bit", u64::MAX - 1),
        ] {
            assert_eq!(parse_rate(text), Ok(Rate::from_bits_per_sec(bits)), "{text}");
        }
        assert_eq!(parse_rate("Unlimited"), Ok(Rate::MAX));
    }

    #[test]
    fn rates_of_packets_are_told_from_rates_of_data() {
        for (text, expected) in [
            ("10k", Cap::Packets(10_000)),
            ("10000pps", Cap::Packets(10_000)),
            ("1", Cap::Packets(1)),
            ("1.5Mpps", Cap::Packets(1_500_000)),
            ("0.5k", Cap::Packets(500)),
            ("100mbit", Cap::Bits(Rate::from_bits_per_sec(100_000_000))),
            ("1MB/s", Cap::Bits(Rate::from_bits_per_sec(8_000_000))),
            ("5 kbps", Cap::Bits(Rate::from_bits_per_sec(5_000))),
            ("Unlimited", Cap::Unlimited),
        ] {
            assert_eq!(parse_cap(text), Ok(expected), "{text}");
            assert_eq!(parse_cap(&format_cap(expected)), Ok(expected), "{text}");
        }
        for text in ["0", "0k", "0pps", "0mbit"] {
            assert_eq!(parse_cap(text), Err(UnitError::Zero), "{text}");
        }
        assert!(matches!(parse_cap("10 parsecs"), Err(UnitError::Unit { .. })));
        assert!(matches!(parse_cap("10ki"), Err(UnitError::Unit { .. })));
        assert!(matches!(parse_cap("-1"), Err(UnitError::Number { .. })));
        assert!(matches!(parse_cap(""), Err(UnitError::Number { .. })));
        assert_eq!(parse_cap("0.5"), Err(UnitError::NotWhole { what: "packets per second" }));
        assert_eq!((parse_count("10k"), parse_count("7")), (Ok(10_000), Ok(7)));
        assert!(parse_count("7x").is_err());
    }

    #[test]
    fn sizes_are_exact() {
        for (text, bytes) in [
            ("0", 0),
            ("4096", 4096),
            ("256k", 262_144),
            ("8gib", 8 << 30),
            ("8G", 8 << 30),
            ("1.5GB", 1_500_000_000),
            ("1.5 KiB", 1536),
            ("3tb", 3_000_000_000_000),
            ("16777215t", 16_777_215 << 40),
        ] {
            assert_eq!(parse_size(text), Ok(bytes), "{text}");
        }
    }

    #[test]
    fn durations_add_up() {
        for (text, nanos) in [
            ("250ms", 250_000_000),
            ("1.5s", 1_500_000_000),
            ("1h30m", 5_400_000_000_000),
            ("1h 30m", 5_400_000_000_000),
            ("2d", 172_800_000_000_000),
            ("7ns", 7),
            ("0.5us", 500),
        ] {
            assert_eq!(parse_duration(text), Ok(Duration::from_nanos(nanos)), "{text}");
        }
    }

    #[test]
    fn nonsense_is_refused_with_what_is_wrong() {
        for text in ["", "mbit", "-5mbit", "1.2.3mbit", ".5mbit", "5.mbit", "1,5gbit", "\u{661}mbit", "+1mbit"] {
            assert!(matches!(parse_rate(text), Err(UnitError::Number { .. } | UnitError::Unit { .. })), "{text}");
        }
        assert!(matches!(parse_rate("800"), Err(UnitError::NoUnit { .. })));
        assert!(matches!(parse_rate("800 parsec"), Err(UnitError::Unit { .. })));
        assert!(matches!(parse_rate("8xbit"), Err(UnitError::Unit { .. })));
        assert_eq!(parse_rate("0mbit"), Err(UnitError::Zero));
        assert_eq!(parse_rate("0.5bit"), Err(UnitError::NotWhole { what: "bits per second" }));
        assert_eq!(parse_rate("99999999999tbit"), Err(UnitError::TooLarge));
        assert_eq!(parse_size("1.0001k"), Err(UnitError::NotWhole { what: "bytes" }));
        assert_eq!(parse_size("16777216t"), Err(UnitError::TooLarge));
        assert!(parse_size("8 apples").unwrap_err().to_string().contains("apples"));
        assert!(matches!(parse_size(&"9".repeat(40)), Err(UnitError::Number { .. })));
        assert!(matches!(parse_duration("5"), Err(UnitError::NoUnit { .. })));
        assert!(matches!(parse_duration("1h30"), Err(UnitError::NoUnit { .. })));
        assert!(matches!(parse_duration("h"), Err(UnitError::Number { .. })));
        assert_eq!(parse_duration("213504d"), Err(UnitError::TooLarge));
    }

    #[test]
    fn quantities_read_well() {
        let rate = |bits| format_rate(Rate::from_bits_per_sec(bits));
        assert_eq!(rate(0), "0 bit/s");
        assert_eq!(rate(999), "999 bit/s");
        assert_eq!(rate(1000), "1.00 kbit/s");
        assert_eq!(rate(9_876_543_210), "9.87 Gbit/s");
        assert_eq!(rate(98_765_432_100), "98.7 Gbit/s");
        assert_eq!(rate(987_654_321_000), "987 Gbit/s");
        assert_eq!(format_rate(Rate::MAX), "unlimited");
        assert_eq!(format_size(0), "0 B");
        assert_eq!(format_size(1023), "1023 B");
        assert_eq!(format_size(1536), "1.50 KiB");
        assert_eq!(format_size(1 << 30), "1.00 GiB");
        assert_eq!(format_size(1023 << 20), "1023 MiB");
        assert_eq!(format_size(u64::MAX), "16777215 TiB");
        let span = |nanos| format_duration(Duration::from_nanos(nanos));
        assert_eq!(span(0), "0 ns");
        assert_eq!(span(450_000), "450 us");
        assert_eq!(span(12_345_000_000), "12.3 s");
        assert_eq!(span(125_000_000_000), "2m05s");
        assert_eq!(span(3_725_000_000_000), "1h02m");
        assert_eq!(span(90_000_000_000_000), "1d01h");
    }

    #[test]
    fn what_is_shown_reads_back() {
        for bits in [1, 999, 12_300, 9_870_000_000] {
            let shown = format_rate(Rate::from_bits_per_sec(bits));
            assert_eq!(parse_rate(&shown), Ok(Rate::from_bits_per_sec(bits)), "{shown}");
        }
    }
}
