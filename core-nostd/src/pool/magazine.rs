//! A worker's own handful of free slots, so that most takes and puts touch nothing that is shared (J. Bonwick and
//! J. Adams, "Magazines and Vmem", USENIX 2001).

use super::{Pool, Slot};

/// Most slots that a magazine keeps.
pub const MAGAZINE_SLOTS: usize = 64;

/// A magazine keeps no more than this part of its pool unless told otherwise: in a small pool, one worker must not starve the others.
const SHARE: usize = 8;

/// Free slots of one worker, in front of the shared stack of its node. Empty, it is filled to half; full, it is emptied
/// to half: a worker that goes to and fro between the two has half a magazine's takes or puts in between.
///
/// What it keeps goes back to the pool when it is dropped.
#[derive(Debug)]
pub struct Magazine<'p> {
    pool: &'p Pool<'p>,
    /// Indices that this magazine owns, those that were put last at the end: their bytes may still be in the CPU's cache.
    free: heapless::Vec<u32, MAGAZINE_SLOTS>,
    /// Most of them; at least 1, at most [`MAGAZINE_SLOTS`].
    capacity: usize,
}

impl<'p> Magazine<'p> {
    /// An empty magazine in front of `pool`.
    #[must_use]
    pub fn new(pool: &'p Pool<'p>) -> Self {
        Self::with_capacity(pool, pool.slots() as usize / SHARE)
    }

    /// An empty magazine that keeps `capacity` slots at most: 1 to [`MAGAZINE_SLOTS`], and what is outside counts as the
    /// nearest of these. For slots that are few and large.
    #[must_use]
    pub fn with_capacity(pool: &'p Pool<'p>, capacity: usize) -> Self {
        Self { pool, free: heapless::Vec::new(), capacity: capacity.clamp(1, MAGAZINE_SLOTS) }
    }

    /// A free slot; `None`, and one more [`super::PoolStats::exhausted`], where neither the magazine nor the pool has one.
    #[inline]
    pub fn take(&mut self) -> Option<Slot<'p>> {
        let index = match self.free.pop() {
            Some(index) => index,
            None => self.refill()?,
        };
        // SAFETY: the index came from this pool's `withdraw` (in `refill`) or out of a slot of this pool (in `put`), and `pop`
        // has taken it away from here.
        Some(unsafe { Slot::new(self.pool, index) })
    }

    /// Takes a slot back. One of another pool (another node's) goes home to its own.
    #[inline]
    pub fn put(&mut self, slot: Slot<'p>) {
        if !core::ptr::eq(slot.pool(), self.pool) {
            return;
        }
        if self.free.len() >= self.capacity {
            self.flush_older(self.capacity.div_ceil(2));
        }
        if let Err(index) = self.free.push(slot.into_index()) {
            self.pool.deposit(&[index]);
        }
    }

    /// Gives everything back to the pool.
    pub fn flush(&mut self) {
        self.flush_older(self.free.len());
    }

    /// Slots that it keeps.
    #[must_use]
    pub fn len(&self) -> usize {
        self.free.len()
    }

    /// Whether it keeps none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.free.is_empty()
    }

    /// Most slots that it keeps: [`MAGAZINE_SLOTS`], or less in a small pool.
    #[must_use]
    pub const fn capacity(&self) -> usize {
        self.capacity
    }

    /// Gets half a magazine from the pool, and one of them out of it.
    #[cold]
    fn refill(&mut self) -> Option<u32> {
        let mut batch = [0; MAGAZINE_SLOTS / 2];
        let wanted = batch.get_mut(..self.capacity.div_ceil(2))?;
        let count = self.pool.withdraw(wanted);
        let Some((first, others)) = wanted.get(..count).and_then(<[u32]>::split_first) else {
            self.pool.count_exhausted();
            return None;
        };
        // What was on top of the stack comes out first.
        self.free.extend(others.iter().rev().copied());
        Some(*first)
    }

    /// Gives back the `count` slots that have been here for longest.
    #[cold]
    fn flush_older(&mut self, count: usize) {
        let Some(older) = self.free.get(..count) else { return };
        self.pool.deposit(older);
        self.free.copy_within(count.., 0);
        self.free.truncate(self.free.len() - count);
    }
}

impl Drop for Magazine<'_> {
    fn drop(&mut self) {
        self.flush();
    }
}
