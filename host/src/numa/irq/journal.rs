//! What each process did to interrupts, in a file of its own that outlives it.
//!
//! All journals lie in one folder, and who looks at them or changes interrupts holds the folder's lock. A journal is locked for as long
//! as its process lives: one whose lock is free is that of a process that has died.

use std::ffi::OsString;
use std::fs::{DirBuilder, File};
use std::io::{self, Read as _, Write as _};
use std::os::fd::OwnedFd;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use rustix::fs::{
    AtFlags, CWD, Dir, FileType, FlockOperation, Mode, OFlags, flock, fstat, fsync, openat, renameat, unlinkat,
};
use rustix::io::Errno;
use rustix::process::geteuid;
use serde::{Deserialize, Serialize};
use thiserror::Error;
use wirehaul_core::numa::{Claim, CpuSet};

/// The first field of a journal.
const FORMAT: &str = "wirehaul interrupts 1";
const ENDING: &str = ".json";
/// Of a journal that is being written.
const UNFINISHED: &str = ".new";
/// Of a file that is no journal.
const ASIDE: &str = ".aside";
/// A card has no thousand queues.
const MOST_BYTES: u64 = 1 << 20;
/// How often the folder's lock is asked for, and how long in between. It is held for as long as a few files take.
const LOCK_TRIES: u32 = 100;
const LOCK_PAUSE: Duration = Duration::from_millis(20);

/// Why there is no folder for journals, or no journal.
#[derive(Debug, Error)]
pub enum JournalError {
    /// The folder cannot be made or opened.
    #[error("{} cannot be used: {source}", folder.display())]
    Folder {
        /// Which.
        folder: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// Others may write to the folder, and so might have any interrupt moved.
    #[error("{} is not only this user's", folder.display())]
    NotOurs {
        /// Which.
        folder: PathBuf,
    },
    /// The journal cannot be written.
    #[error("{} cannot be written: {source}", file.display())]
    Write {
        /// Which.
        file: PathBuf,
        /// What the system said.
        source: io::Error,
    },
}

/// A claim, and the name that the interrupt had.
pub(super) type Claimed = (Claim, String);

/// What one process did.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Record {
    /// The boot in which that was.
    pub(super) boot: String,
    /// Its number.
    pub(super) process: u32,
    /// The interface.
    pub(super) interface: String,
    /// What it claimed.
    pub(super) claims: Vec<Claimed>,
}

/// [`Record`] in a file.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Written {
    format: String,
    boot: String,
    process: u32,
    interface: String,
    claims: Vec<WrittenClaim>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct WrittenClaim {
    interrupt: u32,
    name: String,
    before: String,
    set: String,
    round: u32,
}

impl Record {
    /// The claims alone.
    pub(super) fn claims(&self) -> impl Iterator<Item = &Claim> {
        self.claims.iter().map(|(claim, _)| claim)
    }

    fn to_json(&self) -> String {
        let claims = self.claims.iter().map(|(claim, name)| WrittenClaim {
            interrupt: claim.interrupt,
            name: name.clone(),
            before: claim.before.list().to_string(),
            set: claim.set.list().to_string(),
            round: claim.round,
        });
        let written = Written {
            format: FORMAT.to_owned(),
            boot: self.boot.clone(),
            process: self.process,
            interface: self.interface.clone(),
            claims: claims.collect(),
        };
        // Strings and numbers are always JSON.
        serde_json::to_string(&written).unwrap_or_default()
    }

    /// What is wrong, in words, where it is no journal.
    fn of_json(text: &str) -> Result<Self, String> {
        let written: Written = serde_json::from_str(text).map_err(|error| error.to_string())?;
        if written.format != FORMAT {
            return Err(format!("it is of the format `{}`", written.format.escape_debug()));
        }
        let set = |list: &str| {
            let set = CpuSet::from_list(list).filter(|set| !set.is_empty());
            set.ok_or_else(|| format!("`{}` is no list of CPUs", list.escape_debug()))
        };
        let claim = |written: WrittenClaim| {
            let WrittenClaim { interrupt, name, before, set: given, round } = written;
            Ok((Claim { interrupt, before: set(&before)?, set: set(&given)?, round }, name))
        };
        let claims = written.claims.into_iter().map(claim).collect::<Result<_, String>>()?;
        Ok(Self { boot: written.boot, process: written.process, interface: written.interface, claims })
    }
}

