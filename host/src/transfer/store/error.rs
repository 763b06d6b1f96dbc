//! What can go wrong at the receiver's disk.

use std::path::{Path, PathBuf};

use rustix::io::Errno;
use thiserror::Error;

use crate::io::os;
use crate::transfer::quota::Shortage;
use crate::units::format_size;

/// A failure that ends the transfer. Whatever was received stays in `.wirehaul` and the next run continues with it.
#[derive(Debug, Error)]
pub enum StoreError {
    /// The target directory cannot be used.
    #[error(
        "cannot use {} as the target directory: {source}{}", .dir.display(),
        if source.kind() == std::io::ErrorKind::NotFound { "; make it first" } else { "" }
    )]
    Open {
        /// The target directory.
        dir: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// Another receiver holds the target directory.
    #[error("another receiver is writing to {}: wait for it to end, or choose another directory", .0.display())]
    Busy(PathBuf),
    /// No space (ENOSPC).
    #[error("the disk is full: free some space and run the same transfer again, it continues where it stopped")]
    DiskFull,
    /// The user's quota is used up (EDQUOT).
    #[error(
        "the disk quota is used up: free some space and run the same transfer again, it continues where it stopped"
    )]
    Quota,
    /// The receiver lets this directory hold no more.
    #[error(
        "quota of {}: {} are used and {} are to come", format_size(.0.quota_bytes), format_size(.0.used_bytes), format_size(.0.to_come_bytes)
    )]
    Allotment(Shortage),
    /// The file system is read-only (EROFS).
    #[error("the file system is mounted read-only: remount it writable, or choose another directory")]
    ReadOnly,
    /// The device fails (EIO and its kin).
    #[error(
        "cannot {operation} {at}: the disk reports an input/output error. Check the device, then run the same transfer again, it continues where it stopped"
    )]
    Device {
        /// What was tried.
        operation: &'static str,
        /// With what.
        at: String,
    },
    /// The process has no descriptors left (EMFILE, ENFILE).
    #[error("too many open files: raise the limit (ulimit -n) and run the same transfer again, it continues")]
    Descriptors,
    /// Anything else in the staging directory, on which everything depends.
    #[error("cannot {operation} in the staging directory .wirehaul: {source}")]
    Staging {
        /// What was tried.
        operation: &'static str,
        /// What the system said.
        source: std::io::Error,
    },
}

/// Operations with the bytes of a file, and not with its name.
const DATA_OPERATIONS: &[&str] = &["read", "write", "sync"];

impl StoreError {
    /// The failure that ends the transfer, if `errno` is one; `at` is what `operation` was tried with.
    pub(super) fn fatal(operation: &'static str, errno: Errno, at: impl FnOnce() -> String) -> Option<Self> {
        match errno {
            Errno::NOSPC => Some(Self::DiskFull),
            Errno::DQUOT => Some(Self::Quota),
            Errno::ROFS => Some(Self::ReadOnly),
            Errno::MFILE | Errno::NFILE => Some(Self::Descriptors),
            // Elsewhere it says that the file system cannot hold a name.
            Errno::ILSEQ if !DATA_OPERATIONS.contains(&operation) => None,
            errno if os::is_of_the_device(errno) => Some(Self::Device { operation, at: at() }),
            _ => None,
        }
    }

    /// What the target directory holds cannot be found out.
    pub(super) fn looking(dir: &Path, errno: Errno) -> Self {
        let failed = || Self::Open { dir: dir.to_path_buf(), source: errno.into() };
        Self::fatal("look at", errno, || dir.display().to_string()).unwrap_or_else(failed)
    }

    pub(super) fn staging(operation: &'static str) -> impl Fn(Errno) -> Self {
        move |errno| {
            let at = || "in the staging directory .wirehaul".to_owned();
            Self::fatal(operation, errno, at).unwrap_or_else(|| Self::Staging { operation, source: errno.into() })
        }
    }
}

/// Why one file, directory or link did not arrive while others do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum EntryError {
    /// The sender could not read it; the sender's own message says why.
    #[error("the sender could not read it")]
    Source,
    /// The receiver may not write there.
    #[error("permission denied: let this user write to its directory")]
    Denied,
    /// Its hash was wrong in every round.
    #[error("its data did not match its hash, however often it was sent")]
    Verification,
    /// The name is too long or not possible on this file system.
    #[error("this file system cannot hold that name")]
    Name,
    /// It is larger than the file system permits.
    #[error("it is larger than this file system permits")]
    TooLarge,
    /// Any other failure.
    #[error("cannot {operation} it: {}", std::io::Error::from(*.errno))]
    Io {
        /// What was tried.
        operation: &'static str,
        /// What the system said.
        errno: Errno,
    },
    /// The job that should have stored it failed.
    #[error("storing it failed inside wirehaul; please report this")]
    Internal,
}

