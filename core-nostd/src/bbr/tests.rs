//! The controller by itself, packet by packet; whole sessions are tested in the simulator.

use super::{
    loss::inflight_at_loss,
    params::{CAPPED_SHARE, UNITY, scale},
    *,
};

const MSS: u64 = 1472;

/// A controller and its path: every packet is acknowledged after `rtt`, one every `gap`.
struct Bench {
    bbr: Bbr,
    now: Instant,
    number: u64,
    /// Sent and not acknowledged.
    flight: [Option<PacketSample>; 512],
}

impl Bench {
    fn new() -> Self {
        Self { bbr: Bbr::new(MSS, 1), now: Instant::from_nanos(1_000_000_000), number: 0, flight: [None; 512] }
    }

    fn inflight(&self) -> u64 {
        self.flight.iter().flatten().map(|packet| packet.bytes).sum()
    }

    fn send(&mut self) -> u64 {
        let sample = SendSample { now: self.now, bytes: MSS, inflight_bytes: self.inflight() };
        let record = self.bbr.on_sent(&sample);
        let packet = PacketSample { now: self.now, number: self.number, sent_at: self.now, bytes: MSS, record };
        self.flight[(self.number % 512) as usize] = Some(packet);
        self.number += 1;
        self.number - 1
    }

    fn ack(&mut self, number: u64) {
        let packet = self.flight[(number % 512) as usize].take().unwrap();
        self.bbr.on_packet_acked(&PacketSample { now: self.now, ..packet });
        let rtt = self.now.saturating_since(packet.sent_at);
        self.bbr.on_ack(&AckSample {
            now: self.now,
            acked_bytes: MSS,
            largest_acked: number,
            largest_sent_at: packet.sent_at,
            next_packet_number: self.number,
            prior_inflight_bytes: self.inflight() + MSS,
            inflight_bytes: self.inflight(),
            rtt_sample: Some(rtt),
            min_rtt: Some(rtt),
            srtt: rtt,
            cwnd_limited: true,
        });
    }

    fn lose(&mut self, number: u64) {
        let packet = self.flight[(number % 512) as usize].take().unwrap();
        self.bbr.on_packet_lost(&PacketSample { now: self.now, ..packet });
    }

    fn wait(&mut self, span: Duration) {
        self.now += span;
    }

    /// A round trip in which `count` packets are delivered in `span`, the first after `rtt`.
    fn round(&mut self, count: u64, rtt: Duration, span: Duration) {
        let first = self.number;
        for _ in 0..count {
            self.send();
        }
        self.wait(rtt);
        for number in first..first + count {
            self.ack(number);
            self.wait(span.mul_ratio(1, count));
        }
    }
}

#[test]
fn a_new_controller_waits_for_a_round_trip_before_it_paces() {
    let bbr = Bbr::new(MSS, 0);
    assert_eq!((bbr.cwnd_bytes(), bbr.pacing_rate(None), bbr.is_probing()), (10 * MSS, None, true));
    // InitPacingRate: 2.77 x 10 packets in 100 ms.
    let rate = bbr.pacing_rate(Some(Duration::from_millis(100))).unwrap();
    assert_eq!(rate.as_bits_per_sec(), 10 * MSS * 8 * 10 * 277 / 100);
}

/// Section 4.1: the rate is what was delivered over the longer of the two intervals.
#[test]
fn a_sample_takes_the_longer_interval() {
    let mut bench = Bench::new();
    for _ in 0..4 {
        bench.send();
        bench.wait(Duration::from_millis(10));
    }
    bench.wait(Duration::from_millis(60));
    // 100 ms after the first packet, all four are acknowledged at once: sending took 30 ms, which an ACK that comes in a
    // lump must not undercut.
    for number in 0..4 {
        bench.ack(number);
    }
    let max = bench.bbr.model().max_bw.unwrap();
    let newest = Rate::from_bytes_over(4 * MSS, Duration::from_millis(100));
    assert_eq!(max, newest);
}

/// Section 5.3.1.2: growth of 25 % goes on searching, 24 % counts towards the three rounds.
#[test]
fn startup_ends_after_three_rounds_below_a_quarter_of_growth() {
    for (percent, ends) in [(125, false), (124, true)] {
        let mut pipe = FullPipe::default();
        let mut bbr = Bbr::new(MSS, 0);
        let mut rate = 1_000_000_000;
        for _ in 0..6 {
            bbr.round.start = true;
            bbr.rs.delivery_rate = Rate::from_bits_per_sec(rate);
            bbr.check_full_bw_reached();
            // The next sample grows against the newest baseline.
            rate = rate * percent / 100;
            pipe = bbr.full_pipe.clone();
            if !ends {
                assert!(!pipe.now);
            } else if pipe.now {
                break;
            }
            if ends {
                rate = 1_240_000_000;
            }
        }
        assert_eq!(pipe.reached, ends, "{percent} %");
    }
}

