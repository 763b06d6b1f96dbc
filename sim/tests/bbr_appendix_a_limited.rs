//! The test cases of draft-ietf-ccwg-bbr Appendix A in which the application pauses, the path polices, lumps or reorders
//! (BBR-1, BBR-2, BBR-7).

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test that cannot go on has failed")]

mod common;

use common::{
    MIB,
    flight::{Flight, cruising},
    mbit, ms, secs,
};
use wirehaul_core::rate::Rate;
use wirehaul_sim::{host::Arena, link::Policer};

fn limited(arena: &Arena) -> Flight<'_> {
    Flight::idle(arena, mbit(50), ms(40), 200)
}

fn bits(rate: Option<Rate>) -> u64 {
    rate.map_or(0, Rate::as_bits_per_sec)
}

#[test]
fn never_exiting_startup_when_application_limited_with_no_loss() {
    let arena = Arena::new();
    let mut flight = limited(&arena);
    // Less than the five seconds until ProbeRTT, and a hundred round trips.
    flight.trickle(mbit(5), secs(4));
    let moment = flight.moment();
    assert_eq!((moment.model.state, moment.stats.lost_packets), ("Startup", 0));
    assert!(bits(moment.model.max_bw) > 3_000_000, "{moment:?}");
}

#[test]
fn exiting_startup_on_loss_when_application_limited() {
    let arena = Arena::new();
    let mut flight = limited(&arena);
    flight.trickle(mbit(20), secs(1));
    assert_eq!(flight.moment().model.state, "Startup");
    flight.change(|link| link.loss_ppm = 150_000);
    flight.trickle(mbit(20), ms(600));
    let moment = flight.moment();
    assert!(moment.model.state != "Startup", "{moment:?}");
    let bound = moment.model.inflight_longterm_bytes.expect("losses set a bound");
    assert!(bound >= Flight::bdp(&moment) * 7 / 10, "{moment:?}");
}

#[test]
fn never_exiting_probe_up_when_application_limited_with_no_loss() {
    let arena = Arena::new();
    let mut flight = limited(&arena);
    flight.offer(40 * MIB);
    flight.until_entering("ProbeBW_REFILL", secs(6));
    // What was offered is used up: from here on the application decides.
    while flight.moment().stats.inflight_bytes > 0 {
        flight.fly(ms(1));
    }
    flight.trickle(mbit(2), ms(200));
    while flight.moment().model.state != "ProbeBW_UP" {
        flight.trickle(mbit(2), ms(5));
    }
    flight.trickle(mbit(2), secs(2));
    let moment = flight.moment();
    assert_eq!(moment.stats.lost_packets, 0);
    // Two seconds are fifty round trips; only ProbeRTT may come in between.
    assert!(["ProbeBW_UP", "ProbeRTT", "ProbeBW_CRUISE"].contains(&moment.model.state), "{moment:?}");
}

#[test]
fn exiting_probe_up_on_loss_when_application_limited() {
    let arena = Arena::new();
    let mut flight = limited(&arena);
    flight.offer(60 * MIB);
    flight.until_entering("ProbeBW_UP", secs(6));
    flight.change(|link| link.loss_ppm = 200_000);
    let (before, after, took) = flight.until_leaving(secs(2));
    assert_eq!(after.model.state, "ProbeBW_DOWN");
    assert!(after.stats.lost_packets > before.stats.lost_packets || before.stats.lost_packets > 0);
    assert!(took < ms(300), "{took:?}");
    assert!(after.model.inflight_longterm_bytes.is_some());
}

#[test]
fn skipping_probe_rtt_due_to_application_limited_sending() {
    let arena = Arena::new();
    let mut flight = limited(&arena);
    flight.offer(12 * MIB);
    flight.until_entering("ProbeBW_CRUISE", secs(3));
    while flight.moment().stats.inflight_bytes > 0 {
        flight.fly(ms(10));
    }
    let before = flight.moment();
    flight.fly(secs(6));
    flight.offer(12 * MIB);
    for _ in 0..200 {
        flight.fly(ms(2));
        assert_ne!(flight.moment().model.state, "ProbeRTT");
    }
    // It goes on at its old rate at once.
    assert!(flight.moment().stats.sent_bytes - before.stats.sent_bytes > mbit(50).bytes_in(ms(300)));
}

