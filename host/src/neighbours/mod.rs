//! The link-layer next hop of each remote address, for frames that no socket of the kernel writes: routes and neighbours as the
//! kernel tells them over rtnetlink(7), kept until it tells that they have changed.
//!
//! What is asked when, and what an answer means, is decided in [`wirehaul_core::hops`]. Here are the questions, the notifications,
//! and the links.

mod links;
mod notices;
mod questions;
#[cfg(test)]
mod tests;

use std::io;
use std::net::IpAddr;
use std::os::fd::BorrowedFd;

use netlink_packet_core::NLM_F_DUMP;
use netlink_packet_route::RouteNetlinkMessage;
use netlink_packet_route::address::{AddressAttribute, AddressFlags, AddressMessage};
use netlink_packet_route::link::LinkMessage;
use wirehaul_core::hops::Hops;
pub use wirehaul_core::hops::{KernelReason, NextHop, Way};
use wirehaul_core::time::Instant;

use links::Links;
use notices::{Notice, Notices};
use questions::Questions;

/// Why next hops cannot be known.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// There is no rtnetlink socket.
    #[error("the kernel gives no rtnetlink socket: {0}")]
    Socket(#[source] io::Error),
    /// Links could not be listed.
    #[error("the kernel does not list its network interfaces: {0}")]
    Links(#[source] io::Error),
    /// Addresses could not be listed.
    #[error("the kernel does not list its addresses: {0}")]
    Addresses(#[source] io::Error),
    /// There is no such interface.
    #[error("there is no network interface with index {0}")]
    NoInterface(u32),
    /// The interface has no Ethernet address.
    #[error("network interface {0} has no Ethernet address, so no frame can be sent through it; name another")]
    NotEthernet(u32),
}

/// Our interface as it is now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LinkState {
    /// The largest packet that it carries, in bytes, without the Ethernet header.
    pub mtu: u32,
    /// It is set up.
    pub is_up: bool,
    /// Its cable, or what it has for one, is plugged in at both ends.
    pub has_carrier: bool,
    /// Its Ethernet address.
    pub mac: [u8; 6],
}

/// What [`NextHops::refresh`] learned that concerns more than next hops.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Changes {
    /// [`NextHops::local_addresses`] is another list now.
    pub addresses: bool,
    /// [`NextHops::link`] says something else now.
    pub link: bool,
    /// The interface was deleted or moved to another namespace: it does not come back under its index.
    pub gone: bool,
}

/// What has yet to be read anew, because a notification said only that, or was lost.
#[derive(Clone, Copy, Debug, Default)]
struct Overdue {
    links: bool,
    addresses: bool,
}

/// Next hops through one interface, and through the VLANs on it.
#[derive(Debug)]
pub struct NextHops {
    hops: Box<Hops>,
    kernel: Questions,
    notices: Notices,
    addresses: Vec<IpAddr>,
    link: LinkState,
    is_gone: bool,
    overdue: Overdue,
}

impl NextHops {
    /// Those through the interface with this index, in the network namespace of this thread. Needs no privilege.
    ///
    /// # Errors
    /// The kernel does not tell, or there is no such interface, or it is no Ethernet.
    pub fn open(interface_index: u32) -> Result<Self, OpenError> {
        // First: what changes after a list was read is notified.
        let notices = Notices::open().map_err(OpenError::Socket)?;
        let mut kernel = Questions::new(Links::new(interface_index));
        read_links(&mut kernel).map_err(OpenError::Links)?;
        let ours = kernel.links.ours().ok_or(OpenError::NoInterface(interface_index))?;
        let link = ours.state().ok_or(OpenError::NotEthernet(interface_index))?;
        let addresses = read_addresses(&mut kernel).map_err(OpenError::Addresses)?;
        let (hops, overdue) = (Box::default(), Overdue::default());
        Ok(Self { hops, kernel, notices, addresses, link, is_gone: false, overdue })
    }

    /// How packets get to `remote`.
    ///
    /// No system call where the kernel's answer is known, which is the rule: it is asked anew after ten seconds, after a change that
    /// concerns the remote, and ten times a second while the neighbour is unresolved. A link-local address is looked for on our
    /// interface itself, not on VLANs.
    pub fn way_to(&mut self, now: Instant, remote: IpAddr) -> Way {
        self.hops.way_to(now, remote, &mut self.kernel)
    }

