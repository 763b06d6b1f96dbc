//! The end of a file: synced, renamed to its own name, and the directory synced (XFER-4).
//!
//! Files are committed in groups. Each large file is synced by itself; many small ones share one `syncfs`, which costs
//! one journal commit of the file system instead of one per file.

use std::collections::BTreeSet;
use std::sync::Arc;

use rustix::fd::OwnedFd;
use rustix::fs::{
    AtFlags, FileType, Mode, Timestamps, fchmod, futimens, renameat, statat, symlinkat, unlinkat, utimensat,
};
use rustix::io::Errno;

use super::error::{Conflict, EntryError};
use super::files::{StoreFiles, permissions, times};
use super::staging::link_name;
use crate::transfer::manifest::{Kind, chunk_count};
use crate::transfer::os;
use crate::transfer::tree::Hash;

/// From this many small files on, one `syncfs` is cheaper than a sync each.
const SYNCFS_FROM: usize = 16;
/// From this many files per thread on, several threads give the files of a group their names.
const NAMES_PER_THREAD: usize = 1024;
/// Most such threads.
const MAX_NAMING_THREADS: usize = 4;

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
    pub(in crate::transfer) items: Vec<CommitItem>,
    pub(super) overwrite: bool,
}

/// What became of a group.
#[derive(Debug)]
pub struct CommitReport {
    /// The group's files.
    pub items: Vec<CommitItem>,
    /// Those of them that did not get their name, by place in `items`; ascending.
    pub faults: Vec<(usize, CommitFault)>,
}

impl CommitGroup {
    /// Commits every file of the group that can be.
    pub(in crate::transfer) fn run(&mut self) -> CommitReport {
        let mut results: Vec<Result<(), CommitFault>> = self.items.iter().map(|item| self.prepare(item)).collect();
        self.sync_small(&mut results);
        self.name_all(&mut results);
        let named = self.items.iter().zip(&results).filter(|(_, result)| result.is_ok());
        let dirs = named.map(|(item, _)| self.files.manifest.entry(item.file).parent).collect();
        if let Err(fault) = self.sync_dirs(&dirs) {
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
        CommitReport { faults: faults.collect(), items: std::mem::take(&mut self.items) }
    }

    /// Verifies and syncs a large file; makes an empty one; a small one is complete already.
    fn prepare(&self, item: &CommitItem) -> Result<(), CommitFault> {
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
        let fd = self.files.open_staged(item.file).map_err(system("open"))?;
        self.files.set_meta(&fd, item.file).map_err(|(operation, errno)| CommitFault::System(operation, errno))?;
        os::sync_data(&fd).map_err(system("sync"))
    }

    fn sync_small(&self, results: &mut [Result<(), CommitFault>]) {
        let is_small = |at: &usize| self.items[*at].root.is_none() && results[*at].is_ok();
        let small: Vec<usize> = (0..self.items.len()).filter(is_small).collect();
        let mut fail = |at: usize, errno: Errno| results[at] = Err(CommitFault::System("sync", errno));
        if os::HAS_SYNCFS && small.len() >= SYNCFS_FROM {
            if let Err(errno) = self.files.sync_all() {
                small.iter().for_each(|&at| fail(at, errno));
            }
            return;
        }
        for at in small {
            let file = self.items[at].file;
            let synced = match self.files.open_staged(file).and_then(os::sync_data) {
                // A mode that forbids its owner to read it.
                Err(Errno::ACCESS) => {
                    self.files.staged(file).and_then(|staged| os::sync_unopened(staged.dir, &staged.part()))
                }
                other => other,
            };
            synced.unwrap_or_else(|errno| fail(at, errno));
        }
    }

    /// Gives the files their names, a large group on several threads: the end of a transfer waits for it.
    fn name_all(&self, results: &mut [Result<(), CommitFault>]) {
        let cpus = std::thread::available_parallelism().map_or(1, usize::from);
        let threads = cpus.min(MAX_NAMING_THREADS).min(results.len() / NAMES_PER_THREAD).max(1);
        let way = if self.overwrite {
            Way::Replace
        } else if threads > 1 {
            Way::Link
        } else {
            Way::Rename
        };
        // Neighbours are mostly of one directory, so the threads work in different ones.
        let share = results.len().div_ceil(threads).max(1);
        std::thread::scope(|scope| {
            for (items, results) in self.items.chunks(share).zip(results.chunks_mut(share)) {
                let work = move || {
                    for (item, result) in items.iter().zip(results) {
                        if result.is_ok() {
                            *result = self.name(item.file, way);
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

    fn name(&self, file: u32, way: Way) -> Result<(), CommitFault> {
        let dir = self.files.parent_dir(file).map_err(system("open the directory of"))?;
        let staged = self.files.staged(file).map_err(system("find the partial file of"))?;
        let name = self.files.manifest.entry(file).name;
        put_in_place(staged.dir, &staged.part(), &dir, name, way)
    }

    fn sync_dirs(&self, dirs: &BTreeSet<Option<u32>>) -> Result<(), CommitFault> {
        for dir in dirs {
            let synced = match dir {
                Some(dir) => self.files.dir(*dir).and_then(os::sync_dir),
                None => os::sync_dir(self.files.target.root()),
            };
            synced.map_err(system("sync the directory of"))?;
        }
        Ok(())
    }
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
#[derive(Debug)]
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
    /// Makes the links and finishes the directories, deepest first.
    pub(in crate::transfer) fn run(&mut self) -> FinishReport {
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
