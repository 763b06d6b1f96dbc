//! Frames out: gathered, and handed to the kernel many per call (sendmmsg(2)).
//!
//! Not through a mapped ring: the kernel sends from the ring's own pages there, and says that a slot is free when the packet has
//! left its sender. On a veth pair that is before the other end has read it, which then reads the next one's bytes. Here the
//! kernel copies, and what was handed over is what arrives.

use std::io;
use std::os::fd::{AsFd, AsRawFd};

use super::socket::{Socket, address};
use super::{Fault, Link, ether_type, fault_of};

/// Frames that one call sends.
const FRAMES: usize = 64;
/// Bytes of a frame: more than any probe has.
const FRAME_BYTES: usize = 2048;

/// What became of frames.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SendCounters {
    /// Frames that the kernel took.
    pub sent: u64,
    /// Frames that the kernel will never take, of which nothing was sent.
    pub refused: u64,
    /// Times that the kernel had no room, and frames were held back.
    pub no_room: u64,
}

/// Frames that wait to be sent, in their order.
pub(super) struct Batch {
    bytes: Box<[u8]>,
    lengths: [usize; FRAMES],
    /// The first frame that was not sent, and the first place without a frame.
    first: usize,
    end: usize,
    /// Where a frame goes on a link without Ethernet, which tells the kernel what it is: IPv4, IPv6.
    addresses: Option<[libc::sockaddr_ll; 2]>,
    counters: SendCounters,
}

impl Batch {
    pub(super) fn new(link: &Link) -> Self {
        let of = |protocol: libc::c_int| address(link, protocol as u16);
        Self {
            bytes: vec![0; FRAMES * FRAME_BYTES].into_boxed_slice(),
            lengths: [0; FRAMES],
            first: 0,
            end: 0,
            addresses: (!link.has_ethernet).then(|| [of(libc::ETH_P_IP), of(libc::ETH_P_IPV6)]),
            counters: SendCounters::default(),
        }
    }

    pub(super) const fn counters(&self) -> SendCounters {
        self.counters
    }

    pub(super) const fn is_full(&self) -> bool {
        self.end == FRAMES
    }

    pub(super) const fn is_empty(&self) -> bool {
        self.first == self.end
    }

    /// Has `write` write a frame; `false` where there is no room.
    pub(super) fn push(&mut self, write: impl FnOnce(&mut [u8]) -> usize) -> bool {
        let begin = self.end * FRAME_BYTES;
        let Some(frame) = self.bytes.get_mut(begin..begin + FRAME_BYTES) else { return false };
        let len = write(frame);
        if (1..=FRAME_BYTES).contains(&len)
            && let Some(length) = self.lengths.get_mut(self.end)
        {
            *length = len;
            self.end += 1;
        }
        true
    }

    /// Sends as many as the kernel takes now. Says where the link carries nothing any more.
    pub(super) fn send(&mut self, socket: &Socket) -> Option<Fault> {
        while !self.is_empty() {
            match self.send_some(socket) {
                Ok(count) => {
                    self.counters.sent += count as u64;
                    self.first += count.min(self.end - self.first);
                }
                Err(error) => match error.raw_os_error() {
                    Some(libc::EINTR) => {}
                    // The first frame was not sent: the socket's buffer is full, or the driver's ring.
                    Some(libc::EAGAIN | libc::ENOBUFS | libc::ENOMEM) => {
                        self.counters.no_room += 1;
                        self.close_up();
                        return None;
                    }
                    // No later attempt does better: the frame is too long for the link, or the link is not there.
                    _ => {
                        self.counters.refused += 1;
                        self.first += 1;
                        if let Some(fault) = fault_of(&error) {
                            self.close_up();
                            return Some(fault);
                        }
                    }
                },
            }
        }
        (self.first, self.end) = (0, 0);
        None
    }

    /// One call; returns how many frames it took, at least one.
    fn send_some(&mut self, socket: &Socket) -> io::Result<usize> {
        let mut vectors = [libc::iovec { iov_base: std::ptr::null_mut(), iov_len: 0 }; FRAMES];
        // SAFETY: the structure is numbers and pointers, for which zeros are valid.
        let mut messages: [libc::mmsghdr; FRAMES] = unsafe { std::mem::zeroed() };
        let mut count = 0;
        for (at, (vector, message)) in (self.first..self.end).zip(vectors.iter_mut().zip(&mut messages)) {
            let begin = at * FRAME_BYTES;
            let Some(frame) = self.bytes.get_mut(begin..begin + self.lengths[at]) else { break };
            if let Some([ipv4, ipv6]) = &mut self.addresses {
                let to = if i32::from(ether_type(frame)) == libc::ETH_P_IPV6 { ipv6 } else { ipv4 };
                message.msg_hdr.msg_name = std::ptr::from_mut(to).cast();
                message.msg_hdr.msg_namelen = size_of::<libc::sockaddr_ll>() as libc::socklen_t;
            }
            (vector.iov_base, vector.iov_len) = (frame.as_mut_ptr().cast(), frame.len());
            message.msg_hdr.msg_iov = vector;
            message.msg_hdr.msg_iovlen = 1;
            count += 1;
        }
        let descriptor = socket.as_fd().as_raw_fd();
        // SAFETY: of `messages` as many are filled in as are said; each points to one vector, and that into `bytes`; all outlive
        // the call. The kernel reads the frames and writes `msg_len` only.
        let sent = unsafe { libc::sendmmsg(descriptor, messages.as_mut_ptr(), count, libc::MSG_DONTWAIT) };
        usize::try_from(sent).ok().filter(|sent| *sent > 0).ok_or_else(io::Error::last_os_error)
    }

    /// Moves what waits to the front, so that there is room behind.
    fn close_up(&mut self) {
        if self.first == 0 {
            return;
        }
        let first = self.first * FRAME_BYTES;
        self.bytes.copy_within(first..self.end * FRAME_BYTES, 0);
        self.lengths.copy_within(self.first..self.end, 0);
        (self.first, self.end) = (0, self.end - self.first);
    }
}

impl std::fmt::Debug for Batch {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Batch").field("waiting", &(self.first..self.end)).field("counters", &self.counters).finish()
    }
}
