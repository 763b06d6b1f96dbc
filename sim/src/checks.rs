//! What must hold whatever the scenario (SIM-4). Each check looks at a run from outside and says what is broken.

use std::fmt;

use wirehaul_core::rate::Rate;

use crate::{
    bulk::Breach,
    endpoint::Departure,
    network::Network,
    run::{Outcome, Run},
};

/// Something that must hold and does not.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Violation {
    /// Datagrams came from nowhere or went nowhere: what the books say, and where.
    Conservation(String),
    /// A session broke a promise to its application.
    Breach(Breach),
    /// A transfer did not end though nothing stands in its way any more.
    Incomplete(Outcome),
    /// More left at once than the pacer allows: so many bytes too many, when the burst of this index left.
    Burst {
        /// Index of the departure.
        index: usize,
        /// Bytes above what the rate and one quantum allow.
        excess_bytes: u64,
    },
}

impl fmt::Display for Violation {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Conservation(books) => write!(out, "datagrams are not conserved: {books}"),
            Self::Breach(breach) => write!(out, "a session broke a promise: {breach:?}"),
            Self::Incomplete(outcome) => write!(out, "the transfer did not end: {outcome:?}"),
            Self::Burst { index, excess_bytes } => {
                write!(out, "departure {index} is {excess_bytes} bytes above the pacer's schedule")
            }
        }
    }
}

/// Every datagram that entered a link, or the network, left it, was dropped for a counted reason, or is on its way.
///
/// # Errors
/// [`Violation::Conservation`] where the books do not balance.
pub fn conservation(network: &Network) -> Result<(), Violation> {
    let ledger = network.ledger();
    let mut made = ledger.sent.datagrams + ledger.injected.datagrams;
    let mut gone = ledger.delivered.datagrams + network.on_the_way().datagrams;
    let mut made_bytes = ledger.sent.bytes + ledger.injected.bytes;
    let mut gone_bytes = ledger.delivered.bytes + network.on_the_way().bytes;
    for (index, link) in network.links().enumerate() {
        let stats = link.stats();
        let dropped = stats.dropped_total();
        let balance = (stats.entered.datagrams + stats.duplicated.datagrams, stats.left.datagrams + dropped.datagrams);
        if balance.0 != balance.1 {
            return Err(Violation::Conservation(format!("link {index} got {} and gave {}", balance.0, balance.1)));
        }
        made += stats.duplicated.datagrams;
        gone += dropped.datagrams;
        made_bytes += stats.duplicated.bytes;
        gone_bytes += dropped.bytes + stats.cut_bytes;
    }
    if made == gone && made_bytes == gone_bytes {
        return Ok(());
    }
    Err(Violation::Conservation(format!("{made} datagrams ({made_bytes} B) in, {gone} ({gone_bytes} B) out")))
}

/// Every session of the run kept its promises to its application.
///
/// # Errors
/// [`Violation::Breach`], the first one.
pub fn promises(run: &Run<'_>) -> Result<(), Violation> {
    match run.hosts().flat_map(|host| host.app().breaches()).next() {
        Some(breach) => Err(Violation::Breach(breach)),
        None => Ok(()),
    }
}

/// Every transfer of the run went through; `outcome` is how the run ended.
///
/// # Errors
/// [`Violation::Incomplete`].
pub fn completion(run: &Run<'_>, outcome: Outcome) -> Result<(), Violation> {
    if outcome == Outcome::Done && run.all_delivered() { Ok(()) } else { Err(Violation::Incomplete(outcome)) }
}

/// In every window of time, no more bytes left than `rate` allows in it plus `burst_bytes` (BBR-4).
///
/// # Errors
/// [`Violation::Burst`] for the first departure that breaks the rule.
pub fn pacing(departures: &[Departure], rate: Rate, burst_bytes: u64) -> Result<(), Violation> {
    // A bucket that leaks at the rate holds what is above the rate, over the worst window that ends here.
    const BIT_NANOS_PER_BYTE: u128 = 8_000_000_000;
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

/// Everything that must hold at the end of a run in which every transfer should have gone through.
///
/// # Errors
/// The first [`Violation`].
pub fn all(run: &mut Run<'_>, outcome: Outcome) -> Result<(), Violation> {
    promises(run)?;
    conservation(run.network())?;
    completion(run, outcome)
}

/// Jain's index of fairness in parts per million: a million where all shares are equal (RFC 5166 section 2.3).
#[must_use]
pub fn jain_ppm(shares: &[u64]) -> u64 {
    let sum: u128 = shares.iter().map(|share| u128::from(*share)).sum();
    let squares: u128 = shares.iter().map(|share| u128::from(*share) * u128::from(*share)).sum();
    let index = (sum * sum * 1_000_000).checked_div(squares * shares.len() as u128).unwrap_or(0);
    u64::try_from(index).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use wirehaul_core::time::{Duration, Instant};

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

    #[test]
    fn fairness_is_one_where_shares_are_equal() {
        assert_eq!(jain_ppm(&[5, 5, 5]), 1_000_000);
        assert_eq!(jain_ppm(&[10, 0]), 500_000);
        assert_eq!(jain_ppm(&[]), 0);
    }
}
