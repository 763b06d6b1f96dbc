//! Bytes that no honest peer sends, at every stage of a session: nothing panics, and what is refused changes nothing
//! but a counter (FRAME-5, SEC-6).

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test that cannot go on has failed")]

mod common;

use common::{MIB, Pair, link, listener, ms, secs, sender, stream};
use wirehaul_core::{
    device::Ecn,
    session::{Session, Stats},
    time::{Duration, Instant},
    wire::{AckRange, DataFlags, FrameWriter, RejectCounters, RekeyFrame},
};
use wirehaul_sim::{
    checks,
    crypto::{Digest, SimHandshake, Vigilance},
    host::{Arena, Room},
    link::LinkConfig,
    network::Datagram,
    rng::{Purpose, Seed, Stream},
    run::{HostId, Outcome, Run},
};

/// What can be seen of a session from outside, its counters of refused datagrams aside.
fn digest(session: &Session<'_, SimHandshake>) -> u64 {
    let stats = Stats { rejects: RejectCounters::new(), ..session.stats() };
    let mut digest = Digest::new(1);
    digest.bytes(format!("{stats:?}").as_bytes());
    digest.word(session.poll_timeout().map_or(0, Instant::as_nanos));
    digest.word(u64::from(session.is_established()) | u64::from(session.is_finished()) << 1);
    digest.value()
}

/// A datagram for somebody to choke on: noise, or a genuine one with a few bytes changed, cut, or stretched.
fn mutant(random: &mut Stream, genuine: &[Datagram]) -> Vec<u8> {
    let base = &random.pick(genuine).bytes;
    let mut bytes = base.clone();
    match random.below(6) {
        0 => {
            bytes = vec![0; usize::try_from(random.below(1500)).unwrap()];
            random.fill(&mut bytes);
        }
        1 => bytes.truncate(usize::try_from(random.below(base.len() as u64 + 1)).unwrap()),
        2 => bytes.resize(usize::try_from(random.between(base.len() as u64, 9100)).unwrap(), 0),
        _ => {
            for _ in 0..random.between(1, 4) {
                // Mostly in the headers, which are what is parsed before anything is authenticated.
                let bound = if random.chance(700_000) { bytes.len().min(48) } else { bytes.len() };
                let place = usize::try_from(random.below(bound as u64)).unwrap();
                bytes[place] = *random.pick(&[0, 1, 2, 0x10, 0x7f, 0x80, 0xff, random.clone().next_u64() as u8]);
            }
        }
    }
    bytes
}

/// Shows `count` mutants to every session of a host; each refused one must leave the session as it was.
fn bombard(run: &mut Run<'_>, host: HostId, random: &mut Stream, genuine: &[Datagram], count: u32) {
    let now = run.now();
    for _ in 0..count {
        let host = run.host(host);
        let ids: Vec<_> = host.worker().sessions().map(|(id, _)| id).collect();
        for id in ids {
            let mut bytes = mutant(random, genuine);
            let session = host.worker().session(id).unwrap();
            // To get past the door, the mutant bears the session's own index half of the time.
            if random.chance(500_000) && bytes.len() >= 8 {
                bytes[4..8].copy_from_slice(&session.local_index().to_be_bytes());
            }
            // An unchanged one would be authentic, and from another past.
            if genuine.iter().any(|datagram| datagram.bytes == bytes)
                && let Some(last) = bytes.last_mut()
            {
                *last ^= 1;
            }
            let before = digest(session);
            let refused = session.stats().rejects.total();
            let outcome = host.hand_in(now, id, &mut bytes);
            let session = host.worker().session(id).unwrap();
            if outcome.is_err() {
                assert_eq!(digest(session), before, "{outcome:?} changed the session: {bytes:02x?}");
                assert_eq!(session.stats().rejects.total(), refused + 1);
            }
        }
    }
}

