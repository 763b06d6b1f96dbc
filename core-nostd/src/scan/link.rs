//! Who on the link has which link-layer address: the asking side of ARP (RFC 826) and neighbour discovery (RFC 4861).
//!
//! A table of fixed size, so that a network of any size can be asked through it:
//!
//! ```text
//!        find: Ask            no answer to three requests: Absent
//! nothing ------> asking ------------------------------------------> absent --5 s--> nothing
//!                  |  ^
//!         an answer|  |find, 60 s later: Ask
//!                  v  |
//!                 known <-- an answer; still usable while it is asked again
//!
//! pinned: what the kernel is told to use, for good
//! ```

use core::net::IpAddr;

use crate::time::{Duration, Instant};
use crate::wire::net::{MacAddress, arp, ndp};

/// How long an answer is waited for (RFC 4861 section 10: RETRANS_TIMER), between two requests and after the last.
pub const REQUEST_AGAIN: Duration = Duration::from_secs(1);
/// How many requests a host is sent (RFC 4861 section 10: MAX_MULTICAST_SOLICIT).
pub const MAX_REQUESTS: u8 = 3;
/// How long a host that did not answer is taken for absent.
pub const ABSENT_FOR: Duration = Duration::from_secs(5);
/// How long an answer is good for before the host is asked again.
pub const KNOWN_FOR: Duration = Duration::from_secs(60);
/// For how long what is known and in use stays, although another host needs the place.
pub const KEEP_USED: Duration = Duration::from_secs(1);

/// Hosts of one set; which set a host belongs to follows from its address.
const WAYS: usize = 8;

/// What is known of a host.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Link {
    /// Its address. Send.
    Known(MacAddress),
    /// Send a request now, then find the host again: it is [`Link::Wait`], or [`Link::Known`] where it was asked because the answer
    /// of old has aged. The request counts as sent.
    Ask,
    /// It was asked. Find it again at this time, or when a neighbour was heard.
    Wait(Instant),
    /// It did not answer three requests.
    Absent,
    /// There is no place to take note of it until this time.
    Full(Instant),
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum State {
    #[default]
    Nothing,
    /// Asked so many times, lastly one [`REQUEST_AGAIN`] before `until`; with an address where the last answer has aged.
    Asking(u8, Option<MacAddress>),
    /// Fresh `until`.
    Known(MacAddress),
    /// Did not answer; forgotten at `until`.
    Absent,
    Pinned(MacAddress),
}

/// A place for one host.
#[derive(Clone, Copy, Debug, Default)]
pub struct NeighbourSlot {
    /// An IPv4 address as one that is mapped into IPv6.
    address: [u8; 16],
    until: Instant,
    used: Instant,
    state: State,
}

const _: () = assert!(size_of::<NeighbourSlot>() == 40, "a /16 in 2.5 MiB");

impl NeighbourSlot {
    /// From when on another host may have this place; `None`: never.
    fn free_at(&self) -> Option<Instant> {
        match self.state {
            State::Nothing => Some(Instant::ZERO),
            State::Asking(requests, _) => {
                let left = u64::from(MAX_REQUESTS.saturating_sub(requests));
                // Whoever asked may not come back; then it ends when it would have.
                Some(self.until + REQUEST_AGAIN.saturating_mul(left))
            }
            State::Known(_) => Some(self.used + KEEP_USED),
            State::Absent => Some(self.until),
            State::Pinned(_) => None,
        }
    }
}

/// The hosts on a link. One that is scanned through it takes a place while it is asked and while it is in use, so a table with as
/// many places as hosts are asked or used in three seconds has room, and twice as many seldom turns one away.
#[derive(Debug)]
pub struct Neighbours<'a> {
    sets: &'a mut [[NeighbourSlot; WAYS]],
    /// Those that are in no set: fewer places than a set has.
    few: &'a mut [NeighbourSlot],
}

impl<'a> Neighbours<'a> {
    /// A table over `slots`, which are new. Of eight or more, a number that is no multiple of eight leaves up to seven unused.
    #[must_use]
    pub fn new(slots: &'a mut [NeighbourSlot]) -> Self {
        let (sets, few) = slots.as_chunks_mut::<WAYS>();
        Self { sets, few }
    }

    /// How many hosts there is room for.
    #[must_use]
    pub const fn capacity(&self) -> usize {
        if self.sets.is_empty() { self.few.len() } else { self.sets.len() * WAYS }
    }

    /// How to reach `ip`. The answer changes with time, by [`Neighbours::learn`] and [`Neighbours::pin`], and by being given: what is
    /// [`Link::Ask`] once is something else the next time.
    pub fn find(&mut self, now: Instant, ip: IpAddr) -> Link {
        let address = octets(ip);
        let set = self.set(address);
        if let Some(slot) = set.iter_mut().find(|slot| slot.state != State::Nothing && slot.address == address) {
            slot.used = now;
            return advance(slot, now);
        }
        // The place that has been free for longest; where none is, that which will be soonest.
        let soonest = set.iter_mut().filter_map(|slot| Some((slot.free_at()?, slot))).min_by_key(|(at, _)| *at);
        match soonest {
            Some((at, slot)) if at <= now => {
                *slot = NeighbourSlot { address, until: now, used: now, state: State::Asking(0, None) };
                advance(slot, now)
            }
            Some((at, _)) => Link::Full(at),
            // Pinned, all of them: nobody who asks sooner finds anything else.
            None => Link::Full(now + KNOWN_FOR),
        }
    }

