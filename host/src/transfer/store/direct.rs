//! Writing large files past the page cache.
//!
//! A received chunk is written once and not read again, so a copy of it in the page cache only costs: the copy, the
//! page, the bookkeeping, and whatever it pushes out. Chunks of large files therefore go from the block's buffer to the
//! device (O_DIRECT) into space that was reserved before, which also keeps a file in few pieces and finds a full disk
//! early. Everything that does not fit that form (the last chunk, sparse files, file systems that refuse) is written
//! through the page cache.

use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use rustix::io::Errno;

use super::staging::Staged;
use crate::io::buffer::Buffer;
use crate::io::disk::Disk;
use crate::io::file::File;
use crate::io::os;

/// Files from this size on are written directly: below, the page cache is as fast.
const DIRECT_FROM_BYTES: u64 = 4 << 20;

/// A second descriptor of a large file, for direct writes.
#[derive(Debug)]
pub(super) struct Direct {
    file: Arc<File>,
    refused: AtomicBool,
}

impl Direct {
    /// Opens a staged file for direct writes, if that is of use for a file of this size.
    ///
    /// `file` is the same by its ordinary descriptor. A fresh file gets its space here.
    pub(super) async fn open(
        disk: &impl Disk,
        staged: Staged<'_>,
        file: &Arc<File>,
        size_bytes: u64,
        fresh: bool,
    ) -> Option<Self> {
        if size_bytes < DIRECT_FROM_BYTES {
            return None;
        }
        if fresh && disk.reserve(Arc::clone(file), size_bytes).await.is_err() {
            // No such call, or no room for all of it: then as much as fits is received, and can be resumed.
            return None;
        }
        let fd = os::open_direct(staged.dir, &staged.part()).ok()?;
        Some(Self { file: Arc::new(File::new(fd)), refused: AtomicBool::new(false) })
    }

    /// Writes a range of `buf` at `offset` past the page cache; `false` where that cannot be done and nothing is known to be
    /// written.
    pub(super) async fn write(
        &self,
        disk: &impl Disk,
        buf: &mut Buffer,
        range: Range<usize>,
        offset: u64,
    ) -> Result<bool, Errno> {
        let is_aligned = buf.get(range.clone()).is_some_and(Buffer::is_aligned);
        if self.refused.load(Ordering::Relaxed) || !is_aligned {
            return Ok(false);
        }
        let (back, written) = disk.write(Arc::clone(&self.file), std::mem::take(buf), range, offset).await;
        *buf = back;
        match written {
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
