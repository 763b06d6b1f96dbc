//! Allow-lists: public addresses that may be asked, by whose responsibility, on what grounds, and until when (SCAN-6).
//!
//! ```text
//! owner: Example GmbH, noc@example.com
//! authorisation: contract 2026-117, signed by the owner of the network
//! expires: 2027-06-30
//!
//! 198.51.100.0/24      # headquarters
//! 2001:db8:7::/48
//! ```
//!
//! Behind a header everything up to the end of the line is its value.

use std::io::BufRead;
use std::path::{Path, PathBuf};

use wirehaul_core::cdn::Date;
use wirehaul_core::cdn::prefix::Prefix;
use wirehaul_core::scan::AllowList;

use super::addresses::{Addresses, Spans};
use super::expression::Expression;
use super::files::{FileError, LineError, each_line, open, shown, without_comment};

/// An allow-list that says all that it has to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AllowFile {
    /// Where it was read.
    pub path: PathBuf,
    /// Who is responsible.
    pub owner: String,
    /// What permits it.
    pub authorisation: String,
    /// The last day on which it holds, in UTC.
    pub expires: Date,
    /// What may be asked.
    pub addresses: Addresses,
}

impl AllowFile {
    /// Reads one. Whether it has expired is for the policy to say.
    ///
    /// # Errors
    /// It cannot be read, has a line that is wrong, or lacks something.
    pub fn read(path: &Path) -> Result<Self, FileError> {
        Self::read_from(path, open(path)?)
    }

    fn read_from(path: &Path, source: impl BufRead) -> Result<Self, FileError> {
        let mut headers = Headers::default();
        let mut spans = Spans::default();
        each_line(
            path,
            source,
            |_, text| if headers.take(text)? { Ok(()) } else { allow(without_comment(text), &mut spans) },
        )?;
        let missing = |header| FileError::Header { path: path.to_owned(), header };
        let allowed = Self {
            path: path.to_owned(),
            owner: headers.owner.ok_or_else(|| missing("owner: NAME"))?,
            authorisation: headers.authorisation.ok_or_else(|| missing("authorisation: TEXT"))?,
            expires: headers.expires.ok_or_else(|| missing("expires: YYYY-MM-DD"))?,
            addresses: spans.joined(),
        };
        if allowed.addresses.is_empty() {
            return Err(FileError::NothingAllowed { path: path.to_owned() });
        }
        Ok(allowed)
    }

    /// As the policy takes it.
    #[must_use]
    pub fn list(&self) -> AllowList<'_> {
        AllowList { v4: self.addresses.v4(), v6: self.addresses.v6(), expires: self.expires }
    }
}

#[derive(Default)]
struct Headers {
    owner: Option<String>,
    authorisation: Option<String>,
    expires: Option<Date>,
}

impl Headers {
    /// Takes a line if it is a header.
    fn take(&mut self, line: &str) -> Result<bool, LineError> {
        let Some((key, value)) = line.split_once(':') else { return Ok(false) };
        let (key, value) = (key.trim(), value.trim());
        match key.to_ascii_lowercase().as_str() {
            "owner" => fill(&mut self.owner, "owner", text("owner", value)?)?,
            "authorisation" | "authorization" => {
                fill(&mut self.authorisation, "authorisation", text("authorisation", value)?)?;
            }
            "expires" => fill(&mut self.expires, "expires", day(&text("expires", value)?)?)?,
            // An address of IPv6 begins with hexadecimal digits, four at most, or with a colon.
            _ if key.len() > 4 && key.bytes().all(|byte| byte.is_ascii_alphabetic() || byte == b'-') => {
                return Err(LineError::UnknownHeader(shown(key)));
            }
            _ => return Ok(false),
        }
        Ok(true)
    }
}

fn fill<T>(header: &mut Option<T>, name: &'static str, value: T) -> Result<(), LineError> {
    if header.replace(value).is_some() { Err(LineError::Twice(name)) } else { Ok(()) }
}

fn text(name: &'static str, value: &str) -> Result<String, LineError> {
    if value.is_empty() { Err(LineError::EmptyHeader(name)) } else { Ok(value.to_owned()) }
}

/// A day of the calendar as `YYYY-MM-DD`.
fn day(text: &str) -> Result<Date, LineError> {
    parse_day(text).ok_or_else(|| LineError::Date(shown(text)))
}

fn parse_day(text: &str) -> Option<Date> {
    let is_written_so = text.len() == 10
        && text
            .bytes()
            .enumerate()
            .all(|(at, byte)| if matches!(at, 4 | 7) { byte == b'-' } else { byte.is_ascii_digit() });
    let part = |range| text.get(range).filter(|_| is_written_so);
    let (year, month, day) =
        (part(0..4)?.parse::<u16>().ok()?, part(5..7)?.parse::<u8>().ok()?, part(8..10)?.parse().ok()?);
    let is_leap = year.is_multiple_of(4) && (!year.is_multiple_of(100) || year.is_multiple_of(400));
    let days = match month {
        1 | 3 | 5 | 7 | 8 | 10 | 12 => 31,
        4 | 6 | 9 | 11 => 30,
        2 if is_leap => 29,
        2 => 28,
        _ => return None,
    };
    (1..=days).contains(&day).then(|| Date::new(year, month, day))
}

