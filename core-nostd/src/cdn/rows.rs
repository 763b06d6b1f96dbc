//! The text that facts are kept in: comments behind `#`, and rows of columns that are separated by tabs.
//!
//! A list has a prefix a row. The other files have columns, which the types here hold. docs/cdn-detection.md describes them all.

use core::fmt;

use super::calibration::Strength;
use super::facts::{CertificateField, Kind, NameKind, Role};
use super::pattern::{Match, is_pattern};
use super::prefix::PrefixError;
use super::weight::CentiNats;

/// What is wrong with a row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RowError {
    /// It has fewer columns than this.
    Columns(usize),
    /// A list's row is no prefix.
    Prefix(PrefixError),
    /// This column is no number.
    Number(&'static str),
    /// This column is none of the words that it can be.
    Word(&'static str, &'static str),
    /// A pattern that is more than the small form of [`is_pattern`].
    Pattern,
    /// A column that must say something is empty.
    Empty(&'static str),
}

impl fmt::Display for RowError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Columns(count) => write!(f, "a row here has {count} columns, separated by tabs"),
            Self::Prefix(error) => error.fmt(f),
            Self::Number(column) => write!(f, "the column {column} has to be a number"),
            Self::Word(column, words) => write!(f, "the column {column} has to be one of {words}"),
            Self::Pattern => f.write_str(
                "this pattern is more than bytes, [0-9], [a-z], a number of repeats in braces, ^ in front and $ behind",
            ),
            Self::Empty(column) => write!(f, "the column {column} is empty"),
        }
    }
}

impl core::error::Error for RowError {}

/// The rows of a file, each with the number of its line from 1.
pub fn rows(text: &str) -> impl Iterator<Item = (usize, &str)> {
    let lines = text.lines().enumerate().map(|(at, line)| (at + 1, line.trim_end_matches([' ', '\t', '\r'])));
    lines.filter(|(_, line)| !line.trim_start().is_empty() && !line.starts_with('#'))
}

/// What the comments of a file say.
pub fn comments(text: &str) -> impl Iterator<Item = &str> {
    text.lines().filter_map(|line| line.strip_prefix('#')).map(str::trim)
}

/// The columns of a row, at least so many; what is missing behind those is empty.
fn columns<const N: usize>(row: &str, least: usize) -> Result<[&str; N], RowError> {
    let mut found = [""; N];
    let mut count = 0;
    for (column, text) in found.iter_mut().zip(row.split('\t')) {
        *column = text.trim();
        count += 1;
    }
    if count < least { Err(RowError::Columns(least)) } else { Ok(found) }
}

fn filled<'t>(column: &'static str, text: &'t str) -> Result<&'t str, RowError> {
    if text.is_empty() { Err(RowError::Empty(column)) } else { Ok(text) }
}

fn number(column: &'static str, text: &str) -> Result<u32, RowError> {
    text.parse().map_err(|_| RowError::Number(column))
}

// --- where a file is from ---

/// A day, or a month where no day is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Date {
    year: u16,
    month: u8,
    /// 0 for none.
    day: u8,
}

impl fmt::Display for Date {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:04}-{:02}", self.year, self.month)?;
        if self.day > 0 { write!(f, "-{:02}", self.day) } else { Ok(()) }
    }
}

impl Date {
    /// A day, or a month with the day 0.
    #[must_use]
    pub const fn new(year: u16, month: u8, day: u8) -> Self {
        Self { year, month, day }
    }

    /// Year, month, and day or 0.
    #[must_use]
    pub const fn parts(self) -> (u16, u8, u8) {
        (self.year, self.month, self.day)
    }

    /// The newest date in a text: `2026-08-22`, `20260822`, and `2026-08` where it is alone.
    #[must_use]
    pub fn newest_in(text: &str) -> Option<Self> {
        let words = text.split(|c: char| !(c.is_ascii_digit() || c == '-'));
        words.filter_map(Self::of_word).max()
    }

    fn of_word(word: &str) -> Option<Self> {
        let (year, month, day) = match word.len() {
            10 if word.contains('-') => {
                (word.get(..4)?, word.get(4..7)?.strip_prefix('-')?, word.get(7..)?.strip_prefix('-')?)
            }
            7 => (word.get(..4)?, word.get(4..)?.strip_prefix('-')?, "0"),
            // Ten digits are a day and a count.
            8 | 10 => (word.get(..4)?, word.get(4..6)?, word.get(6..8)?),
            _ => return None,
        };
        let date = Self { year: year.parse().ok()?, month: month.parse().ok()?, day: day.parse().ok()? };
        let is_date = (1990..2100).contains(&date.year) && (1..=12).contains(&date.month) && date.day <= 31;
        is_date.then_some(date)
    }
}

