//! `wirehaul-sim shrink`: a small script that still breaks the rule that a large run broke.

use std::path::PathBuf;

use clap::Args;
use wirehaul_sim::{faults, planted::Bug, shrink};

use super::{
    Exit, examples,
    input::parse_small_number,
    replay::{Which, write_script},
    swarm,
};

const HELP: &str = examples!(
    "  wirehaul-sim shrink --seed 7 --out small.jsonl
  wirehaul-sim shrink --script run.jsonl --runs 20000
  wirehaul-sim shrink --seed 7 --plant lost-slot"
);

/// Arguments of `wirehaul-sim shrink`.
#[derive(Debug, Args)]
#[command(after_help = HELP)]
pub struct ShrinkArgs {
    /// Which run.
    #[command(flatten)]
    which: Which,
    /// Give every host this bug
    #[arg(long, value_name = "BUG", value_parser = swarm::parse_bug)]
    plant: Option<Bug>,
    /// Where to write the script
    #[arg(long, value_name = "FILE", default_value = "shrunk.jsonl")]
    out: PathBuf,
    /// How many runs the search may take
    #[arg(long, value_name = "N", default_value = "5000", value_parser = parse_small_number, allow_negative_numbers = true)]
    runs: u32,
}

/// Shrinks the run and writes what is left.
pub fn shrink(args: &ShrinkArgs) -> Exit {
    let scenario = match args.which.scenario(args.plant) {
        Ok(scenario) => scenario,
        Err(error) => {
            eprintln!("{error}");
            return Exit::Usage;
        }
    };
    let Some(shrunk) = shrink::shrink(&scenario, args.runs) else {
        eprintln!("the run breaks no rule: there is nothing to shrink");
        return Exit::Failed;
    };
    if !write_script(&args.out, &shrunk.scenario) {
        return Exit::Failed;
    }
    let left = &shrunk.scenario.faults;
    let file = args.out.display();
    let text = format!(
        "{}rule \"{}\", {} faults of {}, {} runs\nreplay: wirehaul-sim replay --script {file}",
        faults::to_lines(left),
        shrunk.rule,
        left.len(),
        shrunk.faults_before,
        shrunk.runs
    );
    swarm::say(&text, Exit::Done)
}
