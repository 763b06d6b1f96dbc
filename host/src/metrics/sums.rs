//! What was heard on the bus, as far as metrics want it.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use prometheus_client::metrics::histogram::Histogram;
use wirehaul_core::pool::PoolStats;
use wirehaul_core::time::{Duration, Instant};
use wirehaul_core::wire::RejectCounters;

use crate::events::{Direction, Event, Heard, TransferEnd, TransferId, TransferState, WorkerState};

/// A peer that has no section in the configuration, or no name: labels are not to grow with whoever comes.
pub(super) const OTHER: &str = "other";
/// Providers of CDNs that are told apart.
const MAX_PROVIDERS: usize = 100;
/// A transfer that nothing was heard of for so long is over: the event that said so was missed.
const SILENCE: Duration = Duration::from_secs(60);

/// Upper bounds in seconds: from a file on the same desk to a night.
const DURATIONS: [f64; 12] = [0.1, 0.5, 1.0, 5.0, 15.0, 60.0, 300.0, 900.0, 3600.0, 10_800.0, 36_000.0, 86_400.0];
/// Upper bounds in seconds: from loopback to a satellite.
const ROUND_TRIPS: [f64; 12] = [5e-5, 1e-4, 5e-4, 1e-3, 5e-3, 0.01, 0.025, 0.05, 0.1, 0.2, 0.4, 1.0];
/// Upper bounds as shares of one.
const PACING_ERRORS: [f64; 8] = [0.0001, 0.001, 0.005, 0.01, 0.02, 0.05, 0.1, 0.25];

/// All that metrics are made of.
#[derive(Debug)]
pub(super) struct Sums {
    /// Names that may be labels.
    named: BTreeSet<Arc<str>>,
    pub(super) workers: BTreeMap<u8, WorkerState>,
    active: BTreeMap<TransferId, Active>,
    pub(super) ended: BTreeMap<(Direction, Arc<str>), Ended>,
    pub(super) distributions: BTreeMap<Direction, Distributions>,
    pub(super) detections: BTreeMap<String, u64>,
    /// Events that were missed.
    pub(super) missed: u64,
    /// How often the configuration was read again: for good, and in vain.
    pub(super) reloads: [u64; 2],
    /// Whether the last time was for good.
    pub(super) is_config_good: bool,
    /// Whether nobody new is let in.
    pub(super) is_draining: bool,
}

#[derive(Debug)]
struct Active {
    at: Instant,
    direction: Direction,
    peer: Arc<str>,
}

/// Transfers that are over, of one peer in one direction.
#[derive(Debug, Default)]
pub(super) struct Ended {
    /// How many, by what became of them.
    pub(super) results: BTreeMap<&'static str, u64>,
    pub(super) bytes: u64,
    pub(super) resumed_bytes: u64,
    pub(super) files: u64,
}

/// How transfers that are over went.
#[derive(Debug)]
pub(super) struct Distributions {
    pub(super) seconds: Histogram,
    pub(super) srtt: Histogram,
    pub(super) pacing_error: Histogram,
}

impl Default for Distributions {
    fn default() -> Self {
        Self {
            seconds: Histogram::new(DURATIONS),
            srtt: Histogram::new(ROUND_TRIPS),
            pacing_error: Histogram::new(PACING_ERRORS),
        }
    }
}

impl Sums {
    /// Nothing was heard yet. Only the peers of these names are told apart.
    pub(super) fn new(named: impl IntoIterator<Item = Arc<str>>) -> Self {
        Self {
            named: named.into_iter().collect(),
            workers: BTreeMap::new(),
            active: BTreeMap::new(),
            ended: BTreeMap::new(),
            distributions: BTreeMap::new(),
            detections: BTreeMap::new(),
            missed: 0,
            reloads: [0; 2],
            is_config_good: true,
            is_draining: false,
        }
    }

    /// From now on the peers of these names are told apart.
    pub(super) fn name(&mut self, named: impl IntoIterator<Item = Arc<str>>) {
        self.named = named.into_iter().collect();
    }

