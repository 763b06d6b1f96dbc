//! Sending to a host by its name: both ends must know each other's key (XFER-1, SEC-1).

use crate::common::host::{Home, Receiver, Scene};
use crate::common::shared;

/// Makes `home` trust `key` under `name`.
fn trust(home: &Home, name: &str, key: &str) {
    home.run(["key", "trust", name, key]).expect(0);
}

fn address_of(receiver: &Receiver) -> String {
    let ticket: wirehaul::transfer::ticket::Ticket = receiver.ticket.parse().unwrap();
    ticket.addresses()[0].to_string()
}

#[test]
fn hosts_that_know_each_other_need_no_ticket() {
    let _guard = shared();
    let scene = Scene::new();
    crate::common::data::write_file(&scene.from("f"), 1, 1_000_000);
    trust(&scene.sender, "127.0.0.1", &scene.receiver.key());
    trust(&scene.receiver, "workstation", &scene.sender.key());
    let receiver = scene.recv(&["--once"]);
    scene.send(&["f"], &address_of(&receiver), &[]).expect(0);
    receiver.process.wait().expect(0);
    crate::common::tree::assert_same_file(&scene.from("f"), &scene.to("f"));
}

#[test]
fn a_host_that_the_sender_does_not_know_is_not_called() {
    let _guard = shared();
    let scene = Scene::new();
    std::fs::write(scene.from("f"), b"x").unwrap();
    let receiver = scene.recv(&[]);
    trust(&scene.receiver, "workstation", &scene.sender.key());
    let sent = scene.send(&["f"], &address_of(&receiver), &[]).expect(3);
    assert!(sent.one_line().contains("wirehaul key trust 127.0.0.1"), "{}", sent.output());
    assert_eq!(sent.summary()["exit_code"], 3);
}

#[test]
fn a_sender_that_the_receiver_does_not_know_is_refused() {
    let _guard = shared();
    let scene = Scene::new();
    std::fs::write(scene.from("f"), b"x").unwrap();
    trust(&scene.sender, "127.0.0.1", &scene.receiver.key());
    let receiver = scene.recv(&["--once"]);
    let sent = scene.send(&["f"], &address_of(&receiver), &[]).expect(3);
    assert!(sent.one_line().contains("does not know this host's key"), "{}", sent.output());
    assert!(sent.seconds < 4.0, "told only after {} s", sent.seconds);
    assert!(!scene.to("f").exists());
    // The receiver goes on, and its ticket works for anybody.
    scene.send(&["f"], &receiver.ticket, &[]).expect(0);
    receiver.process.wait().expect(0);
}

/// The name stands for one key: another host behind the address is not sent to.
#[test]
fn a_host_that_has_another_key_now_is_refused() {
    let _guard = shared();
    let scene = Scene::new();
    std::fs::write(scene.from("f"), b"x").unwrap();
    trust(&scene.sender, "127.0.0.1", &scene.receiver.key());
    trust(&scene.receiver, "workstation", &scene.sender.key());
    scene.receiver.run(["key", "new", "--force"]).expect(0);
    let receiver = scene.recv(&[]);
    let sent = scene.send(&["f"], &address_of(&receiver), &[]).expect(3);
    assert_eq!(sent.stderr.lines().count(), 1, "{}", sent.output());
    assert!(!scene.to("f").exists());
}
