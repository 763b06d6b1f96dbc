//! The shared stack of free slots: R. K. Treiber's, over indices, with a tag against ABA.
//!
//! ```text
//! head   tag, 32 bits | index of the first free slot, 32 bits
//! next   per slot the index of the slot below it; meaningless while somebody owns the slot
//! ```
//! A thread that takes reads `head`, follows `next` as far as it wants to go, and swaps `head` for what lies below. In
//! between, others may have taken and put the same slots, so that `head` names the same first slot again over another
//! chain (ABA). Every take and every put therefore makes the tag one higher, and the swap of whoever was overtaken fails.
//! What it had read was stale, but never memory of a buffer: links lie beside the buffers and are always valid to read.

use super::atomic::{AtomicU32, AtomicU64, Ordering};

/// The index of no slot: what lies below the last one.
const NIL: u32 = u32::MAX;

/// Indices that nobody owns. Whoever takes an index owns it until it puts it back.
#[derive(Debug)]
pub struct Stack<'m> {
    head: AtomicU64,
    next: &'m [AtomicU32],
}

impl<'m> Stack<'m> {
    /// A stack of the indices `0..next.len()`, the lowest on top. There are fewer than 2^32.
    pub fn new(next: &'m [AtomicU32]) -> Self {
        let mut below = NIL;
        for (index, link) in (0..NIL).zip(next).rev() {
            link.store(below, Ordering::Relaxed);
            below = index;
        }
        Self { head: AtomicU64::new(u64::from(below)), next }
    }

    /// Takes as many as there are, at most as many as fit into `out`; returns how many. What was on top comes first.
    pub fn take(&self, out: &mut [u32]) -> usize {
        let mut head = self.head.load(Ordering::Acquire);
        loop {
            let (count, below) = self.follow(first_of(head), out);
            if count == 0 {
                return 0;
            }
            // Acquire: sees the links and the buffers as they were when they were put. Release: the links that were
            // followed here were read before whoever takes these slots next writes them.
            match self.head.compare_exchange_weak(head, after(head, below), Ordering::AcqRel, Ordering::Acquire) {
                Ok(_) => return count,
                Err(newer) => head = newer,
            }
        }
    }

    /// Gives back indices that the caller owns; they lie on top then, the first of them above the others.
    pub fn put(&self, indices: &[u32]) {
        let (Some(&first), Some(&last)) = (indices.first(), indices.last()) else { return };
        for pair in indices.windows(2) {
            self.link(pair[0], pair[1]);
        }
        let mut head = self.head.load(Ordering::Relaxed);
        loop {
            self.link(last, first_of(head));
            // Release: the links and what is in the buffers become visible with the new head. A later swap by somebody
            // else continues this one's release sequence, so that whoever takes from below that one sees them too.
            match self.head.compare_exchange_weak(head, after(head, first), Ordering::Release, Ordering::Relaxed) {
                Ok(_) => return,
                Err(newer) => head = newer,
            }
        }
    }

    /// Writes the chain that begins at `first` to `out`, as far as it goes; returns its length, and what lies below. What
    /// it finds may be stale: then it is a chain that never was, of indices that exist, and no longer than `out`.
    fn follow(&self, first: u32, out: &mut [u32]) -> (usize, u32) {
        let (mut at, mut count) = (first, 0);
        for place in out {
            let Some(link) = self.next.get(at as usize) else { break };
            *place = at;
            at = link.load(Ordering::Relaxed);
            count += 1;
        }
        (count, at)
    }

    fn link(&self, upper: u32, lower: u32) {
        if let Some(link) = self.next.get(upper as usize) {
            link.store(lower, Ordering::Relaxed);
        }
    }
}

const fn first_of(head: u64) -> u32 {
    head as u32
}

/// The head with its tag one higher, over `first`.
pub(super) const fn after(head: u64, first: u32) -> u64 {
    let tag = ((head >> 32) as u32).wrapping_add(1);
    (tag as u64) << 32 | first as u64
}
