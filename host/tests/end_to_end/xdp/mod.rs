//! Transfers over AF_XDP, in namespaces that veth pairs join: what carries them is `--transport xdp-copy` and `xdp-skb`, since
//! veth has no zero-copy.

mod faults;
mod loss;
mod refusals;
mod transfers;

use std::process::Command;
use std::time::Duration;

use serde_json::Value;

use crate::common::host::{Home, Receiver, Scene};
use crate::common::machine::{Link, Namespace};
use crate::common::process::{Finished, Process};
use crate::common::{data, tree};

const MIB: u64 = 1 << 20;
/// How long a transfer may take on a busy machine.
const LIMIT: Duration = Duration::from_secs(60);
/// What each end does by default, and what makes it wait for a fault.
const COPY: &[&str] = &["--transport", "xdp-copy"];
const SLOW_COPY: &[&str] = &["--transport", "xdp-copy", "--rate", "80mbit"];

const V4: &str = "10.74.0.2:7420";
const V6: &str = "[fd74::2]:7420";

fn inside(namespace: &Namespace, home: &Home) -> Command {
    home.set_up(namespace.command(env!("CARGO_BIN_EXE_wirehaul")))
}

/// A receiver in `host`, for one transfer.
fn recv(scene: &Scene, host: &Namespace, listen: &str, flags: &[&str]) -> Receiver {
    let mut command = inside(host, &scene.receiver);
    command.args(["recv", "--json", "--once", "--listen", listen]).args(flags).arg("--dir").arg(scene.to(""));
    Receiver::of(Process::spawn(command))
}

/// A sender in `host` of what is named in the sending directory.
fn send(scene: &Scene, host: &Namespace, names: &[&str], ticket: &str, flags: &[&str]) -> Process {
    let mut command = inside(host, &scene.sender);
    command.args(["send", "--json"]).args(flags).args(names.iter().map(|name| scene.from(name))).arg(ticket);
    Process::spawn(command)
}

/// Moves `file` from left to right, with `meanwhile` done a second after it began; both ends are content, the bytes are the
/// same, and nothing is left on either interface.
#[track_caller]
fn transfer(
    (link, listen): (&Link, &str),
    bytes: u64,
    [receive, sending]: [&[&str]; 2],
    meanwhile: impl FnOnce(),
) -> [Finished; 2] {
    let scene = Scene::new();
    data::write_file(&scene.from("file"), bytes, bytes);
    let [receive, sending] = [receive, sending].map(|flags| [flags, &["-v"]].concat());
    let receiver = recv(&scene, &link.right, listen, &receive);
    let sender = send(&scene, &link.left, &["file"], &receiver.ticket, &sending);
    meanwhile();
    let sent = sender.wait_for(LIMIT).expect(0);
    let received = receiver.process.wait_for(LIMIT).expect(0);
    tree::assert_same_file(&scene.from("file"), &scene.to("file"));
    assert_frames_are_where_they_belong(&sent);
    assert_frames_are_where_they_belong(&received);
    for host in [&link.left, &link.right] {
        assert_nothing_attached(host);
    }
    [sent, received]
}

/// What was transferred, as fast as it goes.
#[track_caller]
fn quick(at: (&Link, &str), ways: [&[&str]; 2]) -> [Finished; 2] {
    transfer(at, 20 * MIB, ways, || {})
}

#[track_caller]
fn assert_nothing_attached(host: &Namespace) {
    let links = host.ask_ip(&["-details", "link", "show"]);
    assert!(!links.contains("xdp") && !links.contains("prog"), "{links}");
}

/// What ip(8) says of all interfaces, without what comes and goes by itself.
fn facts(host: &Namespace) -> String {
    let links = host.ask_ip(&["-details", "link", "show"]);
    ["NO-CARRIER,", "state UP ", "state DOWN ", "state LOWERLAYERDOWN "]
        .iter()
        .fold(links, |text, word| text.replace(word, ""))
}

/// XDP-6: where AF_XDP carried it, every frame is accounted for, and what the kernel said made sense.
#[track_caller]
fn assert_frames_are_where_they_belong(finished: &Finished) {
    assert!(!finished.stderr.contains("panicked"), "{}", finished.output());
    let Some(line) = finished.stderr.lines().find_map(|line| line.split_once(" frames: ").map(|(_, rest)| rest)) else {
        assert!(way_of(finished)["transport"].as_str().unwrap().starts_with("udp"), "{}", finished.output());
        return;
    };
    let numbers: Vec<u64> = line.split(' ').filter_map(|word| word.parse().ok()).collect();
    let [free, filled, sent, held, all] = numbers[..] else { panic!("{line}") };
    assert_eq!(free + filled + sent + held, all, "{line}");
    // The datagram that was begun and not sent.
    assert!(held <= 1, "{line}");
    assert!(finished.stderr.contains("; 0 addresses and 0 indices made no sense"), "{}", finished.output());
}

/// The line that says which way was taken.
#[track_caller]
fn way_of(finished: &Finished) -> Value {
    let mut events = finished.events("transport");
    assert_eq!(events.len(), 1, "{}", finished.output());
    events.remove(0)
}
