//! What follows from the model: pacing rate and congestion window (section 5.6).

use super::{
    Bbr, State, UNBOUNDED,
    params::{
        Gain, MIN_PIPE_CWND_PACKETS, PACING_MARGIN, PROBE_RTT_CWND_GAIN, PROBE_RTT_WITHHELD, SHORT_PATH,
        SHORT_PATH_PACING_GAIN, STARTUP_PACING_GAIN, UNITY, scale,
    },
};
use crate::{pacer::MAX_QUANTUM_BYTES, rate::Rate, time::Duration};

/// The time whose bytes make a quantum (section 5.6.3).
const QUANTUM_TIME: Duration = Duration::from_millis(1);

/// The control parameters, and what is remembered of them.
#[derive(Clone, Debug, Hash)]
pub(super) struct Control {
    /// Bytes that may be in flight.
    pub cwnd: u64,
    initial_cwnd: u64,
    prior_cwnd: u64,
    /// `None` before the first estimate of the path's rate.
    pacing_rate: Option<Rate>,
    /// Whether the window held the sender back in this round, and in the one before.
    limited: [bool; 2],
}

impl Control {
    pub fn new(initial_cwnd: u64) -> Self {
        Self { cwnd: initial_cwnd, initial_cwnd, prior_cwnd: 0, pacing_rate: None, limited: [false; 2] }
    }

    /// Whether the window was used in full at some point of the last round trip (section 2.2).
    pub fn is_cwnd_limited(&self) -> bool {
        self.limited.contains(&true)
    }

    /// Takes in whether the window has held the sender back since the last ACK.
    pub fn note_limited(&mut self, limited: bool, round_start: bool) {
        if round_start {
            self.limited = [false, self.limited[0]];
        }
        self.limited[0] |= limited;
    }

    /// RestoreCwnd of section 5.6.4.4.
    pub fn restore_cwnd(&mut self) {
        self.cwnd = self.cwnd.max(self.prior_cwnd);
    }
}

impl Bbr {
    /// SetPacingRateWithGain of section 5.6.2.
    pub(super) fn set_pacing_rate_with_gain(&mut self, gain: Gain) {
        if self.bandwidth.bw == Rate::ZERO {
            return;
        }
        let rate = self.bandwidth.bw.mul_ratio(gain.0 * PACING_MARGIN.0, gain.1 * PACING_MARGIN.1);
        if self.full_pipe.reached || self.control.pacing_rate.is_none_or(|current| rate > current) {
            self.control.pacing_rate = Some(rate);
        }
    }

    /// The gain of the state, and where the path is too short to be paced, what the window allows instead (decision 016).
    ///
    /// What empties the queue keeps its gain: the end of Startup, DOWN and ProbeRTT.
    pub(super) fn pacing_gain_on_this_path(&self) -> Gain {
        let fills = matches!(self.state, State::Cruise | State::Refill | State::Up);
        if fills && self.is_short_path() { SHORT_PATH_PACING_GAIN } else { self.pacing_gain }
    }

    pub(super) fn is_short_path(&self) -> bool {
        self.min_rtt.value.is_some_and(|min_rtt| min_rtt < SHORT_PATH)
            && self.bandwidth.bw.bytes_in(SHORT_PATH) > MAX_QUANTUM_BYTES
    }

    /// The pacing rate; before the first estimate the initial window over the round-trip time, if there is one
    /// (InitPacingRate of section 5.6.2; BBR-5).
    pub(super) fn current_pacing_rate(&self, srtt: Option<Duration>) -> Option<Rate> {
        let initial = || {
            let nominal = Rate::from_bytes_over(self.control.initial_cwnd, srtt?.max(Duration::from_micros(1)));
            Some(nominal.mul_ratio(STARTUP_PACING_GAIN.0, STARTUP_PACING_GAIN.1))
        };
        let initial = if self.full_pipe.reached { None } else { initial() };
        self.control.pacing_rate.map_or(initial, |rate| Some(initial.map_or(rate, |initial| rate.max(initial))))
    }

    /// SetCwnd of section 5.6.4.6.
    pub(super) fn set_cwnd(&mut self) {
        let max_inflight = self.max_inflight();
        let grown = self.control.cwnd.saturating_add(self.newly_acked);
        if self.full_pipe.reached {
            self.control.cwnd = grown.min(max_inflight);
        } else if self.control.cwnd < max_inflight || self.sampler.delivered < self.control.initial_cwnd {
            self.control.cwnd = grown;
        }
        self.control.cwnd = self.control.cwnd.max(self.min_pipe_cwnd());
        if self.state == State::ProbeRtt {
            self.control.cwnd = self.control.cwnd.min(self.probe_rtt_cwnd());
        }
        self.bound_cwnd_for_model();
    }

