//! Frames as they are, without sessions: what a scan, a generator or a forwarder sends and receives.

use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::sync::Arc;

use nix::poll::{PollFd, PollFlags, PollTimeout};
use wirehaul_core::scan::wire::Wire;
use wirehaul_core::xsk::{Frame, Frames, Kick, Queue, Whereabouts};

use super::datapath::{Attachment, Datapath, Mode, OpenError};
use super::socket::{Socket, SocketStatistics};
use super::umem::Umem;

/// Packets that are taken out of the receive ring before their frames go anywhere.
const BATCH: usize = 64;
/// Packets that a survey is shown in one call.
const WIRE_BATCH: usize = 256;
/// Chunks taken back per call.
const REAP_BATCH: u32 = 256;

/// One queue of an interface, for whole Ethernet frames.
pub struct Port {
    // Dropped in this order: what lies in the UMEM, the socket, the UMEM.
    queue: Queue<'static>,
    frames: Frames<'static, 'static>,
    socket: Socket,
    umem: Umem,
    _attachment: Option<Arc<Attachment>>,
    /// The chunk that comes next belongs to a packet whose first chunk was shown.
    is_inside: bool,
    /// What the kernel said to the last [`Wire::flush`].
    kick: Kick,
}

impl Datapath {
    /// One queue of the interface, to which packets to the port are steered, without anything in between.
    ///
    /// # Errors
    /// [`OpenError`] says what cannot be had.
    pub fn port(&self, queue: u32) -> Result<Port, OpenError> {
        let (umem, frames, socket, rings) = open(self, queue)?;
        if self.shape.mode == Mode::ZeroCopy && !socket.is_zero_copy() {
            return Err(OpenError::Copies(self.shape.name.clone()));
        }
        self.attachment.filter.bind_queue(queue, socket.as_fd())?;
        self.attachment.set_addresses(&[])?;
        Ok(Port::new(umem, frames, socket, rings, Some(Arc::clone(&self.attachment))))
    }
}

