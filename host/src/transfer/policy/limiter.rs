//! A rate that many transfers share, on several workers.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use wirehaul_core::pacer::Allowance;
use wirehaul_core::rate::Rate;
use wirehaul_core::time::Instant;

/// Stands for no rate.
const UNLIMITED: u64 = u64::MAX;

/// An allowance that is shared. Where it has no rate, it costs a look and no lock.
#[derive(Debug)]
pub(super) struct Limiter {
    bits_per_sec: AtomicU64,
    account: Mutex<Allowance>,
}

impl Limiter {
    pub(super) fn new(rate: Option<Rate>) -> Self {
        Self { bits_per_sec: AtomicU64::new(bits(rate)), account: Mutex::new(Allowance::new(rate)) }
    }

    pub(super) fn set_rate(&self, rate: Option<Rate>) {
        self.account().set_rate(rate);
        self.bits_per_sec.store(bits(rate), Ordering::Relaxed);
    }

    pub(super) fn rate(&self) -> Option<Rate> {
        let bits = self.bits_per_sec.load(Ordering::Relaxed);
        (bits != UNLIMITED).then(|| Rate::from_bits_per_sec(bits))
    }

    /// Books `bytes` and says when they are due.
    pub(super) fn book(&self, now: Instant, bytes: u64) -> Instant {
        if self.rate().is_none() { now } else { self.account().book(now, bytes) }
    }

    fn account(&self) -> MutexGuard<'_, Allowance> {
        self.account.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn bits(rate: Option<Rate>) -> u64 {
    rate.map_or(UNLIMITED, |rate| rate.as_bits_per_sec().min(UNLIMITED - 1))
}
