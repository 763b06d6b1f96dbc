//! Which queueing discipline packets leave through, as the kernel tells over rtnetlink(7).

use std::io;
use std::net::{IpAddr, SocketAddr};

use netlink_packet_core::NLM_F_DUMP;
use netlink_packet_route::RouteNetlinkMessage;
use netlink_packet_route::tc::{TcAttribute, TcHandle, TcMessage};

use crate::netlink::RouteSocket;

/// The discipline that holds packets until the time they bear (net/sched/sch_fq.c).
const FAIR_QUEUE: &str = "fq";
/// Disciplines that only spread packets over the queues of a card, each with a discipline of its own.
const MULTI_QUEUE: [&str; 2] = ["mq", "mqprio"];

/// Why departures cannot be left to the kernel.
#[derive(Debug, thiserror::Error)]
pub enum NoFairQueue {
    /// The kernel does not tell.
    #[error("the kernel does not tell which queueing discipline is used: {0}")]
    Unknown(#[from] io::Error),
    /// There is no way to this address now.
    #[error("there is no route to {0}")]
    NoRoute(IpAddr),
    /// Packets leave through something else.
    #[error(
        "packets to {remote} leave through the queueing discipline '{kind}', and only 'fq' holds them until their time"
    )]
    Other {
        /// Where the packets go.
        remote: IpAddr,
        /// What `tc qdisc show` calls it.
        kind: String,
    },
}

/// Whether all packets to all of `remotes` leave through fq.
///
/// # Errors
/// The first reason why not.
pub fn is_fair_queue_to(remotes: &[SocketAddr]) -> Result<(), NoFairQueue> {
    let mut kernel = Kernel::open()?;
    let qdiscs = kernel.qdiscs()?;
    for remote in remotes.iter().map(SocketAddr::ip) {
        let interface = kernel.routes.interface_to(remote)?.ok_or(NoFairQueue::NoRoute(remote))?;
        if let Some(kind) = other_than_fair(&qdiscs, interface) {
            return Err(NoFairQueue::Other { remote, kind: kind.to_owned() });
        }
    }
    Ok(())
}

/// A queueing discipline and where it hangs.
#[derive(Clone, Debug)]
struct Qdisc {
    interface: u32,
    handle: TcHandle,
    parent: TcHandle,
    kind: String,
}

impl Qdisc {
    fn of(message: &TcMessage) -> Option<Self> {
        let kind = message.attributes.iter().find_map(|attribute| match attribute {
            TcAttribute::Kind(kind) => Some(kind.clone()),
            _ => None,
        })?;
        let interface = u32::try_from(message.header.index).ok()?;
        Some(Self { interface, handle: message.header.handle, parent: message.header.parent, kind })
    }
}

/// The first discipline of `interface` that does not hold packets until their time; `noqueue` where there is none at all.
fn other_than_fair(qdiscs: &[Qdisc], interface: u32) -> Option<&str> {
    let of_interface = || qdiscs.iter().filter(|qdisc| qdisc.interface == interface);
    let Some(root) = of_interface().find(|qdisc| qdisc.parent == TcHandle::ROOT) else { return Some("noqueue") };
    if !MULTI_QUEUE.contains(&root.kind.as_str()) {
        return (root.kind != FAIR_QUEUE).then_some(&root.kind);
    }
    let mut queues = of_interface().filter(|qdisc| qdisc.parent.major == root.handle.major).peekable();
    if queues.peek().is_none() {
        return Some(&root.kind);
    }
    queues.find(|queue| queue.kind != FAIR_QUEUE).map(|queue| queue.kind.as_str())
}

/// What is asked about queueing disciplines.
struct Kernel {
    routes: RouteSocket,
}

impl Kernel {
    fn open() -> io::Result<Self> {
        Ok(Self { routes: RouteSocket::open()? })
    }

    /// Every discipline of every interface of this namespace.
    fn qdiscs(&mut self) -> io::Result<Vec<Qdisc>> {
        let request = RouteNetlinkMessage::GetQueueDiscipline(TcMessage::default());
        let mut found = Vec::new();
        self.routes.ask(request, NLM_F_DUMP, |answer| {
            if let RouteNetlinkMessage::NewQueueDiscipline(message) = answer {
                found.extend(Qdisc::of(&message));
            }
        })?;
        Ok(found)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HANDLE: TcHandle = TcHandle { major: 0x8001, minor: 0 };

    fn qdisc(interface: u32, handle: TcHandle, parent: TcHandle, kind: &str) -> Qdisc {
        Qdisc { interface, handle, parent, kind: kind.to_owned() }
    }

    fn queue(minor: u16, kind: &str) -> Qdisc {
        qdisc(2, TcHandle::UNSPEC, TcHandle { major: HANDLE.major, minor }, kind)
    }

    #[test]
    fn one_queue_must_be_fair() {
        let qdiscs = [qdisc(1, HANDLE, TcHandle::ROOT, "noqueue"), qdisc(2, HANDLE, TcHandle::ROOT, "fq")];
        assert_eq!(other_than_fair(&qdiscs, 1), Some("noqueue"));
        assert_eq!(other_than_fair(&qdiscs, 2), None);
        assert_eq!(other_than_fair(&qdiscs, 3), Some("noqueue"));
        // What packets come in through does not matter.
        let with_ingress = [qdisc(2, HANDLE, TcHandle::INGRESS, "clsact"), qdiscs[1].clone()];
        assert_eq!(other_than_fair(&with_ingress, 2), None);
    }

    #[test]
    fn every_queue_of_a_card_must_be_fair() {
        let root = qdisc(2, HANDLE, TcHandle::ROOT, "mq");
        assert_eq!(other_than_fair(&[root.clone(), queue(1, "fq"), queue(2, "fq")], 2), None);
        assert_eq!(other_than_fair(&[root.clone(), queue(1, "fq"), queue(2, "fq_codel")], 2), Some("fq_codel"));
        assert_eq!(other_than_fair(&[root], 2), Some("mq"));
    }

    #[test]
    fn the_loopback_device_is_said_not_to_hold_packets() {
        let loopback = ["127.0.0.1:9".parse().unwrap()];
        let refused = is_fair_queue_to(&loopback).unwrap_err();
        assert!(matches!(&refused, NoFairQueue::Other { kind, .. } if kind == "noqueue"), "{refused}");
    }
}
