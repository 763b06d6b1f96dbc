//! Datagrams through the operating system's UDP sockets: the path that works everywhere.
//!
//! Where the kernel segments for us (UDP GSO), a whole run of up to 64 datagrams goes out in one call from one
//! buffer; where it merges (UDP GRO), a whole run comes in with one. Where segmentation is refused, single datagrams
//! are gathered and go out with one `sendmmsg`. A run that the kernel has no room for is held back and sent as soon
//! as there is room, not dropped: [`UdpDevice::wait`] then also waits for room.

mod address;
mod batch;
mod buffers;
#[cfg(target_os = "linux")]
mod departure;
#[cfg(target_os = "linux")]
mod message;
mod overflow;
#[cfg(target_os = "linux")]
mod qdisc;
mod run;
mod socket;
#[cfg(all(test, unix))]
mod tests;
#[cfg(unix)]
mod wait;

use core::array;
use std::io::{self, IoSliceMut};
use std::net::{SocketAddr, UdpSocket};
#[cfg(unix)]
use std::os::fd::{AsFd, BorrowedFd};

#[cfg(unix)]
use nix::poll::PollFlags;
use quinn_udp::{EcnCodepoint, RecvMeta, UdpSocketState};
use wirehaul_core::device::{Device, Ecn, Received, Submitted, Transmit};
use wirehaul_core::pool::{Magazine, Slot};
use wirehaul_core::sources::SourceAddresses;
#[cfg(unix)]
use wirehaul_core::time::Duration;
#[cfg(target_os = "linux")]
use wirehaul_core::time::Instant;

#[cfg(target_os = "linux")]
use crate::clock::Clock;
#[cfg(unix)]
use crate::device::HostDevice;
#[cfg(unix)]
use crate::events::KernelCounters;
use crate::pools::LastingPool;
use address::canonical;
use batch::Batch;
pub use buffers::shared_pool;
#[cfg(target_os = "linux")]
pub use departure::{HORIZON, NotScheduled};
use run::{Run, RunOutcome};
pub use socket::{BindError, BufferBytes};
#[cfg(unix)]
pub use wait::Ready;

/// Runs received per call. A call costs little beside 64 KiB of data, and few buffers stay in the CPU's cache.
const RECEIVE_BUFFERS: usize = 4;
/// The most datagrams in one segmented send (the kernel's UDP_MAX_SEGMENTS).
const MAX_SEGMENTS: usize = 64;

/// How to open a [`UdpDevice`].
#[derive(Clone, Copy, Debug)]
pub struct Options {
    /// Whether to let the kernel segment. The environment variable `WIREHAUL_NO_GSO=1` turns it off in the default.
    pub segmentation: bool,
    /// What to ask for as the receive buffer.
    pub receive_buffer_bytes: usize,
    /// What to ask for as the send buffer.
    pub send_buffer_bytes: usize,
    /// Where runs of datagrams lie, in slots of 65,536 bytes; `None` for the pool that all devices share.
    pub buffers: Option<LastingPool>,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            segmentation: std::env::var_os("WIREHAUL_NO_GSO").is_none_or(|value| value != "1"),
            // 25 ms of 10 Gbit/s: what arrives while this process is not scheduled.
            receive_buffer_bytes: 32 << 20,
            send_buffer_bytes: 4 << 20,
            buffers: None,
        }
    }
}

/// What a [`UdpDevice`] did so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counters {
    /// Calls that sent something.
    pub send_calls: u64,
    /// Datagrams that the kernel took.
    pub datagrams_sent: u64,
    /// Calls that received something.
    pub receive_calls: u64,
    /// Datagrams received.
    pub datagrams_received: u64,
    /// Times that a run was held back because the kernel had no room.
    pub held_back: u64,
    /// Times that segmentation was refused at run time, after which it is no longer used.
    pub segmentation_refused: u64,
    /// Datagrams larger than the path's first link carries.
    pub too_big: u64,
    /// Datagrams that could not be sent because there is no way to their destination.
    pub unreachable: u64,
    /// Datagrams lost to any other error in sending.
    pub send_errors: u64,
    /// Receive calls that failed.
    pub receive_errors: u64,
    /// Times that nothing was received, or no run begun, because the pool had no buffer.
    pub without_buffer: u64,
}

