//! What a sender tells watchers.

use std::net::SocketAddr;
use std::sync::Arc;

use wirehaul_core::pool::PoolStats;
use wirehaul_core::session::{Session, Stats};
use wirehaul_core::time::Instant;
use wirehaul_core::worker::SessionId;

use super::telling::{Gauge, Teller};
use crate::crypto::NoiseHandshake;
use crate::drive::HostWorker;
use crate::events::{
    Bus, Direction, KernelCounters, SessionFigures, SessionState, Stage, TransferEnd, TransferId, TransferState,
};

/// How a transfer stands on the way out, and who is told.
pub struct Watch {
    teller: Teller,
    id: TransferId,
    /// What of its session is in the worker's sums.
    counted: Stats,
    /// The receiver's name here, where it has one.
    pub(super) peer: Option<Arc<str>>,
    pub(super) remote: Option<SocketAddr>,
    pub(super) began: Instant,
    pub(super) stage: Stage,
    pub(super) total_bytes: u64,
    pub(super) done_bytes: u64,
}

impl Watch {
    /// Tells `bus`. `packets` says how the pool of packets stands; `peer` is what the receiver is called here.
    #[must_use]
    pub fn new(bus: Bus, packets: Gauge, peer: Option<Arc<str>>, now: Instant) -> Self {
        let mut teller = Teller::new(bus, 0, packets);
        Self {
            id: teller.begin(),
            teller,
            counted: Stats::default(),
            peer,
            remote: None,
            began: now,
            stage: Stage::Connecting,
            total_bytes: 0,
            done_bytes: 0,
        }
    }

    /// How a sender stands that looks at its files yet.
    #[must_use]
    pub fn listing() -> TransferState {
        TransferState {
            id: TransferId { worker: 0, number: 1 },
            at: Instant::ZERO,
            began: Instant::ZERO,
            direction: Direction::Sending,
            peer: None,
            remote: None,
            stage: Stage::Listing,
            total_bytes: 0,
            done_bytes: 0,
            figures: SessionFigures::default(),
        }
    }

    pub(super) fn is_due(&mut self, now: Instant) -> bool {
        self.teller.is_due(now)
    }

    pub(super) fn wants_counters(&self, now: Instant) -> bool {
        self.teller.wants_counters(now)
    }

    pub(super) fn take_counters(&mut self, now: Instant, counters: KernelCounters) {
        self.teller.take_counters(now, counters);
    }

    /// Tells how the transfer and the worker stand.
    pub(super) fn tell(
        &mut self,
        now: Instant,
        worker: &HostWorker<'_>,
        session: Option<SessionId>,
        blocks: PoolStats,
    ) {
        let stats = session.and_then(|id| worker.look_at(id)).map(Session::stats).unwrap_or_default();
        let state = self.state(now, &stats);
        if session.is_some() && stats.sent_packets >= self.counted.sent_packets {
            self.teller.count(&mut self.counted, stats);
        }
        self.teller.tell_transfer(state);
        self.teller.tell_worker(now, (worker.session_count(), 1), worker.rejects(), blocks);
    }

    pub(super) fn tell_session(&self, now: Instant, session: &Session<'_, NoiseHandshake>, what: SessionState) {
        if self.teller.is_heard() {
            self.teller.tell_session(self.state(now, &session.stats()), what);
        }
    }

    /// The transfer is over: says so.
    pub fn end(&mut self, end: TransferEnd) {
        self.teller.end(end);
    }

    pub(super) fn state(&self, now: Instant, stats: &Stats) -> TransferState {
        TransferState {
            id: self.id,
            at: now,
            began: self.began,
            direction: Direction::Sending,
            peer: self.peer.clone(),
            remote: self.remote,
            stage: self.stage,
            total_bytes: self.total_bytes,
            done_bytes: self.done_bytes,
            figures: SessionFigures::from(stats),
        }
    }
}
