//! Workers: how each stands, and sums of all.

use std::collections::BTreeMap;

use wirehaul_core::pool::PoolStats;
use wirehaul_core::wire::RejectCounters;
use wirehaul_core::xsk::Whereabouts;

use super::history::Flow;
use crate::events::{KernelCounters, Totals, WorkerState};

/// A worker.
#[derive(Clone, Debug, Default)]
pub struct Seen {
    /// How it stands.
    pub state: WorkerState,
    /// Datagrams that it sends and receives.
    pub pace: Pace,
}

/// Datagrams a second.
#[derive(Clone, Debug, Default)]
pub struct Pace {
    /// Sent.
    pub sent: Flow,
    /// Received.
    pub received: Flow,
}

/// All workers.
#[derive(Clone, Debug, Default)]
pub struct Workers {
    all: BTreeMap<u8, Seen>,
}

impl Workers {
    pub(super) fn hear(&mut self, state: WorkerState) {
        let seen = self.all.entry(state.number).or_default();
        seen.pace.sent.observe(state.at, state.totals.sent_packets);
        seen.pace.received.observe(state.at, state.totals.received_packets);
        seen.state = state;
    }

    /// Each of them, by number.
    pub fn all(&self) -> impl ExactSizeIterator<Item = &Seen> {
        self.all.values()
    }

    /// The worker of a number.
    #[must_use]
    pub fn get(&self, number: u8) -> Option<&Seen> {
        self.all.get(&number)
    }

    /// Whether none has said anything.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.all.is_empty()
    }

    /// Datagrams that all send and receive a second, now.
    #[must_use]
    pub fn pace(&self) -> (u64, u64) {
        self.all.values().fold((0, 0), |(sent, received), seen| {
            let now = |flow: &Flow| flow.now().unwrap_or(0);
            (now(&seen.pace.sent).saturating_add(sent), now(&seen.pace.received).saturating_add(received))
        })
    }

    /// What all have done together.
    #[must_use]
    pub fn totals(&self) -> Totals {
        let mut sum = Totals::default();
        for Totals {
            transfers_begun,
            transfers_done,
            transfers_failed,
            sent_packets,
            sent_bytes,
            received_packets,
            received_bytes,
            lost_packets,
            stream_bytes_sent,
            stream_bytes_resent,
            file_bytes,
            files,
            rejects,
        } in self.all.values().map(|seen| &seen.state.totals)
        {
            sum.transfers_begun = sum.transfers_begun.saturating_add(*transfers_begun);
            sum.transfers_done = sum.transfers_done.saturating_add(*transfers_done);
            sum.transfers_failed = sum.transfers_failed.saturating_add(*transfers_failed);
            sum.sent_packets = sum.sent_packets.saturating_add(*sent_packets);
            sum.sent_bytes = sum.sent_bytes.saturating_add(*sent_bytes);
            sum.received_packets = sum.received_packets.saturating_add(*received_packets);
            sum.received_bytes = sum.received_bytes.saturating_add(*received_bytes);
            sum.lost_packets = sum.lost_packets.saturating_add(*lost_packets);
            sum.stream_bytes_sent = sum.stream_bytes_sent.saturating_add(*stream_bytes_sent);
            sum.stream_bytes_resent = sum.stream_bytes_resent.saturating_add(*stream_bytes_resent);
            sum.file_bytes = sum.file_bytes.saturating_add(*file_bytes);
            sum.files = sum.files.saturating_add(*files);
            sum.rejects.merge(rejects);
        }
        sum
    }

    /// Refused datagrams by reason, the most frequent first, without those that never were.
    #[must_use]
    pub fn rejects(&self) -> Vec<(&'static str, u64)> {
        let mut sum = RejectCounters::new();
        self.all.values().for_each(|seen| sum.merge(&seen.state.totals.rejects));
        let mut all: Vec<_> =
            sum.iter().filter(|(_, count)| *count > 0).map(|(why, count)| (why.name(), count)).collect();
        all.sort_by_key(|(_, count)| std::cmp::Reverse(*count));
        all
    }

    /// What the kernel counts, of all.
    #[must_use]
    pub fn kernel(&self) -> KernelCounters {
        self.all.values().map(|seen| seen.state.kernel).fold(KernelCounters::default(), |sum, kernel| KernelCounters {
            socket_overflows: sum.socket_overflows.saturating_add(kernel.socket_overflows),
            xdp_rx_ring_full: sum.xdp_rx_ring_full.saturating_add(kernel.xdp_rx_ring_full),
            xdp_rx_fill_ring_empty: sum.xdp_rx_fill_ring_empty.saturating_add(kernel.xdp_rx_fill_ring_empty),
            xdp_rx_dropped: sum.xdp_rx_dropped.saturating_add(kernel.xdp_rx_dropped),
            xdp_invalid: sum.xdp_invalid.saturating_add(kernel.xdp_invalid),
            xdp_tx_ring_empty: sum.xdp_tx_ring_empty.saturating_add(kernel.xdp_tx_ring_empty),
            xdp_kicks: sum.xdp_kicks.saturating_add(kernel.xdp_kicks),
            xdp_frames: sum.xdp_frames.into_iter().chain(kernel.xdp_frames).reduce(Whereabouts::and),
        })
    }

    /// The pools of packets, of all; slots of the first one's size.
    #[must_use]
    pub fn packets(&self) -> PoolStats {
        let sizes = self.all.values().map(|seen| seen.state.packets);
        sizes.fold(PoolStats::default(), |sum, pool| PoolStats {
            slots: sum.slots.saturating_add(pool.slots),
            slot_bytes: sum.slot_bytes.max(pool.slot_bytes),
            free: sum.free.saturating_add(pool.free),
            lowest_free: sum.lowest_free.saturating_add(pool.lowest_free),
            exhausted: sum.exhausted.saturating_add(pool.exhausted),
        })
    }

    /// The pool of blocks, which all workers share: as the last one saw it.
    #[must_use]
    pub fn blocks(&self) -> PoolStats {
        self.all.values().max_by_key(|seen| seen.state.at).map_or_else(PoolStats::default, |seen| seen.state.blocks)
    }
}
