//! Ways of targets from tables as kernels have them (SCAN-7).

use netlink_packet_route::AddressFamily;
use netlink_packet_route::route::{RouteAttribute, RouteMessage, RouteType};
use wirehaul_core::cdn::prefix::Prefix as Parsed;

use super::kernel::{Prefix, read_route};
use super::*;

const OURS: u32 = 2;
/// Nobody has so many.
const OTHER: u32 = 0x7fff_fff0;
const VLAN: u32 = 4;

fn v4(text: &str) -> Span<u32> {
    match Parsed::parse(text).unwrap() {
        Parsed::V4(span) => span,
        Parsed::V6(_) => panic!("{text}"),
    }
}

fn v6(text: &str) -> Span<u128> {
    match Parsed::parse(text).unwrap() {
        Parsed::V6(span) => span,
        Parsed::V4(_) => panic!("{text}"),
    }
}

fn known(prefix: &str, kind: Kind, interface: u32, gateway: Option<&str>) -> Known {
    let prefix = match Parsed::parse(prefix).unwrap() {
        Parsed::V4(span) => Prefix::V4(span),
        Parsed::V6(span) => Prefix::V6(span),
    };
    let gateway = gateway.map(|gateway| gateway.parse().unwrap());
    Known { prefix, metric: 0, way: Way { kind, interface: Some(interface), gateway, source: None } }
}

/// A host with a default route, a network on its link, a VLAN and another card.
fn host() -> Vec<Known> {
    vec![
        known("0.0.0.0/0", Kind::Unicast, OURS, Some("10.0.0.254")),
        known("10.0.0.0/24", Kind::Unicast, OURS, None),
        known("10.5.0.0/16", Kind::Unicast, VLAN, None),
        known("10.9.0.0/16", Kind::Unicast, OTHER, Some("10.8.0.1")),
        known("192.0.2.0/24", Kind::Nowhere, OURS, None),
        known("10.0.0.1", Kind::Local, OURS, None),
        known("10.0.0.255", Kind::NotUnicast, OURS, None),
        known("fe80::/64", Kind::Unicast, OTHER, None),
        known("fe80::/64", Kind::Unicast, OURS, None),
        known("fd74::/64", Kind::Unicast, OURS, None),
    ]
}

fn ours() -> Interface {
    Interface { name: "wire".to_owned(), index: OURS, is_up: true, is_ethernet: true, ..Interface::default() }
}

fn ports() -> Vec<Port> {
    let port = |index, vlan| Port { index, mac: MacAddress([2; 6]), vlan, link: LinkKind::Ethernet };
    vec![port(OURS, None), port(VLAN, Some(5))]
}

fn choose(targets: &[&str]) -> Result<Chosen, String> {
    let (mut of_v4, mut of_v6) = (Vec::new(), Vec::new());
    for target in targets {
        if target.contains(':') { of_v6.push(v6(target)) } else { of_v4.push(v4(target)) }
    }
    let ways = choice::Ways::of(&host(), Some(OURS));
    ways.choose(&ours(), &ports(), &of_v4, &of_v6).map_err(|faulty| in_words(faulty, &ours()).to_string())
}

#[test]
fn targets_take_the_longest_prefix_through_our_interface_and_its_vlans() {
    let chosen = choose(&["10.0.0.16/28", "10.5.1.0/24", "198.51.100.0/24", "fd74::/120"]).unwrap();
    let gateways: Vec<_> = chosen.ways.iter().map(|(way, _)| (way.interface, way.gateway)).collect();
    let router: IpAddr = "10.0.0.254".parse().unwrap();
    let expected = [(Some(OURS), None), (Some(VLAN), None), (Some(OURS), Some(router)), (Some(OURS), None)];
    // The link itself is one way for both families.
    assert_eq!(gateways, expected[..3], "{chosen:?}");
    assert_eq!(chosen.v4, [(v4("10.0.0.16/28"), 0), (v4("10.5.1.0/24"), 1), (v4("198.51.100.0/24"), 2)]);
    assert_eq!(chosen.v6, [(v6("fd74::/120"), 0)]);
    assert!(chosen.left_out.is_empty());
}

