//! Windowed maxima (draft-ietf-ccwg-bbr sections 5.5.3 and 5.5.9).

use crate::rate::Rate;

/// The largest rate of this bandwidth-probing cycle and the one before (MaxBwFilterLen = 2).
#[derive(Clone, Copy, Debug, Default, Hash)]
pub(super) struct MaxBwFilter {
    previous: Rate,
    current: Rate,
}

impl MaxBwFilter {
    /// Takes a sample in.
    pub fn update(&mut self, sample: Rate) {
        self.current = self.current.max(sample);
    }

    /// The largest sample that is remembered.
    pub fn get(&self) -> Rate {
        self.previous.max(self.current)
    }

    /// A cycle is over. One without a sample does not count: it has nothing to say against the one before.
    pub fn advance(&mut self) {
        if self.current != Rate::ZERO {
            self.previous = self.current;
            self.current = Rate::ZERO;
        }
    }
}

/// The largest value of a window of rounds, after Kathleen Nichols: the best, the best since then, and the best since
/// that one, so that a maximum that leaves the window has a successor that is inside.
#[derive(Clone, Copy, Debug, Default, Hash)]
pub(super) struct WindowedMax {
    /// Round and value; ascending rounds, descending values.
    best: [(u64, u64); 3],
}

impl WindowedMax {
    /// Takes the value of a round in and returns the largest of the last `window` rounds.
    pub fn update(&mut self, round: u64, value: u64, window: u64) -> u64 {
        let new = (round, value);
        if value >= self.best[0].1 || round.saturating_sub(self.best[2].0) > window {
            self.best = [new; 3];
        } else if value >= self.best[1].1 {
            self.best[1] = new;
            self.best[2] = new;
        } else if value >= self.best[2].1 {
            self.best[2] = new;
        }
        self.expire(new, window);
        self.best[0].1
    }

    fn expire(&mut self, new: (u64, u64), window: u64) {
        let age = new.0.saturating_sub(self.best[0].0);
        if age > window {
            self.best = [self.best[1], self.best[2], new];
            if new.0.saturating_sub(self.best[0].0) > window {
                self.best = [self.best[1], self.best[2], new];
            }
        } else if self.best[1].0 == self.best[0].0 && age > window / 4 {
            // A quarter of the window passed without a second best: the new one will do.
            self.best[1] = new;
            self.best[2] = new;
        } else if self.best[2].0 == self.best[1].0 && age > window / 2 {
            self.best[2] = new;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_largest_rate_of_two_cycles_counts() {
        let rate = Rate::from_bits_per_sec;
        let mut filter = MaxBwFilter::default();
        filter.update(rate(10));
        filter.update(rate(7));
        assert_eq!(filter.get(), rate(10));
        filter.advance();
        filter.update(rate(3));
        assert_eq!(filter.get(), rate(10));
        filter.advance();
        assert_eq!(filter.get(), rate(3));
        // Nothing was measured in the cycle that ends here.
        filter.advance();
        filter.advance();
        assert_eq!(filter.get(), rate(3));
    }

    #[test]
    fn a_maximum_leaves_with_its_window() {
        let mut filter = WindowedMax::default();
        let values = [5, 9, 4, 7, 3, 2, 6, 1, 1, 1, 1, 1, 1, 1, 1];
        for (round, value) in values.into_iter().enumerate() {
            let largest = filter.update(round as u64, value, 4);
            let from = round.saturating_sub(4);
            let exact = values[from..=round].iter().copied().max().unwrap();
            // Three remembered values approximate from above or exactly, never with what has left the window.
            assert!(largest >= value && largest <= exact, "round {round}: {largest}, exactly {exact}");
        }
        assert_eq!(filter.update(15, 1, 4), 1);
    }
}
