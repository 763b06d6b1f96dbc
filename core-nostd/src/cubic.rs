//! CUBIC (RFC 9438) in integers, with HyStart++ (RFC 9406) for the way out of slow start.

use crate::{
    congestion::{AckSample, CongestionSample, Controller, Model},
    hystart::HyStart,
    rate::Rate,
    time::{Duration, Instant},
};

/// Initial window in packets (RFC 6928, RFC 9002 section 7.2).
const INITIAL_WINDOW_PACKETS: u64 = 10;
/// The window never falls below this (RFC 9002 section 7.2).
const MIN_WINDOW_PACKETS: u64 = 2;
/// beta_cubic = 0.7 (RFC 9438 section 4.6).
const BETA: (u64, u64) = (7, 10);
/// Fast convergence: W_max = cwnd * (1 + beta) / 2 (RFC 9438 section 4.7).
const FAST_CONVERGENCE: (u64, u64) = (17, 20);
/// alpha_cubic = 3 * (1 - beta) / (1 + beta) = 9 / 17 (RFC 9438 section 4.3).
const ALPHA: (u64, u64) = (9, 17);
/// C = 0.4 = 4 / 10 packets per second cubed (RFC 9438 section 5).
const C: (u128, u128) = (4, 10);
const MICROS_PER_SEC_CUBED: u128 = 1_000_000_000_000_000_000;
/// Pacing gains: 2 in slow start, 1.25 behind it (RFC 9002 section 7.7 asks for a little more than cwnd / srtt).
const PACING_GAIN_SLOW_START: (u64, u64) = (2, 1);
const PACING_GAIN: (u64, u64) = (5, 4);

/// The state of CUBIC; all sizes in bytes.
#[derive(Clone, Debug, Hash)]
pub struct Cubic {
    datagram_bytes: u64,
    window: Window,
    recovery_started: Option<Instant>,
    hystart: HyStart,
    /// What the newest congestion episode replaced, until it is certain.
    undo: Option<Window>,
}

#[derive(Clone, Copy, Debug, Hash)]
struct Window {
    cwnd: u64,
    ssthresh: u64,
    w_max: u64,
    epoch: Option<Epoch>,
}

/// One congestion-avoidance stage (RFC 9438 section 4.2).
#[derive(Clone, Copy, Debug, Hash)]
struct Epoch {
    start: Instant,
    /// Microseconds until the curve is back at `w_max`.
    k_us: u64,
    /// Where the curve is flat.
    origin: u64,
    /// The window that Reno would have (RFC 9438 section 4.3).
    w_est: u64,
    /// Fraction of `w_est` growth not yet a whole byte, in units of 1 / (17 * cwnd).
    w_est_remainder: u64,
    /// Acknowledged bytes not yet turned into growth of cwnd.
    growth_remainder: u64,
}

impl Cubic {
    /// A controller in slow start.
    #[must_use]
    pub fn new(datagram_bytes: u64) -> Self {
        let cwnd = INITIAL_WINDOW_PACKETS * datagram_bytes;
        let window = Window { cwnd, ssthresh: u64::MAX, w_max: 0, epoch: None };
        Self { datagram_bytes, window, recovery_started: None, hystart: HyStart::default(), undo: None }
    }

    fn in_slow_start(&self) -> bool {
        self.window.cwnd < self.window.ssthresh
    }

    fn min_window(&self) -> u64 {
        MIN_WINDOW_PACKETS * self.datagram_bytes
    }

    fn slow_start(&mut self, sample: &AckSample) {
        self.window.cwnd += self.hystart.growth(sample.acked_bytes);
        if self.hystart.on_ack(sample) {
            self.window.ssthresh = self.window.cwnd;
        }
    }

    fn congestion_avoidance(&mut self, sample: &AckSample) {
        let (cwnd, datagram) = (self.window.cwnd, self.datagram_bytes);
        let w_max = self.window.w_max;
        let epoch = self.window.epoch.get_or_insert_with(|| Epoch::new(sample.now, cwnd, w_max, datagram));
        epoch.grow_reno(sample.acked_bytes, cwnd, datagram);
        let elapsed = sample.now.saturating_since(epoch.start);
        let here = epoch.curve(elapsed, datagram);
        if here < epoch.w_est {
            // Reno-friendly region (section 4.3).
            self.window.cwnd = cwnd.max(epoch.w_est);
            return;
        }
        // Concave and convex regions (sections 4.4, 4.5): aim for where the curve will be one round trip on.
        let target = epoch.curve(elapsed + sample.srtt, datagram).clamp(cwnd, cwnd + cwnd / 2);
        let credit = (u128::from(target - cwnd) * u128::from(sample.acked_bytes)) + u128::from(epoch.growth_remainder);
        epoch.growth_remainder = u64::try_from(credit % u128::from(cwnd)).unwrap_or(0);
        self.window.cwnd += u64::try_from(credit / u128::from(cwnd)).unwrap_or(0);
    }
}

