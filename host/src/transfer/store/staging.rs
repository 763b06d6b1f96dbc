//! The target directory and the staging directory `.wirehaul` in it.
//!
//! ```text
//! .wirehaul/lock            held by the receiver
//! .wirehaul/N.link          a link on its way to its name
//! .wirehaul/B/KEY.part      a file on its way; B, one of 64 shelves, depends on the directory that it belongs to
//! .wirehaul/B/KEY.journal   which of its chunks are there
//! ```
//! A single directory would make every creation wait for every rename, both of which hold its lock; with shelves by
//! target directory, files are created on one shelf while those of another get their names.

use std::collections::HashSet;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};

use rustix::fd::OwnedFd;
use rustix::fs::{AtFlags, CWD, FlockOperation, Mode, OFlags, Stat, flock, fstat, mkdirat, openat, statat, unlinkat};
use rustix::io::Errno;

use super::error::StoreError;
use super::usage::Usage;
use crate::io::file::File;
use crate::io::os;
use crate::transfer::claims::Claims;
use crate::transfer::dirs::open_dir;
use crate::transfer::manifest::Manifest;
use crate::transfer::path::RESERVED_NAME;

const LOCK_NAME: &str = "lock";
const PART_SUFFIX: &str = ".part";
const JOURNAL_SUFFIX: &str = ".journal";
const LINK_SUFFIX: &str = ".link";
/// How often the staging directory may vanish under us (the receiver before us removing it) before we give up.
const LOCK_TRIES: u32 = 16;
/// Shelves of the staging directory: enough that creating and renaming rarely meet, few enough to keep them all open.
const SHELVES: usize = 64;

/// Where a file is staged and under which name: both depend on what the file is, so a later run finds it again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct Key {
    shelf: u8,
    id: [u8; 16],
}

/// The place of one file in the staging directory.
#[derive(Debug, Clone, Copy)]
pub(super) struct Staged<'a> {
    /// Its shelf.
    pub(super) dir: &'a OwnedFd,
    key: Key,
}

impl Staged<'_> {
    /// The name of the partial file.
    pub(super) fn part(&self) -> String {
        name_of(&self.key.id, PART_SUFFIX)
    }

    /// The name of its journal.
    pub(super) fn journal(&self) -> String {
        name_of(&self.key.id, JOURNAL_SUFFIX)
    }
}

/// The target directory, held by this receiver alone; its transfers share it.
#[derive(Clone, Debug)]
pub struct Target(pub(super) Arc<Held>);

/// What is held while any transfer of this receiver writes to the directory.
#[derive(Debug)]
pub(super) struct Held {
    path: PathBuf,
    pub(super) root: Arc<File>,
    pub(super) staging: OwnedFd,
    /// Opened, and made, when first needed.
    shelves: [OnceLock<OwnedFd>; SHELVES],
    claims: Claims,
    pub(super) usage: Usage,
    /// Held until the target is dropped. `None` where the file system has no locks.
    pub(super) lock: Option<OwnedFd>,
}

impl Target {
    /// Opens `dir` (following symlinks: the user named it) and its staging directory, made if missing.
    ///
    /// # Errors
    /// `dir` is missing, no directory, not writable, or another receiver holds it.
    pub fn open(dir: &Path) -> Result<Self, StoreError> {
        let failed = |errno: Errno| StoreError::Open { dir: dir.to_path_buf(), source: errno.into() };
        let fatal = |errno: Errno| StoreError::fatal("write to", errno, || dir.display().to_string());
        let root =
            openat(CWD, dir, OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty()).map_err(failed)?;
        for _ in 0..LOCK_TRIES {
            match mkdirat(&root, RESERVED_NAME, Mode::from(0o700)) {
                Ok(()) | Err(Errno::EXIST) => {}
                Err(errno) => return Err(fatal(errno).unwrap_or_else(|| failed(errno))),
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
                Err(errno) => return Err(fatal(errno).unwrap_or_else(|| failed(errno))),
            };
            let lock = match flock(&lock, FlockOperation::NonBlockingLockExclusive) {
                Ok(()) if is_still(&staging, LOCK_NAME.as_bytes(), &lock) => Some(lock),
                // The receiver before us has removed the lock file that we hold.
                Ok(()) => continue,
                Err(Errno::WOULDBLOCK) => return Err(StoreError::Busy(dir.to_path_buf())),
                Err(_) => None,
            };
            let shelves = [const { OnceLock::new() }; SHELVES];
            let (claims, usage) = (Claims::default(), Usage::default());
            let root = Arc::new(File::new(root));
            return Ok(Self(Arc::new(Held { path: dir.to_path_buf(), root, staging, shelves, claims, usage, lock })));
        }
        Err(StoreError::Busy(dir.to_path_buf()))
    }

    /// The directory as the user named it.
    pub fn path(&self) -> &Path {
        &self.0.path
    }

    /// Who is storing what in it.
    pub fn claims(&self) -> &Claims {
        &self.0.claims
    }

    /// The directory itself.
    pub(super) fn root(&self) -> &Arc<File> {
        &self.0.root
    }

    /// The staging directory.
    pub(super) fn staging(&self) -> &OwnedFd {
        &self.0.staging
    }

