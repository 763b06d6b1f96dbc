//! `wirehaul scan` as users see it without any privilege: the dry run, what bad input gets, what the policy refuses (SCAN-2, SCAN-5,
//! SCAN-6, OPS-4).
#![cfg(target_os = "linux")]
#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs)]
#![expect(clippy::disallowed_methods, reason = "a test waits for real processes, and so reads the clock")]

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use serde_json::Value;
use tempfile::TempDir;

#[allow(dead_code, reason = "other tests need more of it")]
#[path = "common/process.rs"]
mod process;

use process::{Finished, Process};

/// The user that may do nothing.
const NOBODY: u32 = 65_534;

fn command(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_wirehaul"));
    command.arg("scan").args(arguments);
    // No test writes into the user's own log.
    command.env_remove("XDG_STATE_HOME").env_remove("HOME");
    command
}

fn scan(arguments: &[&str]) -> Finished {
    Process::spawn(command(arguments)).wait()
}

fn dry_run(arguments: &[&str]) -> Vec<String> {
    let finished = scan(&[&["--dry-run", "-q"], arguments].concat()).expect(0);
    assert_eq!(finished.stderr, "", "{}", finished.output());
    finished.stdout.lines().map(str::to_owned).collect()
}

/// What a scan that sends would do as a user that may not: every refusal comes before that.
fn unprivileged(arguments: &[&str]) -> Finished {
    let mut command = command(arguments);
    if rustix::process::geteuid().is_root() {
        command.uid(NOBODY).gid(NOBODY).current_dir("/");
    }
    Process::spawn(command).wait()
}

/// A folder that everybody can write to.
fn folder() -> TempDir {
    let temp = TempDir::new().unwrap();
    fs::set_permissions(temp.path(), fs::Permissions::from_mode(0o777)).unwrap();
    temp
}

fn file(temp: &TempDir, name: &str, text: &str) -> String {
    let path = temp.path().join(name);
    fs::write(&path, text).unwrap();
    path.to_str().unwrap().to_owned()
}

fn allow_list(expires: &str) -> String {
    format!("owner: Example Ltd\nauthorisation: ticket 4711\nexpires: {expires}\n\n203.0.112.0/22 # ours\n8.8.8.0/24\n")
}

// --- the dry run ---

/// SCAN-2: every target exactly once, in an order that a seed draws.
#[test]
fn each_target_and_port_once_in_the_order_of_the_seed() {
    let arguments = ["10.1.0.0/26", "10.1.0.32-10.1.0.99", "fd00::/124", "-p", "22,80,udp:53"];
    let lines = dry_run(&[&arguments[..], &["--seed", "7"]].concat());
    let addresses = (0..100).map(|last| format!("10.1.0.{last}")).chain((0..16).map(|last| match last {
        0 => "fd00::".to_owned(),
        last => format!("fd00::{last:x}"),
    }));
    let expected: BTreeSet<_> =
        addresses.flat_map(|address| ["22", "80", "53"].map(|port| format!("{address},{port}"))).collect();
    assert_eq!(lines.len(), expected.len());
    assert_eq!(lines.iter().cloned().collect::<BTreeSet<_>>(), expected);
    assert_eq!(dry_run(&[&arguments[..], &["--seed", "7"]].concat()), lines, "the same seed");
    let other = dry_run(&[&arguments[..], &["--seed", "8"]].concat());
    assert!(other != lines && other.iter().cloned().collect::<BTreeSet<_>>() == expected, "another seed");
    let mut sorted = lines.clone();
    sorted.sort();
    assert_ne!(sorted, lines, "a random order");
    assert_eq!(dry_run(&["10.0.0.1", "-p", "icmp"]), ["10.0.0.1,0"]);
}

/// SCAN-2: shards 1 to 7 united are the whole exactly once.
#[test]
fn shards_united_are_the_whole() {
    let whole: BTreeSet<_> = dry_run(&["192.168.0.0/22", "-p", "1-3", "--seed", "5"]).into_iter().collect();
    let mut united = BTreeSet::new();
    for shard in 1..=7 {
        let part = dry_run(&["192.168.0.0/22", "-p", "1-3", "--seed", "5", "--shard", &format!("{shard}/7")]);
        assert!((438..=439).contains(&part.len()), "shard {shard} has {}", part.len());
        for line in part {
            assert!(united.insert(line.clone()), "{line} is in two shards");
        }
    }
    assert_eq!(united, whole);
    assert_eq!(united.len(), 1024 * 3);
}

