//! Memory that the kernel knows beforehand: it has the pages at hand and pinned, and need not look them up for each transfer.

use std::ptr::NonNull;

use wirehaul_core::disk::Piece;

use crate::pools::LastingPool;

/// The kernel takes no more than this at once (`io_buffer_validate` of io_uring/rsrc.c).
const MAX_REGION_BYTES: usize = 1 << 30;
/// So many regions at most.
const MAX_REGIONS: usize = 64;

/// Memory that is there for as long as the process.
#[derive(Clone, Copy, Debug)]
pub struct Region {
    start: NonNull<u8>,
    len: usize,
}

// SAFETY: it says where memory lies, and gives nobody access to it.
unsafe impl Send for Region {}

impl Region {
    /// The slots of a pool that lie in its first `most_bytes`. Those that are lent first lie there.
    #[must_use]
    pub fn of(pool: LastingPool, most_bytes: usize) -> Self {
        let all = pool.region();
        let slots = most_bytes.min(all.len()) / pool.slot_bytes();
        Self { start: all.cast(), len: slots * pool.slot_bytes() }
    }

    /// Memory that is not a pool's.
    ///
    /// # Safety
    /// It stays mapped for as long as the process.
    #[must_use]
    pub const unsafe fn of_memory(memory: NonNull<[u8]>) -> Self {
        Self { start: memory.cast(), len: memory.len() }
    }

    /// Where it begins.
    #[must_use]
    pub const fn start(&self) -> NonNull<u8> {
        self.start
    }

    /// Its length in bytes.
    #[must_use]
    pub const fn len(&self) -> usize {
        self.len
    }

    /// Whether there is nothing in it.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.len == 0
    }

    fn holds(&self, at: usize, len: usize) -> bool {
        at.checked_sub(self.start.as_ptr() as usize).is_some_and(|from| from <= self.len && len <= self.len - from)
    }
}

/// The regions that a ring knows.
#[derive(Debug, Default)]
pub(super) struct Regions {
    all: Vec<Region>,
}

impl Regions {
    /// `regions` in parts that the kernel takes.
    pub(super) fn new(regions: &[Region]) -> Self {
        let mut all = Vec::new();
        for region in regions {
            for from in (0..region.len).step_by(MAX_REGION_BYTES) {
                let len = (region.len - from).min(MAX_REGION_BYTES);
                // SAFETY: `from` lies inside of the region.
                let start = unsafe { region.start.add(from) };
                all.push(Region { start, len });
            }
        }
        all.truncate(MAX_REGIONS);
        Self { all }
    }

    pub(super) fn all(&self) -> &[Region] {
        &self.all
    }

    pub(super) fn bytes(&self) -> u64 {
        self.all.iter().map(|region| region.len as u64).sum()
    }

    /// The region that a piece of `memory` lies in as a whole.
    #[inline]
    pub(super) fn of_piece(&self, memory: NonNull<u8>, piece: &Piece) -> Option<u16> {
        let (at, len) = (memory.as_ptr() as usize, piece.len as usize);
        // At most `MAX_REGIONS`.
        self.all.iter().position(|region| region.holds(at, len)).map(|index| index as u16)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pools::lasting;
    use wirehaul_core::pool::Sizing;

    fn region_of(regions: &Regions, memory: *const u8, len: u32) -> Option<u16> {
        regions.of_piece(NonNull::new(memory.cast_mut()).unwrap(), &Piece { from: 0, len, offset: 0 })
    }

    #[test]
    fn memory_is_found_in_its_region_or_in_none() {
        let pool = lasting(&Sizing { slots_per_session: 4, slot_bytes: 8192, ..Sizing::new(1, 1) }).unwrap();
        let other = lasting(&Sizing { slots_per_session: 2, slot_bytes: 4096, ..Sizing::new(1, 1) }).unwrap();
        // Two slots and a half: the half one is left out.
        let regions = Regions::new(&[Region::of(other, usize::MAX), Region::of(pool, 20_000)]);
        assert_eq!(regions.bytes(), 8192 + 16384);
        let slots: Vec<_> = std::iter::from_fn(|| pool.take()).collect();
        let found: Vec<_> = slots.iter().map(|slot| region_of(&regions, slot.as_ptr(), 8192)).collect();
        assert_eq!(found, [Some(1), Some(1), None, None]);
        assert_eq!(region_of(&regions, slots[1][8191..].as_ptr(), 1), Some(1));
        assert_eq!(region_of(&regions, slots[1][8191..].as_ptr(), 2), None, "the end lies outside");
        assert_eq!(region_of(&regions, other.take().unwrap().as_ptr(), 4096), Some(0));
    }

    #[test]
    fn large_regions_are_cut() {
        // SAFETY: nothing looks at the memory; only its bounds are used.
        let region = unsafe { Region::of_memory(NonNull::slice_from_raw_parts(NonNull::dangling(), (5 << 29) + 7)) };
        let regions = Regions::new(&[region]);
        assert_eq!(regions.all().iter().map(Region::len).collect::<Vec<_>>(), [1 << 30, 1 << 30, (1 << 29) + 7]);
        assert_eq!(regions.bytes(), (5 << 29) + 7);
    }
}
