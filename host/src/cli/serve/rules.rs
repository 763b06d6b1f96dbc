//! What the configuration and the known peers make together: who may do what, now and after a reload.

use std::path::Path;
use std::sync::{Arc, PoisonError, RwLock};

use wirehaul_core::time::Duration;

use super::super::receiving::OnUnprivileged;
use super::{ServeError, format_of};
use crate::config::{Config, PeerConfig};
use crate::crypto::{KnownKeys, PublicKey};
use crate::daemon::Duties;
use crate::events::Level;
use crate::metrics::Metrics;
use crate::notes::{self, note};
use crate::transfer::keys::KeyStore;
use crate::transfer::policy::{Grant, InForce, Policy};
use crate::transfer::store::{StoreError, Targets};
use crate::units::{format_rate, format_size};

/// A configuration that makes sense, and everybody who is let in.
pub(super) struct Rules {
    pub(super) config: Config,
    /// Peers with a section, then those that are only known and have the values of all.
    peers: Vec<(PublicKey, PeerConfig)>,
    /// Known peers for whom there is no directory.
    without_directory: Vec<String>,
}

impl Rules {
    /// Reads the configuration and the known peers.
    pub(super) fn read(path: &Path, store: &KeyStore) -> Result<Self, ServeError> {
        let config = Config::read(path)?;
        let known = store.load_known_peers()?;
        let own = config.peer_keys(|name| known.by_name(name).map(|peer| peer.key))?;
        let mut peers: Vec<_> = own.into_iter().map(|(key, peer)| (key, peer.clone())).collect();
        let mut without_directory = Vec::new();
        for other in known.iter() {
            if peers.iter().any(|(key, _)| *key == other.key) {
                continue;
            }
            if config.dir.is_none() {
                without_directory.push(other.name.clone());
                continue;
            }
            peers.push((other.key, as_all(&config, &other.name)));
        }
        Ok(Self { config, peers, without_directory })
    }

    /// A line for each peer: its name, directory, quota and rate.
    pub(super) fn describe(&self) -> Vec<String> {
        let describe = |(_, peer): &(PublicKey, PeerConfig)| {
            let dir = peer.dir.as_deref().unwrap_or(Path::new("")).display();
            let quota = peer.quota_bytes.map_or_else(|| "none".to_owned(), format_size);
            let rate = peer.rate.map_or_else(|| "unlimited".to_owned(), format_rate);
            let overwrite = if peer.overwrite { ", overwrites" } else { "" };
            format!("{}: {dir}, quota {quota}, rate {rate}{overwrite}", peer.name)
        };
        let without = |name: &String| format!("{name}: refused, for there is no directory");
        self.peers.iter().map(describe).chain(self.without_directory.iter().map(without)).collect()
    }

    /// The same as what a receiver keeps to. Directories are opened, but for those that are in use already.
    fn policy(&self, targets: &Targets) -> Result<Policy, StoreError> {
        let grant = |(key, peer): &(PublicKey, PeerConfig)| {
            let target = peer.dir.as_deref().map(|dir| targets.open(dir)).transpose()?;
            let grant = Grant {
                name: Some(peer.name.as_str().into()),
                target,
                overwrite: peer.overwrite,
                quota_bytes: peer.quota_bytes,
                rate: peer.rate,
                max_transfers: peer.max_transfers,
            };
            Ok((*key, grant))
        };
        let peers = self.peers.iter().map(grant).collect::<Result<_, StoreError>>()?;
        let everyone = self.config.dir.as_deref().map(|dir| {
            let grant = Grant::unbounded(Some(targets.open(dir)?), self.config.overwrite);
            Ok::<_, StoreError>(Grant { quota_bytes: self.config.quota_bytes, ..grant })
        });
        Ok(Policy { everyone: everyone.transpose()?, peers, rate: self.config.rate })
    }

