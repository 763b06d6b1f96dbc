//! Blocks on their way in: put together from packets, then handed to the file engine.

use std::collections::VecDeque;

use super::plan::{Block, Plan};
use crate::io::buffer::Buffer;
use crate::pools::LastingPool;

/// A block that is being put together, or was handed on.
#[derive(Debug)]
struct Assembly {
    start: u64,
    len: u32,
    filled: u32,
    block: Option<Block>,
    bytes: Buffer,
}

/// The part of the data stream that is being put together. Flow control bounds it.
#[derive(Debug)]
pub struct Incoming {
    pool: LastingPool,
    plan: Option<Plan>,
    /// Where the round begins in the stream.
    base: u64,
    /// Where the blocks that the plan has given so far end in the stream.
    planned_end: u64,
    assemblies: VecDeque<Assembly>,
    recent: usize,
}

/// The peer sent more than the round has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BeyondPlan;

impl Incoming {
    /// Nothing yet; blocks will lie in slots of `pool`.
    #[must_use]
    pub fn new(pool: LastingPool) -> Self {
        let assemblies = VecDeque::with_capacity(pool.slots() as usize);
        Self { pool, plan: None, base: 0, planned_end: 0, assemblies, recent: 0 }
    }

    /// Begins a round whose first block is at `base` of the stream.
    pub fn begin(&mut self, base: u64, plan: Plan) {
        self.plan = Some(plan);
        self.base = base;
        self.planned_end = base;
        self.assemblies.clear();
        self.recent = 0;
    }

    /// Takes stream bytes in, each byte once; blocks that are complete go to `complete` with their bytes.
    ///
    /// # Errors
    /// [`BeyondPlan`] where the round has no such bytes.
    pub fn receive(
        &mut self,
        offset: u64,
        bytes: &[u8],
        mut complete: impl FnMut(Block, Buffer),
    ) -> Result<(), BeyondPlan> {
        let end = offset + bytes.len() as u64;
        self.plan_until(end)?;
        let (mut at, mut rest) = (offset, bytes);
        while !rest.is_empty() {
            let index = self.find(at).ok_or(BeyondPlan)?;
            self.recent = index;
            let assembly = &mut self.assemblies[index];
            let from = (at - assembly.start) as usize;
            let count = (assembly.len as usize - from).min(rest.len());
            if assembly.bytes.is_empty() {
                // What has come cannot be sent back. Where the pool, which counts it, is empty, these bytes lie on the heap:
                // no more of them than the peer was granted before, and while it is so, it is granted no more.
                assembly.bytes = self.pool.take().map(Buffer::in_slot).unwrap_or_default();
                assembly.bytes.resize(assembly.len as usize);
            }
            assembly.bytes[from..from + count].copy_from_slice(&rest[..count]);
            assembly.filled += count as u32;
            if assembly.filled == assembly.len
                && let Some(block) = assembly.block.take()
            {
                complete(block, std::mem::take(&mut assembly.bytes));
            }
            at += count as u64;
            rest = &rest[count..];
        }
        while self.assemblies.front().is_some_and(|front| front.block.is_none()) {
            self.assemblies.pop_front();
            self.recent = self.recent.saturating_sub(1);
        }
        Ok(())
    }

    /// Blocks of which something has come, or which are expected before such a one.
    #[must_use]
    pub fn pending(&self) -> usize {
        self.assemblies.len()
    }

    /// Makes sure that the plan has given every block up to `end` of the stream.
    fn plan_until(&mut self, end: u64) -> Result<(), BeyondPlan> {
        while self.planned_end < end {
            let block = self.plan.as_mut().and_then(Iterator::next).ok_or(BeyondPlan)?;
            let (start, len) = (self.base + block.stream_offset, block.len);
            self.planned_end = start + u64::from(len);
            self.assemblies.push_back(Assembly { start, len, filled: 0, block: Some(block), bytes: Buffer::new() });
        }
        Ok(())
    }

    fn find(&self, offset: u64) -> Option<usize> {
        let covers = |held: &Assembly| held.start <= offset && offset < held.start + u64::from(held.len);
        if self.assemblies.get(self.recent).is_some_and(covers) {
            return Some(self.recent);
        }
        let index = self.assemblies.partition_point(|held| held.start + u64::from(held.len) <= offset);
        self.assemblies.get(index).is_some_and(covers).then_some(index)
    }
}
