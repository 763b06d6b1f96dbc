//! Files get across, byte for byte, whatever the two ends send with and whatever lies between them.

use std::time::Duration;

use nix::sys::signal::Signal;

use super::{COPY, LIMIT, MIB, SLOW_COPY, V4, V6, assert_nothing_attached, facts, inside, quick, recv, send, way_of};
use crate::common::host::Scene;
use crate::common::machine::{Link, Namespace, has_xdp};
use crate::common::process::Process;
use crate::common::{data, shared, tree};

const SKB: &[&str] = &["--transport", "xdp-skb"];
const UDP: &[&str] = &["--transport", "udp"];

/// XDP-4, XDP-5, XDP-8: each way on either side, over both versions of IP. Where the other end is a UDP socket, the kernel
/// there verifies the checksums that we write.
#[test]
fn every_way_reaches_every_other() {
    let _guard = shared();
    if !has_xdp("transfers over AF_XDP") {
        return;
    }
    let link = Link::new();
    for ways in [[COPY, COPY], [SKB, SKB], [COPY, UDP], [UDP, COPY], [SKB, COPY], [UDP, SKB], [SKB, UDP]] {
        for listen in [V4, V6] {
            let [sent, received] = quick((&link, listen), ways);
            for (finished, way) in [(received, ways[0]), (sent, ways[1])] {
                let expected = if way == UDP { "udp-gso" } else { way[1] };
                assert_eq!(finished.summary()["transport"], expected, "{}", finished.output());
            }
        }
    }
}

/// XDP-4, XDP-10: packets of every length that a frame has to be cut for: they fit into 2048 bytes, into 4096, into neither;
/// and what veth takes in one buffer ends at about 3.5 KB.
#[test]
fn packets_of_every_mtu_fit_into_frames() {
    let _guard = shared();
    if !has_xdp("AF_XDP on links of other MTUs") {
        return;
    }
    for mtu in [1280, 1400, 1750, 1751, 3000, 3506, 3600, 3798, 3799, 3900, 9000] {
        let link = Link::with(1, mtu);
        for ways in [[COPY, COPY], [COPY, UDP], [UDP, COPY], [SKB, SKB], [SKB, UDP]] {
            let [sent, _] = quick((&link, V6), ways);
            let found = sent.summary()["datagram_bytes"].as_u64().unwrap();
            let most = u64::from(mtu) - 48;
            assert!((most - 60..=most).contains(&found), "MTU {mtu}: {found}\n{}", sent.output());
        }
    }
}

/// XDP-4: the ends disagree about the MTU, or it is larger than any frame.
#[test]
fn links_of_odd_mtus_are_crossed() {
    let _guard = shared();
    if !has_xdp("AF_XDP on links of odd MTUs") {
        return;
    }
    for [left, right] in [["9000", "1500"], ["1500", "9000"], ["16000", "16000"], ["60000", "1500"]] {
        let link = Link::new();
        for (host, mtu) in [(&link.left, left), (&link.right, right)] {
            host.ip(&["link", "set", "wire", "mtu", mtu]);
        }
        for ways in [[COPY, COPY], [COPY, UDP], [UDP, COPY], [SKB, SKB]] {
            quick((&link, V4), ways);
        }
    }
}

/// XDP-4, XDP-7: several queues, on one end or on both.
#[test]
fn packets_of_every_queue_arrive() {
    let _guard = shared();
    if !has_xdp("AF_XDP on several queues") {
        return;
    }
    for (queues, mtu) in [(4, 1500), (3, 9000)] {
        let link = Link::with(queues, mtu);
        for ways in [[COPY, COPY], [COPY, UDP], [SKB, SKB]] {
            let [_, received] = quick((&link, V4), ways);
            let expected: Vec<_> = (0..queues).collect();
            assert_eq!(way_of(&received)["queues"], serde_json::json!(expected), "{}", received.output());
        }
    }
}

