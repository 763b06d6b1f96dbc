//! Machines that are made up, and what is said of them (XDP-11).

use wirehaul_core::numa::Shortfall;

use super::xdp::SINGLE_BUFFER_MTU;
use super::*;
use crate::doctor::facts::{AfXdp, Capabilities, HugePages, Interrupt, Node};
use crate::doctor::{Diagnosis, Mode, Verdict};
use crate::interface::{
    AttachedProgram, ChannelCount, Channels, HashedFields, Interface, Master, Offload, Offloads, Rss, VirtioNet,
    XdpFeatures, XdpMode,
};
use crate::xdp::MAX_FRAME_MTU;
use crate::xdp::queue_bytes;

const ON: Offload = Offload { on: true, fixed: false };
const FIXED: Offload = Offload { on: true, fixed: true };

/// A host on which nothing is missing: two nodes of four CPUs, 64 huge pages on each.
fn good_host() -> Host {
    let node = |id: u32| Node {
        id,
        cpus: (id * 4..id * 4 + 4).collect(),
        huge_pages: vec![
            HugePages { page_bytes: 2 << 20, total: 64, free: 64 },
            HugePages { page_bytes: 1 << 30, ..HugePages::default() },
        ],
    };
    let capabilities = [Capabilities::NET_RAW, Capabilities::NET_ADMIN, Capabilities::BPF, Capabilities::IPC_LOCK];
    Host {
        release: "6.12.9".to_owned(),
        has_bpf: true,
        has_bpf_jit: Some(true),
        unprivileged_bpf_disabled: Some(2),
        lockdown: Some("none".to_owned()),
        capabilities: Capabilities(capabilities.iter().fold(0, |all, one| all | one.0)),
        memlock_bytes: Some(8 << 20),
        nodes: vec![node(0), node(1)],
        allowed_cpus: (0..8).collect(),
        io_uring_disabled: Some(0),
        ..Host::default()
    }
}

/// A card that can do everything, with four queues on node 1.
fn good_card() -> Card {
    let combined = ChannelCount { current: 4, max: 4 };
    let fields = Some(HashedFields { addresses: true, ports: true });
    let interface = Interface {
        name: "eth0".to_owned(),
        index: 2,
        mtu: 1500,
        is_up: true,
        has_carrier: true,
        is_ethernet: true,
        driver: Some("ice".to_owned()),
        numa_node: Some(1),
        channels: Some(Channels { combined, ..Channels::default() }),
        rx_queues: 4,
        tx_queues: 4,
        qdisc: Some("fq".to_owned()),
        xdp_features: Some(XdpFeatures {
            native: true,
            redirect: true,
            zero_copy: true,
            multi_buffer_rx: true,
            zero_copy_max_frames: Some(8),
            ..XdpFeatures::default()
        }),
        offloads: Some(Offloads { rx_gro: ON, rx_checksum: ON, tx_checksum: ON, ..Offloads::default() }),
        rss: Some(Rss { indirection: (0..128).map(|entry| entry % 4).collect(), udp4: fields, udp6: fields }),
        ..Interface::default()
    };
    let interrupt = |queue: u32| Interrupt {
        number: 60 + queue,
        name: format!("ice-eth0-TxRx-{queue}"),
        queue: Some(queue),
        cpus: vec![4 + queue],
    };
    Card { interface, interrupts: (0..4).map(interrupt).collect(), ..Card::default() }
}

fn diagnose(card: &Card, host: &Host) -> (Diagnosis, Vec<Check>) {
    let of_host = of_host(host);
    let diagnosis = Diagnosis::of(card, host, &of_host);
    let all = of_host.into_iter().chain(diagnosis.checks.clone()).collect();
    (diagnosis, all)
}

/// What is not as it should be, by point and verdict.
fn complaints(checks: &[Check]) -> Vec<(&'static str, Verdict)> {
    let bad = |check: &&Check| matches!(check.verdict, Verdict::Warn | Verdict::Fail);
    checks.iter().filter(bad).map(|check| (check.point, check.verdict)).collect()
}

