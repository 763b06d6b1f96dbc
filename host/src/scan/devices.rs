//! What carries a survey: AF_XDP in the best way that works, or packet sockets (SCAN-1, SCAN-7).

use std::io;
use std::net::IpAddr;
use std::os::fd::AsFd;
use std::time::Duration as StdDuration;

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags};
use nix::sys::time::TimeSpec;
use wirehaul_core::scan::{PortWindow, Wire};
use wirehaul_core::time::Duration;
use wirehaul_core::xsk::Kick;

use super::Choice;
use super::counters::{Drops, LinkFacts};
use crate::interface::Interface;
use crate::netlink::RouteSocket;
use crate::packet::{Fault, Link, Listen, PacketError, PacketPort};
use crate::xdp::{Datapath, Mode, OpenError, Port};

/// The most queues that are waited for in one call.
const MAX_WAITS: usize = 65;
/// While frames are held back for want of room, the longest sleep.
const HELD_BACK: Duration = Duration::from_micros(100);
/// How often a link is looked for that a driver has taken down to attach a program, and how long it is waited for in between.
const CARRIER_LOOKS: u32 = 100;
const CARRIER_PAUSE: StdDuration = StdDuration::from_millis(100);

/// The name of packet sockets in summaries.
pub(super) const PACKET: &str = "packet";

/// A rung of the ladder, and why it was taken or not.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Step {
    /// The way: a name of [`Choice::ALL`].
    pub way: &'static str,
    /// Why, in words.
    pub reason: String,
}

/// The way that was forced cannot be gone.
#[derive(Debug, thiserror::Error)]
#[error("--transport {}: {reason}", .choice.name())]
pub struct NoTransport {
    /// What was asked for.
    pub choice: Choice,
    /// Why not.
    pub reason: String,
}

/// What is to be opened.
pub(super) struct Wanted<'a> {
    pub(super) interface: &'a Interface,
    pub(super) choice: Choice,
    /// How many workers there may be.
    pub(super) workers: usize,
    pub(super) window: PortWindow,
    /// Our addresses that probes come from.
    pub(super) sources: &'a [IpAddr],
    pub(super) memory_node: Option<u32>,
}

/// What was opened: a device for each worker.
pub(super) struct Opened {
    pub(super) devices: Vec<Device>,
    /// The way that was taken.
    pub(super) way: &'static str,
    pub(super) steps: Vec<Step>,
}

/// The link of an interface, for packet sockets.
pub(super) fn link_of(interface: &Interface) -> Link {
    Link {
        name: interface.name.clone(),
        index: interface.index,
        mtu: interface.mtu,
        has_ethernet: interface.is_ethernet || interface.is_loopback,
    }
}

/// Opens the way that is wished for, or the fastest that works.
pub(super) fn open(wanted: &Wanted<'_>) -> Result<Opened, NoTransport> {
    let mode = match wanted.choice {
        Choice::Auto => return open_fastest(wanted),
        Choice::Packet => None,
        Choice::Xdp => Some(Mode::ZeroCopy),
        Choice::XdpCopy => Some(Mode::Copy),
        Choice::XdpSkb => Some(Mode::Generic),
    };
    let opened = match mode {
        None => open_packet(wanted).map_err(|error| error.to_string()),
        Some(mode) => open_xdp(wanted, mode),
    };
    match opened {
        Ok(devices) => {
            let way = mode.map_or(PACKET, Mode::name);
            let steps = vec![Step { way, reason: format!("on {}, as asked for", wanted.interface.name) }];
            Ok(Opened { devices, way, steps })
        }
        Err(reason) => Err(NoTransport { choice: wanted.choice, reason }),
    }
}

fn open_fastest(wanted: &Wanted<'_>) -> Result<Opened, NoTransport> {
    let mut steps = Vec::new();
    for mode in [Mode::ZeroCopy, Mode::Copy, Mode::Generic] {
        let way = mode.name();
        match open_xdp(wanted, mode) {
            Ok(devices) => {
                steps.push(Step { way, reason: format!("works on {}", wanted.interface.name) });
                return Ok(Opened { devices, way, steps });
            }
            Err(reason) => steps.push(Step { way, reason }),
        }
        if !wanted.interface.is_ethernet {
            // It is the same for all of them.
            break;
        }
    }
    match open_packet(wanted) {
        Ok(devices) => {
            steps.push(Step { way: PACKET, reason: "works on every link".to_owned() });
            Ok(Opened { devices, way: PACKET, steps })
        }
        Err(error) => Err(NoTransport { choice: wanted.choice, reason: error.to_string() }),
    }
}

fn open_packet(wanted: &Wanted<'_>) -> Result<Vec<Device>, PacketError> {
    let listen = Listen::Window(wanted.window.first());
    let ports = PacketPort::open_several(&link_of(wanted.interface), &listen, wanted.workers.max(1))?;
    Ok(ports.into_iter().zip(0..).map(|(port, queue)| Device::Packet { port: Box::new(port), queue }).collect())
}

/// All queues, shared out among the workers.
fn open_xdp(wanted: &Wanted<'_>, mode: Mode) -> Result<Vec<Device>, String> {
    let interface = wanted.interface;
    if mode == Mode::ZeroCopy
        && let Some(reason) = crate::transport::no_zero_copy(interface)
    {
        return Err(reason);
    }
    let opened = Datapath::open_for_scan(interface, mode, wanted.window.first(), wanted.sources);
    let datapath = opened.map_err(in_words)?.on_node(wanted.memory_node);
    let open_all = |queues: Vec<u32>| -> Result<Device, OpenError> {
        let ports = queues.iter().map(|queue| datapath.port(*queue)).collect::<Result<_, _>>()?;
        Ok(Device::Xdp { ports, queues, next: 0 })
    };
    let shares = crate::transport::shares(interface.usable_queues().max(1), wanted.workers);
    let devices = shares.into_iter().map(open_all).collect::<Result<_, _>>().map_err(in_words)?;
    await_carrier(interface)?;
    Ok(devices)
}

