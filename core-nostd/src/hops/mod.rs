//! Next hops: which Ethernet header a packet to each remote address gets, where no socket of the kernel writes it.
//!
//! Routes and neighbours are the kernel's. It is asked once per remote address, through [`Kernel`], and what it says is kept
//! until it says that this has changed:
//!
//! ```text
//! route to the remote --> leaves elsewhere, is local, not unicast, encapsulated --> Way::Kernel
//!      |            `---> there is none                                         --> Way::Unreachable
//!      v
//! neighbour that it names --> its link-layer address is known  --> Way::Direct
//!                         `-> or not                           --> Way::Kernel: the kernel's own packet resolves it
//! ```
//!
//! A neighbour's entry ages in the kernel, which sees none of our packets (net/core/neighbour.c). One that has become stale while
//! it is in use is confirmed like one that the kernel uses itself, by [`Hops::keep_alive`]: it probes the neighbour, and what it
//! finds comes back as a change.

mod budget;
mod table;
#[cfg(test)]
mod tests;

use core::net::IpAddr;

use crate::time::{Duration, Instant};
use budget::Budget;
use table::{Entry, Finding, Hop, Table};

/// How soon a neighbour that was not resolved is asked for again; a notification comes sooner.
pub const UNRESOLVED_AGAIN: Duration = Duration::from_millis(100);
/// How soon a remote without a route, or without an answer, is asked for again.
pub const UNREACHABLE_AGAIN: Duration = Duration::from_secs(1);
/// How long any answer is good for. What the kernel learns from ICMP (a path's MTU, a redirect) it tells nobody.
pub const ASK_AGAIN: Duration = Duration::from_secs(10);
/// The least time between two requests to confirm one neighbour: the kernel itself waits as long before it probes
/// (DELAY_PROBE_TIME).
pub const CONFIRM_AGAIN: Duration = Duration::from_secs(5);
/// The least time between two searches for neighbours to confirm.
pub const LOOK_AGAIN: Duration = Duration::from_secs(1);

/// What stands in the frame's header, and how large a packet may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct NextHop {
    /// The interface's address.
    pub ether_source: [u8; 6],
    /// The neighbour's address.
    pub ether_destination: [u8; 6],
    /// The 802.1Q tag's VLAN, 0 to 4095; `None` for no tag.
    pub vlan: Option<u16>,
    /// The address that the kernel would send from on this route.
    pub source: IpAddr,
    /// The largest IP packet, in bytes: the route's limit or the link's, whichever is less.
    pub mtu: u32,
}

/// How packets get to a remote address.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Way {
    /// In a frame of our own, through our interface.
    Direct(NextHop),
    /// Through a socket of the kernel.
    Kernel(KernelReason),
    /// Not at all: there is no route, or one that refuses.
    Unreachable,
}

/// Why the kernel has to send.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum KernelReason {
    /// The neighbour's link-layer address is not known, or it does not answer. Sending through the kernel resolves it.
    Unresolved,
    /// The neighbour is known, and the kernel's entry has aged: one packet through the kernel confirms it. Said once in
    /// [`CONFIRM_AGAIN`], where the kernel cannot be asked to confirm it otherwise.
    Unconfirmed,
    /// The route leaves through another interface.
    OtherInterface,
    /// The address is this host's.
    Local,
    /// Broadcast or multicast.
    NotUnicast,
    /// The route puts packets into a tunnel.
    Encapsulated,
    /// The route has no address to send from.
    NoSource,
    /// The kernel gave no answer, or none that makes sense.
    NoAnswer,
    /// More remotes were asked for than [`Hops`] asks in this time.
    TooManyQuestions,
}

/// What the kernel says of the way to a remote address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Route {
    /// To a neighbour on a link.
    Unicast {
        /// The interface's index.
        interface: u32,
        /// The gateway, or the remote itself where it is on the link.
        neighbour: IpAddr,
        /// The preferred source address.
        source: Option<IpAddr>,
        /// The route's own limit, in bytes.
        mtu: Option<u32>,
    },
    /// To this host.
    Local,
    /// To many.
    NotUnicast,
    /// Into a tunnel.
    Encapsulated,
    /// Nowhere: no route, unreachable, prohibit or blackhole.
    Unreachable,
}