#[test]
fn exclusions_win_and_files_have_comments() {
    let temp = TempDir::new().unwrap();
    let targets = file(&temp, "targets", "# ours\n10.0.0.0/30\n\n 10.0.0.2 # again\nfd00::1\n");
    let excluded = file(&temp, "excluded", "10.0.0.1\nfd00::/64\n");
    let lines = dry_run(&["-f", &targets, "10.0.0.9", "-p", "80", "--exclude-file", &excluded]);
    let lines: BTreeSet<_> = lines.iter().map(String::as_str).collect();
    assert_eq!(lines, ["10.0.0.0,80", "10.0.0.2,80", "10.0.0.3,80", "10.0.0.9,80"].into());
}

#[test]
fn targets_from_standard_input() {
    let mut command = command(&["-f", "-", "-p", "443", "--dry-run", "-q"]);
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    child.stdin.take().unwrap().write_all(b"10.0.0.7\n").unwrap();
    let output = child.wait_with_output().unwrap();
    assert_eq!((output.status.code(), output.stdout.as_slice()), (Some(0), &b"10.0.0.7,443\n"[..]));
}

/// A /8 x 65,535 ports starts at once, and who has seen enough ends it by leaving.
#[test]
fn a_reader_that_leaves_ends_it() {
    let arguments = ["10.0.0.0/8", "fd00::/64", "-p", "1-65535,udp:1-65535", "--dry-run", "-q"];
    let mut child = command(&arguments).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let mut reader = BufReader::new(child.stdout.take().unwrap());
    let mut line = String::new();
    reader.read_line(&mut line).unwrap();
    drop(reader);
    assert!(line.contains(','), "{line}");
    let output = child.wait_with_output().unwrap();
    assert_eq!((output.status.code(), output.stderr.as_slice()), (Some(0), &b""[..]));
}

#[test]
fn the_caps_and_the_seed_are_said_on_stderr() {
    let finished = scan(&["10.0.0.0/24", "-p", "80", "--dry-run", "--seed", "99"]).expect(0);
    let line = finished.one_line();
    for words in ["256 addresses", "seed 99", "at most 10000 packets/s", "1000 packets/s to a /24 or /48"] {
        assert!(line.contains(words), "{line}");
    }
    assert_eq!(finished.stdout.lines().count(), 256);
    // Also with --json, there is nothing else on standard output.
    let finished = scan(&["10.0.0.0/24", "-p", "80", "--dry-run", "--json"]).expect(0);
    assert!(finished.stdout.lines().all(|line| line.starts_with("10.0.0.") && line.ends_with(",80")));
}

/// SCAN-8: edges are left out where that is asked for.
#[test]
fn edges_are_skipped_on_request() {
    let temp = TempDir::new().unwrap();
    let list = "owner: x\nauthorisation: x\nexpires: 2999-12-31\n104.16.0.0/24\n192.31.196.1\n";
    let allowed = file(&temp, "allowed", list);
    let arguments = ["104.16.0.1", "104.16.0.2", "192.31.196.1", "-p", "80", "--allow-file", &allowed];
    assert_eq!(dry_run(&arguments).len(), 3);
    assert_eq!(dry_run(&[&arguments[..], &["--skip-cdn"]].concat()), ["192.31.196.1,80"]);
}

// --- bad input ---

/// What bad input gets: one clear line and the code of OPS-4, with nothing sent and no file made.
#[test]
fn bad_input_is_told_in_one_line() {
    let temp = TempDir::new().unwrap();
    let bad_line = file(&temp, "bad", "10.0.0.1\n10.0.0.300\n");
    let no_expiry = file(&temp, "no-expiry", "owner: x\nauthorisation: x\n203.0.113.0/24\n");
    let empty = file(&temp, "empty", "# nobody\n");
    for (code, arguments, words) in [
        (2, &["10.0.0.0/33"][..], "10.0.0.0/33"),
        (2, &["10.0.0.9-10.0.0.1"], "ends before it begins"),
        (2, &["http://10.0.0.1/"], "URL"),
        (2, &["-f", &bad_line], "bad:2: "),
        (1, &["-f", "no/such/file"], "cannot read no/such/file"),
        (1, &["10.0.0.1", "--exclude-file", "no/such/file"], "cannot read no/such/file"),
        (2, &["203.0.113.1", "--allow-file", &no_expiry], "expires"),
        (3, &["-f", &empty], "there are no targets"),
        (3, &["10.0.0.1", "--exclude-file", &file(&temp, "all", "10.0.0.0/8\n")], "there are no targets"),
        (2, &["10.0.0.1", "--shard", "2/7"], "fewer than that"),
        (1, &["no-such-host.invalid"], "no-such-host.invalid"),
        (1, &["10.0.0.1", "--resume", "no/such/file"], "no/such/file"),
        (2, &["10.0.0.1", "--resume", &empty], "is no checkpoint"),
    ] {
        for more in [&["--dry-run"][..], &[]] {
            let finished = unprivileged(&[arguments, &["-p", "80"], more].concat()).expect(code);
            let line = finished.one_line();
            assert!(line.contains(words) && finished.stdout.is_empty(), "{}", finished.output());
        }
    }
    assert_eq!(fs::read_dir(temp.path()).unwrap().count(), 4);
}

