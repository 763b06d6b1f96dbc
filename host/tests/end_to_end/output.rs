//! What a person and what a script read (XFER-7, OPS-4).

use serde_json::Value;

use crate::common::host::{Receiver, Scene};
use crate::common::process::Process;
use crate::common::{data, shared};

/// Scripts depend on them: what the summary of a transfer has at least.
const SUMMARY_KEYS: [&str; 12] = [
    "bytes",
    "seconds",
    "gbit_per_s",
    "transport",
    "io",
    "files",
    "retransmitted_pct",
    "srtt_us",
    "pacing_error_pct",
    "resumed_bytes",
    "verified",
    "rejects",
];

fn check_summary(summary: &Value, bytes: u64) {
    for key in SUMMARY_KEYS {
        assert!(summary.get(key).is_some(), "no `{key}`: {summary}");
    }
    assert_eq!((&summary["bytes"], &summary["files"]), (&bytes.into(), &1.into()), "{summary}");
    assert_eq!((&summary["resumed_bytes"], &summary["verified"]), (&0.into(), &true.into()), "{summary}");
    let seconds = summary["seconds"].as_f64().unwrap();
    let gbit_per_s = summary["gbit_per_s"].as_f64().unwrap();
    assert!(seconds > 0.0 && (gbit_per_s - bytes as f64 * 8.0 / seconds / 1e9).abs() < 1e-6, "{summary}");
    assert!(summary["transport"].as_str().unwrap().starts_with("udp"), "{summary}");
    assert!(["uring", "sync"].contains(&summary["io"].as_str().unwrap()), "{summary}");
    assert!(summary["rejects"].is_object() && summary["error"].is_null(), "{summary}");
    for pool in [&summary["pool"]["packets"], &summary["pool"]["blocks"]] {
        let figure = |name: &str| pool[name].as_u64().unwrap_or_else(|| panic!("no `{name}` in {summary}"));
        assert!(0 < figure("peak_in_use") && figure("peak_in_use") <= figure("slots"), "{summary}");
        assert!(figure("in_use") <= figure("slots") && figure("slot_bytes") > 0, "{summary}");
        assert_eq!(figure("exhausted"), 0, "{summary}");
    }
}

#[test]
fn json_has_the_ticket_first_progress_between_and_the_summary_last() {
    let _guard = shared();
    let scene = Scene::new();
    let bytes = 15_000_000;
    data::write_file(&scene.from("file"), 1, bytes);
    let receiver = scene.recv(&["--once"]);
    let sent = scene.send(&["file"], &receiver.ticket, &["--rate", "50mbit"]).expect(0);
    let received = receiver.process.wait().expect(0);
    let first: Value = serde_json::from_str(received.stdout.lines().next().unwrap()).unwrap();
    assert_eq!((&first["type"], first["ticket"].as_str()), (&"ticket".into(), Some(&receiver.ticket[..])));
    for finished in [&sent, &received] {
        check_summary(&finished.summary(), bytes);
        assert_eq!(finished.events("summary").len(), 1, "{}", finished.output());
        assert!(finished.stderr.is_empty(), "{}", finished.output());
        let progress = finished.events("progress");
        let moving: Vec<_> = progress.iter().filter(|event| event["stage"] == "moving").collect();
        assert!(moving.len() >= 2 && moving.iter().all(|event| event["total_bytes"] == bytes), "{}", finished.output());
        let done: Vec<_> = moving.iter().map(|event| event["bytes"].as_u64().unwrap()).collect();
        assert!(done.is_sorted() && *done.last().unwrap() <= bytes && *done.last().unwrap() > 0, "{done:?}");
    }
    assert!(sent.summary()["pacing_error_pct"].is_number(), "{}", sent.output());
    assert!(sent.summary()["srtt_us"].as_u64().unwrap() > 0);
}

fn receiver_as_text(scene: &Scene, flags: &[&str]) -> Receiver {
    let mut command = scene.receiver.wirehaul();
    command.args(["recv", "--once", "--listen", "127.0.0.1:0"]).args(flags).arg("--dir").arg(scene.to(""));
    Receiver::of(Process::spawn(command))
}

#[test]
fn text_has_the_ticket_alone_on_the_first_line_and_one_summary() {
    let _guard = shared();
    let scene = Scene::new();
    data::write_file(&scene.from("file"), 1, 3_000_000);
    let receiver = receiver_as_text(&scene, &[]);
    assert!(receiver.ticket.starts_with("wh1") && !receiver.ticket.contains(' '));
    let told = receiver.process.stderr_line(|line| line.contains("wirehaul send"));
    assert!(told.contains(&receiver.ticket), "{told}");
    let sent = scene.sender.run(["send".as_ref(), scene.from("file").as_os_str(), receiver.ticket.as_ref()]).expect(0);
    let received = receiver.process.wait().expect(0);
    for (finished, verb) in [(&sent, "sent"), (&received, "received")] {
        let summary = finished.stdout.lines().rev().take(2).collect::<Vec<_>>().join(" ");
        // XFER-7: bytes, seconds, Gbit/s, transport, I/O, retransmitted, smoothed RTT, pacing error.
        for words in [
            verb,
            " s, ",
            "Gbit/s",
            "every hash verified",
            "transport udp",
            ", io ",
            "retransmitted",
            "srtt",
            "pacing error",
        ] {
            assert!(summary.contains(words), "no `{words}`: {}", finished.output());
        }
    }
    assert!(sent.stderr.is_empty(), "{}", sent.output());
}

#[test]
fn quiet_says_nothing_but_errors() {
    let _guard = shared();
    let scene = Scene::new();
    data::write_file(&scene.from("file"), 1, 3_000_000);
    let receiver = receiver_as_text(&scene, &["-q"]);
    let quietly = |ticket: &str| {
        scene.sender.run(["send".as_ref(), "-q".as_ref(), scene.from("file").as_os_str(), ticket.as_ref()])
    };
    let sent = quietly(&receiver.ticket).expect(0);
    let received = receiver.process.wait().expect(0);
    assert_eq!((&sent.stdout[..], &sent.stderr[..]), ("", ""));
    // The ticket is what a quiet receiver is for.
    assert_eq!((&received.stdout, &received.stderr[..]), (&receiver.ticket, ""));

    std::fs::write(scene.to("file"), b"different").unwrap();
    let receiver = receiver_as_text(&scene, &["-q"]);
    let sent = quietly(&receiver.ticket).expect(3);
    let received = receiver.process.wait().expect(3);
    for finished in [sent, received] {
        assert!(finished.stderr.contains("file: ") && !finished.stdout.contains("sent"), "{}", finished.output());
    }
}

#[test]
fn a_bad_command_line_is_a_usage_error() {
    let _guard = shared();
    let scene = Scene::new();
    for arguments in [
        &["send"][..],
        &["recv", "--listen", "nonsense"],
        &["recv", "--no-such-flag"],
        &["recv", "--discard", "--overwrite"],
        &["send", "--rate", "fast", "a", "b"],
        &["haul"],
    ] {
        let finished = scene.sender.run(arguments).expect(2);
        assert!(finished.stderr.contains("--help") && finished.stdout.is_empty(), "{}", finished.output());
    }
    let help = scene.sender.run(["--help"]).expect(0);
    assert!(help.stdout.contains("Exit codes:"), "{}", help.output());
}
