//! Memory of many sessions: one pool for all of them against a pool for each, over the same seeded load.
//!
//! Time goes in ticks. A session is idle for a while, then wants a burst of buffers at once, and gives each back some ticks
//! later, in any order. A burst's size is drawn from a bounded Pareto distribution (most are small, some fill a run of 64
//! datagrams); idle times and holding times are geometric. A session that finds the pool empty keeps the rest of its burst for the
//! next tick: that is back-pressure, and each such try counts as exhaustion. The pools are the real ones, magazines included,
//! and every buffer that is lent is written.

use std::collections::BinaryHeap;
use std::sync::atomic::AtomicU32;

use serde::Serialize;
use wirehaul_core::pool::{Magazine, Pool, SLOT_BYTES, SLOTS_PER_SESSION, Sizing, Slot};

/// The most buffers that a burst wants: a run of segmentation offload.
const MAX_BURST: u32 = 64;
/// What the system backs memory by.
const PAGE_BYTES: usize = 4096;
const SLOTS_PER_PAGE: usize = PAGE_BYTES / SLOT_BYTES as usize;
/// Below this share of takes, exhaustion is healthy.
pub const HEALTHY_SHARE: f64 = 0.01;

/// The load.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct Load {
    /// Sessions in all.
    pub sessions: u32,
    /// Workers that they are spread over.
    pub workers: u32,
    /// Ticks.
    pub ticks: u32,
    /// Ticks from one burst of a session to the next, on average.
    pub idle_ticks: u32,
    /// Ticks that a buffer is held, on average.
    pub held_ticks: u32,
    /// What all draws begin with.
    pub seed: u64,
}

/// What one kind of pools took.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct Memory {
    /// Slots in each pool.
    pub slots_per_pool: u32,
    /// Bytes of all pools.
    pub reserved_bytes: u64,
    /// Bytes of the pages that buffers lay in that were ever lent: what the system has to back.
    pub touched_bytes: u64,
    /// Takes, and how many of them found nothing.
    pub takes: u64,
    /// See `takes`.
    pub exhausted: u64,
}

impl Memory {
    /// The share of takes that found nothing.
    #[must_use]
    pub fn exhausted_share(&self) -> f64 {
        self.exhausted as f64 / self.takes.max(1) as f64
    }
}

/// The comparison under one load.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct Comparison {
    /// The load.
    pub load: Load,
    /// The most buffers that were wanted at once, over the number of sessions.
    pub peak_per_session: f64,
    /// A pool per session, each as small as exhaustion stays healthy.
    pub per_session: Memory,
    /// One pool, as the default sizes it.
    pub shared: Memory,
    /// One pool, as small as exhaustion stays healthy.
    pub shared_smallest: Memory,
}

impl Comparison {
    /// Runs `load` over both kinds of pools, and looks for the smallest that are healthy.
    #[must_use]
    pub fn run(load: Load) -> Option<Self> {
        let unbounded = run(load, Layout::Shared { slots: load.sessions * MAX_BURST })?;
        let per_session = smallest(1, MAX_BURST * 2, |slots| run(load, Layout::PerSession { slots }))?;
        let sizing = Sizing::new(load.workers, load.sessions.div_ceil(load.workers));
        let shared = run(load, Layout::Shared { slots: sizing.slots() })?;
        let top = load.sessions * MAX_BURST;
        let shared_smallest = smallest(load.workers * 8, top, |slots| run(load, Layout::Shared { slots }))?;
        Some(Self {
            load,
            peak_per_session: f64::from(unbounded.peak_lent) / f64::from(load.sessions),
            per_session: per_session.memory,
            shared: shared.memory,
            shared_smallest: shared_smallest.memory,
        })
    }

    /// How much less the shared pool of default size reserves than a pool per session: 0.3 is 30 %.
    #[must_use]
    pub fn saving(&self) -> f64 {
        1.0 - self.shared.reserved_bytes as f64 / self.per_session.reserved_bytes.max(1) as f64
    }

    /// The same, of bytes that were touched.
    #[must_use]
    pub fn touched_saving(&self) -> f64 {
        1.0 - self.shared.touched_bytes as f64 / self.per_session.touched_bytes.max(1) as f64
    }
}

