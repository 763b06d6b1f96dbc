//! What the documents tell people to type, they can type: commands in them parse, configurations in them load, code in them is
//! compiled, links and anchors in them lead somewhere (DOC-1). `sim/tests/book.rs` does the same for the simulator.
#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs)]

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;
use std::process::Command;

use clap::CommandFactory;
use wirehaul::cli::args::Cli;
use wirehaul::crypto::PublicKey;

#[path = "book/anchors.rs"]
mod anchors;
#[path = "book/documents.rs"]
mod documents;
#[path = "book/shell.rs"]
mod shell;

use anchors::{anchors, links};
use documents::{Block, pages, root};
use shell::{arguments_of, commands};

/// What people type, with its place: scripts, and lines of a session that begin with a prompt.
fn scripts() -> Vec<(String, String)> {
    let script = |block: Block| match block.language.as_str() {
        "sh" => Some((block.place, block.text)),
        "console" => {
            let typed = block.text.lines().filter_map(|line| line.trim_start().strip_prefix("$ "));
            Some((block.place, typed.collect::<Vec<_>>().join("\n")))
        }
        _ => None,
    };
    pages().iter().flat_map(|page| page.blocks()).filter_map(script).collect()
}

/// `arguments`, with values in place of what stands for one: a key of the reader's own, a variable.
fn with_values(arguments: &[String]) -> Vec<String> {
    let key = PublicKey::from_bytes([7; 32]).to_string();
    let value = |word: &String| match word.as_str() {
        "whk1..." => key.clone(),
        variable if variable.starts_with('$') => "value".to_owned(),
        word => word.to_owned(),
    };
    std::iter::once("wirehaul".to_owned()).chain(arguments.iter().map(value)).collect()
}

/// Why a command line of the program does not parse; help that is asked for is fine.
fn mistake(arguments: &[String]) -> Option<String> {
    let error = Cli::parse_arguments(with_values(arguments)).err()?;
    error.use_stderr().then(|| error.to_string())
}

#[test]
fn every_command_in_the_documents_parses() {
    let mut wrong = Vec::new();
    let mut seen = BTreeSet::new();
    for (place, script) in scripts() {
        for command in commands(&script) {
            if let Some(arguments) = arguments_of(&command, "wirehaul") {
                seen.extend(arguments.first().cloned());
                wrong.extend(mistake(arguments).map(|error| format!("{place}: {}: {error}", command.join(" "))));
            }
        }
    }
    assert_eq!(wrong, [""; 0]);
    assert!(seen.len() >= 8, "the search has lost its way: {seen:?}");
}

/// The examples at the end of each command's help, which are those of the manual too.
#[test]
fn every_example_in_the_help_parses() {
    let mut wrong = Vec::new();
    let mut count = 0;
    let mut left = vec![Cli::command()];
    while let Some(command) = left.pop() {
        let help = command.get_after_help().map(ToString::to_string).unwrap_or_default();
        for line in help.lines().filter(|line| line.starts_with("  wirehaul ")) {
            // A remark follows in a column of its own.
            let example = line.trim_start().split("  ").next().unwrap();
            for command in commands(example) {
                count += 1;
                let arguments = arguments_of(&command, "wirehaul");
                wrong.extend(arguments.and_then(mistake).map(|error| format!("{example}: {error}")));
            }
        }
        left.extend(command.get_subcommands().cloned());
    }
    assert_eq!(wrong, [""; 0]);
    assert!(count > 40, "the search has lost its way: {count}");
}

