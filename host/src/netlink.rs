//! Questions to the kernel over rtnetlink(7), one at a time: a request goes out, its answers come back.

use std::io;
use std::net::IpAddr;

use netlink_packet_core::{
    NLM_F_REQUEST, NetlinkDeserializable, NetlinkHeader, NetlinkMessage, NetlinkPayload, NetlinkSerializable,
};
use netlink_packet_route::route::{RouteAddress, RouteAttribute, RouteMessage};
use netlink_packet_route::{AddressFamily, RouteNetlinkMessage};
use netlink_sys::{Socket, SocketAddr, protocols::NETLINK_ROUTE};

/// A socket to ask about links, addresses, routes, neighbours and queueing disciplines.
#[derive(Debug)]
pub struct RouteSocket {
    socket: Socket,
}

impl RouteSocket {
    /// Opens one; asking needs no privilege.
    ///
    /// # Errors
    /// The system has no netlink, or gives no socket.
    pub fn open() -> io::Result<Self> {
        let socket = Socket::new(NETLINK_ROUTE)?;
        socket.connect(&SocketAddr::new(0, 0))?;
        Ok(Self { socket })
    }

    /// The index of the interface through which packets to `remote` leave; `None` where there is no route.
    ///
    /// # Errors
    /// The kernel does not tell.
    pub fn interface_to(&mut self, remote: IpAddr) -> io::Result<Option<u32>> {
        let mut route = RouteMessage::default();
        let (family, bits, address) = match remote {
            IpAddr::V4(v4) => (AddressFamily::Inet, 32, RouteAddress::Inet(v4)),
            IpAddr::V6(v6) => (AddressFamily::Inet6, 128, RouteAddress::Inet6(v6)),
        };
        route.header.address_family = family;
        route.header.destination_prefix_length = bits;
        route.attributes.push(RouteAttribute::Destination(address));
        let mut interface = None;
        let asked = self.ask(RouteNetlinkMessage::GetRoute(route), 0, |answer| {
            if let RouteNetlinkMessage::NewRoute(route) = answer {
                interface = route.attributes.iter().find_map(|attribute| match attribute {
                    RouteAttribute::Oif(index) => Some(*index),
                    _ => None,
                });
            }
        });
        match asked {
            Err(error) if error.raw_os_error() == Some(libc::ENETUNREACH) => Ok(None),
            asked => asked.map(|()| interface),
        }
    }

    /// Sends one request, with `flags` beside `NLM_F_REQUEST`, and hands out its answers.
    ///
    /// # Errors
    /// What the kernel answers with, or what it sent is cut short.
    pub fn ask(
        &mut self,
        request: RouteNetlinkMessage,
        flags: u16,
        each: impl FnMut(RouteNetlinkMessage),
    ) -> io::Result<()> {
        exchange(&self.socket, request, flags, each)
    }
}

/// Sends one request of any family of messages over a connected socket, and hands out its answers.
pub(crate) fn exchange<M>(socket: &Socket, request: M, flags: u16, mut each: impl FnMut(M)) -> io::Result<()>
where
    M: NetlinkSerializable + NetlinkDeserializable + Into<NetlinkPayload<M>>,
{
    let mut header = NetlinkHeader::default();
    header.flags = NLM_F_REQUEST | flags;
    let mut message = NetlinkMessage::new(header, request.into());
    message.finalize();
    let mut bytes = vec![0; message.buffer_len()];
    message.serialize(&mut bytes);
    socket.send(&bytes, 0)?;
    loop {
        let (datagram, _) = socket.recv_from_full()?;
        if is_last(&datagram, &mut each)? {
            return Ok(());
        }
    }
}

/// Takes one datagram of answers apart, and says whether more come.
fn is_last<M: NetlinkDeserializable>(datagram: &[u8], each: &mut impl FnMut(M)) -> io::Result<bool> {
    let mut rest = datagram;
    let mut is_dump = false;
    while !rest.is_empty() {
        let answer = NetlinkMessage::<M>::deserialize(rest)
            .map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error.to_string()))?;
        // NLM_F_MULTI: a dump goes on until its DONE (include/uapi/linux/netlink.h).
        is_dump = answer.header.flags & netlink_packet_core::NLM_F_MULTIPART != 0;
        let len = (answer.header.length as usize).next_multiple_of(4).max(1);
        match answer.payload {
            NetlinkPayload::Done(_) => return Ok(true),
            NetlinkPayload::Error(error) => return error.code.map_or(Ok(true), |_| Err(error.to_io())),
            NetlinkPayload::InnerMessage(message) => each(message),
            _ => {}
        }
        rest = rest.get(len..).unwrap_or_default();
    }
    Ok(!is_dump)
}

#[cfg(test)]
mod tests {
    use super::*;
    use netlink_packet_route::link::LinkMessage;

    #[test]
    fn the_kernel_tells_its_links() {
        let mut links = 0;
        let request = RouteNetlinkMessage::GetLink(LinkMessage::default());
        let asked = RouteSocket::open().unwrap().ask(request, netlink_packet_core::NLM_F_DUMP, |answer| {
            links += usize::from(matches!(answer, RouteNetlinkMessage::NewLink(_)));
        });
        asked.unwrap();
        assert!(links > 0, "there is always a loopback device");
    }

    #[test]
    fn answers_that_are_cut_are_errors() {
        let mut bytes = [0; 16];
        bytes[0] = 200;
        for len in 1..=16 {
            assert!(is_last(&bytes[..len], &mut |_: RouteNetlinkMessage| ()).is_err());
        }
    }
}
