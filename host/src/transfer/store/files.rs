//! The receiver's files as the file threads see them: pieces come in, are verified, and are written or compared.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU8, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use rustix::fd::{AsFd, OwnedFd};
use rustix::fs::{
    AtFlags, Mode, OFlags, Timespec, Timestamps, chmodat, fchmod, ftruncate, futimens, openat, statat, unlinkat,
};
use rustix::io::Errno;
use smallvec::SmallVec;

use super::direct::Direct;
use super::staging::{Staged, Target, key_of};
use super::usage::Room;
use crate::io::buffer::Buffer;
use crate::io::disk::Disk;
use crate::io::file::File;
use crate::io::plain::write_all_at;
use crate::io::{os, scratch};
use crate::transfer::dirs::{DirCache, open_dir};
use crate::transfer::journal::Journal;
use crate::transfer::manifest::{CHUNK_BYTES, Manifest, Meta};
use crate::transfer::plan::{Block, Piece};
use crate::transfer::tree::{FAILED, Hash, ZERO_CHUNK, chunk_cv};
use crate::transfer::want::PieceMode;

/// Most partial files held open at once.
const MAX_OPEN: usize = 64;
/// Chunks after which the kernel is asked to start writing a large file out: 8 MiB.
const WRITEBACK_CHUNKS: u64 = 32;

/// What became of a piece at the receiver.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PieceOutcome {
    /// Its data matched its hash and is written.
    Stored,
    /// What is on disk matches its hash.
    Verified,
    /// The data, or what is on disk, does not match the hash: it is wanted in full in the next round.
    Mismatch,
    /// The sender could not read it.
    SourceFailed,
    /// The receiver could not read or write it.
    Failed {
        /// What was tried.
        operation: &'static str,
        /// What the system said.
        errno: Errno,
    },
    /// The job panicked.
    Internal,
}

/// The outcomes of a block's pieces. One of a large file has one, which costs no allocation.
pub type Outcomes = SmallVec<[PieceOutcome; 1]>;

/// Where the bytes of a file are, while it is wanted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub(super) enum Place {
    /// Nowhere yet.
    Fresh = 0,
    /// In the staging directory, in part or in full.
    Staged = 1,
    /// Under its own name.
    Final = 2,
}

