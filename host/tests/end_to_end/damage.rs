//! Bad networks: what is lost, doubled, reordered, damaged or replayed on the way changes nothing that arrives.

use std::time::Duration;

use nix::sys::signal::Signal;

use crate::common::host::Scene;
use crate::common::machine::is_full_size;
use crate::common::relay::{Faults, Relay};
use crate::common::{alone, data, shared, tree};

const MIB: u64 = 1 << 20;

/// XFER-4, BBR-7: 3 GiB through 1 % of loss each way, with datagrams doubled and reordered, arrive byte for byte.
#[test]
fn gigabytes_arrive_whole_through_a_lossy_relay() {
    let _guard = alone();
    let len = if is_full_size() { 3072 * MIB } else { 256 * MIB };
    let scene = Scene::new();
    data::write_file(&scene.from("big"), 1, len);
    let faults = Faults { drop_ppm: 10_000, duplicate_ppm: 5_000, reorder_ppm: 5_000, ..Faults::default() };
    let relay = Relay::start(1, faults);
    let receiver = scene.recv_behind(&relay, &["--once"]);
    let sent = scene.start_send(&["big"], &receiver.ticket, &[]).wait_for(Duration::from_secs(300)).expect(0);
    let received = receiver.process.wait_for(Duration::from_secs(300)).expect(0);
    tree::assert_same_file(&scene.from("big"), &scene.to("big"));
    scene.assert_no_leftovers();
    let totals = relay.totals();
    assert!(totals.dropped > totals.datagrams / 200 && totals.duplicated > 0 && totals.reordered > 0, "{totals:?}");
    assert!(sent.summary()["retransmitted_pct"].as_f64().unwrap() > 0.5, "{}", sent.output());
    // FRAME-4: a doubled packet is refused by its number, and counted.
    assert!(received.summary()["rejects"]["replayed"].as_u64().unwrap() > 0, "{}", received.output());
    eprintln!("{} MiB in {} s; {totals:?}", len / MIB, sent.summary()["seconds"]);
}

/// SEC-2, FRAME-4, FRAME-5: each damaged datagram is refused and counted, and none has any effect.
#[test]
fn damaged_and_replayed_datagrams_are_counted_and_change_nothing() {
    let _guard = shared();
    let scene = Scene::new();
    data::write_small_files(&scene.from("tree"), 2, 200, 100_000);
    data::write_file(&scene.from("tree/large"), 3, 30 * MIB);
    let faults = Faults {
        drop_ppm: 1_000,
        corrupt_ppm: 5_000,
        truncate_ppm: 5_000,
        replay_ppm: 10_000,
        duplicate_ppm: 2_000,
        ..Faults::default()
    };
    let relay = Relay::start(2, faults);
    let receiver = scene.recv_behind(&relay, &["--once"]);
    let sent = scene.send(&["tree"], &receiver.ticket, &[]).expect(0);
    let received = receiver.process.wait().expect(0);
    tree::assert_same(&scene.from(""), &scene.to(""));
    let totals = relay.totals();
    assert!(totals.corrupted > 50 && totals.truncated > 50 && totals.replayed > 100, "{totals:?}");
    for summary in [sent.summary(), received.summary()] {
        let rejects = summary["rejects"].as_object().unwrap();
        let count = |name: &str| rejects.get(name).and_then(|count| count.as_u64()).unwrap_or(0);
        assert!(count("forged") > 0, "{summary}");
        assert!(count("replayed") + count("too_old") > 0, "{summary}");
        // Bytes that were changed, cut or repeated make no packet that the session would take for another's fault.
        assert_eq!(count("final_size") + count("flow_control") + count("stream_state"), 0, "{summary}");
    }
}

/// SEC-2: what was recorded in one session is worth nothing in the next.
#[test]
fn a_recorded_session_cannot_be_played_to_the_next() {
    let _guard = shared();
    let scene = Scene::new();
    data::write_file(&scene.from("first"), 4, 5 * MIB);
    data::write_file(&scene.from("second"), 5, 5 * MIB);
    // One relay and one receiver for both, so that the second session hears the first one's datagrams.
    let relay = Relay::start(3, Faults { replay_ppm: 200_000, ..Faults::default() });
    let receiver = scene.recv_behind(&relay, &[]);
    scene.send(&["first"], &receiver.ticket, &[]).expect(0);
    scene.send(&["second"], &receiver.ticket, &[]).expect(0);
    receiver.process.signal(Signal::SIGINT);
    let received = receiver.process.wait().expect(0);
    assert_eq!(received.events("summary").len(), 2, "{}", received.output());
    for name in ["first", "second"] {
        tree::assert_same_file(&scene.from(name), &scene.to(name));
    }
    scene.assert_no_leftovers();
}

/// A network that is silent for a while is waited for; one that stays silent ends the transfer, resumable.
#[test]
fn a_silent_network_is_waited_for_and_then_given_up() {
    let _guard = shared();
    let scene = Scene::new();
    data::write_file(&scene.from("file"), 6, 40 * MIB);
    let relay = Relay::start(4, Faults::default());
    let receiver = scene.recv_behind(&relay, &[]);
    let send = scene.start_send(&["file"], &receiver.ticket, &["--rate", "80mbit"]);
    std::thread::sleep(Duration::from_secs(1));
    relay.set_silent(true);
    std::thread::sleep(Duration::from_secs(3));
    relay.set_silent(false);
    std::thread::sleep(Duration::from_millis(700));
    relay.set_silent(true);
    let sent = send.wait().expect(5);
    assert!(sent.one_line().contains("nothing was heard") && sent.one_line().contains("resume"), "{}", sent.output());
    let received = receiver.process.stdout_line(|line| line.contains(r#""type":"summary""#));
    assert!(received.contains(r#""exit_code":5"#), "{received}");
    relay.set_silent(false);
    let sent = scene.send(&["file"], &receiver.ticket, &[]).expect(0);
    assert!(sent.summary()["resumed_bytes"].as_u64().unwrap() > 5 * MIB, "{}", sent.output());
    tree::assert_same_file(&scene.from("file"), &scene.to("file"));
}
