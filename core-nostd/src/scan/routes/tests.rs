//! Ways of addresses, against a search for the longest prefix (SCAN-7).

extern crate std;

use std::vec::Vec;

use super::*;

fn span(first: [u8; 4], last: [u8; 4]) -> Span<u32> {
    Span { first: u32::from_be_bytes(first), last: u32::from_be_bytes(last) }
}

fn flat<A: Address>(routes: &[Route<A>]) -> Vec<(Span<A>, u16)> {
    let (mut routes, mut out) = (routes.to_vec(), Vec::new());
    flatten(&mut routes, |span, way| out.push((span, way)));
    out
}

fn hop(last: u8) -> Hop {
    Hop {
        gateway: None,
        source: IpAddr::from([10, 0, 0, last]),
        ether_source: MacAddress([2, 0, 0, 0, 0, last]),
        vlan: None,
        link: LinkKind::Ethernet,
    }
}

#[test]
fn the_longest_prefix_wins_and_what_is_around_it_goes_on_behind_it() {
    let default = Route { span: span([0; 4], [255; 4]), way: 0 };
    let ten = Route { span: span([10, 0, 0, 0], [10, 255, 255, 255]), way: 1 };
    let host = Route { span: span([10, 1, 2, 3], [10, 1, 2, 3]), way: 2 };
    let expected = [
        (span([0; 4], [9, 255, 255, 255]), 0),
        (span([10, 0, 0, 0], [10, 1, 2, 2]), 1),
        (host.span, 2),
        (span([10, 1, 2, 4], [10, 255, 255, 255]), 1),
        (span([11, 0, 0, 0], [255; 4]), 0),
    ];
    for routes in [[default, ten, host], [host, ten, default], [ten, default, host]] {
        assert_eq!(flat(&routes), expected);
    }
}

#[test]
fn neighbours_of_one_way_are_one_span_and_of_equal_prefixes_the_lower_way_counts() {
    let low = Route { span: span([10, 0, 0, 0], [10, 0, 0, 127]), way: 4 };
    let high = Route { span: span([10, 0, 0, 128], [10, 0, 0, 255]), way: 4 };
    assert_eq!(flat(&[high, low]), [(span([10, 0, 0, 0], [10, 0, 0, 255]), 4)]);
    let worse = Route { way: 9, ..low };
    assert_eq!(flat(&[low, worse]), [(low.span, 4)]);
    assert_eq!(flat(&[worse, low]), [(low.span, 4)]);
    assert_eq!(flat::<u32>(&[]), []);
}

#[test]
fn both_ends_of_the_address_space_are_reached() {
    let all = Route { span: Span { first: 0, last: u128::MAX }, way: 0 };
    let last = Route { span: Span { first: u128::MAX, last: u128::MAX }, way: 1 };
    let first = Route { span: Span { first: 0, last: 0 }, way: 2 };
    let expected = [(first.span, 2), (Span { first: 1, last: u128::MAX - 1 }, 0), (last.span, 1)];
    assert_eq!(flat(&[all, last, first]), expected);
}

/// Every set of prefixes of a small space: what comes out is sorted, disjoint, and says of each address what a search says.
#[test]
fn any_prefixes_come_out_as_a_search_finds_them() {
    let mut state = 7_u64;
    let mut draw = |below: u64| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 33) % below
    };
    for _ in 0..3000 {
        let count = draw(9);
        let routes: Vec<Route<u32>> = (0..count)
            .map(|way| {
                let bits = draw(7) as u32;
                let first = (draw(64) as u32 >> bits) << bits;
                Route { span: Span { first, last: first + (1 << bits) - 1 }, way: way as u16 }
            })
            .collect();
        let found = flat(&routes);
        let hops: Vec<_> = (0..9).map(hop).collect();
        let table = Routes::new(&found, &[], &hops).unwrap();
        for address in 0..130_u32 {
            let around = routes.iter().filter(|route| route.span.contains(address));
            let best = around.min_by_key(|route| (route.span.last - route.span.first, route.way));
            let expected = best.map(|route| &hops[usize::from(route.way)]);
            assert_eq!(table.to(std::net::Ipv4Addr::from(address).into()), expected, "{address} {routes:?}");
        }
        assert!(found.len() <= 2 * routes.len());
    }
}

#[test]
fn tables_that_make_no_sense_are_none() {
    let hops = [hop(1)];
    let (low, high) = (span([10, 0, 0, 0], [10, 0, 0, 9]), span([10, 0, 0, 9], [10, 0, 1, 0]));
    assert!(Routes::new(&[(low, 0)], &[], &hops).is_some());
    assert!(Routes::new(&[(low, 1)], &[], &hops).is_none(), "no such hop");
    assert!(Routes::new(&[(low, 0), (high, 0)], &[], &hops).is_none(), "they overlap");
    assert!(Routes::new(&[(high, 0), (low, 0)], &[], &hops).is_none(), "they are not sorted");
    let turned = Span { first: 2_u128, last: 1 };
    assert!(Routes::new(&[], &[(turned, 0)], &hops).is_none());
}

#[test]
fn families_are_apart() {
    let hops = [hop(1), hop(2)];
    let (v4, v6) = ([(span([0; 4], [255; 4]), 0)], [(Span { first: 0_u128, last: 15 }, 1)]);
    let routes = Routes::new(&v4, &v6, &hops).unwrap();
    assert_eq!(routes.to("192.0.2.1".parse().unwrap()), Some(&hops[0]));
    assert_eq!(routes.to("::7".parse().unwrap()), Some(&hops[1]));
    assert_eq!(routes.to("::17".parse().unwrap()), None);
    assert_eq!(routes.hops().len(), 2);
}
