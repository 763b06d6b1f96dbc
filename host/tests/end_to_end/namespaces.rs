//! Hosts of their own: network namespaces joined by a veth pair.

use std::process::Command;
use std::time::Duration;

use crate::common::host::{Home, Receiver, Scene};
use crate::common::machine::{Link, Namespace, is_privileged};
use crate::common::process::Process;
use crate::common::{data, shared, tree};

const MIB: u64 = 1 << 20;

fn inside(namespace: &Namespace, home: &Home) -> Command {
    home.set_up(namespace.command(env!("CARGO_BIN_EXE_wirehaul")))
}

fn recv(scene: &Scene, link: &Link, flags: &[&str]) -> Receiver {
    let mut command = inside(&link.right, &scene.receiver);
    command.args(["recv", "--json", "--once"]).args(flags).arg("--dir").arg(scene.to(""));
    Receiver::of(Process::spawn(command))
}

fn send(scene: &Scene, link: &Link, ticket: &str, flags: &[&str]) -> Process {
    let mut command = inside(&link.left, &scene.sender);
    command.args(["send", "--json"]).args(flags).arg(scene.from("file")).arg(ticket);
    Process::spawn(command)
}

/// XFER-1: without any option, the ticket names the receiver's own addresses.
#[test]
fn a_file_crosses_a_link_of_mtu_1500() {
    let _guard = shared();
    if !is_privileged("a transfer between namespaces") {
        return;
    }
    let scene = Scene::new();
    data::write_file(&scene.from("file"), 1, 200 * MIB);
    let link = Link::new();
    let receiver = recv(&scene, &link, &[]);
    let sent = send(&scene, &link, &receiver.ticket, &[]).wait().expect(0);
    receiver.process.wait().expect(0);
    tree::assert_same_file(&scene.from("file"), &scene.to("file"));
    assert_eq!(sent.summary()["transport"], "udp-gso");

    std::fs::remove_file(scene.to("file")).unwrap();
    let receiver = recv(&scene, &link, &["--listen", "[fd74::2]:7421"]);
    send(&scene, &link, &receiver.ticket, &[]).wait().expect(0);
    receiver.process.wait().expect(0);
    tree::assert_same_file(&scene.from("file"), &scene.to("file"));
}

/// XFER-9: a cable that is pulled for three seconds interrupts nothing.
#[test]
fn a_link_that_goes_down_and_comes_back_is_waited_for() {
    let _guard = shared();
    if !is_privileged("a link that goes down") {
        return;
    }
    for end_that_loses_the_link in [0, 1] {
        let scene = Scene::new();
        data::write_file(&scene.from("file"), 2, 30 * MIB);
        let link = Link::new();
        let receiver = recv(&scene, &link, &[]);
        let send = send(&scene, &link, &receiver.ticket, &["--rate", "80mbit"]);
        std::thread::sleep(Duration::from_millis(1200));
        let host = [&link.left, &link.right][end_that_loses_the_link];
        host.ip(&["link", "set", "wire", "down"]);
        std::thread::sleep(Duration::from_secs(3));
        host.ip(&["link", "set", "wire", "up"]);
        let sent = send.wait().expect(0);
        receiver.process.wait().expect(0);
        assert!(sent.summary()["seconds"].as_f64().unwrap() > 4.0, "{}", sent.output());
        tree::assert_same_file(&scene.from("file"), &scene.to("file"));
    }
}

/// XFER-9: no route to the receiver is said soon, and is not taken for a receiver that is silent.
#[test]
fn a_network_that_cannot_be_reached_is_said_soon() {
    let _guard = shared();
    if !is_privileged("a network without routes") {
        return;
    }
    let scene = Scene::new();
    std::fs::write(scene.from("file"), b"x").unwrap();
    let (link, island) = (Link::new(), Namespace::new());
    let receiver = recv(&scene, &link, &[]);
    let mut command = inside(&island, &scene.sender);
    command.args(["send", "--json"]).arg(scene.from("file")).arg(&receiver.ticket);
    let sent = Process::spawn(command).wait().expect(1);
    assert!(sent.one_line().contains("cannot reach 10.74.0.2"), "{}", sent.output());
    assert!(sent.seconds < 4.0, "said only after {} s", sent.seconds);
}
