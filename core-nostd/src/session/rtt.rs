//! Round-trip time estimation (RFC 9002 section 5).

use crate::time::Duration;

/// The timer's grain: no time threshold or probe time-out is below it (RFC 9002 section 6.1.2).
pub const GRANULARITY: Duration = Duration::from_millis(1);
/// Assumed before the first sample. Lower than RFC 9002's 333 ms, which would make a lost first packet cost a
/// second; the handshake's own timer starts from it and doubles.
pub const INITIAL_RTT: Duration = Duration::from_millis(100);

/// The estimator's state.
#[derive(Clone, Debug, Default, Hash)]
pub struct Rtt {
    smoothed: Option<Duration>,
    variation: Duration,
    latest: Duration,
    min: Duration,
}

impl Rtt {
    /// Takes in a sample. `ack_delay` is what the peer says it waited, already bounded by what it promised.
    pub fn update(&mut self, sample: Duration, ack_delay: Duration) {
        self.latest = sample;
        let Some(smoothed) = self.smoothed else {
            self.smoothed = Some(sample);
            self.variation = sample.mul_ratio(1, 2);
            self.min = sample;
            return;
        };
        self.min = self.min.min(sample);
        // The peer's delay is not believed where it would go below the path's minimum (section 5.3).
        let adjusted = if sample >= self.min + ack_delay { sample.saturating_sub(ack_delay) } else { sample };
        let difference = Duration::from_nanos(smoothed.as_nanos().abs_diff(adjusted.as_nanos()));
        self.variation = self.variation.mul_ratio(3, 4) + difference.mul_ratio(1, 4);
        self.smoothed = Some(smoothed.mul_ratio(7, 8) + adjusted.mul_ratio(1, 8));
    }

    /// The smoothed round-trip time, once there was a sample.
    #[must_use]
    pub const fn smoothed(&self) -> Option<Duration> {
        self.smoothed
    }

    /// The smoothed round-trip time, or 100 ms before the first sample.
    #[must_use]
    pub fn smoothed_or_initial(&self) -> Duration {
        self.smoothed.unwrap_or(INITIAL_RTT)
    }

    /// The lowest sample; zero before the first.
    #[must_use]
    pub const fn min(&self) -> Duration {
        self.min
    }

    /// How long after a packet was sent it is given up, once a later one was acknowledged (section 6.1.2): one round
    /// trip and `1 / 2^reordering_shift` of one; the RFC's 9/8 is a shift of 3.
    #[must_use]
    pub fn loss_delay(&self, reordering_shift: u32) -> Duration {
        let round_trip = self.smoothed_or_initial().max(self.latest);
        (round_trip + round_trip.mul_ratio(1, 1 << reordering_shift.min(63))).max(GRANULARITY)
    }

    /// The probe time-out without backoff (section 6.2.1).
    #[must_use]
    pub fn probe_timeout(&self, peer_max_ack_delay: Duration) -> Duration {
        let variation = if self.smoothed.is_some() { self.variation } else { INITIAL_RTT.mul_ratio(1, 2) };
        self.smoothed_or_initial() + variation.saturating_mul(4).max(GRANULARITY) + peer_max_ack_delay
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// BBR-7: the worked numbers follow from RFC 9002 section 5.3.
    #[test]
    fn smoothing_follows_the_rfc() {
        let mut rtt = Rtt::default();
        rtt.update(Duration::from_millis(80), Duration::ZERO);
        assert_eq!(rtt.smoothed(), Some(Duration::from_millis(80)));
        assert_eq!(rtt.probe_timeout(Duration::ZERO), Duration::from_millis(80 + 160));
        rtt.update(Duration::from_millis(120), Duration::from_millis(8));
        assert_eq!(rtt.smoothed(), Some(Duration::from_millis(84)));
        assert_eq!(rtt.min(), Duration::from_millis(80));
        // 3/4 * 40 + 1/4 * |80 - 112| = 38.
        assert_eq!(rtt.probe_timeout(Duration::ZERO), Duration::from_millis(84 + 152));
    }

    #[test]
    fn an_ack_delay_that_would_go_below_the_minimum_is_ignored() {
        let mut rtt = Rtt::default();
        rtt.update(Duration::from_millis(80), Duration::ZERO);
        rtt.update(Duration::from_millis(80), Duration::from_millis(40));
        assert_eq!(rtt.smoothed(), Some(Duration::from_millis(80)));
    }
}
