//! What was counted of a survey, and what was dropped at each layer.

use std::io;

use netlink_packet_route::RouteNetlinkMessage;
use netlink_packet_route::link::{LinkAttribute, LinkFlags, LinkMessage, Stats64};
use wirehaul_core::scan::{HeardCounters, SentCounters};

use crate::netlink::RouteSocket;
use crate::packet::{PacketStatistics, SendCounters};
use crate::xdp::SocketStatistics;

/// Packets that were dropped, by who dropped them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Drops {
    /// AF_XDP: the receive ring was full.
    pub xdp_ring_full: u64,
    /// AF_XDP: the fill ring was empty.
    pub xdp_fill_ring_empty: u64,
    /// AF_XDP: for another reason, such as a packet that fits into no frame.
    pub xdp_other: u64,
    /// Packet sockets: the ring was full.
    pub packet: u64,
    /// The tap, for ICMP, ARP and neighbour discovery: its ring was full.
    pub tap: u64,
    /// The interface, of what came: since the survey began, and of any packet.
    pub interface_rx: u64,
    /// The interface, of what went out: the same.
    pub interface_tx: u64,
    /// Frames that the kernel refused to send.
    pub refused: u64,
    /// Replies that found no room in memory. Sending stops long before, so this is a target that floods.
    pub replies: u64,
}

impl Drops {
    /// Both together.
    #[must_use]
    pub const fn plus(self, other: &Self) -> Self {
        Self {
            xdp_ring_full: self.xdp_ring_full + other.xdp_ring_full,
            xdp_fill_ring_empty: self.xdp_fill_ring_empty + other.xdp_fill_ring_empty,
            xdp_other: self.xdp_other + other.xdp_other,
            packet: self.packet + other.packet,
            tap: self.tap + other.tap,
            interface_rx: self.interface_rx + other.interface_rx,
            interface_tx: self.interface_tx + other.interface_tx,
            refused: self.refused + other.refused,
            replies: self.replies + other.replies,
        }
    }

    /// Replies that may have been among what was dropped by what is ours: rings and memory.
    #[must_use]
    pub const fn of_replies(&self) -> u64 {
        self.xdp_ring_full + self.xdp_fill_ring_empty + self.xdp_other + self.packet + self.tap + self.replies
    }

    pub(super) const fn of_xdp(told: &SocketStatistics) -> Self {
        Self {
            xdp_ring_full: told.rx_ring_full,
            xdp_fill_ring_empty: told.rx_fill_ring_empty,
            xdp_other: told.rx_dropped,
            ..Self::NONE
        }
    }

    pub(super) const fn of_packet(told: PacketStatistics, sent: SendCounters) -> Self {
        Self { packet: told.drops, refused: sent.refused, ..Self::NONE }
    }

    pub(super) const NONE: Self = Self {
        xdp_ring_full: 0,
        xdp_fill_ring_empty: 0,
        xdp_other: 0,
        packet: 0,
        tap: 0,
        interface_rx: 0,
        interface_tx: 0,
        refused: 0,
        replies: 0,
    };
}

/// How a survey stands.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Progress {
    /// What became of the probes.
    pub sent: SentCounters,
    /// What came, at all workers and the tap.
    pub heard: HeardCounters,
    /// What was dropped.
    pub drops: Drops,
    /// Every step with a lower number is done with, by whichever worker: where a resumed survey may go on. Replies to it may still
    /// be on their way. [`u64::MAX`] where all are done.
    pub done_before: u64,
    /// Every step with a lower number was begun; [`u64::MAX`] where all were.
    pub begun_before: u64,
    /// Of those, the ones that wait for their subnet, or a neighbour. One of them holds up `done_before`, and nothing else.
    pub waiting: u64,
    /// Whether all probes are sent, or none will be any more. Replies are received until [`super::engine::Running::end`].
    pub is_done: bool,
    /// Whether the survey ended because its link did; see [`super::engine::Running::failure`].
    pub has_failed: bool,
}

/// A link, as far as a survey has to watch it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct LinkFacts {
    pub(super) is_up: bool,
    pub(super) has_carrier: bool,
    pub(super) rx_dropped: u64,
    pub(super) tx_dropped: u64,
}

impl LinkFacts {
    /// Those of this index; `None` where there is no such link any more.
    pub(super) fn read(socket: &mut RouteSocket, index: u32) -> io::Result<Option<Self>> {
        let mut request = LinkMessage::default();
        request.header.index = index;
        let mut found = None;
        let asked = socket.ask(RouteNetlinkMessage::GetLink(request), 0, |answer| {
            if let RouteNetlinkMessage::NewLink(message) = answer {
                found = Some(Self::of(&message));
            }
        });
        match asked {
            Err(error) if error.raw_os_error() == Some(libc::ENODEV) => Ok(None),
            asked => asked.map(|()| found),
        }
    }

    fn of(message: &LinkMessage) -> Self {
        let counted = message.attributes.iter().find_map(|attribute| match attribute {
            LinkAttribute::Stats64(stats) => Some(*stats),
            _ => None,
        });
        let Stats64 { rx_dropped, tx_dropped, rx_missed_errors, .. } = counted.unwrap_or_default();
        Self {
            is_up: message.header.flags.contains(LinkFlags::Up),
            has_carrier: message.header.flags.contains(LinkFlags::LowerUp),
            // What found no room in the card is one of the two, as the driver likes it.
            rx_dropped: rx_dropped.saturating_add(rx_missed_errors),
            tx_dropped,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_kernel_tells_how_loopback_stands_and_that_others_are_gone() {
        let mut socket = RouteSocket::open().unwrap();
        let lo = nix::net::if_::if_nametoindex("lo").unwrap();
        assert!(LinkFacts::read(&mut socket, lo).unwrap().is_some());
        assert_eq!(LinkFacts::read(&mut socket, 0x7fff_fffe).unwrap(), None);
    }

    #[test]
    fn drops_add_up_and_those_of_the_interface_are_not_ours() {
        let xdp =
            SocketStatistics { rx_ring_full: 1, rx_fill_ring_empty: 2, rx_dropped: 4, ..SocketStatistics::default() };
        let packet = Drops::of_packet(
            PacketStatistics { packets: 99, drops: 8 },
            SendCounters { sent: 5, refused: 16, no_room: 3 },
        );
        let all = Drops::of_xdp(&xdp).plus(&packet).plus(&Drops { tap: 32, interface_rx: 64, ..Drops::NONE });
        assert_eq!((all.of_replies(), all.refused, all.interface_rx), (1 + 2 + 4 + 8 + 32, 16, 64));
    }
}
