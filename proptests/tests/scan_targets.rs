//! SCAN-1, SCAN-2, SCAN-6: targets and exclusions against sets of single addresses, and the policy against the plainest reading of it.
#![allow(clippy::expect_used, reason = "a test that meets the unexpected should stop there")]

use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::select;
use wirehaul::scan::{Addresses, Expression, Spans, TargetRuns};
use wirehaul_core::cdn::Date;
use wirehaul_core::cdn::prefix::{Address, Span};
use wirehaul_core::scan::policy::{self, Circumstances, Use, V4, V6};
use wirehaul_core::scan::{AllowList, Refusal, Refused, policy::decide};

// --- targets ---

/// Where spans lie, so that they overlap, and meet both ends of both families.
const BASES_V4: [u32; 3] = [0, 0x0a00_00f0, u32::MAX - 400];
const BASES_V6: [u128; 3] = [0, 0x2001_0db8 << 96 | 0xff_ffff_ffff_ff80, u128::MAX - 400];

#[derive(Clone, Copy, Debug)]
enum Piece {
    V4(Span<u32>),
    V6(Span<u128>),
}

fn piece() -> impl Strategy<Value = Piece> {
    (select(&[0, 1, 2][..]), 0..330_u16, 0..60_u16, any::<bool>()).prop_map(|(base, from, more, is_v4)| {
        if is_v4 {
            let first = BASES_V4[base] + u32::from(from);
            Piece::V4(Span { first, last: first + u32::from(more) })
        } else {
            let first = BASES_V6[base] + u128::from(from);
            Piece::V6(Span { first, last: first + u128::from(more) })
        }
    })
}

fn addresses(pieces: &[Piece]) -> Addresses {
    let mut spans = Spans::default();
    for piece in pieces {
        match piece {
            Piece::V4(span) => spans.v4.push(*span),
            Piece::V6(span) => spans.v6.push(*span),
        }
    }
    spans.joined()
}

fn set(pieces: &[Piece]) -> BTreeSet<IpAddr> {
    let all = pieces.iter().map(|piece| match piece {
        Piece::V4(span) => (span.first..=span.last).map(Address::ip).collect::<Vec<_>>(),
        Piece::V6(span) => (span.first..=span.last).map(Address::ip).collect(),
    });
    all.flatten().collect()
}

/// Every address that a piece can have, and some around them.
fn places() -> impl Iterator<Item = IpAddr> {
    let v4 = BASES_V4.into_iter().flat_map(|base| (0..=400).map(move |more| (base + more).ip()));
    let v6 = BASES_V6.into_iter().flat_map(|base| (0..=400).map(move |more| (base + more).ip()));
    v4.chain(v6)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    #[test]
    fn targets_are_the_set_that_was_named_less_what_is_excluded(
        wanted in vec(piece(), 0..25), excluded in vec(piece(), 0..12),
    ) {
        let expected: Vec<_> = set(&wanted).difference(&set(&excluded)).copied().collect();
        let left = addresses(&wanted).minus(&addresses(&excluded));
        let runs = TargetRuns::of(&left);
        let targets = runs.targets();
        prop_assert_eq!(targets.addresses(), expected.len() as u128);
        prop_assert_eq!(targets.is_empty(), expected.is_empty());
        for (index, ip) in expected.iter().enumerate() {
            prop_assert_eq!(targets.at(index as u128), Some(*ip));
        }
        for beyond in [expected.len() as u128, 1 << 32, u128::MAX] {
            prop_assert_eq!(targets.at(beyond), None);
        }
        let expected: BTreeSet<_> = expected.into_iter().collect();
        for ip in places() {
            prop_assert_eq!(targets.contains(ip), expected.contains(&ip));
            prop_assert_eq!(left.contains(ip), expected.contains(&ip));
        }
    }

    /// Runs of every size, up to more addresses than anybody counts.
    #[test]
    fn large_runs_are_numbered_without_a_gap(steps in vec((0..100_u32, 0..100_u32, any::<u128>()), 1..80)) {
        let (mut spans, mut next) = (Spans::default(), 0_u128);
        for (gap, size, random) in steps {
            let first = next + 1 + (random >> (u128::BITS - 1 - gap));
            let last = first + (random >> (u128::BITS - 1 - size));
            spans.v6.push(Span { first, last });
            next = last + 1;
        }
        let addresses = spans.joined();
        let runs = TargetRuns::of(&addresses);
        let targets = runs.targets();
        let mut index = 0;
        for span in addresses.v6() {
            for beyond in [0, (span.last - span.first) / 3, span.last - span.first] {
                prop_assert_eq!(targets.at(index + beyond), Some((span.first + beyond).ip()));
            }
            index += span.last - span.first + 1;
        }
        prop_assert_eq!((targets.addresses(), targets.at(index)), (index, None));
    }

    #[test]
    fn ranges_read_as_they_are_written(first: u128, last: u128, one: u32, other: u32) {
        let (first, last) = (first.min(last), first.max(last));
        let text = format!("{}-{}", Ipv6Addr::from(first), Ipv6Addr::from(last));
        prop_assert_eq!(Expression::parse(&text), Ok(Expression::V6(Span { first, last })));
        let (first, last) = (one.min(other), one.max(other));
        let text = format!("{} - {}", Ipv4Addr::from(first), Ipv4Addr::from(last));
        prop_assert_eq!(Expression::parse(&text), Ok(Expression::V4(Span { first, last })));
    }

    #[test]
    fn no_text_is_too_strange(text in "[0-9a-f:./%\\[\\] -]{0,40}|\\PC{0,40}") {
        match Expression::parse(&text) {
            Ok(Expression::V4(span)) => prop_assert!(span.first <= span.last),
            Ok(Expression::V6(span)) => prop_assert!(span.first <= span.last),
            Ok(Expression::Name(name)) => prop_assert!(!name.is_empty() && name.parse::<IpAddr>().is_err()),
            Err(error) => prop_assert!(!error.to_string().is_empty()),
        }
    }
}

