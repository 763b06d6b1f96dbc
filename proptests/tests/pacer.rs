//! The pacer over random rates, sizes and lateness: in no window leaves more than the rate and one quantum allow, and the
//! mean is exact as long as lateness can be made up for (BBR-4, BBR-6).

use proptest::collection::vec;
use proptest::prelude::*;
use wirehaul_core::pacer::{Held, Pacer, Quantum};
use wirehaul_core::rate::Rate;
use wirehaul_core::time::{Duration, Instant};

const BIT_NANOS_PER_BYTE: u128 = 8_000_000_000;
const CENTURY_NANOS: u64 = 100 * 365 * 86_400 * 1_000_000_000;

/// Something that happens to a pacer.
#[derive(Clone, Copy, Debug)]
enum Step {
    /// The sender wakes so much after the next departure, and sends this share (of 256) of what it may.
    Send { late: Duration, share: u64, held: bool },
    /// Time passes with nothing to send.
    Pause(Duration),
    /// Another rate, some time later.
    Rate(Duration, Option<u64>),
}

/// What left, when, and what the clock of the rates said then.
#[derive(Clone, Copy, Debug)]
struct Departure {
    at: Instant,
    bytes: u64,
    /// Bit-nanoseconds that the rates have allowed since the beginning.
    allowed: u128,
    rate: Rate,
    quantum: u64,
}

/// A pacer, and beside it what the rates allow, added up the plain way.
struct Model {
    pacer: Pacer,
    quantum: Quantum,
    datagram: u64,
    rate: Option<Rate>,
    now: Instant,
    allowed: u128,
    departures: Vec<Departure>,
}

impl Model {
    fn new(quantum: Quantum, datagram: u64) -> Self {
        let (pacer, now) = (Pacer::new(quantum), Instant::from_nanos(1_000_000_000));
        Self { pacer, quantum, datagram, rate: None, now, allowed: 0, departures: Vec::new() }
    }

    fn pass(&mut self, to: Instant) {
        if let Some(rate) = self.rate {
            let span = to.saturating_since(self.now).as_nanos();
            self.allowed += u128::from(rate.as_bits_per_sec()) * u128::from(span);
        }
        self.now = self.now.max(to);
    }

    fn step(&mut self, step: Step) {
        match step {
            Step::Pause(span) => self.pass(self.now + span),
            Step::Rate(span, bits) => {
                self.pass(self.now + span);
                let rate = bits.map(Rate::from_bits_per_sec);
                if self.rate.is_none() || rate.is_none() {
                    // What left without a rate is nobody's debt.
                    self.departures.clear();
                }
                self.rate = rate;
                self.pacer.set_rate(rate);
                self.pacer.departure(self.now, self.datagram);
            }
            Step::Send { late, share, held } => self.send(late, share, held),
        }
    }

    fn send(&mut self, late: Duration, share: u64, held: bool) {
        let asked_at = self.now;
        let departure = self.pacer.departure(self.now, self.datagram);
        assert!(departure >= self.now);
        // A hundred years from now is never.
        if departure.saturating_since(Instant::ZERO).as_nanos() > CENTURY_NANOS {
            return;
        }
        self.pass(departure + late);
        assert_eq!(self.pacer.departure(self.now, self.datagram), self.now, "what was due is due still");
        let quantum = self.quantum.bytes(self.rate, self.datagram);
        let may = self.pacer.allowance(self.now, self.datagram);
        assert!(may >= self.datagram && may <= quantum, "{may} of {quantum}");
        let bytes = (may * share / 256).clamp(1, may);
        self.pacer.on_sent(self.now, bytes, self.datagram, if held { Held::Since(asked_at) } else { Held::Not });
        let Some(rate) = self.rate else { return };
        self.departures.push(Departure { at: self.now, bytes, allowed: self.allowed, rate, quantum });
    }

    /// Every window that ends with a departure, by brute force.
    fn check_windows(&self) -> Result<(), TestCaseError> {
        for (end, last) in self.departures.iter().enumerate() {
            let mut sent = 0;
            for first in self.departures[..=end].iter().rev() {
                sent += u128::from(first.bytes) * BIT_NANOS_PER_BYTE;
                // Departures are whole nanoseconds, so a window is known to within one.
                let tick = u128::from(first.rate.as_bits_per_sec());
                let bound = last.allowed - first.allowed + u128::from(last.quantum) * BIT_NANOS_PER_BYTE + tick;
                let span = last.at.saturating_since(first.at);
                prop_assert!(sent <= bound, "{} bytes in {:?}, then {:?}", sent / BIT_NANOS_PER_BYTE, span, last);
            }
        }
        Ok(())
    }
}

/// Bits per second: the edges, and every order of magnitude.
fn any_rate() -> impl Strategy<Value = u64> {
    prop_oneof![
        Just(0),
        Just(1),
        Just(u64::MAX),
        1_000_u64..1_000_000,
        1_000_000_u64..1_000_000_000,
        1_000_000_000_u64..200_000_000_000,
        any::<u64>()
    ]
}

