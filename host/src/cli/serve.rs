//! `wirehaul serve`: a receiver that runs for good, for peers whose keys are known.

use std::path::{Path, PathBuf};
use std::sync::{Arc, RwLock};

use serde::Deserialize;
use thiserror::Error;
use wirehaul_core::limits::MAX_DATAGRAM_BYTES;
use wirehaul_core::session::Config;

use super::args::{Listen, NumaArgs, OutputArgs, ServeArgs, parse_file_io, parse_listen, parse_transport};
use super::exit::Exit;
use super::output::not_started;
use super::receiving::{Control, DEFAULT_TRANSFERS, Receiving, StartError};
use super::session::stop_flag;
use crate::crypto::local_suites;
use crate::events::Bus;
use crate::file_io;
use crate::transfer::keys::KeyStore;
use crate::transfer::policy::{Grant, InForce, Policy};
use crate::transfer::store::Target;
use crate::transport::Choice;

/// The file behind `--config`. Unknown keys are mistakes.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct ServeConfig {
    /// Files go below this directory.
    dir: PathBuf,
    /// Where to listen; every address, port 7420, where it is left out.
    listen: Option<String>,
    /// Replace files that differ.
    #[serde(default)]
    overwrite: bool,
    /// How packets travel; auto where it is left out.
    transport: Option<String>,
    /// The network interface for xdp.
    iface: Option<String>,
    /// How files are read and written; auto where it is left out.
    io: Option<String>,
    /// Whether NUMA nodes are looked at.
    #[serde(default = "yes")]
    numa: bool,
    /// The NUMA node to work on; the card's where it is left out.
    numa_node: Option<u32>,
}

const fn yes() -> bool {
    true
}

/// Why serving did not start.
#[derive(Debug, Error)]
enum ServeError {
    #[error("cannot read the configuration {}: {source}", .path.display())]
    Read { path: PathBuf, source: std::io::Error },
    #[error("the configuration {} is wrong: {message}", .path.display())]
    Malformed { path: PathBuf, message: String },
    #[error(transparent)]
    Start(#[from] StartError),
}

/// Runs `wirehaul serve`.
pub fn run(args: &ServeArgs, output: OutputArgs) -> Exit {
    try_run(args, output).unwrap_or_else(|error| {
        let exit = match &error {
            ServeError::Read { .. } | ServeError::Malformed { .. } => Exit::Usage,
            ServeError::Start(error) => error.exit(),
        };
        not_started("serve", &error.to_string(), exit, output)
    })
}

fn try_run(args: &ServeArgs, output: OutputArgs) -> Result<Exit, ServeError> {
    let settings = load(&args.config)?;
    // Being stopped is how a server ends, and no failure of it, whatever became of the transfers before.
    settings.start()?.run(output)?;
    Ok(Exit::Done)
}

/// What a configuration asks for.
struct Settings {
    dir: PathBuf,
    listen: Listen,
    overwrite: bool,
    transport: Choice,
    interface: Option<String>,
    file_io: file_io::Choice,
    numa: wirehaul_core::numa::Choice,
}

impl Settings {
    fn start(self) -> Result<Receiving, StartError> {
        let keys = KeyStore::of_user()?.load_known_peers()?.keys();
        let target = Target::open(&self.dir)?;
        Ok(Receiving {
            listen: self.listen,
            keys: Arc::new(RwLock::new(keys)),
            policy: InForce::new(Policy::for_everyone(Grant::unbounded(Some(target), self.overwrite))),
            max_transfers: DEFAULT_TRANSFERS,
            control: Control { stop: stop_flag(), ..Control::default() },
            events: Bus::default(),
            on_ready: None,
            once: false,
            ticket: None,
            config: Config { suites: local_suites(), max_datagram_bytes: MAX_DATAGRAM_BYTES, ..Config::default() },
            transport: self.transport,
            interface: self.interface,
            file_io: self.file_io,
            numa: self.numa,
            is_daemon: true,
        })
    }
}

fn load(path: &Path) -> Result<Settings, ServeError> {
    let text = std::fs::read_to_string(path).map_err(|source| ServeError::Read { path: path.to_path_buf(), source })?;
    let malformed = |message: String| ServeError::Malformed { path: path.to_path_buf(), message };
    let config: ServeConfig = toml::from_str(&text).map_err(|error| malformed(error.to_string()))?;
    let listen = match &config.listen {
        None => Listen::default_port(),
        Some(text) => {
            let address = parse_listen(text).map_err(|error| malformed(format!("listen: {error}")))?;
            Listen { address, or_any_port: false }
        }
    };
    let transport = match &config.transport {
        None => Choice::Auto,
        Some(text) => parse_transport(text).map_err(|error| malformed(format!("transport: {error}")))?,
    };
    let file_io = match &config.io {
        None => file_io::Choice::Auto,
        Some(text) => parse_file_io(text).map_err(|error| malformed(format!("io: {error}")))?,
    };
    if !config.numa && config.numa_node.is_some() {
        return Err(malformed("numa_node: nodes are not looked at with `numa = false`".to_owned()));
    }
    let numa = NumaArgs { no_numa: !config.numa, numa_node: config.numa_node }.choice();
    Ok(Settings {
        dir: config.dir,
        listen,
        overwrite: config.overwrite,
        transport,
        interface: config.iface,
        file_io,
        numa,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use wirehaul_core::numa::Choice;

    fn load_text(text: &str) -> Result<Settings, ServeError> {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("serve.toml");
        std::fs::write(&path, text).unwrap();
        load(&path)
    }

    #[test]
    fn a_configuration_needs_a_directory_and_no_more() {
        let settings = load_text("dir = \"/srv/in\"").unwrap();
        assert_eq!(settings.dir, Path::new("/srv/in"));
        assert_eq!(settings.listen.address.port(), 7420);
        assert!(!settings.listen.or_any_port);
        let settings = load_text("dir = \".\"\nlisten = \"127.0.0.1:9000\"\noverwrite = true").unwrap();
        assert_eq!(settings.listen.address.to_string(), "127.0.0.1:9000");
        assert!(settings.overwrite && settings.numa == Choice::Auto);
        assert_eq!(load_text("dir = \".\"\nnuma = false").unwrap().numa, Choice::Off);
        assert_eq!(load_text("dir = \".\"\nnuma_node = 1").unwrap().numa, Choice::Node(1));
    }

    #[test]
    fn mistakes_are_named() {
        for (text, said) in [
            ("", "dir"),
            ("dir = 5", "dir"),
            ("dir = \".\"\nlisten = \"nowhere\"", "listen"),
            ("dir = \".\"\noverwite = true", "overwite"),
            ("dir = \".\"\ntransport = \"ftp\"", "transport"),
            ("dir = \".\"\nio = \"tape\"", "io: expected auto, uring or sync"),
            ("dir = \".\"\nnuma_node = -1", "numa_node"),
            ("dir = \".\"\nnuma = false\nnuma_node = 1", "numa_node: nodes are not looked at"),
        ] {
            let error = load_text(text).err().unwrap().to_string();
            assert!(error.contains(said), "{text}: {error}");
        }
        assert!(matches!(load(Path::new("/nowhere/serve.toml")), Err(ServeError::Read { .. })));
    }
}
