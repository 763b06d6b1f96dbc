//! Parts of a survey, and what is left of one that was killed.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use nix::sys::signal::Signal;

use crate::common::machine::is_privileged;
use crate::common::shared;
use crate::rig::{Found, Rig, addresses, probes};
use crate::world::{Asked, silent, varied};

const EACH: &[(&str, u16)] = &[("tcp", 80), ("udp", 53)];

/// Waits until so many probes have arrived.
#[track_caller]
fn wait_for(rig: &Rig, count: usize) {
    wait_until(|| rig.responder.count() >= count);
}

#[track_caller]
fn wait_until(is_so: impl Fn() -> bool) {
    for _ in 0..10_000 {
        if is_so() {
            return;
        }
        std::thread::sleep(Duration::from_millis(5));
    }
    panic!("it did not come to that");
}

/// The step of a checkpoint before which all is done; 0 where there is none yet.
fn done_before(checkpoint: &Path) -> u64 {
    let text = std::fs::read_to_string(checkpoint).unwrap_or_default();
    let read = serde_json::from_str::<serde_json::Value>(&text).ok();
    read.and_then(|value| value["done_before"].as_u64()).unwrap_or(0)
}

/// The best class that was found of each probe, and what the world says it has to be.
#[track_caller]
fn assert_complete(found: &Found, expected: &[Asked]) {
    let found: BTreeMap<_, _> = found.by_probe().into_iter().map(|(asked, (classes, _))| (asked, classes)).collect();
    for asked in expected {
        let wanted = varied(*asked).classes(*asked);
        let classes = found.get(asked).map_or(&[][..], Vec::as_slice);
        // Those asked again may be reported again.
        assert_eq!(classes.last().map(String::as_str), wanted.last().copied(), "{asked:?}: {classes:?}");
        assert!(classes.iter().all(|class| wanted.contains(&class.as_str())), "{asked:?}: {classes:?}");
    }
    assert!(found.len() <= expected.len(), "somebody was found who was not asked");
}

/// SCAN-5: killed twice in the middle, a survey that goes on skips nobody, and its results are whole.
#[test]
fn what_is_killed_goes_on_and_skips_nobody() {
    let _guard = shared();
    if !is_privileged("a survey that is killed") {
        return;
    }
    let rig = Rig::new(varied, 1);
    let output = rig.path("found.jsonl");
    let checkpoint = rig.path("found.jsonl.checkpoint");
    let arguments = |resumes: bool| -> Vec<PathBuf> {
        let fixed =
            ["10.20.64.0/19", "-p", "80,udp:53", "--rate", "3k", "--subnet-rate", "unlimited", "--cooldown", "1500ms"];
        let mut arguments: Vec<PathBuf> = fixed.iter().map(PathBuf::from).collect();
        arguments.extend(["--seed".into(), "7".into(), "--output".into(), output.clone()]);
        if resumes {
            arguments.extend(["--resume".into(), checkpoint.clone()]);
        }
        arguments
    };
    let expected = probes(&addresses("10.20.64.0", 1 << 13), EACH);
    for round in 0..2 {
        let begun_at = rig.responder.count();
        let process = rig.start(arguments(round > 0));
        // The checkpoint lags by a cool-down: until there is something in it, nothing can be gone on from.
        wait_for(&rig, begun_at + 2000);
        wait_until(|| done_before(&checkpoint) > 0);
        let killed = process.kill();
        assert_eq!(killed.code, None, "{}", killed.output());
        assert!(!output.exists(), "results have their name before they are complete");
    }
    let before = rig.responder.count();
    rig.start(arguments(true)).wait().expect(0);
    let log = rig.responder.log();
    let skipped: Vec<_> = expected.iter().filter(|asked| !log.probes.contains_key(asked)).take(4).collect();
    assert!(skipped.is_empty(), "skipped: {skipped:?}");
    assert!(log.count() - before < expected.len(), "it began anew: {} after {before}", log.count());
    assert_complete(&Found::read(&output), &expected);
}

