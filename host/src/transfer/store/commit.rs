//! The end of a file: synced, renamed to its own name, and the directory synced (XFER-4).
//!
//! Files are committed in groups. Each large file is synced by itself; many small ones share one `syncfs`, which costs
//! one journal commit of the file system instead of one per file.

use std::collections::BTreeSet;
use std::sync::Arc;

use futures_util::{StreamExt, TryStreamExt, stream};
use rustix::fd::OwnedFd;
use rustix::fs::{
    AtFlags, FileType, Mode, Timestamps, fchmod, futimens, renameat, statat, symlinkat, unlinkat, utimensat,
};
use rustix::io::Errno;

use super::error::{Conflict, EntryError};
use super::files::{StoreFiles, permissions, times};
use super::staging::link_name;
use crate::io::disk::Disk;
use crate::io::os;
use crate::transfer::manifest::{Kind, chunk_count};
use crate::transfer::tree::Hash;

/// From this many small files on, one `syncfs` is cheaper than a sync each.
const SYNCFS_FROM: usize = 16;
/// From this many files per thread on, several threads give the files of a group their names.
const NAMES_PER_THREAD: usize = 1024;
/// Most such threads.
const MAX_NAMING_THREADS: usize = 4;
/// Files or directories that are synced at once, where the disk can do more than one thing: they share a journal commit of the
/// file system.
const SYNCS_AT_ONCE: usize = 16;

/// A file whose chunks are all on disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CommitItem {
    /// Index in the manifest.
    pub file: u32,
    /// The hash of the file as the sender sent it; `None` for a file of one chunk or none, whose hash is verified.
    pub root: Option<Hash>,
}

/// Why an entry did not get its name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CommitFault {
    /// Something is in the way and stays.
    Conflict(Conflict),
    /// A failure of this entry.
    Entry(EntryError),
    /// A failure that may concern the whole disk.
    System(&'static str, Errno),
}

fn system(operation: &'static str) -> impl Fn(Errno) -> CommitFault {
    move |errno| CommitFault::System(operation, errno)
}

/// A group of files to be committed together.
#[derive(Debug)]
pub struct CommitGroup {
    pub(super) files: Arc<StoreFiles>,
    pub(in crate::transfer) items: Arc<[CommitItem]>,
    pub(super) overwrite: bool,
}

/// What became of a group.
#[derive(Debug)]
pub struct CommitReport {
    /// The group's files.
    pub items: Arc<[CommitItem]>,
    /// Those of them that did not get their name, by place in `items`; ascending.
    pub faults: Vec<(usize, CommitFault)>,
}

/// What became of each file of a group, so far.
type Results = Vec<Result<(), CommitFault>>;

impl CommitGroup {
    /// Commits every file of the group that can be.
    pub(in crate::transfer) async fn run(&self, disk: &impl Disk) -> CommitReport {
        let prepare = |item: &CommitItem| self.prepare(disk, *item);
        let mut results: Results = stream::iter(&*self.items).map(prepare).buffered(SYNCS_AT_ONCE).collect().await;
        self.sync_small(disk, &mut results).await;
        let (files, items, overwrite) = (Arc::clone(&self.files), Arc::clone(&self.items), self.overwrite);
        let name = move || {
            name_all(&files, &items, &mut results, overwrite);
            results
        };
        let mut results = disk.blocking(name).await;
        let named = self.items.iter().zip(&results).filter(|(_, result)| result.is_ok());
        let dirs = named.map(|(item, _)| self.files.manifest.entry(item.file).parent).collect();
        if let Err(fault) = self.sync_dirs(disk, dirs).await {
            results.iter_mut().filter(|result| result.is_ok()).for_each(|result| *result = Err(fault));
        }
        for (item, _) in self.items.iter().zip(&results).filter(|(item, result)| item.root.is_some() && result.is_ok())
        {
            // A journal without its file is harmless; the next run of the same file replaces it.
            let _ = self
                .files
                .staged(item.file)
                .and_then(|staged| unlinkat(staged.dir, staged.journal(), AtFlags::empty()));
        }
        let faults = results.into_iter().enumerate().filter_map(|(at, result)| result.err().map(|fault| (at, fault)));
        CommitReport { faults: faults.collect(), items: Arc::clone(&self.items) }
    }

