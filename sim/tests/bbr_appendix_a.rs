//! The test cases of draft-ietf-ccwg-bbr Appendix A, in its order and by its names, on whole sessions (BBR-1, BBR-2).

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test that cannot go on has failed")]

mod common;

use common::{
    flight::{Flight, cruising, ordinary},
    mbit, ms, secs,
};
use wirehaul_core::{rate::Rate, time::Duration};
use wirehaul_sim::host::Arena;

/// Whether `value` is within `per_mille` of `wanted`.
fn is_near(value: u64, wanted: u64, per_mille: u64) -> bool {
    value.abs_diff(wanted) * 1000 <= wanted * per_mille
}

fn bits(rate: Option<Rate>) -> u64 {
    rate.map_or(0, Rate::as_bits_per_sec)
}

/// The share of a link's rate that datagrams get, UDP payload of 1472 bytes in packets of 1500.
fn datagram_rate(rate: Rate) -> u64 {
    rate.mul_ratio(1472, 1500).as_bits_per_sec()
}

/// A gain, as the pacing rate shows it: it holds the margin of 1 %.
fn pacing_gain_per_mille(moment: &common::flight::Moment) -> u64 {
    moment.pacing_rate.as_bits_per_sec() * 100_000 / 99 / bits(moment.model.bw)
}

#[test]
fn exiting_startup_on_bandwidth_plateau() {
    let arena = Arena::new();
    let mut flight = ordinary(&arena, 400);
    let drain = flight.until_entering("Drain", secs(2));
    assert_eq!(drain.stats.lost_packets, 0);
    assert!(is_near(bits(drain.model.max_bw), datagram_rate(flight.rate), 20), "{drain:?}");
    // Doubling each round from ten packets, then three rounds without growth: some ten round trips.
    let rounds = flight.pair.run.now().as_nanos().saturating_sub(3_600_000_000_000) / flight.rtt.as_nanos();
    assert!((6..=16).contains(&rounds), "{rounds} rounds");
}

#[test]
fn exiting_drain_based_on_inflight() {
    let arena = Arena::new();
    let mut flight = ordinary(&arena, 400);
    let drain = flight.until_entering("Drain", secs(2));
    assert!(is_near(pacing_gain_per_mille(&drain), 500, 20), "{drain:?}");
    assert!(drain.stats.inflight_bytes > Flight::bdp(&drain));
    let (_, after, took) = flight.until_leaving(secs(1));
    assert!(after.model.state.starts_with("ProbeBW"), "{after:?}");
    assert!(after.stats.inflight_bytes <= Flight::bdp(&after), "{after:?}");
    assert!(took < flight.rtt.saturating_mul(3), "{took:?}");
}

#[test]
fn exiting_drain_based_on_time() {
    let arena = Arena::new();
    let mut flight = ordinary(&arena, 800);
    flight.until_entering("Drain", secs(2));
    // The draft takes a tenth off, which half the rate still drains; with a fifth left the queue grows on.
    flight.set_rate(mbit(10));
    let (before, after, _) = flight.until_leaving(secs(5));
    assert!(after.model.state.starts_with("ProbeBW"), "{after:?}");
    assert!(before.stats.inflight_bytes > Flight::bdp(&before), "{before:?}");
}

#[test]
fn exiting_probe_up_on_bandwidth_plateau() {
    let arena = Arena::new();
    let mut flight = cruising(&arena, 400);
    let up = flight.until_entering("ProbeBW_UP", secs(4));
    assert!(is_near(pacing_gain_per_mille(&up), 1250, 20), "{up:?}");
    let (_, after, took) = flight.until_leaving(secs(2));
    assert_eq!((after.model.state, after.stats.lost_packets), ("ProbeBW_DOWN", 0));
    assert!(took >= flight.rtt.saturating_mul(3) && took < flight.rtt.saturating_mul(12), "{took:?}");
}

#[test]
fn exiting_probe_down_on_inflight() {
    let arena = Arena::new();
    let mut flight = cruising(&arena, 400);
    let down = flight.until_entering("ProbeBW_DOWN", secs(6));
    assert!(is_near(pacing_gain_per_mille(&down), 900, 20), "{down:?}");
    assert!(down.stats.inflight_bytes > Flight::bdp(&down));
    let (_, after, _) = flight.until_leaving(secs(3));
    assert_eq!(after.model.state, "ProbeBW_CRUISE");
    let headroom = after.model.inflight_longterm_bytes.map_or(u64::MAX, |bound| bound * 85 / 100);
    // A millisecond later a quantum more may have left.
    assert!(after.stats.inflight_bytes <= Flight::bdp(&after).min(headroom) + 8_000, "{after:?}");
}

#[test]
fn exiting_probe_down_after_max_time() {
    let arena = Arena::new();
    let mut flight = cruising(&arena, 1000);
    for _ in 0..32 {
        flight.until_entering("ProbeBW_DOWN", secs(8));
        // Less than DOWN sends, so that the queue grows and inflight never falls.
        flight.set_rate(mbit(40));
        let (_, after, took) = flight.until_leaving(secs(5));
        flight.set_rate(mbit(50));
        // The five seconds of ProbeRTT may be over first.
        if after.model.state != "ProbeRTT" {
            assert_eq!(after.model.state, "ProbeBW_REFILL");
            assert!(took <= secs(3) + flight.rtt.saturating_mul(2), "{took:?}");
            return;
        }
    }
    panic!("ProbeRTT was always first");
}

