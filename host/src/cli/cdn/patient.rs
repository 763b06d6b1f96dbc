//! A stream that is waited for, but not when the user wants to stop.

use std::io::{self, Read};
use std::os::fd::AsFd;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

/// How long it takes at most until a wish to stop is seen.
const LOOK_EVERY_MS: u16 = 50;

/// Reads when there is something to read; ends when `stop` is set, although the stream has not.
pub struct Patient<R> {
    stream: R,
    stop: Arc<AtomicBool>,
}

impl<R: Read + AsFd> Patient<R> {
    /// Of a stream without a buffer of its own, or with an empty one.
    pub const fn new(stream: R, stop: Arc<AtomicBool>) -> Self {
        Self { stream, stop }
    }

    fn is_ready(&self) -> bool {
        let mut descriptors = [PollFd::new(self.stream.as_fd(), PollFlags::POLLIN)];
        // What cannot be waited for is read at once, as files are.
        !matches!(poll(&mut descriptors, PollTimeout::from(LOOK_EVERY_MS)), Ok(0) | Err(nix::errno::Errno::EINTR))
    }
}

impl<R: Read + AsFd> Read for Patient<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        while !self.stop.load(Ordering::Relaxed) {
            if self.is_ready() {
                return self.stream.read(buffer);
            }
        }
        Ok(0)
    }
}
