//! A map from spans of addresses to values, made once and asked for each address: sorted starts, and an index of the first
//! bits, so that a question touches two or three cache lines.

use core::fmt::Debug;

use super::prefix::{Address, Span};

/// A table that somebody else keeps.
///
/// Every address belongs to one segment: from its own start to the next one's. Segments of which nothing is known hold
/// `V::default()`. Starts are kept in halves: most searches are over with the high ones, which take half the cache.
#[derive(Clone, Copy, Debug)]
pub struct Table<'a, A: Address, V> {
    highs: &'a [A::High],
    lows: &'a [A::Low],
    values: &'a [V],
    index: &'a [u32],
}

/// Why slices are no table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NoTable;

impl<'a, A: Address, V: Copy + Default + PartialEq> Table<'a, A, V> {
    /// A table of these parts, as [`segments`] and [`index`] make them.
    ///
    /// # Errors
    /// They are not what those make.
    pub fn new(highs: &'a [A::High], lows: &'a [A::Low], values: &'a [V], index: &'a [u32]) -> Result<Self, NoTable> {
        let table = Self::trusted(highs, lows, values, index);
        let is_whole = highs.len() == lows.len() && highs.len() == values.len();
        if is_whole && table.is_sorted() && table.is_indexed() { Ok(table) } else { Err(NoTable) }
    }

    /// The same without a look at them, for tables that are constants. What is wrong with them makes answers wrong, and
    /// nothing else.
    #[must_use]
    pub const fn trusted(highs: &'a [A::High], lows: &'a [A::Low], values: &'a [V], index: &'a [u32]) -> Self {
        Self { highs, lows, values, index }
    }

    fn is_sorted(&self) -> bool {
        self.start(0) == Some(A::ZERO) && self.starts().zip(self.starts().skip(1)).all(|(start, next)| start < next)
    }

    fn is_indexed(&self) -> bool {
        let holds_start = |(bucket, at): (usize, &u32)| {
            let (at, start) = (*at as usize, A::bucket_start(bucket));
            self.start(at).is_some_and(|own| own <= start) && self.start(at + 1).is_none_or(|next| next > start)
        };
        self.index.len() == A::BUCKETS + 1
            && self.index.is_sorted()
            && self.index.last().is_some_and(|last| (*last as usize) + 1 == self.highs.len())
            && self.index.iter().enumerate().take(A::BUCKETS).all(holds_start)
    }

    /// What is known of the address.
    #[inline]
    #[must_use]
    pub fn get(&self, address: A) -> V {
        self.values.get(self.segment(address)).copied().unwrap_or_default()
    }

    /// What is known of the address, and the addresses around it of which the same is known.
    #[must_use]
    pub fn get_with_span(&self, address: A) -> (V, Span<A>) {
        let at = self.segment(address);
        let value = self.values.get(at).copied().unwrap_or_default();
        let first = self.start(at).unwrap_or(A::ZERO);
        let last = self.start(at + 1).and_then(|next| next.previous()).unwrap_or(A::MAX);
        (value, Span { first, last })
    }

    /// The number of the segment that holds the address.
    #[inline]
    fn segment(&self, address: A) -> usize {
        let bucket = address.bucket();
        let first = self.index.get(bucket).map_or(0, |first| *first as usize);
        let last = self.index.get(bucket + 1).map_or(first, |last| *last as usize);
        // The segment that begins the bucket, or one of those that begin within it.
        let within = self.highs.get(first + 1..=last).unwrap_or_default();
        let (high, low) = address.split();
        let at = first + within.partition_point(|start| *start <= high);
        let is_behind = self.highs.get(at) == Some(&high) && self.lows.get(at).is_some_and(|start| *start > low);
        if is_behind { self.segment_by_low(first, at, high, low) } else { at }
    }

    /// The same where several segments begin with the same high half, and `last` does behind the address.
    #[cold]
    fn segment_by_low(&self, first: usize, last: usize, high: A::High, low: A::Low) -> usize {
        let highs = self.highs.get(first..=last).unwrap_or_default();
        let equal = first + highs.partition_point(|start| *start < high);
        let lows = self.lows.get(equal..=last).unwrap_or_default();
        // A bucket begins with all low bits clear, so that there is a segment before.
        (equal + lows.partition_point(|start| *start <= low)).saturating_sub(1)
    }

    fn start(&self, at: usize) -> Option<A> {
        Some(A::join(*self.highs.get(at)?, *self.lows.get(at)?))
    }

    fn starts(&self) -> impl Iterator<Item = A> + '_ {
        self.highs.iter().zip(self.lows).map(|(high, low)| A::join(*high, *low))
    }

    /// The segments of which something is known, in order.
    pub fn iter(&self) -> impl Iterator<Item = (Span<A>, V)> + '_ {
        let ends = self.starts().skip(1).map(|next| next.previous().unwrap_or(A::MAX)).chain([A::MAX]);
        let segments = self.starts().zip(ends).zip(self.values);
        segments
            .filter(|(_, value)| **value != V::default())
            .map(|((first, last), value)| (Span { first, last }, *value))
    }

    /// How many segments there are, those of which nothing is known included.
    #[must_use]
    pub const fn len(&self) -> usize {
        self.highs.len()
    }

    /// Whether nothing is known of any address.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.values.iter().all(|value| *value == V::default())
    }
}

/// Cuts all addresses into segments by two layers, each sorted and disjoint, and tells them to `emit` in order: the start of
/// each, and the value that `join` makes of what the layers say of it. Neighbours of the same value are one segment.
pub fn segments<A: Address, U: Copy, V: Copy + PartialEq>(
    over: &[(Span<A>, U)],
    under: &[(Span<A>, U)],
    join: impl Fn(Option<U>, Option<U>) -> V,
    mut emit: impl FnMut(A, V),
) {
    let (mut over, mut under) = (over, under);
    let mut at = A::ZERO;
    let mut last = None;
    loop {
        let (above, above_ends) = here(&mut over, at);
        let (below, below_ends) = here(&mut under, at);
        let value = join(above, below);
        if last != Some(value) {
            emit(at, value);
            last = Some(value);
        }
        match above_ends.min(below_ends).next() {
            Some(next) => at = next,
            None => return,
        }
    }
}

/// What a layer says of the address `at`, and up to which address it says so. Spans before that address are dropped.
fn here<A: Address, U: Copy>(layer: &mut &[(Span<A>, U)], at: A) -> (Option<U>, A) {
    while let Some(((span, _), rest)) = layer.split_first()
        && span.last < at
    {
        *layer = rest;
    }
    match layer.first() {
        Some((span, value)) if span.first <= at => (Some(*value), span.last),
        Some((span, _)) => (None, span.first.previous().unwrap_or(A::ZERO)),
        None => (None, A::MAX),
    }
}

/// The index of sorted starts, of which the first is the lowest address; told to `emit` entry by entry, `A::BUCKETS + 1` of them:
/// for each bucket the number of the segment that holds its lowest address, and last the number of the last segment.
pub fn index<A: Address>(starts: &[A], mut emit: impl FnMut(u32)) {
    let mut at = 0;
    for bucket in 0..A::BUCKETS {
        let start = A::bucket_start(bucket);
        while starts.get(at + 1).is_some_and(|next| *next <= start) {
            at += 1;
        }
        // There are fewer segments than addresses of IPv4.
        emit(at as u32);
    }
    emit(starts.len().saturating_sub(1) as u32);
}
