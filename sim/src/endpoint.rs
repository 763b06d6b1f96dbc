//! A host's socket: the core's [`Device`] over the network's links.

use std::{collections::VecDeque, net::SocketAddr};

use wirehaul_core::{
    device::{Device, Received, Submitted, Transmit},
    time::{Duration, Instant},
};

use crate::{
    faults::device::{DeviceDrop, DeviceStats, Shortages, Slots},
    link::Count,
    network::{Datagram, Network},
};

/// Datagrams that one call of [`Device::receive`] takes at most.
const RECEIVE_BATCH: usize = 64;
/// One segmentation offload holds at most this many bytes.
const BUFFER_BYTES: usize = 64 * 1024;

/// One UDP socket.
#[derive(Debug)]
pub struct Endpoint {
    address: SocketAddr,
    inbox: VecDeque<Datagram>,
    buffer: Vec<u8>,
    max_segments: usize,
    departures: Option<Vec<Departure>>,
    shortages: Shortages,
    slots: Slots,
    stats: DeviceStats,
    /// Runs that left in this turn, while somebody watches them.
    watched: Option<Vec<WatchedRun>>,
    /// Whether the device had no buffer to send from in this turn, and when it has again.
    blocked_until: Option<Instant>,
    /// By how much the host's clock is ahead of the run's.
    clock_ahead: Duration,
}

/// A run of datagrams that left.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WatchedRun {
    /// To whom.
    pub remote: SocketAddr,
    /// Bytes of each datagram; the last may be shorter.
    pub segment_bytes: usize,
    /// Bytes in all.
    pub bytes: usize,
}

/// A burst that left an endpoint.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Departure {
    /// When.
    pub at: Instant,
    /// How many bytes of UDP payload, in one or more datagrams.
    pub bytes: u64,
}

/// An [`Endpoint`] at one moment, joined to the network.
#[derive(Debug)]
pub struct Attached<'n> {
    endpoint: &'n mut Endpoint,
    network: &'n mut Network,
    now: Instant,
}

impl Endpoint {
    /// A socket at `address` that sends at most `max_segments` datagrams in one run.
    #[must_use]
    pub fn new(address: SocketAddr, max_segments: usize) -> Self {
        let buffer = vec![0; BUFFER_BYTES];
        Self {
            address,
            inbox: VecDeque::new(),
            buffer,
            max_segments: max_segments.max(1),
            departures: None,
            shortages: Shortages::default(),
            slots: Slots::default(),
            stats: DeviceStats::default(),
            watched: None,
            blocked_until: None,
            clock_ahead: Duration::ZERO,
        }
    }

    /// The socket's address.
    #[must_use]
    pub const fn address(&self) -> SocketAddr {
        self.address
    }

    /// Another address for the socket.
    pub const fn set_address(&mut self, address: SocketAddr) {
        self.address = address;
    }

    /// Puts a datagram that arrived where [`Device::receive`] finds it.
    pub fn arrived(&mut self, now: Instant, datagram: Datagram) {
        self.stats.arrived.add(datagram.bytes.len());
        if self.shortages.is_fill_ring_empty(now) {
            self.stats.drop(DeviceDrop::FillRingEmpty, datagram.bytes.len());
        } else {
            self.inbox.push_back(datagram);
        }
    }

    /// The host is down: drops what waits, and a datagram that arrives.
    pub fn drop_all(&mut self, arriving: Option<Datagram>) {
        arriving.iter().for_each(|datagram| self.stats.arrived.add(datagram.bytes.len()));
        for datagram in self.inbox.drain(..).chain(arriving) {
            self.stats.drop(DeviceDrop::HostDown, datagram.bytes.len());
        }
    }

    /// The host's clock is ahead of the run's by this from now on.
    pub const fn set_clock_ahead(&mut self, by: Duration) {
        self.clock_ahead = by;
    }

    /// What the device lacks at times.
    pub const fn shortages(&mut self) -> &mut Shortages {
        &mut self.shortages
    }

    /// The device's transmit buffers.
    pub const fn slots(&mut self) -> &mut Slots {
        &mut self.slots
    }

    /// What became of every datagram at the device.
    #[must_use]
    pub const fn stats(&self) -> &DeviceStats {
        &self.stats
    }

    /// Datagrams that wait to be received, and their bytes.
    #[must_use]
    pub fn waiting(&self) -> Count {
        let mut count = Count::default();
        self.inbox.iter().for_each(|datagram| count.add(datagram.bytes.len()));
        count
    }

