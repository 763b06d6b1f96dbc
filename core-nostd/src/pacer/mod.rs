//! The pacer: an earliest-departure-time schedule (draft-ietf-ccwg-bbr section 5.6.2), and a bound on bursts (5.6.3).
//!
//! Two accounts, both in bit-nanoseconds (a byte is 8 x 10^9 of them, and a nanosecond at rate r takes r of them away), so
//! that nothing is ever rounded and the remainder of each division is carried along by itself:
//!
//! - `owed` is the schedule. It is absolute: what is sent adds to it, time takes from it, and the next run is due when it
//!   reaches zero. A sender that comes late finds it below zero and so catches up; lateness does not add up.
//! - `level` is a leaky bucket that holds one quantum. Nothing leaves that would make it run over, so in every window of
//!   time no more leaves than what the rate sends in it, and one quantum, however late the sender comes.

mod allowance;
mod meter;
mod quantum;
#[cfg(test)]
mod tests;

pub use allowance::Allowance;
pub use meter::{MAX_PART_BYTES, Meter};
pub use quantum::{Held, MAX_QUANTUM_BYTES, Punctuality, Quantum};

use crate::{
    rate::Rate,
    time::{Duration, Instant},
};

const BIT_NANOS_PER_BYTE: i128 = 8 * 1_000_000_000;

/// Decides when the next packets may leave, and how many. See the module.
#[derive(Clone, Debug, Default, Hash)]
pub struct Pacer {
    quantum: Quantum,
    /// The rate from the next call on that says the time.
    rate: Option<Rate>,
    /// The rate that the accounts ran at until `as_of`.
    in_force: Option<Rate>,
    as_of: Instant,
    owed: i128,
    level: i128,
    punctuality: Punctuality,
}

impl Pacer {
    /// A pacer without a rate: everything may leave at once (BBR-5).
    #[must_use]
    pub const fn new(quantum: Quantum) -> Self {
        Self {
            quantum,
            rate: None,
            in_force: None,
            as_of: Instant::ZERO,
            owed: 0,
            level: 0,
            punctuality: Punctuality { held: Duration::ZERO, lost: Duration::ZERO },
        }
    }

    /// Sets the rate from the next call on that says the time; `None` is unlimited. At rate zero nothing leaves beyond
    /// what the quantum has room for.
    ///
    /// What was sent before is paid for at the new rate: after a rise nothing waits for a departure that was fixed when
    /// packets were slow.
    pub const fn set_rate(&mut self, rate: Option<Rate>) {
        self.rate = rate;
    }

    /// The rate that was set last.
    #[must_use]
    pub const fn rate(&self) -> Option<Rate> {
        self.rate
    }

    /// The most bytes that leave back to back, whatever happens.
    #[must_use]
    pub fn quantum(&self, datagram_bytes: u64) -> u64 {
        self.quantum.bytes(self.rate, datagram_bytes)
    }

    /// How well departures kept to the schedule so far.
    #[must_use]
    pub const fn punctuality(&self) -> Punctuality {
        self.punctuality
    }

    /// When the next run may leave, rounded up to the clock's nanosecond: `now` where it may at once, or was due before.
    pub fn departure(&mut self, now: Instant, datagram_bytes: u64) -> Instant {
        self.advance(now);
        let Some(rate) = self.in_force else { return now };
        let over = self.level + self.units_beyond_run(datagram_bytes);
        let wait = u128::try_from(self.owed.max(over)).unwrap_or(0);
        if wait == 0 {
            return self.as_of;
        }
        match wait.checked_add(u128::from(rate.as_bits_per_sec()).saturating_sub(1)) {
            Some(wait) => self.as_of + nanos(wait.checked_div(u128::from(rate.as_bits_per_sec()))),
            None => Instant::FAR_FUTURE,
        }
    }

