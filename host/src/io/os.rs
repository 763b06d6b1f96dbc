//! File system calls that not every Unix has, each with what the others do instead.

#[cfg(target_os = "linux")]
mod linux;
#[cfg(any(not(target_os = "linux"), test))]
#[cfg_attr(target_os = "linux", allow(dead_code, reason = "here only for its tests, and hints have none"))]
mod portable;

use rustix::fd::{AsFd, OwnedFd};
use rustix::fs::{AtFlags, fsync, linkat, unlinkat};
use rustix::io::Errno;

#[cfg(target_os = "linux")]
pub(crate) use linux::{
    HAS_SYNCFS, advise_once, advise_sequential, for_each_name, forget_cached, is_of_the_device, open_direct,
    punch_hole, rename_no_replace, reserve, sync_data, sync_unopened, syncfs,
};
#[cfg(not(target_os = "linux"))]
pub(crate) use portable::{
    HAS_SYNCFS, advise_once, advise_sequential, for_each_name, forget_cached, is_of_the_device, open_direct,
    punch_hole, rename_no_replace, reserve, sync_data, sync_unopened, syncfs,
};

/// Makes the names in a directory last, where the file system can: else its renames are synced with the files or not
/// at all.
pub(crate) fn sync_dir(dir: impl AsFd) -> Result<(), Errno> {
    match fsync(dir) {
        Err(Errno::INVAL) => Ok(()),
        other => other,
    }
}

/// Moves `old` of `from` to `new` of `to` by a hard link, which refuses an existing name as atomically as
/// [`rename_no_replace`] does. A process that is killed in between leaves both names.
pub(crate) fn link_and_unlink(from: &OwnedFd, old: &str, to: impl AsFd, new: &[u8]) -> Result<(), Errno> {
    linkat(from, old, to, new, AtFlags::empty())?;
    unlinkat(from, old, AtFlags::empty())
}

#[cfg(test)]
mod tests;
