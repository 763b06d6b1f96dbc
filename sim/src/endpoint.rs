//! A host's socket: the core's [`Device`] over the network's links.

use std::{collections::VecDeque, net::SocketAddr};

use wirehaul_core::{
    device::{Device, Received, Submitted, Transmit},
    time::Instant,
};

use crate::network::{Datagram, Network};

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
        Self { address, inbox: VecDeque::new(), buffer, max_segments: max_segments.max(1), departures: None }
    }

    /// The socket's address.
    #[must_use]
    pub const fn address(&self) -> SocketAddr {
        self.address
    }

    /// Puts a datagram that arrived where [`Device::receive`] finds it.
    pub fn arrived(&mut self, datagram: Datagram) {
        self.inbox.push_back(datagram);
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
        Attached { endpoint: self, network, now }
    }
}

impl Device for Attached<'_> {
    fn receive(&mut self, mut sink: impl FnMut(Received<'_>)) -> usize {
        let count = self.endpoint.inbox.len().min(RECEIVE_BATCH);
        for mut datagram in self.endpoint.inbox.drain(..count) {
            let stride = datagram.bytes.len().max(1);
            sink(Received { remote: datagram.from, ecn: datagram.ecn, stride, bytes: &mut datagram.bytes });
            self.network.recycle(datagram.bytes);
        }
        count
    }

    fn transmit_buffer(&mut self) -> Option<&mut [u8]> {
        Some(&mut self.endpoint.buffer)
    }

    fn max_segments(&self) -> usize {
        self.endpoint.max_segments
    }

    fn submit(&mut self, transmit: &Transmit) -> Submitted {
        let Some(run) = self.endpoint.buffer.get(..transmit.len) else { return Submitted::Full };
        // As a kernel with transmit time does: what was handed over early leaves when it is due.
        let at = transmit.depart_at.max(self.now);
        if let Some(departures) = &mut self.endpoint.departures {
            departures.push(Departure { at, bytes: transmit.len as u64 });
        }
        let mut reachable = true;
        for segment in run.chunks(transmit.segment_bytes.max(1)) {
            let (from, to) = (self.endpoint.address, transmit.remote);
            let mut bytes = self.network.buffer();
            bytes.extend_from_slice(segment);
            let datagram = Datagram { from, to, ecn: transmit.ecn, bytes };
            reachable &= self.network.send(at, datagram);
        }
        if reachable { Submitted::Sent } else { Submitted::Unreachable }
    }

    fn flush(&mut self) {}
}
