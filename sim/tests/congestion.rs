//! How fast a session sends: rate caps, CUBIC alone and beside others, and recovery of what is lost.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test that cannot go on has failed")]

mod common;

use common::{MIB, Pair, bits_per_sec, link, listener, mbit, ms, secs, sender};
use wirehaul_core::{congestion::ControllerKind, pacer::Quantum, time::Duration};
use wirehaul_sim::{
    checks,
    host::{Arena, HostConfig},
    link::LinkConfig,
    run::{HostId, Run},
};

/// A sender that runs CUBIC.
fn cubic(n: u16, sizes: &[u64]) -> HostConfig {
    let mut config = sender(n, sizes);
    config.session.controller = ControllerKind::Cubic;
    config
}

/// BBR-3, BBR-4, XFER-8: the cap is kept to within 1 % over 10 s, and no burst is above one quantum.
#[test]
fn a_rate_cap_is_kept_without_bursts() {
    let arena = Arena::new();
    let cap = mbit(10);
    let mut a = sender(1, &[64 * MIB]);
    a.session.rate_cap = Some(cap);
    let mut pair = Pair::new(&arena, 1, a, listener(2), link(100, ms(10)), link(100, ms(10)));
    pair.run.for_span(secs(1));
    let host = pair.a;
    pair.run.host(host).endpoint().log_departures();
    let before = pair.run.stats(host, pair.call).sent_bytes;
    pair.run.for_span(secs(10));
    let sent = pair.run.stats(host, pair.call).sent_bytes - before;
    let rate = bits_per_sec(sent, secs(10));
    assert!(rate.abs_diff(10_000_000) < 100_000, "{rate} bit/s");
    let quantum = Quantum::DRAFT.bytes(Some(cap), 1472);
    assert_eq!(quantum, 2944);
    assert_eq!(checks::pacing(pair.run.host(host).endpoint().departures(), cap, quantum), Ok(()));
}

/// BBR-4: on a path without a cap, too, a burst is one quantum, and one more of catching up at most.
#[test]
fn bursts_are_bounded_without_a_cap() {
    let arena = Arena::new();
    let mut pair = Pair::new(&arena, 1, sender(1, &[64 * MIB]), listener(2), link(50, ms(20)), link(50, ms(20)));
    pair.run.for_span(secs(1));
    let host = pair.a;
    pair.run.host(host).endpoint().log_departures();
    pair.run.for_span(secs(4));
    for departure in pair.run.host(host).endpoint().departures() {
        // 1.25 x 50 Mbit/s over a full buffer of one more round trip: a quantum is what a millisecond sends.
        assert!(departure.bytes <= 20_000, "{departure:?}");
    }
}

/// BBR-8: one flow fills the path, and swings between a full buffer and 70 % of that.
#[test]
fn cubic_fills_the_path_in_a_sawtooth() {
    let arena = Arena::new();
    let mut pair = Pair::new(&arena, 1, cubic(1, &[400 * MIB]), listener(2), link(50, ms(20)), link(50, ms(20)));
    pair.run.for_span(secs(5));
    let (a, call) = (pair.a, pair.call);
    let before = pair.run.stats(a, call);
    let mut windows = Vec::new();
    for _ in 0..500 {
        pair.run.for_span(ms(50));
        windows.push(pair.run.stats(a, call).cwnd_bytes);
    }
    let after = pair.run.stats(a, call);
    let rate = bits_per_sec(after.stream_bytes_sent - before.stream_bytes_sent, secs(25));
    assert!(rate > 46_000_000, "{rate} bit/s");
    let (low, high) = (windows.iter().min().unwrap(), windows.iter().max().unwrap());
    let product = 50_000_000 / 8 * 40 / 1000;
    assert!(*high > product * 3 / 2 && *high < product * 5 / 2, "{high}");
    assert!(*low * 100 / *high > 60 && *low * 100 / *high < 85, "{low} to {high}");
    let episodes = after.congestion_episodes - before.congestion_episodes;
    assert!((2..=20).contains(&episodes), "{episodes}");
    // A loss-based controller without losses of its own making: a fraction of a per cent is sent twice.
    let resent = (after.stream_bytes_resent - before.stream_bytes_resent) * 1000;
    assert!(resent / (after.stream_bytes_sent - before.stream_bytes_sent) < 5);
}

