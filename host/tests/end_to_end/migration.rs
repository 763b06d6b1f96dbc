//! A host that gets another address, or another port of a translator, while a transfer runs (SEC-5), and paths that carry
//! larger or smaller packets than most.

use std::process::Command;
use std::time::Duration;

use crate::common::host::{Home, Receiver, Scene};
use crate::common::machine::{Link, Namespace, is_privileged};
use crate::common::process::{Finished, Process};
use crate::common::relay::{Faults, Relay};
use crate::common::{data, shared, tree};

const MIB: u64 = 1 << 20;

fn inside(namespace: &Namespace, home: &Home) -> Command {
    home.set_up(namespace.command(env!("CARGO_BIN_EXE_wirehaul")))
}

/// A transfer of `file` from left to right over IPv4, with `set_up` done to the sender's command, and `meanwhile` a second
/// after it began.
fn transfer(scene: &Scene, link: &Link, set_up: impl FnOnce(&mut Command), meanwhile: impl FnOnce()) -> [Finished; 2] {
    let mut command = inside(&link.right, &scene.receiver);
    command.args(["recv", "--json", "--once", "--listen", "0.0.0.0:7420", "--dir"]).arg(scene.to(""));
    let receiver = Receiver::of(Process::spawn(command));
    let mut command = inside(&link.left, &scene.sender);
    command.args(["send", "--json"]).arg(scene.from("file")).arg(&receiver.ticket);
    set_up(&mut command);
    let send = Process::spawn(command);
    std::thread::sleep(Duration::from_secs(1));
    meanwhile();
    let sent = send.wait_for(Duration::from_secs(60)).expect(0);
    let received = receiver.process.wait_for(Duration::from_secs(60)).expect(0);
    tree::assert_same_file(&scene.from("file"), &scene.to("file"));
    [sent, received]
}

/// A translator between the two ends is started anew, three times.
#[test]
fn a_translator_that_forgets_its_ports_interrupts_nothing() {
    let _guard = shared();
    let scene = Scene::new();
    data::write_file(&scene.from("file"), 1, 40 * MIB);
    let relay = Relay::start(3, Faults { drop_ppm: 2_000, ..Faults::default() });
    let receiver = scene.recv_behind(&relay, &["--once"]);
    let send = scene.start_send(&["file"], &receiver.ticket, &["--rate", "60mbit"]);
    for _ in 0..3 {
        std::thread::sleep(Duration::from_millis(1300));
        relay.rebind();
    }
    let sent = send.wait_for(Duration::from_secs(60)).expect(0);
    let received = receiver.process.wait_for(Duration::from_secs(60)).expect(0);
    tree::assert_same_file(&scene.from("file"), &scene.to("file"));
    assert!(received.summary()["migrations"].as_u64().unwrap() >= 3, "{}", received.output());
    assert_eq!(sent.summary()["migrations"], 0, "the sender sees one address all the time");
}

/// Either end's address is taken away and another one given to it.
#[test]
fn an_address_that_changes_interrupts_nothing() {
    let _guard = shared();
    if !is_privileged("addresses that change") {
        return;
    }
    for end in [0, 1] {
        let scene = Scene::new();
        data::write_file(&scene.from("file"), 2, 30 * MIB);
        let link = Link::new();
        let host = [&link.left, &link.right][end];
        let old = format!("10.74.0.{}/24", end + 1);
        let slowly = |send: &mut Command| {
            send.args(["--rate", "60mbit"]);
        };
        let both = transfer(&scene, &link, slowly, || {
            host.ip(&["address", "del", &old, "dev", "wire"]);
            host.ip(&["address", "add", &format!("10.74.0.{}/24", end + 11), "dev", "wire"]);
        });
        let migrations = both.each_ref().map(|finished| finished.summary()["migrations"].as_u64().unwrap());
        assert_eq!(migrations[1 - end], 1, "{}", both[1 - end].output());
        assert_eq!(migrations[end], 0, "it was this end that moved");
    }
}

/// The largest packets that the link carries are found, and used: on a jumbo link, and on one that takes less than most
/// without a word.
#[test]
fn packets_are_as_large_as_the_path_carries() {
    let _guard = shared();
    if !is_privileged("links of other MTUs") {
        return;
    }
    for (left, right, segmented, found) in [
        ("9000", "9000", true, 8972..=8972),
        ("9000", "9000", false, 8972..=8972),
        ("1500", "1500", true, 1472..=1472),
        // The sender's own device says so.
        ("1400", "1500", true, 1349..=1372),
        ("1400", "1500", false, 1349..=1372),
        // The other end of the wire drops what is larger and says nothing, a VLAN tag apart; but not what it gets unsegmented
        // (is_skb_forwardable in include/linux/netdevice.h).
        ("9000", "1400", false, 1349..=1376),
    ] {
        let scene = Scene::new();
        data::write_file(&scene.from("file"), 3, 20 * MIB);
        let link = Link::new();
        link.left.ip(&["link", "set", "wire", "mtu", left]);
        link.right.ip(&["link", "set", "wire", "mtu", right]);
        let gso = |send: &mut Command| {
            send.env("WIREHAUL_NO_GSO", if segmented { "0" } else { "1" });
        };
        let [sent, _] = transfer(&scene, &link, gso, || {});
        let bytes = sent.summary()["datagram_bytes"].as_u64().unwrap();
        assert!(found.contains(&bytes), "{left} {right}: {bytes}\n{}", sent.output());
    }
}
