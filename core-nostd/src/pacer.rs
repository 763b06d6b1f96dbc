//! The pacer: an earliest-departure-time schedule (draft-ietf-ccwg-bbr section 5.6.2).
//!
//! The schedule is absolute: a departure is computed from the one before it, not from the time at which somebody
//! came round to sending, so lateness does not add up. The fraction of a nanosecond that a division leaves over is
//! carried into the next departure, so the mean rate is exact at any rate and packet size.

use crate::{
    rate::Rate,
    time::{Duration, Instant},
};

/// The most bytes that leave back to back at high rates: one 64 KB segmentation offload (draft section 5.6.3).
pub const MAX_QUANTUM_BYTES: u64 = 64 * 1024;
/// At rates between the two bounds a quantum is what the rate sends in this time (draft section 5.6.3).
const QUANTUM_TIME: Duration = Duration::from_millis(1);
const BIT_NANOS_PER_BYTE: u128 = 8 * 1_000_000_000;

/// Decides when the next packet may leave. See the module.
#[derive(Clone, Debug, Default)]
pub struct Pacer {
    next: Instant,
    /// Of the last division, in units of 1 / rate nanoseconds.
    remainder: u128,
    rate: Option<Rate>,
    scheduled: Duration,
    forgiven: Duration,
}

impl Pacer {
    /// A pacer without a rate: everything may leave at once (BBR-5).
    #[must_use]
    pub const fn unlimited() -> Self {
        Self { next: Instant::ZERO, remainder: 0, rate: None, scheduled: Duration::ZERO, forgiven: Duration::ZERO }
    }

    /// Sets the rate from now on; `None` is unlimited. What was sent before keeps its place in the schedule.
    pub fn set_rate(&mut self, rate: Option<Rate>) {
        if self.rate != rate {
            self.rate = rate;
            // A remainder is a fraction of the old rate's nanosecond: below one, so dropping it costs no precision.
            self.remainder = 0;
        }
    }

    /// The rate in force.
    #[must_use]
    pub const fn rate(&self) -> Option<Rate> {
        self.rate
    }

    /// When the next packet may leave: in the past or now means at once.
    #[must_use]
    pub fn next_departure(&self) -> Instant {
        if self.rate.is_some() { self.next } else { Instant::ZERO }
    }

    /// The most bytes to send as one burst: what the rate sends in 1 ms, between two packets and 64 KB.
    #[must_use]
    pub fn quantum(&self, datagram_bytes: u64) -> u64 {
        let Some(rate) = self.rate else { return MAX_QUANTUM_BYTES };
        rate.bytes_in(QUANTUM_TIME).max(2 * datagram_bytes).min(MAX_QUANTUM_BYTES.max(2 * datagram_bytes))
    }

    /// How much time the schedule covered, and how much of it was lost because a run that only the pacer held back left
    /// more than a quantum late: their ratio is by how much the mean rate fell short of what was asked for.
    #[must_use]
    pub const fn kept_and_lost(&self) -> (Duration, Duration) {
        (self.scheduled, self.forgiven)
    }

    /// Records that `bytes` leave at `now` as one burst; `held` says that only the pacer kept them from leaving earlier.
    ///
    /// A sender that comes late keeps its place in the schedule and so catches up, but by no more than one quantum; time
    /// lost beyond that is forgiven. A pause longer than a quantum gives no credit at all, so that it is not followed by
    /// a flood.
    pub fn on_sent(&mut self, now: Instant, bytes: u64, datagram_bytes: u64, held: bool) {
        let Some(rate) = self.rate else { return };
        let credit = rate.time_for(self.quantum(datagram_bytes));
        if self.next + credit < now {
            // A timer that fired late must not cost more than what is beyond the quantum: where timers are always late,
            // the rate would never be reached.
            let place = if held { now - credit } else { now };
            if held {
                self.forgiven = self.forgiven + place.saturating_since(self.next);
            }
            self.next = place;
            self.remainder = 0;
        }
        let bits = u128::from(rate.as_bits_per_sec().max(1));
        let total = u128::from(bytes) * BIT_NANOS_PER_BYTE + self.remainder;
        self.remainder = total % bits;
        let spacing = Duration::from_nanos(u64::try_from(total / bits).unwrap_or(u64::MAX));
        self.next += spacing;
        self.scheduled = self.scheduled + spacing;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn paced(bits: u64) -> Pacer {
        let mut pacer = Pacer::unlimited();
        pacer.set_rate(Some(Rate::from_bits_per_sec(bits)));
        pacer
    }

    /// BBR-4, BBR-6: a rate that does not divide a nanosecond keeps its mean to the bit.
    #[test]
    fn the_mean_rate_is_exact_over_a_million_packets() {
        let mut pacer = paced(7_000_000_001);
        let packets = 1_000_000u64;
        for _ in 0..packets {
            let now = pacer.next_departure();
            pacer.on_sent(now, 1472, 1472, true);
        }
        let ideal = u128::from(packets) * 1472 * BIT_NANOS_PER_BYTE / 7_000_000_001;
        assert_eq!(u128::from(pacer.next_departure().as_nanos()), ideal);
    }

    /// BBR-4: lateness inside a quantum is made up for, a long pause is not.
    #[test]
    fn catch_up_is_bounded_by_one_quantum() {
        let mut pacer = paced(8_000_000);
        let quantum = pacer.quantum(1472);
        assert_eq!(quantum, 2944);
        let quantum_time = Duration::from_nanos(quantum * 1000);
        pacer.on_sent(Instant::ZERO, quantum, 1472, true);
        assert_eq!(pacer.next_departure(), Instant::ZERO + quantum_time);
        let late = Instant::ZERO + quantum_time.mul_ratio(3, 2);
        pacer.on_sent(late, quantum, 1472, true);
        assert_eq!(pacer.next_departure(), Instant::ZERO + quantum_time.saturating_mul(2));
        let much_later = Instant::ZERO + Duration::from_secs(60);
        // A timer that was far too late: one quantum is made up for, and the rest of the time is lost.
        pacer.on_sent(much_later, quantum, 1472, true);
        assert_eq!(pacer.next_departure(), much_later);
        let (scheduled, lost) = pacer.kept_and_lost();
        assert_eq!(scheduled, quantum_time.saturating_mul(3));
        assert_eq!(lost, much_later.saturating_since(Instant::ZERO + quantum_time.saturating_mul(3)));
        // A pause, in which there was nothing to send, gives no credit.
        let pause = much_later + Duration::from_secs(60);
        pacer.on_sent(pause, quantum, 1472, false);
        assert_eq!(pacer.next_departure(), pause + quantum_time);
        assert_eq!(pacer.kept_and_lost().1, lost);
    }

    /// BBR-5.
    #[test]
    fn without_a_rate_nothing_waits() {
        let mut pacer = Pacer::unlimited();
        for _ in 0..100 {
            pacer.on_sent(Instant::from_nanos(5), 64_000, 1472, true);
        }
        assert_eq!(pacer.next_departure(), Instant::ZERO);
        assert_eq!(pacer.quantum(1472), MAX_QUANTUM_BYTES);
    }

    #[test]
    fn the_quantum_follows_the_draft() {
        assert_eq!(paced(1_000_000).quantum(1472), 2944);
        assert_eq!(paced(200_000_000).quantum(1472), 25_000);
        assert_eq!(paced(100_000_000_000).quantum(1472), MAX_QUANTUM_BYTES);
    }
}
