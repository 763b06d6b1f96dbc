//! Every other Unix: bytes through a pair of connected sockets, which the standard library can make non-blocking.

use std::io::{self, Read, Write};
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::net::UnixStream;

/// See [`super`].
pub(in crate::io) struct Signal {
    raising: UnixStream,
    listening: UnixStream,
}

impl Signal {
    pub(in crate::io) fn new() -> io::Result<Self> {
        let (raising, listening) = UnixStream::pair()?;
        raising.set_nonblocking(true)?;
        listening.set_nonblocking(true)?;
        Ok(Self { raising, listening })
    }

    /// Makes the descriptor readable. Never blocks.
    pub(in crate::io) fn raise(&self) {
        // It can only fail when the socket is full, and then the descriptor is readable already.
        let _ = (&self.raising).write(&[1]);
    }

    /// Makes the descriptor not readable. Never blocks.
    pub(in crate::io) fn clear(&self) {
        let mut bytes = [0; 64];
        // Ends at the first read that finds less than there was room for, or nothing.
        while (&self.listening).read(&mut bytes).is_ok_and(|count| count == bytes.len()) {}
    }

    pub(in crate::io) fn fd(&self) -> BorrowedFd<'_> {
        self.listening.as_fd()
    }
}