/// Slots per session that the default gives.
pub const DEFAULT_SLOTS_PER_SESSION: u32 = SLOTS_PER_SESSION;

#[derive(Clone, Copy)]
enum Layout {
    /// One pool for all, a magazine per worker.
    Shared { slots: u32 },
    /// A pool for each session; no magazines, which would only keep slots from their session.
    PerSession { slots: u32 },
}

#[derive(Clone, Copy)]
struct Outcome {
    memory: Memory,
    peak_lent: u32,
}

/// The outcome with the fewest slots from `low` to `high` that is healthy. Exhaustion falls with more slots.
fn smallest(mut low: u32, mut high: u32, outcome: impl Fn(u32) -> Option<Outcome>) -> Option<Outcome> {
    let mut best = outcome(high)?;
    while low < high {
        let middle = low + (high - low) / 2;
        let tried = outcome(middle)?;
        if tried.memory.exhausted_share() < HEALTHY_SHARE {
            (high, best) = (middle, tried);
        } else {
            low = middle + 1;
        }
    }
    Some(best)
}

fn run(load: Load, layout: Layout) -> Option<Outcome> {
    let (pools, slots) = match layout {
        Layout::Shared { slots } => (1, slots),
        Layout::PerSession { slots } => (load.sessions, slots),
    };
    let pool_bytes = slots as usize * SLOT_BYTES as usize;
    let mut memory = vec![0; pools as usize * pool_bytes];
    let mut links: Vec<_> = (0..pools * slots).map(|_| AtomicU32::new(0)).collect();
    let pools = memory
        .chunks_exact_mut(pool_bytes)
        .zip(links.chunks_exact_mut(slots as usize))
        .map(|(memory, links)| Pool::new(memory, SLOT_BYTES as usize, links).ok());
    let pools: Vec<_> = pools.collect::<Option<_>>()?;
    let mut sessions = Sessions::new(load, &pools);
    for tick in 0..load.ticks {
        sessions.tick(tick);
    }
    let (takes, exhausted, peak_lent) = (sessions.takes, sessions.exhausted, sessions.peak_lent);
    let touched = sessions.touched.iter().filter(|touched| **touched).count() as u64;
    let memory = Memory {
        slots_per_pool: slots,
        reserved_bytes: pools.len() as u64 * pool_bytes as u64,
        touched_bytes: touched * PAGE_BYTES as u64,
        takes,
        exhausted,
    };
    Some(Outcome { memory, peak_lent })
}

/// A buffer that is held until a tick; the heap gives the earliest first.
struct Held<'p> {
    until: u32,
    slot: Slot<'p>,
    session: u32,
}

impl Ord for Held<'_> {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        let key = |held: &Self| (held.until, held.session, held.slot.index());
        key(other).cmp(&key(self))
    }
}

impl PartialOrd for Held<'_> {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Held<'_> {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other).is_eq()
    }
}

impl Eq for Held<'_> {}

struct Sessions<'p> {
    load: Load,
    pools: &'p [Pool<'p>],
    magazines: Vec<Magazine<'p>>,
    /// When each wants its next burst, and how much of the last it has not got yet.
    states: Vec<(u32, u32)>,
    /// Each session draws from its own numbers, so that the load is the same whatever the pools answer.
    random: Vec<SplitMix>,
    held: BinaryHeap<Held<'p>>,
    /// Pages of all pools, one behind the other.
    touched: Vec<bool>,
    takes: u64,
    exhausted: u64,
    peak_lent: u32,
}

