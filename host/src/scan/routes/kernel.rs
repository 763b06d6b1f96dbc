//! What the kernel is asked about routes and neighbours.

use std::io;
use std::net::IpAddr;

use netlink_packet_core::NLM_F_DUMP;
use netlink_packet_route::neighbour::{NeighbourAddress, NeighbourAttribute, NeighbourMessage, NeighbourState};
use netlink_packet_route::route::{RouteAddress, RouteAttribute, RouteFlags, RouteMessage, RouteType, RouteVia};
use netlink_packet_route::{AddressFamily, RouteNetlinkMessage};
use wirehaul_core::cdn::prefix::Span;
use wirehaul_core::scan::LinkKind;
use wirehaul_core::wire::net::MacAddress;

use super::Port;
use crate::interface::Interface;
use crate::netlink::RouteSocket;

/// The tables that are looked into without rules (include/uapi/linux/rtnetlink.h): local, main, default.
const TABLES: [u32; 3] = [255, 254, 253];

/// What becomes of packets.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Kind {
    /// They go to a host.
    Unicast,
    /// They are for this host.
    Local,
    /// They are for several hosts.
    NotUnicast,
    /// They go nowhere.
    Nowhere,
}

/// A way.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Way {
    pub(super) kind: Kind,
    pub(super) interface: Option<u32>,
    pub(super) gateway: Option<IpAddr>,
    /// The source that the route prefers.
    pub(super) source: Option<IpAddr>,
}

/// A route.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Known {
    pub(super) prefix: Prefix,
    pub(super) metric: u32,
    pub(super) way: Way,
}

/// Its addresses.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Prefix {
    V4(Span<u32>),
    V6(Span<u128>),
}

/// A socket for questions.
pub(super) struct Kernel {
    socket: RouteSocket,
}

impl Kernel {
    pub(super) fn open() -> io::Result<Self> {
        Ok(Self { socket: RouteSocket::open()? })
    }

    /// All routes of both families.
    pub(super) fn routes(&mut self) -> io::Result<Vec<Known>> {
        let mut found = Vec::new();
        for family in [AddressFamily::Inet, AddressFamily::Inet6] {
            let mut question = RouteMessage::default();
            question.header.address_family = family;
            self.socket.ask(RouteNetlinkMessage::GetRoute(question), NLM_F_DUMP, |answer| {
                if let RouteNetlinkMessage::NewRoute(message) = answer {
                    read_route(&message, &mut found);
                }
            })?;
        }
        Ok(found)
    }

    /// The interface itself, and the VLANs right on it.
    pub(super) fn ports(&mut self, interface: &Interface) -> io::Result<Vec<Port>> {
        let has_ethernet = interface.is_ethernet || interface.is_loopback;
        let link = if has_ethernet { LinkKind::Ethernet } else { LinkKind::Ip };
        let mac = |interface: &Interface| MacAddress(interface.mac.filter(|_| has_ethernet).unwrap_or_default());
        let mut ports = vec![Port { index: interface.index, mac: mac(interface), vlan: None, link }];
        let all = Interface::all().map_err(|error| io::Error::other(error.to_string()))?;
        let on_ours =
            |other: &&Interface| other.is_up && other.vlan.is_some_and(|(_, parent)| parent == interface.index);
        ports.extend(all.iter().filter(on_ours).map(|vlan| Port {
            index: vlan.index,
            mac: mac(vlan),
            vlan: vlan.vlan.map(|(id, _)| id),
            link,
        }));
        Ok(ports)
    }

    /// The source that the kernel would take for packets to `remote` through this interface; `None` where it has none.
    pub(super) fn source(&mut self, remote: IpAddr, interface: u32) -> io::Result<Option<IpAddr>> {
        let mut question = RouteMessage::default();
        (question.header.address_family, question.header.destination_prefix_length) = match remote {
            IpAddr::V4(_) => (AddressFamily::Inet, 32),
            IpAddr::V6(_) => (AddressFamily::Inet6, 128),
        };
        question.attributes.push(RouteAttribute::Destination(remote.into()));
        question.attributes.push(RouteAttribute::Oif(interface));
        let mut source = None;
        let asked = self.socket.ask(RouteNetlinkMessage::GetRoute(question), 0, |answer| {
            if let RouteNetlinkMessage::NewRoute(message) = answer {
                source = message.attributes.iter().find_map(|attribute| match attribute {
                    RouteAttribute::PrefSource(address) => ip_of(address),
                    _ => None,
                });
            }
        });
        match asked {
            // It has no way there: the tables will do.
            Err(error) if error.raw_os_error().is_some_and(|code| code != libc::EPERM) => Ok(None),
            asked => asked.map(|()| source.filter(|source| !source.is_unspecified())),
        }
    }

    /// Neighbours on these interfaces that were set by hand.
    pub(super) fn lasting_neighbours(&mut self, ports: &[Port]) -> io::Result<Vec<(IpAddr, MacAddress)>> {
        let mut found = Vec::new();
        let question = RouteNetlinkMessage::GetNeighbour(NeighbourMessage::default());
        self.socket.ask(question, NLM_F_DUMP, |answer| {
            if let RouteNetlinkMessage::NewNeighbour(message) = answer
                && message.header.state == NeighbourState::Permanent
                && ports.iter().any(|port| port.index == message.header.ifindex)
            {
                found.extend(read_neighbour(&message).filter(|(ip, _)| !ip.is_multicast()));
            }
        })?;
        Ok(found)
    }

