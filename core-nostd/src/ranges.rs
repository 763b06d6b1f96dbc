//! Sets of whole numbers as sorted, disjoint, half-open ranges in storage that the caller gives.
//!
//! One structure serves everything that arrives out of order: received packet numbers, received and acknowledged
//! stream bytes, and stream bytes to send again. Appending to the newest range is the common case and costs O(1).

use zerocopy::FromZeros;

/// The numbers `start..end`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, FromZeros)]
pub struct Range {
    /// First number inside.
    pub start: u64,
    /// First number behind.
    pub end: u64,
}

impl Range {
    /// How many numbers are inside.
    #[must_use]
    pub const fn len(self) -> u64 {
        self.end.saturating_sub(self.start)
    }

    /// Whether nothing is inside.
    #[must_use]
    pub const fn is_empty(self) -> bool {
        self.start >= self.end
    }
}

/// The set would need more ranges than its storage holds. It is unchanged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Full;

/// A set of numbers; see the module.
#[derive(Debug, Hash)]
pub struct RangeSet<'a> {
    slots: &'a mut [Range],
    len: usize,
}

impl<'a> RangeSet<'a> {
    /// An empty set that can hold `slots.len()` disjoint ranges.
    pub fn new(slots: &'a mut [Range]) -> Self {
        Self { slots, len: 0 }
    }