/// The sender asks for an ACK a few times per window, and gets about as many.
#[test]
fn acknowledgements_are_few_on_a_clean_path() {
    let arena = Arena::new();
    let mut pair = Pair::new(&arena, 1, sender(1, &[400 * MIB]), listener(2), link(200, ms(20)), link(200, ms(20)));
    pair.run.for_span(secs(3));
    let (there, back) = (pair.there, pair.back);
    let count = |run: &mut Run<'_>, link| run.network().link(link).stats().entered.datagrams;
    let before = (count(&mut pair.run, there), count(&mut pair.run, back));
    pair.run.for_span(secs(2));
    let data = count(&mut pair.run, there) - before.0;
    let acks = count(&mut pair.run, back) - before.1;
    assert!(acks * 20 < data, "{acks} ACKs for {data} packets");
}

/// Senders that share one bottleneck, each with its own access link; returns what each delivered in the last part.
fn shares(seed: u64, senders: u16, settle: Duration, span: Duration, one_receiver: bool) -> Vec<u64> {
    let arena = Arena::new();
    let mut run = Run::new(&arena, seed);
    let bottleneck = run.network().add_link(link(50, ms(15)));
    let back = run.network().add_link(LinkConfig { delay: ms(20), ..LinkConfig::default() });
    let receivers = if one_receiver { 1 } else { senders };
    let receivers: Vec<HostId> = (0..receivers)
        .map(|n| {
            let mut config = listener(100 + n);
            config.sessions = usize::from(senders) + 2;
            run.add_host(config)
        })
        .collect();
    for n in 0..senders {
        let a = run.add_host(cubic(1 + n, &[2_000 * MIB]));
        let b = receivers[usize::from(n) % receivers.len()];
        let access = run.network().add_link(LinkConfig { delay: ms(5), ..LinkConfig::default() });
        let (from, to) = (run.host(a).address(), run.host(b).address());
        run.network().route(from, to, &[access, bottleneck]);
        run.network().route(to, from, &[back]);
        run.connect(a, b);
        // They do not start together.
        run.for_span(ms(300));
    }
    run.for_span(settle);
    let received = |run: &Run<'_>| -> Vec<u64> {
        let hosts = run.hosts().filter(|host| host.app().flows().any(|(_, flow)| flow.received_bytes() > 0));
        hosts.flat_map(|host| host.app().flows().map(|(_, flow)| flow.received_bytes()).collect::<Vec<_>>()).collect()
    };
    let before = received(&run);
    run.for_span(span);
    received(&run).iter().zip(before).map(|(after, before)| after - before).collect()
}

/// Two equal flows over a minute get equal shares, by Jain's index, and fill the path together.
#[test]
fn two_flows_share_a_bottleneck() {
    let shares = shares(1, 2, secs(5), secs(60), false);
    assert_eq!(shares.len(), 2);
    assert!(checks::jain_ppm(&shares) > 900_000, "{shares:?}");
    assert!(bits_per_sec(shares.iter().sum(), secs(60)) > 45_000_000, "{shares:?}");
}

/// XFER-8: several senders into one receiver.
#[test]
fn several_senders_into_one_receiver_share_it() {
    let shares = shares(2, 4, secs(10), secs(40), true);
    assert_eq!(shares.len(), 4);
    assert!(checks::jain_ppm(&shares) > 850_000, "{shares:?}");
    assert!(bits_per_sec(shares.iter().sum(), secs(40)) > 45_000_000, "{shares:?}");
}

