//! Who is compared, in what, and what came of it.

use clap::ValueEnum;
use serde::Serialize;

use crate::stats::{median, range};

/// Who sends, receives or forwards.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Contestant {
    /// Ours.
    Wirehaul,
    /// The example of bpf-examples.
    Xdpsock,
    /// UDP sockets, many datagrams per call.
    Sendmmsg,
    /// UDP sockets, the kernel cuts segments.
    Gso,
}

impl Contestant {
    /// For people.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Wirehaul => "wirehaul",
            Self::Xdpsock => "xdpsock",
            Self::Sendmmsg => "sendmmsg",
            Self::Gso => "GSO",
        }
    }
}

/// What is measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, ValueEnum)]
#[serde(rename_all = "lowercase")]
pub enum Scenario {
    /// Packets that leave.
    Send,
    /// Packets that arrive, while as many come as can be sent.
    Receive,
    /// Packets that come back, while as many come as can be sent.
    Forward,
}

impl Scenario {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Send, Self::Receive, Self::Forward];

    /// Those whom ours is compared with.
    #[must_use]
    pub const fn rivals(self) -> &'static [Contestant] {
        match self {
            Self::Send => &[Contestant::Xdpsock, Contestant::Sendmmsg, Contestant::Gso],
            Self::Receive | Self::Forward => &[Contestant::Xdpsock],
        }
    }

    /// For people.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Send => "send",
            Self::Receive => "receive and drop",
            Self::Forward => "forward",
        }
    }
}

/// What was counted in one slice of time.
#[derive(Clone, Copy, Debug, Default, Serialize)]
pub struct Rate {
    /// Packets per second that were sent, received or forwarded.
    pub packets_per_s: f64,
    /// Packets per second that came to the socket and found no room.
    pub dropped_per_s: f64,
}

/// Two slices, one directly behind the other: ours and the rival's.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct Pair {
    /// Which start of the processes it belongs to.
    pub start: usize,
    /// Ours.
    pub ours: Rate,
    /// The rival's.
    pub theirs: Rate,
}

impl Pair {
    /// Ours by theirs.
    #[must_use]
    pub fn ratio(&self) -> f64 {
        self.ours.packets_per_s / self.theirs.packets_per_s
    }
}

/// Ours beside one rival.
#[derive(Clone, Debug, Serialize)]
pub struct Comparison {
    /// In what.
    pub scenario: Scenario,
    /// With whom.
    pub rival: Contestant,
    /// All pairs of slices.
    pub pairs: Vec<Pair>,
    /// Pairs that were left out and taken again, since somebody else had the CPU for a part of the time.
    pub disturbed: usize,
}

/// The spread of ratios.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct Spread {
    /// The median.
    pub median: f64,
    /// A quarter is below, and a quarter above.
    pub quartiles: [f64; 2],
    /// The smallest and the largest.
    pub range: [f64; 2],
}

impl Comparison {
    /// How the ratios of all pairs lie; `None` without any.
    #[must_use]
    pub fn ratios(&self) -> Option<Spread> {
        let ratios = self.all(Pair::ratio);
        let (smallest, largest) = range(&ratios)?;
        Some(Spread { median: median(&ratios)?, quartiles: quartiles(&ratios)?, range: [smallest, largest] })
    }

    /// The median of each start's ratios: where memory came to lie differs from start to start.
    #[must_use]
    pub fn by_start(&self) -> Vec<f64> {
        let starts = self.pairs.iter().map(|pair| pair.start + 1).max().unwrap_or(0);
        let of = |start| {
            let ratios: Vec<f64> = self.pairs.iter().filter(|pair| pair.start == start).map(Pair::ratio).collect();
            median(&ratios)
        };
        (0..starts).filter_map(of).collect()
    }

    /// The medians of both: of packets and of drops.
    #[must_use]
    pub fn medians(&self) -> [Rate; 2] {
        let medians = |of: fn(&Pair) -> Rate| Rate {
            packets_per_s: median(&self.all(|pair| of(pair).packets_per_s)).unwrap_or_default(),
            dropped_per_s: median(&self.all(|pair| of(pair).dropped_per_s)).unwrap_or_default(),
        };
        [medians(|pair| pair.ours), medians(|pair| pair.theirs)]
    }

    fn all(&self, of: impl Fn(&Pair) -> f64) -> Vec<f64> {
        self.pairs.iter().map(of).collect()
    }
}

/// The medians of the lower and of the upper half; the middle of an odd count belongs to both. `None` of nothing.
fn quartiles(values: &[f64]) -> Option<[f64; 2]> {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let half = sorted.len().div_ceil(2);
    Some([median(sorted.get(..half)?)?, median(sorted.get(sorted.len() - half..)?)?])
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pair(start: usize, ours: f64, theirs: f64) -> Pair {
        let rate = |packets_per_s| Rate { packets_per_s, dropped_per_s: packets_per_s / 2.0 };
        Pair { start, ours: rate(ours), theirs: rate(theirs) }
    }

    #[test]
    fn what_both_suffer_cancels_in_the_ratios() {
        let pairs = vec![pair(0, 220.0, 200.0), pair(0, 110.0, 100.0), pair(1, 360.0, 300.0), pair(1, 55.0, 50.0)];
        let comparison = Comparison { scenario: Scenario::Send, rival: Contestant::Xdpsock, pairs, disturbed: 0 };
        let spread = comparison.ratios().unwrap();
        assert!((spread.median - 1.1).abs() < 1e-9, "{spread:?}");
        assert!((spread.range[1] - 1.2).abs() < 1e-9, "{spread:?}");
        let by_start = comparison.by_start();
        assert!((by_start[0] - 1.1).abs() < 1e-9 && (by_start[1] - 1.15).abs() < 1e-9, "{by_start:?}");
        let [ours, theirs] = comparison.medians();
        assert!((ours.packets_per_s - 165.0).abs() < 1e-9 && (theirs.dropped_per_s - 75.0).abs() < 1e-9);
    }

    #[test]
    fn quartiles_are_the_medians_of_the_halves() {
        assert_eq!(quartiles(&[4.0, 1.0, 3.0, 2.0]), Some([1.5, 3.5]));
        assert_eq!(quartiles(&[5.0, 1.0, 3.0, 2.0, 4.0]), Some([2.0, 4.0]));
        assert_eq!(quartiles(&[7.0]), Some([7.0, 7.0]));
        assert_eq!(quartiles(&[]), None);
    }

    #[test]
    fn nothing_measured_is_nothing() {
        let comparison =
            Comparison { scenario: Scenario::Send, rival: Contestant::Gso, pairs: Vec::new(), disturbed: 3 };
        assert!(comparison.ratios().is_none() && comparison.by_start().is_empty());
    }
}
