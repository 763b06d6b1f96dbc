//! FRAME-5: random operations on a pair of sessions, against a model of what an application must see.

use proptest::collection::vec;
use proptest::prelude::*;
use wirehaul_proptests::choices::Choices;
use wirehaul_proptests::script;

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn honest_ends_get_everything_through(rules in any::<u8>(), bytes in vec(any::<u8>(), 0..1500)) {
        script::play(&[&[rules & !1], &bytes[..]].concat());
    }

    #[test]
    fn a_peer_with_the_keys_breaks_nothing_but_its_own_session(rules in any::<u8>(), bytes in vec(any::<u8>(), 0..1500)) {
        script::play(&[&[rules | 1], &bytes[..]].concat());
    }
}

/// Long scripts from a fixed seed; and the alarm is not asleep: enough is sent, refused and delivered.
#[test]
fn long_scripts_do_all_there_is_to_do() {
    let mut choices = Choices::Seeded(4);
    let mut sum = script::Outcome::default();
    for rules in (0..=u8::MAX).chain(0..=u8::MAX) {
        let script = [vec![rules], choices.bytes(6000)].concat();
        let outcome = script::play(&script);
        sum.accepted += outcome.accepted;
        sum.refused += outcome.refused;
        sum.delivered += outcome.delivered;
    }
    println!("{sum:?}");
    assert!(sum.accepted > 10_000 && sum.refused > 10_000 && sum.delivered > 1_000_000, "{sum:?}");
}
