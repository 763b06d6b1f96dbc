//! What one of several who share an allowance has used, and may have again.

use crate::{
    rate::Rate,
    time::{Duration, Instant},
};

/// A part is what the rate gives in this time,
const PART_TIME: Duration = Duration::from_millis(20);
/// but no less than this, so that bookings are few,
const MIN_PART_BYTES: u64 = 16 * 1024;
/// and no more than this: what is less than a part waits for more, and where a window is smaller than a part, nothing more comes.
pub const MAX_PART_BYTES: u64 = 128 * 1024;

/// Books what was used, a part at a time: the next one when the one before is given, so that all who share an allowance have
/// their turn.
#[derive(Clone, Debug, Default, Hash)]
pub struct Meter {
    /// Used and not booked.
    used: u64,
    /// The part that is booked, and when it is due.
    booked: Option<(Instant, u64)>,
}

impl Meter {
    /// What is booked at once at this rate by one of `among` who are to get together what another one gets alone.
    #[must_use]
    pub fn part_bytes(rate: Rate, among: u32) -> u64 {
        let whole = rate.bytes_in(PART_TIME).clamp(MIN_PART_BYTES, MAX_PART_BYTES);
        (whole / u64::from(among.max(1))).max(1)
    }

    /// So many bytes were used.
    pub const fn add(&mut self, bytes: u64) {
        self.used = self.used.saturating_add(bytes);
    }

    /// What may be given by now. Whole parts are booked by `book`, which says when they are due; what is less waits for more.
    pub fn take(&mut self, now: Instant, part: u64, mut book: impl FnMut(u64) -> Instant) -> u64 {
        let mut given = 0_u64;
        loop {
            match self.booked {
                Some((due, bytes)) if due <= now => {
                    given = given.saturating_add(bytes);
                    self.booked = None;
                }
                None if self.used >= part.max(1) => {
                    self.used -= part.max(1);
                    self.booked = Some((book(part.max(1)), part.max(1)));
                }
                _ => return given,
            }
        }
    }

    /// Everything, whether it is due or not: for when there is no rate any more.
    pub fn take_all(&mut self) -> u64 {
        let booked = self.booked.take().map_or(0, |(_, bytes)| bytes);
        core::mem::take(&mut self.used).saturating_add(booked)
    }

    /// What was used and is not booked yet: it is to be booked by whoever ends, or it would have been for nothing.
    pub fn settle(&mut self) -> u64 {
        core::mem::take(&mut self.used)
    }

    /// Whether anything was used that was not given again.
    #[must_use]
    pub const fn holds_any(&self) -> bool {
        self.used > 0 || self.booked.is_some()
    }

    /// Whether [`Meter::take`] has something to do: to give, or to book.
    #[must_use]
    pub fn is_ready(&self, now: Instant, part: u64) -> bool {
        self.booked.map_or(self.used >= part.max(1), |(due, _)| due <= now)
    }

    /// When [`Meter::take`] has something to give, if nothing more is used.
    #[must_use]
    pub fn deadline(&self) -> Option<Instant> {
        self.booked.map(|(due, _)| due)
    }
}

#[cfg(test)]
mod tests {
    use super::super::Allowance;
    use super::*;

    const RATE: Rate = Rate::from_bits_per_sec(80_000_000);

    #[test]
    fn parts_are_booked_one_by_one() {
        let (mut meter, part) = (Meter::default(), Meter::part_bytes(RATE, 1));
        assert_eq!(part, MAX_PART_BYTES);
        let due = Instant::ZERO + Duration::from_secs(1);
        let mut bookings = 0;
        let mut book = |bytes| {
            assert_eq!(bytes, part);
            bookings += 1;
            due
        };
        meter.add(part - 1);
        assert_eq!((meter.take(Instant::ZERO, part, &mut book), meter.deadline()), (0, None));
        meter.add(2 * part);
        assert_eq!((meter.take(Instant::ZERO, part, &mut book), meter.deadline()), (0, Some(due)));
        assert_eq!(meter.take(due, part, &mut book), 2 * part);
        assert_eq!((meter.settle(), meter.settle()), (part - 1, 0));
        assert_eq!(bookings, 2);
    }

    #[test]
    fn without_a_rate_nothing_is_kept_back() {
        let mut meter = Meter::default();
        meter.add(300);
        meter.take(Instant::ZERO, 200, |_| Instant::FAR_FUTURE);
        assert_eq!((meter.take_all(), meter.deadline()), (300, None));
    }

    /// One with three transfers and one with one, which share an allowance: each of the four uses all that it is given.
    #[test]
    fn who_has_several_transfers_gets_no_more_than_who_has_one() {
        let mut allowance = Allowance::new(Some(RATE));
        let mut now = allowance.book(Instant::ZERO, Allowance::burst_bytes(RATE));
        let mut meters = [3, 3, 3, 1].map(|among| (Meter::default(), Meter::part_bytes(RATE, among), 0_u64));
        meters.iter_mut().for_each(|(meter, ..)| meter.add(1 << 20));
        let end = now + Duration::from_secs(30);
        while now < end {
            for (meter, part, got) in &mut meters {
                let given = meter.take(now, *part, |bytes| allowance.book(now, bytes));
                meter.add(given);
                *got += given;
            }
            now = meters.iter().filter_map(|(meter, ..)| meter.deadline()).min().unwrap_or(end);
        }
        let several: u64 = meters[..3].iter().map(|(.., got)| got).sum();
        let (one, all) = (meters[3].2, RATE.bytes_in(Duration::from_secs(30)));
        assert!(several.abs_diff(one) < all / 500, "{several} and {one}");
        assert!((several + one).abs_diff(all) < all / 500, "{} of {all}", several + one);
    }
}
