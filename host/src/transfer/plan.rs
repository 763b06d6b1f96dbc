//! The layout of the data stream of a round: both sides compute it alone from (manifest, want).
//!
//! The stream is a row of blocks, a block is a row of pieces, and a piece is one wanted chunk:
//! ```text
//! piece   [data, if wanted in full and no hole] · hash of the chunk, 32 bytes · [hash of the file, 32 bytes]
//! ```
//! The hash of the file follows the last chunk of a file of several chunks, if every chunk of it is wanted in this
//! round (else an earlier round has told it). Nothing in the stream has a header: it is as dense as the files are.
//! A block is the unit of reading, hashing and writing; a block of a large file is exactly one chunk, its data at
//! the start of the block.

use std::sync::Arc;

use smallvec::SmallVec;

use super::manifest::{CHUNK_BYTES, HoleRun, Manifest, chunk_count, chunk_len};
use super::tree::HASH_BYTES;
use super::want::{PieceMode, Want, WantCursor};

/// A block holds pieces of chunks of this many bytes together, whether their data is sent or not.
pub const BLOCK_CHUNK_BYTES: u32 = CHUNK_BYTES as u32;
/// Most pieces of a block.
pub const MAX_BLOCK_PIECES: usize = 512;
/// Longest block in bytes of the stream.
pub const MAX_BLOCK_BYTES: usize = CHUNK_BYTES as usize + MAX_BLOCK_PIECES * 2 * HASH_BYTES;

/// One wanted chunk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Piece {
    /// Index of the chunk in its file.
    pub chunk: u64,
    /// Index of the file in the manifest.
    pub file: u32,
    /// Bytes of the chunk in the file.
    pub len: u32,
    /// Where the piece starts in its block.
    pub offset_in_block: u32,
    /// What is sent of it; never [`PieceMode::Skip`].
    pub mode: PieceMode,
    /// Whether the chunk is a hole: its bytes are zeros and are not sent.
    pub is_hole: bool,
    /// Whether it is the only chunk of its file.
    pub is_only_chunk: bool,
    /// Whether it is the last chunk of its file.
    pub last_of_file: bool,
    /// Whether the hash of the file follows the hash of the chunk.
    pub root_follows: bool,
}

impl Piece {
    /// Where the chunk starts in its file.
    pub fn file_offset(&self) -> u64 {
        self.chunk * CHUNK_BYTES
    }

    /// Bytes of data in the stream.
    pub fn data_len(&self) -> usize {
        if self.mode == PieceMode::Full && !self.is_hole { self.len as usize } else { 0 }
    }

    /// Bytes in the stream: data and hashes.
    pub fn stream_len(&self) -> usize {
        self.data_len() + if self.root_follows { 2 * HASH_BYTES } else { HASH_BYTES }
    }

    /// Where its data lies in the block.
    pub fn data_range(&self) -> std::ops::Range<usize> {
        let start = self.offset_in_block as usize;
        start..start + self.data_len()
    }

    /// Where the hash of the chunk lies in the block.
    pub fn cv_range(&self) -> std::ops::Range<usize> {
        let start = self.data_range().end;
        start..start + HASH_BYTES
    }

    /// Where the hash of the file lies in the block, if it follows.
    pub fn root_range(&self) -> Option<std::ops::Range<usize>> {
        let start = self.cv_range().end;
        self.root_follows.then_some(start..start + HASH_BYTES)
    }
}

/// The pieces of a block. One of a large file has one, which costs no allocation.
pub type Pieces = SmallVec<[Piece; 1]>;

/// Consecutive pieces that are read, hashed and written together.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Block {
    /// Counts from 0 in each round.
    pub index: u64,
    /// Where the block starts in the data stream of the round.
    pub stream_offset: u64,
    /// Bytes of the block in the stream, at most [`MAX_BLOCK_BYTES`].
    pub len: u32,
    /// At least one, at most [`MAX_BLOCK_PIECES`].
    pub pieces: Pieces,
}

/// How much a round moves.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct PlanTotals {
    /// Bytes of the data stream, hashes included.
    pub stream_bytes: u64,
    /// Bytes of file data among them.
    pub data_bytes: u64,
    /// Bytes of files that are only compared, or are holes: not sent, yet part of the result.
    pub unsent_bytes: u64,
    /// Chunks wanted in full.
    pub full_chunks: u64,
    /// Chunks that are only compared.
    pub verify_chunks: u64,
}

