//! Manual pages and completion scripts, judged by the programs that will read them (OPS-3). One that is not installed is said, and
//! its part is skipped; with `WIREHAUL_REQUIRE=shells` that is a failure.
#![cfg(unix)]
#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs)]

use std::path::Path;
use std::process::Command;

use wirehaul::cli::args::Shell;
use wirehaul::cli::completions::script;
use wirehaul::cli::man::pages;

/// What `program` prints when it is called so; `None`, with a word about it, where it is not installed.
fn output_of(program: &str, arguments: &[&str]) -> Option<(bool, String)> {
    match Command::new(program).args(arguments).env("MANWIDTH", "80").env("LC_ALL", "C.UTF-8").output() {
        Ok(output) => {
            let said = [output.stdout, output.stderr].concat();
            Some((output.status.success(), String::from_utf8_lossy(&said).into_owned()))
        }
        Err(error) => {
            let required = std::env::var("WIREHAUL_REQUIRE").unwrap_or_default();
            assert!(!required.split(',').any(|needed| needed == "shells"), "{program} is required: {error}");
            eprintln!("skipped: {program} is not installed ({error})");
            None
        }
    }
}

#[test]
fn each_shell_accepts_its_script() {
    let temp = tempfile::tempdir().unwrap();
    for (shell, program) in [(Shell::Bash, "bash"), (Shell::Zsh, "zsh"), (Shell::Fish, "fish")] {
        let path = temp.path().join(program);
        std::fs::write(&path, script(shell)).unwrap();
        if let Some((accepted, said)) = output_of(program, &["-n", path.to_str().unwrap()]) {
            assert!(accepted && said.is_empty(), "{program}: {said}");
        }
    }
}

/// What bash offers behind some words of a command line.
fn offered_by_bash(script: &Path, words: &[&str]) -> Option<Vec<String>> {
    let line = words.join(" ");
    let code = format!(
        "source {}; COMP_WORDS=({}); COMP_CWORD={}; COMP_LINE='{line}'; COMP_POINT={}; _wirehaul wirehaul '{}' '{}'; \
         printf '%s\\n' \"${{COMPREPLY[@]}}\"",
        script.display(),
        words.iter().map(|word| format!("'{word}'")).collect::<Vec<_>>().join(" "),
        words.len() - 1,
        line.len(),
        words[words.len() - 1],
        words[words.len() - 2],
    );
    let (worked, said) = output_of("bash", &["--norc", "-c", &code])?;
    assert!(worked, "{said}");
    Some(said.lines().map(str::to_owned).collect())
}

#[test]
fn bash_offers_commands_options_and_values() {
    let temp = tempfile::tempdir().unwrap();
    let path = temp.path().join("wirehaul.bash");
    std::fs::write(&path, script(Shell::Bash)).unwrap();
    for (words, offered) in [
        (&["wirehaul", "se"][..], &["send", "serve"][..]),
        (&["wirehaul", "key", "t"], &["trust"]),
        (&["wirehaul", "recv", "--over"], &["--overwrite"]),
        (&["wirehaul", "send", "--transport", "xdp-"], &["xdp-copy", "xdp-skb"]),
        (&["wirehaul", "scan", "--transport", "pa"], &["packet"]),
        (&["wirehaul", "scan", "--format", "p"], &["parquet"]),
        (&["wirehaul", "serve", "--conf"], &["--config"]),
        (&["wirehaul", "completions", "z"], &["zsh"]),
    ] {
        let Some(found) = offered_by_bash(&path, words) else { return };
        assert_eq!(found, offered, "{words:?}");
    }
}

#[test]
fn pages_are_set_without_a_warning() {
    let temp = tempfile::tempdir().unwrap();
    for page in pages() {
        let path = temp.path().join(&page.file);
        std::fs::write(&path, &page.text).unwrap();
        let path = path.to_str().unwrap();
        if let Some((_, said)) = output_of("mandoc", &["-T", "lint", "-W", "warning", path]) {
            // A date would be that of the build.
            let remarks: Vec<_> = said.lines().filter(|line| !line.contains("missing date")).collect();
            assert_eq!(remarks, [""; 0]);
        }
        if let Some((accepted, said)) = output_of("man", &["--warnings", "-E", "UTF-8", "-l", "-Tutf8", "-Z", path]) {
            assert!(accepted && !said.contains("warning"), "{}: {said}", page.file);
        }
    }
}

#[test]
fn a_page_reads_as_it_should() {
    let temp = tempfile::tempdir().unwrap();
    let printed = Command::new(env!("CARGO_BIN_EXE_wirehaul")).arg("man").output().unwrap();
    assert!(printed.status.success());
    assert_eq!(String::from_utf8(printed.stdout).unwrap(), pages()[0].text);
    let page = pages().into_iter().find(|page| page.file == "wirehaul-send.1").unwrap();
    let path = temp.path().join(&page.file);
    std::fs::write(&path, &page.text).unwrap();
    let Some((_, text)) = output_of("man", &["-l", "-P", "cat", path.to_str().unwrap()]) else { return };
    for line in [
        "wirehaul send [OPTIONS] PATH... TICKET|HOST[:PORT]",
        "--transport <WAY> [default: auto]",
        "wirehaul send --rate 800mbit backup.tar wh1...    leaving room for others",
        "interrupted; the same command again goes on where it stopped",
    ] {
        assert!(text.contains(line), "{line}\n{text}");
    }
}
