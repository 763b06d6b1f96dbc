//! Bugs that were planted on purpose are caught, each by its checker, and shrink to a few faults.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test that cannot go on has failed")]

use std::process::Command;

use wirehaul_sim::{planted::Bug, shrink::shrink, swarm::Scenario};

/// Seeds among which each bug must show.
const SEEDS: std::ops::Range<u64> = 0..300;
/// A script of this many faults can be read.
const FEW_FAULTS: usize = 10;

/// The bug is caught by the checker of `rule`; shrunk, the scenario has few faults, still breaks the rule, is the same run
/// after it went through text, and breaks nothing once the bug is gone.
fn is_caught_and_shrinks(bug: Bug, rule: &str) {
    let caught = |seed: &u64| {
        let outcome = Scenario::draw(*seed).with_bug(bug).run();
        outcome.is_err_and(|failure| failure.violation.rule() == rule)
    };
    let seed = SEEDS.into_iter().find(caught).expect("nothing notices the bug");
    let shrunk = shrink(&Scenario::draw(seed).with_bug(bug), 3_000).expect("it failed a moment ago");
    let left = &shrunk.scenario;
    assert_eq!(shrunk.rule, rule);
    assert!(
        left.faults.len() <= FEW_FAULTS,
        "{} faults of {}: {:?}",
        left.faults.len(),
        shrunk.faults_before,
        left.faults
    );
    let again = Scenario::from_script(&left.to_script()).expect("a script that was just written");
    let failure = again.run().expect_err("the script breaks the rule");
    assert_eq!(failure.violation.rule(), rule);
    let mut healthy = again;
    healthy.options.planted = None;
    assert_eq!(healthy.run().map(|_| ()), Ok(()), "seed {seed}: the bug is not what breaks the rule");
}

#[test]
fn credit_granted_at_every_poll_is_caught_by_the_check_of_the_pace() {
    is_caught_and_shrinks(Bug::CreditAtEveryPoll, "pacing");
}

#[test]
fn a_lost_slot_is_caught_by_the_check_of_the_slots() {
    is_caught_and_shrinks(Bug::LostSlot, "slots");
}

/// The sender takes for arrived what did not, and never sends it again.
#[test]
fn an_ack_of_what_did_not_arrive_is_caught_by_the_check_of_completion() {
    is_caught_and_shrinks(Bug::InventedAck, "completion");
}

/// What the swarm prints is one command, and that command shows the same failure.
#[test]
fn the_command_that_the_swarm_prints_replays_the_failure() {
    let run = |arguments: &[&str]| {
        let output = Command::new(env!("CARGO_BIN_EXE_wirehaul-sim")).args(arguments).output().expect("it starts");
        (output.status.code(), String::from_utf8(output.stdout).expect("text"))
    };
    let (code, said) = run(&["swarm", "300", "--plant", "lost-slot"]);
    assert_eq!(code, Some(1));
    assert!(said.contains("breaks the rule \"slots\""), "{said}");
    let replay = said.lines().find_map(|line| line.strip_prefix("replay: wirehaul-sim ")).expect("a command");
    let arguments: Vec<_> = replay.split(' ').collect();
    let (code, first) = run(&arguments);
    assert_eq!(code, Some(1));
    assert!(first.contains("rule slots") && first.contains("trace hash"), "{first}");
    assert_eq!(run(&arguments).1, first);
    let (code, said) = run(&["swarm", "20", "--json"]);
    assert_eq!(code, Some(0), "{said}");
    assert!(said.contains("\"type\":\"summary\"") && said.contains("\"violations\":0"), "{said}");
    assert_eq!(run(&["replay", "--script", "no such file"]).0, Some(2));
}
