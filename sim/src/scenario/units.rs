//! Quantities as scenario files write them: a number and a unit, in integers only.
//!
//! | what | written |
//! |-|-|
//! | rate | `"100mbit"`, `"1.5gbit"`, `"64kbit"`, `"12MB/s"` |
//! | time | `"20ms"`, `"250us"`, `"1.5s"` |
//! | size | `"64kib"`, `"1.5mb"`, or a plain number of bytes |
//! | depth of a buffer | a size, or a multiple of the path's bandwidth-delay product: `"0.5bdp"` |
//! | share | `"0.1%"`, `"250ppm"` |
//! | point in the run | a number of seconds: `2`, `0.25` |

use std::{fmt, str::FromStr};

use serde::de::{Deserialize, Deserializer, Error, Visitor};
use wirehaul_core::{rate::Rate, time::Duration};

const KILO: u128 = 1_000;
const MEGA: u128 = 1_000_000;
const GIGA: u128 = 1_000_000_000;
const TERA: u128 = 1_000_000_000_000;
/// The most seconds that a scenario may speak of: some 31 years, so that sums of times do not overflow.
const MAX_SECONDS: f64 = 1e9;

/// Why a text is not the quantity that was asked for.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum UnitError {
    /// It does not begin with a number.
    #[error("expected {0}")]
    Number(&'static str),
    /// It begins with a minus.
    #[error("must not be negative")]
    Negative,
    /// The unit is missing or not known.
    #[error("`{unit}` is no unit here: expected {expected}")]
    Unit {
        /// What stands there.
        unit: String,
        /// What would do.
        expected: &'static str,
    },
    /// Zero, where that makes no sense.
    #[error("must not be zero")]
    Zero,
    /// More than 64 bits.
    #[error("is too large")]
    TooLarge,
    /// Above a hundred per cent.
    #[error("must not be above 100%")]
    AboveAll,
}

/// A rate above zero.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RateText(pub Rate);

/// A span of time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Span(pub Duration);

/// A number of bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Size(pub u64);

/// How much waits in a buffer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Depth {
    /// So many bytes.
    Bytes(u64),
    /// So many thousandths of the bandwidth-delay product.
    MilliBdp(u64),
}

/// A share, in parts per million.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Share(pub u32);

/// A span given as a number of seconds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Seconds(pub Duration);

/// Splits a text into a decimal number, as digits and how many of them stand behind the point, and its unit.
fn split<'t>(text: &'t str, expected: &'static str) -> Result<(u128, u32, &'t str), UnitError> {
    let text = text.trim();
    if text.starts_with('-') {
        return Err(UnitError::Negative);
    }
    let end = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
    let (number, unit) = text.split_at(end);
    let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
    let digits = format!("{whole}{fraction}");
    let bad = whole.is_empty() || digits.contains('.') || number.ends_with('.');
    if bad || digits.len() > 20 {
        return Err(UnitError::Number(expected));
    }
    let decimals = u32::try_from(fraction.len()).map_err(|_| UnitError::TooLarge)?;
    let digits = digits.parse().map_err(|_| UnitError::Number(expected))?;
    Ok((digits, decimals, unit.trim()))
}

/// The number times `factor`, rounded down.
fn scale(digits: u128, decimals: u32, factor: u128) -> Result<u64, UnitError> {
    let scaled = digits.checked_mul(factor).ok_or(UnitError::TooLarge)? / 10_u128.pow(decimals);
    u64::try_from(scaled).map_err(|_| UnitError::TooLarge)
}

fn unknown(unit: &str, expected: &'static str) -> UnitError {
    UnitError::Unit { unit: unit.to_owned(), expected }
}

impl FromStr for RateText {
    type Err = UnitError;

