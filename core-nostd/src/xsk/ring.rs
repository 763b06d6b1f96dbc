//! A ring that two ends share: one produces, the other consumes (Documentation/networking/af_xdp.rst, "Rings").
//!
//! Both indices count without end and wrap at 2^32; an entry lies at its index modulo the ring's size. The producer
//! publishes entries with a release store of its index, the consumer sees them with an acquire load, and the same the
//! other way round for places that are free again (net/xdp/xsk_queue.h has the kernel's half of that agreement).
//! Entries are read and written as relaxed atomics: where the other end keeps to the agreement that costs nothing, and
//! where it does not, the bytes are strange, but nothing is undefined.

use core::marker::PhantomData;

use super::atomic::{AtomicU32, AtomicU64, Ordering};

/// The kernel waits for a system call before it goes on with this ring (XDP_RING_NEED_WAKEUP).
const NEED_WAKEUP: u32 = 1;

/// What a ring carries, as 64-bit words in memory.
pub trait Entry: Copy {
    /// Words of one entry.
    const WORDS: usize;

    /// Writes this entry into its place.
    fn store(self, place: &[AtomicU64]);

    /// Reads the entry in a place; `None` where the place has too few words.
    fn load(place: &[AtomicU64]) -> Option<Self>;
}

/// Where a ring lies: memory that both ends see.
#[derive(Clone, Copy, Debug)]
pub struct RingMemory<'m> {
    /// The producer's index.
    pub producer: &'m AtomicU32,
    /// The consumer's index.
    pub consumer: &'m AtomicU32,
    /// What the kernel says about the ring.
    pub flags: &'m AtomicU32,
    /// The entries, back to back.
    pub words: &'m [AtomicU64],
}

/// Why memory is no ring.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NoRing {
    /// The number of entries is not a power of two up to 2^31.
    Size,
    /// More entries lie between the two indices than the ring holds.
    Indices,
}

impl RingMemory<'_> {
    /// How many entries of this kind it holds.
    fn size<E: Entry>(&self) -> Result<u32, NoRing> {
        let entries = self.words.len() / E::WORDS;
        let size = u32::try_from(entries).ok().filter(|size| size.is_power_of_two());
        size.filter(|size| *size <= 1 << 31).ok_or(NoRing::Size)
    }
}

impl RingMemory<'_> {
    /// Where the entry with this index lies; empty where there is none, which a ring's size excludes.
    #[inline]
    fn place<E: Entry>(&self, index: u32, mask: u32) -> &[AtomicU64] {
        let first = (index & mask) as usize * E::WORDS;
        self.words.get(first..first + E::WORDS).unwrap_or(&[])
    }
}

/// The end that puts entries in. What it has put in is seen by the other end when it is published.
#[derive(Debug)]
pub struct Producer<'m, E> {
    memory: RingMemory<'m>,
    size: u32,
    /// Where the next entry goes.
    next: u32,
    /// What the other end knows of `next`.
    published: u32,
    /// The consumer's index when it was last looked at.
    consumed: u32,
    /// Times that the consumer's index made no sense.
    nonsense: u64,
    entries: PhantomData<E>,
}

impl<'m, E: Entry> Producer<'m, E> {
    /// The producing end of a ring, which goes on where its index stands.
    ///
    /// # Errors
    /// [`NoRing`] says what is wrong with the memory.
    pub fn new(memory: RingMemory<'m>) -> Result<Self, NoRing> {
        let size = memory.size::<E>()?;
        let next = memory.producer.load(Ordering::Relaxed);
        let consumed = memory.consumer.load(Ordering::Acquire);
        if next.wrapping_sub(consumed) > size {
            return Err(NoRing::Indices);
        }
        Ok(Self { memory, size, next, published: next, consumed, nonsense: 0, entries: PhantomData })
    }

    /// How many entries the ring holds.
    #[must_use]
    pub const fn size(&self) -> u32 {
        self.size
    }

    /// How many entries fit in now; looks at the other end's index where that is fewer than `wanted`.
    #[inline]
    pub fn free(&mut self, wanted: u32) -> u32 {
        let free = self.size - self.next.wrapping_sub(self.consumed);
        if free >= wanted { free } else { self.look() }
    }

    #[cold]
    fn look(&mut self) -> u32 {
        // Acquire: whoever consumed an entry has read it before its place is written again.
        let consumed = self.memory.consumer.load(Ordering::Acquire);
        // Nothing is consumed that was not published, and never less than before.
        let newly = consumed.wrapping_sub(self.consumed);
        if newly > self.published.wrapping_sub(self.consumed) {
            self.nonsense += 1;
        } else {
            self.consumed = consumed;
        }
        self.size - self.next.wrapping_sub(self.consumed)
    }

