//! Buffers that the kernel can read from and write to without a copy of its own (O_DIRECT).

use std::ops::{Deref, DerefMut};

/// Where a buffer begins: at a page, which satisfies every device (STATX_DIOALIGN reports at most that).
pub const ALIGN_BYTES: usize = 4096;

/// Bytes that begin at a multiple of [`ALIGN_BYTES`] in memory.
#[derive(Debug, Default)]
pub struct Buffer {
    /// Never grown in place once `start` is set: that could move it.
    bytes: Vec<u8>,
    start: usize,
    len: usize,
}

impl Buffer {
    /// An empty buffer, which owns no memory yet.
    #[must_use]
    pub const fn new() -> Self {
        Self { bytes: Vec::new(), start: 0, len: 0 }
    }

    /// Makes it `len` bytes long. What the bytes are is not said: zeros, or what was in the buffer before.
    pub fn resize(&mut self, len: usize) {
        if self.bytes.len() < self.start + len || self.bytes.is_empty() {
            self.bytes = vec![0; len + ALIGN_BYTES];
            // An implementation may answer that it cannot tell; the buffer is then only not aligned.
            let start = self.bytes.as_ptr().align_offset(ALIGN_BYTES);
            self.start = if start < ALIGN_BYTES { start } else { 0 };
        }
        self.len = len;
    }

    /// Whether a range of it can be given to the kernel as it is.
    #[must_use]
    pub fn is_aligned(bytes: &[u8]) -> bool {
        bytes.as_ptr().align_offset(ALIGN_BYTES) == 0 && bytes.len().is_multiple_of(ALIGN_BYTES)
    }
}

impl Deref for Buffer {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        self.bytes.get(self.start..self.start + self.len).unwrap_or(&[])
    }
}

impl DerefMut for Buffer {
    fn deref_mut(&mut self) -> &mut [u8] {
        self.bytes.get_mut(self.start..self.start + self.len).unwrap_or(&mut [])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_buffer_is_aligned_at_every_length_and_keeps_its_bytes_when_it_shrinks() {
        let mut buffer = Buffer::new();
        assert!(buffer.is_empty());
        for len in [1, 4096, 100, 262_176, 5] {
            buffer.resize(len);
            assert_eq!((buffer.len(), buffer.as_ptr().align_offset(ALIGN_BYTES)), (len, 0));
            buffer.fill(7);
        }
        assert!(buffer.iter().all(|byte| *byte == 7));
        buffer.resize(8192);
        assert!(
            Buffer::is_aligned(&buffer) && !Buffer::is_aligned(&buffer[1..4097]) && !Buffer::is_aligned(&buffer[..7])
        );
    }
}
