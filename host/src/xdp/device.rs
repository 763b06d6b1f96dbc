//! The device over AF_XDP sockets: the core's, with sockets that are opened anew when they fail, and the kernel's own
//! socket beside them.

#[cfg(test)]
mod tests;

use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags};
use nix::sys::time::TimeSpec;
use wirehaul_core::device::{Device, Received, Submitted, Transmit};
use wirehaul_core::pool::PoolStats;
use wirehaul_core::time::{Duration, Instant};
use wirehaul_core::wire::net::NetReject;
use wirehaul_core::xsk::{Counters, Frames, MAX_QUEUES, Queues, Whereabouts, XskDevice};

use super::datapath::{Attachment, Datapath, Mode, OpenError, Shape};
use super::socket::{Socket, SocketOptions, SocketStatistics};
use super::system::System;
use super::umem::Umem;
use crate::device::HostDevice;
use crate::events::KernelCounters;
use crate::neighbours::NextHops;
use crate::numa::memory::{Memory, PageSize};
use crate::udp::UdpDevice;

/// How often changes of links, addresses, routes and neighbours are looked for while packets leave no time to sleep.
const REFRESH_EVERY: Duration = Duration::from_millis(10);
/// How often it is looked whether completions still come, and next hops in use are kept alive.
const WATCH_EVERY: Duration = Duration::from_secs(1);
/// With every frame under way and none completed for so long, completions are lost. A healthy card needs milliseconds; the
/// kernel keeps what it copied for as long as a queue in front of the wire does.
const LOST_AFTER: Duration = Duration::from_secs(3);
/// Attempts to bind a queue again, which sessions wait for: the kernel needs some milliseconds to free it. While somebody else has
/// it, packets go through the kernel's socket.
const REOPEN_ATTEMPTS: u32 = 3;
/// The kernel's socket is looked at so often while packets leave no time to sleep.
const KERNEL_EVERY: u32 = 64;
/// How long to sleep at most while the transmit ring waits for the driver.
const HELD_BACK: Duration = Duration::from_micros(100);
/// Descriptors to wait on: all queues, the kernel's socket, the notifications, and up to four of the caller's.
const MAX_WAITS: usize = MAX_QUEUES + 6;

/// Some queues of an interface as the core's [`Device`].
pub struct XdpDevice {
    // Dropped in this order: frames and queues first (the core's device drops its `System`, and so the sockets, last), then
    // the memory that they lie in.
    core: XskDevice<'static, 'static, System>,
    umem: Umem,
    attachment: Arc<Attachment>,
    shape: Shape,
    queues: Vec<u32>,
    /// Turns until the kernel's socket is looked at again.
    kernel_in: u32,
    refreshed: Instant,
    watch: Watch,
    reopened: u64,
    is_gone: bool,
    gauge: Arc<FrameGauge>,
}

/// Whether completions still come.
#[derive(Clone, Copy, Debug, Default)]
struct Watch {
    looked: Instant,
    completed: u64,
    /// Since when none came while every frame was under way.
    starved_since: Option<Instant>,
}

/// What an [`XdpDevice`] did so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Statistics {
    /// By itself.
    pub device: Counters,
    /// By the kernel, on all its sockets.
    pub sockets: SocketStatistics,
    /// Where its frames are.
    pub frames: Whereabouts,
    /// Addresses that the kernel was not lent, and indices that make no sense.
    pub faults: (u64, u64),
    /// Times that its sockets were opened anew.
    pub reopened: u64,
}

/// What the frames lie in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MemoryReport {
    /// How much.
    pub bytes: usize,
    /// On what pages.
    pub pages: PageSize,
    /// On which NUMA node, where that was asked for and verified.
    pub node: Option<u32>,
    /// Whether it is locked.
    pub is_locked: bool,
    /// What could not be had.
    pub steps: Vec<String>,
}

impl MemoryReport {
    fn of(memory: &Memory) -> Self {
        Self {
            bytes: memory.len(),
            pages: memory.pages(),
            node: memory.node(),
            is_locked: memory.is_locked(),
            steps: memory.steps().to_vec(),
        }
    }

    /// The memory of several devices as one: what is said of its pages, its node and its steps holds for the device that
    /// has the smallest pages. `None` where there is no device.
    #[must_use]
    pub fn of_all(devices: impl Iterator<Item = Self>) -> Option<Self> {
        devices.reduce(|all, one| {
            let (bytes, is_locked) = (all.bytes + one.bytes, all.is_locked && one.is_locked);
            let worse = if one.pages.bytes() < all.pages.bytes() { one } else { all };
            Self { bytes, is_locked, ..worse }
        })
    }

