//! A crowd: very many transfers into one `wirehaul serve` at once, and whether each gets its share.

mod sender;
mod server;

use std::io;

use thiserror::Error;

pub use sender::{Crowd, Outcome, crowd};
pub use server::{Server, memory_of};

use crate::process::ProcessError;

/// Why there is no figure.
#[derive(Debug, Error)]
pub enum CrowdError {
    /// Files could not be made or read.
    #[error("cannot prepare files: {0}")]
    Files(#[from] io::Error),
    /// The server failed.
    #[error(transparent)]
    Process(#[from] ProcessError),
    /// The server did not say what was awaited.
    #[error("the server said nothing of {0}")]
    Silent(&'static str),
    /// A sender could not be set up.
    #[error("cannot set a sender up: {0}")]
    Sender(String),
}

/// Jain's index of fairness: 1 where all shares are equal, `1/n` where one has all.
#[must_use]
pub fn jain(shares: &[f64]) -> f64 {
    let (sum, squares) = shares.iter().fold((0.0, 0.0), |(sum, squares), share| (sum + share, squares + share * share));
    if squares > 0.0 { sum * sum / (shares.len() as f64 * squares) } else { 0.0 }
}

#[cfg(test)]
mod tests {
    use super::jain;

    #[test]
    fn equal_shares_are_fair_and_one_share_is_not() {
        assert!((jain(&[3.0; 7]) - 1.0).abs() < 1e-12);
        assert!((jain(&[1.0, 0.0, 0.0, 0.0]) - 0.25).abs() < 1e-12);
        assert!(jain(&[]).abs() < 1e-12);
    }
}
