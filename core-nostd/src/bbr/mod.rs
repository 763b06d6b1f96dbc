//! BBRv3 (draft-ietf-ccwg-bbr, the text after -06): a model of the path, and from it how fast and how much to send.
//!
//! ```text
//! sampler     what each ACK says of the delivery rate (4.1)
//! model       rounds, bandwidth, min_rtt, aggregation (5.5)          filters   windowed maxima
//! startup     searches for the bandwidth (5.3.1)                     drain     empties the queue it made (5.3.2)
//! probe_bw    DOWN, CRUISE, REFILL, UP (5.3.3)                       probe_rtt looks for the queueless delay (5.3.4)
//! loss        bounds after losses, and their undoing (5.5.10, 5.5.11)
//! control     pacing rate and congestion window (5.6)                params    the constants
//! ```
//! The functions have the draft's names in Rust's spelling. Infinity is the largest value of a type. Where the draft
//! leaves something open, docs/decisions/016 says what was chosen.

mod control;
mod drain;
mod filters;
mod loss;
mod model;
mod params;
mod probe_bw;
mod probe_rtt;
mod sampler;
mod startup;
#[cfg(test)]
mod tests;

pub use sampler::{PacketSample, SendRecord};

use crate::{
    congestion::{AckSample, CongestionSample, Controller, Model, SendSample},
    rate::Rate,
    time::{Duration, Instant},
};
use control::Control;
use loss::{LossSignals, Undo};
use model::{AckAggregation, Bandwidth, Round};
use params::{CAPPED_SHARE, DEFAULT_CWND_GAIN, Gain, INITIAL_CWND_PACKETS, STARTUP_PACING_GAIN};
use probe_bw::Cycle;
use probe_rtt::MinRtt;
use sampler::{RateSample, Sampler};
use startup::FullPipe;

/// No bound on a volume.
const UNBOUNDED: u64 = u64::MAX;

/// The states of section 5.1.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum State {
    Startup,
    Drain,
    Down,
    Cruise,
    Refill,
    Up,
    ProbeRtt,
}

/// The controller.
#[derive(Clone, Debug, Hash)]
pub struct Bbr {
    state: State,
    pacing_gain: Gain,
    cwnd_gain: Gain,
    datagram_bytes: u64,
    /// Of the ACK being processed: when, what is in flight behind it, what it acknowledged.
    now: Instant,
    inflight: u64,
    newly_acked: u64,
    rs: RateSample,
    sampler: Sampler,
    round: Round,
    bandwidth: Bandwidth,
    aggregation: AckAggregation,
    min_rtt: MinRtt,
    full_pipe: FullPipe,
    drain_start_round: u64,
    cycle: Cycle,
    losses: LossSignals,
    undo: Undo,
    control: Control,
    /// When this loss recovery began, if one goes on.
    recovery: Option<Recovery>,
    random: u64,
}

/// A loss recovery under way.
#[derive(Clone, Copy, Debug, Hash)]
struct Recovery {
    since: Instant,
    round: u64,
}

impl Bbr {
    /// A controller in Startup for packets of `datagram_bytes`; `seed` draws the waits between probes.
    #[must_use]
    pub fn new(datagram_bytes: u64, seed: u64) -> Self {
        let initial_cwnd = INITIAL_CWND_PACKETS * datagram_bytes;
        Self {
            state: State::Startup,
            pacing_gain: STARTUP_PACING_GAIN,
            cwnd_gain: DEFAULT_CWND_GAIN,
            datagram_bytes,
            now: Instant::ZERO,
            inflight: 0,
            newly_acked: 0,
            rs: RateSample::default(),
            sampler: Sampler::default(),
            round: Round::default(),
            bandwidth: Bandwidth::default(),
            aggregation: AckAggregation::default(),
            min_rtt: MinRtt::default(),
            full_pipe: FullPipe::default(),
            drain_start_round: 0,
            cycle: Cycle::default(),
            losses: LossSignals::default(),
            undo: Undo::default(),
            control: Control::new(initial_cwnd),
            recovery: None,
            random: seed,
        }
    }

    /// UpdateModelAndState of section 5.2.3.
    fn update_model_and_state(&mut self, sample: &AckSample) {
        self.update_latest_delivery_signals(sample.rtt_sample);
        self.update_congestion_signals();
        self.control.note_limited(sample.cwnd_limited, self.round.start);
        self.update_ack_aggregation();
        self.check_full_bw_reached();
        self.check_startup_done();
        self.check_drain_done();
        self.update_probe_bw_cycle_phase();
        self.update_min_rtt(sample.rtt_sample);
        self.check_probe_rtt();
        self.advance_latest_delivery_signals();
        self.bandwidth.bound_for_model();
    }

    /// UpdateControlParameters of section 5.2.3; the quantum is the pacer's (section 5.6.3).
    fn update_control_parameters(&mut self) {
        self.set_pacing_rate_with_gain(self.pacing_gain_on_this_path());
        self.set_cwnd();
    }

