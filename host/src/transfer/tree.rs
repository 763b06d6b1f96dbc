//! The hash of a file by chunks (XFER-4).
//!
//! BLAKE3 is a tree, and a chunk of 256 KiB is a whole subtree of it. So every chunk has a chaining value of its own
//! that depends on nothing but its bytes and its place; both sides compute it beside the transfer and in any order,
//! and the chaining values join to exactly the BLAKE3 hash of the file.

use blake3::hazmat::{HasherExt, Mode, merge_subtrees_non_root, merge_subtrees_root};

use super::manifest::CHUNK_BYTES;

/// Bytes of a chaining value and of a root hash.
pub const HASH_BYTES: usize = 32;

/// A chaining value or a root hash.
pub type Hash = [u8; HASH_BYTES];

/// In the place of a hash: the sender could not read the chunk. No input has this hash.
pub const FAILED: Hash = [0; HASH_BYTES];

/// A chunk of zeros, for holes.
pub static ZERO_CHUNK: [u8; CHUNK_BYTES as usize] = [0; CHUNK_BYTES as usize];

/// The chaining value of chunk `chunk`; for the only chunk of a file, the hash of the file itself.
pub fn chunk_cv(chunk: u64, is_only_chunk: bool, data: &[u8]) -> Hash {
    if is_only_chunk {
        return *blake3::hash(data).as_bytes();
    }
    blake3::Hasher::new().set_input_offset(chunk * CHUNK_BYTES).update(data).finalize_non_root()
}

/// Levels of the tree of the largest file: 2^48 bytes are 2^30 chunks, and one may wait to be merged.
const MAX_LEVELS: usize = 32;

/// Joins the chaining values of a file's chunks, pushed in order, into the hash of the file.
///
/// It keeps one value per level of the tree: 1.5 KB for the largest file.
#[derive(Debug, Clone, Default)]
pub struct TreeHasher {
    /// Complete left subtrees, largest first; they are merged only when a further chunk proves that none is the root.
    stack: Vec<Hash>,
    count: u64,
}

impl TreeHasher {
    /// No chunk yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Number of chunks pushed.
    pub fn count(&self) -> u64 {
        self.count
    }

    /// Adds the chaining value of the next chunk.
    pub fn push(&mut self, cv: Hash) {
        if self.count == 0 {
            // Once for all of the file.
            self.stack.reserve(MAX_LEVELS);
        }
        // Before the value at index n comes, one subtree per set bit of n is on the stack.
        while self.stack.len() > self.count.count_ones() as usize {
            self.merge_top();
        }
        self.stack.push(cv);
        self.count += 1;
    }

    /// The hash of the file; for one chunk the value pushed; for none the hash of no bytes.
    pub fn finish(mut self) -> Hash {
        while self.stack.len() > 2 {
            self.merge_top();
        }
        match self.stack[..] {
            [] => *blake3::hash(b"").as_bytes(),
            [only] => only,
            [left, right, ..] => *merge_subtrees_root(&left, &right, Mode::Hash).as_bytes(),
        }
    }

    fn merge_top(&mut self) {
        if let (Some(right), Some(left)) = (self.stack.pop(), self.stack.pop()) {
            self.stack.push(merge_subtrees_non_root(&left, &right, Mode::Hash));
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::transfer::manifest::chunk_count;

    fn tree_hash(data: &[u8]) -> Hash {
        let only = chunk_count(data.len() as u64) == 1;
        let mut tree = TreeHasher::new();
        for (index, chunk) in data.chunks(CHUNK_BYTES as usize).enumerate() {
            tree.push(chunk_cv(index as u64, only, chunk));
        }
        tree.finish()
    }

    fn bytes(len: usize, seed: u8) -> Vec<u8> {
        (0..len).map(|index| (index as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15).to_le_bytes()[6] ^ seed).collect()
    }

    #[test]
    fn chunk_values_join_to_the_blake3_of_the_file_at_every_boundary() {
        let chunk = CHUNK_BYTES as usize;
        for chunks in 0..9 {
            for extra in [0, 1, 63, 64, 1023, 1024, 1025, chunk - 1] {
                let data = bytes(chunks * chunk + extra, chunks as u8);
                assert_eq!(tree_hash(&data), *blake3::hash(&data).as_bytes(), "{chunks} chunks + {extra}");
            }
        }
    }

    #[test]
    fn the_same_bytes_at_another_place_have_another_value() {
        assert_ne!(chunk_cv(0, false, &ZERO_CHUNK), chunk_cv(1, false, &ZERO_CHUNK));
        assert_ne!(chunk_cv(0, false, &ZERO_CHUNK), chunk_cv(0, true, &ZERO_CHUNK));
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(12))]
        #[test]
        fn any_length_joins_to_the_blake3_of_the_file(len in 0_usize..6_000_000, seed in any::<u8>()) {
            let data = bytes(len, seed);
            prop_assert_eq!(tree_hash(&data), *blake3::hash(&data).as_bytes());
        }
    }
}