/// Random and mutated datagrams between every two steps of a transfer, from the first message to the last CLOSE: the
/// transfer goes on as if they were not there.
#[test]
fn mutated_datagrams_at_every_stage_change_nothing() {
    for seed in 0..4 {
        // The genuine datagrams of the same run, which the mutants are made of.
        let arena = Arena::new();
        let faults = LinkConfig { loss_ppm: 20_000, ..link(20, ms(10)) };
        let start = |arena| {
            let mut b = listener(2);
            b.plan.send = vec![(stream(0), MIB / 4)];
            let mut a = sender(1, &[MIB / 4]);
            a.session.rekey_packets = 50;
            let mut pair = Pair::new(arena, seed, a, b, faults.clone(), faults.clone());
            pair.run.network().record();
            pair
        };
        let mut pair = start(&arena);
        pair.complete(secs(20));
        let genuine = pair.run.network().recorded().to_vec();

        let arena = Arena::new();
        let mut pair = start(&arena);
        let mut random = Seed(seed).stream(0, Purpose::Fuzz);
        for _ in 0..400 {
            pair.run.for_span(Duration::from_micros(700));
            for host in [pair.a, pair.b] {
                // Genuine packets of a lost past would be news; sealed ones of the future do not exist yet.
                let own = if host == pair.a { 1002 } else { 1001 };
                let theirs: Vec<_> =
                    genuine.iter().filter(|datagram| datagram.from.port() == own).take(40).cloned().collect();
                bombard(&mut pair.run, host, &mut random, &theirs, 6);
            }
        }
        pair.complete(secs(20));
    }
}

/// The same through the worker, which must also route: from strangers, for sessions that are and that are not.
#[test]
fn a_worker_takes_any_datagram_from_anybody() {
    let arena = Arena::new();
    let mut pair = Pair::new(&arena, 7, sender(1, &[2 * MIB]), listener(2), link(20, ms(10)), link(20, ms(10)));
    pair.run.network().record();
    pair.run.for_span(ms(300));
    let genuine: Vec<_> = pair.run.network().recorded().iter().take(60).cloned().collect();
    let mut random = Seed(7).stream(0, Purpose::Fuzz);
    let addresses = [pair.run.host(pair.a).address(), pair.run.host(pair.b).address(), wirehaul_sim::host::address(77)];
    for _ in 0..20_000 {
        let bytes = mutant(&mut random, &genuine);
        let at = pair.run.now() + Duration::from_micros(random.below(500_000));
        let (from, to) = (*random.pick(&addresses), *random.pick(&addresses[..2]));
        pair.run.network().inject(at, Datagram { from, to, ecn: Ecn::Ce, bytes });
    }
    pair.complete(secs(20));
    let b = pair.b;
    assert!(pair.run.host(b).worker().session_count() <= 4);
}

/// A peer that holds the keys and breaks every other rule: frames of any content, by themselves well-formed or not. It
/// may ruin its own session, but nothing panics, spins, or changes by what is refused.
#[test]
fn an_authenticated_peer_may_send_anything() {
    let mut total = 0;
    for seed in 0..16 {
        let arena = Arena::new();
        let (mut a, mut b) = (sender(1, &[200_000]), listener(2));
        a.identity.vigilance = Vigilance::Transparent;
        b.identity.vigilance = Vigilance::Transparent;
        b.plan.send = vec![(stream(1), 200_000)];
        b.room = Room { sent: 64, packet_gaps: 8, streams: 4, stream_gaps: 4 };
        let mut pair = Pair::new(&arena, seed, a, b, link(20, ms(10)), link(20, ms(10)));
        let mut random = Seed(seed).stream(1, Purpose::Fuzz);
        pair.run.for_span(ms(random.between(30, 120)));
        let (b, mut number, mut accepted) = (pair.b, 400_u32, 0);
        for _ in 0..3_000 {
            let now = pair.run.now();
            let Some((id, session)) = pair.run.host(b).worker().sessions().next() else { break };
            number += u32::try_from(random.below(4)).unwrap();
            let mut datagram = vec![0; 1472];
            let len = 12 + write_frames(&mut random, &mut datagram[12..1456]);
            datagram.truncate(len + 16);
            let flags = (session.stats().epochs as u8 & 1) ^ u8::from(random.chance(100_000));
            datagram[..4].copy_from_slice(&[0x10, flags, 0, 0]);
            datagram[4..8].copy_from_slice(&session.local_index().to_be_bytes());
            datagram[8..12].copy_from_slice(&number.to_be_bytes());
            let before = digest(session);
            match pair.run.host(b).hand_in(now, id, &mut datagram) {
                Ok(()) => accepted += 1,
                Err(_) => assert_eq!(digest(pair.run.host(b).worker().session(id).unwrap()), before),
            }
            let outcome = pair.run.for_span(Duration::from_micros(random.below(2_000)));
            assert!(!matches!(outcome, Outcome::Spinning(_)), "seed {seed}{}", pair.describe());
        }
        total += accepted;
        // Whatever it said, the session ends once it is silent.
        for link in [pair.there, pair.back] {
            pair.run.network().link(link).config_mut().loss_ppm = 1_000_000;
        }
        assert_eq!(pair.run.for_span(secs(60)), Outcome::Idle, "seed {seed}");
        assert_eq!(pair.run.host(b).worker().session_count(), 0);
    }
    assert!(total > 5_000, "{total} accepted: too few to prove anything");
}

