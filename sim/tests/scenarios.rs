//! Scenario files through the program itself: each example meets what it says of itself, the same seed gives the same
//! run, and a file that makes no sense is refused with its line (SIM-1, SIM-3, SIM-5).

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test that cannot go on has failed")]

mod common;

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Command, Output},
    sync::atomic::{AtomicU32, Ordering},
};

use common::PLAIN;
use serde_json::Value;

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("scenarios")
}

fn example(name: &str) -> String {
    folder().join(name).display().to_string()
}

fn sim(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_wirehaul-sim")).args(arguments).output().unwrap()
}

fn stderr(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// The lines of a run with `--json`.
fn lines(output: &Output) -> Vec<Value> {
    let text = String::from_utf8(output.stdout.clone()).unwrap();
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

fn of_type<'l>(lines: &'l [Value], kind: &'l str) -> impl Iterator<Item = &'l Value> {
    lines.iter().filter(move |line| line["type"] == kind)
}

/// Runs with `--json`; returns the summary.
#[track_caller]
fn summary(arguments: &[&str]) -> Value {
    let output = sim(&[&["run", "--json"], arguments].concat());
    assert_eq!(output.status.code(), Some(0), "{arguments:?}: {}", stderr(&output));
    lines(&output).pop().unwrap()
}

/// A file that is there while the test runs.
struct Scratch(PathBuf);

impl Scratch {
    fn new(suffix: &str, text: &str) -> Self {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let number = COUNT.fetch_add(1, Ordering::Relaxed);
        let path = std::env::temp_dir().join(format!("wirehaul-sim-{}-{number}{suffix}", std::process::id()));
        fs::write(&path, text).unwrap();
        Self(path)
    }

    fn path(&self) -> &str {
        self.0.to_str().unwrap()
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.0);
    }
}

// --- what must go well ---

#[test]
fn every_example_meets_its_own_expectations() {
    let files = examples(&folder());
    assert!(files.len() >= 15, "{files:?}");
    let mut failures = Vec::new();
    for file in files {
        let output = sim(&["run", "--json", file.to_str().unwrap()]);
        if output.status.code() != Some(0) {
            failures.push(format!("{}: {}", file.display(), stderr(&output)));
        } else if of_type(&lines(&output), "expectation").count() == 0 {
            failures.push(format!("{} expects nothing", file.display()));
        }
    }
    assert!(failures.is_empty(), "{}", failures.join("\n"));
}

/// Every scenario in a folder and below, sorted.
fn examples(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for path in fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()) {
        if path.is_dir() {
            found.extend(examples(&path));
        } else {
            found.push(path);
        }
    }
    found.sort();
    found
}