fn find<'a>(checks: &'a [Check], point: &str) -> &'a Check {
    checks.iter().find(|check| check.point == point).unwrap()
}

fn command(check: &Check) -> Option<&str> {
    check.change.as_ref().map(crate::doctor::Change::text)
}

/// The one point that a change of the good card spoils: verdict, command and mode.
#[track_caller]
fn spoilt(point: &str, change: impl FnOnce(&mut Card, &mut Host)) -> (Check, Diagnosis) {
    let (mut card, mut host) = (good_card(), good_host());
    change(&mut card, &mut host);
    let (diagnosis, checks) = diagnose(&card, &host);
    let others: Vec<_> = complaints(&checks).into_iter().filter(|(other, _)| *other != point).collect();
    assert_eq!(others, [], "only {point} is spoilt");
    (find(&checks, point).clone(), diagnosis)
}

#[track_caller]
fn assert_fails(spoilt: (Check, Diagnosis), change: &str) {
    let (check, diagnosis) = spoilt;
    assert_eq!((check.verdict, diagnosis.mode, diagnosis.works()), (Verdict::Fail, Mode::Udp, false), "{check:?}");
    assert!(command(&check).is_some_and(|text| text.contains(change)), "{check:?}");
    let line = diagnosis.conclusion();
    assert!(
        line.starts_with("eth0: AF_XDP will not work, because ")
            && line.contains(crate::doctor::reason(&check.why.unwrap()).as_str()),
        "{line}"
    );
}

#[track_caller]
fn assert_limits(spoilt: (Check, Diagnosis), mode: Mode, change: &str) {
    let (check, diagnosis) = spoilt;
    assert_eq!((check.verdict, diagnosis.mode), (Verdict::Warn, mode), "{check:?}");
    assert!(command(&check).is_some_and(|text| text.contains(change)), "{check:?}");
}

#[test]
fn where_nothing_is_missing_packets_are_not_copied() {
    let (diagnosis, checks) = diagnose(&good_card(), &good_host());
    assert_eq!(complaints(&checks), []);
    assert_eq!(diagnosis.conclusion(), "eth0: AF_XDP will work: native, zero-copy, 4 queues");
    let points: std::collections::BTreeSet<_> = checks.iter().map(|check| check.point).collect();
    assert_eq!(points.len(), checks.len(), "every point once");
}

#[test]
fn every_complaint_has_its_reason_and_its_remedy() {
    let offloads = Offloads { rx_lro: ON, rx_gro_hw: FIXED, rx_vlan_strip: FIXED, ..Offloads::default() };
    let worst =
        Interface { kind: Some("wireguard".to_owned()), mtu: 9000, offloads: Some(offloads), ..Interface::default() };
    let master = Some(Master { name: "br0".to_owned(), kind: "bridge".to_owned() });
    let program = vec![AttachedProgram { mode: XdpMode::Native, id: 1 }];
    let vlans = vec!["eth0.5".to_owned()];
    let bad_card = Card { interface: Interface { master, xdp: program, ..worst }, vlans, ..Card::default() };
    let bad_host =
        Host { release: "4.4.0".to_owned(), af_xdp: AfXdp::Missing, memlock_bytes: Some(0), ..Host::default() };
    for (card, host) in [
        (&bad_card, &bad_host),
        (&bad_card, &good_host()),
        (&good_card(), &bad_host),
        (&Card::default(), &Host::default()),
    ] {
        let (diagnosis, checks) = diagnose(card, host);
        assert!(!diagnosis.works());
        for check in &checks {
            let is_complaint = matches!(check.verdict, Verdict::Warn | Verdict::Fail);
            assert!(!is_complaint || (check.why.is_some() && check.change.is_some()), "{check:?}");
            assert!(
                check.verdict != Verdict::Ok || (check.allows == Mode::ZeroCopy && check.why.is_none()),
                "{check:?}"
            );
            assert_eq!(check.verdict == Verdict::Fail, check.allows == Mode::Udp, "{check:?}");
        }
    }
}