/// The date of a file: the one behind `# date:`, or else the newest one in its comments.
#[must_use]
pub fn date(text: &str) -> Option<Date> {
    let said = comments(text).find_map(|comment| comment.strip_prefix("date:")).and_then(Date::newest_in);
    said.or_else(|| comments(text).filter_map(Date::newest_in).max())
}

/// Who says what is in a list: what stands behind `# publisher:`, `# source:` or `# via:`, or else its first comment; empty without
/// any.
#[must_use]
pub fn source(text: &str) -> &str {
    let behind = |key: &str| comments(text).find_map(|comment| comment.strip_prefix(key));
    let said = behind("publisher:").or_else(|| behind("source:")).or_else(|| behind("via:"));
    said.or_else(|| comments(text).next()).unwrap_or_default().trim()
}

/// Whether a list is the provider's own: `# publisher:` names it.
#[must_use]
pub fn is_published(text: &str) -> bool {
    comments(text).any(|comment| comment.starts_with("publisher:"))
}

/// The first of a row's sources: for `S1,S2` in a file that says `# sources: S1 name; S2 other name` the one with that name. What
/// the file does not explain stands for itself; `-` is nobody, and empty here.
#[must_use]
pub fn source_of_row<'t>(text: &'t str, codes: &'t str) -> &'t str {
    let mut codes = codes.split(',').map(str::trim).filter(|code| !matches!(*code, "" | "-"));
    codes.next().map_or("", |code| explained(text, code).unwrap_or(code))
}

fn explained<'t>(text: &'t str, code: &str) -> Option<&'t str> {
    let short = code.split('(').next().unwrap_or(code);
    let all = comments(text).filter_map(|comment| comment.strip_prefix("sources:"));
    let mut meanings = all.flat_map(split_outside_brackets).filter_map(|part| part.trim().split_once(' '));
    meanings.find(|(name, _)| *name == short).map(|(_, meaning)| meaning.trim_end_matches('.'))
}

/// The parts of a line between semicolons, of which those in brackets separate nothing.
fn split_outside_brackets(line: &str) -> impl Iterator<Item = &str> {
    let mut depth = 0_u32;
    line.split(move |c| {
        match c {
            '(' => depth = depth.saturating_add(1),
            ')' => depth = depth.saturating_sub(1),
            _ => {}
        }
        c == ';' && depth == 0
    })
}

// --- rows of facts ---

/// `providers.tsv`: `key name kind also`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ProviderRow<'t> {
    /// The name of its files.
    pub key: &'t str,
    /// The name that people know.
    pub name: &'t str,
    /// What it is.
    pub kind: Kind,
    /// Other names of files about it, separated by commas.
    also: &'t str,
}

impl<'t> ProviderRow<'t> {
    /// Reads it.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn parse(row: &'t str) -> Result<Self, RowError> {
        let [key, name, kind, also] = columns(row, 3)?;
        let kind = Kind::of_name(kind).ok_or(RowError::Word("kind", "cdn, waf, cloud"))?;
        Ok(Self { key: filled("key", key)?, name: filled("name", name)?, kind, also })
    }

    /// Whether a file or row of this key is about it.
    #[must_use]
    pub fn answers_to(&self, key: &str) -> bool {
        self.key == key || self.also.split(',').any(|also| also.trim() == key && !matches!(key, "" | "-"))
    }
}

/// `anti.tsv`: `list against`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AntiRow<'t> {
    /// The name of a file in `ranges-neg` without its ending.
    pub list: &'t str,
    against: &'t str,
}

impl<'t> AntiRow<'t> {
    /// Reads it.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn parse(row: &'t str) -> Result<Self, RowError> {
        let [list, against] = columns(row, 2)?;
        Ok(Self { list: filled("list", list)?, against: filled("against", against)? })
    }

    /// Keys of the providers that it speaks of most of all.
    pub fn against(&self) -> impl Iterator<Item = &'t str> {
        self.against.split(',').map(str::trim).filter(|key| !matches!(*key, "" | "-"))
    }
}

/// `asns.tsv`: `provider asn role note source`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AsnRow<'t> {
    /// Whose.
    pub provider: &'t str,
    /// Its number.
    pub asn: u32,
    /// What for.
    pub role: Role,
    /// Codes of its sources.
    pub source: &'t str,
}