/// OPS-4, SCAN-5: Ctrl-C ends a survey with 5, and the same command with `--resume` goes on.
#[test]
fn what_is_interrupted_says_so_and_goes_on() {
    let _guard = shared();
    if !is_privileged("a survey that is interrupted") {
        return;
    }
    let rig = Rig::new(varied, 1);
    let output = rig.path("found.jsonl");
    let checkpoint = rig.path("found.jsonl.checkpoint");
    let fixed =
        ["10.20.64.0/20", "-p", "80,udp:53", "--rate", "4k", "--subnet-rate", "unlimited", "--cooldown", "1500ms"];
    let fixed = [&fixed[..], &["--seed", "7", "--output", output.to_str().unwrap()]].concat();
    let expected = probes(&addresses("10.20.64.0", 1 << 12), EACH);
    let process = rig.start(&fixed);
    wait_for(&rig, expected.len() / 2);
    process.signal(Signal::SIGINT);
    process.wait().expect(5);
    assert!(checkpoint.exists() && !output.exists());
    rig.start([&fixed[..], &["--resume", checkpoint.to_str().unwrap()]].concat()).wait().expect(0);
    let log = rig.responder.log();
    assert!(expected.iter().all(|asked| log.probes.contains_key(asked)));
    assert!(log.count() < expected.len() * 2, "it began anew");
    assert_complete(&Found::read(&output), &expected);
}

/// SCAN-5: a checkpoint of another survey is refused, in one line.
#[test]
fn a_checkpoint_of_another_survey_is_refused() {
    let _guard = shared();
    if !is_privileged("a checkpoint of another survey") {
        return;
    }
    let rig = Rig::new(varied, 1);
    let output = rig.path("found.jsonl");
    let checkpoint = rig.path("found.jsonl.checkpoint");
    let with = |targets: &'static str, seed: &'static str| {
        [targets, "-p", "80", "--rate", "1k", "--seed", seed, "--output", output.to_str().unwrap()]
    };
    let process = rig.start(with("10.20.64.0/20", "7"));
    wait_for(&rig, 1500);
    process.kill();
    let arrived = rig.responder.count();
    for other in [with("10.20.64.0/21", "7"), with("10.20.64.0/20", "8")] {
        let finished = rig.start([&other[..], &["--resume", checkpoint.to_str().unwrap()]].concat()).wait();
        assert!(matches!(finished.code, Some(1 | 2)), "{}", finished.output());
        finished.one_line();
    }
    assert_eq!(rig.responder.count(), arrived, "something was sent all the same");
    assert!(checkpoint.exists(), "the checkpoint is gone");
}

/// SCAN-2, SCAN-5: shards 1 to 7 together ask everybody exactly once; what a shard covers is what its dry run says, with one worker
/// and with two.
#[test]
fn seven_shards_are_the_whole_exactly_once() {
    let _guard = shared();
    if !is_privileged("seven shards") {
        return;
    }
    let rig = Rig::new(silent, 2);
    let fixed = ["10.20.128.0/20", "-p", "80,udp:53", "--rate", "50k", "--subnet-rate", "unlimited", "--seed", "11"];
    let expected: BTreeSet<_> = probes(&addresses("10.20.128.0", 1 << 12), EACH).into_iter().collect();
    let mut seen: BTreeMap<Asked, u32> = BTreeMap::new();
    for shard in 1..=7 {
        let shard = format!("{shard}/7");
        let workers = if shard.starts_with('3') { "2" } else { "1" };
        rig.responder.forget();
        let options = ["--shard", &shard, "--cooldown", "200ms", "--workers", workers];
        rig.scan(&[&fixed[..], &options].concat());
        let log = rig.responder.log();
        log.probes.iter().for_each(|(asked, times)| *seen.entry(*asked).or_default() += times.len() as u32);
        let dry = rig.start([&fixed[..], &["--shard", &shard, "--dry-run"]].concat()).wait().expect(0);
        let said: BTreeSet<(IpAddr, u16)> = dry.stdout.lines().filter_map(address_and_port).collect();
        let asked: BTreeSet<(IpAddr, u16)> = log.probes.keys().map(|asked| (asked.target, asked.port)).collect();
        assert_eq!(said, asked, "shard {shard}");
    }
    assert_eq!(seen.keys().copied().collect::<BTreeSet<_>>(), expected);
    let more: Vec<_> = seen.iter().filter(|(_, times)| **times != 1).take(4).collect();
    assert!(more.is_empty(), "asked more than once: {more:?}");
}

fn address_and_port(line: &str) -> Option<(IpAddr, u16)> {
    let (address, port) = line.rsplit_once(',')?;
    Some((address.parse().ok()?, port.parse().ok()?))
}