    pub(super) fn hear(&mut self, heard: Heard) {
        match heard {
            Heard::Missed(missed) => self.missed += missed,
            Heard::Event(Event::Worker(state)) => {
                self.workers.insert(state.number, state);
            }
            Heard::Event(Event::Transfer(state) | Event::Session { transfer: state, .. }) => self.see(&state),
            Heard::Event(Event::Finished(end)) => self.end(&end),
            Heard::Event(Event::CdnDetection(detection)) => {
                self.detect(detection.provider.unwrap_or_else(|| "none".to_owned()));
            }
            Heard::Event(Event::Survey(_) | Event::Placement(_) | Event::Note { .. }) => {}
        }
    }

    fn see(&mut self, state: &TransferState) {
        // Before the handshake is through there is nobody to speak of.
        if state.peer.is_none() && state.remote.is_none() {
            return;
        }
        self.active.retain(|_, active| state.at.saturating_since(active.at) < SILENCE);
        let active = Active { at: state.at, direction: state.direction, peer: self.label(state) };
        self.active.insert(state.id, active);
    }

    fn end(&mut self, end: &TransferEnd) {
        self.active.remove(&end.state.id);
        let key = (end.state.direction, self.label(&end.state));
        let ended = self.ended.entry(key).or_default();
        *ended.results.entry(result_of(end)).or_default() += 1;
        ended.bytes += end.stored_bytes;
        ended.resumed_bytes += end.resumed_bytes;
        ended.files += end.files;
        let distributions = self.distributions.entry(end.state.direction).or_default();
        distributions.seconds.observe(seconds(end.took));
        let figures = &end.state.figures;
        if figures.srtt > Duration::ZERO {
            distributions.srtt.observe(seconds(figures.srtt));
        }
        if let Some(ppm) = figures.pacing_error_ppm {
            distributions.pacing_error.observe(ppm as f64 / 1e6);
        }
    }

    fn detect(&mut self, provider: String) {
        let is_new = !self.detections.contains_key(&provider);
        let provider = if is_new && self.detections.len() >= MAX_PROVIDERS { OTHER.to_owned() } else { provider };
        *self.detections.entry(provider).or_default() += 1;
    }

    fn label(&self, state: &TransferState) -> Arc<str> {
        let known = state.peer.as_ref().and_then(|peer| self.named.get(peer));
        known.map_or_else(|| OTHER.into(), Arc::clone)
    }

    /// Transfers under way, by direction and peer; those with a name are there with a zero as well.
    pub(super) fn active(&self) -> BTreeMap<(Direction, Arc<str>), u64> {
        let mut counts = BTreeMap::new();
        for name in self.named.iter().cloned().chain([OTHER.into()]) {
            counts.insert((Direction::Receiving, name), 0);
        }
        for active in self.active.values() {
            *counts.entry((active.direction, Arc::clone(&active.peer))).or_default() += 1;
        }
        counts
    }

    /// Refused datagrams of all workers.
    pub(super) fn rejects(&self) -> RejectCounters {
        let mut sum = RejectCounters::new();
        self.workers.values().for_each(|worker| sum.merge(&worker.totals.rejects));
        sum
    }

    /// The pools: that of the datagrams, summed over the workers, and that of the blocks, which all of them have in common.
    pub(super) fn pools(&self) -> [(&'static str, PoolStats); 2] {
        let mut packets = PoolStats::default();
        for pool in self.workers.values().map(|worker| &worker.packets) {
            packets.slots += pool.slots;
            packets.free += pool.free;
            packets.lowest_free += pool.lowest_free;
            packets.exhausted += pool.exhausted;
            packets.slot_bytes = pool.slot_bytes;
        }
        let newest = self.workers.values().max_by_key(|worker| worker.at);
        [("packets", packets), ("blocks", newest.map(|worker| worker.blocks).unwrap_or_default())]
    }
}

/// What became of a transfer, in a word.
fn result_of(end: &TransferEnd) -> &'static str {
    // OPS-4.
    match end.exit_code {
        0 => "done",
        3 => "refused",
        5 => "interrupted",
        _ => "failed",
    }
}

fn seconds(span: Duration) -> f64 {
    span.as_nanos() as f64 / 1e9
}
