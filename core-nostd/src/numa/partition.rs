//! Divides items among parts in proportion to their weights (NUMA-3).

use core::ops::Range;

use heapless::Vec;

use super::topology::MAX_NODES;

/// A division of any number of items among up to [`MAX_NODES`] parts: nodes weighted by their CPUs, or workers of equal
/// weight.
///
/// Each part gets a run of neighbouring items, and of so many that its share is less than one item away from the exact
/// proportion. A part without weight gets nothing and changes nothing for the others. What a part gets depends on weights
/// and the number of items alone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Partition {
    /// For each part, the weights of all parts up to it and with it.
    sums: Vec<u64, MAX_NODES>,
}

impl Partition {
    /// Parts of these weights. `None` where all are zero, or there are more than [`MAX_NODES`].
    #[must_use]
    pub fn new(weights: impl IntoIterator<Item = u32>) -> Option<Self> {
        let (mut sums, mut sum) = (Vec::new(), 0);
        for weight in weights {
            sum += u64::from(weight);
            sums.push(sum).ok()?;
        }
        (sum > 0).then_some(Self { sums })
    }

    /// How many parts there are.
    #[must_use]
    pub fn parts(&self) -> usize {
        self.sums.len()
    }

    /// The sum of all weights: 1 or more. Of a multiple of it each part gets its exact share.
    #[must_use]
    pub fn total(&self) -> u64 {
        self.sums.last().copied().unwrap_or(1)
    }

    /// The items of a part: of all items, those from the first number up to, not including, the second. Nothing for a part
    /// that is not there.
    #[must_use]
    pub fn range(&self, items: u64, part: usize) -> Range<u64> {
        if part >= self.sums.len() {
            return items..items;
        }
        let start = if part == 0 { 0 } else { self.boundary(items, self.sums[part - 1]) };
        start..self.boundary(items, self.sums[part])
    }

    /// The part that an item belongs to; `None` where the item is none of them.
    #[must_use]
    pub fn part_of(&self, items: u64, item: u64) -> Option<usize> {
        let part = self.sums.partition_point(|sum| self.boundary(items, *sum) <= item);
        (item < items && part < self.sums.len()).then_some(part)
    }

    /// Where the items of the parts with this sum of weights end. Two of them differ by the exact share of what lies between
    /// and less than one item, for each is rounded in the same direction.
    fn boundary(&self, items: u64, sum: u64) -> u64 {
        // At most `items`, since no sum is larger than the total.
        (u128::from(items) * u128::from(sum) / u128::from(self.total())) as u64
    }
}
