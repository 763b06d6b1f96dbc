//! System calls of one packet socket.

use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd};

use libc::{c_int, socklen_t};

use super::filter::Program;
use super::{Group, Link};

/// Whoever shares packets gets an id from the kernel (PACKET_FANOUT_FLAG_UNIQUEID, linux/if_packet.h).
const FANOUT_UNIQUE_ID: u32 = 0x2000;
/// What goes out is nobody's (PACKET_FANOUT_FLAG_IGNORE_OUTGOING).
const FANOUT_IGNORE_OUTGOING: u32 = 0x4000;
/// Packets of a flow go to the same socket.
const FANOUT_HASH: u32 = libc::PACKET_FANOUT_HASH;
/// Bytes that may wait in the kernel to be sent.
const SEND_BUFFER_BYTES: c_int = 4 << 20;

/// Which step of making a socket failed.
#[derive(Debug, thiserror::Error)]
pub enum PacketError {
    /// This process may not have such sockets.
    #[error("packet sockets need the capability CAP_NET_RAW: run as root, or `setcap cap_net_raw+ep` on the program")]
    Privilege,
    /// The kernel has none.
    #[error("this kernel has no packet sockets: it was built without CONFIG_PACKET")]
    Kernel,
    /// No socket for another reason.
    #[error("cannot open a packet socket: {0}")]
    Open(#[source] io::Error),
    /// An option was refused.
    #[error("the kernel does not let a packet socket on {interface} {option}: {source}")]
    Option {
        /// The interface's name.
        interface: String,
        /// What was to be set, in words.
        option: &'static str,
        /// What the system said.
        source: io::Error,
    },
    /// There is no memory for packets that come.
    #[error("cannot map a ring of {bytes} bytes for packets from {interface}: {source}")]
    Ring {
        /// The interface's name.
        interface: String,
        /// How much it is.
        bytes: usize,
        /// What the system said.
        source: io::Error,
    },
    /// The interface is down.
    #[error("{0} is down: `ip link set dev {0} up`")]
    Down(String),
    /// The interface does not exist any more.
    #[error("there is no interface {0} any more")]
    Gone(String),
    /// The interface is not to be had for another reason.
    #[error("cannot listen on {interface}: {source}")]
    Bind {
        /// The interface's name.
        interface: String,
        /// What the system said.
        source: io::Error,
    },
}

/// What the kernel counted (PACKET_STATISTICS).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PacketStatistics {
    /// Packets that the filter let in, with those that were dropped.
    pub packets: u64,
    /// Packets that were dropped because the ring was full.
    pub drops: u64,
}

impl PacketStatistics {
    /// Adds those of another moment, or of another socket.
    pub const fn add(&mut self, other: Self) {
        self.packets += other.packets;
        self.drops += other.drops;
    }
}

/// An open socket.
#[derive(Debug)]
pub(super) struct Socket {
    descriptor: OwnedFd,
}

impl Socket {
    /// One that never receives: of no protocol, as packet(7) has it.
    pub(super) fn for_sending(link: &Link) -> Result<Self, PacketError> {
        let socket = Self::open()?;
        socket.bind(link, 0)?;
        // Past the queueing discipline: the pacer is ours. Where it is refused, packets take the longer way.
        let _ = socket.set(libc::SOL_PACKET, libc::PACKET_QDISC_BYPASS, &1_i32);
        if socket.set(libc::SOL_SOCKET, libc::SO_SNDBUFFORCE, &SEND_BUFFER_BYTES).is_err() {
            let _ = socket.set(libc::SOL_SOCKET, libc::SO_SNDBUF, &SEND_BUFFER_BYTES);
        }
        Ok(socket)
    }

    /// One with this filter that receives nothing yet; see [`Socket::listen`].
    pub(super) fn for_receiving(link: &Link, filter: &Program) -> Result<Self, PacketError> {
        let socket = Self::open()?;
        let refused = |option| move |source| PacketError::Option { interface: link.name.clone(), option, source };
        socket.attach(filter).map_err(refused("have a filter"))?;
        // Since Linux 4.20. Before, the filter refuses them one by one.
        let _ = socket.set(libc::SOL_PACKET, libc::PACKET_IGNORE_OUTGOING, &1_i32);
        Ok(socket)
    }

    /// Has it receive from this link.
    pub(super) fn listen(&self, link: &Link) -> Result<(), PacketError> {
        self.bind(link, libc::ETH_P_ALL as u16)?;
        match self.take_error().and_then(|error| error.raw_os_error()) {
            // The kernel binds to links that are down, and says so here.
            Some(libc::ENETDOWN) => Err(PacketError::Down(link.name.clone())),
            _ => Ok(()),
        }
    }

    fn open() -> Result<Self, PacketError> {
        let kind = libc::SOCK_RAW | libc::SOCK_CLOEXEC | libc::SOCK_NONBLOCK;
        // SAFETY: socket(2) with constants.
        let raw = unsafe { libc::socket(libc::AF_PACKET, kind, 0) };
        if raw < 0 {
            let error = io::Error::last_os_error();
            return Err(match error.raw_os_error() {
                Some(libc::EPERM | libc::EACCES) => PacketError::Privilege,
                Some(libc::EAFNOSUPPORT) => PacketError::Kernel,
                _ => PacketError::Open(error),
            });
        }
        // SAFETY: a descriptor that was opened just now and that nobody else knows.
        Ok(Self { descriptor: unsafe { OwnedFd::from_raw_fd(raw) } })
    }