    /// Puts an entry in, not published yet; `false` where the ring is full.
    #[inline]
    pub fn push(&mut self, entry: E) -> bool {
        if self.free(1) == 0 {
            return false;
        }
        entry.store(self.memory.place::<E>(self.next, self.size - 1));
        self.next = self.next.wrapping_add(1);
        true
    }

    /// Shows the other end what was put in; returns how many entries are new to it.
    #[inline]
    pub fn publish(&mut self) -> u32 {
        let new = self.next.wrapping_sub(self.published);
        if new > 0 {
            // Release: the entries are written before the index says that they are there.
            self.memory.producer.store(self.next, Ordering::Release);
            self.published = self.next;
        }
        new
    }

    /// How many entries were put in and not yet consumed.
    pub fn outstanding(&mut self) -> u32 {
        self.size - self.look()
    }

    /// Whether the other end has consumed all that was published.
    pub fn is_drained(&mut self) -> bool {
        self.look();
        self.published == self.consumed
    }

    /// Whether the kernel asks for a system call before it consumes.
    #[inline]
    #[must_use]
    pub fn needs_wakeup(&self) -> bool {
        self.memory.flags.load(Ordering::Relaxed) & NEED_WAKEUP != 0
    }

    /// Times that the other end's index made no sense and was left aside.
    #[must_use]
    pub const fn nonsense(&self) -> u64 {
        self.nonsense
    }
}

/// The end that takes entries out. Their places are free again when they are released.
#[derive(Debug)]
pub struct Consumer<'m, E> {
    memory: RingMemory<'m>,
    size: u32,
    /// The next entry to take out.
    next: u32,
    /// What the other end knows of `next`.
    released: u32,
    /// The producer's index when it was last looked at.
    produced: u32,
    nonsense: u64,
    entries: PhantomData<E>,
}

impl<'m, E: Entry> Consumer<'m, E> {
    /// The consuming end of a ring, which goes on where its index stands.
    ///
    /// # Errors
    /// [`NoRing`] says what is wrong with the memory.
    pub fn new(memory: RingMemory<'m>) -> Result<Self, NoRing> {
        let size = memory.size::<E>()?;
        let next = memory.consumer.load(Ordering::Relaxed);
        let produced = memory.producer.load(Ordering::Acquire);
        if produced.wrapping_sub(next) > size {
            return Err(NoRing::Indices);
        }
        Ok(Self { memory, size, next, released: next, produced, nonsense: 0, entries: PhantomData })
    }

    /// How many entries the ring holds.
    #[must_use]
    pub const fn size(&self) -> u32 {
        self.size
    }

    /// How many entries wait; looks at the other end's index where that is none.
    #[inline]
    pub fn waiting(&mut self) -> u32 {
        let waiting = self.produced.wrapping_sub(self.next);
        if waiting > 0 { waiting } else { self.look() }
    }

    fn look(&mut self) -> u32 {
        // Acquire: the entries below the index are there to be read.
        let produced = self.memory.producer.load(Ordering::Acquire);
        // No more than the ring holds beyond what was released, and never less than before.
        let ahead = produced.wrapping_sub(self.released);
        if ahead > self.size || ahead < self.produced.wrapping_sub(self.released) {
            self.nonsense += 1;
        } else {
            self.produced = produced;
        }
        self.produced.wrapping_sub(self.next)
    }

    /// Takes the next entry out; its place is not free for the other end before [`Consumer::release`].
    #[inline]
    pub fn pop(&mut self) -> Option<E> {
        if self.waiting() == 0 {
            return None;
        }
        let entry = E::load(self.memory.place::<E>(self.next, self.size - 1));
        self.next = self.next.wrapping_add(1);
        entry
    }

    /// Gives the places of what was taken out back to the other end; returns how many.
    #[inline]
    pub fn release(&mut self) -> u32 {
        let taken = self.next.wrapping_sub(self.released);
        if taken > 0 {
            // Release: the entries are read before the index says that their places may be written.
            self.memory.consumer.store(self.next, Ordering::Release);
            self.released = self.next;
        }
        taken
    }

    /// Times that the other end's index made no sense and was left aside.
    #[must_use]
    pub const fn nonsense(&self) -> u64 {
        self.nonsense
    }
}
