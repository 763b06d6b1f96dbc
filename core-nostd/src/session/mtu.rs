//! How large datagrams may be on the path (RFC 8899, with packets of the session as its probes).
//!
//! A path is taken to carry what nearly all do. Larger sizes are tried with packets that hold nothing of worth: first the
//! largest, then by halves. Where packets of the size in use all vanish, the least size is used and the search begins anew.

use crate::{
    limits::MIN_DATAGRAM_BYTES,
    time::{Duration, Instant},
};

/// Probes of one size that are lost before the size is given up (RFC 8899 section 5.1.2, MAX_PROBES).
const MAX_PROBES: u8 = 3;
/// The search ends where so few bytes are left to be gained: two per cent of the least size.
const GRAIN_BYTES: usize = 24;
/// How long a result stands before larger sizes are tried again (RFC 8899 section 5.1.1, PMTU_RAISE_TIMER).
const RAISE_INTERVAL: Duration = Duration::from_secs(600);
/// Times in a row that large packets were lost and none arrived, after which the path is taken to carry them no more.
const BLACK_HOLE_SUSPICIONS: u8 = 3;

/// The search for the largest datagram of a path.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct PathMtu {
    /// What a new path is taken to carry.
    start: usize,
    /// The most that is ever tried.
    ceiling: usize,
    /// Datagrams are no larger than this.
    size: usize,
    /// The largest size that may still turn out to pass.
    upper: usize,
    /// Whether `upper` itself was tried, so that the rest is found by halves.
    is_bisecting: bool,
    probe: Probe,
    /// Probes of the size at hand that were lost.
    lost: u8,
    suspicions: u8,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Probe {
    /// None is on its way: one may be sent from this time on.
    From(Instant),
    /// One of so many bytes is on its way.
    OnItsWay(usize),
}

impl PathMtu {
    /// A path that is taken to carry `start` bytes, and may carry up to `ceiling`.
    pub(super) fn new(start: usize, ceiling: usize) -> Self {
        let ceiling = ceiling.max(start);
        let probe = Probe::From(Instant::ZERO);
        Self { start, ceiling, size: start, upper: ceiling, is_bisecting: false, probe, lost: 0, suspicions: 0 }
    }

    /// The peer takes no more than `most` bytes.
    pub(super) fn limit(&mut self, most: usize) {
        *self = Self::new(self.start.min(most), self.ceiling.min(most));
    }

    /// Another path, of which nothing is known yet.
    pub(super) fn start_over(&mut self) {
        *self = Self::new(self.start, self.ceiling);
    }

    /// Datagrams are at most this large.
    pub(super) const fn size(&self) -> usize {
        self.size
    }

    /// The size of the probe to send at `now`, if one is due.
    pub(super) fn due(&self, now: Instant) -> Option<usize> {
        match self.probe {
            Probe::From(at) if at <= now => self.next_size(),
            _ => None,
        }
    }

    fn next_size(&self) -> Option<usize> {
        let left = self.upper - self.size;
        match (left, self.is_bisecting) {
            (0, _) => None,
            (_, false) => Some(self.upper),
            (..GRAIN_BYTES, true) => None,
            (_, true) => Some(self.size + left.div_ceil(2)),
        }
    }

    /// A probe of `bytes` leaves.
    pub(super) const fn on_probe_sent(&mut self, bytes: usize) {
        self.probe = Probe::OnItsWay(bytes);
    }

    /// A packet of `bytes` arrived; whether larger ones may be sent from now on.
    pub(super) fn on_acked(&mut self, bytes: usize, now: Instant) -> bool {
        if bytes > MIN_DATAGRAM_BYTES {
            self.suspicions = 0;
        }
        if self.probe == Probe::OnItsWay(bytes) {
            self.lost = 0;
            self.go_on(now);
        }
        let larger = bytes > self.size && bytes <= self.ceiling;
        if larger {
            self.size = bytes;
            self.upper = self.upper.max(bytes);
        }
        larger
    }

    /// A probe was lost: perhaps by chance.
    pub(super) fn on_probe_lost(&mut self, bytes: usize, now: Instant) {
        if self.probe != Probe::OnItsWay(bytes) {
            return;
        }
        self.lost += 1;
        if self.lost >= MAX_PROBES { self.give_size_up(bytes, now) } else { self.probe = Probe::From(now) }
    }

    /// The device itself refused a packet of `bytes`; whether smaller ones must be sent from now on.
    pub(super) fn on_too_big(&mut self, bytes: usize, now: Instant) -> bool {
        if bytes <= self.size {
            let shrinks = self.size > MIN_DATAGRAM_BYTES;
            self.upper = bytes.saturating_sub(1).max(MIN_DATAGRAM_BYTES);
            self.fall_back(now);
            return shrinks;
        }
        if self.probe == Probe::OnItsWay(bytes) {
            self.give_size_up(bytes, now);
        }
        false
    }

    /// Packets of the size in use were lost together, or for so long that a probe time-out came; whether smaller ones must be
    /// sent from now on.
    pub(super) fn on_large_lost(&mut self, now: Instant) -> bool {
        if self.size <= MIN_DATAGRAM_BYTES {
            return false;
        }
        self.suspicions += 1;
        if self.suspicions < BLACK_HOLE_SUSPICIONS {
            return false;
        }
        self.upper = self.size;
        self.fall_back(now);
        true
    }

