//! Transfers: those under way, and the last ones that are over.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use wirehaul_core::time::{Duration, Instant};

use super::history::{BUCKET, Flow, History};
use crate::events::{Stage, TransferEnd, TransferId, TransferState};

/// Transfers under way that are kept apart: a receiver takes 1024 at once.
pub const MAX_LIVE: usize = 1024;
/// Transfers that are over and kept.
pub const MAX_OVER: usize = 100;
/// A transfer that is silent for so long, while its worker is not, has ended: the event that said so was missed.
const SILENCE: Duration = Duration::from_secs(30);

/// A transfer under way.
#[derive(Clone, Debug)]
pub struct Transfer {
    /// How it stands.
    pub state: TransferState,
    /// Bytes that come to be done.
    pub flow: Flow,
    /// Round-trip times, in nanoseconds.
    pub rtt: History,
    /// Bytes on their way.
    pub inflight: History,
    /// Up to here these two are filled.
    sampled: Instant,
}

impl Transfer {
    fn new(state: &TransferState) -> Self {
        let mut flow = Flow::default();
        flow.begin_at(state.at, state.done_bytes);
        Self { state: state.clone(), flow, rtt: History::default(), inflight: History::default(), sampled: state.at }
    }

    fn hear(&mut self, state: &TransferState) {
        if state.stage == self.state.stage {
            self.flow.observe(state.at, state.done_bytes);
        } else {
            self.flow.begin_at(state.at, state.done_bytes);
        }
        let whole = state.at.saturating_since(self.sampled).as_nanos() / BUCKET.as_nanos();
        for _ in 0..whole.min(super::history::BUCKETS as u64) {
            self.rtt.push(state.figures.srtt.as_nanos());
            self.inflight.push(state.figures.inflight_bytes);
        }
        self.sampled += BUCKET.saturating_mul(whole);
        self.state = state.clone();
    }

    /// How long the rest takes if it goes on like this; `None` where that cannot be said.
    #[must_use]
    pub fn left(&self) -> Option<Duration> {
        let left = self.state.total_bytes.saturating_sub(self.state.done_bytes);
        let rate = self.flow.lately().filter(|rate| *rate > 0)?;
        (self.state.stage == Stage::Moving).then(|| Duration::from_secs(1).mul_ratio(left, rate))
    }

    /// Bytes a second, now; zero before they are known, and where no data moves.
    #[must_use]
    pub fn rate(&self) -> u64 {
        if self.state.stage == Stage::Moving { self.flow.now().unwrap_or(0) } else { 0 }
    }
}

/// All of them.
#[derive(Clone, Debug, Default)]
pub struct Transfers {
    live: BTreeMap<TransferId, Transfer>,
    over: VecDeque<Arc<TransferEnd>>,
    done: u64,
    failed: u64,
    /// Bytes a second of all together.
    flow: History,
    flow_until: Instant,
}

/// A transfer to be shown.
#[derive(Clone, Copy, Debug)]
pub enum Shown<'a> {
    /// It goes on.
    Live(&'a Transfer),
    /// It is over.
    Over(&'a TransferEnd),
}

impl Shown<'_> {
    /// How it stands, or stood at its end.
    #[must_use]
    pub const fn state(&self) -> &TransferState {
        match self {
            Self::Live(transfer) => &transfer.state,
            Self::Over(end) => &end.state,
        }
    }
}

impl Transfers {
    pub(super) fn hear(&mut self, state: &TransferState) {
        if let Some(transfer) = self.live.get_mut(&state.id) {
            transfer.hear(state);
            return;
        }
        // What is said behind the end of a transfer begins none.
        if state.stage == Stage::Over || self.over.iter().any(|end| end.state.id == state.id) {
            return;
        }
        if self.live.len() >= MAX_LIVE
            && let Some(id) = self.live.iter().min_by_key(|(_, transfer)| transfer.state.at).map(|(id, _)| *id)
        {
            self.live.remove(&id);
        }
        self.live.insert(state.id, Transfer::new(state));
    }

    pub(super) fn end(&mut self, end: &Arc<TransferEnd>) {
        self.live.remove(&end.state.id);
        if end.exit_code == 0 && end.failure.is_none() {
            self.done += 1;
        } else {
            self.failed += 1;
        }
        if self.over.len() >= MAX_OVER {
            self.over.pop_back();
        }
        self.over.push_front(Arc::clone(end));
    }

    /// A worker said how it stands at this time: what it has not spoken of for long is over.
    pub(super) fn forget_silent(&mut self, worker: u8, at: Instant) {
        self.live.retain(|id, transfer| id.worker != worker || at.saturating_since(transfer.state.at) < SILENCE);
    }

    /// Time passed.
    pub(super) fn tick(&mut self, now: Instant) {
        let whole = now.saturating_since(self.flow_until).as_nanos() / BUCKET.as_nanos();
        let rate = self.rate();
        for _ in 0..whole.min(super::history::BUCKETS as u64) {
            self.flow.push(rate);
        }
        self.flow_until += BUCKET.saturating_mul(whole);
    }

    /// Bytes a second of all together, now.
    #[must_use]
    pub fn rate(&self) -> u64 {
        self.live.values().fold(0, |sum, transfer| sum.saturating_add(transfer.rate()))
    }

    /// The same over the last minute.
    #[must_use]
    pub const fn history(&self) -> &History {
        &self.flow
    }

    /// How many are under way.
    #[must_use]
    pub fn live_count(&self) -> usize {
        self.live.len()
    }

    /// How many came to their end complete, as far as that was heard.
    #[must_use]
    pub const fn done(&self) -> u64 {
        self.done
    }

    /// How many did not.
    #[must_use]
    pub const fn failed(&self) -> u64 {
        self.failed
    }

    /// How many can be shown.
    #[must_use]
    pub fn len(&self) -> usize {
        self.live.len() + self.over.len()
    }

    /// Whether there is none to be shown.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// All that can be shown: those under way in the order of their numbers, then those that are over, the last one first.
    pub fn shown(&self) -> impl Iterator<Item = Shown<'_>> {
        self.live.values().map(Shown::Live).chain(self.over.iter().map(|end| Shown::Over(end)))
    }

    /// Where a transfer is among these.
    #[must_use]
    pub fn position(&self, id: TransferId) -> Option<usize> {
        self.shown().position(|shown| shown.state().id == id)
    }
}