    /// Where the file of `key` is staged. Makes its shelf if there is none.
    pub(super) fn staged(&self, key: Key) -> Result<Staged<'_>, Errno> {
        let slot = &self.0.shelves[usize::from(key.shelf)];
        if let Some(dir) = slot.get() {
            return Ok(Staged { dir, key });
        }
        match mkdirat(self.staging(), shelf_name(key.shelf), Mode::from(0o700)) {
            Ok(()) | Err(Errno::EXIST) => {}
            Err(errno) => return Err(errno),
        }
        let opened = open_dir(self.staging(), shelf_name(key.shelf))?;
        // Another thread may have opened it meanwhile; the two are the same.
        Ok(Staged { dir: slot.get_or_init(|| opened), key })
    }

    /// Calls `each` with what is known of every partial file.
    pub(super) fn for_each_part(&self, mut each: impl FnMut(&Stat)) -> Result<(), Errno> {
        for_each_shelf(self.staging(), |_, dir| {
            let mut parts = Vec::new();
            os::for_each_name(&dir, |name| parts.extend(parse_id(name).map(|_| name.to_vec())))?;
            for name in parts {
                // One that is gone has got its name.
                if let Ok(stat) = statat(&dir, &name[..], AtFlags::SYMLINK_NOFOLLOW) {
                    each(&stat);
                }
            }
            Ok(())
        })
    }

    /// The keys of all partial files.
    pub(super) fn keys(&self) -> Result<HashSet<Key>, Errno> {
        keys_in(self.staging())
    }
}

impl Drop for Held {
    /// Removes what is of no use any more, the whole staging directory if no partial file is left in it, and lets others in.
    fn drop(&mut self) {
        if keys_in(&self.staging).is_ok_and(|keys| keys.is_empty()) {
            for_each_shelf(&self.staging, |shelf, dir| {
                remove_remains(&dir);
                // One that holds something else keeps the staging directory; it does no harm.
                let _ = unlinkat(&self.staging, shelf_name(shelf), AtFlags::REMOVEDIR);
                Ok(())
            })
            .unwrap_or_default();
            remove_remains(&self.staging);
            // The lock is held on, so a receiver that opens the file meanwhile sees that it is gone and starts over.
            let _ = unlinkat(&self.staging, LOCK_NAME, AtFlags::empty());
            let _ = unlinkat(&self.root, RESERVED_NAME, AtFlags::REMOVEDIR);
        }
        // A child of this process has the lock's description as well, between fork and exec: closing ours alone would leave the
        // directory held for that long.
        if let Some(lock) = &self.lock {
            let _ = flock(lock, FlockOperation::Unlock);
        }
    }
}

fn keys_in(staging: &OwnedFd) -> Result<HashSet<Key>, Errno> {
    let mut keys = HashSet::new();
    for_each_shelf(staging, |shelf, dir| {
        os::for_each_name(&dir, |name| keys.extend(parse_id(name).map(|id| Key { shelf, id })))
    })?;
    Ok(keys)
}

/// Calls `each` with every shelf that is there, freshly opened, so that reading starts at its front.
fn for_each_shelf(staging: &OwnedFd, mut each: impl FnMut(u8, OwnedFd) -> Result<(), Errno>) -> Result<(), Errno> {
    for shelf in 0..SHELVES as u8 {
        match open_dir(staging, shelf_name(shelf)) {
            Ok(dir) => each(shelf, dir)?,
            Err(Errno::NOENT) => {}
            Err(errno) => return Err(errno),
        }
    }
    Ok(())
}

/// Removes what a receiver that was killed between two steps left in a directory that has no partial files: the journal
/// of a file that has its name already, and a link that has not.
fn remove_remains(dir: &OwnedFd) {
    let mut remains = Vec::new();
    let listed = open_dir(dir, c".").and_then(|dir| {
        os::for_each_name(&dir, |name| {
            if [JOURNAL_SUFFIX, LINK_SUFFIX].iter().any(|suffix| name.ends_with(suffix.as_bytes())) {
                remains.push(name.to_vec());
            }
        })
    });
    // What cannot be listed or removed keeps the directory; it does no harm.
    if listed.is_ok() {
        for name in remains {
            let _ = unlinkat(dir, name, AtFlags::empty());
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
    let dir_len = path.iter().rposition(|byte| *byte == b'/').unwrap_or(0);
    let shelf = blake3::hash(&path[..dir_len]).as_bytes()[0] % SHELVES as u8;
    path.push(0);
    path.extend_from_slice(&manifest.file_size(file).unwrap_or(0).to_be_bytes());
    path.extend_from_slice(&entry.meta.mtime.secs.to_be_bytes());
    path.extend_from_slice(&entry.meta.mtime.nanos.to_be_bytes());
    let mut id = [0; 16];
    id.copy_from_slice(&blake3::hash(path).as_bytes()[..16]);
    Key { shelf, id }
}

fn shelf_name(shelf: u8) -> String {
    format!("{shelf:02x}")
}

/// A name to make a link under, not used by any other transfer of this receiver.
pub(super) fn link_name() -> String {
    static NEXT: AtomicU64 = AtomicU64::new(0);
    format!("{}{LINK_SUFFIX}", NEXT.fetch_add(1, Ordering::Relaxed))
}

fn name_of(id: &[u8; 16], suffix: &str) -> String {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let mut name = String::with_capacity(2 * id.len() + suffix.len());
    for byte in id {
        name.push(char::from(DIGITS[usize::from(byte >> 4)]));
        name.push(char::from(DIGITS[usize::from(byte & 15)]));
    }
    name.push_str(suffix);
    name
}

fn parse_id(name: &[u8]) -> Option<[u8; 16]> {
    let digits = name.strip_suffix(PART_SUFFIX.as_bytes()).filter(|digits| digits.len() == 32)?;
    let mut id = [0; 16];
    for (byte, pair) in id.iter_mut().zip(digits.chunks(2)) {
        *byte = u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok()?;
    }
    Some(id)
}