/// A failed operation.
type Fault = (&'static str, Errno);

#[derive(Debug)]
struct OpenFile {
    fd: Arc<File>,
    /// For direct writes, once somebody has tried to have it.
    direct: OnceLock<Option<Direct>>,
    /// `None` for a file under its own name.
    journal: Option<Journal>,
    /// Made by this run: where nothing was written there are zeros.
    fresh: bool,
}

/// What the file threads share of a [`super::Store`].
#[derive(Debug)]
pub struct StoreFiles {
    pub(super) manifest: Arc<Manifest>,
    pub(super) target: Target,
    /// The staging directory as opened by this transfer: of a write that failed, `syncfs` tells each open file once, and another
    /// transfer must not get this one's answer.
    sync_fd: OwnedFd,
    pub(super) dirs: DirCache,
    places: Vec<AtomicU8>,
    open: Mutex<HashMap<u32, Arc<OpenFile>>>,
    umask: u16,
    pub(super) room: Room,
}

impl Drop for StoreFiles {
    fn drop(&mut self) {
        self.room.leave(&self.target);
    }
}

impl StoreFiles {
    pub(super) fn new(target: Target, manifest: Arc<Manifest>) -> Result<Self, Errno> {
        let places = (0..manifest.len()).map(|_| AtomicU8::new(Place::Fresh as u8)).collect();
        let (sync_fd, dirs) = (open_dir(target.staging(), c".")?, DirCache::new());
        let (open, umask, room) = (Mutex::new(HashMap::new()), read_umask(), Room::default());
        Ok(Self { manifest, target, sync_fd, dirs, places, open, umask, room })
    }

    /// Makes everything last that was written to the file system, where one call does that ([`os::HAS_SYNCFS`]).
    pub(super) fn sync_all(&self) -> Result<(), Errno> {
        os::syncfs(&self.sync_fd)
    }

    pub(super) fn place(&self, file: u32) -> Place {
        match self.places[file as usize].load(Ordering::Acquire) {
            0 => Place::Fresh,
            1 => Place::Staged,
            _ => Place::Final,
        }
    }

    pub(super) fn set_place(&self, file: u32, place: Place) {
        self.places[file as usize].store(place as u8, Ordering::Release);
    }

    /// The directory that `entry` lies in.
    pub(super) fn parent_dir(&self, entry: u32) -> Result<Dir<'_>, Errno> {
        match self.manifest.entry(entry).parent {
            Some(parent) => self.dir(parent).map(Dir::Below),
            None => Ok(Dir::Root(self.target.root())),
        }
    }

    /// The directory entry `index` itself.
    pub(super) fn dir(&self, index: u32) -> Result<Arc<File>, Errno> {
        self.dirs.get(&self.manifest, index, |_, name| open_dir(self.target.root(), name))
    }

    /// Forgets the open descriptors of `file`.
    pub(super) fn close(&self, file: u32) {
        self.open.lock().unwrap_or_else(PoisonError::into_inner).remove(&file);
    }

    /// Where `file` is staged.
    pub(super) fn staged(&self, file: u32) -> Result<Staged<'_>, Errno> {
        self.target.staged(key_of(&self.manifest, file, &mut Vec::new()))
    }

    /// Opens what is staged of `file`, for reading alone (its own mode may forbid more).
    pub(super) fn open_staged(&self, file: u32) -> Result<Arc<File>, Errno> {
        let staged = self.staged(file)?;
        let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        openat(staged.dir, staged.part(), flags, Mode::empty()).map(|fd| Arc::new(File::new(fd)))
    }

    /// Opens the journal of `file`, if there is a good one.
    pub(super) fn open_journal(&self, file: u32) -> Result<Option<Journal>, Errno> {
        let staged = self.staged(file)?;
        Journal::open(staged.dir, &staged.journal(), self.manifest.file_size(file).unwrap_or(0))
    }

    /// Removes what is staged of `file`.
    pub(super) fn remove_staged(&self, file: u32) -> Result<(), Errno> {
        let staged = self.staged(file)?;
        for name in [staged.part(), staged.journal()] {
            match unlinkat(staged.dir, name, AtFlags::empty()) {
                Ok(()) | Err(Errno::NOENT) => {}
                Err(errno) => return Err(errno),
            }
        }
        Ok(())
    }

    /// Removes the staged name of a file that has its own name too: a receiver was killed between the two.
    pub(super) fn remove_second_name(&self, file: u32) {
        let is_same = || {
            let (staged, dir) = (self.staged(file)?, self.parent_dir(file)?);
            let ours = statat(staged.dir, staged.part(), AtFlags::SYMLINK_NOFOLLOW)?;
            let named = statat(dir, self.manifest.entry(file).name, AtFlags::SYMLINK_NOFOLLOW)?;
            Ok::<_, Errno>((ours.st_dev, ours.st_ino) == (named.st_dev, named.st_ino))
        };
        // Where it cannot be told or removed, it stays, and does no harm.
        if is_same().unwrap_or(false) {
            let _ = self.remove_staged(file);
        }
    }

    /// Creates the staged file of a file of one chunk or none, complete with mode and time.
    pub(super) fn create_small(&self, file: u32, data: &[u8], len: u64) -> Result<(), Fault> {
        let staged = self.staged(file).map_err(|errno| ("create", errno))?;
        let (dir, part) = (staged.dir, staged.part());
        let meta = self.manifest.entry(file).meta;
        let mode = permissions(meta);
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let create = || openat(dir, part.as_str(), flags, Mode::from_raw_mode(mode.into()));
        let fd = match create() {
            Err(Errno::EXIST) => {
                unlinkat(dir, part.as_str(), AtFlags::empty()).map_err(|errno| ("replace", errno))?;
                create()
            }
            other => other,
        }
        .map_err(|errno| ("create", errno))?;
        write_all_at(&fd, data, 0).map_err(|errno| ("write", errno))?;
        if (data.len() as u64) < len {
            ftruncate(&fd, len).map_err(|errno| ("write", errno))?;
        }
        if mode & self.umask != 0 {
            fchmod(&fd, Mode::from_raw_mode(mode.into())).map_err(|errno| ("set the mode of", errno))?;
        }
        futimens(&fd, &times(meta)).map_err(|errno| ("set the time of", errno))
    }

    /// Verifies and stores `buf`, which is as long as the block: an outcome per piece.
    pub(in crate::transfer) async fn write_block(&self, disk: &impl Disk, block: &Block, buf: &mut Buffer) -> Outcomes {
        let mut outcomes = Outcomes::new();
        for piece in &block.pieces {
            let outcome = self.write_piece(disk, piece, buf).await;
            outcomes.push(outcome.unwrap_or_else(|(operation, errno)| PieceOutcome::Failed { operation, errno }));
        }
        outcomes
    }

    async fn write_piece(&self, disk: &impl Disk, piece: &Piece, buf: &mut Buffer) -> Result<PieceOutcome, Fault> {
        match piece.mode {
            PieceMode::Skip => Ok(PieceOutcome::Verified),
            PieceMode::Verify => self.compare(disk, piece, &cv_of(piece, buf)).await,
            PieceMode::Full => match check(piece, buf) {
                Ok(cv) => self.write(disk, piece, buf, &cv).await.map(|()| PieceOutcome::Stored),
                Err(outcome) => Ok(outcome),
            },
        }
    }

    /// Writes a piece whose data matches its hash.
    async fn write(&self, disk: &impl Disk, piece: &Piece, buf: &mut Buffer, cv: &Hash) -> Result<(), Fault> {
        if piece.is_only_chunk {
            return self.create_small(piece.file, &buf[piece.data_range()], u64::from(piece.len));
        }
        let file = self.open_partial(piece.file)?;
        if piece.is_hole {
            if !file.fresh {
                erase(&file.fd, piece.file_offset(), piece.len).map_err(|errno| ("write", errno))?;
            }
        } else {
            self.write_data(disk, piece, buf, &file).await.map_err(|errno| ("write", errno))?;
        }
        match &file.journal {
            Some(journal) => journal.put(piece.chunk, cv).map_err(|errno| ("write the journal of", errno)),
            None => Ok(()),
        }
    }

    async fn write_data(
        &self,
        disk: &impl Disk,
        piece: &Piece,
        buf: &mut Buffer,
        file: &OpenFile,
    ) -> Result<(), Errno> {
        let (range, offset) = (piece.data_range(), piece.file_offset());
        if let Some(direct) = self.direct(disk, piece.file, file).await
            && direct.write(disk, buf, range.clone(), offset).await?
        {
            return Ok(());
        }
        let (back, written) = disk.write(Arc::clone(&file.fd), std::mem::take(buf), range, offset).await;
        *buf = back;
        written?;
        start_writeback(&file.fd, piece.chunk);
        Ok(())
    }

    /// Compares what is on disk with the hash that the sender computed.
    async fn compare(&self, disk: &impl Disk, piece: &Piece, cv: &Hash) -> Result<PieceOutcome, Fault> {
        if *cv == FAILED {
            return Ok(PieceOutcome::SourceFailed);
        }
        let is_final = self.place(piece.file) == Place::Final;
        if piece.is_only_chunk {
            return self.compare_small(disk, piece, cv, is_final).await;
        }
        let file = if is_final { self.open_final(piece.file)? } else { self.open_partial(piece.file)? };
        if !same_on_disk(disk, &file.fd, piece, cv).await? {
            return Ok(PieceOutcome::Mismatch);
        }
        if let Some(journal) = &file.journal {
            // The slot may be torn although the chunk is whole.
            journal.put(piece.chunk, cv).map_err(|errno| ("write the journal of", errno))?;
        }
        Ok(PieceOutcome::Verified)
    }

    async fn compare_small(
        &self,
        disk: &impl Disk,
        piece: &Piece,
        cv: &Hash,
        is_final: bool,
    ) -> Result<PieceOutcome, Fault> {
        if is_final {
            let fd = self.open_by_name(piece.file)?;
            let same = same_on_disk(disk, &fd, piece, cv).await?;
            return Ok(if same { PieceOutcome::Verified } else { PieceOutcome::Mismatch });
        }
        // What is staged may be cut short, gone, or have a mode that forbids reading: then it is sent again.
        let Ok(fd) = self.open_staged(piece.file) else { return Ok(PieceOutcome::Mismatch) };
        os::forget_cached(&*fd);
        if !same_on_disk(disk, &fd, piece, cv).await? {
            return Ok(PieceOutcome::Mismatch);
        }
        self.set_meta(&fd, piece.file)?;
        Ok(PieceOutcome::Verified)
    }

    /// Gives an open file its final mode and time.
    pub(super) fn set_meta(&self, fd: &File, file: u32) -> Result<(), Fault> {
        let meta = self.manifest.entry(file).meta;
        fchmod(fd, Mode::from_raw_mode(permissions(meta).into())).map_err(|errno| ("set the mode of", errno))?;
        futimens(fd, &times(meta)).map_err(|errno| ("set the time of", errno))
    }

    fn open_by_name(&self, file: u32) -> Result<Arc<File>, Fault> {
        let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
        let open = || openat(self.parent_dir(file)?, self.manifest.entry(file).name, flags, Mode::empty());
        open().map(|fd| Arc::new(File::new(fd))).map_err(|errno| ("read", errno))
    }

    fn open_final(&self, file: u32) -> Result<Arc<OpenFile>, Fault> {
        let open = || {
            let fd = self.open_by_name(file)?;
            Ok(OpenFile { fd, direct: OnceLock::from(None), journal: None, fresh: false })
        };
        self.cached(file, open)
    }

    fn open_partial(&self, file: u32) -> Result<Arc<OpenFile>, Fault> {
        self.cached(file, || {
            let fresh = self.place(file) == Place::Fresh;
            let opened = if fresh { self.create_partial(file) } else { self.reopen_partial(file) };
            let (fd, journal) = opened.map_err(|errno| ("create", errno))?;
            if !fresh {
                os::forget_cached(&fd);
            }
            self.set_place(file, Place::Staged);
            Ok(OpenFile { fd: Arc::new(File::new(fd)), direct: OnceLock::new(), journal: Some(journal), fresh })
        })
    }

    /// What direct writes to a partial file go through. A sparse file is left to the page cache: reserving its space would fill its
    /// holes.
    async fn direct<'f>(&self, disk: &impl Disk, file: u32, open: &'f OpenFile) -> Option<&'f Direct> {
        if let Some(direct) = open.direct.get() {
            return direct.as_ref();
        }
        let opened = match self.staged(file) {
            Ok(staged) if !self.manifest.is_sparse(file) => {
                let size_bytes = self.manifest.file_size(file).unwrap_or(0);
                Direct::open(disk, staged, &open.fd, size_bytes, open.fresh).await
            }
            _ => None,
        };
        // Another job may have been as fast; its descriptor is as good.
        open.direct.get_or_init(|| opened).as_ref()
    }

    fn create_partial(&self, file: u32) -> Result<(OwnedFd, Journal), Errno> {
        self.remove_staged(file)?;
        let size_bytes = self.manifest.file_size(file).unwrap_or(0);
        let staged = self.staged(file)?;
        let flags = OFlags::RDWR | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let fd = openat(staged.dir, staged.part(), flags, Mode::from(0o600))?;
        ftruncate(&fd, size_bytes)?;
        Ok((fd, Journal::create(staged.dir, &staged.journal(), size_bytes)?))
    }

    fn reopen_partial(&self, file: u32) -> Result<(OwnedFd, Journal), Errno> {
        let staged = self.staged(file)?;
        let (dir, part) = (staged.dir, staged.part());
        let flags = OFlags::RDWR | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let open = || openat(dir, part.as_str(), flags, Mode::empty());
        let fd = match open() {
            // A run that ended right before the rename has left it with its final mode, which may be read-only.
            Err(Errno::ACCESS) => {
                chmodat(dir, part.as_str(), Mode::from(0o600), AtFlags::empty())?;
                open()?
            }
            other => other?,
        };
        Ok((fd, self.open_journal(file)?.ok_or(Errno::STALE)?))
    }

    /// The open descriptors of `file`. They are opened under the lock, so that two threads never make two files.
    fn cached(&self, file: u32, open: impl FnOnce() -> Result<OpenFile, Fault>) -> Result<Arc<OpenFile>, Fault> {
        let mut cache = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(found) = cache.get(&file) {
            return Ok(found.clone());
        }
        if cache.len() >= MAX_OPEN {
            cache.clear();
        }
        let opened = Arc::new(open()?);
        cache.insert(file, opened.clone());
        Ok(opened)
    }
}

