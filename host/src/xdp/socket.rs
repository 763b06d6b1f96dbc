//! One AF_XDP socket: made, given its UMEM, its rings mapped, bound to one queue of one interface (net/xdp/xsk.c).

use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd, RawFd};
use std::ptr::NonNull;
use std::sync::atomic::{AtomicU32, AtomicU64};
use std::time::Duration;

use libc::{c_int, c_void, socklen_t};
use nix::sys::resource::{Resource, getrlimit, setrlimit};
use wirehaul_core::xsk::ring::{NoRing, RingMemory};
use wirehaul_core::xsk::{Kick, Queue, QueueMemory};

use super::umem::Umem;

/// Raises how many packets one call sends in copy mode (Linux 6.18; include/uapi/linux/if_xdp.h).
const XDP_MAX_TX_SKB_BUDGET: c_int = 9;
/// Between two attempts to bind a queue that is still held.
const BIND_PAUSE: Duration = Duration::from_millis(20);

/// How packets get from the driver into frames and back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BindMode {
    /// The card reads and writes frames itself.
    ZeroCopy,
    /// The kernel copies.
    Copy,
}

/// What a socket is to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SocketOptions {
    /// The interface's index.
    pub interface: u32,
    /// The receive queue.
    pub queue: u32,
    /// How.
    pub mode: BindMode,
    /// Entries of the fill ring and of the receive ring; a power of two.
    pub receive_entries: u32,
    /// Entries of the transmit ring and of the completion ring; a power of two.
    pub transmit_entries: u32,
    /// Whether packets may lie in several chunks.
    pub multi_buffer: bool,
    /// Microseconds that the kernel polls the queue for in system calls, instead of interrupts.
    pub busy_poll_us: Option<u32>,
    /// How often to try, 20 ms apart: a queue that was released a moment ago is still held by the kernel's clean-up work.
    pub attempts: u32,
}

/// Which step of making a socket failed.
#[derive(Debug, thiserror::Error)]
pub enum SocketError {
    /// No socket of this family.
    #[error("{}", open_message(.0))]
    Open(#[source] io::Error),
    /// The kernel does not take the memory.
    #[error("{}", register_message(.source, *.bytes))]
    Register {
        /// How much it is.
        bytes: usize,
        /// What the kernel said.
        source: io::Error,
    },
    /// A ring cannot be had.
    #[error("cannot set up the {ring} ring: {source}")]
    Ring {
        /// Which.
        ring: &'static str,
        /// What the kernel said.
        source: io::Error,
    },
    /// What the kernel mapped is no ring.
    #[error("the kernel's {ring} ring makes no sense ({reason:?})")]
    Strange {
        /// Which.
        ring: &'static str,
        /// Why.
        reason: NoRing,
    },
    /// The queue is not to be had.
    #[error("{}", bind_message(*.queue, *.mode, .source))]
    Bind {
        /// Which.
        queue: u32,
        /// How.
        mode: BindMode,
        /// What the kernel said.
        source: io::Error,
    },
}

fn open_message(error: &io::Error) -> String {
    match error.raw_os_error() {
        Some(libc::EPERM) => "AF_XDP sockets need the capability CAP_NET_RAW: run as root, or `setcap cap_net_raw,cap_net_admin,cap_bpf+ep` on the program".to_owned(),
        Some(libc::EAFNOSUPPORT) => "this kernel has no AF_XDP (CONFIG_XDP_SOCKETS): use --transport udp".to_owned(),
        _ => format!("cannot open an AF_XDP socket: {error}"),
    }
}

fn register_message(error: &io::Error, bytes: usize) -> String {
    match error.raw_os_error() {
        Some(libc::ENOBUFS) => format!(
            "the limit of locked memory does not allow {bytes} bytes for packets: raise it (`ulimit -l unlimited`, or LimitMEMLOCK=infinity in a systemd unit)"
        ),
        _ => format!("the kernel does not take {bytes} bytes of memory for packets: {error}"),
    }
}

fn bind_message(queue: u32, mode: BindMode, error: &io::Error) -> String {
    match (mode, error.raw_os_error()) {
        (_, Some(libc::EBUSY)) => {
            format!("queue {queue} is used by another AF_XDP socket: end that program, or choose another interface")
        }
        (_, Some(libc::EINVAL)) => {
            format!(
                "queue {queue} is none of the active ones: `ethtool -l` shows them, `ethtool -L` changes their number"
            )
        }
        (_, Some(libc::ENODEV)) => "the interface does not exist any more".to_owned(),
        (_, Some(libc::ENETDOWN)) => "the interface is down: `ip link set dev NAME up`".to_owned(),
        (BindMode::ZeroCopy, Some(libc::EOPNOTSUPP)) => {
            format!("the driver has no zero-copy for queue {queue} with these settings")
        }
        (BindMode::Copy, Some(libc::EOPNOTSUPP)) => format!("the kernel does not support copy mode on queue {queue}"),
        _ => format!("cannot bind queue {queue}: {error}"),
    }
}

/// A socket that is bound. Its queue was given out once; its rings stay mapped until it is dropped.
#[derive(Debug)]
pub(super) struct Socket {
    // Unmapped before the socket is closed: a mapping keeps the queue bound.
    _rings: [Mapping; 4],
    socket: OwnedFd,
    is_zero_copy: bool,
}

/// What the kernel counted (XDP_STATISTICS).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SocketStatistics {
    /// Packets dropped for a reason other than a ring.
    pub rx_dropped: u64,
    /// Packets dropped because the receive ring was full.
    pub rx_ring_full: u64,
    /// Packets dropped because the fill ring was empty.
    pub rx_fill_ring_empty: u64,
    /// Addresses in the fill ring that were none.
    pub rx_invalid: u64,
    /// Descriptors in the transmit ring that were none.
    pub tx_invalid: u64,
    /// Times that the transmit ring was found empty.
    pub tx_ring_empty: u64,
}

