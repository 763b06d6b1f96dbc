//! ProbeRTT: now and then little is sent, so that queues empty and the path shows its delay (section 5.3.4).

use super::{
    Bbr, State,
    params::{MIN_RTT_FILTER, PROBE_RTT_DURATION, PROBE_RTT_INTERVAL, RENEWAL, UNITY},
};
use crate::time::{Duration, Instant};

/// The estimate of the delay without queues, and when it must be renewed (section 2.16).
#[derive(Clone, Debug, Default, Hash)]
pub(super) struct MinRtt {
    /// `None` before the first sample.
    pub value: Option<Duration>,
    stamp: Instant,
    /// The least of the last ProbeRTTInterval.
    probe: Option<(Duration, Instant)>,
    expired: bool,
    done_at: Option<Instant>,
    round_done: bool,
    /// The sender was idle, which emptied the queue as well as ProbeRTT would.
    pub idle_restart: bool,
    /// Since the last ACK the user's cap held the rate below what the path takes: this flow has no queue to empty.
    pub rate_capped: bool,
}

impl Bbr {
    /// UpdateMinRTT of section 5.3.4.3. Both stamps start with the first sample, so that none is expired before there is
    /// one.
    pub(super) fn update_min_rtt(&mut self, rtt: Option<Duration>) {
        let now = self.now;
        let quantum_time = self.bandwidth.max_bw.time_for(self.send_quantum());
        let min_rtt = &mut self.min_rtt;
        min_rtt.expired = min_rtt.probe.is_some_and(|(_, stamp)| now > stamp + PROBE_RTT_INTERVAL);
        if let Some(rtt) = rtt {
            match min_rtt.probe {
                Some((least, _)) if rtt >= least && !min_rtt.expired => {
                    // As good as the least: the queue is empty now, and there is nothing that ProbeRTT could find.
                    let is_long = least > PROBE_RTT_DURATION;
                    // A sample holds up to a quantum of the flow's own.
                    let slack = least.mul_ratio(RENEWAL.0, RENEWAL.1) + quantum_time.min(least.mul_ratio(1, 16));
                    if is_long && rtt <= least + slack {
                        min_rtt.probe = Some((least, now));
                    }
                }
                _ => min_rtt.probe = Some((rtt, now)),
            }
        }
        let Some((least, stamp)) = min_rtt.probe else { return };
        let is_stale = now > min_rtt.stamp + MIN_RTT_FILTER;
        if is_stale || min_rtt.value.is_none_or(|value| least < value) {
            min_rtt.value = Some(least);
            min_rtt.stamp = stamp;
        }
    }

    /// CheckProbeRTT of section 5.3.4.3.
    pub(super) fn check_probe_rtt(&mut self) {
        let has_no_queue = self.min_rtt.idle_restart || core::mem::take(&mut self.min_rtt.rate_capped);
        if self.state != State::ProbeRtt && self.min_rtt.expired && !has_no_queue {
            self.save_cwnd();
            self.enter_probe_rtt();
            self.min_rtt.done_at = None;
            self.cycle.stop_probing(self.rs.is_app_limited);
            self.start_round();
        }
        if self.state == State::ProbeRtt {
            self.handle_probe_rtt();
        }
        if self.rs.delivered > 0 {
            self.min_rtt.idle_restart = false;
        }
    }

    /// EnterProbeRTT.
    fn enter_probe_rtt(&mut self) {
        self.state = State::ProbeRtt;
        self.pacing_gain = UNITY;
        // The window itself is that of ProbeRTTCwnd.
        self.cwnd_gain = UNITY;
    }

    /// HandleProbeRTT: rates measured meanwhile say nothing of the path.
    fn handle_probe_rtt(&mut self) {
        self.sampler.mark_app_limited(self.inflight);
        if self.min_rtt.done_at.is_some() {
            self.min_rtt.round_done |= self.round.start;
            if self.min_rtt.round_done {
                self.check_probe_rtt_done();
            }
        } else if self.inflight <= self.probe_rtt_cwnd() {
            self.min_rtt.done_at = Some(self.now + PROBE_RTT_DURATION);
            self.min_rtt.round_done = false;
            self.start_round();
        }
    }

    /// CheckProbeRTTDone.
    pub(super) fn check_probe_rtt_done(&mut self) {
        if self.min_rtt.done_at.is_some_and(|at| self.now > at) {
            if let Some((_, stamp)) = &mut self.min_rtt.probe {
                *stamp = self.now;
            }
            self.control.restore_cwnd();
            self.exit_probe_rtt();
        }
    }

    /// ExitProbeRTT of section 5.3.4.4.
    fn exit_probe_rtt(&mut self) {
        self.reset_short_term_model();
        if self.full_pipe.reached {
            self.start_probe_bw_down();
            self.start_probe_bw_cruise();
        } else {
            self.enter_startup();
        }
    }
}
