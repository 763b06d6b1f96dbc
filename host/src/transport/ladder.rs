//! Which way is taken (XDP-9): what is forced, or the first of those that are worth it.

#[cfg(test)]
mod tests;

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use wirehaul_core::time::Instant;
use wirehaul_core::worker::MAX_WORKERS;

use super::{Choice, NoTransport, Opened, Step, Transport, Wish};
use crate::interface::Interface;
use crate::netlink::RouteSocket;
use crate::udp::UdpDevice;
use crate::xdp::{Datapath, Mode, OpenError};

/// Addresses that nobody has (RFC 5737, RFC 3849): the way to them is the default route.
const ANYWHERE: [IpAddr; 2] =
    [IpAddr::V4(Ipv4Addr::new(203, 0, 113, 1)), IpAddr::V6(Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 1))];

/// Opens the way that is wished for, or the fastest that works here. `udp` is bound to the port, and is what is left if
/// there is no other way. Says which steps led there.
///
/// # Errors
/// [`NoTransport`]: the way that was forced cannot be gone. Nothing is left behind.
pub fn open(wish: &Wish, udp: Box<UdpDevice>, now: Instant) -> Result<Opened, NoTransport> {
    let choice = wish.choice;
    let mode = match choice {
        Choice::Udp => return Ok(Opened::one(Transport::Udp(udp), vec![chosen("udp", "as asked for")])),
        Choice::Auto => return Ok(open_fastest(wish, udp, now)),
        Choice::Xdp => Mode::ZeroCopy,
        Choice::XdpCopy => Mode::Copy,
        Choice::XdpSkb => Mode::Generic,
    };
    let refuse = |reason: String| NoTransport { choice, reason };
    let interface = interface_of(wish, udp.local_addr()).map_err(refuse)?;
    if let Some(reason) = no_zero_copy(&interface).filter(|_| mode == Mode::ZeroCopy) {
        return Err(refuse(format!("{reason}: use --transport xdp-copy, or udp")));
    }
    match open_xdp(&interface, mode, wish, udp, now) {
        Ok((first, others)) => {
            let steps = vec![chosen(mode.name(), &format!("on {}, as asked for", interface.name))];
            Ok(Opened { first, others, steps })
        }
        Err((error, _)) => Err(refuse(error.to_string())),
    }
}

/// Zero-copy AF_XDP where the driver has it, and otherwise UDP sockets: with segmentation they are faster than AF_XDP with
/// copies (docs/performance.md).
fn open_fastest(wish: &Wish, udp: Box<UdpDevice>, now: Instant) -> Opened {
    let mut steps = Vec::new();
    let mut refuse = |way, reason: String| steps.push(Step { way, reason });
    let udp = match interface_of(wish, udp.local_addr()) {
        Err(reason) => {
            refuse("xdp", reason);
            udp
        }
        Ok(interface) => match no_zero_copy(&interface) {
            Some(reason) => {
                refuse("xdp", reason);
                udp
            }
            None => match open_xdp(&interface, Mode::ZeroCopy, wish, udp, now) {
                Ok((first, others)) => {
                    steps.push(chosen("xdp", &format!("the driver of {} has zero-copy", interface.name)));
                    return Opened { first, others, steps };
                }
                Err((error, udp)) => {
                    refuse("xdp", error.to_string());
                    udp
                }
            },
        },
    };
    steps.push(Step { way: "xdp-copy", reason: "not tried: UDP sockets with segmentation are faster".to_owned() });
    steps.push(chosen(udp.transport_name(), "works everywhere"));
    Opened::one(Transport::Udp(udp), steps)
}

fn chosen(way: &'static str, reason: &str) -> Step {
    Step { way, reason: reason.to_owned() }
}