#[test]
fn the_link_must_be_up() {
    assert_fails(spoilt("link", |card, _| card.interface.is_up = false), "ip link set dev eth0 up");
    let (check, diagnosis) = spoilt("link", |card, _| card.interface.has_carrier = false);
    assert_eq!((check.verdict, diagnosis.mode), (Verdict::Warn, Mode::ZeroCopy));
}

#[test]
fn a_port_of_a_bridge_or_bond_is_left_to_it() {
    let port_of = |kind: &str| {
        let master = Some(Master { name: "m0".to_owned(), kind: kind.to_owned() });
        spoilt("port", |card, _| card.interface.master = master)
    };
    for kind in ["bridge", "bond", "team"] {
        assert_fails(port_of(kind), "ip link set dev eth0 nomaster");
    }
    assert_eq!(port_of("vrf").0.verdict, Verdict::Ok);
}

#[test]
fn a_program_that_is_there_already_is_in_the_way() {
    for (mode, off) in
        [(XdpMode::Native, "xdpdrv off"), (XdpMode::Generic, "xdpgeneric off"), (XdpMode::Offload, "xdpoffload off")]
    {
        let spoilt = spoilt("program", |card, _| card.interface.xdp = vec![AttachedProgram { mode, id: 31 }]);
        assert_eq!(spoilt.0.read, format!("{} (id 31)", mode.name()));
        assert_eq!(spoilt.1.conclusion(), "eth0: AF_XDP will not work, because XDP program 31 is attached already");
        assert_fails(spoilt, off);
    }
}

#[test]
fn disciplines_matter_to_udp_sockets_alone() {
    for (qdisc, change) in [
        ("pfifo_fast", Some("sudo tc qdisc replace dev eth0 root fq")),
        ("mq", Some("sudo sysctl net.core.default_qdisc=fq && sudo tc qdisc replace dev eth0 root mq")),
    ] {
        let (check, diagnosis) = spoilt("qdisc", |card, _| card.interface.qdisc = Some(qdisc.to_owned()));
        assert_eq!((check.verdict, command(&check), diagnosis.mode), (Verdict::Info, change, Mode::ZeroCopy));
    }
}

#[test]
fn kinds_of_interfaces() {
    let (check, _) = spoilt("kind", |card, _| card.interface.kind = Some("bond".to_owned()));
    assert_eq!((check.verdict, check.read.as_str()), (Verdict::Ok, "bond, driver ice"));
    assert_fails(spoilt("kind", |card, _| card.interface.is_ethernet = false), "carries the tunnel");
    let (check, _) = spoilt("kind", |card, _| {
        card.interface.kind = Some("vlan".to_owned());
        card.interface.vlan = Some((5, 1));
        card.carrier = Some("eth9".to_owned());
    });
    assert_eq!((check.verdict, check.read.as_str()), (Verdict::Info, "VLAN 5 on eth9"));
    assert_eq!(command(&check), Some("wirehaul doctor --iface eth9"));
}

#[test]
fn without_zero_copy_packets_are_copied() {
    let spoilt = spoilt("zero-copy", |card, _| {
        card.interface.driver = Some("ena".to_owned());
        card.interface.xdp_features.as_mut().unwrap().zero_copy = false;
    });
    let line = spoilt.1.conclusion();
    assert_limits(spoilt, Mode::Copy, "a card whose driver has it");
    assert_eq!(
        line,
        "eth0: AF_XDP will work in copy mode only (native, 4 queues), because ena has no zero-copy; UDP sockets with GSO \
         are likely faster"
    );
}

#[test]
fn without_native_programs_there_is_the_generic_mode() {
    for features in [XdpFeatures::default(), XdpFeatures { native: true, ..XdpFeatures::default() }] {
        let (mut card, host) = (good_card(), good_host());
        card.interface.xdp_features = Some(features);
        let (diagnosis, checks) = diagnose(&card, &host);
        assert_eq!(complaints(&checks), [("native-xdp", Verdict::Warn), ("zero-copy", Verdict::Warn)]);
        assert_eq!(diagnosis.mode, Mode::Generic);
        assert!(diagnosis.conclusion().contains("in generic mode only (4 queues), because ice runs no XDP programs"));
    }
}

