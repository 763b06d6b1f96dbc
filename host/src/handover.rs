//! Datagrams that came to another worker than the one whose session they are for (XDP-7).
//!
//! The network card spreads peers over its queues, and each queue has its worker. A peer that moves to another address, a
//! table that the administrator changes, a fragment: then a session's packets come to another queue. Whoever gets them sees by
//! the receiver index whose they are, and puts a copy into that worker's mailbox.
//!
//! ```text
//! queue 0 -> worker 0 -- for worker 1 --> mailbox 1 -> worker 1 <- queue 1
//! ```

use std::io;
use std::net::SocketAddr;
use std::os::fd::BorrowedFd;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use crossbeam_channel::{Receiver, Sender, bounded};
use smallvec::SmallVec;
use thiserror::Error;
use wirehaul_core::device::{Device, Ecn, Received, Submitted, Transmit};
use wirehaul_core::limits::MAX_DATAGRAM_BYTES;
use wirehaul_core::pool::{Magazine, Sizing, Slot};
use wirehaul_core::time::{Duration, Instant};
use wirehaul_core::worker::{WorkerNumber, owner_of};

use crate::device::HostDevice;
use crate::events::KernelCounters;
use crate::io::wake::Alarm;
use crate::pools::{LastingPool, PoolsError, lasting};

/// Datagrams that wait for a worker at most: 2.5 ms of 10 Gbit/s in packets of 1500 bytes.
const MAILBOX_DATAGRAMS: usize = 2048;
/// Datagrams taken out of a mailbox per call: what a turn of the worker handles before it looks at its timers.
const COLLECT_BATCH: usize = 64;
/// Room for a datagram, up to a cache line.
const SLOT_BYTES: u32 = (MAX_DATAGRAM_BYTES as u32).next_multiple_of(64);

/// Why workers cannot hand datagrams over.
#[derive(Debug, Error)]
pub enum ExchangeError {
    /// There is no memory for them.
    #[error(transparent)]
    Pool(#[from] PoolsError),
    /// No event descriptor.
    #[error("cannot create a worker's wake-up descriptor: {0}")]
    Wake(#[source] io::Error),
}

/// The mailboxes of all workers of a process.
#[derive(Debug)]
pub struct Exchange {
    mailboxes: Vec<Mailbox>,
    /// What lies in the mailboxes; none where there is one worker.
    pool: Option<LastingPool>,
}

/// What others have received for one worker.
#[derive(Debug)]
struct Mailbox {
    sender: Sender<Parcel>,
    receiver: Receiver<Parcel>,
    alarm: Alarm,
    handed_over: AtomicU64,
    dropped: AtomicU64,
}

/// A datagram on its way to its worker.
#[derive(Debug)]
struct Parcel {
    remote: SocketAddr,
    ecn: Ecn,
    len: usize,
    slot: Slot<'static>,
}

/// What was handed over to a worker, in datagrams.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counters {
    /// Those that it got, or will get.
    pub handed_over: u64,
    /// Those that there was no room for: lost, as the network might have lost them.
    pub dropped: u64,
}

impl Exchange {
    /// Mailboxes for so many workers.
    ///
    /// # Errors
    /// [`ExchangeError`] says what is missing.
    pub fn new(workers: usize) -> Result<Arc<Self>, ExchangeError> {
        let mailbox = || {
            let (sender, receiver) = bounded(MAILBOX_DATAGRAMS);
            let alarm = Alarm::new().map_err(ExchangeError::Wake)?;
            Ok(Mailbox { sender, receiver, alarm, handed_over: AtomicU64::new(0), dropped: AtomicU64::new(0) })
        };
        let sizing = Sizing {
            slots_per_session: MAILBOX_DATAGRAMS as u32,
            slot_bytes: SLOT_BYTES,
            ..Sizing::new(u32::try_from(workers).unwrap_or(u32::MAX), 1)
        };
        let pool = if workers > 1 { Some(lasting(&sizing)?) } else { None };
        let mailboxes = (0..workers).map(|_| mailbox()).collect::<Result<_, ExchangeError>>()?;
        Ok(Arc::new(Self { mailboxes, pool }))
    }

    /// The device of the worker with this number, with its mailbox in front of it.
    pub fn device<D: HostDevice>(self: &Arc<Self>, number: WorkerNumber, device: D) -> Handover<D> {
        let slots = self.pool.map(Magazine::new);
        Handover { device, desk: Desk { number, exchange: Arc::clone(self), slots, notify: 0 } }
    }

    /// How many workers there are.
    #[must_use]
    pub const fn workers(&self) -> usize {
        self.mailboxes.len()
    }

    /// Has every worker that sleeps look around.
    pub fn wake_all(&self) {
        for mailbox in &*self.mailboxes {
            mailbox.alarm.notify();
        }
    }

    /// What was handed over to this worker.
    #[must_use]
    pub fn counters(&self, number: WorkerNumber) -> Counters {
        let Some(mailbox) = self.mailbox(number) else { return Counters::default() };
        Counters {
            handed_over: mailbox.handed_over.load(Ordering::Relaxed),
            dropped: mailbox.dropped.load(Ordering::Relaxed),
        }
    }

