use super::*;

const MSS: u64 = 1472;

fn ack(now_ms: u64, bytes: u64, largest: u64) -> AckSample {
    AckSample {
        now: Instant::from_nanos(now_ms * 1_000_000),
        acked_bytes: bytes,
        largest_acked: largest,
        largest_sent_at: Instant::from_nanos(now_ms * 1_000_000),
        next_packet_number: largest + 1,
        prior_inflight_bytes: bytes,
        inflight_bytes: 0,
        min_rtt: None,
        rtt_sample: None,
        srtt: Duration::from_millis(100),
        cwnd_limited: true,
    }
}

fn loss(now_ms: u64) -> CongestionSample {
    let now = Instant::from_nanos(now_ms * 1_000_000);
    CongestionSample { now, lost_bytes: MSS, inflight_bytes: 0, new_episode: true, persistent: false }
}

#[test]
fn cube_roots_are_exact_at_cubes() {
    for root in [0u64, 1, 2, 3, 1000, 1_000_003, (1 << 42) - 1] {
        let cube = u128::from(root).pow(3);
        assert_eq!(cube_root(cube), root);
        if root > 0 {
            assert_eq!(cube_root(cube - 1), root - 1);
        }
    }
}

/// BBR-8: RFC 9438 section 4.6.
#[test]
fn a_loss_cuts_the_window_to_seven_tenths_once_per_episode() {
    let mut cubic = Cubic::new(MSS);
    cubic.on_ack(&ack(0, 90 * MSS, 90));
    assert_eq!(cubic.cwnd_bytes(), 100 * MSS);
    cubic.on_congestion(&loss(10));
    assert_eq!(cubic.cwnd_bytes(), 70 * MSS);
    let mut same_episode = loss(10);
    same_episode.new_episode = false;
    cubic.on_congestion(&same_episode);
    assert_eq!(cubic.cwnd_bytes(), 70 * MSS);
}

/// RFC 9438 section 4.2: after K = cbrt((100 - 70) / 0.4) = 4.217 s the window is back at W_max.
#[test]
fn the_curve_returns_to_w_max_after_k() {
    let mut cubic = Cubic::new(MSS);
    cubic.on_ack(&ack(0, 90 * MSS, 90));
    cubic.on_congestion(&loss(0));
    let mut at_plateau = 0;
    for round in 1..=80u64 {
        let cwnd = cubic.cwnd_bytes();
        cubic.on_ack(&ack(round * 100, cwnd, 100 + round));
        if round == 43 {
            at_plateau = cubic.cwnd_bytes();
        }
    }
    let off = at_plateau.abs_diff(100 * MSS);
    assert!(off <= 2 * MSS, "window at K is {at_plateau}, W_max {}", 100 * MSS);
    // Convex behind the plateau: 3.7 s on, 0.4 * 3.7^3 = 20 packets above W_max.
    assert!(cubic.cwnd_bytes() > 115 * MSS && cubic.cwnd_bytes() < 130 * MSS, "{}", cubic.cwnd_bytes() / MSS);
}

/// BBR-7: an episode that never was is taken back.
#[test]
fn a_spurious_episode_is_undone() {
    let mut cubic = Cubic::new(MSS);
    cubic.on_ack(&ack(0, 90 * MSS, 90));
    cubic.on_congestion(&loss(10));
    cubic.on_spurious();
    assert_eq!(cubic.cwnd_bytes(), 100 * MSS);
    cubic.on_spurious();
    assert_eq!(cubic.cwnd_bytes(), 100 * MSS);
}

/// RFC 9002 section 7.6.
#[test]
fn persistent_congestion_falls_to_the_minimum() {
    let mut cubic = Cubic::new(MSS);
    cubic.on_ack(&ack(0, 90 * MSS, 90));
    let mut sample = loss(10);
    sample.persistent = true;
    cubic.on_congestion(&sample);
    assert_eq!(cubic.cwnd_bytes(), 2 * MSS);
}

/// RFC 9438 section 5.8: a window that was not used says nothing about the path.
#[test]
fn an_idle_window_does_not_grow() {
    let mut cubic = Cubic::new(MSS);
    let before = cubic.cwnd_bytes();
    let mut sample = ack(0, before, 10);
    sample.cwnd_limited = false;
    cubic.on_ack(&sample);
    assert_eq!(cubic.cwnd_bytes(), before);
}

/// RFC 9406: a round-trip time that rises by more than the threshold over a round ends slow start within five more.
#[test]
fn a_rising_round_trip_time_ends_slow_start() {
    let mut cubic = Cubic::new(MSS);
    let mut largest = 0;
    for round in 0..12u64 {
        for _ in 0..4 {
            largest += 1;
            let mut sample = ack(round * 100, MSS, largest);
            // While a round is acknowledged, the next one is already on its way.
            sample.next_packet_number = (round + 2) * 4;
            sample.rtt_sample = Some(Duration::from_millis(if round < 3 { 20 } else { 20 + 5 * round }));
            cubic.on_ack(&sample);
        }
    }
    assert!(!cubic.is_probing());
}