/// Section 5.3.1.2: rounds that the application limits do not count.
#[test]
fn an_idle_application_does_not_end_startup() {
    let mut bbr = Bbr::new(MSS, 0);
    for _ in 0..100 {
        bbr.round.start = true;
        bbr.rs.delivery_rate = Rate::from_bits_per_sec(1_000_000);
        bbr.rs.is_app_limited = true;
        bbr.check_full_bw_reached();
    }
    assert!(!bbr.full_pipe.now && !bbr.full_pipe.reached);
}

/// Section 5.5.10.2: the worked cases of InflightAtLoss, by hand.
#[test]
fn the_inflight_at_which_losses_crossed_the_threshold() {
    // 100 in flight, none lost before, a burst of 10 lost: 2 % of 90 is 1.8, over 0.98.
    assert_eq!(inflight_at_loss(100_000, 10_000, 10_000), 90_000 + 1_836);
    // Losses before the packet were beyond the threshold: nothing of it fitted, and nothing underflows.
    assert_eq!(inflight_at_loss(100_000, 50_000, 10_000), 90_000);
    assert_eq!(inflight_at_loss(0, 0, 1_472), 0);
    assert_eq!(inflight_at_loss(u64::MAX, 0, 0), u64::MAX);
}

/// Section 5.5.10.2: two per cent are still safe, and so is what two per cent may come to by chance: of 100 packets 4, of
/// 2,500 packets 64, of 10 none but the first.
#[test]
fn losses_within_chance_of_two_per_cent_are_safe() {
    let bbr = Bbr::new(MSS, 0);
    for (sent, safe) in [(10, 1), (100, 4), (2_500, 64), (250_000, 5_141)] {
        assert!(!bbr.is_inflight_too_high(safe * MSS, sent * MSS), "{safe} of {sent}");
        assert!(bbr.is_inflight_too_high((safe + 1) * MSS, sent * MSS), "{} of {sent}", safe + 1);
    }
    assert!(!bbr.is_inflight_too_high(0, 0) && bbr.is_inflight_too_high(1, 0));
    assert!(bbr.is_inflight_too_high(u64::MAX, u64::MAX));
}

/// Section 5.3.4: ProbeRTT keeps half a BDP, and on a path longer than ProbeRTTDuration all but 100 ms of the rate.
#[test]
fn probe_rtt_withholds_no_more_than_it_is_designed_to_cost() {
    let mut bbr = Bbr::new(MSS, 0);
    bbr.bandwidth.max_bw = Rate::from_bits_per_sec(80_000_000);
    bbr.bandwidth.bound_for_model();
    for (ms, kept) in [(20, 100_000), (100, 500_000), (200, 1_000_000), (600, 5_000_000)] {
        bbr.min_rtt.value = Some(Duration::from_millis(ms));
        assert_eq!(bbr.probe_rtt_cwnd(), kept, "{ms} ms");
    }
}

/// Sections 5.3.3.6 and 5.5.10.2: a lossy probe sets the bound, ends UP, and a spurious one is taken back.
#[test]
fn losses_of_a_probe_set_a_bound_and_can_be_undone() {
    let mut bench = Bench::new();
    let rtt = Duration::from_millis(20);
    for _ in 0..12 {
        bench.round(40, rtt, rtt);
    }
    assert!(bench.bbr.full_pipe.reached);
    bench.bbr.start_probe_bw_refill();
    bench.round(40, rtt, rtt);
    bench.round(40, rtt, rtt);
    assert_eq!(bench.bbr.state, State::Up);
    assert!(bench.bbr.cycle.is_probe_sample);
    let first = bench.number;
    for _ in 0..40 {
        bench.send();
    }
    bench.wait(rtt);
    // By chance 40 packets lose 2; a third is too much.
    bench.lose(first + 37);
    bench.lose(first + 38);
    assert_eq!(bench.bbr.state, State::Up);
    bench.lose(first + 39);
    assert_eq!(bench.bbr.state, State::Down);
    let bound = bench.bbr.cycle.inflight_longterm;
    assert!(bound < UNBOUNDED && bound >= scale(bench.bbr.target_inflight(), (7, 10)), "{bound}");
    bench.bbr.on_spurious();
    assert_eq!((bench.bbr.state, bench.bbr.cycle.inflight_longterm), (State::Refill, UNBOUNDED));
}

/// Section 5.5.6: a cycle that ProbeRTT ends behind its probe is over, and what was measured two cycles ago is forgotten. One
/// that had no probe, or that the application limited, goes on.
#[test]
fn probe_rtt_ends_a_cycle_that_has_probed() {
    for (phase, is_app_limited, forgotten) in
        [(State::Up, false, true), (State::Up, true, false), (State::Refill, false, false)]
    {
        let mut bbr = Bbr::new(MSS, 0);
        bbr.full_pipe.reached = true;
        let old = Rate::from_bits_per_sec(20_000_000);
        bbr.bandwidth.update(old);
        for _ in 0..2 {
            bbr.start_probe_bw_refill();
            if phase == State::Up {
                bbr.start_probe_bw_up();
            }
            bbr.cycle.stop_probing(is_app_limited);
            bbr.state = State::ProbeRtt;
            bbr.round.start = true;
            bbr.rs.has_data = true;
            bbr.rs.is_app_limited = true;
            bbr.update_probe_bw_cycle_phase();
            bbr.bandwidth.update(Rate::from_bits_per_sec(10_000_000));
        }
        assert_eq!(bbr.bandwidth.max_bw < old, forgotten, "{phase:?} {is_app_limited}");
    }
}

