//! What a new user gets wrong: each is refused with its place and its reason in one line and exit code 2, and nothing
//! panics. Help has examples.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test that cannot go on has failed")]

mod common;

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use common::PLAIN;

/// A folder that is there while the test runs.
struct Folder(PathBuf);

impl Folder {
    fn new(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("wirehaul-sim-{}-{name}", std::process::id()));
        fs::create_dir_all(path.join("folder.toml")).unwrap();
        fs::write(path.join("plain.toml"), PLAIN).unwrap();
        fs::write(path.join("empty"), "").unwrap();
        fs::write(path.join("empty.toml"), "").unwrap();
        fs::write(path.join("bytes"), b"{}\n\xff\xfe").unwrap();
        fs::write(path.join("bytes.toml"), b"[run]\n\xff\xfe").unwrap();
        Self(path)
    }

    fn put(&self, name: &str, text: &str) {
        fs::write(self.0.join(name), text).unwrap();
    }

    /// Runs `wirehaul-sim` in the folder; returns its exit code and what it says on stderr.
    fn sim(&self, arguments: &[&str]) -> (Option<i32>, String) {
        let mut command = Command::new(env!("CARGO_BIN_EXE_wirehaul-sim"));
        let output = command.current_dir(&self.0).args(arguments).output().unwrap();
        (output.status.code(), String::from_utf8(output.stderr).unwrap())
    }

    /// Asserts that this is refused in one line that begins with `wanted`.
    #[track_caller]
    fn refuses(&self, arguments: &[&str], wanted: &str) {
        let (code, error) = self.sim(arguments);
        assert_eq!((code, error.lines().count()), (Some(2), 1), "{arguments:?}: {error}");
        assert!(error.starts_with(wanted), "{arguments:?}: {error}wanted {wanted}");
    }

    /// Asserts that the command line is refused; its usage may follow the reason.
    #[track_caller]
    fn refuses_usage(&self, arguments: &[&str], wanted: &str) {
        let (code, error) = self.sim(arguments);
        assert_eq!(code, Some(2), "{arguments:?}: {error}");
        assert!(error.starts_with("error: ") && error.contains(wanted), "{arguments:?}: {error}wanted {wanted}");
        assert!(!error.contains("as a value, use '--"), "{arguments:?}: {error}");
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

#[test]
fn files_that_are_none_are_named_with_the_reason() {
    let folder = Folder::new("files");
    for verb in [&["run"][..], &["plot", "-o", "out.html"]] {
        let refuses = |file: &str, wanted: &str| folder.refuses(&[verb, &[file]].concat(), wanted);
        refuses("missing.toml", "missing.toml: No such file");
        refuses("folder.toml", "folder.toml: Is a directory");
        refuses("empty.toml", "empty.toml:1: missing key `run`");
        refuses("bytes.toml", "bytes.toml:2: this is no text in UTF-8");
    }
    folder.refuses(&["plot", "empty", "-o", "out.html"], "empty:1: no samples");
    folder.refuses(&["plot", "bytes", "-o", "out.html"], "bytes:2: this is no text");
    for verb in ["replay", "shrink"] {
        let refuses = |file: &str, wanted: &str| folder.refuses(&[verb, "--script", file], wanted);
        refuses("missing", "missing: No such file");
        refuses("folder.toml", "folder.toml: Is a directory");
        refuses("empty", "empty:1: a script begins with");
        refuses("bytes", "bytes:2: this is no text");
        refuses("plain.toml", "plain.toml:1: ");
    }
    assert_eq!(folder.sim(&["run", "plain.toml"]), (Some(0), String::new()));
}

#[test]
fn values_that_make_no_sense_are_refused_in_words_of_the_documentation() {
    let folder = Folder::new("values");
    let cases = [
        ("foo", "expected KEY=VALUE"),
        ("=5", "expected a key such as"),
        ("foo=1", "unknown key `foo`"),
        ("link.path.colour=1", "unknown key `colour`"),
        ("link.path.rate=-5mbit", "`-5mbit` must not be negative"),
        ("link.path.rate=20", "`20` has no unit"),
        ("link.path=5", "number `5`, expected a table [link.NAME]"),
        ("link=5", "number `5`, expected a table"),
        ("link.path.loss=0.5", "number `0.5`, expected a share"),
        ("link.path.policer={rate=\"1mbit\"}", "missing key `burst`"),
        ("link.path.policer=5", "number `5`, expected a table such as { rate"),
        ("flow.a.path=path", "text \"path\", expected a list"),
        ("flow.a.path=[\"nowhere\"]", "there is no link `nowhere`"),
        ("flow.a.reverse=1", "number `1`, expected true or false"),
        ("flow.a.mtu=0", "mtu must be"),
        ("flow.a.bytes=1e5", "number `100000.0`, expected a size"),
        ("flow.a.bytes=99999999999999999999", "number `99999999999999999999`, expected a size"),
        ("flow.a.bytes=100000000tb", "`100000000tb` is too large"),
        ("flow.a.bytes=9000tb", "bytes must be 281474976710656 at most"),
        ("flow.a.window=18446744073709551615", "window must be 1 to"),
        ("flow.a.window=0", "window must be 1 to"),
        ("run.seed=-1", "number `-1`, expected a whole number, 0 or above"),
        ("run.seed=99999999999999999999999", "number `99999999999999999999999`, expected a whole number"),
        ("run.duration_s=nan", "`nan` is no number of seconds"),
        ("run.duration_s=inf", "`inf` is too large"),
        ("run.duration_s=1e300", "`1e300` is too large"),
        ("run.duration_s=-0.5", "`-0.5` must not be negative"),
        ("expect.run.jain.min=nan", "`nan` bounds nothing"),
        ("expect.run.jain.min=much", "text \"much\", expected a number"),
    ];
    for (text, wanted) in cases {
        folder.refuses(&["run", "plain.toml", "--set", text], &format!("--set {text}: {wanted}"));
    }
}

/// What is large but means something runs, and does not overflow.
#[test]
fn large_values_do_no_harm() {
    let folder = Folder::new("large");
    let cases = [
        "link.path.rate=18446744073709551615bit",
        "link.path.rate=1bit",
        "link.path.delay=999999999s",
        "link.path.jitter=999999999s",
        "link.path.lumps=999999999s",
        "link.path.buffer=1000000bdp",
        "link.path.policer={rate=\"1bit\",burst=0}",
        "link.path.steps=[{at_s=1e9,rate=\"1mbit\"}]",
        "flow.a.rate_cap=18446744073709551615bit",
        "flow.a.wake_lateness=999999999s",
        "flow.a.window=281474976710656",
        "flow.a.bytes=281474976710656",
        "run.seed=18446744073709551615",
    ];
    for text in cases {
        assert_eq!(folder.sim(&["run", "plain.toml", "--set", text]), (Some(0), String::new()), "{text}");
    }
}

#[test]
fn a_command_line_that_makes_no_sense_is_refused_with_the_reason() {
    let folder = Folder::new("usage");
    folder.refuses_usage(&["dance"], "unrecognized subcommand 'dance'");
    folder.refuses_usage(&["run"], "<FILE>");
    folder.refuses_usage(&["run", "plain.toml", "other.toml"], "other.toml");
    folder.refuses_usage(&["run", "plain.toml", "--sample", "10ms"], "--json");
    for interval in ["0ms", "-5ms", "often"] {
        folder.refuses_usage(&["run", "plain.toml", "--json", "--sample", interval], "'--sample <TIME>'");
        folder.refuses_usage(&["plot", "plain.toml", "-o", "out.html", "--sample", interval], "'--sample <TIME>'");
    }
    for number in ["-1", "seven", "99999999999999999999999"] {
        let wanted = "expected a whole number, 0 to 18446744073709551615";
        folder.refuses_usage(&["run", "plain.toml", "--seed", number], wanted);
        folder.refuses_usage(&["plot", "plain.toml", "-o", "out.html", "--seed", number], wanted);
        folder.refuses_usage(&["swarm", number], wanted);
        folder.refuses_usage(&["swarm", "1", "--seed", number], wanted);
        folder.refuses_usage(&["replay", "--seed", number], wanted);
        folder.refuses_usage(&["shrink", "--seed", number], wanted);
        folder.refuses_usage(&["shrink", "--seed", "1", "--runs", number], "expected a whole number, 0 to 4294967295");
    }
    folder.refuses_usage(&["plot", "plain.toml"], "--output");
    folder.refuses_usage(&["swarm"], "<N>");
    folder.refuses_usage(&["swarm", "1", "--plant", "weeds"], "the bugs are");
    // A bug is not a run.
    folder.refuses_usage(&["replay", "--plant", "lost-slot"], "--seed");
    folder.refuses_usage(&["shrink"], "--seed");
}

#[test]
fn a_script_is_refused_with_its_line() {
    let folder = Folder::new("scripts");
    assert_eq!(folder.sim(&["replay", "--seed", "3", "--record", "run.jsonl"]).0, Some(0));
    let script = fs::read_to_string(folder.0.join("run.jsonl")).unwrap();
    let head = script.lines().next().unwrap();
    let with = |line: &str, wanted: &str| {
        folder.put("bad.jsonl", &format!("{head}\n\n{line}\n"));
        folder.refuses(&["replay", "--script", "bad.jsonl"], &format!("bad.jsonl:3: {wanted}"));
    };
    with("{\"fault\":\"melt\"}", "unknown value `melt`");
    with("{\"fault\":\"drop\",\"link\":-1,\"datagram\":0}", "number `-1`, expected a whole number");
    with("{\"fault\":\"drop\",\"link\":999,\"datagram\":0}", "there is no such link or host");
    with("{\"fault\":\"police\",\"link\":0,\"from_ns\":0,\"to_ns\":1,\"rate_bps\":8}", "missing key `burst_bytes`");
    folder.put("bad.jsonl", &head.replace("\"seed\":3", "\"seed\":-3"));
    folder.refuses(&["replay", "--script", "bad.jsonl"], "bad.jsonl:1: number `-3`, expected a whole number");
    // What a fault says may be as large as it likes.
    let huge = u64::MAX;
    for fault in [
        format!("{{\"fault\":\"police\",\"link\":0,\"from_ns\":9,\"to_ns\":1,\"rate_bps\":{huge},\"burst_bytes\":0}}"),
        format!(
            "{{\"fault\":\"police\",\"link\":0,\"from_ns\":0,\"to_ns\":{huge},\"rate_bps\":0,\"burst_bytes\":{huge}}}"
        ),
        format!("{{\"fault\":\"rate_step\",\"link\":0,\"at_ns\":1,\"rate_bps\":{huge}}}"),
        "{\"fault\":\"rate_step\",\"link\":0,\"at_ns\":1,\"rate_bps\":0}".to_owned(),
        format!("{{\"fault\":\"lumps\",\"link\":0,\"from_ns\":{huge},\"to_ns\":{huge},\"every_ns\":{huge}}}"),
    ] {
        folder.put("odd.jsonl", &format!("{head}\n{fault}\n"));
        assert_eq!(folder.sim(&["replay", "--script", "odd.jsonl"]), (Some(0), String::new()), "{fault}");
    }
}

#[test]
fn help_has_examples_of_each_command_on_files_that_are_there() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    for verb in ["run", "plot", "swarm", "replay", "shrink"] {
        let output = Command::new(env!("CARGO_BIN_EXE_wirehaul-sim")).args([verb, "--help"]).output().unwrap();
        let help = String::from_utf8(output.stdout).unwrap();
        let example = format!("  wirehaul-sim {verb} ");
        let examples: Vec<_> = help.lines().filter(|line| line.starts_with(&example)).collect();
        assert!(examples.len() >= 2 && help.contains("Exit codes:"), "{help}");
        let files = examples.iter().flat_map(|line| line.split(' ')).filter(|word| word.ends_with(".toml"));
        files.for_each(|file| assert!(root.join(file).exists(), "{file}"));
    }
}