    /// A host has said its address. Counts only for hosts that were asked, or are known: who says unasked who he is could push out
    /// all others. Returns whether it counted.
    pub fn learn(&mut self, now: Instant, ip: IpAddr, mac: MacAddress) -> bool {
        let address = octets(ip);
        let is_listening = |slot: &&mut NeighbourSlot| {
            slot.address == address && !matches!(slot.state, State::Nothing | State::Pinned(_))
        };
        let Some(slot) = self.set(address).iter_mut().find(is_listening) else { return false };
        slot.state = State::Known(mac);
        slot.until = now + KNOWN_FOR;
        slot.used = now;
        true
    }

    /// Fixes a host's address: it never ages, and nothing that is heard changes it. Returns whether there was a place: there is one
    /// unless others that are pinned have all of them.
    pub fn pin(&mut self, ip: IpAddr, mac: MacAddress) -> bool {
        let address = octets(ip);
        let rank = |slot: &NeighbourSlot| match slot.state {
            State::Nothing => (1, Instant::ZERO),
            _ if slot.address == address => (0, Instant::ZERO),
            State::Pinned(_) => (3, Instant::ZERO),
            _ => (2, slot.used),
        };
        let Some(slot) = self.set(address).iter_mut().min_by_key(|slot| rank(slot)) else { return false };
        if rank(slot).0 == 3 {
            return false;
        }
        *slot = NeighbourSlot { address, until: Instant::FAR_FUTURE, used: Instant::ZERO, state: State::Pinned(mac) };
        true
    }

    fn set(&mut self, address: [u8; 16]) -> &mut [NeighbourSlot] {
        let bits = u128::from_be_bytes(address);
        let folded = (bits ^ (bits >> 64)) as u64;
        // Neighbouring addresses are spread evenly over the whole range of 64 bits (Fibonacci hashing: Knuth, 6.4), of which each
        // set has an equal part. Who is scanned is for the user to say, not for an adversary: no key is needed.
        let spread = u128::from(folded.wrapping_mul(0x9e37_79b9_7f4a_7c15));
        let index = ((spread * self.sets.len() as u128) >> 64) as usize;
        match self.sets.get_mut(index) {
            Some(set) => set,
            None => self.few,
        }
    }
}

/// What is to be done about a host that has its place, by now.
fn advance(slot: &mut NeighbourSlot, now: Instant) -> Link {
    match slot.state {
        State::Pinned(mac) => Link::Known(mac),
        State::Known(mac) if now < slot.until => Link::Known(mac),
        State::Known(mac) => ask(slot, now, 1, Some(mac)),
        State::Asking(_, Some(mac)) if now < slot.until => Link::Known(mac),
        State::Asking(_, None) if now < slot.until => Link::Wait(slot.until),
        State::Asking(requests, mac) if requests < MAX_REQUESTS => ask(slot, now, requests + 1, mac),
        State::Asking(..) => {
            slot.state = State::Absent;
            slot.until = now + ABSENT_FOR;
            Link::Absent
        }
        State::Absent if now < slot.until => Link::Absent,
        State::Absent | State::Nothing => ask(slot, now, 1, None),
    }
}

fn ask(slot: &mut NeighbourSlot, now: Instant, requests: u8, mac: Option<MacAddress>) -> Link {
    slot.state = State::Asking(requests, mac);
    slot.until = now + REQUEST_AGAIN;
    Link::Ask
}

fn octets(ip: IpAddr) -> [u8; 16] {
    match ip {
        IpAddr::V4(ip) => ip.to_ipv6_mapped().octets(),
        IpAddr::V6(ip) => ip.octets(),
    }
}

/// Writes the frame that asks who has `target`: an ARP request or a neighbour solicitation, by family; returns its length, 86 + 4
/// bytes at most. `mac` and `source` are our own.
///
/// `None` where there is no room, the families of the addresses differ, or the VLAN's id is above 4095.
#[must_use]
pub fn write_request(
    out: &mut [u8],
    mac: MacAddress,
    vlan: Option<u16>,
    source: IpAddr,
    target: IpAddr,
) -> Option<usize> {
    match (source, target) {
        (IpAddr::V4(source), IpAddr::V4(target)) => arp::write_request(out, mac, vlan, source, target),
        (IpAddr::V6(source), IpAddr::V6(target)) => ndp::write_solicitation(out, mac, vlan, source, target),
        _ => None,
    }
}

#[cfg(test)]
#[path = "link_tests.rs"]
mod tests;
