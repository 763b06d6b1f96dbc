//! The model of the path: rounds, bandwidth, aggregation (section 5.5).

use super::{
    Bbr,
    filters::{MaxBwFilter, WindowedMax},
    params::EXTRA_ACKED_ROUNDS,
};
use crate::{rate::Rate, time::Instant};

/// Packet-timed round trips (section 5.5.1).
#[derive(Clone, Debug, Default, Hash)]
pub(super) struct Round {
    /// Round trips so far.
    pub count: u64,
    /// Whether this ACK begins one.
    pub start: bool,
    /// What was delivered when it began: a packet sent after that ends it.
    next_delivered: u64,
}

/// The estimates of the path's rate (section 2.9.1).
#[derive(Clone, Debug, Hash)]
pub(super) struct Bandwidth {
    filter: MaxBwFilter,
    /// The largest sample of two probing cycles.
    pub max_bw: Rate,
    /// What losses of late leave of it.
    pub bw_shortterm: Rate,
    /// The smaller of the two.
    pub bw: Rate,
}

/// How far ACKs come in lumps (section 5.5.9).
#[derive(Clone, Debug, Default, Hash)]
pub(super) struct AckAggregation {
    since: Option<Instant>,
    delivered: u64,
    filter: WindowedMax,
    /// Bytes by which ACKs ran ahead of the estimated rate, at most, in the last rounds.
    pub extra_acked: u64,
}

impl Default for Bandwidth {
    fn default() -> Self {
        let filter = MaxBwFilter::default();
        Self { filter, max_bw: Rate::ZERO, bw_shortterm: Rate::MAX, bw: Rate::ZERO }
    }
}

impl Bandwidth {
    /// BoundBWForModel of section 5.5.10.3.
    pub fn bound_for_model(&mut self) {
        self.bw = self.max_bw.min(self.bw_shortterm);
    }

    /// AdvanceMaxBwFilter of section 5.5.6.
    pub fn advance_filter(&mut self) {
        self.filter.advance();
        self.max_bw = self.filter.get();
    }

    pub(super) fn update(&mut self, sample: Rate) {
        self.filter.update(sample);
        self.max_bw = self.filter.get();
    }
}

impl AckAggregation {
    /// The sender was idle until `now`.
    pub fn restart(&mut self, now: Instant) {
        self.since = Some(now);
        self.delivered = 0;
    }
}

impl Bbr {
    /// StartRound of section 5.5.1.
    pub(super) fn start_round(&mut self) {
        self.round.next_delivered = self.sampler.delivered;
    }

    /// UpdateRound of section 5.5.1.
    fn update_round(&mut self) {
        self.round.start = self.rs.has_data && self.rs.prior_delivered >= self.round.next_delivered;
        if self.round.start {
            self.start_round();
            self.round.count += 1;
            self.cycle.rounds_since_probe_up += 1;
        }
    }

    /// UpdateMaxBw of section 5.5.5.
    pub(super) fn update_max_bw(&mut self) {
        self.update_round();
        let sample = self.rs.delivery_rate;
        if sample > Rate::ZERO && (sample >= self.bandwidth.max_bw || !self.rs.is_app_limited) {
            self.bandwidth.update(sample);
        }
    }

    /// UpdateACKAggregation of section 5.5.9.
    pub(super) fn update_ack_aggregation(&mut self) {
        let since = *self.aggregation.since.get_or_insert(self.now);
        let mut expected = self.bandwidth.bw.bytes_in(self.now.saturating_since(since));
        if self.aggregation.delivered <= expected {
            self.aggregation.restart(self.now);
            expected = 0;
        }
        self.aggregation.delivered = self.aggregation.delivered.saturating_add(self.newly_acked);
        let extra = self.aggregation.delivered.saturating_sub(expected).min(self.control.cwnd);
        let window = if self.full_pipe.reached { EXTRA_ACKED_ROUNDS } else { 1 };
        self.aggregation.extra_acked = self.aggregation.filter.update(self.round.count, extra, window);
    }
}