#[test]
fn handling_application_limited_sending_during_probe_refill() {
    let arena = Arena::new();
    let mut flight = limited(&arena);
    flight.offer(14 * MIB);
    flight.until_entering("ProbeBW_CRUISE", secs(3));
    while flight.moment().stats.inflight_bytes > 0 {
        flight.fly(ms(5));
    }
    let before = flight.moment();
    for _ in 0..600 {
        flight.trickle(mbit(1), ms(5));
        if flight.moment().model.state == "ProbeBW_REFILL" {
            break;
        }
    }
    assert_eq!(flight.moment().model.state, "ProbeBW_REFILL");
    for _ in 0..100 {
        flight.trickle(mbit(1), ms(5));
        if flight.moment().model.state == "ProbeBW_UP" {
            break;
        }
    }
    let after = flight.moment();
    assert_eq!(after.model.state, "ProbeBW_UP");
    assert_eq!(after.model.max_bw, before.model.max_bw);
}

/// The way back delivers what has gathered every 30 ms, on a path of 40.
fn lumpy(arena: &Arena) -> Flight<'_> {
    let mut flight = Flight::new(arena, mbit(50), ms(40), 300);
    let back = flight.pair.back;
    flight.pair.run.network().link(back).config_mut().lumps = ms(30);
    flight
}

#[test]
fn achieving_expected_startup_bandwidth_on_a_link_with_aggregation() {
    let arena = Arena::new();
    let mut flight = lumpy(&arena);
    let drain = flight.until_entering("Drain", secs(4));
    let reached = bits(drain.model.max_bw) * 100 / 49_000_000;
    assert!((90..=110).contains(&reached), "{reached} %: {drain:?}");
    assert!(drain.stats.cwnd_bytes > 2 * Flight::bdp(&drain), "{drain:?}");
}

#[test]
fn achieving_expected_cruise_bandwidth_on_a_link_with_aggregation() {
    let arena = Arena::new();
    let mut flight = lumpy(&arena);
    flight.until_entering("ProbeBW_CRUISE", secs(5));
    flight.fly(ms(500));
    let cruise = flight.moment();
    assert!(cruise.stats.cwnd_bytes > 2 * Flight::bdp(&cruise) * 11 / 10, "{cruise:?}");
    let used = flight.utilisation(secs(10));
    assert!(used >= 900, "{used}");
}

#[test]
fn handling_token_bucket_policers() {
    let arena = Arena::new();
    let mut flight = Flight::new(&arena, mbit(100), ms(40), 100);
    flight.change(|link| link.policer = Some(Policer { rate: mbit(10), burst_bytes: 100_000 }));
    flight.fly(secs(10));
    let before = flight.moment().stats;
    let used = flight.utilisation(secs(20));
    let after = flight.moment();
    // Of the token rate, which is a tenth of the link's, most is used, and little is sent in vain.
    assert!((70..=101).contains(&used), "{used}");
    let resent = (after.stats.stream_bytes_resent - before.stream_bytes_resent) * 100;
    let sent = after.stats.stream_bytes_sent - before.stream_bytes_sent;
    assert!(resent / sent < 15, "{resent} / {sent}");
}

#[test]
fn handling_spurious_fast_recovery() {
    let arena = Arena::new();
    let mut flight = cruising(&arena, 200);
    let before = flight.moment();
    // Packets are held back for longer than any threshold, for a moment.
    flight.change(|link| (link.reorder_ppm, link.reorder_by) = (100_000, ms(60)));
    flight.fly(ms(60)).change(|link| link.reorder_ppm = 0);
    flight.fly(ms(400));
    let after = flight.moment();
    assert!(after.stats.spurious_losses > 0, "{after:?}");
    assert_eq!(after.stats.spurious_losses, after.stats.lost_packets - before.stats.lost_packets);
    let kept = bits(after.model.bw) * 100 / bits(before.model.bw);
    assert!(kept >= 95, "{kept} % of the estimate is left");
    assert_eq!(after.model.inflight_shortterm_bytes, None);
    assert!(flight.utilisation(secs(1)) > 850);
}

#[test]
fn handling_spurious_rto_recovery() {
    let arena = Arena::new();
    let mut flight = cruising(&arena, 400);
    let before = flight.moment();
    // All at once the path takes half a second longer, and then no longer does: what was on its way arrives late.
    flight.change(|link| link.delay = link.delay + ms(500));
    flight.fly(ms(300)).change(|link| link.delay = ms(20));
    flight.fly(secs(2));
    let after = flight.moment();
    assert!(after.stats.probe_timeouts > before.stats.probe_timeouts, "{after:?}");
    assert!(flight.utilisation(secs(2)) > 850, "{:?}", flight.moment());
}