impl SocketStatistics {
    /// Adds those of another socket.
    pub(super) const fn add(&mut self, other: &Self) {
        self.rx_dropped += other.rx_dropped;
        self.rx_ring_full += other.rx_ring_full;
        self.rx_fill_ring_empty += other.rx_fill_ring_empty;
        self.rx_invalid += other.rx_invalid;
        self.tx_invalid += other.tx_invalid;
        self.tx_ring_empty += other.tx_ring_empty;
    }
}

impl Socket {
    /// Opens, registers, maps and binds. The first socket of a UMEM registers it; those behind it share that one's.
    ///
    /// # Safety
    /// The queue, and all frames of `umem` that were lent through it, are gone before the socket is dropped; the memory of
    /// `umem` stays mapped until then, and its frames are lent to the kernel through queues of this UMEM only.
    pub(super) unsafe fn open(
        umem: &Umem,
        options: &SocketOptions,
        share: Option<BorrowedFd<'_>>,
    ) -> Result<(Self, Queue<'static>), SocketError> {
        let kind = libc::SOCK_RAW | libc::SOCK_CLOEXEC | libc::SOCK_NONBLOCK;
        // SAFETY: socket(2) with constants.
        let raw = unsafe { libc::socket(libc::AF_XDP, kind, 0) };
        if raw < 0 {
            return Err(SocketError::Open(io::Error::last_os_error()));
        }
        // SAFETY: a descriptor that was opened just now and that nobody else knows.
        let socket = unsafe { <OwnedFd as std::os::fd::FromRawFd>::from_raw_fd(raw) };
        if share.is_none() {
            register(&socket, umem)?;
        }
        let rings = Rings::set_up(&socket, options)?;
        // SAFETY: the mappings live in the same `Socket` that is returned beside the queue, and by this function's contract
        // the queue is gone before it is dropped.
        let memory = unsafe { rings.memory()? };
        if let Some(micros) = options.busy_poll_us {
            prefer_busy_polling(&socket, micros, options.transmit_entries);
        }
        bind(&socket, options, share)?;
        raise_budget(&socket, options.transmit_entries);
        let mut queue = Queue::new(umem.id(), memory).map_err(|reason| SocketError::Strange { ring: "new", reason })?;
        queue.set_polled(options.busy_poll_us.is_some());
        let is_zero_copy = is_zero_copy(&socket);
        Ok((Self { _rings: rings.maps, socket, is_zero_copy }, queue))
    }

    /// Whether the kernel says that nothing is copied.
    pub(super) const fn is_zero_copy(&self) -> bool {
        self.is_zero_copy
    }

    /// Has the kernel send what the transmit ring holds.
    pub(super) fn kick_transmit(&self) -> Kick {
        // SAFETY: without bytes and without an address there is nothing that the call could read.
        let status = unsafe {
            libc::sendto(self.socket.as_raw_fd(), std::ptr::null(), 0, libc::MSG_DONTWAIT, std::ptr::null(), 0)
        };
        outcome(status)
    }

