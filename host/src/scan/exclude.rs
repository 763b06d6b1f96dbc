//! Exclusions: addresses that are not asked, whatever else says that they may be (SCAN-6).
//!
//! Their files are read again while a survey runs, so that a complaint stops packets without stopping the survey. An address that was
//! excluded stays so until the survey ends: a file that is just being written may be empty when it is read.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use super::addresses::{Addresses, Spans};
use super::expression::Expression;
use super::files::{FileError, LineError, each_line, open, shown, without_comment};
use crate::clock::unix_seconds;

/// A file that was changed less than this ago may change again without a newer time of change.
const SETTLES: Duration = Duration::from_secs(2);

/// Files of exclusions, and what they exclude.
#[derive(Debug)]
pub struct ExcludeFiles {
    files: Vec<Watched>,
    addresses: Addresses,
}

#[derive(Debug)]
struct Watched {
    path: PathBuf,
    /// How it was when it was read last; `None` if it may have changed since.
    seen: Option<Stamp>,
}

/// What changes when a file does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Stamp {
    modified: Option<SystemTime>,
    bytes: u64,
    identity: (u64, u64, i64, i64),
}

impl Stamp {
    fn of(path: &Path) -> Result<Self, FileError> {
        let metadata = fs::metadata(path).map_err(|source| FileError::Read { path: path.to_owned(), source })?;
        #[cfg(unix)]
        let identity = {
            use std::os::unix::fs::MetadataExt;
            (metadata.dev(), metadata.ino(), metadata.ctime(), metadata.ctime_nsec())
        };
        #[cfg(not(unix))]
        let identity = (0, 0, 0, 0);
        Ok(Self { modified: metadata.modified().ok(), bytes: metadata.len(), identity })
    }

    /// Whether the next change will show.
    fn is_settled(&self) -> bool {
        let now = UNIX_EPOCH + Duration::from_secs(unix_seconds());
        let age = self.modified.and_then(|modified| now.duration_since(modified).ok());
        age.is_some_and(|age| age > SETTLES)
    }
}

impl ExcludeFiles {
    /// Reads these. Each has addresses, prefixes and ranges, one a line; an address with a length excludes the prefix around it.
    ///
    /// # Errors
    /// One cannot be read, or has a line that is wrong.
    pub fn read(paths: impl IntoIterator<Item = PathBuf>) -> Result<Self, FileError> {
        let files = paths.into_iter().map(|path| Watched { path, seen: None }).collect();
        let mut read = Self { files, addresses: Addresses::default() };
        read.refresh()?;
        Ok(read)
    }

    /// What was excluded so far.
    #[must_use]
    pub const fn addresses(&self) -> &Addresses {
        &self.addresses
    }

    /// Reads again the files that may have changed. Whether more is excluded than before.
    ///
    /// # Errors
    /// A file cannot be read, or has a line that is wrong. What was excluded stays so, and what the other files say new is excluded
    /// from now on.
    pub fn refresh(&mut self) -> Result<bool, FileError> {
        let mut spans = Spans::default();
        let mut wrong = Ok(());
        for file in &mut self.files {
            if let Err(error) = file.refresh(&mut spans) {
                wrong = Err(error);
            }
        }
        if !(spans.v4.is_empty() && spans.v6.is_empty()) {
            spans.push_all(&self.addresses);
        }
        let has_more = match (spans.v4.is_empty(), spans.v6.is_empty()) {
            (true, true) => false,
            _ => {
                let joined = spans.joined();
                let has_more = joined != self.addresses;
                self.addresses = joined;
                has_more
            }
        };
        wrong.map(|()| has_more)
    }
}

impl Watched {
    fn refresh(&mut self, spans: &mut Spans) -> Result<(), FileError> {
        let stamp = Stamp::of(&self.path)?;
        if self.seen == Some(stamp) {
            return Ok(());
        }
        self.seen = None;
        let mut found = Spans::default();
        each_line(&self.path, open(&self.path)?, |_, text| exclude(without_comment(text), &mut found))?;
        spans.v4.append(&mut found.v4);
        spans.v6.append(&mut found.v6);
        // What was changed while it was read is read again.
        self.seen = Stamp::of(&self.path).ok().filter(|now| *now == stamp && now.is_settled());
        Ok(())
    }
}

