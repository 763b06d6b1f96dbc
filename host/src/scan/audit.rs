//! The audit log: who scanned what, when, with whose leave, a line of JSON at the start and at the end of each scan (SCAN-6).
//!
//! Lines are only ever added, each with one call, and are on the disk before a packet is sent.

use std::fs::{self, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use serde_json::Value;

/// The log's name below the user's folder of state.
const NAME: &str = "wirehaul/scan-audit.jsonl";

/// Why nothing could be written.
#[derive(Debug, thiserror::Error)]
pub enum AuditError {
    /// The environment names no folder.
    #[error(
        "there is no place for the audit log: neither XDG_STATE_HOME nor HOME is an absolute path; set one, or give --audit-log FILE"
    )]
    NoPlace,
    /// The system refused.
    #[error("cannot write the audit log {}: {source}; give another place with --audit-log FILE", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
}

/// Where the log is.
#[derive(Clone, Debug)]
pub struct AuditLog {
    path: PathBuf,
}

impl AuditLog {
    /// In this file.
    #[must_use]
    pub const fn at(path: PathBuf) -> Self {
        Self { path }
    }

    /// The user's own: below `$XDG_STATE_HOME`, or `~/.local/state`.
    ///
    /// # Errors
    /// [`AuditError::NoPlace`].
    pub fn of_user() -> Result<Self, AuditError> {
        let absolute = |name: &str| std::env::var_os(name).map(PathBuf::from).filter(|path| path.is_absolute());
        let state = absolute("XDG_STATE_HOME").or_else(|| absolute("HOME").map(|home| home.join(".local/state")));
        state.map(|state| Self::at(state.join(NAME))).ok_or(AuditError::NoPlace)
    }

    /// The file.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Adds a line, and waits until it is on the disk.
    ///
    /// # Errors
    /// What the system says.
    pub fn append(&self, entry: &Value) -> Result<(), AuditError> {
        self.try_append(entry).map_err(|source| AuditError::Io { path: self.path.clone(), source })
    }

    fn try_append(&self, entry: &Value) -> io::Result<()> {
        if let Some(folder) = self.path.parent().filter(|folder| !folder.as_os_str().is_empty()) {
            fs::create_dir_all(folder)?;
        }
        let mut options = OpenOptions::new();
        options.append(true).create(true);
        #[cfg(unix)]
        std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
        let mut file = options.open(&self.path)?;
        // One call, so that lines of processes that write at the same time do not mix.
        file.write_all(format!("{entry}\n").as_bytes())?;
        file.sync_data()
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    /// SCAN-6: what was written before stays.
    #[test]
    fn lines_are_added_and_folders_made() {
        let temp = tempfile::TempDir::new().unwrap();
        let log = AuditLog::at(temp.path().join("a/b/audit.jsonl"));
        log.append(&json!({ "event": "start" })).unwrap();
        AuditLog::at(log.path().to_owned()).append(&json!({ "event": "end", "text": "two\nlines" })).unwrap();
        let text = fs::read_to_string(log.path()).unwrap();
        assert_eq!(text, "{\"event\":\"start\"}\n{\"event\":\"end\",\"text\":\"two\\nlines\"}\n");
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt;
            assert_eq!(fs::metadata(log.path()).unwrap().permissions().mode() & 0o777, 0o600);
        }
    }

    #[test]
    fn a_place_that_cannot_be_is_an_error_with_its_name() {
        let temp = tempfile::TempDir::new().unwrap();
        let file = temp.path().join("file");
        fs::write(&file, "").unwrap();
        let error = AuditLog::at(file.join("audit.jsonl")).append(&json!({})).unwrap_err().to_string();
        assert!(error.contains("file/audit.jsonl") && error.contains("--audit-log"), "{error}");
    }
}
