//! The one clock of the host: the core never reads time, it is told.

use std::time;

use wirehaul_core::time::Instant;

/// The monotonic clock, counting nanoseconds from the moment it was made.
///
/// Copies share their origin, so instants of one clock and its copies compare on every thread.
#[derive(Clone, Copy, Debug)]
pub struct Clock {
    origin: time::Instant,
}

impl Clock {
    /// A clock that begins now, at [`Instant::ZERO`].
    #[must_use]
    #[allow(clippy::disallowed_methods, reason = "the one place that reads the operating system's clock")]
    pub fn start() -> Self {
        Self { origin: time::Instant::now() }
    }

    /// The time now. Never earlier than what an earlier call returned.
    #[must_use]
    #[allow(clippy::disallowed_methods, reason = "the one place that reads the operating system's clock")]
    pub fn now(&self) -> Instant {
        let elapsed = time::Instant::now().saturating_duration_since(self.origin);
        // 584 years of nanoseconds fit; a machine that runs longer stays at the end of time.
        Instant::from_nanos(u64::try_from(elapsed.as_nanos()).unwrap_or(u64::MAX))
    }
}

/// Seconds since 1970, for dates in files: what the machine takes for the time of day, and nothing to measure with.
#[must_use]
#[allow(clippy::disallowed_methods, reason = "the one place that reads the operating system's clock")]
pub fn unix_seconds() -> u64 {
    // A clock before 1970 was never set.
    time::SystemTime::now().duration_since(time::UNIX_EPOCH).map_or(0, |since| since.as_secs())
}

/// Nanoseconds since 1970, for times in results: as [`unix_seconds`].
#[must_use]
#[allow(clippy::disallowed_methods, reason = "the one place that reads the operating system's clock")]
pub fn unix_nanos() -> u64 {
    let since = time::SystemTime::now().duration_since(time::UNIX_EPOCH);
    // Good until the year 2554.
    since.map_or(0, |since| u64::try_from(since.as_nanos()).unwrap_or(u64::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn time_passes_alike_on_a_clock_and_its_copy() {
        let clock = Clock::start();
        let copy = clock;
        let before = clock.now();
        std::thread::sleep(time::Duration::from_millis(2));
        let after = copy.now();
        assert!(after.saturating_since(before).as_millis() >= 2);
    }
}
