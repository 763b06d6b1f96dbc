//! Path MTU discovery (RFC 8899): jumbo frames are found, what a path does not carry is noticed, and probes that are lost
//! are no congestion (FRAME-3).

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test that cannot go on has failed")]

mod common;

use common::{MIB, Pair, link, listener, ms, secs, sender};
use wirehaul_core::{congestion::ControllerKind, limits::MIN_DATAGRAM_BYTES};
use wirehaul_sim::{
    host::Arena,
    link::{DropReason, HEADER_BYTES, LinkConfig},
};

/// A path that carries IP packets of `mtu` bytes.
fn narrow(mtu: u64) -> LinkConfig {
    LinkConfig { mtu_bytes: Some(mtu), buffer_bytes: Some(500_000), ..link(100, ms(5)) }
}

fn pair(arena: &Arena, seed: u64, bytes: u64, mtu: u64, most: usize) -> Pair<'_> {
    let mut a = sender(1, &[bytes]);
    a.session.max_datagram_bytes = most;
    Pair::new(arena, seed, a, listener(2), narrow(mtu), narrow(mtu))
}

#[test]
fn the_size_that_the_path_carries_is_found() {
    for mtu in [1500, 1600, 4352, 9000] {
        let arena = Arena::new();
        let mut pair = pair(&arena, 1, 20 * MIB, mtu, 8972);
        pair.complete(secs(10));
        let (a, carried) = (pair.a, usize::try_from(mtu - HEADER_BYTES).unwrap());
        let found = pair.run.only_session(a).datagram_bytes();
        assert!(found <= carried && found + 24 > carried, "{mtu}: {found}");
        let stats = pair.run.stats(a, pair.call);
        assert_eq!((stats.lost_packets, stats.congestion_episodes), (0, 0), "{mtu}: lost probes are no congestion");
        assert_eq!(stats.mtu_probes_lost > 0, mtu < 9000, "{mtu}");
        let there = pair.there;
        let dropped = pair.run.network().link(there).stats().dropped_for(DropReason::TooBig).datagrams;
        assert_eq!(dropped, u64::from(stats.mtu_probes_lost), "{mtu}");
        assert!(dropped <= 30, "{mtu}: {dropped}");
    }
}

/// Where the setting does not go beyond what every path is taken to carry, nothing is tried.
#[test]
fn without_room_above_nothing_is_tried() {
    let arena = Arena::new();
    let mut pair = pair(&arena, 1, 4 * MIB, 9000, 1472);
    pair.complete(secs(10));
    assert_eq!(pair.run.stats(pair.a, pair.call).mtu_probes, 0);
}

/// Random loss takes probes too: it takes three of them in a row to give a size up.
#[test]
fn a_lost_probe_is_sent_again() {
    let mut found = 0;
    for seed in 0..20 {
        let arena = Arena::new();
        let mut a = sender(1, &[8 * MIB]);
        a.session.max_datagram_bytes = 8972;
        let lossy = LinkConfig { loss_ppm: 100_000, ..narrow(9000) };
        let mut pair = Pair::new(&arena, seed, a, listener(2), lossy, narrow(9000));
        pair.complete(secs(60));
        let a = pair.a;
        found += u32::from(pair.run.only_session(a).datagram_bytes() == 8972);
    }
    assert!(found >= 19, "{found} of 20");
}

/// A tunnel that carries less than every path is taken to: data would vanish without a word.
#[test]
fn a_black_hole_is_left_with_both_controllers() {
    for controller in [ControllerKind::Bbr, ControllerKind::Cubic] {
        let arena = Arena::new();
        let mut a = sender(1, &[4 * MIB]);
        a.session.controller = controller;
        let mut pair = Pair::new(&arena, 1, a, listener(2), narrow(1420), narrow(1420));
        let took = pair.complete(secs(30));
        let a = pair.a;
        let found = pair.run.only_session(a).datagram_bytes();
        assert!((1420 - 28 - 24..=1420 - 28).contains(&found), "{controller:?}: {found}");
        assert!(took < secs(4), "{controller:?}: {took:?}");
    }
}

/// The path narrows under way, and later widens again.
#[test]
fn a_path_that_narrows_under_way_is_followed() {
    let arena = Arena::new();
    let mut pair = pair(&arena, 1, 10_000 * MIB, 9000, 8972);
    pair.run.for_span(secs(2));
    let (a, there) = (pair.a, pair.there);
    assert_eq!(pair.run.only_session(a).datagram_bytes(), 8972);
    pair.run.network().link(there).config_mut().mtu_bytes = Some(2000);
    pair.run.for_span(secs(5));
    let found = pair.run.only_session(a).datagram_bytes();
    assert!((2000 - 28 - 24..=2000 - 28).contains(&found), "{found}");
    let before = pair.run.only_session(a).stats().lost_packets;
    pair.run.for_span(secs(5));
    assert_eq!(pair.run.only_session(a).stats().lost_packets, before, "nothing is lost to it any more");
    pair.run.network().link(there).config_mut().mtu_bytes = Some(9000);
    pair.run.for_span(secs(610));
    assert_eq!(pair.run.only_session(a).datagram_bytes(), 8972, "after the ten minutes of RFC 8899");
}

/// Nothing comes through for a while: the size is as before when something does.
#[test]
fn an_outage_does_not_make_packets_small() {
    let arena = Arena::new();
    let mut pair = pair(&arena, 1, 10_000 * MIB, 1500, 1472);
    pair.run.for_span(secs(2));
    let (a, there) = (pair.a, pair.there);
    pair.run.network().link(there).config_mut().loss_ppm = 1_000_000;
    pair.run.for_span(secs(4));
    assert_eq!(pair.run.only_session(a).datagram_bytes(), MIN_DATAGRAM_BYTES);
    pair.run.network().link(there).config_mut().loss_ppm = 0;
    pair.run.for_span(secs(6));
    assert_eq!(pair.run.only_session(a).datagram_bytes(), 1472);
}