fn exclude(text: &str, spans: &mut Spans) -> Result<(), LineError> {
    match Expression::parse(text) {
        Ok(Expression::V4(span)) => spans.v4.push(span),
        Ok(Expression::V6(span)) => spans.v6.push(span),
        Ok(Expression::Name(_)) => return Err(LineError::Name { item: shown(text) }),
        Err(reason) => return Err(LineError::Item { item: shown(text), reason }),
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn is_excluded(files: &ExcludeFiles, ip: &str) -> bool {
        files.addresses().contains(ip.parse().unwrap())
    }

    /// SCAN-6: exclusions are read again while a survey runs, and none is forgotten.
    #[test]
    fn what_is_added_counts_and_what_is_taken_away_does_too() {
        let folder = tempfile::tempdir().unwrap();
        let (one, other) = (folder.path().join("one"), folder.path().join("other"));
        fs::write(&one, "192.0.2.7/24 # all of it\n").unwrap();
        fs::write(&other, "2001:db8::1-2001:db8::9\n").unwrap();
        let mut files = ExcludeFiles::read([one.clone(), other.clone()]).unwrap();
        assert!(is_excluded(&files, "192.0.2.200") && is_excluded(&files, "2001:db8::5"));
        assert!(!files.refresh().unwrap());
        fs::write(&one, "198.51.100.1\n").unwrap();
        assert!(files.refresh().unwrap());
        assert!(is_excluded(&files, "198.51.100.1") && is_excluded(&files, "192.0.2.200"));
        fs::write(&one, "").unwrap();
        assert!(!files.refresh().unwrap());
        assert!(is_excluded(&files, "198.51.100.1") && is_excluded(&files, "2001:db8::5"));
    }

    #[test]
    fn a_mistake_changes_nothing_but_what_other_files_say() {
        let folder = tempfile::tempdir().unwrap();
        let (one, other) = (folder.path().join("one"), folder.path().join("other"));
        fs::write(&one, "192.0.2.1\n").unwrap();
        fs::write(&other, "").unwrap();
        let mut files = ExcludeFiles::read([one.clone(), other.clone()]).unwrap();
        fs::write(&one, "192.0.2.2\n192.0.2.x\n").unwrap();
        fs::write(&other, "192.0.2.3\n").unwrap();
        let error = files.refresh().unwrap_err().to_string();
        assert!(error.starts_with(&format!("{}:2: `192.0.2.x`: ", one.display())), "{error}");
        let excluded = ["192.0.2.1", "192.0.2.2", "192.0.2.3"].map(|ip| is_excluded(&files, ip));
        assert_eq!(excluded, [true, false, true]);
        // It is said again until it is right.
        assert!(files.refresh().is_err());
        fs::remove_file(&one).unwrap();
        assert!(files.refresh().unwrap_err().to_string().starts_with("cannot read "));
        fs::write(&one, "192.0.2.2\n").unwrap();
        assert!(files.refresh().unwrap() && is_excluded(&files, "192.0.2.2"));
    }

    #[test]
    fn a_file_that_has_not_changed_is_left_alone() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("one");
        fs::write(&path, "192.0.2.1\n").unwrap();
        let long_ago = UNIX_EPOCH + Duration::from_secs(1_000_000_000);
        fs::File::options().write(true).open(&path).unwrap().set_modified(long_ago).unwrap();
        let files = ExcludeFiles::read([path]).unwrap();
        assert!(files.files[0].seen.is_some());
    }

    #[test]
    fn names_exclude_nothing_and_are_refused() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("one");
        fs::write(&path, "192.0.2.1\nhost.example\n").unwrap();
        let error = ExcludeFiles::read([path.clone()]).unwrap_err().to_string();
        let reason = "a name may have another address tomorrow; give addresses, prefixes or ranges here";
        assert_eq!(error, format!("{}:2: `host.example`: {reason}", path.display()));
        assert!(ExcludeFiles::read([]).unwrap().addresses().is_empty());
    }
}
