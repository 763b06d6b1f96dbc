//! A UDP port taken over from the kernel on one interface: the filter that steers its packets to sockets, and how sockets
//! and frames have to be for this interface.

#[cfg(test)]
mod tests;

use std::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::sync::{Arc, Mutex, PoisonError};

use super::attach::{AttachError, AttachMode, FilterLink};
use super::bpf::{FilterError, PortFilter, SocketMap};
use super::socket::{BindMode, SocketError, SocketOptions};
use super::umem::{UmemError, UmemSize};
use crate::interface::Interface;
use crate::neighbours;
use crate::udp::BindError;

/// Ethernet, two VLAN tags and the kernel's headroom beside the IP packet in a chunk.
const LINK_BYTES: u32 = 14 + 2 * 4 + 256;
/// A page: no chunk is larger, also on huge pages.
const MAX_CHUNK_BYTES: u32 = 4096;
const IPV6_BYTES: u32 = 40;
const IPV4_BYTES: u32 = 20;
/// What an IPv4 header is shorter: the filter judges by the length of UDP, whichever is in front of it.
const IPV4_LESS_BYTES: u32 = IPV6_BYTES - IPV4_BYTES;
/// The largest MTU whose packets fit into one chunk.
pub const MAX_FRAME_MTU: u32 = MAX_CHUNK_BYTES - LINK_BYTES - IPV4_LESS_BYTES;
/// Chunks of a frame to send from where packets do not fit into one: 9000 bytes and their headers.
const JUMBO_CHUNKS: u32 = 3;
/// Above this MTU some drivers take only programs that know packets in several buffers: veth has 3.5 KB of room in one.
const SINGLE_BUFFER_MTU: u32 = 1500;
/// Entries of each ring, and frames of a queue: at 1500 bytes, 2.5 ms of 10 Gbit/s, in buffers that a core's cache holds.
const ENTRIES: u32 = 2048;
/// Frames to receive into of one device: where it has many queues, each has fewer.
const RECEIVE_FRAMES: u32 = 4 * ENTRIES;
const MIN_RECEIVE_ENTRIES: u32 = 256;

/// A second, while nothing else is to be done.
const OPEN_ATTEMPTS: u32 = 50;

/// A way to use AF_XDP: a rung of the ladder.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// The driver runs the filter, and the card reads and writes frames itself.
    ZeroCopy,
    /// The driver runs the filter, and the kernel copies.
    Copy,
    /// The kernel runs the filter behind the driver, and copies.
    Generic,
}

impl Mode {
    /// What it is called in summaries and behind `--transport`.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::ZeroCopy => "xdp",
            Self::Copy => "xdp-copy",
            Self::Generic => "xdp-skb",
        }
    }

    const fn attach(self) -> AttachMode {
        match self {
            Self::ZeroCopy | Self::Copy => AttachMode::Native,
            Self::Generic => AttachMode::Generic,
        }
    }

    const fn bind(self) -> BindMode {
        match self {
            Self::ZeroCopy => BindMode::ZeroCopy,
            Self::Copy | Self::Generic => BindMode::Copy,
        }
    }
}

