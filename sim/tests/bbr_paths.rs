//! BBR over paths of all kinds, alone and in company: how much of the path it uses, and what it leaves to others.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test that cannot go on has failed")]

mod common;

use common::{
    MIB, bits_per_sec,
    flight::{Flight, ordinary},
    listener, mbit, ms, secs, sender,
};
use wirehaul_core::{congestion::ControllerKind, rate::Rate, time::Duration};
use wirehaul_sim::{checks, host::Arena, link::LinkConfig, run::Run};

/// A clean path with a buffer of one BDP, and of 64 KB at least, is used to 95 % once the search is over: from 1 Mbit/s to
/// 10 Gbit/s and from 1 to 600 ms.
#[test]
fn a_clean_path_is_used() {
    let cases = [
        (mbit(1), ms(1), 950),
        (mbit(1), ms(100), 950),
        (mbit(10), ms(20), 950),
        (mbit(10), ms(200), 950),
        (mbit(5), ms(600), 950),
        (mbit(20), ms(600), 950),
        (mbit(100), ms(600), 950),
        (mbit(100), ms(1), 950),
        (mbit(100), ms(100), 950),
        (mbit(1000), ms(10), 950),
        (mbit(10_000), ms(1), 950),
    ];
    for (rate, rtt, least) in cases {
        let arena = Arena::new();
        let mut flight = Flight::with(&arena, ControllerKind::Bbr, rate, rtt, |link| {
            link.buffer_bytes = Some(rate.bytes_in(rtt).max(65_536));
        });
        // Some packets more, at high rates: fewer seconds.
        let fast = rate > mbit(500);
        flight.fly(if fast { secs(1) } else { secs(8) + rtt.saturating_mul(20) });
        let used = flight.utilisation(if fast { secs(2) } else { secs(30) });
        assert!(used >= least, "{rate:?} {rtt:?}: {used}, {:?}", flight.moment());
    }
}

/// The same where a few packets are in flight, of which one lost by chance is more than 2 %, and where there are many rounds.
#[test]
fn random_loss_costs_little_whatever_the_bdp() {
    for (rate, rtt) in
        [(mbit(10), ms(10)), (mbit(10), ms(100)), (mbit(50), ms(40)), (mbit(100), ms(10)), (mbit(1000), ms(10))]
    {
        let arena = Arena::new();
        let mut flight = Flight::with(&arena, ControllerKind::Bbr, rate, rtt, |link| {
            link.buffer_bytes = Some(rate.bytes_in(rtt));
            link.loss_ppm = 10_000;
        });
        flight.fly(secs(2));
        let used = flight.utilisation(secs(if rate > mbit(500) { 6 } else { 20 }));
        assert!(used >= 900, "{rate:?} {rtt:?}: {used}");
    }
}

/// Random loss up to 1 % leaves 90 % of the path, where CUBIC keeps less than a fifth at a tenth of that; beyond 2 % BBRv3
/// gives way (published behaviour 1).
#[test]
fn random_loss_up_to_one_per_cent_costs_little() {
    for (ppm, least, most) in [(10, 950, 1000), (1000, 920, 1000), (10_000, 900, 1000), (50_000, 10, 500)] {
        let arena = Arena::new();
        let mut flight = Flight::with(&arena, ControllerKind::Bbr, mbit(100), ms(100), |link| {
            link.buffer_bytes = Some(1_250_000);
            link.loss_ppm = ppm;
        });
        flight.fly(secs(5));
        let used = flight.utilisation(secs(30));
        assert!((least..=most).contains(&used), "{ppm} ppm: {used}");
    }
    let arena = Arena::new();
    let mut flight = Flight::with(&arena, ControllerKind::Cubic, mbit(100), ms(100), |link| link.loss_ppm = 1000);
    flight.fly(secs(5));
    let used = flight.utilisation(secs(30));
    assert!(used < 200, "{used}");
}

