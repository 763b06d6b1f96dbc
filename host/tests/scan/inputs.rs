//! Bad input, bad luck and missing privileges: one line, and an exit code to act on (OPS-4).

use std::path::Path;
use std::time::Duration;

use crate::common::machine::{SmallDisk, is_privileged};
use crate::common::process::{Finished, Process};
use crate::common::shared;
use crate::rig::Rig;
use crate::world::{open, silent};

fn wait_for(rig: &Rig, count: usize) {
    for _ in 0..2000 {
        if rig.responder.count() >= count {
            return;
        }
        std::thread::sleep(Duration::from_millis(5));
    }
    panic!("of {count} probes {} came", rig.responder.count());
}

/// It has ended with that, and with one line that holds all of these words.
#[track_caller]
fn assert_refused(finished: Finished, code: i32, words: &[&str]) {
    let finished = finished.expect(code);
    let line = finished.one_line().to_lowercase();
    for word in words {
        assert!(line.contains(&word.to_lowercase()), "no {word:?} in: {line}");
    }
}

/// SCAN-6, OPS-4: what is wrong with the command line, or not allowed, is said in one line, and nothing is sent.
#[test]
fn what_cannot_or_may_not_be_done_is_said_and_nothing_is_sent() {
    let _guard = shared();
    if !is_privileged("refusals") {
        return;
    }
    let rig = Rig::new(silent, 1);
    let expired = rig.write("expired", "owner: nobody\nauthorisation: a test\nexpires: 2001-01-01\n\n104.16.0.0/24\n");
    let narrow = rig.write("narrow", "owner: nobody\nauthorisation: a test\nexpires: 2999-01-01\n\n104.16.0.0/24\n");
    let anonymous = rig.write("anonymous", "expires: 2999-01-01\n\n104.16.0.0/24\n");
    let mut lines = "10.20.0.1\n".repeat(999_999);
    lines.push_str("10.20.0.256\n");
    let million = rig.write("million", &lines);
    let [expired, narrow, anonymous, million] =
        [&expired, &narrow, &anonymous, &million].map(|path| path.to_str().unwrap());

    // Not as the usage has it: clap's usual two parts are the exception to the one line.
    for arguments in [
        &["-p", "80"][..],
        &["10.20.0.1"],
        &["10.20.0.1", "-p", "0"],
        &["10.20.0.1", "-p", "80", "--shard", "3/2"],
        &["10.20.0.1", "-p", "80", "--rate", "0"],
        &["10.20.0.300", "-p", "80"],
        &["10.20.0.0/33", "-p", "80"],
    ] {
        let finished = rig.start(arguments).wait().expect(2);
        assert!(!finished.stderr.is_empty(), "nothing was said of {arguments:?}");
    }
    let finished = rig.start(["-f", million, "-p", "80"]).wait().expect(2);
    assert!(finished.stderr.contains("1000000"), "the line is not told: {}", finished.output());

    // Not allowed.
    let refused = |targets: &[&str], words: &[&str]| {
        assert_refused(rig.start([targets, &["-p", "80"]].concat()).wait(), 3, words);
    };
    refused(&["224.0.0.0/24"], &["multicast"]);
    refused(&["10.20.0.1", "255.255.255.255"], &["broadcast"]);
    refused(&["0.0.0.0/0"], &[]);
    refused(&["127.0.0.1"], &["loopback"]);
    refused(&["ff02::1"], &["multicast"]);
    refused(&["104.16.0.1"], &["allow"]);
    refused(&["104.16.0.1", "--allow-file", expired], &["expired"]);
    refused(&["104.16.1.1", "--allow-file", narrow], &["allow"]);
    let whole = rig.write("whole", "10.20.0.0/24\n");
    refused(&["10.20.0.0/24", "--exclude-file", whole.to_str().unwrap()], &["targets"]);
    let finished = rig.start(["104.16.0.1", "-p", "80", "--allow-file", anonymous]).wait();
    assert!(matches!(finished.code, Some(1..=3)), "{}", finished.output());
    finished.one_line();

    // Not there.
    assert_refused(rig.start(["10.20.0.1", "-p", "80", "--iface", "nowhere"]).wait(), 4, &["nowhere"]);
    let finished = rig.start(["-f", "/nowhere/at/all", "-p", "80"]).wait();
    assert!(matches!(finished.code, Some(1 | 2)), "{}", finished.output());
    finished.one_line();
    assert_eq!(rig.responder.count(), 0, "something was sent");
}

