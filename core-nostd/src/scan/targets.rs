//! The addresses that a survey asks, numbered from 0: those of IPv4 in order, then those of IPv6.
//!
//! Lists of targets overlap, and exclusions cut holes into them: [`join`] and [`subtract`] make sorted spans without any overlap of
//! them, and [`number`] counts the addresses up to each. What is left is a search among spans, so that /0 costs no more than /32.

use core::net::IpAddr;

use crate::cdn::prefix::{Address, Span};

/// A span of targets, and how many targets of its family are below it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Run<A> {
    span: Span<A>,
    before: A,
}

impl<A: Address> Run<A> {
    /// The addresses.
    #[must_use]
    pub const fn span(&self) -> Span<A> {
        self.span
    }
}

/// A number of addresses of a family, as the family's own numbers hold it.
pub trait Count: Address {
    /// `self + (last - first) + 1`, or `None` beyond the largest number.
    fn plus_span(self, span: Span<Self>) -> Option<Self>;
}

impl Count for u32 {
    fn plus_span(self, span: Span<Self>) -> Option<Self> {
        span.last.checked_sub(span.first)?.checked_add(1)?.checked_add(self)
    }
}

impl Count for u128 {
    fn plus_span(self, span: Span<Self>) -> Option<Self> {
        span.last.checked_sub(span.first)?.checked_add(1)?.checked_add(self)
    }
}

/// Sorts spans and joins those that overlap or touch, in place: says how many are left, at the front of the slice. One whose last
/// address is below its first is none, and is dropped.
pub fn join<A: Address>(spans: &mut [Span<A>]) -> usize {
    spans.sort_unstable();
    let mut kept = 0_usize;
    for at in 0..spans.len() {
        let span = spans[at];
        if span.first > span.last {
            continue;
        }
        match kept.checked_sub(1).map(|newest| &mut spans[newest]) {
            Some(newest) if newest.last.next().is_none_or(|next| span.first <= next) => {
                newest.last = newest.last.max(span.last);
            }
            _ => {
                spans[kept] = span;
                kept += 1;
            }
        }
    }
    kept
}

/// Hands out, in order, what of `spans` lies in none of `holes`. Both as [`join`] leaves them.
pub fn subtract<A: Address>(spans: &[Span<A>], holes: &[Span<A>], mut left: impl FnMut(Span<A>)) {
    let mut holes = holes;
    for span in spans {
        let mut rest = Some(span.first);
        while let Some(first) = rest {
            match holes {
                // It ends before: so it does for all spans that follow.
                [hole, others @ ..] if hole.last < first => holes = others,
                [hole, ..] if hole.first <= span.last => {
                    if let Some(last) = hole.first.previous().filter(|last| *last >= first) {
                        left(Span { first, last });
                    }
                    rest = hole.last.next().filter(|next| *next <= span.last);
                }
                _ => {
                    left(Span { first, last: span.last });
                    rest = None;
                }
            }
        }
    }
}

/// Whether the address is in one of these, which are as [`join`] leaves them.
#[must_use]
pub fn is_in<A: Address>(spans: &[Span<A>], address: A) -> bool {
    let after = spans.partition_point(|span| span.first <= address);
    after.checked_sub(1).and_then(|at| spans.get(at)).is_some_and(|span| address <= span.last)
}

/// Hands out runs of these spans, which are as [`join`] leaves them.
pub fn number<A: Count>(spans: &[Span<A>], mut found: impl FnMut(Run<A>)) {
    let mut before = Some(A::ZERO);
    for span in spans {
        // Only behind the whole of the family the count has no number, and nothing comes behind it.
        let Some(count) = before else { return };
        found(Run { span: *span, before: count });
        before = count.plus_span(*span);
    }
}

/// The targets of a survey. See the module.
#[derive(Clone, Copy, Debug)]
pub struct Targets<'a> {
    v4: &'a [Run<u32>],
    v6: &'a [Run<u128>],
    /// How many of IPv4: up to 2^32.
    v4_count: u64,
    /// How many: 2^128 - 1 stands for more, too.
    addresses: u128,
}

impl<'a> Targets<'a> {
    /// Those of these runs; `None` where [`number`] did not make each of both lists of spans in order.
    #[must_use]
    pub fn new(v4: &'a [Run<u32>], v6: &'a [Run<u128>]) -> Option<Self> {
        if !(are_numbered(v4) && are_numbered(v6)) {
            return None;
        }
        let v4_count = v4.last().map_or(0, |run| u64::from(run.before) + u64::from(run.span.last - run.span.first) + 1);
        let v6_count =
            v6.last().map_or(0, |run| run.before.saturating_add(run.span.last - run.span.first).saturating_add(1));
        Some(Self { v4, v6, v4_count, addresses: v6_count.saturating_add(v4_count.into()) })
    }

    /// How many addresses there are; 2^128 - 1 stands for more, too.
    #[must_use]
    pub const fn addresses(&self) -> u128 {
        self.addresses
    }

    /// Whether there are none.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.addresses == 0
    }

    /// The address of this number, from 0.
    #[must_use]
    #[inline]
    pub fn at(&self, index: u128) -> Option<IpAddr> {
        if index < u128::from(self.v4_count) {
            // Below 2^32.
            return find(self.v4, index as u32).map(|(run, beyond)| (run.span.first + beyond).ip());
        }
        let index = index - u128::from(self.v4_count);
        let (run, beyond) = find(self.v6, index)?;
        (beyond <= run.span.last - run.span.first).then(|| (run.span.first + beyond).ip())
    }

    /// Whether the address is a target.
    #[must_use]
    #[inline]
    pub fn contains(&self, ip: IpAddr) -> bool {
        match ip {
            IpAddr::V4(ip) => has(self.v4, ip.to_bits()),
            IpAddr::V6(ip) => has(self.v6, ip.to_bits()),
        }
    }

    /// The spans of IPv4, in order.
    pub fn v4(&self) -> impl ExactSizeIterator<Item = Span<u32>> + 'a {
        self.v4.iter().map(Run::span)
    }

    /// The spans of IPv6, in order.
    pub fn v6(&self) -> impl ExactSizeIterator<Item = Span<u128>> + 'a {
        self.v6.iter().map(Run::span)
    }
}

/// Whether these are runs of spans in order, counted without a gap.
fn are_numbered<A: Count>(runs: &[Run<A>]) -> bool {
    let begins = runs.first().is_none_or(|run| run.before == A::ZERO);
    let is_behind = |pair: &[Run<A>]| match pair {
        [one, other] => one.span.last < other.span.first && one.before.plus_span(one.span) == Some(other.before),
        _ => false,
    };
    begins && runs.iter().all(|run| run.span.first <= run.span.last) && runs.windows(2).all(is_behind)
}

/// The run that holds the address of this number, unless it is beyond the last one, and how far behind its first one that is.
#[inline]
fn find<A: Address + core::ops::Sub<Output = A>>(runs: &[Run<A>], index: A) -> Option<(&Run<A>, A)> {
    let after = runs.partition_point(|run| run.before <= index);
    let run = runs.get(after.checked_sub(1)?)?;
    Some((run, index - run.before))
}

#[inline]
fn has<A: Address>(runs: &[Run<A>], address: A) -> bool {
    let after = runs.partition_point(|run| run.span.first <= address);
    after.checked_sub(1).and_then(|at| runs.get(at)).is_some_and(|run| address <= run.span.last)
}