/// A cap that the path delivers keeps the estimate and leaves ProbeRTT out; one beyond the path changes nothing.
#[test]
fn a_cap_counts_as_a_limit_only_where_the_path_delivers_it() {
    let mut bench = Bench::new();
    let rtt = Duration::from_millis(20);
    for _ in 0..4 {
        bench.round(10, rtt, rtt);
    }
    let bw = bench.bbr.model().bw.unwrap();
    bench.bbr.on_rate_capped(bw.mul_ratio(2, 1), 0);
    assert!(!bench.bbr.sampler.is_app_limited());
    bench.bbr.on_rate_capped(bw.mul_ratio(CAPPED_SHARE.1, CAPPED_SHARE.0).mul_ratio(99, 100), 0);
    assert!(bench.bbr.sampler.is_app_limited() && bench.bbr.min_rtt.rate_capped);
}

/// Section 5.4.1: after a pause a flow paces at its estimate, and ProbeRTT is left out.
#[test]
fn a_restart_from_idle_paces_at_the_estimate() {
    let mut bench = Bench::new();
    let rtt = Duration::from_millis(20);
    for _ in 0..12 {
        bench.round(40, rtt, rtt);
    }
    assert!(bench.bbr.is_in_probe_bw(), "{:?}", bench.bbr.state);
    bench.bbr.on_app_limited(0);
    bench.wait(Duration::from_secs(30));
    let number = bench.send();
    assert!(bench.bbr.min_rtt.idle_restart);
    let expected = bench.bbr.bandwidth.bw.mul_ratio(99, 100);
    assert_eq!(bench.bbr.pacing_rate(Some(rtt)), Some(expected));
    bench.wait(rtt);
    bench.ack(number);
    assert_ne!(bench.bbr.state, State::ProbeRtt);
}

/// A path of microseconds is filled by the window: what fills it is paced at twice its rate, and only DOWN drains it. A longer
/// path, and one so slow that a quantum takes longer than the round trip, are paced as the draft has it (decision 016).
#[test]
fn a_path_of_microseconds_is_left_to_the_window() {
    let rate_in = |state, rtt: Duration, gbit: u64| {
        let mut bbr = Bbr::new(MSS, 1);
        bbr.bandwidth.max_bw = Rate::from_bits_per_sec(gbit * 1_000_000_000);
        bbr.bandwidth.bound_for_model();
        bbr.min_rtt.value = Some(rtt);
        bbr.full_pipe.reached = true;
        match state {
            State::Down => bbr.start_probe_bw_down(),
            State::Cruise => bbr.start_probe_bw_cruise(),
            State::Refill => bbr.start_probe_bw_refill(),
            _ => bbr.start_probe_bw_up(),
        }
        let gain = bbr.pacing_gain_on_this_path();
        bbr.set_pacing_rate_with_gain(gain);
        bbr.pacing_rate(Some(rtt)).unwrap().as_bits_per_sec() / (gbit * 10_000_000)
    };
    let (short, long) = (Duration::from_micros(100), Duration::from_millis(1));
    let percent =
        |rtt, gbit| [State::Down, State::Cruise, State::Refill, State::Up].map(|state| rate_in(state, rtt, gbit));
    assert_eq!(percent(short, 10), [89, 198, 198, 198]);
    assert_eq!(percent(long, 10), [89, 99, 99, 123]);
    assert_eq!(percent(short, 1), [89, 99, 99, 123]);
}

/// The edges of the arithmetic: no estimate, no delay, no rate, and the largest of each.
#[test]
fn the_edges_do_not_overflow() {
    let mut bbr = Bbr::new(9000, u64::MAX);
    for bw in [Rate::ZERO, Rate::from_bits_per_sec(1), Rate::from_bits_per_sec(100_000_000_000), Rate::MAX] {
        for rtt in [Duration::ZERO, Duration::from_nanos(1), Duration::from_secs(3600), Duration::MAX] {
            bbr.bandwidth.max_bw = bw;
            bbr.bandwidth.bound_for_model();
            bbr.min_rtt.value = Some(rtt);
            bbr.newly_acked = u64::MAX;
            bbr.set_pacing_rate_with_gain((277, 100));
            bbr.set_cwnd();
            assert!(bbr.inflight_at(UNITY) >= bbr.min_pipe_cwnd());
            assert!(bbr.cwnd_bytes() >= bbr.min_pipe_cwnd());
            assert!(bbr.pacing_rate(Some(rtt)).is_some());
        }
    }
}