/// Why an interface has no zero-copy, as far as it tells.
pub(crate) fn no_zero_copy(interface: &Interface) -> Option<String> {
    let name = &interface.name;
    // What is no card has none: then its kind says as much.
    let driver = interface.driver.as_deref().or(interface.kind.as_deref()).unwrap_or("unknown");
    match &interface.xdp_features {
        Some(features) if features.zero_copy => None,
        Some(_) => Some(format!("the driver of {name} ({driver}) has no zero-copy")),
        None => Some(format!("the kernel does not tell whether the driver of {name} ({driver}) has zero-copy")),
    }
}

/// All queues of the interface, shared out among so many workers at most; gives the socket back where that fails.
fn open_xdp(
    interface: &Interface,
    mode: Mode,
    wish: &Wish,
    udp: Box<UdpDevice>,
    now: Instant,
) -> Result<(Transport, Vec<Transport>), (OpenError, Box<UdpDevice>)> {
    let datapath = match Datapath::open(interface, mode, udp.local_addr()) {
        Ok(datapath) => datapath.on_node(wish.memory_node),
        Err(error) => return Err((error, udp)),
    };
    let queues = interface.usable_queues().max(1);
    let count = worker_count(queues, wish.workers);
    let open_beside = |number| {
        let socket = udp.for_sending().map_err(OpenError::Kernel)?;
        let device =
            datapath.device(&share(queues, count, number), Box::new(socket), now).map_err(|(error, _)| error)?;
        Ok(Transport::Xdp(Box::new(device)))
    };
    let others = match (1..count).map(open_beside).collect() {
        Ok(others) => others,
        Err(error) => return Err((error, udp)),
    };
    // The first has the socket itself, and whatever comes through the kernel.
    let first = datapath.device(&share(queues, count, 0), udp, now)?;
    Ok((Transport::Xdp(Box::new(first)), others))
}

/// The queues of each worker, where there are so many queues, and so many workers at most.
#[must_use]
pub fn shares(queues: u32, workers: usize) -> Vec<Vec<u32>> {
    let count = worker_count(queues, workers);
    (0..count).map(|number| share(queues, count, number)).collect()
}

/// How many workers so many queues get, where there may be `workers`.
fn worker_count(queues: u32, workers: usize) -> usize {
    workers.clamp(1, MAX_WORKERS).min(queues as usize)
}

/// The queues of one of `count` workers.
fn share(queues: u32, count: usize, number: usize) -> Vec<u32> {
    (0..queues).skip(number).step_by(count).collect()
}

/// The interface that is named, or else the one that packets to the peer leave through, or to anywhere. `local` is the address
/// that a socket is bound to.
///
/// # Errors
/// Why there is none, in words.
pub fn interface_of(wish: &Wish, local: SocketAddr) -> Result<Interface, String> {
    if let Some(name) = &wish.interface {
        return Interface::by_name(name).map_err(|error| error.to_string());
    }
    if !local.ip().is_unspecified() {
        return interface_with(local.ip());
    }
    let mut routes = RouteSocket::open().map_err(|error| error.to_string())?;
    let remotes = wish.remote.map_or(ANYWHERE.to_vec(), |remote| vec![remote.ip()]);
    for remote in &remotes {
        if let Ok(Some(index)) = routes.interface_to(*remote) {
            return Interface::by_index(index).map_err(|error| error.to_string());
        }
    }
    Err(match wish.remote {
        Some(remote) => format!("there is no route to {}", remote.ip()),
        None => "there is no default route that would tell the interface: name it with --iface".to_owned(),
    })
}

/// The interface that has this address of this host.
fn interface_with(address: IpAddr) -> Result<Interface, String> {
    let found = nix::ifaddrs::getifaddrs().map_err(|error| error.to_string())?.find(|interface| {
        let Some(storage) = &interface.address else { return false };
        let v4 = storage.as_sockaddr_in().map(|v4| IpAddr::V4(v4.ip()));
        v4.or_else(|| storage.as_sockaddr_in6().map(|v6| IpAddr::V6(v6.ip()))) == Some(address)
    });
    let Some(found) = found else { return Err(format!("no interface has the address {address}")) };
    Interface::by_name(&found.interface_name).map_err(|error| error.to_string())
}
