//! Ways of targets as this machine's kernel has them: SCAN-7.

use std::net::IpAddr;

use wirehaul::scan::routes::{RouteError, RouteTable};
use wirehaul_core::cdn::prefix::{Prefix, Span};
use wirehaul_core::scan::LinkKind;
use wirehaul_core::wire::net::MacAddress;

use crate::machine::{Namespace, enter, is_privileged};
use crate::on_a_thread;

/// Runs `test` in a namespace with two links: `wire` (10.74.0.1/24, fd74::1/64, a default route by 10.74.0.254) and `other`
/// (10.75.0.1/24).
fn in_a_network(name: &str, test: impl FnOnce() + Send + 'static) {
    if !is_privileged(name) {
        return;
    }
    let (here, there) = (Namespace::new(), Namespace::new());
    for (link, addresses) in [("wire", &["10.74.0.1/24", "fd74::1/64"][..]), ("other", &["10.75.0.1/24"])] {
        here.join(link, &there, link, 1);
        here.set_up(link, addresses, 1500);
        there.set_up(link, &[], 1500);
    }
    here.ip(&["link", "set", "wire", "address", "02:00:00:00:74:01"]);
    here.ip(&["route", "add", "default", "via", "10.74.0.254"]);
    here.ip(&["route", "add", "198.51.100.0/24", "via", "10.75.0.7", "src", "10.75.0.1"]);
    here.ip(&["route", "add", "unreachable", "192.0.2.0/24"]);
    here.ip(&["neighbour", "add", "10.74.0.254", "lladdr", "02:00:00:00:74:fe", "dev", "wire", "nud", "permanent"]);
    let inside = here.name().to_owned();
    on_a_thread(move || {
        enter(&inside);
        test();
    });
}

fn spans(targets: &[&str]) -> (Vec<Span<u32>>, Vec<Span<u128>>) {
    let (mut v4, mut v6) = (Vec::new(), Vec::new());
    for target in targets {
        match Prefix::parse(target).unwrap() {
            Prefix::V4(span) => v4.push(span),
            Prefix::V6(span) => v6.push(span),
        }
    }
    (v4, v6)
}

fn find(name: Option<&str>, targets: &[&str]) -> Result<RouteTable, RouteError> {
    let (v4, v6) = spans(targets);
    RouteTable::find(name, &v4, &v6)
}

fn ip(text: &str) -> IpAddr {
    text.parse().unwrap()
}

#[test]
fn targets_on_the_link_and_behind_a_router_have_their_ways() {
    in_a_network("ways of targets", || {
        let table = find(None, &["10.74.0.0/24", "203.0.113.0/24", "fd74::/112"]).unwrap();
        assert_eq!(table.interface().name, "wire");
        let routes = table.routes().unwrap();
        let on_link = routes.to(ip("10.74.0.9")).unwrap();
        assert_eq!((on_link.gateway, on_link.source, on_link.vlan), (None, ip("10.74.0.1"), None));
        assert_eq!((on_link.link, on_link.ether_source), (LinkKind::Ethernet, MacAddress([2, 0, 0, 0, 0x74, 1])));
        let behind = routes.to(ip("203.0.113.77")).unwrap();
        assert_eq!((behind.gateway, behind.source), (Some(ip("10.74.0.254")), ip("10.74.0.1")));
        let v6 = routes.to(ip("fd74::77")).unwrap();
        assert_eq!((v6.gateway, v6.source), (None, ip("fd74::1")));
        // This host and the broadcast address are no targets, and nobody else is either.
        let left_out: Vec<_> = table.left_out().iter().map(ToString::to_string).collect();
        assert_eq!(left_out[..2], ["10.74.0.1", "10.74.0.255"], "{left_out:?}");
        assert!(left_out.contains(&"fd74::1".to_owned()), "{left_out:?}");
        for nobody in ["10.74.0.1", "10.74.0.255", "203.0.114.1", "fd74::1"] {
            assert_eq!(routes.to(ip(nobody)), None, "{nobody}");
        }
        assert_eq!(table.sources(), [ip("10.74.0.1"), ip("fd74::1")]);
        assert!(table.pinned().contains(&(ip("10.74.0.254"), MacAddress([2, 0, 0, 0, 0x74, 0xfe]))));
    });
}

#[test]
fn targets_elsewhere_are_named_with_what_to_do() {
    in_a_network("targets elsewhere", || {
        let error = find(None, &["10.74.0.7", "198.51.100.9"]).unwrap_err().to_string();
        assert!(error.starts_with("198.51.100.9 is reached through other, not wire"), "{error}");
        assert!(error.contains("--iface other"), "{error}");
        let error = find(Some("wire"), &["10.75.0.4"]).unwrap_err().to_string();
        assert!(error.starts_with("10.75.0.4 is reached through other, not wire"), "{error}");
        let error = find(None, &["192.0.2.0/30"]).unwrap_err();
        assert!(matches!(error, RouteError::NoRoute(_)), "{error}");
        let error = find(None, &["2001:db8::1"]).unwrap_err();
        assert!(matches!(error, RouteError::NoRoute(_)), "{error}");
        let error = find(Some("wire"), &["10.74.0.1"]).unwrap_err();
        assert!(matches!(error, RouteError::Local(_)), "{error}");
        let error = find(Some("nowhere"), &["10.74.0.1"]).unwrap_err();
        assert!(matches!(error, RouteError::Interface(_)), "{error}");
        let table = find(None, &["198.51.100.0/24"]).unwrap();
        let hop = *table.routes().unwrap().to(ip("198.51.100.1")).unwrap();
        assert_eq!((hop.gateway, hop.source), (Some(ip("10.75.0.7")), ip("10.75.0.1")));
    });
}

#[test]
fn this_host_is_reached_through_loopback() {
    in_a_network("this host", || {
        let table = find(None, &["127.0.0.0/30", "::1"]).unwrap();
        assert_eq!(table.interface().name, "lo");
        let routes = table.routes().unwrap();
        let hop = routes.to(ip("::1")).unwrap();
        assert_eq!((hop.source, hop.link, hop.ether_source), (ip("::1"), LinkKind::Ethernet, MacAddress::default()));
        assert_eq!(hop.gateway, Some(ip("::1")), "whose address is known");
        assert!(table.pinned().contains(&(ip("::1"), MacAddress::default())));
        assert_eq!(routes.to(ip("127.0.0.2")).unwrap().source, ip("127.0.0.1"));
        let table = find(None, &["10.74.0.1"]).unwrap();
        assert_eq!(table.interface().name, "lo");
    });
}
