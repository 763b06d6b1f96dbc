//! Transfers end once nothing stands in their way any more.

use super::Violation;
use crate::run::{Outcome, Run};

/// Every transfer of the run went through; `outcome` is how the run ended.
///
/// # Errors
/// [`Violation::Incomplete`].
pub fn completion(run: &Run<'_>, outcome: Outcome) -> Result<(), Violation> {
    if outcome == Outcome::Done && run.all_delivered() { Ok(()) } else { Err(Violation::Incomplete(outcome)) }
}
