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

    /// `self - other`, for `other` no larger.
    fn minus(self, other: Self) -> Self;

    /// `self + other`, or `None` beyond the largest number.
    fn plus(self, other: Self) -> Option<Self>;

    /// Its highest bits, up to 32 of them, when `shift` low ones are left out.
    fn coarse(self, shift: u32) -> u64;
}

macro_rules! count {
    ($number:ty) => {
        impl Count for $number {
            fn plus_span(self, span: Span<Self>) -> Option<Self> {
                span.last.checked_sub(span.first)?.checked_add(1)?.checked_add(self)
            }

            #[inline]
            fn minus(self, other: Self) -> Self {
                self - other
            }

            #[inline]
            fn plus(self, other: Self) -> Option<Self> {
                self.checked_add(other)
            }

            #[inline]
            fn coarse(self, shift: u32) -> u64 {
                // Whoever chose the shift made sure that 32 bits are left.
                (self >> shift) as u64
            }
        }
    };
}

count!(u32);
count!(u128);

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
    v4: Runs<'a, u32>,
    v6: Runs<'a, u128>,
    /// How many of IPv4: up to 2^32.
    v4_count: u64,
    /// How many: 2^128 - 1 stands for more, too.
    addresses: u128,
}

impl<'a> Targets<'a> {
    /// None at all.
    pub const NONE: Self = Self { v4: Runs::NONE, v6: Runs::NONE, v4_count: 0, addresses: 0 };

    /// Those of these runs; `None` where they are not as [`number`] makes them of spans in order.
    #[must_use]
    pub fn new(v4: &'a [Run<u32>], v6: &'a [Run<u128>]) -> Option<Self> {
        let (v4, v6) = (Runs::new(v4)?, Runs::new(v6)?);
        let v4_count = v4.last_number().map_or(0, |last| u64::from(last) + 1);
        let v6_count = v6.last_number().map_or(0, |last| last.saturating_add(1));
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
        match index.checked_sub(self.v4_count.into()) {
            // Below 2^32.
            None => self.v4.at(index as u32),
            Some(index) => self.v6.at(index),
        }
    }

    /// Whether the address is a target.
    #[must_use]
    #[inline]
    pub fn contains(&self, ip: IpAddr) -> bool {
        match ip {
            IpAddr::V4(ip) => self.v4.contains(ip.to_bits()),
            IpAddr::V6(ip) => self.v6.contains(ip.to_bits()),
        }
    }

    /// The spans of IPv4, in order.
    pub fn v4(&self) -> impl ExactSizeIterator<Item = Span<u32>> + 'a {
        self.v4.runs.iter().map(Run::span)
    }

    /// The spans of IPv6, in order.
    pub fn v6(&self) -> impl ExactSizeIterator<Item = Span<u128>> + 'a {
        self.v6.runs.iter().map(Run::span)
    }
}

/// Numbered runs of a family, searched from where a number would be if all were of one size: where they are, as in a list of single
/// hosts, a search among a million is one look, and elsewhere no more than twice the steps of one by halves.
#[derive(Clone, Copy, Debug)]
struct Runs<'a, A> {
    runs: &'a [Run<A>],
    /// So many low bits of a number say little of where it is.
    shift: u32,
    /// Runs to a number without these bits, in units of 2^-32.
    density: u64,
}

impl<'a, A: Count> Runs<'a, A> {
    const NONE: Self = Self { runs: &[], shift: 0, density: 0 };

    fn new(runs: &'a [Run<A>]) -> Option<Self> {
        let begins = runs.first().is_none_or(|run| run.before == A::ZERO);
        let is_behind = |pair: &[Run<A>]| match pair {
            [one, other] => one.span.last < other.span.first && one.before.plus_span(one.span) == Some(other.before),
            _ => false,
        };
        if !begins || runs.iter().any(|run| run.span.first > run.span.last) || !runs.windows(2).all(is_behind) {
            return None;
        }
        let found = Self { runs, shift: 0, density: 0 };
        let last = found.last_number().unwrap_or(A::ZERO);
        let shift = last.highest_difference(A::ZERO).unwrap_or(0).saturating_sub(31);
        // With 32 bits at most, each run has a number of its own, so that this is 2^32 at most; a guess is all that it is for.
        let density = ((runs.len() as u128) << 32) / (u128::from(last.coarse(shift)) + 1);
        Some(Self { runs, shift, density: u64::try_from(density).unwrap_or(u64::MAX).min(1 << 32) })
    }

