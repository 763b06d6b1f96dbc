//! Files with an item a line: targets, and what the other lists of a survey have in common with them.
//!
//! What stands behind `#` is a comment, and empty lines are nothing. What is wrong is named by file and line, and nothing of the file
//! is used then: a list with a mistake in it is not the list that was meant.

use std::fs::File;
use std::io::{self, BufRead, BufReader};
use std::path::{Path, PathBuf};

use super::addresses::Spans;
use super::expression::{Expression, ExpressionError};

/// Bytes of a line at most.
const MOST_LINE_BYTES: usize = 4 << 10;

/// Bytes of an item that are shown with an error.
const SHOWN_BYTES: usize = 64;

/// How standard input is called among files.
const STANDARD_INPUT: &str = "-";

/// Why a file was not used.
#[derive(Debug, thiserror::Error)]
pub enum FileError {
    /// It could not be read.
    #[error("cannot read {}: {source}", shown_path(path))]
    Read {
        /// Which.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// One of its lines is wrong.
    #[error("{}:{line}: {reason}", shown_path(path))]
    Line {
        /// In which file.
        path: PathBuf,
        /// Which, from 1.
        line: u64,
        /// What is wrong.
        reason: LineError,
    },
    /// An allow-list lacks a header.
    #[error("{}: the line `{header}` is missing; an allow-list says who is responsible, what permits it, and until when", path.display())]
    Header {
        /// Which file.
        path: PathBuf,
        /// How the line is written.
        header: &'static str,
    },
    /// An allow-list allows nothing.
    #[error("{}: there is no prefix in this allow-list, so that it allows nothing", path.display())]
    NothingAllowed {
        /// Which file.
        path: PathBuf,
    },
}

/// What is wrong with a line.
#[derive(Debug, thiserror::Error)]
pub enum LineError {
    /// It is no target.
    #[error("`{item}`: {reason}")]
    Item {
        /// The item, shortened.
        item: String,
        /// Why not.
        reason: ExpressionError,
    },
    /// It has a name where addresses belong.
    #[error("`{item}`: a name may have another address tomorrow; give addresses, prefixes or ranges here")]
    Name {
        /// The name, shortened.
        item: String,
    },
    /// An allow-list has an address with a length that is shorter than it.
    #[error("`{item}`: bits are set behind the length of the prefix; an allow-list has to say exactly what it means")]
    HostBits {
        /// The prefix, shortened.
        item: String,
    },
    /// It is not UTF-8.
    #[error("this is not UTF-8 text")]
    NoText,
    /// It is too long.
    #[error("this line has more than {MOST_LINE_BYTES} bytes")]
    TooLong,
    /// A header without a value.
    #[error("behind `{0}:` there is nothing")]
    EmptyHeader(&'static str),
    /// A header that is there already.
    #[error("`{0}:` is there twice")]
    Twice(&'static str),
    /// A word with a colon that is no header.
    #[error("`{0}:` is none of the headers of an allow-list, which are owner, authorisation and expires")]
    UnknownHeader(String),
    /// A date that is none.
    #[error("`{0}` is no day of the calendar; write it YYYY-MM-DD, as in 2027-06-30")]
    Date(String),
}

fn shown_path(path: &Path) -> String {
    if path.as_os_str() == STANDARD_INPUT { "standard input".to_owned() } else { path.display().to_string() }
}

/// A text for an error message: its beginning, without what could confuse a terminal.
pub(super) fn shown(text: &str) -> String {
    let end = text.char_indices().map(|(at, _)| at).take_while(|at| *at <= SHOWN_BYTES).last().unwrap_or(0);
    let (shown, rest) = if text.len() > SHOWN_BYTES { text.split_at(end) } else { (text, "") };
    let mut shown: String = shown.escape_debug().collect();
    if !rest.is_empty() {
        shown.push('\u{2026}');
    }
    shown
}

/// A name among targets, and where it stood.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Name {
    /// The host.
    pub name: String,
    /// `FILE:LINE`, or `None` for the command line.
    pub place: Option<String>,
}

/// What is to be asked: addresses as they came, and names that are to be looked up.
#[derive(Clone, Debug, Default)]
pub struct TargetList {
    /// Addresses, with overlaps.
    pub spans: Spans,
    /// Names, repeated ones too.
    pub names: Vec<Name>,
}

impl TargetList {
    /// Adds a TARGET of the command line.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn add(&mut self, text: &str) -> Result<(), ExpressionError> {
        self.push(Expression::parse(text)?, || None);
        Ok(())
    }

    /// Adds those of a file, or of standard input for `-`.
    ///
    /// # Errors
    /// It cannot be read, or a line is wrong. Some lines may have been added then.
    pub fn read(&mut self, path: &Path) -> Result<(), FileError> {
        if path.as_os_str() == STANDARD_INPUT {
            return self.read_from(path, io::stdin().lock());
        }
        self.read_from(path, open(path)?)
    }

    /// As [`TargetList::read`], from a file that is open.
    ///
    /// # Errors
    /// As there.
    pub fn read_from(&mut self, path: &Path, source: impl BufRead) -> Result<(), FileError> {
        each_line(path, source, |line, text| {
            let text = without_comment(text);
            let expression = Expression::parse(text).map_err(|reason| LineError::Item { item: shown(text), reason })?;
            self.push(expression, || Some(format!("{}:{line}", shown_path(path))));
            Ok(())
        })
    }