    /// HandleRestartFromIdle of section 5.4.1.
    fn handle_restart_from_idle(&mut self, now: Instant, inflight: u64) {
        if inflight > 0 || !self.sampler.is_app_limited() {
            return;
        }
        self.now = now;
        self.inflight = 0;
        self.min_rtt.idle_restart = true;
        self.aggregation.restart(now);
        if self.is_in_probe_bw() {
            self.set_pacing_rate_with_gain(params::UNITY);
        } else if self.state == State::ProbeRtt {
            self.check_probe_rtt_done();
        }
    }

    fn end_recovery_if_over(&mut self, sample: &AckSample) {
        // The first packet sent after the losses were noticed has arrived (RFC 9002 section 7.3.2).
        if self.recovery.is_some_and(|recovery| sample.largest_sent_at > recovery.since) {
            self.recovery = None;
            self.control.restore_cwnd();
        }
        if self.recovery.is_none() {
            self.undo.saved = false;
        }
    }

    /// The next number of SplitMix64 (Steele, Lea, Flood 2014).
    fn draw(&mut self) -> u64 {
        self.random = self.random.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.random ^ (self.random >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }
}

impl Controller for Bbr {
    fn on_sent(&mut self, sent: &SendSample) -> SendRecord {
        self.handle_restart_from_idle(sent.now, sent.inflight_bytes);
        self.sampler.on_sent(sent.now, sent.bytes, sent.inflight_bytes)
    }

    fn on_app_limited(&mut self, inflight_bytes: u64) {
        if inflight_bytes < self.control.cwnd {
            self.sampler.mark_app_limited(inflight_bytes);
        }
    }

    fn on_rate_capped(&mut self, cap: Rate, inflight_bytes: u64) {
        // A path that delivers what the user allows may have more: rates and queues then say nothing about it.
        let delivers_it = self.bandwidth.bw >= cap.mul_ratio(CAPPED_SHARE.0, CAPPED_SHARE.1);
        if delivers_it && inflight_bytes < self.control.cwnd {
            self.sampler.mark_app_limited(inflight_bytes);
            self.min_rtt.rate_capped = true;
        }
    }

    fn on_packet_acked(&mut self, packet: &PacketSample) {
        self.sampler.on_acked(packet);
    }

    fn on_packet_lost(&mut self, packet: &PacketSample) {
        self.now = packet.now;
        self.sampler.lost = self.sampler.lost.saturating_add(packet.bytes);
        self.handle_lost_packet(packet);
    }

    fn on_ack(&mut self, sample: &AckSample) {
        self.now = sample.now;
        self.inflight = sample.inflight_bytes;
        self.newly_acked = sample.acked_bytes;
        self.rs = self.sampler.finish(sample.min_rtt);
        self.end_recovery_if_over(sample);
        self.update_model_and_state(sample);
        self.update_control_parameters();
    }

    fn on_congestion(&mut self, sample: &CongestionSample) {
        self.now = sample.now;
        if sample.new_episode {
            // OnEnterFastRecovery of section 5.6.4.4; NoteLoss has saved the state, before the losses changed it.
            self.recovery = Some(Recovery { since: sample.now, round: self.round.count });
            if sample.lost_bytes == 0 {
                self.handle_ce_mark();
            }
        }
        if sample.persistent {
            self.on_persistent_congestion(sample.inflight_bytes);
        }
    }

    fn on_spurious(&mut self) {
        self.handle_spurious_loss_detection();
    }

    fn set_datagram_bytes(&mut self, bytes: u64) {
        self.datagram_bytes = bytes;
        self.control.cwnd = self.control.cwnd.max(self.min_pipe_cwnd());
    }

    fn cwnd_bytes(&self) -> u64 {
        self.control.cwnd
    }

    fn pacing_rate(&self, srtt: Option<Duration>) -> Option<Rate> {
        self.current_pacing_rate(srtt)
    }

    fn is_probing(&self) -> bool {
        self.is_probing_bw()
    }

    fn model(&self) -> Model {
        let finite = |bytes: u64| (bytes != UNBOUNDED).then_some(bytes);
        let known = |rate: Rate| (rate != Rate::ZERO).then_some(rate);
        Model {
            state: self.state.name(),
            max_bw: known(self.bandwidth.max_bw),
            bw: known(self.bandwidth.bw),
            min_rtt: self.min_rtt.value,
            inflight_longterm_bytes: finite(self.cycle.inflight_longterm),
            inflight_shortterm_bytes: finite(self.losses.inflight_shortterm),
        }
    }
}

impl State {
    const fn name(self) -> &'static str {
        match self {
            Self::Startup => "Startup",
            Self::Drain => "Drain",
            Self::Down => "ProbeBW_DOWN",
            Self::Cruise => "ProbeBW_CRUISE",
            Self::Refill => "ProbeBW_REFILL",
            Self::Up => "ProbeBW_UP",
            Self::ProbeRtt => "ProbeRTT",
        }
    }
}