/// What `./x` knows, as its source says: each verb, and the names that `bench` takes.
fn verbs_of_x() -> (BTreeSet<String>, BTreeSet<String>) {
    let source = fs::read_to_string(root().join("x")).unwrap();
    let main = source.split("main() {").nth(1).unwrap().split("\n}").next().unwrap();
    let verbs = main.lines().find(|line| line.contains(" | ") && line.contains(") \"run_")).unwrap();
    let alternatives = |line: &str| -> BTreeSet<String> {
        line.split(')').next().unwrap().split('|').map(|verb| verb.trim().to_owned()).collect()
    };
    let mut verbs = alternatives(verbs);
    verbs.insert("help".to_owned());
    let bench = source.split("run_bench() {").nth(1).unwrap().split("\n}").next().unwrap();
    let arms = bench.split("case $name in").nth(1).unwrap().lines().filter(|line| line.contains(')'));
    let arms = arms.filter(|line| line.starts_with("        ") && line.as_bytes()[8].is_ascii_lowercase());
    let mut benches: BTreeSet<_> = arms.flat_map(alternatives).collect();
    let criterion =
        fs::read_dir(root().join("benches/benches")).into_iter().flatten().map(|entry| entry.unwrap().path());
    benches.extend(criterion.map(|path| path.file_stem().unwrap().to_str().unwrap().to_owned()));
    assert!(verbs.len() > 8 && benches.len() > 8, "the search has lost its way: {verbs:?} {benches:?}");
    (verbs, benches)
}

#[test]
fn every_verb_of_x_in_the_documents_exists() {
    let (verbs, benches) = verbs_of_x();
    let mut wrong = Vec::new();
    let mut seen = 0;
    let mut check = |place: &str, arguments: &[String]| {
        seen += 1;
        let [verb, rest @ ..] = arguments else { return };
        let name = rest.first().filter(|name| verb == "bench" && !name.starts_with(['-', '[', 'N']));
        if !verbs.contains(verb) || name.is_some_and(|name| !benches.contains(name)) {
            wrong.push(format!("{place}: ./x {}", arguments.join(" ")));
        }
    };
    for (place, script) in scripts() {
        commands(&script)
            .iter()
            .filter_map(|command| arguments_of(command, "./x"))
            .for_each(|rest| check(&place, rest));
    }
    // In running text too.
    for page in pages() {
        for (number, line) in page.prose() {
            for word in line.split('`').filter(|word| word.starts_with("./x ")) {
                let place = format!("{}:{number}", page.path);
                commands(word)
                    .iter()
                    .filter_map(|command| arguments_of(command, "./x"))
                    .for_each(|rest| check(&place, rest));
            }
        }
    }
    assert!(seen > 20, "the search has lost its way: {seen}");
    assert_eq!(wrong, [""; 0]);
}

/// Whether this is a scenario of the simulator, which has its own test; everything else is a configuration of `wirehaul serve`.
fn is_scenario(block: &Block) -> bool {
    block.text.lines().any(|line| line.trim() == "[run]")
}

#[test]
fn every_configuration_in_the_documents_loads() {
    let blocks = pages().into_iter().flat_map(|page| page.blocks()).filter(|block| block.language == "toml");
    let blocks: Vec<_> = blocks.filter(|block| !is_scenario(block)).collect();
    assert!(!blocks.is_empty(), "the search has lost its way");
    let mut wrong = Vec::new();
    let temp = tempfile::tempdir().unwrap();
    let file = temp.path().join("serve.toml");
    for block in blocks {
        let (place, text) = (&block.place, with_folders_below(temp.path(), &block.text));
        if let Err(error) = toml::from_str::<toml::Table>(&text) {
            wrong.push(format!("{place}: {error}"));
            continue;
        }
        fs::write(&file, text).unwrap();
        wrong.extend(check_configuration(&file).map(|error| format!("{place}: {error}")));
    }
    assert_eq!(wrong, [""; 0]);
}

/// The same configuration with folders that exist, and a key in place of `whk1...`.
fn with_folders_below(temp: &Path, text: &str) -> String {
    let below = |line: &str| match line.trim_start().strip_prefix("dir = \"/") {
        Some(rest) => {
            let dir = temp.join(rest.split('"').next().unwrap());
            fs::create_dir_all(&dir).unwrap();
            format!("dir = {dir:?}")
        }
        None => line.replace("whk1...", &PublicKey::from_bytes([7; 32]).to_string()),
    };
    text.lines().map(below).collect::<Vec<_>>().join("\n")
}

