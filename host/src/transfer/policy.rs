//! What a receiver grants to whom.

mod admission;
mod limiter;

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError, RwLock};

use wirehaul_core::rate::Rate;

use super::store::Target;
use crate::crypto::PublicKey;
use admission::Desk;
pub use admission::{Denied, Permit};
use limiter::Limiter;

/// What one peer may do.
#[derive(Clone, Debug)]
pub struct Grant {
    /// What people call the peer, in logs and on screens.
    pub name: Option<Arc<str>>,
    /// Where its files go; `None` throws away what comes.
    pub target: Option<Target>,
    /// Replace files that differ.
    pub overwrite: bool,
    /// What its directory may hold, in bytes of files.
    pub quota_bytes: Option<u64>,
    /// How fast it may send, all its transfers together.
    pub rate: Option<Rate>,
    /// How many transfers it may have at once.
    pub max_transfers: Option<u32>,
}

/// Who may do what. Whom it says nothing of is refused.
#[derive(Clone, Debug, Default)]
pub struct Policy {
    /// What peers may do that are let in and are not among `peers`.
    pub everyone: Option<Grant>,
    /// Peers of their own, by their key.
    pub peers: Vec<(PublicKey, Grant)>,
    /// How fast all may send together.
    pub rate: Option<Rate>,
}

/// The policy in force: transfers that begin take it as it stands. Copies are the same one.
#[derive(Clone, Debug)]
pub struct InForce {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    policy: RwLock<Arc<Policy>>,
    desk: Mutex<Desk>,
    /// Of all transfers together.
    limiter: Limiter,
}

impl Grant {
    /// All that a receiver can grant: no bounds but those of its disk.
    #[must_use]
    pub const fn unbounded(target: Option<Target>, overwrite: bool) -> Self {
        Self { name: None, target, overwrite, quota_bytes: None, rate: None, max_transfers: None }
    }
}

impl Policy {
    /// The same for everybody who is let in.
    #[must_use]
    pub const fn for_everyone(grant: Grant) -> Self {
        Self { everyone: Some(grant), peers: Vec::new(), rate: None }
    }

    /// What this peer may do, if anything.
    #[must_use]
    pub fn grant_to(&self, peer: Option<&PublicKey>) -> Option<&Grant> {
        let own = self.peers.iter().find(|(key, _)| Some(key) == peer).map(|(_, grant)| grant);
        own.or(self.everyone.as_ref())
    }

    /// Whether files are kept for anybody.
    #[must_use]
    pub fn keeps_files(&self) -> bool {
        self.grants().any(|grant| grant.target.is_some())
    }

    fn grants(&self) -> impl Iterator<Item = &Grant> {
        self.everyone.iter().chain(self.peers.iter().map(|(_, grant)| grant))
    }
}

/// Where files go, for people.
impl fmt::Display for Policy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let own = |grant: &&Grant| grant.target.is_some();
        let directories = self.peers.iter().map(|(_, grant)| grant).filter(own).count();
        match self.everyone.as_ref().map(|grant| &grant.target) {
            Some(None) => f.write_str("throwing away what comes"),
            Some(Some(target)) => write!(f, "into {}", target.path().display()),
            None if directories == 1 => f.write_str("for 1 peer"),
            None => write!(f, "for {directories} peers"),
        }
    }
}

impl InForce {
    /// This policy, until another one replaces it.
    #[must_use]
    pub fn new(policy: Policy) -> Self {
        let limiter = Limiter::new(policy.rate);
        let (policy, desk) = (RwLock::new(Arc::new(policy)), Mutex::default());
        Self { shared: Arc::new(Shared { policy, desk, limiter }) }
    }

    /// The policy as it stands.
    #[must_use]
    pub fn current(&self) -> Arc<Policy> {
        Arc::clone(&self.shared.policy.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// Puts another policy in force. Transfers under way go on by the one that they began under, but for rates, which hold for
    /// all at once.
    pub fn replace(&self, policy: Policy) {
        // Nobody is let in meanwhile.
        let desk = self.desk();
        self.shared.limiter.set_rate(policy.rate);
        desk.set_rates(&policy);
        *self.shared.policy.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(policy);
    }
}