    fn keys(&self) -> impl Iterator<Item = PublicKey> {
        self.peers.iter().map(|(key, _)| *key)
    }

    /// Those with a section: whoever wrote it wants to tell them apart.
    fn names(&self) -> Vec<Arc<str>> {
        self.config.peers.iter().map(|peer| peer.name.as_str().into()).collect()
    }
}

/// A peer without a section.
fn as_all(config: &Config, name: &str) -> PeerConfig {
    PeerConfig {
        name: name.to_owned(),
        line: 0,
        key: None,
        dir: config.dir.clone(),
        overwrite: config.overwrite,
        quota_bytes: config.quota_bytes,
        rate: None,
        max_transfers: None,
    }
}

/// The rules in force, and what it takes to put others in force.
pub(super) struct Serving {
    /// As it was when the program began, but for what a reload changes.
    pub(super) config: Config,
    pub(super) policy: InForce,
    pub(super) keys: KnownKeys,
    pub(super) metrics: Option<Arc<Metrics>>,
    names: Vec<Arc<str>>,
    store: KeyStore,
    targets: Arc<Targets>,
}

impl Serving {
    /// What is in force once its second part was called: until then directories are not opened, and nobody may do anything.
    pub(super) fn begin(rules: Rules, store: KeyStore) -> (Self, OnUnprivileged) {
        let targets = Arc::new(Targets::default());
        let serving = Self {
            policy: InForce::new(Policy::default()),
            keys: Arc::new(RwLock::new(rules.keys().collect())),
            metrics: None,
            names: rules.names(),
            config: rules.config.clone(),
            store,
            targets: Arc::clone(&targets),
        };
        let policy = serving.policy.clone();
        let open = move || {
            policy.replace(rules.policy(&targets)?);
            Ok(())
        };
        (serving, Box::new(open))
    }

    /// The peers that are told apart in metrics.
    pub(super) fn names(&self) -> Vec<Arc<str>> {
        self.names.clone()
    }

    /// Reads everything anew, and changes nothing unless all of it is good.
    fn try_reload(&mut self) -> Result<(), ServeError> {
        let rules = Rules::read(&self.config.path, &self.store)?;
        let policy = rules.policy(&self.targets)?;
        let restart = rules.config.needs_restart(&self.config);
        self.policy.replace(policy);
        *self.keys.write().unwrap_or_else(PoisonError::into_inner) = rules.keys().collect();
        if let Some(metrics) = &self.metrics {
            metrics.name(rules.names());
        }
        notes::set_format(format_of(rules.config.log));
        if !restart.is_empty() {
            let which = restart.join(", ");
            note(Level::Warning, &format!("these need a restart, and stay as they were until then: {which}"));
        }
        let peers = match rules.peers.len() {
            1 => "1 peer".to_owned(),
            many => format!("{many} peers"),
        };
        note(Level::Info, &format!("the new configuration is in force, for {peers} and transfers that begin now"));
        // What needs a restart is still what it was, and is named again the next time.
        let started = &self.config;
        self.config = Config {
            listen: started.listen,
            transport: started.transport,
            iface: started.iface.clone(),
            io: started.io,
            numa: started.numa,
            user: started.user.clone(),
            metrics: started.metrics,
            max_transfers: started.max_transfers,
            ..rules.config
        };
        Ok(())
    }
}

impl Duties for Serving {
    fn reload(&mut self) -> bool {
        let reloaded = self.try_reload();
        if let Err(error) = &reloaded {
            error.to_string().lines().for_each(|mistake| note(Level::Error, mistake));
            note(Level::Error, "the configuration in force stays");
        }
        if let Some(metrics) = &self.metrics {
            metrics.reloaded(reloaded.is_ok());
        }
        reloaded.is_ok()
    }

    fn drain_limit(&self) -> Duration {
        self.config.drain
    }

    fn draining(&mut self) {
        if let Some(metrics) = &self.metrics {
            metrics.draining();
        }
    }
}