    /// Notes the runs of each turn from now on, for [`Endpoint::take_watched`].
    pub fn watch(&mut self) {
        self.watched.get_or_insert_default();
    }

    /// The runs that left since the last call.
    pub fn take_watched(&mut self) -> Vec<WatchedRun> {
        self.watched.as_mut().map(std::mem::take).unwrap_or_default()
    }

    /// Where the device had no buffer to send from in the last turn: when it has one again.
    #[must_use]
    pub const fn blocked_until(&self) -> Option<Instant> {
        self.blocked_until
    }

    /// Whether something waits to be received.
    #[must_use]
    pub fn has_mail(&self) -> bool {
        !self.inbox.is_empty()
    }

    /// Notes every burst that leaves from now on.
    pub fn log_departures(&mut self) {
        self.departures = Some(Vec::new());
    }

    /// The bursts noted so far.
    #[must_use]
    pub fn departures(&self) -> &[Departure] {
        self.departures.as_deref().unwrap_or(&[])
    }

    /// The device for a turn at `now`.
    pub fn attach<'n>(&'n mut self, network: &'n mut Network, now: Instant) -> Attached<'n> {
        self.blocked_until = None;
        self.slots.reclaim(now);
        Attached { endpoint: self, network, now }
    }
}

impl Device for Attached<'_> {
    fn receive(&mut self, mut sink: impl FnMut(Received<'_>)) -> usize {
        let count = self.endpoint.inbox.len().min(RECEIVE_BATCH);
        for mut datagram in self.endpoint.inbox.drain(..count) {
            self.endpoint.stats.received.add(datagram.bytes.len());
            let stride = datagram.bytes.len().max(1);
            sink(Received { remote: datagram.from, ecn: datagram.ecn, stride, bytes: &mut datagram.bytes });
            self.network.recycle(datagram.bytes);
        }
        count
    }

    fn transmit_buffer(&mut self) -> Option<&mut [u8]> {
        let Endpoint { shortages, slots, blocked_until, buffer, .. } = &mut *self.endpoint;
        *blocked_until = shortages.exhausted_until(self.now);
        if blocked_until.is_none() && !slots.take(self.now) {
            *blocked_until = Some(slots.next_completion().unwrap_or(Instant::FAR_FUTURE));
        }
        if blocked_until.is_some() { None } else { Some(buffer) }
    }

    fn max_segments(&self) -> usize {
        self.endpoint.max_segments
    }

    fn submit(&mut self, transmit: &Transmit) -> Submitted {
        let Some(run) = self.endpoint.buffer.get(..transmit.len) else { return Submitted::Full };
        let is_full = self.endpoint.shortages.is_full(self.now);
        if is_full {
            self.endpoint.slots.give_back();
        } else {
            self.endpoint.slots.submit(self.endpoint.shortages.completion(self.now));
        }
        if let Some(watched) = &mut self.endpoint.watched {
            let Transmit { remote, segment_bytes, len: bytes, .. } = *transmit;
            watched.push(WatchedRun { remote, segment_bytes, bytes });
        }
        // As a kernel with transmit time does: what was handed over early leaves when it is due.
        let due = transmit.depart_at.as_nanos().saturating_sub(self.endpoint.clock_ahead.as_nanos());
        let at = Instant::from_nanos(due).max(self.now);
        if let Some(departures) = &mut self.endpoint.departures {
            departures.push(Departure { at, bytes: transmit.len as u64 });
        }
        let mut reachable = true;
        for segment in run.chunks(transmit.segment_bytes.max(1)) {
            let (from, to) = (self.endpoint.address, transmit.remote);
            self.endpoint.stats.submitted.add(segment.len());
            if is_full {
                self.endpoint.stats.drop(DeviceDrop::TransmitFull, segment.len());
                continue;
            }
            self.endpoint.stats.sent.add(segment.len());
            let mut bytes = self.network.buffer();
            bytes.extend_from_slice(segment);
            let datagram = Datagram { from, to, ecn: transmit.ecn, bytes };
            reachable &= self.network.send(at, datagram);
        }
        if is_full {
            return Submitted::Full;
        }
        if reachable { Submitted::Sent } else { Submitted::Unreachable }
    }

    fn flush(&mut self) {
        // A buffer that was taken for a session with nothing to send.
        self.endpoint.slots.give_back();
    }
}
