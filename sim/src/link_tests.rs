use super::*;

fn datagram(len: usize) -> Datagram {
    let address = core::net::SocketAddr::from(([10, 0, 0, 1], 1));
    Datagram { from: address, to: address, ecn: Ecn::Ect0, bytes: vec![7; len] }
}

/// Sends `count` datagrams of 972 bytes (1000 on the wire), one every `gap`; returns their arrivals.
fn run(config: LinkConfig, count: u64, gap: Duration) -> (Vec<(Instant, Datagram)>, LinkStats) {
    let mut link = Link::new(config, Seed(3), 0);
    let mut arrivals = Vec::new();
    for index in 0..count {
        link.carry(Instant::ZERO + gap.saturating_mul(index), datagram(972), &mut arrivals);
    }
    let stats = link.stats.clone();
    let dropped = stats.dropped_total();
    assert_eq!(stats.entered.datagrams + stats.duplicated.datagrams, stats.left.datagrams + dropped.datagrams);
    assert_eq!(stats.left.datagrams, arrivals.len() as u64);
    (arrivals.into_iter().map(|arrival| (arrival.at, arrival.datagram)).collect(), stats)
}

#[test]
fn the_rate_is_exact_and_the_delay_is_added() {
    let rate = Rate::from_bits_per_sec(7_000_001);
    let config = LinkConfig { rate: Some(rate), delay: Duration::from_millis(30), ..LinkConfig::default() };
    let (arrivals, _) = run(config, 10_000, Duration::ZERO);
    let ideal = 10_000 * 1000 * BIT_NANOS_PER_BYTE / 7_000_001 + 30_000_000;
    assert_eq!(u128::from(arrivals[9_999].0.as_nanos()), ideal);
}

#[test]
fn a_full_buffer_drops_the_tail() {
    let rate = Rate::from_bits_per_sec(8_000_000);
    let config = LinkConfig { rate: Some(rate), buffer_bytes: Some(10_000), ..LinkConfig::default() };
    let (arrivals, stats) = run(config, 30, Duration::ZERO);
    assert_eq!(arrivals.len(), 10);
    assert_eq!(stats.dropped_for(DropReason::BufferFull).datagrams, 20);
    assert_eq!(stats.peak_queue_bytes, 9_000);
}

#[test]
fn each_fault_is_as_frequent_as_it_was_set() {
    let gap = Duration::from_millis(1);
    let near = |count: u64| (850..1150).contains(&count);
    let (_, stats) = run(LinkConfig { loss_ppm: 100_000, ..LinkConfig::default() }, 10_000, gap);
    assert!(near(stats.dropped_for(DropReason::Loss).datagrams));
    let (_, stats) = run(LinkConfig { duplicate_ppm: 100_000, ..LinkConfig::default() }, 10_000, gap);
    assert!(near(stats.duplicated.datagrams));
    let (arrivals, stats) = run(LinkConfig { corrupt_ppm: 100_000, ..LinkConfig::default() }, 10_000, gap);
    let altered = arrivals.iter().filter(|(_, datagram)| datagram.bytes.iter().any(|byte| *byte != 7)).count();
    assert!(near(stats.corrupted) && stats.corrupted == altered as u64);
    let (arrivals, stats) = run(LinkConfig { truncate_ppm: 100_000, ..LinkConfig::default() }, 10_000, gap);
    let short = arrivals.iter().filter(|(_, datagram)| datagram.bytes.len() < 972).count();
    assert!(near(stats.truncated) && stats.truncated == short as u64);
    assert!(stats.cut_bytes > 0);
}

#[test]
fn bursts_lose_neighbours() {
    let burst = Burst { enter_ppm: 10_000, leave_ppm: 100_000, loss_ppm: 1_000_000 };
    let config = LinkConfig { burst: Some(burst), ..LinkConfig::default() };
    let (arrivals, stats) = run(config, 100_000, Duration::from_micros(1));
    let lost = stats.dropped_for(DropReason::Burst).datagrams;
    // One in eleven in the long run, ten at a time on average.
    assert!((7_000..11_500).contains(&lost), "{lost}");
    let gaps = arrivals.windows(2).filter(|pair| pair[1].0.saturating_since(pair[0].0) > Duration::from_micros(1));
    let bursts = gaps.count() as u64;
    assert!(lost / bursts >= 8 && lost / bursts <= 12, "{lost} in {bursts}");
}

#[test]
fn jitter_keeps_the_order_and_reordering_does_not() {
    let jitter = LinkConfig { jitter: Duration::from_millis(5), ..LinkConfig::default() };
    let (arrivals, _) = run(jitter, 1000, Duration::from_micros(100));
    assert!(arrivals.is_sorted_by_key(|(at, _)| *at));
    let by = Duration::from_millis(5);
    let reorder = LinkConfig { reorder_ppm: 100_000, reorder_by: by, ..LinkConfig::default() };
    let (arrivals, _) = run(reorder, 1000, Duration::from_micros(100));
    assert!(!arrivals.is_sorted_by_key(|(at, _)| *at));
}

