//! What the kernel tells without being asked.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd};

use netlink_packet_core::{NetlinkBuffer, NetlinkMessage, NetlinkPayload};
use netlink_packet_route::link::LinkMessage;
use netlink_packet_route::neighbour::{NeighbourAddress, NeighbourAttribute, NeighbourFlags, NeighbourMessage};
use netlink_packet_route::route::{RouteAddress, RouteAttribute, RouteMessage};
use netlink_packet_route::{AddressFamily, RouteNetlinkMessage};
use netlink_sys::{Socket, SocketAddr, protocols::NETLINK_ROUTE};
use nix::errno::Errno;
use nix::libc;
use nix::sys::socket::{MsgFlags, recv};
use wirehaul_core::hops::Neighbour;

const GROUPS: [libc::c_uint; 10] = [
    libc::RTNLGRP_LINK,
    libc::RTNLGRP_NEIGH,
    libc::RTNLGRP_IPV4_IFADDR,
    libc::RTNLGRP_IPV6_IFADDR,
    libc::RTNLGRP_IPV4_ROUTE,
    libc::RTNLGRP_IPV6_ROUTE,
    libc::RTNLGRP_IPV4_RULE,
    libc::RTNLGRP_IPV6_RULE,
    // The limit of IPv6 packets that a router announced.
    libc::RTNLGRP_IPV6_IFINFO,
    // Where routes name an object for their next hop, a change of that object is not one of the route.
    RTNLGRP_NEXTHOP,
];
/// include/uapi/linux/rtnetlink.h.
const RTNLGRP_NEXTHOP: libc::c_uint = 32;
/// Larger than any notification, of which the kernel gathers no more than 32 KiB.
const BUFFER_BYTES: usize = 64 << 10;
/// What is read at once, so that a busy kernel does not hold up whoever reads.
const MAX_DATAGRAMS: usize = 64;

/// One thing that changed.
#[derive(Debug)]
pub(super) enum Notice {
    /// An interface is now like this.
    Link(LinkMessage),
    /// There is no such interface any more.
    LinkGone(u32),
    /// Something about interfaces.
    Links,
    /// Addresses of this host.
    Addresses,
    /// A neighbour is now like this.
    Neighbour { interface: u32, address: IpAddr, neighbour: Neighbour },
    /// A route to the first so many bits of this.
    Route { prefix: IpAddr, bits: u8 },
    /// Rules, next-hop objects, or what cannot be read.
    Rules,
    /// Notifications that did not fit: anything may have changed.
    Lost,
}

/// The socket that they come in through.
#[derive(Debug)]
pub(super) struct Notices {
    socket: Socket,
    buffer: Vec<u8>,
}

impl Notices {
    pub(super) fn open() -> io::Result<Self> {
        let mut socket = Socket::new(NETLINK_ROUTE)?;
        socket.bind(&SocketAddr::new(0, 0))?;
        for group in GROUPS {
            match socket.add_membership(group) {
                // Kernels before 5.3 have no next-hop objects.
                Err(_) if group == RTNLGRP_NEXTHOP => {}
                outcome => outcome?,
            }
        }
        Ok(Self { socket, buffer: vec![0; BUFFER_BYTES] })
    }

    pub(super) fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }

    /// Hands out what is there, without waiting for more.
    pub(super) fn read(&mut self, mut each: impl FnMut(Notice)) -> io::Result<()> {
        for _ in 0..MAX_DATAGRAMS {
            match recv(self.socket.as_raw_fd(), &mut self.buffer, MsgFlags::MSG_DONTWAIT) {
                Ok(len) => notices(self.buffer.get(..len).unwrap_or_default(), &mut each),
                Err(Errno::EAGAIN) => return Ok(()),
                Err(Errno::EINTR) => {}
                Err(Errno::ENOBUFS) => each(Notice::Lost),
                Err(error) => return Err(error.into()),
            }
        }
        Ok(())
    }
}

