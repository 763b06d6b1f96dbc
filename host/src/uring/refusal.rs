//! Why there is no ring, and what to do about it.

#[cfg(test)]
mod tests;

use rustix::io::Errno;
use thiserror::Error;
use wirehaul_core::disk::Refusal;

/// Why the kernel gives no ring. Whoever reads this can go on with ordinary threads.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub enum Refused {
    /// The kernel has none.
    #[error("this kernel has no io_uring: it needs Linux 5.15 with CONFIG_IO_URING")]
    Absent,
    /// The kernel's is too old.
    #[error("io_uring of this kernel cannot {missing}: it needs Linux 5.15")]
    Old {
        /// What it lacks.
        missing: &'static str,
    },
    /// Switched off for everybody.
    #[error(
        "the kernel refuses io_uring: kernel.io_uring_disabled is 2; `sysctl kernel.io_uring_disabled=0` allows it"
    )]
    Disabled,
    /// Switched off for most.
    #[error(
        "the kernel refuses io_uring to this user: kernel.io_uring_disabled is 1; `sysctl kernel.io_uring_disabled=0` allows \
         it, or membership in the group of kernel.io_uring_group, or CAP_SYS_ADMIN"
    )]
    DisabledForUsers,
    /// Something above the kernel.
    #[error(
        "io_uring is forbidden here, though not by kernel.io_uring_disabled: a container's seccomp profile or a security \
         module is in the way (Docker: `--security-opt seccomp=PROFILE` with io_uring_setup, io_uring_enter and \
         io_uring_register allowed)"
    )]
    Forbidden,
    /// No memory.
    #[error(
        "no memory for a ring of {entries} entries; before Linux 5.12 it counts as locked memory, {}",
        limit_text(*.limit_bytes)
    )]
    Memory {
        /// Asked for.
        entries: u32,
        /// RLIMIT_MEMLOCK.
        limit_bytes: Option<u64>,
    },
    /// No descriptors.
    #[error("too many files are open for a ring: raise the limit (`ulimit -n`)")]
    Files,
    /// Not even the plainest.
    #[error("the kernel takes no ring of {entries} entries{}", if *.polled { " that polls devices (IOPOLL)" } else { "" })]
    Invalid {
        /// Asked for.
        entries: u32,
        /// Whether it was to poll.
        polled: bool,
    },
    /// Anything else.
    #[error("the kernel gives no ring: {0}")]
    Other(Errno),
}

impl Refused {
    pub(super) fn new(refusal: Refusal, entries: u32, polled: bool, limit_bytes: Option<u64>) -> Self {
        match refusal {
            Refusal::Absent => Self::Absent,
            Refusal::Disabled => Self::Disabled,
            Refusal::DisabledForUsers => Self::DisabledForUsers,
            Refusal::Forbidden => Self::Forbidden,
            Refusal::Memory => Self::Memory { entries, limit_bytes },
            Refusal::Files => Self::Files,
            Refusal::Invalid => Self::Invalid { entries, polled },
            Refusal::Other(errno) => Self::Other(errno_of(errno)),
        }
    }
}

/// Why memory is not registered. Everything works without, at a higher cost.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub enum NotRegistered {
    /// More than this process may lock (ENOMEM).
    #[error(
        "{wanted_bytes} bytes cannot be registered with io_uring, {}: raise it (`ulimit -l`), or give the program CAP_IPC_LOCK",
        limit_text(*.limit_bytes)
    )]
    Limit {
        /// Asked for.
        wanted_bytes: u64,
        /// RLIMIT_MEMLOCK.
        limit_bytes: Option<u64>,
    },
    /// Not allowed (EPERM, EACCES).
    #[error("{wanted_bytes} bytes cannot be registered with io_uring: a security module is in the way")]
    Forbidden {
        /// Asked for.
        wanted_bytes: u64,
    },
    /// Operations are under way.
    #[error("memory is registered only while no operation is under way")]
    Busy,
    /// Anything else.
    #[error("{wanted_bytes} bytes cannot be registered with io_uring: {source}")]
    Other {
        /// Asked for.
        wanted_bytes: u64,
        /// What the system said.
        source: Errno,
    },
}

impl NotRegistered {
    pub(super) fn new(source: Errno, wanted_bytes: u64, limit_bytes: Option<u64>) -> Self {
        match source {
            Errno::NOMEM => Self::Limit { wanted_bytes, limit_bytes },
            Errno::PERM | Errno::ACCESS => Self::Forbidden { wanted_bytes },
            source => Self::Other { wanted_bytes, source },
        }
    }
}

fn limit_text(limit_bytes: Option<u64>) -> String {
    limit_bytes.map_or_else(
        || "of which there may be any number".to_owned(),
        |bytes| format!("and {bytes} may be locked by this user's processes"),
    )
}

/// An error's number as the kernel says it; what cannot be one is EIO.
pub(super) const fn errno_of(raw: i32) -> Errno {
    if raw > 0 && raw < 4096 { Errno::from_raw_os_error(raw) } else { Errno::IO }
}