/// Fills `out` with frames, most of them well-formed; returns how many bytes they take.
fn write_frames(random: &mut Stream, out: &mut [u8]) -> usize {
    let mut writer = FrameWriter::new(out);
    for _ in 0..random.pick(&[1, 1, 1, 2, 4, 40]).to_owned() {
        write_frame(random, &mut writer);
    }
    let len = writer.finish().max(16);
    if random.chance(100_000) {
        let place = usize::try_from(random.below(len as u64)).unwrap();
        out[place] ^= 1 << random.below(8);
    }
    len
}

fn write_frame(random: &mut Stream, writer: &mut FrameWriter<'_>) {
    let id = stream(u16::try_from(random.below(6)).unwrap());
    let near = |random: &mut Stream| match random.below(8) {
        0 => random.below(1 << 49),
        1 => (1 << 48) - random.below(3_000),
        _ => random.below(300_000),
    };
    let mut key = [0; 32];
    random.fill(&mut key);
    // What does not fit, or is not well-formed, is left out: that is as good as anything.
    let _ = match random.below(16) {
        0..=4 => {
            let len = usize::try_from(random.below(300)).unwrap();
            let flags =
                DataFlags::from_bits_truncate(random.next_u64() as u8 & if random.chance(50_000) { 3 } else { 2 });
            writer.data_header(id, near(random), flags, len).is_some()
        }
        5 | 6 => {
            let mut last = random.below(600);
            let ranges: Vec<_> = (0..random.between(1, 5))
                .map_while(|_| {
                    let first = last.checked_sub(random.below(20))?;
                    let range = AckRange { first, last };
                    last = first.checked_sub(2 + random.below(20))?;
                    Some(range)
                })
                .collect();
            writer.ack(random.next_u64() as u32, random.below(9) as u32, ranges, 64).is_some()
        }
        7 => writer.window_update(random.chance(500_000).then_some(id), near(random)),
        8 => {
            let rekey = RekeyFrame { answer: random.chance(300_000), epoch: random.below(6) as u32, public_key: &key };
            writer.rekey(&rekey)
        }
        9 => random.chance(50_000) && writer.stream_reset(id, near(random), 5),
        10 => random.chance(50_000) && writer.stream_close(id, near(random)),
        11 => writer.stream_open(id, near(random), 0),
        12 => writer.go_away(1, Some(id)),
        13 => writer.ping(random.next_u64()) && writer.pong(7) && writer.keepalive(),
        14 => writer.path_challenge(&[1; 8]) && random.chance(50_000) && writer.path_response(&[1; 8]),
        _ => random.chance(5_000) && writer.close(9, "enough of this"),
    };
}

/// SIM-4: the alarm works. A link that flips bits and an AEAD that accepts everything are noticed by the content check.
#[test]
fn a_planted_bug_trips_the_content_check() {
    let arena = Arena::new();
    let (mut a, mut b) = (sender(1, &[4 * MIB]), listener(2));
    a.identity.vigilance = Vigilance::Blind;
    b.identity.vigilance = Vigilance::Blind;
    let there = LinkConfig { corrupt_ppm: 1_000, ..link(50, ms(10)) };
    let mut pair = Pair::new(&arena, 1, a, b, there, link(50, ms(10)));
    pair.run.until_delivered(secs(5));
    let violation = checks::promises(&pair.run).expect_err("the planted bug went unnoticed");
    assert!(violation.to_string().contains("WrongContent"), "{violation}");
}