    fn from_str(text: &str) -> Result<Self, UnitError> {
        const EXPECTED: &str = "a rate such as \"100mbit\", \"1.5gbit\" or \"12MB/s\"";
        let (digits, decimals, unit) = split(text, EXPECTED)?;
        let bits = match unit {
            "MB/s" => 8 * MEGA,
            "kB/s" => 8 * KILO,
            "GB/s" => 8 * GIGA,
            _ => match unit.to_ascii_lowercase().as_str() {
                "bit" => 1,
                "kbit" => KILO,
                "mbit" => MEGA,
                "gbit" => GIGA,
                "tbit" => TERA,
                _ => return Err(unknown(unit, EXPECTED)),
            },
        };
        match scale(digits, decimals, bits)? {
            0 => Err(UnitError::Zero),
            bits => Ok(Self(Rate::from_bits_per_sec(bits))),
        }
    }
}

impl FromStr for Span {
    type Err = UnitError;

    fn from_str(text: &str) -> Result<Self, UnitError> {
        const EXPECTED: &str = "a time such as \"20ms\", \"250us\" or \"1.5s\"";
        let (digits, decimals, unit) = split(text, EXPECTED)?;
        let nanos = match unit.to_ascii_lowercase().as_str() {
            "ns" => 1,
            "us" => KILO,
            "ms" => MEGA,
            "s" => GIGA,
            _ => return Err(unknown(unit, EXPECTED)),
        };
        let span = Duration::from_nanos(scale(digits, decimals, nanos)?);
        if span > Duration::from_secs(MAX_SECONDS as u64) { Err(UnitError::TooLarge) } else { Ok(Self(span)) }
    }
}

fn size_factor(unit: &str) -> Option<u128> {
    Some(match unit.to_ascii_lowercase().as_str() {
        "" | "b" => 1,
        "kb" => KILO,
        "mb" => MEGA,
        "gb" => GIGA,
        "tb" => TERA,
        "kib" => 1 << 10,
        "mib" => 1 << 20,
        "gib" => 1 << 30,
        "tib" => 1 << 40,
        _ => return None,
    })
}

impl FromStr for Size {
    type Err = UnitError;

    fn from_str(text: &str) -> Result<Self, UnitError> {
        const EXPECTED: &str = "a size such as \"64kib\", \"1.5mb\" or a number of bytes";
        let (digits, decimals, unit) = split(text, EXPECTED)?;
        let factor = size_factor(unit).ok_or_else(|| unknown(unit, EXPECTED))?;
        Ok(Self(scale(digits, decimals, factor)?))
    }
}

impl FromStr for Depth {
    type Err = UnitError;

    fn from_str(text: &str) -> Result<Self, UnitError> {
        const EXPECTED: &str = "a size such as \"64kib\", a number of bytes, or a depth such as \"0.5bdp\"";
        let (digits, decimals, unit) = split(text, EXPECTED)?;
        if unit.eq_ignore_ascii_case("bdp") {
            return Ok(Self::MilliBdp(scale(digits, decimals, KILO)?));
        }
        let factor = size_factor(unit).ok_or_else(|| unknown(unit, EXPECTED))?;
        Ok(Self::Bytes(scale(digits, decimals, factor)?))
    }
}

impl FromStr for Share {
    type Err = UnitError;

    fn from_str(text: &str) -> Result<Self, UnitError> {
        const EXPECTED: &str = "a share such as \"0.1%\" or \"250ppm\"";
        let (digits, decimals, unit) = split(text, EXPECTED)?;
        let parts = match unit {
            "%" => 10_000,
            "ppm" => 1,
            _ => return Err(unknown(unit, EXPECTED)),
        };
        let ppm = u32::try_from(scale(digits, decimals, parts)?).map_err(|_| UnitError::AboveAll)?;
        if ppm > 1_000_000 { Err(UnitError::AboveAll) } else { Ok(Self(ppm)) }
    }
}

/// Reads strings through `FromStr`; `from_integer` says what a bare number is, if anything.
struct Text<T> {
    expected: &'static str,
    from_integer: Option<fn(u64) -> T>,
}

