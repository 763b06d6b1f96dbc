//! What a path does to datagrams, and what a session makes of it: reordered, doubled, damaged, replayed, lost for good.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test that cannot go on has failed")]

mod common;

use common::{MIB, Pair, done, link, listener, ms, secs, sender};
use wirehaul_core::{
    session::CloseReason,
    time::{Duration, Instant},
    wire::{PacketKind, Reject},
};
use wirehaul_sim::{
    bulk::Flow,
    checks::{self, Violation},
    endpoint::Departure,
    faults::{Fault, device::DeviceDrop},
    host::{Arena, HostConfig},
    link::LinkConfig,
    network::Datagram,
    run::{Outcome, Run},
};

/// BBR-7: a path that delays single datagrams is learned: once the thresholds have adapted, hardly anything is sent
/// twice, and the window does not suffer.
#[test]
fn reordering_does_not_cause_a_flood_of_retransmissions() {
    for (by, seed) in [(2, 1), (10, 2), (30, 3)] {
        let arena = Arena::new();
        let path = LinkConfig { reorder_ppm: 100_000, reorder_by: ms(by), ..link(50, ms(20)) };
        let mut pair = Pair::new(&arena, seed, sender(1, &[16 * MIB]), listener(2), path.clone(), path);
        let took = pair.complete(secs(30));
        let stats = pair.run.stats(pair.a, pair.call);
        let per_mille = stats.spurious_losses * 1_000 / stats.sent_packets;
        assert!(per_mille < 5, "{per_mille} per mille sent twice at {by} ms\n{}", pair.describe());
        // 16 MiB at 50 Mbit/s are 2.7 s.
        assert!(took < ms(4_500), "{} ms at {by} ms of reordering\n{}", took.as_millis(), pair.describe());
    }
}

/// BBR-7: a window reduced for packets that were only late is given back.
#[test]
fn a_reduction_for_packets_that_were_only_late_is_undone() {
    let arena = Arena::new();
    let mut pair = Pair::new(&arena, 1, sender(1, &[64 * MIB]), listener(2), link(50, ms(20)), link(50, ms(20)));
    pair.run.for_span(secs(2));
    let before = pair.run.stats(pair.a, pair.call);
    // For a tenth of a second a few datagrams are overtaken by all that follow within 15 ms.
    let there = pair.there;
    let config = pair.run.network().link(there).config_mut();
    (config.reorder_ppm, config.reorder_by) = (20_000, ms(15));
    pair.run.for_span(ms(100));
    pair.run.network().link(there).config_mut().reorder_ppm = 0;
    pair.run.for_span(ms(200));
    let after = pair.run.stats(pair.a, pair.call);
    assert!(after.spurious_losses > before.spurious_losses, "nothing was taken for lost: {after:?}");
    assert!(after.congestion_episodes > before.congestion_episodes);
    let spurious = after.spurious_losses - before.spurious_losses;
    assert_eq!(after.lost_packets - before.lost_packets, spurious, "nothing was really lost");
    assert!(after.cwnd_bytes >= before.cwnd_bytes * 95 / 100, "{} -> {}", before.cwnd_bytes, after.cwnd_bytes);
}

#[test]
fn duplicates_are_refused_and_change_nothing() {
    let arena = Arena::new();
    let path = LinkConfig { duplicate_ppm: 300_000, ..link(50, ms(10)) };
    let mut pair = Pair::new(&arena, 1, sender(1, &[4 * MIB]), listener(2), path.clone(), path);
    pair.complete(secs(10));
    let (b, there) = (pair.b, pair.there);
    let doubled = pair.run.network().link(there).stats().duplicated.datagrams;
    let (_, session) = pair.run.host(b).worker().sessions().next().unwrap();
    let stats = session.stats();
    assert!(doubled > 500);
    // The last few may still be on their way.
    assert!(stats.rejects.get(Reject::Replayed) + 5 >= doubled && stats.rejects.get(Reject::Replayed) <= doubled);
    let sender = pair.run.stats(pair.a, pair.call);
    let dropped = pair.run.network().link(there).stats().dropped_total().datagrams;
    assert_eq!((sender.spurious_losses, sender.lost_packets), (0, dropped));
}