/// Three namespaces in a row; the one in the middle routes. Returns it, and the outer two as a link.
fn behind_a_gateway() -> (Link, Namespace) {
    let (left, right, gateway) = (Namespace::new(), Namespace::new(), Namespace::new());
    for (host, end, port) in [(&left, 1, "left"), (&right, 2, "right")] {
        host.join("wire", &gateway, port, 1);
        host.set_up("wire", &[&format!("10.74.{end}.{end}/24"), &format!("fd74:{end}::{end}/64")], 1500);
        gateway.set_up(port, &[&format!("10.74.{end}.9/24"), &format!("fd74:{end}::9/64")], 1500);
        host.ip(&["route", "add", "default", "via", &format!("10.74.{end}.9")]);
        host.ip(&["-6", "route", "add", "default", "via", &format!("fd74:{end}::9")]);
    }
    gateway.sh("echo 1 > /proc/sys/net/ipv4/ip_forward; echo 1 > /proc/sys/net/ipv6/conf/all/forwarding");
    (Link { left, right }, gateway)
}

/// XDP-5: packets to elsewhere go to the gateway's address. Without `--iface`, the default route tells the interface.
#[test]
fn a_peer_behind_a_gateway_is_reached() {
    let _guard = shared();
    if !has_xdp("AF_XDP behind a gateway") {
        return;
    }
    let (link, _gateway) = behind_a_gateway();
    for ways in [[COPY, COPY], [COPY, UDP], [UDP, COPY]] {
        for listen in ["10.74.2.2:7420", "[fd74:2::2]:7420", "0.0.0.0:7420", "[::]:7420"] {
            quick((&link, listen), ways);
        }
    }
}

/// XDP-9: the receiver listens on every address of its interface. What is said of it in JSON.
#[test]
fn the_way_that_was_taken_is_said() {
    let _guard = shared();
    if !has_xdp("AF_XDP's line of JSON") {
        return;
    }
    let link = Link::new();
    let named = ["--transport", "xdp-copy", "--iface", "wire"];
    let ends = quick((&link, "[::]:7420"), [&named, &named]);
    for finished in &ends {
        let said = way_of(finished);
        assert_eq!((&said["transport"], &said["iface"]), (&"xdp-copy".into(), &"wire".into()));
        assert_eq!(said["steps"], serde_json::json!([{ "way": "xdp-copy", "reason": "on wire, as asked for" }]));
        let frames = &said["frames"];
        assert!(frames["bytes"].as_u64().unwrap() >= 4 << 20, "{said}");
        assert!([4096, 2 << 20, 1 << 30].contains(&frames["page_bytes"].as_u64().unwrap()), "{said}");
        let hit = if frames["page_bytes"] == 4096 { 0 } else { 100 };
        assert_eq!(frames["huge_page_hit_pct"], hit, "{said}");
        assert!(frames["locked"].is_boolean() && frames["not_had"].is_array(), "{said}");
    }
    // Where nothing is asked for, the driver has no zero-copy, and sockets are faster than copies.
    let auto: &[&str] = &["--iface", "wire"];
    let [sent, received] = quick((&link, V4), [auto, auto]);
    for finished in [sent, received] {
        let said = way_of(&finished);
        let steps: Vec<_> =
            said["steps"].as_array().unwrap().iter().map(|step| step["way"].as_str().unwrap()).collect();
        assert_eq!(
            (said["transport"].as_str(), steps),
            (Some("udp-gso"), vec!["xdp", "xdp-copy", "udp-gso"]),
            "{said}"
        );
        assert!(said["steps"][0]["reason"].as_str().unwrap().contains("veth"), "{said}");
    }
}