/// An entry of the kernel's neighbour table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Neighbour {
    /// Its state, as bits of `NUD_*` (include/uapi/linux/neighbour.h).
    pub state: u16,
    /// Its link-layer address, if it is an Ethernet address.
    pub ether: Option<[u8; 6]>,
}

/// States in which the kernel itself uses the address (NUD_VALID): reachable, stale, delay, probe, noarp, permanent.
const NUD_VALID: u16 = 0x02 | NUD_STALE | 0x08 | 0x10 | 0x40 | 0x80;
const NUD_STALE: u16 = 0x04;

impl Neighbour {
    /// No entry.
    pub const NONE: Self = Self { state: 0, ether: None };

    const fn usable(self) -> Option<[u8; 6]> {
        if self.state & NUD_VALID != 0 { self.ether } else { None }
    }

    const fn is_stale(self) -> bool {
        self.state & NUD_STALE != 0
    }
}

/// An interface that our packets can leave through: ours, or a VLAN on it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Port {
    /// Its link-layer address.
    pub ether_source: [u8; 6],
    /// The VLAN, if it is one.
    pub vlan: Option<u16>,
    /// The largest IPv4 packet, in bytes.
    pub mtu_v4: u32,
    /// The largest IPv6 packet, in bytes: what a router announces may be less than the link's.
    pub mtu_v6: u32,
}

/// There was no answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NoAnswer;

/// Who knows routes and neighbours.
pub trait Kernel {
    /// The route to `remote`.
    ///
    /// # Errors
    /// There was no answer.
    fn route_to(&mut self, remote: IpAddr) -> Result<Route, NoAnswer>;

    /// The entry of `address` on the link of `interface`; [`Neighbour::NONE`] where there is none.
    ///
    /// # Errors
    /// There was no answer.
    fn neighbour(&mut self, interface: u32, address: IpAddr) -> Result<Neighbour, NoAnswer>;

    /// Asks the kernel to treat the neighbour as if it had just sent it a packet.
    ///
    /// # Errors
    /// It refused, as it does without privileges.
    fn confirm(&mut self, interface: u32, address: IpAddr) -> Result<(), NoAnswer>;

    /// What leaves through `interface`, if that is ours or a VLAN on it.
    fn port(&self, interface: u32) -> Option<Port>;
}

/// The ways to the remotes that packets were sent to lately: 256 at most, the longest unused goes first.
#[derive(Debug, Default)]
pub struct Hops {
    table: Table,
    budget: Budget,
    look_at: Instant,
    /// The kernel refused to confirm a neighbour: packets have to.
    packets_confirm: bool,
}

impl Hops {
    /// Nothing known yet.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// How packets get to `remote`. Asks `kernel` only where nothing is known, or no longer.
    ///
    /// The answer changes with time, and by all the functions below.
    pub fn way_to(&mut self, now: Instant, remote: IpAddr, kernel: &mut impl Kernel) -> Way {
        let remote = remote.to_canonical();
        let packets_confirm = self.packets_confirm;
        let Some(entry) = self.table.get(remote).filter(|entry| now < entry.ask_at) else {
            return self.ask(now, remote, kernel);
        };
        entry.used_at = now;
        match entry.finding.stale() {
            Some(stale) if packets_confirm && entry.is_confirmation_due(now) => {
                self.table.mark_confirmed(now, stale);
                Way::Kernel(KernelReason::Unconfirmed)
            }
            _ => entry.finding.way(),
        }
    }