/// OPS-4: without privileges there is one line that says which, and 4; a dry run needs none.
#[test]
fn without_privileges_it_says_which() {
    let _guard = shared();
    if !is_privileged("a survey without privileges") {
        return;
    }
    let rig = Rig::new(silent, 1);
    let unprivileged = |options: &[&str]| {
        let mut command = rig.at_home(rig.scanner.command("setpriv"));
        command.args([
            "--bounding-set=-all",
            "--inh-caps=-all",
            env!("CARGO_BIN_EXE_wirehaul"),
            "scan",
            "--json",
            "--quiet",
        ]);
        command.args(["10.20.0.0/28", "-p", "80"]).args(options);
        Process::spawn(command).wait()
    };
    for transport in ["auto", "packet"] {
        assert_refused(unprivileged(&["--transport", transport]), 4, &["CAP_NET_RAW"]);
    }
    let dry = unprivileged(&["--dry-run"]).expect(0);
    assert_eq!(dry.stdout.lines().filter(|line| line.ends_with(",80")).count(), 16);
    assert_eq!(rig.responder.count(), 0);
}

/// OPS-4, SCAN-5: a disk that is full ends it with one line; the checkpoint is kept, and with room again it goes on.
#[test]
fn a_full_disk_is_said_and_the_checkpoint_kept() {
    let _guard = shared();
    if !is_privileged("a full disk") {
        return;
    }
    let rig = Rig::new(open, 1);
    let small = rig.path("small");
    std::fs::create_dir(&small).unwrap();
    let disk = SmallDisk::mount(&small, 256 << 10);
    let output = small.join("found.jsonl");
    let checkpoint = rig.path("checkpoint");
    let fixed = [
        "10.20.32.0/19",
        "-p",
        "80",
        "--rate",
        "4k",
        "--subnet-rate",
        "unlimited",
        "--cooldown",
        "500ms",
        "--seed",
        "5",
    ];
    let fixed =
        [&fixed[..], &["--output", output.to_str().unwrap(), "--checkpoint", checkpoint.to_str().unwrap()]].concat();
    let finished = rig.start(&fixed).wait();
    assert!(matches!(finished.code, Some(1 | 5)), "{}", finished.output());
    // Its metadata have no room either; the last line is what it ends with.
    let lines: Vec<_> = finished.stderr.lines().collect();
    assert!(lines.len() <= 2 && lines.iter().all(|line| line.contains("No space left")), "{}", finished.output());
    assert!(lines.last().is_some_and(|line| line.contains("found.jsonl.part") && line.contains("--resume")));
    assert!(checkpoint.exists(), "the checkpoint is gone");
    assert!(!output.exists(), "results that are not whole have their name");

    disk.remount("size=16m");
    rig.start([&fixed[..], &["--resume", checkpoint.to_str().unwrap()]].concat()).wait().expect(0);
    let mut addresses: Vec<_> =
        crate::rig::Found::read(&output).by_probe().into_keys().map(|asked| asked.target).collect();
    addresses.dedup();
    assert_eq!(addresses.len(), 1 << 13);
}

/// OPS-4: an interface that goes away in the middle ends it, or makes it wait; it never ends well with targets that were not asked.
#[test]
fn a_link_that_goes_down_is_not_passed_over() {
    let _guard = shared();
    if !is_privileged("a link that goes down") {
        return;
    }
    for transport in ["packet", "auto"] {
        let rig = Rig::new(open, 1);
        let output = rig.path("found.jsonl");
        let fixed = ["10.20.32.0/20", "-p", "80", "--rate", "2k", "--subnet-rate", "unlimited", "--cooldown", "500ms"];
        let fixed =
            [&fixed[..], &["--seed", "5", "--transport", transport, "--output", output.to_str().unwrap()]].concat();
        let process = rig.start(&fixed);
        wait_for(&rig, 1000);
        rig.scanner.ip(&["link", "set", "wire", "down"]);
        std::thread::sleep(Duration::from_millis(700));
        rig.scanner.ip(&["link", "set", "wire", "up"]);
        // The kernel takes routes by way of a gateway along with a link, and does not bring them back.
        rig.scanner.ip(&["route", "replace", "10.20.0.0/14", "via", "10.74.0.2"]);
        let finished = process.wait();
        match finished.code {
            Some(0) => {
                let missing = missing(&rig, &output);
                assert_eq!(
                    missing,
                    0,
                    "it ended well by {transport}, and {missing} were not asked: {}",
                    finished.output()
                );
            }
            Some(1 | 4 | 5) => {
                let line = finished.one_line();
                assert!(line.contains("wire"), "the interface is not named: {line}");
                let checkpoint = rig.path("found.jsonl.checkpoint");
                rig.start([&fixed[..], &["--resume", checkpoint.to_str().unwrap()]].concat()).wait().expect(0);
                assert_eq!(missing(&rig, &output), 0);
            }
            _ => panic!("{}", finished.output()),
        }
    }
}

/// Targets of the survey above that never arrived at the other side.
fn missing(rig: &Rig, output: &Path) -> usize {
    assert!(output.exists(), "there are no results");
    let log = rig.responder.log();
    let asked = log.probes.keys().filter(|asked| asked.port == 80).count();
    (1 << 12) - asked
}