/// A tree with thousands of bytes and with none, and two transfers at once to one server.
#[test]
fn a_server_takes_trees_over_af_xdp() {
    let _guard = shared();
    if !has_xdp("a server over AF_XDP") {
        return;
    }
    let (scene, link) = (Scene::new(), Link::new());
    data::write_small_files(&scene.from("many"), 3, 200, 20_000);
    std::fs::write(scene.from("many/empty"), b"").unwrap();
    data::write_file(&scene.from("large"), 4, 10 * MIB);
    data::write_file(&scene.from("other"), 5, 10 * MIB);
    scene.sender.run(["key", "trust", "10.74.0.2", &scene.receiver.key()]).expect(0);
    scene.receiver.run(["key", "trust", "workstation", &scene.sender.key()]).expect(0);
    let config = scene.path().join("serve.toml");
    let more = "listen = \"0.0.0.0:7420\"\ntransport = \"xdp-copy\"\niface = \"wire\"";
    std::fs::write(&config, format!("dir = {:?}\n{more}", scene.to(""))).unwrap();
    let mut command = inside(&link.right, &scene.receiver);
    command.arg("serve").arg("--config").arg(&config);
    let server = Process::spawn(command);
    server.stderr_line(|line| line.contains("receiving on"));
    assert!(link.right.ask_ip(&["link", "show", "dev", "wire"]).contains("xdp"));
    let names: [(&[&str], _); 2] = [(&["many", "large"], COPY), (&["other"], UDP)];
    let senders = names.map(|(names, way)| send(&scene, &link.left, names, V4, way));
    for sender in senders {
        sender.wait_for(LIMIT).expect(0);
    }
    server.signal(Signal::SIGTERM);
    server.wait_for(LIMIT).expect(0);
    tree::assert_same(&scene.from(""), &scene.to(""));
    assert_nothing_attached(&link.right);
}

/// XDP-8: whatever ends a process takes its filter off: a transfer that is killed at either end leaves nothing on the
/// interface, and the next one begins at once and goes on where this one stopped.
#[test]
fn a_killed_end_leaves_nothing_on_the_interface() {
    let _guard = shared();
    if !has_xdp("AF_XDP under kill -9") {
        return;
    }
    let (scene, link) = (Scene::new(), Link::new());
    data::write_file(&scene.from("file"), 1, 20 * MIB);
    let before = facts(&link.right);
    for _ in 0..2 {
        let receiver = recv(&scene, &link.right, V4, COPY);
        let sender = send(&scene, &link.left, &["file"], &receiver.ticket, SLOW_COPY);
        std::thread::sleep(Duration::from_millis(700));
        receiver.process.kill();
        assert_nothing_attached(&link.right);
        sender.kill();
        assert_nothing_attached(&link.left);
    }
    let receiver = recv(&scene, &link.right, V4, COPY);
    let sent = send(&scene, &link.left, &["file"], &receiver.ticket, COPY).wait_for(LIMIT).expect(0);
    receiver.process.wait_for(LIMIT).expect(0);
    assert!(sent.summary()["resumed_bytes"].as_u64().unwrap() > MIB, "{}", sent.output());
    tree::assert_same_file(&scene.from("file"), &scene.to("file"));
    assert_eq!(facts(&link.right), before);
}

/// XDP-8: a receiver that is interrupted takes its filter off; without a transfer, and in the middle of one.
#[test]
fn an_interrupted_receiver_takes_its_filter_off() {
    let _guard = shared();
    if !has_xdp("AF_XDP under SIGINT") {
        return;
    }
    let (scene, link) = (Scene::new(), Link::new());
    data::write_file(&scene.from("file"), 1, 20 * MIB);
    for is_under_way in [false, true] {
        let receiver = recv(&scene, &link.right, V4, SKB);
        let sender = is_under_way.then(|| send(&scene, &link.left, &["file"], &receiver.ticket, SLOW_COPY));
        std::thread::sleep(Duration::from_millis(500));
        assert!(link.right.ask_ip(&["link", "show", "dev", "wire"]).contains("xdpgeneric"));
        receiver.process.signal(Signal::SIGINT);
        receiver.process.wait_for(LIMIT).expect(5);
        assert_nothing_attached(&link.right);
        drop(sender);
        assert_nothing_attached(&link.left);
    }
}
