//! The port filter in the kernel: its program, its maps, and what can be asked of them.

mod call;
mod program;
#[cfg(test)]
mod tests;

use std::ffi::CString;
use std::io;
use std::net::IpAddr;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use thiserror::Error;
use wirehaul_core::filter::asm::AsmError;
use wirehaul_core::filter::{Front, Maps, PortKey, Program, Verdict, port_filter, scan_filter};

use call::{MapKind, MapShape};
pub(super) use call::{attach, detach};
pub use program::FrameProgram;

/// How many pairs of address and port a filter can be open for.
pub const PORTS_CAPACITY: u32 = 1024;

/// Functions of the kernel that are for GPL programs only are not called, so that the program can have our own licence.
const LICENSE: &std::ffi::CStr = c"MIT OR Apache-2.0";
/// What it is called in `ip link show` and `bpftool prog`.
const PROGRAM_NAME: &std::ffi::CStr = c"wirehaul_ports";

const PORTS: MapShape = MapShape {
    kind: MapKind::Hash as u32,
    key_bytes: PortKey::BYTES as u32,
    // Nobody reads it.
    value_bytes: 4,
    entries: PORTS_CAPACITY,
};

const FRONT: MapShape =
    MapShape { kind: MapKind::Array as u32, key_bytes: 4, value_bytes: Front::BYTES as u32, entries: 1 };

/// What the filter needs, for messages.
const NEEDED: &str = "run as root, or give the program CAP_BPF, CAP_NET_ADMIN and CAP_NET_RAW \
    (before Linux 5.11 also `ulimit -l unlimited`)";

