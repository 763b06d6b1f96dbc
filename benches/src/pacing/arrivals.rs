//! From arrivals to figures.

use std::time::Duration;

use serde::Serialize;

/// Bytes of UDP payload that arrived at one instant: one datagram, or a whole segmented send, which crosses a veth pair
/// in one piece.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Arrival {
    /// Nanoseconds since 1970, by the kernel.
    pub at_ns: u64,
    /// Bytes of UDP payload.
    pub bytes: u64,
}

/// What was asked of the sender, and which part of the run counts.
#[derive(Debug, Clone, Copy)]
pub struct Asked {
    /// The rate, in bits of UDP payload per second.
    pub bits_per_s: u64,
    /// The round-trip time that was added.
    pub round_trip: Duration,
    /// What at the beginning does not count.
    pub warm_up: Duration,
    /// What counts after that.
    pub span: Duration,
}

/// How exactly a sender paced.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Figures {
    /// The mean rate less what was asked for, in per cent of that.
    pub mean_error_pct: f64,
    /// Coefficient of variation of the rate over windows of `window_ms`, in per cent.
    pub rate_cv_pct: f64,
    /// The larger of the round-trip time and twenty quanta, in milliseconds.
    pub window_ms: f64,
    /// Coefficient of variation of the gaps between arrivals, each as a share of what its bytes take at the rate.
    pub gap_cv: f64,
    /// 99th percentile of the bytes that arrived back to back (see [`BACK_TO_BACK`]).
    pub p99_burst_bytes: u64,
    /// The largest excess over the rate in any window that ends with one of 99 % of the arrivals: a quantum at most, if the
    /// sender keeps to it.
    pub p99_excess_bytes: u64,
    /// The draft's quantum at this rate, in bytes.
    pub quantum_bytes: u64,
    /// Arrivals that counted.
    pub arrivals: usize,
}

/// An arrival belongs to the burst before it if it came within this share of the time that the one before takes at the rate.
pub const BACK_TO_BACK: f64 = 0.1;
const DATAGRAM_BYTES: u64 = 1472;

/// The quantum of draft-ietf-ccwg-bbr section 5.6.3: what the rate sends in 1 ms, between two packets and 64 KB.
pub fn quantum_bytes(bits_per_s: u64) -> u64 {
    (bits_per_s / 8 / 1000).clamp(2 * DATAGRAM_BYTES, 64 << 10)
}

/// The figures of a run; `None` where too little of it counts to say anything.
pub fn figures(arrivals: &[Arrival], asked: &Asked) -> Option<Figures> {
    let begin = arrivals.first()?.at_ns + nanos(asked.warm_up);
    let end = begin + nanos(asked.span);
    let counted: Vec<_> = arrivals.iter().copied().filter(|arrival| (begin..end).contains(&arrival.at_ns)).collect();
    let (first, last) = (counted.first()?, counted.last()?);
    if counted.len() < 100 || last.at_ns - first.at_ns < nanos(asked.span) / 2 {
        return None;
    }
    let quantum_bytes = quantum_bytes(asked.bits_per_s);
    let bytes = counted.iter().map(|arrival| arrival.bytes).sum::<u64>() - last.bytes;
    let mean = bytes as f64 * 8e9 / (last.at_ns - first.at_ns) as f64;
    let quantum_ns = quantum_bytes as f64 * 8e9 / asked.bits_per_s as f64;
    let window_ns = (20.0 * quantum_ns).max(nanos(asked.round_trip) as f64);
    Some(Figures {
        mean_error_pct: (mean / asked.bits_per_s as f64 - 1.0) * 100.0,
        rate_cv_pct: variation(&windows(&counted, window_ns))? * 100.0,
        window_ms: window_ns / 1e6,
        gap_cv: variation(&gaps(&counted, asked.bits_per_s))?,
        p99_burst_bytes: percentile_99(bursts(&counted, asked.bits_per_s)),
        p99_excess_bytes: percentile_99(excesses(&counted, asked.bits_per_s)),
        quantum_bytes,
        arrivals: counted.len(),
    })
}

fn nanos(span: Duration) -> u64 {
    span.as_nanos() as u64
}

/// Bytes in each whole window from the first arrival on.
fn windows(arrivals: &[Arrival], window_ns: f64) -> Vec<f64> {
    let (Some(first), Some(last)) = (arrivals.first(), arrivals.last()) else { return Vec::new() };
    let mut sums = vec![0.0; ((last.at_ns - first.at_ns) as f64 / window_ns) as usize];
    for arrival in arrivals {
        if let Some(sum) = sums.get_mut(((arrival.at_ns - first.at_ns) as f64 / window_ns) as usize) {
            *sum += arrival.bytes as f64;
        }
    }
    sums
}

