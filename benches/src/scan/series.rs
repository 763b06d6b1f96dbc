//! What arrived when.

use std::io::Write;
use std::time::Duration;

use crate::clock::Stopwatch;

/// What a counter said at some time.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Sample {
    /// Seconds before it was asked.
    pub asked_s: f64,
    /// Seconds after it had said.
    pub said_s: f64,
    /// Packets so far.
    pub packets: u64,
}

impl Sample {
    /// Reads a line that [`print()`] wrote.
    #[must_use]
    pub fn parse(line: &str) -> Option<Self> {
        let mut words = line.split_whitespace();
        Some(Self {
            asked_s: words.next()?.parse().ok()?,
            said_s: words.next()?.parse().ok()?,
            packets: words.next()?.parse().ok()?,
        })
    }
}

/// Prints a counter of an interface every so often, until standard output is closed.
///
/// # Errors
/// What reading the counter or printing fails with.
pub fn print(interface: &str, counter: &str, every: Duration) -> std::io::Result<()> {
    let path = format!("/sys/class/net/{interface}/statistics/{counter}");
    let watch = Stopwatch::start();
    let mut out = std::io::stdout().lock();
    loop {
        let asked = watch.seconds();
        let packets = std::fs::read_to_string(&path)?;
        writeln!(out, "{asked:.6} {:.6} {}", watch.seconds(), packets.trim())?;
        out.flush()?;
        std::thread::sleep(every);
    }
}

/// Samples of one run.
#[derive(Clone, Debug, Default)]
pub struct Series(pub Vec<Sample>);

impl Series {
    /// How many packets arrived in all.
    #[must_use]
    pub fn packets(&self) -> u64 {
        match (self.0.first(), self.0.last()) {
            (Some(first), Some(last)) => last.packets.saturating_sub(first.packets),
            _ => 0,
        }
    }

    /// Packets per second over all of the sending; `None` where all came between two samples. One of 500 at both ends does not
    /// count: what the hosts say besides is less.
    #[must_use]
    pub fn mean(&self) -> Option<f64> {
        self.rate_between(0.002, 0.998)
    }

    /// The same without the first and the last twentieth: how fast it is once it is under way.
    #[must_use]
    pub fn steady(&self) -> Option<f64> {
        self.rate_between(0.05, 0.95)
    }

    fn rate_between(&self, from: f64, to: f64) -> Option<f64> {
        let (start, all) = (self.0.first()?.packets, self.packets() as f64);
        let count = |sample: &Sample| (sample.packets - start) as f64;
        // The last sample that shows no more than the first part, and the first that shows all of the rest.
        let first = self.0.iter().rev().find(|sample| count(sample) <= all * from)?;
        let last = self.0.iter().find(|sample| count(sample) >= all * to)?;
        let seconds = last.said_s - first.said_s;
        (seconds > 0.0).then(|| (count(last) - count(first)) / seconds)
    }

    /// The most that certainly arrived within one second: between two samples of which the first was asked for, and the second
    /// said, less than a second apart.
    #[must_use]
    pub fn most_in_a_second(&self) -> u64 {
        let mut most = 0;
        let mut last = 0;
        for first in &self.0 {
            while self.0.get(last + 1).is_some_and(|sample| sample.said_s - first.asked_s <= 1.0) {
                last += 1;
            }
            most = most.max(self.0.get(last).map_or(0, |sample| sample.packets.saturating_sub(first.packets)));
        }
        most
    }
}

#[cfg(test)]
mod tests {
    use super::{Sample, Series};

    /// A thousand packets per second for ten seconds, looked at every ten milliseconds, with a second of nothing at both ends.
    fn even() -> Series {
        let sample = |at: u32| {
            let seconds = f64::from(at) / 100.0;
            Sample { asked_s: seconds, said_s: seconds, packets: 7 + u64::from(at.clamp(100, 1100) - 100) * 10 }
        };
        Series((0..1200).map(sample).collect())
    }

    #[test]
    fn an_even_series_has_its_rate_everywhere() {
        let series = even();
        assert_eq!(series.packets(), 10_000);
        assert!((series.mean().expect("a rate") - 1000.0).abs() < 2.0, "{:?}", series.mean());
        assert!((series.steady().expect("a rate") - 1000.0).abs() < 2.0, "{:?}", series.steady());
        assert_eq!(series.most_in_a_second(), 1000);
    }

    #[test]
    fn a_burst_is_seen_in_its_second() {
        let mut series = even();
        series.0.iter_mut().skip(500).for_each(|sample| sample.packets += 250);
        assert_eq!(series.most_in_a_second(), 1250);
    }

    #[test]
    fn nothing_has_no_rate() {
        assert_eq!((Series::default().packets(), Series::default().mean()), (0, None));
        let still = Series(vec![Sample { asked_s: 0.0, said_s: 0.0, packets: 3 }; 5]);
        assert_eq!((still.packets(), still.mean(), still.most_in_a_second()), (0, None, 0));
    }

    #[test]
    fn what_is_printed_is_read() {
        let sample = Sample { asked_s: 1.5, said_s: 1.25, packets: 9 };
        assert_eq!(Sample::parse("1.500000 1.250000 9"), Some(sample));
        assert_eq!(Sample::parse("1.5 x 9"), None);
    }
}
