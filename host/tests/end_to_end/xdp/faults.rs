//! What happens to an interface while a transfer is under way: it goes on, or says why it cannot.

use std::time::Duration;

use nix::sys::signal::Signal;

use super::{COPY, LIMIT, MIB, SLOW_COPY, V4, V6, recv, send, transfer};
use crate::common::host::Scene;
use crate::common::machine::{Link, Namespace, has_ethtool, has_xdp};
use crate::common::process::Finished;
use crate::common::{data, shared, tree};

const UDP: &[&str] = &["--transport", "udp"];
const SLOW_UDP: &[&str] = &["--transport", "udp", "--rate", "80mbit"];
const SLOW_SKB: &[&str] = &["--transport", "xdp-skb", "--rate", "80mbit"];

fn pause(millis: u64) {
    std::thread::sleep(Duration::from_millis(millis));
}

/// 20 MiB at 80 Mbit/s: two seconds, in which `fault` happens.
#[track_caller]
fn through(link: &Link, ways: [&[&str]; 2], fault: impl FnOnce()) -> [Finished; 2] {
    transfer((link, V4), 20 * MIB, ways, || {
        pause(600);
        fault();
    })
}

fn ends(link: &Link) -> [&Namespace; 2] {
    [&link.left, &link.right]
}

/// XDP-10: a link that goes down and comes back, at either end.
#[test]
fn a_link_that_comes_back_is_waited_for() {
    let _guard = shared();
    if !has_xdp("AF_XDP on a link that goes down") {
        return;
    }
    for end in [0, 1] {
        let link = Link::new();
        through(&link, [COPY, SLOW_COPY], || {
            ends(&link)[end].ip(&["link", "set", "wire", "down"]);
            pause(1500);
            ends(&link)[end].ip(&["link", "set", "wire", "up"]);
        });
    }
}

/// XDP-10: packets become smaller and larger: as a frame holds them, and larger, when the kernel's socket gets them.
#[test]
fn an_mtu_that_changes_interrupts_nothing() {
    let _guard = shared();
    if !has_xdp("AF_XDP under changes of the MTU") {
        return;
    }
    for (first, later) in [(1500, &["1400", "1900", "3000", "1500"][..]), (9000, &["3000", "1400", "9000"])] {
        for ways in [[COPY, SLOW_COPY], [UDP, SLOW_COPY], [COPY, SLOW_UDP]] {
            let link = Link::with(1, first);
            through(&link, ways, || {
                for mtu in later {
                    ends(&link).iter().for_each(|host| host.ip(&["link", "set", "wire", "mtu", mtu]));
                    pause(300);
                }
            });
        }
    }
}

/// XDP-7, XDP-10: packets on queues that were not there in the beginning come through the kernel's socket. The kernel may refuse to
/// take queues away that sockets are bound to.
#[test]
fn queues_that_come_and_go_interrupt_nothing() {
    let _guard = shared();
    if !has_xdp("AF_XDP under changes of the number of queues") || !has_ethtool("changes of the number of queues") {
        return;
    }
    for (first, later) in [("1", ["4", "2"]), ("4", ["1", "4"])] {
        let link = Link::with(4, 1500);
        let set = |count: &str| {
            let line = format!("ethtool -L wire rx {count} tx {count} || true");
            ends(&link).iter().for_each(|host| host.sh(&line));
        };
        set(first);
        for ways in [[COPY, SLOW_COPY], [COPY, SLOW_UDP]] {
            through(&link, ways, || {
                for count in later {
                    set(count);
                    pause(400);
                }
            });
            set(first);
        }
    }
}

/// XDP-10: an end that is not scheduled for a while finds full rings, and goes on.
#[test]
fn an_end_that_stands_still_finds_full_rings_and_goes_on() {
    let _guard = shared();
    if !has_xdp("AF_XDP with an end that stands still") {
        return;
    }
    for end in [0, 1] {
        let (scene, link) = (Scene::new(), Link::new());
        data::write_file(&scene.from("file"), 1, 20 * MIB);
        let receiver = recv(&scene, &link.right, V4, COPY);
        let sender = send(&scene, &link.left, &["file"], &receiver.ticket, SLOW_COPY);
        pause(600);
        let process = [&sender, &receiver.process][end];
        process.signal(Signal::SIGSTOP);
        pause(1500);
        process.signal(Signal::SIGCONT);
        sender.wait_for(LIMIT).expect(0);
        receiver.process.wait_for(LIMIT).expect(0);
        tree::assert_same_file(&scene.from("file"), &scene.to("file"));
    }
}

/// XDP-8: another program that takes XDP programs off does not get at one that a `bpf_link` holds.
#[test]
fn another_program_cannot_take_the_filter_off() {
    let _guard = shared();
    if !has_xdp("a filter under attack") {
        return;
    }
    let link = Link::new();
    for (way, slow) in [(COPY, SLOW_COPY), (&["--transport", "xdp-skb"], SLOW_SKB)] {
        through(&link, [way, slow], || {
            for host in ends(&link) {
                for kind in ["xdp", "xdpdrv", "xdpgeneric"] {
                    host.sh(&format!("ip link set dev wire {kind} off 2>/dev/null || true"));
                }
                assert!(host.ask_ip(&["link", "show", "dev", "wire"]).contains("xdp"));
            }
        });
    }
}

