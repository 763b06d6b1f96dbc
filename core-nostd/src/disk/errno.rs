//! Numbers of errors (asm-generic/errno.h: those of every architecture that the rings have bindings for), and what kind of
//! trouble each is.

/// Operation not permitted.
pub const EPERM: i32 = 1;
/// Interrupted before anything was done.
pub const EINTR: i32 = 4;
/// The device could not read or write.
pub const EIO: i32 = 5;
/// Not now.
pub const EAGAIN: i32 = 11;
/// No memory; or more locked memory than the process may have.
pub const ENOMEM: i32 = 12;
/// Permission denied.
pub const EACCES: i32 = 13;
/// Not as things are: flags that the kernel does not know, memory or an offset that is not aligned.
pub const EINVAL: i32 = 22;
/// Too many open files in the system.
pub const ENFILE: i32 = 23;
/// Too many open files in the process.
pub const EMFILE: i32 = 24;
/// The file would be larger than the file system or the process's limit allows.
pub const EFBIG: i32 = 27;
/// The file system is full.
pub const ENOSPC: i32 = 28;
/// No such call in this kernel.
pub const ENOSYS: i32 = 38;
/// The medium lost what was there.
pub const ENODATA: i32 = 61;
/// A number that does not fit.
pub const EOVERFLOW: i32 = 75;
/// The device's check of its own bytes failed.
pub const EILSEQ: i32 = 84;
/// Not supported by this file or device.
pub const EOPNOTSUPP: i32 = 95;
/// The device behind the device could not read or write.
pub const EREMOTEIO: i32 = 121;
/// The user's quota is used up.
pub const EDQUOT: i32 = 122;
/// Not begun: what it was linked to failed, or somebody cancelled it.
pub const ECANCELED: i32 = 125;

/// What kind of trouble an error is, for whoever has to say what to do about it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Trouble {
    /// The device cannot read or write there: the medium is failing (block/blk-core.c, `blk_errors`).
    Medium,
    /// There is no room for more bytes: the file system, a quota, or the largest size of a file.
    OutOfSpace,
    /// Anything else.
    Other,
}

impl Trouble {
    /// What kind of trouble `errno` is.
    #[must_use]
    pub const fn of(errno: i32) -> Self {
        match errno {
            EIO | ENODATA | EILSEQ | EREMOTEIO => Self::Medium,
            ENOSPC | EDQUOT | EFBIG => Self::OutOfSpace,
            _ => Self::Other,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// URING-3: media errors and full disks are told apart from the rest.
    #[test]
    fn errors_are_of_a_kind() {
        for errno in [EIO, ENODATA, EILSEQ, EREMOTEIO] {
            assert_eq!(Trouble::of(errno), Trouble::Medium);
        }
        for errno in [ENOSPC, EDQUOT, EFBIG] {
            assert_eq!(Trouble::of(errno), Trouble::OutOfSpace);
        }
        for errno in [EINTR, EAGAIN, EINVAL, EPERM, 0, -5, i32::MIN, i32::MAX] {
            assert_eq!(Trouble::of(errno), Trouble::Other);
        }
    }
}
