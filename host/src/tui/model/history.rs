//! How a figure went in the last minute: a value for each half second, for a sparkline.

use std::collections::VecDeque;

use wirehaul_core::rate::Rate;
use wirehaul_core::time::{Duration, Instant};

/// The time that a value stands for.
pub const BUCKET: Duration = Duration::from_millis(500);
/// Values that are kept: a minute of them.
pub const BUCKETS: usize = 120;
/// Values that the present is the mean of: states come a few times a second, so that a single one would jump.
const NOW: usize = 4;

/// The last values, the newest at the end.
#[derive(Clone, Debug, Default)]
pub struct History {
    values: VecDeque<u64>,
}

impl History {
    /// Adds the newest value, and forgets the one of a minute ago.
    pub fn push(&mut self, value: u64) {
        if self.values.len() >= BUCKETS {
            self.values.pop_front();
        }
        self.values.push_back(value);
    }

    /// The newest values, so many at most, the oldest of them first.
    pub fn newest(&self, count: usize) -> impl Iterator<Item = u64> + '_ {
        self.values.iter().skip(self.values.len().saturating_sub(count)).copied()
    }

    /// How many there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.values.len()
    }

    /// Whether there are none yet.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.values.is_empty()
    }

    /// The mean of the newest values, so many at most; `None` where there are none.
    #[must_use]
    pub fn mean(&self, count: usize) -> Option<u64> {
        let count = count.min(self.len());
        let sum: u128 = self.newest(count).map(u128::from).sum();
        // A mean of such values is one.
        sum.checked_div(count as u128).map(|mean| u64::try_from(mean).unwrap_or(u64::MAX))
    }

    /// The highest value of the last minute.
    #[must_use]
    pub fn highest(&self) -> u64 {
        self.values.iter().copied().max().unwrap_or(0)
    }
}

/// How fast a count grows: its growth a second, for each half second.
#[derive(Clone, Debug, Default)]
pub struct Flow {
    history: History,
    /// What is not in the history yet begins here.
    from: Option<(Instant, u64)>,
}

impl Flow {
    /// The count at a time. Where some were missed, what came meanwhile is spread evenly.
    pub fn observe(&mut self, at: Instant, count: u64) {
        let Some((began, base)) = self.from else {
            self.from = Some((at, count));
            return;
        };
        let span = at.saturating_since(began);
        if span < BUCKET {
            return;
        }
        let grown = count.saturating_sub(base);
        let rate = per_second(grown, span);
        let whole = span.as_nanos() / BUCKET.as_nanos();
        for _ in 0..whole.min(BUCKETS as u64) {
            self.history.push(rate);
        }
        let covered = BUCKET.saturating_mul(whole);
        let share = u128::from(grown) * u128::from(covered.as_nanos()) / u128::from(span.as_nanos());
        // No more than what it grew by.
        self.from = Some((began + covered, base.saturating_add(u64::try_from(share).unwrap_or(u64::MAX))));
    }

    /// Takes the count as it is: how it came there says nothing about its speed.
    pub fn begin_at(&mut self, at: Instant, count: u64) {
        self.from = Some((at, count));
    }

    /// Growth a second, now.
    #[must_use]
    pub fn now(&self) -> Option<u64> {
        self.history.mean(NOW)
    }

    /// Growth a second, over the last ten seconds: what a guess at the time left stands on.
    #[must_use]
    pub fn lately(&self) -> Option<u64> {
        self.history.mean(20)
    }

    /// All of the last minute.
    #[must_use]
    pub const fn history(&self) -> &History {
        &self.history
    }
}

/// Things a second; 0 where no time has passed.
fn per_second(count: u64, span: Duration) -> u64 {
    // A rate of bytes is one of things, eightfold.
    Rate::from_bytes_over(count, span).as_bits_per_sec() / 8
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(millis: u64) -> Instant {
        Instant::ZERO + Duration::from_millis(millis)
    }

    #[test]
    fn a_steady_count_has_a_steady_rate_however_often_it_is_seen() {
        for step in [50, 130, 250, 700, 3000] {
            let mut flow = Flow::default();
            for millis in (0..30_000).step_by(step) {
                flow.observe(at(millis), millis * 10);
            }
            assert!(flow.history.newest(BUCKETS).all(|rate| rate.abs_diff(10_000) <= 25), "{step}: {flow:?}");
            assert!(flow.now().is_some_and(|rate| rate.abs_diff(10_000) <= 25), "{step}");
        }
    }

    #[test]
    fn it_forgets_what_was_a_minute_ago_and_counts_may_fall() {
        let mut flow = Flow::default();
        flow.observe(at(0), 0);
        flow.observe(at(1 << 40), u64::MAX);
        assert_eq!(flow.history.len(), BUCKETS);
        flow.observe(at((1 << 40) + 5000), 0);
        assert_eq!((flow.now(), flow.history.len()), (Some(0), BUCKETS));
    }

    #[test]
    fn what_was_there_before_is_no_speed() {
        let mut flow = Flow::default();
        assert_eq!(flow.now(), None);
        flow.observe(at(0), 0);
        flow.begin_at(at(100), 1 << 30);
        flow.observe(at(1100), (1 << 30) + 500);
        assert_eq!(flow.now(), Some(500));
        assert_eq!(flow.history.highest(), 500);
    }
}
