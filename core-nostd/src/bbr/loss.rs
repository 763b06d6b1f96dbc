//! What losses do to the model (section 5.5.10), and how that is undone (section 5.5.11).

use super::{
    Bbr, State, UNBOUNDED,
    params::{BETA, LOSS_CERTAINTY, LOSS_THRESH, PACING_MARGIN, QUEUE_SIGN, QUEUED_BW, scale},
    sampler::PacketSample,
};
use crate::{rate::Rate, time::Duration};

/// The delivery process of the last round, and the losses in it (sections 2.10 and 5.5.10.3).
#[derive(Clone, Debug, Hash)]
pub(super) struct LossSignals {
    /// Whether this ACK ends a round of loss accounting.
    pub round_start: bool,
    round_delivered: u64,
    in_round: bool,
    bw_latest: Rate,
    /// The most bytes delivered in a sample of the round.
    pub inflight_latest: u64,
    /// Bytes in flight that losses of late leave.
    pub inflight_shortterm: u64,
    /// Stretches of consecutive packets lost in the round, and the last packet of the newest.
    stretches: u32,
    last_lost: Option<u64>,
    /// The least round-trip time of the round.
    least_rtt: Option<Duration>,
}

/// Where a spurious recovery leads back to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub(super) enum UndoTo {
    /// The losses ended no search.
    #[default]
    Nowhere,
    Startup,
    Up,
}

/// What a loss recovery replaced, until it is certain (section 2.15).
#[derive(Clone, Debug, Default, Hash)]
pub(super) struct Undo {
    pub to: UndoTo,
    /// The state below is that of before the recovery under way.
    pub saved: bool,
    bw_shortterm: Rate,
    inflight_shortterm: u64,
    inflight_longterm: u64,
}

impl Default for LossSignals {
    fn default() -> Self {
        Self {
            round_start: false,
            round_delivered: 0,
            in_round: false,
            bw_latest: Rate::ZERO,
            inflight_latest: 0,
            inflight_shortterm: UNBOUNDED,
            stretches: 0,
            last_lost: None,
            least_rtt: None,
        }
    }
}

impl LossSignals {
    /// ResetCongestionSignals of section 5.5.10.3.
    pub fn reset(&mut self) {
        self.in_round = false;
        self.bw_latest = Rate::ZERO;
        self.inflight_latest = 0;
    }

    /// How many stretches of packets were lost in the round that ends.
    pub fn take_stretches(&mut self) -> u32 {
        core::mem::take(&mut self.stretches)
    }

    fn count_stretch(&mut self, number: u64) {
        if self.last_lost.is_none_or(|last| last + 1 != number) {
            self.stretches = self.stretches.saturating_add(1);
        }
        self.last_lost = Some(number);
    }
}

impl Bbr {
    /// UpdateLatestDeliverySignals of section 5.5.10.3.
    pub(super) fn update_latest_delivery_signals(&mut self, rtt: Option<Duration>) {
        let losses = &mut self.losses;
        losses.least_rtt = losses.least_rtt.into_iter().chain(rtt).min();
        losses.bw_latest = losses.bw_latest.max(self.rs.delivery_rate);
        losses.inflight_latest = losses.inflight_latest.max(self.rs.delivered);
        losses.round_start = self.rs.has_data && self.rs.prior_delivered >= losses.round_delivered;
        if losses.round_start {
            losses.round_delivered = self.sampler.delivered;
        }
    }

    /// AdvanceLatestDeliverySignals of section 5.5.10.3.
    pub(super) fn advance_latest_delivery_signals(&mut self) {
        if self.losses.round_start {
            self.losses.bw_latest = self.rs.delivery_rate;
            self.losses.inflight_latest = self.rs.delivered;
        }
    }

