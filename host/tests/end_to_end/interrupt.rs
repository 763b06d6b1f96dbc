//! A user's Ctrl-C: the peer is told at once, and the same command again goes on (XFER-5, OPS-4).

use std::time::Duration;

use nix::sys::signal::Signal;

use crate::common::host::{Receiver, Scene};
use crate::common::process::Process;
use crate::common::{data, shared, tree};

/// A transfer that is under way.
fn under_way(scene: &Scene) -> (Receiver, Process) {
    data::write_file(&scene.from("file"), 1, 40_000_000);
    let receiver = scene.recv(&[]);
    let send = scene.start_send(&["file"], &receiver.ticket, &["--rate", "80mbit"]);
    std::thread::sleep(Duration::from_millis(1000));
    (receiver, send)
}

fn resume(scene: &Scene, receiver: &Receiver) {
    let sent = scene.send(&["file"], &receiver.ticket, &[]).expect(0);
    assert!(sent.summary()["resumed_bytes"].as_u64().unwrap() > 1_000_000, "{}", sent.output());
    tree::assert_same_file(&scene.from("file"), &scene.to("file"));
}

#[test]
fn an_interrupted_sender_tells_the_receiver_and_resumes() {
    let _guard = shared();
    for signal in [Signal::SIGINT, Signal::SIGTERM] {
        let scene = Scene::new();
        let (receiver, send) = under_way(&scene);
        send.signal(signal);
        let sent = send.wait().expect(5);
        assert!(sent.one_line().contains("resume"), "{}", sent.output());
        assert_eq!((&sent.summary()["exit_code"], &sent.summary()["verified"]), (&5.into(), &false.into()));
        // Told, not timed out: that takes 15 s.
        let said = receiver.process.stdout_line(|line| line.contains(r#""type":"summary""#));
        assert!(said.contains("stopped the transfer") && said.contains(r#""exit_code":5"#), "{said}");
        resume(&scene, &receiver);
        receiver.process.signal(Signal::SIGINT);
        receiver.process.wait();
        scene.assert_no_leftovers();
    }
}

#[test]
fn an_interrupted_receiver_tells_the_sender_and_resumes() {
    let _guard = shared();
    let scene = Scene::new();
    let (receiver, send) = under_way(&scene);
    receiver.process.signal(Signal::SIGINT);
    let received = receiver.process.wait().expect(5);
    assert!(received.one_line().contains("resume"), "{}", received.output());
    assert_eq!(received.summary()["exit_code"], 5);
    let sent = send.wait().expect(5);
    assert!(sent.one_line().contains("the peer stopped the transfer"), "{}", sent.output());
    assert!(sent.seconds < 10.0, "it was not told: {} s", sent.seconds);
    let receiver = scene.recv(&[]);
    resume(&scene, &receiver);
}

/// A receiver that nobody has sent to yet ends at once, says so to scripts, and leaves nothing.
#[test]
fn an_idle_receiver_ends_at_once() {
    let _guard = shared();
    let scene = Scene::new();
    let receiver = scene.recv(&[]);
    receiver.process.signal(Signal::SIGINT);
    let received = receiver.process.wait().expect(5);
    assert!(received.seconds < 10.0, "{} s", received.seconds);
    assert_eq!((&received.summary()["exit_code"], &received.summary()["files"]), (&5.into(), &0.into()));
    scene.assert_no_leftovers();
}

/// A sender that still looks for its receiver.
#[test]
fn a_calling_sender_ends_at_once() {
    let _guard = shared();
    let scene = Scene::new();
    std::fs::write(scene.from("f"), b"x").unwrap();
    let receiver = scene.recv(&[]);
    let ticket = receiver.ticket.clone();
    receiver.process.signal(Signal::SIGSTOP);
    let send = scene.start_send(&["f"], &ticket, &[]);
    std::thread::sleep(Duration::from_millis(700));
    send.signal(Signal::SIGINT);
    let sent = send.wait().expect(5);
    assert!(sent.seconds < 3.5, "{} s", sent.seconds);
    assert_eq!(sent.stderr.lines().count(), 1, "{}", sent.output());
}

/// A machine that sleeps, or a virtual one that is paused: both ends were away, longer than they wait for each other.
#[test]
fn ends_that_were_both_suspended_go_on() {
    let _guard = shared();
    let scene = Scene::new();
    let (receiver, send) = under_way(&scene);
    for signal in [Signal::SIGSTOP, Signal::SIGCONT] {
        receiver.process.signal(signal);
        send.signal(signal);
        if signal == Signal::SIGSTOP {
            std::thread::sleep(Duration::from_secs(17));
        }
    }
    send.wait().expect(0);
    tree::assert_same_file(&scene.from("file"), &scene.to("file"));
}