#[test]
fn kernels_that_do_not_tell_leave_what_is_known_of_drivers() {
    let on_5_15 = |driver: &str| {
        let (mut card, mut host) = (good_card(), good_host());
        host.release = "5.15.0".to_owned();
        card.interface.xdp_features = None;
        card.interface.driver = Some(driver.to_owned());
        diagnose(&card, &host).0
    };
    assert_eq!((on_5_15("ixgbe").mode, on_5_15("ixgbe").is_certain), (Mode::ZeroCopy, false));
    assert!(on_5_15("ixgbe").conclusion().contains("AF_XDP will probably work: native"));
    assert_eq!((on_5_15("ena").mode, on_5_15("ena").is_certain), (Mode::Copy, false));
    assert_eq!((on_5_15("e1000e").mode, on_5_15("e1000e").is_certain), (Mode::Generic, true));
}

#[test]
fn virtio_depends_on_its_host() {
    let virtio = |has_fixed_guest_offloads, has_platform_access| {
        let virtio = VirtioNet { has_fixed_guest_offloads, has_platform_access };
        move |card: &mut Card, _: &mut Host| card.interface.virtio = Some(virtio)
    };
    assert_limits(spoilt("native-xdp", virtio(true, true)), Mode::Generic, "ctrl_guest_offloads=on");
    assert_limits(spoilt("zero-copy", virtio(false, false)), Mode::Copy, "iommu_platform=on");
    assert_eq!(spoilt("zero-copy", virtio(false, true)).1.mode, Mode::ZeroCopy);
}

#[test]
fn packets_must_fit_buffers_and_frames() {
    let with = |mtu, multi_buffer_rx| {
        spoilt("mtu", |card, _| {
            card.interface.mtu = mtu;
            card.interface.xdp_features.as_mut().unwrap().multi_buffer_rx = multi_buffer_rx;
        })
    };
    assert_eq!(with(SINGLE_BUFFER_MTU, false).0.verdict, Verdict::Ok);
    assert_limits(with(SINGLE_BUFFER_MTU + 1, false), Mode::Generic, "ip link set dev eth0 mtu 3498");
    assert_limits(with(9000, false), Mode::Generic, "mtu 3498");
    assert_eq!(with(MAX_FRAME_MTU, true).0.verdict, Verdict::Ok);
    assert_limits(with(MAX_FRAME_MTU + 1, true), Mode::ZeroCopy, "mtu 3498");
    let one_frame = spoilt("mtu", |card, _| {
        card.interface.mtu = 9000;
        card.interface.xdp_features.as_mut().unwrap().zero_copy_max_frames = Some(1);
    });
    assert_limits(one_frame, Mode::Copy, "mtu 3498");
}

#[test]
fn offloads_that_get_in_the_way() {
    let with = |point, offloads: Offloads, vlans: &[&str]| {
        spoilt(point, |card, _| {
            card.interface.offloads = Some(offloads);
            card.vlans = vlans.iter().map(|name| (*name).to_owned()).collect();
        })
    };
    let merged = with("merging", Offloads { rx_lro: ON, rx_gro_hw: FIXED, ..Offloads::default() }, &[]);
    assert_limits(merged, Mode::ZeroCopy, "sudo ethtool -K eth0 lro off");
    let both = with("merging", Offloads { rx_lro: ON, rx_gro_hw: ON, ..Offloads::default() }, &[]);
    assert_limits(both, Mode::ZeroCopy, "ethtool -K eth0 lro off rx-gro-hw off");
    let strips = Offloads { rx_vlan_strip: ON, ..Offloads::default() };
    assert_eq!(with("vlan-tags", strips, &[]).0.verdict, Verdict::Ok);
    assert_limits(with("vlan-tags", strips, &["eth0.5"]), Mode::ZeroCopy, "ethtool -K eth0 rxvlan off");
    let fixed = Offloads { rx_vlan_strip: FIXED, ..Offloads::default() };
    assert_limits(with("vlan-tags", fixed, &["eth0.5"]), Mode::ZeroCopy, "another card");
    let (check, _) = spoilt("checksums", |card, _| card.interface.kind = Some("veth".to_owned()));
    assert!(check.verdict == Verdict::Info && command(&check).unwrap().contains("tx off"));
}

