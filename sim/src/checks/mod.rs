//! What must hold whatever the scenario (SIM-4). Each check looks at a run from outside and says what is broken.
//!
//! ```text
//! promises    what a session promises its application      packets   datagrams are conserved, link by link
//! slots       buffers of devices are conserved             reasons   every byte that did not arrive has a reason
//! pacing      no more than the rate and one quantum        rejects   nothing is refused that nobody spoiled
//! completion  transfers end once faults have stopped       content   what was written is what was sent
//! spinning    no host is busy with nothing
//! ```

pub mod completion;
pub mod content;
pub mod pacing;
pub mod packets;
pub mod promises;
pub mod reasons;
pub mod rejects;
pub mod slots;
pub mod spinning;

use std::fmt;

pub use completion::completion;
pub use pacing::pacing;
pub use packets::conservation;
pub use promises::promises;

use crate::{
    bulk::Breach,
    run::{HostId, Outcome, Run},
};

/// Something that must hold and does not.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Violation {
    /// Datagrams came from nowhere or went nowhere: what the books say, and where.
    Conservation(String),
    /// A device's buffers came from nowhere or went nowhere.
    Slots(String),
    /// Bytes did not arrive, and nothing says why.
    NoReason(String),
    /// A session broke a promise to its application.
    Breach(Breach),
    /// What was written is not what was sent.
    Content(String),
    /// Something was refused though nobody spoiled it.
    Rejects(String),
    /// A transfer did not end though nothing stands in its way any more.
    Incomplete(Outcome),
    /// A host's timer is due again and again, and nothing comes of it.
    Spinning(HostId),
    /// More left at once than the pacer allows: so many bytes too many, when the burst of this index left.
    Burst {
        /// Index of the departure.
        index: usize,
        /// Bytes above what the rate and one quantum allow.
        excess_bytes: u64,
    },
}

impl Violation {
    /// The name of the rule that is broken, which is the name of its checker.
    #[must_use]
    pub const fn rule(&self) -> &'static str {
        match self {
            Self::Conservation(_) => "packets",
            Self::Slots(_) => "slots",
            Self::NoReason(_) => "reasons",
            Self::Breach(_) => "promises",
            Self::Content(_) => "content",
            Self::Rejects(_) => "rejects",
            Self::Incomplete(_) => "completion",
            Self::Spinning(_) => "spinning",
            Self::Burst { .. } => "pacing",
        }
    }
}

impl fmt::Display for Violation {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Conservation(books) => write!(out, "datagrams are not conserved: {books}"),
            Self::Slots(books) => write!(out, "buffers are not conserved: {books}"),
            Self::NoReason(books) => write!(out, "bytes were dropped without a reason: {books}"),
            Self::Breach(breach) => write!(out, "a session broke a promise: {breach:?}"),
            Self::Content(difference) => write!(out, "what was written is not what was sent: {difference}"),
            Self::Rejects(counts) => write!(out, "packets of an honest peer were refused: {counts}"),
            Self::Incomplete(outcome) => write!(out, "the transfer did not end: {outcome:?}"),
            Self::Spinning(host) => write!(out, "{host:?} is busy with nothing"),
            Self::Burst { index, excess_bytes } => {
                write!(out, "departure {index} is {excess_bytes} bytes above the pacer's schedule")
            }
        }
    }
}

/// Everything that must hold at any time, whether or not transfers have gone through.
///
/// # Errors
/// The first [`Violation`].
pub fn safety(run: &mut Run<'_>) -> Result<(), Violation> {
    promises(run)?;
    conservation(run.network())?;
    slots::slots(run)?;
    reasons::reasons(run)?;
    match run.hosts().find_map(|host| host.pace()?.violation()) {
        Some(violation) => Err(violation),
        None => Ok(()),
    }
}

/// Everything that must hold at the end of a run in which every transfer should have gone through.
///
/// # Errors
/// The first [`Violation`].
pub fn all(run: &mut Run<'_>, outcome: Outcome) -> Result<(), Violation> {
    spinning::spinning(outcome)?;
    safety(run)?;
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

    #[test]
    fn fairness_is_one_where_shares_are_equal() {
        assert_eq!(jain_ppm(&[5, 5, 5]), 1_000_000);
        assert_eq!(jain_ppm(&[10, 0]), 500_000);
        assert_eq!(jain_ppm(&[]), 0);
    }
}