    /// The number of its last address; `None` without any.
    fn last_number(&self) -> Option<A> {
        let run = self.runs.last()?;
        // Without the last one, since the count of all may be one more than a number can be.
        let before_last = Span { first: run.span.first, last: run.span.last.previous().unwrap_or(run.span.last) };
        if run.span.first == run.span.last { Some(run.before) } else { run.before.plus_span(before_last) }
    }

    #[inline]
    fn at(&self, index: A) -> Option<IpAddr> {
        let run = self.runs.get(self.search(index)?)?;
        let beyond = index.minus(run.before);
        run.span.first.plus(beyond).filter(|address| *address <= run.span.last).map(Address::ip)
    }

    /// The place of the last run that begins with this number or before it; `None` without any run.
    #[inline]
    fn search(&self, index: A) -> Option<usize> {
        let newest = self.runs.len().checked_sub(1)?;
        // Below 2^32 x 2^32.
        let guess = (index.coarse(self.shift).min(u64::from(u32::MAX)) * self.density) >> 32;
        let guess = usize::try_from(guess).map_or(newest, |guess| guess.min(newest));
        let begins_by = |at: usize| self.runs.get(at).is_some_and(|run| run.before <= index);
        // `low` begins by then, and `high` does not, or is behind the last one.
        let (mut low, mut high, mut step) = (0, self.runs.len(), 1);
        if begins_by(guess) {
            low = guess;
            while let Some(next) = low.checked_add(step).filter(|next| *next < high) {
                if !begins_by(next) {
                    high = next;
                    break;
                }
                (low, step) = (next, step * 2);
            }
        } else {
            high = guess;
            while let Some(next) = high.checked_sub(step) {
                if begins_by(next) {
                    low = next;
                    break;
                }
                (high, step) = (next, step * 2);
            }
        }
        let between = self.runs.get(low + 1..high).unwrap_or_default();
        Some(low + between.partition_point(|run| run.before <= index))
    }

    #[inline]
    fn contains(&self, address: A) -> bool {
        let after = self.runs.partition_point(|run| run.span.first <= address);
        after.checked_sub(1).and_then(|at| self.runs.get(at)).is_some_and(|run| address <= run.span.last)
    }
}

#[cfg(test)]
mod tests {
    extern crate std;

    use std::string::ToString;
    use std::vec::Vec;

    use super::*;
    use crate::cdn::prefix::Prefix;

    struct Owned {
        v4: Vec<Run<u32>>,
        v6: Vec<Run<u128>>,
    }

    impl Owned {
        fn of(prefixes: &[&str]) -> Self {
            let (mut v4, mut v6) = (Vec::new(), Vec::new());
            for prefix in prefixes {
                match Prefix::parse(prefix).unwrap() {
                    Prefix::V4(span) => v4.push(span),
                    Prefix::V6(span) => v6.push(span),
                }
            }
            let (v4_kept, v6_kept) = (join(&mut v4), join(&mut v6));
            let mut owned = Self { v4: Vec::new(), v6: Vec::new() };
            number(&v4[..v4_kept], |run| owned.v4.push(run));
            number(&v6[..v6_kept], |run| owned.v6.push(run));
            owned
        }

