//! Letting transfers in, and counting them: over all workers, and for each peer.

use std::collections::HashMap;
use std::sync::{MutexGuard, PoisonError};

use thiserror::Error;

use super::super::failure::Failure;
use super::super::message::RefusalClass;
use super::{Grant, InForce};
use crate::crypto::PublicKey;

/// Why a transfer is not let in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum Denied {
    /// The policy grants this peer nothing.
    #[error("it grants nothing to this host's key")]
    Nothing,
    /// The receiver is draining.
    #[error("it is about to stop and takes no new transfers")]
    Stopping,
    /// The peer has as many transfers as it may have.
    #[error("this host has {0} transfers there already, and may have no more at once: try again later")]
    OfPeer(u32),
    /// The receiver has as many transfers as it may have.
    #[error("it has {0} transfers already, and takes no more at once: try again later")]
    OfAll(usize),
}

/// Who is in.
#[derive(Debug, Default)]
pub(super) struct Desk {
    under_way: usize,
    most: Option<usize>,
    is_closed: bool,
    /// Peers that have transfers.
    peers: HashMap<Option<PublicKey>, u32>,
}

/// A transfer is counted as long as this lives.
#[derive(Debug)]
pub struct Permit {
    grant: Grant,
    peer: Option<PublicKey>,
    policy: InForce,
}

impl Denied {
    /// The refusal that the sender hears.
    #[must_use]
    pub fn into_failure(self) -> Failure {
        let class = match self {
            Self::Nothing => RefusalClass::Policy,
            Self::Stopping | Self::OfPeer(_) | Self::OfAll(_) => RefusalClass::Resumable,
        };
        Failure::Refused { class, reason: self.to_string() }
    }
}

impl InForce {
    /// Lets a transfer of this peer in, by the policy as it stands.
    ///
    /// # Errors
    /// [`Denied`] says why it may not come in.
    pub fn admit(&self, peer: Option<PublicKey>) -> Result<Permit, Denied> {
        let policy = self.current();
        let mut desk = self.desk();
        if desk.is_closed {
            return Err(Denied::Stopping);
        }
        let grant = policy.grant_to(peer.as_ref()).ok_or(Denied::Nothing)?.clone();
        if let Some(most) = desk.most.filter(|most| desk.under_way >= *most) {
            return Err(Denied::OfAll(most));
        }
        let of_peer = desk.peers.get(&peer).copied().unwrap_or(0);
        if let Some(most) = grant.max_transfers.filter(|most| of_peer >= *most) {
            return Err(Denied::OfPeer(most));
        }
        desk.under_way += 1;
        desk.peers.insert(peer, of_peer + 1);
        Ok(Permit { grant, peer, policy: self.clone() })
    }

    /// Lets no more than so many transfers in at once. Those that are in stay.
    pub fn limit_transfers(&self, most: usize) {
        self.desk().most = Some(most);
    }

    /// Lets nobody in from now on.
    pub fn close(&self) {
        self.desk().is_closed = true;
    }

    /// Whether nobody is let in any more, and the last one has left.
    #[must_use]
    pub fn is_deserted(&self) -> bool {
        let desk = self.desk();
        desk.is_closed && desk.under_way == 0
    }

    fn desk(&self) -> MutexGuard<'_, Desk> {
        self.shared.desk.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Permit {
    /// What the transfer may do.
    #[must_use]
    pub const fn grant(&self) -> &Grant {
        &self.grant
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        let mut desk = self.policy.desk();
        desk.under_way = desk.under_way.saturating_sub(1);
        if let Some(of_peer) = desk.peers.get_mut(&self.peer) {
            *of_peer = of_peer.saturating_sub(1);
            if *of_peer == 0 {
                desk.peers.remove(&self.peer);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::Policy;
    use super::*;

    const ONE: Option<PublicKey> = Some(PublicKey::from_bytes([1; 32]));
    const TWO: Option<PublicKey> = Some(PublicKey::from_bytes([2; 32]));

    fn grant(max_transfers: Option<u32>) -> Grant {
        Grant { max_transfers, ..Grant::unbounded(None, false) }
    }

    #[test]
    fn who_is_not_named_gets_what_everyone_gets_or_nothing() {
        let mut policy = Policy { peers: vec![(PublicKey::from_bytes([1; 32]), grant(Some(7)))], ..Policy::default() };
        let in_force = InForce::new(policy.clone());
        assert_eq!(in_force.admit(ONE).unwrap().grant().max_transfers, Some(7));
        assert_eq!(in_force.admit(TWO).unwrap_err(), Denied::Nothing);
        assert_eq!(in_force.admit(None).unwrap_err(), Denied::Nothing);
        policy.everyone = Some(grant(Some(9)));
        in_force.replace(policy);
        assert_eq!(in_force.admit(ONE).unwrap().grant().max_transfers, Some(7));
        for stranger in [TWO, None] {
            assert_eq!(in_force.admit(stranger).unwrap().grant().max_transfers, Some(9));
        }
    }

    #[test]
    fn transfers_are_counted_for_each_peer_and_in_all() {
        let in_force = InForce::new(Policy::for_everyone(grant(Some(2))));
        in_force.limit_transfers(3);
        let first = in_force.admit(ONE).unwrap();
        let _second = in_force.admit(ONE).unwrap();
        assert_eq!(in_force.admit(ONE).unwrap_err(), Denied::OfPeer(2));
        let _third = in_force.admit(TWO).unwrap();
        assert_eq!(in_force.admit(TWO).unwrap_err(), Denied::OfAll(3));
        drop(first);
        let _fourth = in_force.admit(ONE).unwrap();
    }

    #[test]
    fn once_closed_it_is_deserted_when_the_last_one_has_left() {
        let in_force = InForce::new(Policy::for_everyone(grant(None)));
        let inside = in_force.admit(ONE).unwrap();
        in_force.close();
        assert_eq!(in_force.admit(TWO).unwrap_err(), Denied::Stopping);
        assert!(!in_force.is_deserted());
        drop(inside);
        assert!(in_force.is_deserted());
    }
}
