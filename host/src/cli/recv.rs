//! `wirehaul recv`.

use super::args::{OutputArgs, RecvArgs};
use super::exit::Exit;
use super::output::not_started;
use super::receiving::Receiving;
use super::session::config_for;

/// Runs `wirehaul recv`.
pub fn run(args: &RecvArgs, output: OutputArgs) -> Exit {
    let receiving = Receiving {
        listen: args.listen(),
        dir: (!args.discard).then(|| args.dir.clone()),
        overwrite: args.overwrite,
        once: args.once,
        ticket: Some(args.advertise.clone()),
        config: config_for(&args.transfer),
        transport: args.transfer.transport,
        interface: args.transfer.iface.clone(),
        file_io: args.transfer.io,
        numa: args.transfer.numa.choice(),
        is_daemon: false,
    };
    receiving.run(output).unwrap_or_else(|error| not_started("recv", &error.to_string(), error.exit(), output))
}
