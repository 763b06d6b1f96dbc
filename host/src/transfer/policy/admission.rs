//! Letting transfers in, and counting them and what they send: over all workers, and for each peer.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, MutexGuard, PoisonError};

use thiserror::Error;
use wirehaul_core::pacer::{MAX_PART_BYTES, Meter};
use wirehaul_core::time::Instant;

use super::super::failure::Failure;
use super::super::message::RefusalClass;
use super::limiter::Limiter;
use super::{Grant, InForce, Policy};
use crate::crypto::PublicKey;
use crate::transfer::blocks::CROWD_WINDOW_BYTES;

// Where a window is used up, several parts are: they are booked, and it opens again.
const _: () = assert!(MAX_PART_BYTES * 4 <= CROWD_WINDOW_BYTES);

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
    #[error("it takes no more than {0} of this host's transfers at once: try again later")]
    OfPeer(u32),
    /// The receiver has as many transfers as it may have.
    #[error("it takes no more than {0} transfers at once: try again later")]
    OfAll(usize),
}

/// Who is in.
#[derive(Debug, Default)]
pub(super) struct Desk {
    under_way: usize,
    most: Option<usize>,
    is_closed: bool,
    /// Peers that have transfers, or have had some that are not paid for by now.
    peers: HashMap<Option<PublicKey>, Arc<Standing>>,
}

/// How a peer stands with all its transfers.
#[derive(Debug)]
struct Standing {
    /// Those under way; changed by who holds the desk.
    transfers: AtomicU32,
    limiter: Limiter,
}

/// A transfer may go on, and is counted, as long as this lives.
#[derive(Debug)]
pub struct Permit {
    grant: Grant,
    standing: Arc<Standing>,
    policy: InForce,
    meter: Meter,
}

