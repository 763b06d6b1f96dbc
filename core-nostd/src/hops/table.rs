//! What was found out, by remote address: found again with one multiplication and at most four comparisons.

use core::net::IpAddr;

use super::{
    ASK_AGAIN, CONFIRM_AGAIN, KernelReason, Neighbour, NextHop, Port, UNREACHABLE_AGAIN, UNRESOLVED_AGAIN, Way,
};
use crate::time::{Duration, Instant};

const SETS: usize = 64;
/// Remotes of one set; which set a remote belongs to follows from its address.
const PLACES: usize = 4;

/// What is known of the way to one remote.
#[derive(Clone, Copy, Debug)]
pub(super) struct Entry {
    pub(super) remote: IpAddr,
    pub(super) finding: Finding,
    /// From then on it is no longer believed.
    pub(super) ask_at: Instant,
    pub(super) used_at: Instant,
    /// When its neighbour was last confirmed on our behalf.
    pub(super) confirmed_at: Option<Instant>,
}

impl Entry {
    /// Whether the neighbour is to be confirmed, if it is stale: it was used since the last time, which is long enough ago.
    pub(super) fn is_confirmation_due(&self, now: Instant) -> bool {
        let due = |at| self.used_at > at && now.saturating_since(at) >= CONFIRM_AGAIN;
        self.confirmed_at.is_none_or(due)
    }
}

/// What the kernel's answers come to.
#[derive(Clone, Copy, Debug)]
pub(super) enum Finding {
    /// Through a neighbour, resolved or not.
    Through(Hop),
    /// Not through a neighbour.
    Not(Way),
}

impl Finding {
    pub(super) fn way(&self) -> Way {
        match self {
            Self::Through(hop) => hop.way(),
            Self::Not(way) => *way,
        }
    }

    /// How long this may be believed.
    pub(super) fn good_for(&self) -> Duration {
        match self.way() {
            Way::Kernel(KernelReason::Unresolved) => UNRESOLVED_AGAIN,
            Way::Unreachable | Way::Kernel(KernelReason::NoAnswer) => UNREACHABLE_AGAIN,
            _ => ASK_AGAIN,
        }
    }

    /// The neighbour, if it is stale.
    pub(super) fn stale(&self) -> Option<(u32, IpAddr)> {
        match self {
            Self::Through(hop) if hop.neighbour.is_stale() => Some((hop.interface, hop.address)),
            _ => None,
        }
    }

    fn neighbour(&self) -> Option<(u32, IpAddr)> {
        match self {
            Self::Through(hop) => Some((hop.interface, hop.address)),
            Self::Not(_) => None,
        }
    }

    fn is_through(&self, interface: u32, address: IpAddr) -> bool {
        matches!(self, Self::Through(hop) if hop.is(interface, address))
    }
}

/// A neighbour, and the port that leads to it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Hop {
    pub(super) interface: u32,
    pub(super) address: IpAddr,
    pub(super) port: Port,
    pub(super) source: IpAddr,
    pub(super) mtu: u32,
    pub(super) neighbour: Neighbour,
}

impl Hop {
    pub(super) fn is(&self, interface: u32, address: IpAddr) -> bool {
        self.interface == interface && self.address == address
    }

    fn way(&self) -> Way {
        let Some(ether_destination) = self.neighbour.usable() else { return Way::Kernel(KernelReason::Unresolved) };
        Way::Direct(NextHop {
            ether_source: self.port.ether_source,
            ether_destination,
            vlan: self.port.vlan,
            source: self.source,
            mtu: self.mtu,
        })
    }
}

#[derive(Debug)]
pub(super) struct Table {
    sets: [[Option<Entry>; PLACES]; SETS],
}

impl Default for Table {
    fn default() -> Self {
        Self { sets: [[None; PLACES]; SETS] }
    }
}

impl Table {
    pub(super) fn get(&mut self, remote: IpAddr) -> Option<&mut Entry> {
        self.sets.get_mut(set_of(remote))?.iter_mut().flatten().find(|entry| entry.remote == remote)
    }

    /// Puts it in the place of what was known of this remote, else of nothing, else of what was unused for longest.
    pub(super) fn insert(&mut self, new: Entry) {
        let Some(set) = self.sets.get_mut(set_of(new.remote)) else { return };
        let rank = |place: &Option<Entry>| match place {
            Some(entry) if entry.remote == new.remote => (0, Instant::ZERO),
            None => (1, Instant::ZERO),
            Some(entry) => (2, entry.used_at),
        };
        if let Some(place) = set.iter_mut().min_by_key(|place| rank(place)) {
            *place = Some(new);
        }
    }

    pub(super) fn each(&mut self, change: impl FnMut(&mut Entry)) {
        self.sets.iter_mut().flatten().flatten().for_each(change);
    }

    /// A neighbour that is to be confirmed now.
    pub(super) fn first_unconfirmed(&self, now: Instant) -> Option<(u32, IpAddr)> {
        let mut entries = self.sets.iter().flatten().flatten();
        entries.find_map(|entry| entry.finding.stale().filter(|_| entry.is_confirmation_due(now)))
    }

    /// When the neighbour of `finding` was last confirmed on our behalf, whichever remote that was for.
    pub(super) fn last_confirmed(&self, finding: &Finding) -> Option<Instant> {
        let (interface, address) = finding.neighbour()?;
        let entries = self.sets.iter().flatten().flatten();
        entries
            .filter(|entry| entry.finding.is_through(interface, address))
            .filter_map(|entry| entry.confirmed_at)
            .max()
    }

    /// The neighbour is confirmed now, for all remotes behind it.
    pub(super) fn mark_confirmed(&mut self, now: Instant, (interface, address): (u32, IpAddr)) {
        self.each(|entry| {
            if entry.finding.is_through(interface, address) {
                entry.confirmed_at = Some(now);
            }
        });
    }
}

fn set_of(remote: IpAddr) -> usize {
    let bits = match remote {
        IpAddr::V4(v4) => u128::from(v4.to_bits()),
        IpAddr::V6(v6) => v6.to_bits(),
    };
    let folded = (bits ^ (bits >> 64)) as u64;
    // Hosts of one network differ in the low bits: an odd multiplier carries them up (Knuth, 6.4).
    let spread = folded.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 32;
    spread as usize % SETS
}
