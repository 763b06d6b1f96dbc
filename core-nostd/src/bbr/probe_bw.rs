//! ProbeBW: DOWN, CRUISE, REFILL, UP, and again (section 5.3.3).

use super::{
    Bbr, State, UNBOUNDED,
    params::{
        DEFAULT_CWND_GAIN, DOWN_PACING_GAIN, HEADROOM, MAX_UP_ROUNDS, PROBE_WAIT, PROBE_WAIT_SPREAD_NANOS, RENO_ROUNDS,
        UNITY, UP_CWND_GAIN, UP_PACING_GAIN, scale,
    },
};
use crate::time::{Duration, Instant};

/// What ACKs say of the probe (section 2.14).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
enum AckPhase {
    /// Nothing.
    #[default]
    Init,
    /// The pipe fills.
    Refilling,
    /// Inflight rises.
    Starting,
    /// What came of it.
    Feedback,
    /// What came of it, while it is over.
    Stopping,
}

/// Where a flow stands in the cycle (section 2.14), and the bound that the cycles find.
#[derive(Clone, Debug, Hash)]
pub(super) struct Cycle {
    /// Bytes in flight that the path bears in the long run.
    pub inflight_longterm: u64,
    /// Whether what is acknowledged was sent to probe.
    pub is_probe_sample: bool,
    /// Whether the last probe lost more than it may.
    pub prev_probe_too_high: bool,
    prev_probe_precautionary: bool,
    /// ProbeRTT came before the end of the probe's samples.
    is_cut_short: bool,
    ack_phase: AckPhase,
    up_acked: u64,
    up_acked_per_increase: u64,
    up_rounds: u32,
    /// Round trips since the last probe.
    pub rounds_since_probe_up: u64,
    wait: Duration,
    since: Instant,
}

impl Default for Cycle {
    fn default() -> Self {
        Self {
            inflight_longterm: UNBOUNDED,
            is_probe_sample: false,
            prev_probe_too_high: false,
            prev_probe_precautionary: false,
            is_cut_short: false,
            ack_phase: AckPhase::Init,
            up_acked: 0,
            up_acked_per_increase: UNBOUNDED,
            up_rounds: 0,
            rounds_since_probe_up: 0,
            wait: Duration::ZERO,
            since: Instant::ZERO,
        }
    }
}

impl Cycle {
    /// What follows was not sent to probe. The cycle is over if it had its probe, and one that the application did not limit.
    pub fn stop_probing(&mut self, is_app_limited: bool) {
        let has_probed = matches!(self.ack_phase, AckPhase::Starting | AckPhase::Feedback | AckPhase::Stopping);
        self.is_cut_short = has_probed && !is_app_limited;
        self.ack_phase = AckPhase::Stopping;
    }
}

impl Bbr {
    /// EnterProbeBW of section 5.3.3.9.
    pub(super) fn enter_probe_bw(&mut self) {
        self.start_probe_bw_down();
    }

    /// StartProbeBW_DOWN.
    pub(super) fn start_probe_bw_down(&mut self) {
        self.losses.reset();
        self.cycle.up_acked_per_increase = UNBOUNDED;
        self.pick_probe_wait();
        self.cycle.since = self.now;
        self.cycle.ack_phase = AckPhase::Stopping;
        self.start_round();
        self.enter_phase(State::Down);
    }

    /// StartProbeBW_CRUISE.
    pub(super) fn start_probe_bw_cruise(&mut self) {
        self.enter_phase(State::Cruise);
    }

    /// StartProbeBW_REFILL.
    pub(super) fn start_probe_bw_refill(&mut self) {
        self.reset_short_term_model();
        self.cycle.up_rounds = 0;
        self.cycle.up_acked = 0;
        self.cycle.prev_probe_precautionary = false;
        self.cycle.ack_phase = AckPhase::Refilling;
        self.start_round();
        self.enter_phase(State::Refill);
    }

    /// StartProbeBW_UP.
    pub(super) fn start_probe_bw_up(&mut self) {
        self.cycle.ack_phase = AckPhase::Starting;
        self.start_round();
        self.full_pipe.reset(self.rs.delivery_rate);
        self.enter_phase(State::Up);
        self.raise_inflight_longterm_slope();
    }

    /// A phase and its gains: the table of section 5.6.1.
    fn enter_phase(&mut self, phase: State) {
        self.state = phase;
        (self.pacing_gain, self.cwnd_gain) = match phase {
            State::Down => (DOWN_PACING_GAIN, DEFAULT_CWND_GAIN),
            State::Up => (UP_PACING_GAIN, UP_CWND_GAIN),
            _ => (UNITY, DEFAULT_CWND_GAIN),
        };
    }

    /// UpdateProbeBWCyclePhase.
    pub(super) fn update_probe_bw_cycle_phase(&mut self) {
        if !self.full_pipe.reached || !self.rs.has_data || self.adapt_long_term_model() {
            return;
        }
        match self.state {
            State::Down if self.is_time_to_probe_bw() => self.start_probe_bw_refill(),
            State::Down if self.is_time_to_cruise() => self.start_probe_bw_cruise(),
            State::Cruise if self.is_time_to_probe_bw() => self.start_probe_bw_refill(),
            State::Refill if self.round.start => {
                self.cycle.is_probe_sample = true;
                self.start_probe_bw_up();
            }
            State::Up => self.end_probe_if_due(),
            _ => {}
        }
    }

