//! Writing large files past the page cache.
//!
//! A received chunk is written once and not read again, so a copy of it in the page cache only costs: the copy, the
//! page, the bookkeeping, and whatever it pushes out. Chunks of large files therefore go from the block's buffer to the
//! device (O_DIRECT) into space that was reserved before, which also keeps a file in few pieces and finds a full disk
//! early. Everything that does not fit that form (the last chunk, sparse files, file systems that refuse) is written
//! through the page cache.

use std::sync::atomic::{AtomicBool, Ordering};

use rustix::fd::OwnedFd;
use rustix::io::Errno;

use crate::io::buffer::Buffer;
use crate::transfer::journal::write_all_at;
use crate::transfer::os;

/// Files from this size on are written directly: below, the page cache is as fast.
const DIRECT_FROM_BYTES: u64 = 4 << 20;

/// A second descriptor of a large file, for direct writes.
#[derive(Debug)]
pub(super) struct Direct {
    fd: OwnedFd,
    refused: AtomicBool,
}

impl Direct {
    /// Opens the staged file `part` for direct writes, if that is of use for a file of this size.
    ///
    /// `fd` is its ordinary descriptor. A fresh file gets its space here.
    pub(super) fn open(staging: &OwnedFd, part: &str, fd: &OwnedFd, size_bytes: u64, fresh: bool) -> Option<Self> {
        if size_bytes < DIRECT_FROM_BYTES {
            return None;
        }
        if fresh && os::reserve(fd, size_bytes).is_err() {
            // No such call, or no room for all of it: then as much as fits is received, and can be resumed.
            return None;
        }
        let fd = os::open_direct(staging, part).ok()?;
        Some(Self { fd, refused: AtomicBool::new(false) })
    }

    /// Writes `data` at `offset` past the page cache; `false` where that cannot be done and nothing is known to be
    /// written.
    pub(super) fn write(&self, data: &[u8], offset: u64) -> Result<bool, Errno> {
        if self.refused.load(Ordering::Relaxed) || !Buffer::is_aligned(data) {
            return Ok(false);
        }
        match write_all_at(&self.fd, data, offset) {
            Ok(()) => Ok(true),
            // The file system has other ideas of alignment.
            Err(Errno::INVAL) => {
                self.refused.store(true, Ordering::Relaxed);
                Ok(false)
            }
            Err(errno) => Err(errno),
        }
    }
}