    /// Verifies and syncs a large file; makes an empty one; a small one is complete already.
    async fn prepare(&self, disk: &impl Disk, item: CommitItem) -> Result<(), CommitFault> {
        let size_bytes = self.files.manifest.file_size(item.file).unwrap_or(0);
        if chunk_count(size_bytes) == 0 {
            let created = self.files.create_small(item.file, &[], 0);
            return created.map_err(|(operation, errno)| CommitFault::System(operation, errno));
        }
        let Some(root) = item.root else { return Ok(()) };
        let journal = self.files.open_journal(item.file).map_err(system("read the journal of"))?;
        // Somebody has removed it, or the whole directory: that says nothing of what was sent.
        let journal = journal.ok_or(CommitFault::System("find the journal of", Errno::NOENT))?;
        if journal.root().map_err(system("read the journal of"))? != Some(root) {
            return Err(CommitFault::Entry(EntryError::Verification));
        }
        let file = self.files.open_staged(item.file).map_err(system("open"))?;
        self.files.set_meta(&file, item.file).map_err(|(operation, errno)| CommitFault::System(operation, errno))?;
        disk.sync_data(file).await.map_err(system("sync"))
    }

    async fn sync_small(&self, disk: &impl Disk, results: &mut Results) {
        let is_small = |at: &usize| self.items[*at].root.is_none() && results[*at].is_ok();
        let small: Vec<usize> = (0..self.items.len()).filter(is_small).collect();
        let mut fail = |at: usize, errno: Errno| results[at] = Err(CommitFault::System("sync", errno));
        if os::HAS_SYNCFS && small.len() >= SYNCFS_FROM {
            let files = Arc::clone(&self.files);
            if let Err(errno) = disk.blocking(move || files.sync_all()).await {
                small.iter().for_each(|&at| fail(at, errno));
            }
            return;
        }
        for at in small {
            let synced = self.sync_one(disk, self.items[at].file).await;
            synced.unwrap_or_else(|errno| fail(at, errno));
        }
    }

    async fn sync_one(&self, disk: &impl Disk, file: u32) -> Result<(), Errno> {
        match self.files.open_staged(file) {
            Ok(opened) => disk.sync_data(opened).await,
            // A mode that forbids its owner to read it.
            Err(Errno::ACCESS) => {
                let files = Arc::clone(&self.files);
                let sync = move || files.staged(file).and_then(|staged| os::sync_unopened(staged.dir, &staged.part()));
                disk.blocking(sync).await
            }
            Err(errno) => Err(errno),
        }
    }

    async fn sync_dirs(&self, disk: &impl Disk, dirs: BTreeSet<Option<u32>>) -> Result<(), CommitFault> {
        let sync = async |dir: Option<u32>| match dir {
            Some(dir) => disk.sync_dir(self.files.dir(dir)?).await,
            None => disk.sync_dir(Arc::clone(self.files.target.root())).await,
        };
        let synced = stream::iter(dirs).map(sync).buffer_unordered(SYNCS_AT_ONCE);
        synced.try_collect::<()>().await.map_err(system("sync the directory of"))
    }
}

/// Gives the files their names, a large group on several threads: the end of a transfer waits for it.
fn name_all(files: &StoreFiles, items: &[CommitItem], results: &mut Results, overwrite: bool) {
    let cpus = std::thread::available_parallelism().map_or(1, usize::from);
    let threads = cpus.min(MAX_NAMING_THREADS).min(results.len() / NAMES_PER_THREAD).max(1);
    let way = if overwrite {
        Way::Replace
    } else if threads > 1 {
        Way::Link
    } else {
        Way::Rename
    };
    // Neighbours are mostly of one directory, so the threads work in different ones.
    let share = results.len().div_ceil(threads).max(1);
    std::thread::scope(|scope| {
        for (items, results) in items.chunks(share).zip(results.chunks_mut(share)) {
            let work = move || {
                for (item, result) in items.iter().zip(results) {
                    if result.is_ok() {
                        *result = name(files, item.file, way);
                    }
                }
            };
            if threads == 1 {
                work();
            } else {
                scope.spawn(work);
            }
        }
    });
}

fn name(files: &StoreFiles, file: u32, way: Way) -> Result<(), CommitFault> {
    let dir = files.parent_dir(file).map_err(system("open the directory of"))?;
    let staged = files.staged(file).map_err(system("find the partial file of"))?;
    put_in_place(staged.dir, &staged.part(), &dir, files.manifest.entry(file).name, way)
}

/// How a staged file gets its name.
#[derive(Debug, Clone, Copy)]
enum Way {
    /// A rename that replaces what has the name.
    Replace,
    /// A rename that replaces nothing.
    Rename,
    /// A hard link, and the staged name removed. No faster than a rename, but of renames from one directory to another a
    /// file system does one at a time (`s_vfs_rename_mutex` of Linux), while links only lock the directory they are in.
    Link,
}