    /// The part of it that lies on huge pages, in percent: all or nothing, since one UMEM lies on pages of one size.
    #[must_use]
    pub fn huge_page_percent(&self) -> u32 {
        if self.pages == PageSize::Small { 0 } else { 100 }
    }
}

impl Datapath {
    /// A device for these receive queues of the interface, with a UMEM of its own. `kernel` is bound to the port that the
    /// filter was made for: one device has the socket itself, devices beside it have one [for sending](UdpDevice::for_sending).
    ///
    /// # Errors
    /// [`OpenError`] says what cannot be had, and the socket comes back; the queues that were bound are free again.
    pub fn device(
        &self,
        queues: &[u32],
        kernel: Box<UdpDevice>,
        now: Instant,
    ) -> Result<XdpDevice, (OpenError, Box<UdpDevice>)> {
        // What comes on others is the kernel's.
        let queues = queues.get(..MAX_QUEUES).unwrap_or(queues);
        let hops = match NextHops::open(self.shape.index) {
            Ok(hops) => hops,
            Err(error) => return Err((error.into(), kernel)),
        };
        let parts = match Parts::open(self, queues, &hops) {
            Ok(parts) => parts,
            Err(error) => return Err((error, kernel)),
        };
        let Parts { sockets, rings, frames, umem } = parts;
        let gauge = Arc::new(FrameGauge::default());
        let system = System { sockets, hops, kernel, kernel_is_dirty: false, now };
        Ok(XdpDevice {
            core: XskDevice::new(system, frames, rings, self.attachment.local()),
            umem,
            attachment: Arc::clone(&self.attachment),
            shape: self.shape.clone(),
            queues: queues.to_vec(),
            kernel_in: 0,
            refreshed: now,
            watch: Watch::default(),
            reopened: 0,
            is_gone: false,
            gauge,
        })
    }
}

/// What a device is made of, in the order in which it has to be dropped.
struct Parts {
    rings: Queues<'static>,
    frames: Frames<'static, 'static>,
    sockets: Vec<Socket>,
    umem: Umem,
}

impl Parts {
    fn open(datapath: &Datapath, queues: &[u32], hops: &NextHops) -> Result<Self, OpenError> {
        let (shape, attachment) = (&datapath.shape, &datapath.attachment);
        let count = u32::try_from(queues.len()).unwrap_or(u32::MAX).clamp(1, MAX_QUEUES as u32);
        let mut umem = Umem::new(shape.umem_size(count), shape.node)?;
        // SAFETY: asked for once; whoever has the frames, this or the device, drops them before the UMEM beside them.
        let frames = unsafe { umem.frames() }?;
        let (sockets, rings) = open_sockets(&umem, shape, queues, attachment, None)?;
        let parts = Self { rings, frames, sockets, umem };
        attachment.set_addresses(hops.local_addresses())?;
        Ok(parts)
    }
}

/// How the frames to send from stand, for whoever asks while the device is in use.
#[derive(Debug, Default)]
pub struct FrameGauge {
    slots: AtomicU32,
    slot_bytes: AtomicU32,
    free: AtomicU32,
    lowest_free: AtomicU32,
    exhausted: AtomicU64,
}

impl FrameGauge {
    fn set(&self, stats: &PoolStats) {
        self.slots.store(stats.slots, Ordering::Relaxed);
        self.slot_bytes.store(stats.slot_bytes as u32, Ordering::Relaxed);
        self.free.store(stats.free, Ordering::Relaxed);
        self.lowest_free.store(stats.lowest_free, Ordering::Relaxed);
        self.exhausted.store(stats.exhausted, Ordering::Relaxed);
    }

    /// How they stood a moment ago.
    #[must_use]
    pub fn stats(&self) -> PoolStats {
        PoolStats {
            slots: self.slots.load(Ordering::Relaxed),
            slot_bytes: self.slot_bytes.load(Ordering::Relaxed) as usize,
            free: self.free.load(Ordering::Relaxed),
            lowest_free: self.lowest_free.load(Ordering::Relaxed),
            exhausted: self.exhausted.load(Ordering::Relaxed),
        }
    }
}