fn any_span() -> impl Strategy<Value = Duration> {
    let nanos = prop_oneof![
        Just(0),
        0_u64..1_000,
        0_u64..1_000_000,
        0_u64..10_000_000_000,
        // Months.
        0_u64..20_000_000_000_000_000
    ];
    nanos.prop_map(Duration::from_nanos)
}

fn any_quantum() -> impl Strategy<Value = Quantum> {
    prop_oneof![
        Just(Quantum::DRAFT),
        Just(Quantum::ONE_PACKET),
        Just(Quantum { time: Duration::from_micros(250), min_packets: 1, run_time: Duration::from_micros(250) }),
        (any_span(), 0_u64..40, any_span()).prop_map(|(time, min_packets, run_time)| Quantum {
            time,
            min_packets,
            run_time
        })
    ]
}

fn any_step() -> impl Strategy<Value = Step> {
    let send =
        (any_span(), 1_u64..=256, any::<bool>()).prop_map(|(late, share, held)| Step::Send { late, share, held });
    let in_time = any::<bool>().prop_map(|held| Step::Send { late: Duration::ZERO, share: 256, held });
    prop_oneof![
        6 => send,
        6 => in_time,
        1 => any_span().prop_map(Step::Pause),
        2 => (any_span(), proptest::option::weighted(0.95, any_rate())).prop_map(|(span, bits)| Step::Rate(span, bits))
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 3000, failure_persistence: None, ..ProptestConfig::default() })]

    /// BBR-4: whatever the rates, the sizes and the lateness.
    #[test]
    fn no_window_holds_more_than_the_rate_and_one_quantum(
        quantum in any_quantum(),
        datagram in 1_u64..=9000,
        rate in any_rate(),
        steps in vec(any_step(), 1..80),
    ) {
        let mut model = Model::new(quantum, datagram);
        model.step(Step::Rate(Duration::ZERO, Some(rate)));
        for step in steps {
            model.step(step);
        }
        model.check_windows()?;
    }

    /// BBR-6: lateness within what a quantum leaves over costs nothing, and no rounding adds up.
    #[test]
    fn lateness_that_can_be_made_up_for_costs_nothing(
        quantum in any_quantum(),
        datagram in 100_u64..=9000,
        bits in 10_000_u64..400_000_000_000,
        lateness in vec(0_u64..=1000, 1..200),
    ) {
        let rate = Some(Rate::from_bits_per_sec(bits));
        let mut pacer = Pacer::new(quantum);
        pacer.set_rate(rate);
        let start = Instant::from_nanos(77);
        prop_assert_eq!(pacer.departure(start, datagram), start);
        let over = quantum.bytes(rate, datagram) - quantum.run_bytes(rate, datagram);
        let slack = Rate::from_bits_per_sec(bits).time_for(over);
        let (mut now, mut sent) = (start, 0_u128);
        for thousandths in lateness {
            let due = pacer.departure(now, datagram);
            let on_schedule = (sent * BIT_NANOS_PER_BYTE).div_ceil(u128::from(bits));
            let due_after = u128::from(due.saturating_since(start).as_nanos());
            prop_assert!(due_after == on_schedule || (due == now && due_after > on_schedule));
            let asked_at = now;
            // The schedule may be behind already; the sender is late by no more than the slack in all.
            let scheduled = start + Duration::from_nanos(u64::try_from(on_schedule).unwrap_or(u64::MAX));
            now = due.max(scheduled + slack.mul_ratio(thousandths, 1000));
            let bytes = pacer.allowance(now, datagram);
            pacer.on_sent(now, bytes, datagram, Held::Since(asked_at));
            sent += u128::from(bytes);
        }
        prop_assert_eq!(pacer.punctuality().lost, Duration::ZERO);
    }

    /// No order of calls and no number makes it overflow or panic; time that runs backwards is taken as standing still.
    #[test]
    fn no_number_breaks_it(
        quantum in (any::<u64>(), any::<u64>(), any::<u64>()),
        calls in vec((any::<u64>(), any::<u64>(), any::<u64>(), proptest::option::of(any::<u64>())), 1..40),
    ) {
        let (time, run_time) = (Duration::from_nanos(quantum.0), Duration::from_nanos(quantum.2));
        let mut pacer = Pacer::new(Quantum { time, min_packets: quantum.1, run_time });
        for (now, bytes, datagram, other) in calls {
            let now = Instant::from_nanos(now);
            pacer.set_rate(other.map(Rate::from_bits_per_sec));
            let departure = pacer.departure(now, datagram);
            prop_assert!(departure >= now);
            prop_assert!(pacer.allowance(departure, datagram) >= datagram);
            pacer.on_sent(now, bytes, datagram, other.map_or(Held::Passing, |at| Held::Since(Instant::from_nanos(at))));
        }
    }
}
