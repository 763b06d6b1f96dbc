//! Targets that are not to be probed, which may change while a survey runs (SCAN-6).

use std::net::IpAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

/// Says whether a target is excluded.
pub type Exclusions = Arc<dyn Fn(IpAddr) -> bool + Send + Sync>;

/// The exclusions that are in force, for all workers. Reading them costs no lock while they do not change.
#[derive(Clone, Default)]
pub struct Excluded {
    shared: Arc<Shared>,
}

#[derive(Default)]
struct Shared {
    generation: AtomicU64,
    exclusions: Mutex<Option<Exclusions>>,
}

impl Excluded {
    /// Puts these in force, from each worker's next turn on.
    pub fn set(&self, exclusions: Exclusions) {
        *self.shared.exclusions.lock().unwrap_or_else(PoisonError::into_inner) = Some(exclusions);
        self.shared.generation.fetch_add(1, Ordering::Release);
    }
}

impl std::fmt::Debug for Excluded {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Excluded").field("generation", &self.shared.generation).finish_non_exhaustive()
    }
}

/// A worker's copy.
pub(super) struct ExcludedHere {
    all: Excluded,
    generation: u64,
    exclusions: Option<Exclusions>,
}

impl ExcludedHere {
    pub(super) fn new(all: Excluded) -> Self {
        let mut here = Self { all, generation: u64::MAX, exclusions: None };
        here.refresh();
        here
    }

    /// Takes over what has changed. Once a turn.
    pub(super) fn refresh(&mut self) {
        let generation = self.all.shared.generation.load(Ordering::Acquire);
        if generation != self.generation {
            self.generation = generation;
            let shared = self.all.shared.exclusions.lock().unwrap_or_else(PoisonError::into_inner);
            self.exclusions.clone_from(&shared);
        }
    }

    pub(super) fn contains(&self, ip: IpAddr) -> bool {
        self.exclusions.as_ref().is_some_and(|exclusions| exclusions(ip))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_put_in_force_holds_from_the_next_turn_on() {
        let all = Excluded::default();
        let mut here = ExcludedHere::new(all.clone());
        let ip = IpAddr::from([10, 0, 0, 1]);
        assert!(!here.contains(ip));
        all.set(Arc::new(move |other| other == ip));
        assert!(!here.contains(ip), "not within a turn");
        here.refresh();
        assert!(here.contains(ip) && !here.contains(IpAddr::from([10, 0, 0, 2])));
        all.set(Arc::new(|_| false));
        here.refresh();
        assert!(!here.contains(ip));
    }
}
