//! XDP-7: interfaces of several queues, a worker for each share of them, and sessions whose packets come to another queue.
//!
//! A veth pair takes a packet that leaves by queue `n` in by queue `n`, so the sending end chooses: by a hash of the ports, or
//! as it is told (XPS, Documentation/networking/scaling.rst).

use std::process::Command;
use std::time::Duration;

use nix::sys::signal::Signal;
use serde_json::{Value, json};

use crate::common::host::{Home, Receiver, Scene};
use crate::common::machine::{Link, Namespace, has_xdp};
use crate::common::process::{Finished, Process};
use crate::common::{data, shared, tree};

const MIB: u64 = 1 << 20;
const QUEUES: u32 = 4;

/// The CPUs that workers may have, in the order in which they get them.
fn allowed() -> Vec<u32> {
    wirehaul::numa::Home::default().worker_cpus()
}

fn inside(namespace: &Namespace, home: &Home, arguments: &[&str]) -> Process {
    let mut command: Command = home.set_up(namespace.command(env!("CARGO_BIN_EXE_wirehaul")));
    command.args(arguments);
    Process::spawn(command)
}

fn recv(scene: &Scene, link: &Link, flags: &[&str]) -> Receiver {
    let dir = scene.to("");
    let xdp = ["recv", "--json", "-v", "--transport", "xdp-copy", "--iface", "wire", "--dir", dir.to_str().unwrap()];
    Receiver::of(inside(&link.right, &scene.receiver, &[&xdp, flags].concat()))
}

/// Starts to send a file from the other end, through the kernel.
fn send(scene: &Scene, link: &Link, name: &str, to: &str, flags: &[&str]) -> Process {
    let file = scene.from(name);
    let plain = ["send", "--json", "--transport", "udp"];
    inside(&link.left, &scene.sender, &[&plain[..], flags, &[file.to_str().unwrap(), to]].concat())
}

/// Has all packets from the left end leave by this queue, and so come to this queue of the right one.
fn steer_to(link: &Link, queue: u32) {
    let mut groups = vec![0_u32; 1];
    for cpu in allowed().into_iter().map(|cpu| cpu as usize) {
        groups.resize(groups.len().max(cpu / 32 + 1), 0);
        groups[cpu / 32] |= 1 << (cpu % 32);
    }
    let all: Vec<_> = groups.iter().rev().map(|group| format!("{group:x}")).collect();
    for each in 0..QUEUES {
        let cpus = if each == queue { all.join(",") } else { "0".to_owned() };
        link.left.sh(&format!("echo {cpus} > /sys/class/net/wire/queues/tx-{each}/xps_cpus"));
    }
}

