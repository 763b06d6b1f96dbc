//! What a queue needs of a ring, so that the same queue runs over the kernel's and over one that follows a script.

use std::ffi::{c_char, c_int};
use std::os::fd::{BorrowedFd, RawFd};
use std::ptr::NonNull;
use std::time::Duration;

use rustix::fs::Statx;
use rustix::io::Errno;
use wirehaul_core::disk::Setup;

use super::buffers::Region;

/// Where rings come from.
pub trait System {
    /// What it makes.
    type Ring: Ring;

    /// Makes a ring of `entries` places to submit from and `completions` places for answers; both may come out larger.
    ///
    /// # Errors
    /// What the system says (io_uring_setup(2)).
    fn set_up(&mut self, setup: Setup, entries: u32, completions: u32) -> Result<Self::Ring, Errno>;

    /// The setting kernel.io_uring_disabled; 0 where the kernel has none.
    fn disabled(&self) -> u8;

    /// How many bytes this process may lock; `None` where it may lock any number.
    fn memlock(&self) -> Option<u64>;
}

/// A pair of queues: entries go in, completions come out, in any order.
pub trait Ring {
    /// Places to submit from.
    fn entries(&self) -> u32;

    /// Places for answers.
    fn completions(&self) -> u32;

    /// The first kind of operation that the kernel does not know.
    fn missing(&self) -> Option<&'static str>;

    /// Queues an entry; `false` where every place is taken. The kernel looks at it during the next [`Ring::enter`].
    ///
    /// # Safety
    /// Until the completion with this entry's word was returned by [`Ring::completion`], everything that the entry points to
    /// stays where it is; what it reads is not changed, and what it writes is neither read nor changed by anybody else. The
    /// descriptors in it are open until then.
    unsafe fn push(&mut self, entry: &Entry) -> bool;

    /// Shows the kernel what is queued, and waits for a completion: not at all (`None`), or so long (at most). Returns how many
    /// entries it took.
    ///
    /// # Errors
    /// What the system says (io_uring_enter(2)); entries that it did not take are still queued.
    fn enter(&mut self, wait: Option<Duration>) -> Result<u32, Errno>;

    /// Whether the kernel has completions that it only hands out during [`Ring::enter`].
    fn has_more(&self) -> bool;

    /// Whether [`Ring::completion`] has one.
    fn is_ready(&self) -> bool;

    /// The next completion.
    fn completion(&mut self) -> Option<Completion>;

    /// Makes memory known to the kernel; its number is its place in the list. Takes the place of what was registered before.
    ///
    /// # Errors
    /// What the system says; then nothing is registered.
    fn register_buffers(&mut self, regions: &[Region]) -> Result<(), Errno>;

    /// Makes a table of `places` files, all empty.
    ///
    /// # Errors
    /// What the system says.
    fn register_files(&mut self, places: u32) -> Result<(), Errno>;

    /// Puts a file into the table, or takes it out.
    ///
    /// # Errors
    /// What the system says; then the place is as it was.
    fn set_file(&mut self, place: u32, file: Option<BorrowedFd<'_>>) -> Result<(), Errno>;
}

/// The file that an entry is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Target {
    /// By its descriptor; of a directory, also `AT_FDCWD`.
    Descriptor(RawFd),
    /// By its place in the ring's table.
    Registered(u32),
}

/// What the kernel is asked to do with it.
#[derive(Clone, Copy, Debug)]
pub enum Call {
    /// Reads into memory.
    Read {
        /// Where to.
        memory: NonNull<u8>,
        /// How many bytes.
        len: u32,
        /// From where in the file.
        offset: u64,
        /// The registered memory that this is a part of.
        region: Option<u16>,
    },
    /// Writes out of memory.
    Write {
        /// Where from.
        memory: NonNull<u8>,
        /// How many bytes.
        len: u32,
        /// To where in the file.
        offset: u64,
        /// The registered memory that this is a part of.
        region: Option<u16>,
    },
    /// fsync(2), or fdatasync(2).
    Sync {
        /// Only what reading the bytes back needs.
        data_only: bool,
    },
    /// fallocate(2).
    Allocate {
        /// `FALLOC_FL_*`
        mode: c_int,
        /// From where.
        offset: u64,
        /// How many bytes.
        len: u64,
    },
    /// Waits until the file is readable.
    Poll,
    /// openat(2).
    Open {
        /// Under which name.
        name: NonNull<c_char>,
        /// `O_*`
        flags: c_int,
        /// Permissions of a new file.
        mode: u32,
    },
    /// statx(2).
    Stat {
        /// Under which name.
        name: NonNull<c_char>,
        /// `AT_*`
        flags: c_int,
        /// `STATX_*`
        mask: u32,
        /// Where the answer goes.
        answer: NonNull<Statx>,
    },
    /// renameat2(2).
    Rename {
        /// The old name.
        name: NonNull<c_char>,
        /// The directory of the new one.
        to: RawFd,
        /// The new name.
        new_name: NonNull<c_char>,
        /// `RENAME_*`
        flags: u32,
    },
    /// linkat(2).
    Link {
        /// The old name.
        name: NonNull<c_char>,
        /// The directory of the new one.
        to: RawFd,
        /// The new name.
        new_name: NonNull<c_char>,
        /// `AT_*`
        flags: c_int,
    },
    /// unlinkat(2).
    Unlink {
        /// Which name.
        name: NonNull<c_char>,
        /// `AT_*`
        flags: c_int,
    },
    /// mkdirat(2).
    MakeDir {
        /// Which name.
        name: NonNull<c_char>,
        /// Permissions.
        mode: u32,
    },
    /// Cancels the entry with this word.
    Cancel {
        /// Which.
        word: u64,
    },
}

/// What goes into a ring.
#[derive(Clone, Copy, Debug)]
pub struct Entry {
    /// Comes back with the completion.
    pub word: u64,
    /// The file that it is about.
    pub target: Target,
    /// What to do with it.
    pub call: Call,
}

/// What comes out of a ring.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Completion {
    /// The entry's.
    pub word: u64,
    /// What the call returned, or its error as a negative number.
    pub result: i32,
}