#[test]
fn usage_errors_leave_with_2() {
    for (arguments, words) in [
        (&["-p", "80"][..], "whom to ask is missing"),
        (&["10.0.0.1"], "--ports"),
        (&["10.0.0.1", "-p", "0"], "--ports"),
        (&["10.0.0.1", "-p", "80", "--rate", "0"], "zero"),
        (&["10.0.0.1", "-p", "80", "--shard", "3/2"], "--shard"),
        (&["10.0.0.1", "-p", "80", "-o", "results.xml"], "stands for no format"),
    ] {
        let finished = scan(arguments).expect(2);
        assert!(finished.stderr.contains(words), "{}", finished.output());
        assert!(finished.stdout.is_empty(), "{}", finished.output());
    }
}

/// A million lines, of which one is wrong: it is named, and nothing is asked.
#[test]
fn a_bad_line_among_a_million_is_named() {
    let temp = TempDir::new().unwrap();
    let mut text = String::new();
    for number in 0..1_000_000_u32 {
        let [_, b, c, d] = number.to_be_bytes();
        writeln!(text, "10.{b}.{c}.{d}").unwrap();
    }
    let good = file(&temp, "good", &text);
    let finished = scan(&["-f", &good, "-p", "80", "--dry-run", "-q"]).expect(0);
    assert_eq!(finished.stdout.lines().count(), 1_000_000);
    let bad = file(&temp, "bad", &text.replacen("\n10.7.7.7\n", "\n10.7.7.7.7\n", 1));
    let finished = scan(&["-f", &bad, "-p", "80", "--dry-run"]).expect(2);
    // 7 * 65536 + 7 * 256 + 7, and lines count from 1.
    assert!(finished.one_line().contains("bad:460552: `10.7.7.7.7`"), "{}", finished.output());
    assert_eq!(finished.stdout, "");
}

// --- policy ---

/// SCAN-6: what is refused, before privileges are looked at and in a dry run alike.
#[test]
fn the_policy_refuses_with_3() {
    let temp = folder();
    let allowed = file(&temp, "allowed", &allow_list("2999-12-31"));
    let expired = file(&temp, "expired", &allow_list("2020-02-29"));
    for (arguments, words) in [
        (&["224.0.0.1"][..], "multicast"),
        (&["255.255.255.255"], "broadcast"),
        (&["0.0.0.1"], "this network"),
        (&["240.0.0.1"], "reserved"),
        (&["127.0.0.1"], "--iface lo"),
        (&["::1"], "--iface lo"),
        (&["ff02::1"], "multicast"),
        (&["8.8.8.8"], "--allow-file"),
        (&["2606:4700::1"], "--allow-file"),
        (&["0.0.0.0/0"], "0.0.0.0"),
        (&["8.8.4.4", "--allow-file", &allowed], "8.8.4.4"),
        (&["8.8.8.8", "--allow-file", &expired], "expired"),
        (&["10.0.0.0/8", "8.8.8.8"], "8.8.8.8"),
    ] {
        for more in [&["--dry-run"][..], &[]] {
            let finished = unprivileged(&[arguments, &["-p", "80"], more].concat()).expect(3);
            assert!(finished.one_line().contains(words) && finished.stdout.is_empty(), "{}", finished.output());
        }
    }
    assert_eq!(dry_run(&["8.8.8.8", "-p", "53", "--allow-file", &allowed]), ["8.8.8.8,53"]);
    assert_eq!(dry_run(&["127.0.0.1", "-p", "80", "--iface", "lo"]), ["127.0.0.1,80"]);
    let refused = unprivileged(&["8.8.8.8", "-p", "80", "--json"]).expect(3);
    let summary = refused.summary();
    assert_eq!((&summary["exit_code"], &summary["sent"], &summary["targets"]), (&3.into(), &0.into(), &0.into()));
    assert!(summary["error"].as_str().unwrap().contains("--allow-file"), "{summary}");
}

