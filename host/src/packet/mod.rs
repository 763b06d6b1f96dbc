//! Whole frames over the kernel's packet sockets (packet(7)): for every link that it knows, with Ethernet headers or without.
//!
//! ```text
//! filter   which packets the kernel shows us: classic BPF        ring   where it puts them: a mapped ring
//! socket   system calls of one socket                            send   frames out, many per call
//! ```
//!
//! What a packet socket sees, the kernel sees as well: it answers what it does not expect. And a packet socket sees what came
//! before VLAN tags were looked at, with the outermost taken off.

mod filter;
mod ring;
mod send;
mod socket;
#[cfg(test)]
mod tests;

use std::io;
use std::os::fd::{AsFd, BorrowedFd};

use wirehaul_core::scan::wire::Wire;

pub use filter::{Instruction, Listen};
pub use send::SendCounters;
pub use socket::{PacketError, PacketStatistics};

use ring::Ring;
use send::Batch;
use socket::Socket;

/// Frames that are shown in one call.
const RECEIVE_BATCH: usize = 256;

/// An interface, as far as packet sockets have to know it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Link {
    /// Its name, for messages.
    pub name: String,
    /// Its index.
    pub index: u32,
    /// Bytes of its largest IP packet.
    pub mtu: u32,
    /// Whether frames on it begin with an Ethernet header, as those of loopback do too.
    pub has_ethernet: bool,
}

/// Why a link carries nothing any more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// It was set down.
    Down,
    /// It does not exist any more, or not in this namespace.
    Gone,
}

/// A share of what comes to a link: sockets of a group get each flow's packets at one of them (PACKET_FANOUT_HASH).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Group(u16);

/// Sends any frames, and receives those that it listens for.
#[derive(Debug)]
pub struct PacketPort {
    listener: Listener,
    sending: Socket,
    batch: Batch,
    fault: Option<Fault>,
}

impl PacketPort {
    /// Opens one on this link for what `listen` says. Needs CAP_NET_RAW.
    ///
    /// # Errors
    /// Which step failed.
    pub fn open(link: &Link, listen: &Listen) -> Result<Self, PacketError> {
        let sending = Socket::for_sending(link)?;
        Ok(Self { listener: Listener::open(link, listen)?, sending, batch: Batch::new(link), fault: None })
    }

    /// Opens so many that share what comes.
    ///
    /// # Errors
    /// Which step failed.
    pub fn open_several(link: &Link, listen: &Listen, count: usize) -> Result<Vec<Self>, PacketError> {
        let mut ports: Vec<Self> = Vec::with_capacity(count);
        let mut group = None;
        for _ in 0..count.max(1) {
            let port = Self::open(link, listen)?;
            if count > 1 {
                group = Some(port.listener.join(group)?);
            }
            ports.push(port);
        }
        Ok(ports)
    }

    /// What became of what was sent.
    #[must_use]
    pub const fn sent(&self) -> SendCounters {
        self.batch.counters()
    }

    /// What the kernel counted of what came.
    #[must_use]
    pub fn statistics(&mut self) -> PacketStatistics {
        self.listener.statistics()
    }

    /// Whether frames wait for the kernel to have room.
    #[must_use]
    pub const fn is_holding_back(&self) -> bool {
        !self.batch.is_empty()
    }

    /// Why the link carries nothing any more, if so.
    #[must_use]
    pub fn fault(&mut self) -> Option<Fault> {
        self.fault = self.fault.or_else(|| self.listener.fault());
        self.fault
    }
}

impl AsFd for PacketPort {
    /// Readable when frames came.
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.listener.as_fd()
    }
}

impl Wire for PacketPort {
    fn receive(&mut self, sink: impl FnMut(&mut [u8])) -> usize {
        self.listener.receive(sink)
    }

    fn transmit(&mut self, write: impl FnOnce(&mut [u8]) -> usize) -> bool {
        if self.batch.is_full() {
            self.flush();
        }
        self.batch.push(write)
    }

    fn flush(&mut self) {
        self.fault = self.fault.or(self.batch.send(&self.sending));
    }
}

/// Receives, and sends nothing.
#[derive(Debug)]
pub struct Listener {
    // Unmapped before the socket is closed.
    ring: Ring,
    socket: Socket,
    counted: PacketStatistics,
}

impl Listener {
    /// Opens one on this link for what `listen` says. Needs CAP_NET_RAW.
    ///
    /// # Errors
    /// Which step failed.
    pub fn open(link: &Link, listen: &Listen) -> Result<Self, PacketError> {
        let socket = Socket::for_receiving(link, &listen.program())?;
        let ring = Ring::of(&socket, link)?;
        // Now that there is a filter and somewhere to put packets.
        socket.listen(link)?;
        Ok(Self { ring, socket, counted: PacketStatistics::default() })
    }

    /// Shows up to 256 frames to `sink`; returns how many there were.
    pub fn receive(&mut self, sink: impl FnMut(&mut [u8])) -> usize {
        self.ring.receive(RECEIVE_BATCH, sink)
    }

    /// What the kernel counted.
    #[must_use]
    pub fn statistics(&mut self) -> PacketStatistics {
        self.counted.add(self.socket.take_statistics());
        self.counted
    }

    /// Why the link carries nothing any more, if the kernel has said so since the last call.
    #[must_use]
    pub fn fault(&self) -> Option<Fault> {
        self.socket.take_error().as_ref().and_then(fault_of)
    }

    fn join(&self, group: Option<Group>) -> Result<Group, PacketError> {
        self.socket.join(group)
    }
}

impl AsFd for Listener {
    /// Readable when frames came.
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

/// Whether an error means that the link is unusable.
fn fault_of(error: &io::Error) -> Option<Fault> {
    match error.raw_os_error() {
        Some(libc::ENETDOWN) => Some(Fault::Down),
        Some(libc::ENXIO | libc::ENODEV) => Some(Fault::Gone),
        _ => None,
    }
}

/// The number that says what an IP packet is where no header does (linux/if_ether.h): of a frame on a link without Ethernet.
fn ether_type(frame: &[u8]) -> u16 {
    let version = frame.first().map_or(4, |first| first >> 4);
    if version == 6 { libc::ETH_P_IPV6 as u16 } else { libc::ETH_P_IP as u16 }
}