/// XFER-9, XDP-10: an interface that is deleted does not come back. The sender says that the peer is gone, and ends. The receiver
/// waits for another try, as it does over UDP, and gets it through the kernel's socket, from whatever interface.
#[test]
fn an_interface_that_is_deleted_ends_the_transfer_with_a_message() {
    let _guard = shared();
    if !has_xdp("AF_XDP on an interface that is deleted") {
        return;
    }
    let (scene, link) = (Scene::new(), Link::new());
    data::write_file(&scene.from("file"), 1, 30 * MIB);
    let receiver = recv(&scene, &link.right, V4, COPY);
    let sender = send(&scene, &link.left, &["file"], &receiver.ticket, SLOW_COPY);
    pause(800);
    link.right.ip(&["link", "delete", "wire"]);
    let sent = sender.wait_for(LIMIT).expect(5);
    assert!(sent.one_line().contains("the peer is gone"), "{}", sent.output());
    receiver.process.stderr_line(|line| line.contains("the peer is gone"));

    link.left.join("wire", &link.right, "wire", 1);
    for (host, end) in ends(&link).into_iter().zip(1..) {
        host.set_up("wire", &[&format!("10.74.0.{end}/24")], 1500);
    }
    let sent = send(&scene, &link.left, &["file"], &receiver.ticket, COPY).wait_for(LIMIT).expect(0);
    assert!(sent.summary()["resumed_bytes"].as_u64().unwrap() > MIB, "{}", sent.output());
    receiver.process.wait_for(LIMIT).expect(0);
    tree::assert_same_file(&scene.from("file"), &scene.to("file"));
}

/// XDP-10: an address that is taken away and given back, at either end.
#[test]
fn an_address_that_comes_back_is_waited_for() {
    let _guard = shared();
    if !has_xdp("AF_XDP under changes of addresses") {
        return;
    }
    for end in [0, 1] {
        let link = Link::new();
        through(&link, [COPY, SLOW_COPY], || {
            let address = format!("10.74.0.{}/24", end + 1);
            ends(&link)[end].ip(&["address", "del", &address, "dev", "wire"]);
            pause(700);
            ends(&link)[end].ip(&["address", "add", &address, "dev", "wire"]);
        });
    }
}

/// XDP-10: the other end gets another link-layer address, and says so as hosts do (gratuitous ARP).
#[test]
fn a_neighbour_s_new_link_layer_address_is_followed() {
    let _guard = shared();
    if !has_xdp("AF_XDP under changes of link-layer addresses") {
        return;
    }
    for (end, ways) in [(1, [UDP, SLOW_COPY]), (0, [COPY, SLOW_UDP]), (1, [COPY, SLOW_COPY])] {
        let link = Link::new();
        for host in ends(&link) {
            host.sh("echo 1 > /proc/sys/net/ipv4/conf/wire/arp_notify");
        }
        through(&link, ways, || {
            // The kernel believes no other address within a second of the last.
            pause(600);
            ends(&link)[end].ip(&["link", "set", "wire", "address", "02:00:00:00:74:07"]);
        });
    }
}

/// XDP-10: packets to the peer leave through another interface for a while: the kernel's socket sends them.
#[test]
fn a_route_that_moves_to_another_interface_and_back_is_followed() {
    let _guard = shared();
    if !has_xdp("AF_XDP under changes of routes") {
        return;
    }
    for end in [0, 1] {
        let link = Link::new();
        link.left.join("other", &link.right, "other", 1);
        for (host, number) in ends(&link).into_iter().zip(1..) {
            host.set_up("other", &[&format!("10.75.0.{number}/24")], 1500);
        }
        let both = through(&link, [COPY, SLOW_COPY], || {
            let peer = format!("10.74.0.{}/32", 2 - end);
            ends(&link)[end].ip(&["route", "add", &peer, "dev", "other"]);
            pause(500);
            ends(&link)[end].ip(&["route", "del", &peer, "dev", "other"]);
        });
        let line = both[end].stderr.lines().find(|line| line.contains("by the kernel's socket")).unwrap();
        let by_kernel = line.split(", ").find_map(|part| part.split(" by the kernel").next()?.parse::<u64>().ok());
        assert!(by_kernel.unwrap() > 10, "{}", both[end].output());
    }
}

/// The same over IPv6, whose neighbours are found otherwise.
#[test]
fn ipv6_goes_on_after_its_link_and_its_neighbours_were_forgotten() {
    let _guard = shared();
    if !has_xdp("AF_XDP with neighbours forgotten") {
        return;
    }
    let link = Link::new();
    transfer((&link, V6), 20 * MIB, [COPY, SLOW_COPY], || {
        pause(600);
        for host in ends(&link) {
            host.ip(&["neighbour", "flush", "all"]);
        }
        pause(200);
        link.right.ip(&["link", "set", "wire", "down"]);
        pause(300);
        link.right.ip(&["link", "set", "wire", "up"]);
    });
}
