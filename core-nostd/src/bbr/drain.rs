//! Drain: sends slowly until the queue that Startup made is gone (section 5.3.2).

use super::{
    Bbr, State,
    params::{DEFAULT_CWND_GAIN, DRAIN_PACING_GAIN, DRAIN_ROUNDS, UNITY},
};

impl Bbr {
    /// EnterDrain of section 5.3.2.
    pub(super) fn enter_drain(&mut self) {
        self.state = State::Drain;
        self.pacing_gain = DRAIN_PACING_GAIN;
        self.cwnd_gain = DEFAULT_CWND_GAIN;
        self.drain_start_round = self.round.count;
    }

    /// CheckDrainDone of section 5.3.2.
    pub(super) fn check_drain_done(&mut self) {
        if self.state == State::Drain
            && (self.inflight <= self.inflight_at(UNITY) || self.round.count > self.drain_start_round + DRAIN_ROUNDS)
        {
            self.enter_probe_bw();
        }
    }
}
