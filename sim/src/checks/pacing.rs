//! In every window of time, no more bytes leave than the pacing rate allows in it plus one quantum (BBR-4).

use std::collections::BTreeMap;

use wirehaul_core::{rate::Rate, time::Instant, worker::SessionId};

use super::Violation;
use crate::endpoint::{Departure, WatchedRun};

const BIT_NANOS_PER_BYTE: u128 = 8_000_000_000;
/// Datagrams below this are ACKs and control frames, which wait for no pacer: an ACK of all its ranges with window
/// updates for every stream is smaller, and a full datagram is larger. A short datagram at the end of a stream escapes.
const SMALLEST_PACED_BYTES: usize = 1_000;
/// Datagrams that a probe time-out sends past the pacer.
const PROBES_PER_TIMEOUT: u64 = 2;
/// Departures are rounded to the clock's nanosecond, and the pacer carries what is below one along.
const ROUNDING_NANOS: u128 = 2;

/// In every window of time, no more bytes left than `rate` allows in it plus `burst_bytes` (BBR-4).
///
/// # Errors
/// [`Violation::Burst`] for the first departure that breaks the rule.
pub fn pacing(departures: &[Departure], rate: Rate, burst_bytes: u64) -> Result<(), Violation> {
    // A bucket that leaks at the rate holds what is above the rate, over the worst window that ends here.
    let (mut level, mut last) = (0_u128, None);
    for (index, departure) in departures.iter().enumerate() {
        let span = last.map_or(0, |last| departure.at.saturating_since(last).as_nanos());
        level = level.saturating_sub(u128::from(span) * u128::from(rate.as_bits_per_sec()));
        level += u128::from(departure.bytes) * BIT_NANOS_PER_BYTE;
        last = Some(departure.at);
        // One nanosecond of slack for the division that the schedule rounds.
        let allowed = u128::from(burst_bytes) * BIT_NANOS_PER_BYTE + u128::from(rate.as_bits_per_sec());
        if level > allowed {
            let excess_bytes = u64::try_from((level - allowed) / BIT_NANOS_PER_BYTE).unwrap_or(u64::MAX);
            return Err(Violation::Burst { index, excess_bytes });
        }
    }
    Ok(())
}

/// Watches the sessions of one host while their rates change: the same rule, with the rate in force at each time.
#[derive(Clone, Debug, Default)]
pub struct PaceWatch {
    sessions: BTreeMap<SessionId, Watched>,
    departures: usize,
    violation: Option<Violation>,
}

/// How a session stands after a turn of its host.
#[derive(Clone, Copy, Debug)]
pub struct Pace {
    /// The rate in force from now on; `None` is without limit.
    pub rate: Option<Rate>,
    /// The most bytes that may leave back to back.
    pub quantum_bytes: u64,
    /// Probe time-outs that it had so far.
    pub probe_timeouts: u64,
}

/// A bucket that leaks at the rate in force, in bytes times the nanoseconds of a second times eight.
#[derive(Clone, Copy, Debug, Default)]
struct Watched {
    as_of: Instant,
    rate: Option<Rate>,
    level: u128,
    /// The highest rate since the bucket was last empty. What the pacer carried along then is a part of a nanosecond at
    /// that rate, and still counts when the rate has fallen.
    fastest: u64,
    quantum_bytes: u64,
    probe_timeouts: u64,
    probes: u64,
}

impl PaceWatch {
    /// The first departure that broke the rule.
    #[must_use]
    pub fn violation(&self) -> Option<Violation> {
        self.violation.clone()
    }

    /// A turn of the host is over in which these runs of the session left.
    pub fn after_turn<'r>(
        &mut self,
        now: Instant,
        session: SessionId,
        pace: Pace,
        runs: impl Iterator<Item = &'r WatchedRun>,
    ) {
        let watched = self.sessions.entry(session).or_default();
        // A controller may change the rate as a run leaves: the run then has the quantum of before.
        let quantum_bytes = pace.quantum_bytes.max(watched.quantum_bytes);
        watched.advance(now, pace);
        for run in runs {
            self.departures += 1;
            let paced_bytes = watched.paced_bytes(run);
            watched.level += u128::from(paced_bytes) * BIT_NANOS_PER_BYTE;
            // An ACK leaves whatever the level is: where the rate fell, that may be above the quantum of now.
            if pace.rate.is_none() || paced_bytes == 0 {
                continue;
            }
            let rounding = ROUNDING_NANOS * u128::from(watched.fastest);
            let allowed = u128::from(quantum_bytes) * BIT_NANOS_PER_BYTE + rounding;
            if watched.level > allowed {
                let excess_bytes = u64::try_from((watched.level - allowed) / BIT_NANOS_PER_BYTE).unwrap_or(u64::MAX);
                self.violation.get_or_insert(Violation::Burst { index: self.departures - 1, excess_bytes });
            }
        }
    }
}

