//! What an AF_XDP device needs of the system while it runs: its sockets, next hops, and the kernel's socket on the same port.

use std::net::IpAddr;

use wirehaul_core::device::{Device, Submitted, Transmit};
use wirehaul_core::hops::Way;
use wirehaul_core::time::Instant;
use wirehaul_core::xsk::{Kick, Outside};

use super::socket::Socket;
use crate::neighbours::NextHops;
use crate::udp::UdpDevice;

/// The system, as the device of the core sees it.
#[derive(Debug)]
pub(super) struct System {
    /// One per queue, in the device's order.
    pub(super) sockets: Vec<Socket>,
    pub(super) hops: NextHops,
    /// Holds the port, so that nobody else takes it, and carries what does not go through the queues: fragments, packets to
    /// and from other interfaces, and those to neighbours that the kernel has to find first.
    pub(super) kernel: Box<UdpDevice>,
    /// Datagrams were given to `kernel` since it was flushed.
    pub(super) kernel_is_dirty: bool,
    /// The time of this turn.
    pub(super) now: Instant,
}

impl Outside for System {
    fn kick_transmit(&mut self, queue: usize) -> Kick {
        self.sockets.get(queue).map_or(Kick::Unbound, Socket::kick_transmit)
    }

    fn kick_receive(&mut self, queue: usize) -> Kick {
        self.sockets.get(queue).map_or(Kick::Unbound, Socket::kick_receive)
    }

    fn way_to(&mut self, remote: IpAddr) -> Way {
        self.hops.way_to(self.now, remote)
    }

    fn submit_to_kernel(&mut self, transmit: &Transmit, datagram: &[u8]) -> Submitted {
        self.kernel_is_dirty = true;
        let Some(buffer) = self.kernel.transmit_buffer().and_then(|buffer| buffer.get_mut(..datagram.len())) else {
            return Submitted::Full;
        };
        buffer.copy_from_slice(datagram);
        self.kernel.submit(transmit)
    }
}