    fn end_probe_if_due(&mut self) {
        if self.is_time_to_go_down() {
            self.cycle.prev_probe_too_high = false;
            self.start_probe_bw_down();
        }
    }

    /// IsInAProbeBWState.
    pub(super) fn is_in_probe_bw(&self) -> bool {
        matches!(self.state, State::Down | State::Cruise | State::Refill | State::Up)
    }

    /// IsProbingBW.
    pub(super) fn is_probing_bw(&self) -> bool {
        matches!(self.state, State::Startup | State::Refill | State::Up)
    }

    /// IsTimeToCruise.
    fn is_time_to_cruise(&self) -> bool {
        self.inflight <= self.inflight_with_headroom() && self.inflight <= self.inflight_at_max_bw()
    }

    /// IsTimeToGoDown; by section 5.3.3.6 the precaution counts as a probe that did not lose.
    fn is_time_to_go_down(&mut self) -> bool {
        if self.cycle.prev_probe_too_high && self.inflight >= self.cycle.inflight_longterm {
            self.cycle.prev_probe_precautionary = true;
            return true;
        }
        if self.control.is_cwnd_limited() && self.control.cwnd >= self.cycle.inflight_longterm {
            self.full_pipe.reset(self.rs.delivery_rate);
            return false;
        }
        self.full_pipe.now
    }

    /// IsTimeToProbeBW of section 5.3.3.8.
    fn is_time_to_probe_bw(&self) -> bool {
        let packets = self.target_inflight() / self.datagram_bytes.max(1);
        self.now > self.cycle.since + self.cycle.wait || self.cycle.rounds_since_probe_up >= packets.min(RENO_ROUNDS)
    }

    /// PickProbeWait of section 5.3.3.8.
    fn pick_probe_wait(&mut self) {
        self.cycle.rounds_since_probe_up = self.draw() & 1;
        self.cycle.wait = PROBE_WAIT + Duration::from_nanos(self.draw() % (PROBE_WAIT_SPREAD_NANOS + 1));
    }

    /// TargetInflight of section 5.3.3.8.
    pub(super) fn target_inflight(&self) -> u64 {
        self.bdp().min(self.control.cwnd)
    }

    /// InflightWithHeadroom.
    pub(super) fn inflight_with_headroom(&self) -> u64 {
        let bound = self.cycle.inflight_longterm;
        if bound == UNBOUNDED {
            return UNBOUNDED;
        }
        let headroom = scale(bound, HEADROOM).max(self.datagram_bytes);
        bound.saturating_sub(headroom).max(self.min_pipe_cwnd())
    }

    /// RaiseInflightLongtermSlope.
    fn raise_inflight_longterm_slope(&mut self) {
        let growth = 1 << self.cycle.up_rounds;
        self.cycle.up_rounds = (self.cycle.up_rounds + 1).min(MAX_UP_ROUNDS);
        self.cycle.up_acked_per_increase = (self.control.cwnd / growth).max(self.datagram_bytes);
    }

    /// ProbeInflightLongtermUpward.
    fn probe_inflight_longterm_upward(&mut self) {
        if !self.control.is_cwnd_limited() || self.control.cwnd < self.cycle.inflight_longterm {
            return;
        }
        self.cycle.up_acked = self.cycle.up_acked.saturating_add(self.newly_acked);
        let per_increase = self.cycle.up_acked_per_increase.max(1);
        let increases = self.cycle.up_acked / per_increase;
        self.cycle.up_acked %= per_increase;
        let growth = increases.saturating_mul(self.datagram_bytes);
        // One short of infinity: a bound that was found stays one.
        self.cycle.inflight_longterm = self.cycle.inflight_longterm.saturating_add(growth).min(UNBOUNDED - 1);
        if self.round.start {
            self.raise_inflight_longterm_slope();
        }
    }

    /// AdaptLongTermModel: whether it has decided on the next phase.
    fn adapt_long_term_model(&mut self) -> bool {
        if self.round.start && self.cycle.ack_phase == AckPhase::Starting {
            self.cycle.ack_phase = AckPhase::Feedback;
        }
        if self.round.start && self.cycle.ack_phase == AckPhase::Stopping && self.end_of_probe_samples() {
            return true;
        }
        let is_safe = !self.is_inflight_too_high(self.rs.lost, self.rs.tx_inflight);
        if is_safe && self.cycle.inflight_longterm != UNBOUNDED {
            self.cycle.inflight_longterm = self.cycle.inflight_longterm.max(self.rs.tx_inflight);
            if self.state == State::Up {
                self.probe_inflight_longterm_upward();
            }
        }
        false
    }

    /// Everything that was sent to probe is acknowledged. Whether the probe goes on at once, since it was cut short for
    /// precaution and lost nothing (section 5.3.3.6).
    fn end_of_probe_samples(&mut self) -> bool {
        self.cycle.is_probe_sample = false;
        self.cycle.ack_phase = AckPhase::Init;
        if core::mem::take(&mut self.cycle.is_cut_short) {
            self.bandwidth.advance_filter();
        }
        if !self.is_in_probe_bw() {
            return false;
        }
        if !self.rs.is_app_limited {
            self.bandwidth.advance_filter();
        }
        let goes_on = self.cycle.prev_probe_precautionary && !self.cycle.prev_probe_too_high;
        if goes_on {
            self.start_probe_bw_refill();
        }
        goes_on
    }
}
