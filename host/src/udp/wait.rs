//! Sleeping until there is something to do, with nanoseconds to spare for the pacer.

use std::io;
use std::net::UdpSocket;
use std::os::fd::{AsFd, BorrowedFd};

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags};
use smallvec::SmallVec;
use wirehaul_core::time::Duration;

/// What a wait ended with; nothing set means that the time was up or a signal came.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Ready {
    /// Datagrams wait to be received.
    pub readable: bool,
    /// There is room for what was held back.
    pub writable: bool,
    /// One of the other descriptors is readable.
    pub extra: bool,
}

impl Ready {
    /// Whether anything is.
    #[must_use]
    pub const fn is_any(self) -> bool {
        self.readable || self.writable || self.extra
    }
}

/// Descriptors that are waited on without the heap.
const FEW: usize = 4;

pub(super) fn wait(
    socket: &UdpSocket,
    interest: PollFlags,
    extra: &[BorrowedFd<'_>],
    timeout: Option<Duration>,
) -> io::Result<Ready> {
    let mut descriptors: SmallVec<[PollFd<'_>; FEW]> = SmallVec::new();
    descriptors.push(PollFd::new(socket.as_fd(), interest));
    descriptors.extend(extra.iter().map(|fd| PollFd::new(*fd, PollFlags::POLLIN)));
    match poll(&mut descriptors, timeout) {
        Ok(_) => {}
        Err(Errno::EINTR) => return Ok(Ready::default()),
        Err(errno) => return Err(errno.into()),
    }
    let mut events = descriptors.iter().map(|descriptor| descriptor.revents().unwrap_or(PollFlags::empty()));
    let on_socket = events.next().unwrap_or(PollFlags::empty());
    let extra = events.any(|events| !events.is_empty());
    if on_socket.contains(PollFlags::POLLERR) {
        // An error left on the socket would end every wait at once; on an unconnected socket it says nothing of use.
        socket.take_error()?;
    }
    Ok(Ready {
        readable: on_socket.contains(PollFlags::POLLIN),
        writable: on_socket.contains(PollFlags::POLLOUT),
        extra,
    })
}

#[cfg(target_os = "linux")]
fn poll(descriptors: &mut [PollFd<'_>], timeout: Option<Duration>) -> nix::Result<i32> {
    use nix::sys::time::TimeSpec;
    let timeout = timeout.map(|span| TimeSpec::from(std::time::Duration::from_nanos(span.as_nanos())));
    nix::poll::ppoll(descriptors, timeout, None)
}

/// In milliseconds, rounded up so that a short wait is not a busy one, where there is no finer call.
#[cfg(not(target_os = "linux"))]
fn poll(descriptors: &mut [PollFd<'_>], timeout: Option<Duration>) -> nix::Result<i32> {
    use nix::poll::PollTimeout;
    let timeout = timeout.map_or(PollTimeout::NONE, |span| {
        let millis = span.as_nanos().div_ceil(1_000_000);
        PollTimeout::try_from(millis).unwrap_or(PollTimeout::MAX)
    });
    nix::poll::poll(descriptors, timeout)
}
