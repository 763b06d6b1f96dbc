//! `wirehaul serve`: a receiver that runs for good, for peers whose keys are known.

use thiserror::Error;
use wirehaul_core::limits::MAX_DATAGRAM_BYTES;
use wirehaul_core::session;

use super::args::{Listen, OutputArgs, ServeArgs};
use super::exit::Exit;
use super::output::{line, not_started, remark};
use super::receiving::{Receiving, StartError};
use crate::config::{Config, ConfigError, PeerConfig};
use crate::crypto::local_suites;
use crate::transfer::keys::{KeyError, KeyStore, KnownPeers};
use crate::units::{format_rate, format_size};

/// Why serving did not start.
#[derive(Debug, Error)]
enum ServeError {
    #[error(transparent)]
    Config(#[from] ConfigError),
    #[error(transparent)]
    Key(#[from] KeyError),
    #[error(transparent)]
    Start(#[from] StartError),
}

impl ServeError {
    fn exit(&self) -> Exit {
        match self {
            Self::Config(_) => Exit::Usage,
            Self::Key(error) => super::key::exit_of(error),
            Self::Start(error) => error.exit(),
        }
    }
}

/// Runs `wirehaul serve`.
pub fn run(args: &ServeArgs, output: OutputArgs) -> Exit {
    let done = if args.check_config { check(args, output) } else { serve(args, output) };
    done.unwrap_or_else(|error| {
        let text = error.to_string();
        // All but the last of several mistakes.
        let (before, last) = text.rsplit_once('\n').unwrap_or(("", &text));
        before.lines().for_each(remark);
        not_started("serve", last, error.exit(), output)
    })
}

fn serve(args: &ServeArgs, output: OutputArgs) -> Result<Exit, ServeError> {
    let config = Config::read(&args.config)?;
    let known = KeyStore::of_user()?.load_known_peers()?;
    config.peer_keys(|name| key_of(&known, name))?;
    // Being stopped is how a server ends, and no failure of it, whatever became of the transfers before.
    receiving(&config).run(output)?;
    Ok(Exit::Done)
}

/// Says what the file means, and whether it may be used.
fn check(args: &ServeArgs, output: OutputArgs) -> Result<Exit, ServeError> {
    let config = Config::read(&args.config)?;
    let known = KeyStore::of_user()?.load_known_peers()?;
    config.peer_keys(|name| key_of(&known, name))?;
    if !output.quiet {
        line(&format!("{}: ok", config.path.display()));
        peer_lines(&config, &known).iter().for_each(|peer| line(peer));
    }
    Ok(Exit::Done)
}

fn key_of(known: &KnownPeers, name: &str) -> Option<crate::crypto::PublicKey> {
    known.by_name(name).map(|peer| peer.key)
}

/// Each peer that is let in, and what it may do: those with a section, then those that are only known.
fn peer_lines(config: &Config, known: &KnownPeers) -> Vec<String> {
    let describe = |peer: &PeerConfig| {
        let dir =
            peer.dir.as_deref().map_or_else(|| "refused: it has no directory".to_owned(), |d| d.display().to_string());
        let quota = peer.quota_bytes.map_or_else(|| "none".to_owned(), format_size);
        let rate = peer.rate.map_or_else(|| "unlimited".to_owned(), format_rate);
        let overwrite = if peer.overwrite { ", overwrites" } else { "" };
        format!("{}: {dir}, quota {quota}, rate {rate}{overwrite}", peer.name)
    };
    let has_section = |name: &str| config.peers.iter().any(|peer| peer.name == name);
    let others = known.iter().filter(|peer| !has_section(&peer.name)).map(|peer| PeerConfig {
        name: peer.name.clone(),
        line: 0,
        key: Some(peer.key),
        dir: config.dir.clone(),
        overwrite: config.overwrite,
        quota_bytes: config.quota_bytes,
        rate: None,
        max_transfers: None,
    });
    config.peers.iter().map(describe).chain(others.map(|peer| describe(&peer))).collect()
}

fn receiving(config: &Config) -> Receiving {
    Receiving {
        listen: Listen { address: config.listen, or_any_port: false },
        file_io: config.io,
        numa: config.numa,
        transport: config.transport,
        interface: config.iface.clone(),
        is_daemon: true,
        dir: config.dir.clone(),
        overwrite: config.overwrite,
        once: false,
        ticket: None,
        config: session::Config {
            suites: local_suites(),
            max_datagram_bytes: MAX_DATAGRAM_BYTES,
            ..session::Config::default()
        },
    }
}