    /// Gives the storage back.
    pub fn into_storage(self) -> &'a mut [Range] {
        self.slots
    }

    /// The ranges, lowest first.
    #[must_use]
    pub fn as_slice(&self) -> &[Range] {
        self.slots.get(..self.len).unwrap_or(&[])
    }

    /// Whether the set is empty.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Whether one more disjoint range would not fit.
    #[must_use]
    pub fn is_full(&self) -> bool {
        self.len >= self.slots.len()
    }

    /// The lowest range.
    #[must_use]
    pub fn first(&self) -> Option<Range> {
        self.as_slice().first().copied()
    }

    /// The highest range.
    #[must_use]
    pub fn last(&self) -> Option<Range> {
        self.as_slice().last().copied()
    }

    /// The end of the run that begins at zero: everything below it is in the set.
    #[must_use]
    pub fn prefix(&self) -> u64 {
        self.first().filter(|range| range.start == 0).map_or(0, |range| range.end)
    }

    /// Whether all of `start..end` is in the set.
    #[must_use]
    pub fn covers(&self, start: u64, end: u64) -> bool {
        start >= end || self.slot_ending_after(start).is_some_and(|(_, range)| range.start <= start && end <= range.end)
    }

    /// Whether `start..end` can be added: it touches or overlaps a range that is there, or there is room for one more.
    ///
    /// The last slot is kept for the range that begins at zero. So what continues the prefix always fits, and a set that
    /// is filled from below never comes to a stop, however little storage it has.
    #[must_use]
    pub fn has_room_for(&self, start: u64, end: u64) -> bool {
        let first = self.as_slice().partition_point(|range| range.end < start);
        let touches = self.as_slice().get(first).is_some_and(|range| range.start <= end);
        let kept = usize::from(start > 0 && self.prefix() == 0);
        touches || start >= end || self.len + kept < self.slots.len()
    }

    /// Adds `start..end` as [`RangeSet::insert`] does, but only where [`RangeSet::has_room_for`] says so.
    ///
    /// # Errors
    /// [`Full`] where there is no room.
    pub fn insert_from_below(&mut self, start: u64, end: u64) -> Result<u64, Full> {
        if self.has_room_for(start, end) { self.insert(start, end) } else { Err(Full) }
    }

    /// Removes everything.
    pub fn clear(&mut self) {
        self.len = 0;
    }

    /// Adds `start..end`; returns how many of its numbers were new.
    ///
    /// # Errors
    /// [`Full`] where one more range would be needed than there is storage for.
    pub fn insert(&mut self, start: u64, end: u64) -> Result<u64, Full> {
        if start >= end {
            return Ok(0);
        }
        if let Some(last) = self.slots.get_mut(..self.len).and_then(<[Range]>::last_mut)
            && last.end == start
        {
            last.end = end;
            return Ok(end - start);
        }
        self.insert_anywhere(start, end)
    }

    /// Adds `start..end`; a full set widens the range next to it over the gap instead of refusing.
    ///
    /// For sets in which too much is harmless, such as bytes to send again.
    pub fn insert_or_widen(&mut self, start: u64, end: u64) {
        if self.insert(start, end).is_ok() {
            return;
        }
        let above = self.as_slice().partition_point(|range| range.end < start);
        let index = above.min(self.len.saturating_sub(1));
        if let Some(range) = self.slots.get_mut(index) {
            range.start = range.start.min(start);
            range.end = range.end.max(end);
        }
    }

    /// Takes `start..end` out.
    ///
    /// # Errors
    /// [`Full`] where that would split a range and there is no storage for the second half.
    pub fn remove(&mut self, start: u64, end: u64) -> Result<(), Full> {
        if start >= end {
            return Ok(());
        }
        let Some((first, range)) = self.slot_ending_after(start) else { return Ok(()) };
        if range.start < start && end < range.end {
            return self.split(first, start, end);
        }
        let mut index = first;
        while let Some(range) = self.slots.get_mut(..self.len).and_then(|live| live.get_mut(index)) {
            if range.start >= end {
                break;
            }
            if start <= range.start && range.end <= end {
                self.delete(index, 1);
                continue;
            }
            if range.start < start {
                range.end = start;
            } else {
                range.start = end;
            }
            index += 1;
        }
        Ok(())
    }

    /// Takes everything below `bound` out; never needs storage.
    pub fn remove_below(&mut self, bound: u64) {
        let whole = self.as_slice().partition_point(|range| range.end <= bound);
        self.delete(0, whole);
        if let Some(first) = self.slots.first_mut().filter(|_| self.len > 0) {
            first.start = first.start.max(bound);
        }
    }

    /// Takes the lowest range out and forgets it: what a full set does to make room at its top.
    pub fn forget_lowest(&mut self) -> Option<Range> {
        let lowest = self.first()?;
        self.delete(0, 1);
        Some(lowest)
    }

    /// Takes up to `limit` numbers from the front of the lowest range.
    pub fn take_front(&mut self, limit: u64) -> Option<Range> {
        let first = self.slots.first_mut().filter(|_| self.len > 0)?;
        let taken = Range { start: first.start, end: first.end.min(first.start.saturating_add(limit)) };
        first.start = taken.end;
        if first.is_empty() {
            self.delete(0, 1);
        }
        Some(taken)
    }

    /// The parts of `start..end` that are not in the set, lowest first.
    pub fn gaps(&self, start: u64, end: u64) -> impl Iterator<Item = Range> + '_ {
        let from = self.as_slice().partition_point(|range| range.end <= start);
        let mut rest = self.as_slice().get(from..).unwrap_or(&[]).iter();
        let mut at = start;
        core::iter::from_fn(move || {
            while at < end {
                let Some(range) = rest.next() else {
                    let gap = Range { start: at, end };
                    at = end;
                    return Some(gap);
                };
                let gap = Range { start: at, end: range.start.min(end) };
                at = at.max(range.end);
                if !gap.is_empty() {
                    return Some(gap);
                }
            }
            None
        })
    }

    /// The lowest range that ends behind `number`, with its place.
    fn slot_ending_after(&self, number: u64) -> Option<(usize, Range)> {
        let index = self.as_slice().partition_point(|range| range.end <= number);
        self.as_slice().get(index).map(|range| (index, *range))
    }

    fn insert_anywhere(&mut self, start: u64, end: u64) -> Result<u64, Full> {
        let live = self.as_slice();
        // Everything in first..behind touches or overlaps the new range and becomes one with it.
        let first = live.partition_point(|range| range.end < start);
        let behind = live.partition_point(|range| range.start <= end);
        let merged = live.get(first..behind).unwrap_or(&[]);
        let (Some(low), Some(high)) = (merged.first(), merged.last()) else {
            return self.insert_at(first, Range { start, end });
        };
        let union = Range { start: low.start.min(start), end: high.end.max(end) };
        let had: u64 = merged.iter().map(|range| range.len()).sum();
        if let Some(slot) = self.slots.get_mut(first) {
            *slot = union;
        }
        self.delete(first + 1, behind - first - 1);
        Ok(union.len() - had)
    }

    fn insert_at(&mut self, index: usize, range: Range) -> Result<u64, Full> {
        if self.is_full() {
            return Err(Full);
        }
        if index < self.len {
            self.slots.copy_within(index..self.len, index + 1);
        }
        if let Some(slot) = self.slots.get_mut(index) {
            *slot = range;
        }
        self.len += 1;
        Ok(range.len())
    }

    fn split(&mut self, index: usize, start: u64, end: u64) -> Result<(), Full> {
        let Some(range) = self.as_slice().get(index).copied() else { return Ok(()) };
        self.insert_at(index + 1, Range { start: end, end: range.end })?;
        if let Some(low) = self.slots.get_mut(index) {
            low.end = start;
        }
        Ok(())
    }

    fn delete(&mut self, index: usize, count: usize) {
        if count == 0 {
            return;
        }
        self.slots.copy_within(index + count..self.len, index);
        self.len -= count;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn set(slots: &mut [Range]) -> RangeSet<'_> {
        RangeSet::new(slots)
    }

    #[test]
    fn insert_counts_only_new_numbers_and_joins_neighbours() {
        let mut slots = [Range::default(); 4];
        let mut set = set(&mut slots);
        assert_eq!(set.insert(10, 20), Ok(10));
        assert_eq!(set.insert(30, 40), Ok(10));
        assert_eq!(set.insert(15, 35), Ok(10));
        assert_eq!(set.as_slice(), [Range { start: 10, end: 40 }]);
        assert_eq!(set.insert(0, 10), Ok(10));
        assert_eq!(set.prefix(), 40);
        assert_eq!(set.insert(5, 39), Ok(0));
    }

    #[test]
    fn a_full_set_refuses_and_stays_as_it_was() {
        let mut slots = [Range::default(); 2];
        let mut set = set(&mut slots);
        assert_eq!(set.insert(0, 1), Ok(1));
        assert_eq!(set.insert(10, 20), Ok(10));
        assert_eq!(set.insert(30, 31), Err(Full));
        assert_eq!(set.remove(12, 14), Err(Full));
        assert_eq!(set.as_slice(), [Range { start: 0, end: 1 }, Range { start: 10, end: 20 }]);
    }

    #[test]
    fn a_full_set_has_room_for_what_joins_a_range() {
        let mut slots = [Range::default(); 2];
        let mut set = set(&mut slots);
        assert_eq!(set.insert(0, 1), Ok(1));
        assert!(set.has_room_for(10, 20), "zero has its slot already");
        assert_eq!(set.insert(10, 20), Ok(10));
        for (start, end, fits) in [(1, 5, true), (8, 10, true), (20, 21, true), (2, 9, false), (21, 30, false)] {
            assert_eq!(set.has_room_for(start, end), fits, "{start}..{end}");
        }
        assert_eq!(set.insert(1, 5), Ok(4));
    }

    #[test]
    fn the_last_slot_is_kept_for_what_begins_at_zero() {
        let mut slots = [Range::default(); 2];
        let mut set = set(&mut slots);
        assert_eq!(set.insert_from_below(10, 20), Ok(10));
        assert_eq!(set.insert_from_below(30, 40), Err(Full));
        assert_eq!(set.insert_from_below(15, 30), Ok(10));
        assert_eq!(set.insert_from_below(0, 5), Ok(5));
        assert_eq!(set.insert_from_below(5, 7), Ok(2));
        assert_eq!(set.as_slice(), [Range { start: 0, end: 7 }, Range { start: 10, end: 30 }]);
    }

    #[test]
    fn remove_splits_trims_and_deletes() {
        let mut slots = [Range::default(); 4];
        let mut set = set(&mut slots);
        assert_eq!(set.insert(0, 100), Ok(100));
        assert_eq!(set.remove(40, 60), Ok(()));
        assert_eq!(set.remove(30, 45), Ok(()));
        assert_eq!(set.remove(55, 70), Ok(()));
        assert_eq!(set.as_slice(), [Range { start: 0, end: 30 }, Range { start: 70, end: 100 }]);
        assert_eq!(set.remove(0, 100), Ok(()));
        assert!(set.is_empty());
    }

    #[test]
    fn take_front_and_remove_below_walk_upwards() {
        let mut slots = [Range::default(); 4];
        let mut set = set(&mut slots);
        assert_eq!(set.insert(0, 10), Ok(10));
        assert_eq!(set.insert(20, 30), Ok(10));
        assert_eq!(set.take_front(4), Some(Range { start: 0, end: 4 }));
        set.remove_below(25);
        assert_eq!(set.take_front(100), Some(Range { start: 25, end: 30 }));
        assert_eq!(set.take_front(1), None);
    }

    #[test]
    fn gaps_are_what_is_missing() {
        let mut slots = [Range::default(); 4];
        let mut set = set(&mut slots);
        assert_eq!(set.insert(10, 20), Ok(10));
        assert_eq!(set.insert(30, 40), Ok(10));
        let mut gaps = set.gaps(5, 35);
        assert_eq!(gaps.next(), Some(Range { start: 5, end: 10 }));
        assert_eq!(gaps.next(), Some(Range { start: 20, end: 30 }));
        assert_eq!(gaps.next(), None);
        assert_eq!(set.gaps(12, 18).next(), None);
        assert_eq!(set.gaps(40, 50).next(), Some(Range { start: 40, end: 50 }));
        assert!(set.covers(10, 20) && !set.covers(10, 21) && set.covers(7, 7));
    }
}