    /// How many bytes may leave together at `at`, which must not be before [`Pacer::departure`]: a run, and what lateness
    /// left to make up for, but no more than a quantum. At least one packet.
    #[must_use]
    pub fn allowance(&self, at: Instant, datagram_bytes: u64) -> u64 {
        let Some(rate) = self.in_force else { return self.quantum.bytes(None, datagram_bytes) };
        let drained = drained(rate, at.saturating_since(self.as_of));
        let late = drained.saturating_sub(self.owed).clamp(0, self.slack(datagram_bytes));
        let run = units(self.quantum.run_bytes(self.in_force, datagram_bytes)).saturating_add(late);
        let room = units(self.quantum.bytes(self.in_force, datagram_bytes)) - self.level.saturating_sub(drained).max(0);
        u64::try_from(run.min(room) / BIT_NANOS_PER_BYTE).unwrap_or(0).max(datagram_bytes)
    }

    /// Records that `bytes` leave at `at` as one burst, and what kept them from leaving earlier.
    ///
    /// Who was held back and comes late keeps its place in the schedule, but for what is beyond a quantum, which is
    /// lost. Who had nothing to send, or was held back by something else, for longer than that, starts anew: a pause is not
    /// followed by a flood.
    pub fn on_sent(&mut self, at: Instant, bytes: u64, datagram_bytes: u64, held: Held) {
        self.advance(at);
        let Some(rate) = self.in_force else { return };
        let beyond = self.owed.saturating_neg().saturating_sub(self.slack(datagram_bytes));
        // Departures are rounded up to the nanosecond: that is not late.
        let beyond = if beyond > tick(rate) { beyond } else { 0 };
        if let Held::Since(since) = held {
            self.punctuality.count(since, self.as_of, nanos(div(beyond, rate)));
        }
        match held {
            Held::Since(_) | Held::Passing => self.owed = self.owed.saturating_add(beyond),
            Held::Not if beyond > 0 => self.owed = 0,
            Held::Not => {}
        }
        self.owed = self.owed.saturating_add(units(bytes));
        self.level = self.level.saturating_add(units(bytes));
    }

    /// Brings both accounts to `now` at the rate so far, and then changes to the rate that is wanted. Time does not run
    /// backwards: a run may have been recorded that leaves later than now.
    ///
    /// Every other call that says the time does it too; this one is for a rate that must not take effect late.
    pub fn advance(&mut self, now: Instant) {
        if let Some(rate) = self.in_force {
            let drained = drained(rate, now.saturating_since(self.as_of));
            self.owed = self.owed.saturating_sub(drained);
            // The bucket, too, carries what is below a nanosecond, or rounding up would cost the rate.
            self.level = self.level.saturating_sub(drained).max(-tick(rate));
        }
        self.as_of = self.as_of.max(now);
        if self.in_force != self.rate {
            match (self.in_force, self.rate) {
                // A nanosecond at the old rate may be a long time at the new one.
                (Some(_), Some(rate)) => self.level = self.level.max(-tick(rate)),
                _ => (self.owed, self.level) = (0, 0),
            }
            self.in_force = self.rate;
        }
    }

    /// What can be made up for: the part of a quantum that a run leaves free.
    fn slack(&self, datagram_bytes: u64) -> i128 {
        -self.units_beyond_run(datagram_bytes)
    }

    /// A run less a quantum: zero or below.
    fn units_beyond_run(&self, datagram_bytes: u64) -> i128 {
        let quantum = self.quantum.bytes(self.in_force, datagram_bytes);
        units(self.quantum.run_bytes(self.in_force, datagram_bytes).min(quantum)) - units(quantum)
    }
}

fn units(bytes: u64) -> i128 {
    i128::from(bytes) * BIT_NANOS_PER_BYTE
}

/// What one nanosecond takes away.
fn tick(rate: Rate) -> i128 {
    i128::from(rate.as_bits_per_sec())
}

/// What `span` takes away, or the largest number there is.
fn drained(rate: Rate, span: Duration) -> i128 {
    let drained = u128::from(rate.as_bits_per_sec()) * u128::from(span.as_nanos());
    i128::try_from(drained).unwrap_or(i128::MAX)
}

/// How many nanoseconds take so much away; `None` at rate zero. What is below zero takes none.
fn div(units: i128, rate: Rate) -> Option<u128> {
    u128::try_from(units).unwrap_or(0).checked_div(u128::from(rate.as_bits_per_sec()))
}

fn nanos(nanos: Option<u128>) -> Duration {
    Duration::from_nanos(nanos.and_then(|nanos| u64::try_from(nanos).ok()).unwrap_or(u64::MAX))
}
