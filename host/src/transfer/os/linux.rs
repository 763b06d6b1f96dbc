//! Linux.

use std::mem::MaybeUninit;
use std::num::NonZeroU64;

use rustix::fd::{AsFd, OwnedFd};
use rustix::fs::{
    Advice, FallocateFlags, Mode, OFlags, RawDir, RenameFlags, fadvise, fallocate, openat, renameat_with,
};
use rustix::io::Errno;

pub(in crate::transfer) use rustix::fs::{fdatasync as sync_data, syncfs};

/// Bytes of directory entries taken per system call.
const DIR_BUFFER_BYTES: usize = 64 * 1024;

/// Whether one call, [`syncfs`], makes everything last that was written to a file system.
pub(in crate::transfer) const HAS_SYNCFS: bool = true;

/// Makes a file last that its mode forbids to open.
pub(in crate::transfer) fn sync_unopened(dir: &OwnedFd, _name: &str) -> Result<(), Errno> {
    syncfs(dir)
}

/// Renames, unless the new name is taken: that is [`Errno::EXIST`].
pub(in crate::transfer) fn rename_no_replace(
    from: &OwnedFd,
    old: &str,
    to: impl AsFd,
    new: &[u8],
) -> Result<(), Errno> {
    match renameat_with(from, old, &to, new, RenameFlags::NOREPLACE) {
        // The file system cannot.
        Err(Errno::INVAL | Errno::NOSYS) => super::link_and_unlink(from, old, to, new),
        other => other,
    }
}

/// Takes the space of a file of this size from the file system.
pub(in crate::transfer) fn reserve(fd: &OwnedFd, size_bytes: u64) -> Result<(), Errno> {
    fallocate(fd, FallocateFlags::empty(), 0, size_bytes)
}

/// Whether `errno` says that the device below a file system failed: the page cache turns all that a device says into EIO, but who
/// reads or writes past it gets the device's own words (`blk_errors` of the kernel).
pub(in crate::transfer) fn is_of_the_device(errno: Errno) -> bool {
    const FAILURES: [Errno; 7] =
        [Errno::IO, Errno::NODATA, Errno::ILSEQ, Errno::REMOTEIO, Errno::NOLINK, Errno::TIMEDOUT, Errno::NODEV];
    FAILURES.contains(&errno)
}

/// Opens a file to be written past the page cache.
pub(in crate::transfer) fn open_direct(dir: &OwnedFd, name: &str) -> Result<OwnedFd, Errno> {
    openat(dir, name, OFlags::WRONLY | OFlags::DIRECT | OFlags::NOFOLLOW | OFlags::CLOEXEC, Mode::empty())
}

/// Frees the space of a range, which then reads as zeros. [`Errno::OPNOTSUPP`] or [`Errno::NOSYS`]: not here.
pub(in crate::transfer) fn punch_hole(fd: &OwnedFd, offset: u64, len: u64) -> Result<(), Errno> {
    fallocate(fd, FallocateFlags::PUNCH_HOLE | FallocateFlags::KEEP_SIZE, offset, len)
}

/// The file will be read from front to back. Only a hint: doubles the read-ahead.
pub(in crate::transfer) fn advise_sequential(fd: &OwnedFd) {
    let _ = fadvise(fd, 0, None, Advice::Sequential);
}

/// The range will not be needed again: the kernel starts to write it out, and drops what it has written. Only a hint.
pub(in crate::transfer) fn advise_once(fd: &OwnedFd, offset: u64, len: u64) {
    let _ = fadvise(fd, offset, NonZeroU64::new(len), Advice::DontNeed);
}

/// What was read of the file or is written by now goes from memory, so that the next read is from the disk. What still waits to be
/// written stays.
pub(in crate::transfer) fn forget_cached(fd: &OwnedFd) {
    let _ = fadvise(fd, 0, None, Advice::DontNeed);
}

/// Calls `each` with the names in `dir`, from where it was read to, in no order; on an error, with those read so far.
pub(in crate::transfer) fn for_each_name(dir: &OwnedFd, mut each: impl FnMut(&[u8])) -> Result<(), Errno> {
    let mut buffer = vec![MaybeUninit::uninit(); DIR_BUFFER_BYTES];
    let mut entries = RawDir::new(dir, &mut buffer);
    while let Some(entry) = entries.next() {
        match entry?.file_name().to_bytes() {
            b"." | b".." => {}
            name => each(name),
        }
    }
    Ok(())
}
