//! The target directory and the staging directory `.wirehaul` in it.

use std::collections::HashSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use rustix::fd::OwnedFd;
use rustix::fs::{AtFlags, CWD, FlockOperation, Mode, OFlags, flock, fstat, mkdirat, openat, statat, unlinkat};
use rustix::io::Errno;

use super::error::StoreError;
use crate::transfer::dirs::open_dir;
use crate::transfer::manifest::Manifest;
use crate::transfer::os;
use crate::transfer::path::RESERVED_NAME;

const LOCK_NAME: &str = "lock";
const PART_SUFFIX: &str = ".part";
const JOURNAL_SUFFIX: &str = ".journal";
const LINK_SUFFIX: &str = ".link";
/// How often the staging directory may vanish under us (the receiver before us removing it) before we give up.
const LOCK_TRIES: u32 = 16;

/// The name of a file in the staging directory: it depends on what the file is, so a later run finds it again.
pub(super) type Key = [u8; 16];

/// The target directory, held by this receiver alone; its transfers share it.
#[derive(Clone, Debug)]
pub struct Target(Arc<Held>);

/// What is held while any transfer of this receiver writes to the directory.
#[derive(Debug)]
pub(super) struct Held {
    path: PathBuf,
    pub(super) root: OwnedFd,
    pub(super) staging: OwnedFd,
    /// Held until the target is dropped. `None` where the file system has no locks.
    _lock: Option<OwnedFd>,
}

impl Target {
    /// Opens `dir` (following symlinks: the user named it) and its staging directory, made if missing.
    ///
    /// # Errors
    /// `dir` is missing, no directory, not writable, or another receiver holds it.
    pub fn open(dir: &Path) -> Result<Self, StoreError> {
        let failed = |errno: Errno| StoreError::Open { dir: dir.to_path_buf(), source: errno.into() };
        let root =
            openat(CWD, dir, OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty()).map_err(failed)?;
        for _ in 0..LOCK_TRIES {
            match mkdirat(&root, RESERVED_NAME, Mode::from(0o700)) {
                Ok(()) | Err(Errno::EXIST) => {}
                Err(errno) => return Err(StoreError::fatal(errno).unwrap_or_else(|| failed(errno))),
            }
            let staging = match open_dir(&root, RESERVED_NAME) {
                Ok(staging) => staging,
                Err(Errno::NOENT) => continue,
                Err(errno) => return Err(failed(errno)),
            };
            let flags = OFlags::RDWR | OFlags::CREATE | OFlags::NOFOLLOW | OFlags::CLOEXEC;
            let lock = match openat(&staging, LOCK_NAME, flags, Mode::from(0o600)) {
                Ok(lock) => lock,
                Err(Errno::NOENT) => continue,
                Err(errno) => return Err(StoreError::fatal(errno).unwrap_or_else(|| failed(errno))),
            };
            let lock = match flock(&lock, FlockOperation::NonBlockingLockExclusive) {
                Ok(()) if is_still(&staging, LOCK_NAME.as_bytes(), &lock) => Some(lock),
                // The receiver before us has removed the lock file that we hold.
                Ok(()) => continue,
                Err(Errno::WOULDBLOCK) => return Err(StoreError::Busy(dir.to_path_buf())),
                Err(_) => None,
            };
            return Ok(Self(Arc::new(Held { path: dir.to_path_buf(), root, staging, _lock: lock })));
        }
        Err(StoreError::Busy(dir.to_path_buf()))
    }

    /// The directory as the user named it.
    pub fn path(&self) -> &Path {
        &self.0.path
    }

    /// The directory itself.
    pub(super) fn root(&self) -> &OwnedFd {
        &self.0.root
    }

    /// The staging directory.
    pub(super) fn staging(&self) -> &OwnedFd {
        &self.0.staging
    }

    /// The keys of all partial files.
    pub(super) fn keys(&self) -> Result<HashSet<Key>, Errno> {
        keys_in(self.staging())
    }
}

