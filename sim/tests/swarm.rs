//! Many random scenarios, each a function of its seed; a failure prints the command that replays it (SIM-3, SIM-6).

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test that cannot go on has failed")]

use wirehaul_sim::swarm::Scenario;

/// Seeds of the swarm that every test run goes through; `./x swarm 10000` goes through more.
const SEEDS: u64 = 500;

#[test]
fn every_scenario_of_the_swarm_gets_through() {
    let failure = |seed| {
        let failure = Scenario::draw(seed).run().err()?;
        Some(format!("seed {seed}: {failure}\nreplay: cargo run -p wirehaul-sim -- replay --seed {seed}"))
    };
    let failures: Vec<_> = (0..SEEDS).filter_map(failure).collect();
    assert!(failures.is_empty(), "{} of {SEEDS}:\n{}", failures.len(), failures.join("\n"));
}

/// SIM-3: a seed is a run, to the byte and the nanosecond; another seed is another run.
#[test]
fn the_same_seed_gives_the_same_trace_and_another_seed_another() {
    let run = |seed| Scenario::draw(seed).run().expect("the swarm gets through").trace_hash;
    let mut hashes: Vec<_> = (0..10).map(run).collect();
    assert_eq!(hashes, (0..10).map(run).collect::<Vec<_>>());
    hashes.sort_unstable();
    hashes.dedup();
    assert_eq!(hashes.len(), 10);
}

/// SIM-3: all that happens by chance can be written down, and what is written down happens again.
#[test]
fn a_recorded_run_is_the_same_run() {
    let mut by_chance = 0;
    for seed in 0..60 {
        let drawn = Scenario::draw(seed);
        let (outcome, recorded) = drawn.run_recorded();
        by_chance += recorded.faults.len() - drawn.faults.len();
        let text = recorded.to_script();
        let read = Scenario::from_script(&text).expect("a script that was just written");
        assert_eq!(read, recorded);
        assert_eq!(read.run(), outcome, "seed {seed}");
    }
    assert!(by_chance > 1_000, "hardly anything happened: {by_chance}");
}
