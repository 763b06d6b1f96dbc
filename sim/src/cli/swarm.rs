//! `wirehaul-sim swarm`: many random runs; the first that breaks a rule ends it, with the command that replays it.

use std::{
    fmt::Display,
    io::{self, Write},
};

use clap::Args;
use serde_json::json;
use wirehaul_sim::{planted::Bug, swarm::Scenario};

use super::{Exit, clock::Stopwatch, examples, input::parse_number};

const HELP: &str = examples!(
    "  wirehaul-sim swarm 10000
  wirehaul-sim swarm 500 --seed 7000 --json
  wirehaul-sim swarm 300 --plant lost-slot"
);

/// Arguments of `wirehaul-sim swarm`.
#[derive(Debug, Args)]
#[command(after_help = HELP)]
pub struct SwarmArgs {
    /// How many runs, each of the next seed
    #[arg(value_name = "N", value_parser = parse_number, allow_negative_numbers = true)]
    count: u64,
    /// The seed of the first run
    #[arg(long, value_name = "N", default_value = "0", value_parser = parse_number, allow_negative_numbers = true)]
    seed: u64,
    /// Print JSON lines; the last one has "type":"summary"
    #[arg(long)]
    json: bool,
    /// Give every host this bug, to see that a rule catches it
    #[arg(long, value_name = "BUG", value_parser = parse_bug)]
    plant: Option<Bug>,
}

/// Prints a text; `exit`, or a failure where that is not possible.
pub fn say(text: &impl Display, exit: Exit) -> Exit {
    match writeln!(io::stdout(), "{text}") {
        Ok(()) => exit,
        Err(error) => {
            eprintln!("stdout: {error}");
            Exit::Failed
        }
    }
}

/// The bug of this name.
pub fn parse_bug(name: &str) -> Result<Bug, String> {
    let names = Bug::ALL.map(Bug::name).join(", ");
    Bug::ALL.into_iter().find(|bug| bug.name() == name).ok_or(format!("the bugs are {names}"))
}

/// The scenario of a seed, with the bug in it.
pub fn scenario(seed: u64, plant: Option<Bug>) -> Scenario {
    let scenario = Scenario::draw(seed);
    match plant {
        Some(bug) => scenario.with_bug(bug),
        None => scenario,
    }
}

/// What to type to do `verb` with the scenario of this seed.
pub fn command(verb: &str, seed: u64, plant: Option<Bug>) -> String {
    let plant = plant.map_or(String::new(), |bug| format!(" --plant {}", bug.name()));
    format!("wirehaul-sim {verb} --seed {seed}{plant}")
}

/// Runs the swarm.
pub fn swarm(args: &SwarmArgs) -> Exit {
    let watch = Stopwatch::start();
    let mut datagrams = 0;
    for run in 0..args.count {
        let seed = args.seed.wrapping_add(run);
        match scenario(seed, args.plant).run() {
            Ok(report) => datagrams += report.datagrams,
            Err(failure) => {
                let replay = command("replay", seed, args.plant);
                let shrink = command("shrink", seed, args.plant);
                if args.json {
                    let summary = json!({
                        "type": "summary", "runs": run + 1, "datagrams": datagrams, "wall_s": watch.elapsed().as_secs_f64(),
                        "violations": 1, "seed": seed, "rule": failure.violation.rule(),
                        "violation": failure.violation.to_string(), "replay": replay, "shrink": shrink,
                    });
                    return say(&summary, Exit::Failed);
                }
                let rule = failure.violation.rule();
                let text = format!(
                    "seed {seed} breaks the rule \"{rule}\": {}\nreplay: {replay}\nshrink: {shrink}",
                    failure.violation
                );
                return say(&text, Exit::Failed);
            }
        }
    }
    let seconds = watch.elapsed().as_secs_f64();
    let text = if args.json {
        json!({
            "type": "summary", "runs": args.count, "datagrams": datagrams, "wall_s": seconds, "violations": 0,
        })
        .to_string()
    } else {
        format!("{} runs, {datagrams} datagrams, no rule broken, {seconds:.1} s", args.count)
    };
    say(&text, Exit::Done)
}
