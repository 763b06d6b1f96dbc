//! `wirehaul recv`.

use std::sync::{Arc, RwLock};

use super::args::{OutputArgs, RecvArgs};
use super::exit::Exit;
use super::output::not_started;
use super::receiving::{Control, DEFAULT_TRANSFERS, Receiving, StartError};
use super::session::config_for;
use super::stop::stop_flag;
use crate::events::Bus;
use crate::transfer::keys::KeyStore;
use crate::transfer::policy::{Grant, InForce, Policy};
use crate::transfer::store::Target;

/// Runs `wirehaul recv`.
pub fn run(args: &RecvArgs, output: OutputArgs) -> Exit {
    try_run(args, output).unwrap_or_else(|error| not_started("recv", &error.to_string(), error.exit(), output))
}

fn try_run(args: &RecvArgs, output: OutputArgs) -> Result<Exit, StartError> {
    let keys = KeyStore::of_user()?.load_known_peers()?.keys();
    let target = (!args.discard).then(|| Target::open(&args.dir)).transpose()?;
    let receiving = Receiving {
        listen: args.listen(),
        keys: Arc::new(RwLock::new(keys)),
        policy: InForce::new(Policy::for_everyone(Grant::unbounded(target, args.overwrite))),
        max_transfers: DEFAULT_TRANSFERS,
        control: Control { stop: stop_flag(), ..Control::default() },
        events: Bus::default(),
        on_unprivileged: None,
        on_ready: None,
        once: args.once,
        ticket: Some(args.advertise.clone()),
        config: config_for(&args.transfer),
        transport: args.transfer.transport,
        interface: args.transfer.iface.clone(),
        file_io: args.transfer.io,
        numa: args.transfer.numa.choice(),
        is_daemon: false,
        user: None,
    };
    receiving.run(output)
}
