//! A session keeps its promises to its application: see [`crate::bulk::Breach`].

use super::Violation;
use crate::run::Run;

/// Every session of the run kept its promises to its application.
///
/// # Errors
/// [`Violation::Breach`], the first one.
pub fn promises(run: &Run<'_>) -> Result<(), Violation> {
    match run.hosts().flat_map(|host| host.breaches()).next() {
        Some(breach) => Err(Violation::Breach(breach)),
        None => Ok(()),
    }
}