/// ECN: a path that marks instead of dropping loses nothing, and is filled all the same (RFC 9002 section 7.1).
#[test]
fn marks_take_the_place_of_losses() {
    let arena = Arena::new();
    let path = LinkConfig { buffer_bytes: None, mark_above_bytes: Some(125_000), ..link(50, ms(20)) };
    let mut pair = Pair::new(&arena, 1, cubic(1, &[400 * MIB]), listener(2), path.clone(), path);
    pair.run.for_span(secs(20));
    let stats = pair.run.stats(pair.a, pair.call);
    assert_eq!(stats.lost_packets, 0);
    assert!(stats.congestion_episodes > 3);
    assert!(bits_per_sec(stats.stream_bytes_sent, secs(20)) > 44_000_000);
    // Slow start overshoots before the first mark is heard of; later the queue stays near the mark.
    let there = pair.there;
    assert!(pair.run.network().link(there).stats().peak_queue_bytes < 700_000);
}

/// The last packets of a transfer are lost: a probe recovers them within a few round trips, not the idle time-out.
#[test]
fn a_lost_tail_is_recovered_by_a_probe() {
    let arena = Arena::new();
    let mut pair = Pair::new(&arena, 1, sender(1, &[100_000]), listener(2), link(50, ms(20)), link(50, ms(20)));
    let (a, call, there) = (pair.a, pair.call, pair.there);
    // All was sent once; what has not arrived yet is the tail.
    let all_sent = |run: &mut Run<'_>| {
        run.host(a).worker().session(call).is_some_and(|session| session.stats().stream_bytes_sent > 95_000)
    };
    common::done(pair.run.until(secs(1), all_sent));
    pair.run.network().link(there).config_mut().loss_ppm = 1_000_000;
    pair.run.for_span(ms(30));
    pair.run.network().link(there).config_mut().loss_ppm = 0;
    let took = pair.complete(secs(5));
    let stats = pair.run.stats(a, call);
    assert!(stats.probe_timeouts >= 1 && stats.stream_bytes_resent > 0, "{stats:?}");
    assert!(took < ms(400), "{} ms", took.as_millis());
}

/// RFC 9002 section 7.6: all is lost over more than three probe time-outs, so the window starts from the bottom.
#[test]
fn persistent_congestion_starts_from_the_minimum() {
    let arena = Arena::new();
    let mut pair = Pair::new(&arena, 1, sender(1, &[400 * MIB]), listener(2), link(50, ms(20)), link(50, ms(20)));
    pair.run.for_span(secs(3));
    let (a, call, there) = (pair.a, pair.call, pair.there);
    assert!(pair.run.stats(a, call).cwnd_bytes > 200_000);
    pair.run.network().link(there).config_mut().loss_ppm = 1_000_000;
    pair.run.for_span(secs(4));
    pair.run.network().link(there).config_mut().loss_ppm = 0;
    let lost = pair.run.stats(a, call).lost_packets;
    let noticed = |run: &mut Run<'_>| run.stats(a, call).lost_packets > lost;
    common::done(pair.run.until(secs(10), noticed));
    let stats = pair.run.stats(a, call);
    assert!(stats.cwnd_bytes <= 4 * 1472, "{stats:?}");
    // And recovers.
    pair.run.for_span(secs(20));
    assert!(pair.run.stats(a, call).cwnd_bytes > 200_000);
}

/// Without pacing the window alone holds packets back, and the transfer goes on (BBR-5).
#[test]
fn pacing_can_be_turned_off() {
    let arena = Arena::new();
    let mut a = sender(1, &[32 * MIB]);
    a.session.pacing = false;
    a.max_segments = 1;
    let path = LinkConfig { buffer_bytes: None, ..link(1000, ms(2)) };
    let mut pair = Pair::new(&arena, 1, a, listener(2), path.clone(), path);
    let took = pair.complete(secs(5));
    assert!(bits_per_sec(32 * MIB, took) > 700_000_000, "{} us", took.as_micros());
}
