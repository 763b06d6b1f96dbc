//! What a worker tells the bus while packets move: a few times a second, sums since it began, and nothing that was made on the heap for
//! it. Where nobody listens it tells nothing.

use std::sync::Arc;

use wirehaul_core::pool::PoolStats;
use wirehaul_core::session::Stats;
use wirehaul_core::time::{Duration, Instant};
use wirehaul_core::wire::RejectCounters;

use super::failure::Failure;
use super::message::Outcome;
use crate::events::{
    Bus, Event, KernelCounters, SessionState, Stage, Totals, TransferEnd, TransferId, TransferState, WorkerState,
};

/// How often a worker tells how it and its transfers stand.
pub const TELL_EVERY: Duration = Duration::from_millis(200);
/// How often the kernel is asked what it counts.
const COUNT_EVERY: Duration = Duration::from_secs(2);
/// Transfers that are told about at a time: of more, each has its turn less often.
pub const TOLD_AT_ONCE: usize = 64;

/// Says how a pool stands.
pub type Gauge = Box<dyn Fn() -> PoolStats>;

/// Tells how a worker stands.
pub struct Teller {
    bus: Bus,
    worker: u8,
    packets: Gauge,
    due: Instant,
    /// Whether anybody listened when it was last time to tell.
    is_watched: bool,
    counters_due: Instant,
    begun: u64,
    totals: Totals,
    kernel: KernelCounters,
}

impl Teller {
    /// Of this worker, to this bus. `packets` says how the pool stands that its packets lie in.
    #[must_use]
    pub fn new(bus: Bus, worker: u8, packets: Gauge) -> Self {
        let (totals, kernel) = (Totals::default(), KernelCounters::default());
        Self {
            bus,
            worker,
            packets,
            due: Instant::ZERO,
            is_watched: false,
            counters_due: Instant::ZERO,
            begun: 0,
            totals,
            kernel,
        }
    }

    /// Whether it is time to tell; if so, it is not for a while.
    pub fn is_due(&mut self, now: Instant) -> bool {
        if now < self.due {
            return false;
        }
        self.due = now + TELL_EVERY;
        // Asked now and then only: it takes a lock, and this is called in every turn.
        self.is_watched = self.bus.is_heard();
        self.is_watched
    }

    /// Whether it is time to ask the kernel what it counts.
    #[must_use]
    pub fn wants_counters(&self, now: Instant) -> bool {
        self.is_watched && now >= self.counters_due
    }

    /// What the kernel counts.
    pub fn take_counters(&mut self, now: Instant, counters: KernelCounters) {
        self.kernel = counters;
        self.counters_due = now + COUNT_EVERY;
    }

    /// Whether anybody listens.
    #[must_use]
    pub fn is_heard(&self) -> bool {
        self.bus.is_heard()
    }

    /// A transfer begins: its name.
    pub const fn begin(&mut self) -> TransferId {
        self.begun += 1;
        self.totals.transfers_begun += 1;
        TransferId { worker: self.worker, number: self.begun }
    }

    /// A transfer is over: says so.
    pub fn end(&mut self, end: TransferEnd) {
        if end.failure.is_none() {
            self.totals.transfers_done += 1;
        } else {
            self.totals.transfers_failed += 1;
        }
        self.totals.files += end.files;
        self.totals.file_bytes += end.stored_bytes;
        if self.bus.is_heard() {
            self.bus.send(Event::Finished(Arc::new(end)));
        }
    }

    /// Counts what a session has done since it was counted last.
    pub fn count(&mut self, counted: &mut Stats, stats: Stats) {
        let totals = &mut self.totals;
        totals.sent_packets += stats.sent_packets - counted.sent_packets;
        totals.sent_bytes += stats.sent_bytes - counted.sent_bytes;
        totals.received_packets += stats.received_packets - counted.received_packets;
        totals.received_bytes += stats.received_bytes - counted.received_bytes;
        totals.lost_packets += stats.lost_packets - counted.lost_packets;
        totals.stream_bytes_sent += stats.stream_bytes_sent - counted.stream_bytes_sent;
        totals.stream_bytes_resent += stats.stream_bytes_resent - counted.stream_bytes_resent;
        totals.rejects.merge(&stats.rejects.since(&counted.rejects));
        *counted = stats;
    }

