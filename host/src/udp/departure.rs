//! Departures that the kernel keeps: each run bears the time at which it may leave (SO_TXTIME, net/core/sock.c), and the fq
//! queueing discipline holds it until then (net/sched/sch_fq.c). Nothing here has to wake up in time.

use std::io;
use std::net::{SocketAddr, UdpSocket};

use nix::sys::socket::{setsockopt, sockopt};
use nix::time::{ClockId, clock_gettime};
use wirehaul_core::time::{Duration, Instant};

use super::qdisc::{NoFairQueue, is_fair_queue_to};
use crate::clock::Clock;

/// How long before its departure a run may be handed to the kernel: twice as late as this process wakes up on a busy machine, and
/// little enough that what was handed out is soon gone when the rate falls.
pub const HORIZON: Duration = Duration::from_millis(2);

/// Why this process has to keep departures itself.
#[derive(Debug, thiserror::Error)]
pub enum NotScheduled {
    /// The environment variable `WIREHAUL_NO_TXTIME` is 1.
    #[error("WIREHAUL_NO_TXTIME=1")]
    TurnedOff,
    /// Nothing below holds packets.
    #[error(transparent)]
    NoFairQueue(#[from] NoFairQueue),
    /// The kernel or the clock refused.
    #[error("the kernel does not take departure times: {0}")]
    Refused(#[from] io::Error),
}

/// The way from our clock to the kernel's.
#[derive(Clone, Copy, Debug)]
pub(super) struct DepartureClock {
    /// CLOCK_MONOTONIC, which fq reads, at zero of our clock.
    zero_nanos: u64,
}

impl DepartureClock {
    /// Prepares `socket` for departure times of `clock`, if fq holds packets on every way to `remotes`.
    pub(super) fn prepare(socket: &UdpSocket, clock: Clock, remotes: &[SocketAddr]) -> Result<Self, NotScheduled> {
        if std::env::var_os("WIREHAUL_NO_TXTIME").is_some_and(|value| value == "1") {
            return Err(NotScheduled::TurnedOff);
        }
        is_fair_queue_to(remotes)?;
        Ok(Self::enable(socket, clock)?)
    }

    /// Prepares `socket` whatever holds packets, or not.
    pub(super) fn enable(socket: &UdpSocket, clock: Clock) -> io::Result<Self> {
        let option = libc::sock_txtime { clockid: ClockId::CLOCK_MONOTONIC.as_raw(), flags: 0 };
        setsockopt(socket, sockopt::TxTime, &option)?;
        // Between the two readings passes less than a microsecond, or this thread was not running: then packets leave as
        // much too late for the whole session, which the least of a few readings rules out.
        let zero = || -> io::Result<u64> {
            let ours = clock.now();
            let kernel = clock_gettime(ClockId::CLOCK_MONOTONIC)?;
            let kernel = kernel.tv_sec() as u64 * 1_000_000_000 + kernel.tv_nsec() as u64;
            Ok(kernel.saturating_sub(ours.as_nanos()))
        };
        let mut zero_nanos = zero()?;
        for _ in 0..4 {
            zero_nanos = zero_nanos.min(zero()?);
        }
        Ok(Self { zero_nanos })
    }

    /// `at` by the kernel's clock, in nanoseconds.
    pub(super) const fn kernel_nanos(self, at: Instant) -> u64 {
        self.zero_nanos.saturating_add(at.as_nanos())
    }
}
