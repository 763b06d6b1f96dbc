//! A host that gets another address under way keeps its sessions: the peer challenges the new address and goes on there
//! (SEC-5).

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test that cannot go on has failed")]

mod common;

use std::net::SocketAddr;

use common::{MIB, Pair, link, listener, ms, secs, sender};
use wirehaul_core::{
    device::Ecn,
    session::INDEX_PLACE_MASK,
    time::Duration,
    wire::{HeaderView, PacketKind},
    worker::{WorkerNumber, owner_of},
};
use wirehaul_sim::{
    host::{Arena, HostConfig},
    link::LinkConfig,
    network::Datagram,
    run::{HostId, Run},
};

/// The host's address with another host part.
fn elsewhere(run: &mut Run<'_>, host: HostId, to: u8) -> SocketAddr {
    let address = run.host(host).address();
    SocketAddr::from(([10, to, 0, 1], address.port()))
}

/// The same address behind a translator that took another port.
fn rebound(run: &mut Run<'_>, host: HostId) -> SocketAddr {
    let address = run.host(host).address();
    SocketAddr::new(address.ip(), address.port() + 20_000)
}

fn pair(arena: &Arena, seed: u64, bytes: u64) -> Pair<'_> {
    Pair::new(arena, seed, sender(1, &[bytes]), listener(2), link(50, ms(10)), link(50, ms(10)))
}

/// Where the host's only session sends now.
fn remote_of(pair: &mut Pair<'_>, host: HostId) -> SocketAddr {
    pair.run.only_session(host).remote()
}

#[test]
fn a_sender_that_moves_goes_on_with_the_same_session() {
    let arena = Arena::new();
    let mut pair = pair(&arena, 1, 8 * MIB);
    pair.run.for_span(ms(300));
    let (a, b) = (pair.a, pair.b);
    let new = elsewhere(&mut pair.run, a, 9);
    pair.run.move_host(a, new);
    // A round trip for the challenge and its answer, and one for what is sent again.
    pair.run.for_span(ms(100));
    assert_eq!(remote_of(&mut pair, b), new);
    let took = pair.complete(secs(5));
    assert!(took < secs(3), "{took:?}");
    let stats = pair.run.only_session(b).stats();
    assert_eq!((stats.migrations, stats.rejects.total()), (1, 0), "{:?}", stats.rejects);
    let moves: Vec<_> = pair.run.host_ref(b).app().flows().flat_map(|(_, flow)| flow.moves.clone()).collect();
    assert_eq!(moves, [new]);
}

/// A receiver has nothing of its own to send: its next sign of life, or an ACK, shows where it is.
#[test]
fn a_receiver_that_moves_is_found_again() {
    for told in [false, true] {
        let arena = Arena::new();
        let mut pair = pair(&arena, 2, 4 * MIB);
        pair.run.for_span(ms(300));
        let (a, b) = (pair.a, pair.b);
        let new = elsewhere(&mut pair.run, b, 7);
        pair.run.move_host(b, new);
        if told {
            pair.run.only_session(b).on_local_address_changed();
        }
        let took = pair.complete(secs(20));
        // Untold, it takes as long as a session may be silent.
        assert!(if told { took < secs(3) } else { took < secs(8) }, "told: {told}, {took:?}");
        assert_eq!(remote_of(&mut pair, a), new);
    }
}

/// Another port alone is a translator's doing: the rate is kept, and so are the indexes, since who sees the one address
/// needs no index to link the two.
#[test]
fn a_translator_s_new_port_costs_a_round_trip_and_no_more() {
    let arena = Arena::new();
    let mut pair = pair(&arena, 3, 20 * MIB);
    pair.run.for_span(secs(1));
    let (a, b) = (pair.a, pair.b);
    let before = pair.run.only_session(a).congestion_model().max_bw.unwrap();
    let index = pair.run.only_session(a).local_index();
    let new = rebound(&mut pair.run, a);
    pair.run.move_host(a, new);
    pair.run.for_span(ms(200));
    let session = pair.run.only_session(a);
    assert_eq!(session.local_index(), index);
    let after = session.congestion_model().max_bw.unwrap();
    assert!(after >= before.mul_ratio(9, 10), "{before:?} {after:?}");
    assert_eq!(remote_of(&mut pair, b), new);
    pair.complete(secs(10));
}

