//! No host is busy with nothing: a timer that is due again and again, without a datagram and without the clock moving.

use super::Violation;
use crate::run::Outcome;

/// The run did not end because a host spins.
///
/// # Errors
/// [`Violation::Spinning`], with the host.
pub const fn spinning(outcome: Outcome) -> Result<(), Violation> {
    match outcome {
        Outcome::Spinning(host) => Err(Violation::Spinning(host)),
        _ => Ok(()),
    }
}