    fn ask(&mut self, now: Instant, remote: IpAddr, kernel: &mut impl Kernel) -> Way {
        if !self.budget.take(now) {
            return Way::Kernel(KernelReason::TooManyQuestions);
        }
        let finding = find_out(remote, kernel).unwrap_or(Finding::Not(Way::Kernel(KernelReason::NoAnswer)));
        let confirmed_at = self.table.last_confirmed(&finding);
        let ask_at = now + finding.good_for();
        self.table.insert(Entry { remote, finding, ask_at, used_at: now, confirmed_at });
        finding.way()
    }

    /// Links, addresses, rules or something unknown changed: everything is asked for anew.
    pub fn forget_all(&mut self) {
        self.table.each(|entry| entry.ask_at = Instant::ZERO);
    }

    /// A route to the first `bits` bits of `prefix` came, changed or went.
    pub fn route_changed(&mut self, prefix: IpAddr, bits: u8) {
        self.table.each(|entry| {
            if contains(prefix, bits, entry.remote) {
                entry.ask_at = Instant::ZERO;
            }
        });
    }

    /// The kernel's entry of `address` on the link of `interface` changed to this, or went: [`Neighbour::NONE`].
    pub fn neighbour_changed(&mut self, now: Instant, interface: u32, address: IpAddr, neighbour: Neighbour) {
        self.table.each(|entry| {
            if let Finding::Through(hop) = &mut entry.finding
                && hop.is(interface, address)
            {
                hop.neighbour = neighbour;
                entry.ask_at = entry.ask_at.min(now + entry.finding.good_for());
            }
        });
    }

    /// Has the kernel confirm the neighbours that have become stale and were used since they were last confirmed. To be called
    /// every second or so, after all changes known so far were told; more often costs nothing.
    pub fn keep_alive(&mut self, now: Instant, kernel: &mut impl Kernel) {
        if now < self.look_at || self.packets_confirm {
            return;
        }
        self.look_at = now + LOOK_AGAIN;
        while let Some((interface, address)) = self.table.first_unconfirmed(now) {
            self.table.mark_confirmed(now, (interface, address));
            if kernel.confirm(interface, address).is_err() {
                self.packets_confirm = true;
                return;
            }
        }
    }
}

fn find_out(remote: IpAddr, kernel: &mut impl Kernel) -> Result<Finding, NoAnswer> {
    let by_kernel = |reason| Ok(Finding::Not(Way::Kernel(reason)));
    let (interface, neighbour, source, mtu) = match kernel.route_to(remote)? {
        Route::Unicast { interface, neighbour, source, mtu } => (interface, neighbour, source, mtu),
        Route::Local => return by_kernel(KernelReason::Local),
        Route::NotUnicast => return by_kernel(KernelReason::NotUnicast),
        Route::Encapsulated => return by_kernel(KernelReason::Encapsulated),
        Route::Unreachable => return Ok(Finding::Not(Way::Unreachable)),
    };
    let Some(port) = kernel.port(interface) else { return by_kernel(KernelReason::OtherInterface) };
    let Some(source) = source.filter(|source| source.is_ipv4() == remote.is_ipv4()) else {
        return by_kernel(KernelReason::NoSource);
    };
    let link_mtu = if remote.is_ipv4() { port.mtu_v4 } else { port.mtu_v6 };
    Ok(Finding::Through(Hop {
        interface,
        address: neighbour,
        port,
        source,
        mtu: mtu.map_or(link_mtu, |mtu| mtu.min(link_mtu)),
        neighbour: kernel.neighbour(interface, neighbour)?,
    }))
}

/// Whether the first `bits` bits of both are the same, and both of one family.
fn contains(prefix: IpAddr, bits: u8, address: IpAddr) -> bool {
    let same_bits = match (prefix, address) {
        (IpAddr::V4(prefix), IpAddr::V4(address)) => (prefix.to_bits() ^ address.to_bits()).leading_zeros(),
        (IpAddr::V6(prefix), IpAddr::V6(address)) => (prefix.to_bits() ^ address.to_bits()).leading_zeros(),
        _ => return false,
    };
    same_bits >= u32::from(bits)
}