/// Opens a socket for each queue, over one UMEM, and has the filter steer packets to them.
fn open_sockets(
    umem: &Umem,
    shape: &Shape,
    queues: &[u32],
    attachment: &Attachment,
    attempts: Option<u32>,
) -> Result<(Vec<Socket>, Queues<'static>), OpenError> {
    let mut sockets: Vec<Socket> = Vec::new();
    let mut rings = Queues::new();
    let count = u32::try_from(queues.len()).unwrap_or(u32::MAX);
    let options = |queue| {
        let options = shape.socket(queue, count);
        SocketOptions { attempts: attempts.unwrap_or(options.attempts), ..options }
    };
    for queue in queues.iter().take(MAX_QUEUES) {
        let first = sockets.first().map(AsFd::as_fd);
        // SAFETY: sockets go into the device's `System`, which is dropped behind its queues and frames and before the UMEM.
        // Frames of this UMEM are lent through queues that bear its number, and all of those are opened here.
        let (socket, ring) = unsafe { Socket::open(umem, &options(*queue), first) }?;
        if shape.mode == Mode::ZeroCopy && !socket.is_zero_copy() {
            return Err(OpenError::Copies(shape.name.clone()));
        }
        attachment.filter.bind_queue(*queue, socket.as_fd())?;
        sockets.push(socket);
        // Room for MAX_QUEUES, and no more are taken.
        let _ = rings.push(ring);
    }
    Ok((sockets, rings))
}

impl XdpDevice {
    /// The name of this transport in summaries: `xdp`, `xdp-copy` or `xdp-skb`.
    #[must_use]
    pub const fn transport_name(&self) -> &'static str {
        self.shape.mode.name()
    }

    /// The interface.
    #[must_use]
    pub fn interface(&self) -> &str {
        &self.shape.name
    }

    /// Its queues.
    #[must_use]
    pub fn queues(&self) -> &[u32] {
        &self.queues
    }

    /// The kernel's socket on the same port.
    pub const fn kernel_socket(&self) -> &UdpDevice {
        &self.core.outside_ref().kernel
    }

    /// The longest datagram that fits into a frame.
    #[must_use]
    pub const fn datagram_bytes(&self) -> usize {
        self.core.datagram_bytes()
    }

    /// How its frames to send from stand, also while it is in use.
    #[must_use]
    pub fn gauge(&self) -> Arc<FrameGauge> {
        Arc::clone(&self.gauge)
    }

    /// What the frames lie in.
    #[must_use]
    pub fn memory(&self) -> MemoryReport {
        MemoryReport::of(self.umem.memory())
    }

    /// What it did so far.
    #[must_use]
    pub fn statistics(&mut self) -> Statistics {
        let mut sockets = SocketStatistics::default();
        for socket in &self.core.outside().sockets {
            sockets.add(&socket.statistics());
        }
        Statistics {
            device: self.core.counters(),
            sockets,
            frames: self.core.whereabouts(),
            faults: self.core.faults(),
            reopened: self.reopened,
        }
    }

    /// Packets whose headers break a rule: each rule that was broken, and how often.
    pub fn rejects(&self) -> impl Iterator<Item = (NetReject, u64)> + '_ {
        self.core.rejects()
    }

    /// Closes the sockets and opens them anew, over the same memory: every frame that the kernel had is free again. Where
    /// that fails, packets go through the kernel's socket until it succeeds.
    fn reopen(&mut self) {
        self.core.take_down();
        self.core.outside().sockets.clear();
        let opened = open_sockets(&self.umem, &self.shape, &self.queues, &self.attachment, Some(REOPEN_ATTEMPTS));
        // A card that reads and writes frames itself may do so until the kernel's clean-up work has run. That a queue can be bound
        // again shows that it has; where none can, frames stay lent until the next attempt (net/xdp/xsk_buff_pool.c, `xp_put_pool`).
        if opened.is_err() && self.shape.mode == Mode::ZeroCopy {
            return;
        }
        let (sockets, rings) = opened.unwrap_or_default();
        self.core.outside().sockets = sockets;
        // The sockets before are closed, so the kernel has let go of every frame.
        self.core.put_up(rings);
        self.reopened += 1;
    }

    /// Follows what the kernel says of links, addresses, routes and neighbours.
    fn refresh(&mut self, now: Instant) {
        self.refreshed = now;
        let hops = &mut self.core.outside().hops;
        // What could not be read now is read the next time.
        let Ok(changes) = hops.refresh(now) else { return };
        if changes.addresses {
            // Packets to an address that cannot be added now come through the kernel's socket.
            let _ = self.attachment.set_addresses(self.core.outside().hops.local_addresses());
        }
        self.is_gone |= changes.gone;
    }

    /// Opens the sockets anew where they are bound to nothing, or where completions were lost.
    fn watch(&mut self, now: Instant) {
        self.watch.looked = now;
        self.core.outside().hops.keep_alive(now);
        let completed = self.core.queue_counters().map(|queue| queue.completed).sum();
        let is_starved = !self.core.has_frames_to_send() && completed == self.watch.completed;
        self.watch.completed = completed;
        self.watch.starved_since = is_starved.then(|| self.watch.starved_since.unwrap_or(now));
        let is_lost = self.watch.starved_since.is_some_and(|since| now.saturating_since(since) > LOST_AFTER);
        let link = self.core.outside().hops.link();
        let is_closed = self.core.is_unbound() || self.core.outside().sockets.is_empty();
        if !self.is_gone && link.is_up && (is_closed || is_lost) {
            self.reopen();
            self.watch.starved_since = None;
        }
    }
}

