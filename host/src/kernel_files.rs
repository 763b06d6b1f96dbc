//! Small files of the kernel's, and the forms in which they hold numbers.

use std::fs::{self, OpenOptions};
use std::io::{self, Write as _};
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
        self.read(path).ok()
    }

    /// The same, with the reason where there is none.
    pub(crate) fn read(&self, path: impl AsRef<Path>) -> io::Result<String> {
        Ok(fs::read_to_string(self.root.join(path))?.trim().to_owned())
    }

    pub(crate) fn number<T: std::str::FromStr>(&self, path: impl AsRef<Path>) -> Option<T> {
        self.text(path)?.parse().ok()
    }

    /// Writes to a file that is there.
    pub(crate) fn write(&self, path: impl AsRef<Path>, text: &str) -> io::Result<()> {
        // In one call: to the kernel each is a value of its own.
        OpenOptions::new().write(true).truncate(true).open(self.root.join(path))?.write_all(text.as_bytes())
    }

    /// Whether a process of this program runs, by the name that the kernel shows for it, which has 15 bytes at most.
    pub(crate) fn runs(&self, program: &str) -> bool {
        let is_process = |name: &String| name.bytes().all(|byte| byte.is_ascii_digit());
        let mut processes = self.names("proc").into_iter().filter(is_process);
        processes.any(|id| self.text(format!("proc/{id}/comm")).is_some_and(|name| name == program))
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
