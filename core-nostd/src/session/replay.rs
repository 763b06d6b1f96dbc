//! The replay window: each packet number is accepted once (SEC-2; RFC 4303 section 3.4.3 has the technique).

/// Packet numbers that the window remembers. Deeper reordering than this is taken for loss.
pub const WINDOW_PACKETS: u64 = 65_536;
const WORDS: usize = (WINDOW_PACKETS / 64) as usize;

/// A sliding bitmap over the newest [`WINDOW_PACKETS`] packet numbers: 8 KiB.
#[derive(Debug, Hash)]
pub struct ReplayWindow {
    /// Bit `n % WINDOW_PACKETS` stands for packet `n`.
    words: [u64; WORDS],
    /// One above the newest number seen.
    next: u64,
}

/// What the window says of a packet number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Freshness {
    /// Not seen yet.
    Fresh,
    /// Seen before.
    Replayed,
    /// Older than the window: cannot tell, so refused.
    TooOld,
}

impl Default for ReplayWindow {
    fn default() -> Self {
        Self { words: [0; WORDS], next: 0 }
    }
}

impl ReplayWindow {
    /// The newest number seen, or zero.
    #[must_use]
    pub const fn newest(&self) -> u64 {
        self.next.saturating_sub(1)
    }

    /// Looks a number up without recording it: its packet may still prove forged.
    #[must_use]
    pub fn check(&self, number: u64) -> Freshness {
        if number >= self.next {
            return Freshness::Fresh;
        }
        if self.next - number > WINDOW_PACKETS {
            return Freshness::TooOld;
        }
        let (word, bit) = Self::place(number);
        if self.words.get(word).is_some_and(|bits| bits & bit != 0) { Freshness::Replayed } else { Freshness::Fresh }
    }

    /// Records the number of an authenticated packet.
    pub fn record(&mut self, number: u64) {
        if number >= self.next {
            self.slide_to(number);
        }
        let (word, bit) = Self::place(number);
        if let Some(bits) = self.words.get_mut(word) {
            *bits |= bit;
        }
    }

    fn place(number: u64) -> (usize, u64) {
        let index = number % WINDOW_PACKETS;
        (usize::try_from(index / 64).unwrap_or(0), 1 << (index % 64))
    }

    fn slide_to(&mut self, number: u64) {
        if number - self.next >= WINDOW_PACKETS {
            self.words.fill(0);
        } else {
            for skipped in self.next..=number {
                let (word, bit) = Self::place(skipped);
                if let Some(bits) = self.words.get_mut(word) {
                    *bits &= !bit;
                }
            }
        }
        self.next = number.saturating_add(1);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// SEC-2.
    #[test]
    fn each_number_is_fresh_once() {
        let mut window = ReplayWindow::default();
        for number in [5, 3, 70_000, 4_500, 69_999] {
            assert_eq!(window.check(number), Freshness::Fresh, "{number}");
            window.record(number);
            assert_eq!(window.check(number), Freshness::Replayed, "{number}");
        }
        assert_eq!(window.check(3), Freshness::TooOld);
        assert_eq!(window.check(70_000 - WINDOW_PACKETS), Freshness::TooOld);
        assert_eq!(window.check(70_001 - WINDOW_PACKETS), Freshness::Fresh);
        assert_eq!(window.newest(), 70_000);
    }

    #[test]
    fn a_jump_over_the_whole_window_forgets_it() {
        let mut window = ReplayWindow::default();
        window.record(1);
        window.record(1 + WINDOW_PACKETS * 3);
        assert_eq!(window.check(2 + WINDOW_PACKETS * 2), Freshness::Fresh);
        assert_eq!(window.check(1), Freshness::TooOld);
    }
}