    /// UpdateCongestionSignals of section 5.5.10.3.
    pub(super) fn update_congestion_signals(&mut self) {
        self.update_max_bw();
        if !self.losses.round_start {
            return;
        }
        if self.losses.in_round && self.is_loss_of_congestion() && !self.is_probing_bw() {
            self.lower_bounds();
        } else if self.state == State::Cruise && self.has_queue() && self.delivers_less_than_sent() {
            // Flows that each remember their best sample together send more than the path takes. By how much is little: what is
            // far below comes of packets that arrive in lumps.
            self.lower_bandwidth();
            let least = self.bandwidth.max_bw.mul_ratio(QUEUED_BW.0, QUEUED_BW.1);
            self.bandwidth.bw_shortterm = self.bandwidth.bw_shortterm.max(least);
        }
        self.losses.in_round = false;
        self.losses.least_rtt = None;
    }

    /// Whether the losses of the round that ends are those of a path that is too full: more than a probe may cause, or
    /// fewer with a queue. A path that loses packets by itself loses them without one.
    fn is_loss_of_congestion(&self) -> bool {
        // In DOWN there is the queue of this flow's own probe.
        (self.has_queue() && self.state != State::Down) || self.is_inflight_too_high(self.rs.lost, self.rs.tx_inflight)
    }

    /// Whether every packet of the round that ends met a queue.
    fn has_queue(&self) -> bool {
        match (self.losses.least_rtt, self.min_rtt.value) {
            (Some(least), Some(min)) => least > min + min.mul_ratio(QUEUE_SIGN.0, QUEUE_SIGN.1),
            _ => false,
        }
    }

    /// Whether the path takes less than what CRUISE sends: the queue grows. Where the path is too short to be paced, the
    /// window and not the rate says how much that is.
    fn delivers_less_than_sent(&self) -> bool {
        let sent = self.bandwidth.bw.mul_ratio(PACING_MARGIN.0, PACING_MARGIN.1);
        !self.rs.is_app_limited && !self.is_short_path() && self.losses.bw_latest < sent
    }

    /// InitLowerBounds and LossLowerBounds of section 5.5.10.3.
    fn lower_bounds(&mut self) {
        self.lower_bandwidth();
        if self.losses.inflight_shortterm == UNBOUNDED {
            self.losses.inflight_shortterm = self.control.cwnd;
        }
        let kept = scale(self.losses.inflight_shortterm, BETA);
        self.losses.inflight_shortterm = self.losses.inflight_latest.max(kept);
    }

    /// What both do to `bw_shortterm`.
    fn lower_bandwidth(&mut self) {
        if self.bandwidth.bw_shortterm == Rate::MAX {
            self.bandwidth.bw_shortterm = self.bandwidth.max_bw;
        }
        let kept = self.bandwidth.bw_shortterm.mul_ratio(BETA.0, BETA.1);
        self.bandwidth.bw_shortterm = self.losses.bw_latest.max(kept);
    }

    /// ResetShortTermModel of section 5.5.10.3.
    pub(super) fn reset_short_term_model(&mut self) {
        self.bandwidth.bw_shortterm = Rate::MAX;
        self.losses.inflight_shortterm = UNBOUNDED;
    }

    /// NoteLoss of section 5.5.10.2.
    fn note_loss(&mut self) {
        if !self.losses.in_round {
            self.losses.round_delivered = self.sampler.delivered;
        }
        self.losses.in_round = true;
        // Once per recovery: a first loss that ends a probe begins a new round of accounting, and the second must not
        // save what the first has made of the state.
        if !self.undo.saved {
            self.save_state_upon_loss();
        }
    }

    /// HandleLostPacket of section 5.5.10.2.
    pub(super) fn handle_lost_packet(&mut self, packet: &PacketSample) {
        self.note_loss();
        self.losses.count_stretch(packet.number);
        if !self.cycle.is_probe_sample {
            return;
        }
        let tx_inflight = packet.record.tx_inflight;
        let lost = self.sampler.lost.saturating_sub(packet.record.lost);
        if self.is_inflight_too_high(lost, tx_inflight) {
            let inflight = inflight_at_loss(tx_inflight, lost, packet.bytes);
            self.handle_inflight_too_high(inflight, packet.record.is_app_limited);
        }
    }

