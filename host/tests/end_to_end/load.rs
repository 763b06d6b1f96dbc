//! Many at once, and much at once.

use std::time::Duration;

use nix::sys::signal::Signal;

use crate::common::host::{Receiver, Scene};
use crate::common::process::Process;
use crate::common::{alone, data, shared, tree};

const MIB: u64 = 1 << 20;
/// What either end may hold in memory, whatever it moves.
const MAX_RSS_KIB: u64 = 200 * 1024;

/// XFER-8: several senders share one receiver.
#[test]
fn several_senders_into_one_receiver() {
    let _guard = shared();
    let scene = Scene::new();
    let names = ["one", "two", "three"];
    for (seed, name) in names.iter().enumerate() {
        data::write_small_files(&scene.from(name), seed as u64, 100, 20_000);
        data::write_file(&scene.from(&format!("{name}/large")), 10 + seed as u64, 20 * MIB);
    }
    let receiver = scene.recv(&[]);
    let senders: Vec<_> =
        names.iter().map(|name| scene.start_send(&[name], &receiver.ticket, &["--rate", "200mbit"])).collect();
    for sender in senders {
        let sent = sender.wait().expect(0);
        assert_eq!(sent.summary()["files"], 101, "{}", sent.output());
    }
    tree::assert_same(&scene.from(""), &staged_aside(&scene));
    receiver.process.signal(Signal::SIGINT);
    let received = receiver.process.wait().expect(0);
    let summaries = received.events("summary");
    assert_eq!(summaries.len(), 3, "{}", received.output());
    assert!(summaries.iter().all(|summary| summary["files"] == 101 && summary["verified"] == true));
    scene.assert_no_leftovers();
}

/// The target without the staging directory, which is there for as long as the receiver is.
fn staged_aside(scene: &Scene) -> std::path::PathBuf {
    let aside = scene.path().join("aside");
    std::fs::create_dir(&aside).unwrap();
    for entry in std::fs::read_dir(scene.to("")).unwrap() {
        let entry = entry.unwrap();
        if entry.file_name() != ".wirehaul" {
            std::fs::rename(entry.path(), aside.join(entry.file_name())).unwrap();
        }
    }
    aside
}

/// Resident memory stays below 200 MiB per side, whatever the size.
#[test]
fn memory_does_not_grow_with_what_is_moved() {
    let _guard = alone();
    let limit = Duration::from_secs(240);
    let scene = Scene::new();
    let discarding = scene.recv(&["--once", "--discard"]);
    let mut command = scene.sender.wirehaul();
    command.args(["send", "--json", "--generate", "2gib", &discarding.ticket]);
    let generated = finish_both(Process::spawn(command), discarding, limit);
    data::write_file(&scene.from("file"), 1, 1024 * MIB);
    let receiver = scene.recv(&["--once"]);
    let send = scene.start_send(&["file"], &receiver.ticket, &[]);
    let file = finish_both(send, receiver, limit);
    for (what, kib) in [("2 GiB generated", generated), ("a file of 1 GiB", file)] {
        eprintln!("{what}: {} MiB at the sender, {} MiB at the receiver", kib.0 >> 10, kib.1 >> 10);
        assert!(kib.0 < MAX_RSS_KIB && kib.1 < MAX_RSS_KIB, "{what}: {kib:?} KiB");
    }
    tree::assert_same_file(&scene.from("file"), &scene.to("file"));
}

/// Waits for both, looking at the memory of both; the peaks in KiB, sender first.
fn finish_both(send: Process, receiver: Receiver, limit: Duration) -> (u64, u64) {
    let receiver = std::thread::spawn(move || receiver.process.wait_for(limit));
    let sent = send.wait_for(limit).expect(0);
    let received = receiver.join().unwrap().expect(0);
    assert!(sent.peak_rss_kib > 0 && received.peak_rss_kib > 0);
    (sent.peak_rss_kib, received.peak_rss_kib)
}
