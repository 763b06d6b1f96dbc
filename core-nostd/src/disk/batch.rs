//! When what is queued is worth a system call.

/// So many entries wait for one another, or for the call that is made anyway to wait for completions.
const FEW: u32 = 4;

/// Queued entries are shown to the kernel once they are a quarter of what is under way, and more than a few.
///
/// A device that is to be kept busy must not wait until everything that it has done was looked at: whoever takes all
/// completions first, and then submits everything anew, leaves it idle meanwhile. A system call for each entry costs more
/// than the entry. With a quarter the device has three quarters left to work on. Where little is under way, whoever submits
/// is about to wait, and one call does both.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Batch {
    queued: u32,
}

impl Batch {
    /// Nothing is queued.
    #[must_use]
    pub const fn new() -> Self {
        Self { queued: 0 }
    }

    /// One more entry is queued, and with it so many operations are under way. `true` if it is time to enter the kernel.
    #[inline]
    #[must_use]
    pub const fn queue(&mut self, under_way: u32) -> bool {
        self.queued = self.queued.saturating_add(1);
        self.queued >= FEW && self.queued.saturating_mul(4) >= under_way
    }

    /// The kernel has taken `count` entries.
    pub const fn taken(&mut self, count: u32) {
        self.queued = self.queued.saturating_sub(count);
    }

    /// Entries that the kernel has not seen yet.
    #[must_use]
    pub const fn queued(&self) -> u32 {
        self.queued
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// How many system calls it takes to replace `count` operations one by one while `depth` are under way.
    fn calls(depth: u32, count: u32) -> u32 {
        let mut batch = Batch::new();
        let mut calls = 0;
        for _ in 0..count {
            if batch.queue(depth) {
                calls += 1;
                batch.taken(batch.queued());
            }
        }
        calls
    }

    /// URING-1: submissions are batched, and never more than a quarter of the depth is held back.
    #[test]
    fn a_quarter_of_the_depth_goes_together() {
        assert_eq!(calls(4, 100), 25);
        assert_eq!(calls(16, 100), 25);
        assert_eq!(calls(32, 128), 16);
        assert_eq!(calls(128, 128), 4);
    }

    #[test]
    fn a_burst_is_shown_in_growing_batches() {
        let mut batch = Batch::new();
        let mut largest = 0;
        for under_way in 1..=128 {
            if batch.queue(under_way) {
                batch.taken(batch.queued());
            }
            largest = largest.max(batch.queued());
            assert!(batch.queued() < FEW || batch.queued() * 4 < under_way);
        }
        assert!(largest > 16);
    }

    #[test]
    fn what_the_kernel_does_not_take_stays_queued() {
        let mut batch = Batch::new();
        assert_eq!([1, 2, 3, 4].map(|under_way| batch.queue(under_way)), [false, false, false, true]);
        batch.taken(3);
        assert_eq!(batch.queued(), 1);
        batch.taken(7);
        assert_eq!(batch.queued(), 0);
    }
}
