//! What the loop of a worker thread needs of a device beside the core's [`Device`]: sleep, and care between turns.

use std::io;
use std::os::fd::BorrowedFd;

use wirehaul_core::device::Device;
use wirehaul_core::time::{Duration, Instant};

use crate::events::KernelCounters;

/// A device of the host.
pub trait HostDevice: Device {
    /// Waits until datagrams arrive, one of `extra` becomes readable, room appears for what was held back, or `timeout` passes
    /// (`None`: for as long as it takes). Returns whether there is anything; a signal ends the wait early, with nothing.
    ///
    /// # Errors
    /// What the system refuses to wait with, which is not to be expected.
    fn wait(&mut self, extra: &[BorrowedFd<'_>], timeout: Option<Duration>) -> io::Result<bool>;

    /// Whether the kernel holds each run until its departure, so that this process need not be in time.
    fn keeps_departures(&self) -> bool {
        false
    }

    /// What the kernel counts of its packets. Costs a system call or two.
    fn kernel_counters(&mut self) -> KernelCounters {
        KernelCounters::default()
    }

    /// Called before each turn, with its time: to follow changes of the system that the data path does not see.
    fn maintain(&mut self, _now: Instant) {}
}
