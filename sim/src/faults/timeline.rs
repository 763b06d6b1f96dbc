//! Faults that happen to a whole host at some time.

use std::collections::BTreeMap;

use wirehaul_core::time::{Duration, Instant};

use super::Fault;

/// What happens to a host.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Change {
    /// It crashes.
    Crash,
    /// It is back.
    Restart,
    /// Its clock jumps forward.
    ClockJump(Duration),
    /// It has another address, with this second byte.
    Move(u8),
}

/// What will happen to which host, and when.
#[derive(Clone, Debug, Default)]
pub struct Timeline {
    /// By time, and then by place in the script.
    changes: BTreeMap<(Instant, usize), (usize, Change)>,
}

impl Timeline {
    /// Adds the crashes, clock jumps and moves among these faults, in a run that began at `start`.
    pub fn follow(&mut self, faults: &[Fault], start: Instant) {
        let after = |nanos: u64| start + Duration::from_nanos(nanos);
        for fault in faults {
            match fault {
                Fault::Crash { host, at_ns, down_ns } => {
                    self.add(after(*at_ns), *host, Change::Crash);
                    self.add(after(at_ns.saturating_add(*down_ns)), *host, Change::Restart);
                }
                Fault::ClockJump { host, at_ns, by_ns } => {
                    self.add(after(*at_ns), *host, Change::ClockJump(Duration::from_nanos(*by_ns)));
                }
                Fault::Move { host, at_ns, to } => self.add(after(*at_ns), *host, Change::Move(*to)),
                _ => {}
            }
        }
    }

    /// When something happens next.
    #[must_use]
    pub fn next_at(&self) -> Option<Instant> {
        self.changes.first_key_value().map(|((at, _), _)| *at)
    }

    /// The next thing that is due at `now`, and the host to which it happens.
    pub fn take(&mut self, now: Instant) -> Option<(usize, Change)> {
        let due = self.changes.first_entry().filter(|entry| entry.key().0 <= now)?;
        Some(due.remove())
    }

    /// From now on only hosts that are down come back.
    pub fn stop(&mut self) {
        self.changes.retain(|_, (_, change)| *change == Change::Restart);
    }

    fn add(&mut self, at: Instant, host: usize, change: Change) {
        self.changes.insert((at, self.changes.len()), (host, change));
    }
}
