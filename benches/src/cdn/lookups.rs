//! A look into the tables for one address, next to a linear scan, a table of `ip_network_table` and a trie of `prefix-trie` that hold
//! the same prefixes.

use std::hint::black_box;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ip_network::{Ipv4Network, Ipv6Network};
use ip_network_table::IpNetworkTable;
use prefix_trie::PrefixMap;
use serde::Serialize;
use wirehaul_core::cdn::prefix::{Address, Span};
use wirehaul_core::cdn::table::Table;
use wirehaul_core::cdn_data::EMBEDDED;

use super::{next_random, random_below};
use crate::clock::Stopwatch;
use crate::stats::median;

/// Looks per contestant and round; the linear scan gets fewer.
const LOOKS: usize = 1 << 20;
const LINEAR_LOOKS: usize = 1 << 13;

/// Who looks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Contestant {
    /// The tables that ship.
    Wirehaul,
    /// One segment after the other.
    LinearScan,
    /// The crate of that name.
    IpNetworkTable,
    /// The crate of that name.
    PrefixTrie,
}

/// All of them, ours first.
pub const CONTESTANTS: [Contestant; 4] =
    [Contestant::Wirehaul, Contestant::LinearScan, Contestant::IpNetworkTable, Contestant::PrefixTrie];

impl Contestant {
    /// For people.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Wirehaul => "wirehaul",
            Self::LinearScan => "linear scan",
            Self::IpNetworkTable => "ip_network_table",
            Self::PrefixTrie => "prefix-trie",
        }
    }
}

/// Which addresses are looked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Load {
    /// Any; few are on a list.
    Any,
    /// Each is in a segment of which something is known; every segment is as likely as any other.
    Listed,
}

/// What one contestant took for one load.
#[derive(Clone, Debug, Serialize)]
pub struct Cost {
    /// Who.
    pub contestant: Contestant,
    /// 4 or 6.
    pub family: u8,
    /// Which addresses.
    pub load: Load,
    /// Nanoseconds a look, median of the rounds.
    pub nanos: f64,
    /// Millions of looks a second.
    pub millions_per_s: f64,
    /// How many times as fast ours is.
    pub ours_is_faster_by: f64,
}

/// Everybody looks in turns, `rounds` times; all answers are compared first.
pub fn measure(rounds: usize, seed: u64) -> Vec<Cost> {
    let mut costs = Vec::new();
    for load in [Load::Any, Load::Listed] {
        costs.extend(measure_family(&Rivals::v4(), &EMBEDDED.v4, load, rounds, seed));
        costs.extend(measure_family(&Rivals::v6(), &EMBEDDED.v6, load, rounds, seed));
    }
    costs
}

/// The same segments in the structures of others.
struct Rivals<A, P> {
    segments: Vec<(Span<A>, u16)>,
    table: IpNetworkTable<u16>,
    trie: PrefixMap<P, u16>,
    as_prefix: fn(A) -> P,
}

impl Rivals<u32, (u32, u8)> {
    fn v4() -> Self {
        let segments: Vec<_> = EMBEDDED.v4.iter().collect();
        let (mut table, mut trie) = (IpNetworkTable::new(), PrefixMap::new());
        for (first, length, value) in prefixes(&segments) {
            let network = Ipv4Network::new(Ipv4Addr::from(first), length as u8);
            network.map(|network| table.insert(network, value)).ok();
            trie.insert((first, length as u8), value);
        }
        Self { segments, table, trie, as_prefix: |address| (address, 32) }
    }
}

impl Rivals<u128, (u128, u8)> {
    fn v6() -> Self {
        let segments: Vec<_> = EMBEDDED.v6.iter().collect();
        let (mut table, mut trie) = (IpNetworkTable::new(), PrefixMap::new());
        for (first, length, value) in prefixes(&segments) {
            let network = Ipv6Network::new(Ipv6Addr::from(first), length as u8);
            network.map(|network| table.insert(network, value)).ok();
            trie.insert((first, length as u8), value);
        }
        Self { segments, table, trie, as_prefix: |address| (address, 128) }
    }
}

/// The prefixes that make up the segments: lowest address, length, value.
fn prefixes<A: Address>(segments: &[(Span<A>, u16)]) -> Vec<(A, u32, u16)> {
    let mut found = Vec::new();
    for (span, value) in segments {
        let mut at = Some(span.first);
        while let Some(first) = at.filter(|first| *first <= span.last) {
            let (block, length) = Span { first, last: span.last }.prefix_around(first);
            found.push((block, length, *value));
            at = block.with_low_bits(A::BITS - length).next();
        }
    }
    found
}

