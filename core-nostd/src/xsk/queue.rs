//! The four rings of one socket: two that lend the kernel frames, two that give them back.
//!
//! ```text
//! free -> fill ring -> kernel -> receive ring -> in hand -> free
//! free -> in hand -> transmit ring -> kernel -> completion ring -> free
//! ```

use super::descriptor::Descriptor;
use super::frames::{Frame, Frames};
use super::ring::{Consumer, NoRing, Producer, RingMemory};

/// Where the rings of a socket lie.
#[derive(Clone, Copy, Debug)]
pub struct QueueMemory<'m> {
    /// Frames for packets to come.
    pub fill: RingMemory<'m>,
    /// Packets that came.
    pub receive: RingMemory<'m>,
    /// Packets to go.
    pub transmit: RingMemory<'m>,
    /// Frames whose packets are gone.
    pub completion: RingMemory<'m>,
}

/// What happened on a queue so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct QueueCounters {
    /// Packets taken out of the receive ring.
    pub received: u64,
    /// Packets put into the transmit ring.
    pub sent: u64,
    /// Packets that the kernel said it was done with.
    pub completed: u64,
    /// Packets of several chunks that were cut off, or began in the middle.
    pub torn: u64,
}

/// One socket's rings, all over the same UMEM.
#[derive(Debug)]
pub struct Queue<'m> {
    umem: u32,
    fill: Producer<'m, u64>,
    receive: Consumer<'m, Descriptor>,
    transmit: Producer<'m, Descriptor>,
    completion: Consumer<'m, u64>,
    /// How many frames the kernel should have to receive into, and how many it has.
    share: u32,
    filled: u32,
    /// Whether the kernel looks at the card in our calls.
    is_polled: bool,
    counters: QueueCounters,
}

impl<'m> Queue<'m> {
    /// The rings at `memory`, for frames of the UMEM with number `umem`.
    ///
    /// # Errors
    /// [`NoRing`]: one of them is none.
    pub fn new(umem: u32, memory: QueueMemory<'m>) -> Result<Self, NoRing> {
        Ok(Self {
            umem,
            fill: Producer::new(memory.fill)?,
            receive: Consumer::new(memory.receive)?,
            transmit: Producer::new(memory.transmit)?,
            completion: Consumer::new(memory.completion)?,
            share: 0,
            filled: 0,
            is_polled: false,
            counters: QueueCounters::default(),
        })
    }

    /// Says how many frames the kernel should have to receive into; no more than its ring holds.
    pub fn set_share(&mut self, frames: u32) {
        self.share = frames.min(self.fill.size());
    }

    /// Says that the kernel looks at the card in our calls (SO_PREFER_BUSY_POLL): it is called whenever nothing has come.
    pub fn set_polled(&mut self, is_polled: bool) {
        self.is_polled = is_polled;
    }

    /// Lends the kernel free frames to receive into, until it has its share or until there are none; returns how many.
    pub fn refill(&mut self, frames: &mut Frames<'_, '_>) -> u32 {
        let wanted = self.share.saturating_sub(self.filled);
        if wanted == 0 || !self.is_over(frames) {
            return 0;
        }
        let count = self.fill.free(wanted).min(wanted).min(frames.free_to_fill());
        for _ in 0..count {
            let Some(address) = frames.fill() else { break };
            self.fill.push(address);
            self.filled += 1;
        }
        self.fill.publish()
    }

