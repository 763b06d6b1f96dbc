//! The `wirehaul` command.

use wirehaul::cli::args::{Cli, Command};
use wirehaul::cli::exit::Exit;
use wirehaul::cli::{cdn, completions, key, man, origin, scan, screen};
#[cfg(target_os = "linux")]
use wirehaul::cli::{doctor, topo};
#[cfg(unix)]
use wirehaul::cli::{recv, send, serve};

fn main() -> Exit {
    let cli = Cli::of_process();
    if cli.output.tui
        && let Err(exit) = screen::check()
    {
        return exit;
    }
    match &cli.command {
        #[cfg(unix)]
        Command::Send(args) => send::run(args, cli.output),
        #[cfg(unix)]
        Command::Recv(args) => recv::run(args, cli.output),
        #[cfg(unix)]
        Command::Serve(args) => serve::run(args, cli.output),
        #[cfg(not(unix))]
        Command::Send(_) | Command::Recv(_) | Command::Serve(_) => {
            use std::io::Write as _;
            let message = "wirehaul: this system cannot move files yet, only manage keys; use a Unix, such as Linux";
            // Where nobody listens there is nobody to tell.
            let _ = writeln!(std::io::stderr(), "{message}");
            Exit::Device
        }
        Command::Cdn(args) => cdn::run(args, cli.output),
        Command::Key(args) => key::run(args, cli.output, &mut std::io::stdout().lock(), &mut std::io::stderr().lock()),
        Command::Origin(args) => {
            origin::run(args, cli.output, &mut std::io::stdout().lock(), &mut std::io::stderr().lock())
        }
        Command::Scan(args) => scan::run(args, cli.output),
        #[cfg(target_os = "linux")]
        Command::Doctor(args) => {
            doctor::run(args, cli.output, &mut std::io::stdout().lock(), &mut std::io::stderr().lock())
        }
        #[cfg(not(target_os = "linux"))]
        Command::Doctor(_) => {
            use std::io::Write as _;
            // Where nobody listens there is nobody to tell.
            let _ =
                writeln!(std::io::stderr(), "wirehaul: AF_XDP is a part of Linux; there is nothing to look at here");
            Exit::Device
        }
        #[cfg(target_os = "linux")]
        Command::Topo(args) => {
            topo::run(args, cli.output, &mut std::io::stdout().lock(), &mut std::io::stderr().lock())
        }
        #[cfg(not(target_os = "linux"))]
        Command::Topo(_) => {
            use std::io::Write as _;
            // Where nobody listens there is nobody to tell.
            let _ = writeln!(std::io::stderr(), "wirehaul: NUMA nodes are looked at on Linux only");
            Exit::Device
        }
        Command::Completions(args) => {
            completions::run(args, cli.output, &mut std::io::stdout().lock(), &mut std::io::stderr().lock())
        }
        Command::Man(args) => man::run(args, cli.output, &mut std::io::stdout().lock(), &mut std::io::stderr().lock()),
    }
}
