//! Scenarios drawn at random: options that nobody would think of putting together, and faults at any time (SIM-2, SIM-6).
//!
//! ```text
//! options  what a scenario is, in numbers that a script can hold   draw    a scenario from a seed
//! drive    one run: what may go wrong, then what must get through   script  a scenario and its faults as text
//! ```
//! A run has a safety phase, in which everything may go wrong, and a liveness phase, in which the path is whole again
//! and every transfer must get through. A scenario is a function of its seed alone.

mod draw;
mod drive;
pub mod options;
pub mod script;

use std::fmt;

use wirehaul_core::time::Duration;

pub use drive::SAFETY_PHASE;

use crate::{checks::Violation, faults::Fault, host::Arena, planted::Bug};
use options::{Chances, Options};

/// Callers, a listener, the paths between them, and what goes wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Scenario {
    /// What it was drawn from. Keys and the lateness of timers come from it too.
    pub seed: u64,
    /// Hosts and paths.
    pub options: Options,
    /// What happens to single datagrams by chance, there and back; `None` where the script alone decides.
    pub chances: Option<[Chances; 2]>,
    /// Faults that are sure to happen.
    pub faults: Vec<Fault>,
}

/// What a run of a scenario came to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Report {
    /// Digest of every delivered datagram.
    pub trace_hash: u64,
    /// Virtual time until everything was delivered.
    pub took: Duration,
    /// Datagrams that were sent.
    pub datagrams: u64,
}

/// Why a scenario failed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    /// What must hold and does not.
    pub violation: Violation,
    /// Digest of every delivered datagram.
    pub trace_hash: u64,
    /// How the hosts stood.
    pub state: String,
}

impl fmt::Display for Failure {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "rule {}: {}{}", self.violation.rule(), self.violation, self.state)
    }
}

impl Scenario {
    /// The scenario of this seed.
    #[must_use]
    pub fn draw(seed: u64) -> Self {
        draw::scenario(seed)
    }

    /// The same with a bug planted in every host.
    #[must_use]
    pub fn with_bug(mut self, bug: Bug) -> Self {
        self.options.planted = Some(bug);
        self
    }

    /// Runs the scenario.
    ///
    /// # Errors
    /// The first thing that must hold and does not, with how the hosts stood then.
    pub fn run(&self) -> Result<Report, Failure> {
        drive::run(self, &Arena::new(), None)
    }

    /// Runs the scenario; returns how that went, and the same scenario with all that happened by chance as a script.
    pub fn run_recorded(&self) -> (Result<Report, Failure>, Self) {
        let mut happened = Vec::new();
        let outcome = drive::run(self, &Arena::new(), Some(&mut happened));
        let faults = self.faults.iter().cloned().chain(happened).collect();
        (outcome, Self { chances: None, faults, ..self.clone() })
    }
}
