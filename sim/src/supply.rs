//! An application that has its bytes only bit by bit: at a rate, for some time on and for some time off.

use wirehaul_core::{
    rate::Rate,
    time::{Duration, Instant},
};

/// How an application comes by its bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Supply {
    /// How fast, while it is on.
    pub rate: Rate,
    /// How often some come; a nanosecond at least.
    pub every: Duration,
    /// How long it is on, and how long off in between; `None` is always on.
    pub on_off: Option<(Duration, Duration)>,
}

impl Supply {
    /// The bytes that it has `age` after its start.
    #[must_use]
    pub fn bytes_at(&self, age: Duration) -> u64 {
        let Some((on, off)) = self.on_off else { return self.rate.bytes_in(age) };
        let cycle = (on + off).as_nanos();
        let (cycles, within) = match age.as_nanos().checked_div(cycle) {
            Some(cycles) => (cycles, age.as_nanos() % cycle),
            None => (0, 0),
        };
        let rest = if within < on.as_nanos() { within } else { on.as_nanos() };
        self.rate.bytes_in(Duration::from_nanos(cycles * on.as_nanos() + rest))
    }

    /// When it has more, where it started at `start` and it is `now`.
    #[must_use]
    pub fn next_after(&self, start: Instant, now: Instant) -> Instant {
        let age = now.saturating_since(start);
        let every = self.every.as_nanos().max(1);
        let next = Duration::from_nanos((age.as_nanos() / every + 1) * every);
        if self.bytes_at(next) > self.bytes_at(age) {
            return start + next;
        }
        let Some((on, off)) = self.on_off else { return start + next };
        // It is off: the first bytes come one step into the next cycle.
        let cycle = (on + off).as_nanos().max(1);
        start + Duration::from_nanos((age.as_nanos() / cycle + 1) * cycle) + self.every.min(on)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(millis: u64) -> Duration {
        Duration::from_millis(millis)
    }

    #[test]
    fn on_and_off_take_turns() {
        let rate = Rate::from_bytes_per_sec(1_000_000);
        let supply = Supply { rate, every: at(10), on_off: Some((at(100), at(300))) };
        let bytes: Vec<_> = [0, 50, 100, 250, 400, 450, 2000].map(|age| supply.bytes_at(at(age))).to_vec();
        assert_eq!(bytes, [0, 50_000, 100_000, 100_000, 100_000, 150_000, 500_000]);
        let start = Instant::from_nanos(77);
        assert_eq!(supply.next_after(start, start + at(15)), start + at(20));
        assert_eq!(supply.next_after(start, start + at(100)), start + at(410));
        let always = Supply { on_off: None, ..supply };
        assert_eq!(always.bytes_at(at(2000)), 2_000_000);
        assert_eq!(always.next_after(start, start + at(20)), start + at(30));
    }
}
