use super::*;

const MTU: u64 = 1472;

fn paced(bits: u64) -> Pacer {
    paced_by(bits, Quantum::DRAFT)
}

fn paced_by(bits: u64, quantum: Quantum) -> Pacer {
    let mut pacer = Pacer::new(quantum);
    pacer.set_rate(Some(Rate::from_bits_per_sec(bits)));
    pacer
}

fn at(micros: u64) -> Instant {
    Instant::ZERO + Duration::from_micros(micros)
}

/// BBR-4, BBR-6: a rate that does not divide a nanosecond keeps its mean to the bit, one packet at a time.
#[test]
fn the_mean_rate_is_exact_over_a_million_packets() {
    let mut pacer = paced_by(7_000_000_001, Quantum::ONE_PACKET);
    let mut departures = 0;
    for index in 0..1_000_000_u64 {
        let now = pacer.departure(Instant::ZERO, MTU);
        let ideal = (u128::from(index * MTU) * 8_000_000_000).div_ceil(7_000_000_001);
        assert_eq!(u128::from(now.as_nanos()), ideal);
        assert_eq!(pacer.allowance(now, MTU), MTU);
        pacer.on_sent(now, MTU, MTU, Held::Since(now));
        departures += 1;
    }
    assert_eq!(departures, 1_000_000);
}

/// BBR-4: at 8 Mbit/s a quantum is two packets of 1472 us each, and a run is one: so one packet can be made up for.
#[test]
fn what_is_made_up_for_is_bounded() {
    let mut pacer = paced(8_000_000);
    assert_eq!((pacer.quantum(MTU), pacer.departure(at(0), MTU)), (2 * MTU, at(0)));
    pacer.on_sent(at(0), MTU, MTU, Held::Not);
    assert_eq!(pacer.departure(at(0), MTU), at(1472));
    // Late by half a packet: the next departure stays where it was.
    assert_eq!(pacer.allowance(at(2208), MTU), MTU + MTU / 2);
    pacer.on_sent(at(2208), MTU, MTU, Held::Since(at(0)));
    assert_eq!(pacer.departure(at(2208), MTU), at(2944));
    assert_eq!(pacer.punctuality().lost, Duration::ZERO);
    // A minute late: one packet is made up for, together with the one that is due, and the rest of the time is lost.
    let late = at(60_000_000);
    assert_eq!(pacer.allowance(late, MTU), 2 * MTU);
    pacer.on_sent(late, 2 * MTU, MTU, Held::Since(at(2208)));
    assert_eq!(pacer.departure(late, MTU), late + Duration::from_micros(1472));
    let lost = late.saturating_since(at(2944)).saturating_sub(Duration::from_micros(1472));
    assert_eq!(pacer.punctuality(), Punctuality { held: Duration::from_micros(2208 + 736 + 1472), lost });
}

/// A pause in which there was nothing to send gives no credit.
#[test]
fn a_pause_is_not_followed_by_a_flood() {
    let mut pacer = paced(8_000_000);
    pacer.on_sent(at(0), MTU, MTU, Held::Not);
    pacer.on_sent(at(1_000_000), MTU, MTU, Held::Not);
    assert_eq!(pacer.departure(at(1_000_000), MTU), at(1_001_472));
    assert_eq!(pacer.punctuality(), Punctuality::default());
}

/// A host that is busy for longer than the pacer would hold it is not late because of its timers; nor does it lose its
/// place.
#[test]
fn a_busy_owner_is_no_late_timer() {
    let mut pacer = paced(8_000_000);
    pacer.on_sent(at(0), MTU, MTU, Held::Not);
    pacer.on_sent(at(60_000_000), MTU, MTU, Held::Passing);
    assert_eq!(pacer.punctuality(), Punctuality::default());
    assert_eq!(pacer.departure(at(60_000_000), MTU), at(60_000_000));
}

/// What is owed is owed in bytes: a rate that rises from next to nothing does not leave a packet waiting for hours.
#[test]
fn a_new_rate_applies_to_what_was_sent_before() {
    let mut pacer = paced(1);
    pacer.on_sent(at(0), MTU, MTU, Held::Not);
    pacer.on_sent(at(0), MTU, MTU, Held::Not);
    assert_eq!(pacer.departure(at(0), MTU), at(0) + Duration::from_secs(2 * MTU * 8));
    pacer.set_rate(Some(Rate::from_bits_per_sec(8_000_000)));
    assert_eq!(pacer.departure(at(0), MTU), at(2 * MTU));
    pacer.set_rate(Some(Rate::ZERO));
    assert_eq!(pacer.departure(at(1_000), MTU), Instant::FAR_FUTURE);
    pacer.set_rate(Some(Rate::from_bits_per_sec(8_000_000)));
    assert_eq!(pacer.departure(at(5_000), MTU), at(5_000 + 2 * MTU - 1_000));
}

/// BBR-5.
#[test]
fn without_a_rate_nothing_waits() {
    let mut pacer = Pacer::new(Quantum::DRAFT);
    for _ in 0..100 {
        pacer.on_sent(at(5), 64_000, MTU, Held::Not);
    }
    assert_eq!(pacer.departure(at(5), MTU), at(5));
    assert_eq!(pacer.allowance(at(5), MTU), MAX_QUANTUM_BYTES);
}

#[test]
fn the_quantum_follows_the_draft_and_a_run_is_no_more_than_half_of_it() {
    let sizes = |bits| {
        let pacer = paced(bits);
        (pacer.quantum(MTU), Quantum::DRAFT.run_bytes(pacer.rate(), MTU))
    };
    assert_eq!(sizes(1_000_000), (2944, 1472));
    assert_eq!(sizes(200_000_000), (25_000, 6_250));
    assert_eq!(sizes(100_000_000_000), (MAX_QUANTUM_BYTES, MAX_QUANTUM_BYTES / 2));
    let one = Some(Rate::from_bits_per_sec(1_000_000_000));
    assert_eq!((Quantum::ONE_PACKET.bytes(one, 9000), Quantum::ONE_PACKET.run_bytes(one, 9000)), (9000, 9000));
}