/// FRAME-4, SEC-2: damage is noticed, counted by the rule that it breaks, and costs no more than a loss.
#[test]
fn corrupted_and_truncated_datagrams_are_refused_and_counted() {
    for seed in 0..5 {
        let arena = Arena::new();
        let path = LinkConfig { corrupt_ppm: 20_000, truncate_ppm: 20_000, ..link(50, ms(10)) };
        let mut pair = Pair::new(&arena, seed, sender(1, &[2 * MIB]), listener(2), path.clone(), path);
        pair.complete(secs(30));
        pair.run.for_span(ms(100));
        for (host, link) in [(pair.a, pair.back), (pair.b, pair.there)] {
            let stats = pair.run.network().link(link).stats();
            let damaged = stats.corrupted + stats.truncated;
            let worker = pair.run.host(host).worker();
            let at_sessions: u64 = worker.sessions().map(|(_, session)| session.stats().rejects.total()).sum();
            let counted = worker.rejects().total() + at_sessions;
            // A datagram cut to nothing is no datagram; one both cut and corrupted counts once.
            assert!(counted <= damaged && (counted + 1) * 100 >= damaged * 85, "{counted} of {damaged}");
        }
    }
}

/// SEC-2: a recording of a whole session, played again while it lives and after it ended, does nothing but count.
#[test]
fn a_replayed_session_changes_nothing() {
    let arena = Arena::new();
    let mut a = sender(1, &[MIB]);
    a.session.rekey_packets = 200;
    // Nothing is lost: a packet that never came would be as good the second time.
    let path = LinkConfig { buffer_bytes: None, ..link(50, ms(10)) };
    let mut pair = Pair::new(&arena, 1, a, listener(2), path.clone(), path);
    pair.run.network().record();
    pair.complete(secs(10));
    // Let the last ACKs come home.
    pair.run.for_span(secs(1));
    let recording = pair.run.network().recorded().to_vec();
    let before = (pair.run.stats(pair.a, pair.call), bytes_received(&mut pair));
    let now = pair.run.now();
    for (index, datagram) in recording.iter().enumerate() {
        pair.run.network().inject(now + Duration::from_micros(10 * index as u64), datagram.clone());
    }
    pair.run.for_span(ms(100));
    assert_eq!(bytes_received(&mut pair), before.1);
    let after = pair.run.stats(pair.a, pair.call);
    assert_eq!((after.received_packets, after.epochs), (before.0.received_packets, before.0.epochs));
    let caller = HostConfig::new(1).address;
    let sealed = |datagram: &&Datagram| datagram.to == caller && datagram.bytes[0] == PacketKind::Protected as u8;
    let to_caller = recording.iter().filter(sealed).count() as u64;
    assert!(to_caller > 20, "{to_caller}");
    assert_eq!(after.rejects.get(Reject::Replayed) + after.rejects.get(Reject::Forged), to_caller);
    assert!(checks::promises(&pair.run).is_ok());

    // After the session's end: sealed packets are for nobody, and an old INIT opens a half session at most.
    let now = pair.run.now();
    let call = pair.call;
    let a = pair.a;
    pair.run.host(a).session(call).unwrap().close(now, wirehaul_core::session::CloseCode::DONE, "");
    pair.run.for_span(secs(5));
    let b = pair.b;
    assert_eq!(pair.run.host(b).worker().session_count(), 0);
    let now = pair.run.now();
    recording.into_iter().for_each(|datagram| pair.run.network().inject(now, datagram));
    pair.run.for_span(ms(100));
    let worker = pair.run.host(b).worker();
    assert!(worker.rejects().get(Reject::NotForUs) > 100);
    assert!(worker.sessions().all(|(_, session)| !session.is_established()));
    pair.run.for_span(secs(10));
    assert_eq!(pair.run.host(b).worker().session_count(), 0);
    assert_eq!(bytes_received(&mut pair), before.1);
}

