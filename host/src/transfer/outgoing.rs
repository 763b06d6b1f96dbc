//! Blocks on their way out: being read, ready to leave, or waiting for the peer's acknowledgement.

use std::collections::VecDeque;

use super::blocks;
use super::plan::Block;
use crate::io::buffer::Buffer;
use crate::pools::LastingPool;

/// See [`blocks::READ_AHEAD_BLOCKS`].
const READ_AHEAD_BLOCKS: usize = blocks::READ_AHEAD_BLOCKS as usize;

/// A block of the data stream in memory.
#[derive(Debug)]
struct Held {
    start: u64,
    len: u32,
    /// `None` while it is being read.
    bytes: Option<Buffer>,
    /// Until it was passed on by [`Outgoing::advance`].
    block: Option<Block>,
}

/// The part of the data stream that is in memory: as many blocks as the pool has slots.
#[derive(Debug)]
pub struct Outgoing {
    pool: LastingPool,
    /// The pool had no slot when one was asked for last.
    starved: bool,
    held: VecDeque<Held>,
    /// Stream offset up to which every block is ready.
    ready_end: u64,
    /// Blocks at the front that are ready.
    ready: usize,
    /// Where the last byte was asked for.
    recent: usize,
    /// Stream offset up to which bytes were asked for.
    asked_end: u64,
}

impl Outgoing {
    /// Nothing yet; blocks will lie in slots of `pool`.
    #[must_use]
    pub fn new(pool: LastingPool) -> Self {
        Self {
            pool,
            starved: false,
            held: VecDeque::with_capacity(pool.slots() as usize),
            ready_end: 0,
            ready: 0,
            recent: 0,
            asked_end: 0,
        }
    }

    /// Whether another block should be read now.
    pub fn wants_block(&self) -> bool {
        let unsent = self.held.iter().rev().take(READ_AHEAD_BLOCKS).filter(|held| held.start >= self.asked_end).count();
        unsent < READ_AHEAD_BLOCKS
    }

    /// A buffer to read the next block into. `None` where the pool is empty: until the peer acknowledges blocks, no more
    /// are read.
    pub fn take_buffer(&mut self) -> Option<Buffer> {
        // While it waits it does not ask again, so that the pool counts once.
        if self.starved && self.pool.stats().free == 0 {
            return None;
        }
        let slot = self.pool.take();
        self.starved = slot.is_none();
        slot.map(Buffer::in_slot)
    }

    /// Reserves the place of a block that begins at `start` of the stream.
    pub fn reserve(&mut self, start: u64, block: &Block) {
        self.held.push_back(Held { start, len: block.len, bytes: None, block: None });
    }

    /// The block that begins at `start` was read.
    pub fn fulfil(&mut self, start: u64, block: Block, bytes: Buffer) {
        let index = self.held.partition_point(|held| held.start < start);
        if let Some(held) = self.held.get_mut(index).filter(|held| held.start == start) {
            held.bytes = Some(bytes);
            held.block = Some(block);
        }
    }

    /// Passes the bytes of each block that has become ready, in the order of the stream, to `visit`; returns the
    /// stream offset up to which everything is ready.
    pub fn advance(&mut self, mut visit: impl FnMut(&Block, &mut [u8])) -> u64 {
        while let Some(held) = self.held.get_mut(self.ready) {
            let (Some(bytes), Some(block)) = (&mut held.bytes, held.block.take()) else { break };
            visit(&block, bytes);
            self.ready += 1;
            self.ready_end = held.start + u64::from(held.len);
        }
        self.ready_end
    }

    /// Copies stream bytes from `offset` on; they are ready and not acknowledged.
    pub fn fill(&mut self, offset: u64, out: &mut [u8]) {
        self.asked_end = self.asked_end.max(offset + out.len() as u64);
        let mut done = 0;
        while done < out.len() {
            let at = offset + done as u64;
            let Some(index) = self.find(at) else { return };
            self.recent = index;
            let held = &self.held[index];
            let from = (at - held.start) as usize;
            let Some(bytes) = held.bytes.as_ref().and_then(|bytes| bytes.get(from..)) else { return };
            let count = bytes.len().min(out.len() - done);
            out[done..done + count].copy_from_slice(&bytes[..count]);
            done += count;
        }
    }