impl<T: FromStr<Err = UnitError>> Visitor<'_> for Text<T> {
    type Value = T;

    fn expecting(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(self.expected)
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<T, E> {
        text.parse().map_err(|error| E::custom(format_args!("`{text}` {}", Reason(&error))))
    }

    fn visit_i64<E: Error>(self, number: i64) -> Result<T, E> {
        let Ok(positive) = u64::try_from(number) else {
            return Err(E::custom(format_args!("`{number}` {}", UnitError::Negative)));
        };
        self.visit_u64(positive)
    }

    fn visit_u64<E: Error>(self, number: u64) -> Result<T, E> {
        match self.from_integer {
            Some(make) => Ok(make(number)),
            None => Err(E::custom(format_args!("`{number}` has no unit: expected {}", self.expected))),
        }
    }
}

/// An error, worded so that it can follow what is wrong.
struct Reason<'e>(&'e UnitError);

impl fmt::Display for Reason<'_> {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            UnitError::Unit { unit, expected } if unit.is_empty() => write!(out, "has no unit: expected {expected}"),
            UnitError::Unit { unit, expected } => write!(out, "has an unknown unit `{unit}`: expected {expected}"),
            UnitError::Number(expected) => write!(out, "does not begin with a number: expected {expected}"),
            error => write!(out, "{error}"),
        }
    }
}

macro_rules! read_as_text {
    ($type:ty, $expected:literal, $from_integer:expr) => {
        impl<'de> Deserialize<'de> for $type {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                deserializer.deserialize_any(Text { expected: $expected, from_integer: $from_integer })
            }
        }
    };
}

read_as_text!(RateText, "a rate such as \"100mbit\"", None);
read_as_text!(Span, "a time such as \"20ms\"", None);
read_as_text!(Size, "a size such as \"64kib\"", Some(Size));
read_as_text!(Depth, "a size such as \"64kib\" or a depth such as \"0.5bdp\"", Some(Depth::Bytes));
read_as_text!(Share, "a share such as \"0.1%\"", None);

impl<'de> Deserialize<'de> for Seconds {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let seconds = f64::deserialize(deserializer)?;
        if seconds.is_nan() {
            return Err(Error::custom("`nan` is no number of seconds"));
        }
        if seconds < 0.0 {
            return Err(Error::custom(format_args!("`{seconds}` must not be negative")));
        }
        if seconds > MAX_SECONDS {
            return Err(Error::custom(format_args!("`{seconds:?}` is too large")));
        }
        // Below 10^18 and not negative, so the cast keeps it.
        Ok(Self(Duration::from_nanos((seconds * 1e9).round() as u64)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantities_are_exact() {
        let bits = |text: &str| text.parse().map(|RateText(rate)| rate.as_bits_per_sec());
        assert_eq!(bits("100mbit"), Ok(100_000_000));
        assert_eq!(bits("1.5 Gbit"), Ok(1_500_000_000));
        assert_eq!(bits("12MB/s"), Ok(96_000_000));
        let nanos = |text: &str| text.parse().map(|Span(span)| span.as_nanos());
        assert_eq!(nanos("0.25ms"), Ok(250_000));
        assert_eq!("64kib".parse(), Ok(Size(65_536)));
        assert_eq!("0.02bdp".parse(), Ok(Depth::MilliBdp(20)));
        assert_eq!("1500".parse(), Ok(Depth::Bytes(1500)));
        assert_eq!("0.001%".parse(), Ok(Share(10)));
        assert_eq!("100%".parse(), Ok(Share(1_000_000)));
    }

    #[test]
    fn nonsense_is_refused() {
        let rate = |text: &str| text.parse::<RateText>().unwrap_err();
        assert_eq!(rate("-5mbit"), UnitError::Negative);
        assert_eq!(rate("0mbit"), UnitError::Zero);
        assert_eq!(rate("99999999999999999tbit"), UnitError::TooLarge);
        assert!(matches!(rate("5 parsec"), UnitError::Unit { unit, .. } if unit == "parsec"));
        assert!(matches!(rate("fast"), UnitError::Number(_)));
        assert!(matches!(rate("1.2.3mbit"), UnitError::Number(_)));
        assert_eq!("101%".parse::<Share>(), Err(UnitError::AboveAll));
        assert_eq!("99999999999s".parse::<Span>(), Err(UnitError::TooLarge));
    }
}
