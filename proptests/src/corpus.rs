//! The seed corpora of the fuzz targets: for each target, named inputs made by the writers.

use std::collections::BTreeSet;

use wirehaul_core::limits::{PACKET_HEADER_BYTES, TAG_BYTES};
use wirehaul_core::wire::{FrameKind, InitBody, PacketKind};

use crate::choices::Choices;
use crate::frames::{self, Frame};
use crate::handshakes::{self, Place};
use crate::pair::Options;
use crate::spec::{self, Spec};
use crate::{cdn_folder, manifests, mutate, oracle, packets, pool_ops, replies, script, transfer};

/// What a fuzz target asks of its input: panics where something does not hold, and says whether the input is a good one.
pub type Ask = fn(&[u8]) -> bool;

/// The fuzz targets: the folder of each below `fuzz/corpus`, and what it asks.
pub const TARGETS: [(&str, Ask); 10] = [
    ("frame", |bytes| oracle::frame(bytes).is_ok()),
    ("packet", |bytes| oracle::packet(bytes).is_ok()),
    ("ack", |bytes| oracle::ack(bytes).is_ok()),
    ("handshake", handshakes::ask),
    ("manifest", manifests::ask),
    ("net", |bytes| frames::read_and_write(bytes).is_ok()),
    ("cdn_folder", cdn_folder::ask),
    ("pool_ops", pool_ops::play),
    ("scan_reply", replies::ask),
    ("session_script", |bytes| script::play(bytes).refused == 0),
];

/// Asks what the target of this name asks.
///
/// # Panics
/// Where something does not hold, or where there is no such target.
pub fn ask(target: &str, bytes: &[u8]) {
    let found = TARGETS.iter().find(|(name, _)| *name == target);
    let Some((_, ask)) = found else { panic!("there is no target {target}") };
    // A refusal is a right answer.
    let _ = ask(bytes);
}

/// The seeds of one target: file name and bytes.
#[must_use]
pub fn seeds(target: &str) -> Vec<(String, Vec<u8>)> {
    let mut choices = Choices::Seeded(1);
    let mut seeds: Vec<(String, Vec<u8>)> = match target {
        "frame" => recorded_bodies()
            .chain(
                FrameKind::ALL
                    .into_iter()
                    .map(|kind| (kind.name().to_lowercase(), spec::body(&[Spec::draw_kind(&mut choices, kind, 48)])))
                    .chain(
                        (0..6)
                            .map(|i| (format!("several-{i}"), packets::protected_body(&mut Choices::Seeded(100 + i)))),
                    ),
            )
            .collect(),
        "packet" => packets::KINDS
            .into_iter()
            .map(|kind| (format!("{kind:?}").to_lowercase(), packets::draw_kind(&mut choices, kind)))
            .chain(recorded_packets())
            .collect(),
        "ack" => (0..6).map(|i| (format!("ranges-{i}"), ack_payload(&mut Choices::Seeded(100 + i)))).collect(),
        "handshake" => handshake_messages(),
        "cdn_folder" => cdn_folder::seeds(),
        "manifest" => (0..8).map(|i| (format!("tree-{i}"), manifests::draw(&mut Choices::Seeded(100 + i)))).collect(),
        "net" => (0..8).map(|i| (format!("datagram-{i}"), datagram(100 + i))).collect(),
        "pool_ops" => (0..6).map(borrowers).chain([("damaged-one-slot-for-two".to_owned(), vec![0; 8])]).collect(),
        "scan_reply" => replies::seeds(),
        "session_script" => scripts(),
        _ => Vec::new(),
    };
    let valid: Vec<Vec<u8>> = seeds.iter().map(|(_, bytes)| bytes.clone()).collect();
    for (i, bytes) in valid.iter().enumerate().take(8) {
        let mut damaged = bytes.clone();
        mutate::mutate(&mut choices, &mut damaged, &valid[(i + 1) % valid.len()]);
        damaged.truncate(1500);
        seeds.push((format!("damaged-{i}"), damaged));
    }
    seeds
}