    /// The peer has everything below `upto`.
    pub fn acknowledged(&mut self, upto: u64) {
        while let Some(held) = self.held.front()
            && held.start + u64::from(held.len) <= upto
        {
            self.held.pop_front();
            self.ready = self.ready.saturating_sub(1);
            self.recent = self.recent.saturating_sub(1);
        }
    }

    /// Whether nothing is held.
    pub fn is_empty(&self) -> bool {
        self.held.is_empty()
    }

    fn find(&self, offset: u64) -> Option<usize> {
        let covers = |held: &Held| held.start <= offset && offset < held.start + u64::from(held.len);
        for index in [self.recent, self.recent + 1] {
            if self.held.get(index).is_some_and(covers) {
                return Some(index);
            }
        }
        let index = self.held.partition_point(|held| held.start + u64::from(held.len) <= offset);
        self.held.get(index).is_some_and(covers).then_some(index)
    }
}

#[cfg(test)]
mod tests {
    use smallvec::SmallVec;
    use wirehaul_core::pool::Sizing;

    use super::*;
    use crate::pools::lasting;

    fn outgoing(slots: u32) -> Outgoing {
        let sizing = Sizing { slots_per_session: slots, slot_bytes: 4096, ..Sizing::new(1, 1) };
        Outgoing::new(lasting(&sizing).unwrap())
    }

    fn block(len: u32) -> Block {
        Block { index: 0, stream_offset: 0, len, pieces: SmallVec::new() }
    }

    fn reserve(outgoing: &mut Outgoing, start: u64, bytes: &[u8]) -> Buffer {
        let mut buffer = outgoing.take_buffer().unwrap();
        outgoing.reserve(start, &block(bytes.len() as u32));
        buffer.resize(bytes.len());
        buffer.copy_from_slice(bytes);
        buffer
    }

    #[test]
    fn blocks_become_ready_in_order_and_are_filled_across_their_edges() {
        let mut outgoing = outgoing(4);
        let first = reserve(&mut outgoing, 0, b"abcd");
        let second = reserve(&mut outgoing, 4, b"efgh");
        outgoing.fulfil(4, block(4), second);
        assert_eq!(outgoing.advance(|_, _| ()), 0);
        outgoing.fulfil(0, block(4), first);
        let mut order = Vec::new();
        assert_eq!(outgoing.advance(|_, bytes| order.push(bytes[0])), 8);
        assert_eq!(order, *b"ae");
        let mut out = [0; 5];
        outgoing.fill(2, &mut out);
        assert_eq!(&out, b"cdefg");
        outgoing.acknowledged(4);
        outgoing.fill(4, &mut out[..4]);
        assert_eq!(&out[..4], b"efgh");
        outgoing.acknowledged(8);
        assert!(outgoing.is_empty());
        assert_eq!(outgoing.pool.stats().in_use(), 0);
    }

    #[test]
    fn read_ahead_is_bounded() {
        let mut outgoing = outgoing(100);
        let mut start = 0;
        while outgoing.wants_block() {
            outgoing.reserve(start, &block(1000));
            start += 1000;
        }
        assert_eq!(start, 1000 * READ_AHEAD_BLOCKS as u64);
    }

    #[test]
    fn with_an_empty_pool_it_waits_for_an_acknowledgement_and_is_counted_once() {
        let mut outgoing = outgoing(2);
        for start in [0, 4] {
            let buffer = reserve(&mut outgoing, start, b"abcd");
            outgoing.fulfil(start, block(4), buffer);
        }
        assert!(outgoing.wants_block());
        for _ in 0..10 {
            assert!(outgoing.take_buffer().is_none());
        }
        assert_eq!(outgoing.pool.stats().exhausted, 1);
        outgoing.acknowledged(4);
        assert!(outgoing.take_buffer().is_some());
    }
}
