//! The command line: one file per subcommand, and what they share.

mod clock;
mod input;
mod plot;
mod replay;
mod run;
mod shrink;
mod swarm;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

/// Runs Wirehaul's own sessions under virtual time.
///
/// A run is a function of its scenario and its seed: the same pair gives the same trace hash on any machine.
#[derive(Debug, Parser)]
#[command(name = "wirehaul-sim", bin_name = "wirehaul-sim", version, propagate_version = true, max_term_width = 100)]
#[command(after_help = HELP)]
struct Cli {
    /// What to do.
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run a scenario and report its figures
    Run(run::RunArgs),
    /// Draw what happened in a scenario, or in a recorded result, as one HTML page
    Plot(plot::PlotArgs),
    /// Run many random scenarios, until one breaks a rule
    Swarm(swarm::SwarmArgs),
    /// Run one scenario of the swarm, or a script, and say everything about it
    Replay(replay::ReplayArgs),
    /// Make a failing run small: a script of few faults that breaks the same rule
    Shrink(shrink::ShrinkArgs),
}

/// What stands below the options of a command: examples of it, and what its exit code says.
macro_rules! examples {
    ($examples:literal) => {
        concat!(
            "Examples:\n",
            $examples,
            "\n\n",
            "Exit codes:\n",
            "  0  done, and everything was as the scenario expects\n",
            "  1  something that must hold did not, or a figure was not as expected; or a file could not be written\n",
            "  2  usage: the command line or the scenario makes no sense",
        )
    };
}
use examples;

const HELP: &str = examples!(
    "  wirehaul-sim run sim/scenarios/one-flow.toml
  wirehaul-sim plot sim/scenarios/one-flow.toml -o one-flow.html
  wirehaul-sim swarm 1000"
);

/// How a command ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exit {
    /// Everything was as it should be.
    Done,
    /// Something was not.
    Failed,
    /// What was asked for makes no sense.
    Usage,
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit as u8)
    }
}

/// Does what the command line says.
pub fn main() -> ExitCode {
    let exit = match Cli::parse().command {
        Command::Run(args) => run::run(&args),
        Command::Plot(args) => plot::plot(&args),
        Command::Swarm(args) => swarm::swarm(&args),
        Command::Replay(args) => replay::replay(&args),
        Command::Shrink(args) => shrink::shrink(&args),
    };
    exit.into()
}
