//! A UMEM: memory that is shared with the kernel, cut into frames to receive into and frames to send from.

use std::sync::atomic::{AtomicU32, Ordering};

use wirehaul_core::pool::{Pool, PoolError};
use wirehaul_core::xsk::{Frames, Loan, NoFrames};

use crate::numa::memory::{Memory, MemoryError};

/// How large a UMEM is to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct UmemSize {
    /// Bytes of a chunk: 2048 or 4096.
    pub chunk_bytes: u32,
    /// Frames to receive into, of one chunk each.
    pub receive_frames: u32,
    /// Frames to send from.
    pub transmit_frames: u32,
    /// Chunks of a frame to send from: 1 to 4.
    pub chunks_per_transmit: u32,
}

impl UmemSize {
    /// All of it in bytes.
    #[must_use]
    pub const fn bytes(&self) -> usize {
        self.receive_bytes() + self.transmit_frames as usize * self.transmit_frame_bytes()
    }

    const fn receive_bytes(&self) -> usize {
        self.receive_frames as usize * self.chunk_bytes as usize
    }

    const fn transmit_frame_bytes(&self) -> usize {
        self.chunks_per_transmit as usize * self.chunk_bytes as usize
    }

    const fn chunks(&self) -> usize {
        self.receive_frames as usize + self.transmit_frames as usize * self.chunks_per_transmit as usize
    }
}