/// What `wirehaul serve --check-config` has against a file.
fn check_configuration(file: &Path) -> Option<String> {
    let program = Cli::command();
    let serve = program.find_subcommand("serve").unwrap();
    if !serve.get_arguments().any(|argument| argument.get_long() == Some("check-config")) {
        eprintln!("not looked at in detail: this build has no `serve --check-config`");
        return None;
    }
    let home = file.parent().unwrap();
    let output = Command::new(env!("CARGO_BIN_EXE_wirehaul"))
        .args(["serve", "--check-config", "--config"])
        .arg(file)
        .env("HOME", home)
        .env("XDG_CONFIG_HOME", home.join("config"))
        .output()
        .unwrap();
    (!output.status.success()).then(|| String::from_utf8_lossy(&output.stderr).into_owned())
}

/// A page whose code is compiled is named in `host/src/lib.rs`, where rustdoc finds it.
#[test]
fn all_rust_in_the_documents_is_compiled() {
    let library = fs::read_to_string(root().join("host/src/lib.rs")).unwrap();
    let mut left_out = Vec::new();
    for page in pages() {
        let has_code = page.blocks().iter().any(|block| block.language.split(',').next() == Some("rust"));
        let include = format!("#[cfg_attr(doctest, doc = include_str!(\"../../{}\"))]", page.path);
        if has_code && !library.contains(&include) {
            left_out.push(format!("{}: add a private item with {include} to host/src/lib.rs", page.path));
        }
    }
    assert_eq!(left_out, [""; 0]);
}

/// That the files are there is checked by `structure.rs`; here it is the part behind `#`.
#[test]
fn every_anchor_leads_to_a_heading() {
    let pages = pages();
    let known: BTreeMap<_, _> = pages.iter().map(|page| (page.path.as_str(), anchors(page))).collect();
    let mut wrong = Vec::new();
    let mut seen = 0;
    for page in &pages {
        for (number, link) in links(page).into_iter().filter(|(_, link)| !link.contains("://")) {
            let Some((file, anchor)) = link.split_once('#') else { continue };
            seen += 1;
            let target = if file.is_empty() { page.path.clone() } else { beside(&page.path, file) };
            if !known.get(target.as_str()).is_some_and(|anchors| anchors.contains(anchor)) {
                wrong.push(format!("{}:{number}: {link}", page.path));
            }
        }
    }
    assert_eq!(wrong, [""; 0]);
    assert!(seen > 0, "the search has lost its way");
}

/// The path from the root of what a page calls `link`.
fn beside(page: &str, link: &str) -> String {
    let mut parts: Vec<_> = page.split('/').collect();
    parts.pop();
    for part in link.split('/') {
        match part {
            ".." => drop(parts.pop()),
            "." => {}
            part => parts.push(part),
        }
    }
    parts.join("/")
}

#[test]
fn every_address_elsewhere_is_one() {
    let mut wrong = Vec::new();
    let mut seen = 0;
    for page in pages() {
        for (number, link) in links(&page).into_iter().filter(|(_, link)| link.contains("://")) {
            seen += 1;
            let uri = link.parse::<hyper::Uri>().ok();
            let is_web = |uri: &hyper::Uri| matches!(uri.scheme_str(), Some("http" | "https"));
            let has_host = |uri: &hyper::Uri| uri.host().is_some_and(|host| host.contains('.') && !host.ends_with('.'));
            if !uri.is_some_and(|uri| is_web(&uri) && has_host(&uri)) {
                wrong.push(format!("{}:{number}: {link}", page.path));
            }
        }
    }
    assert_eq!(wrong, [""; 0]);
    assert!(seen > 0, "the search has lost its way");
}