/// SCAN-7: who names the network on the link means its other hosts.
#[test]
fn this_host_and_broadcast_are_left_out_of_a_network_and_refused_alone() {
    let chosen = choose(&["10.0.0.0/24"]).unwrap();
    let left_out: Vec<_> = chosen.left_out.iter().map(ToString::to_string).collect();
    assert_eq!(left_out, ["10.0.0.1", "10.0.0.255"]);
    let expected = [Span { first: 0x0a00_0000, last: 0x0a00_0000 }, Span { first: 0x0a00_0002, last: 0x0a00_00fe }];
    assert_eq!(chosen.v4, expected.map(|span| (span, 0)));
    let error = choose(&["10.0.0.1"]).unwrap_err();
    assert!(error.contains("10.0.0.1 is this host") && error.contains("--iface lo"), "{error}");
    let error = choose(&["10.0.0.255"]).unwrap_err();
    assert!(error.contains("10.0.0.255 is the address of a whole network"), "{error}");
}

/// SCAN-7: the first targets that do not fit are named, and what to do.
#[test]
fn targets_elsewhere_or_nowhere_are_named() {
    let error = choose(&["10.0.0.2", "10.9.4.0/24"]).unwrap_err();
    assert!(
        error.starts_with("10.9.4.0-10.9.4.255 is reached through the interface with index 2147483632, not wire"),
        "{error}"
    );
    let error = choose(&["192.0.2.7"]).unwrap_err();
    assert!(error.starts_with("there is no route to 192.0.2.7"), "{error}");
    let error = choose(&["2001:db8::/64"]).unwrap_err();
    assert!(error.starts_with("there is no route to 2001:db8::-2001:db8::ffff:ffff:ffff:ffff"), "{error}");
    // A part of a span is enough.
    let error = choose(&["10.8.0.0/15"]).unwrap_err();
    assert!(error.starts_with("10.9.0.0-10.9.255.255 is reached through"), "{error}");
}

#[test]
fn link_local_addresses_are_on_the_interface_that_was_named() {
    let chosen = choose(&["fe80::1"]).unwrap();
    assert_eq!(chosen.ways[0].0.interface, Some(OURS));
}

#[test]
fn without_a_name_the_first_host_s_interface_is_taken() {
    let ways = choice::Ways::of(&host(), None);
    assert_eq!(ways.interface_of(&[v4("10.0.0.1"), v4("10.9.0.0/24")], &[]).unwrap(), OTHER);
    assert_eq!(ways.interface_of(&[v4("10.5.0.0/24")], &[]).unwrap(), VLAN);
    let lo = nix::net::if_::if_nametoindex("lo").unwrap();
    assert_eq!(ways.interface_of(&[v4("10.0.0.1")], &[]).unwrap(), lo);
    assert!(matches!(ways.interface_of(&[], &[v6("2001:db8::/64")]), Err(RouteError::NoRoute(_))));
    assert!(matches!(ways.interface_of(&[], &[]), Err(RouteError::NoRoute(_))));
}

#[test]
fn of_equal_prefixes_the_lower_metric_counts() {
    let worse = Known { metric: 100, ..known("10.0.0.0/8", Kind::Unicast, OTHER, None) };
    let better = Known { metric: 50, ..known("10.0.0.0/8", Kind::Unicast, OURS, None) };
    for routes in [[worse, better], [better, worse]] {
        assert_eq!(choice::Ways::of(&routes, None).interface_of(&[v4("10.1.0.0/16")], &[]).unwrap(), OURS);
    }
}

#[test]
fn routes_of_other_tables_are_not_asked() {
    let message = |table, kind| {
        let mut message = RouteMessage::default();
        message.header.address_family = AddressFamily::Inet;
        message.header.kind = kind;
        message.header.table = 254;
        message.attributes = vec![RouteAttribute::Table(table), RouteAttribute::Oif(OURS)];
        message
    };
    let mut found = Vec::new();
    read_route(&message(1000, RouteType::Unicast), &mut found);
    assert!(found.is_empty());
    read_route(&message(254, RouteType::BlackHole), &mut found);
    let everything = Prefix::V4(Span { first: 0, last: u32::MAX });
    assert_eq!((found[0].prefix, found[0].way.kind, found[0].way.interface), (everything, Kind::Nowhere, Some(OURS)));
}