/// Buffers from a fiftieth of a BDP to sixteen.
#[test]
fn buffers_may_be_shallow_or_deep() {
    for (percent, least) in [(2, 650), (10, 850), (50, 900), (1600, 950)] {
        let arena = Arena::new();
        let mut flight = Flight::new(&arena, mbit(100), ms(50), percent);
        flight.fly(secs(5));
        let used = flight.utilisation(secs(20));
        assert!(used >= least, "{percent} %: {used}");
    }
}

/// Three milliseconds of jitter on a path of 20 ms.
#[test]
fn jitter_costs_little() {
    let arena = Arena::new();
    let mut flight = ordinary(&arena, 200);
    flight.change(|link| link.jitter = ms(3));
    flight.fly(secs(4));
    let used = flight.utilisation(secs(20));
    assert!(used >= 930, "{used}");
}

/// A radio link that delivers what it has every 5 ms, and one that does so every 50 ms, which is longer than the round trip:
/// whole rounds then seem to deliver next to nothing.
#[test]
fn lumps_cost_little() {
    for (every, least) in [(ms(5), 930), (ms(50), 900)] {
        let arena = Arena::new();
        let mut flight = Flight::new(&arena, mbit(50), ms(20), 200);
        flight.change(|link| link.lumps = every);
        flight.fly(secs(4));
        let used = flight.utilisation(secs(20));
        assert!(used >= least, "{every:?}: {used}");
    }
}

/// Nothing gets through for five seconds; afterwards the path is used as before.
#[test]
fn an_outage_is_survived() {
    let arena = Arena::new();
    let mut flight = ordinary(&arena, 100);
    flight.fly(secs(4));
    let now = flight.pair.run.now();
    flight.change(|link| link.outages = vec![(now, now + secs(5))]);
    flight.fly(secs(5));
    flight.fly(secs(5));
    let used = flight.utilisation(secs(10));
    assert!(used >= 900, "{used}");
}

/// 10, 20, 10 Mbit/s at 40 ms (published behaviour 3).
#[test]
fn a_rate_that_steps_up_and_down_is_followed() {
    let arena = Arena::new();
    let mut flight = Flight::new(&arena, mbit(10), ms(40), 200);
    flight.fly(secs(8));
    flight.set_rate(mbit(20));
    flight.fly(secs(10));
    let up = flight.utilisation(secs(5));
    flight.set_rate(mbit(10));
    flight.fly(secs(10));
    let down = flight.utilisation(secs(5));
    assert!(up >= 930 && down >= 930, "{up} {down}");
    let queued = flight.moment().queue_bytes;
    assert!(queued <= mbit(10).bytes_in(ms(80)), "{queued}");
}

struct Shared<'a> {
    run: Run<'a>,
}

/// Flows with their own delays and start times into one bottleneck.
fn shared<'a>(
    arena: &'a Arena,
    rate: Rate,
    buffer: u64,
    seed: u64,
    flows: &[(ControllerKind, Duration, Duration)],
) -> Shared<'a> {
    let mut run = Run::new(arena, seed);
    let bottleneck = LinkConfig { rate: Some(rate), buffer_bytes: Some(buffer), ..LinkConfig::default() };
    let bottleneck = run.network().add_link(bottleneck);
    let start = run.now();
    for (n, (controller, rtt, at)) in (0..).zip(flows) {
        run.for_span((start + *at).saturating_since(run.now()));
        let mut a = sender(1 + n, &[60_000 * MIB]);
        a.session.controller = *controller;
        let (a, b) = (run.add_host(a), run.add_host(listener(100 + n)));
        let half = LinkConfig { delay: rtt.mul_ratio(1, 2), ..LinkConfig::default() };
        let (access, back) = (run.network().add_link(half.clone()), run.network().add_link(half));
        let (from, to) = (run.host(a).address(), run.host(b).address());
        run.network().route(from, to, &[access, bottleneck]);
        run.network().route(to, from, &[back]);
        run.connect(a, b);
    }
    Shared { run }
}