    fn mailbox(&self, number: WorkerNumber) -> Option<&Mailbox> {
        self.mailboxes.get(usize::from(number.get()))
    }
}

/// A worker's own device, and what others have received for it.
#[derive(Debug)]
pub struct Handover<D> {
    device: D,
    desk: Desk,
}

/// Where datagrams are sorted.
#[derive(Debug)]
struct Desk {
    number: WorkerNumber,
    exchange: Arc<Exchange>,
    slots: Option<Magazine<'static>>,
    /// The workers that got something since they were told last, a bit each.
    notify: u64,
}

impl Desk {
    /// Which other worker a datagram is for. One that nobody has asked for is refused by whoever gets it.
    fn other(&self, datagram: &[u8]) -> Option<WorkerNumber> {
        owner_of(datagram).filter(|owner| *owner != self.number && self.exchange.mailbox(*owner).is_some())
    }

    /// Shows what is for this worker to `sink`, and hands over the rest.
    fn sort(&mut self, run: Received<'_>, sink: &mut impl FnMut(Received<'_>)) {
        let Received { remote, ecn, bytes, stride } = run;
        let stride = stride.max(1);
        if bytes.chunks(stride).all(|datagram| self.other(datagram).is_none()) {
            return sink(Received { remote, ecn, stride, bytes });
        }
        for datagram in bytes.chunks_mut(stride) {
            match self.other(datagram) {
                Some(owner) => self.hand_over(owner, remote, ecn, datagram),
                None => sink(Received { remote, ecn, stride: datagram.len(), bytes: datagram }),
            }
        }
    }

    fn hand_over(&mut self, owner: WorkerNumber, remote: SocketAddr, ecn: Ecn, datagram: &[u8]) {
        let Some(mailbox) = self.exchange.mailbox(owner) else { return };
        let len = datagram.len();
        let slot = self.slots.as_mut().and_then(Magazine::take).and_then(|mut slot| {
            slot.get_mut(..len)?.copy_from_slice(datagram);
            Some(slot)
        });
        // A parcel that does not fit any more is dropped here, and with it its slot goes back to the pool.
        if slot.is_some_and(|slot| mailbox.sender.try_send(Parcel { remote, ecn, len, slot }).is_ok()) {
            mailbox.handed_over.fetch_add(1, Ordering::Relaxed);
            self.notify |= 1 << owner.get();
        } else {
            mailbox.dropped.fetch_add(1, Ordering::Relaxed);
        }
    }

    fn notify_others(&mut self) {
        let mut notify = std::mem::take(&mut self.notify);
        while notify != 0 {
            if let Some(mailbox) = self.exchange.mailboxes.get(notify.trailing_zeros() as usize) {
                mailbox.alarm.notify();
            }
            notify &= notify - 1;
        }
    }

    /// Shows what others have received for this worker to `sink`; returns how many datagrams that were.
    fn collect(&mut self, sink: &mut impl FnMut(Received<'_>)) -> usize {
        let (Some(mailbox), Some(slots)) = (self.exchange.mailbox(self.number), &mut self.slots) else { return 0 };
        let mut count = 0;
        while count < COLLECT_BATCH {
            let Ok(Parcel { remote, ecn, len, mut slot }) = mailbox.receiver.try_recv() else { break };
            if let Some(bytes) = slot.get_mut(..len) {
                sink(Received { remote, ecn, stride: len, bytes });
            }
            slots.put(slot);
            count += 1;
        }
        count
    }
}

impl<D> Handover<D> {
    /// The device itself.
    pub const fn device(&mut self) -> &mut D {
        &mut self.device
    }
}

impl<D: Device> Device for Handover<D> {
    fn receive(&mut self, mut sink: impl FnMut(Received<'_>)) -> usize {
        let Self { device, desk } = self;
        if desk.slots.is_none() {
            return device.receive(sink);
        }
        let collected = desk.collect(&mut sink);
        let received = device.receive(|run| desk.sort(run, &mut sink));
        desk.notify_others();
        collected + received
    }

    fn transmit_buffer(&mut self) -> Option<&mut [u8]> {
        self.device.transmit_buffer()
    }

    fn max_segments(&self) -> usize {
        self.device.max_segments()
    }

    fn submit(&mut self, transmit: &Transmit) -> Submitted {
        self.device.submit(transmit)
    }

    fn flush(&mut self) {
        self.device.flush();
    }
}

impl<D: HostDevice> HostDevice for Handover<D> {
    fn wait(&mut self, extra: &[BorrowedFd<'_>], timeout: Option<Duration>) -> io::Result<bool> {
        let Self { device, desk } = self;
        let Some(mailbox) = desk.exchange.mailbox(desk.number) else { return device.wait(extra, timeout) };
        mailbox.alarm.arm();
        if !mailbox.receiver.is_empty() {
            return Ok(true);
        }
        let mut others: SmallVec<[BorrowedFd<'_>; 4]> = SmallVec::from_slice(extra);
        others.push(mailbox.alarm.fd());
        device.wait(&others, timeout)
    }

    fn keeps_departures(&self) -> bool {
        self.device.keeps_departures()
    }

    fn kernel_counters(&mut self) -> KernelCounters {
        self.device.kernel_counters()
    }

    fn maintain(&mut self, now: Instant) {
        self.device.maintain(now);
    }
}

#[cfg(test)]
mod tests;