impl Drop for Held {
    /// Removes the staging directory if no partial file is left in it.
    fn drop(&mut self) {
        if keys_in(&self.staging).is_ok_and(|keys| keys.is_empty()) {
            remove_remains(&self.staging);
            // The lock is held on, so a receiver that opens the file meanwhile sees that it is gone and starts over.
            let _ = unlinkat(&self.staging, LOCK_NAME, AtFlags::empty());
            let _ = unlinkat(&self.root, RESERVED_NAME, AtFlags::REMOVEDIR);
        }
    }
}

fn keys_in(staging: &OwnedFd) -> Result<HashSet<Key>, Errno> {
    let mut keys = HashSet::new();
    // A descriptor of its own, so that reading starts at the front.
    let dir = open_dir(staging, c".")?;
    os::for_each_name(&dir, |name| keys.extend(parse_key(name)))?;
    Ok(keys)
}

/// Removes what a receiver that was killed between two steps left beside its partial files: the journal of a file that
/// has its name already, and a link that has not.
fn remove_remains(staging: &OwnedFd) {
    let mut remains = Vec::new();
    let listed = open_dir(staging, c".").and_then(|dir| {
        os::for_each_name(&dir, |name| {
            if [JOURNAL_SUFFIX, LINK_SUFFIX].iter().any(|suffix| name.ends_with(suffix.as_bytes())) {
                remains.push(name.to_vec());
            }
        })
    });
    // What cannot be listed or removed keeps the directory; it does no harm.
    if listed.is_ok() {
        for name in remains {
            let _ = unlinkat(staging, name, AtFlags::empty());
        }
    }
}

fn is_still(dir: &OwnedFd, name: &[u8], fd: &OwnedFd) -> bool {
    match (statat(dir, name, AtFlags::SYMLINK_NOFOLLOW), fstat(fd)) {
        (Ok(named), Ok(held)) => (named.st_dev, named.st_ino) == (held.st_dev, held.st_ino),
        _ => false,
    }
}

/// The key of a file: what it is called, how long it is and when it was changed. `path` is scratch space.
pub(super) fn key_of(manifest: &Manifest, file: u32, path: &mut Vec<u8>) -> Key {
    manifest.path_into(file, path);
    let entry = manifest.entry(file);
    path.push(0);
    path.extend_from_slice(&manifest.file_size(file).unwrap_or(0).to_be_bytes());
    path.extend_from_slice(&entry.meta.mtime.secs.to_be_bytes());
    path.extend_from_slice(&entry.meta.mtime.nanos.to_be_bytes());
    let mut key = [0; 16];
    key.copy_from_slice(&blake3::hash(path).as_bytes()[..16]);
    key
}

/// The name of the partial file of `key`.
pub(super) fn part_name(key: &Key) -> String {
    name_of(key, PART_SUFFIX)
}

/// The name of the journal of `key`.
pub(super) fn journal_name(key: &Key) -> String {
    name_of(key, JOURNAL_SUFFIX)
}

/// A name to make a link under, not used by any other transfer of this receiver.
pub(super) fn link_name() -> String {
    static NEXT: AtomicU64 = AtomicU64::new(0);
    format!("{}{LINK_SUFFIX}", NEXT.fetch_add(1, Ordering::Relaxed))
}

fn name_of(key: &Key, suffix: &str) -> String {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let mut name = String::with_capacity(2 * key.len() + suffix.len());
    for byte in key {
        name.push(char::from(DIGITS[usize::from(byte >> 4)]));
        name.push(char::from(DIGITS[usize::from(byte & 15)]));
    }
    name.push_str(suffix);
    name
}

fn parse_key(name: &[u8]) -> Option<Key> {
    let digits = name.strip_suffix(PART_SUFFIX.as_bytes()).filter(|digits| digits.len() == 32)?;
    let mut key = [0; 16];
    for (byte, pair) in key.iter_mut().zip(digits.chunks(2)) {
        *byte = u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok()?;
    }
    Some(key)
}
