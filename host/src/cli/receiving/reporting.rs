//! A worker's receiver, with a report of each transfer when it ends, and what all of them have in common.

use std::os::fd::BorrowedFd;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use wirehaul_core::session::{Event, Session};
use wirehaul_core::time::Instant;
use wirehaul_core::wire::RejectCounters;
use wirehaul_core::worker::{Application, SessionId};

use super::super::args::OutputArgs;
use super::super::exit::Exit;
use super::super::output::{Pools, Summary};
use super::super::place::Place;
use super::Control;
use crate::crypto::NoiseHandshake;
use crate::drive::{HostWorker, Role};
use crate::events::{KernelCounters, TransferEnd};
use crate::handover::Exchange;
use crate::pools::{LastingPool, PoolsError};
use crate::transfer::blocks::receiver_pool;
use crate::transfer::failure::{Failure, Incomplete};
use crate::transfer::policy::InForce;
use crate::transfer::receiver::{Received, Receiver, Replies};
use crate::transport::Gauge;

/// What the workers of a receiver have in common.
pub(super) struct Shared {
    pub(super) output: OutputArgs,
    is_daemon: bool,
    transport: &'static str,
    place: Arc<Place>,
    pub(super) blocks: LastingPool,
    /// The one transfer that was to come has come.
    is_over: AtomicBool,
    /// Transfers under way, of all workers.
    transfers: AtomicUsize,
    last: Mutex<Option<Exit>>,
}

impl Shared {
    /// Nothing has come yet. However many workers there are, one pool of blocks bounds the memory of the process.
    pub(super) fn new(
        output: OutputArgs,
        transport: &'static str,
        place: Arc<Place>,
        max_transfers: usize,
        is_daemon: bool,
    ) -> Result<Self, PoolsError> {
        Ok(Self {
            output,
            is_daemon,
            transport,
            place,
            blocks: receiver_pool(u32::try_from(max_transfers).unwrap_or(u32::MAX))?,
            is_over: AtomicBool::new(false),
            transfers: AtomicUsize::new(0),
            last: Mutex::new(None),
        })
    }

    /// Puts back what was changed of the card, while its queues are still ours.
    pub(super) fn put_back(&self) {
        self.place.put_back();
    }

    /// What became of the transfer that ended last, if any did.
    pub(super) fn exit(&self) -> Option<Exit> {
        *self.last.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn is_over(&self) -> bool {
        self.is_over.load(Ordering::Relaxed) && self.transfers.load(Ordering::Relaxed) == 0
    }
}

/// The receiver of one worker.
pub(super) struct Reporting<'a> {
    pub(super) receiver: Receiver,
    pub(super) io: &'static str,
    pub(super) packets: Gauge,
    pub(super) shared: &'a Shared,
    pub(super) control: &'a Control,
    pub(super) policy: &'a InForce,
    pub(super) exchange: &'a Exchange,
    /// Transfers of this worker, as far as they are counted in `shared`.
    pub(super) counted: usize,
}

impl Reporting<'_> {
    /// Reports the transfers that have ended.
    pub(super) fn report(&mut self, stray: &RejectCounters) {
        for received in self.receiver.take_finished() {
            // One at a time, so that the lines of two summaries do not mix.
            let mut last = self.shared.last.lock().unwrap_or_else(PoisonError::into_inner);
            *last = Some(self.report_one(received, stray));
        }
    }

    fn report_one(&mut self, received: Received, stray: &RejectCounters) -> Exit {
        let (outcome, failure) = match received.outcome {
            Ok(outcome) if outcome.conflicts + outcome.failures > 0 => {
                let incomplete = Incomplete { conflicts: outcome.conflicts, failures: outcome.failures };
                (Some(outcome), Some(Failure::Incomplete(incomplete)))
            }
            Ok(outcome) => (Some(outcome), None),
            Err(failure) => (None, Some(failure)),
        };
        let end = TransferEnd::of(received.state, received.took, outcome.as_ref(), received.verified, failure.as_ref());
        self.receiver.tell_end(end);
        Summary {
            command: "recv",
            bytes: outcome.as_ref().map_or(0, |outcome| outcome.stored_bytes),
            took: received.took,
            transport: self.shared.transport,
            io: self.io,
            outcome: outcome.as_ref(),
            verified: received.verified && failure.is_none(),
            stats: &received.stats,
            stray,
            pools: Pools { packets: self.packets.stats(), blocks: self.shared.blocks.stats() },
            numa: self.shared.place.to_json(Some(self.shared.blocks)),
            failure: failure.as_ref(),
            is_logged: self.shared.is_daemon,
        }
        .print(self.shared.output);
        failure.map_or(Exit::Done, |failure| Exit::of_code(failure.exit_code()))
    }

    /// Where the receiver is to take no more transfers, sees to it. As long as some are under way, whoever comes is let in far
    /// enough to be told why it is refused.
    fn drain(&self, worker: &mut HostWorker<'_>) {
        if self.control.drain.load(Ordering::Relaxed) {
            self.policy.close();
            if self.policy.is_deserted() {
                worker.set_listening(false);
            }
        }
    }

    /// Tells the other workers how this one stands.
    fn tell(&mut self) {
        let was_over = self.shared.is_over();
        let transfers = self.receiver.transfers();
        // Wraps around where there are fewer now, and so subtracts.
        self.shared.transfers.fetch_add(transfers.wrapping_sub(self.counted), Ordering::Relaxed);
        self.counted = transfers;
        if self.receiver.is_over() {
            self.shared.is_over.store(true, Ordering::Relaxed);
        }
        if !was_over && self.shared.is_over() {
            self.exchange.wake_all();
        }
    }
}

impl Application<NoiseHandshake> for Reporting<'_> {
    type Source = Replies;

    fn on_event(
        &mut self,
        now: Instant,
        id: SessionId,
        session: &mut Session<'_, NoiseHandshake>,
        event: Event,
        datagram: &[u8],
    ) {
        self.receiver.on_event(now, id, session, event, datagram);
    }

    fn source(&mut self, id: SessionId) -> &mut Replies {
        self.receiver.source(id)
    }
}

impl Role for Reporting<'_> {
    fn pump(&mut self, now: Instant, worker: &mut HostWorker<'_>) -> bool {
        let worked = self.receiver.pump(now, worker);
        self.drain(worker);
        self.report(worker.rejects());
        self.tell();
        worked
    }

    fn prepare_wait(&mut self) -> (bool, BorrowedFd<'_>) {
        self.receiver.prepare_wait()
    }

    fn deadline(&self) -> Option<Instant> {
        self.receiver.deadline()
    }

    fn wants_counters(&self, now: Instant) -> bool {
        self.receiver.wants_counters(now)
    }

    fn take_counters(&mut self, now: Instant, counters: KernelCounters) {
        self.receiver.take_counters(now, counters);
    }

    /// All workers end together: as long as one has a transfer, the others may receive datagrams of it.
    fn is_over(&self) -> bool {
        self.shared.is_over() || (self.control.drain.load(Ordering::Relaxed) && self.policy.is_deserted())
    }
}
