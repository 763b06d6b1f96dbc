//! The pool against a plain list of who has which slot: two pools, three workers' magazines, any order of operations.

use std::collections::BTreeMap;
use std::sync::atomic::AtomicU32;

use proptest::collection::vec;
use proptest::prelude::*;
use wirehaul_core::pool::{Magazine, Pool, PoolStats, Slot};

const SLOT_BYTES: usize = 24;
const MAGAZINES: usize = 3;

/// Something that a worker does.
#[derive(Clone, Copy, Debug)]
enum Step {
    /// Takes through a magazine.
    Take { magazine: usize },
    /// Takes from the shared stack of a pool.
    TakeShared { pool: usize },
    /// Takes until there is no more.
    TakeAll { magazine: usize },
    /// Gives one of the slots that are lent to a magazine, which may be one of another pool.
    Put { magazine: usize, which: usize },
    /// Drops one of the slots that are lent.
    Drop { which: usize },
    /// Gives so many of the slots that are lent to a magazine.
    PutMany { magazine: usize, count: usize },
    /// Writes into one of the slots that are lent.
    Write { which: usize, byte: u8 },
    /// Empties a magazine.
    Flush { magazine: usize },
    /// Drops a magazine and puts a new one in its place.
    Replace { magazine: usize },
    /// Leaks one of the slots that are lent.
    Forget { which: usize },
}

fn steps() -> impl Strategy<Value = Step> {
    let magazine = 0..MAGAZINES;
    prop_oneof![
        12 => magazine.clone().prop_map(|magazine| Step::Take { magazine }),
        3 => (0..2_usize).prop_map(|pool| Step::TakeShared { pool }),
        1 => magazine.clone().prop_map(|magazine| Step::TakeAll { magazine }),
        8 => (magazine.clone(), any::<usize>()).prop_map(|(magazine, which)| Step::Put { magazine, which }),
        2 => any::<usize>().prop_map(|which| Step::Drop { which }),
        2 => (magazine.clone(), 1..100_usize).prop_map(|(magazine, count)| Step::PutMany { magazine, count }),
        4 => (any::<usize>(), any::<u8>()).prop_map(|(which, byte)| Step::Write { which, byte }),
        1 => magazine.clone().prop_map(|magazine| Step::Flush { magazine }),
        1 => magazine.prop_map(|magazine| Step::Replace { magazine }),
        1 => any::<usize>().prop_map(|which| Step::Forget { which }),
    ]
}

/// The pools, and beside them what they should know.
struct Model<'p> {
    pools: [&'p Pool<'p>; 2],
    magazines: Vec<Magazine<'p>>,
    /// Slots that are lent, and what their bytes are.
    lent: Vec<(Slot<'p>, u8)>,
    /// What was last written into each slot that has been lent once, by pool and index.
    contents: BTreeMap<(usize, u32), u8>,
    forgotten: [u32; 2],
    exhausted: [u64; 2],
    next_byte: u8,
}

impl<'p> Model<'p> {
    fn new(pools: [&'p Pool<'p>; 2]) -> Self {
        Self {
            pools,
            // Two workers on one node, one on the other.
            magazines: vec![Magazine::new(pools[0]), Magazine::new(pools[0]), Magazine::new(pools[1])],
            lent: Vec::new(),
            contents: BTreeMap::new(),
            forgotten: [0; 2],
            exhausted: [0; 2],
            next_byte: 1,
        }
    }

    const fn pool_of_magazine(magazine: usize) -> usize {
        if magazine < 2 { 0 } else { 1 }
    }

    fn pool_of(&self, slot: &Slot<'p>) -> usize {
        usize::from(!std::ptr::eq(slot.pool(), self.pools[0]))
    }

    fn step(&mut self, step: Step) -> Result<(), TestCaseError> {
        match step {
            Step::Take { magazine } => self.take(magazine).map(|_| ()),
            Step::TakeShared { pool } => {
                let free = self.pools[pool].stats().free;
                let slot = self.pools[pool].take();
                prop_assert_eq!(slot.is_some(), free > 0);
                self.took(pool, slot)
            }
            Step::TakeAll { magazine } => {
                while self.take(magazine)? {}
                Ok(())
            }
            Step::Put { magazine, which } => {
                if let Some(slot) = self.give(which) {
                    self.magazines[magazine].put(slot);
                }
                Ok(())
            }
            Step::Drop { which } => {
                drop(self.give(which));
                Ok(())
            }
            Step::PutMany { magazine, count } => {
                for _ in 0..count {
                    let Some(slot) = self.give(count) else { break };
                    self.magazines[magazine].put(slot);
                }
                Ok(())
            }
            Step::Write { which, byte } => {
                if let Some(at) = which.checked_rem(self.lent.len()) {
                    let (slot, known) = &mut self.lent[at];
                    slot.fill(byte);
                    *known = byte;
                }
                Ok(())
            }
            Step::Flush { magazine } => {
                self.magazines[magazine].flush();
                prop_assert!(self.magazines[magazine].is_empty());
                Ok(())
            }
            Step::Replace { magazine } => {
                self.magazines[magazine] = Magazine::new(self.pools[Self::pool_of_magazine(magazine)]);
                Ok(())
            }
            Step::Forget { which } => {
                if let Some(slot) = self.give(which) {
                    let pool = self.pool_of(&slot);
                    self.forgotten[pool] += 1;
                    std::mem::forget(slot);
                }
                Ok(())
            }
        }
    }

