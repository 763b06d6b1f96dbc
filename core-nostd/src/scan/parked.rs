//! Steps that cannot be taken yet: their neighbour has not answered, or their subnet has had its share.

use super::walk::Step;
use crate::time::Instant;

/// A step that waits for its time.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Parked {
    /// When to try again.
    pub(super) due: Instant,
    /// What is to be done.
    pub(super) step: Step,
    /// How often it was looked for its neighbour in vain.
    pub(super) looks: u8,
    /// How far it has come.
    pub(super) stage: Stage,
}

/// How far a step has come.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Stage {
    /// Its subnet was not asked yet.
    #[default]
    New,
    /// It waits for its subnet, which counts those that do.
    ForSubnet,
    /// Its subnet has let it go.
    Admitted,
}

/// Steps by their time, the earliest first: a binary heap in the caller's storage.
#[derive(Debug)]
pub(super) struct ParkingLot<'a> {
    slots: &'a mut [Parked],
    len: usize,
}

impl<'a> ParkingLot<'a> {
    pub(super) const fn new(slots: &'a mut [Parked]) -> Self {
        Self { slots, len: 0 }
    }

    pub(super) const fn len(&self) -> usize {
        self.len
    }

    pub(super) const fn is_full(&self) -> bool {
        self.len >= self.slots.len()
    }

    /// When the first of them is due.
    pub(super) fn next_due(&self) -> Option<Instant> {
        self.parked().first().map(|parked| parked.due)
    }

    /// The lowest number of a step that waits here.
    pub(super) fn lowest_step(&self) -> Option<u64> {
        self.parked().iter().map(|parked| parked.step.number).min()
    }

    /// Adds a step; gives it back where there is no room.
    pub(super) fn push(&mut self, parked: Parked) -> Result<(), Parked> {
        let Some(last) = self.slots.get_mut(self.len) else { return Err(parked) };
        *last = parked;
        let mut child = self.len;
        self.len += 1;
        while child > 0 {
            let parent = (child - 1) / 2;
            if self.due(parent) <= self.due(child) {
                break;
            }
            self.slots.swap(parent, child);
            child = parent;
        }
        Ok(())
    }

    /// Takes the first that is due.
    pub(super) fn pop_due(&mut self, now: Instant) -> Option<Parked> {
        let first = *self.parked().first().filter(|parked| parked.due <= now)?;
        self.len -= 1;
        self.slots.swap(0, self.len);
        let mut parent = 0;
        loop {
            let left = 2 * parent + 1;
            if left >= self.len {
                return Some(first);
            }
            let right = left + 1;
            let least = if right < self.len && self.due(right) < self.due(left) { right } else { left };
            if self.due(parent) <= self.due(least) {
                return Some(first);
            }
            self.slots.swap(parent, least);
            parent = least;
        }
    }

    /// Has all those come now that wait for a neighbour. For the rare neighbour that many wait for, since it looks at all of them.
    pub(super) fn wake(&mut self, now: Instant) {
        let parked = self.slots.get_mut(..self.len).unwrap_or_default();
        let waiting = parked.iter_mut().filter(|parked| parked.stage != Stage::ForSubnet);
        waiting.for_each(|parked| parked.due = parked.due.min(now));
        // What is sorted is a heap.
        parked.sort_unstable_by_key(|parked| parked.due);
    }

    fn parked(&self) -> &[Parked] {
        self.slots.get(..self.len).unwrap_or(&[])
    }

    fn due(&self, place: usize) -> Instant {
        self.slots.get(place).map_or(Instant::FAR_FUTURE, |parked| parked.due)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_earliest_comes_first_and_none_before_its_time() {
        let mut slots = [Parked::default(); 64];
        let mut lot = ParkingLot::new(&mut slots);
        let due = |number: u64| Instant::from_nanos(number * 37 % 64);
        for number in 0..64 {
            let step = Step { number, ..Step::default() };
            assert_eq!(lot.push(Parked { due: due(number), step, ..Parked::default() }), Ok(()));
        }
        assert!(lot.is_full() && lot.push(Parked::default()).is_err());
        assert_eq!((lot.next_due(), lot.lowest_step()), (Some(Instant::ZERO), Some(0)));
        for time in 0..64 {
            assert_eq!(lot.len(), 64 - time);
            let now = Instant::from_nanos(time as u64);
            if let Some(before) = (time as u64).checked_sub(1) {
                assert_eq!(lot.pop_due(Instant::from_nanos(before)), None);
            }
            let parked = lot.pop_due(now).unwrap();
            assert_eq!((parked.due, due(parked.step.number)), (now, now));
        }
        assert_eq!((lot.next_due(), lot.lowest_step(), lot.pop_due(Instant::FAR_FUTURE)), (None, None, None));
    }
}
