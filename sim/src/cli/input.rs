//! What the command line and the files that it names must look like, and what is said where they do not.

use std::{fs, path::Path, str::FromStr};

use wirehaul_core::time::Duration;
use wirehaul_sim::{lines::LineError, scenario::units::Span};

/// The text of a file; where there is none, `FILE: reason`, or `FILE:LINE: reason`.
pub fn read_text(file: &Path) -> Result<String, String> {
    let name = file.display();
    let bytes = fs::read(file).map_err(|error| format!("{name}: {error}"))?;
    String::from_utf8(bytes).map_err(|error| {
        let before = error.as_bytes().iter().take(error.utf8_error().valid_up_to());
        let line = 1 + before.filter(|byte| **byte == b'\n').count();
        LineError { line, reason: "this is no text in UTF-8".to_owned() }.within(name)
    })
}

fn whole<T: FromStr>(text: &str, most: impl std::fmt::Display) -> Result<T, String> {
    text.parse().map_err(|_| format!("expected a whole number, 0 to {most}"))
}

/// A number of 64 bits, such as a seed.
pub fn parse_number(text: &str) -> Result<u64, String> {
    whole(text, u64::MAX)
}

/// A number of 32 bits, such as how often something is tried.
pub fn parse_small_number(text: &str) -> Result<u32, String> {
    whole(text, u32::MAX)
}

/// A time above zero.
pub fn parse_interval(text: &str) -> Result<Duration, String> {
    match text.parse() {
        Ok(Span(Duration::ZERO)) => Err("must not be zero".to_owned()),
        Ok(Span(interval)) => Ok(interval),
        Err(error) => Err(error.to_string()),
    }
}
