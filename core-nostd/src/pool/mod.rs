//! Buffers that are allocated once and lent: an index is taken, a [`Slot`] owns the buffer, and it comes back by itself.
//!
//! ```text
//! worker  <->  Magazine, up to 64 slots, nothing shared  <->  Pool: one stack per NUMA node, half a magazine at a time
//! ```
//! The memory and the links are the caller's; nothing here allocates. Links lie beside the buffers, so a free buffer is
//! never read: nothing in it decides anything. A slot is a token that cannot be copied: no buffer has two owners, and
//! none is lost but by [`core::mem::forget`], which [`PoolStats`] tells.
//!
//! The stack needs 64-bit atomics: on targets without them this module does not exist (docs/decisions/018-pool.md).

mod atomic;
mod magazine;
mod sizing;
mod slot;
mod stack;
#[cfg(test)]
mod tests;

pub use magazine::{MAGAZINE_SLOTS, Magazine};
pub use sizing::{SLOT_BYTES, SLOTS_PER_SESSION, Sizing};
pub use slot::Slot;

use core::fmt;
use core::ptr::NonNull;

use atomic::{AtomicU32, AtomicU64, Ordering};
use slot::Memory;
use stack::Stack;

/// Why there can be no pool over the given memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PoolError {
    /// The memory does not hold a single slot, or slots have no bytes.
    NoSlots,
    /// There are fewer links than slots.
    TooFewLinks,
    /// There are 2^32 - 1 slots or more.
    TooManySlots,
}

/// The buffers of one NUMA node, and the stack of those that are free. Shared by all its workers.
///
/// Each worker takes slots through a [`Magazine`] of its own; [`Pool::take`] is for whoever needs few.
pub struct Pool<'m> {
    shared: Shared<'m>,
    memory: Memory<'m>,
}

/// What every worker writes to, on cache lines of its own (two: CPUs fetch lines in pairs).
#[repr(align(128))]
struct Shared<'m> {
    stack: Stack<'m>,
    /// Slots on the stack. Counted before they are put and after they are taken, so it is never below what is there.
    free: AtomicU32,
    lowest_free: AtomicU32,
    exhausted: AtomicU64,
}

/// How a pool stands. Each figure is exact; those that others are changing just now need not fit together.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PoolStats {
    /// All its slots.
    pub slots: u32,
    /// Bytes of each.
    pub slot_bytes: usize,
    /// Slots on the shared stack.
    pub free: u32,
    /// The fewest that ever were: the low-water mark.
    pub lowest_free: u32,
    /// Times that a slot was asked for and there was none.
    pub exhausted: u64,
}

impl PoolStats {
    /// Slots that are lent, or wait in magazines ([`Magazine::len`]), or were forgotten.
    #[must_use]
    pub const fn in_use(&self) -> u32 {
        self.slots.saturating_sub(self.free)
    }

    /// The most that ever were in use.
    #[must_use]
    pub const fn peak_in_use(&self) -> u32 {
        self.slots.saturating_sub(self.lowest_free)
    }
}

impl<'m> Pool<'m> {
    /// A pool of as many slots of `slot_bytes` as fit into `memory`, with one of `links` for each; what the links are does
    /// not matter. All slots are free, those at the start of the memory are lent first, and nothing of `memory` is touched.
    ///
    /// Slots lie back to back: where `memory` begins at a multiple of 4096 and so is `slot_bytes`, every slot does too.
    ///
    /// # Errors
    /// [`PoolError`] says what does not fit together.
    pub fn new(memory: &'m mut [u8], slot_bytes: usize, links: &'m mut [AtomicU32]) -> Result<Self, PoolError> {
        let slots = memory.len().checked_div(slot_bytes).filter(|slots| *slots > 0).ok_or(PoolError::NoSlots)?;
        let count = u32::try_from(slots).ok().filter(|slots| *slots < u32::MAX).ok_or(PoolError::TooManySlots)?;
        // The exclusive borrow is kept for good, so nobody else writes links.
        let links: &'m [AtomicU32] = links.get(..slots).ok_or(PoolError::TooFewLinks)?;
        let memory = Memory::new(memory, slot_bytes, count).ok_or(PoolError::NoSlots)?;
        let shared = Shared {
            stack: Stack::new(links),
            free: AtomicU32::new(count),
            lowest_free: AtomicU32::new(count),
            exhausted: AtomicU64::new(0),
        };
        Ok(Self { shared, memory })
    }

    /// A free slot from the shared stack; `None`, and one more [`PoolStats::exhausted`], where there is none.
    pub fn take(&self) -> Option<Slot<'_>> {
        let mut index = [0];
        if self.withdraw(&mut index) == 0 {
            self.count_exhausted();
            return None;
        }
        // SAFETY: the index was withdrawn from this pool just now, and is used for this slot only.
        Some(unsafe { Slot::new(self, index[0]) })
    }

    /// How many slots it has.
    #[must_use]
    pub const fn slots(&self) -> u32 {
        self.memory.slots()
    }

    /// The length of each slot.
    #[must_use]
    pub const fn slot_bytes(&self) -> usize {
        self.memory.slot_bytes()
    }

    /// Where its slots lie: all its memory. For whoever has to name it to the system; the bytes are their slots' owners'.
    #[must_use]
    pub const fn region(&self) -> NonNull<[u8]> {
        self.memory.region()
    }

    /// How it stands. May be asked at any time, by any thread; costs the workers nothing.
    #[must_use]
    pub fn stats(&self) -> PoolStats {
        PoolStats {
            slots: self.slots(),
            slot_bytes: self.slot_bytes(),
            free: self.shared.free.load(Ordering::Relaxed),
            lowest_free: self.shared.lowest_free.load(Ordering::Relaxed),
            exhausted: self.shared.exhausted.load(Ordering::Relaxed),
        }
    }

    const fn memory(&self) -> &Memory<'m> {
        &self.memory
    }

    /// Takes indices off the stack into `out`; returns how many. The caller owns their slots then.
    fn withdraw(&self, out: &mut [u32]) -> usize {
        let count = self.shared.stack.take(out);
        if count > 0 {
            // At most as many as there are slots, which fit.
            let taken = count as u32;
            let left = self.shared.free.fetch_sub(taken, Ordering::Relaxed).saturating_sub(taken);
            if left < self.shared.lowest_free.load(Ordering::Relaxed) {
                self.shared.lowest_free.fetch_min(left, Ordering::Relaxed);
            }
        }
        count
    }

    /// Puts indices back that the caller owned until now: each came from [`Pool::withdraw`] of this pool.
    fn deposit(&self, indices: &[u32]) {
        self.shared.free.fetch_add(indices.len() as u32, Ordering::Relaxed);
        self.shared.stack.put(indices);
    }

    fn count_exhausted(&self) {
        self.shared.exhausted.fetch_add(1, Ordering::Relaxed);
    }
}

impl fmt::Debug for Pool<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.stats().fmt(f)
    }
}
