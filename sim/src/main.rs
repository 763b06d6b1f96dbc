//! `wirehaul-sim`: scenarios under virtual time, from the command line.

mod cli;

use std::process::ExitCode;

fn main() -> ExitCode {
    cli::main()
}