/// SCAN-6: a scan of public space that cannot write its audit entry is refused, and leaves nothing behind.
#[test]
fn public_space_is_not_asked_without_an_audit_log() {
    let temp = folder();
    let allowed = file(&temp, "allowed", &allow_list("2999-12-31"));
    let output = temp.path().join("out.jsonl").to_str().unwrap().to_owned();
    let log = format!("{allowed}/no/folder");
    let arguments =
        ["8.8.8.8", "-p", "53", "--allow-file", &allowed, "-o", &output, "--audit-log", &log, "--iface", "lo"];
    let refused = unprivileged(&[&arguments[..], &["-q"]].concat()).expect(3);
    assert!(refused.one_line().contains("audit log"), "{}", refused.output());
    assert_eq!(left_in(&temp), ["allowed"]);
}

// --- privileges ---

fn left_in(temp: &TempDir) -> Vec<String> {
    let mut names: Vec<_> =
        fs::read_dir(temp.path()).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

/// OPS-4: without the privilege it is 4 and what to do, and nothing but the audit log is left.
#[test]
fn without_privileges_it_says_what_to_do() {
    let temp = folder();
    let place = |name: &str| temp.path().join(name).to_str().unwrap().to_owned();
    let (output, log) = (place("out.jsonl"), place("audit.jsonl"));
    let arguments = ["127.0.0.1", "-p", "80", "--iface", "lo", "-o", &output, "--audit-log", &log, "--json"];
    let finished = unprivileged(&arguments).expect(4);
    let summary = finished.summary();
    assert_eq!((&summary["exit_code"], &summary["sent"]), (&4.into(), &0.into()));
    let error = summary["error"].as_str().unwrap();
    assert!(error.contains("root") || error.contains("CAP_NET_RAW"), "{error}");
    assert_eq!(left_in(&temp), ["audit.jsonl"]);
    let entries: Vec<Value> =
        fs::read_to_string(&log).unwrap().lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(entries.len(), 2);
    assert_eq!((&entries[0]["event"], &entries[1]["event"]), (&"start".into(), &"end".into()));
    assert_eq!(entries[1]["exit_code"], 4);
    assert_eq!(entries[0]["targets"]["addresses"], 1);
    for entry in &entries {
        assert!(entry["uid"].is_u64() && entry["host"].is_string() && entry["scan_id"].is_string(), "{entry}");
    }
}

#[test]
fn an_unknown_interface_lists_those_that_there_are() {
    let temp = folder();
    let log = temp.path().join("audit.jsonl").to_str().unwrap().to_owned();
    let finished = unprivileged(&["10.0.0.1", "-p", "80", "--iface", "no-such0", "--audit-log", &log, "-q"]).expect(4);
    let line = finished.one_line();
    assert!(line.contains("`no-such0`") && line.contains("lo"), "{line}");
}

// --- files ---

#[test]
fn files_that_are_there_are_left_alone() {
    let temp = folder();
    let log = temp.path().join("audit.jsonl").to_str().unwrap().to_owned();
    let output: PathBuf = temp.path().join("out.csv");
    for (name, words) in [("out.csv.part", "--resume"), ("out.csv", "exists already")] {
        let path = file(&temp, name, "mine");
        let arguments = ["10.0.0.1", "-p", "80", "-o", output.to_str().unwrap(), "--audit-log", &log, "-q"];
        let finished = unprivileged(&arguments).expect(2);
        assert!(finished.one_line().contains(words), "{}", finished.output());
        assert_eq!(fs::read_to_string(&path).unwrap(), "mine");
        fs::remove_file(path).unwrap();
    }
    let checkpoint = file(&temp, "out.csv.checkpoint", "mine");
    let finished =
        unprivileged(&["10.0.0.1", "-p", "80", "-o", output.to_str().unwrap(), "--audit-log", &log, "-q"]).expect(2);
    assert!(finished.one_line().contains("is no checkpoint"), "{}", finished.output());
    assert_eq!(fs::read_to_string(checkpoint).unwrap(), "mine");
    assert!(!Path::new(&log).exists(), "nothing was begun");
}

/// SCAN-5: a checkpoint of another scan is refused, with what differs.
#[test]
fn a_checkpoint_of_another_scan_is_refused() {
    let temp = TempDir::new().unwrap();
    let none = "0".repeat(64);
    let text = format!(
        r#"{{"version":1,"scan_id":"x","identity":{{"targets":"{none}","ports":"{none}","seed":7,"shard":"1/2","attempts":1,
        "spacing":10000}},"done_before":3,"steps":128,"is_complete":false,"started_unix":1700000000,"counts":{{}}}}"#
    );
    let checkpoint = file(&temp, "other.checkpoint", &text);
    for more in [&["--dry-run"][..], &[]] {
        let arguments = ["10.0.0.0/24", "-p", "80", "--resume", &checkpoint];
        let finished = unprivileged(&[&arguments[..], more].concat()).expect(2);
        let line = finished.one_line();
        assert!(line.contains("checkpoint of another scan: its targets"), "{line}");
    }
}