/// The gap behind each arrival but the last, as a share of the time that the arrival takes at the rate.
fn gaps(arrivals: &[Arrival], bits_per_s: u64) -> Vec<f64> {
    let pairs = arrivals.iter().zip(arrivals.iter().skip(1));
    pairs.map(|(one, next)| (next.at_ns - one.at_ns) as f64 * bits_per_s as f64 / (one.bytes as f64 * 8e9)).collect()
}

fn bursts(arrivals: &[Arrival], bits_per_s: u64) -> Vec<u64> {
    let mut bursts: Vec<u64> = arrivals.first().map(|arrival| arrival.bytes).into_iter().collect();
    for (arrival, gap) in arrivals.iter().skip(1).zip(gaps(arrivals, bits_per_s)) {
        match bursts.last_mut() {
            Some(burst) if gap < BACK_TO_BACK => *burst += arrival.bytes,
            _ => bursts.push(arrival.bytes),
        }
    }
    bursts
}

/// What a bucket that leaks at the rate holds after each arrival.
fn excesses(arrivals: &[Arrival], bits_per_s: u64) -> Vec<u64> {
    let mut level = 0.0_f64;
    let mut before = None;
    let after = |arrival: &Arrival| {
        let leaked = before.map_or(0.0, |at_ns| (arrival.at_ns - at_ns) as f64 * bits_per_s as f64 / 8e9);
        before = Some(arrival.at_ns);
        level = (level - leaked).max(0.0) + arrival.bytes as f64;
        level as u64
    };
    arrivals.iter().map(after).collect()
}

fn percentile_99(mut values: Vec<u64>) -> u64 {
    values.sort_unstable();
    values.get((values.len() * 99).div_ceil(100).saturating_sub(1)).copied().unwrap_or(0)
}

/// Standard deviation over mean; `None` of fewer than two values, or of nothing but zeroes.
fn variation(values: &[f64]) -> Option<f64> {
    let count = values.len() as f64;
    let mean = values.iter().sum::<f64>() / count;
    let variance = values.iter().map(|value| (value - mean).powi(2)).sum::<f64>() / (count - 1.0);
    (values.len() > 1 && mean > 0.0).then(|| variance.sqrt() / mean)
}

#[cfg(test)]
mod tests {
    use super::*;

    const RATE: u64 = 40_000_000;
    const GAP_NS: u64 = 294_400;
    const SPAN: Duration = Duration::from_secs(10);

    fn asked() -> Asked {
        Asked { bits_per_s: RATE, round_trip: Duration::from_millis(1), warm_up: Duration::from_secs(1), span: SPAN }
    }

    fn even() -> Vec<Arrival> {
        (0..40_000).map(|index| Arrival { at_ns: 7 + index * GAP_NS, bytes: 1472 }).collect()
    }

    #[test]
    fn a_sender_without_fault_has_figures_without_fault() {
        let figures = figures(&even(), &asked()).expect("enough");
        assert!(figures.mean_error_pct.abs() < 1e-6 && figures.gap_cv < 1e-6, "{figures:?}");
        // 20 ms hold 67.9 packets: a window has 67 or 68.
        assert!(figures.rate_cv_pct < 0.6 && (figures.window_ms - 20.0).abs() < 1e-6, "{figures:?}");
        assert_eq!((figures.p99_burst_bytes, figures.p99_excess_bytes, figures.quantum_bytes), (1472, 1472, 5000));
    }

    #[test]
    fn bursts_and_a_wrong_rate_are_seen() {
        let mut arrivals = even();
        // Every other packet waits for the next.
        for pair in arrivals.chunks_exact_mut(2) {
            pair[0].at_ns = pair[1].at_ns - 1_000;
        }
        let figures = figures(&arrivals, &asked()).expect("enough");
        assert_eq!((figures.p99_burst_bytes, figures.p99_excess_bytes), (2944, 2939));
        assert!(figures.gap_cv > 0.9 && figures.mean_error_pct.abs() < 0.01, "{figures:?}");
        let half = Asked { bits_per_s: RATE / 2, ..asked() };
        assert!((super::figures(&even(), &half).expect("enough").mean_error_pct - 100.0).abs() < 0.01);
    }

    #[test]
    fn too_little_says_nothing() {
        assert_eq!(figures(&[], &asked()), None);
        assert_eq!(figures(&even()[..5000], &asked()), None);
    }
}