/// Messages of AF_XDP name the ways of transfers.
#[expect(clippy::needless_pass_by_value, reason = "it stands where an error is mapped")]
fn in_words(error: OpenError) -> String {
    error.to_string().replace("--transport udp", "--transport packet")
}

/// Waits for a link that a driver has taken down for the program.
fn await_carrier(interface: &Interface) -> Result<(), String> {
    if !interface.has_carrier {
        return Ok(());
    }
    let mut socket = RouteSocket::open().map_err(|error| error.to_string())?;
    for _ in 0..CARRIER_LOOKS {
        match LinkFacts::read(&mut socket, interface.index) {
            Ok(Some(facts)) if facts.has_carrier => return Ok(()),
            Ok(Some(_)) => std::thread::sleep(CARRIER_PAUSE),
            Ok(None) => return Err(format!("there is no interface {} any more", interface.name)),
            Err(error) => return Err(error.to_string()),
        }
    }
    Err(format!("the link of {} does not come back after the filter was attached", interface.name))
}

/// A worker's queues.
pub(super) enum Device {
    Packet {
        port: Box<PacketPort>,
        queue: u32,
    },
    Xdp {
        ports: Vec<Port>,
        queues: Vec<u32>,
        /// The port to send through next: each takes its turn until it has no room.
        next: usize,
    },
}

impl Device {
    /// The first of its queues; of packet sockets, the number of the worker.
    pub(super) fn queue(&self) -> u32 {
        match self {
            Self::Packet { queue, .. } => *queue,
            Self::Xdp { queues, .. } => queues.first().copied().unwrap_or(0),
        }
    }

    /// All of its queues.
    pub(super) fn queues(&self) -> Vec<u32> {
        match self {
            Self::Packet { queue, .. } => vec![*queue],
            Self::Xdp { queues, .. } => queues.clone(),
        }
    }

    /// Whether answers do not reach the kernel, so that nobody but us resets connections.
    pub(super) const fn hides_answers(&self) -> bool {
        matches!(self, Self::Xdp { .. })
    }

    /// Why the link carries nothing any more, if so.
    pub(super) fn fault(&mut self) -> Option<Fault> {
        match self {
            Self::Packet { port, .. } => port.fault(),
            Self::Xdp { ports, .. } => ports.iter().find_map(|port| match port.last_kick() {
                Kick::Down => Some(Fault::Down),
                Kick::Unbound => Some(Fault::Gone),
                Kick::Done | Kick::Again | Kick::Failed => None,
            }),
        }
    }

    /// What was dropped.
    pub(super) fn drops(&mut self) -> Drops {
        match self {
            Self::Packet { port, .. } => Drops::of_packet(port.statistics(), port.sent()),
            Self::Xdp { ports, .. } => {
                let of = |port: &Port| Drops::of_xdp(&port.statistics());
                ports.iter().fold(Drops::NONE, |sum, port| sum.plus(&of(port)))
            }
        }
    }

    /// Waits until frames came, or there may be room for those that are held back, or so long; whether frames came.
    pub(super) fn wait(&mut self, timeout: Duration) -> io::Result<bool> {
        let is_held = match self {
            Self::Packet { port, .. } => port.is_holding_back(),
            Self::Xdp { ports, .. } => ports.iter_mut().any(Port::is_holding_back),
        };
        let timeout = if is_held { timeout.min(HELD_BACK) } else { timeout };
        let mut polled: heapless::Vec<PollFd<'_>, MAX_WAITS> = heapless::Vec::new();
        match self {
            Self::Packet { port, .. } => {
                let _ = polled.push(PollFd::new(PacketPort::as_fd(port), PollFlags::POLLIN));
            }
            Self::Xdp { ports, .. } => {
                for port in ports.iter() {
                    // More than the array holds are looked at when the time is over.
                    let _ = polled.push(PollFd::new(port.as_fd(), PollFlags::POLLIN));
                }
            }
        }
        let timeout = TimeSpec::from(StdDuration::from_nanos(timeout.as_nanos()));
        match nix::poll::ppoll(&mut polled, Some(timeout), None) {
            Ok(0) | Err(Errno::EINTR) => Ok(false),
            // An error of the link is for `fault`.
            Ok(_) => Ok(true),
            Err(errno) => Err(errno.into()),
        }
    }
}

impl Wire for Device {
    #[inline]
    fn receive(&mut self, mut sink: impl FnMut(&mut [u8])) -> usize {
        match self {
            Self::Packet { port, .. } => port.receive(sink),
            Self::Xdp { ports, .. } => ports.iter_mut().map(|port| Wire::receive(port, &mut sink)).sum(),
        }
    }

    #[inline]
    fn transmit(&mut self, write: impl FnOnce(&mut [u8]) -> usize) -> bool {
        match self {
            Self::Packet { port, .. } => port.transmit(write),
            Self::Xdp { ports, next, .. } => {
                let Some(port) = ports.get_mut(*next) else { return false };
                let has_room = Wire::transmit(port, write);
                if !has_room {
                    *next = if *next + 1 >= ports.len() { 0 } else { *next + 1 };
                }
                has_room
            }
        }
    }

    #[inline]
    fn flush(&mut self) {
        match self {
            Self::Packet { port, .. } => port.flush(),
            Self::Xdp { ports, .. } => ports.iter_mut().for_each(Wire::flush),
        }
    }
}