fn allow(line: &str, spans: &mut Spans) -> Result<(), LineError> {
    let item = |reason| LineError::Item { item: shown(line), reason };
    match Expression::parse(line).map_err(item)? {
        Expression::Name(_) => Err(LineError::Name { item: shown(line) }),
        // What is meant by an address with a length is one guess too many where permission is given.
        _ if line.contains('/') && Prefix::parse(line).is_err() => Err(LineError::HostBits { item: shown(line) }),
        Expression::V4(span) => {
            spans.v4.push(span);
            Ok(())
        }
        Expression::V6(span) => {
            spans.v6.push(span);
            Ok(())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::expression::ExpressionError;
    use super::*;

    const HEADERS: &str = "owner: Example GmbH: NOC\nauthorisation: ticket #117\nexpires: 2028-02-29\n";

    fn read(text: &str) -> Result<AllowFile, String> {
        AllowFile::read_from(Path::new("allow.txt"), text.as_bytes()).map_err(|error| error.to_string())
    }

    /// SCAN-6: an allow-list with owner, authorisation and expiry.
    #[test]
    fn a_list_says_who_and_why_and_until_when() {
        let list = read(&format!(
            "# ours\n{HEADERS}\n198.51.100.0/24\n2001:db8::/32\n::1\nfade::1\n10.0.0.1-10.0.0.9 # some\n"
        ))
        .unwrap();
        assert_eq!((list.owner.as_str(), list.authorisation.as_str()), ("Example GmbH: NOC", "ticket #117"));
        assert_eq!(list.expires, Date::new(2028, 2, 29));
        for (ip, expected) in
            [("198.51.100.9", true), ("2001:db8::9", true), ("::1", true), ("fade::1", true), ("10.0.0.10", false)]
        {
            assert_eq!(list.addresses.contains(ip.parse().unwrap()), expected, "{ip}");
        }
        let core = list.list();
        assert!(core.holds_on(Date::new(2028, 2, 29)) && !core.holds_on(Date::new(2028, 3, 1)));
        let american = HEADERS.replace("authorisation", "Authorization");
        assert!(read(&format!("192.0.2.0/24\n{american}")).is_ok());
    }

    #[test]
    fn what_is_missing_or_wrong_is_named() {
        let without =
            |header: &str| HEADERS.lines().filter(|line| !line.starts_with(header)).collect::<Vec<_>>().join("\n");
        let missing = |line: &str| {
            format!(
                "allow.txt: the line `{line}` is missing; an allow-list says who is responsible, what permits it, and until when"
            )
        };
        let with = |line: &str| format!("{HEADERS}{line}\n");
        for (text, expected) in [
            (without("owner"), missing("owner: NAME")),
            (without("authorisation"), missing("authorisation: TEXT")),
            (without("expires"), missing("expires: YYYY-MM-DD")),
            (HEADERS.to_owned(), "allow.txt: there is no prefix in this allow-list, so that it allows nothing".to_owned()),
            (with("owner: me"), "allow.txt:4: `owner:` is there twice".to_owned()),
            ("owner:".to_owned(), "allow.txt:1: behind `owner:` there is nothing".to_owned()),
            (
                with("expire: 2027-01-01"),
                "allow.txt:4: `expire:` is none of the headers of an allow-list, which are owner, authorisation and expires".to_owned(),
            ),
            (
                with("192.0.2.7/24"),
                "allow.txt:4: `192.0.2.7/24`: bits are set behind the length of the prefix; an allow-list has to say exactly what it means"
                    .to_owned(),
            ),
            (
                with("host.example"),
                "allow.txt:4: `host.example`: a name may have another address tomorrow; give addresses, prefixes or ranges here".to_owned(),
            ),
            (with("192.0.2.0/33"), format!("allow.txt:4: `192.0.2.0/33`: {}", ExpressionError::Prefix(wirehaul_core::cdn::prefix::PrefixError::Length))),
        ] {
            assert_eq!(read(&text).unwrap_err(), expected);
        }
    }

    #[test]
    fn days_are_days_of_the_calendar() {
        for good in ["2026-01-31", "2026-12-01", "2000-02-29", "2024-02-29"] {
            assert_eq!(parse_day(good).unwrap().to_string(), good);
        }
        for bad in [
            "2026-02-29",
            "1900-02-29",
            "2026-04-31",
            "2026-13-01",
            "2026-00-01",
            "2026-01-00",
            "2026-1-1",
            "2026-01",
            "20260101",
            "+026-01-01",
            "2026/01/01",
            "never",
        ] {
            assert_eq!(parse_day(bad), None, "{bad}");
        }
    }
}