    /// The least size, and from there upwards again: at once to where it was, in case nothing at all came through.
    fn fall_back(&mut self, now: Instant) {
        self.size = MIN_DATAGRAM_BYTES;
        self.is_bisecting = false;
        self.lost = 0;
        self.suspicions = 0;
        self.probe = Probe::From(now);
    }

    fn give_size_up(&mut self, bytes: usize, now: Instant) {
        self.upper = (bytes - 1).max(self.size);
        self.is_bisecting = true;
        self.lost = 0;
        self.go_on(now);
    }

    /// The next probe may leave at once; where there is none, all begins anew after a while.
    fn go_on(&mut self, now: Instant) {
        self.probe = Probe::From(now);
        if self.next_size().is_none() && self.size < self.ceiling {
            self.upper = self.ceiling;
            self.is_bisecting = false;
            self.probe = Probe::From(now + RAISE_INTERVAL);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Runs the search on a path that carries `carried`; returns the size found and the probes that it took.
    fn search(mtu: &mut PathMtu, carried: usize, now: Instant) -> (usize, u32) {
        let mut probes = 0;
        while let Some(bytes) = mtu.due(now) {
            probes += 1;
            mtu.on_probe_sent(bytes);
            assert_eq!(mtu.due(now), None, "one at a time");
            if bytes <= carried {
                assert!(mtu.on_acked(bytes, now));
            } else {
                mtu.on_probe_lost(bytes, now);
            }
        }
        (mtu.size(), probes)
    }

    #[test]
    fn the_largest_size_is_found_in_few_steps() {
        let now = Instant::from_nanos(5);
        assert_eq!(search(&mut PathMtu::new(1472, 8972), 9000, now), (8972, 1));
        assert_eq!(search(&mut PathMtu::new(1472, 1472), 9000, now), (1472, 0));
        for carried in [1472, 1480, 2000, 4352, 8000, 8971] {
            let (found, probes) = search(&mut PathMtu::new(1472, 8972), carried, now);
            assert!(found <= carried && found + GRAIN_BYTES > carried, "{carried}: {found}");
            assert!(probes <= 3 * 10, "{carried}: {probes}");
        }
    }

    #[test]
    fn larger_sizes_are_tried_again_after_a_while() {
        let now = Instant::from_nanos(5);
        let mut mtu = PathMtu::new(1472, 8972);
        search(&mut mtu, 1472, now);
        assert_eq!(mtu.due(now + RAISE_INTERVAL - Duration::from_nanos(1)), None);
        assert_eq!(mtu.due(now + RAISE_INTERVAL), Some(8972));
    }

    /// A tunnel of 1420 bytes: what vanishes is noticed, and the size that passes is found.
    #[test]
    fn a_black_hole_is_noticed_and_left() {
        let now = Instant::from_nanos(5);
        let mut mtu = PathMtu::new(1472, 1472);
        assert!(!mtu.on_large_lost(now) && !mtu.on_large_lost(now));
        assert_eq!(mtu.size(), 1472);
        assert!(mtu.on_large_lost(now));
        assert_eq!(mtu.size(), MIN_DATAGRAM_BYTES);
        let (found, _) = search(&mut mtu, 1392, now);
        assert!(found <= 1392 && found + GRAIN_BYTES > 1392, "{found}");
    }

    /// Nothing at all came through for a while: one probe, and all is as before.
    #[test]
    fn an_outage_is_no_black_hole_for_long() {
        let now = Instant::from_nanos(5);
        let mut mtu = PathMtu::new(1472, 1472);
        assert!((0..3).any(|_| mtu.on_large_lost(now)));
        assert_eq!(search(&mut mtu, 1500, now), (1472, 1));
        mtu.on_large_lost(now);
        mtu.on_large_lost(now);
        mtu.on_acked(1472, now);
        assert!(!mtu.on_large_lost(now), "one that arrived in between shows that the path carries it");
    }

    #[test]
    fn the_device_s_word_ends_the_search_above_at_once() {
        let now = Instant::from_nanos(5);
        let mut mtu = PathMtu::new(1472, 8972);
        let mut tried = 0;
        while let Some(bytes) = mtu.due(now) {
            tried += 1;
            mtu.on_probe_sent(bytes);
            assert!(!mtu.on_too_big(bytes, now));
        }
        assert!(mtu.size() == 1472 && tried <= 10, "{tried}");
        assert!(mtu.on_too_big(1472, now));
        assert_eq!(mtu.size(), MIN_DATAGRAM_BYTES);
        let (found, _) = search(&mut mtu, 1300, now);
        assert!(found <= 1300 && found + GRAIN_BYTES > 1300, "{found}");
        assert!(mtu.on_too_big(1100, now));
        assert_eq!(mtu.size(), MIN_DATAGRAM_BYTES);
    }

    /// Below the least size there is nothing to fall back to, and an answer that comes late changes nothing.
    #[test]
    fn late_news_changes_nothing() {
        let now = Instant::from_nanos(5);
        let mut mtu = PathMtu::new(MIN_DATAGRAM_BYTES, MIN_DATAGRAM_BYTES);
        assert!((0..9).all(|_| !mtu.on_large_lost(now)));
        let before = mtu;
        mtu.on_probe_lost(1300, now);
        assert!(!mtu.on_acked(1300, now) && !mtu.on_acked(9000, now));
        assert_eq!(mtu, before);
    }
}