impl Watched {
    fn advance(&mut self, now: Instant, pace: Pace) {
        if let Some(rate) = self.rate {
            let span = u128::from(now.saturating_since(self.as_of).as_nanos());
            self.level = self.level.saturating_sub(span * u128::from(rate.as_bits_per_sec()));
            if self.level == 0 {
                self.fastest = rate.as_bits_per_sec();
            }
        }
        if self.rate.is_none() || pace.rate.is_none() {
            // What left without limit counts for nothing (BBR-5).
            (self.level, self.fastest) = (0, 0);
        }
        self.fastest = self.fastest.max(pace.rate.map_or(0, Rate::as_bits_per_sec));
        self.probes += PROBES_PER_TIMEOUT * pace.probe_timeouts.saturating_sub(self.probe_timeouts);
        (self.as_of, self.rate, self.probe_timeouts) = (now, pace.rate, pace.probe_timeouts);
        self.quantum_bytes = pace.quantum_bytes;
    }

    /// Bytes of the run that the pacer had to hold back: those of its large datagrams that are no probes.
    fn paced_bytes(&mut self, run: &WatchedRun) -> u64 {
        let segment = run.segment_bytes.max(1);
        let lengths = (0..run.bytes).step_by(segment).map(|at| segment.min(run.bytes - at));
        let mut bytes = 0;
        for len in lengths.filter(|len| *len >= SMALLEST_PACED_BYTES) {
            match self.probes.checked_sub(1) {
                Some(left) => self.probes = left,
                None => bytes += len as u64,
            }
        }
        bytes
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use wirehaul_core::time::Duration;

    use crate::{
        host::{Arena, HostConfig},
        run::Run,
    };

    /// Watches a session at 8 Mbit/s, whose quantum is two datagrams of 1472 bytes, that sends one run of this many full
    /// datagrams every `gap`.
    fn watched(runs: &[usize], gap: Duration, probe_timeouts: u64) -> Option<Violation> {
        let mut watch = PaceWatch::default();
        let pace = Pace { rate: Some(Rate::from_bits_per_sec(8_000_000)), quantum_bytes: 2 * 1472, probe_timeouts };
        let remote = core::net::SocketAddr::from(([10, 0, 0, 1], 1));
        let arena = Arena::new();
        let mut any = Run::new(&arena, 0);
        let host = any.add_host(HostConfig::new(1));
        let session = any.connect_to(host, remote);
        for (index, datagrams) in (0..).zip(runs) {
            let run = WatchedRun { remote, segment_bytes: 1472, bytes: 1472 * datagrams };
            watch.after_turn(Instant::ZERO + gap.saturating_mul(index), session, pace, [run].iter());
        }
        watch.violation()
    }

    #[test]
    fn the_watch_allows_one_quantum() {
        let exact = Duration::from_micros(2 * 1472);
        assert_eq!(watched(&[2; 1000], exact, 0), None);
        assert_eq!(watched(&[2], Duration::ZERO, 0), None);
        assert!(matches!(watched(&[2, 1], Duration::ZERO, 0), Some(Violation::Burst { index: 1, .. })));
        // Two packets go out past the pacer where a probe time-out fired.
        assert_eq!(watched(&[2, 2], Duration::ZERO, 1), None);
        // A rate that is exceeded by a hundredth shows after a while.
        assert!(watched(&[1; 1000], exact.mul_ratio(99, 200), 0).is_some());
    }

    /// What is below a nanosecond at 16 Gbit/s is two bytes, which a fall to 8 Mbit/s does not make a burst.
    #[test]
    fn a_rate_that_falls_leaves_the_rounding_of_before() {
        let excess = |bytes: usize| {
            let mut watch = PaceWatch::default();
            let remote = core::net::SocketAddr::from(([10, 0, 0, 1], 1));
            let arena = Arena::new();
            let mut any = Run::new(&arena, 0);
            let host = any.add_host(HostConfig::new(1));
            let session = any.connect_to(host, remote);
            let mut turn = |micros: u64, bits: u64, bytes: usize| {
                let rate = Some(Rate::from_bits_per_sec(bits));
                let run = WatchedRun { remote, segment_bytes: bytes, bytes };
                let pace = Pace { rate, quantum_bytes: 3_000, probe_timeouts: 0 };
                watch.after_turn(Instant::ZERO + Duration::from_micros(micros), session, pace, [run].iter());
            };
            turn(0, 16_000_000_000, 1_000);
            turn(10, 16_000_000_000, 1_500);
            turn(10, 8_000_000, 1_500 + bytes);
            watch.violation()
        };
        assert_eq!(excess(4), None);
        assert!(excess(5).is_some());
    }

    #[test]
    fn a_burst_is_noticed_where_it_happens() {
        let rate = Rate::from_bits_per_sec(8_000_000);
        let at = |micros, bytes| Departure { at: Instant::ZERO + Duration::from_micros(micros), bytes };
        let even: Vec<_> = (0..100).map(|index| at(index * 1000, 1000)).collect();
        assert_eq!(pacing(&even, rate, 1000), Ok(()));
        let mut uneven = even;
        uneven[50].at = uneven[49].at;
        assert_eq!(pacing(&uneven, rate, 1000), Err(Violation::Burst { index: 50, excess_bytes: 999 }));
        assert_eq!(pacing(&uneven, rate, 2000), Ok(()));
    }
}
