//! Directories below a root, reached name by name and never through a symlink (XFER-3).
//!
//! Each step is one `openat` of one validated name with `O_NOFOLLOW | O_DIRECTORY`, from a descriptor that was reached
//! the same way. A symlink that lies in the tree, or is put there meanwhile, thus ends the way (ELOOP or ENOTDIR)
//! instead of leading out; that is what `openat2` with RESOLVE_NO_SYMLINKS gives, on every kernel.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use rustix::fd::{AsFd, OwnedFd};
use rustix::fs::{Mode, OFlags, openat};
use rustix::io::Errno;
use rustix::path::Arg;

use super::manifest::Manifest;
use crate::io::file::File;

/// Most directories held open. Manifest order keeps the working set at the depth of the tree.
const MAX_OPEN: usize = 256;

const FLAGS: OFlags = OFlags::RDONLY.union(OFlags::DIRECTORY).union(OFlags::NOFOLLOW).union(OFlags::CLOEXEC);

/// Opens the directory `name` of `dir`, refusing symlinks.
pub(super) fn open_dir(dir: impl AsFd, name: impl Arg) -> Result<OwnedFd, Errno> {
    openat(dir, name, FLAGS, Mode::empty())
}

/// Open directories of a manifest by entry index, shared by the file threads.
#[derive(Debug)]
pub(super) struct DirCache {
    open: Mutex<HashMap<u32, Arc<File>>>,
}

impl DirCache {
    pub(super) fn new() -> Self {
        Self { open: Mutex::new(HashMap::new()) }
    }

    /// The directory at `index`. `open_top` opens the directories that have no parent in the manifest.
    pub(super) fn get(
        &self,
        manifest: &Manifest,
        index: u32,
        open_top: impl FnOnce(u32, &[u8]) -> Result<OwnedFd, Errno>,
    ) -> Result<Arc<File>, Errno> {
        // The way up to the nearest open directory, then down again.
        let (mut missing, mut at) = (vec![index], index);
        let mut dir = self.cached(index);
        while dir.is_none() {
            let Some(parent) = manifest.entry(at).parent else { break };
            at = parent;
            dir = self.cached(parent);
            if dir.is_none() {
                missing.push(parent);
            }
        }
        if let Some(dir) = dir.take_if(|_| at == index) {
            return Ok(dir);
        }
        let mut open_top = Some(open_top);
        for &index in missing.iter().rev() {
            let name = manifest.entry(index).name;
            let opened = match (&dir, open_top.take()) {
                (Some(parent), _) => open_dir(parent, name)?,
                (None, Some(open_top)) => open_top(index, name)?,
                // Only the first step down has no parent.
                (None, None) => return Err(Errno::NOENT),
            };
            dir = Some(self.insert(index, opened));
        }
        dir.ok_or(Errno::NOENT)
    }

    fn cached(&self, index: u32) -> Option<Arc<File>> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner).get(&index).cloned()
    }

    fn insert(&self, index: u32, dir: OwnedFd) -> Arc<File> {
        let dir = Arc::new(File::new(dir));
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        if open.len() >= MAX_OPEN {
            open.clear();
        }
        open.insert(index, dir.clone());
        dir
    }
}