        fn targets(&self) -> Targets<'_> {
            Targets::new(&self.v4, &self.v6).unwrap()
        }
    }

    fn at(targets: &Targets<'_>, index: u128) -> Option<std::string::String> {
        targets.at(index).map(|ip| ip.to_string())
    }

    /// SCAN-2: overlapping targets count once.
    #[test]
    fn targets_are_numbered_in_order_and_once() {
        let owned =
            Owned::of(&["10.0.1.0/30", "2001:db8::/127", "10.0.0.254/31", "10.0.1.2", "10.0.0.255", "10.0.9.9"]);
        let targets = owned.targets();
        assert_eq!((targets.addresses(), targets.v4().len(), targets.v6().len()), (9, 2, 1));
        let all: Vec<_> = (0..9).map(|index| at(&targets, index).unwrap()).collect();
        let v4 = ["10.0.0.254", "10.0.0.255", "10.0.1.0", "10.0.1.1", "10.0.1.2", "10.0.1.3", "10.0.9.9"];
        assert_eq!(all, [&v4[..], &["2001:db8::", "2001:db8::1"]].concat());
        assert_eq!((at(&targets, 9), at(&targets, u128::MAX)), (None, None));
        for (ip, is_target) in [
            ("10.0.0.254", true),
            ("10.0.0.253", false),
            ("10.0.1.4", false),
            ("2001:db8::2", false),
            ("::ffff:10.0.1.0", false),
        ] {
            assert_eq!(targets.contains(ip.parse().unwrap()), is_target, "{ip}");
        }
    }

    #[test]
    fn nothing_and_everything() {
        let nothing = Owned::of(&[]);
        assert!(nothing.targets().is_empty() && at(&nothing.targets(), 0).is_none());
        assert!(!nothing.targets().contains("0.0.0.0".parse().unwrap()));
        let v4 = Owned::of(&["0.0.0.0/0"]);
        assert_eq!(v4.targets().addresses(), 1 << 32);
        assert_eq!(at(&v4.targets(), (1 << 32) - 1).as_deref(), Some("255.255.255.255"));
        assert_eq!(at(&v4.targets(), 1 << 32), None);
        let v6 = Owned::of(&["::/0"]);
        assert_eq!(v6.targets().addresses(), u128::MAX);
        assert_eq!(at(&v6.targets(), u128::MAX).as_deref(), Some("ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff"));
        let all = Owned::of(&["::/0", "0.0.0.0/0"]);
        assert_eq!((all.targets().addresses(), all.targets().is_empty()), (u128::MAX, false));
        assert_eq!(at(&all.targets(), 1 << 32).as_deref(), Some("::"));
        let most = Owned::of(&["::/1", "8000::/2"]);
        assert_eq!(most.targets().addresses(), 3 << 126);
        assert_eq!(at(&most.targets(), 3 << 126), None);
    }

    #[test]
    fn runs_that_nobody_numbered_are_no_targets() {
        let run = |first, last, before| Run { span: Span { first, last }, before };
        for bad in [
            &[run(5, 4, 0)][..],
            &[run(5, 6, 1)],
            &[run(5, 6, 0), run(8, 9, 3)],
            &[run(8, 9, 0), run(5, 6, 2)],
            &[run(5, 8, 0), run(8, 9, 4)],
        ] {
            assert!(Targets::new(bad, &[]).is_none(), "{bad:?}");
        }
        assert!(Targets::new(&[run(5, 6, 0), run(8, 9, 2)], &[]).is_some());
    }

    #[test]
    fn spans_that_end_before_they_begin_are_dropped() {
        let mut spans = [Span { first: 9_u32, last: 3 }, Span { first: 1, last: 2 }, Span { first: 3, last: 3 }];
        assert_eq!(join(&mut spans), 1);
        assert_eq!(spans[0], Span { first: 1, last: 3 });
    }

    /// A /8 among single hosts puts the guess far off.
    #[test]
    fn runs_of_very_different_sizes_are_found() {
        let mut spans: Vec<_> = (0..5_000_u32).map(|host| Span { first: host * 3, last: host * 3 }).collect();
        spans.insert(2_500, Span { first: 2_500 * 3 - 2, last: 2_500 * 3 - 2 });
        spans.push(Span { first: 1 << 24, last: (1 << 25) - 1 });
        spans.extend((0..5_000_u32).map(|host| (1 << 26) + host * 2).map(|host| Span { first: host, last: host }));
        let mut runs = Vec::new();
        number(&spans, |run| runs.push(run));
        let targets = Targets::new(&runs, &[]).unwrap();
        let mut index = 0;
        for span in &spans {
            assert_eq!(targets.at(index), Some(span.first.ip()));
            index += u128::from(span.last - span.first);
            assert_eq!(targets.at(index), Some(span.last.ip()));
            index += 1;
        }
        assert_eq!((targets.addresses(), targets.at(index)), (index, None));
    }
}