    /// Gives the kernel a frame again to receive into, not published before [`Queue::release`]; puts it back among the free ones
    /// where the kernel has its share, or the frame is one to send from.
    #[inline(always)]
    pub fn recycle<'p>(&mut self, frames: &mut Frames<'_, 'p>, frame: Frame<'p>) {
        let slot = frame.into_slot();
        if self.filled >= self.share || !self.is_over(frames) || self.fill.free(1) == 0 {
            return frames.put(slot);
        }
        match frames.refill(slot) {
            Ok(address) => {
                self.fill.push(address);
                self.filled += 1;
            }
            Err(slot) => frames.put(slot),
        }
    }

    /// The next packet that came, or the next chunk of one (then `true`: it goes on). The places of what was taken out are
    /// the kernel's again with [`Queue::release`].
    #[inline(always)]
    pub fn next_received<'p>(&mut self, frames: &mut Frames<'_, 'p>) -> Option<(Frame<'p>, bool)> {
        if !self.is_over(frames) {
            return None;
        }
        loop {
            let descriptor = self.receive.pop()?;
            // What is no frame of ours is left out, and counted there.
            let (was_lent, frame) = frames.received(descriptor);
            self.filled = self.filled.wrapping_sub(u32::from(was_lent));
            if let Some(frame) = frame {
                self.counters.received += u64::from(!descriptor.is_continued());
                return Some((frame, descriptor.is_continued()));
            }
        }
    }

    /// Packets that came, to be taken out one after the other. When it is dropped, the places of those that were taken out are the
    /// kernel's again, and it has its share of frames; those that were not taken out are there the next time.
    #[inline]
    pub fn incoming<'a, 'f, 'p>(&'a mut self, frames: &'a mut Frames<'f, 'p>) -> Incoming<'a, 'm, 'f, 'p> {
        Incoming { queue: self, frames }
    }

    /// Gives the receive ring's places back to the kernel, and the frames that were recycled; returns how many packets were
    /// taken out since.
    #[inline]
    pub fn release(&mut self) -> u32 {
        self.fill.publish();
        self.receive.release()
    }

    /// How many packets wait to be taken out.
    pub fn waiting(&mut self) -> u32 {
        self.receive.waiting()
    }

    /// How many descriptors fit into the transmit ring.
    #[inline]
    pub fn room(&mut self, wanted: u32) -> u32 {
        self.transmit.free(wanted)
    }

    /// Puts a packet into the transmit ring, not published yet.
    ///
    /// # Errors
    /// The frame itself, where the ring has no room for it or it belongs to another UMEM.
    #[inline(always)]
    pub fn transmit<'p>(&mut self, frames: &mut Frames<'_, 'p>, frame: Frame<'p>) -> Result<(), Frame<'p>> {
        let descriptors = frames.descriptors(&frame);
        if !self.is_over(frames) || self.transmit.free(descriptors) < descriptors {
            return Err(frame);
        }
        let transmit = &mut self.transmit;
        frames.send(frame, |descriptor| {
            transmit.push(descriptor);
        });
        self.counters.sent += 1;
        Ok(())
    }

    /// Shows the kernel the packets to send; returns how many descriptors are new.
    #[inline]
    pub fn publish(&mut self) -> u32 {
        self.transmit.publish()
    }

    /// Takes back at most `limit` chunks that the kernel is done with; returns how many frames are free by that.
    #[inline]
    pub fn reap(&mut self, frames: &mut Frames<'_, '_>, limit: u32) -> u32 {
        if !self.is_over(frames) {
            return 0;
        }
        let mut freed = 0;
        for _ in 0..limit {
            let Some(address) = self.completion.pop() else { break };
            freed += u32::from(frames.completed(address));
        }
        self.completion.release();
        self.counters.completed += u64::from(freed);
        freed
    }

    /// How many descriptors the kernel has not taken over yet.
    pub fn untaken(&mut self) -> u32 {
        self.transmit.outstanding()
    }

    /// Whether the kernel has taken over everything from the transmit ring.
    pub fn is_drained(&mut self) -> bool {
        self.transmit.is_drained()
    }

    /// Whether the kernel wants to be told of packets to send.
    #[inline]
    #[must_use]
    pub fn transmit_needs_wakeup(&self) -> bool {
        self.transmit.needs_wakeup()
    }

    /// Whether the kernel wants to be told of frames to receive into.
    #[inline]
    #[must_use]
    pub fn fill_needs_wakeup(&self) -> bool {
        self.fill.needs_wakeup()
    }

    /// Whether to call the kernel after so many packets were taken out: it waits for frames, or it is to look for packets.
    #[inline]
    #[must_use]
    pub fn receive_needs_wakeup(&self, taken: usize) -> bool {
        if taken == 0 { self.is_polled } else { self.fill_needs_wakeup() }
    }

    /// The sizes of the fill ring and of the transmit ring.
    #[must_use]
    pub const fn sizes(&self) -> (u32, u32) {
        (self.fill.size(), self.transmit.size())
    }

    /// What happened so far.
    #[must_use]
    pub const fn counters(&self) -> QueueCounters {
        self.counters
    }

    /// Indices of the kernel that made no sense.
    #[must_use]
    pub const fn nonsense(&self) -> u64 {
        self.fill.nonsense() + self.receive.nonsense() + self.transmit.nonsense() + self.completion.nonsense()
    }

    /// Whether these are frames of this queue's UMEM: an address in another one would be somebody else's memory.
    #[inline]
    const fn is_over(&self, frames: &Frames<'_, '_>) -> bool {
        self.umem == frames.id()
    }

    pub(super) fn count_torn(&mut self) {
        self.counters.torn += 1;
    }
}

/// See [`Queue::incoming`].
#[derive(Debug)]
pub struct Incoming<'a, 'm, 'f, 'p> {
    queue: &'a mut Queue<'m>,
    frames: &'a mut Frames<'f, 'p>,
}

impl<'p> Incoming<'_, '_, '_, 'p> {
    /// The next packet, or the next chunk of one (then `true`: it goes on).
    #[inline(always)]
    pub fn take(&mut self) -> Option<(Frame<'p>, bool)> {
        self.queue.next_received(self.frames)
    }

    /// Gives a frame back whose packet is done with.
    #[inline(always)]
    pub fn recycle(&mut self, frame: Frame<'p>) {
        self.queue.recycle(self.frames, frame);
    }
}

impl Drop for Incoming<'_, '_, '_, '_> {
    #[inline]
    fn drop(&mut self) {
        self.queue.release();
        self.queue.refill(self.frames);
    }
}