#[test]
fn queues_that_are_not_in_use() {
    let with = |rx: ChannelCount, combined: ChannelCount, rx_queues| {
        spoilt("queues", |card, _| {
            card.interface.channels = Some(Channels { rx, combined, ..Channels::default() });
            card.interface.rx_queues = rx_queues;
            card.interface.rss = None;
        })
    };
    let none = ChannelCount::default();
    let (check, diagnosis) = with(none, ChannelCount { current: 2, max: 64 }, 2);
    assert_eq!((check.verdict, diagnosis.queues), (Verdict::Info, 2));
    assert_eq!(command(&check), Some("sudo ethtool -L eth0 combined 8"));
    let (check, diagnosis) = with(ChannelCount { current: 1, max: 16 }, none, 16);
    assert_eq!((command(&check), diagnosis.queues), (Some("sudo ethtool -L eth0 rx 8"), 1));
    let (check, diagnosis) = spoilt("queues", |card, _| card.interface.channels = None);
    assert_eq!((check.verdict, diagnosis.queues), (Verdict::Ok, 4));
}

#[test]
fn how_packets_are_spread() {
    let with = |udp4, queues: u32| {
        let indirection = (0..128).map(|entry| entry % queues).collect();
        spoilt("rss", |card, _| card.interface.rss = Some(Rss { indirection, udp4, udp6: None }))
    };
    let fields = |ports| Some(HashedFields { addresses: true, ports });
    assert!(with(fields(true), 4).0.read.contains("over queues 0-3 by 128 entries, UDP by addresses and ports (sdfn)"));
    assert_limits(with(fields(false), 4), Mode::ZeroCopy, "sudo ethtool -N eth0 rx-flow-hash udp4 sdfn");
    let six = spoilt("rss", |card, _| card.interface.rss.as_mut().unwrap().udp6 = fields(false));
    assert_limits(six, Mode::ZeroCopy, "rx-flow-hash udp6 sdfn");
    let (check, _) = with(fields(true), 2);
    assert_eq!((check.verdict, command(&check)), (Verdict::Info, Some("sudo ethtool -X eth0 equal 4")));
    let (check, _) = with(None, 4);
    assert_eq!(command(&check), Some("ethtool -n eth0 rx-flow-hash udp4"));
}

#[test]
fn interrupts_belong_near_the_card_and_apart() {
    let far = spoilt("interrupts", |card, _| card.interrupts[1].cpus = vec![0, 1]);
    assert_limits(far, Mode::ZeroCopy, "echo 4 | sudo tee /proc/irq/61/smp_affinity_list");
    let together = spoilt("interrupts", |card, _| card.interrupts.iter_mut().for_each(|one| one.cpus = vec![4]));
    assert_limits(together, Mode::ZeroCopy, "echo 5 | sudo tee /proc/irq/63/smp_affinity_list");
    let (check, _) = spoilt("interrupts", |_, host| host.has_irqbalance = true);
    assert_eq!((check.verdict, command(&check)), (Verdict::Info, Some("sudo systemctl stop irqbalance")));
    let (check, _) = spoilt("interrupts", |card, _| card.interrupts.clear());
    assert_eq!(check.verdict, Verdict::Info);
    let five = (0..5).map(|queue| Interrupt { number: queue, cpus: vec![4, 5], ..Interrupt::default() }).collect();
    let (check, _) = spoilt("interrupts", |card, _| card.interrupts = five);
    assert!(check.read.ends_with("and 1 more"), "{}", check.read);
}

#[test]
fn the_process_belongs_on_the_card_s_node() {
    let away = spoilt("numa-node", |_, host| host.allowed_cpus = vec![0, 1, 2, 3]);
    assert_limits(away, Mode::ZeroCopy, "numactl --cpunodebind=1");
    let (check, _) = spoilt("numa-node", |card, _| card.interface.numa_node = None);
    assert_eq!(check.verdict, Verdict::Ok);
    let (check, _) = spoilt("numa-node", |card, host| {
        host.nodes.push(Node { id: 2, cpus: Vec::new(), ..host.nodes[1].clone() });
        card.interface.numa_node = Some(2);
    });
    assert_eq!(check.verdict, Verdict::Ok, "a node of memory alone has no CPU to go to");
}

