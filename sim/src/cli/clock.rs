//! The wall clock, for people who want to know how long a run took. No run depends on it.

use std::time::{Duration, Instant};

/// A stopwatch.
#[derive(Clone, Copy, Debug)]
pub struct Stopwatch(Instant);

impl Stopwatch {
    /// Starts one.
    #[expect(clippy::disallowed_methods, reason = "the one place of the simulator that reads the clock of the machine")]
    pub fn start() -> Self {
        Self(Instant::now())
    }

    /// How long it has been running.
    #[expect(clippy::disallowed_methods, reason = "as above")]
    pub fn elapsed(&self) -> Duration {
        self.0.elapsed()
    }
}
