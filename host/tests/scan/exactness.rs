//! What is found is what is there: no more, and no less.

use std::net::IpAddr;

use crate::common::machine::{has_xdp, is_privileged};
use crate::common::{alone, shared};
use crate::frames::Mac;
use crate::responder::World;
use crate::rig::{Rig, addresses, probes};
use crate::world::{Asked, Conduct, varied};

/// One of each protocol.
const EACH: &[(&str, u16)] = &[("tcp", 80), ("udp", 53), ("icmp", 0)];
const EACH_TEXT: &str = "80,udp:53,icmp";
/// Beyond the latest of the late, and short enough for a test.
const PATIENT: &[&str] = &["--subnet-rate", "unlimited", "--cooldown", "2500ms"];

/// Scans what is in `targets` for one of each protocol, and holds what is found against the world and what the program says it sent
/// against what arrived.
#[track_caller]
fn assert_exact(rig: &Rig, targets: &[&str], expected: &[IpAddr], options: &[&str]) {
    let (found, finished) = rig.scan(&[targets, &["-p", EACH_TEXT], PATIENT, options].concat());
    let expected = probes(expected, EACH);
    found.assert_exactly(varied, expected.iter().copied());
    let log = rig.responder.log();
    let missing: Vec<_> = expected.iter().filter(|asked| !log.probes.contains_key(asked)).take(4).collect();
    assert!(missing.is_empty(), "not asked: {missing:?}");
    assert_eq!(log.count(), expected.len(), "each once, and nobody else");
    assert_eq!(log.misdirected, 0, "probes went to others than their targets' hosts");
    let summary = finished.summary();
    assert_eq!(summary["sent"], expected.len(), "{summary}");
}

/// SCAN-1, SCAN-2, SCAN-3, SCAN-7: a network of 65,536 addresses behind a gateway, with all kinds of answers, true and false.
#[test]
fn a_slash_16_behind_a_gateway() {
    let _guard = alone();
    if !is_privileged("a survey of a /16") {
        return;
    }
    let rig = Rig::new(varied, 1);
    assert_exact(&rig, &["10.20.0.0/16"], &addresses("10.20.0.0", 1 << 16), &["--rate", "40k"]);
    let solicited = rig.responder.log().solicited;
    let is_target = |ip: &IpAddr| crate::frames::octets(*ip).starts_with(&[10, 20]);
    assert!(!solicited.keys().any(is_target), "only the gateway has to be asked for: {solicited:?}");
}

/// SCAN-1, SCAN-7: IPv6 behind a gateway.
#[test]
fn ipv6_behind_a_gateway() {
    let _guard = shared();
    if !is_privileged("a survey of IPv6") {
        return;
    }
    let rig = Rig::new(varied, 1);
    assert_exact(&rig, &["fd20::7:0/117"], &addresses("fd20::7:0", 2048), &["--rate", "10k"]);
}

/// SCAN-3: targets of several forms that overlap are asked once, exclusions left out.
#[test]
fn overlapping_targets_count_once_and_exclusions_not_at_all() {
    let _guard = shared();
    if !is_privileged("a survey of overlapping targets") {
        return;
    }
    let rig = Rig::new(varied, 1);
    let list = rig.write("targets", "# a comment\n10.20.1.0/25\n10.20.1.64-10.20.1.200\n\n10.20.1.7\n");
    let exclude = rig.write("exclude", "10.20.1.100-10.20.1.109  # no\n");
    let expected: Vec<_> =
        addresses("10.20.1.0", 201).into_iter().filter(|ip| !addresses("10.20.1.100", 10).contains(ip)).collect();
    let options = ["-f", list.to_str().unwrap(), "--exclude-file", exclude.to_str().unwrap(), "--rate", "10k"];
    assert_exact(&rig, &["10.20.1.0/26"], &expected, &options);
}

/// SCAN-3: every port of one host.
#[test]
fn every_port_of_a_host() {
    let _guard = alone();
    if !is_privileged("a survey of all ports") {
        return;
    }
    let rig = Rig::new(varied, 1);
    let (found, _) = rig.scan(&[&["10.20.3.4", "-p", "1-65535", "--rate", "40k"], PATIENT].concat());
    let target = "10.20.3.4".parse().unwrap();
    let expected: Vec<_> = (1..=u16::MAX).map(|port| Asked { target, protocol: "tcp", port }).collect();
    found.assert_exactly(varied, expected.iter().copied());
    assert_eq!(rig.responder.count(), expected.len());
}

/// The link-layer address of an on-link host; some have none, which is to say that nobody is there.
fn on_link(ip: IpAddr) -> Option<Option<Mac>> {
    let bytes = match ip {
        IpAddr::V4(ip) => u32::from(ip),
        IpAddr::V6(ip) => u128::from(ip) as u32,
    };
    let [a, b, c, d] = bytes.to_be_bytes();
    (!bytes.is_multiple_of(5)).then_some(Some([2, 0x74, a, b, c, d]))
}

fn where_there(asked: Asked) -> Conduct {
    if on_link(asked.target).is_some() { varied(asked) } else { Conduct::Silent }
}