    /// BoundCwndForModel of section 5.6.4.7, after the table of section 5.6.1: Drain is bound too.
    fn bound_cwnd_for_model(&mut self) {
        let bound = match self.state {
            State::Startup => UNBOUNDED,
            State::Drain | State::Down | State::Refill | State::Up => self.cycle.inflight_longterm,
            State::Cruise | State::ProbeRtt => self.inflight_with_headroom(),
        };
        let shortterm = if self.is_probing_bw() { UNBOUNDED } else { self.losses.inflight_shortterm };
        self.control.cwnd = self.control.cwnd.min(bound.min(shortterm).max(self.min_pipe_cwnd()));
    }

    /// UpdateMaxInflight of section 5.6.4.2.
    fn max_inflight(&self) -> u64 {
        let volume = self.bdp_multiple(self.bandwidth.bw, self.cwnd_gain);
        self.with_quantization_budget(volume.saturating_add(self.aggregation.extra_acked))
    }

    /// Inflight of section 5.6.4.2.
    pub(super) fn inflight_at(&self, gain: Gain) -> u64 {
        self.with_quantization_budget(self.bdp_multiple(self.bandwidth.bw, gain))
    }

    /// Inflight(max_bw, 1.0), which IsTimeToCruise of section 5.3.3.9 asks for.
    pub(super) fn inflight_at_max_bw(&self) -> u64 {
        self.with_quantization_budget(self.bdp_multiple(self.bandwidth.max_bw, UNITY))
    }

    /// The bytes that fill the path without a queue (section 2.9.2).
    pub(super) fn bdp(&self) -> u64 {
        self.bdp_multiple(self.bandwidth.bw, UNITY)
    }

    /// BDPMultiple of section 5.6.4.2.
    fn bdp_multiple(&self, bw: Rate, gain: Gain) -> u64 {
        self.min_rtt.value.map_or(self.control.initial_cwnd, |min_rtt| scale(bw.bytes_in(min_rtt), gain))
    }

    /// QuantizationBudget of section 5.6.4.2, with the offload budget of section 5.5.8 for senders like QUIC.
    fn with_quantization_budget(&self, volume: u64) -> u64 {
        let volume = volume.max(self.send_quantum()).max(self.min_pipe_cwnd());
        if self.state == State::Up { volume.saturating_add(2 * self.datagram_bytes) } else { volume }
    }

    /// SetSendQuantum of section 5.6.3.
    pub(super) fn send_quantum(&self) -> u64 {
        let rate = self.control.pacing_rate.unwrap_or(Rate::ZERO);
        rate.bytes_in(QUANTUM_TIME).min(MAX_QUANTUM_BYTES).max(2 * self.datagram_bytes)
    }

    /// MinPipeCwnd of section 5.6.4.3.
    pub(super) fn min_pipe_cwnd(&self) -> u64 {
        MIN_PIPE_CWND_PACKETS * self.datagram_bytes
    }

    /// ProbeRTTCwnd of section 5.6.4.5; on long paths it withholds no more than on one of ProbeRTTDuration.
    pub(super) fn probe_rtt_cwnd(&self) -> u64 {
        let half = self.bdp_multiple(self.bandwidth.bw, PROBE_RTT_CWND_GAIN);
        let withheld = self.bandwidth.bw.bytes_in(PROBE_RTT_WITHHELD);
        half.max(self.bdp().saturating_sub(withheld)).max(self.min_pipe_cwnd())
    }

    /// SaveCwnd of section 5.6.4.4.
    pub(super) fn save_cwnd(&mut self) {
        let is_modulated = self.recovery.is_some() || self.state == State::ProbeRtt;
        let floor = if is_modulated { self.control.prior_cwnd } else { 0 };
        self.control.prior_cwnd = self.control.cwnd.max(floor);
    }

    /// OnEnterRTO of section 5.6.4.4, for what RFC 9002 section 7.6 calls persistent congestion: the window leaves room
    /// for one packet more than is in flight.
    pub(super) fn on_persistent_congestion(&mut self, inflight: u64) {
        self.save_cwnd();
        self.save_state_upon_loss();
        self.control.cwnd = inflight.saturating_add(self.datagram_bytes);
    }
}
