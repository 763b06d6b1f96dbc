//! Which way each address goes: the host's routes, flattened into spans.
//!
//! A kernel finds the longest of the prefixes that hold an address. A survey asks that a million times a second, of few routes:
//! so [`flatten`] cuts the nested prefixes into disjoint spans once, and [`Routes::to`] finds the span by bisection, or has it
//! still from the time before.

#[cfg(test)]
mod tests;

use core::cmp::Reverse;
use core::net::IpAddr;

use heapless::Vec;

use crate::cdn::prefix::{Address, Span};
use crate::wire::net::MacAddress;

/// Prefixes that lie in each other: one of each length, and one more.
const MAX_DEPTH: usize = 130;

/// What frames on a link begin with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LinkKind {
    /// An Ethernet header. Loopback has one, too, whose addresses are zero.
    Ethernet,
    /// The IP header: tunnels and other point-to-point links.
    Ip,
}

/// How packets get to an address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Hop {
    /// The router that they go to; `None` where the address itself is on the link.
    pub gateway: Option<IpAddr>,
    /// Our address that they come from.
    pub source: IpAddr,
    /// Our link-layer address; zero where the link has none.
    pub ether_source: MacAddress,
    /// The VLAN that they go into, on our interface.
    pub vlan: Option<u16>,
    /// What their frames begin with.
    pub link: LinkKind,
}

/// The ways of all targets. Addresses outside of all spans have none.
#[derive(Clone, Copy, Debug)]
pub struct Routes<'a> {
    v4: &'a [(Span<u32>, u16)],
    v6: &'a [(Span<u128>, u16)],
    hops: &'a [Hop],
}

impl<'a> Routes<'a> {
    /// Spans with the number of a hop each. `None` where they are not sorted and disjoint, or name a hop that there is not.
    #[must_use]
    pub fn new(v4: &'a [(Span<u32>, u16)], v6: &'a [(Span<u128>, u16)], hops: &'a [Hop]) -> Option<Self> {
        (is_sorted(v4, hops.len()) && is_sorted(v6, hops.len())).then_some(Self { v4, v6, hops })
    }

    /// The way to an address; `None` where there is none.
    #[must_use]
    #[inline]
    pub fn to(&self, ip: IpAddr) -> Option<&'a Hop> {
        let hop = match ip {
            IpAddr::V4(ip) => find(self.v4, u32::from(ip)),
            IpAddr::V6(ip) => find(self.v6, u128::from(ip)),
        }?;
        self.hops.get(usize::from(hop))
    }

    /// The hops that addresses can have.
    #[must_use]
    pub const fn hops(&self) -> &'a [Hop] {
        self.hops
    }
}

fn is_sorted<A: Address>(spans: &[(Span<A>, u16)], hops: usize) -> bool {
    let is_right = |(span, hop): &(Span<A>, u16)| span.first <= span.last && usize::from(*hop) < hops;
    let is_before = |pair: &[(Span<A>, u16)]| matches!(pair, [(before, _), (after, _)] if before.last < after.first);
    spans.iter().all(is_right) && spans.windows(2).all(is_before)
}

#[inline]
fn find<A: Address>(spans: &[(Span<A>, u16)], address: A) -> Option<u16> {
    // One route for all is the rule.
    if let [(span, hop)] = spans {
        return span.contains(address).then_some(*hop);
    }
    let behind = spans.partition_point(|(span, _)| span.first <= address);
    let (span, hop) = spans.get(behind.checked_sub(1)?)?;
    span.contains(address).then_some(*hop)
}

/// A route: a prefix, and which of the ways in the caller's list it stands for. Of several for the same prefix, the first in the
/// caller's order of preference counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Route<A> {
    /// Its addresses: a prefix.
    pub span: Span<A>,
    /// Its number in the caller's list of ways.
    pub way: u16,
}

/// Cuts prefixes into disjoint spans, each with the way of the longest prefix that it lies in, and hands them out in ascending
/// order; neighbours of the same way are one. The prefixes are sorted here. At most two spans a prefix come out.
///
/// Prefixes lie within each other, or apart. Of a caller's spans that do neither, the one that begins later counts.
pub fn flatten<A: Address>(routes: &mut [Route<A>], mut each: impl FnMut(Span<A>, u16)) {
    // The outer ones come first, and of equal ones the preferred one comes last.
    routes.sort_unstable_by_key(|route| (route.span.first, Reverse((route.span.last, route.way))));
    let mut around: Vec<Route<A>, MAX_DEPTH> = Vec::new();
    let mut out = Joined { next: Some(A::ZERO), last: None, each: &mut each };
    for route in routes.iter().filter(|route| route.span.first <= route.span.last) {
        while let Some(ended) = around.last().copied().filter(|outer| outer.span.last < route.span.first) {
            around.pop();
            out.up_to(ended.span.last, ended.way);
        }
        if let (Some(outer), Some(before)) = (around.last(), route.span.first.previous()) {
            out.up_to(before, outer.way);
        }
        out.skip_to(route.span.first);
        if around.last().is_some_and(|outer| outer.span == route.span) {
            around.pop();
        }
        // There is room for one prefix of each length.
        let _ = around.push(*route);
    }
    while let Some(ended) = around.pop() {
        out.up_to(ended.span.last, ended.way);
    }
    out.end();
}

/// Hands out spans one behind the other, and joins neighbours of the same way.
struct Joined<'a, A, F> {
    /// The first address that was not handed out; `None` behind the highest.
    next: Option<A>,
    last: Option<(Span<A>, u16)>,
    each: &'a mut F,
}

impl<A: Address, F: FnMut(Span<A>, u16)> Joined<'_, A, F> {
    fn skip_to(&mut self, first: A) {
        self.next = self.next.map(|next| next.max(first));
    }

    /// What is left up to this address goes that way.
    fn up_to(&mut self, end: A, way: u16) {
        let Some(first) = self.next.filter(|next| *next <= end) else { return };
        self.next = end.next();
        match &mut self.last {
            Some((before, same)) if *same == way && before.last.next() == Some(first) => before.last = end,
            _ => {
                self.end();
                self.last = Some((Span { first, last: end }, way));
            }
        }
    }

    fn end(&mut self) {
        if let Some((span, way)) = self.last.take() {
            (self.each)(span, way);
        }
    }
}
