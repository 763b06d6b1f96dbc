//! What the documents say of the simulator: scenarios in them load, commands in them parse. `host/tests/book.rs` does the same for
//! `wirehaul`.
#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs)]

use std::fs;
use std::path::Path;
use std::process::Command;

#[allow(dead_code, reason = "the other test needs more of it")]
#[path = "../../host/tests/book/documents.rs"]
mod documents;
#[path = "../../host/tests/book/shell.rs"]
mod shell;

use documents::{pages, root};
use shell::{arguments_of, commands};

fn simulator() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_wirehaul-sim"));
    command.current_dir(root());
    command
}

#[test]
fn every_scenario_in_the_documents_loads() {
    let file = Path::new(env!("CARGO_TARGET_TMPDIR")).join("scenario-of-the-book.toml");
    let blocks = pages().into_iter().flat_map(|page| page.blocks()).filter(|block| block.language == "toml");
    let blocks: Vec<_> = blocks.filter(|block| block.text.lines().any(|line| line.trim() == "[run]")).collect();
    assert!(!blocks.is_empty(), "the search has lost its way");
    for block in blocks {
        fs::write(&file, &block.text).unwrap();
        let output = simulator().arg("run").arg(&file).output().unwrap();
        assert!(output.status.success(), "{}: {}", block.place, String::from_utf8_lossy(&output.stderr));
    }
}

/// Every command line parses. Behind its own words each is asked for help, so that nothing runs.
#[test]
fn every_command_of_the_simulator_parses() {
    let mut wrong = Vec::new();
    let mut seen = 0;
    let mut check = |place: &str, arguments: &[String]| {
        seen += 1;
        let output = simulator().args(arguments).arg("--help").output().unwrap();
        if !output.status.success() {
            wrong.push(format!("{place}: {}: {}", arguments.join(" "), String::from_utf8_lossy(&output.stderr)));
        }
    };
    for page in pages() {
        for block in page.blocks().into_iter().filter(|block| matches!(block.language.as_str(), "sh" | "console" | ""))
        {
            for line in block.text.lines().map(|line| line.trim_start().trim_start_matches("$ ")) {
                // A remark follows in a column of its own; what a synopsis leaves open is no command line.
                let line = line.split("  ").next().unwrap();
                let is_synopsis = line.contains(['[', '|']) || line.contains("...");
                let found = commands(line);
                let found = found.iter().filter_map(|command| arguments_of(command, "wirehaul-sim"));
                found.filter(|_| !is_synopsis).for_each(|arguments| check(&block.place, arguments));
            }
        }
    }
    assert_eq!(wrong, [""; 0]);
    assert!(seen >= 5, "the search has lost its way: {seen}");
}
