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
/// Blocks for each of the first transfers that a receiver may have at once: a window of 10 MiB.
const BLOCKS_PER_TRANSFER: u32 = 40;
/// So many transfers are the first ones.
const FIRST_TRANSFERS: u32 = 16;
/// Blocks for each further one: what it may send before it is granted more ([`CROWD_WINDOW_BYTES`]).
const BLOCKS_IN_A_CROWD: u32 = 2;
/// The window that each of very many transfers begins with, in bytes. It holds nobody back: slow start needs five round trips to fill it, and
/// from the first one on it grows with what is taken.
pub const CROWD_WINDOW_BYTES: u64 = BLOCKS_IN_A_CROWD as u64 * BLOCK_CHUNK_BYTES as u64;
/// More transfers than this are very many.
pub const CROWD: usize = 64;

/// The pool of a sender: 80 MiB of file data, and what is read ahead.
///
/// # Errors
/// See [`lasting`].
pub fn sender_pool() -> Result<LastingPool, PoolsError> {
    pool(1, HELD_BYTES / BLOCK_CHUNK_BYTES + READ_AHEAD_BLOCKS)
}

/// The pool of a receiver of so many transfers at once. With 16, two may have windows of 64 MiB on the longest paths, or all
/// of them 10 MiB. It grows slowly with more: a thousand have 650 MiB together.
///
/// # Errors
/// See [`lasting`].
pub fn receiver_pool(transfers: u32) -> Result<LastingPool, PoolsError> {
    let first = transfers.min(FIRST_TRANSFERS);
    pool(1, first * BLOCKS_PER_TRANSFER + (transfers - first) * BLOCKS_IN_A_CROWD)
}

fn pool(sessions: u32, slots_per_session: u32) -> Result<LastingPool, PoolsError> {
    lasting(&Sizing { slots_per_session, slot_bytes: SLOT_BYTES, ..Sizing::new(1, sessions) })
}
