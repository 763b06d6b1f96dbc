//! Where each frame of a UMEM is: free, lent to the kernel for a packet to come or one to go, or in somebody's hands.
//!
//! A frame is a [`Slot`] of a pool over the UMEM's memory: a token that cannot be copied. While the kernel has a frame its
//! token lies in a ledger, by the number of its chunk. An address that the kernel names is looked up there and nowhere
//! else: a chunk that it was not lent, or has given back already, is no frame at all, and is counted (XDP-6).

use core::fmt;

use crate::pool::{Magazine, Pool, PoolStats, Slot};

use super::descriptor::Descriptor;

/// A packet in a frame that somebody owns.
#[derive(Debug)]
pub struct Frame<'p> {
    pub(super) slot: Slot<'p>,
    /// Where in the slot the packet begins; `begin + len` is at most the slot's length.
    pub(super) begin: u32,
    pub(super) len: u32,
}

impl<'p> Frame<'p> {
    /// A packet of `len` bytes at `begin` of this slot; gives the slot back where that is not inside of it.
    ///
    /// # Errors
    /// The slot itself, unchanged.
    pub fn new(slot: Slot<'p>, begin: usize, len: usize) -> Result<Self, Slot<'p>> {
        let fits = begin.checked_add(len).is_some_and(|end| end <= slot.len());
        match (u32::try_from(begin), u32::try_from(len)) {
            (Ok(begin), Ok(len)) if fits => Ok(Self { slot, begin, len }),
            _ => Err(slot),
        }
    }

    /// The packet.
    #[must_use]
    pub fn bytes(&self) -> &[u8] {
        let begin = self.begin as usize;
        self.slot.get(begin..begin + self.len as usize).unwrap_or(&[])
    }

    /// The packet, to be changed in place.
    pub fn bytes_mut(&mut self) -> &mut [u8] {
        let begin = self.begin as usize;
        self.slot.get_mut(begin..begin + self.len as usize).unwrap_or(&mut [])
    }

    /// The frame without the packet.
    #[must_use]
    pub fn into_slot(self) -> Slot<'p> {
        self.slot
    }
}

/// Why memory and pools are no frames.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NoFrames {
    /// A chunk is not 2048 or 4096 bytes (net/xdp/xdp_umem.c: a power of two between 2048 and a page).
    ChunkBytes,
    /// A slot to send from is not one to four chunks.
    TransmitSlot,
    /// A ledger has not one place for each chunk.
    Ledger,
}

/// Storage for one frame's token while the kernel has it.
pub type Loan<'p> = Option<Slot<'p>>;

/// All frames of one UMEM: first those to receive into, one chunk each, then those to send from, some chunks each.
pub struct Frames<'m, 'p> {
    id: u32,
    chunk_bits: u32,
    /// Chunks of the part that is received into, which is the first of the UMEM.
    receive_chunks: u32,
    chunks_per_transmit: u32,
    receive_free: Magazine<'p>,
    transmit_free: Magazine<'p>,
    receive_pool: &'p Pool<'p>,
    transmit_pool: &'p Pool<'p>,
    filled: Ledger<'m, 'p>,
    sent: Ledger<'m, 'p>,
    wild: u64,
}

/// Where all frames are. Those in nobody's hands that the figures leave out are held by the caller.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Whereabouts {
    /// Frames of the UMEM, to receive into and to send from.
    pub frames: u32,
    /// Free.
    pub free: u32,
    /// With the kernel, for packets to come: in the fill ring, in the driver, or received and not yet taken out.
    pub filled: u32,
    /// With the kernel, for packets to go: in the ring, in the driver, or completed and not yet taken back.
    pub sent: u32,
}

impl Whereabouts {
    /// Frames that the caller holds.
    #[must_use]
    pub const fn held(&self) -> u32 {
        self.frames.saturating_sub(self.free).saturating_sub(self.filled).saturating_sub(self.sent)
    }

    /// These and the frames of another UMEM together.
    #[must_use]
    pub const fn and(self, other: Self) -> Self {
        Self {
            frames: self.frames.saturating_add(other.frames),
            free: self.free.saturating_add(other.free),
            filled: self.filled.saturating_add(other.filled),
            sent: self.sent.saturating_add(other.sent),
        }
    }
}