/// Why there is no UMEM.
#[derive(Debug, thiserror::Error)]
pub enum UmemError {
    /// No memory.
    #[error(transparent)]
    Memory(#[from] MemoryError),
    /// Its parts do not make pools.
    #[error("{0:?}: these frames make no pool")]
    Pool(PoolError),
    /// The pools do not make frames.
    #[error("{0:?}: these frames make no UMEM")]
    Frames(NoFrames),
}

/// Owns all that the [`Frames`] of a UMEM point into. Everything here is an allocation of its own, given to nobody else.
#[derive(Debug)]
pub(super) struct Umem {
    // Dropped in this order: tokens in the ledgers go home to the pools, which lie over links and memory.
    ledgers: [Owned<[Loan<'static>]>; 2],
    pools: [Owned<Pool<'static>>; 2],
    _links: Owned<[AtomicU32]>,
    memory: Memory,
    id: u32,
    size: UmemSize,
}

impl Umem {
    /// Memory for frames of this size, on `node` where that can be had.
    pub(super) fn new(size: UmemSize, node: Option<u32>) -> Result<Self, UmemError> {
        static NEXT: AtomicU32 = AtomicU32::new(1);
        let memory = Memory::new(size.bytes(), node)?;
        let links = (size.receive_frames + size.transmit_frames) as usize;
        let links = Owned::new((0..links).map(|_| AtomicU32::new(0)).collect::<Box<[_]>>());
        // SAFETY: `memory` and `links` are owned by the same `Umem` as the pools, which are dropped before them, and nobody
        // else gets a reference to either. Both parts lie inside of the mapping, which is at least `size.bytes()` long, is
        // initialised (zero) and does not move.
        let (bytes, links_for) = unsafe {
            let bytes = std::slice::from_raw_parts_mut(memory.start().as_ptr(), size.bytes());
            (bytes, links.borrow_for_ever())
        };
        let (receive, transmit) = bytes.split_at_mut(size.receive_bytes());
        let (receive_links, transmit_links) = links_for.split_at_mut(size.receive_frames as usize);
        let receive = Pool::new(receive, size.chunk_bytes as usize, receive_links).map_err(UmemError::Pool)?;
        let transmit = Pool::new(transmit, size.transmit_frame_bytes(), transmit_links).map_err(UmemError::Pool)?;
        let ledger = || Owned::new((0..size.chunks()).map(|_| None).collect::<Box<[Loan<'static>]>>());
        Ok(Self {
            ledgers: [ledger(), ledger()],
            pools: [Owned::new(Box::new(receive)), Owned::new(Box::new(transmit))],
            _links: links,
            memory,
            id: NEXT.fetch_add(1, Ordering::Relaxed),
            size,
        })
    }

    /// The frames, all free.
    ///
    /// # Safety
    /// They are asked for once, and are gone before this `Umem` is dropped, with every frame and buffer taken from them.
    pub(super) unsafe fn frames(&mut self) -> Result<Frames<'static, 'static>, UmemError> {
        // SAFETY: the allocations live as long as this `Umem`, which outlives the frames by this function's contract. The
        // ledgers are borrowed once, since this is called once; the pools are only shared.
        let ([filled, sent], [receive, transmit]) = unsafe {
            let [filled, sent] = &mut self.ledgers;
            let [receive, transmit] = &self.pools;
            ([filled.borrow_for_ever(), sent.borrow_for_ever()], [receive.share_for_ever(), transmit.share_for_ever()])
        };
        Frames::new(self.id, receive, transmit, filled, sent).map_err(UmemError::Frames)
    }

    pub(super) const fn memory(&self) -> &Memory {
        &self.memory
    }

    pub(super) const fn id(&self) -> u32 {
        self.id
    }

    pub(super) const fn size(&self) -> UmemSize {
        self.size
    }
}

/// A box whose owner may be moved while what is in it is borrowed: a `Box` itself may not.
#[derive(Debug)]
struct Owned<T: ?Sized>(std::ptr::NonNull<T>);

// SAFETY: it owns a `T` as a box does.
unsafe impl<T: ?Sized + Send> Send for Owned<T> {}

impl<T: ?Sized> Owned<T> {
    fn new(boxed: Box<T>) -> Self {
        Self(Box::leak(boxed).into())
    }

    /// # Safety
    /// The result is gone before this is dropped, and nothing else borrows the same meanwhile.
    #[allow(clippy::mut_from_ref, reason = "the contract takes the borrow checker's place")]
    unsafe fn borrow_for_ever(&self) -> &'static mut T {
        // SAFETY: the pointer came from a box that is not dropped before; the rest is the caller's promise.
        unsafe { &mut *self.0.as_ptr() }
    }

    /// # Safety
    /// The result is gone before this is dropped, and nothing borrows the same exclusively meanwhile.
    unsafe fn share_for_ever(&self) -> &'static T {
        // SAFETY: as in `borrow_for_ever`.
        unsafe { self.0.as_ref() }
    }
}

impl<T: ?Sized> Drop for Owned<T> {
    fn drop(&mut self) {
        // SAFETY: the pointer came out of a box in `new` and is given back once; borrows are gone by their contracts.
        drop(unsafe { Box::from_raw(self.0.as_ptr()) });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SIZE: UmemSize =
        UmemSize { chunk_bytes: 2048, receive_frames: 64, transmit_frames: 32, chunks_per_transmit: 2 };

    #[test]
    fn frames_lie_where_their_addresses_say() {
        let mut umem = Umem::new(SIZE, None).unwrap();
        let start = umem.memory().start().as_ptr() as usize;
        // SAFETY: once, and dropped before the UMEM.
        let mut frames = unsafe { umem.frames() }.unwrap();
        let mut taken: Vec<_> = std::iter::from_fn(|| frames.take()).collect();
        assert_eq!(taken.len(), 32);
        for slot in &mut taken {
            let place = slot.as_ptr() as usize - start;
            assert_eq!(place, 64 * 2048 + slot.index() as usize * 4096);
            slot.fill(1);
        }
        assert_eq!((frames.whereabouts().free, frames.whereabouts().held()), (64, 32));
        taken.into_iter().for_each(|slot| frames.put(slot));
        assert_eq!(frames.whereabouts().free, 96);
    }

    #[test]
    fn sizes_that_make_no_frames_are_errors() {
        let mut umem = Umem::new(UmemSize { chunk_bytes: 1024, ..SIZE }, None).unwrap();
        // SAFETY: once, and dropped before the UMEM.
        assert!(matches!(unsafe { umem.frames() }, Err(UmemError::Frames(NoFrames::ChunkBytes))));
        assert!(matches!(Umem::new(UmemSize { receive_frames: 0, ..SIZE }, None), Err(UmemError::Pool(_))));
    }
}
