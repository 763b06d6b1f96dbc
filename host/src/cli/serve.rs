//! `wirehaul serve`: a receiver that runs for good, for peers whose keys are known.

mod rules;

use std::net::SocketAddr;
use std::sync::mpsc;

use thiserror::Error;
use wirehaul_core::limits::MAX_DATAGRAM_BYTES;
use wirehaul_core::session;

use super::args::{Listen, OutputArgs, ServeArgs};
use super::exit::Exit;
use super::output::{line, not_started};
use super::receiving::{Control, OnReady, Receiving, StartError};
use crate::config::{Config, ConfigError, LogFormat};
use crate::crypto::local_suites;
use crate::daemon::{Daemon, Flags, Signals};
use crate::events::{Bus, Level};
use crate::metrics::{Metrics, Port};
use crate::notes::{self, note};
use crate::transfer::keys::{KeyError, KeyStore};
use crate::transfer::store::StoreError;
use rules::{Rules, Serving};

/// Why serving did not start, or its configuration is no good.
#[derive(Debug, Error)]
enum ServeError {
    #[error(transparent)]
    Config(#[from] ConfigError),
    #[error(transparent)]
    Key(#[from] KeyError),
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error("signals cannot be taken: {0}")]
    Signals(#[source] std::io::Error),
    #[error(transparent)]
    Start(#[from] StartError),
}

impl ServeError {
    fn exit(&self) -> Exit {
        match self {
            Self::Config(_) => Exit::Usage,
            Self::Key(error) => super::key::exit_of(error),
            Self::Store(_) | Self::Signals(_) => Exit::Device,
            Self::Start(error) => error.exit(),
        }
    }
}

/// Runs `wirehaul serve`.
pub fn run(args: &ServeArgs, output: OutputArgs) -> Exit {
    let done = if args.check_config { check(args, output) } else { serve(args, output) };
    done.unwrap_or_else(|error| {
        let text = error.to_string();
        // Of several mistakes, those before the last.
        let (before, last) = text.rsplit_once('\n').unwrap_or(("", &text));
        before.lines().for_each(|line| note(Level::Error, line));
        not_started("serve", last, error.exit(), output)
    })
}

/// Says what the configuration means, and whether it may be used.
fn check(args: &ServeArgs, output: OutputArgs) -> Result<Exit, ServeError> {
    let rules = Rules::read(&args.config, &KeyStore::of_user()?)?;
    if !output.quiet {
        line(&format!("{}: ok", args.config.display()));
        rules.describe().iter().for_each(|peer| line(peer));
    }
    Ok(Exit::Done)
}

fn serve(args: &ServeArgs, output: OutputArgs) -> Result<Exit, ServeError> {
    let store = KeyStore::of_user()?;
    let rules = Rules::read(&args.config, &store)?;
    notes::set_format(format_of(rules.config.log));
    let control = Control::default();
    // Before anybody can be told that this runs: whoever hears it may stop it at once.
    let signals = Signals::take(&control.stop).map_err(ServeError::Signals)?;
    // -q says only what is not as it should be.
    let least = if output.quiet { Level::Warning } else { Level::Info };
    let port = take_port(rules.config.metrics, least);
    let (serving, open) = Serving::begin(rules, store);
    let events = Bus::default();
    let (kept, keep) = mpsc::channel();
    let flags = Flags { stop: control.stop.clone(), drain: control.drain.clone() };
    let mut receiving = receiving(&serving, control, events.clone());
    receiving.on_unprivileged = Some(open);
    receiving.on_ready = Some(on_ready(serving, port, signals, flags, events, least, kept));
    let done = receiving.run(output);
    // Its last words come before the error, which is the last line.
    drop(keep.try_recv());
    // Being stopped is how a server ends, and no failure of it, whatever became of the transfers before.
    done?;
    Ok(Exit::Done)
}

/// What goes on beside the workers for as long as it is kept.
type Kept = (Option<Daemon>, Option<std::sync::Arc<Metrics>>);

/// Starts what goes on beside the workers: threads, which are to have no more privileges than these.
fn on_ready(
    mut serving: Serving,
    port: Option<Port>,
    signals: Signals,
    flags: Flags,
    events: Bus,
    least: Level,
    kept: mpsc::Sender<Kept>,
) -> OnReady {
    Box::new(move |address: SocketAddr| {
        let names = serving.names();
        let metrics = port.and_then(|port| {
            let started = Metrics::start(port, &events, names);
            let failed = |error| note(Level::Warning, &format!("there are no metrics: {error}"));
            started.map_err(failed).ok().map(std::sync::Arc::new)
        });
        serving.metrics.clone_from(&metrics);
        let daemon = Daemon::start(
            events.listen(),
            signals,
            flags.clone(),
            Box::new(serving),
            &format!("listening on {address}"),
            least,
        );
        let daemon = daemon.map_err(|error| {
            // Nobody would hear a signal.
            note(Level::Error, &format!("cannot start a thread for signals: {error}"));
            flags.stop.store(true, std::sync::atomic::Ordering::Relaxed);
        });
        // Whoever started this waits for the workers, and then for these.
        let _ = kept.send((daemon.ok(), metrics));
    })
}

/// The port for metrics. Without it the files still come.
fn take_port(address: Option<SocketAddr>, least: Level) -> Option<Port> {
    let address = address?;
    let taken = Port::take(address).and_then(|port| Ok((port.address()?, port)));
    match taken {
        Ok((address, port)) => {
            if least == Level::Info {
                note(Level::Info, &format!("metrics are at http://{address}/metrics"));
            }
            Some(port)
        }
        Err(error) => {
            note(Level::Warning, &format!("there are no metrics: {address} cannot be had: {error}"));
            None
        }
    }
}

const fn format_of(log: LogFormat) -> notes::Format {
    match log {
        LogFormat::Text => notes::Format::Text,
        LogFormat::Json => notes::Format::Json,
    }
}

fn receiving(serving: &Serving, control: Control, events: Bus) -> Receiving {
    let config: &Config = &serving.config;
    Receiving {
        listen: Listen { address: config.listen, or_any_port: false },
        keys: serving.keys.clone(),
        policy: serving.policy.clone(),
        max_transfers: config.max_transfers as usize,
        control,
        events,
        on_unprivileged: None,
        on_ready: None,
        once: false,
        ticket: None,
        config: session::Config {
            suites: local_suites(),
            max_datagram_bytes: MAX_DATAGRAM_BYTES,
            ..session::Config::default()
        },
        transport: config.transport,
        interface: config.iface.clone(),
        file_io: config.io,
        numa: config.numa,
        is_daemon: true,
        user: config.user.clone(),
    }
}