// --- the policy ---

const TODAY: Date = Date::new(2026, 6, 15);
const YESTERDAY: Date = Date::new(2026, 6, 14);

/// What IPv4 addresses are for, as the standard library and a list of octets have it.
fn purpose_v4(ip: Ipv4Addr) -> Use {
    match ip.octets() {
        [255, 255, 255, 255] => Use::Refused(Refusal::Broadcast),
        [0, ..] => Use::Refused(Refusal::ThisNetwork),
        [240..=255, ..] => Use::Refused(Refusal::Reserved),
        _ if ip.is_multicast() => Use::Refused(Refusal::Multicast),
        _ if ip.is_loopback() => Use::Loopback,
        _ if ip.is_private() || ip.is_link_local() || ip.is_documentation() => Use::Private,
        [100, 64..128, ..] | [198, 18..20, ..] => Use::Private,
        [192, 0, 0, host] if !matches!(host, 9 | 10) => Use::Private,
        _ => Use::Public,
    }
}

fn purpose_v6(ip: Ipv6Addr) -> Use {
    match ip.segments() {
        [0, 0, 0, 0, 0, 0, 0, 0] => Use::Refused(Refusal::ThisNetwork),
        [0, 0, 0, 0, 0, 0, 0, 1] => Use::Loopback,
        [0, 0, 0, 0, 0, 0xffff, ..] => Use::Refused(Refusal::V4Mapped),
        [0x64, 0xff9b, 0, 0, 0, 0, ..] | [0x64, 0xff9b, 1, ..] => Use::Public,
        [0x100, 0, 0, 0 | 1, ..] | [0x5f00, ..] => Use::Private,
        [0x2001, 0xdb8, ..] | [0x2001, 2, 0, ..] | [0x3fff, 0..0x1000, ..] => Use::Private,
        [0x2000..0x4000, ..] => Use::Public,
        _ if ip.is_unique_local() || ip.is_unicast_link_local() => Use::Private,
        _ if ip.is_multicast() => Use::Refused(Refusal::Multicast),
        _ => Use::Refused(Refusal::Reserved),
    }
}

/// Around an end of a block of the registries, or anywhere.
fn corner() -> impl Strategy<Value = IpAddr> {
    let v4: Vec<u32> = V4.iter().flat_map(|entry| [entry.span.first, entry.span.last]).collect();
    let v6: Vec<u128> = V6.iter().flat_map(|entry| [entry.span.first, entry.span.last]).collect();
    prop_oneof![
        (select(v4), 0..5_u32).prop_map(|(edge, more)| edge.wrapping_add(more).wrapping_sub(2).ip()),
        (select(v6), 0..5_u128).prop_map(|(edge, more)| edge.wrapping_add(more).wrapping_sub(2).ip()),
        any::<u32>().prop_map(Address::ip),
        any::<u128>().prop_map(Address::ip),
    ]
}

