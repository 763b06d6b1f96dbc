//! What is to be done with files, together with everything that the kernel touches meanwhile.

use std::ffi::CString;
use std::mem::MaybeUninit;
use std::ops::Range;
use std::os::fd::{AsFd, AsRawFd, OwnedFd, RawFd};
use std::ptr::NonNull;
use std::sync::Arc;

use rustix::fs::{AtFlags, CWD, Mode, OFlags, RenameFlags, Statx, StatxFlags};
use rustix::io::Errno;
use wirehaul_core::disk::Direction;

use super::ring::Call;
use crate::io::buffer::Buffer;
use crate::io::file::File;

/// A directory that a name is looked up in. An absolute name is looked up at the root all the same.
#[derive(Clone, Debug)]
pub enum Dir {
    /// The process's current directory.
    Current,
    /// An open one.
    At(Arc<File>),
}

impl Dir {
    fn descriptor(&self) -> RawFd {
        match self {
            Self::Current => CWD.as_raw_fd(),
            Self::At(file) => file.as_fd().as_raw_fd(),
        }
    }
}

impl From<Arc<File>> for Dir {
    fn from(file: Arc<File>) -> Self {
        Self::At(file)
    }
}

/// One operation. It owns files, memory and names until it is finished, and then comes back.
#[derive(Debug)]
pub enum Operation {
    /// Reads bytes until `range` is full or the file ends.
    Read {
        /// The file.
        file: Arc<File>,
        /// Its memory.
        buffer: Buffer,
        /// Where in the buffer the bytes go.
        range: Range<usize>,
        /// Where in the file they lie.
        offset: u64,
    },
    /// Writes all bytes of `range`.
    Write {
        /// The file.
        file: Arc<File>,
        /// Its memory.
        buffer: Buffer,
        /// Where in the buffer the bytes lie.
        range: Range<usize>,
        /// Where in the file they go.
        offset: u64,
    },
    /// Makes the file's bytes durable (fdatasync(2)). Tried once: what an error left behind only a new write can mend.
    SyncData {
        /// The file.
        file: Arc<File>,
    },
    /// Makes a file or a directory durable (fsync(2)). Tried once.
    Sync {
        /// The file or directory.
        file: Arc<File>,
    },
    /// Reserves space, and makes the file longer where it is shorter.
    Reserve {
        /// The file.
        file: Arc<File>,
        /// From where.
        offset: u64,
        /// How many bytes.
        len: u64,
    },
    /// Gives space back; zeros are read from there. The file's length stays.
    PunchHole {
        /// The file.
        file: Arc<File>,
        /// From where.
        offset: u64,
        /// How many bytes.
        len: u64,
    },
    /// Waits until the file is readable: an event descriptor, as a rule.
    Watch {
        /// The file.
        file: Arc<File>,
    },
    /// Opens a file.
    Open(Box<Open>),
    /// Asks for a file's size, times and alignment.
    Stat(Box<Stat>),
    /// Gives a file another name.
    Rename(Box<Rename>),
    /// Gives a file one more name.
    Link(Box<Link>),
    /// Takes a name away.
    Unlink(Box<Unlink>),
    /// Makes a directory.
    MakeDir(Box<MakeDir>),
}

/// See [`Operation::Open`].
#[derive(Debug)]
pub struct Open {
    /// Where the name is looked up.
    pub dir: Dir,
    /// The name.
    pub name: CString,
    /// How. The descriptor is always closed on exec.
    pub flags: OFlags,
    /// Permissions of a file that this makes.
    pub mode: Mode,
}

/// See [`Operation::Stat`].
#[derive(Debug)]
pub struct Stat {
    dir: Dir,
    name: CString,
    flags: AtFlags,
    /// In memory of its own, which stays where it is when this is moved. One element, or none once it is handed out.
    answer: Vec<Statx>,
}

/// See [`Operation::Rename`].
#[derive(Debug)]
pub struct Rename {
    /// Where the old name is.
    pub dir: Dir,
    /// The old name.
    pub name: CString,
    /// Where the new name goes.
    pub to: Dir,
    /// The new name.
    pub new_name: CString,
    /// Whether it may take the place of another file (RENAME_NOREPLACE).
    pub flags: RenameFlags,
}

