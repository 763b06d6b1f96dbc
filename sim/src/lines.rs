//! What is wrong with one line of a text that people write, in words for people.

use std::fmt::Display;

/// A line that makes no sense, and why.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("line {line}: {reason}")]
pub struct LineError {
    /// Which, from one.
    pub line: usize,
    /// What is wrong there.
    pub reason: String,
}

impl LineError {
    /// The error as it is shown where `file` is known: `FILE:LINE: reason`.
    #[must_use]
    pub fn within(&self, file: impl Display) -> String {
        format!("{file}:{}: {}", self.line, self.reason)
    }
}

/// Words of the readers of TOML and JSON that mean nothing to those who do not know Rust, and what is said in their place.
const WORDS: &[(&str, &str)] = &[
    ("invalid type: ", ""),
    ("invalid value: ", ""),
    ("unknown field ", "unknown key "),
    ("missing field ", "missing key "),
    ("unknown variant ", "unknown value "),
    (" as i128", ""),
    (" as u128", ""),
    ("floating point `", "number `"),
    ("integer `", "number `"),
    ("string \"", "text \""),
    ("expected usize", "expected a whole number, 0 or above"),
    ("expected u64", "expected a whole number, 0 or above"),
    ("expected u32", "expected a whole number, 0 or above"),
    ("expected f64", "expected a number"),
    ("expected a boolean", "expected true or false"),
    ("expected a sequence", "expected a list"),
    ("expected a map", "expected a table"),
];

/// What a reader of TOML or JSON says, in one line and in words that are in the documentation.
#[must_use]
pub fn plain(message: &str) -> String {
    let message = WORDS.iter().fold(message.trim().to_owned(), |text, (from, to)| text.replace(from, to));
    // JSON is read line by line, so that the line that its reader names is always the first.
    message.replace(" at line 1 column ", ", at column ").replace('\n', "; ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn readers_speak_of_keys_and_numbers() {
        assert_eq!(plain("unknown field `x`, expected `y`\n"), "unknown key `x`, expected `y`");
        assert_eq!(plain("invalid type: integer `5`, expected a map"), "number `5`, expected a table");
        let json = "invalid value: integer `-1`, expected u64 at line 1 column 9";
        assert_eq!(plain(json), "number `-1`, expected a whole number, 0 or above, at column 9");
        assert_eq!(LineError { line: 3, reason: "why".to_owned() }.within("f.toml"), "f.toml:3: why");
    }
}
