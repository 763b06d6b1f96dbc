//! The sender's files as blocks of the data stream.

use std::cell::RefCell;
use std::collections::{BTreeMap, HashMap};
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

use rustix::fd::OwnedFd;
use rustix::fs::{CWD, FileType, Mode, OFlags, fstat, openat};
use rustix::io::Errno;
use thiserror::Error;

use super::dirs::{DirCache, open_dir};
use super::manifest::{CHUNK_BYTES, Kind, Manifest};
use super::os;
use super::plan::{Block, Piece};
use super::tree::{FAILED, Hash, TreeHasher, ZERO_CHUNK, chunk_cv};

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

/// Fills blocks with data and hashes. Called from several file threads at once.
pub trait BlockSource: Send + Sync {
    /// Fills `buf`, which is as long as the block. A chunk that cannot be read gets zeros and the hash [`FAILED`], and
    /// is told by its place in the block. Hashes of whole files are left to [`RootMerger`].
    fn read_block(&self, block: &Block, buf: &mut [u8]) -> Vec<(usize, SourceError)>;
}

/// The files of a walk.
#[derive(Debug)]
pub struct FileSource {
    manifest: Arc<Manifest>,
    roots: BTreeMap<Box<[u8]>, PathBuf>,
    dirs: DirCache,
    open: Mutex<HashMap<u32, Arc<OwnedFd>>>,
}

thread_local! {
    /// Chunks that are hashed but not sent are read in here.
    static SCRATCH: RefCell<Vec<u8>> = const { RefCell::new(Vec::new()) };
}

impl FileSource {
    /// `roots` as the walk gave them beside the manifest.
    pub fn new(manifest: Arc<Manifest>, roots: BTreeMap<Box<[u8]>, PathBuf>) -> Self {
        Self { manifest, roots, dirs: DirCache::new(), open: Mutex::new(HashMap::new()) }
    }

    fn read_piece(&self, piece: &Piece, block: &mut [u8]) -> Result<Hash, SourceError> {
        let len = piece.len as usize;
        if piece.data_len() > 0 {
            let data = &mut block[piece.data_range()];
            self.read_chunk(piece, data)?;
            return Ok(chunk_cv(piece.chunk, piece.is_only_chunk, data));
        }
        if piece.is_hole {
            self.read_chunk(piece, &mut [])?;
            return Ok(chunk_cv(piece.chunk, piece.is_only_chunk, &ZERO_CHUNK[..len]));
        }
        SCRATCH.with_borrow_mut(|scratch| {
            scratch.resize(CHUNK_BYTES as usize, 0);
            self.read_chunk(piece, &mut scratch[..len])?;
            Ok(chunk_cv(piece.chunk, piece.is_only_chunk, &scratch[..len]))
        })
    }

    /// Reads the first `data.len()` bytes of a chunk, and makes sure that the file is still the one that was walked.
    fn read_chunk(&self, piece: &Piece, data: &mut [u8]) -> Result<(), SourceError> {
        let file = self.file(piece)?;
        let mut done = 0;
        while done < data.len() {
            match rustix::io::pread(&*file, &mut data[done..], piece.file_offset() + done as u64) {
                Ok(0) => return Err(SourceError::Changed),
                Ok(count) => done += count,
                Err(Errno::INTR) => {}
                Err(errno) => return Err(errno.into()),
            }
        }
        // After the read: a change during the read has moved the time by now.
        self.check_unchanged(&file, piece.file)
    }

    fn check_unchanged(&self, file: &OwnedFd, index: u32) -> Result<(), SourceError> {
        let stat = fstat(file)?;
        let entry = self.manifest.entry(index);
        let same_time = stat.st_mtime == entry.meta.mtime.secs && stat.st_mtime_nsec as u32 == entry.meta.mtime.nanos;
        let same_size = entry.kind == Kind::File { size_bytes: stat.st_size as u64 };
        let is_file = FileType::from_raw_mode(stat.st_mode) == FileType::RegularFile;
        if same_time && same_size && is_file { Ok(()) } else { Err(SourceError::Changed) }
    }

    fn file(&self, piece: &Piece) -> Result<Arc<OwnedFd>, SourceError> {
        if piece.is_only_chunk {
            return Ok(Arc::new(self.open_file(piece.file)?));
        }
        let cached = self.open.lock().unwrap_or_else(PoisonError::into_inner).get(&piece.file).cloned();
        let file = match cached {
            Some(file) => file,
            None => {
                let file = Arc::new(self.open_file(piece.file)?);
                os::advise_sequential(&file);
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

    fn open_file(&self, index: u32) -> Result<OwnedFd, Errno> {
        // NONBLOCK: a FIFO that took the file's place must not hold the thread.
        let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
        let entry = self.manifest.entry(index);
        match entry.parent {
            Some(parent) => {
                let dir = self.dirs.get(&self.manifest, parent, |_, name| open_dir(CWD, self.root(name)?.as_path()))?;
                openat(&*dir, entry.name, flags, Mode::empty())
            }
            None => openat(CWD, self.root(entry.name)?, flags, Mode::empty()),
        }
    }

    fn root(&self, name: &[u8]) -> Result<&PathBuf, Errno> {
        self.roots.get(name).ok_or(Errno::NOENT)
    }
}

impl BlockSource for FileSource {
    fn read_block(&self, block: &Block, buf: &mut [u8]) -> Vec<(usize, SourceError)> {
        let mut failures = Vec::new();
        for (index, piece) in block.pieces.iter().enumerate() {
            let cv = self.read_piece(piece, buf).unwrap_or_else(|error| {
                failures.push((index, error));
                buf[piece.data_range()].fill(0);
                FAILED
            });
            buf[piece.cv_range()].copy_from_slice(&cv);
        }
        failures
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