impl EntryError {
    pub(super) fn new(operation: &'static str, errno: Errno) -> Self {
        match errno {
            Errno::ACCESS | Errno::PERM => Self::Denied,
            Errno::NAMETOOLONG | Errno::INVAL | Errno::ILSEQ if operation != "write" => Self::Name,
            Errno::FBIG => Self::TooLarge,
            errno => Self::Io { operation, errno },
        }
    }
}

/// Something that was in the way in the target directory and stays as it is (XFER-5).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum Conflict {
    /// A file of that name has other contents.
    #[error("a different file of that name exists: use --overwrite to replace it")]
    DifferentFile,
    /// Something that is no regular file has the name of a file.
    #[error("something that is not a regular file has that name: use --overwrite to replace it")]
    NotAFile,
    /// A directory has the name of a file or link. Not even `--overwrite` removes it.
    #[error("a directory has that name: move it away")]
    IsDirectory,
    /// Something that is no directory has the name of a directory.
    #[error("something that is not a directory has that name: move it away")]
    NotADirectory,
    /// The directory above is in conflict or cannot be made.
    #[error("the directory above it cannot be used")]
    Blocked,
    /// A different link of that name exists.
    #[error("a different link of that name exists: use --overwrite to replace it")]
    DifferentLink,
    /// It came into being while the transfer ran.
    #[error("something of that name appeared while the transfer ran: use --overwrite to replace it")]
    Appeared,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_ends_a_transfer_and_what_one_file() {
        let ends = |operation, errno| StoreError::fatal(operation, errno, || "a/b".to_owned()).map(|e| e.to_string());
        for (errno, words) in [
            (Errno::NOSPC, "the disk is full"),
            (Errno::DQUOT, "the disk quota is used up"),
            (Errno::ROFS, "mounted read-only"),
            (Errno::MFILE, "raise the limit (ulimit -n)"),
            (Errno::NFILE, "raise the limit (ulimit -n)"),
            (Errno::IO, "cannot write a/b: the disk reports an input/output error"),
        ] {
            assert!(ends("write", errno).is_some_and(|said| said.contains(words)), "{errno}");
        }
        for errno in [Errno::ACCESS, Errno::NAMETOOLONG, Errno::FBIG, Errno::NOENT] {
            assert_eq!(ends("write", errno), None);
        }
        // Of names it says that this file system cannot hold one; of bytes, that they are damaged.
        assert_eq!(ends("create", Errno::ILSEQ), None);
        assert_eq!(ends("read", Errno::ILSEQ).is_some(), cfg!(target_os = "linux"));
    }

    /// In the staging directory, and where the target is looked at, every failure is the end, with what the system said.
    #[test]
    fn nothing_goes_on_without_its_directories() {
        let staging = |errno| StoreError::staging("rename")(errno);
        assert!(matches!(staging(Errno::NOSPC), StoreError::DiskFull));
        let denied = staging(Errno::ACCESS).to_string();
        assert!(denied.starts_with("cannot rename in the staging directory .wirehaul: Permission denied"), "{denied}");
        let failing = staging(Errno::IO).to_string();
        assert!(failing.starts_with("cannot rename in the staging directory .wirehaul: the disk"), "{failing}");
        let looking = |errno| StoreError::looking(Path::new("/srv/inbox"), errno).to_string();
        assert!(looking(Errno::NOENT).ends_with("; make it first"), "{}", looking(Errno::NOENT));
        assert!(looking(Errno::IO).starts_with("cannot look at /srv/inbox: the disk"), "{}", looking(Errno::IO));
    }

    #[test]
    fn a_file_that_did_not_arrive_has_its_reason() {
        for (operation, errno, reason) in [
            ("create", Errno::ACCESS, EntryError::Denied),
            ("create", Errno::PERM, EntryError::Denied),
            ("create", Errno::NAMETOOLONG, EntryError::Name),
            ("create", Errno::INVAL, EntryError::Name),
            ("write", Errno::FBIG, EntryError::TooLarge),
            // A write has no name that could be at fault.
            ("write", Errno::INVAL, EntryError::Io { operation: "write", errno: Errno::INVAL }),
        ] {
            assert_eq!(EntryError::new(operation, errno), reason, "{operation}: {errno}");
        }
        let other = EntryError::new("write", Errno::INVAL).to_string();
        assert!(other.starts_with("cannot write it: Invalid argument"), "{other}");
    }
}
