//! Buffers that the kernel can read from and write to without a copy of its own (O_DIRECT).

use std::ops::{Deref, DerefMut};

use wirehaul_core::pool::Slot;

/// Where a buffer begins: at a page, which satisfies every device (STATX_DIOALIGN reports at most that).
pub const ALIGN_BYTES: usize = 4096;

/// Bytes that begin at a multiple of [`ALIGN_BYTES`] in memory. Moves with the job that works on it; a slot in it goes back
/// to its pool when it is dropped.
#[derive(Debug, Default)]
pub struct Buffer {
    memory: Memory,
    len: usize,
}

#[derive(Debug, Default)]
enum Memory {
    #[default]
    None,
    /// As aligned as its pool's slots are.
    Slot(Slot<'static>),
    /// Of its own. Never grown in place: that could move `start`.
    Heap { bytes: Vec<u8>, start: usize },
}

impl Buffer {
    /// An empty buffer, which owns no memory yet.
    #[must_use]
    pub const fn new() -> Self {
        Self { memory: Memory::None, len: 0 }
    }

    /// An empty buffer in `slot`.
    #[must_use]
    pub const fn in_slot(slot: Slot<'static>) -> Self {
        Self { memory: Memory::Slot(slot), len: 0 }
    }

    /// Makes it `len` bytes long; on the heap where that is more than its memory. What the bytes are is not said: zeros, or
    /// what was in the buffer before.
    pub fn resize(&mut self, len: usize) {
        if self.capacity() < len {
            let bytes = vec![0; len + ALIGN_BYTES];
            // An implementation may answer that it cannot tell; the buffer is then only not aligned.
            let start = bytes.as_ptr().align_offset(ALIGN_BYTES);
            self.memory = Memory::Heap { bytes, start: if start < ALIGN_BYTES { start } else { 0 } };
        }
        self.len = len;
    }

    /// Whether its memory is a slot of a pool.
    #[must_use]
    pub const fn is_in_slot(&self) -> bool {
        matches!(self.memory, Memory::Slot(_))
    }

    /// Whether a range of it can be given to the kernel as it is.
    #[must_use]
    pub fn is_aligned(bytes: &[u8]) -> bool {
        bytes.as_ptr().align_offset(ALIGN_BYTES) == 0 && bytes.len().is_multiple_of(ALIGN_BYTES)
    }

    fn capacity(&self) -> usize {
        match &self.memory {
            Memory::None => 0,
            Memory::Slot(slot) => slot.len(),
            Memory::Heap { bytes, start } => bytes.len() - start,
        }
    }
}

impl Deref for Buffer {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        let bytes = match &self.memory {
            Memory::None => None,
            Memory::Slot(slot) => slot.get(..self.len),
            Memory::Heap { bytes, start } => bytes.get(*start..start + self.len),
        };
        bytes.unwrap_or(&[])
    }
}

impl DerefMut for Buffer {
    fn deref_mut(&mut self) -> &mut [u8] {
        let bytes = match &mut self.memory {
            Memory::None => None,
            Memory::Slot(slot) => slot.get_mut(..self.len),
            Memory::Heap { bytes, start } => bytes.get_mut(*start..*start + self.len),
        };
        bytes.unwrap_or(&mut [])
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pools::lasting;
    use wirehaul_core::pool::Sizing;

    #[test]
    fn a_buffer_is_aligned_at_every_length_and_keeps_its_bytes_when_it_shrinks() {
        let pool = lasting(&Sizing { slots_per_session: 1, slot_bytes: 8192, ..Sizing::new(1, 1) }).unwrap();
        for mut buffer in [Buffer::new(), Buffer::in_slot(pool.take().unwrap())] {
            assert!(buffer.is_empty());
            for len in [1, 4096, 100, 262_176, 5] {
                buffer.resize(len);
                assert_eq!((buffer.len(), buffer.as_ptr().align_offset(ALIGN_BYTES)), (len, 0));
                buffer.fill(7);
            }
            assert!(buffer.iter().all(|byte| *byte == 7));
            buffer.resize(8192);
            let unaligned = Buffer::is_aligned(&buffer[1..4097]) || Buffer::is_aligned(&buffer[..7]);
            assert!(Buffer::is_aligned(&buffer) && !unaligned);
        }
    }

    #[test]
    fn a_slot_holds_what_fits_and_goes_home_with_its_buffer() {
        let pool = lasting(&Sizing { slots_per_session: 1, slot_bytes: 8192, ..Sizing::new(1, 1) }).unwrap();
        let mut buffer = Buffer::in_slot(pool.take().unwrap());
        buffer.resize(8192);
        assert_eq!((buffer.is_in_slot(), pool.stats().in_use()), (true, 1));
        let moved = std::thread::spawn(move || std::mem::take(&mut buffer));
        let mut moved = moved.join().unwrap();
        moved.resize(8193);
        assert_eq!((moved.is_in_slot(), pool.stats().in_use()), (false, 0));
        drop(Buffer::in_slot(pool.take().unwrap()));
        assert_eq!(pool.stats().in_use(), 0);
    }
}