/// Gives a staged file or link its own name.
fn put_in_place(
    staging: &OwnedFd,
    staged: &str,
    dir: impl rustix::fd::AsFd,
    name: &[u8],
    way: Way,
) -> Result<(), CommitFault> {
    let placed = match way {
        Way::Replace => renameat(staging, staged, &dir, name),
        Way::Rename => os::rename_no_replace(staging, staged, &dir, name),
        Way::Link => match os::link_and_unlink(staging, staged, &dir, name) {
            Ok(()) => Ok(()),
            Err(Errno::EXIST) => Err(Errno::EXIST),
            // No hard links on this file system, or not for us.
            Err(_) => os::rename_no_replace(staging, staged, &dir, name),
        },
    };
    match placed {
        Ok(()) => Ok(()),
        Err(Errno::EXIST) => Err(CommitFault::Conflict(Conflict::Appeared)),
        Err(Errno::ISDIR | Errno::NOTEMPTY) => Err(CommitFault::Conflict(Conflict::IsDirectory)),
        Err(errno) => Err(CommitFault::System("rename", errno)),
    }
}

/// The end of the transfer: links, then modes and times of directories (whose times the files in them changed).
#[derive(Clone, Debug)]
pub struct FinishJob {
    pub(super) files: Arc<StoreFiles>,
    /// The links and directories to be done, ascending.
    pub(in crate::transfer) entries: Vec<u32>,
    pub(super) overwrite: bool,
}

/// What became of the links and directories.
#[derive(Debug)]
pub struct FinishReport {
    /// Entries done.
    pub done: Vec<u32>,
    /// Entries that failed.
    pub faults: Vec<(u32, CommitFault)>,
}

impl FinishJob {
    /// Makes the links and finishes the directories.
    pub(in crate::transfer) async fn run(&self, disk: &impl Disk) -> FinishReport {
        let job = self.clone();
        disk.blocking(move || job.finish()).await
    }

    /// Deepest first.
    fn finish(&self) -> FinishReport {
        let mut report = FinishReport { done: Vec::new(), faults: Vec::new() };
        let (links, dirs): (Vec<u32>, Vec<u32>) =
            self.entries.iter().partition(|&&entry| self.files.manifest.entry(entry).kind != Kind::Dir);
        let results = links.iter().map(|&entry| (entry, self.link(entry)));
        // Children come after their directory in the manifest.
        let results = results.chain(dirs.iter().rev().map(|&entry| (entry, self.finish_dir(entry))));
        for (entry, result) in results {
            match result {
                Ok(()) => report.done.push(entry),
                Err(fault) => report.faults.push((entry, fault)),
            }
        }
        if !report.done.is_empty()
            && let Err(errno) = self.sync()
        {
            report.faults.extend(report.done.drain(..).map(|entry| (entry, CommitFault::System("sync", errno))));
        }
        report
    }

    /// Makes links and directories last. Without `syncfs` each directory was synced as it was finished.
    fn sync(&self) -> Result<(), Errno> {
        if os::HAS_SYNCFS { self.files.sync_all() } else { os::sync_dir(self.files.target.root()) }
    }

    fn link(&self, entry: u32) -> Result<(), CommitFault> {
        let view = self.files.manifest.entry(entry);
        let Kind::Symlink { target } = view.kind else { return Ok(()) };
        let staging = self.files.target.staging();
        let dir = self.files.parent_dir(entry).map_err(system("open the directory of"))?;
        let staged = link_name();
        // A receiver that was killed may have left one of that name.
        match unlinkat(staging, &staged, AtFlags::empty()) {
            Ok(()) | Err(Errno::NOENT) => {}
            Err(errno) => return Err(CommitFault::System("replace", errno)),
        }
        symlinkat(target, staging, &staged).map_err(system("create"))?;
        // Not every file system keeps times of links; a link without is still the link.
        let _ = utimensat(staging, &staged, &times(view.meta), AtFlags::SYMLINK_NOFOLLOW);
        let way = if self.overwrite { Way::Replace } else { Way::Rename };
        let placed = put_in_place(staging, &staged, &dir, view.name, way);
        if placed.is_err() {
            let _ = unlinkat(staging, &staged, AtFlags::empty());
        }
        placed
    }

    fn finish_dir(&self, entry: u32) -> Result<(), CommitFault> {
        let meta = self.files.manifest.entry(entry).meta;
        let dir = self.files.dir(entry).map_err(system("open"))?;
        let times: Timestamps = times(meta);
        futimens(&*dir, &times).map_err(system("set the time of"))?;
        // Last, since it may take away the permission to go on.
        fchmod(&*dir, Mode::from_raw_mode(permissions(meta).into())).map_err(system("set the mode of"))?;
        if os::HAS_SYNCFS { Ok(()) } else { os::sync_dir(&dir).map_err(system("sync")) }
    }
}

/// What lies at `name` in `dir`, if anything.
pub(super) fn kind_at(dir: impl rustix::fd::AsFd, name: &[u8]) -> Result<Option<(FileType, u64)>, Errno> {
    match statat(dir, name, AtFlags::SYMLINK_NOFOLLOW) {
        Ok(stat) => Ok(Some((FileType::from_raw_mode(stat.st_mode), stat.st_size as u64))),
        Err(Errno::NOENT) => Ok(None),
        Err(errno) => Err(errno),
    }
}