/// The blocks of a round, one after the other; it never holds more than one.
#[derive(Debug, Clone)]
pub struct Plan {
    manifest: Arc<Manifest>,
    want: Arc<Want>,
    cursor: WantCursor,
    /// The file that `chunk` belongs to; files before it are done.
    file: u32,
    size_bytes: u64,
    chunks: u64,
    chunk: u64,
    /// Chunks from `chunk` on that have `mode`.
    run: u64,
    mode: PieceMode,
    /// Whether a chunk of this file was skipped.
    skipped: bool,
    holes: Vec<HoleRun>,
    next_hole: usize,
    block_index: u64,
    stream_offset: u64,
}

impl Plan {
    /// At the start of the round. `want` covers exactly the chunks of `manifest`.
    pub fn new(manifest: Arc<Manifest>, want: Arc<Want>) -> Self {
        let mut plan = Self {
            manifest,
            want,
            cursor: WantCursor::default(),
            file: 0,
            size_bytes: 0,
            chunks: 0,
            chunk: 0,
            run: 0,
            mode: PieceMode::Skip,
            skipped: false,
            holes: Vec::new(),
            next_hole: 0,
            block_index: 0,
            stream_offset: 0,
        };
        plan.enter_file();
        plan
    }

    /// The manifest that the plan is of.
    pub fn manifest(&self) -> &Arc<Manifest> {
        &self.manifest
    }

    /// Totals of the whole round: one pass over the entries, the runs and the holes.
    pub fn totals(&self) -> PlanTotals {
        let mut totals = PlanTotals::default();
        let mut cursor = WantCursor::default();
        for file in 0..self.manifest.len() {
            let Some(size_bytes) = self.manifest.file_size(file) else { continue };
            let chunks = chunk_count(size_bytes);
            let (mut chunk, mut skipped, mut last_mode) = (0, false, PieceMode::Skip);
            while chunk < chunks {
                let (mode, count) = cursor.take(&self.want, chunks - chunk);
                self.add_run(&mut totals, file, size_bytes, chunk..chunk + count, mode);
                skipped |= mode == PieceMode::Skip;
                last_mode = mode;
                chunk += count;
            }
            if chunks > 1 && !skipped && last_mode != PieceMode::Skip {
                totals.stream_bytes += HASH_BYTES as u64;
            }
        }
        totals
    }

    fn add_run(
        &self,
        totals: &mut PlanTotals,
        file: u32,
        size_bytes: u64,
        chunks: std::ops::Range<u64>,
        mode: PieceMode,
    ) {
        let bytes_of = |range: std::ops::Range<u64>| {
            (range.end * CHUNK_BYTES).min(size_bytes).saturating_sub(range.start * CHUNK_BYTES)
        };
        let count = chunks.end - chunks.start;
        let bytes = bytes_of(chunks.clone());
        match mode {
            PieceMode::Skip => return,
            PieceMode::Full => {
                let hole_bytes: u64 = self
                    .manifest
                    .holes(file)
                    .map(|run| u64::from(run.first)..u64::from(run.first) + u64::from(run.count))
                    .map(|run| bytes_of(run.start.max(chunks.start)..run.end.min(chunks.end).max(run.start)))
                    .sum();
                totals.full_chunks += count;
                totals.data_bytes += bytes - hole_bytes;
                totals.unsent_bytes += hole_bytes;
                totals.stream_bytes += bytes - hole_bytes;
            }
            PieceMode::Verify => {
                totals.verify_chunks += count;
                totals.unsent_bytes += bytes;
            }
        }
        totals.stream_bytes += count * HASH_BYTES as u64;
    }

    /// Moves to the first file at or behind `self.file` that has chunks.
    fn enter_file(&mut self) {
        self.chunks = 0;
        while self.file < self.manifest.len() {
            self.size_bytes = self.manifest.file_size(self.file).unwrap_or(0);
            self.chunks = chunk_count(self.size_bytes);
            if self.chunks > 0 {
                break;
            }
            self.file += 1;
        }
        self.chunk = 0;
        self.skipped = false;
        self.holes.clear();
        self.holes.extend(self.manifest.holes(self.file));
        self.next_hole = 0;
    }

