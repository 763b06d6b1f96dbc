//! What files of results are called: `NAME.part` while they are written, `NAME` when they are complete; with rotation `NAME-00001.EXT`
//! and on.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

/// When the next file is begun.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Limit {
    /// At so many bytes of rows, or a little more: no row is cut.
    Bytes(u64),
    /// After so many rows.
    Rows(u64),
}

/// The names of a scan's files.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Names {
    base: PathBuf,
    is_rotated: bool,
}

impl Names {
    /// Files of this name; numbered ones, from 1, where there will be many.
    #[must_use]
    pub fn new(base: PathBuf, is_rotated: bool) -> Self {
        Self { base, is_rotated }
    }

    /// A file that is complete.
    #[must_use]
    pub fn complete(&self, number: u32) -> PathBuf {
        if !self.is_rotated {
            return self.base.clone();
        }
        let mut name = self.base.file_stem().unwrap_or_default().to_owned();
        name.push(format!("-{number:05}"));
        if let Some(extension) = self.base.extension() {
            name.push(".");
            name.push(extension);
        }
        self.base.with_file_name(name)
    }

    /// The same while it is written.
    #[must_use]
    pub fn part(&self, number: u32) -> PathBuf {
        with_suffix(&self.complete(number), ".part")
    }
}

/// The path with more behind its name: `a.json` becomes `a.json.part`.
#[must_use]
pub fn with_suffix(path: &Path, suffix: &str) -> PathBuf {
    let mut name = OsString::from(path);
    name.push(suffix);
    name.into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_keep_their_endings() {
        for (base, complete, part) in [
            ("out.jsonl", "out-00001.jsonl", "out-00001.jsonl.part"),
            ("a.b/out", "a.b/out-00001", "a.b/out-00001.part"),
            ("a/out.tar.csv", "a/out.tar-00001.csv", "a/out.tar-00001.csv.part"),
        ] {
            let names = Names::new(base.into(), true);
            assert_eq!((names.complete(1), names.part(1)), (complete.into(), part.into()));
            let alone = Names::new(base.into(), false);
            assert_eq!((alone.complete(7), alone.part(7)), (base.into(), with_suffix(base.as_ref(), ".part")));
        }
        assert_eq!(Names::new("x.csv".into(), true).complete(123_456), PathBuf::from("x-123456.csv"));
    }
}
