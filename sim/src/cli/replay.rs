//! `wirehaul-sim replay`: one run of the swarm, or of a script, in words.

use std::{
    fs,
    path::{Path, PathBuf},
};

use clap::Args;
use wirehaul_sim::{planted::Bug, swarm::Scenario};

use super::{
    Exit, examples,
    input::{parse_number, read_text},
    swarm,
};

const HELP: &str = examples!(
    "  wirehaul-sim replay --seed 7
  wirehaul-sim replay --seed 7 --record run.jsonl
  wirehaul-sim replay --script run.jsonl"
);

/// Which scenario of the swarm.
#[derive(Debug, Args)]
#[group(required = true, multiple = true)]
pub struct Which {
    /// The run of this seed; with --script, the script under this seed
    #[arg(long, value_name = "N", value_parser = parse_number, allow_negative_numbers = true)]
    pub seed: Option<u64>,
    /// The run of this script
    #[arg(long, value_name = "FILE")]
    pub script: Option<PathBuf>,
}

/// Arguments of `wirehaul-sim replay`.
#[derive(Debug, Args)]
#[command(after_help = HELP)]
pub struct ReplayArgs {
    /// Which run.
    #[command(flatten)]
    which: Which,
    /// Give every host this bug
    #[arg(long, value_name = "BUG", value_parser = swarm::parse_bug)]
    plant: Option<Bug>,
    /// Write the run as a script that needs no chance: everything that happened, one fault a line
    #[arg(long, value_name = "FILE")]
    record: Option<PathBuf>,
}

impl Which {
    /// The scenario that the command line names, with the bug in it.
    pub fn scenario(&self, plant: Option<Bug>) -> Result<Scenario, String> {
        let Some(file) = &self.script else { return Ok(swarm::scenario(self.seed.unwrap_or_default(), plant)) };
        let text = read_text(file)?;
        let mut scenario = Scenario::from_script(&text).map_err(|error| error.within(file.display()))?;
        scenario.seed = self.seed.unwrap_or(scenario.seed);
        scenario.options.planted = plant.or(scenario.options.planted);
        Ok(scenario)
    }
}

/// Writes a scenario to a file; complains where that fails.
pub fn write_script(file: &Path, scenario: &Scenario) -> bool {
    let written = fs::write(file, scenario.to_script());
    if let Err(error) = &written {
        eprintln!("{}: {error}", file.display());
    }
    written.is_ok()
}

/// Runs the scenario and says everything about it.
pub fn replay(args: &ReplayArgs) -> Exit {
    let scenario = match args.which.scenario(args.plant) {
        Ok(scenario) => scenario,
        Err(error) => {
            eprintln!("{error}");
            return Exit::Usage;
        }
    };
    let (outcome, recorded) = scenario.run_recorded();
    let (text, exit) = match &outcome {
        Ok(report) => {
            let (took, datagrams) = (report.took.as_micros(), report.datagrams);
            (format!("no rule broken; {datagrams} datagrams, delivered after {took} us"), Exit::Done)
        }
        Err(failure) => (failure.to_string(), Exit::Failed),
    };
    let hash = outcome.as_ref().map_or_else(|failure| failure.trace_hash, |report| report.trace_hash);
    let faults = recorded.faults.len();
    let written = args.record.as_deref().is_none_or(|file| write_script(file, &recorded));
    let text =
        format!("{:#?}\n{text}\nseed {}, {faults} faults, trace hash {hash:016x}", scenario.options, scenario.seed);
    swarm::say(&text, if written { exit } else { Exit::Failed })
}
