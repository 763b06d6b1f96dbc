//! Small files of the kernel's, and the forms in which they hold numbers.

use std::fs;
use std::path::{Path, PathBuf};

/// Files below some root: that of the machine, or one that a test made up.
#[derive(Clone, Debug)]
pub(crate) struct Files {
    root: PathBuf,
}

impl Files {
    pub(crate) fn of_machine() -> Self {
        Self::below("/")
    }

    pub(crate) fn below(root: impl Into<PathBuf>) -> Self {
        Self { root: root.into() }
    }

    pub(crate) fn text(&self, path: impl AsRef<Path>) -> Option<String> {
        Some(fs::read_to_string(self.root.join(path)).ok()?.trim().to_owned())
    }

    pub(crate) fn number<T: std::str::FromStr>(&self, path: impl AsRef<Path>) -> Option<T> {
        self.text(path)?.parse().ok()
    }

    pub(crate) fn exists(&self, path: impl AsRef<Path>) -> bool {
        self.root.join(path).exists()
    }

    /// The names in a folder, sorted; none where there is no such folder.
    pub(crate) fn names(&self, path: impl AsRef<Path>) -> Vec<String> {
        let entries = fs::read_dir(self.root.join(path)).into_iter().flatten().flatten();
        let mut names: Vec<_> = entries.filter_map(|entry| entry.file_name().into_string().ok()).collect();
        names.sort();
        names
    }
}

/// Numbers as in `0-3,8`. What cannot be read is left out; no machine has more than 2^16 CPUs.
pub(crate) fn list_of(text: &str) -> Vec<u32> {
    const MOST: usize = 1 << 16;
    let run = |part: &str| {
        let (first, last) = part.split_once('-').unwrap_or((part, part));
        Some(first.trim().parse::<u32>().ok()?..=last.trim().parse::<u32>().ok()?)
    };
    text.split(',').filter_map(run).flat_map(|run| run.take(MOST)).take(MOST).collect()
}

/// The value behind `key:` on a line of its own.
pub(crate) fn value_of<'a>(text: &'a str, key: &str) -> Option<&'a str> {
    text.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix(':')).map(str::trim)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_of_the_kernel_s() {
        for (text, expected) in [
            ("0-3,8", vec![0, 1, 2, 3, 8]),
            ("5", vec![5]),
            ("", vec![]),
            ("3-1", vec![]),
            ("x,2,-", vec![2]),
            (" 1 - 2 ", vec![1, 2]),
        ] {
            assert_eq!(list_of(text), expected, "{text:?}");
        }
        assert_eq!(list_of("0-4294967295").len(), 1 << 16);
    }

    #[test]
    fn values_are_found_by_their_whole_key() {
        let text = "CapInh:\t0\nCapEff:\t1f\nCapEffX:\t2";
        assert_eq!(value_of(text, "CapEff"), Some("1f"));
        assert_eq!(value_of(text, "Cap"), None);
    }
}
