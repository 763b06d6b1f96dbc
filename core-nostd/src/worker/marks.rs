//! Sets of slots, and when each slot's timer is due, so that a turn looks at the sessions that need it and at no others.

use super::slots::{MAX_SESSIONS, Slot};
use crate::time::Instant;

const WORDS: usize = MAX_SESSIONS / u64::BITS as usize;

/// A set of slots.
#[derive(Clone, Debug)]
pub(super) struct Marks([u64; WORDS]);

impl Marks {
    pub(super) const NONE: Self = Self([0; WORDS]);

    pub(super) fn set(&mut self, slot: Slot, is_marked: bool) {
        let (word, bit) = place(slot);
        if let Some(word) = self.0.get_mut(word) {
            *word = if is_marked { *word | bit } else { *word & !bit };
        }
    }

    pub(super) fn has(&self, slot: Slot) -> bool {
        let (word, bit) = place(slot);
        self.0.get(word).is_some_and(|word| word & bit != 0)
    }

    /// The first slot in this set that is not before `from`.
    pub(super) fn next(&self, from: usize) -> Option<Slot> {
        let bits = u64::BITS as usize;
        for (number, word) in self.0.iter().enumerate().skip(from / bits) {
            let word = if number == from / bits { word & (u64::MAX << (from % bits)) } else { *word };
            if word != 0 {
                return Slot::new(number * bits + word.trailing_zeros() as usize);
            }
        }
        None
    }
}

fn place(slot: Slot) -> (usize, u64) {
    (slot.get() / u64::BITS as usize, 1 << (slot.get() % u64::BITS as usize))
}

/// When the timer of each slot is due. What is not set is never due.
#[derive(Clone, Debug)]
pub(super) struct Timers([Instant; MAX_SESSIONS]);

impl Timers {
    pub(super) const NONE: Self = Self([Instant::FAR_FUTURE; MAX_SESSIONS]);

    pub(super) fn set(&mut self, slot: Slot, at: Option<Instant>) {
        if let Some(timer) = self.0.get_mut(slot.get()) {
            *timer = at.unwrap_or(Instant::FAR_FUTURE);
        }
    }

    /// The first of the first `count` slots, not before `from`, whose timer is due at `now`.
    pub(super) fn next_due(&self, now: Instant, from: usize, count: usize) -> Option<Slot> {
        let due = |timer: &Instant| *timer <= now;
        let found = self.0.get(from..count)?.iter().position(due)?;
        Slot::new(from + found)
    }

    /// The earliest timer of the first `count` slots.
    pub(super) fn earliest(&self, count: usize) -> Option<Instant> {
        self.0.iter().take(count).min().copied().filter(|at| *at < Instant::FAR_FUTURE)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn slot(number: usize) -> Slot {
        Slot::new(number).expect("a slot")
    }

    #[test]
    fn marks_are_found_in_order() {
        let mut marks = Marks::NONE;
        for number in [0, 63, 64, 700, 2047] {
            marks.set(slot(number), true);
        }
        marks.set(slot(63), false);
        let mut from = 0;
        let mut found = [0; 4];
        for place in &mut found {
            let next = marks.next(from).expect("one more");
            (*place, from) = (next.get(), next.get() + 1);
        }
        assert_eq!(found, [0, 64, 700, 2047]);
        assert!(marks.next(from).is_none());
    }

    #[test]
    fn timers_that_are_due_are_found_and_the_earliest_is_known() {
        let mut timers = Timers::NONE;
        assert_eq!(timers.earliest(MAX_SESSIONS), None);
        timers.set(slot(5), Some(Instant::from_nanos(50)));
        timers.set(slot(9), Some(Instant::from_nanos(90)));
        timers.set(slot(2000), Some(Instant::from_nanos(10)));
        assert_eq!(timers.earliest(100), Some(Instant::from_nanos(50)));
        assert_eq!(timers.earliest(MAX_SESSIONS), Some(Instant::from_nanos(10)));
        let due = |now, from| timers.next_due(Instant::from_nanos(now), from, 100).map(Slot::get);
        assert_eq!((due(49, 0), due(50, 0), due(100, 6), due(100, 10)), (None, Some(5), Some(9), None));
        timers.set(slot(5), None);
        assert_eq!(timers.earliest(100), Some(Instant::from_nanos(90)));
    }
}
