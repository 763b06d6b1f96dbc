//! Facts drawn at random: whatever a machine says, the report holds together.

use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;

use super::{of_host, ranges};
use crate::doctor::facts::{AfXdp, Capabilities, Card, Host, HugePages, Interrupt, Node};
use crate::doctor::{Check, Diagnosis, Mode, Verdict};
use crate::interface::{
    AttachedProgram, ChannelCount, Channels, HashedFields, Interface, Master, Offload, Offloads, Rss, VirtioNet,
    XdpFeatures, XdpMode,
};

/// Small numbers mostly, so that things meet, and the largest.
fn number() -> impl Strategy<Value = u32> {
    prop_oneof![8 => 0..6_u32, 1 => Just(u32::MAX), 1 => any::<u32>()]
}

fn name_of(names: &'static [&'static str]) -> impl Strategy<Value = Option<String>> {
    option::of(prop::sample::select(names).prop_map(str::to_owned))
}

fn nodes() -> impl Strategy<Value = Vec<Node>> {
    let pages = (number(), 0..9_u64, 0..9_u64);
    let pages = pages.prop_map(|(size, total, free)| HugePages { page_bytes: u64::from(size) << 20, total, free });
    let node = (number(), vec(number(), 0..4), vec(pages, 0..3));
    vec(node.prop_map(|(id, cpus, huge_pages)| Node { id, cpus, huge_pages }), 0..3)
}

fn host() -> impl Strategy<Value = Host> {
    let af_xdp = prop_oneof![
        4 => Just(AfXdp::Opens),
        1 => Just(AfXdp::Refused),
        1 => Just(AfXdp::Missing),
        1 => Just(AfXdp::Fails("odd".to_owned())),
    ];
    let release = prop::sample::select(vec!["4.4.0", "5.3.0", "5.15.0", "6.12.0", "none"]);
    let kernel = (release, af_xdp, any::<bool>(), any::<Option<bool>>());
    let settings = (any::<[bool; 2]>(), option::of(number()), option::of(number()));
    let rights = (any::<u64>(), option::of(any::<u64>()));
    (kernel, settings, rights, nodes(), vec(number(), 0..4)).prop_map(|(kernel, settings, rights, nodes, cpus)| Host {
        release: kernel.0.to_owned(),
        af_xdp: kernel.1,
        has_bpf: kernel.2,
        has_bpf_jit: kernel.3,
        is_in_user_namespace: settings.0[0],
        has_irqbalance: settings.0[1],
        unprivileged_bpf_disabled: settings.1,
        io_uring_disabled: settings.2,
        lockdown: None,
        capabilities: Capabilities(rights.0),
        memlock_bytes: rights.1,
        nodes,
        allowed_cpus: cpus,
    })
}

fn channels() -> impl Strategy<Value = Channels> {
    let count = || (number(), number()).prop_map(|(current, max)| ChannelCount { current, max });
    (count(), count(), count()).prop_map(|(rx, tx, combined)| Channels { rx, tx, combined })
}

fn offloads() -> impl Strategy<Value = Offloads> {
    let offload = || any::<(bool, bool)>().prop_map(|(on, fixed)| Offload { on, fixed });
    (offload(), offload(), offload(), offload(), offload()).prop_map(|(gro_hw, lro, rx, tx, strip)| Offloads {
        rx_gro_hw: gro_hw,
        rx_lro: lro,
        rx_checksum: rx,
        tx_checksum: tx,
        rx_vlan_strip: strip,
        ..Offloads::default()
    })
}

fn xdp_features() -> impl Strategy<Value = XdpFeatures> {
    (any::<[bool; 4]>(), option::of(number())).prop_map(|([native, redirect, zero_copy, multi_buffer_rx], frames)| {
        XdpFeatures {
            native,
            redirect,
            zero_copy,
            multi_buffer_rx,
            zero_copy_max_frames: frames,
            ..XdpFeatures::default()
        }
    })
}

fn rss() -> impl Strategy<Value = Rss> {
    let fields = || any::<Option<(bool, bool)>>();
    let fields_of = |pair: Option<(bool, bool)>| pair.map(|(addresses, ports)| HashedFields { addresses, ports });
    (vec(number(), 0..6), fields(), fields()).prop_map(move |(indirection, udp4, udp6)| Rss {
        indirection,
        udp4: fields_of(udp4),
        udp6: fields_of(udp6),
    })
}

