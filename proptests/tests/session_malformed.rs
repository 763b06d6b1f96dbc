//! FRAME-5, FRAME-6: the datagrams of a whole transfer, damaged and shown to the sessions of that transfer in between the
//! genuine ones. What is refused counts once and changes nothing, and the transfer gets through as if nothing had happened.

use std::collections::HashSet;

use wirehaul_core::limits::{PACKET_HEADER_BYTES, TAG_BYTES};
use wirehaul_core::wire::{
    FrameContext, FrameKind, PacketBody, PacketFlags, PacketHeader, PacketKind, Reject, RejectCounters,
};
use wirehaul_proptests::choices::Choices;
use wirehaul_proptests::mutate::mutate;
use wirehaul_proptests::pair::{End, Options, Pair, forge, with_established};
use wirehaul_proptests::{packets, transfer};

const DEFAULT_SEED: u64 = 20_260_701;

fn choices() -> Choices<'static> {
    let seed = std::env::var("WIREHAUL_SEED").ok().and_then(|seed| seed.parse().ok()).unwrap_or(DEFAULT_SEED);
    Choices::Seeded(seed)
}

fn is_sealed(datagram: &[u8]) -> bool {
    PacketHeader::parse(datagram).is_ok_and(|(header, _)| header.kind == PacketKind::Protected)
}

/// Runs transfers whose sealed datagrams come damaged too, until so many were refused.
fn bombard(options: &Options, wanted: u64, mut damage: impl FnMut(&mut Pair<'_>, End, &[u8], &mut RejectCounters)) {
    let mut counters = RejectCounters::new();
    let mut transfers = 0;
    while counters.total() < wanted {
        transfers += 1;
        assert!(transfers < 100, "{} refused in {transfers} transfers: the damage does too little", counters.total());
        transfer::run(options, |pair, to, datagram| {
            if is_sealed(datagram) {
                damage(pair, to, datagram, &mut counters);
            }
        });
    }
    let told: Vec<_> = counters.iter().filter(|(_, count)| *count > 0).map(|(reject, n)| (reject.name(), n)).collect();
    println!("{} refused in {transfers} transfers: {told:?}", counters.total());
}

/// By somebody on the path, who has no keys.
#[test]
fn a_transfer_gets_through_whatever_is_done_to_copies_of_its_packets() {
    let options = transfer::options(Options::default());
    let recorded = transfer::record(&options);
    let genuine: HashSet<Vec<u8>> = recorded.iter().map(|(_, datagram)| datagram.clone()).collect();
    let mut choices = choices();
    bombard(&options, 100_000, |pair, to, datagram, counters| {
        for _ in 0..60 {
            let mut bytes = datagram.to_vec();
            let (_, other) = &recorded[choices.below(recorded.len())];
            mutate(&mut choices, &mut bytes, other);
            // One that comes from another moment of the same transfer is no forgery.
            if !genuine.contains(&bytes) && (bytes.is_empty() || is_sealed(&bytes) || bytes[0] > 6) {
                match pair.hand_checked(to, &bytes) {
                    Err(reject) => counters.count(reject),
                    Ok(()) => panic!("a damaged packet was taken: {bytes:02x?}"),
                }
            }
        }
    });
}

/// By a peer that holds the keys: what its packets say is damaged, and they authenticate all the same.
#[test]
fn a_peer_with_the_keys_changes_nothing_by_what_is_refused() {
    let options = transfer::options(Options::transparent());
    let recorded: Vec<_> = transfer::record(&options).into_iter().filter(|(_, datagram)| is_sealed(datagram)).collect();
    let bodies: Vec<&[u8]> = recorded.iter().map(|(_, datagram)| body(datagram)).collect();
    let mut choices = choices();
    let mut counters = RejectCounters::new();
    let mut transfers = 0;
    while counters.total() < 100_000 {
        transfers += 1;
        with_established(&options, |pair| {
            for number in 100..1100 {
                let mut bytes = bodies[choices.below(bodies.len())].to_vec();
                let other = bodies[choices.below(bodies.len())];
                match choices.below(8) {
                    0 => bytes.extend_from_slice(other),
                    // What sessions do not send.
                    1 => bytes = packets::protected_body(&mut choices),
                    _ => {}
                }
                mutate(&mut choices, &mut bytes, other);
                let datagram = forge(End::Listener, number, &bytes);
                if let Err(reject) = pair.hand_checked(End::Listener, &datagram) {
                    counters.count(reject);
                }
                // What was taken may have ended the session, or filled it with what nobody will ever complete.
                if !pair.session(End::Listener).is_established() {
                    break;
                }
            }
        });
    }
    println!("{} refused by {transfers} sessions", counters.total());
    let unseen: Vec<_> = [
        Reject::FrameTypeUnknown,
        Reject::FrameReservedNotZero,
        Reject::PayloadTruncated,
        Reject::OffsetTooLarge,
        Reject::AckOfUnsent,
        Reject::FlowControl,
        Reject::StreamUnknown,
        Reject::StreamLimit,
        Reject::StreamRepeated,
        Reject::FinalSize,
        Reject::RekeyUnexpected,
    ]
    .into_iter()
    .filter(|reject| counters.get(*reject) == 0)
    .collect();
    assert!(unseen.is_empty(), "never refused for {unseen:?}");
}

fn body(datagram: &[u8]) -> &[u8] {
    &datagram[PACKET_HEADER_BYTES..datagram.len() - TAG_BYTES]
}

/// What the damage starts from: a transfer is the same each time, and has all that sessions send.
#[test]
fn the_recorded_transfer_is_the_same_each_time_and_has_all_that_sessions_send() {
    let options = transfer::options(Options::transparent());
    let recorded = transfer::record(&options);
    assert!(recorded == transfer::record(&options), "not deterministic");
    let (mut kinds, mut phases) = (HashSet::new(), HashSet::new());
    for (_, datagram) in recorded.iter().filter(|(_, datagram)| is_sealed(datagram)) {
        let parsed = PacketBody::parse(body(datagram), &FrameContext { max_datagram_bytes: 9000 });
        kinds.extend(parsed.iter().flat_map(PacketBody::frames).map(|frame| frame.kind()));
        phases.extend(PacketHeader::parse(datagram).map(|(header, _)| header.flags.contains(PacketFlags::KEY_PHASE)));
    }
    for kind in [
        FrameKind::Data,
        FrameKind::Ack,
        FrameKind::Control,
        FrameKind::Rekey,
        FrameKind::WindowUpdate,
        FrameKind::Close,
    ] {
        assert!(kinds.contains(&kind), "no {kind:?} was sent");
    }
    assert_eq!(phases.len(), 2, "keys never changed");
}