impl<'t> AsnRow<'t> {
    /// Reads it.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn parse(row: &'t str) -> Result<Self, RowError> {
        let [provider, asn, role, _, source] = columns(row, 3)?;
        let role = Role::of_name(role).ok_or(RowError::Word("role", "edge, shared, egress, vm"))?;
        Ok(Self { provider: filled("provider", provider)?, asn: number("asn", asn)?, role, source })
    }
}

/// `suffixes.tsv`: `provider kind suffix observed source`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SuffixRow<'t> {
    /// Whose.
    pub provider: &'t str,
    /// Where such names stand.
    pub kind: NameKind,
    /// The suffix; `-` where a provider's addresses have no names.
    pub suffix: &'t str,
    /// What it is worth.
    pub strength: Strength,
    /// Codes of its sources.
    pub source: &'t str,
}

impl<'t> SuffixRow<'t> {
    /// Reads it.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn parse(row: &'t str) -> Result<Self, RowError> {
        let [provider, kind, suffix, observed, source] = columns(row, 3)?;
        let kind = match kind {
            "cname" => NameKind::Cname,
            "rdns" | "ptr" => NameKind::Ptr,
            _ => return Err(RowError::Word("kind", "cname, rdns")),
        };
        let (provider, suffix) = (filled("provider", provider)?, filled("suffix", suffix)?);
        let suffix = suffix.trim_start_matches("*.").trim_matches('.');
        Ok(Self { provider, kind, suffix: filled("suffix", suffix)?, strength: Strength::of_remark(observed), source })
    }

    /// Whether it says that there are no such names, which is no fact to look names up in.
    #[must_use]
    pub fn is_absence(&self) -> bool {
        self.suffix == "-"
    }
}

/// `headers.tsv`: `provider header match strength source`; the provider `origin` stands for headers that tell where an origin is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HeaderRow<'t> {
    /// An edge's header.
    Edge {
        /// Whose.
        provider: &'t str,
        /// Its name.
        header: &'t str,
        /// How its value is compared.
        how: Match,
        /// What with.
        words: &'t str,
        /// What it is worth.
        strength: Strength,
        /// Codes of its sources.
        source: &'t str,
    },
    /// Headers that leak an origin's place: names, separated by ` / `.
    Leak(&'t str),
}

impl<'t> HeaderRow<'t> {
    /// Reads it.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn parse(row: &'t str) -> Result<Self, RowError> {
        // A word may end in a space, as in `prefix:CFS `.
        let raw = row.split('\t').nth(2).unwrap_or_default();
        let [provider, header, how, strength, source] = columns(row, 3)?;
        let (provider, header) = (filled("provider", provider)?, filled("header", header)?);
        if provider == "origin" {
            return Ok(Self::Leak(header));
        }
        let (name, words) = match raw.split_once(':') {
            Some((name, words)) => (name.trim(), words),
            None => (how, ""),
        };
        let how = Match::of_name(name)
            .ok_or(RowError::Word("match", "present, eq:, in:, prefix:, suffix:, contains:, regex:"))?;
        if how != Match::Present && words.is_empty() {
            return Err(RowError::Empty("match"));
        }
        if how == Match::Pattern && !words.split('|').all(is_pattern) {
            return Err(RowError::Pattern);
        }
        Ok(Self::Edge { provider, header, how, words, strength: Strength::of_remark(strength), source })
    }
}

/// The names of headers in a [`HeaderRow::Leak`]: `x-a / server: AmazonS3` has `x-a`, and not the one that needs a value.
pub fn leaks(row: &str) -> impl Iterator<Item = &str> {
    row.split('/').map(str::trim).filter(|name| !name.is_empty() && !name.contains([':', ' ']))
}

/// `tls.tsv`: `provider field pattern when strength source`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CertificateRow<'t> {
    /// Whose.
    pub provider: &'t str,
    /// Where to look.
    pub field: CertificateField,
    patterns: &'t str,
    /// What it is worth.
    pub strength: Strength,
    /// Codes of its sources.
    pub source: &'t str,
}

