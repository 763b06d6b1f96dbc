//! What is wrong with a configuration, and where.

use std::fmt;
use std::ops::Range;
use std::path::{Path, PathBuf};

/// Why a configuration cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// The file cannot be read.
    #[error("cannot read the configuration {}: {source}", .path.display())]
    Read {
        /// Which file.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// It can be read, and is wrong: a line for each mistake, `FILE:LINE: reason`.
    #[error("{}", Lines(.path, .mistakes))]
    Wrong {
        /// Which file.
        path: PathBuf,
        /// At least one, in the order of the file.
        mistakes: Vec<Mistake>,
    },
}

/// One thing that is wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mistake {
    /// Where: a line of the file, counted from 1.
    pub line: usize,
    /// What, in words.
    pub reason: String,
}

struct Lines<'a>(&'a Path, &'a [Mistake]);

impl fmt::Display for Lines<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (number, mistake) in self.1.iter().enumerate() {
            let end = if number == 0 { "" } else { "\n" };
            write!(f, "{end}{}:{}: {}", self.0.display(), mistake.line, mistake.reason)?;
        }
        Ok(())
    }
}

/// The mistakes of one file while it is read.
pub(super) struct Mistakes<'a> {
    text: &'a str,
    found: Vec<Mistake>,
}

impl<'a> Mistakes<'a> {
    pub(super) const fn of(text: &'a str) -> Self {
        Self { text, found: Vec::new() }
    }

    /// The line that begins at or before this place in the text.
    pub(super) fn line_of(&self, place: usize) -> usize {
        line_of(self.text.as_bytes(), place)
    }

    /// Notes what is wrong at `span`.
    pub(super) fn add(&mut self, span: Range<usize>, reason: String) {
        let line = self.line_of(span.start);
        self.found.push(Mistake { line, reason });
    }

    /// Whether nothing is wrong.
    pub(super) const fn is_empty(&self) -> bool {
        self.found.is_empty()
    }

    /// What was found, in the order of the file.
    pub(super) fn into_error(mut self, path: &Path) -> ConfigError {
        self.found.sort_by_key(|mistake| mistake.line);
        ConfigError::Wrong { path: path.to_path_buf(), mistakes: self.found }
    }
}

/// The line in which the byte at `place` stands, counted from 1.
pub(super) fn line_of(text: &[u8], place: usize) -> usize {
    1 + text.iter().take(place).filter(|byte| **byte == b'\n').count()
}

/// The known word that is closest to `word`, if it may well have been meant.
pub(super) fn nearest<'a>(word: &str, known: &[&'a str]) -> Option<&'a str> {
    let allowed = (word.chars().count() / 3).clamp(1, 3);
    let close = known.iter().map(|other| (distance(word, other), *other)).filter(|(steps, _)| *steps <= allowed);
    close.min_by_key(|(steps, _)| *steps).map(|(_, other)| other)
}

/// Letters to put in, take out, change or swap with their neighbour to make one word of the other.
fn distance(from: &str, to: &str) -> usize {
    let (from, to): (Vec<_>, Vec<_>) = (from.chars().collect(), to.chars().collect());
    let mut rows = vec![vec![0; to.len() + 1]; from.len() + 1];
    rows[0] = (0..=to.len()).collect();
    for i in 1..=from.len() {
        rows[i][0] = i;
        for j in 1..=to.len() {
            let change = rows[i - 1][j - 1] + usize::from(from[i - 1] != to[j - 1]);
            let mut steps = change.min(rows[i - 1][j] + 1).min(rows[i][j - 1] + 1);
            if i > 1 && j > 1 && from[i - 1] == to[j - 2] && from[i - 2] == to[j - 1] {
                steps = steps.min(rows[i - 2][j - 2] + 1);
            }
            rows[i][j] = steps;
        }
    }
    rows[from.len()][to.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slip_of_the_pen_is_recognised() {
        let known = ["dir", "listen", "overwrite", "rate", "quota", "max_transfers"];
        for (word, meant) in [
            ("dri", Some("dir")),
            ("overwite", Some("overwrite")),
            ("max-transfers", Some("max_transfers")),
            ("Quota", Some("quota")),
            ("rat", Some("rate")),
            ("colour", None),
            ("x", None),
        ] {
            assert_eq!(nearest(word, &known), meant, "{word}");
        }
    }

    #[test]
    fn mistakes_stand_in_the_order_of_the_file() {
        let mut mistakes = Mistakes::of("a\nb\nc\n");
        mistakes.add(4..5, "third".to_owned());
        mistakes.add(0..1, "first".to_owned());
        assert!(!mistakes.is_empty());
        assert_eq!(mistakes.into_error(Path::new("f.toml")).to_string(), "f.toml:1: first\nf.toml:3: third");
    }
}
