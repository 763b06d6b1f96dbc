//! Pools that last as long as the process: their memory is mapped once, when they are made, and never given back.
//!
//! Memory is reserved and not touched: a page costs nothing until the first slot in it is lent.

use std::sync::atomic::AtomicU32;

use memmap2::MmapOptions;
use thiserror::Error;
use wirehaul_core::pool::{Pool, PoolError, Sizing};

/// A pool that is never freed, so that its slots may go to any thread.
pub type LastingPool = &'static Pool<'static>;

/// Why there is no pool.
#[derive(Debug, Error)]
pub enum PoolsError {
    /// The system does not give the address space.
    #[error("cannot reserve {bytes} bytes for buffers: {source}")]
    Map {
        /// How much was asked for.
        bytes: u64,
        /// What the system said.
        source: std::io::Error,
    },
    /// The sizes do not make a pool.
    #[error("buffers cannot be sized like this: {0:?}")]
    Size(PoolError),
}

/// Makes a pool of this size. Its memory begins at a page.
///
/// # Errors
/// [`PoolsError`] says what is missing.
pub fn lasting(sizing: &Sizing) -> Result<LastingPool, PoolsError> {
    let bytes = sizing.bytes();
    let map = |source| PoolsError::Map { bytes, source };
    let len = usize::try_from(bytes).map_err(|_| map(std::io::ErrorKind::OutOfMemory.into()))?;
    // Without a reservation of swap: most of it is never touched.
    let memory = MmapOptions::new().len(len).no_reserve_swap().map_anon().map_err(map)?;
    let links: Vec<_> = (0..sizing.slots()).map(|_| AtomicU32::new(0)).collect();
    let memory = Box::leak(Box::new(memory));
    let pool = Pool::new(memory, sizing.slot_bytes as usize, links.leak()).map_err(PoolsError::Size)?;
    Ok(Box::leak(Box::new(pool)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slots_of_whole_pages_begin_at_pages_and_are_zero() {
        let pool = lasting(&Sizing { slots_per_session: 3, slot_bytes: 8192, ..Sizing::new(1, 1) }).unwrap();
        let slots: Vec<_> = std::iter::from_fn(|| pool.take()).collect();
        assert_eq!(slots.len(), 3);
        assert!(slots.iter().all(|slot| slot.as_ptr().align_offset(4096) == 0 && slot.iter().all(|byte| *byte == 0)));
    }

    #[test]
    fn what_cannot_be_had_is_said() {
        let none = Sizing { slot_bytes: 0, ..Sizing::new(1, 1) };
        assert!(lasting(&none).is_err());
        let all = Sizing { slot_bytes: u32::MAX, ..Sizing::new(u32::MAX, 1) };
        assert!(lasting(&all).unwrap_err().to_string().starts_with("cannot reserve 18446"));
    }
}
