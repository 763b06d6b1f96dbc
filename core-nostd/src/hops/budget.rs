//! How often the kernel is asked: a flood of packets that want answers, each from an address of its own, must not turn into a
//! flood of system calls.

use crate::time::{Duration, Instant};

/// Questions that may be asked at once: more than there are remotes to remember.
const BURST: u64 = 512;
/// One more may be asked after this time.
const EACH: Duration = Duration::from_millis(1);

/// A token bucket of questions.
#[derive(Clone, Copy, Debug)]
pub(super) struct Budget {
    left: u64,
    counted_at: Instant,
}

impl Default for Budget {
    fn default() -> Self {
        Self { left: BURST, counted_at: Instant::ZERO }
    }
}

impl Budget {
    /// Takes one question, if there is one.
    pub(super) fn take(&mut self, now: Instant) -> bool {
        let earned = now.saturating_since(self.counted_at).as_nanos() / EACH.as_nanos();
        self.left = self.left.saturating_add(earned).min(BURST);
        self.counted_at += EACH.saturating_mul(earned);
        let may = self.left > 0;
        self.left = self.left.saturating_sub(1);
        may
    }
}