/// A directory of the target: its root, or one below.
pub(super) enum Dir<'a> {
    Root(&'a Arc<File>),
    Below(Arc<File>),
}

impl AsFd for Dir<'_> {
    fn as_fd(&self) -> rustix::fd::BorrowedFd<'_> {
        match self {
            Self::Root(fd) => fd.as_fd(),
            Self::Below(fd) => fd.as_fd(),
        }
    }
}

fn cv_of(piece: &Piece, buf: &[u8]) -> Hash {
    let mut cv = FAILED;
    cv.copy_from_slice(&buf[piece.cv_range()]);
    cv
}

/// The hash of a piece that came in full, if its data matches it.
fn check(piece: &Piece, buf: &[u8]) -> Result<Hash, PieceOutcome> {
    let cv = cv_of(piece, buf);
    if cv == FAILED {
        return Err(PieceOutcome::SourceFailed);
    }
    let data = match piece.mode {
        PieceMode::Full if piece.is_hole => &ZERO_CHUNK[..piece.len as usize],
        PieceMode::Full => &buf[piece.data_range()],
        PieceMode::Skip | PieceMode::Verify => return Ok(cv),
    };
    if chunk_cv(piece.chunk, piece.is_only_chunk, data) == cv { Ok(cv) } else { Err(PieceOutcome::Mismatch) }
}