    /// Moves to the next wanted chunk; `false` if there is none.
    fn seek_wanted(&mut self) -> bool {
        loop {
            if self.chunk == self.chunks {
                if self.file >= self.manifest.len() {
                    return false;
                }
                self.file += 1;
                self.enter_file();
                continue;
            }
            if self.run == 0 {
                (self.mode, self.run) = self.cursor.take(&self.want, self.chunks - self.chunk);
            }
            if self.mode != PieceMode::Skip {
                return true;
            }
            self.chunk += self.run;
            self.run = 0;
            self.skipped = true;
        }
    }

    /// Whether `chunk` is a hole; asked with ascending chunks.
    fn is_hole(&mut self, chunk: u64) -> bool {
        while let Some(run) = self.holes.get(self.next_hole) {
            if chunk < u64::from(run.first) + u64::from(run.count) {
                return chunk >= u64::from(run.first);
            }
            self.next_hole += 1;
        }
        false
    }

    /// The piece at the present chunk, which is wanted.
    fn piece(&mut self, offset_in_block: u32) -> Piece {
        let is_last_chunk = self.chunk + 1 == self.chunks;
        Piece {
            chunk: self.chunk,
            file: self.file,
            len: chunk_len(self.size_bytes, self.chunk),
            offset_in_block,
            mode: self.mode,
            is_hole: self.is_hole(self.chunk),
            is_only_chunk: self.chunks == 1,
            last_of_file: is_last_chunk,
            root_follows: is_last_chunk && self.chunks > 1 && !self.skipped,
        }
    }
}

impl Iterator for Plan {
    type Item = Block;

