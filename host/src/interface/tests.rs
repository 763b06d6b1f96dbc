//! Against this machine's own interfaces, and in network namespaces where root can make them.

use std::process::Command;

use super::*;

fn channels(rx: u32, combined: u32) -> Option<Channels> {
    let count = |current| ChannelCount { current, max: 64 };
    Some(Channels { rx: count(rx), tx: count(rx), combined: count(combined) })
}

#[test]
fn only_queues_that_are_in_use_can_be_bound() {
    let usable = |channels, rx_queues| Interface { channels, rx_queues, ..Interface::default() }.usable_queues();
    for (channels, rx_queues, expected) in [
        (channels(1, 0), 16, 1),
        (channels(0, 8), 8, 8),
        (channels(2, 4), 6, 6),
        (channels(0, 8), 4, 4),
        (channels(0, 0), 4, 4),
        (channels(0, 3), 0, 3),
        (channels(u32::MAX, u32::MAX), 2, 2),
        (None, 2, 2),
        (None, 0, 1),
    ] {
        assert_eq!(usable(channels, rx_queues), expected, "{channels:?}, {rx_queues}");
    }
}

#[test]
fn the_loopback_device_is_what_it_is() {
    let all = Interface::all().unwrap();
    let found = all.iter().find(|interface| interface.is_loopback).unwrap();
    assert_eq!(&Interface::by_name(&found.name).unwrap(), found);
    assert_eq!(&Interface::by_index(found.index).unwrap(), found);
    assert_eq!((found.kind.as_deref(), found.driver.as_deref(), found.numa_node), (None, None, None));
    assert!(!found.is_ethernet && found.master.is_none() && found.vlan.is_none());
    assert_eq!((found.rx_interrupts().len(), found.interrupts().len()), (0, 0));
    assert!(all.is_sorted_by_key(|interface| interface.index));
}

#[test]
fn a_name_that_nobody_has_is_answered_with_those_that_are_there() {
    let error = Interface::by_name("wh-nobody").unwrap_err();
    assert!(matches!(&error, InterfaceError::NoSuchName { existing, .. } if !existing.is_empty()));
    let message = error.to_string();
    assert!(
        message.starts_with("there is no interface `wh-nobody`; there are ") && message.contains("lo"),
        "{message}"
    );
    let nothing = InterfaceError::NoSuchName { name: "x".to_owned(), existing: Vec::new() };
    assert_eq!(nothing.to_string(), "there is no interface `x`; there is none at all");
    for index in [0, 0x7fff_fffe, u32::MAX] {
        assert!(matches!(Interface::by_index(index), Err(InterfaceError::NoSuchIndex(i)) if i == index));
    }
}

#[test]
fn what_cannot_be_a_name_is_not_asked_for() {
    for bad in ["", ".", "..", "sixteen-bytes-xx", "a b", "a/b", "eth0:1", "a\0b", "a\n", "\u{b}"] {
        let error = Interface::by_name(bad).unwrap_err();
        assert!(matches!(&error, InterfaceError::BadName { .. }), "{bad:?}: {error}");
        assert_eq!(error.to_string().lines().count(), 1);
    }
    for good in ["e", "fifteen-bytes-x", "eth0.5", "br-\u{e4}"] {
        assert!(is_name(good), "{good}");
    }
}

/// Runs `test` in a network namespace of its own, or says why not.
fn in_a_namespace(test: impl FnOnce() + Send + 'static) {
    let thread = std::thread::spawn(move || {
        if nix::sched::unshare(nix::sched::CloneFlags::CLONE_NEWNET).is_err() || !ip("link show") {
            let required =
                std::env::var("WIREHAUL_REQUIRE").is_ok_and(|list| list.split(',').any(|item| item == "net"));
            assert!(!required, "WIREHAUL_REQUIRE names net, and no network namespace can be made here");
            eprintln!("skipped: making a network namespace takes root and the ip command");
            return;
        }
        test();
    });
    if let Err(panic) = thread.join() {
        std::panic::resume_unwind(panic);
    }
}

fn ip(arguments: &str) -> bool {
    Command::new("ip").args(arguments.split(' ')).output().is_ok_and(|output| output.status.success())
}

/// XDP-11: kind, state, queues, master, VLAN.
#[test]
fn virtual_interfaces_are_told_apart() {
    in_a_namespace(|| {
        for command in [
            "link add left numrxqueues 4 numtxqueues 4 type veth peer name right numrxqueues 4 numtxqueues 4",
            "link add room type bridge",
            "link set right master room",
            "link set left mtu 9000 address 02:00:00:00:00:07",
            "link set left up",
        ] {
            assert!(ip(command), "ip {command}");
        }
        let left = Interface::by_name("left").unwrap();
        assert_eq!((left.kind.as_deref(), left.mtu, left.mac), (Some("veth"), 9000, Some([2, 0, 0, 0, 0, 7])));
        assert!(left.is_up && !left.has_carrier && left.is_ethernet && !left.is_loopback);
        assert!(left.xdp.is_empty() && left.master.is_none() && left.numa_node.is_none());
        assert!((1..=4).contains(&left.usable_queues()), "{left:?}");
        let channels = left.channels.unwrap();
        assert_eq!(channels.rx.max + channels.combined.max, 4, "{channels:?}");
        let offloads = left.offloads.unwrap();
        assert!(offloads.tx_checksum.on && !offloads.tx_checksum.fixed && !offloads.rx_lro.on, "{offloads:?}");

        assert!(ip("link set right up"));
        let right = Interface::by_name("right").unwrap();
        assert!(right.has_carrier);
        assert_eq!(right.master, Some(Master { name: "room".to_owned(), kind: "bridge".to_owned() }));
        assert_eq!(Interface::by_name("room").unwrap().kind.as_deref(), Some("bridge"));
        if !ip("link add link left name left.5 type vlan id 5") {
            eprintln!("skipped: this kernel has no VLANs");
            return;
        }
        let tagged = Interface::by_name("left.5").unwrap();
        assert_eq!((tagged.kind.as_deref(), tagged.vlan), (Some("vlan"), Some((5, left.index))));
    });
}

/// XDP-11: kernels from 6.3 on tell what XDP can do; no copy is saved on a veth.
#[test]
fn a_virtual_link_runs_programs_but_has_no_zero_copy() {
    in_a_namespace(|| {
        assert!(ip("link add left type veth peer name right"));
        let Some(features) = Interface::by_name("left").unwrap().xdp_features else {
            eprintln!("skipped: this kernel has no family \"netdev\"");
            return;
        };
        assert!(features.native && features.redirect && !features.zero_copy, "{features:?}");
    });
}
