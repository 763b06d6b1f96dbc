//! When packets leave (BBR-3..6): on an absolute schedule, to the nanosecond in virtual time, and never in a flood.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test that cannot go on has failed")]

mod common;

use common::{MIB, Pair, bits_per_sec, link, listener, mbit, ms, secs, sender};
use wirehaul_core::{congestion::ControllerKind, pacer::Quantum, rate::Rate, session::Stats, time::Duration};
use wirehaul_sim::{checks, endpoint::Departure, host::Arena, host::HostConfig};

const BIT_NANOS_PER_BYTE: u128 = 8_000_000_000;

/// A sender with more to send than any test takes.
fn capped(cap: Rate, quantum: Quantum) -> HostConfig {
    let mut config = sender(1, &[4_000 * MIB]);
    config.session.rate_cap = Some(cap);
    config.session.quantum = quantum;
    config
}

/// What left in `span`, on a path that is faster than the sender may be, once its window is open; and the figures.
fn departures(a: HostConfig, round_trip: Duration, span: Duration) -> (Vec<Departure>, Stats, Stats) {
    let arena = Arena::new();
    let path = link(3000, round_trip.mul_ratio(1, 2));
    let mut pair = Pair::new(&arena, 1, a, listener(2), path.clone(), path);
    pair.run.for_span(secs(3));
    let (host, call) = (pair.a, pair.call);
    let before = pair.run.stats(host, call);
    pair.run.host(host).endpoint().log_departures();
    pair.run.for_span(span);
    let after = pair.run.stats(host, call);
    (pair.run.host(host).endpoint().departures().to_vec(), before, after)
}

/// How far the departures are from those of a sender that is never late, at most.
fn furthest_from_ideal(departures: &[Departure], rate: Rate) -> Duration {
    let first = departures.first().expect("something left").at;
    let mut sent = 0;
    let mut furthest = 0;
    for departure in departures {
        let ideal = u64::try_from(sent * BIT_NANOS_PER_BYTE / u128::from(rate.as_bits_per_sec())).unwrap();
        furthest = furthest.max(departure.at.saturating_since(first).as_nanos().abs_diff(ideal));
        sent += u128::from(departure.bytes);
    }
    Duration::from_nanos(furthest)
}

fn mean_rate(departures: &[Departure]) -> u64 {
    let (first, last) = (departures.first().unwrap(), departures.last().unwrap());
    let bytes = departures.iter().map(|departure| departure.bytes).sum::<u64>() - last.bytes;
    bits_per_sec(bytes, last.at.saturating_since(first.at))
}

/// BBR-6: with a quantum of one packet every departure is within one tick of ideal, the mean within 0.1 %.
#[test]
fn packets_leave_to_the_nanosecond() {
    for round_trip in [1, 10, 100] {
        // The second rate divides nothing.
        for bits in [40_000_000, 77_777_777] {
            let cap = Rate::from_bits_per_sec(bits);
            let (departures, ..) = departures(capped(cap, Quantum::ONE_PACKET), ms(round_trip), secs(5));
            assert!(departures.len() > 10_000 && departures.iter().all(|departure| departure.bytes == 1472));
            let furthest = furthest_from_ideal(&departures, cap);
            assert!(furthest <= Duration::from_nanos(1), "{round_trip} ms, {bits} bit/s: {} ns", furthest.as_nanos());
            assert!(mean_rate(&departures).abs_diff(bits) * 1000 <= bits);
            assert_eq!(checks::pacing(&departures, cap, 1472), Ok(()));
        }
    }
}

