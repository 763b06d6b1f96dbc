//! Sets of addresses: joined, subtracted, counted, and written as prefixes.

use wirehaul_core::cdn::prefix::{Address, Prefix, Span};

/// A set of addresses of both families.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Addresses {
    /// Of IPv4.
    pub v4: Set<u32>,
    /// Of IPv6.
    pub v6: Set<u128>,
}

/// A set of addresses of one family: spans in order, with a gap between each two.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Set<A>(Vec<Span<A>>);

impl<A> Default for Set<A> {
    fn default() -> Self {
        Self(Vec::new())
    }
}

impl Addresses {
    /// Those of all these prefixes, which may overlap.
    #[must_use]
    pub fn of(prefixes: impl IntoIterator<Item = Prefix>) -> Self {
        let (mut v4, mut v6) = (Vec::new(), Vec::new());
        for prefix in prefixes {
            match prefix {
                Prefix::V4(span) => v4.push(span),
                Prefix::V6(span) => v6.push(span),
            }
        }
        Self { v4: Set::of(v4), v6: Set::of(v6) }
    }

    /// Those that are in one of both.
    #[must_use]
    pub fn plus(&self, other: &Self) -> Self {
        Self { v4: self.v4.plus(&other.v4), v6: self.v6.plus(&other.v6) }
    }

    /// Those that are not in the other.
    #[must_use]
    pub fn minus(&self, other: &Self) -> Self {
        Self { v4: self.v4.minus(&other.v4), v6: self.v6.minus(&other.v6) }
    }

    /// Whether there are none.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.v4.is_empty() && self.v6.is_empty()
    }

    /// The fewest prefixes that hold them, those of IPv4 first.
    pub fn prefixes(&self) -> impl Iterator<Item = Prefix> + '_ {
        self.v4.prefixes().map(Prefix::V4).chain(self.v6.prefixes().map(Prefix::V6))
    }
}

impl<A: Address> Set<A> {
    fn of(mut spans: Vec<Span<A>>) -> Self {
        spans.sort_unstable();
        let mut joined: Vec<Span<A>> = Vec::with_capacity(spans.len());
        for span in spans {
            match joined.last_mut() {
                Some(last) if last.last.next().is_none_or(|next| span.first <= next) => {
                    last.last = last.last.max(span.last);
                }
                _ => joined.push(span),
            }
        }
        Self(joined)
    }

    fn plus(&self, other: &Self) -> Self {
        Self::of([self.0.as_slice(), &other.0].concat())
    }

    fn minus(&self, other: &Self) -> Self {
        let mut left = Vec::with_capacity(self.0.len());
        let mut others = other.0.as_slice();
        for span in &self.0 {
            let mut first = Some(span.first);
            while let Some(at) = first {
                match others {
                    // It ends before: so it does for all spans that follow.
                    [hole, rest @ ..] if hole.last < at => others = rest,
                    [hole, ..] if hole.first <= span.last => {
                        if let Some(before) = hole.first.previous().filter(|before| *before >= at) {
                            left.push(Span { first: at, last: before });
                        }
                        first = hole.last.next().filter(|next| *next <= span.last);
                    }
                    _ => {
                        left.push(Span { first: at, last: span.last });
                        first = None;
                    }
                }
            }
        }
        Self(left)
    }

    /// Whether there are none.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The fewest prefixes that hold them.
    fn prefixes(&self) -> impl Iterator<Item = Span<A>> + '_ {
        self.0.iter().flat_map(|span| {
            let mut rest = Some(*span);
            std::iter::from_fn(move || {
                let span = rest?;
                let (first, length) = span.prefix_around(span.first);
                let part = Span { first, last: first.with_low_bits(A::BITS - length) };
                rest = part.last.next().filter(|next| *next <= span.last).map(|first| Span { first, last: span.last });
                Some(part)
            })
        })
    }
}

impl Set<u32> {
    /// How many there are.
    #[must_use]
    pub fn count(&self) -> u64 {
        self.0.iter().map(|span| u64::from(span.last - span.first) + 1).sum()
    }
}

impl Set<u128> {
    /// How many there are; 2^128 - 1 for all of them.
    #[must_use]
    pub fn count(&self) -> u128 {
        self.0.iter().fold(0_u128, |sum, span| sum.saturating_add((span.last - span.first).saturating_add(1)))
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    fn addresses(prefixes: &[&str]) -> Addresses {
        Addresses::of(prefixes.iter().map(|prefix| Prefix::parse(prefix).unwrap()))
    }

    fn written(addresses: &Addresses) -> Vec<String> {
        addresses.prefixes().map(|prefix| prefix.to_string()).collect()
    }

    #[test]
    fn neighbours_and_parts_become_one() {
        let set = addresses(&[
            "10.0.1.0/24",
            "10.0.0.0/24",
            "10.0.0.128/25",
            "10.0.3.0/24",
            "2001:db8::/33",
            "2001:db8:8000::/33",
        ]);
        assert_eq!(written(&set), ["10.0.0.0/23", "10.0.3.0/24", "2001:db8::/32"]);
        assert_eq!((set.v4.count(), set.v6.count()), (768, 1 << 96));
        let all = addresses(&["0.0.0.0/0", "255.255.255.255/32", "::/0"]);
        assert_eq!((written(&all), all.v4.count()), (vec!["0.0.0.0/0".to_owned(), "::/0".to_owned()], 1 << 32));
    }

    #[test]
    fn what_is_subtracted_leaves_its_surroundings() {
        let whole = addresses(&["10.0.0.0/24", "10.0.2.0/24", "2001:db8::/32"]);
        let part = addresses(&["10.0.0.0/26", "10.0.0.128/26", "10.0.2.0/23", "9.0.0.0/8", "2001:db8::/33"]);
        assert_eq!(written(&whole.minus(&part)), ["10.0.0.64/26", "10.0.0.192/26", "2001:db8:8000::/33"]);
        assert!(whole.minus(&whole).is_empty() && whole.minus(&Addresses::default()) == whole);
        assert!(addresses(&["0.0.0.0/0"]).minus(&addresses(&["0.0.0.0/0"])).is_empty());
    }

    proptest::proptest! {
        /// Against sets of single addresses.
        #[test]
        fn sets_do_as_sets_do(left in spans(), right in spans()) {
            let set = |spans: &[(u32, u32)]| {
                let spans = spans.iter().map(|(first, more)| Span { first: *first, last: first + more });
                Addresses { v4: Set::of(spans.collect()), v6: Set::default() }
            };
            let all = |spans: &[(u32, u32)]| -> BTreeSet<u32> {
                spans.iter().flat_map(|(first, more)| *first..=first + more).collect()
            };
            let of = |addresses: &Addresses| -> BTreeSet<u32> {
                let prefixes = addresses.prefixes().map(|prefix| match prefix {
                    Prefix::V4(span) => span,
                    Prefix::V6(_) => unreachable!(),
                });
                prefixes.flat_map(|span| span.first..=span.last).collect()
            };
            let (a, b) = (set(&left), set(&right));
            assert_eq!(of(&a.plus(&b)), all(&left).union(&all(&right)).copied().collect());
            assert_eq!(of(&a.minus(&b)), all(&left).difference(&all(&right)).copied().collect());
            assert_eq!(a.v4.count(), all(&left).len() as u64);
        }
    }

    fn spans() -> impl proptest::strategy::Strategy<Value = Vec<(u32, u32)>> {
        proptest::collection::vec((0_u32..200, 0_u32..40), 0..12)
    }
}
