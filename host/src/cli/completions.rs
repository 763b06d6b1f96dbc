//! `wirehaul completions`: a script for a shell, made of the same definitions that command lines are parsed by (OPS-3).

use std::io::Write;

use clap::builder::PossibleValuesParser;
use clap::{Arg, Command, CommandFactory};
use serde_json::json;

use super::args::{Cli, CompletionsArgs, OutputArgs, Shell};
use super::exit::Exit;
use crate::file_io;
use crate::scan;
use crate::scan::format::Format;
use crate::transport;

/// The name that the script completes.
const PROGRAM: &str = "wirehaul";

/// Prints the script to `out`; what goes wrong is said in `remarks`.
pub fn run(args: &CompletionsArgs, output: OutputArgs, out: &mut impl Write, remarks: &mut impl Write) -> Exit {
    let script = script(args.shell);
    let printed = if output.json {
        let text = String::from_utf8_lossy(&script);
        writeln!(out, "{}", json!({ "type": "summary", "command": "completions", "script": text }))
    } else {
        out.write_all(&script)
    };
    Exit::Done.once_printed(printed.and_then(|()| out.flush()), "the script", remarks)
}

/// The script that completes command lines in `shell`.
#[must_use]
pub fn script(shell: Shell) -> Vec<u8> {
    let generator = match shell {
        Shell::Bash => clap_complete::Shell::Bash,
        Shell::Zsh => clap_complete::Shell::Zsh,
        Shell::Fish => clap_complete::Shell::Fish,
    };
    let mut script = Vec::new();
    clap_complete::generate(generator, &mut with_values(Cli::command()), PROGRAM, &mut script);
    script
}

/// Gives options that are parsed by functions of ours the values that these take, so that a shell can offer them.
fn with_values(command: Command) -> Command {
    command.mut_subcommands(|subcommand| {
        let name = subcommand.get_name().to_owned();
        with_values(subcommand.mut_args(|option| match values(&name, &option) {
            Some(values) => option.value_parser(PossibleValuesParser::new(values)),
            None => option,
        }))
    })
}

fn values(command: &str, option: &Arg) -> Option<Vec<&'static str>> {
    Some(match (command, option.get_id().as_str()) {
        ("scan", "transport") => scan::Choice::ALL.iter().map(|(name, _)| *name).collect(),
        ("scan", "format") => Format::ALL.iter().map(|(name, _)| *name).collect(),
        ("scan", "show") => vec!["open", "all"],
        (_, "transport") => transport::Choice::ALL.iter().map(|(name, _)| *name).collect(),
        (_, "io") => file_io::Choice::ALL.iter().map(|(name, _)| *name).collect(),
        _ => return None,
    })
}