    /// Has the kernel look at the fill ring again.
    pub(super) fn kick_receive(&self) -> Kick {
        // SAFETY: without room for bytes or an address there is nothing that the call could write.
        let status = unsafe {
            let none = std::ptr::null_mut();
            libc::recvfrom(self.socket.as_raw_fd(), none, 0, libc::MSG_DONTWAIT, none.cast(), none.cast())
        };
        outcome(status)
    }

    /// What the kernel counted; zeros where it does not tell.
    pub(super) fn statistics(&self) -> SocketStatistics {
        // Where the kernel copies, it counts a packet without a frame as dropped too (net/xdp/xsk.c, `__xsk_rcv`).
        let counted_twice = |without_frame| if self.is_zero_copy { 0 } else { without_frame };
        // SAFETY: `xdp_statistics` is plain numbers, and the kernel writes no more of them than there is room for.
        let told = unsafe { get_option::<libc::xdp_statistics>(&self.socket, libc::XDP_STATISTICS) };
        told.map_or_else(
            |_| SocketStatistics::default(),
            |told| SocketStatistics {
                rx_dropped: told.rx_dropped.saturating_sub(counted_twice(told.rx_fill_ring_empty_descs)),
                rx_ring_full: told.rx_ring_full,
                rx_fill_ring_empty: told.rx_fill_ring_empty_descs,
                rx_invalid: told.rx_invalid_descs,
                tx_invalid: told.tx_invalid_descs,
                tx_ring_empty: told.tx_ring_empty_descs,
            },
        )
    }
}