/// Takes a datagram apart.
pub(super) fn notices(datagram: &[u8], each: &mut impl FnMut(Notice)) {
    let mut rest = datagram;
    while !rest.is_empty() {
        let Ok(header) = NetlinkBuffer::new_checked(rest) else { return each(Notice::Lost) };
        let len = (header.length() as usize).next_multiple_of(4).max(1);
        match NetlinkMessage::<RouteNetlinkMessage>::deserialize(rest).map(|message| message.payload) {
            Ok(NetlinkPayload::InnerMessage(message)) => each_of(message, each),
            Ok(_) => {}
            // Next-hop objects among others: the crate does not read these.
            Err(_) if is_about_routes(header.message_type()) => each(Notice::Rules),
            Err(_) => each(Notice::Lost),
        }
        rest = rest.get(len..).unwrap_or_default();
    }
}

/// RTM_NEWROUTE and RTM_DELROUTE, RTM_NEWRULE and RTM_DELRULE, RTM_NEWNEXTHOP and RTM_DELNEXTHOP.
const fn is_about_routes(message_type: u16) -> bool {
    matches!(message_type, 24 | 25 | 32 | 33 | 104 | 105)
}

fn each_of(message: RouteNetlinkMessage, each: &mut impl FnMut(Notice)) {
    match message {
        RouteNetlinkMessage::NewLink(link) => match link.header.interface_family {
            AddressFamily::Unspec => each(Notice::Link(link)),
            AddressFamily::Inet6 => each(Notice::Links),
            // Ports of bridges.
            _ => {}
        },
        RouteNetlinkMessage::DelLink(link) if link.header.interface_family == AddressFamily::Unspec => {
            each(Notice::LinkGone(link.header.index));
        }
        RouteNetlinkMessage::NewAddress(_) | RouteNetlinkMessage::DelAddress(_) => each(Notice::Addresses),
        RouteNetlinkMessage::NewNeighbour(message) => {
            let neighbour = neighbour(&message);
            each_neighbour(&message, neighbour, each);
        }
        RouteNetlinkMessage::DelNeighbour(message) => each_neighbour(&message, Neighbour::NONE, each),
        RouteNetlinkMessage::NewRoute(route) | RouteNetlinkMessage::DelRoute(route) => each_route(&route, each),
        RouteNetlinkMessage::NewRule(_) | RouteNetlinkMessage::DelRule(_) => each(Notice::Rules),
        _ => {}
    }
}

/// The entry that a message describes.
pub(super) fn neighbour(message: &NeighbourMessage) -> Neighbour {
    let ether = message.attributes.iter().find_map(|attribute| match attribute {
        NeighbourAttribute::LinkLayerAddress(bytes) => bytes.as_slice().try_into().ok(),
        _ => None,
    });
    Neighbour { state: message.header.state.into(), ether }
}

fn each_neighbour(message: &NeighbourMessage, neighbour: Neighbour, each: &mut impl FnMut(Notice)) {
    // What we answer for others, and what bridges learn, are other tables.
    if message.header.flags.contains(NeighbourFlags::Proxy) {
        return;
    }
    let address = message.attributes.iter().find_map(|attribute| match attribute {
        NeighbourAttribute::Destination(NeighbourAddress::Inet(v4)) => Some(IpAddr::V4(*v4)),
        NeighbourAttribute::Destination(NeighbourAddress::Inet6(v6)) => Some(IpAddr::V6(*v6)),
        _ => None,
    });
    if let Some(address) = address {
        each(Notice::Neighbour { interface: message.header.ifindex, address, neighbour });
    }
}

fn each_route(route: &RouteMessage, each: &mut impl FnMut(Notice)) {
    let destination = route.attributes.iter().find_map(|attribute| match attribute {
        RouteAttribute::Destination(RouteAddress::Inet(v4)) => Some(IpAddr::V4(*v4)),
        RouteAttribute::Destination(RouteAddress::Inet6(v6)) => Some(IpAddr::V6(*v6)),
        _ => None,
    });
    // The default route names no destination.
    let prefix = match (destination, route.header.address_family) {
        (Some(prefix), _) => prefix,
        (None, AddressFamily::Inet) => Ipv4Addr::UNSPECIFIED.into(),
        (None, AddressFamily::Inet6) => Ipv6Addr::UNSPECIFIED.into(),
        _ => return,
    };
    each(Notice::Route { prefix, bits: route.header.destination_prefix_length });
}
