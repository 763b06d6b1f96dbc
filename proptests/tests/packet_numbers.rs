//! FRAME-3: packet numbers are extended across every wrap and refused beyond 2^20, against 128-bit arithmetic.

use proptest::prelude::*;
use wirehaul_core::wire::extend_packet_number;

const FAR: u64 = 1 << 20;

/// The packet number nearest to `newest` among all that end in `low`, by trying the three candidates there are.
fn nearest(newest: u64, low: u32) -> Option<u64> {
    let base = (i128::from(newest) >> 32) << 32 | i128::from(low);
    let wrap = 1_i128 << 32;
    [base - wrap, base, base + wrap]
        .into_iter()
        .filter(|number| (number - i128::from(newest)).unsigned_abs() <= u128::from(FAR))
        .find_map(|number| u64::try_from(number).ok())
}

/// Numbers near the places where halves and wholes wrap.
fn numbers() -> impl Strategy<Value = u64> {
    let near = |centre: u64| (0..4 * FAR).prop_map(move |step| centre.wrapping_add(step).wrapping_sub(2 * FAR));
    prop_oneof![
        any::<u64>(),
        near(0),
        near(1 << 31),
        near(1 << 32),
        (0_u64..1 << 32).prop_flat_map(move |high| near(high << 32)),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 20_000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn the_nearest_number_is_found(newest in numbers(), low in any::<u32>()) {
        prop_assert_eq!(extend_packet_number(newest, low), nearest(newest, low));
    }

    #[test]
    fn a_number_in_reach_comes_back(newest in numbers(), step in 0..=FAR, newer in any::<bool>()) {
        let sent = if newer { newest.checked_add(step) } else { newest.checked_sub(step) };
        if let Some(sent) = sent {
            prop_assert_eq!(extend_packet_number(newest, sent as u32), Some(sent));
        }
    }

    #[test]
    fn a_number_out_of_reach_is_refused(newest in numbers(), step in FAR + 1..(1 << 32) - FAR) {
        prop_assert_eq!(extend_packet_number(newest, newest.wrapping_add(step) as u32), None);
    }
}