fn bytes_received(pair: &mut Pair<'_>) -> u64 {
    let b = pair.b;
    pair.run.host(b).app().flows().map(|(_, flow)| flow.received_bytes()).sum()
}

/// An outage in the middle, shorter than the idle time-out: the transfer goes on by itself soon after.
#[test]
fn an_outage_is_survived() {
    let arena = Arena::new();
    let start = Run::new(&arena, 0).now();
    let outages = vec![(start + ms(500), start + ms(4_500))];
    let path = LinkConfig { outages, ..link(50, ms(20)) };
    let mut pair = Pair::new(&arena, 1, sender(1, &[8 * MIB]), listener(2), path.clone(), path);
    let took = pair.complete(secs(30));
    assert!(took > secs(4) && took < secs(12), "{} ms", took.as_millis());
}

/// Nothing but the direction of the ACKs fails: what is left is told by the next one that comes through.
#[test]
fn lost_acknowledgements_are_made_up_for() {
    let arena = Arena::new();
    let back = LinkConfig { loss_ppm: 500_000, ..link(50, ms(20)) };
    let mut pair = Pair::new(&arena, 1, sender(1, &[8 * MIB]), listener(2), link(50, ms(20)), back);
    let took = pair.complete(secs(30));
    assert!(took < secs(5), "{} ms\n{}", took.as_millis(), pair.describe());
}

/// Packets that arrive before the handshake is through at the other end are lost, not harmful.
#[test]
fn data_that_overtakes_the_handshake_is_sent_again() {
    let arena = Arena::new();
    let start = Run::new(&arena, 0).now();
    // FINISH leaves after one round trip, with the first data right behind it: only it is lost.
    let outages = vec![(start + ms(35), start + Duration::from_micros(40_500))];
    let there = LinkConfig { outages, ..link(50, ms(20)) };
    let mut pair = Pair::new(&arena, 1, sender(1, &[MIB]), listener(2), there, link(50, ms(20)));
    pair.run.network().record();
    pair.complete(secs(5));
    let b = pair.b;
    let session = pair.run.only_session(b).stats();
    assert!(session.rejects.get(Reject::UnexpectedPacket) > 0, "no data came before FINISH");
    let sent = pair.run.network().recorded();
    assert!(sent.iter().filter(|datagram| datagram.bytes[0] == PacketKind::Finish as u8).count() >= 2);
}

// --- faults of hosts, one by one (SIM-2) ---

/// A transfer of 2 MiB at 50 Mbit/s under these faults; the disk keeps what comes.
fn under<'a>(arena: &'a Arena, faults: &[Fault]) -> (Pair<'a>, Duration) {
    let path = LinkConfig { buffer_bytes: None, ..link(50, ms(10)) };
    let mut pair = Pair::new(arena, 1, sender(1, &[2 * MIB]), listener(2), path.clone(), path);
    for id in [pair.a, pair.b] {
        pair.run.host(id).keep_files();
        pair.run.host(id).watch_pace();
    }
    pair.run.follow(faults, false);
    let took = pair.complete(secs(60));
    let b = pair.b;
    done(pair.run.until(secs(10), |run| run.host(b).app().next_meal().is_none()));
    checks::content::content(&pair.run).unwrap();
    checks::rejects::rejects(&mut pair.run).unwrap();
    (pair, took)
}

const MILLISECOND_NS: u64 = 1_000_000;
/// A span in the middle of the transfer of [`under`].
const FROM_NS: u64 = 200 * MILLISECOND_NS;
const TO_NS: u64 = 300 * MILLISECOND_NS;

#[test]
fn without_faults_nothing_is_dropped_or_sent_twice() {
    let arena = Arena::new();
    let (mut pair, took) = under(&arena, &[]);
    assert!(took < ms(700), "{} ms", took.as_millis());
    let stats = pair.run.stats(pair.a, pair.call);
    assert_eq!((stats.lost_packets, stats.stream_bytes_resent), (0, 0));
}