/// Why an interface cannot be used with AF_XDP like this.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// It carries no Ethernet frames.
    #[error("{0} is no Ethernet interface")]
    NotEthernet(String),
    /// It is down.
    #[error("{0} is down: `ip link set dev {0} up`")]
    Down(String),
    /// Its packets belong to another interface.
    #[error(
        "{name} is a port of the {kind} {master}, which gets its packets: take it out (`ip link set dev {name} nomaster`), or use --transport udp"
    )]
    Port {
        /// The interface.
        name: String,
        /// Whose port it is.
        master: String,
        /// What that is: bridge, bond.
        kind: String,
    },
    /// Its packets do not fit into a frame, and the driver does not take several.
    #[error(
        "the MTU of {name} is {mtu}, and more than {limit} does not fit into a frame: `ip link set dev {name} mtu {limit}`"
    )]
    Mtu {
        /// The interface.
        name: String,
        /// Its MTU.
        mtu: u32,
        /// The largest that fits.
        limit: u32,
    },
    /// The filter was not loaded.
    #[error(transparent)]
    Filter(#[from] FilterError),
    /// The filter was not attached.
    #[error(transparent)]
    Attach(#[from] AttachError),
    /// There is no memory for frames.
    #[error(transparent)]
    Umem(#[from] UmemError),
    /// A socket was not had.
    #[error(transparent)]
    Socket(#[from] SocketError),
    /// The kernel bound the socket, and copies.
    #[error("the driver of {0} says that it copies: use --transport xdp-copy")]
    Copies(String),
    /// The kernel's socket on the port cannot be shared.
    #[error(transparent)]
    Kernel(#[from] BindError),
    /// The next hops cannot be known.
    #[error(transparent)]
    Neighbours(#[from] neighbours::OpenError),
}

/// The port on the interface. The filter is taken off when the last device of it is gone, or the process is.
#[derive(Debug)]
pub struct Datapath {
    pub(super) attachment: Arc<Attachment>,
    pub(super) shape: Shape,
}

/// What does not change while a device lives.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Shape {
    pub(super) name: String,
    pub(super) index: u32,
    pub(super) node: Option<u32>,
    pub(super) mode: Mode,
    pub(super) chunk_bytes: u32,
    pub(super) is_multi_buffer: bool,
    pub(super) busy_poll_us: Option<u32>,
}

impl Datapath {
    /// Loads the filter for `local`'s port and attaches it to the interface. Where the address of `local` is not specified,
    /// packets to any address of this host are meant.
    ///
    /// # Errors
    /// [`OpenError`]: then nothing is left on the interface.
    pub fn open(interface: &Interface, mode: Mode, local: SocketAddr) -> Result<Self, OpenError> {
        let shape = Shape::of(interface, mode)?;
        let longest = shape.longest_datagram(interface);
        let load = |sockets, frags| PortFilter::load_with(sockets, frags, longest);
        let (filter, link) = attach(interface, mode, load)?;
        let attachment = Attachment { filter, _link: link, local, is_fixed: false, addresses: Mutex::default() };
        Ok(Self { attachment: Arc::new(attachment), shape })
    }

    /// Loads the filter of a survey and attaches it to the interface: TCP and UDP to these addresses of ours, and to the 4096 ports
    /// from `first` on, is for [`Datapath::port`]s. There are none for devices.
    ///
    /// # Errors
    /// [`OpenError`]: then nothing is left on the interface.
    pub fn open_for_scan(
        interface: &Interface,
        mode: Mode,
        first: u16,
        addresses: &[IpAddr],
    ) -> Result<Self, OpenError> {
        let shape = Shape::of(interface, mode)?;
        let load = |sockets, frags| PortFilter::load_for_scan(sockets, frags, first);
        let (filter, link) = attach(interface, mode, load)?;
        for address in addresses {
            filter.add(*address, first)?;
        }
        let local = SocketAddr::new(IpAddr::V6(Ipv6Addr::UNSPECIFIED), first);
        let addresses = Mutex::new(addresses.to_vec());
        let attachment = Attachment { filter, _link: link, local, is_fixed: true, addresses };
        Ok(Self { attachment: Arc::new(attachment), shape })
    }

    /// Has the frames of its devices lie on this node, and not on the card's; `None` leaves it to the system.
    #[must_use]
    pub const fn on_node(mut self, node: Option<u32>) -> Self {
        self.shape.node = node;
        self
    }

    /// The way that was asked for.
    #[must_use]
    pub const fn mode(&self) -> Mode {
        self.shape.mode
    }
}

/// Has a filter loaded for the queues of an interface, and attaches it.
fn attach(
    interface: &Interface,
    mode: Mode,
    load: impl Fn(SocketMap, bool) -> Result<PortFilter, FilterError>,
) -> Result<(PortFilter, FilterLink), OpenError> {
    let attach = |frags| {
        let sockets = SocketMap::create(interface.usable_queues().max(1))?;
        let filter = load(sockets, frags)?;
        let link = filter.attach(interface.index, mode.attach())?;
        Ok((filter, link))
    };
    let frags = interface.mtu > SINGLE_BUFFER_MTU;
    match attach(frags) {
        // The other end of a veth pair may have an MTU that does not fit into one buffer.
        Err(OpenError::Attach(AttachError::MtuTooLarge { .. })) if !frags => attach(true),
        attached => attached,
    }
}

impl Shape {
    fn of(interface: &Interface, mode: Mode) -> Result<Self, OpenError> {
        let name = interface.name.clone();
        if !interface.is_ethernet {
            return Err(OpenError::NotEthernet(name));
        }
        if !interface.is_up {
            return Err(OpenError::Down(name));
        }
        if let Some(master) = &interface.master {
            return Err(OpenError::Port { name, master: master.name.clone(), kind: master.kind.clone() });
        }
        let (chunk_bytes, is_multi_buffer) = chunks_for(interface.mtu);
        let takes_several = match mode {
            Mode::ZeroCopy => interface.xdp_features.is_some_and(|xdp| xdp.zero_copy_max_frames.is_some_and(|n| n > 1)),
            Mode::Copy => interface.xdp_features.is_none_or(|xdp| xdp.multi_buffer_rx),
            Mode::Generic => true,
        };
        if is_multi_buffer && !takes_several {
            return Err(OpenError::Mtu { name, mtu: interface.mtu, limit: MAX_FRAME_MTU });
        }
        Ok(Self {
            name,
            index: interface.index,
            node: interface.numa_node,
            mode,
            chunk_bytes,
            is_multi_buffer,
            busy_poll_us: busy_poll_of_environment(),
        })
    }

    /// The UMEM for so many queues of one device.
    pub(super) fn umem_size(&self, queues: u32) -> UmemSize {
        umem_size(self.chunk_bytes, self.is_multi_buffer, queues)
    }

    /// The largest UDP length that the sockets get: of a packet that a frame holds, over IPv6 and with two VLAN tags.
    ///
    /// A peer on the same machine may hand over many datagrams in one packet (UDP_SEGMENT, udp(7)), and nothing tells where to cut
    /// it; the kernel knows. It does not happen to native programs, for which veth has them segmented, nor behind a card. Most of
    /// what is so long is not one datagram where packets of 1500 bytes are: longer ones are left to the kernel there altogether.
    fn longest_datagram(&self, interface: &Interface) -> u16 {
        let may_be_several = self.mode == Mode::Generic && interface.kind.is_some();
        // Chunks of one packet are gathered in a frame to send from, without the kernel's headroom.
        let packet = if self.is_multi_buffer { JUMBO_CHUNKS * self.chunk_bytes } else { self.chunk_bytes };
        let longest = packet - LINK_BYTES - IPV6_BYTES;
        let longest = if may_be_several { longest.min(SINGLE_BUFFER_MTU - IPV4_BYTES) } else { longest };
        u16::try_from(longest).unwrap_or(u16::MAX)
    }

    /// The socket of one of so many queues of a device.
    pub(super) fn socket(&self, queue: u32, queues: u32) -> SocketOptions {
        SocketOptions {
            interface: self.index,
            queue,
            mode: self.mode.bind(),
            receive_entries: receive_entries(queues),
            transmit_entries: ENTRIES,
            multi_buffer: self.is_multi_buffer,
            busy_poll_us: self.busy_poll_us,
            attempts: OPEN_ATTEMPTS,
        }
    }
}

/// Bytes of a chunk for packets of this MTU, and whether one packet may take several.
const fn chunks_for(mtu: u32) -> (u32, bool) {
    let packet = mtu + LINK_BYTES + IPV4_LESS_BYTES;
    if packet <= 2048 { (2048, false) } else { (MAX_CHUNK_BYTES, packet > MAX_CHUNK_BYTES) }
}

/// What a device sends, one thread sends: that part does not grow with the queues.
fn umem_size(chunk_bytes: u32, is_multi_buffer: bool, queues: u32) -> UmemSize {
    UmemSize {
        chunk_bytes,
        receive_frames: receive_entries(queues) * queues,
        transmit_frames: if is_multi_buffer { ENTRIES / 2 } else { ENTRIES },
        chunks_per_transmit: if is_multi_buffer { JUMBO_CHUNKS } else { 1 },
    }
}

/// Bytes of frames that a worker with one queue of this MTU takes.
#[must_use]
pub fn queue_bytes(mtu: u32) -> u64 {
    let (chunk_bytes, is_multi_buffer) = chunks_for(mtu.min(u32::MAX / 2));
    umem_size(chunk_bytes, is_multi_buffer, 1).bytes() as u64
}

/// Entries of each queue's receive ring: a power of two.
fn receive_entries(queues: u32) -> u32 {
    let share = RECEIVE_FRAMES / queues.max(1);
    (1 << share.max(1).ilog2()).clamp(MIN_RECEIVE_ENTRIES, ENTRIES)
}

/// The environment variable `WIREHAUL_BUSY_POLL`: microseconds for which the kernel is to poll in each call.
fn busy_poll_of_environment() -> Option<u32> {
    std::env::var("WIREHAUL_BUSY_POLL").ok()?.parse().ok().filter(|micros| *micros > 0)
}

/// The filter while it is attached, shared by the devices of all workers.
#[derive(Debug)]
pub(super) struct Attachment {
    pub(super) filter: PortFilter,
    _link: FilterLink,
    local: SocketAddr,
    /// The addresses are what they are, whatever this host's are.
    is_fixed: bool,
    /// Those whose packets the filter steers to us.
    addresses: Mutex<Vec<IpAddr>>,
}

impl Attachment {
    pub(super) const fn local(&self) -> SocketAddr {
        self.local
    }

    /// Has the filter take packets to these addresses of this host, or to the one that was named, unless they are fixed.
    pub(super) fn set_addresses(&self, found: &[IpAddr]) -> Result<(), FilterError> {
        if self.is_fixed {
            return Ok(());
        }
        let named = [self.local.ip()];
        let is_ours = |ip: &&IpAddr| !self.local.is_ipv4() || ip.is_ipv4();
        let wanted = if self.local.ip().is_unspecified() { found } else { &named[..] };
        let wanted: Vec<_> = wanted.iter().filter(is_ours).copied().collect();
        let mut addresses = self.addresses.lock().unwrap_or_else(PoisonError::into_inner);
        for gone in addresses.iter().filter(|address| !wanted.contains(address)) {
            self.filter.remove(*gone, self.local.port())?;
        }
        for new in wanted.iter().filter(|address| !addresses.contains(address)) {
            self.filter.add(*new, self.local.port())?;
        }
        *addresses = wanted;
        Ok(())
    }
}
