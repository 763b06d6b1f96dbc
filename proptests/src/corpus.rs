//! The seed corpora of the fuzz targets: for each target, named inputs made by the writers.

use wirehaul_core::wire::FrameKind;

use crate::choices::Choices;
use crate::spec::{self, Spec};
use crate::{mutate, oracle, packets};

/// What a fuzz target asks of its input.
pub type Oracle = fn(&[u8]) -> Result<(), wirehaul_core::wire::Reject>;

/// The fuzz targets: the folder of each below `fuzz/corpus`, and what it asks.
pub const TARGETS: [(&str, Oracle); 3] = [("frame", oracle::frame), ("packet", oracle::packet), ("ack", oracle::ack)];

/// The seeds of one target: file name and bytes.
#[must_use]
pub fn seeds(target: &str) -> Vec<(String, Vec<u8>)> {
    let mut choices = Choices::Seeded(1);
    let mut seeds: Vec<(String, Vec<u8>)> = match target {
        "frame" => FrameKind::ALL
            .into_iter()
            .map(|kind| (kind.name().to_lowercase(), spec::body(&[Spec::draw_kind(&mut choices, kind, 48)])))
            .chain((0..6).map(|i| (format!("several-{i}"), packets::protected_body(&mut Choices::Seeded(100 + i)))))
            .collect(),
        "packet" => packets::KINDS
            .into_iter()
            .map(|kind| (format!("{kind:?}").to_lowercase(), packets::draw_kind(&mut choices, kind)))
            .collect(),
        "ack" => (0..6).map(|i| (format!("ranges-{i}"), ack_payload(&mut Choices::Seeded(100 + i)))).collect(),
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

/// The payload of a valid ACK.
pub fn ack_payload(choices: &mut Choices<'_>) -> Vec<u8> {
    spec::body(&[Spec::draw_kind(choices, FrameKind::Ack, 200)]).split_off(16)
}
