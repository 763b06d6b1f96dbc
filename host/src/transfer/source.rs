//! The sender's files as blocks of the data stream.

use std::collections::{BTreeMap, HashMap};
use std::ffi::CString;
use std::ops::Range;
use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

use rustix::fs::{CWD, FileType, OFlags, fstat};
use rustix::io::Errno;
use thiserror::Error;

use super::dirs::{DirCache, open_dir};
use super::manifest::{Kind, Manifest};
use super::plan::{Block, Piece};
use super::tree::{FAILED, Hash, TreeHasher, ZERO_CHUNK, chunk_cv};
use crate::io::buffer::Buffer;
use crate::io::disk::Disk;
use crate::io::file::File;
use crate::io::{os, scratch};

/// Most files held open at once.
const MAX_OPEN: usize = 32;

/// Why a chunk of a source file cannot be sent. The file fails; the others go on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum SourceError {
    /// It is gone.
    #[error("it vanished while it was being sent")]
    Vanished,
    /// Its length, time or kind is not what the list of files says.
    #[error("it changed while it was being sent: send it again when it is at rest")]
    Changed,
    /// It may not be read.
    #[error("permission denied: make it readable for this user")]
    Denied,
    /// The system could not read it.
    #[error("it cannot be read: {}", std::io::Error::from(*.0))]
    Io(Errno),
    /// The job that should have read it failed.
    #[error("reading it failed inside wirehaul; please report this")]
    Internal,
}

impl From<Errno> for SourceError {
    fn from(errno: Errno) -> Self {
        match errno {
            Errno::NOENT | Errno::STALE => Self::Vanished,
            Errno::LOOP | Errno::NOTDIR => Self::Changed,
            Errno::ACCESS | Errno::PERM => Self::Denied,
            other => Self::Io(other),
        }
    }
}

/// The files of a walk. Fills blocks with their data and hashes, on several file threads at once.
#[derive(Debug)]
pub struct FileSource {
    manifest: Arc<Manifest>,
    roots: BTreeMap<Box<[u8]>, PathBuf>,
    dirs: DirCache,
    open: Mutex<HashMap<u32, Arc<File>>>,
}

impl FileSource {
    /// `roots` as the walk gave them beside the manifest.
    pub fn new(manifest: Arc<Manifest>, roots: BTreeMap<Box<[u8]>, PathBuf>) -> Self {
        Self { manifest, roots, dirs: DirCache::new(), open: Mutex::new(HashMap::new()) }
    }

    /// Fills `buf`, which is as long as the block. A chunk that cannot be read gets zeros and the hash [`FAILED`], and
    /// is told by its place in the block. Hashes of whole files are left to [`RootMerger`].
    pub async fn read_block(&self, disk: &impl Disk, block: &Block, buf: &mut Buffer) -> Vec<(usize, SourceError)> {
        let mut failures = Vec::new();
        for (index, piece) in block.pieces.iter().enumerate() {
            let cv = self.read_piece(disk, piece, buf).await.unwrap_or_else(|error| {
                failures.push((index, error));
                buf[piece.data_range()].fill(0);
                FAILED
            });
            buf[piece.cv_range()].copy_from_slice(&cv);
        }
        failures
    }

    async fn read_piece(&self, disk: &impl Disk, piece: &Piece, block: &mut Buffer) -> Result<Hash, SourceError> {
        let len = piece.len as usize;
        if piece.data_len() > 0 {
            self.read_chunk(disk, piece, block, piece.data_range()).await?;
            return Ok(chunk_cv(piece.chunk, piece.is_only_chunk, &block[piece.data_range()]));
        }
        if piece.is_hole {
            let file = self.file(disk, piece).await?;
            self.check_unchanged(&file, piece.file)?;
            return Ok(chunk_cv(piece.chunk, piece.is_only_chunk, &ZERO_CHUNK[..len]));
        }
        let mut data = scratch::take(len);
        let read = self.read_chunk(disk, piece, &mut data, 0..len).await;
        let cv = read.map(|()| chunk_cv(piece.chunk, piece.is_only_chunk, &data));
        scratch::put(data);
        cv
    }