fn measure_family<A, P>(
    rivals: &Rivals<A, P>,
    ours: &Table<'_, A, u16>,
    load: Load,
    rounds: usize,
    seed: u64,
) -> Vec<Cost>
where
    A: Address + TryFrom<u128>,
    P: prefix_trie::Prefix,
{
    let asked = addresses(&rivals.segments, load, seed);
    let ips: Vec<IpAddr> = asked.iter().map(|address| address.ip()).collect();
    let keys: Vec<P> = asked.iter().map(|address| (rivals.as_prefix)(*address)).collect();
    let by_us = |at: usize| ours.get(asked[at]);
    let by_scan = |at: usize| {
        let found = rivals.segments.iter().find(|(span, _)| span.contains(asked[at]));
        found.map_or(0, |(_, value)| *value)
    };
    let by_table = |at: usize| rivals.table.longest_match(ips[at]).map_or(0, |(_, value)| *value);
    let by_trie = |at: usize| rivals.trie.get_lpm(&keys[at]).map_or(0, |(_, value)| *value);
    for at in (0..LOOKS).step_by(257) {
        let answers = [by_us(at), by_scan(at), by_table(at), by_trie(at)];
        assert!(answers.iter().all(|answer| *answer == answers[0]), "{answers:?} for {:?}", asked[at]);
    }
    let mut nanos = [const { Vec::new() }; CONTESTANTS.len()];
    for _ in 0..rounds.max(1) {
        for (taken, contestant) in nanos.iter_mut().zip(CONTESTANTS) {
            taken.push(match contestant {
                Contestant::Wirehaul => timed(LOOKS, by_us),
                Contestant::LinearScan => timed(LINEAR_LOOKS, by_scan),
                Contestant::IpNetworkTable => timed(LOOKS, by_table),
                Contestant::PrefixTrie => timed(LOOKS, by_trie),
            });
        }
    }
    let medians = nanos.map(|taken| median(&taken).unwrap_or(f64::NAN));
    let cost = |(contestant, nanos): (Contestant, f64)| Cost {
        contestant,
        family: if A::BITS == 32 { 4 } else { 6 },
        load,
        nanos,
        millions_per_s: 1e3 / nanos,
        ours_is_faster_by: nanos / medians[0],
    };
    CONTESTANTS.into_iter().zip(medians).map(cost).collect()
}

fn addresses<A: Address + TryFrom<u128>>(segments: &[(Span<A>, u16)], load: Load, seed: u64) -> Vec<A> {
    let mut state = seed;
    let any = |state: &mut u64| {
        let wide = random_below(state, u128::MAX);
        // Of IPv6 those that can be anybody's: 2000::/3.
        let wide = if A::BITS == 32 { wide >> 96 } else { wide >> 3 | 1 << 125 };
        A::try_from(wide).unwrap_or(A::ZERO)
    };
    let listed = |state: &mut u64| {
        let (span, _) = segments[next_random(state) as usize % segments.len()];
        let far = any(state);
        // Somewhere in the span: the random bits below those that its ends share.
        let bits = span.first.highest_difference(span.last).map_or(0, |bit| bit + 1);
        let low = far.highest_difference(far.without_low_bits(bits)).map_or(A::ZERO, |_| far);
        let candidate = splice(span.first, low, bits);
        if span.contains(candidate) { candidate } else { span.first }
    };
    (0..LOOKS).map(|_| if load == Load::Any { any(&mut state) } else { listed(&mut state) }).collect()
}

/// The high bits of one address with the low bits of another.
fn splice<A: Address + TryFrom<u128>>(high: A, low: A, bits: u32) -> A {
    let number = |address: A| match address.ip() {
        IpAddr::V4(ip) => u128::from(u32::from(ip)),
        IpAddr::V6(ip) => u128::from(ip),
    };
    let mask = 1_u128.checked_shl(bits).map_or(u128::MAX, |bit| bit - 1);
    A::try_from(number(high) & !mask | number(low) & mask).unwrap_or(high)
}

/// Nanoseconds for each of so many looks.
fn timed(looks: usize, look: impl Fn(usize) -> u16) -> f64 {
    let watch = Stopwatch::start();
    let mut sum = 0_u64;
    for at in 0..looks {
        sum = sum.wrapping_add(u64::from(look(at)));
    }
    black_box(sum);
    watch.elapsed().as_nanos() as f64 / looks as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rivals_hold_what_the_tables_hold() {
        let rivals = Rivals::v4();
        let inside = prefixes(&rivals.segments);
        assert_eq!(rivals.table.len().0, inside.len());
        for (first, length, value) in inside {
            let last = first.with_low_bits(32 - length);
            assert_eq!((EMBEDDED.v4.get(first), EMBEDDED.v4.get(last)), (value, value));
        }
    }

    #[test]
    fn listed_addresses_are_listed() {
        for address in addresses(&Rivals::v6().segments, Load::Listed, 1).iter().take(5_000) {
            assert_ne!(EMBEDDED.v6.get(*address), 0);
        }
        for address in addresses(&Rivals::v4().segments, Load::Listed, 1).iter().take(5_000) {
            assert_ne!(EMBEDDED.v4.get(*address), 0);
        }
    }
}
