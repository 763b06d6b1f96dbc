//! Faults that change a whole link for a while: a policer, other rates, lumps. Each does what its line says, ends when it
//! says so or when faults stop, and can be recorded, replayed and taken away by shrinking (SIM-1, SIM-3).

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test that cannot go on has failed")]

mod common;

use common::{MIB, Pair, bits_per_sec, link, listener, mbit, ms, secs, sender};
use wirehaul_core::time::Duration;
use wirehaul_sim::{
    faults::Fault,
    host::Arena,
    link::{DropReason, HEADER_BYTES},
    planted::Bug,
    run::{HostId, Run},
    shrink::shrink,
    swarm::Scenario,
};

const SECOND: u64 = 1_000_000_000;

fn is_of_a_path(fault: &Fault) -> bool {
    matches!(fault, Fault::Police { .. } | Fault::RateStep { .. } | Fault::Lumps { .. })
}

/// A transfer without end over 50 Mbit/s and 40 ms that meets these faults.
fn bulk<'a>(arena: &'a Arena, faults: &[Fault]) -> Pair<'a> {
    let mut pair = Pair::new(arena, 1, sender(1, &[1000 * MIB]), listener(2), link(50, ms(20)), link(50, ms(20)));
    pair.run.follow(faults, false);
    pair
}

/// Bits per second that leave the link to the listener in the next `span`, headers included.
fn carried(pair: &mut Pair<'_>, span: Duration) -> u64 {
    let there = pair.there;
    let left = |pair: &mut Pair<'_>| {
        let left = pair.run.network().link(there).stats().left;
        left.bytes + left.datagrams * HEADER_BYTES
    };
    let before = left(pair);
    pair.run.for_span(span);
    bits_per_sec(left(pair) - before, span)
}

#[test]
fn a_policer_drops_what_is_above_its_rate_while_it_is_there() {
    let arena = Arena::new();
    let police =
        Fault::Police { link: 0, from_ns: 2 * SECOND, to_ns: 6 * SECOND, rate_bps: 10_000_000, burst_bytes: 30_000 };
    let mut pair = bulk(&arena, &[police]);
    let policed = |pair: &mut Pair<'_>| {
        let there = pair.there;
        pair.run.network().link(there).stats().dropped_for(DropReason::Policed).datagrams
    };
    pair.run.for_span(secs(2));
    assert_eq!(policed(&mut pair), 0);
    let rate = carried(&mut pair, secs(4));
    assert!(rate <= 10_100_000, "{rate}");
    let dropped = policed(&mut pair);
    assert!(dropped > 0);
    let rate = carried(&mut pair, secs(10));
    assert!(rate > 20_000_000, "{rate}");
    assert_eq!(policed(&mut pair), dropped);
}

#[test]
fn a_rate_holds_until_the_next_and_a_healed_path_has_its_own_again() {
    let arena = Arena::new();
    let steps = [(1, 5), (4, 10)].map(|(at_s, megabits)| Fault::RateStep {
        link: 0,
        at_ns: at_s * SECOND,
        rate_bps: megabits * 1_000_000,
    });
    // One that comes too late to happen, and one on a link that has no rate.
    let others = [
        Fault::RateStep { link: 0, at_ns: 9 * SECOND, rate_bps: 64_000 },
        Fault::RateStep { link: 7, at_ns: 0, rate_bps: 64_000 },
    ];
    let mut pair = bulk(&arena, &[&steps[..], &others].concat());
    pair.run.for_span(secs(2));
    let rate = |pair: &mut Pair<'_>| {
        let there = pair.there;
        pair.run.network().link(there).config_mut().rate
    };
    assert_eq!(rate(&mut pair), Some(mbit(5)));
    let slow = carried(&mut pair, secs(2));
    assert!(slow <= 5_100_000, "{slow}");
    pair.run.for_span(secs(2));
    assert_eq!(rate(&mut pair), Some(mbit(10)));
    pair.run.stop_faults();
    assert_eq!(rate(&mut pair), Some(mbit(50)));
    pair.run.for_span(secs(6));
    assert_eq!(rate(&mut pair), Some(mbit(50)));
    let whole = carried(&mut pair, secs(4));
    assert!(whole > 30_000_000, "{whole}");
}

