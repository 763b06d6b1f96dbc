//! Flow control: how far the peer may send, for one stream or for the connection, with a window that tunes itself.
//!
//! Limits are absolute offsets, so a lost or repeated update does no harm. The window starts small and grows only
//! while it is what holds the peer back: to four times what the application took in one minimum round trip. Using the
//! minimum and not the smoothed time keeps a queue in the receiver's own socket from looking like a longer path.

use crate::time::{Duration, Instant};

/// What the window aims for: this many times the bytes taken per minimum round trip.
const ROUND_TRIPS_COVERED: u64 = 4;

/// The receiving side of one flow-control limit.
#[derive(Clone, Debug, Hash)]
pub struct ReceiveWindow {
    /// Bytes that the application has taken.
    consumed: u64,
    /// The limit last told to the peer.
    limit: u64,
    window: u64,
    max_window: u64,
    /// What was consumed, and when, at the start of the rate sample under way.
    sample_consumed: u64,
    sample_at: Instant,
}

impl ReceiveWindow {
    /// A window of `initial` bytes that may grow to `max`.
    #[must_use]
    pub fn new(initial: u64, max: u64, now: Instant) -> Self {
        Self {
            consumed: 0,
            limit: initial,
            window: initial,
            max_window: max.max(initial),
            sample_consumed: 0,
            sample_at: now,
        }
    }

    /// How far the peer may send.
    #[must_use]
    pub const fn limit(&self) -> u64 {
        self.limit
    }

    /// The window as it stands, in bytes.
    #[must_use]
    pub const fn window(&self) -> u64 {
        self.window
    }

    /// Grants `bytes` more than so far, as far as the maximum allows.
    pub fn widen(&mut self, bytes: u64) {
        self.window = self.window.saturating_add(bytes).min(self.max_window);
    }

    /// Makes the window at least this large, as far as the maximum allows; whether that is news to the peer.
    pub fn ensure(&mut self, bytes: u64) -> bool {
        let wanted = bytes.min(self.max_window);
        let is_news = wanted > self.window;
        self.window = self.window.max(wanted);
        is_news
    }

    /// The application has taken `bytes` more.
    pub fn consume(&mut self, bytes: u64) {
        self.consumed = self.consumed.saturating_add(bytes);
    }

    /// Grows the window if it is what holds the peer back, and says whether the peer should hear of a new limit.
    pub fn wants_update(&mut self, now: Instant, min_rtt: Duration) -> bool {
        if self.consumed + self.window < self.limit + self.window / 4 {
            return false;
        }
        let span = now.saturating_since(self.sample_at);
        if span >= min_rtt {
            let taken = self.consumed - self.sample_consumed;
            let per_round = u128::from(taken) * u128::from(min_rtt.as_nanos()) / u128::from(span.as_nanos().max(1));
            let wanted = u64::try_from(per_round).unwrap_or(u64::MAX).saturating_mul(ROUND_TRIPS_COVERED);
            self.window = wanted.clamp(self.window, self.max_window);
            self.sample_consumed = self.consumed;
            self.sample_at = now;
        }
        true
    }

    /// The limit to put into a WINDOW_UPDATE now.
    pub fn advance(&mut self) -> u64 {
        self.limit = self.limit.max(self.consumed.saturating_add(self.window));
        self.limit
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MIB: u64 = 1 << 20;

    #[test]
    fn an_update_comes_once_a_quarter_of_the_window_was_taken() {
        let mut window = ReceiveWindow::new(MIB, MIB, Instant::ZERO);
        let rtt = Duration::from_millis(1);
        assert!(!window.wants_update(Instant::ZERO, rtt));
        window.consume(MIB / 4 - 1);
        assert!(!window.wants_update(Instant::ZERO, rtt));
        window.consume(1);
        assert!(window.wants_update(Instant::ZERO, rtt));
        assert_eq!(window.advance(), MIB + MIB / 4);
        assert!(!window.wants_update(Instant::ZERO, rtt));
    }

    /// A path of 100 ms on which each window is taken in one round trip quadruples it until the maximum.
    #[test]
    fn the_window_grows_with_the_bandwidth_delay_product() {
        let mut window = ReceiveWindow::new(MIB, 64 * MIB, Instant::ZERO);
        let rtt = Duration::from_millis(100);
        let mut now = Instant::ZERO;
        for _ in 0..4 {
            now += rtt;
            window.consume(window.window());
            assert!(window.wants_update(now, rtt));
            window.advance();
        }
        assert_eq!(window.window(), 64 * MIB);
    }

    #[test]
    fn a_window_that_is_ensured_never_shrinks_nor_passes_its_maximum() {
        let mut window = ReceiveWindow::new(MIB / 2, 4 * MIB, Instant::ZERO);
        assert!(window.ensure(2 * MIB));
        assert_eq!((window.window(), window.advance()), (2 * MIB, 2 * MIB));
        assert!(!window.ensure(MIB));
        assert!(window.ensure(9 * MIB));
        assert_eq!(window.advance(), 4 * MIB);
    }

    /// The same rate on a short path leaves it as it is, however full the socket's queue.
    #[test]
    fn a_short_path_keeps_a_small_window() {
        let mut window = ReceiveWindow::new(2 * MIB, 64 * MIB, Instant::ZERO);
        let min_rtt = Duration::from_micros(100);
        let mut now = Instant::ZERO;
        for _ in 0..1000 {
            now += Duration::from_micros(400);
            window.consume(MIB);
            assert!(window.wants_update(now, min_rtt));
            window.advance();
        }
        assert_eq!(window.window(), 2 * MIB);
    }
}