/// BBR-4: a host that wakes late makes up for it, and yet no window holds more than the rate and one quantum.
#[test]
fn lateness_within_a_quantum_costs_nothing() {
    for (bits, late_us) in [(10_000_000, 1_100), (200_000_000, 700), (1_000_000_000, 260)] {
        let cap = Rate::from_bits_per_sec(bits);
        let mut a = capped(cap, Quantum::DRAFT);
        a.room.sent = 16_384;
        a.wake_lateness = Duration::from_micros(late_us);
        let (departures, before, after) = departures(a, ms(1), secs(2));
        assert!(mean_rate(&departures).abs_diff(bits) * 1000 <= bits, "{} of {bits}", mean_rate(&departures));
        assert_eq!(checks::pacing(&departures, cap, Quantum::DRAFT.bytes(Some(cap), 1472)), Ok(()));
        assert_eq!(after.paced_lost, before.paced_lost);
        assert!(after.paced.saturating_sub(before.paced) > ms(1_000), "the pacer alone held packets back");
    }
}

/// BBR-4, XFER-7: what is beyond a quantum is lost and not made up for by a flood, and the pacing error says how much.
#[test]
fn lateness_beyond_a_quantum_is_lost_and_told() {
    let cap = mbit(200);
    let mut a = capped(cap, Quantum::DRAFT);
    a.wake_lateness = ms(3);
    // BBR would take what is lost for the path's doing, and ask for less.
    a.session.controller = ControllerKind::Cubic;
    let (departures, before, after) = departures(a, ms(10), secs(5));
    assert_eq!(checks::pacing(&departures, cap, Quantum::DRAFT.bytes(Some(cap), 1472)), Ok(()));
    let missed_ppm = (200_000_000 - mean_rate(&departures)) / 200;
    let told = Stats {
        paced: after.paced.saturating_sub(before.paced),
        paced_lost: after.paced_lost.saturating_sub(before.paced_lost),
        ..Stats::default()
    };
    let told_ppm = told.pacing_error_ppm().unwrap();
    assert!(missed_ppm > 200_000, "{missed_ppm}");
    assert!(told_ppm.abs_diff(missed_ppm) < 20_000, "says {told_ppm}, is {missed_ppm}");
}

/// XFER-7: where the path and not the pacer is what holds packets back, nothing of it is a pacing error.
#[test]
fn a_slow_path_is_no_pacing_error() {
    let arena = Arena::new();
    let mut pair = Pair::new(&arena, 1, sender(1, &[400 * MIB]), listener(2), link(50, ms(20)), link(50, ms(20)));
    pair.run.for_span(secs(20));
    let error = pair.run.stats(pair.a, pair.call).pacing_error_ppm();
    assert!(error.is_none_or(|ppm| ppm < 1_000), "{error:?}");
}

/// A device that keeps the time itself gets its runs early, and lateness of the host is seen no more.
#[test]
fn transmit_time_takes_lateness_away() {
    let cap = mbit(40);
    let mut a = capped(cap, Quantum::ONE_PACKET);
    a.session.transmit_horizon = ms(2);
    a.wake_lateness = ms(1);
    let (departures, ..) = departures(a, ms(10), secs(5));
    assert!(furthest_from_ideal(&departures, cap) <= Duration::from_nanos(1));
    assert_eq!(checks::pacing(&departures, cap, 1472), Ok(()));
}

/// BBR-6: a host whose timers are late by several quanta still reaches most of a fast path.
#[test]
fn late_timers_do_not_cost_the_rate() {
    let arena = Arena::new();
    let mut a = sender(1, &[4_000 * MIB]);
    a.room.sent = 32_768;
    a.wake_lateness = Duration::from_micros(200);
    a.session.controller = ControllerKind::Cubic;
    let mut b = listener(2);
    b.session.initial_window_bytes = 16 << 20;
    let mut pair = Pair::new(&arena, 1, a, b, link(5_000, ms(2)), link(5_000, ms(2)));
    pair.run.for_span(ms(150));
    let before = pair.run.stats(pair.a, pair.call).stream_bytes_sent;
    pair.run.for_span(ms(150));
    let sent = pair.run.stats(pair.a, pair.call).stream_bytes_sent - before;
    // A quantum of 64 KiB is 105 us at this rate: without credit for lateness it would be 3.9 Gbit/s.
    assert!(bits_per_sec(sent, ms(150)) > 4_200_000_000, "{}", bits_per_sec(sent, ms(150)));
}