    /// Applies what the kernel has notified since, without waiting. To be called when [`NextHops::as_fd`] is readable, or now and
    /// then.
    ///
    /// # Errors
    /// The kernel does not tell. What was missed is read by the next call.
    pub fn refresh(&mut self, now: Instant) -> io::Result<Changes> {
        let read = self.read_notices(now);
        let overdue = self.overdue;
        if overdue.links {
            self.hops.forget_all();
            self.kernel.links.forget();
            read_links(&mut self.kernel)?;
            self.overdue.links = false;
        }
        let mut changes = self.compare_link();
        if overdue.addresses {
            self.hops.forget_all();
            let addresses = read_addresses(&mut self.kernel)?;
            changes.addresses = addresses != self.addresses;
            self.addresses = addresses;
            self.overdue.addresses = false;
        }
        read.map(|()| changes)
    }

    fn read_notices(&mut self, now: Instant) -> io::Result<()> {
        let Self { hops, kernel, notices, overdue, .. } = self;
        notices.read(|notice| match notice {
            Notice::Link(message) if !kernel.links.apply(&message) => {}
            Notice::Link(_) | Notice::Rules => hops.forget_all(),
            Notice::LinkGone(index) => {
                kernel.links.remove(index);
                hops.forget_all();
            }
            Notice::Links => overdue.links = true,
            Notice::Addresses => overdue.addresses = true,
            Notice::Neighbour { interface, address, neighbour } => {
                hops.neighbour_changed(now, interface, address, neighbour);
            }
            Notice::Route { prefix, bits } => hops.route_changed(prefix, bits),
            Notice::Lost => *overdue = Overdue { links: true, addresses: true },
        })
    }

    fn compare_link(&mut self) -> Changes {
        let found = self.kernel.links.ours().and_then(links::Link::state);
        let link = found.unwrap_or(LinkState { is_up: false, has_carrier: false, ..self.link });
        let is_gone = self.kernel.links.ours().is_none();
        let changes = Changes { addresses: false, link: link != self.link, gone: is_gone && !self.is_gone };
        (self.link, self.is_gone) = (link, is_gone);
        changes
    }

    /// Keeps the kernel's entries of neighbours in use from going stale for good. To be called every second or so, after
    /// [`NextHops::refresh`]; more often costs nothing.
    ///
    /// Needs CAP_NET_ADMIN. Without, [`NextHops::way_to`] has a packet go through the kernel every five seconds.
    pub fn keep_alive(&mut self, now: Instant) {
        self.hops.keep_alive(now, &mut self.kernel);
    }

    /// Readable when there is something to [`NextHops::refresh`].
    #[must_use]
    pub fn as_fd(&self) -> BorrowedFd<'_> {
        self.notices.as_fd()
    }

    /// Our interface as it was at the last [`NextHops::refresh`].
    #[must_use]
    pub const fn link(&self) -> LinkState {
        self.link
    }

    /// The unicast addresses of this host, on all its interfaces, sorted, as they were at the last [`NextHops::refresh`]. Without
    /// those that are not confirmed to be its own yet (RFC 4862 section 5.4).
    #[must_use]
    pub fn local_addresses(&self) -> &[IpAddr] {
        &self.addresses
    }
}

fn read_links(kernel: &mut Questions) -> io::Result<()> {
    let mut found = Vec::new();
    kernel.ask(RouteNetlinkMessage::GetLink(LinkMessage::default()), NLM_F_DUMP, |answer| {
        if let RouteNetlinkMessage::NewLink(message) = answer {
            found.push(message);
        }
    })?;
    for message in &found {
        kernel.links.apply(message);
    }
    Ok(())
}

fn read_addresses(kernel: &mut Questions) -> io::Result<Vec<IpAddr>> {
    let mut found = Vec::new();
    kernel.ask(RouteNetlinkMessage::GetAddress(AddressMessage::default()), NLM_F_DUMP, |answer| {
        if let RouteNetlinkMessage::NewAddress(message) = answer {
            found.extend(own_address(&message));
        }
    })?;
    found.sort_unstable();
    found.dedup();
    Ok(found)
}

/// The address that a message is about, unless packets to it are not taken yet, or never.
fn own_address(message: &AddressMessage) -> Option<IpAddr> {
    let mut flags = AddressFlags::from_bits_retain(u32::from(message.header.flags.bits()));
    let (mut local, mut address) = (None, None);
    for attribute in &message.attributes {
        match attribute {
            AddressAttribute::Flags(all) => flags = *all,
            // On a point-to-point link IFA_ADDRESS is the other end's (include/uapi/linux/if_addr.h).
            AddressAttribute::Local(ip) => local = Some(*ip),
            AddressAttribute::Address(ip) => address = Some(*ip),
            _ => {}
        }
    }
    let is_refused = flags.contains(AddressFlags::Dadfailed)
        || flags.contains(AddressFlags::Tentative) && !flags.contains(AddressFlags::Optimistic);
    local.or(address).filter(|_| !is_refused)
}
