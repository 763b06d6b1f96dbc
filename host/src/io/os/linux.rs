//! Linux.

use std::mem::MaybeUninit;
use std::num::NonZeroU64;

use rustix::fd::{AsFd, OwnedFd};
use rustix::fs::{
    Advice, AtFlags, FallocateFlags, Mode, OFlags, RawDir, RenameFlags, StatxFlags, fadvise, fallocate, openat,
    renameat_with, statx,
};
use rustix::io::Errno;

use crate::io::buffer::ALIGN_BYTES;

pub(crate) use rustix::fs::{fdatasync as sync_data, syncfs};

/// Bytes of directory entries taken per system call.
const DIR_BUFFER_BYTES: usize = 64 * 1024;

/// Whether one call, [`syncfs`], makes everything last that was written to a file system.
pub(crate) const HAS_SYNCFS: bool = true;

/// Makes a file last that its mode forbids to open.
pub(crate) fn sync_unopened(dir: &OwnedFd, _name: &str) -> Result<(), Errno> {
    syncfs(dir)
}

/// Renames, unless the new name is taken: that is [`Errno::EXIST`].
pub(crate) fn rename_no_replace(from: &OwnedFd, old: &str, to: impl AsFd, new: &[u8]) -> Result<(), Errno> {
    match renameat_with(from, old, &to, new, RenameFlags::NOREPLACE) {
        // The file system cannot.
        Err(Errno::INVAL | Errno::NOSYS) => super::link_and_unlink(from, old, to, new),
        other => other,
    }
}

/// Takes the space of a file of this size from the file system.
pub(crate) fn reserve(fd: impl AsFd, size_bytes: u64) -> Result<(), Errno> {
    fallocate(fd, FallocateFlags::empty(), 0, size_bytes)
}

/// Whether `errno` says that the device below a file system failed: the page cache turns all that a device says into EIO, but who
/// reads or writes past it gets the device's own words (`blk_errors` of the kernel).
pub(crate) fn is_of_the_device(errno: Errno) -> bool {
    const FAILURES: [Errno; 7] =
        [Errno::IO, Errno::NODATA, Errno::ILSEQ, Errno::REMOTEIO, Errno::NOLINK, Errno::TIMEDOUT, Errno::NODEV];
    FAILURES.contains(&errno)
}

/// Opens a file to be written past the page cache, from memory and at offsets that are multiples of [`ALIGN_BYTES`].
/// [`Errno::OPNOTSUPP`] where the file system says that it cannot, or wants more.
pub(crate) fn open_direct(dir: &OwnedFd, name: &str) -> Result<OwnedFd, Errno> {
    let flags = OFlags::WRONLY | OFlags::DIRECT | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let fd = openat(dir, name, flags, Mode::empty())?;
    let stat = statx(&fd, "", AtFlags::EMPTY_PATH, StatxFlags::DIOALIGN);
    // Before Linux 6.1 nobody can tell, and the first write does.
    let wanted = stat.ok().filter(|stat| stat.stx_mask & StatxFlags::DIOALIGN.bits() != 0);
    let suffices = |align: u32| align != 0 && ALIGN_BYTES.is_multiple_of(align as usize);
    match wanted {
        Some(stat) if !suffices(stat.stx_dio_mem_align) || !suffices(stat.stx_dio_offset_align) => {
            Err(Errno::OPNOTSUPP)
        }
        _ => Ok(fd),
    }
}

/// Frees the space of a range, which then reads as zeros. [`Errno::OPNOTSUPP`] or [`Errno::NOSYS`]: not here.
pub(crate) fn punch_hole(fd: impl AsFd, offset: u64, len: u64) -> Result<(), Errno> {
    fallocate(fd, FallocateFlags::PUNCH_HOLE | FallocateFlags::KEEP_SIZE, offset, len)
}

/// The file will be read from front to back. Only a hint: doubles the read-ahead.
pub(crate) fn advise_sequential(fd: impl AsFd) {
    let _ = fadvise(fd, 0, None, Advice::Sequential);
}

/// The range will not be needed again: the kernel starts to write it out, and drops what it has written. Only a hint.
pub(crate) fn advise_once(fd: impl AsFd, offset: u64, len: u64) {
    let _ = fadvise(fd, offset, NonZeroU64::new(len), Advice::DontNeed);
}

/// What was read of the file or is written by now goes from memory, so that the next read is from the disk. What still waits to be
/// written stays.
pub(crate) fn forget_cached(fd: impl AsFd) {
    let _ = fadvise(fd, 0, None, Advice::DontNeed);
}

/// Calls `each` with the names in `dir`, from where it was read to, in no order; on an error, with those read so far.
pub(crate) fn for_each_name(dir: &OwnedFd, mut each: impl FnMut(&[u8])) -> Result<(), Errno> {
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
