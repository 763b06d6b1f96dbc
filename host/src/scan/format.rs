//! The formats of results, and how a row becomes bytes of one.

use std::path::Path;

use super::csv::Csv;
use super::json::Json;
use super::row::{Row, Run};
use super::text;
use super::zgrab::Zgrab;

/// A format of results.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// For people.
    Text,
    /// RFC 4180.
    Csv,
    /// A JSON object a line.
    Json,
    /// Columns, for DuckDB and its like.
    Parquet,
    /// What zgrab2 reads.
    Zgrab,
}

impl Format {
    /// Their names on the command line.
    pub const ALL: [(&'static str, Self); 5] = [
        ("text", Self::Text),
        ("csv", Self::Csv),
        ("json", Self::Json),
        ("parquet", Self::Parquet),
        ("zgrab", Self::Zgrab),
    ];

    /// Its name.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Text => "text",
            Self::Csv => "csv",
            Self::Json => "json",
            Self::Parquet => "parquet",
            Self::Zgrab => "zgrab",
        }
    }

    /// The format that a file's ending stands for, if it does for one.
    #[must_use]
    pub fn of_ending(path: &Path) -> Option<Self> {
        let ending = path.extension()?.to_str()?.to_ascii_lowercase();
        Some(match ending.as_str() {
            "txt" => Self::Text,
            "csv" => Self::Csv,
            "json" | "jsonl" | "ndjson" => Self::Json,
            "parquet" => Self::Parquet,
            "zgrab" => Self::Zgrab,
            _ => return None,
        })
    }

    /// Whether it is for those alone who answered as one hopes: people, and programs that connect to them.
    #[must_use]
    pub const fn is_for_positive(self) -> bool {
        matches!(self, Self::Text | Self::Zgrab)
    }
}

/// Makes bytes of rows.
#[derive(Clone, Debug)]
pub enum Writer {
    /// For people.
    Text,
    /// RFC 4180.
    Csv(Csv),
    /// JSON lines; also what Parquet is made of.
    Json(Json),
    /// For zgrab2.
    Zgrab(Zgrab),
}

impl Writer {
    /// For rows of this run; `is_typed` if they stand among other JSON objects.
    #[must_use]
    pub fn new(format: Format, run: &Run, zgrab: Zgrab, is_typed: bool) -> Self {
        match format {
            Format::Text => Self::Text,
            Format::Csv => Self::Csv(Csv::new(run)),
            Format::Json | Format::Parquet => Self::Json(Json::new(run, is_typed)),
            Format::Zgrab => Self::Zgrab(zgrab),
        }
    }

    /// Writes what stands before all rows of a file.
    pub fn push_header(&self, out: &mut Vec<u8>) {
        if let Self::Csv(_) = self {
            Csv::push_header(out);
        }
    }

    /// Lines that stand before all rows of a file.
    #[must_use]
    pub const fn header_lines(&self) -> u64 {
        match self {
            Self::Csv(_) => 1,
            Self::Text | Self::Json(_) | Self::Zgrab(_) => 0,
        }
    }

    /// Writes a row, with the end of its line.
    #[inline]
    pub fn push(&self, row: &Row<'_>, out: &mut Vec<u8>) {
        match self {
            Self::Text => text::push(row, out),
            Self::Csv(csv) => csv.push(row, out),
            Self::Json(json) => json.push(row, out),
            Self::Zgrab(zgrab) => zgrab.push(row, out),
        }
    }
}

#[cfg(test)]
#[path = "format_tests.rs"]
mod tests;