/// See [`Operation::Link`].
#[derive(Debug)]
pub struct Link {
    /// Where the old name is.
    pub dir: Dir,
    /// The old name.
    pub name: CString,
    /// Where the new name goes.
    pub to: Dir,
    /// The new name.
    pub new_name: CString,
    /// `SYMLINK_FOLLOW`, with a name below /proc/self/fd, gives a name to a file that has none.
    pub flags: AtFlags,
}

/// See [`Operation::Unlink`].
#[derive(Debug)]
pub struct Unlink {
    /// Where the name is.
    pub dir: Dir,
    /// The name.
    pub name: CString,
    /// `REMOVEDIR` for a directory.
    pub flags: AtFlags,
}

/// See [`Operation::MakeDir`].
#[derive(Debug)]
pub struct MakeDir {
    /// Where the name goes.
    pub dir: Dir,
    /// The name.
    pub name: CString,
    /// Permissions.
    pub mode: Mode,
}

impl Operation {
    /// Opens `name` in `dir`.
    #[must_use]
    pub fn open(dir: Dir, name: CString, flags: OFlags, mode: Mode) -> Self {
        Self::Open(Box::new(Open { dir, name, flags, mode }))
    }

    /// Asks for what `name` in `dir` is; links are not followed.
    #[must_use]
    pub fn stat(dir: Dir, name: CString) -> Self {
        Self::Stat(Box::new(Stat::new(dir, name, AtFlags::SYMLINK_NOFOLLOW)))
    }

    /// Asks for what an open file is.
    #[must_use]
    pub fn stat_file(file: Arc<File>) -> Self {
        Self::Stat(Box::new(Stat::new(Dir::At(file), CString::default(), AtFlags::EMPTY_PATH)))
    }

    /// Gives `name` in `dir` another name; with `RenameFlags::NOREPLACE` only where nothing has that one.
    #[must_use]
    pub fn rename(dir: Dir, name: CString, to: Dir, new_name: CString, flags: RenameFlags) -> Self {
        Self::Rename(Box::new(Rename { dir, name, to, new_name, flags }))
    }

    /// Gives `name` in `dir` one more name.
    #[must_use]
    pub fn link(dir: Dir, name: CString, to: Dir, new_name: CString, flags: AtFlags) -> Self {
        Self::Link(Box::new(Link { dir, name, to, new_name, flags }))
    }

    /// Takes `name` out of `dir`.
    #[must_use]
    pub fn unlink(dir: Dir, name: CString, flags: AtFlags) -> Self {
        Self::Unlink(Box::new(Unlink { dir, name, flags }))
    }

    /// Makes the directory `name` in `dir`.
    #[must_use]
    pub fn make_dir(dir: Dir, name: CString, mode: Mode) -> Self {
        Self::MakeDir(Box::new(MakeDir { dir, name, mode }))
    }

    /// Whether it may take for ever.
    pub(super) const fn is_watch(&self) -> bool {
        matches!(self, Self::Watch { .. })
    }

    /// Which way bytes go, and from or to which place of the file.
    pub(super) const fn transfer(&self) -> Option<(Direction, u64)> {
        match self {
            Self::Read { offset, .. } => Some((Direction::Read, *offset)),
            Self::Write { offset, .. } => Some((Direction::Write, *offset)),
            _ => None,
        }
    }

    /// The memory that bytes are moved to or from. `None` where the range is not inside of the buffer, or there is none.
    #[inline]
    pub(super) fn memory(&mut self) -> Option<NonNull<[u8]>> {
        match self {
            Self::Read { buffer, range, .. } | Self::Write { buffer, range, .. } => {
                buffer.get_mut(range.clone()).map(NonNull::from)
            }
            _ => None,
        }
    }

    /// The file, if it is one that may be used again and again.
    pub(super) const fn file(&self) -> Option<&Arc<File>> {
        match self {
            Self::Read { file, .. } | Self::Write { file, .. } | Self::Sync { file } | Self::SyncData { file } => {
                Some(file)
            }
            _ => None,
        }
    }

    /// The descriptor that it is about.
    pub(super) fn descriptor(&self) -> RawFd {
        match self {
            Self::Read { file, .. }
            | Self::Write { file, .. }
            | Self::Sync { file }
            | Self::SyncData { file }
            | Self::Reserve { file, .. }
            | Self::PunchHole { file, .. }
            | Self::Watch { file } => file.as_fd().as_raw_fd(),
            Self::Open(open) => open.dir.descriptor(),
            Self::Stat(stat) => stat.dir.descriptor(),
            Self::Rename(rename) => rename.dir.descriptor(),
            Self::Link(link) => link.dir.descriptor(),
            Self::Unlink(unlink) => unlink.dir.descriptor(),
            Self::MakeDir(make) => make.dir.descriptor(),
        }
    }