    fn next(&mut self) -> Option<Block> {
        let mut pieces = Pieces::new();
        let (mut chunk_bytes, mut len) = (0, 0);
        while self.seek_wanted() && pieces.len() < MAX_BLOCK_PIECES {
            let piece = self.piece(len);
            if chunk_bytes + piece.len > BLOCK_CHUNK_BYTES {
                break;
            }
            chunk_bytes += piece.len;
            // MAX_BLOCK_BYTES bounds it.
            len += piece.stream_len() as u32;
            pieces.push(piece);
            self.chunk += 1;
            self.run -= 1;
        }
        if pieces.is_empty() {
            return None;
        }
        let block = Block { index: self.block_index, stream_offset: self.stream_offset, len, pieces };
        self.block_index += 1;
        self.stream_offset += u64::from(len);
        Some(block)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::transfer::manifest::{Kind, ManifestBuilder, Meta};

    fn manifest(sizes: &[u64], holes: &[(u32, u32, u32)]) -> Arc<Manifest> {
        let mut builder = ManifestBuilder::new();
        for (index, &size_bytes) in sizes.iter().enumerate() {
            let name = format!("{index:06}");
            builder.push(name.as_bytes(), Kind::File { size_bytes }, Meta::default()).unwrap();
            for &(_, first, count) in holes.iter().filter(|hole| hole.0 as usize == index) {
                let _ = builder.push_hole(HoleRun { first, count });
            }
        }
        Arc::new(builder.finish())
    }

    fn all(manifest: &Manifest, mode: PieceMode) -> Arc<Want> {
        let mut want = Want::new();
        want.push(mode, manifest.total_chunks());
        Arc::new(want)
    }

    #[test]
    fn a_large_file_is_a_chunk_a_block_with_its_data_at_the_start() {
        let manifest = manifest(&[3 * CHUNK_BYTES + 5], &[]);
        let want = all(&manifest, PieceMode::Full);
        let blocks: Vec<_> = Plan::new(manifest, want).collect();
        let lens: Vec<_> = blocks.iter().map(|block| (block.pieces.len(), block.len)).collect();
        assert_eq!(lens, [(1, 262_176), (1, 262_176), (1, 262_176), (1, 5 + 64)]);
        assert!(blocks[3].pieces[0].last_of_file && blocks[3].pieces[0].root_follows);
        assert!(!blocks[2].pieces[0].last_of_file);
    }

    #[test]
    fn small_files_share_a_block_up_to_its_limits() {
        let many = manifest(&[1; 1000], &[]);
        let blocks: Vec<_> = Plan::new(many.clone(), all(&many, PieceMode::Full)).collect();
        assert_eq!(blocks.iter().map(|block| block.pieces.len()).collect::<Vec<_>>(), [512, 488]);
        let large = manifest(&[100 * 1024; 3], &[]);
        let blocks: Vec<_> = Plan::new(large.clone(), all(&large, PieceMode::Verify)).collect();
        assert_eq!(blocks.iter().map(|block| (block.pieces.len(), block.len)).collect::<Vec<_>>(), [(2, 64), (1, 32)]);
    }

    #[test]
    fn a_round_that_skips_part_of_a_file_sends_no_file_hash() {
        let manifest = manifest(&[4 * CHUNK_BYTES], &[]);
        let mut want = Want::new();
        want.push(PieceMode::Skip, 2);
        want.push(PieceMode::Full, 1);
        want.push(PieceMode::Verify, 1);
        let blocks: Vec<_> = Plan::new(manifest, Arc::new(want)).collect();
        assert_eq!(blocks.len(), 2);
        assert!(blocks[1].pieces[0].last_of_file && !blocks[1].pieces[0].root_follows);
    }

    #[test]
    fn a_terabyte_file_costs_no_memory_to_plan() {
        let manifest = manifest(&[1 << 40], &[(0, 10, 1 << 21)]);
        let plan = Plan::new(manifest.clone(), all(&manifest, PieceMode::Full));
        let totals = plan.totals();
        assert_eq!(totals.data_bytes, (1 << 40) - (1 << 39));
        assert_eq!(plan.take(100).filter(|block| block.pieces[0].is_hole).count(), 90);
    }

    /// Sizes of files; holes as (file, first chunk, chunks); wanted runs as (mode, chunks).
    type Round = (Vec<u64>, Vec<(u32, u32, u32)>, Vec<(u8, u64)>);

    fn rounds() -> impl Strategy<Value = Round> {
        let size = prop_oneof![Just(0), 1..5000_u64, 1..(4 * CHUNK_BYTES), Just(CHUNK_BYTES), Just(2 * CHUNK_BYTES)];
        let sizes = prop::collection::vec(size, 0..40);
        let holes = prop::collection::vec((0..40_u32, 0..4_u32, 1..3_u32), 0..20);
        (sizes, holes, prop::collection::vec((0..3_u8, 1..20_u64), 0..40))
    }

    proptest! {
        #[test]
        fn blocks_cover_exactly_what_is_wanted_in_order((sizes, mut holes, runs) in rounds()) {
            holes.sort_unstable();
            let manifest = manifest(&sizes, &holes);
            let mut want = Want::new();
            for (mode, count) in runs {
                let mode = [PieceMode::Skip, PieceMode::Full, PieceMode::Verify][usize::from(mode)];
                want.push(mode, count.min(manifest.total_chunks() - want.total()));
            }
            want.push(PieceMode::Full, manifest.total_chunks() - want.total());
            let flat: Vec<_> = want.runs().flat_map(|(mode, count)| std::iter::repeat_n(mode, count as usize)).collect();
            let expected: Vec<_> = (0..manifest.len())
                .flat_map(|file| (0..chunk_count(sizes[file as usize])).map(move |chunk| (file, chunk)))
                .zip(flat).filter(|(_, mode)| *mode != PieceMode::Skip).collect();

            let plan = Plan::new(manifest.clone(), Arc::new(want));
            let totals = plan.totals();
            let (mut offset, mut data_bytes, mut met) = (0, 0, Vec::new());
            for (index, block) in plan.enumerate() {
                prop_assert_eq!((block.index, block.stream_offset), (index as u64, offset));
                prop_assert!(block.len as usize <= MAX_BLOCK_BYTES && !block.pieces.is_empty());
                let mut at = 0;
                for piece in &block.pieces {
                    prop_assert_eq!(piece.data_range().start, at);
                    at += piece.stream_len();
                    data_bytes += piece.data_len() as u64;
                    let hole = manifest.holes(piece.file)
                        .any(|run| (u64::from(run.first)..u64::from(run.first + run.count)).contains(&piece.chunk));
                    prop_assert_eq!(piece.is_hole, hole);
                    met.push(((piece.file, piece.chunk), piece.mode));
                }
                prop_assert_eq!(at, block.len as usize);
                offset += u64::from(block.len);
            }
            prop_assert_eq!(met, expected);
            prop_assert_eq!((totals.stream_bytes, totals.data_bytes), (offset, data_bytes));
        }
    }
}