/// NUMA-2: memory bound away from the card, and a card's node that cannot do the work.
#[test]
fn memory_belongs_on_the_card_s_node_too() {
    let with = |point: &str, shortfall: Shortfall| spoilt(point, |card, _| card.shortfalls.push(shortfall).unwrap()).0;
    let away = with("numa-node", Shortfall::MemoryNotAllowed { node: 1, instead: 0 });
    assert_eq!(away.verdict, Verdict::Warn);
    assert!(away.change.unwrap().text().contains("numactl --membind=1"));
    for made_so in [Shortfall::NoCpus { node: 1, instead: 0 }, Shortfall::NoMemory { node: 1, instead: 0 }] {
        let check = with("numa-node", made_so);
        assert_eq!(check.verdict, Verdict::Info);
        assert!(check.why.unwrap().contains("node 0"));
    }
    // Then huge pages are wanted where the memory is.
    let (check, _) = spoilt("huge-pages", |card, host| {
        card.shortfalls.push(Shortfall::NoMemory { node: 1, instead: 0 }).unwrap();
        host.nodes[0].huge_pages[0].free = 0;
    });
    assert!(check.why.unwrap().contains("on node 0"));
}

#[test]
fn huge_pages_on_the_card_s_node() {
    let none = spoilt("huge-pages", |_, host| {
        host.nodes
            .iter_mut()
            .flat_map(|node| &mut node.huge_pages)
            .for_each(|pages| (pages.total, pages.free) = (0, 0));
    });
    assert!(none.0.why.as_deref().unwrap().contains("pages of 4 KiB"));
    let path = "echo 16 | sudo tee /sys/devices/system/node/node1/hugepages/hugepages-2048kB/nr_hugepages";
    assert_limits(none, Mode::ZeroCopy, path);
    let elsewhere = spoilt("huge-pages", |_, host| {
        host.nodes[1].huge_pages[0] = HugePages { page_bytes: 2 << 20, total: 4, free: 1 }
    });
    assert!(elsewhere.0.why.as_deref().unwrap().contains("on node 1"));
    assert_limits(elsewhere, Mode::ZeroCopy, "echo 19 |");
    let (check, _) = spoilt("huge-pages", |_, host| {
        host.nodes[1].huge_pages[0].free = 0;
        host.nodes[1].huge_pages[1] = HugePages { page_bytes: 1 << 30, total: 1, free: 1 };
    });
    assert_eq!(check.verdict, Verdict::Ok);
    let one_node = spoilt("huge-pages", |card, host| {
        card.interface.numa_node = None;
        host.nodes = vec![Node {
            cpus: (0..8).collect(),
            huge_pages: vec![HugePages { page_bytes: 2 << 20, total: 7, free: 0 }],
            id: 0,
        }];
    });
    assert_limits(one_node, Mode::ZeroCopy, "sudo sysctl vm.nr_hugepages=23");
}

#[test]
fn a_container_may_lock_little_memory() {
    let limited = |bytes, has_ipc_lock: bool| {
        spoilt("memlock", |_, host| {
            host.memlock_bytes = bytes;
            if !has_ipc_lock {
                host.capabilities.0 &= !Capabilities::IPC_LOCK.0;
            }
        })
    };
    let container = limited(Some(64 << 10), false);
    assert!(container.0.why.as_deref().unwrap().contains("the limit is 64 KiB"));
    assert_fails(container, "ulimit -l unlimited");
    assert_fails(limited(Some(4 * queue_bytes(1500) - 1), false), "ulimit");
    for (bytes, has_ipc_lock) in [(Some(4 * queue_bytes(1500)), false), (None, false), (Some(0), true)] {
        assert_eq!(limited(bytes, has_ipc_lock).0.verdict, Verdict::Ok);
    }
}