async fn same_on_disk(disk: &impl Disk, file: &Arc<File>, piece: &Piece, cv: &Hash) -> Result<bool, Fault> {
    let len = piece.len as usize;
    let (data, read) = disk.read(Arc::clone(file), scratch::take(len), 0..len, piece.file_offset()).await;
    let same = read.map(|count| count == len && chunk_cv(piece.chunk, piece.is_only_chunk, &data) == *cv);
    scratch::put(data);
    same.map_err(|errno| ("read", errno))
}

/// Makes a range read as zeros, without taking space where the file system can.
fn erase(fd: &File, offset: u64, len: u32) -> Result<(), Errno> {
    match os::punch_hole(fd, offset, u64::from(len)) {
        Err(Errno::OPNOTSUPP | Errno::NOSYS) => write_all_at(fd, &ZERO_CHUNK[..len as usize], offset),
        other => other,
    }
}

/// Has the kernel start writing out the last few MiB, so that little is left for the final fdatasync, and drop what it
/// has written, so that a large transfer does not push everything else out of the page cache. Only a hint.
fn start_writeback(fd: &File, chunk: u64) {
    if chunk % WRITEBACK_CHUNKS == WRITEBACK_CHUNKS - 1 {
        // Twice the distance: what was still being written the last time can be dropped now.
        let first = (chunk + 1).saturating_sub(2 * WRITEBACK_CHUNKS);
        os::advise_once(fd, first * CHUNK_BYTES, (chunk + 1 - first) * CHUNK_BYTES);
    }
}

/// The bits of the mode that the receiver applies.
pub(super) fn permissions(meta: Meta) -> u16 {
    meta.mode & 0o777
}

/// The modification time, for both times of a file.
pub(super) fn times(meta: Meta) -> Timestamps {
    let time = Timespec { tv_sec: meta.mtime.secs, tv_nsec: i64::from(meta.mtime.nanos) as _ };
    Timestamps { last_access: time, last_modification: time }
}

/// The process's umask, without changing it; where it cannot be told, one that never saves an fchmod.
fn read_umask() -> u16 {
    let read = || {
        let status = std::fs::read_to_string("/proc/self/status").ok()?;
        let digits = status.lines().find_map(|line| line.strip_prefix("Umask:"))?;
        u16::from_str_radix(digits.trim(), 8).ok()
    };
    read().unwrap_or(0o777)
}
