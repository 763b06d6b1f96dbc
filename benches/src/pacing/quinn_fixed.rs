//! quinn at a fixed rate: a congestion controller whose window is what the rate sends in a round trip.
//!
//! quinn's pacer spreads 1.25 windows over each smoothed round trip, so it is the window that keeps the rate. quinn does
//! not show the type of its round-trip estimator; so this controller takes its own samples.

use std::any::Any;
use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, Instant};

use quinn::congestion::{Controller, ControllerFactory};

/// quinn needs room for two datagrams.
const MIN_WINDOW_BYTES: u64 = 2 * 1472;
/// The window before the first sample: ten datagrams.
const INITIAL_WINDOW_BYTES: u64 = 10 * 1472;

/// Makes controllers that keep this rate.
#[derive(Debug, Clone, Copy)]
pub struct FixedRate {
    /// Bits per second.
    pub bits_per_s: u64,
}

impl ControllerFactory for FixedRate {
    fn build(self: Arc<Self>, _: Instant, _: u16) -> Box<dyn Controller> {
        Box::new(FixedWindow { bits_per_s: self.bits_per_s, srtt: None, sent: VecDeque::new() })
    }
}

/// See [`FixedRate`].
#[derive(Debug, Clone)]
struct FixedWindow {
    bits_per_s: u64,
    srtt: Option<Duration>,
    /// Packets that were not acknowledged yet, by number, and when they were sent.
    sent: VecDeque<(u64, Instant)>,
}

impl Controller for FixedWindow {
    fn on_sent(&mut self, now: Instant, _: u64, last_packet_number: u64) {
        self.sent.push_back((last_packet_number, now));
    }

    fn on_end_acks(&mut self, now: Instant, _: u64, _: bool, largest_packet_num_acked: Option<u64>) {
        let Some(largest) = largest_packet_num_acked else { return };
        let acknowledged = self.sent.partition_point(|(number, _)| *number <= largest);
        let Some((_, at)) = self.sent.drain(..acknowledged).next_back() else { return };
        let sample = now.saturating_duration_since(at);
        self.srtt = Some(self.srtt.map_or(sample, |srtt| (srtt * 7 + sample) / 8));
    }

    fn on_congestion_event(&mut self, _: Instant, _: Instant, _: bool, _: u64) {}

    fn on_mtu_update(&mut self, _: u16) {}

    fn window(&self) -> u64 {
        let bytes = |srtt: Duration| (u128::from(self.bits_per_s) * srtt.as_nanos() / 8_000_000_000) as u64;
        self.srtt.map_or(INITIAL_WINDOW_BYTES, bytes).max(MIN_WINDOW_BYTES)
    }

    fn clone_box(&self) -> Box<dyn Controller> {
        Box::new(self.clone())
    }

    fn initial_window(&self) -> u64 {
        INITIAL_WINDOW_BYTES
    }

    fn into_any(self: Box<Self>) -> Box<dyn Any> {
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_window_is_what_the_rate_sends_in_a_round_trip() {
        let begin = crate::clock::instant();
        let mut window = FixedWindow { bits_per_s: 40_000_000, srtt: None, sent: VecDeque::new() };
        assert_eq!(window.window(), INITIAL_WINDOW_BYTES);
        window.on_sent(begin, 1472, 1);
        window.on_sent(begin, 1472, 2);
        window.on_sent(begin + Duration::from_millis(1), 1472, 3);
        window.on_end_acks(begin + Duration::from_millis(10), 0, false, Some(2));
        assert_eq!(window.window(), 50_000);
        window.on_end_acks(begin + Duration::from_millis(19), 0, false, Some(3));
        assert_eq!(window.window(), 40_000_000 / 8 / 1000 * 11);
    }
}
