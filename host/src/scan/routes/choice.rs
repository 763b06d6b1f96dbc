//! Which interface the targets leave by, and whether all of them do.

use std::collections::BTreeMap;

use wirehaul_core::cdn::prefix::{Address, Span};
use wirehaul_core::scan::routes::{Route, flatten};

use super::kernel::{Kind, Known, Prefix, Way};
use super::{Port, RouteError, Targets};
use crate::interface::Interface;

/// The ways of both families, cut into disjoint spans.
pub(super) struct Ways {
    ways: Vec<Way>,
    v4: Vec<(Span<u32>, u16)>,
    v6: Vec<(Span<u128>, u16)>,
}

/// Targets that cannot be surveyed, and their way, if they have one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Faulty {
    pub(super) targets: Targets,
    pub(super) way: Option<Way>,
}

/// The ways that targets take: spans with the place of each in the list, which has some of its targets beside it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Chosen {
    pub(super) v4: Vec<(Span<u32>, u16)>,
    pub(super) v6: Vec<(Span<u128>, u16)>,
    pub(super) ways: Vec<(Way, Targets)>,
    pub(super) left_out: Vec<Targets>,
}

impl Ways {
    /// Of equal prefixes the one with the lowest metric counts; of those that every interface has, as link-local ones are, that
    /// of `named`.
    pub(super) fn of(routes: &[Known], named: Option<u32>) -> Self {
        let mut best: BTreeMap<Prefix, (bool, u32, Way)> = BTreeMap::new();
        for Known { prefix, metric, way } in routes {
            let is_everywhere = matches!(prefix, Prefix::V6(span) if span.first >> 118 == 0xfe80 >> 6);
            let is_last = is_everywhere && named.is_some() && way.interface != named;
            let rank = (is_last, *metric, *way);
            best.entry(*prefix).and_modify(|known| *known = (*known).min(rank)).or_insert(rank);
        }
        let mut ways = Vec::new();
        let (mut v4, mut v6) = (Vec::new(), Vec::new());
        for (prefix, (_, _, way)) in best {
            let known = ways.iter().position(|known| *known == way);
            let place = known.unwrap_or_else(|| {
                ways.push(way);
                ways.len() - 1
            });
            // A host with more ways than numbers has all but these in vain.
            let Ok(place) = u16::try_from(place) else { continue };
            match prefix {
                Prefix::V4(span) => v4.push(Route { span, way: place }),
                Prefix::V6(span) => v6.push(Route { span, way: place }),
            }
        }
        let mut found = Self { ways, v4: Vec::new(), v6: Vec::new() };
        flatten(&mut v4, |span, way| found.v4.push((span, way)));
        flatten(&mut v6, |span, way| found.v6.push((span, way)));
        found
    }

    /// The interface that the first target leaves by that is a host; of one that is this host, loopback.
    pub(super) fn interface_of(&self, v4: &[Span<u32>], v6: &[Span<u128>]) -> Result<u32, RouteError> {
        let mut first = None;
        let mut elsewhere = None;
        let mut local = None;
        let mut look = |targets: Targets, way: Option<u16>| {
            first.get_or_insert(targets);
            let way = way.and_then(|way| self.ways.get(usize::from(way)));
            match way {
                Some(Way { kind: Kind::Unicast, interface: Some(index), .. }) => elsewhere.get_or_insert(*index),
                Some(Way { kind: Kind::Local, interface: Some(index), .. }) => local.get_or_insert(*index),
                _ => return,
            };
        };
        parts(v4, &self.v4, |_, part, way| look(Targets::of(part), way));
        parts(v6, &self.v6, |_, part, way| look(Targets::of(part), way));
        if let Some(index) = elsewhere {
            return Ok(index);
        }
        match (local, first) {
            // Whatever interface has the address: packets to it go through loopback.
            (Some(_), _) => nix::net::if_::if_nametoindex("lo").map_err(|errno| RouteError::Kernel(errno.into())),
            (None, Some(targets)) => Err(RouteError::NoRoute(targets)),
            (None, None) => Err(RouteError::NoRoute(Targets {
                first: std::net::Ipv4Addr::UNSPECIFIED.into(),
                last: std::net::Ipv4Addr::BROADCAST.into(),
            })),
        }
    }

    /// The ways of targets through this interface and the VLANs on it.
    pub(super) fn choose(
        &self,
        interface: &Interface,
        ports: &[Port],
        v4: &[Span<u32>],
        v6: &[Span<u128>],
    ) -> Result<Chosen, Faulty> {
        let is_ours = |way: &Way| match way.kind {
            Kind::Unicast => ports.iter().any(|port| way.interface == Some(port.index)),
            Kind::Local => interface.is_loopback,
            Kind::NotUnicast | Kind::Nowhere => false,
        };
        let mut chosen = Chosen::default();
        let mut numbers = BTreeMap::new();
        let spans = self.choose_of(v4, &self.v4, is_ours, interface, &mut chosen, &mut numbers)?;
        chosen.v4 = spans;
        let spans = self.choose_of(v6, &self.v6, is_ours, interface, &mut chosen, &mut numbers)?;
        chosen.v6 = spans;
        Ok(chosen)
    }

    fn choose_of<A: Address>(
        &self,
        targets: &[Span<A>],
        spans: &[(Span<A>, u16)],
        is_ours: impl Fn(&Way) -> bool,
        interface: &Interface,
        chosen: &mut Chosen,
        numbers: &mut BTreeMap<u16, u16>,
    ) -> Result<Vec<(Span<A>, u16)>, Faulty> {
        let mut found: Vec<(Span<A>, u16)> = Vec::new();
        let mut faulty = None;
        parts(targets, spans, |whole, part, number| {
            let way = number.and_then(|number| Some((number, self.ways.get(usize::from(number))?)));
            match way {
                Some((number, way)) if is_ours(way) => {
                    let place = *numbers.entry(number).or_insert_with(|| {
                        let mut way = *way;
                        if interface.is_loopback {
                            way.interface = Some(interface.index);
                        }
                        chosen.ways.push((way, Targets::of(part)));
                        (chosen.ways.len() - 1) as u16
                    });
                    match found.last_mut() {
                        Some((last, same)) if *same == place && last.last.next() == Some(part.first) => {
                            last.last = part.last
                        }
                        _ => found.push((part, place)),
                    }
                }
                // Who names a network means its hosts.
                Some((_, Way { kind: Kind::Local | Kind::NotUnicast, .. })) if part != whole => {
                    chosen.left_out.push(Targets::of(part));
                }
                way => {
                    faulty.get_or_insert(Faulty { targets: Targets::of(part), way: way.map(|(_, way)| *way) });
                }
            }
        });
        faulty.map_or(Ok(found), Err)
    }
}

/// Hands out the targets cut where their ways change: the whole span, the part, and the way if there is one.
fn parts<A: Address>(
    targets: &[Span<A>],
    spans: &[(Span<A>, u16)],
    mut each: impl FnMut(Span<A>, Span<A>, Option<u16>),
) {
    for target in targets {
        let mut at = spans.partition_point(|(span, _)| span.last < target.first);
        let mut from = Some(target.first);
        while let Some(first) = from.filter(|first| *first <= target.last) {
            let (last, way) = match spans.get(at) {
                Some((span, way)) if span.first <= first => {
                    at += 1;
                    (span.last, Some(*way))
                }
                Some((span, _)) => (span.first.previous().unwrap_or(span.first), None),
                None => (target.last, None),
            };
            let last = last.min(target.last);
            each(*target, Span { first, last }, way);
            from = last.next();
        }
    }
}