#[test]
fn a_full_device_loses_what_is_submitted_and_counts_it() {
    let arena = Arena::new();
    let (mut pair, _) = under(&arena, &[Fault::DeviceFull { host: 0, from_ns: FROM_NS, to_ns: TO_NS }]);
    let a = pair.a;
    let dropped = pair.run.host(a).endpoint().stats().dropped_for(DeviceDrop::TransmitFull);
    assert!(dropped.datagrams > 10, "{dropped:?}");
    assert!(pair.run.stats(pair.a, pair.call).lost_packets >= dropped.datagrams / 2);
}

#[test]
fn an_empty_fill_ring_loses_what_arrives_and_counts_it() {
    let arena = Arena::new();
    let (mut pair, _) = under(&arena, &[Fault::EmptyFillRing { host: 1, from_ns: FROM_NS, to_ns: TO_NS }]);
    let b = pair.b;
    assert!(pair.run.host(b).endpoint().stats().dropped_for(DeviceDrop::FillRingEmpty).datagrams > 50);
}

/// A host that has no buffer to send from waits for one: it neither spins nor forgets, and nothing is lost.
#[test]
fn an_exhausted_pool_holds_the_sender_up_and_loses_nothing() {
    let arena = Arena::new();
    let (_, took_plain) = under(&arena, &[]);
    let (mut pair, took) = under(&arena, &[Fault::PoolExhausted { host: 0, from_ns: FROM_NS, to_ns: TO_NS }]);
    assert!(took >= took_plain + ms(50), "{} ms after {} ms", took.as_millis(), took_plain.as_millis());
    let (a, there) = (pair.a, pair.there);
    assert_eq!(pair.run.network().link(there).stats().dropped_total().datagrams, 0);
    assert_eq!(pair.run.host(a).endpoint().stats().dropped_for(DeviceDrop::TransmitFull).datagrams, 0);
}

/// Buffers that come back late run out, and the sender goes on with those that do come back.
#[test]
fn late_completions_hold_the_sender_up_when_no_buffer_is_left() {
    let arena = Arena::new();
    let late = [Fault::LateCompletions { host: 0, from_ns: FROM_NS, to_ns: TO_NS }];
    let (mut pair, _) = under(&arena, &late);
    let a = pair.a;
    let departures_in_span = {
        let start = Run::new(&arena, 0).now();
        let mut again = Pair::new(&arena, 1, sender(1, &[2 * MIB]), listener(2), link(50, ms(10)), link(50, ms(10)));
        again.run.host(again.a).endpoint().log_departures();
        again.run.follow(&late, false);
        again.complete(secs(60));
        let (from, to) = (start + Duration::from_nanos(FROM_NS), start + Duration::from_nanos(TO_NS));
        let within = |departure: &&Departure| from <= departure.at && departure.at < to;
        again.run.host(again.a).endpoint().departures().iter().filter(within).count()
    };
    let (total, [free, in_hand, in_flight]) = pair.run.host(a).endpoint().slots().counts();
    assert_eq!(free + in_hand + in_flight, total);
    assert!(departures_in_span <= total, "{departures_in_span} runs left with {total} buffers");
}

#[test]
fn writes_that_fail_are_short_or_slow_are_made_good() {
    let arena = Arena::new();
    let faults = [
        Fault::FailingWrite { host: 1, write: 3 },
        Fault::ShortWrite { host: 1, write: 5, bytes: 100 },
        Fault::ShortWrite { host: 1, write: 6, bytes: 0 },
        Fault::SlowWrite { host: 1, write: 9, by_ns: 400 * MILLISECOND_NS },
    ];
    let (mut pair, _) = under(&arena, &faults);
    let b = pair.b;
    assert_eq!(pair.run.host(b).app().disk().failed_and_short(), (1, 2));
    let peak = pair.run.host(b).app().flows().map(|(_, flow)| flow.peak_held_bytes).max();
    assert!(peak.unwrap() > 100_000, "nothing waited behind the slow write: {peak:?}");
}

