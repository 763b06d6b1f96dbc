//! What the kernel is asked.

use std::io;
use std::net::IpAddr;

use netlink_packet_core::NLM_F_ACK;
use netlink_packet_route::neighbour::{NeighbourAttribute, NeighbourFlags, NeighbourMessage};
use netlink_packet_route::route::{
    RouteAddress, RouteAttribute, RouteLwEnCapType, RouteMessage, RouteMetric, RouteType, RouteVia,
};
use netlink_packet_route::{AddressFamily, RouteNetlinkMessage};
use nix::errno::Errno;
use wirehaul_core::hops::{Kernel, Neighbour, NoAnswer, Port, Route};

use super::links::Links;
use super::notices;
use crate::netlink::RouteSocket;

/// A socket for questions, and what is known without asking.
#[derive(Debug)]
pub(super) struct Questions {
    /// `None` after an error: what was left unread on the old one would pass for the next answer.
    socket: Option<RouteSocket>,
    pub(super) links: Links,
}

impl Questions {
    pub(super) const fn new(links: Links) -> Self {
        Self { socket: None, links }
    }

    pub(super) fn ask(
        &mut self,
        request: RouteNetlinkMessage,
        flags: u16,
        each: impl FnMut(RouteNetlinkMessage),
    ) -> io::Result<()> {
        let mut socket = match self.socket.take() {
            Some(socket) => socket,
            None => RouteSocket::open()?,
        };
        socket.ask(request, flags, each)?;
        self.socket = Some(socket);
        Ok(())
    }
}

impl Kernel for Questions {
    fn route_to(&mut self, remote: IpAddr) -> Result<Route, NoAnswer> {
        let mut question = RouteMessage::default();
        question.header.address_family = family(remote);
        question.header.destination_prefix_length = if remote.is_ipv4() { 32 } else { 128 };
        question.attributes.push(RouteAttribute::Destination(remote.into()));
        if matches!(remote, IpAddr::V6(v6) if v6.is_unicast_link_local()) {
            question.attributes.push(RouteAttribute::Oif(self.links.our_index()));
        }
        let mut route = None;
        let asked = self.ask(RouteNetlinkMessage::GetRoute(question), 0, |answer| {
            if let RouteNetlinkMessage::NewRoute(message) = answer {
                route = read_route(remote, &message);
            }
        });
        match asked {
            Ok(()) => route.ok_or(NoAnswer),
            Err(error) if is_unreachable(&error) => Ok(Route::Unreachable),
            Err(_) => Err(NoAnswer),
        }
    }

    fn neighbour(&mut self, interface: u32, address: IpAddr) -> Result<Neighbour, NoAnswer> {
        let mut neighbour = Neighbour::NONE;
        let question = RouteNetlinkMessage::GetNeighbour(about(interface, address));
        let asked = self.ask(question, 0, |answer| {
            if let RouteNetlinkMessage::NewNeighbour(message) = answer {
                neighbour = notices::neighbour(&message);
            }
        });
        match asked {
            Err(error) if error.raw_os_error() != Some(Errno::ENOENT as i32) => Err(NoAnswer),
            _ => Ok(neighbour),
        }
    }

    fn confirm(&mut self, interface: u32, address: IpAddr) -> Result<(), NoAnswer> {
        let mut message = about(interface, address);
        // As if a packet had been sent to it: neigh_event_send() in net/core/neighbour.c.
        message.header.flags = NeighbourFlags::Use;
        match self.ask(RouteNetlinkMessage::NewNeighbour(message), NLM_F_ACK, |_| ()) {
            Err(error) if error.raw_os_error() == Some(Errno::EPERM as i32) => Err(NoAnswer),
            // An entry that is gone by now needs no confirmation, and the notification of that is on its way.
            _ => Ok(()),
        }
    }

    fn port(&self, interface: u32) -> Option<Port> {
        self.links.port(interface)
    }
}

fn family(address: IpAddr) -> AddressFamily {
    if address.is_ipv4() { AddressFamily::Inet } else { AddressFamily::Inet6 }
}

fn about(interface: u32, address: IpAddr) -> NeighbourMessage {
    let mut message = NeighbourMessage::default();
    message.header.family = family(address);
    message.header.ifindex = interface;
    message.attributes.push(NeighbourAttribute::Destination(address.into()));
    message
}

/// No route, or one of type unreachable, prohibit or blackhole (fib_props in net/ipv4/fib_semantics.c).
fn is_unreachable(error: &io::Error) -> bool {
    let errnos = [Errno::ENETUNREACH, Errno::EHOSTUNREACH, Errno::EACCES, Errno::EINVAL];
    errnos.iter().any(|errno| error.raw_os_error() == Some(*errno as i32))
}

/// What the answer about `remote` says; `None` where it makes no sense.
pub(super) fn read_route(remote: IpAddr, message: &RouteMessage) -> Option<Route> {
    match message.header.kind {
        RouteType::Unicast => {}
        RouteType::Local => return Some(Route::Local),
        RouteType::Broadcast | RouteType::Multicast | RouteType::Anycast => return Some(Route::NotUnicast),
        RouteType::BlackHole | RouteType::Unreachable | RouteType::Prohibit | RouteType::Throw => {
            return Some(Route::Unreachable);
        }
        _ => return None,
    }
    let (mut oif, mut neighbour, mut source, mut mtu) = (None, remote, None, None);
    for attribute in &message.attributes {
        match attribute {
            RouteAttribute::Oif(index) => oif = Some(*index),
            RouteAttribute::Gateway(RouteAddress::Inet(v4)) | RouteAttribute::Via(RouteVia::Inet(v4)) => {
                neighbour = IpAddr::V4(*v4);
            }
            RouteAttribute::Gateway(RouteAddress::Inet6(v6)) | RouteAttribute::Via(RouteVia::Inet6(v6)) => {
                neighbour = IpAddr::V6(*v6);
            }
            RouteAttribute::PrefSource(RouteAddress::Inet(v4)) => source = Some(IpAddr::V4(*v4)),
            RouteAttribute::PrefSource(RouteAddress::Inet6(v6)) => source = Some(IpAddr::V6(*v6)),
            RouteAttribute::Metrics(metrics) => mtu = metrics.iter().find_map(route_mtu),
            RouteAttribute::EncapType(kind) if *kind != RouteLwEnCapType::None => return Some(Route::Encapsulated),
            RouteAttribute::Encap(_) => return Some(Route::Encapsulated),
            _ => {}
        }
    }
    Some(Route::Unicast { interface: oif?, neighbour, source, mtu })
}

fn route_mtu(metric: &RouteMetric) -> Option<u32> {
    match metric {
        RouteMetric::Mtu(mtu) => Some(*mtu),
        _ => None,
    }
}
