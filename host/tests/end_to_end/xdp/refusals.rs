//! Interfaces and privileges that AF_XDP does not work with: one line that says what to do where it was asked for, and the
//! next way where it was not.

use std::process::Command;

use nix::sys::signal::Signal;

use super::{COPY, LIMIT, V4, facts, quick, recv};
use crate::common::host::{Receiver, Scene};
use crate::common::machine::{Link, Namespace, has_ethtool, has_xdp};
use crate::common::process::{Finished, Process};
use crate::common::shared;

/// Has a receiver in `host` refused; returns what it said.
fn refused(scene: &Scene, host: &Namespace, launcher: &[&str], flags: &[&str]) -> Finished {
    let mut command = host.command(launcher.first().unwrap_or(&env!("CARGO_BIN_EXE_wirehaul")));
    if let Some((_, rest)) = launcher.split_first() {
        command.args(rest).arg(env!("CARGO_BIN_EXE_wirehaul"));
    }
    let mut command = scene.receiver.set_up(command);
    command.args(["recv", "--listen", V4]).args(flags).arg("--dir").arg(scene.to(""));
    Process::spawn(command).wait_for(LIMIT).expect(4)
}

/// As root, who may then do no more than is listed.
fn with_only<'a>(capabilities: &'a [&'a str]) -> Vec<&'a str> {
    [&["setpriv", "--inh-caps=-all"][..], capabilities].concat()
}

/// XDP-9: interfaces that cannot be used, each with what to do about it.
#[test]
fn an_interface_that_will_not_do_is_refused_with_what_to_do() {
    let _guard = shared();
    if !has_xdp("AF_XDP on interfaces that will not do") {
        return;
    }
    let (scene, link) = (Scene::new(), Link::new());
    let host = &link.right;
    host.ip(&["link", "add", "idle", "type", "veth", "peer", "name", "idle-peer"]);
    host.ip(&["link", "add", "port", "type", "veth", "peer", "name", "port-peer"]);
    host.ip(&["link", "add", "bridge", "type", "bridge"]);
    host.ip(&["link", "set", "port", "master", "bridge", "up"]);
    let before = facts(host);
    for way in ["xdp-copy", "xdp-skb"] {
        for (interface, words) in [
            ("nowhere", "there is no interface `nowhere`; there are"),
            ("idle", "`ip link set dev idle up`"),
            ("port", "`ip link set dev port nomaster`"),
            ("lo", "lo is no Ethernet interface"),
        ] {
            let said = refused(&scene, host, &[], &["--transport", way, "--iface", interface]);
            let line = said.one_line();
            assert!(line.starts_with(&format!("--transport {way}: ")) && line.contains(words), "{line}");
        }
    }
    let said = refused(&scene, host, &[], &["--transport", "xdp", "--iface", "wire"]);
    assert!(said.one_line().contains("use --transport xdp-copy"), "{}", said.output());
    // What is not forced is left out.
    for interface in ["nowhere", "idle", "port", "lo", "wire"] {
        let [_, received] = quick((&link, V4), [&["--iface", interface], &["--transport", "xdp-copy"]]);
        assert_eq!(received.summary()["transport"], "udp-gso", "{}", received.output());
    }
    assert_eq!(facts(host), before);
}

/// XDP-8, XDP-9: another program's filter stays as it is.
#[test]
fn an_interface_that_is_taken_is_refused_and_left_alone() {
    let _guard = shared();
    if !has_xdp("AF_XDP on an interface that is taken") {
        return;
    }
    let (scene, link) = (Scene::new(), Link::new());
    let first = recv(&scene, &link.right, "10.74.0.2:7421", COPY);
    let before = facts(&link.right);
    for way in ["xdp-copy", "xdp-skb"] {
        let said = refused(&Scene::new(), &link.right, &[], &["--transport", way]);
        let line = said.one_line();
        assert!(line.contains("another XDP program is attached to wire") && line.contains("ip link show"), "{line}");
    }
    // The same port: that is said before anything is attached.
    let other = Scene::new();
    let mut command = super::inside(&link.right, &other.receiver);
    command.args(["recv", "--listen", "10.74.0.2:7421", "--transport", "xdp-copy", "--dir"]).arg(other.to(""));
    let said = Process::spawn(command).wait_for(LIMIT).expect(4);
    assert!(said.one_line().contains("10.74.0.2:7421"), "{}", said.output());
    assert_eq!(facts(&link.right), before);
    let names = ["--iface", "wire"];
    let scene = Scene::new();
    let second = recv(&scene, &link.right, V4, &names);
    assert!(second.process.stdout_line(|line| line.contains("transport")).contains("udp-gso"));
    for Receiver { process, .. } in [first, second] {
        process.signal(Signal::SIGINT);
        process.wait_for(LIMIT).expect(5);
    }
    super::assert_nothing_attached(&link.right);
}

/// XDP-9: what is missing of privileges is named, whichever it is; with the three that are needed, and no other, it works.
#[test]
fn a_privilege_that_is_missing_is_named() {
    let _guard = shared();
    if !has_xdp("AF_XDP without privileges") {
        return;
    }
    let (scene, link) = (Scene::new(), Link::new());
    let before = facts(&link.right);
    for (bounding, words) in [
        ("--bounding-set=-all", "run as root"),
        ("--bounding-set=-all,+net_admin,+bpf", "CAP_NET_RAW"),
        ("--bounding-set=-all,+net_raw,+net_admin", "CAP_BPF"),
        ("--bounding-set=-all,+net_raw,+bpf", "CAP_NET_ADMIN"),
    ] {
        let said = refused(&scene, &link.right, &with_only(&[bounding]), &["--transport", "xdp-copy"]);
        assert!(said.one_line().contains(words), "{bounding}: {}", said.output());
        assert_eq!(facts(&link.right), before, "{bounding}");
    }
    let mut command = link.right.command("setpriv");
    command.args(["--inh-caps=-all", "--bounding-set=-all,+net_raw,+net_admin,+bpf"]);
    works_as(&scene, &link, command, "xdp-copy");
    // Who does not insist needs none.
    let mut command = link.right.command("setpriv");
    command.args(["--inh-caps=-all", "--bounding-set=-all"]);
    works_as(&Scene::new(), &link, command, "auto");
}

/// XDP-3: a limit of locked memory that cannot be raised is named; nothing is left.
#[test]
fn a_limit_of_locked_memory_is_named() {
    let _guard = shared();
    if !has_xdp("AF_XDP under a limit of locked memory") {
        return;
    }
    let (scene, link) = (Scene::new(), Link::new());
    let before = facts(&link.right);
    let bounding = "--bounding-set=-all,+net_raw,+net_admin,+bpf";
    let launcher = ["prlimit", "--memlock=65536:65536", "setpriv", "--inh-caps=-all", bounding];
    let said = refused(&scene, &link.right, &launcher, &["--transport", "xdp-copy"]);
    let line = said.one_line();
    assert!(line.contains("locked memory") && line.contains("ulimit -l"), "{line}");
    assert_eq!(facts(&link.right), before);
    // With CAP_IPC_LOCK there is no limit.
    let mut command = link.right.command("prlimit");
    command.args(["--memlock=65536:65536", "setpriv", "--inh-caps=-all", &format!("{bounding},+ipc_lock")]);
    works_as(&scene, &link, command, "xdp-copy");
}

/// XDP-4: queues that the interface has, and that are not in use, are left alone.
#[test]
fn queues_without_a_channel_are_left_alone() {
    let _guard = shared();
    if !has_xdp("AF_XDP on fewer channels than queues") || !has_ethtool("fewer channels than queues") {
        return;
    }
    let link = Link::with(4, 1500);
    for host in [&link.left, &link.right] {
        host.sh("ethtool -L wire rx 2 tx 2");
    }
    let [_, received] = quick((&link, V4), [COPY, COPY]);
    assert_eq!(super::way_of(&received)["queues"], serde_json::json!([0, 1]));
}

/// A receiver that `launcher` starts gets what it is sent.
#[track_caller]
fn works_as(scene: &Scene, link: &Link, mut launcher: Command, way: &str) {
    launcher.arg(env!("CARGO_BIN_EXE_wirehaul"));
    let mut command = scene.receiver.set_up(launcher);
    command.args(["recv", "--json", "--once", "--listen", V4, "--transport", way, "--iface", "wire"]);
    command.arg("--dir").arg(scene.to(""));
    let receiver = Receiver::of(Process::spawn(command));
    std::fs::write(scene.from("file"), [7; 100_000]).unwrap();
    super::send(scene, &link.left, &["file"], &receiver.ticket, COPY).wait_for(LIMIT).expect(0);
    receiver.process.wait_for(LIMIT).expect(0);
    assert_eq!(std::fs::read(scene.to("file")).unwrap(), [7; 100_000]);
}