    /// Reads the chunk from its front on into a range of `buf`, all of it, and makes sure that the file is still the one that was
    /// walked.
    async fn read_chunk(
        &self,
        disk: &impl Disk,
        piece: &Piece,
        buf: &mut Buffer,
        range: Range<usize>,
    ) -> Result<(), SourceError> {
        let file = self.file(disk, piece).await?;
        let len = range.len();
        let (back, read) = disk.read(Arc::clone(&file), std::mem::take(buf), range, piece.file_offset()).await;
        *buf = back;
        if read? < len {
            return Err(SourceError::Changed);
        }
        // After the read: a change during the read has moved the time by now.
        self.check_unchanged(&file, piece.file)
    }

    fn check_unchanged(&self, file: &File, index: u32) -> Result<(), SourceError> {
        let stat = fstat(file)?;
        let entry = self.manifest.entry(index);
        let same_time = stat.st_mtime == entry.meta.mtime.secs && stat.st_mtime_nsec as u32 == entry.meta.mtime.nanos;
        let same_size = entry.kind == Kind::File { size_bytes: stat.st_size as u64 };
        let is_file = FileType::from_raw_mode(stat.st_mode) == FileType::RegularFile;
        if same_time && same_size && is_file { Ok(()) } else { Err(SourceError::Changed) }
    }

    async fn file(&self, disk: &impl Disk, piece: &Piece) -> Result<Arc<File>, SourceError> {
        if piece.is_only_chunk {
            return Ok(self.open_file(disk, piece.file).await?);
        }
        let cached = self.open.lock().unwrap_or_else(PoisonError::into_inner).get(&piece.file).cloned();
        let file = match cached {
            Some(file) => file,
            None => {
                let file = self.open_file(disk, piece.file).await?;
                os::advise_sequential(&*file);
                file
            }
        };
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        if piece.last_of_file {
            open.remove(&piece.file);
        } else {
            if open.len() >= MAX_OPEN {
                open.clear();
            }
            open.insert(piece.file, file.clone());
        }
        Ok(file)
    }

    async fn open_file(&self, disk: &impl Disk, index: u32) -> Result<Arc<File>, Errno> {
        // NONBLOCK: a FIFO that took the file's place must not hold the thread.
        let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
        let entry = self.manifest.entry(index);
        let (dir, name) = match entry.parent {
            Some(parent) => {
                let dir = self.dirs.get(&self.manifest, parent, |_, name| open_dir(CWD, self.root(name)?.as_path()))?;
                (Some(dir), entry.name)
            }
            None => (None, self.root(entry.name)?.as_os_str().as_bytes()),
        };
        disk.open(dir, CString::new(name).map_err(|_| Errno::INVAL)?, flags).await
    }

    fn root(&self, name: &[u8]) -> Result<&PathBuf, Errno> {
        self.roots.get(name).ok_or(Errno::NOENT)
    }
}

/// Puts the hashes of whole files into the blocks that carry them. Blocks come in the order of the plan.
#[derive(Debug, Default)]
pub struct RootMerger {
    file: Option<u32>,
    tree: TreeHasher,
    failed: bool,
}

impl RootMerger {
    /// Before the first block of a round.
    pub fn new() -> Self {
        Self::default()
    }

    /// Takes the hashes of the chunks of `buf` and fills in those of the files that end in it: [`FAILED`] where a
    /// chunk of the file failed.
    pub fn merge(&mut self, block: &Block, buf: &mut [u8]) {
        for piece in block.pieces.iter().filter(|piece| !piece.is_only_chunk) {
            if self.file != Some(piece.file) {
                *self = Self { file: Some(piece.file), ..Self::default() };
            }
            let mut cv = FAILED;
            cv.copy_from_slice(&buf[piece.cv_range()]);
            self.failed |= cv == FAILED;
            self.tree.push(cv);
            if let Some(range) = piece.root_range() {
                let root = if self.failed { FAILED } else { std::mem::take(&mut self.tree).finish() };
                buf[range].copy_from_slice(&root);
            }
        }
    }
}
