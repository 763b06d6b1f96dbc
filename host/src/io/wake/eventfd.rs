//! Linux: an event counter in one descriptor.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::event::{EventfdFlags, eventfd};

/// See [`super`].
pub(in crate::io) struct Signal(OwnedFd);

impl Signal {
    pub(in crate::io) fn new() -> io::Result<Self> {
        Ok(Self(eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)?))
    }

    /// Makes the descriptor readable. Never blocks.
    pub(in crate::io) fn raise(&self) {
        // It can only fail when the counter is full, and then the descriptor is readable already.
        let _ = rustix::io::write(&self.0, &1_u64.to_ne_bytes());
    }

    /// Makes the descriptor not readable. Never blocks.
    pub(in crate::io) fn clear(&self) {
        let _ = rustix::io::read(&self.0, &mut [0_u8; 8]);
    }

    pub(in crate::io) fn fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}
