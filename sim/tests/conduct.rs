//! A peer that sends nothing but what breaks the rules, under its own keys, is cut off; one that anybody forges packets of
//! is not (FRAME-4).

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test that cannot go on has failed")]

mod common;

use common::{Pair, link, listener, ms, secs, sender};
use wirehaul_core::{
    session::{CloseCode, CloseReason, MAX_FAULTS},
    wire::{AckRange, FrameWriter, Reject},
};
use wirehaul_sim::{crypto::Vigilance, host::Arena, run::HostId};

fn pair(arena: &Arena, vigilance: Vigilance) -> Pair<'_> {
    let (mut a, mut b) = (sender(1, &[]), listener(2));
    a.identity.vigilance = vigilance;
    b.identity.vigilance = vigilance;
    let mut pair = Pair::new(arena, 1, a, b, link(50, ms(10)), link(50, ms(10)));
    pair.run.for_span(ms(200));
    pair
}

/// Hands the host a packet of its peer with what `write` puts into it; returns whether it was refused.
fn hand_in(
    pair: &mut Pair<'_>,
    host: HostId,
    number: u32,
    write: impl Fn(&mut FrameWriter<'_>) -> bool,
) -> Option<Reject> {
    let now = pair.run.now();
    let (id, session) = pair.run.host(host).worker().sessions().next()?;
    let mut datagram = vec![0; 300];
    datagram[0] = 0x10;
    datagram[4..8].copy_from_slice(&session.local_index().to_be_bytes());
    datagram[8..12].copy_from_slice(&number.to_be_bytes());
    let mut writer = FrameWriter::new(&mut datagram[12..284]);
    assert!(write(&mut writer));
    let len = 12 + writer.finish() + 16;
    datagram.truncate(len);
    pair.run.host(host).hand_in(now, id, &mut datagram).err()
}

fn ack_of_what_was_never_sent(writer: &mut FrameWriter<'_>) -> bool {
    writer.ack(0, 0, [AckRange { first: 900_000, last: 900_001 }], 1).is_some()
}

#[test]
fn nothing_but_faults_is_cut_off_after_a_bounded_number() {
    let arena = Arena::new();
    let mut pair = pair(&arena, Vigilance::Transparent);
    let b = pair.b;
    let mut number = 100;
    for _ in 0..3 * MAX_FAULTS {
        number += 1;
        if hand_in(&mut pair, b, number, ack_of_what_was_never_sent).is_none() {
            break;
        }
        // The session itself is as it was; its timer, due at once, ends it.
        pair.run.host(b).wake(wirehaul_core::time::Instant::ZERO);
        pair.run.for_span(ms(1));
    }
    assert!(number <= 101 + MAX_FAULTS, "{number}");
    let (id, _) = pair.run.host_ref(b).app().flows().next().unwrap();
    assert_eq!(pair.run.host(b).close_reason(id), Some(CloseReason::Misbehaved(Reject::AckOfUnsent)));
    pair.run.for_span(secs(1));
    let (a, call) = (pair.a, pair.call);
    assert_eq!(pair.run.host(a).close_reason(call), Some(CloseReason::Peer(CloseCode::PROTOCOL)));
}

/// Who keeps the rules now and then is not cut off: the faults are counted, and that is all.
#[test]
fn faults_between_good_packets_end_nothing() {
    let arena = Arena::new();
    let mut pair = pair(&arena, Vigilance::Transparent);
    let b = pair.b;
    for number in 100..1_000 {
        let fault = number % 20 != 0;
        let refused =
            hand_in(
                &mut pair,
                b,
                number,
                |writer| {
                    if fault { ack_of_what_was_never_sent(writer) } else { writer.keepalive() }
                },
            );
        assert_eq!(refused.is_some(), fault);
        pair.run.host(b).wake(wirehaul_core::time::Instant::ZERO);
        pair.run.for_span(ms(1));
    }
    assert!(pair.run.only_session(b).is_established());
    assert_eq!(pair.run.only_session(b).stats().rejects.get(Reject::AckOfUnsent), 855);
}

/// What does not authenticate may come from anybody, and ends nothing however much it is.
#[test]
fn forged_packets_end_nothing() {
    let arena = Arena::new();
    let mut pair = pair(&arena, Vigilance::Strict);
    let b = pair.b;
    for number in 100..1_000 {
        assert_eq!(hand_in(&mut pair, b, number, ack_of_what_was_never_sent), Some(Reject::Forged));
        pair.run.for_span(ms(1));
    }
    assert!(pair.run.only_session(b).is_established());
}