fn span_from(ip: IpAddr, more: u8) -> Piece {
    match ip {
        IpAddr::V4(ip) => Piece::V4(Span { first: ip.to_bits(), last: ip.to_bits().saturating_add(more.into()) }),
        IpAddr::V6(ip) => Piece::V6(Span { first: ip.to_bits(), last: ip.to_bits().saturating_add(more.into()) }),
    }
}

fn naive(ip: IpAddr, lists: &[(BTreeSet<IpAddr>, Date)], is_loopback: bool) -> Option<Refusal> {
    let purpose = match ip {
        IpAddr::V4(ip) => purpose_v4(ip),
        IpAddr::V6(ip) => purpose_v6(ip),
    };
    match purpose {
        Use::Refused(refusal) => Some(refusal),
        Use::Loopback => (!is_loopback).then_some(Refusal::Loopback),
        Use::Private => None,
        Use::Public if lists.is_empty() => Some(Refusal::NoAllowList),
        Use::Public if lists.iter().any(|(list, expires)| *expires >= TODAY && list.contains(&ip)) => None,
        Use::Public if lists.iter().any(|(list, _)| list.contains(&ip)) => Some(Refusal::Expired),
        Use::Public => Some(Refusal::NotAllowed),
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    #[test]
    fn addresses_are_for_what_the_registries_say(ip in corner()) {
        let expected = match ip {
            IpAddr::V4(ip) => purpose_v4(ip),
            IpAddr::V6(ip) => purpose_v6(ip),
        };
        prop_assert_eq!(policy::purpose(ip), expected, "{}", ip);
    }

    /// The first address that the plain reading refuses is the first of those that the policy refuses, for the same reason; all that it
    /// names are.
    #[test]
    fn the_policy_is_what_it_says_of_each_address(
        wanted in vec((corner(), 0..60_u8), 0..4),
        lists in vec((vec((any::<prop::sample::Index>(), 0..70_u8, 0..70_u8), 0..4), any::<bool>()), 0..3),
        is_loopback: bool,
    ) {
        let pieces: Vec<_> = wanted.iter().map(|(ip, more)| span_from(*ip, *more)).collect();
        // Lists of addresses around what is wanted.
        let lists: Vec<_> = lists.into_iter().map(|(parts, holds)| {
            let parts = parts.into_iter().filter(|_| !wanted.is_empty()).map(|(index, from, more)| {
                match span_from(index.get(&wanted).0, from) {
                    Piece::V4(span) => span_from(span.last.ip(), more),
                    Piece::V6(span) => span_from(span.last.ip(), more),
                }
            });
            (parts.collect::<Vec<_>>(), if holds { TODAY } else { YESTERDAY })
        }).collect();
        let expected = set(&pieces).into_iter().find_map(|ip| {
            let sets: Vec<_> = lists.iter().map(|(pieces, expires)| (set(pieces), *expires)).collect();
            naive(ip, &sets, is_loopback).map(|refusal| (ip, refusal))
        });
        let joined: Vec<_> = lists.iter().map(|(pieces, expires)| (addresses(pieces), *expires)).collect();
        let allowed: Vec<_> = joined.iter().map(|(list, expires)| AllowList { v4: list.v4(), v6: list.v6(), expires: *expires }).collect();
        let targets = addresses(&pieces);
        let answer = decide(
            &TargetRuns::of(&targets).targets(),
            &Circumstances { allowed: &allowed, today: TODAY, is_loopback },
        );
        match (answer, expected) {
            (Ok(()), None) => prop_assert!(!pieces.is_empty()),
            (Err(Refused { refusal: Refusal::NoTargets, addresses: None }), None) => prop_assert!(pieces.is_empty()),
            (Err(Refused { refusal, addresses: Some((first, last)) }), Some((ip, reason))) => {
                prop_assert_eq!((refusal, first), (reason, ip));
                prop_assert!(first <= last && targets.contains(first) && targets.contains(last));
                let sets: Vec<_> = lists.iter().map(|(pieces, expires)| (set(pieces), *expires)).collect();
                prop_assert_eq!(naive(last, &sets, is_loopback), Some(refusal));
            }
            (answer, expected) => prop_assert!(false, "{answer:?} instead of {expected:?}"),
        }
    }
}
