//! Every other Unix.

use rustix::fd::{AsFd, OwnedFd};
use rustix::fs::{AtFlags, Dir, Mode, OFlags, chmodat, fchmod, openat, statat};
use rustix::io::{Errno, fcntl_dupfd_cloexec};

/// Whether one call, [`syncfs`], makes everything last that was written to a file system.
pub(crate) const HAS_SYNCFS: bool = false;

/// There is no such call.
pub(crate) fn syncfs(_: impl AsFd) -> Result<(), Errno> {
    Err(Errno::NOSYS)
}

/// Makes the contents of a file last. On Apple's systems `fsync` leaves them in the drive's cache.
#[cfg(target_vendor = "apple")]
pub(crate) fn sync_data(fd: impl AsFd) -> Result<(), Errno> {
    match rustix::fs::fcntl_fullfsync(&fd) {
        // The file system has no more to offer than this.
        Err(Errno::NOTSUP | Errno::OPNOTSUPP | Errno::INVAL | Errno::NOTTY) => rustix::fs::fsync(fd),
        other => other,
    }
}

/// Makes the contents of a file last.
#[cfg(not(target_vendor = "apple"))]
pub(crate) use rustix::fs::fsync as sync_data;

/// Makes a file last that its mode forbids to open: opens it for a moment. A run that ends in between leaves a staged
/// file with a wrong mode, which the next run sets right.
pub(crate) fn sync_unopened(dir: &OwnedFd, name: &str) -> Result<(), Errno> {
    let mode = Mode::from_raw_mode(statat(dir, name, AtFlags::SYMLINK_NOFOLLOW)?.st_mode);
    chmodat(dir, name, Mode::RUSR, AtFlags::empty())?;
    let fd = openat(dir, name, OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::CLOEXEC, Mode::empty())?;
    fchmod(&fd, mode)?;
    sync_data(&fd)
}

/// Renames, unless the new name is taken: that is [`Errno::EXIST`].
pub(crate) fn rename_no_replace(from: &OwnedFd, old: &str, to: impl AsFd, new: &[u8]) -> Result<(), Errno> {
    #[cfg(target_vendor = "apple")]
    match rustix::fs::renameat_with(from, old, &to, new, rustix::fs::RenameFlags::NOREPLACE) {
        // The file system cannot.
        Err(Errno::NOTSUP | Errno::OPNOTSUPP | Errno::INVAL | Errno::NOSYS) => {}
        other => return other,
    }
    super::link_and_unlink(from, old, to, new)
}

/// There is no call for it that all of them have: [`Errno::OPNOTSUPP`].
pub(crate) fn reserve(_: impl AsFd, _: u64) -> Result<(), Errno> {
    Err(Errno::OPNOTSUPP)
}

/// Whether `errno` says that the device below a file system failed.
pub(crate) fn is_of_the_device(errno: Errno) -> bool {
    errno == Errno::IO
}

/// There is no flag for it that all of them have: [`Errno::OPNOTSUPP`].
pub(crate) fn open_direct(_: &OwnedFd, _: &str) -> Result<OwnedFd, Errno> {
    Err(Errno::OPNOTSUPP)
}

/// There is no call for it that all of them have: [`Errno::OPNOTSUPP`].
pub(crate) fn punch_hole(_: impl AsFd, _: u64, _: u64) -> Result<(), Errno> {
    Err(Errno::OPNOTSUPP)
}

/// Nothing to be said.
pub(crate) fn advise_sequential(_: impl AsFd) {}

/// Nothing to be said.
pub(crate) fn advise_once(_: impl AsFd, _: u64, _: u64) {}

/// There is no way to.
pub(crate) fn forget_cached(_: impl AsFd) {}

/// Calls `each` with the names in `dir`, from where it was read to, in no order; on an error, with those read so far.
pub(crate) fn for_each_name(dir: &OwnedFd, mut each: impl FnMut(&[u8])) -> Result<(), Errno> {
    for entry in Dir::new(fcntl_dupfd_cloexec(dir, 0)?)? {
        match entry?.file_name().to_bytes() {
            b"." | b".." => {}
            name => each(name),
        }
    }
    Ok(())
}