/// The folder with the journals of all processes.
#[derive(Debug)]
pub(super) struct Folder {
    path: PathBuf,
}

/// Nobody else looks at the folder, or changes interrupts, until this is dropped.
#[derive(Debug)]
pub(super) struct Locked<'a> {
    folder: &'a Folder,
    fd: OwnedFd,
}

/// A journal of a process that has died. As long as this is there, nobody else takes it for one.
#[derive(Debug)]
pub(super) struct Dead {
    pub(super) file: String,
    pub(super) record: Record,
    _lock: File,
}

/// What lies in the folder.
#[derive(Debug, Default)]
pub(super) struct Found {
    pub(super) living: Vec<Record>,
    pub(super) dead: Vec<Dead>,
    /// Files of processes that live, and cannot be read.
    pub(super) unknown: Vec<(PathBuf, String)>,
    /// Files that are no journals, and what is wrong with them.
    pub(super) damaged: Vec<(PathBuf, String)>,
}

/// The journal of this process. It is that of a living one until this is dropped.
#[derive(Debug)]
pub(super) struct Journal {
    pub(super) file: String,
    _lock: File,
}

impl Folder {
    /// The folder, made if it is missing.
    pub(super) fn make(path: &Path) -> Result<Self, JournalError> {
        // What is above it is nobody else's business either, if it has to be made.
        let made = DirBuilder::new().recursive(true).mode(0o700).create(path);
        made.map_err(|source| JournalError::Folder { folder: path.to_owned(), source })?;
        Self::open(path)
    }

    /// The folder, if there is one.
    pub(super) fn existing(path: &Path) -> Result<Option<Self>, JournalError> {
        match Self::open(path) {
            Ok(folder) => Ok(Some(folder)),
            Err(JournalError::Folder { source, .. }) if source.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }

    fn open(path: &Path) -> Result<Self, JournalError> {
        let folder = Self { path: path.to_owned() };
        let fd = folder.open_fd().map_err(|errno| folder.failed(errno))?;
        let stat = fstat(&fd).map_err(|errno| folder.failed(errno))?;
        if !is_trusted(stat.st_uid) || stat.st_mode & 0o022 != 0 {
            return Err(JournalError::NotOurs { folder: folder.path });
        }
        Ok(folder)
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Waits for the lock; `None` where somebody holds it for seconds, or it cannot be had.
    pub(super) fn lock(&self) -> Option<Locked<'_>> {
        let fd = self.open_fd().ok()?;
        for _ in 0..LOCK_TRIES {
            match flock(&fd, FlockOperation::NonBlockingLockExclusive) {
                Ok(()) => return Some(Locked { folder: self, fd }),
                Err(Errno::WOULDBLOCK | Errno::INTR) => std::thread::sleep(LOCK_PAUSE),
                Err(_) => return None,
            }
        }
        None
    }

    /// Anew each time: locks belong to what was opened, so that also two of one process exclude each other.
    fn open_fd(&self) -> Result<OwnedFd, Errno> {
        openat(CWD, &self.path, OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC, Mode::empty())
    }

    fn failed(&self, errno: Errno) -> JournalError {
        JournalError::Folder { folder: self.path.clone(), source: errno.into() }
    }
}

/// Root may move interrupts anyway.
fn is_trusted(uid: u32) -> bool {
    uid == 0 || uid == geteuid().as_raw()
}

impl Locked<'_> {
    /// Looks at all journals but `own`, and changes nothing.
    pub(super) fn look(&self, own: Option<&str>) -> Found {
        let mut found = Found::default();
        for file in self.names(ENDING).into_iter().filter(|file| Some(file.as_str()) != own) {
            self.look_at(file, &mut found);
        }
        found
    }