#[test]
fn entering_and_exiting_probe_rtt() {
    let arena = Arena::new();
    let mut flight = cruising(&arena, 100);
    let probe = flight.until_entering("ProbeRTT", secs(8));
    let target = Flight::bdp(&probe) / 2;
    assert!(probe.stats.cwnd_bytes <= target + 1472, "{probe:?}");
    let (before, after, took) = flight.until_leaving(secs(2));
    assert!(before.stats.inflight_bytes <= target + 2 * 1472, "{before:?}");
    assert!(took >= ms(200) && took < ms(400), "{took:?}");
    assert!(after.model.state.starts_with("ProbeBW"), "{after:?}");
    assert!(flight.utilisation(secs(2)) > 900);
}

#[test]
fn correctly_managing_sub_packet_bdps() {
    let arena = Arena::new();
    let rate = Rate::from_bits_per_sec(256_000);
    let mut flight = Flight::new(&arena, rate, ms(10), 100);
    flight.change(|link| link.buffer_bytes = Some(60_000));
    flight.fly(secs(20));
    let moment = flight.moment();
    assert!(rate.bytes_in(flight.rtt) < 1472);
    assert!((4 * 1472..30 * 1472).contains(&moment.stats.cwnd_bytes), "{moment:?}");
    assert!(is_near(bits(moment.model.max_bw), datagram_rate(rate), 50), "{moment:?}");
    assert!(flight.utilisation(secs(20)) > 950);
}

#[test]
fn increasing_bandwidth_10x_and_ensuring_full_bandwidth_is_reached() {
    let arena = Arena::new();
    let mut flight = Flight::new(&arena, mbit(10), ms(40), 100);
    flight.fly(secs(6));
    flight.set_rate(mbit(100));
    flight.change(|link| link.buffer_bytes = Some(mbit(100).bytes_in(ms(40))));
    let changed = flight.pair.run.now();
    while bits(flight.moment().model.max_bw) < datagram_rate(mbit(100)) * 9 / 10 {
        flight.fly(ms(10));
        let took = flight.pair.run.now().saturating_since(changed);
        assert!(took < secs(20), "{:?}", flight.moment());
    }
    assert!(flight.utilisation(secs(10)) > 900);
}

#[test]
fn decreasing_bandwidth_10x_and_ensuring_max_bandwidth_adapts_down() {
    let arena = Arena::new();
    let mut flight = Flight::new(&arena, mbit(100), ms(40), 100);
    flight.fly(secs(3));
    flight.until_entering("ProbeBW_CRUISE", secs(8));
    flight.set_rate(mbit(10));
    flight.change(|link| link.buffer_bytes = Some(mbit(10).bytes_in(ms(40)) * 2));
    // A factor of 0.7 a round trip, until what is delivered is reached.
    flight.fly(secs(1));
    let soon = flight.moment();
    assert!(bits(soon.model.bw) < 40_000_000, "{soon:?}");
    flight.fly(secs(14));
    let later = flight.moment();
    assert!(is_near(bits(later.model.max_bw), datagram_rate(mbit(10)), 100), "{later:?}");
    assert!(flight.utilisation(secs(5)) > 850);
}

#[test]
fn entering_and_exiting_probe_rtt_during_startup() {
    let arena = Arena::new();
    // Startup takes more than the five seconds between two probes.
    let mut flight = Flight::new(&arena, mbit(200), ms(600), 100);
    // The path becomes longer all the time, so that no sample is as low as those before.
    let mut probe = flight.moment();
    for _ in 0..40 {
        flight.fly(ms(200)).change(|link| link.delay = link.delay + ms(25));
        probe = flight.moment();
        if probe.model.state == "ProbeRTT" {
            break;
        }
    }
    assert_eq!(probe.model.state, "ProbeRTT");
    assert!(bits(probe.model.max_bw) < datagram_rate(flight.rate) / 2, "{probe:?}");
    let (_, after, _) = flight.until_leaving(secs(4));
    assert_eq!(after.model.state, "Startup");
    let searched = bits(after.model.max_bw);
    flight.fly(secs(40));
    let found = bits(flight.moment().model.max_bw);
    assert!(found > datagram_rate(flight.rate) * 9 / 10 && found > 2 * searched, "{searched}, {found}");
}

#[test]
fn handling_loss_during_probe_up_after_inflight_longterm_is_set() {
    let arena = Arena::new();
    let mut flight = cruising(&arena, 60);
    // A probe that is cut short for precaution is followed by one that is not.
    for _ in 0..6 {
        flight.until_entering("ProbeBW_UP", secs(6));
        let (before, after, took) = flight.until_leaving(secs(3));
        let bound = after.model.inflight_longterm_bytes;
        if after.stats.lost_packets > before.stats.lost_packets && after.model.state == "ProbeBW_DOWN" {
            let bound = bound.expect("losses set a bound");
            assert!(bound >= Flight::bdp(&before) * 7 / 10, "{after:?}");
            assert!(bound <= before.stats.cwnd_bytes.max(before.stats.inflight_bytes) + 1472, "{after:?}");
            assert!(took < Duration::from_secs(1), "{took:?}");
            return;
        }
    }
    panic!("no probe lost anything");
}