impl Controller for Cubic {
    fn on_ack(&mut self, sample: &AckSample) {
        let sent_in_recovery = self.recovery_started.is_some_and(|start| sample.largest_sent_at <= start);
        if sent_in_recovery || !sample.cwnd_limited {
            return;
        }
        if self.in_slow_start() { self.slow_start(sample) } else { self.congestion_avoidance(sample) }
    }

    fn on_congestion(&mut self, sample: &CongestionSample) {
        if !sample.new_episode && !sample.persistent {
            return;
        }
        if sample.new_episode {
            self.undo = Some(self.window);
        }
        self.recovery_started = Some(sample.now);
        let cwnd = self.window.cwnd;
        self.window.w_max =
            if cwnd < self.window.w_max { cwnd * FAST_CONVERGENCE.0 / FAST_CONVERGENCE.1 } else { cwnd };
        self.window.ssthresh = (cwnd * BETA.0 / BETA.1).max(self.min_window());
        self.window.cwnd = if sample.persistent { self.min_window() } else { self.window.ssthresh };
        self.window.epoch = None;
        self.hystart = HyStart::default();
    }

    fn on_spurious(&mut self) {
        if let Some(before) = self.undo.take()
            && before.cwnd > self.window.cwnd
        {
            self.window = before;
            self.recovery_started = None;
        }
    }

    fn set_datagram_bytes(&mut self, bytes: u64) {
        self.datagram_bytes = bytes;
        self.window.cwnd = self.window.cwnd.max(self.min_window());
    }

    fn cwnd_bytes(&self) -> u64 {
        self.window.cwnd
    }

    fn pacing_rate(&self, srtt: Option<Duration>) -> Option<Rate> {
        let gain = if self.in_slow_start() { PACING_GAIN_SLOW_START } else { PACING_GAIN };
        let rate = Rate::from_bytes_over(self.window.cwnd, srtt?.max(Duration::from_micros(1)));
        Some(rate.mul_ratio(gain.0, gain.1))
    }

    fn is_probing(&self) -> bool {
        self.in_slow_start()
    }

    fn model(&self) -> Model {
        let state = if self.in_slow_start() { "SlowStart" } else { "CongestionAvoidance" };
        Model { state, ..Model::default() }
    }
}

impl Epoch {
    fn new(now: Instant, cwnd: u64, w_max: u64, datagram_bytes: u64) -> Self {
        let missing = u128::from(w_max.saturating_sub(cwnd));
        // K = cbrt((W_max - cwnd_epoch) / C) (section 4.2, figure 2), with windows in packets and K in seconds.
        let cubed = missing * MICROS_PER_SEC_CUBED * C.1 / (C.0 * u128::from(datagram_bytes));
        let k_us = if missing == 0 { 0 } else { cube_root(cubed) };
        Self { start: now, k_us, origin: w_max.max(cwnd), w_est: cwnd, w_est_remainder: 0, growth_remainder: 0 }
    }

    /// W_cubic(t) = C * (t - K)^3 + W_max (section 4.2, figure 1).
    fn curve(&self, elapsed: Duration, datagram_bytes: u64) -> u64 {
        let t_us = elapsed.as_micros();
        let distance = u128::from(t_us.abs_diff(self.k_us)).min(1 << 40);
        let scaled = (distance * distance).saturating_mul(distance) / 1_000_000;
        let bytes = scaled.saturating_mul(u128::from(datagram_bytes) * C.0) / (MICROS_PER_SEC_CUBED / 1_000_000 * C.1);
        let bytes = u64::try_from(bytes).unwrap_or(u64::MAX);
        if t_us >= self.k_us { self.origin.saturating_add(bytes) } else { self.origin.saturating_sub(bytes) }
    }

    /// W_est += alpha_cubic * segments_acked / cwnd (section 4.3, figure 4), with the fraction carried.
    fn grow_reno(&mut self, acked_bytes: u64, cwnd: u64, datagram_bytes: u64) {
        let unit = u128::from(ALPHA.1 * cwnd.max(1));
        let total = u128::from(ALPHA.0 * acked_bytes) * u128::from(datagram_bytes) + u128::from(self.w_est_remainder);
        self.w_est += u64::try_from(total / unit).unwrap_or(0);
        self.w_est_remainder = u64::try_from(total % unit).unwrap_or(0);
    }
}

/// The cube root, rounded down, by bisection over the bits of the answer.
fn cube_root(value: u128) -> u64 {
    let mut root = 0u64;
    for bit in (0..42).rev() {
        let candidate = root | (1 << bit);
        let wide = u128::from(candidate);
        if wide * wide * wide <= value {
            root = candidate;
        }
    }
    root
}

#[cfg(test)]
#[path = "cubic_tests.rs"]
mod tests;