#[test]
fn outages_and_marks() {
    let from = |millis| Instant::ZERO + Duration::from_millis(millis);
    let config = LinkConfig { outages: vec![(from(10), from(20))], ..LinkConfig::default() };
    let (_, stats) = run(config, 30, Duration::from_millis(1));
    assert_eq!(stats.dropped_for(DropReason::Outage).datagrams, 10);
    let rate = Some(Rate::from_bits_per_sec(8_000_000));
    let (arrivals, stats) =
        run(LinkConfig { rate, mark_above_bytes: Some(4_500), ..LinkConfig::default() }, 10, Duration::ZERO);
    assert_eq!(stats.marked, 5);
    assert_eq!(arrivals.iter().filter(|(_, datagram)| datagram.ecn == Ecn::Ce).count(), 5);
}

/// SIM-1: a fault that is switched off does not move the others.
#[test]
fn faults_do_not_disturb_each_other() {
    let gap = Duration::from_millis(1);
    let lossy = LinkConfig { loss_ppm: 50_000, ..LinkConfig::default() };
    let (_, alone) = run(lossy.clone(), 5_000, gap);
    let busy = LinkConfig { duplicate_ppm: 50_000, corrupt_ppm: 50_000, jitter: gap, ..lossy };
    let (_, beside) = run(busy, 5_000, gap);
    assert_eq!(alone.dropped_for(DropReason::Loss), beside.dropped_for(DropReason::Loss));
}

/// SIM-1: over a long time a policer lets its rate through, and at once no more than its burst.
#[test]
fn a_policer_passes_its_burst_and_then_its_rate() {
    let policer = Policer { rate: Rate::from_bits_per_sec(8_000_000), burst_bytes: 5_000 };
    let config = LinkConfig { policer: Some(policer), ..LinkConfig::default() };
    let (arrivals, stats) = run(config.clone(), 20, Duration::ZERO);
    assert_eq!((arrivals.len(), stats.dropped_for(DropReason::Policed).datagrams), (5, 15));
    // Twice its rate for a second: one datagram of 1000 bytes each millisecond, and the burst.
    let (arrivals, _) = run(config.clone(), 2_000, Duration::from_micros(500));
    assert_eq!(arrivals.len(), 1_000 + 4);
    // Below its rate nothing is dropped.
    let (arrivals, _) = run(config, 1_000, Duration::from_micros(1_001));
    assert_eq!(arrivals.len(), 1_000);
}

/// The mean of the queue is exact: ten datagrams of 1 ms each, that came at once, drain in a straight line.
#[test]
fn occupancy_is_the_integral_of_the_queue() {
    let rate = Rate::from_bits_per_sec(8_000_000);
    let mut link = Link::new(LinkConfig { rate: Some(rate), ..LinkConfig::default() }, Seed(3), 0);
    let mut arrivals = Vec::new();
    (0..10).for_each(|_| link.carry(Instant::ZERO, datagram(972), &mut arrivals));
    let at = |millis| link.occupancy(Instant::ZERO + Duration::from_millis(millis));
    // 10,000 bytes and 10 ms: the area of the triangle.
    assert_eq!(at(10).queue_byte_nanos, 10_000 * 10_000_000 / 2);
    assert_eq!(at(5).queue_byte_nanos, 10_000 * 10_000_000 / 2 - 5_000 * 5_000_000 / 2);
    assert_eq!(at(90), at(10));
    assert_eq!((at(4).busy, at(90).busy), (Duration::from_millis(4), Duration::from_millis(10)));
}

/// What waits keeps its bytes and leaves at the new rate.
#[test]
fn a_step_of_the_rate_keeps_the_queue() {
    let (slow, fast) = (Rate::from_bits_per_sec(8_000_000), Rate::from_bits_per_sec(32_000_000));
    let mut link = Link::new(LinkConfig { rate: Some(slow), ..LinkConfig::default() }, Seed(3), 0);
    let mut arrivals = Vec::new();
    (0..10).for_each(|_| link.carry(Instant::ZERO, datagram(972), &mut arrivals));
    let now = Instant::ZERO + Duration::from_millis(2);
    assert_eq!(link.queued_bytes(now), 8_000);
    assert_eq!(link.step(now, Step { rate: Some(fast), ..Step::default() }), Some((slow, fast)));
    assert_eq!(link.queued_bytes(now), 8_000);
    let last = rescaled(arrivals[9].serialised_at, now, slow, fast);
    assert_eq!(last, now + Duration::from_millis(2));
    let occupancy = link.occupancy(last);
    assert_eq!(occupancy.busy, Duration::from_millis(4));
    assert_eq!(occupancy.queue_byte_nanos, (10_000 + 8_000) / 2 * 2_000_000 + 8_000 / 2 * 2_000_000);
    // A change of anything else moves nothing.
    assert_eq!(link.step(now, Step { loss_ppm: Some(5), ..Step::default() }), None);
}