impl Device for XdpDevice {
    fn receive(&mut self, mut sink: impl FnMut(Received<'_>)) -> usize {
        let received = self.core.receive(&mut sink);
        if self.kernel_in > 0 {
            self.kernel_in -= 1;
            return received;
        }
        let by_kernel = self.core.outside().kernel.receive(&mut sink);
        // More may wait where some came.
        self.kernel_in = if by_kernel > 0 { 0 } else { KERNEL_EVERY };
        received + by_kernel
    }

    fn transmit_buffer(&mut self) -> Option<&mut [u8]> {
        self.core.transmit_buffer()
    }

    fn max_segments(&self) -> usize {
        self.core.max_segments()
    }

    fn submit(&mut self, transmit: &Transmit) -> Submitted {
        self.core.submit(transmit)
    }

    fn flush(&mut self) {
        self.core.flush();
        let system = self.core.outside();
        if system.kernel_is_dirty || system.kernel.is_holding_back() {
            system.kernel_is_dirty = false;
            system.kernel.flush();
        }
    }
}

impl HostDevice for XdpDevice {
    fn kernel_counters(&mut self) -> KernelCounters {
        let Statistics { device, sockets, faults, frames, .. } = self.statistics();
        KernelCounters {
            socket_overflows: self.kernel_socket().receive_overflows().unwrap_or(0),
            xdp_rx_ring_full: sockets.rx_ring_full,
            xdp_rx_fill_ring_empty: sockets.rx_fill_ring_empty,
            xdp_rx_dropped: sockets.rx_dropped,
            xdp_invalid: sockets.rx_invalid + sockets.tx_invalid + faults.0 + faults.1,
            xdp_tx_ring_empty: sockets.tx_ring_empty,
            xdp_kicks: device.kicks,
            xdp_frames: Some(frames),
        }
    }

    fn wait(&mut self, extra: &[BorrowedFd<'_>], timeout: Option<Duration>) -> io::Result<bool> {
        let is_holding_back = self.core.is_holding_back();
        let timeout =
            if is_holding_back { Some(timeout.map_or(HELD_BACK, |span| span.min(HELD_BACK))) } else { timeout };
        let system = self.core.outside();
        let mut polled: heapless::Vec<PollFd<'_>, MAX_WAITS> = heapless::Vec::new();
        let readable = |fd| PollFd::new(fd, PollFlags::POLLIN);
        let queues = system.sockets.iter().map(|socket| readable(socket.as_fd()));
        let of_kernel = Some(system.kernel.interest()).filter(|interest| !interest.is_empty());
        // Those that may be missing come last, so that the places of the others are known.
        let all = std::iter::once(readable(system.hops.as_fd()))
            .chain(queues)
            .chain(extra.iter().map(|fd| readable(*fd)))
            .chain(of_kernel.map(|interest| PollFd::new(system.kernel.as_fd(), interest)));
        for fd in all {
            polled.push(fd).map_err(|_| io::Error::from(io::ErrorKind::InvalidInput))?;
        }
        let timeout = timeout.map(|span| TimeSpec::from(std::time::Duration::from_nanos(span.as_nanos())));
        match nix::poll::ppoll(&mut polled, timeout, None) {
            Ok(_) => {}
            Err(Errno::EINTR) => return Ok(false),
            Err(errno) => return Err(errno.into()),
        }
        let is_ready = |fd: &PollFd<'_>| fd.any().unwrap_or(false);
        let changes = polled.first().is_some_and(is_ready);
        let kernel = of_kernel.is_some() && polled.last().is_some_and(is_ready);
        // A socket whose interface is gone is in error for good: that is for `watch`, and no reason to wake up.
        let is_readable = |fd: &PollFd<'_>| fd.revents().is_some_and(|events| events.contains(PollFlags::POLLIN));
        let any = changes || kernel || polled.iter().any(is_readable);
        if kernel {
            self.kernel_in = 0;
        }
        if changes {
            self.refreshed = Instant::ZERO;
        }
        Ok(any)
    }

    fn maintain(&mut self, now: Instant) {
        self.core.outside().now = now;
        self.gauge.set(&self.core.transmit_stats());
        if now.saturating_since(self.refreshed) >= REFRESH_EVERY {
            self.refresh(now);
        }
        if now.saturating_since(self.watch.looked) >= WATCH_EVERY {
            self.watch(now);
        }
    }
}

impl std::fmt::Debug for XdpDevice {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("XdpDevice").field("interface", &self.shape.name).field("queues", &self.queues).finish()
    }
}