impl AsFd for Socket {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

/// What a kick led to: net/xdp/xsk.c, `__xsk_sendmsg` and `__xsk_generic_xmit`.
fn outcome(status: isize) -> Kick {
    if status >= 0 {
        return Kick::Done;
    }
    match io::Error::last_os_error().raw_os_error() {
        Some(libc::EAGAIN | libc::EBUSY | libc::ENOBUFS | libc::EINTR) => Kick::Again,
        Some(libc::ENETDOWN) => Kick::Down,
        Some(libc::ENXIO) => Kick::Unbound,
        _ => Kick::Failed,
    }
}

fn register(socket: &OwnedFd, umem: &Umem) -> Result<(), SocketError> {
    let (memory, size) = (umem.memory(), umem.size());
    let registration = libc::xdp_umem_reg {
        addr: memory.start().as_ptr() as u64,
        len: size.bytes() as u64,
        chunk_size: size.chunk_bytes,
        headroom: 0,
        flags: 0,
        tx_metadata_len: 0,
    };
    let attempt = || {
        // SAFETY: what the kernel reads of the option is plain numbers; that it may use the memory from now on is what
        // `open`'s contract is about.
        unsafe { set_option(socket, libc::XDP_UMEM_REG, &registration) }
    };
    let mut registered = attempt();
    // The limit of locked memory counts where CAP_IPC_LOCK is missing (net/xdp/xdp_umem.c, `xdp_umem_account_pages`).
    if registered.as_ref().is_err_and(|error| error.raw_os_error() == Some(libc::ENOBUFS)) && raise_locked_limit() {
        registered = attempt();
    }
    registered.map_err(|source| SocketError::Register { bytes: size.bytes(), source })
}

/// Raises this process's limit of locked memory to what it may have; whether that is more than before.
fn raise_locked_limit() -> bool {
    let Ok((soft, hard)) = getrlimit(Resource::RLIMIT_MEMLOCK) else { return false };
    soft < hard && setrlimit(Resource::RLIMIT_MEMLOCK, hard, hard).is_ok()
}

fn bind(socket: &OwnedFd, options: &SocketOptions, share: Option<BorrowedFd<'_>>) -> Result<(), SocketError> {
    let mut flags = libc::XDP_USE_NEED_WAKEUP;
    flags |= match options.mode {
        BindMode::ZeroCopy => libc::XDP_ZEROCOPY,
        BindMode::Copy => libc::XDP_COPY,
    };
    flags |= if options.multi_buffer { libc::XDP_USE_SG } else { 0 };
    let mut address = libc::sockaddr_xdp {
        // Fits: AF_XDP is 44.
        sxdp_family: libc::AF_XDP as u16,
        sxdp_flags: flags,
        sxdp_ifindex: options.interface,
        sxdp_queue_id: options.queue,
        sxdp_shared_umem_fd: 0,
    };
    if let Some(first) = share {
        // The first socket's flags hold for all; others beside this one are refused.
        address.sxdp_flags = libc::XDP_SHARED_UMEM;
        address.sxdp_shared_umem_fd = first.as_raw_fd().unsigned_abs();
    }
    let mut attempt = 0;
    loop {
        // SAFETY: the kernel reads as many bytes as the structure has.
        let status = unsafe {
            let at = (&raw const address).cast::<libc::sockaddr>();
            libc::bind(socket.as_raw_fd(), at, size_of::<libc::sockaddr_xdp>() as socklen_t)
        };
        if status == 0 {
            return Ok(());
        }
        let source = io::Error::last_os_error();
        attempt += 1;
        if source.raw_os_error() != Some(libc::EBUSY) || attempt >= options.attempts {
            return Err(SocketError::Bind { queue: options.queue, mode: options.mode, source });
        }
        std::thread::sleep(BIND_PAUSE);
    }
}

/// As many packets per call as the ring holds. Where the kernel has no such option, it sends 32 per call, and is called again.
fn raise_budget(socket: &OwnedFd, entries: u32) {
    // SAFETY: the kernel reads one number.
    let _ = unsafe { set_option(socket, XDP_MAX_TX_SKB_BUDGET, &entries) };
}

/// SO_PREFER_BUSY_POLL: in system calls the kernel polls the card, and its interrupts stay off meanwhile. What of that the
/// kernel does not have, it goes on without.
fn prefer_busy_polling(socket: &OwnedFd, micros: u32, budget: u32) {
    let options =
        [(libc::SO_PREFER_BUSY_POLL, 1), (libc::SO_BUSY_POLL, micros), (libc::SO_BUSY_POLL_BUDGET, budget.min(512))];
    for (option, value) in options {
        // SAFETY: the kernel reads one number.
        let _ = unsafe { set_option_at(socket, libc::SOL_SOCKET, option, &value) };
    }
}

fn is_zero_copy(socket: &OwnedFd) -> bool {
    // SAFETY: `xdp_options` is one number.
    let options = unsafe { get_option::<libc::xdp_options>(socket, libc::XDP_OPTIONS) };
    options.is_ok_and(|options| options.flags & libc::XDP_OPTIONS_ZEROCOPY != 0)
}

/// The four rings, mapped.
struct Rings {
    maps: [Mapping; 4],
    offsets: [libc::xdp_ring_offset; 4],
}

const RING_NAMES: [&str; 4] = ["fill", "receive", "transmit", "completion"];

impl Rings {
    fn set_up(socket: &OwnedFd, options: &SocketOptions) -> Result<Self, SocketError> {
        let (receive, transmit) = (options.receive_entries, options.transmit_entries);
        let descriptor = size_of::<libc::xdp_desc>();
        let address = size_of::<u64>();
        // In the order of RING_NAMES: option, page offset, entries, bytes of one.
        let rings = [
            (libc::XDP_UMEM_FILL_RING, libc::XDP_UMEM_PGOFF_FILL_RING as libc::off_t, receive, address),
            (libc::XDP_RX_RING, libc::XDP_PGOFF_RX_RING, receive, descriptor),
            (libc::XDP_TX_RING, libc::XDP_PGOFF_TX_RING, transmit, descriptor),
            (libc::XDP_UMEM_COMPLETION_RING, libc::XDP_UMEM_PGOFF_COMPLETION_RING as libc::off_t, transmit, address),
        ];
        for ((option, _, entries, _), ring) in rings.iter().zip(RING_NAMES) {
            // SAFETY: the kernel reads one number.
            unsafe { set_option(socket, *option, entries) }.map_err(|source| SocketError::Ring { ring, source })?;
        }
        // SAFETY: the structure is plain numbers.
        let offsets = unsafe { get_option::<libc::xdp_mmap_offsets>(socket, libc::XDP_MMAP_OFFSETS) }
            .map_err(|source| SocketError::Ring { ring: "first", source })?;
        let offsets = [offsets.fr, offsets.rx, offsets.tx, offsets.cr];
        let map = |index: usize| {
            let ((_, page_offset, entries, bytes), offset) = (rings[index], &offsets[index]);
            let len = offset.desc as usize + entries as usize * bytes;
            Mapping::of(socket, page_offset, len)
                .map_err(|source| SocketError::Ring { ring: RING_NAMES[index], source })
        };
        let maps = [map(0)?, map(1)?, map(2)?, map(3)?];
        Ok(Self { maps, offsets })
    }