impl Desk {
    /// Rates hold at once, also for those who are in.
    pub(super) fn set_rates(&self, policy: &Policy) {
        for (peer, standing) in &self.peers {
            standing.limiter.set_rate(policy.grant_to(peer.as_ref()).and_then(|grant| grant.rate));
        }
    }
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
    pub fn admit(&self, now: Instant, peer: Option<PublicKey>) -> Result<Permit, Denied> {
        let mut desk = self.desk();
        let policy = self.current();
        if desk.is_closed {
            return Err(Denied::Stopping);
        }
        let grant = policy.grant_to(peer.as_ref()).ok_or(Denied::Nothing)?.clone();
        if let Some(most) = desk.most.filter(|most| desk.under_way >= *most) {
            return Err(Denied::OfAll(most));
        }
        desk.peers.retain(|_, standing| standing.is_needed(now));
        let new = || Arc::new(Standing { transfers: AtomicU32::new(0), limiter: Limiter::new(grant.rate) });
        let standing = Arc::clone(desk.peers.entry(peer).or_insert_with(new));
        let of_peer = standing.transfers.load(Ordering::Relaxed);
        if let Some(most) = grant.max_transfers.filter(|most| of_peer >= *most) {
            return Err(Denied::OfPeer(most));
        }
        standing.transfers.store(of_peer + 1, Ordering::Relaxed);
        desk.under_way += 1;
        Ok(Permit { grant, standing, policy: self.clone(), meter: Meter::default() })
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

    pub(super) fn desk(&self) -> MutexGuard<'_, Desk> {
        self.shared.desk.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Standing {
    fn is_needed(&self, now: Instant) -> bool {
        self.transfers.load(Ordering::Relaxed) > 0 || self.limiter.book(now, 0) > now
    }
}

impl Permit {
    /// What the transfer may do.
    #[must_use]
    pub const fn grant(&self) -> &Grant {
        &self.grant
    }

    /// The peer has sent so many bytes, and is to be granted as many again when they are due.
    pub const fn used(&mut self, bytes: u64) {
        self.meter.add(bytes);
    }

    /// How many bytes the peer may be granted now.
    pub fn due(&mut self, now: Instant) -> u64 {
        match self.part() {
            None => self.meter.take_all(),
            Some(part) => {
                let (of_peer, of_all) = (&self.standing.limiter, &self.policy.shared.limiter);
                self.meter.take(now, part, |bytes| of_peer.book(now, bytes).max(of_all.book(now, bytes)))
            }
        }
    }

    /// Whether [`Permit::due`] has something to do, without anything coming before.
    #[must_use]
    pub fn is_owed(&self, now: Instant) -> bool {
        match self.part() {
            None => self.meter.holds_any(),
            Some(part) => self.meter.is_ready(now, part),
        }
    }

    /// What is booked at once, if there is a rate to keep.
    fn part(&self) -> Option<u64> {
        let among = self.standing.transfers.load(Ordering::Relaxed);
        let of_peer = self.standing.limiter.rate().map(|rate| Meter::part_bytes(rate, 1));
        let of_all = self.policy.shared.limiter.rate().map(|rate| Meter::part_bytes(rate, among));
        [of_peer, of_all].into_iter().flatten().min()
    }

    /// When [`Permit::due`] has something to give, if nothing more comes.
    #[must_use]
    pub fn deadline(&self) -> Option<Instant> {
        self.meter.deadline()
    }

    /// The peer has sent so many bytes that were granted before they were due; what follows has to wait for them.
    pub fn charge(&self, now: Instant, bytes: u64) {
        self.standing.limiter.book(now, bytes);
        self.policy.shared.limiter.book(now, bytes);
    }

    /// When all that was sent before is paid for.
    #[must_use]
    pub fn paid_at(&self, now: Instant) -> Instant {
        self.standing.limiter.book(now, 0).max(self.policy.shared.limiter.book(now, 0))
    }

    /// The transfer is over: what it has sent and was not granted again is paid by those that come after it.
    pub fn settle(mut self, now: Instant) {
        let unpaid = self.meter.settle();
        self.charge(now, unpaid);
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        let mut desk = self.policy.desk();
        desk.under_way = desk.under_way.saturating_sub(1);
        let of_peer = self.standing.transfers.load(Ordering::Relaxed);
        self.standing.transfers.store(of_peer.saturating_sub(1), Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use wirehaul_core::rate::Rate;
    use wirehaul_core::time::Duration;

    use super::*;

    const ONE: Option<PublicKey> = Some(PublicKey::from_bytes([1; 32]));
    const TWO: Option<PublicKey> = Some(PublicKey::from_bytes([2; 32]));

    const NOW: Instant = Instant::from_nanos(1_000_000_000);

    fn grant(max_transfers: Option<u32>) -> Grant {
        Grant { max_transfers, ..Grant::unbounded(None, false) }
    }

    #[test]
    fn who_is_not_named_gets_what_everyone_gets_or_nothing() {
        let mut policy = Policy { peers: vec![(PublicKey::from_bytes([1; 32]), grant(Some(7)))], ..Policy::default() };
        let in_force = InForce::new(policy.clone());
        assert_eq!(in_force.admit(NOW, ONE).unwrap().grant().max_transfers, Some(7));
        assert_eq!(in_force.admit(NOW, TWO).unwrap_err(), Denied::Nothing);
        assert_eq!(in_force.admit(NOW, None).unwrap_err(), Denied::Nothing);
        policy.everyone = Some(grant(Some(9)));
        in_force.replace(policy);
        assert_eq!(in_force.admit(NOW, ONE).unwrap().grant().max_transfers, Some(7));
        for stranger in [TWO, None] {
            assert_eq!(in_force.admit(NOW, stranger).unwrap().grant().max_transfers, Some(9));
        }
    }

    #[test]
    fn transfers_are_counted_for_each_peer_and_in_all() {
        let in_force = InForce::new(Policy::for_everyone(grant(Some(2))));
        in_force.limit_transfers(3);
        let first = in_force.admit(NOW, ONE).unwrap();
        let _second = in_force.admit(NOW, ONE).unwrap();
        assert_eq!(in_force.admit(NOW, ONE).unwrap_err(), Denied::OfPeer(2));
        let _third = in_force.admit(NOW, TWO).unwrap();
        assert_eq!(in_force.admit(NOW, TWO).unwrap_err(), Denied::OfAll(3));
        drop(first);
        let _fourth = in_force.admit(NOW, ONE).unwrap();
    }

    #[test]
    fn once_closed_it_is_deserted_when_the_last_one_has_left() {
        let in_force = InForce::new(Policy::for_everyone(grant(None)));
        let inside = in_force.admit(NOW, ONE).unwrap();
        in_force.close();
        assert_eq!(in_force.admit(NOW, TWO).unwrap_err(), Denied::Stopping);
        assert!(!in_force.is_deserted());
        drop(inside);
        assert!(in_force.is_deserted());
    }

    fn at(rate: Option<u64>) -> Grant {
        Grant { rate: rate.map(Rate::from_bits_per_sec), ..Grant::unbounded(None, false) }
    }

    /// Grants as the receiver does until so much time is over; returns what was granted to each.
    fn granted(permits: &mut [Permit], span: Duration) -> Vec<u64> {
        let mut now = NOW;
        let mut got = vec![0; permits.len()];
        permits.iter_mut().for_each(|permit| permit.used(2 << 20));
        while now < NOW + span {
            for (permit, got) in permits.iter_mut().zip(&mut got) {
                let bytes = permit.due(now);
                permit.used(bytes);
                *got += bytes;
            }
            now = permits.iter().filter_map(Permit::deadline).min().expect("somebody waits");
        }
        got
    }

    #[test]
    fn the_transfers_of_a_peer_share_its_rate_and_all_share_that_of_the_policy() {
        let peers = vec![(PublicKey::from_bytes([1; 32]), at(Some(80_000_000)))];
        let rate = Some(Rate::from_bits_per_sec(240_000_000));
        let in_force = InForce::new(Policy { everyone: Some(at(None)), peers, rate });
        let mut permits = [ONE, ONE, TWO].map(|peer| in_force.admit(NOW, peer).unwrap());
        let got = granted(&mut permits, Duration::from_secs(10));
        // 80 Mbit/s and what is left of 240, in 10 s, and no more than a burst beyond.
        let near = |got: u64, bytes: u64| assert!((bytes..bytes + bytes / 50).contains(&got), "{got}, not {bytes}");
        near(got[0] + got[1], 100_000_000);
        near(got[2], 200_000_000);
        assert!(got[0].abs_diff(got[1]) < 1_000_000, "{got:?}");
    }

    #[test]
    fn what_a_transfer_used_at_its_end_is_paid_by_the_next() {
        let in_force = InForce::new(Policy::for_everyone(at(Some(8_000_000))));
        let mut first = in_force.admit(NOW, ONE).unwrap();
        // A burst, and what takes a second.
        first.used(64 * 1024 + 1_000_000);
        let given = first.due(NOW);
        assert!(given <= 64 * 1024);
        first.settle(NOW);
        let paid_at = in_force.admit(NOW, ONE).unwrap().paid_at(NOW);
        assert_eq!(paid_at, NOW + Duration::from_secs(1));
        assert_eq!(in_force.admit(NOW, TWO).unwrap().paid_at(NOW), NOW);
        // Forgotten when it is paid, and not before.
        assert!(in_force.desk().peers.contains_key(&ONE));
        let _two = in_force.admit(paid_at, TWO).unwrap();
        assert!(!in_force.desk().peers.contains_key(&ONE));
    }

    #[test]
    fn a_new_rate_holds_at_once() {
        let in_force = InForce::new(Policy::for_everyone(at(Some(8_000))));
        let mut permit = in_force.admit(NOW, ONE).unwrap();
        permit.used(2 << 20);
        let at_first = permit.due(NOW);
        in_force.replace(Policy::for_everyone(at(None)));
        assert_eq!(at_first + permit.due(NOW), 2 << 20);
    }
}