    /// Tells how a transfer stands.
    pub fn tell_transfer(&self, state: TransferState) {
        self.bus.send(Event::Transfer(state));
    }

    /// Tells what happened to a transfer's session.
    pub fn tell_session(&self, transfer: TransferState, state: SessionState) {
        self.bus.send(Event::Session { transfer, state });
    }

    /// Tells how the worker stands. `stray` are refused datagrams that belong to no session.
    pub fn tell_worker(
        &self,
        now: Instant,
        (sessions, transfers): (usize, usize),
        stray: &RejectCounters,
        blocks: PoolStats,
    ) {
        let mut totals = self.totals.clone();
        totals.rejects.merge(stray);
        self.bus.send(Event::Worker(WorkerState {
            number: self.worker,
            at: now,
            sessions: u32::try_from(sessions).unwrap_or(u32::MAX),
            transfers: u32::try_from(transfers).unwrap_or(u32::MAX),
            totals,
            packets: (self.packets)(),
            blocks,
            kernel: self.kernel,
        }));
    }
}

impl TransferEnd {
    /// What became of a transfer that stood like this at last.
    #[must_use]
    pub fn of(
        state: TransferState,
        took: Duration,
        outcome: Option<&Outcome>,
        verified: bool,
        failure: Option<&Failure>,
    ) -> Self {
        Self {
            state: TransferState { stage: Stage::Over, ..state },
            took,
            files: outcome.map_or(0, |outcome| outcome.files_done),
            stored_bytes: outcome.map_or(0, |outcome| outcome.stored_bytes),
            resumed_bytes: outcome.map_or(0, |outcome| outcome.resumed_bytes),
            verified: verified && failure.is_none(),
            failure: failure.map(|failure| failure.to_string().into()),
            exit_code: failure.map_or(0, Failure::exit_code),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::events::Heard;
    use wirehaul_core::wire::Reject;

    #[test]
    fn what_sessions_do_is_counted_once() {
        let mut teller = Teller::new(Bus::default(), 3, Box::new(PoolStats::default));
        let mut counted = Stats::default();
        let mut stats = Stats { sent_packets: 5, received_bytes: 700, ..Stats::default() };
        stats.rejects.count(Reject::Forged);
        teller.count(&mut counted, stats.clone());
        stats.sent_packets = 8;
        stats.rejects.count(Reject::Forged);
        teller.count(&mut counted, stats.clone());
        teller.count(&mut counted, stats);
        assert_eq!((teller.totals.sent_packets, teller.totals.received_bytes), (8, 700));
        assert_eq!(teller.totals.rejects.get(Reject::Forged), 2);
    }

    #[test]
    fn nothing_is_due_where_nobody_listens_and_then_a_few_times_a_second() {
        let bus = Bus::default();
        let mut teller = Teller::new(bus.clone(), 0, Box::new(PoolStats::default));
        let first = Instant::from_nanos(1);
        assert!(!teller.is_due(first) && !teller.wants_counters(first));
        let mut listener = bus.listen();
        assert!(!teller.is_due(first), "a lock in every turn");
        let second = first + TELL_EVERY;
        assert!(teller.is_due(second) && teller.wants_counters(second));
        teller.take_counters(second, KernelCounters::default());
        assert!(!teller.wants_counters(second) && teller.wants_counters(second + COUNT_EVERY));
        assert!(!teller.is_due(second + Duration::from_nanos(1)));
        assert!(teller.is_due(second + TELL_EVERY));
        let mut stray = RejectCounters::default();
        stray.count(Reject::NotForUs);
        teller.tell_worker(Instant::ZERO, (2, 1), &stray, PoolStats::default());
        let Some(Heard::Event(Event::Worker(state))) = listener.try_next() else { panic!("nothing was told") };
        assert_eq!((state.sessions, state.transfers, state.totals.rejects.get(Reject::NotForUs)), (2, 1, 1));
    }
}