impl<'m, 'p> Frames<'m, 'p> {
    /// The frames of UMEM `id`, whose memory is that of `receive` and behind it that of `transmit`. Each ledger has a place
    /// for each chunk, all empty.
    ///
    /// # Errors
    /// [`NoFrames`] says what does not fit together.
    pub fn new(
        id: u32,
        receive: &'p Pool<'p>,
        transmit: &'p Pool<'p>,
        filled: &'m mut [Loan<'p>],
        sent: &'m mut [Loan<'p>],
    ) -> Result<Self, NoFrames> {
        let chunk_bytes = receive.slot_bytes();
        if !matches!(chunk_bytes, 2048 | 4096) {
            return Err(NoFrames::ChunkBytes);
        }
        let per_transmit = transmit.slot_bytes() / chunk_bytes;
        if !transmit.slot_bytes().is_multiple_of(chunk_bytes) || !(1..=4).contains(&per_transmit) {
            return Err(NoFrames::TransmitSlot);
        }
        // At most four.
        let chunks_per_transmit = per_transmit as u32;
        let chunks = u64::from(receive.slots()) + u64::from(transmit.slots()) * u64::from(chunks_per_transmit);
        let is_for_all = |ledger: &[Loan<'p>]| ledger.len() as u64 == chunks && ledger.iter().all(Option::is_none);
        if !is_for_all(filled) || !is_for_all(sent) {
            return Err(NoFrames::Ledger);
        }
        Ok(Self {
            id,
            chunk_bits: chunk_bytes.trailing_zeros(),
            receive_chunks: receive.slots(),
            chunks_per_transmit,
            receive_free: Magazine::new(receive),
            transmit_free: Magazine::new(transmit),
            receive_pool: receive,
            transmit_pool: transmit,
            filled: Ledger::new(filled),
            sent: Ledger::new(sent),
            wild: 0,
        })
    }

    /// Which UMEM these are the frames of.
    #[must_use]
    pub const fn id(&self) -> u32 {
        self.id
    }

    /// A frame to send from; `None` where all are under way.
    #[inline]
    pub fn take(&mut self) -> Option<Slot<'p>> {
        self.transmit_free.take()
    }

    /// Takes a frame back that is not needed any more.
    #[inline(always)]
    pub fn put(&mut self, slot: Slot<'p>) {
        if core::ptr::eq(slot.pool(), self.receive_pool) {
            self.receive_free.put(slot);
        } else {
            self.transmit_free.put(slot);
        }
    }

    /// Bytes of a frame to send from.
    #[must_use]
    pub const fn transmit_bytes(&self) -> usize {
        self.transmit_pool.slot_bytes()
    }

    /// Where all frames are.
    #[must_use]
    pub fn whereabouts(&self) -> Whereabouts {
        let free = |pool: &Pool<'p>, magazine: &Magazine<'p>| pool.stats().free + magazine.len() as u32;
        Whereabouts {
            frames: self.receive_pool.slots() + self.transmit_pool.slots(),
            free: free(self.receive_pool, &self.receive_free) + free(self.transmit_pool, &self.transmit_free),
            filled: self.filled.count,
            sent: self.sent.count,
        }
    }

    /// How the frames to send from stand. Those that are kept at hand are free, but count for the fewest that ever were.
    #[must_use]
    pub fn transmit_stats(&self) -> PoolStats {
        let stats = self.transmit_pool.stats();
        PoolStats { free: stats.free + self.transmit_free.len() as u32, ..stats }
    }

    /// Whether a frame to send from is free.
    #[must_use]
    pub fn has_free_to_send(&self) -> bool {
        !self.transmit_free.is_empty() || self.transmit_pool.stats().free > 0
    }

    /// Addresses that the kernel named without having been lent them.
    #[must_use]
    pub const fn wild(&self) -> u64 {
        self.wild
    }

    /// Takes every frame back from the kernel. Only when it has let go of them all: the sockets are closed.
    pub(super) fn reclaim(&mut self) -> u32 {
        let mut count = 0;
        for place in 0..self.filled.loans.len() {
            for slot in [self.filled.take(place), self.sent.take(place)].into_iter().flatten() {
                count += 1;
                self.put(slot);
            }
        }
        count
    }

    /// How many free frames there are to receive into.
    pub(super) fn free_to_fill(&self) -> u32 {
        self.receive_pool.stats().free + self.receive_free.len() as u32
    }

    /// Lends the kernel a free frame to receive into, and says at which address it lies.
    #[inline]
    pub(super) fn fill(&mut self) -> Option<u64> {
        let slot = self.receive_free.take()?;
        let chunk = slot.index();
        self.filled.lend(chunk as usize, slot);
        Some(u64::from(chunk) << self.chunk_bits)
    }

    /// Lends the kernel this frame again to receive into, and says at which address it lies; gives it back where it is one to
    /// send from.
    #[inline]
    pub(super) fn refill(&mut self, slot: Slot<'p>) -> Result<u64, Slot<'p>> {
        if !core::ptr::eq(slot.pool(), self.receive_pool) {
            return Err(slot);
        }
        let chunk = slot.index();
        self.filled.lend(chunk as usize, slot);
        Ok(u64::from(chunk) << self.chunk_bits)
    }

    /// Whether the kernel had the frame that it says it has put a packet into, and that packet.
    #[inline(always)]
    pub(super) fn received(&mut self, descriptor: Descriptor) -> (bool, Option<Frame<'p>>) {
        let chunk = descriptor.address >> self.chunk_bits;
        let begin = (descriptor.address & ((1 << self.chunk_bits) - 1)) as u32;
        let slot = usize::try_from(chunk).ok().and_then(|chunk| self.filled.take(chunk));
        let Some(slot) = slot else {
            self.wild += 1;
            return (false, None);
        };
        if descriptor.len > (1 << self.chunk_bits) - begin {
            self.put(slot);
            self.wild += 1;
            return (true, None);
        }
        (true, Some(Frame { slot, begin, len: descriptor.len }))
    }

    /// Lends the kernel a packet to send. Hands its descriptors to `each` in order, one for each chunk that it touches.
    #[inline]
    pub(super) fn send(&mut self, frame: Frame<'p>, mut each: impl FnMut(Descriptor)) {
        let Frame { slot, begin, len } = frame;
        let first = self.first_chunk(&slot);
        let base = u64::from(first) << self.chunk_bits;
        let chunk_bytes = 1_u32 << self.chunk_bits;
        let (mut at, end) = (begin, begin + len);
        while end - at > chunk_bytes - (at & (chunk_bytes - 1)) {
            let piece = chunk_bytes - (at & (chunk_bytes - 1));
            each(Descriptor { address: base + u64::from(at), len: piece, options: super::descriptor::CONTINUED });
            at += piece;
        }
        each(Descriptor { address: base + u64::from(at), len: end - at, options: 0 });
        // The token waits for the last of them: chunks of one packet complete in their order.
        self.sent.lend((first + (at >> self.chunk_bits)) as usize, slot);
    }

    /// How many descriptors a packet takes.
    #[inline(always)]
    pub(super) fn descriptors(&self, frame: &Frame<'p>) -> u32 {
        let last = (frame.begin + frame.len).saturating_sub(1).max(frame.begin);
        (last >> self.chunk_bits) - (frame.begin >> self.chunk_bits) + 1
    }

    /// Takes back a chunk that the kernel says it has sent; `true` where that made a frame free.
    #[inline]
    pub(super) fn completed(&mut self, address: u64) -> bool {
        let chunk = usize::try_from(address >> self.chunk_bits).unwrap_or(usize::MAX);
        if let Some(slot) = self.sent.take(chunk) {
            self.put(slot);
            return true;
        }
        if !self.is_part_of_a_packet(chunk) {
            self.wild += 1;
        }
        false
    }

    /// Whether a later chunk of the same slot is still with the kernel.
    fn is_part_of_a_packet(&self, chunk: usize) -> bool {
        let per_slot = self.chunks_per_transmit as usize;
        let Some(place) = chunk.checked_sub(self.receive_chunks as usize) else { return false };
        let end = chunk - place % per_slot + per_slot;
        self.sent.loans.get(chunk..end).is_some_and(|later| later.iter().any(Option::is_some))
    }

    fn first_chunk(&self, slot: &Slot<'p>) -> u32 {
        if core::ptr::eq(slot.pool(), self.receive_pool) {
            slot.index()
        } else {
            self.receive_chunks + slot.index() * self.chunks_per_transmit
        }
    }
}

/// The tokens of the frames that the kernel has, by chunk.
struct Ledger<'m, 'p> {
    loans: &'m mut [Loan<'p>],
    count: u32,
}

impl<'m, 'p> Ledger<'m, 'p> {
    fn new(loans: &'m mut [Loan<'p>]) -> Self {
        Self { loans, count: 0 }
    }

    #[inline]
    fn lend(&mut self, chunk: usize, slot: Slot<'p>) {
        if let Some(place) = self.loans.get_mut(chunk) {
            *place = Some(slot);
            self.count += 1;
        }
    }

    #[inline]
    fn take(&mut self, chunk: usize) -> Option<Slot<'p>> {
        let slot = self.loans.get_mut(chunk)?.take()?;
        self.count -= 1;
        Some(slot)
    }
}

impl fmt::Debug for Frames<'_, '_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Frames").field("id", &self.id).field("whereabouts", &self.whereabouts()).finish()
    }
}