/// SIM-3; and looking more often at a run changes nothing in it.
#[test]
fn the_same_seed_gives_the_same_trace() {
    for name in ["faults.toml", "fairness.toml", "both-ways.toml"] {
        let file = example(name);
        let short = ["--set", "run.until=duration", "--set", "run.duration_s=6", "--set", "run.measure_from_s=0"];
        let arguments = |more: &[&'static str]| -> Vec<String> {
            [&[file.as_str()], more].concat().iter().map(|&text| text.to_owned()).collect()
        };
        let run = |more: &[&'static str]| {
            // Expectations hold for the whole run and not for this part of it: only the trace counts here.
            let arguments = arguments(more);
            let arguments: Vec<_> = arguments.iter().map(String::as_str).collect();
            let output = sim(&[&["run", "--json"], arguments.as_slice()].concat());
            assert_ne!(output.status.code(), Some(2), "{}", stderr(&output));
            lines(&output).pop().unwrap()["trace_hash"].clone()
        };
        let with = |more: &[&'static str]| run(&[short.as_slice(), more].concat());
        let first = with(&[]);
        assert_eq!(first, with(&[]), "{name}");
        assert_eq!(first, with(&["--sample", "700us"]), "{name}");
        assert_ne!(first, with(&["--seed", "2"]), "{name}");
    }
}

#[test]
fn json_has_the_figures_that_scripts_depend_on() {
    let output = sim(&["run", "--json", "--sample", "50ms", &example("delivered.toml")]);
    let lines = lines(&output);
    let flow = of_type(&lines, "flow").next().unwrap();
    for name in [
        "name",
        "cc",
        "goodput_bps",
        "delivered_bytes",
        "sent_packets",
        "retransmitted_pct",
        "srtt_mean_us",
        "rtt_p99_us",
        "queue_mean_bytes",
        "pacing_error_pct",
        "fct_s",
    ] {
        assert!(!flow[name].is_null(), "{name} in {flow}");
    }
    let summary = lines.last().unwrap();
    assert_eq!(summary["type"], "summary");
    for name in ["seed", "trace_hash", "virtual_s", "wall_s", "jain", "utilisation", "violations"] {
        assert!(!summary[name].is_null(), "{name} in {summary}");
    }
    assert_eq!(summary["violations"], 0);
    assert_eq!(flow["delivered_bytes"], 20_000_000);
    assert_eq!(flow["fct_s"], summary["virtual_s"], "the run ends with its only flow");
    assert!(of_type(&lines, "sample").count() > 60);
    assert!(of_type(&lines, "link").any(|link| link["name"] == "path" && link["direction"] == "back"));
}

#[test]
fn the_command_line_replaces_what_the_file_says() {
    let file = example("one-flow.toml");
    let short = [file.as_str(), "--set", "run.duration_s=3", "--set", "expect.run.utilisation={min=0}"];
    let slow = ["--set", "link.bottleneck.rate=10mbit", "--set", "expect.flow.a.goodput_bps={max=9.6e6, min=8e6}"];
    let summary = summary(&[short.as_slice(), slow.as_slice(), &["--seed", "77"]].concat());
    assert_eq!(summary["seed"], 77);
    assert_eq!(summary["virtual_s"], 3.0);
}

#[test]
fn a_figure_that_is_not_as_expected_is_named() {
    let expect = "[expect.flow.a]\ngoodput_bps = { min = 1e9 }\n[expect.run]\nutilisation = { min = 0.1 }\n";
    let file = Scratch::new(".toml", &format!("{PLAIN}\n{expect}"));
    let output = sim(&["run", file.path()]);
    assert_eq!(output.status.code(), Some(1));
    let text = stderr(&output);
    assert!(text.contains("flow a: goodput_bps is ") && text.contains("expected at least 1000000000"), "{text}");
    assert!(!text.contains("utilisation"), "{text}");
}

/// A transfer that does not get through in time is a violation: the run fails without any expectation.
#[test]
fn what_must_be_delivered_and_is_not_is_a_violation() {
    let text = PLAIN.replace("duration_s = 1", "duration_s = 1\nuntil = \"delivered\"");
    let file = Scratch::new(".toml", &format!("{text}bytes = \"100mb\"\n"));
    let output = sim(&["run", "--json", file.path()]);
    assert_eq!(output.status.code(), Some(1));
    assert_eq!(lines(&output).last().unwrap()["violations"], 1);
    assert!(stderr(&output).contains("not everything was delivered"), "{}", stderr(&output));
}

/// What waits when the rate of a link changes leaves at the new rate: the queue neither jumps nor is forgotten.
#[test]
fn a_rate_step_moves_the_rate_and_not_the_queue() {
    let steps = "steps = [{ at_s = 4, rate = \"5mbit\" }, { at_s = 8, rate = \"40mbit\" }]";
    let text = PLAIN.replace("buffer = \"1bdp\"", &format!("buffer = \"1bdp\"\n{steps}"));
    let text = text.replace("duration_s = 1", "duration_s = 12");
    let file = Scratch::new(".toml", &text);
    let rate = |from: &str, to: &str| {
        let arguments =
            [file.path(), "--set", &format!("run.measure_from_s={from}"), "--set", &format!("run.duration_s={to}")];
        let output = sim(&[&["run", "--json"], arguments.as_slice()].concat());
        let lines = lines(&output);
        of_type(&lines, "flow").next().unwrap()["goodput_bps"].as_u64().unwrap()
    };
    let near = |rate: u64, wanted: u64| rate > wanted * 80 / 100 && rate < wanted * 96 / 100;
    assert!(near(rate("2", "4"), 20_000_000));
    assert!(near(rate("5", "8"), 5_000_000));
    assert!(near(rate("10.5", "12"), 40_000_000));
}

// --- what makes no sense ---

/// The error of a scenario: exit 2, nothing on stdout, one line on stderr.
#[track_caller]
fn refused(text: &str) -> String {
    let file = Scratch::new(".toml", text);
    let output = sim(&["run", file.path()]);
    assert_eq!(output.status.code(), Some(2), "{text}\n{}", stderr(&output));
    assert!(output.stdout.is_empty());
    let error = stderr(&output);
    assert_eq!(error.lines().count(), 1, "{error}");
    error.trim().strip_prefix(file.path()).unwrap_or_else(|| panic!("{error}")).to_owned()
}

#[test]
fn a_file_that_makes_no_sense_is_refused_with_its_line() {
    let with = |from: &str, to: &str| {
        assert!(PLAIN.contains(from), "{from}");
        refused(&PLAIN.replace(from, to))
    };
    let cases = [
        (with("duration_s = 1", "duration_s = 1\ncolour = 3"), ":3: unknown key `colour`"),
        (with("delay = \"5ms\"", "delay = \"5ms\"\nlatency = 1"), ":7: unknown key `latency`"),
        (with("\"20mbit\"", "\"-20mbit\""), ":5: `-20mbit` must not be negative"),
        (with("\"20mbit\"", "-20"), ":5: `-20` must not be negative"),
        (with("\"20mbit\"", "\"0mbit\""), ":5: `0mbit` must not be zero"),
        (with("\"20mbit\"", "20"), ":5: `20` has no unit"),
        (with("\"20mbit\"", "\"20 furlongs\""), ":5: `20 furlongs` has an unknown unit `furlongs`"),
        (with("\"5ms\"", "\"5mbit\""), ":6: `5mbit` has an unknown unit `mbit`"),
        (with("duration_s = 1", "duration_s = -1"), ":2: `-1` must not be negative"),
        (with("duration_s = 1", "duration_s = 0"), ":2: duration_s must not be zero"),
        (with("duration_s = 1", "duration_s = 1\nmeasure_from_s = 1"), ":3: measure_from_s must be before"),
        (with("duration_s = 1", "duration_s = 1\nuntil = \"bored\""), ":3: unknown value `bored`"),
        (with("duration_s = 1", "duration_s = 1\nuntil = \"delivered\""), ":2: until = \"delivered\" needs a flow"),
        (with("rate = \"20mbit\"\n", ""), ":6: a depth in bdp needs a link with a `rate`"),
        (with("[flow.a]", ""), ":1: there is no flow"),
        (with("[run]\nduration_s = 1", ""), ":1: missing key `run`"),
        (with("buffer = \"1bdp\"", "loss = \"120%\""), ":7: `120%` must not be above 100%"),
        (with("[link.path]", "[link.path"), ":4: "),
    ];
    for (error, wanted) in cases {
        assert!(error.starts_with(wanted), "{error}\nwanted {wanted}");
    }
}

#[test]
fn a_flow_that_makes_no_sense_is_refused_with_its_line() {
    let flow = |keys: &str| refused(&format!("{PLAIN}{keys}\n"));
    let cases = [
        (flow("path = [\"path\", \"tunnel\"]"), ":10: there is no link `tunnel`"),
        (flow("path = [\"path\"]\n[link.other]"), ":11: no flow crosses the link `other`"),
        (flow("path = []"), ":10: a path needs a link"),
        (flow("mtu = 0"), ":10: mtu must be 1228 to 9028 bytes, not 0"),
        (flow("mtu = 65536"), ":10: mtu must be"),
        (flow("cc = \"vegas\""), ":10: there is no controller `vegas`: use one of"),
        (flow("bytes = 0"), ":10: bytes must not be zero"),
        (flow("start_s = 3"), ":9: flow `a` starts when the run is over"),
        (flow("start_s = 0.5\nstop_s = 0.5"), ":11: stop_s must be behind start_s"),
        (flow("count = 0"), ":10: count must be 1 to 1000"),
        (flow("app = { rate = \"1mbit\", on_s = 1 }"), ":10: on_s and off_s go together"),
        (flow("app = { rate = \"1mbit\", every = \"0ms\" }"), ":10: every must not be zero"),
        (flow("[expect.flow.b]\ngoodput_bps = { min = 1 }"), ":10: there is no flow `b`"),
        (flow("[expect.run]\ngoodput = { min = 1 }"), ":11: there is no figure `goodput` here"),
        (flow("[expect.run]\njain = {}"), ":11: expected min or max"),
        (flow("[expect.run]\njain = { min = 2, max = 1 }"), ":11: min is above max"),
        (flow("[link.path.back.back]\ndelay = \"1ms\""), ": the way back has no way back of its own"),
        (flow("[link.free]\nsteps = [{ at_s = 1, rate = \"1mbit\" }]"), ":9: flow `a` needs a `path`"),
        (
            flow("path = [\"free\", \"path\"]\n[link.free]\nsteps = [{ at_s = 1, rate = \"1mbit\" }]"),
            ":12: a step of the rate needs a link with a `rate`",
        ),
    ];
    for (error, wanted) in cases {
        assert!(error.contains(wanted), "{error}\nwanted {wanted}");
    }
}

/// A run meets an empty link, and half of it is the mean of what waits.
#[test]
fn a_quantum_is_what_leaves_together() {
    let queue = |quantum: &str| {
        let keys =
            ["link.bottleneck.rate=1gbit", "link.bottleneck.delay=5ms", "run.duration_s=3", "run.measure_from_s=1"];
        let keys = keys.into_iter().chain(["flow.a.rate_cap=900mbit", "expect={}", quantum]);
        let file = example("one-flow.toml");
        let arguments: Vec<_> =
            ["run", "--json", &file].into_iter().chain(keys.flat_map(|key| ["--set", key])).collect();
        let output = sim(&arguments);
        assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
        of_type(&lines(&output), "flow").next().unwrap()["queue_mean_bytes"].as_u64().unwrap()
    };
    let packet = queue("flow.a.quantum={run_time=\"0us\"}");
    let default = queue("flow.a.quantum={}");
    assert_eq!(default, queue("flow.a.quantum={time=\"1ms\",min_packets=2,run_time=\"250us\"}"));
    assert!(packet < 1_500 && default > 5 * packet, "{packet}, {default}");
    assert!(queue("flow.a.quantum={run_time=\"500us\"}") > default);
    assert!(queue("flow.a.quantum={time=\"0us\",min_packets=1}") < 1_500);
}

#[test]
fn an_override_that_makes_no_sense_is_named() {
    let file = example("one-flow.toml");
    let cases = [
        ("link.bottleneck.rate=5 parsec", "`5 parsec` has an unknown unit"),
        ("link.bottleneck.colour=blue", "unknown key `colour`"),
        ("flow.a.mtu=0", "mtu must be"),
        ("flow.a", "expected KEY=VALUE"),
        ("flow.a.quantum=5", "expected a table such as { run_time"),
        ("flow.a.quantum.burst=5", "unknown key `burst`, expected one of `time`, `min_packets`, `run_time`"),
        ("run.duration_s.deep=1", "`duration_s` is not a table"),
    ];
    for (text, wanted) in cases {
        let output = sim(&["run", &file, "--set", text]);
        assert_eq!(output.status.code(), Some(2), "{text}");
        let error = stderr(&output);
        assert!(error.starts_with(&format!("--set {text}: ")) && error.contains(wanted), "{error}");
    }
    let missing = sim(&["run", "no-such-file.toml"]);
    assert_eq!(missing.status.code(), Some(2));
    assert!(stderr(&missing).starts_with("no-such-file.toml: "), "{}", stderr(&missing));
    assert_eq!(sim(&["run", &file, "--colour"]).status.code(), Some(2));
}

// --- drawings ---

#[test]
fn a_plot_needs_nothing_from_elsewhere() {
    let page = Scratch::new(".html", "");
    let output = sim(&["plot", &example("round-trips.toml"), "--set", "run.duration_s=16", "-o", page.path()]);
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    let text = fs::read_to_string(page.path()).unwrap();
    for wanted in ["<svg ", "viewBox=\"0 0 1600 900\"", "Mbit/s", "ProbeBW_UP", "near (bbr)", "virtual time, s"] {
        assert!(text.contains(wanted), "{wanted}");
    }
    let without_namespace = text.replace("http://www.w3.org/2000/svg", "");
    for elsewhere in ["http:", "https:", "<script", "<link", "@import", "src="] {
        assert!(!without_namespace.contains(elsewhere), "{elsewhere}");
    }
    assert!(!text.contains("NaN") && !text.contains("inf"), "a number went wrong");
}

/// A recorded run is drawn as the run itself would be.
#[test]
fn a_result_is_drawn_like_the_run() {
    let run = sim(&["run", "--json", "--sample", "20ms", &example("delivered.toml")]);
    let result = Scratch::new(".jsonl", &String::from_utf8(run.stdout).unwrap());
    let (from_result, from_run) = (Scratch::new(".html", ""), Scratch::new(".html", ""));
    assert_eq!(sim(&["plot", result.path(), "-o", from_result.path()]).status.code(), Some(0));
    let scenario = ["plot", &example("delivered.toml"), "--sample", "20ms", "-o", from_run.path()];
    assert_eq!(sim(&scenario).status.code(), Some(0));
    let panels = |file: &Scratch| {
        let text = fs::read_to_string(file.path()).unwrap();
        let (_, panels) = text.split_once(">Rate</text>").unwrap();
        panels.to_owned()
    };
    assert_eq!(panels(&from_result), panels(&from_run));
}

#[test]
fn what_cannot_be_drawn_is_refused() {
    let page = Scratch::new(".html", "");
    let refused = |file: &Scratch, wanted: &str| {
        let output = sim(&["plot", file.path(), "-o", page.path()]);
        assert_eq!(output.status.code(), Some(2));
        assert!(stderr(&output).contains(wanted), "{}", stderr(&output));
    };
    refused(&Scratch::new(".jsonl", "{\"type\":\"summary\"}\n"), "no samples");
    refused(&Scratch::new(".jsonl", "{\"type\":\"sample\"}\n"), ":1: a sample without");
    refused(&Scratch::new(".jsonl", "\nnonsense\n"), ":2: not a JSON object");
    refused(&Scratch::new(".toml", "nonsense"), ":1: ");
    let output = sim(&["plot", &example("delivered.toml"), "-o", "no/such/folder/page.html"]);
    assert_eq!(output.status.code(), Some(1));
}
