//! The `wirehaul` command.

use wirehaul::cli::args::{Cli, Command};
use wirehaul::cli::exit::Exit;
use wirehaul::cli::{key, recv, send, serve};

fn main() -> Exit {
    let cli = Cli::of_process();
    match &cli.command {
        Command::Send(args) => send::run(args, cli.output),
        Command::Recv(args) => recv::run(args, cli.output),
        Command::Serve(args) => serve::run(args, cli.output),
        Command::Key(args) => key::run(args, cli.output, &mut std::io::stdout().lock(), &mut std::io::stderr().lock()),
    }
}
