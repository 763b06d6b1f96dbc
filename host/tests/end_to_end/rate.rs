//! The cap of `--rate` (XFER-8, BBR-3).

use std::time::Duration;

use crate::common::host::Scene;
use crate::common::process::Finished;
use crate::common::{alone, data, tree};

const CAP_BITS_PER_SEC: f64 = 50e6;
/// A full datagram for each 1428 bytes of a file.
const WIRE_BYTES_PER_FILE_BYTE: f64 = 1472.0 / 1428.0;

/// What went over the wire per second, as a share of the cap.
fn share_of_cap(sent: &Finished) -> f64 {
    let summary = sent.summary();
    let (bytes, seconds) = (summary["bytes"].as_f64().unwrap(), summary["seconds"].as_f64().unwrap());
    bytes * WIRE_BYTES_PER_FILE_BYTE * 8.0 / seconds / CAP_BITS_PER_SEC
}

/// Over seconds and over a resume, the cap is kept within 5 %, and used.
#[test]
fn the_cap_holds_and_also_after_a_resume() {
    let _guard = alone();
    let scene = Scene::new();
    data::write_file(&scene.from("file"), 1, 30_000_000);
    let receiver = scene.recv(&[]);
    let send = scene.start_send(&["file"], &receiver.ticket, &["--rate", "50mbit"]);
    std::thread::sleep(Duration::from_millis(1500));
    send.kill();
    receiver.process.kill();
    let receiver = scene.recv(&["--once"]);
    let sent = scene.send(&["file"], &receiver.ticket, &["--rate", "50mbit"]).expect(0);
    receiver.process.wait().expect(0);
    tree::assert_same_file(&scene.from("file"), &scene.to("file"));
    let resumed = sent.summary()["resumed_bytes"].as_u64().unwrap();
    // What the first run may have sent at most, had it started at once.
    assert!((1_000_000..10_500_000).contains(&resumed), "{resumed} bytes in the first 1.5 s");
    let share = share_of_cap(&sent);
    assert!(share < 1.05, "{share} of the cap: {}", sent.output());
    // Without the time that the receiver's disk takes for what is there already, which this test knows nothing of.
    let progress = sent.events("progress");
    let moving = progress.iter().filter(|event| event["stage"] == "moving");
    let mut rates: Vec<_> = moving.filter_map(|event| event["bits_per_s"].as_u64()).collect();
    rates.sort_unstable();
    let median = rates[rates.len() / 2] as f64 * WIRE_BYTES_PER_FILE_BYTE / CAP_BITS_PER_SEC;
    assert!((0.85..1.1).contains(&median), "{median} of the cap: {}", sent.output());
}