/// The sealed packets of a transfer in the clear, one of each length up to 700 bytes.
fn recorded_packets() -> impl Iterator<Item = (String, Vec<u8>)> {
    let mut lengths = BTreeSet::new();
    let recorded = transfer::record(&transfer::options(Options::transparent())).into_iter().enumerate();
    recorded
        .filter(|(_, (_, datagram))| datagram[0] == PacketKind::Protected as u8 && datagram.len() <= 700)
        .filter(move |(_, (_, datagram))| lengths.insert(datagram.len()))
        .map(|(i, (_, datagram))| (format!("transfer-{i:03}"), datagram))
}

fn recorded_bodies() -> impl Iterator<Item = (String, Vec<u8>)> {
    let body = |datagram: Vec<u8>| datagram[PACKET_HEADER_BYTES..datagram.len() - TAG_BYTES].to_vec();
    recorded_packets().map(move |(name, datagram)| (name, body(datagram)))
}

/// What the ends of a handshake send, each in its place.
fn handshake_messages() -> Vec<(String, Vec<u8>)> {
    let [init, response, finish] = handshakes::genuine();
    let noise = |body: &[u8], at: usize| body[at..].to_vec();
    let cookie = vec![7; 24];
    [
        (Place::InitNoise, noise(InitBody::parse(&init).map_or(&[], |init| init.noise), 0)),
        (Place::Init, init),
        (Place::ResponseNoise, noise(&response, 8)),
        (Place::Response, response),
        (Place::Finish, finish),
        (Place::Cookie, cookie),
        (Place::Version, vec![1, 0, 0, 2]),
        (Place::Refused, vec![2, 0, 0, 0]),
    ]
    .into_iter()
    .map(|(place, message)| (format!("{place:?}").to_lowercase(), [&[place as u8], &message[..]].concat()))
    .collect()
}

/// A transfer by script under every eighth set of rules, with nothing refused: provide, send, hand over, consume.
fn scripts() -> Vec<(String, Vec<u8>)> {
    (0..=u8::MAX)
        .step_by(24)
        .map(|rules| {
            let rules = rules & !0x80;
            let mut script = vec![rules];
            for round in 0..30_u8 {
                let (end, stream) = (round & 1, round >> 1 & 3);
                script.extend_from_slice(&[
                    15,
                    end,
                    stream,
                    0,
                    4 * (round & 7),
                    1,
                    end,
                    1,
                    end,
                    5,
                    1 - end,
                    5,
                    1 - end,
                ]);
                script.extend_from_slice(&[1, 1 - end, 5, end, 17, 1 - end, stream, 255, 19, 0xff, 0xff]);
            }
            (format!("rules-{rules:03}"), script)
        })
        .chain((0..6).map(|i| (format!("damaged-random-{i}"), Choices::Seeded(300 + i).bytes(700))))
        .collect()
}

/// A window of slots that moves on: so many are taken, then one is given back for each that is taken.
fn borrowers(number: u8) -> (String, Vec<u8>) {
    let ahead = 5 * number + 1;
    let mut script = vec![199, 99];
    for step in 0..100 {
        script.extend_from_slice(&[0, step % 3]);
        if step >= ahead {
            script.extend_from_slice(&[4 + step % 3, step]);
        }
    }
    (format!("window-{ahead}"), script)
}

/// A frame with a short datagram.
fn datagram(seed: u64) -> Vec<u8> {
    let frame = Frame::draw(&mut Choices::Seeded(seed));
    Frame { payload: frame.payload.iter().take(40).copied().collect(), ..frame }.bytes()
}

/// The payload of a valid ACK.
pub fn ack_payload(choices: &mut Choices<'_>) -> Vec<u8> {
    spec::body(&[Spec::draw_kind(choices, FrameKind::Ack, 200)]).split_off(16)
}