impl Shared<'_> {
    fn received(&self) -> Vec<u64> {
        let flows = self.run.hosts().flat_map(|host| host.app().flows().map(|(_, flow)| flow.received_bytes()));
        flows.collect()
    }

    /// What each flow gets over `span`, in bytes; senders receive nothing.
    fn shares(&mut self, span: Duration, flows: usize) -> Vec<u64> {
        let before = self.received();
        self.run.for_span(span);
        let all: Vec<u64> = self.received().iter().zip(before).map(|(after, before)| after - before).collect();
        let shares: Vec<u64> = all.into_iter().filter(|bytes| *bytes > 0).collect();
        assert_eq!(shares.len(), flows, "{shares:?}");
        shares
    }
}

/// Jain's index of flows that start `apart` from one another, over the minute behind their first half: that of each of so many runs,
/// ascending.
fn fairness(count: u64, apart: Duration, runs: u64) -> Vec<u64> {
    let mut indices: Vec<u64> = (1..=runs)
        .map(|seed| {
            let arena = Arena::new();
            let start = |n| (ControllerKind::Bbr, ms(40), apart.saturating_mul(n));
            let flows: Vec<_> = (0..count).map(start).collect();
            let mut shared = shared(&arena, mbit(100), 500_000, seed, &flows);
            shared.run.for_span(secs(30));
            let shares = shared.shares(secs(60), flows.len());
            assert!(bits_per_sec(shares.iter().sum(), secs(60)) > 85_000_000, "{shares:?}");
            checks::jain_ppm(&shares)
        })
        .collect();
    indices.sort_unstable();
    indices
}

/// Equal flows share equally 30 s after they started. Two of them differ most from run to run, as their shares change slowly: of 42 runs
/// the median was 0.96, a third were below 0.93, and the least was 0.86. So a few runs are held to their mean.
#[test]
fn equal_flows_share_equally() {
    let cases: &[(u64, u64, u64)] = &[(2, 7, 900_000), (5, 3, 930_000), (10, 3, 930_000)];
    let is_full = std::env::var_os("WIREHAUL_TEST_FULL").is_some();
    for &(count, runs, enough) in cases.iter().filter(|(count, ..)| *count < 10 || is_full) {
        let indices = fairness(count, ms(100), runs);
        let mean = indices.iter().sum::<u64>() / runs;
        assert!(mean >= enough && indices[0] >= 850_000, "{count} flows: {indices:?}");
    }
}

/// Five flows come two seconds after one another to one that was there.
#[test]
fn late_joiners_get_their_share() {
    let indices = fairness(6, secs(2), 3);
    let mean = indices.iter().sum::<u64>() / 3;
    assert!(mean >= 930_000 && indices[0] >= 850_000, "{indices:?}");
}

/// Beside CUBIC at a buffer of one BDP neither gets less than a fifth of its fair half.
#[test]
fn beside_cubic_neither_starves() {
    let arena = Arena::new();
    let flows = [(ControllerKind::Bbr, ms(40), secs(0)), (ControllerKind::Cubic, ms(40), ms(200))];
    let mut shared = shared(&arena, mbit(50), 250_000, 7, &flows);
    shared.run.for_span(secs(20));
    let shares = shared.shares(secs(60), 2);
    let fair: u64 = shares.iter().sum::<u64>() / 2;
    assert!(shares.iter().all(|share| share * 5 >= fair), "{shares:?}");
}

/// Flows of 20 and of 100 ms share a bottleneck, and none starves.
#[test]
fn flows_of_different_delay_live_together() {
    let arena = Arena::new();
    let flows = [(ControllerKind::Bbr, ms(20), secs(0)), (ControllerKind::Bbr, ms(100), ms(300))];
    let mut shared = shared(&arena, mbit(50), 500_000, 7, &flows);
    shared.run.for_span(secs(20));
    let shares = shared.shares(secs(60), 2);
    let fair: u64 = shares.iter().sum::<u64>() / 2;
    assert!(shares.iter().all(|share| share * 5 >= fair), "{shares:?}");
}