    /// The rings as atomics.
    ///
    /// # Safety
    /// What is returned is gone before the mappings are.
    unsafe fn memory(&self) -> Result<QueueMemory<'static>, SocketError> {
        let ring = |index: usize| {
            // SAFETY: passed on to the caller.
            unsafe { self.maps[index].ring(&self.offsets[index]) }
                .ok_or(SocketError::Strange { ring: RING_NAMES[index], reason: NoRing::Size })
        };
        Ok(QueueMemory { fill: ring(0)?, receive: ring(1)?, transmit: ring(2)?, completion: ring(3)? })
    }
}

/// Memory that is shared with the kernel.
#[derive(Debug)]
struct Mapping {
    start: NonNull<u8>,
    len: usize,
}

// SAFETY: it owns its mapping, and all access to what is in it is by atomics.
unsafe impl Send for Mapping {}

impl Mapping {
    fn of(socket: &OwnedFd, offset: libc::off_t, len: usize) -> io::Result<Self> {
        let (protection, flags) = (libc::PROT_READ | libc::PROT_WRITE, libc::MAP_SHARED | libc::MAP_POPULATE);
        // SAFETY: a new mapping where the kernel chooses touches no memory of anybody.
        let start = unsafe { libc::mmap(std::ptr::null_mut(), len, protection, flags, socket.as_raw_fd(), offset) };
        match NonNull::new(start.cast::<u8>()) {
            Some(start) if start.as_ptr().cast::<c_void>() != libc::MAP_FAILED => Ok(Self { start, len }),
            _ => Err(io::Error::last_os_error()),
        }
    }

    /// The ring in this mapping; `None` where what the kernel says of it does not lie inside, or not at a word's place.
    ///
    /// # Safety
    /// What is returned is gone before this mapping is.
    unsafe fn ring(&self, offset: &libc::xdp_ring_offset) -> Option<RingMemory<'static>> {
        let inside = |at: u64, align: usize| {
            let at = usize::try_from(at).ok()?;
            (at.is_multiple_of(align) && at.checked_add(align)? <= self.len).then_some(at)
        };
        let index = |at: u64| {
            let at = inside(at, align_of::<AtomicU32>())?;
            // SAFETY: inside of the mapping, aligned, and mapped for as long as the result lives; the kernel and we use these
            // four bytes as an atomic number only.
            Some(unsafe { &*self.start.as_ptr().add(at).cast::<AtomicU32>() })
        };
        let begin = inside(offset.desc, align_of::<AtomicU64>())?;
        let words = (self.len - begin) / size_of::<AtomicU64>();
        // SAFETY: from `begin` to the end of the mapping there are so many aligned words; as above.
        let words = unsafe { std::slice::from_raw_parts(self.start.as_ptr().add(begin).cast::<AtomicU64>(), words) };
        Some(RingMemory {
            producer: index(offset.producer)?,
            consumer: index(offset.consumer)?,
            flags: index(offset.flags)?,
            words,
        })
    }
}

impl Drop for Mapping {
    fn drop(&mut self) {
        // SAFETY: the mapping is ours, and by the contract of `ring` nothing points into it any more.
        unsafe { libc::munmap(self.start.as_ptr().cast(), self.len) };
    }
}

/// # Safety
/// For this option the kernel does nothing with the bytes of `value` but read them.
unsafe fn set_option<T>(socket: &OwnedFd, option: c_int, value: &T) -> io::Result<()> {
    // SAFETY: passed on to the caller.
    unsafe { set_option_at(socket, libc::SOL_XDP, option, value) }
}

/// # Safety
/// As [`set_option`].
unsafe fn set_option_at<T>(socket: &OwnedFd, level: c_int, option: c_int, value: &T) -> io::Result<()> {
    let descriptor: RawFd = socket.as_raw_fd();
    // SAFETY: `value` is valid for as many bytes as are said; the rest is the caller's promise.
    let status = unsafe {
        libc::setsockopt(descriptor, level, option, std::ptr::from_ref(value).cast(), size_of::<T>() as socklen_t)
    };
    if status == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

/// # Safety
/// `T` is plain numbers, for which zeros and anything that the kernel writes are valid.
unsafe fn get_option<T>(socket: &OwnedFd, option: c_int) -> io::Result<T> {
    // SAFETY: zeros are valid by the caller's promise.
    let mut value: T = unsafe { std::mem::zeroed() };
    let mut len = size_of::<T>() as socklen_t;
    // SAFETY: the kernel writes at most `len` bytes, which is what `value` has.
    let status =
        unsafe { libc::getsockopt(socket.as_raw_fd(), libc::SOL_XDP, option, (&raw mut value).cast(), &raw mut len) };
    if status == 0 { Ok(value) } else { Err(io::Error::last_os_error()) }
}