    fn take(&mut self, magazine: usize) -> Result<bool, TestCaseError> {
        let pool = Self::pool_of_magazine(magazine);
        let there = self.magazines[magazine].len() as u32 + self.pools[pool].stats().free;
        let slot = self.magazines[magazine].take();
        let some = slot.is_some();
        prop_assert_eq!(some, there > 0, "{} were there", there);
        self.took(pool, slot)?;
        Ok(some)
    }

    /// Checks a slot that was taken, if it was: nobody else has it, and its bytes are as they were left.
    fn took(&mut self, pool: usize, slot: Option<Slot<'p>>) -> Result<(), TestCaseError> {
        let Some(mut slot) = slot else {
            self.exhausted[pool] += 1;
            return Ok(());
        };
        prop_assert_eq!(self.pool_of(&slot), pool);
        let twice = self.lent.iter().any(|(other, _)| other.index() == slot.index() && self.pool_of(other) == pool);
        prop_assert!(!twice, "slot {} was lent twice", slot.index());
        let before = self.contents.get(&(pool, slot.index())).copied().unwrap_or(0);
        prop_assert_eq!(&slot[..], &[before; SLOT_BYTES][..], "slot {} was written by a stranger", slot.index());
        let byte = self.next_byte;
        self.next_byte = self.next_byte.wrapping_add(1);
        slot.fill(byte);
        self.lent.push((slot, byte));
        Ok(())
    }

    /// Takes a slot out of those that are lent, and remembers what is in it.
    fn give(&mut self, which: usize) -> Option<Slot<'p>> {
        let at = which.checked_rem(self.lent.len())?;
        let (slot, byte) = self.lent.swap_remove(at);
        self.contents.insert((self.pool_of(&slot), slot.index()), byte);
        Some(slot)
    }

    fn check(&self, lowest: &mut [u32; 2]) -> Result<(), TestCaseError> {
        for (slot, byte) in &self.lent {
            prop_assert_eq!(&slot[..], &[*byte; SLOT_BYTES][..]);
        }
        for (place, pool) in self.pools.iter().enumerate() {
            let lent = self.lent.iter().filter(|(slot, _)| self.pool_of(slot) == place).count();
            let kept: usize = (0..MAGAZINES)
                .filter(|magazine| Self::pool_of_magazine(*magazine) == place)
                .map(|magazine| self.magazines[magazine].len())
                .sum();
            let stats = pool.stats();
            prop_assert_eq!(stats.in_use(), lent as u32 + kept as u32 + self.forgotten[place]);
            prop_assert_eq!(stats.exhausted, self.exhausted[place]);
            // A step may go down and up again, so the mark is no higher than what was seen after each step.
            lowest[place] = lowest[place].min(stats.free);
            prop_assert!(stats.lowest_free <= lowest[place]);
        }
        Ok(())
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 500, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn who_has_which_slot_is_as_the_list_says(
        sizes in (1..700_usize, 1..40_usize),
        steps in vec(steps(), 1..300),
    ) {
        let storage = |slots: usize| {
            let links: Vec<AtomicU32> = (0..slots as u32).map(|link| AtomicU32::new(!link)).collect();
            (vec![0; slots * SLOT_BYTES], links)
        };
        let (mut one, mut other) = (storage(sizes.0), storage(sizes.1));
        let one = Pool::new(&mut one.0, SLOT_BYTES, &mut one.1).map_err(|error| TestCaseError::fail(format!("{error:?}")))?;
        let other =
            Pool::new(&mut other.0, SLOT_BYTES, &mut other.1).map_err(|error| TestCaseError::fail(format!("{error:?}")))?;
        let mut model = Model::new([&one, &other]);
        let mut lowest = [one.slots(), other.slots()];
        for step in steps {
            model.step(step)?;
            model.check(&mut lowest)?;
        }
        let (forgotten, exhausted) = (model.forgotten, model.exhausted);
        drop(model);
        for (place, pool) in [&one, &other].into_iter().enumerate() {
            let stats = pool.stats();
            let slots = pool.slots();
            let lowest_free = stats.lowest_free;
            prop_assert_eq!(stats, PoolStats {
                slots,
                slot_bytes: SLOT_BYTES,
                free: slots - forgotten[place],
                lowest_free,
                exhausted: exhausted[place],
            });
        }
    }
}