impl<'p> Sessions<'p> {
    fn new(load: Load, pools: &'p [Pool<'p>]) -> Self {
        let mut random: Vec<_> =
            (0..u64::from(load.sessions)).map(|session| SplitMix(load.seed ^ session << 32)).collect();
        let states = random.iter_mut().map(|random| (random.geometric(load.idle_ticks), 0)).collect();
        let magazines =
            if let [shared] = pools { (0..load.workers).map(|_| Magazine::new(shared)).collect() } else { Vec::new() };
        let slots: usize = pools.iter().map(|pool| pool.slots() as usize).sum();
        Self {
            load,
            pools,
            magazines,
            states,
            random,
            held: BinaryHeap::new(),
            touched: vec![false; slots.div_ceil(SLOTS_PER_PAGE)],
            takes: 0,
            exhausted: 0,
            peak_lent: 0,
        }
    }

    fn tick(&mut self, now: u32) {
        while self.held.peek().is_some_and(|held| held.until <= now) {
            let Some(held) = self.held.pop() else { break };
            match self.magazine_of(held.session) {
                Some(magazine) => magazine.put(held.slot),
                None => drop(held.slot),
            }
        }
        for session in 0..self.load.sessions {
            let random = &mut self.random[session as usize];
            let (due, wanted) = &mut self.states[session as usize];
            if *due <= now {
                *wanted += random.burst();
                *due = now + random.geometric(self.load.idle_ticks);
            }
            let wanted = std::mem::take(wanted);
            for got in 0..wanted {
                let Some(slot) = self.take(session) else {
                    self.states[session as usize].1 = wanted - got;
                    break;
                };
                let until = now + self.random[session as usize].geometric(self.load.held_ticks);
                self.held.push(Held { until, slot, session });
            }
        }
        self.peak_lent = self.peak_lent.max(self.held.len() as u32);
    }

    fn take(&mut self, session: u32) -> Option<Slot<'p>> {
        let slot = match self.magazine_of(session) {
            Some(magazine) => magazine.take(),
            None => self.pools.get(session as usize)?.take(),
        };
        self.takes += 1;
        let Some(mut slot) = slot else {
            self.exhausted += 1;
            return None;
        };
        slot.fill(session as u8 | 1);
        let first = if self.pools.len() == 1 { 0 } else { session as usize * self.pools[0].slots() as usize };
        self.touched[(first + slot.index() as usize) / SLOTS_PER_PAGE] = true;
        Some(slot)
    }

    fn magazine_of(&mut self, session: u32) -> Option<&mut Magazine<'p>> {
        let worker = (session as usize).checked_rem(self.magazines.len())?;
        self.magazines.get_mut(worker)
    }
}

/// SplitMix64 (Steele, Lea, Flood 2014).
struct SplitMix(u64);

impl SplitMix {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ mixed >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ mixed >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ mixed >> 31
    }

    /// Above 0, at most 1.
    fn unit(&mut self) -> f64 {
        ((self.next() >> 11) + 1) as f64 / (1_u64 << 53) as f64
    }

    /// At least 1, `mean` on average.
    fn geometric(&mut self, mean: u32) -> u32 {
        let mean = f64::from(mean.max(1));
        if mean <= 1.0 { 1 } else { 1 + (self.unit().ln() / (1.0 - 1.0 / mean).ln()) as u32 }
    }

    /// The size of a burst: Pareto with exponent 1.2 from 1, cut at [`MAX_BURST`].
    fn burst(&mut self) -> u32 {
        (self.unit().powf(-1.0 / 1.2) as u32).clamp(1, MAX_BURST)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_load_is_the_same_for_both_and_slots_go_round() {
        let load = Load { sessions: 20, workers: 2, ticks: 500, idle_ticks: 20, held_ticks: 4, seed: 7 };
        let shared = run(load, Layout::Shared { slots: 20 * MAX_BURST }).unwrap();
        let own = run(load, Layout::PerSession { slots: 4 * MAX_BURST }).unwrap();
        assert_eq!((shared.memory.takes, shared.memory.exhausted), (own.memory.takes, own.memory.exhausted));
        assert_eq!((shared.peak_lent, shared.memory.exhausted), (own.peak_lent, 0));
        assert!(shared.memory.takes > 500 && shared.memory.touched_bytes < own.memory.touched_bytes);
        let scarce = run(load, Layout::Shared { slots: 16 }).unwrap();
        assert!(scarce.memory.exhausted > 0 && scarce.peak_lent <= 16);
        assert_eq!(scarce.memory.touched_bytes, 16 * u64::from(SLOT_BYTES));
    }

    #[test]
    fn draws_have_the_means_that_they_are_asked_for() {
        let mut random = SplitMix(1);
        let mean = (0..100_000).map(|_| u64::from(random.geometric(20))).sum::<u64>() as f64 / 1e5;
        assert!((19.5..20.5).contains(&mean), "{mean}");
        assert!((0..1000).all(|_| random.geometric(1) == 1 && (1..=MAX_BURST).contains(&random.burst())));
    }
}