/// The peers of a host that crashed find out by silence; called again, it serves as before.
#[test]
fn a_host_that_crashed_is_back_with_nothing_but_its_keys() {
    let arena = Arena::new();
    let path = link(50, ms(10));
    let mut pair = Pair::new(&arena, 1, sender(1, &[2 * MIB]), listener(2), path.clone(), path);
    pair.run.follow(&[Fault::Crash { host: 1, at_ns: FROM_NS, down_ns: 100 * MILLISECOND_NS }], false);
    pair.run.for_span(ms(250));
    let (a, b) = (pair.a, pair.b);
    assert!(pair.run.host(b).is_down());
    assert_eq!(pair.run.host(b).worker().session_count(), 0);
    pair.run.for_span(secs(60));
    assert_eq!(pair.run.host(a).close_reason(pair.call), Some(CloseReason::IdleTimeout));
    assert!(pair.run.host(b).endpoint().stats().dropped_for(DeviceDrop::HostDown).datagrams > 0);
    assert!(pair.run.host(b).rejects().get(Reject::NotForUs) > 0);
    let again = pair.run.connect(a, b);
    let served = |run: &mut Run<'_>| run.host(a).app().flow(again).is_some_and(Flow::all_acknowledged);
    done(
        pair.run
            .until(secs(10), |run| served(run) && run.host(b).app().flows().any(|(_, f)| f.finished_streams() == 1)),
    );
    checks::safety(&mut pair.run).unwrap();
}

/// A clock that jumps within the idle time-out costs a probe or two; the transfer goes on.
#[test]
fn a_clock_that_jumps_does_not_end_a_session() {
    let arena = Arena::new();
    for host in 0..2 {
        let jump = Fault::ClockJump { host, at_ns: FROM_NS, by_ns: 5_000 * MILLISECOND_NS };
        let (pair, took) = under(&arena, &[jump]);
        assert!(took < secs(3), "{} ms", took.as_millis());
        assert!(pair.run.hosts().all(|host| host.app().flows().all(|(_, flow)| flow.closed.is_none())));
    }
}

/// Single datagrams are hit, and no others.
#[test]
fn a_script_hits_the_datagrams_that_it_names() {
    let arena = Arena::new();
    let faults = [
        Fault::Drop { link: 0, datagram: 100 },
        Fault::Duplicate { link: 0, datagram: 101, after_ns: 1_000 },
        Fault::Corrupt { link: 0, datagram: 102, bit: 500, bits: 3 },
        Fault::Truncate { link: 1, datagram: 20, bytes: 10 },
        Fault::HoldBack { link: 0, datagram: 103, by_ns: 5 * MILLISECOND_NS },
        Fault::Delay { link: 0, datagram: 104, by_ns: MILLISECOND_NS },
    ];
    let (mut pair, _) = under(&arena, &faults);
    let (there, back) = (pair.there, pair.back);
    let stats = pair.run.network().link(there).stats().clone();
    assert_eq!(stats.dropped_total().datagrams, 1);
    assert_eq!((stats.duplicated.datagrams, stats.corrupted, stats.truncated, stats.reordered), (1, 1, 0, 1));
    assert_eq!(pair.run.network().link(back).stats().truncated, 1);
}

// --- checkers that need a run to fail ---

#[test]
fn a_transfer_that_does_not_end_is_noticed() {
    let arena = Arena::new();
    let path = LinkConfig { loss_ppm: 1_000_000, ..link(50, ms(10)) };
    let mut pair = Pair::new(&arena, 1, sender(1, &[MIB]), listener(2), path.clone(), path);
    let outcome = pair.run.until_delivered(secs(1));
    assert_eq!(checks::all(&mut pair.run, outcome), Err(Violation::Incomplete(Outcome::TimeLimit)));
}

/// A host that is woken again and again without the clock moving, and has nothing to do.
#[test]
fn a_host_that_spins_is_noticed() {
    let arena = Arena::new();
    let mut pair = Pair::new(&arena, 1, sender(1, &[MIB]), listener(2), link(50, ms(10)), link(50, ms(10)));
    let b = pair.b;
    let outcome = pair.run.until(secs(1), |run| {
        run.host(b).wake(Instant::ZERO);
        false
    });
    assert_eq!(checks::all(&mut pair.run, outcome), Err(Violation::Spinning(b)));
}
