//! A worker that lets peers in, and the device that a test reaches it by.

use std::collections::VecDeque;
use std::net::SocketAddr;

use wirehaul_core::device::{Device, Ecn, Received, Submitted, Transmit};
use wirehaul_core::limits::MAX_DATAGRAM_BYTES;
use wirehaul_core::session::{Config, Event, Session};
use wirehaul_core::time::Instant;
use wirehaul_core::wire::{Reject, RejectCounters};
use wirehaul_core::worker::{Application, SessionId, SessionSlot, Worker};
use wirehaul_sim::crypto::{Identity, SimAcceptor, SimHandshake};
use wirehaul_sim::rng::{Purpose, Seed};

use crate::pair::{Memory, Shown, Silent};

/// Datagrams that wait to be received, and those that were sent.
#[derive(Debug)]
struct Mailbox {
    inbox: VecDeque<(SocketAddr, Vec<u8>)>,
    sent: Vec<Vec<u8>>,
    buffer: Vec<u8>,
}

impl Device for Mailbox {
    fn receive(&mut self, mut sink: impl FnMut(Received<'_>)) -> usize {
        let count = self.inbox.len();
        for (remote, mut bytes) in self.inbox.drain(..) {
            let stride = bytes.len().max(1);
            sink(Received { remote, ecn: Ecn::Ect0, stride, bytes: &mut bytes });
        }
        count
    }

    fn transmit_buffer(&mut self) -> Option<&mut [u8]> {
        Some(&mut self.buffer)
    }

    fn max_segments(&self) -> usize {
        1
    }

    fn submit(&mut self, transmit: &Transmit) -> Submitted {
        self.sent.push(self.buffer[..transmit.len].to_vec());
        Submitted::Sent
    }

    fn flush(&mut self) {}
}

/// An application that sends nothing and wants nothing.
#[derive(Debug)]
struct Idle(Silent);

impl Application<SimHandshake> for Idle {
    type Source = Silent;

    fn on_event(&mut self, _: Instant, _: SessionId, _: &mut Session<'_, SimHandshake>, _: Event, _: &[u8]) {}

    fn source(&mut self, _id: SessionId) -> &mut Silent {
        &mut self.0
    }
}

/// A worker behind a mailbox.
pub struct Reception<'a> {
    worker: Worker<'a, SimAcceptor>,
    mailbox: Mailbox,
    now: Instant,
}

/// Runs `test` on a worker with room for so many sessions, each with so much room as [`crate::pair::Options`] has it.
pub fn with_reception<R>(
    config: &Config,
    sessions: usize,
    room: [usize; 4],
    test: impl FnOnce(&mut Reception<'_>) -> R,
) -> R {
    let mut memories: Vec<_> = (0..sessions).map(|_| (Memory::new(room), Vec::new())).collect();
    let mut slots: Vec<_> =
        memories.iter_mut().map(|(memory, slots)| SessionSlot::Free(memory.lend(room, slots))).collect();
    let acceptor = SimAcceptor::new(Identity::new(2), Seed(1).stream(1, Purpose::Keys));
    let worker = Worker::new(config.clone(), acceptor, true, &mut slots);
    let mailbox = Mailbox { inbox: VecDeque::new(), sent: Vec::new(), buffer: vec![0; MAX_DATAGRAM_BYTES] };
    test(&mut Reception { worker, mailbox, now: Instant::from_nanos(1_000_000_000) })
}

impl Reception<'_> {
    /// What can be told of the worker: its sessions and their digests.
    fn digests(&mut self) -> Vec<u64> {
        self.worker.sessions().map(|(_, session)| session.digest()).collect()
    }

    /// Hands `datagram` to the worker, as from `remote`; returns what it made of it and what it sent in turn.
    pub fn show(&mut self, remote: SocketAddr, datagram: &[u8]) -> (Shown, Vec<Vec<u8>>) {
        let (digests, before) = (self.digests(), self.worker.rejects().clone());
        self.mailbox.inbox.push_back((remote, datagram.to_vec()));
        self.worker.turn(self.now, &mut self.mailbox, &mut Idle(Silent));
        let mut counted = RejectCounters::new();
        for (reject, count) in self.worker.rejects().iter() {
            (before.get(reject)..count).for_each(|_| counted.count(reject));
        }
        let refused = Reject::ALL.into_iter().find(|reject| counted.get(*reject) > 0);
        let unchanged = digests == self.digests();
        (Shown { outcome: refused.map_or(Ok(()), Err), counted, unchanged }, std::mem::take(&mut self.mailbox.sent))
    }

    /// How many sessions there are.
    #[must_use]
    pub fn sessions(&self) -> usize {
        self.worker.session_count()
    }
}