type Parts = (Umem, Frames<'static, 'static>, Socket, Queue<'static>);

fn open(datapath: &Datapath, queue: u32) -> Result<Parts, OpenError> {
    let shape = &datapath.shape;
    let mut umem = Umem::new(shape.umem_size(1), shape.node)?;
    // SAFETY: asked for once; `Port` drops the frames before the UMEM, and so does this function where it fails (what is
    // declared later is dropped first).
    let frames = unsafe { umem.frames() }?;
    // SAFETY: `Port` drops queue and frames before the socket, and the socket before the UMEM. Frames of this UMEM are lent
    // through this queue only.
    let (socket, rings) = unsafe { Socket::open(&umem, &shape.socket(queue, 1), None) }?;
    Ok((umem, frames, socket, rings))
}

impl Port {
    fn new(
        umem: Umem,
        mut frames: Frames<'static, 'static>,
        socket: Socket,
        mut queue: Queue<'static>,
        attachment: Option<Arc<Attachment>>,
    ) -> Self {
        queue.set_share(umem.size().receive_frames);
        queue.refill(&mut frames);
        Self { queue, frames, socket, umem, _attachment: attachment, is_inside: false, kick: Kick::Done }
    }

    /// Lends the kernel no more than so many frames for packets to come, from now on: few stay in a CPU's cache, many hold
    /// longer bursts. At first it has all.
    pub fn set_lent(&mut self, frames: u32) {
        self.queue.set_share(frames);
    }

    /// Has `write` write a frame and say how long it is, and puts it into the transmit ring; `false`, and nothing was written,
    /// where there is no room. [`Port::flush`] sends.
    #[inline]
    pub fn transmit(&mut self, write: impl FnOnce(&mut [u8]) -> usize) -> bool {
        if self.queue.room(1) == 0 {
            return false;
        }
        let Some(mut slot) = self.frames.take() else { return false };
        let len = write(&mut slot);
        match Frame::new(slot, 0, len).map(|frame| self.queue.transmit(&mut self.frames, frame)) {
            Ok(Ok(())) => true,
            Ok(Err(frame)) => {
                self.frames.put(frame.into_slot());
                false
            }
            Err(slot) => {
                self.frames.put(slot);
                false
            }
        }
    }

    /// Sends what is in the transmit ring, and takes frames back that were sent. Returns what the kernel said.
    #[inline]
    pub fn flush(&mut self) -> Kick {
        self.queue.publish();
        let kick = if self.queue.transmit_needs_wakeup() && !self.queue.is_drained() {
            self.socket.kick_transmit()
        } else {
            Kick::Done
        };
        self.reap();
        kick
    }

    /// Takes frames back that were sent.
    #[inline]
    pub fn reap(&mut self) -> u32 {
        self.queue.reap(&mut self.frames, REAP_BATCH)
    }

    /// Shows up to `limit` frames that came to `each`; returns how many there were.
    #[inline]
    pub fn receive(&mut self, limit: usize, mut each: impl FnMut(&mut [u8])) -> usize {
        let mut count = 0;
        let mut incoming = self.queue.incoming(&mut self.frames);
        while count < limit {
            let Some((mut frame, _)) = incoming.take() else { break };
            each(frame.bytes_mut());
            incoming.recycle(frame);
            count += 1;
        }
        drop(incoming);
        self.wake_for(count);
        count
    }

    /// Has `each` change up to 64 frames that came, and puts those into the transmit ring for which it says so. Nothing is
    /// copied. Returns how many came, and how many of them go out.
    pub fn forward(&mut self, mut each: impl FnMut(&mut [u8]) -> bool) -> (usize, usize) {
        let mut batch: heapless::Vec<Frame<'static>, BATCH> = heapless::Vec::new();
        let mut incoming = self.queue.incoming(&mut self.frames);
        while !batch.is_full() {
            let Some((frame, _)) = incoming.take() else { break };
            let _ = batch.push(frame);
        }
        drop(incoming);
        let count = batch.len();
        let mut forwarded = 0;
        for mut frame in batch {
            let goes_on = each(frame.bytes_mut());
            let kept = if goes_on { self.queue.transmit(&mut self.frames, frame) } else { Err(frame) };
            match kept {
                Ok(()) => forwarded += 1,
                Err(frame) => self.frames.put(frame.into_slot()),
            }
        }
        self.wake_for(count);
        (count, forwarded)
    }

    /// Calls the kernel where it waits for frames to receive into, or looks for packets in our calls.
    #[inline]
    fn wake_for(&mut self, taken: usize) {
        if self.queue.receive_needs_wakeup(taken) {
            self.socket.kick_receive();
        }
    }

    /// Waits until frames came, at most so many milliseconds.
    ///
    /// # Errors
    /// What `poll(2)` fails with.
    pub fn wait(&self, millis: u16) -> io::Result<()> {
        let mut fds = [PollFd::new(self.socket.as_fd(), PollFlags::POLLIN)];
        nix::poll::poll(&mut fds, PollTimeout::from(millis))?;
        Ok(())
    }

    /// What the kernel said when a survey's frames were sent last: [`Kick::Down`] and [`Kick::Unbound`] do not go away by
    /// themselves.
    #[must_use]
    pub const fn last_kick(&self) -> Kick {
        self.kick
    }

    /// Whether frames wait in the transmit ring for another call.
    #[must_use]
    pub fn is_holding_back(&mut self) -> bool {
        matches!(self.kick, Kick::Again) && !self.queue.is_drained()
    }

    /// Where its frames are.
    #[must_use]
    pub fn whereabouts(&self) -> Whereabouts {
        self.frames.whereabouts()
    }

    /// What the kernel counted.
    #[must_use]
    pub fn statistics(&self) -> SocketStatistics {
        self.socket.statistics()
    }

    /// Addresses that the kernel was not lent, and indices that make no sense.
    #[must_use]
    pub const fn faults(&self) -> (u64, u64) {
        (self.frames.wild(), self.queue.nonsense())
    }
}

impl AsFd for Port {
    /// Readable when frames came.
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

/// Of a packet in several chunks, the first is shown: headers are in it, and what probes are known by.
impl Wire for Port {
    fn receive(&mut self, mut sink: impl FnMut(&mut [u8])) -> usize {
        let mut count = 0;
        let mut chunks = 0;
        let mut incoming = self.queue.incoming(&mut self.frames);
        while count < WIRE_BATCH {
            let Some((mut frame, goes_on)) = incoming.take() else { break };
            if !self.is_inside {
                sink(frame.bytes_mut());
                count += 1;
            }
            self.is_inside = goes_on;
            incoming.recycle(frame);
            chunks += 1;
        }
        drop(incoming);
        self.wake_for(chunks);
        count
    }

    fn transmit(&mut self, write: impl FnOnce(&mut [u8]) -> usize) -> bool {
        let mut was_written = false;
        let was_put = Self::transmit(self, |frame| {
            was_written = true;
            write(frame)
        });
        // A length that makes no frame is nothing to send.
        was_put || was_written
    }

    fn flush(&mut self) {
        self.kick = Self::flush(self);
    }
}

impl std::fmt::Debug for Port {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Port").field("frames", &self.frames).field("umem", &self.umem).finish()
    }
}
