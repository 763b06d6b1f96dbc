//! The way that was chosen, as one device.

use std::io;
use std::net::SocketAddr;
use std::os::fd::BorrowedFd;

use wirehaul_core::device::{Device, Received, Submitted, Transmit};
use wirehaul_core::limits::MAX_DATAGRAM_BYTES;
use wirehaul_core::pool::PoolStats;
use wirehaul_core::time::{Duration, Instant};

use super::Choice;
use crate::device::HostDevice;
use crate::events::KernelCounters;
use crate::udp::UdpDevice;
#[cfg(target_os = "linux")]
use crate::xdp::XdpDevice;

/// What is asked for.
#[derive(Clone, Debug, Default)]
pub struct Wish {
    /// Which way.
    pub choice: Choice,
    /// The interface for AF_XDP; `None` for the one that packets to `remote` leave through.
    pub interface: Option<String>,
    /// The peer; `None` for any.
    pub remote: Option<SocketAddr>,
    /// Workers that packets may be spread over, at most; where the way has queues, each gets some of them.
    pub workers: usize,
    /// The NUMA node that packets are to lie on, where a way has memory of its own; `None` leaves it to the system.
    pub memory_node: Option<u32>,
}

/// A way that is open: the device of each worker.
#[derive(Debug)]
pub struct Opened {
    /// The first worker's.
    pub first: Transport,
    /// Those of the others; none where the way has no queues of its own.
    pub others: Vec<Transport>,
    /// What led there.
    pub steps: Vec<Step>,
}

impl Opened {
    /// A way with one device.
    pub(super) const fn one(first: Transport, steps: Vec<Step>) -> Self {
        Self { first, others: Vec::new(), steps }
    }
}

/// A way was forced, and cannot be gone.
#[derive(Debug, thiserror::Error)]
#[error("--transport {}: {reason}", .choice.name())]
pub struct NoTransport {
    /// Which.
    pub choice: Choice,
    /// Why, and what would change it.
    pub reason: String,
}

/// A rung of the ladder that was not taken, or the one that was.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Step {
    /// The way.
    pub way: &'static str,
    /// Why not, or why.
    pub reason: String,
}

/// The way that was chosen.
#[derive(Debug)]
pub enum Transport {
    /// The kernel's sockets.
    Udp(Box<UdpDevice>),
    /// Queues of a network interface.
    #[cfg(target_os = "linux")]
    Xdp(Box<XdpDevice>),
}

/// Does the same with whichever device there is.
macro_rules! with_device {
    ($transport:expr, $device:ident => $body:expr) => {
        match $transport {
            Transport::Udp($device) => $body,
            #[cfg(target_os = "linux")]
            Transport::Xdp($device) => $body,
        }
    };
}

impl Transport {
    /// Its name in summaries.
    #[must_use]
    pub fn name(&self) -> &'static str {
        with_device!(self, device => device.transport_name())
    }

    /// The UDP socket: the transport itself, or the one that holds the port beside it.
    #[must_use]
    pub fn socket(&self) -> &UdpDevice {
        match self {
            Self::Udp(device) => device,
            #[cfg(target_os = "linux")]
            Self::Xdp(device) => device.kernel_socket(),
        }
    }

    /// The queues that it has, where it has any.
    #[must_use]
    pub fn queues(&self) -> &[u32] {
        match self {
            Self::Udp(_) => &[],
            #[cfg(target_os = "linux")]
            Self::Xdp(device) => device.queues(),
        }
    }

    /// The longest datagram that it carries, whatever the path does.
    #[must_use]
    pub const fn datagram_bytes(&self) -> usize {
        match self {
            Self::Udp(_) => MAX_DATAGRAM_BYTES,
            #[cfg(target_os = "linux")]
            Self::Xdp(device) => {
                let bytes = device.datagram_bytes();
                if bytes < MAX_DATAGRAM_BYTES { bytes } else { MAX_DATAGRAM_BYTES }
            }
        }
    }

    /// The UDP socket, to change how it sends, where that is the transport.
    pub const fn as_udp(&mut self) -> Option<&mut UdpDevice> {
        match self {
            Self::Udp(device) => Some(device),
            #[cfg(target_os = "linux")]
            Self::Xdp(_) => None,
        }
    }

    /// Where its packets lie: how that pool stands may be asked at any time.
    #[must_use]
    pub fn gauge(&self) -> Gauge {
        match self {
            Self::Udp(device) => {
                let pool = device.pool();
                Gauge(Box::new(move || pool.stats()))
            }
            #[cfg(target_os = "linux")]
            Self::Xdp(device) => {
                let gauge = device.gauge();
                Gauge(Box::new(move || gauge.stats()))
            }
        }
    }
}

/// Tells how the pool of a transport's packets stands, also while the transport is in use.
pub struct Gauge(Box<dyn Fn() -> PoolStats>);

impl Gauge {
    /// How it stands.
    #[must_use]
    pub fn stats(&self) -> PoolStats {
        (self.0)()
    }

    /// The same as a function.
    #[must_use]
    pub fn into_fn(self) -> Box<dyn Fn() -> PoolStats> {
        self.0
    }
}

impl Device for Transport {
    fn receive(&mut self, sink: impl FnMut(Received<'_>)) -> usize {
        with_device!(self, device => device.receive(sink))
    }

    fn transmit_buffer(&mut self) -> Option<&mut [u8]> {
        with_device!(self, device => device.transmit_buffer())
    }

    fn max_segments(&self) -> usize {
        with_device!(self, device => device.max_segments())
    }

    fn submit(&mut self, transmit: &Transmit) -> Submitted {
        with_device!(self, device => device.submit(transmit))
    }

    fn flush(&mut self) {
        with_device!(self, device => device.flush());
    }
}

impl HostDevice for Transport {
    fn wait(&mut self, extra: &[BorrowedFd<'_>], timeout: Option<Duration>) -> io::Result<bool> {
        with_device!(self, device => device.wait(extra, timeout))
    }

    fn keeps_departures(&self) -> bool {
        with_device!(self, device => device.keeps_departures())
    }

    fn kernel_counters(&mut self) -> KernelCounters {
        with_device!(self, device => device.kernel_counters())
    }

    fn maintain(&mut self, now: Instant) {
        with_device!(self, device => device.maintain(now));
    }
}

/// Where AF_XDP is missing there is one way.
///
/// # Errors
/// [`NoTransport`]: another one was forced.
#[cfg(not(target_os = "linux"))]
pub fn open(wish: &Wish, udp: Box<UdpDevice>, _: Instant) -> Result<Opened, NoTransport> {
    match wish.choice {
        Choice::Auto | Choice::Udp => Ok(Opened::one(Transport::Udp(udp), Vec::new())),
        choice => Err(NoTransport { choice, reason: "AF_XDP is Linux's: use --transport udp".to_owned() }),
    }
}
