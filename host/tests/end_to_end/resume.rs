//! Ends that are killed: the next run goes on where the last one stopped, and nothing is lost or wrong (XFER-5).

use std::time::Duration;

use nix::sys::signal::Signal;

use crate::common::data::Rng;
use crate::common::host::{Receiver, Scene};
use crate::common::process::Process;
use crate::common::{alone, data, shared, tree};

const MIB: u64 = 1 << 20;
const TRIALS: u64 = 100;
const SEED: u64 = 0x5eed;

/// `kill -9` of the sender, the receiver, or one soon after the other, a hundred times, at any point.
#[test]
fn a_hundred_kills_lose_nothing() {
    let _guard = alone();
    let (mut kills, mut resumed) = (0, 0);
    for trial in 0..TRIALS {
        let (killed, resumed_bytes) = kill_and_resume(trial);
        kills += killed;
        resumed += u64::from(resumed_bytes > 0);
    }
    eprintln!("{TRIALS} transfers, {kills} kills, {resumed} of the transfers found something to resume");
    assert!(kills >= TRIALS, "only {kills} kills hit a transfer that was under way");
    assert!(resumed >= TRIALS / 2, "only {resumed} transfers found something to resume");
}

/// One transfer that is killed until it gets through; returns how often it was, and what the last run found there.
fn kill_and_resume(trial: u64) -> (u64, u64) {
    let mut rng = Rng::new(SEED + trial);
    let scene = Scene::new();
    data::write_file(&scene.from("large"), rng.next(), 6 * MIB);
    data::write_small_files(&scene.from("small"), rng.next(), 60, 8192);
    let mut kills = 0;
    loop {
        let is_last = kills > rng.below(2);
        let receiver = scene.recv(if is_last { &["--once"] } else { &[] });
        // 6 MiB at 400 Mbit/s take 130 ms: a kill within the first 150 ms lands anywhere, start and end included.
        let send = scene.start_send(&["large", "small"], &receiver.ticket, &["--rate", "400mbit"]);
        if !is_last {
            std::thread::sleep(Duration::from_millis(5 + rng.below(145)));
            kills += u64::from(kill_one(&mut rng, receiver, send));
            continue;
        }
        let sent = send.wait().expect(0);
        let summary = sent.summary();
        let received = receiver.process.wait().expect(0);
        assert_eq!(received.summary()["verified"], true, "trial {trial}: {}", received.output());
        tree::assert_same(&scene.from(""), &scene.to(""));
        scene.assert_no_leftovers();
        return (kills, summary["resumed_bytes"].as_u64().unwrap());
    }
}

/// Kills one end, and the other a moment later; returns whether the transfer was still under way.
fn kill_one(rng: &mut Rng, receiver: Receiver, mut send: Process) -> bool {
    let was_running = send.is_running();
    let pause = Duration::from_millis(rng.below(10));
    if rng.chance(500_000) {
        send.kill();
        std::thread::sleep(pause);
        receiver.process.kill();
    } else {
        receiver.process.kill();
        std::thread::sleep(pause);
        send.kill();
    }
    was_running
}

/// A sender that is killed and started again at once finds a receiver that still waits for the dead one.
#[test]
fn a_restarted_sender_resumes_at_a_receiver_that_lives_on() {
    let _guard = shared();
    let scene = Scene::new();
    data::write_file(&scene.from("file"), 1, 30 * MIB);
    let receiver = scene.recv(&[]);
    for _ in 0..3 {
        let send = scene.start_send(&["file"], &receiver.ticket, &["--rate", "100mbit"]);
        std::thread::sleep(Duration::from_millis(700));
        send.kill();
    }
    let sent = scene.send(&["file"], &receiver.ticket, &[]).expect(0);
    assert!(sent.summary()["resumed_bytes"].as_u64().unwrap() > 10 * MIB, "{}", sent.output());
    tree::assert_same_file(&scene.from("file"), &scene.to("file"));
    // The dead sessions time out one by one; only then is the staging directory of no use to anyone.
    receiver.process.signal(Signal::SIGINT);
    receiver.process.wait();
    scene.assert_no_leftovers();
}

/// XFER-5: what arrived of a file that has changed since is of no use, and nothing of it stays in the way.
#[test]
fn a_file_that_changed_between_two_runs_is_sent_anew() {
    let _guard = shared();
    let scene = Scene::new();
    data::write_file(&scene.from("file"), 1, 20 * MIB);
    let receiver = scene.recv(&[]);
    let send = scene.start_send(&["file"], &receiver.ticket, &["--rate", "100mbit"]);
    std::thread::sleep(Duration::from_millis(600));
    send.kill();
    receiver.process.kill();
    data::write_file(&scene.from("file"), 2, 20 * MIB);
    scene.transfer(&["file"]);
    tree::assert_same_file(&scene.from("file"), &scene.to("file"));
}

/// The same with many small files, of which the dead transfer may be committing some while the new one looks at them.
#[test]
fn a_sender_restarted_at_once_never_meets_its_own_files_as_conflicts() {
    let _guard = shared();
    let mut rng = Rng::new(SEED);
    for trial in 0..12 {
        let scene = Scene::new();
        data::write_small_files(&scene.from("many"), trial, 1500, 4096);
        let receiver = scene.recv(&[]);
        for signal in [Signal::SIGKILL, Signal::SIGINT, Signal::SIGKILL] {
            let send = scene.start_send(&["many"], &receiver.ticket, &["--rate", "200mbit"]);
            std::thread::sleep(Duration::from_millis(20 + rng.below(120)));
            send.signal(signal);
            send.wait();
        }
        scene.send(&["many"], &receiver.ticket, &[]).expect(0);
        receiver.process.signal(Signal::SIGINT);
        receiver.process.wait();
        tree::assert_same(&scene.from(""), &scene.to(""));
    }
}

/// The same files sent twice at once: the newer transfer goes on with what the older one brought.
#[test]
fn a_second_transfer_of_the_same_files_takes_over() {
    let _guard = shared();
    let scene = Scene::new();
    data::write_file(&scene.from("file"), 1, 30 * MIB);
    let receiver = scene.recv(&["--once"]);
    let first = scene.start_send(&["file"], &receiver.ticket, &["--rate", "100mbit"]);
    std::thread::sleep(Duration::from_millis(700));
    let second = scene.send(&["file"], &receiver.ticket, &[]).expect(0);
    assert!(second.summary()["resumed_bytes"].as_u64().unwrap() > 2 * MIB, "{}", second.output());
    let first = first.wait().expect(5);
    assert!(first.one_line().contains("took over"), "{}", first.output());
    let received = receiver.process.wait().expect(0);
    assert_eq!(received.events("summary").len(), 2, "{}", received.output());
    tree::assert_same_file(&scene.from("file"), &scene.to("file"));
    scene.assert_no_leftovers();
}