    fn look_at(&self, file: String, found: &mut Found) {
        let path = self.folder.path.join(&file);
        let mut opened = match self.open_journal(&file) {
            Ok(opened) => opened,
            Err(reason) => return found.damaged.push((path, reason)),
        };
        let is_dead = flock(&opened, FlockOperation::NonBlockingLockExclusive).is_ok();
        let mut text = String::new();
        let read = opened.read_to_string(&mut text).map_err(|error| error.to_string());
        match (read.and_then(|_| Record::of_json(&text)), is_dead) {
            (Ok(record), true) => found.dead.push(Dead { file, record, _lock: opened }),
            (Ok(record), false) => found.living.push(record),
            (Err(reason), true) => found.damaged.push((path, reason)),
            (Err(reason), false) => found.unknown.push((path, reason)),
        }
    }

    fn open_journal(&self, file: &str) -> Result<File, String> {
        // Whatever lies here: nothing that is opened for reading may wait for a writer.
        let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
        let fd = openat(&self.fd, file, flags, Mode::empty()).map_err(|errno| errno.to_string())?;
        let stat = fstat(&fd).map_err(|errno| errno.to_string())?;
        if FileType::from_raw_mode(stat.st_mode) != FileType::RegularFile {
            return Err("it is no file".to_owned());
        }
        if !is_trusted(stat.st_uid) {
            return Err(format!("it belongs to the user {}", stat.st_uid));
        }
        if u64::try_from(stat.st_size).map_or(true, |bytes| bytes > MOST_BYTES) {
            return Err("it is too long".to_owned());
        }
        Ok(File::from(fd))
    }

    /// Writes a journal, which is on the disk and locked when this returns.
    pub(super) fn write(&self, record: &Record) -> Result<Journal, JournalError> {
        let file = self.free_name(record.process);
        let failed = |source| JournalError::Write { file: self.folder.path.join(&file), source };
        let lock = self.write_file(&file, record).map_err(failed)?;
        Ok(Journal { file, _lock: lock })
    }

    fn write_file(&self, file: &str, record: &Record) -> io::Result<File> {
        let unfinished = format!("{file}{UNFINISHED}");
        let flags = OFlags::RDWR | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let mut opened = File::from(openat(&self.fd, &unfinished, flags, Mode::from(0o600))?);
        if let Err(error) = self.fill(&mut opened, &unfinished, file, record) {
            self.remove(&unfinished);
            self.remove(file);
            return Err(error);
        }
        Ok(opened)
    }

    fn fill(&self, opened: &mut File, unfinished: &str, file: &str, record: &Record) -> io::Result<()> {
        flock(&*opened, FlockOperation::NonBlockingLockExclusive)?;
        opened.write_all(record.to_json().as_bytes())?;
        opened.sync_all()?;
        renameat(&self.fd, unfinished, &self.fd, file)?;
        Ok(fsync(&self.fd)?)
    }

    /// A process may have several journals, and numbers of processes come again.
    fn free_name(&self, process: u32) -> String {
        let taken = self.names(ENDING);
        let mut names = std::iter::once(format!("{process}{ENDING}"))
            .chain((1_u32..).map(|number| format!("{process}-{number}{ENDING}")));
        names.find(|name| !taken.contains(name)).unwrap_or_default()
    }

    /// Removes a file; it is no failure where there is none.
    pub(super) fn remove(&self, file: &str) {
        let _ = unlinkat(&self.fd, file, AtFlags::empty());
    }

    /// Removes what was being written by processes that died before they changed anything.
    pub(super) fn remove_unfinished(&self) {
        self.names(UNFINISHED).iter().for_each(|file| self.remove(file));
    }

    /// Gives a file a name under which it is not looked at again.
    pub(super) fn set_aside(&self, path: &Path) {
        if let Some(name) = path.file_name() {
            let aside: OsString = [name, ASIDE.as_ref()].into_iter().collect();
            let _ = renameat(&self.fd, name, &self.fd, &aside);
        }
    }

    /// The names with this ending, sorted.
    fn names(&self, ending: &str) -> Vec<String> {
        let entries = Dir::read_from(&self.fd).into_iter().flatten().flatten();
        let mut names: Vec<_> = entries
            .filter_map(|entry| entry.file_name().to_str().ok().map(str::to_owned))
            .filter(|name| name.ends_with(ending) && name.len() > ending.len())
            .collect();
        names.sort();
        names
    }
}