    /// A mark of a queue: what RFC 3168 asks for, as the draft leaves it open (section 3.7). It is taken as a loss.
    pub(super) fn handle_ce_mark(&mut self) {
        self.note_loss();
        if self.cycle.is_probe_sample {
            let (inflight, is_app_limited) = (self.inflight, self.rs.is_app_limited);
            self.handle_inflight_too_high(inflight, is_app_limited);
        }
    }

    /// IsInflightTooHigh of section 5.5.10.2, where it is more than chance: losses of LossThresh come in numbers that scatter
    /// by the root of what is expected, and what is within two of that says nothing yet.
    pub(super) fn is_inflight_too_high(&self, lost: u64, tx_inflight: u64) -> bool {
        let expected = scale(tx_inflight, LOSS_THRESH);
        let excess = u128::from(lost.saturating_sub(expected));
        let variance = u128::from(expected) * u128::from(self.datagram_bytes);
        lost > expected && excess.pow(2) > variance.saturating_mul(LOSS_CERTAINTY)
    }

    /// HandleInflightTooHigh of section 5.5.10.2.
    fn handle_inflight_too_high(&mut self, inflight: u64, is_app_limited: bool) {
        self.cycle.prev_probe_too_high = true;
        self.cycle.is_probe_sample = false;
        if !is_app_limited {
            self.cycle.inflight_longterm = inflight.max(scale(self.target_inflight(), BETA));
        }
        if self.state == State::Up {
            self.undo.to = UndoTo::Up;
            self.start_probe_bw_down();
        }
    }

    /// SaveStateUponLoss of section 5.5.11.1.
    pub(super) fn save_state_upon_loss(&mut self) {
        self.save_cwnd();
        self.undo = Undo {
            to: UndoTo::Nowhere,
            saved: true,
            bw_shortterm: self.bandwidth.bw_shortterm,
            inflight_shortterm: self.losses.inflight_shortterm,
            inflight_longterm: self.cycle.inflight_longterm,
        };
    }

    /// HandleSpuriousLossDetection of section 5.5.11.2.
    pub(super) fn handle_spurious_loss_detection(&mut self) {
        self.recovery = None;
        self.control.restore_cwnd();
        self.losses.in_round = false;
        self.full_pipe.reset(Rate::ZERO);
        self.bandwidth.bw_shortterm = self.bandwidth.bw_shortterm.max(self.undo.bw_shortterm);
        self.losses.inflight_shortterm = self.losses.inflight_shortterm.max(self.undo.inflight_shortterm);
        self.cycle.inflight_longterm = self.cycle.inflight_longterm.max(self.undo.inflight_longterm);
        self.undo.saved = false;
        let is_probing_rtt = self.state == State::ProbeRtt;
        match core::mem::take(&mut self.undo.to) {
            UndoTo::Startup if self.state != State::Startup => {
                self.full_pipe.reached = false;
                if !is_probing_rtt {
                    self.enter_startup();
                }
            }
            UndoTo::Up if self.state != State::Up && !is_probing_rtt => self.start_probe_bw_refill(),
            _ => {}
        }
    }
}

/// InflightAtLoss of section 5.5.10.2: at how many bytes in flight losses crossed the threshold. `tx_inflight` and `lost`
/// include the packet of `size`.
///
/// Where the losses before the packet were beyond the threshold already, no part of it fitted.
pub(super) fn inflight_at_loss(tx_inflight: u64, lost: u64, size: u64) -> u64 {
    let inflight_prev = tx_inflight.saturating_sub(size);
    let lost_prev = lost.saturating_sub(size);
    let budget = scale(inflight_prev, LOSS_THRESH).saturating_sub(lost_prev);
    // Divided by 1 - LossThresh.
    let lost_prefix = scale(budget, (LOSS_THRESH.1, LOSS_THRESH.1 - LOSS_THRESH.0));
    inflight_prev.saturating_add(lost_prefix)
}
