//! The one place of this crate that reads the machine's clock.
#![expect(clippy::disallowed_methods, reason = "a benchmark measures real time; everything else takes it from here")]

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// Measures elapsed real time from the moment it was started.
#[derive(Debug, Clone, Copy)]
pub struct Stopwatch(Instant);

impl Stopwatch {
    /// Starts measuring now.
    pub fn start() -> Self {
        Self(Instant::now())
    }

    /// Time since the start.
    pub fn elapsed(&self) -> Duration {
        self.0.elapsed()
    }

    /// Time since the start in seconds.
    pub fn seconds(&self) -> f64 {
        self.elapsed().as_secs_f64()
    }
}

/// The present moment as the kernel's timestamps say it: since 1970.
pub fn since_epoch() -> Duration {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default()
}

/// Some moment, for tests of what takes moments from others.
#[cfg(test)]
pub fn instant() -> Instant {
    Instant::now()
}

/// The present moment in UTC as `2026-05-09T07-30-12Z`: sorts by time and is usable as a part of a file name.
pub fn utc_stamp() -> String {
    format_utc(since_epoch().as_secs())
}

/// Formats seconds since 1970 as a stamp; the calendar is the proleptic Gregorian one.
fn format_utc(unix_seconds: u64) -> String {
    const SECONDS_PER_DAY: u64 = 86_400;
    let second_of_day = unix_seconds % SECONDS_PER_DAY;
    let mut days_left = unix_seconds / SECONDS_PER_DAY;
    let mut year = 1970;
    while days_left >= days_in_year(year) {
        days_left -= days_in_year(year);
        year += 1;
    }
    let mut month = 1;
    while days_left >= days_in_month(year, month) {
        days_left -= days_in_month(year, month);
        month += 1;
    }
    let (hour, minute, second) = (second_of_day / 3600, second_of_day / 60 % 60, second_of_day % 60);
    format!("{year:04}-{month:02}-{:02}T{hour:02}-{minute:02}-{second:02}Z", days_left + 1)
}

fn is_leap(year: u64) -> bool {
    year.is_multiple_of(4) && (!year.is_multiple_of(100) || year.is_multiple_of(400))
}

fn days_in_year(year: u64) -> u64 {
    if is_leap(year) { 366 } else { 365 }
}

fn days_in_month(year: u64, month: u64) -> u64 {
    match month {
        2 if is_leap(year) => 29,
        2 => 28,
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    }
}

#[cfg(test)]
mod tests {
    use super::format_utc;

    #[test]
    fn known_moments_have_their_known_dates() {
        assert_eq!(format_utc(0), "1970-01-01T00-00-00Z");
        assert_eq!(format_utc(951_782_400), "2000-02-29T00-00-00Z");
        assert_eq!(format_utc(4_107_542_399), "2100-02-28T23-59-59Z");
        assert_eq!(format_utc(4_107_542_400), "2100-03-01T00-00-00Z");
    }
}