/// Enough scenarios have each that a thousand runs meet them in company, and few enough that runs stay short.
#[test]
fn the_swarm_draws_each_of_them_now_and_then() {
    let drawn: Vec<_> = (0..1_000).map(|seed| Scenario::draw(seed).faults).collect();
    let having = |is: fn(&Fault) -> bool| drawn.iter().filter(|faults| faults.iter().any(is)).count();
    let counts = [
        having(|fault| matches!(fault, Fault::Police { .. })),
        having(|fault| matches!(fault, Fault::RateStep { .. })),
        having(|fault| matches!(fault, Fault::Lumps { .. })),
    ];
    assert!(counts.iter().all(|count| (50..=250).contains(count)), "{counts:?}");
}

/// SIM-3: a run with such faults is the same run after it was recorded and went through text.
#[test]
fn a_recorded_run_with_them_is_the_same_run() {
    let with = |seed: &u64| Scenario::draw(*seed).faults.iter().any(is_of_a_path);
    for seed in (0..).filter(with).take(30) {
        let (outcome, recorded) = Scenario::draw(seed).run_recorded();
        let read = Scenario::from_script(&recorded.to_script()).expect("a script that was just written");
        assert_eq!(read, recorded);
        assert_eq!(read.run(), outcome, "seed {seed}");
    }
}

/// SIM-3: where they have nothing to do with a failure, nothing is left of them.
#[test]
fn shrinking_takes_them_away() {
    let of_a_path = |scenario: &Scenario| scenario.faults.iter().filter(|fault| is_of_a_path(fault)).count();
    let with_bug = |seed| Scenario::draw(seed).with_bug(Bug::LostSlot);
    let fails = |scenario: &Scenario| scenario.run().is_err_and(|failure| failure.violation.rule() == "slots");
    let found = (0..).map(with_bug).find(|scenario| of_a_path(scenario) > 0 && fails(scenario));
    let failing = found.expect("some seed has both");
    let shrunk = shrink(&failing, 2_000).expect("it failed a moment ago");
    assert_eq!((shrunk.rule, of_a_path(&shrunk.scenario)), ("slots", 0));
    assert!(fails(&shrunk.scenario));
}

/// BBR-7: a copy that a probe sent, and that was lost when the bytes in it had already been acknowledged, has nothing to
/// say again. It does not stay in flight for good: the next probe is a PING.
#[test]
fn a_lost_copy_of_what_was_acknowledged_is_settled() {
    let arena = Arena::new();
    let mut pair = Pair::new(&arena, 1, sender(1, &[5000]), listener(2), link(50, ms(20)), link(50, ms(20)));
    let stats = |pair: &mut Pair<'_>| {
        let (a, call) = (pair.a, pair.call);
        pair.run.stats(a, call)
    };
    pair.run.until(secs(2), |run| run.host_ids().any(|id| sent_everything(run, id)));
    let (there, back) = (pair.there, pair.back);
    // The answer takes long, and whatever is sent meanwhile is lost.
    pair.run.network().link(there).config_mut().loss_ppm = 1_000_000;
    pair.run.network().link(back).config_mut().delay = ms(150);
    pair.run.for_span(ms(200));
    assert!(pair.run.all_delivered(), "{}", pair.describe());
    let lost = stats(&mut pair);
    assert!(lost.probe_timeouts > 0 && lost.inflight_bytes > 0, "{lost:?}");
    pair.run.network().link(there).config_mut().loss_ppm = 0;
    pair.run.network().link(back).config_mut().delay = ms(20);
    // Sooner than a keepalive would settle it.
    pair.run.for_span(secs(2));
    assert_eq!(stats(&mut pair).inflight_bytes, 0, "{}", pair.describe());
}

fn sent_everything(run: &mut Run<'_>, id: HostId) -> bool {
    run.host(id).worker().sessions().any(|(_, session)| session.stats().stream_bytes_sent == 5000)
}
