//! The allowance over random rates, sizes and lateness: in no window more is due than the rate and one burst allow, bookings
//! are served in order, and whoever always wants more gets the rate to within a thousandth.

use proptest::collection::vec;
use proptest::prelude::*;
use wirehaul_core::pacer::Allowance;
use wirehaul_core::rate::Rate;
use wirehaul_core::time::{Duration, Instant};

const BIT_NANOS_PER_BYTE: u128 = 8_000_000_000;
const START: Instant = Instant::from_nanos(1_000_000_000);

/// From 1 kbit/s to 400 Gbit/s, each magnitude as likely.
fn rates() -> impl Strategy<Value = Rate> {
    (1_000_u64..1_000_000, 0_u32..7).prop_map(|(digits, zeros)| Rate::from_bits_per_sec(digits * 10_u64.pow(zeros) / 3))
}

/// How long after the one before, and how much, is booked.
fn bookings() -> impl Strategy<Value = Vec<(u64, u64)>> {
    let pauses = prop_oneof![Just(0_u64), 0_u64..1_000_000, 0_u64..1_000_000_000];
    let sizes = prop_oneof![Just(0_u64), 1_u64..2000, 0_u64..8_000_000];
    vec((pauses, sizes), 1..60)
}

/// What is due in a window that is as long as this, at most, in bit-nanoseconds.
fn most(rate: Rate, span: Duration) -> u128 {
    let burst = u128::from(Allowance::burst_bytes(rate)) * BIT_NANOS_PER_BYTE;
    burst + u128::from(rate.as_bits_per_sec()) * u128::from(span.as_nanos())
}

proptest! {
    #[test]
    fn no_window_holds_more_than_the_rate_and_one_burst(rate in rates(), bookings in bookings()) {
        let mut allowance = Allowance::new(Some(rate));
        let mut now = START;
        let mut given = vec![(START, 0)];
        for (pause, bytes) in bookings {
            now += Duration::from_nanos(pause);
            let due = allowance.book(now, bytes);
            prop_assert!(due >= now);
            if let Some(&(before, _)) = given.last() {
                prop_assert!(due >= before, "served before what was booked earlier");
            }
            given.push((due, bytes));
        }
        for (first, &(from, _)) in given.iter().enumerate() {
            let mut sum = 0;
            for &(to, bytes) in &given[first + 1..] {
                sum += u128::from(bytes) * BIT_NANOS_PER_BYTE;
                prop_assert!(sum <= most(rate, to.saturating_since(from)), "{sum} from {from:?} to {to:?}");
            }
        }
    }

    /// Late by no more than a part takes, and so by less than what is saved up for: nothing of the rate is lost.
    #[test]
    fn who_always_wants_more_gets_the_rate(
        rate in rates(), share in 1_u64..=100, lateness in vec(0_u64..=100, 1..20),
    ) {
        let burst = Allowance::burst_bytes(rate);
        let part = (burst / 2 * share / 100).max(1);
        let slack = rate.time_for(part);
        let mut allowance = Allowance::new(Some(rate));
        let mut due = allowance.book(START, burst);
        let (mut bytes, began) = (0_u64, due);
        // Long enough for what the end cuts off to be less than a thousandth.
        while u128::from(bytes) < 2_500 * u128::from(part) {
            for late in &lateness {
                due = allowance.book(due + slack.mul_ratio(*late, 100), part);
                bytes += part;
            }
        }
        let taken = due.saturating_since(began);
        let fair = rate.time_for(bytes);
        let error = taken.as_nanos().abs_diff(fair.as_nanos());
        prop_assert!(error <= fair.as_nanos() / 1000 + 1, "{taken:?} in place of {fair:?}");
    }

    /// Any number who share it and book one part each get equal shares.
    #[test]
    fn who_book_in_turn_get_equal_shares(rate in rates(), peers in 2_usize..8, part in 1_000_u64..100_000) {
        let mut allowance = Allowance::new(Some(rate));
        let began = allowance.book(START, Allowance::burst_bytes(rate));
        let mut peers = vec![(began, 0_u64); peers];
        for _ in 0..500 {
            let Some(next) = peers.iter_mut().min_by_key(|(due, _)| *due) else { unreachable!("there are peers") };
            next.0 = allowance.book(next.0, part);
            next.1 += part;
        }
        let got = peers.iter().map(|(_, got)| *got);
        let (least, most) = (got.clone().min().unwrap_or(0), got.max().unwrap_or(0));
        prop_assert!(most - least <= part, "{peers:?}");
    }
}