impl<'t> CertificateRow<'t> {
    /// Reads it.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn parse(row: &'t str) -> Result<Self, RowError> {
        let [provider, field, patterns, _, strength, source] = columns(row, 3)?;
        let field = match field {
            "subject.CN" => CertificateField::CommonName,
            "san" => CertificateField::AlternativeName,
            "behaviour" => CertificateField::AlertWithoutName,
            _ => return Err(RowError::Word("field", "subject.CN, san, behaviour")),
        };
        let (provider, patterns) = (filled("provider", provider)?, filled("pattern", patterns)?);
        Ok(Self { provider, field, patterns, strength: Strength::of_remark(strength), source })
    }

    /// The patterns of names, or a single empty one where the fact is no name.
    pub fn patterns(&self) -> impl Iterator<Item = &'t str> {
        let is_name = self.field != CertificateField::AlertWithoutName;
        let names = self.patterns.split(['|', ',']).map(without_remark).filter(|pattern| !pattern.is_empty());
        names.filter(move |_| is_name).chain([""].into_iter().filter(move |_| !is_name))
    }
}

/// `a.example.com (what that is)` without what is in brackets.
fn without_remark(pattern: &str) -> &str {
    pattern.split('(').next().unwrap_or_default().trim()
}

/// `asn_precision.tsv`: `provider asn announced_v4 v4_in_provider_cdn_ranges precision`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ShareRow {
    /// The network.
    pub asn: u32,
    /// How much of its announced space is edges, in millionths.
    pub share_ppm: u32,
}

impl ShareRow {
    /// Reads it; `None` for the row with the columns' names.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn parse(row: &str) -> Result<Option<Self>, RowError> {
        let [provider, asn, announced, edges, _] = columns(row, 4)?;
        if provider == "provider" {
            return Ok(None);
        }
        let announced: u64 = announced.parse().map_err(|_| RowError::Number("announced_v4"))?;
        let edges: u64 = edges.parse().map_err(|_| RowError::Number("v4_in_provider_cdn_ranges"))?;
        let share = (u128::from(edges) * 1_000_000).checked_div(announced.into()).unwrap_or(0).min(1_000_000);
        // At most a million.
        Ok(Some(Self { asn: number("asn", asn)?, share_ppm: share as u32 }))
    }
}

/// What a ratio in `likelihoods.tsv` speaks of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RatioOf<'t> {
    /// A network.
    Asn(u32),
    /// Names of addresses that end so.
    Ptr(&'t str),
}

/// `likelihoods.tsv`: `provider signal p_given_provider p_given_not LR log10`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RatioRow<'t> {
    /// Whom it speaks of.
    pub provider: &'t str,
    /// What was seen.
    pub of: RatioOf<'t>,
    /// What that says.
    pub weight: CentiNats,
}

impl<'t> RatioRow<'t> {
    /// Reads it; `None` for the row with the columns' names, and for ratios under a condition, which are of no use here.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn parse(row: &'t str) -> Result<Option<Self>, RowError> {
        let [provider, signal, _, _, ratio] = columns(row, 5)?;
        if provider == "provider" || signal.contains("(given") {
            return Ok(None);
        }
        let (kind, what) = signal.split_once(' ').ok_or(RowError::Word("signal", "ASN number, rDNS *.suffix"))?;
        let what = without_remark(what);
        let of = match kind {
            "ASN" => RatioOf::Asn(number("signal", what)?),
            "rDNS" => RatioOf::Ptr(what.trim_start_matches("*.")),
            _ => return Err(RowError::Word("signal", "ASN number, rDNS *.suffix")),
        };
        let weight = weight_of_decimal(ratio).ok_or(RowError::Number("LR"))?;
        Ok(Some(Self { provider, of, weight }))
    }
}

/// ln of a positive decimal such as `0.00114` or `6.25e+03`.
fn weight_of_decimal(text: &str) -> Option<CentiNats> {
    let (digits, exponent) = text.split_once(['e', 'E']).unwrap_or((text, "0"));
    let (whole, fraction) = digits.split_once('.').unwrap_or((digits, ""));
    let mut mantissa = 0_u64;
    for byte in whole.bytes().chain(fraction.bytes()) {
        let digit = char::from(byte).to_digit(10)?;
        mantissa = mantissa.checked_mul(10)?.checked_add(digit.into())?;
    }
    let exponent: i32 = exponent.parse().ok()?;
    let shift = exponent.checked_sub(i32::try_from(fraction.len()).ok()?)?;
    let power = 10_u64.checked_pow(shift.unsigned_abs())?;
    let (numerator, denominator) = if shift < 0 { (mantissa, power) } else { (mantissa.checked_mul(power)?, 1) };
    (numerator > 0).then(|| CentiNats::of_ratio(numerator, denominator))
}
