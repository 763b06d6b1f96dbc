//! Many random scenarios, each a function of its seed; a failure prints the command that replays it (SIM-3, SIM-6).

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::print_stderr,
    reason = "a test that cannot go on has failed"
)]

use wirehaul_sim::swarm::Scenario;

/// Seeds of the deterministic part of the swarm.
const SEEDS: std::ops::Range<u64> = 0..40;

fn run(seed: u64) -> Result<(), String> {
    let scenario = Scenario::draw(seed);
    match scenario.run() {
        Ok(_) => Ok(()),
        Err(violation) => Err(format!(
            "seed {seed}: {violation}\nreplay: WIREHAUL_SIM_SEED={seed} cargo test -p wirehaul-sim --test swarm -- replay --nocapture"
        )),
    }
}

#[test]
fn every_scenario_of_the_swarm_gets_through() {
    let failures: Vec<_> = SEEDS.filter_map(|seed| run(seed).err()).collect();
    assert!(failures.is_empty(), "{} of {}:\n{}", failures.len(), SEEDS.end, failures.join("\n"));
}

/// Runs the seeds that `WIREHAUL_SIM_SEED` names, as `7` or `1000..1300`; without it, the first one.
#[test]
fn replay() {
    let named = std::env::var("WIREHAUL_SIM_SEED").unwrap_or_else(|_| "0".to_owned());
    let number = |text: &str| text.parse::<u64>().expect("WIREHAUL_SIM_SEED is a seed, or two with .. between");
    let seeds = match named.split_once("..") {
        Some((from, to)) => number(from)..number(to),
        None => number(&named)..number(&named) + 1,
    };
    let single = seeds.end - seeds.start == 1;
    let failures: Vec<_> = seeds
        .filter_map(|seed| {
            if single {
                eprintln!("{:#?}", Scenario::draw(seed));
            }
            run(seed).err()
        })
        .collect();
    assert!(failures.is_empty(), "{} failed:\n{}", failures.len(), failures.join("\n"));
}

/// SIM-3: a seed is a run, to the byte and the nanosecond; another seed is another run.
#[test]
fn the_same_seed_gives_the_same_trace_and_another_seed_another() {
    let report = |seed| Scenario::draw(seed).run().map(|report| (report.trace_hash, report.datagrams));
    let first: Vec<_> = (0..5).map(report).collect();
    let again: Vec<_> = (0..5).map(report).collect();
    assert_eq!(first, again);
    let mut hashes: Vec<_> = first.iter().map(|report| report.as_ref().map(|(hash, _)| *hash)).collect();
    hashes.sort_by_key(|hash| hash.unwrap_or(0));
    hashes.dedup();
    assert_eq!(hashes.len(), 5);
}