    /// The link-layer address of a neighbour that is known to be right.
    pub(super) fn neighbour(&mut self, ip: IpAddr, interface: u32) -> io::Result<Option<MacAddress>> {
        let mut message = NeighbourMessage::default();
        message.header.family = if ip.is_ipv4() { AddressFamily::Inet } else { AddressFamily::Inet6 };
        message.header.ifindex = interface;
        message.attributes.push(NeighbourAttribute::Destination(ip.into()));
        let mut found = None;
        let asked = self.socket.ask(RouteNetlinkMessage::GetNeighbour(message), 0, |answer| {
            if let RouteNetlinkMessage::NewNeighbour(message) = answer
                && matches!(message.header.state, NeighbourState::Permanent | NeighbourState::Reachable)
            {
                found = read_neighbour(&message).map(|(_, mac)| mac);
            }
        });
        match asked {
            Err(error) if error.raw_os_error() == Some(libc::ENOENT) => Ok(None),
            asked => asked.map(|()| found),
        }
    }
}

fn read_neighbour(message: &NeighbourMessage) -> Option<(IpAddr, MacAddress)> {
    let mut ip = None;
    let mut mac = None;
    for attribute in &message.attributes {
        match attribute {
            NeighbourAttribute::Destination(NeighbourAddress::Inet(v4)) => ip = Some(IpAddr::V4(*v4)),
            NeighbourAttribute::Destination(NeighbourAddress::Inet6(v6)) => ip = Some(IpAddr::V6(*v6)),
            NeighbourAttribute::LinkLayerAddress(bytes) => mac = bytes.as_slice().try_into().ok().map(MacAddress),
            _ => {}
        }
    }
    ip.zip(mac)
}

/// Adds the route of a message, where it is in one of the tables.
pub(super) fn read_route(message: &RouteMessage, found: &mut Vec<Known>) {
    let header = &message.header;
    let (mut table, mut destination, mut metric) = (u32::from(header.table), None, 0);
    let kind = match header.kind {
        RouteType::Unicast => Kind::Unicast,
        RouteType::Local => Kind::Local,
        RouteType::Broadcast | RouteType::Multicast | RouteType::Anycast => Kind::NotUnicast,
        _ => Kind::Nowhere,
    };
    let mut way = Way { kind, interface: None, gateway: None, source: None };
    for attribute in &message.attributes {
        match attribute {
            RouteAttribute::Table(number) => table = *number,
            RouteAttribute::Destination(address) => destination = ip_of(address),
            RouteAttribute::Priority(priority) => metric = *priority,
            RouteAttribute::PrefSource(address) => way.source = ip_of(address),
            RouteAttribute::MultiPath(hops) => {
                // The kernel spreads flows over them; any of them is right.
                if let Some(first) = hops.first() {
                    way.interface = Some(first.interface_index);
                    first.attributes.iter().for_each(|attribute| take_hop(&mut way, attribute));
                }
            }
            other => take_hop(&mut way, other),
        }
    }
    if !TABLES.contains(&table) || header.flags.contains(RouteFlags::Cloned) {
        return;
    }
    let bits = u32::from(header.destination_prefix_length);
    let prefix = match (header.address_family, destination) {
        (AddressFamily::Inet, None | Some(IpAddr::V4(_))) => {
            let first = destination.map_or(0, |ip| if let IpAddr::V4(ip) = ip { ip.to_bits() } else { 0 });
            Prefix::V4(Span { first, last: first | u32::MAX.checked_shr(bits).unwrap_or(0) })
        }
        (AddressFamily::Inet6, None | Some(IpAddr::V6(_))) => {
            let first = destination.map_or(0, |ip| if let IpAddr::V6(ip) = ip { ip.to_bits() } else { 0 });
            Prefix::V6(Span { first, last: first | u128::MAX.checked_shr(bits).unwrap_or(0) })
        }
        _ => return,
    };
    found.push(Known { prefix, metric, way });
}

fn take_hop(way: &mut Way, attribute: &RouteAttribute) {
    match attribute {
        RouteAttribute::Oif(index) => way.interface = Some(*index),
        RouteAttribute::Gateway(address) => way.gateway = ip_of(address),
        RouteAttribute::Via(RouteVia::Inet(v4)) => way.gateway = Some(IpAddr::V4(*v4)),
        RouteAttribute::Via(RouteVia::Inet6(v6)) => way.gateway = Some(IpAddr::V6(*v6)),
        _ => {}
    }
}

fn ip_of(address: &RouteAddress) -> Option<IpAddr> {
    match address {
        RouteAddress::Inet(v4) => Some(IpAddr::V4(*v4)),
        RouteAddress::Inet6(v6) => Some(IpAddr::V6(*v6)),
        _ => None,
    }
}