    /// Whether doing it a second time does no more than doing it once, so that an interruption may be answered by that.
    pub(super) fn is_repeatable(&self) -> bool {
        match self {
            Self::Reserve { .. } | Self::PunchHole { .. } | Self::Watch { .. } | Self::Stat(_) => true,
            Self::Open(open) => !open.flags.contains(OFlags::EXCL),
            _ => false,
        }
    }

    /// The call, of all but reads and writes.
    pub(super) fn call(&mut self) -> Option<Call> {
        Some(match self {
            Self::Read { .. } | Self::Write { .. } => return None,
            Self::SyncData { .. } => Call::Sync { data_only: true },
            Self::Sync { .. } => Call::Sync { data_only: false },
            Self::Reserve { offset, len, .. } => Call::Allocate { mode: 0, offset: *offset, len: *len },
            Self::PunchHole { offset, len, .. } => Call::Allocate {
                mode: libc::FALLOC_FL_PUNCH_HOLE | libc::FALLOC_FL_KEEP_SIZE,
                offset: *offset,
                len: *len,
            },
            Self::Watch { .. } => Call::Poll,
            Self::Open(open) => Call::Open {
                name: start(&open.name),
                flags: (open.flags | OFlags::CLOEXEC).bits().cast_signed(),
                mode: open.mode.as_raw_mode(),
            },
            Self::Stat(stat) => Call::Stat {
                name: start(&stat.name),
                flags: stat.flags.bits().cast_signed(),
                mask: Stat::MASK.bits(),
                answer: stat.answer.first_mut().map(NonNull::from)?,
            },
            Self::Rename(rename) => Call::Rename {
                name: start(&rename.name),
                to: rename.to.descriptor(),
                new_name: start(&rename.new_name),
                flags: rename.flags.bits(),
            },
            Self::Link(link) => Call::Link {
                name: start(&link.name),
                to: link.to.descriptor(),
                new_name: start(&link.new_name),
                flags: link.flags.bits().cast_signed(),
            },
            Self::Unlink(unlink) => {
                Call::Unlink { name: start(&unlink.name), flags: unlink.flags.bits().cast_signed() }
            }
            Self::MakeDir(make) => Call::MakeDir { name: start(&make.name), mode: make.mode.as_raw_mode() },
        })
    }

    /// What comes of it, where the kernel says that it is done; not of reads and writes.
    pub(super) fn output(&mut self, descriptor: impl FnOnce() -> OwnedFd) -> Output {
        match self {
            Self::Open(_) => Output::File(descriptor()),
            Self::Stat(stat) => stat.answer.pop().map_or(Output::Done, |answer| Output::Stat(Box::new(answer))),
            _ => Output::Done,
        }
    }
}

impl Stat {
    /// All that every file system has, and what direct transfers want (Linux 6.1).
    const MASK: StatxFlags = StatxFlags::BASIC_STATS.union(StatxFlags::DIOALIGN);

    fn new(dir: Dir, name: CString, flags: AtFlags) -> Self {
        const { assert!(size_of::<Statx>() == 256, "as long as struct statx of linux/stat.h") };
        // SAFETY: numbers and sets of flags, all of which may be zero.
        let zero = unsafe { MaybeUninit::<Statx>::zeroed().assume_init() };
        Self { dir, name, flags, answer: vec![zero] }
    }
}

fn start(name: &CString) -> NonNull<std::ffi::c_char> {
    NonNull::from(name.as_c_str()).cast()
}

/// What an operation gives.
#[derive(Debug)]
pub enum Output {
    /// So many bytes were read or written: all, or those before the end of the file.
    Bytes(u64),
    /// The file that was opened.
    File(OwnedFd),
    /// What the file is.
    Stat(Box<Statx>),
    /// Nothing but that it is done.
    Done,
}

/// An operation that is over.
#[derive(Debug)]
pub struct Finished {
    /// As it was submitted with.
    pub tag: u64,
    /// With all that it owns.
    pub operation: Operation,
    /// What came of it.
    pub result: Result<Output, Errno>,
}
