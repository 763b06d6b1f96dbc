//! Where runs of datagrams lie on their way in and out: slots of one pool that all devices of this process share.

use std::sync::OnceLock;

use wirehaul_core::pool::{Magazine, Sizing};

use crate::pools::{LastingPool, lasting};

/// A run as the kernel merges or segments it: no longer than what an IP packet could hold.
pub(super) const RUN_SLOT_BYTES: usize = 65_536;
/// What a device keeps at hand: all that one call receives, and two runs to send.
const KEPT: usize = 8;
/// As many again, for what is held back while the magazine is full.
const SLOTS_PER_DEVICE: u32 = 2 * KEPT as u32;
/// Devices of a process at once at least. What is not used is not backed.
const DEVICES: u32 = 64;

/// The pool that devices share unless they are given another: 16 runs for each of 64 devices, or of as many as there are CPUs.
/// `None` where the system does not give the address space.
#[must_use]
pub fn shared_pool() -> Option<LastingPool> {
    static SHARED: OnceLock<Option<LastingPool>> = OnceLock::new();
    *SHARED.get_or_init(|| {
        let cpus = std::thread::available_parallelism().map_or(1, usize::from);
        let sizing = Sizing {
            slots_per_session: SLOTS_PER_DEVICE,
            slot_bytes: RUN_SLOT_BYTES as u32,
            ..Sizing::new(u32::try_from(cpus).unwrap_or(DEVICES).max(DEVICES), 1)
        };
        lasting(&sizing).ok()
    })
}

/// A device's own few.
pub(super) fn magazine(pool: LastingPool) -> Magazine<'static> {
    Magazine::with_capacity(pool, KEPT)
}