    fn push(&mut self, expression: Expression, place: impl FnOnce() -> Option<String>) {
        match expression {
            Expression::V4(span) => self.spans.v4.push(span),
            Expression::V6(span) => self.spans.v6.push(span),
            Expression::Name(name) => self.names.push(Name { name, place: place() }),
        }
    }
}

/// Opens a file for reading.
pub(super) fn open(path: &Path) -> Result<impl BufRead, FileError> {
    let opened = File::open(path).map(|file| BufReader::with_capacity(64 << 10, file));
    opened.map_err(|source| FileError::Read { path: path.to_owned(), source })
}

/// Hands each line that says something to `read`, with its number from 1, without space around it; see [`without_comment`].
pub(super) fn each_line(
    path: &Path,
    mut source: impl BufRead,
    mut read: impl FnMut(u64, &str) -> Result<(), LineError>,
) -> Result<(), FileError> {
    let mut bytes = Vec::new();
    for number in 1.. {
        bytes.clear();
        // One more than may be, so that what is too long is seen to be.
        let most = MOST_LINE_BYTES as u64 + 1;
        let count = io::Read::take(&mut source, most).read_until(b'\n', &mut bytes);
        if count.map_err(|source| FileError::Read { path: path.to_owned(), source })? == 0 {
            break;
        }
        let read =
            item_of(&bytes, number == 1).and_then(|item| if item.is_empty() { Ok(()) } else { read(number, item) });
        read.map_err(|reason| FileError::Line { path: path.to_owned(), line: number, reason })?;
    }
    Ok(())
}

fn item_of(line: &[u8], is_first: bool) -> Result<&str, LineError> {
    let line = line.strip_suffix(b"\n").unwrap_or(line);
    if line.len() > MOST_LINE_BYTES {
        return Err(LineError::TooLong);
    }
    let text = str::from_utf8(line).map_err(|_| LineError::NoText)?;
    // Some editors begin a file with a byte order mark.
    let text = if is_first { text.strip_prefix('\u{feff}').unwrap_or(text) } else { text };
    let text = text.trim();
    Ok(if text.starts_with('#') { "" } else { text })
}

/// What stands before the comment.
pub(super) fn without_comment(line: &str) -> &str {
    line.split('#').next().unwrap_or_default().trim_end()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(bytes: &[u8]) -> Result<TargetList, String> {
        let mut list = TargetList::default();
        list.read_from(Path::new("targets.txt"), bytes).map_err(|error| error.to_string())?;
        Ok(list)
    }

    /// SCAN-1: targets out of a file.
    #[test]
    fn a_file_has_an_item_a_line() {
        let list = read(
            b"\xef\xbb\xbf# all of it\n192.0.2.0/24 # a lab\r\n\n  \n2001:db8::1\n#10.0.0.0/8\nHost.example\nb.example",
        )
        .unwrap();
        assert_eq!((list.spans.v4.len(), list.spans.v6.len()), (1, 1));
        let name = |name: &str, line: u64| Name { name: name.to_owned(), place: Some(format!("targets.txt:{line}")) };
        assert_eq!(list.names, [name("host.example", 7), name("b.example", 8)]);
        assert!(read(b"").unwrap().names.is_empty());
    }

    #[test]
    fn what_is_wrong_is_named_by_file_and_line() {
        let long = [b"192.0.2.1\n".as_slice(), &vec![b'1'; MOST_LINE_BYTES + 1], b"\n"].concat();
        let longest = [vec![b' '; MOST_LINE_BYTES - 9], b"192.0.2.1\n".to_vec()].concat();
        for (bytes, expected) in [
            (
                &b"192.0.2.1\n\n# no\n192.0.2.300\n"[..],
                "targets.txt:4: `192.0.2.300`: this looks like an address and is none: IPv4 has four numbers up to 255, without zeros in front",
            ),
            (b"a\xffb", "targets.txt:1: this is not UTF-8 text"),
            (&long, "targets.txt:2: this line has more than 4096 bytes"),
            (
                b"x\x1b[2Jy",
                "targets.txt:1: `x\\u{1b}[2Jy`: spaces and control characters belong in none; give one address, prefix, name or URL a line",
            ),
        ] {
            assert_eq!(read(bytes).unwrap_err(), expected);
        }
        assert_eq!(read(&longest).unwrap().spans.v4.len(), 1);
        let shown = shown(&"\u{e4}".repeat(100));
        assert!(shown.len() < 80 && shown.ends_with('\u{2026}'));
    }

    /// A million lines, of which one is wrong.
    #[test]
    fn a_bad_line_among_a_million_is_found() {
        use std::io::Write;

        let mut text = Vec::new();
        for line in 1_u32..=1_000_000 {
            let address = std::net::Ipv4Addr::from_bits(line << 8);
            if line == 777_777 { writeln!(text, "{address}/") } else { writeln!(text, "{address}") }.unwrap();
        }
        let error = read(&text).unwrap_err();
        assert!(error.starts_with("targets.txt:777777: `11.222.49.0/`: this is no prefix"), "{error}");
        let good = text.split(|byte| *byte == b'/').collect::<Vec<_>>().concat();
        assert_eq!(read(&good).unwrap().spans.v4.len(), 1_000_000);
    }

    #[test]
    fn a_file_that_is_not_there_is_named() {
        let error = TargetList::default().read(Path::new("/nonexistent/targets")).unwrap_err().to_string();
        assert!(error.starts_with("cannot read /nonexistent/targets: "), "{error}");
    }

    #[test]
    fn the_command_line_has_no_lines() {
        let mut list = TargetList::default();
        list.add("host.example").unwrap();
        list.add("192.0.2.1-192.0.2.9").unwrap();
        assert_eq!(list.names, [Name { name: "host.example".to_owned(), place: None }]);
        assert_eq!(list.add("192.0.2.1-9"), Err(ExpressionError::RangeEnd));
    }
}