/// What failed, by operation.
#[derive(Debug, Error)]
pub enum FilterError {
    /// This process may not use BPF (EPERM).
    #[error("no permission to {operation}: {NEEDED}")]
    Privilege {
        /// What was tried.
        operation: &'static str,
    },
    /// The kernel was built without what is needed.
    #[error("this kernel cannot {operation}: it was built without CONFIG_BPF_SYSCALL or CONFIG_XDP_SOCKETS")]
    Kernel {
        /// What was tried.
        operation: &'static str,
    },
    /// The program was not put together. No input leads here.
    #[error("the filter program cannot be built ({0:?}): please report this")]
    Assemble(AsmError),
    /// The map of ports was not made.
    #[error("cannot create the filter's map of ports: {0}")]
    CreatePorts(#[source] io::Error),
    /// The map of sockets was not made.
    #[error("cannot create the filter's map of sockets for {queues} queues: {source}")]
    CreateSockets {
        /// For how many queues.
        queues: u32,
        /// What the system said.
        source: io::Error,
    },
    /// Somebody else's map is not there, or cannot be opened.
    #[error("cannot open the pinned map {}: {source}", .path.display())]
    OpenPinned {
        /// Where it should be.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// Somebody else's map is something else.
    #[error("this is not a map of AF_XDP sockets (BPF_MAP_TYPE_XSKMAP): {0}")]
    NotASocketMap(String),
    /// The kernel refused the program.
    #[error("the kernel refuses the filter program: {source}{}", reason_in(.log))]
    Load {
        /// What the system said.
        source: io::Error,
        /// What the verifier said; may be empty.
        log: String,
    },
    /// There is no room for another address and port.
    #[error("the filter is open for {PORTS_CAPACITY} addresses and ports already: close some first")]
    PortsFull,
    /// An address and port was not let in.
    #[error("cannot open the filter for {address} port {port}: {source}")]
    Add {
        /// The address.
        address: IpAddr,
        /// The port.
        port: u16,
        /// What the system said.
        source: io::Error,
    },
    /// An address and port is still let in.
    #[error("cannot close the filter for {address} port {port}: {source}")]
    Remove {
        /// The address.
        address: IpAddr,
        /// The port.
        port: u16,
        /// What the system said.
        source: io::Error,
    },
    /// The filter was made for fewer queues.
    #[error("the filter has no place for queue {queue}: it was made for {queues} queues")]
    NoSuchQueue {
        /// The queue, counted from 0.
        queue: u32,
        /// How many there are.
        queues: u32,
    },
    /// A queue's packets do not go to the socket.
    #[error("cannot lead queue {queue} to its socket: {source}")]
    BindQueue {
        /// The queue.
        queue: u32,
        /// What the system said.
        source: io::Error,
    },
    /// A queue's packets still go to its socket.
    #[error("cannot lead queue {queue} back to the kernel: {source}")]
    UnbindQueue {
        /// The queue.
        queue: u32,
        /// What the system said.
        source: io::Error,
    },
    /// The filter could not be tried on a packet.
    #[error("cannot run the filter over a packet of {bytes} bytes: {source}")]
    TestRun {
        /// How long it is.
        bytes: usize,
        /// What the system said.
        source: io::Error,
    },
}

/// What the verifier says in the end, without what it went through before, and its statistics behind.
fn reason_in(log: &str) -> String {
    let mut lines = log.lines().rev().filter(|line| !line.trim().is_empty() && !line.starts_with("processed "));
    lines.next().map_or_else(String::new, |line| format!(" ({})", line.trim()))
}

impl FilterError {
    /// The causes that are the same for every operation.
    fn common(operation: &'static str, error: io::Error, otherwise: impl FnOnce(io::Error) -> Self) -> Self {
        match error.raw_os_error() {
            Some(libc::EPERM) => Self::Privilege { operation },
            Some(libc::ENOSYS) => Self::Kernel { operation },
            _ => otherwise(error),
        }
    }
}

/// A map of AF_XDP sockets by receive queue (XSKMAP): made here, or by whoever else loads programs (libxdp, bpfman).
///
/// With somebody else's program on the interface, its map is all that is needed: [`SocketMap::bind`] leads queues to sockets.
#[derive(Debug)]
pub struct SocketMap {
    descriptor: OwnedFd,
    shape: MapShape,
}

impl SocketMap {
    /// Makes one for the queues `0..queues`; at least 1.
    ///
    /// # Errors
    /// [`FilterError::Privilege`], [`FilterError::Kernel`] or [`FilterError::CreateSockets`].
    pub fn create(queues: u32) -> Result<Self, FilterError> {
        let operation = "create a map of AF_XDP sockets";
        let shape = MapShape { kind: MapKind::Sockets as u32, key_bytes: 4, value_bytes: 4, entries: queues };
        let descriptor = call::create_map(c"wirehaul_socks", shape).map_err(|error| {
            // The kernel does not know the kind of map.
            if error.raw_os_error() == Some(libc::EINVAL) && queues > 0 {
                return FilterError::Kernel { operation };
            }
            FilterError::common(operation, error, |source| FilterError::CreateSockets { queues, source })
        })?;
        Ok(Self { descriptor, shape })
    }

    /// Takes a map that somebody else made and passed on.
    ///
    /// # Errors
    /// [`FilterError::NotASocketMap`]
    pub fn from_descriptor(descriptor: OwnedFd) -> Result<Self, FilterError> {
        let shape =
            call::shape_of(descriptor.as_fd()).map_err(|error| FilterError::NotASocketMap(error.to_string()))?;
        if (shape.kind, shape.key_bytes, shape.value_bytes) != (MapKind::Sockets as u32, 4, 4) {
            return Err(FilterError::NotASocketMap(format!("it is of type {}", shape.kind)));
        }
        Ok(Self { descriptor, shape })
    }

    /// Opens a map that somebody else pinned, as `/sys/fs/bpf/xsks_map`.
    ///
    /// # Errors
    /// [`FilterError::Privilege`], [`FilterError::OpenPinned`] or [`FilterError::NotASocketMap`].
    pub fn open_pinned(path: &Path) -> Result<Self, FilterError> {
        let failed = |error| {
            FilterError::common("open a pinned map", error, |source| FilterError::OpenPinned {
                path: path.to_owned(),
                source,
            })
        };
        let name = CString::new(path.as_os_str().as_bytes()).map_err(|error| failed(error.into()))?;
        Self::from_descriptor(call::open_pinned(&name).map_err(failed)?)
    }

    /// For how many queues there is a place.
    #[must_use]
    pub const fn queues(&self) -> u32 {
        self.shape.entries
    }

    /// Leads packets of this queue to this AF_XDP socket, instead of the one before.
    ///
    /// The map does not keep a socket open; the kernel takes one out that is closed.
    ///
    /// # Errors
    /// [`FilterError::NoSuchQueue`], or [`FilterError::BindQueue`]: above all where this is no AF_XDP socket.
    pub fn bind(&self, queue: u32, socket: BorrowedFd<'_>) -> Result<(), FilterError> {
        self.check(queue)?;
        let value = socket.as_raw_fd().to_ne_bytes();
        call::set(self.descriptor.as_fd(), self.shape, &queue.to_ne_bytes(), &value).map_err(|error| {
            FilterError::common("put a socket into the filter's map", error, |source| FilterError::BindQueue {
                queue,
                source,
            })
        })
    }

    /// Leaves packets of this queue to the kernel.
    ///
    /// # Errors
    /// [`FilterError::NoSuchQueue`] or [`FilterError::UnbindQueue`].
    pub fn unbind(&self, queue: u32) -> Result<(), FilterError> {
        self.check(queue)?;
        match call::remove(self.descriptor.as_fd(), self.shape, &queue.to_ne_bytes()) {
            Err(error) if error.raw_os_error() != Some(libc::ENOENT) => {
                Err(FilterError::common("take a socket out of the filter's map", error, |source| {
                    FilterError::UnbindQueue { queue, source }
                }))
            }
            _ => Ok(()),
        }
    }

    fn check(&self, queue: u32) -> Result<(), FilterError> {
        let queues = self.queues();
        if queue < queues { Ok(()) } else { Err(FilterError::NoSuchQueue { queue, queues }) }
    }
}

/// The port filter, loaded (XDP-8): see [`wirehaul_core::filter`] for what it does.
///
/// It is open for nothing at first. Ports and sockets can be changed while it is attached.
#[derive(Debug)]
pub struct PortFilter {
    pub(super) program: OwnedFd,
    ports: OwnedFd,
    front: FrontMap,
    sockets: SocketMap,
}

/// The array with the first few of the ports; see [`Front`].
#[derive(Debug)]
struct FrontMap {
    descriptor: OwnedFd,
    front: Mutex<Front>,
}

impl FrontMap {
    fn create() -> io::Result<Self> {
        Ok(Self { descriptor: call::create_map(c"wirehaul_front", FRONT)?, front: Mutex::default() })
    }

    /// Changes it here, and in the kernel where `change` says that something is different now.
    fn change(&self, change: impl FnOnce(&mut Front) -> bool) -> io::Result<()> {
        let mut front = self.front.lock().unwrap_or_else(PoisonError::into_inner);
        let mut changed = *front;
        if change(&mut changed) {
            call::set(self.descriptor.as_fd(), FRONT, &0_u32.to_ne_bytes(), &changed.bytes())?;
            *front = changed;
        }
        Ok(())
    }
}

impl PortFilter {
    /// Loads a filter for an interface with this many receive queues, at least 1.
    ///
    /// `frags` says that packets may come in several buffers, as they do where the MTU exceeds a page. Sockets then have to
    /// be bound with XDP_USE_SG. Linux knows it from 5.18 on.
    ///
    /// # Errors
    /// [`FilterError::Privilege`], [`FilterError::Kernel`], [`FilterError::CreatePorts`], [`FilterError::CreateSockets`] or
    /// [`FilterError::Load`].
    pub fn load(queues: u32, frags: bool) -> Result<Self, FilterError> {
        Self::load_with(SocketMap::create(queues)?, frags, u16::MAX)
    }

    /// Loads a filter that leads to the sockets in this map, and leaves datagrams to the kernel whose UDP length exceeds
    /// `longest`: those that no frame holds.
    ///
    /// # Errors
    /// As [`PortFilter::load`].
    pub fn load_with(sockets: SocketMap, frags: bool, longest: u16) -> Result<Self, FilterError> {
        Self::load_program(sockets, frags, |maps| port_filter(maps, longest))
    }

    /// Loads the filter of a survey: an address and port that is added to it stands for TCP and UDP to the 4096 ports from
    /// `first` on, which is to be that port ([`wirehaul_core::filter::is_window`]).
    ///
    /// # Errors
    /// As [`PortFilter::load`].
    pub fn load_for_scan(sockets: SocketMap, frags: bool, first: u16) -> Result<Self, FilterError> {
        Self::load_program(sockets, frags, |maps| scan_filter(maps, first))
    }

    fn load_program(
        sockets: SocketMap,
        frags: bool,
        program: impl FnOnce(Maps) -> Result<Program, AsmError>,
    ) -> Result<Self, FilterError> {
        let ports = call::create_map(c"wirehaul_ports", PORTS).map_err(|error| {
            FilterError::common("create the filter's map of ports", error, FilterError::CreatePorts)
        })?;
        let front = FrontMap::create().map_err(|error| {
            FilterError::common("create the filter's map of ports", error, FilterError::CreatePorts)
        })?;
        let maps = Maps {
            ports: ports.as_raw_fd(),
            front: front.descriptor.as_raw_fd(),
            sockets: sockets.descriptor.as_raw_fd(),
        };
        let program = program(maps).map_err(FilterError::Assemble)?;
        let program = call::load(PROGRAM_NAME, LICENSE, &program, frags).map_err(|(error, log)| {
            FilterError::common("load an XDP program", error, |source| FilterError::Load { source, log })
        })?;
        Ok(Self { program, ports, front, sockets })
    }

    /// Takes datagrams to this address and port away from the kernel. Idempotent.
    ///
    /// There are no wildcards: a socket on all addresses needs each address of the host to be added.
    ///
    /// # Errors
    /// [`FilterError::PortsFull`] or [`FilterError::Add`].
    pub fn add(&self, address: IpAddr, port: u16) -> Result<(), FilterError> {
        let key = PortKey::udp(address, port).bytes();
        let failed = |error: io::Error| match error.raw_os_error() {
            Some(libc::E2BIG) => FilterError::PortsFull,
            _ => FilterError::common("change the filter's ports", error, |source| FilterError::Add {
                address,
                port,
                source,
            }),
        };
        call::set(self.ports.as_fd(), PORTS, &key, &[0; PORTS.value_bytes as usize]).map_err(failed)?;
        self.front.change(|front| front.add(address, port)).map_err(failed)
    }

    /// Gives datagrams to this address and port back to the kernel; says whether they were taken.
    ///
    /// # Errors
    /// [`FilterError::Remove`]
    pub fn remove(&self, address: IpAddr, port: u16) -> Result<bool, FilterError> {
        let failed = |error| {
            FilterError::common("change the filter's ports", error, |source| FilterError::Remove {
                address,
                port,
                source,
            })
        };
        self.front.change(|front| front.remove(address, port)).map_err(failed)?;
        match call::remove(self.ports.as_fd(), PORTS, &PortKey::udp(address, port).bytes()) {
            Ok(()) => Ok(true),
            Err(error) if error.raw_os_error() == Some(libc::ENOENT) => Ok(false),
            Err(error) => Err(failed(error)),
        }
    }

    /// See [`SocketMap::bind`].
    ///
    /// # Errors
    /// As there.
    pub fn bind_queue(&self, queue: u32, socket: BorrowedFd<'_>) -> Result<(), FilterError> {
        self.sockets.bind(queue, socket)
    }

    /// See [`SocketMap::unbind`].
    ///
    /// # Errors
    /// As there.
    pub fn unbind_queue(&self, queue: u32) -> Result<(), FilterError> {
        self.sockets.unbind(queue)
    }

    /// Has the kernel run the filter over an Ethernet frame of 14 bytes or more, as if it came in on queue 0; no interface is
    /// needed.
    ///
    /// # Errors
    /// [`FilterError::Privilege`] or [`FilterError::TestRun`].
    pub fn test_run(&self, packet: &[u8]) -> Result<Verdict, FilterError> {
        let failed = |source| FilterError::TestRun { bytes: packet.len(), source };
        let number = call::test_run(self.program.as_fd(), packet)
            .map_err(|error| FilterError::common("run a BPF program", error, failed))?;
        Verdict::from_number(number).ok_or_else(|| failed(io::ErrorKind::InvalidData.into()))
    }
}
