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
