//! The pools that blocks of the data stream lie in, from the first byte to the last use, on file threads and off them.

use wirehaul_core::pool::Sizing;

use super::plan::{BLOCK_CHUNK_BYTES, MAX_BLOCK_BYTES};
use crate::pools::{LastingPool, PoolsError, lasting};

/// Bytes of a slot: it holds the longest block, in whole pages, so that every block begins at one.
pub const SLOT_BYTES: u32 = (MAX_BLOCK_BYTES as u32).next_multiple_of(4096);
/// Blocks that may be ready or being read, and not yet sent: enough to hide a disk's latency.
pub(super) const READ_AHEAD_BLOCKS: u32 = 12;
/// File data that a sender holds for the sake of retransmission; the congestion window cannot grow past it.
const HELD_BYTES: u32 = 80 << 20;
/// Blocks for each of the transfers that a receiver may have at once: a window of 10 MiB.
const BLOCKS_PER_TRANSFER: u32 = 40;

/// The pool of a sender: 80 MiB of file data, and what is read ahead.
///
/// # Errors
/// See [`lasting`].
pub fn sender_pool() -> Result<LastingPool, PoolsError> {
    pool(1, HELD_BYTES / BLOCK_CHUNK_BYTES + READ_AHEAD_BLOCKS)
}

/// The pool of a receiver of so many transfers at once. With 16, two may have windows of 64 MiB on the longest paths, or all
/// of them 10 MiB.
///
/// # Errors
/// See [`lasting`].
pub fn receiver_pool(transfers: u32) -> Result<LastingPool, PoolsError> {
    pool(transfers, BLOCKS_PER_TRANSFER)
}

fn pool(sessions: u32, slots_per_session: u32) -> Result<LastingPool, PoolsError> {
    lasting(&Sizing { slots_per_session, slot_bytes: SLOT_BYTES, ..Sizing::new(1, sessions) })
}