/// A UDP socket as the core's [`Device`].
#[derive(Debug)]
pub struct UdpDevice {
    carrier: Carrier,
    path: TransmitPath,
    /// Buffers are lent for a call, or for as long as the kernel has no room for what is in them.
    buffers: Magazine<'static>,
    pool: LastingPool,
    buffer_bytes: BufferBytes,
    local: SocketAddr,
    /// Whether it receives: another device may do that with the same socket.
    is_listening: bool,
}

/// The socket with all that sending needs beside the bytes.
#[derive(Debug)]
struct Carrier {
    socket: UdpSocket,
    state: UdpSocketState,
    /// Whether addresses of IPv4 are written as IPv6 (RFC 4291, section 2.5.5.2): on every IPv6 socket.
    mapped: bool,
    sources: Box<SourceAddresses>,
    counters: Counters,
    /// Where the kernel holds each run until its departure.
    #[cfg(target_os = "linux")]
    departures: Option<departure::DepartureClock>,
}

impl Carrier {
    /// Whether the kernel holds each run until its departure.
    const fn keeps_departures(&self) -> bool {
        #[cfg(target_os = "linux")]
        return self.departures.is_some();
        #[cfg(not(target_os = "linux"))]
        return false;
    }

    /// Receives with one call into those of `slots` that are there; returns how many datagrams.
    fn receive(
        &mut self,
        slots: &mut [Option<Slot<'static>>; RECEIVE_BUFFERS],
        sink: &mut impl FnMut(Received<'_>),
    ) -> usize {
        let count = slots.iter().flatten().count();
        if count == 0 {
            self.counters.without_buffer += 1;
            return 0;
        }
        let mut bytes = slots.iter_mut().flatten();
        let mut buffers: [IoSliceMut<'_>; RECEIVE_BUFFERS] =
            array::from_fn(|_| IoSliceMut::new(bytes.next().map_or(&mut [][..], |slot| &mut slot[..])));
        let mut metas = [RecvMeta::default(); RECEIVE_BUFFERS];
        let runs = match self.state.recv((&self.socket).into(), &mut buffers[..count], &mut metas[..count]) {
            Ok(runs) => runs,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return 0,
            Err(_) => {
                self.counters.receive_errors += 1;
                return 0;
            }
        };
        let mut datagrams = 0;
        for (buffer, meta) in buffers.iter_mut().zip(&metas).take(runs) {
            let Some(bytes) = buffer.get_mut(..meta.len).filter(|bytes| !bytes.is_empty()) else { continue };
            let stride = if meta.stride == 0 { bytes.len() } else { meta.stride.min(bytes.len()) };
            datagrams += bytes.len().div_ceil(stride);
            self.sources.heard(meta.addr, meta.dst_ip);
            sink(Received { remote: canonical(meta.addr), ecn: ecn_of(meta.ecn), stride, bytes });
        }
        self.counters.receive_calls += 1;
        self.counters.datagrams_received += datagrams as u64;
        datagrams
    }

    /// The departure `at` by the kernel's clock, where it keeps departures.
    #[cfg(target_os = "linux")]
    fn departure_nanos(&self, at: Instant) -> Option<u64> {
        self.departures.map(|departures| departures.kernel_nanos(at))
    }
}

#[derive(Debug)]
enum TransmitPath {
    /// The kernel segments.
    Segmented(Run),
    /// Datagrams leave one by one, many per call.
    Single(Batch),
}

impl UdpDevice {
    /// Binds a socket to `local`; port 0 lets the system choose.
    ///
    /// `[::]` means every address of both families, and falls back to `0.0.0.0` on a machine without IPv6.
    ///
    /// # Errors
    /// [`BindError`] says which step failed.
    pub fn bind(local: SocketAddr, options: &Options) -> Result<Self, BindError> {
        let socket = socket::bind(local)?;
        let buffer_bytes = socket::set_buffers(&socket, options);
        Self::of(socket, buffer_bytes, options, true)
    }

    /// A device that sends from this one's socket, and receives nothing: for another thread.
    ///
    /// # Errors
    /// [`BindError`] says which step failed.
    pub fn for_sending(&self) -> Result<Self, BindError> {
        let socket = self.carrier.socket.try_clone().map_err(|source| BindError::Configure { source })?;
        let segmentation = matches!(self.path, TransmitPath::Segmented(_));
        let options = Options { segmentation, buffers: Some(self.pool), ..Options::default() };
        Self::of(socket, self.buffer_bytes, &options, false)
    }

    fn of(
        socket: UdpSocket,
        buffer_bytes: BufferBytes,
        options: &Options,
        is_listening: bool,
    ) -> Result<Self, BindError> {
        let local = socket.local_addr().map_err(|source| BindError::Configure { source })?;
        let state = UdpSocketState::new((&socket).into()).map_err(|source| BindError::Configure { source })?;
        socket::no_timestamps(&socket);
        let path = if options.segmentation && state.max_gso_segments() > 1 {
            TransmitPath::Segmented(Run::new())
        } else {
            TransmitPath::Single(Batch::new())
        };
        let carrier = Carrier {
            socket,
            state,
            mapped: local.is_ipv6(),
            sources: Box::new(SourceAddresses::for_socket(local)),
            counters: Counters::default(),
            #[cfg(target_os = "linux")]
            departures: None,
        };
        let pool = options.buffers.or_else(shared_pool).filter(|pool| pool.slot_bytes() >= buffers::RUN_SLOT_BYTES);
        let pool = pool.ok_or(BindError::Buffers)?;
        Ok(Self { carrier, path, buffers: buffers::magazine(pool), pool, buffer_bytes, local, is_listening })
    }

    /// The address that the socket is bound to.
    #[must_use]
    pub const fn local_addr(&self) -> SocketAddr {
        self.local
    }

    /// The name of this transport in summaries: `udp-gso` or `udp`.
    #[must_use]
    pub const fn transport_name(&self) -> &'static str {
        match self.path {
            TransmitPath::Segmented(_) => "udp-gso",
            TransmitPath::Single(_) => "udp",
        }
    }

    /// The socket buffers that the kernel granted.
    #[must_use]
    pub const fn buffer_bytes(&self) -> BufferBytes {
        self.buffer_bytes
    }

    /// What this device did so far.
    #[must_use]
    pub const fn counters(&self) -> Counters {
        self.carrier.counters
    }

    /// The pool that its buffers are from.
    #[must_use]
    pub const fn pool(&self) -> LastingPool {
        self.pool
    }

    /// Datagrams that the kernel dropped because the receive buffer was full; `None` where it does not say.
    ///
    /// Reads a file of the system: for a summary, not for the data path.
    #[must_use]
    pub fn receive_overflows(&self) -> Option<u64> {
        overflow::drops(&self.carrier.socket)
    }

    /// Whether datagrams wait here because the kernel had no room for them.
    #[must_use]
    pub const fn is_holding_back(&self) -> bool {
        match &self.path {
            TransmitPath::Segmented(run) => run.is_held(),
            TransmitPath::Single(batch) => batch.is_held(),
        }
    }

    /// Has the kernel hold each run until [`Transmit::depart_at`] by `clock`, where every way to `remotes` leads through the fq
    /// queueing discipline. Then runs may be submitted [`HORIZON`] before their departure. The environment variable
    /// `WIREHAUL_NO_TXTIME=1` turns that off.
    ///
    /// # Errors
    /// [`NotScheduled`] says why not: then runs leave when they are submitted.
    #[cfg(target_os = "linux")]
    pub fn schedule_departures(&mut self, clock: Clock, remotes: &[SocketAddr]) -> Result<(), NotScheduled> {
        let departures = departure::DepartureClock::prepare(&self.carrier.socket, clock, remotes)?;
        self.carrier.departures = Some(departures);
        Ok(())
    }

    /// As [`crate::device::HostDevice::wait`], and says what is ready.
    ///
    /// # Errors
    /// What `ppoll(2)` fails with, which is not to be expected.
    #[cfg(unix)]
    pub fn wait_for(&self, extra: &[BorrowedFd<'_>], timeout: Option<Duration>) -> io::Result<Ready> {
        wait::wait(&self.carrier.socket, self.interest(), extra, timeout)
    }

    /// What to wait for on the socket, as things are; empty where only the errors of others would end the wait.
    #[cfg(unix)]
    pub(crate) fn interest(&self) -> PollFlags {
        let for_datagrams = if self.is_listening { PollFlags::POLLIN } else { PollFlags::empty() };
        let for_room = if self.is_holding_back() { PollFlags::POLLOUT } else { PollFlags::empty() };
        for_datagrams | for_room
    }

    /// Goes over to single datagrams, with the run that could not be segmented as the first of them.
    fn give_up_segmentation(&mut self, transmit: &Transmit) -> Submitted {
        let TransmitPath::Segmented(run) = &self.path else { return Submitted::Sent };
        self.carrier.counters.segmentation_refused += 1;
        let mut batch = Batch::new();
        let bytes = run.bytes(transmit.len);
        let submitted = batch.send_copy(&mut self.carrier, &mut self.buffers, transmit, bytes);
        // The run's own buffer goes home with it.
        self.path = TransmitPath::Single(batch);
        submitted
    }
}

#[cfg(unix)]
impl HostDevice for UdpDevice {
    fn wait(&mut self, extra: &[BorrowedFd<'_>], timeout: Option<Duration>) -> io::Result<bool> {
        self.wait_for(extra, timeout).map(Ready::is_any)
    }

    fn keeps_departures(&self) -> bool {
        self.carrier.keeps_departures()
    }

    fn kernel_counters(&mut self) -> KernelCounters {
        KernelCounters { socket_overflows: self.receive_overflows().unwrap_or(0), ..KernelCounters::default() }
    }
}

#[cfg(unix)]
impl AsFd for UdpDevice {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.carrier.socket.as_fd()
    }
}

impl Device for UdpDevice {
    fn receive(&mut self, mut sink: impl FnMut(Received<'_>)) -> usize {
        if !self.is_listening {
            return 0;
        }
        let mut slots: [Option<Slot<'static>>; RECEIVE_BUFFERS] = array::from_fn(|_| self.buffers.take());
        let datagrams = self.carrier.receive(&mut slots, &mut sink);
        // The first was used most and is to come first again: its bytes are still in the CPU's cache.
        slots.into_iter().flatten().rev().for_each(|slot| self.buffers.put(slot));
        datagrams
    }

    fn transmit_buffer(&mut self) -> Option<&mut [u8]> {
        if self.is_holding_back() {
            self.flush();
        }
        let is_holding_back = self.is_holding_back();
        let Self { path, carrier, buffers, .. } = self;
        if let TransmitPath::Single(batch) = path
            && !batch.has_room()
        {
            batch.flush(carrier, buffers);
        }
        let buffer = match path {
            TransmitPath::Segmented(run) => run.buffer(buffers),
            TransmitPath::Single(batch) => batch.slot(buffers),
        };
        if buffer.is_none() && !is_holding_back {
            carrier.counters.without_buffer += 1;
        }
        buffer
    }

    fn max_segments(&self) -> usize {
        match self.path {
            TransmitPath::Segmented(_) => MAX_SEGMENTS,
            TransmitPath::Single(_) => 1,
        }
    }

    fn submit(&mut self, transmit: &Transmit) -> Submitted {
        if transmit.len == 0 || transmit.segment_bytes == 0 {
            return Submitted::Sent;
        }
        match &mut self.path {
            TransmitPath::Segmented(run) => match run.submit(&mut self.carrier, transmit) {
                RunOutcome::Submitted(submitted) => {
                    run.release(&mut self.buffers);
                    submitted
                }
                RunOutcome::SegmentationRefused => self.give_up_segmentation(transmit),
            },
            TransmitPath::Single(batch) => batch.submit(transmit),
        }
    }

    fn flush(&mut self) {
        match &mut self.path {
            TransmitPath::Segmented(run) => {
                if let Some((transmit, RunOutcome::SegmentationRefused)) = run.resume(&mut self.carrier) {
                    self.give_up_segmentation(&transmit);
                } else {
                    run.release(&mut self.buffers);
                }
            }
            TransmitPath::Single(batch) => batch.flush(&mut self.carrier, &mut self.buffers),
        }
    }
}

const fn ecn_of(codepoint: Option<EcnCodepoint>) -> Ecn {
    match codepoint {
        None => Ecn::NotEct,
        Some(EcnCodepoint::Ect1) => Ecn::Ect1,
        Some(EcnCodepoint::Ect0) => Ecn::Ect0,
        Some(EcnCodepoint::Ce) => Ecn::Ce,
    }
}

const fn codepoint_of(ecn: Ecn) -> Option<EcnCodepoint> {
    match ecn {
        Ecn::NotEct => None,
        Ecn::Ect1 => Some(EcnCodepoint::Ect1),
        Ecn::Ect0 => Some(EcnCodepoint::Ect0),
        Ecn::Ce => Some(EcnCodepoint::Ce),
    }
}

/// Why the kernel did not take a datagram.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Refusal {
    /// No room now.
    NoRoom,
    /// Larger than the first link's MTU.
    TooBig,
    /// No route, no such address family, interface down, or refused by a local firewall.
    Unreachable,
    /// The message is not acceptable as it stands.
    Invalid,
    /// Out of kernel memory, or something unheard of.
    Other,
}

impl Refusal {
    fn of(error: &io::Error) -> Self {
        use io::ErrorKind as Kind;
        match error.kind() {
            Kind::WouldBlock => Self::NoRoom,
            Kind::NetworkUnreachable
            | Kind::HostUnreachable
            | Kind::NetworkDown
            | Kind::PermissionDenied
            | Kind::AddrNotAvailable
            | Kind::Unsupported => Self::Unreachable,
            Kind::InvalidInput => Self::Invalid,
            _ if quinn_udp::is_msg_size_err(error) => Self::TooBig,
            _ if is_address_family_error(error) => Self::Unreachable,
            _ => Self::Other,
        }
    }
}

#[cfg(unix)]
fn is_address_family_error(error: &io::Error) -> bool {
    error.raw_os_error() == Some(libc::EAFNOSUPPORT)
}

#[cfg(not(unix))]
fn is_address_family_error(_: &io::Error) -> bool {
    false
}

impl Counters {
    /// Counts `datagrams` that were lost for this reason, and says what that means for the session.
    fn lost(&mut self, refusal: Refusal, datagrams: u64) -> Submitted {
        match refusal {
            Refusal::TooBig => {
                self.too_big += datagrams;
                Submitted::TooBig
            }
            Refusal::Unreachable => {
                self.unreachable += datagrams;
                Submitted::Unreachable
            }
            Refusal::NoRoom | Refusal::Other => {
                self.send_errors += datagrams;
                Submitted::Full
            }
            Refusal::Invalid => {
                self.send_errors += datagrams;
                Submitted::Sent
            }
        }
    }

    fn sent(&mut self, datagrams: u64) {
        self.send_calls += 1;
        self.datagrams_sent += datagrams;
    }
}