#[test]
fn privileges() {
    let with = |bits: &[Capabilities]| {
        let bits = bits.iter().fold(0, |all, one| all | one.0);
        spoilt("capabilities", |_, host| {
            host.capabilities = Capabilities(bits);
            host.memlock_bytes = None;
        })
    };
    let none = with(&[]);
    assert_eq!(none.0.read, "missing CAP_NET_RAW, CAP_NET_ADMIN, CAP_BPF");
    assert_fails(none, "sudo setcap cap_net_raw,cap_net_admin,cap_bpf");
    assert_fails(with(&[Capabilities::NET_RAW, Capabilities::BPF]), "setcap");
    let of_root = [Capabilities::NET_RAW, Capabilities::NET_ADMIN, Capabilities::SYS_ADMIN];
    assert_eq!(with(&of_root).0.verdict, Verdict::Ok);
    let rootless = |host: &mut Host, memlock_bytes| {
        host.is_in_user_namespace = true;
        host.memlock_bytes = memlock_bytes;
    };
    assert_fails(spoilt("capabilities", |_, host| rootless(host, None)), "outside of the rootless container");
    let (card, mut host) = (good_card(), good_host());
    rootless(&mut host, Some(64 << 10));
    let expected = [("capabilities", Verdict::Fail), ("memlock", Verdict::Fail)];
    assert_eq!(complaints(&diagnose(&card, &host).1), expected, "CAP_IPC_LOCK of a user namespace lifts no limit");
}

#[test]
fn kernels_that_lack_something() {
    for release in ["5.3.0", "5.8.18"] {
        assert_fails(spoilt("kernel", |_, host| host.release = release.to_owned()), "from 5.9 on");
    }
    let (check, _) = spoilt("kernel", |_, host| host.release = "5.10.0".to_owned());
    assert_eq!(check.verdict, Verdict::Info);
    assert_fails(spoilt("af-xdp", |_, host| host.af_xdp = AfXdp::Missing), "CONFIG_XDP_SOCKETS");
    assert_fails(spoilt("af-xdp", |_, host| host.af_xdp = AfXdp::Refused), "profile of the container");
    assert_fails(spoilt("af-xdp", |_, host| host.af_xdp = AfXdp::Fails("odd".to_owned())), "dmesg");
    assert_fails(spoilt("bpf", |_, host| host.has_bpf = false), "CONFIG_BPF_SYSCALL");
    assert_limits(spoilt("bpf", |_, host| host.has_bpf_jit = Some(false)), Mode::ZeroCopy, "bpf_jit_enable=1");
    let (check, _) = spoilt("bpf", |_, host| host.lockdown = Some("integrity".to_owned()));
    assert!(check.verdict == Verdict::Ok && check.read.contains("lockdown is integrity"));
}

#[test]
fn io_uring_is_told_and_decides_nothing() {
    let with = |value| spoilt("io-uring", |_, host| host.io_uring_disabled = value);
    assert_limits(with(Some(2)), Mode::ZeroCopy, "kernel.io_uring_disabled=0");
    assert_limits(with(Some(1)), Mode::ZeroCopy, "kernel.io_uring_disabled=0");
    assert_eq!((with(Some(0)).0.verdict, with(None).0.verdict), (Verdict::Ok, Verdict::Ok));
}

#[test]
fn the_conclusion_names_the_first_reason_and_counts_the_others() {
    let (mut card, mut host) = (good_card(), good_host());
    card.interface.is_up = false;
    host.release = "4.4.0".to_owned();
    host.has_bpf = false;
    let line = diagnose(&card, &host).0.conclusion();
    assert_eq!(line, "eth0: AF_XDP will not work, because AF_XDP came with Linux 4.18 (and 2 more)");
}

#[test]
fn numbers_as_the_kernel_writes_them() {
    assert_eq!(ranges(&[3, 0, 1, 2, 8, 8]), "0-3,8");
    assert_eq!(
        (ranges(&[]), ranges(&[5]), ranges(&[u32::MAX])),
        (String::new(), "5".to_owned(), "4294967295".to_owned())
    );
    assert_eq!((count(1, "queue"), count(0, "queue")), ("1 queue".to_owned(), "0 queues".to_owned()));
}