/// Both ends go by new indexes on a new path: no packet of the old path and none of the new one bear the same, once
/// MIGRATE is through.
#[test]
fn a_new_path_has_new_indexes() {
    let arena = Arena::new();
    let mut pair = pair(&arena, 4, 8 * MIB);
    pair.run.for_span(ms(300));
    let (a, b) = (pair.a, pair.b);
    let [ours, theirs] = [a, b].map(|host| pair.run.only_session(host).local_index());
    let new = elsewhere(&mut pair.run, a, 9);
    pair.run.move_host(a, new);
    pair.run.for_span(ms(200));
    for (host, before) in [(a, ours), (b, theirs)] {
        let session = pair.run.only_session(host);
        assert!(session.local_index() != before && (session.local_index() ^ before) & INDEX_PLACE_MASK == 0);
        assert!(session.is_addressed_by(before), "what is on its way still finds it");
        assert_eq!(session.id(), before, "its owner's name for it stays");
    }
    pair.run.network().record();
    pair.run.for_span(ms(200));
    let recorded = pair.run.network().recorded().to_vec();
    assert!(recorded.len() > 100);
    for datagram in recorded {
        let header = HeaderView::parse(&datagram.bytes).unwrap().header();
        assert!(![ours, theirs].contains(&header.receiver), "{header:?}");
    }
    pair.complete(secs(5));
}

/// Ten moves of both ends over a path that loses, doubles and reorders: everything arrives, whatever is lost of challenges,
/// answers and MIGRATE.
#[test]
fn moves_of_both_ends_over_a_bad_path_lose_nothing() {
    for seed in 0..20 {
        let arena = Arena::new();
        let faults = LinkConfig {
            loss_ppm: 30_000,
            duplicate_ppm: 20_000,
            reorder_ppm: 20_000,
            reorder_by: ms(8),
            ..link(10, ms(15))
        };
        let mut pair = Pair::new(&arena, seed, sender(1, &[20 * MIB]), listener(2), faults.clone(), faults);
        let (a, b) = (pair.a, pair.b);
        for to in 0..10 {
            pair.run.for_span(ms(1_300));
            let host = if to % 3 == 2 { b } else { a };
            let new = if to % 4 == 3 { rebound(&mut pair.run, host) } else { elsewhere(&mut pair.run, host, 20 + to) };
            pair.run.move_host(host, new);
            if host == b {
                // Two that move before either has heard of the other can never meet again.
                pair.run.only_session(b).on_local_address_changed();
                pair.run.for_span(secs(4));
            }
        }
        pair.complete(secs(120));
    }
}

/// Somebody on the path sends copies of a host's packets from elsewhere, ahead of the genuine ones. The address that it
/// sends from is challenged, does not answer, and gets no more than three times what it sent.
#[test]
fn packets_copied_by_an_onlooker_move_nothing_and_amplify_nothing() {
    let arena = Arena::new();
    let there = LinkConfig { delay: ms(30), ..link(20, ms(30)) };
    let mut pair = Pair::new(&arena, 5, sender(1, &[4 * MIB]), listener(2), there.clone(), there);
    let (a, b) = (pair.a, pair.b);
    let (from, to) = (pair.run.host(a).address(), pair.run.host(b).address());
    let thief = SocketAddr::from(([10, 66, 0, 1], 6666));
    let road = pair.run.network().add_link(LinkConfig::default());
    pair.run.network().route(to, thief, &[road]);
    pair.run.for_span(ms(500));
    pair.run.network().record();
    let (mut seen, mut copied) = (0, 0);
    for _ in 0..2_000 {
        pair.run.for_span(ms(1));
        let recorded = pair.run.network().recorded();
        let fresh: Vec<Datagram> = recorded[seen..].iter().filter(|datagram| datagram.from == from).cloned().collect();
        seen = recorded.len();
        let now = pair.run.now();
        for datagram in fresh {
            copied += datagram.bytes.len() as u64;
            let copy = Datagram { from: thief, ecn: Ecn::NotEct, ..datagram };
            pair.run.network().inject(now + ms(1), copy);
        }
    }
    let got = pair.run.network().link(road).stats().entered;
    assert!(got.datagrams > 0, "it was challenged");
    assert!(got.bytes * 3 < copied, "{got:?} for {copied}");
    // Three challenges for each address that is looked into, and one of those a second.
    assert!(got.datagrams <= 3 * 4, "{got:?}");
    assert_eq!(remote_of(&mut pair, b), from);
    assert_eq!(pair.run.only_session(b).stats().migrations, 0);
}

