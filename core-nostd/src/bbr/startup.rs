//! Startup: the rate doubles every round until the path is full (section 5.3.1).

use super::{
    Bbr, State,
    loss::UndoTo,
    params::{DEFAULT_CWND_GAIN, FULL_BW_GROWTH, FULL_BW_ROUNDS, STARTUP_FULL_LOSS_COUNT, STARTUP_PACING_GAIN},
};
use crate::rate::Rate;

/// Whether the delivery rate has stopped growing (section 5.3.1.2).
#[derive(Clone, Debug, Default, Hash)]
pub(super) struct FullPipe {
    /// It ever has.
    pub reached: bool,
    /// It has since the search began.
    pub now: bool,
    bw: Rate,
    rounds: u8,
}

impl FullPipe {
    /// ResetFullBW of section 5.3.1.2, with the rate that growth is measured against.
    pub fn reset(&mut self, baseline: Rate) {
        self.bw = baseline;
        self.rounds = 0;
        self.now = false;
    }
}

impl Bbr {
    /// EnterStartup of section 5.3.1.1.
    pub(super) fn enter_startup(&mut self) {
        self.state = State::Startup;
        self.pacing_gain = STARTUP_PACING_GAIN;
        self.cwnd_gain = DEFAULT_CWND_GAIN;
    }

    /// CheckFullBWReached of section 5.3.1.2.
    pub(super) fn check_full_bw_reached(&mut self) {
        if self.full_pipe.now || !self.round.start || self.rs.is_app_limited {
            return;
        }
        if self.rs.delivery_rate >= self.full_pipe.bw.mul_ratio(FULL_BW_GROWTH.0, FULL_BW_GROWTH.1) {
            self.full_pipe.reset(self.rs.delivery_rate);
            return;
        }
        self.full_pipe.rounds += 1;
        self.full_pipe.now = self.full_pipe.rounds >= FULL_BW_ROUNDS;
        self.full_pipe.reached |= self.full_pipe.now;
    }

    /// CheckStartupDone of section 5.3.1.1.
    pub(super) fn check_startup_done(&mut self) {
        self.check_startup_high_loss();
        if self.state == State::Startup && self.full_pipe.reached {
            self.enter_drain();
        }
    }

    /// CheckStartupHighLoss of section 5.3.1.3, at the end of a round, so that one burst does not count as a full path.
    fn check_startup_high_loss(&mut self) {
        if !self.losses.round_start {
            return;
        }
        let stretches = self.losses.take_stretches();
        let recovering_for_a_round = self.recovery.is_some_and(|recovery| self.round.count > recovery.round);
        let is_high = recovering_for_a_round
            && stretches >= STARTUP_FULL_LOSS_COUNT
            && self.is_inflight_too_high(self.rs.lost, self.rs.tx_inflight);
        if self.state == State::Startup && !self.full_pipe.reached && is_high {
            self.undo.to = UndoTo::Startup;
            self.full_pipe.reached = true;
            self.full_pipe.now = true;
            self.cycle.inflight_longterm = self.bdp().max(self.losses.inflight_latest);
        }
    }
}