/// What the receiver said of its workers.
fn workers(process: &Process) -> Vec<Value> {
    let line = process.stdout_line(|line| line.contains(r#""type":"transport""#));
    let said: Value = serde_json::from_str(&line).unwrap();
    assert_eq!((&said["transport"], &said["iface"]), (&json!("xdp-copy"), &json!("wire")), "{said}");
    said["workers"].as_array().unwrap().clone()
}

/// Datagrams that workers were handed by others, and those that were lost on the way.
fn handed_over(finished: &Finished) -> (u64, u64) {
    let of_worker = |line: &str| -> Option<(u64, u64)> {
        let (handed_over, rest) = line.split_once(" datagrams handed over by other workers, ")?;
        let lost = rest.split_once(" lost")?.0;
        Some((handed_over.rsplit_once(' ')?.1.parse().ok()?, lost.parse().ok()?))
    };
    finished.stderr.lines().filter_map(of_worker).fold((0, 0), |sum, one| (sum.0 + one.0, sum.1 + one.1))
}

/// As many workers as there are queues or CPUs, each on its CPU, and every queue has one.
#[test]
fn each_worker_has_a_cpu_and_a_share_of_the_queues() {
    let _guard = shared();
    if !has_xdp("several queues") {
        return;
    }
    let cpus = allowed();
    for queues in [QUEUES, 1] {
        let (scene, link) = (Scene::new(), Link::with(queues, 1500));
        let receiver = recv(&scene, &link, &[]);
        let count = (queues as usize).min(cpus.len());
        let queues_of = |number: usize| (0..queues).skip(number).step_by(count).collect::<Vec<_>>();
        let expected: Vec<_> =
            (0..count).map(|number| json!({ "cpu": cpus[number], "queues": queues_of(number) })).collect();
        assert_eq!(workers(&receiver.process), expected);
        receiver.process.signal(Signal::SIGTERM);
        let received = receiver.process.wait();
        assert_eq!(received.stderr.matches("handed over").count(), if count > 1 { count } else { 0 });
    }
}

/// For people: with `-v`.
#[test]
fn the_places_of_workers_are_told() {
    let _guard = shared();
    if !has_xdp("the places of workers") {
        return;
    }
    let (scene, link) = (Scene::new(), Link::with(1, 1500));
    let dir = scene.to("");
    let arguments = ["recv", "-v", "--transport", "xdp-copy", "--iface", "wire", "--dir", dir.to_str().unwrap()];
    let receiver = inside(&link.right, &scene.receiver, &arguments);
    let place = receiver.stderr_line(|line| line.contains("worker 0"));
    assert_eq!(place, format!("wirehaul: worker 0 on CPU {}: queues 0", allowed()[0]));
}

/// Fewer CPUs than queues: here one, which has all of them, and is the only one to be used.
#[test]
fn one_cpu_has_one_worker() {
    let _guard = shared();
    if !has_xdp("one worker for several queues") {
        return;
    }
    let (scene, link) = (Scene::new(), Link::with(QUEUES, 1500));
    let last = allowed().pop().unwrap();
    let mut command = scene.receiver.set_up(link.right.command("taskset"));
    command.args(["--cpu-list", &last.to_string(), env!("CARGO_BIN_EXE_wirehaul")]);
    command.args(["recv", "--json", "--once", "--transport", "xdp-copy", "--iface", "wire", "--dir"]).arg(scene.to(""));
    let receiver = Receiver::of(Process::spawn(command));
    assert_eq!(workers(&receiver.process), [json!({ "cpu": last, "queues": [0, 1, 2, 3] })]);
    data::write_file(&scene.from("file"), 1, 8 * MIB);
    send(&scene, &link, "file", &receiver.ticket, &[]).wait().expect(0);
    receiver.process.wait().expect(0);
    tree::assert_same_file(&scene.from("file"), &scene.to("file"));
}

/// Each comes from a port of its own, and so to a queue that the hash of its ports chooses.
#[test]
fn senders_at_once_are_spread_over_the_queues_and_all_get_through() {
    let _guard = shared();
    if !has_xdp("several senders over several queues") {
        return;
    }
    let (scene, link) = (Scene::new(), Link::with(QUEUES, 1500));
    let names = ["a", "b", "c", "d", "e", "f", "g", "h"];
    for (name, seed) in names.iter().zip(1..) {
        data::write_file(&scene.from(name), seed, 6 * MIB);
    }
    let receiver = recv(&scene, &link, &[]);
    let sending: Vec<_> = names.iter().map(|name| send(&scene, &link, name, &receiver.ticket, &[])).collect();
    for sent in sending {
        assert_eq!(sent.wait().expect(0).summary()["verified"], true);
    }
    receiver.process.signal(Signal::SIGTERM);
    let received = receiver.process.wait().expect(0);
    tree::assert_same(&scene.from(""), &scene.to(""));
    let summaries = received.events("summary");
    assert_eq!(summaries.len(), names.len(), "{}", received.output());
    for summary in summaries {
        assert_eq!((&summary["verified"], &summary["files"]), (&json!(true), &json!(1)), "{}", received.output());
    }
}

fn has_several_workers(test: &str) -> bool {
    let has = allowed().len() > 1;
    if !has {
        eprintln!("skipped: {test} needs two CPUs");
    }
    has
}

/// As when an administrator changes the card's table: all that follows comes to a queue of another worker.
#[test]
fn a_session_whose_packets_come_to_another_queue_goes_on() {
    let _guard = shared();
    if !has_xdp("a session that changes queues") || !has_several_workers("a session that changes queues") {
        return;
    }
    let (scene, link) = (Scene::new(), Link::with(QUEUES, 1500));
    data::write_file(&scene.from("file"), 3, 40 * MIB);
    steer_to(&link, 2);
    let receiver = recv(&scene, &link, &["--once"]);
    let sending = send(&scene, &link, "file", &receiver.ticket, &["--rate", "160mbit"]);
    std::thread::sleep(Duration::from_millis(700));
    steer_to(&link, 3);
    sending.wait().expect(0);
    let received = receiver.process.wait().expect(0);
    tree::assert_same_file(&scene.from("file"), &scene.to("file"));
    assert_eq!(received.summary()["verified"], true);
    assert!(handed_over(&received).0 > 1000, "{}", received.output());
}

/// What a killed sender has begun belongs to one worker, and its next run comes to another: that one takes the files over.
#[test]
fn a_killed_sender_that_comes_back_to_another_queue_is_resumed() {
    let _guard = shared();
    if !has_xdp("a resume at another queue") || !has_several_workers("a resume at another queue") {
        return;
    }
    let (scene, link) = (Scene::new(), Link::with(QUEUES, 1500));
    data::write_file(&scene.from("file"), 4, 40 * MIB);
    steer_to(&link, 2);
    let receiver = recv(&scene, &link, &["--once"]);
    let killed = send(&scene, &link, "file", &receiver.ticket, &["--rate", "160mbit"]);
    std::thread::sleep(Duration::from_millis(1200));
    drop(killed);
    steer_to(&link, 3);
    let sent = send(&scene, &link, "file", &receiver.ticket, &[]).wait().expect(0);
    let received = receiver.process.wait().expect(0);
    tree::assert_same_file(&scene.from("file"), &scene.to("file"));
    assert!(sent.summary()["resumed_bytes"].as_u64().unwrap() > MIB, "{}", sent.output());
    assert_eq!(handed_over(&received).0, 0, "{}", received.output());
    let ended: Vec<_> = received.events("summary").iter().map(|summary| summary["verified"].clone()).collect();
    assert_eq!(ended, [json!(false), json!(true)], "the older one, and then the newer one: {}", received.output());
}