    fn bind(&self, link: &Link, protocol: u16) -> Result<(), PacketError> {
        let address = address(link, protocol);
        // SAFETY: the kernel reads as many bytes as the structure has.
        let status = unsafe {
            let at = (&raw const address).cast::<libc::sockaddr>();
            libc::bind(self.descriptor.as_raw_fd(), at, size_of::<libc::sockaddr_ll>() as socklen_t)
        };
        if status == 0 {
            return Ok(());
        }
        let source = io::Error::last_os_error();
        Err(match source.raw_os_error() {
            Some(libc::ENODEV | libc::ENXIO) => PacketError::Gone(link.name.clone()),
            Some(libc::ENETDOWN) => PacketError::Down(link.name.clone()),
            _ => PacketError::Bind { interface: link.name.clone(), source },
        })
    }

    fn attach(&self, filter: &Program) -> io::Result<()> {
        let instructions: Vec<libc::sock_filter> = filter
            .iter()
            .map(|i| libc::sock_filter { code: i.code, jt: i.if_true, jf: i.if_false, k: i.operand })
            .collect();
        let program = libc::sock_fprog { len: instructions.len() as u16, filter: instructions.as_ptr().cast_mut() };
        // The kernel reads `len` instructions behind the pointer and copies them; both outlive the call.
        self.set(libc::SOL_SOCKET, libc::SO_ATTACH_FILTER, &program)
    }

    /// Shares what comes with the sockets of a group, or starts one.
    pub(super) fn join(&self, group: Option<Group>) -> Result<Group, PacketError> {
        let failed = |source| PacketError::Option { interface: "its link".to_owned(), option: "share packets", source };
        let kind = FANOUT_HASH | FANOUT_IGNORE_OUTGOING;
        let (id, kind) = match group {
            Some(Group(id)) => (id, kind),
            None => (0, kind | FANOUT_UNIQUE_ID),
        };
        self.set(libc::SOL_PACKET, libc::PACKET_FANOUT, &(u32::from(id) | kind << 16)).map_err(failed)?;
        // SAFETY: a plain number.
        let told: u32 = unsafe { self.get(libc::SOL_PACKET, libc::PACKET_FANOUT) }.map_err(failed)?;
        // The id is the lower half.
        Ok(Group(told as u16))
    }

    /// What was counted since the last call; zeros where the kernel does not tell.
    pub(super) fn take_statistics(&self) -> PacketStatistics {
        // SAFETY: `tpacket_stats` is two plain numbers.
        let told = unsafe { self.get::<libc::tpacket_stats>(libc::SOL_PACKET, libc::PACKET_STATISTICS) };
        told.map_or_else(
            |_| PacketStatistics::default(),
            |told| PacketStatistics { packets: told.tp_packets.into(), drops: told.tp_drops.into() },
        )
    }

    /// The error that waits on the socket, if one does.
    pub(super) fn take_error(&self) -> Option<io::Error> {
        // SAFETY: a plain number.
        let told: c_int = unsafe { self.get(libc::SOL_SOCKET, libc::SO_ERROR) }.unwrap_or(0);
        (told != 0).then(|| io::Error::from_raw_os_error(told))
    }

    /// Sets an option. What the kernel does with the value must be to read it, and what its pointers point to.
    pub(super) fn set<T>(&self, level: c_int, option: c_int, value: &T) -> io::Result<()> {
        // SAFETY: `value` is valid for as many bytes as are said, and setsockopt(2) only reads. The options that are set in this
        // module have no pointers but that to the filter's instructions, which `attach` has alive.
        let status = unsafe {
            let at = std::ptr::from_ref(value).cast();
            libc::setsockopt(self.descriptor.as_raw_fd(), level, option, at, size_of::<T>() as socklen_t)
        };
        if status == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
    }

    /// # Safety
    /// `T` is plain numbers, for which zeros and anything that the kernel writes are valid.
    unsafe fn get<T>(&self, level: c_int, option: c_int) -> io::Result<T> {
        // SAFETY: zeros are valid by the caller's promise.
        let mut value: T = unsafe { std::mem::zeroed() };
        let mut len = size_of::<T>() as socklen_t;
        // SAFETY: the kernel writes at most `len` bytes, which is what `value` has.
        let status = unsafe {
            libc::getsockopt(self.descriptor.as_raw_fd(), level, option, (&raw mut value).cast(), &raw mut len)
        };
        if status == 0 { Ok(value) } else { Err(io::Error::last_os_error()) }
    }
}

impl AsFd for Socket {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.descriptor.as_fd()
    }
}

/// The address of a link, for packets of this protocol (linux/if_ether.h).
pub(super) fn address(link: &Link, protocol: u16) -> libc::sockaddr_ll {
    libc::sockaddr_ll {
        // Fits: AF_PACKET is 17.
        sll_family: libc::AF_PACKET as u16,
        sll_protocol: protocol.to_be(),
        sll_ifindex: link.index.cast_signed(),
        sll_hatype: 0,
        sll_pkttype: 0,
        sll_halen: 0,
        sll_addr: [0; 8],
    }
}