/// One small packet from a new address pays for two challenges, and the third is not sent (SEC-4).
#[test]
fn a_new_address_gets_at_most_three_times_what_it_sent() {
    let arena = Arena::new();
    let mut pair = pair(&arena, 6, 0);
    pair.run.for_span(secs(1));
    let (a, b) = (pair.a, pair.b);
    let new = elsewhere(&mut pair.run, a, 9);
    let to = pair.run.host(b).address();
    pair.run.move_host(a, new);
    // Nothing comes back to the new address: its challenges stay unanswered.
    let nowhere = LinkConfig { loss_ppm: 1_000_000, ..LinkConfig::default() };
    let back = pair.run.network().add_link(nowhere);
    pair.run.network().route(to, new, &[back]);
    let there = pair.there;
    let sent_before = pair.run.network().link(there).stats().entered.bytes;
    pair.run.only_session(a).on_local_address_changed();
    pair.run.for_span(ms(5));
    // One packet is on its way, and nothing that would pay for more gets through behind it.
    let sent = pair.run.network().link(there).stats().entered.bytes - sent_before;
    pair.run.network().link(there).config_mut().loss_ppm = 1_000_000;
    pair.run.for_span(secs(3));
    let got = pair.run.network().link(back).stats().entered;
    assert!(got.datagrams == 2 && got.bytes <= 3 * sent, "{got:?} for {sent}");
    assert_eq!(pair.run.only_session(b).stats().migrations, 0);
}

/// A handshake stays where it began: what is not sealed yet proves nothing from elsewhere.
#[test]
fn a_handshake_does_not_move() {
    let arena = Arena::new();
    let mut pair = pair(&arena, 7, MIB);
    // INIT is on its way, and RESPONSE will find nobody.
    pair.run.for_span(ms(12));
    let a = pair.a;
    let new = elsewhere(&mut pair.run, a, 9);
    pair.run.move_host(a, new);
    pair.run.network().record();
    pair.complete(secs(5));
    let kind = |datagram: &Datagram| HeaderView::parse(&datagram.bytes).unwrap().header().kind;
    let inits = pair.run.network().recorded().iter().filter(|datagram| kind(datagram) == PacketKind::Init);
    assert!(inits.count() >= 1, "it called again, from where it is");
}

/// Moving costs no more than a start: on a path of 20 ms a 50 Mbit/s flow is back at its rate within a second.
#[test]
fn the_rate_comes_back_within_a_second() {
    let arena = Arena::new();
    let mut pair = pair(&arena, 8, 1_000 * MIB);
    pair.run.for_span(secs(2));
    let a = pair.a;
    let new = elsewhere(&mut pair.run, a, 9);
    pair.run.move_host(a, new);
    pair.run.for_span(secs(1));
    let b = pair.b;
    let received = |pair: &mut Pair<'_>| pair.run.only_session(b).stats().received_bytes;
    let before = received(&mut pair);
    pair.run.for_span(secs(2));
    let rate = common::bits_per_sec(received(&mut pair) - before, Duration::from_secs(2));
    assert!(rate > 45_000_000, "{rate}");
}

/// XDP-7: whichever worker a session belongs to, every packet but INIT says so, and goes on saying so on a new path.
#[test]
fn every_packet_names_the_worker_that_its_session_belongs_to() {
    for (ours, theirs) in [(0, 0), (5, 63), (62, 1)] {
        let arena = Arena::new();
        let [ours, theirs] = [ours, theirs].map(|number| WorkerNumber::new(number).unwrap());
        let caller = HostConfig { worker: ours, ..sender(1, &[2 * MIB]) };
        let called = HostConfig { worker: theirs, ..listener(2) };
        let mut pair = Pair::new(&arena, 11, caller, called, link(50, ms(10)), link(50, ms(10)));
        pair.run.network().record();
        pair.run.for_span(ms(150));
        let new = elsewhere(&mut pair.run, pair.a, 9);
        pair.run.move_host(pair.a, new);
        pair.complete(secs(5));
        let there = pair.run.host(pair.b).address();
        let (mut named, mut first) = (0, 0);
        for datagram in pair.run.network().recorded() {
            let owner = if datagram.to == there { theirs } else { ours };
            match owner_of(&datagram.bytes) {
                Some(said) => {
                    assert_eq!(said, owner);
                    named += 1;
                }
                None => {
                    assert_eq!(HeaderView::parse(&datagram.bytes).unwrap().kind(), PacketKind::Init);
                    first += 1;
                }
            }
        }
        assert!(named > 1000 && first == 1, "{named} packets, and {first} INIT");
    }
}