fn interface() -> impl Strategy<Value = Interface> {
    let names = (
        name_of(&["veth", "vlan", "bridge", "wireguard"]),
        name_of(&["ice", "ena", "virtio_net", "e1000e"]),
        name_of(&["bridge", "bond", "vrf"]),
        name_of(&["fq", "mq", "noqueue"]),
    );
    let flags = any::<[bool; 4]>();
    let numbers = (prop_oneof![0..10_000_u32, any::<u32>()], option::of(number()), number());
    let xdp = vec(prop::sample::select(vec![XdpMode::Native, XdpMode::Generic, XdpMode::Offload]), 0..3);
    let of_driver = (option::of(channels()), option::of(offloads()), option::of(rss()), option::of(xdp_features()));
    let virtio = any::<Option<(bool, bool)>>();
    (names, flags, numbers, xdp, of_driver, virtio).prop_map(|(names, flags, numbers, xdp, of_driver, virtio)| {
        Interface {
            name: "eth0".to_owned(),
            kind: names.0,
            driver: names.1,
            master: names.2.map(|kind| Master { name: "m0".to_owned(), kind }),
            qdisc: names.3,
            is_up: flags[0],
            has_carrier: flags[1],
            is_loopback: flags[2],
            is_ethernet: flags[3],
            mtu: numbers.0,
            numa_node: numbers.1,
            rx_queues: numbers.2,
            xdp: xdp.into_iter().map(|mode| AttachedProgram { mode, id: 1 }).collect(),
            channels: of_driver.0,
            offloads: of_driver.1,
            rss: of_driver.2,
            xdp_features: of_driver.3,
            virtio: virtio.map(|(has_fixed_guest_offloads, has_platform_access)| VirtioNet {
                has_fixed_guest_offloads,
                has_platform_access,
            }),
            ..Interface::default()
        }
    })
}

fn card() -> impl Strategy<Value = Card> {
    let interrupt = (number(), option::of(number()), vec(number(), 0..3));
    let interrupt =
        interrupt.prop_map(|(number, queue, cpus)| Interrupt { number, queue, cpus, ..Interrupt::default() });
    (interface(), vec(Just("eth0.5".to_owned()), 0..2), vec(interrupt, 0..6))
        .prop_map(|(interface, vlans, interrupts)| Card { interface, vlans, interrupts, ..Card::default() })
}

/// What holds for every check.
fn assert_sound(check: &Check) {
    let is_complaint = matches!(check.verdict, Verdict::Warn | Verdict::Fail);
    assert!(!is_complaint || (check.why.is_some() && check.change.is_some()), "no reason or no remedy: {check:?}");
    assert!(is_complaint || check.allows == Mode::ZeroCopy, "in the way without a word: {check:?}");
    assert_eq!(check.verdict == Verdict::Fail, check.allows == Mode::Udp, "{check:?}");
    assert!(!check.read.is_empty() && check.read.lines().count() == 1, "{check:?}");
}

proptest! {
    /// XDP-11: the conclusion is that of the worst point, and every complaint comes with a reason and a remedy.
    #[test]
    fn the_conclusion_follows_from_the_points(card in card(), host in host()) {
        let of_host = of_host(&host);
        let diagnosis = Diagnosis::of(&card, &host, &of_host);
        let all = || of_host.iter().chain(&diagnosis.checks);
        all().for_each(assert_sound);
        let worst = all().map(|check| check.allows).min().unwrap();
        prop_assert_eq!(diagnosis.mode, worst);
        prop_assert_eq!(diagnosis.works(), all().all(|check| check.verdict != Verdict::Fail));
        prop_assert_eq!(diagnosis.because.is_empty(), diagnosis.mode == Mode::ZeroCopy);
        prop_assert!(diagnosis.queues >= 1);
        prop_assert_eq!(diagnosis.conclusion().lines().count(), 1);
        prop_assert_eq!(Diagnosis::of(&card, &host, &of_host), diagnosis);
    }

    #[test]
    fn ranges_name_every_number_once(numbers in vec(number(), 0..40)) {
        let mut named: Vec<u32> = Vec::new();
        for part in ranges(&numbers).split(',').filter(|part| !part.is_empty()) {
            let (first, last) = part.split_once('-').unwrap_or((part, part));
            named.extend(first.parse::<u32>().unwrap()..=last.parse().unwrap());
        }
        let mut expected = numbers;
        expected.sort_unstable();
        expected.dedup();
        prop_assert_eq!(named, expected);
    }
}