/// SCAN-7: hosts on the link have link-layer addresses of their own, by ARP and neighbour discovery; nobody is asked who has none.
#[test]
fn hosts_on_the_link_are_asked_at_their_own_addresses() {
    let _guard = shared();
    if !is_privileged("a survey of the link") {
        return;
    }
    for (target, first, count) in [("10.74.4.0/22", "10.74.4.0", 1024), ("fd74::4:0/119", "fd74::4:0", 512)] {
        let rig = Rig::of_world(World { conduct: where_there, neighbours: on_link }, 1, 0);
        let (found, finished) = rig.scan(&[&[target, "-p", EACH_TEXT, "--rate", "5k"], PATIENT].concat());
        let expected = probes(&addresses(first, count), EACH);
        found.assert_exactly(where_there, expected.iter().copied());
        let log = rig.responder.log();
        let there = expected.iter().filter(|asked| on_link(asked.target).is_some());
        let missing: Vec<_> = there.clone().filter(|asked| !log.probes.contains_key(asked)).take(4).collect();
        assert!(missing.is_empty(), "not asked: {missing:?}");
        assert_eq!((log.count(), log.misdirected), (there.count(), 0));
        let often: Vec<_> = log.solicited.iter().filter(|(_, times)| **times > 8).collect();
        assert!(often.is_empty(), "asked for again and again: {often:?}");
        assert_eq!(finished.summary()["sent"], log.count());
    }
}

/// SCAN-1: whichever way packets travel, the same is found.
#[test]
fn every_transport_finds_the_same() {
    let _guard = shared();
    if !has_xdp("surveys through AF_XDP") {
        return;
    }
    for transport in ["xdp-copy", "xdp-skb", "packet"] {
        let rig = Rig::new(varied, 1);
        let options = ["--rate", "10k", "--iface", "wire", "--transport", transport];
        assert_exact(&rig, &["10.20.8.0/23", "fd20::8:0/119"], &both(), &options);
    }
}

/// The addresses of 10.20.8.0/23 and fd20::8:0/119.
fn both() -> Vec<IpAddr> {
    [addresses("10.20.8.0", 512), addresses("fd20::8:0", 512)].concat()
}

/// SCAN-2, SCAN-9: with two queues and two workers the set is the same, each once.
#[test]
fn two_queues_share_the_work() {
    let _guard = shared();
    if !has_xdp("a survey through two queues") {
        return;
    }
    for transport in ["xdp-copy", "packet"] {
        let rig = Rig::new(varied, 2);
        let options = ["--rate", "10k", "--iface", "wire", "--transport", transport, "--workers", "2"];
        assert_exact(&rig, &["10.20.8.0/23", "fd20::8:0/119"], &both(), &options);
    }
}

/// SCAN-7: a link that carries IP packets as they are.
#[test]
fn a_tunnel_without_link_layer_addresses() {
    let _guard = shared();
    if !is_privileged("a survey through a tunnel") {
        return;
    }
    let rig = Rig::tunnel(varied);
    assert_exact(&rig, &["10.20.8.0/22"], &addresses("10.20.8.0", 1024), &["--rate", "10k"]);
}

/// CDN-8, SCAN-8: rows say whose edge a target is, and with `--skip-cdn` edges are not asked at all.
#[test]
fn edges_are_told_or_left_out() {
    let _guard = shared();
    if !is_privileged("a survey of edges") {
        return;
    }
    let rig = Rig::new(crate::world::open, 1);
    let allow = rig.write("allow", "owner: nobody\nauthorisation: a test\nexpires: 2999-12-31\n\n104.16.132.0/28\n");
    let common = [
        "10.20.5.0/28",
        "104.16.132.0/28",
        "-p",
        "443",
        "--allow-file",
        allow.to_str().unwrap(),
        "--cooldown",
        "500ms",
    ];
    let provider = |row: &serde_json::Value| row["cdn_provider"].as_str().unwrap_or_default().to_owned();
    let is_edge = |row: &serde_json::Value| row["saddr"].as_str().unwrap().starts_with("104.");

    let (found, _) = rig.scan(&common);
    assert_eq!(found.rows.len(), 32);
    for row in &found.rows {
        assert_eq!(provider(row), if is_edge(row) { "cloudflare" } else { "" }, "{row}");
    }
    let (found, _) = rig.scan(&[&common[..], &["--no-cdn-detect"]].concat());
    assert!(found.rows.len() == 32 && found.rows.iter().all(|row| provider(row).is_empty()));
    let (found, _) = rig.scan(&[&common[..], &["--ignore-cdn-detection"]].concat());
    assert_eq!(found.rows.iter().filter(|row| provider(row) == "cloudflare").count(), 16);

    rig.responder.forget();
    let (found, _) = rig.scan(&[&common[..], &["--skip-cdn"]].concat());
    assert!(found.rows.len() == 16 && !found.rows.iter().any(is_edge));
    assert_eq!(rig.responder.count(), 16, "edges were asked");
}
