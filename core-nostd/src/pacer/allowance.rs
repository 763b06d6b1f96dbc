//! Credit that grows at a rate: how a receiver holds senders to one (the generic cell rate algorithm, ITU-T I.371 annex A).
//!
//! One account, as exact as those of the [`super::Pacer`]: what is booked adds to it, time takes from it. Bookings are served in
//! the order in which they are made, so those who share an allowance and book equal parts get equal shares of it.

use super::{drained, nanos, tick, units};
use crate::{
    rate::Rate,
    time::{Duration, Instant},
};

/// An unused allowance saves up what its rate gives in this time,
const BURST_TIME: Duration = Duration::from_millis(50);
/// but no less than these bytes: at low rates, too, a part of a window is worth a message.
const MIN_BURST_BYTES: u64 = 64 * 1024;

/// Says when bytes that are booked may be given away. By any time no more of them are due than the rate gave until then, and one
/// burst.
#[derive(Clone, Debug, Default, Hash)]
pub struct Allowance {
    /// The rate from the next call on that says the time; `None` gives everything at once.
    rate: Option<Rate>,
    /// The rate that the account ran at until `as_of`.
    in_force: Option<Rate>,
    as_of: Instant,
    /// What is booked and not earned yet; below zero what is saved up.
    owed: i128,
}

impl Allowance {
    /// An allowance with one burst saved up; `None` gives everything at once.
    #[must_use]
    pub const fn new(rate: Option<Rate>) -> Self {
        Self { rate, in_force: None, as_of: Instant::ZERO, owed: 0 }
    }

    /// What is saved up at most, at this rate, in bytes.
    #[must_use]
    pub fn burst_bytes(rate: Rate) -> u64 {
        rate.bytes_in(BURST_TIME).max(MIN_BURST_BYTES)
    }

    /// Sets the rate from the next call on that says the time. What was booked before stays due when it was said to be; what is
    /// owed is paid at the new rate.
    pub const fn set_rate(&mut self, rate: Option<Rate>) {
        self.rate = rate;
    }

    /// The rate that was set last.
    #[must_use]
    pub const fn rate(&self) -> Option<Rate> {
        self.rate
    }

    /// Books `bytes`, behind everything that was booked before, and says when they are due: `now` where enough is saved up; rounded
    /// up to the clock's nanosecond; [`Instant::FAR_FUTURE`] at rate zero.
    pub fn book(&mut self, now: Instant, bytes: u64) -> Instant {
        self.advance(now);
        let Some(rate) = self.in_force else { return now };
        self.owed = self.owed.saturating_add(units(bytes));
        let wait = u128::try_from(self.owed).unwrap_or(0);
        if wait == 0 {
            return self.as_of;
        }
        let bits_per_sec = u128::from(rate.as_bits_per_sec());
        match wait.checked_add(bits_per_sec.saturating_sub(1)) {
            Some(wait) => self.as_of + nanos(wait.checked_div(bits_per_sec)),
            None => Instant::FAR_FUTURE,
        }
    }

    /// When everything that was booked is paid: `now` where it is already.
    pub fn paid_at(&mut self, now: Instant) -> Instant {
        self.book(now, 0)
    }

    /// Time does not run backwards: of two who share an allowance, one may have looked at the clock a little earlier.
    fn advance(&mut self, now: Instant) {
        let now = now.max(self.as_of);
        if let Some(rate) = self.in_force {
            let earned = drained(rate, now.saturating_since(self.as_of));
            // What is below a nanosecond is carried along, or rounding up would cost the rate.
            self.owed = self.owed.saturating_sub(earned).max(floor(rate));
        }
        self.as_of = now;
        if self.in_force != self.rate {
            self.owed = match (self.in_force, self.rate) {
                (Some(_), Some(rate)) => self.owed.max(floor(rate)),
                (None, Some(rate)) => floor(rate),
                (_, None) => 0,
            };
            self.in_force = self.rate;
        }
    }
}

/// The account when all is saved up that can be.
fn floor(rate: Rate) -> i128 {
    units(Allowance::burst_bytes(rate)).saturating_neg().min(-tick(rate))
}

#[cfg(test)]
mod tests {
    use super::*;

    const SEC: Duration = Duration::from_secs(1);
    const RATE: Rate = Rate::from_bits_per_sec(80_000_000);
    /// 50 ms of it.
    const BURST: u64 = 500_000;

    #[test]
    fn a_burst_is_due_at_once_and_the_rest_at_the_rate() {
        let mut allowance = Allowance::new(Some(RATE));
        let start = Instant::ZERO + SEC;
        assert_eq!(allowance.book(start, BURST), start);
        assert_eq!(allowance.book(start, 10_000_000), start + SEC);
        // Whoever comes later is served later, however little it wants.
        assert_eq!(allowance.book(start, 1), start + SEC + Duration::from_nanos(100));
        assert_eq!(allowance.paid_at(start), start + SEC + Duration::from_nanos(100));
    }

    #[test]
    fn no_more_than_a_burst_is_saved_up() {
        let mut allowance = Allowance::new(Some(RATE));
        allowance.book(Instant::ZERO, BURST);
        let later = Instant::ZERO + Duration::from_secs(1000);
        assert_eq!(allowance.book(later, BURST), later);
        assert_eq!(allowance.book(later, 10), later + Duration::from_micros(1));
    }

    #[test]
    fn two_who_book_in_turn_get_halves() {
        let mut allowance = Allowance::new(Some(RATE));
        let mut due = [allowance.book(Instant::ZERO, BURST); 2];
        let mut got = [0_u64; 2];
        for _ in 0..10_000 {
            // Whoever got its part books the next.
            let who = usize::from(due[1] < due[0]);
            got[who] += 20_000;
            due[who] = allowance.book(due[who], 20_000);
        }
        assert!(got[0].abs_diff(got[1]) <= 20_000, "{got:?}");
    }

    #[test]
    fn without_a_rate_all_is_due_and_at_rate_zero_nothing() {
        let mut allowance = Allowance::new(None);
        let now = Instant::ZERO + SEC;
        assert_eq!(allowance.book(now, u64::MAX), now);
        allowance.set_rate(Some(Rate::ZERO));
        assert_eq!(allowance.book(now, MIN_BURST_BYTES), now);
        assert_eq!(allowance.book(now, 1), Instant::FAR_FUTURE);
        allowance.set_rate(None);
        assert_eq!(allowance.book(now, 1), now);
    }

    #[test]
    fn debts_are_paid_at_a_new_rate() {
        let mut allowance = Allowance::new(Some(RATE));
        let start = Instant::ZERO + SEC;
        allowance.book(start, BURST + 10_000_000);
        allowance.set_rate(Some(Rate::from_bits_per_sec(160_000_000)));
        assert_eq!(allowance.paid_at(start), start + Duration::from_millis(500));
    }
}
