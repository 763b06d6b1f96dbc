//! The port filter on an interface.

#[cfg(test)]
mod tests;

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use thiserror::Error;

use super::bpf::{self, FrameProgram, PortFilter};

/// XDP_FLAGS_SKB_MODE of linux/if_link.h.
const GENERIC: u32 = 1 << 1;
/// XDP_FLAGS_DRV_MODE
const NATIVE: u32 = 1 << 2;

/// Who runs the filter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AttachMode {
    /// The driver, before the kernel makes a packet of the frame.
    Native,
    /// The kernel behind the driver ("skb"): for every driver, and slower.
    Generic,
}

impl AttachMode {
    const fn name(self) -> &'static str {
        match self {
            Self::Native => "native",
            Self::Generic => "generic",
        }
    }
}

/// Why the filter is not on the interface.
#[derive(Debug, Error)]
pub enum AttachError {
    /// This process may not attach programs (EPERM).
    #[error(
        "no permission to attach an XDP program to {interface}: run as root, or give the program CAP_BPF and CAP_NET_ADMIN"
    )]
    Privilege {
        /// The interface's name.
        interface: String,
    },
    /// No interface has this index in this network namespace.
    #[error("there is no network interface with index {index} here")]
    NoInterface {
        /// The index.
        index: u32,
    },
    /// Another program is there, of this mode or the other (EBUSY, EEXIST).
    #[error(
        "another XDP program is attached to {interface}: see it with `ip link show dev {interface}`; \
         end its program, or take it off with `ip link set dev {interface} xdp off`"
    )]
    Occupied {
        /// The interface's name.
        interface: String,
    },
    /// The driver does not run XDP programs as it is set up now (EOPNOTSUPP).
    #[error("the driver of {interface} does not run {} XDP programs in its present set-up", .mode.name())]
    NotSupported {
        /// The interface's name.
        interface: String,
        /// What was asked for.
        mode: AttachMode,
    },
    /// The interface's MTU, or its peer's, exceeds what the driver can show to the program (ERANGE).
    #[error(
        "the MTU of {interface} is too large for {} XDP: set a smaller one with `ip link set dev {interface} mtu 1500`, or load \
         the filter for packets of several buffers", .mode.name()
    )]
    MtuTooLarge {
        /// The interface's name.
        interface: String,
        /// What was asked for.
        mode: AttachMode,
    },
    /// The driver refuses for a reason of its own: often an MTU, too few queues, or an offload such as LRO (EINVAL, ENOMEM).
    #[error(
        "the driver of {interface} refuses {} XDP ({source}): its reason is in the kernel log (`dmesg`); MTU, number of \
         queues and LRO (`ethtool -K {interface} lro off`) are the usual ones", .mode.name()
    )]
    Refused {
        /// The interface's name.
        interface: String,
        /// What was asked for.
        mode: AttachMode,
        /// What the system said.
        source: io::Error,
    },
    /// Anything else.
    #[error("cannot attach the filter to {interface}: {source}")]
    Other {
        /// The interface's name.
        interface: String,
        /// What the system said.
        source: io::Error,
    },
}

impl AttachError {
    fn new(interface: String, mode: AttachMode, source: io::Error) -> Self {
        match source.raw_os_error() {
            Some(libc::EPERM) => Self::Privilege { interface },
            // Of the same mode, or of the other (`dev_xdp_attach` of net/core/dev.c).
            Some(libc::EBUSY | libc::EEXIST) => Self::Occupied { interface },
            Some(libc::EOPNOTSUPP) => Self::NotSupported { interface, mode },
            Some(libc::ERANGE) => Self::MtuTooLarge { interface, mode },
            Some(libc::EINVAL | libc::ENOMEM) => Self::Refused { interface, mode, source },
            _ => Self::Other { interface, source },
        }
    }
}

/// The filter's hold on an interface (a `bpf_link`): dropping it takes the filter off. So does the end of the process,
/// however it ends.
#[derive(Debug)]
#[must_use = "the filter is taken off at once when this is dropped"]
pub struct FilterLink {
    descriptor: OwnedFd,
    mode: AttachMode,
}

impl FilterLink {
    /// Who runs the filter.
    #[must_use]
    pub const fn mode(&self) -> AttachMode {
        self.mode
    }
}

impl Drop for FilterLink {
    fn drop(&mut self) {
        // Closing does it too, but not before a child that another thread is starting has let go of its copy. Where this
        // fails, as on an interface that is gone, closing is enough.
        let _ = bpf::detach(self.descriptor.as_fd());
    }
}

impl PortFilter {
    /// Puts the filter on the interface with this index, in this thread's network namespace.
    ///
    /// Drivers may take the link down and up for it. The kernel asks whoever loads a program for privileges, and then (6.18)
    /// nobody who holds the loaded one: a service can load the filter and pass it on.
    ///
    /// # Errors
    /// [`AttachError`]
    pub fn attach(&self, interface: u32, mode: AttachMode) -> Result<FilterLink, AttachError> {
        attach(self.program.as_fd(), interface, mode)
    }
}

impl FrameProgram {
    /// Puts the program on the interface with this index, in this thread's network namespace.
    ///
    /// # Errors
    /// [`AttachError`]
    pub fn attach(&self, interface: u32, mode: AttachMode) -> Result<FilterLink, AttachError> {
        attach(self.program.as_fd(), interface, mode)
    }
}

fn attach(program: BorrowedFd<'_>, interface: u32, mode: AttachMode) -> Result<FilterLink, AttachError> {
    // The wrapper gives no error where the index is unknown, but an empty name.
    let name = nix::net::if_::if_indextoname(interface).ok().filter(|name| !name.is_empty());
    let name = name.ok_or(AttachError::NoInterface { index: interface })?;
    let flags = match mode {
        AttachMode::Native => NATIVE,
        AttachMode::Generic => GENERIC,
    };
    match bpf::attach(program, interface, flags) {
        Ok(descriptor) => Ok(FilterLink { descriptor, mode }),
        Err(error) => Err(AttachError::new(name.to_string_lossy().into_owned(), mode, error)),
    }
}
