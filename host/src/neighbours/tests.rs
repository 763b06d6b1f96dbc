//! Against the kernel, in network namespaces of their own: a host and its neighbours at the other ends of cables.

use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering};
use std::thread::sleep;
use std::time;

use netlink_packet_core::{NetlinkHeader, NetlinkMessage, NetlinkPayload};
use netlink_packet_route::link::{InfoData, InfoVlan, LinkAttribute, LinkInfo, VlanProtocol};
use netlink_packet_route::route::{RouteAttribute, RouteLwEnCapType, RouteMessage, RouteType};
use wirehaul_core::hops::Route;
use wirehaul_core::time::Duration;

use super::*;
use crate::clock::Clock;

/// Long enough for anything that the kernel does at once, on a busy machine.
const PATIENCE: Duration = Duration::from_secs(10);

/// The other end of a cable: a network namespace, gone when dropped.
struct Peer {
    name: String,
}

impl Peer {
    fn new() -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let name = format!("whh{}x{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed));
        ip(&["netns", "add", &name]);
        Self { name }
    }

    #[track_caller]
    fn ip(&self, arguments: &[&str]) {
        ip(&[&["-n", &self.name], arguments].concat());
    }

    /// The Ethernet address of its end.
    fn mac(&self, interface: &str) -> [u8; 6] {
        let text = output("ip", &["-n", &self.name, "-br", "link", "show", "dev", interface]);
        let mac = text.split_whitespace().find(|word| word.matches(':').count() == 5).unwrap();
        let mut bytes = mac.split(':').map(|byte| u8::from_str_radix(byte, 16).unwrap());
        std::array::from_fn(|_| bytes.next().unwrap())
    }
}

impl Drop for Peer {
    fn drop(&mut self) {
        let _ = Command::new("ip").args(["netns", "delete", &self.name]).output();
    }
}

#[track_caller]
fn ip(arguments: &[&str]) {
    output("ip", arguments);
}

#[track_caller]
fn output(program: &str, arguments: &[&str]) -> String {
    let output = Command::new(program).args(arguments).output().unwrap();
    assert!(output.status.success(), "{program} {arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

/// Whether the kernel has VLANs. `WIREHAUL_REQUIRE=vlan` makes their absence a failure.
fn has_vlans() -> bool {
    let made =
        Command::new("ip").args(["link", "add", "link", "wire", "name", "try", "type", "vlan", "id", "1"]).output();
    let has = made.is_ok_and(|output| output.status.success());
    assert!(has || !is_required("vlan"), "WIREHAUL_REQUIRE names vlan, and this kernel makes none");
    if has {
        ip(&["link", "delete", "try"]);
    } else {
        eprintln!("skipped: this kernel has no VLANs");
    }
    has
}

fn is_required(what: &str) -> bool {
    std::env::var("WIREHAUL_REQUIRE").is_ok_and(|required| required.split(',').any(|needed| needed.trim() == what))
}

/// Runs `test` on a host with a cable `wire` to a peer: 10.75.0.1 and 10.75.0.2, fd75::1 and fd75::2.
fn on_a_host(test: fn(&Peer)) {
    std::thread::spawn(move || {
        let may = rustix::process::geteuid().is_root()
            && Command::new("ip").args(["netns", "list"]).output().is_ok_and(|output| output.status.success())
            && nix::sched::unshare(nix::sched::CloneFlags::CLONE_NEWNET).is_ok();
        if !may {
            assert!(!is_required("net"), "WIREHAUL_REQUIRE names net, and no network namespace can be made here");
            eprintln!("skipped: making network namespaces takes root and the ip command");
            return;
        }
        let peer = Peer::new();
        ip(&["link", "set", "lo", "up"]);
        ip(&["link", "add", "wire", "type", "veth", "peer", "name", "wire", "netns", &peer.name]);
        for (arguments, end) in [(vec![], "1"), (vec!["-n", peer.name.as_str()], "2")] {
            let ip = |more: &[&str]| ip(&[&arguments, more].concat());
            ip(&["address", "add", &format!("10.75.0.{end}/24"), "dev", "wire"]);
            ip(&["address", "add", &format!("fd75::{end}/64"), "dev", "wire", "nodad"]);
            ip(&["link", "set", "wire", "mtu", "1500", "up"]);
        }
        peer.ip(&["link", "set", "lo", "up"]);
        test(&peer);
    })
    .join()
    .unwrap();
}

fn index_of(interface: &str) -> u32 {
    nix::net::if_::if_nametoindex(interface).unwrap()
}

fn address(text: &str) -> IpAddr {
    text.parse().unwrap()
}

/// Next hops, and the time.
struct Scene {
    hops: NextHops,
    clock: Clock,
}

impl Scene {
    fn open(interface: &str) -> Self {
        Self { hops: NextHops::open(index_of(interface)).unwrap(), clock: Clock::start() }
    }

    fn refresh(&mut self) -> Changes {
        self.hops.refresh(self.clock.now()).unwrap()
    }

    fn way_to(&mut self, remote: &str) -> Way {
        let now = self.clock.now();
        self.hops.way_to(now, address(remote))
    }

    /// The way once it is as expected; what the kernel notifies is applied meanwhile. What is the kernel's to send is sent.
    #[track_caller]
    fn way_until(&mut self, remote: &str, expected: impl Fn(Way) -> bool) -> Way {
        let begun = self.clock.now();
        loop {
            self.refresh();
            let way = self.way_to(remote);
            if expected(way) {
                return way;
            }
            assert!(self.clock.now().saturating_since(begun) < PATIENCE, "{remote} stays {way:?}");
            if way == Way::Kernel(KernelReason::Unresolved) {
                send_through_kernel(remote);
            }
            sleep(time::Duration::from_millis(5));
        }
    }

    #[track_caller]
    fn hop_to(&mut self, remote: &str) -> NextHop {
        match self.way_until(remote, |way| matches!(way, Way::Direct(_))) {
            Way::Direct(hop) => hop,
            _ => unreachable!(),
        }
    }

    #[track_caller]
    fn changes_until(&mut self, expected: impl Fn(Changes) -> bool) {
        let begun = self.clock.now();
        while !expected(self.refresh()) {
            assert!(self.clock.now().saturating_since(begun) < PATIENCE, "the change was not told");
            sleep(time::Duration::from_millis(5));
        }
    }
}

/// One datagram to the discard port, from whatever address the kernel likes.
fn send_through_kernel(remote: &str) {
    let any = if address(remote).is_ipv4() { "0.0.0.0:0" } else { "[::]:0" };
    let socket = std::net::UdpSocket::bind(any).unwrap();
    let _ = match address(remote) {
        IpAddr::V6(v6) if v6.is_unicast_link_local() => {
            socket.send_to(b"x", std::net::SocketAddrV6::new(v6, 9, 0, index_of("wire")))
        }
        remote => socket.send_to(b"x", (remote, 9)),
    };
}

#[test]
fn a_neighbour_on_the_link_is_resolved_by_the_kernel_s_own_packet() {
    on_a_host(|peer| {
        let mut scene = Scene::open("wire");
        let ours = scene.hops.link();
        assert!(ours.is_up && ours.has_carrier && ours.mtu == 1500, "{ours:?}");
        for (remote, source) in [("10.75.0.2", "10.75.0.1"), ("fd75::2", "fd75::1")] {
            assert_eq!(scene.way_to(remote), Way::Kernel(KernelReason::Unresolved));
            let expected = NextHop {
                ether_source: ours.mac,
                ether_destination: peer.mac("wire"),
                vlan: None,
                source: address(source),
                mtu: 1500,
            };
            assert_eq!(scene.hop_to(remote), expected);
        }
    });
}

#[test]
fn a_link_local_neighbour_is_looked_for_on_our_interface() {
    on_a_host(|peer| {
        // It comes some time after the link.
        let link_local = loop {
            let text =
                output("ip", &["-n", &peer.name, "-6", "-br", "address", "show", "dev", "wire", "scope", "link"]);
            match text.split_whitespace().find_map(|word| word.strip_suffix("/64")) {
                Some(link_local) => break link_local.to_owned(),
                None => sleep(time::Duration::from_millis(10)),
            }
        };
        let hop = Scene::open("wire").hop_to(&link_local);
        assert_eq!(hop.ether_destination, peer.mac("wire"));
        assert!(matches!(hop.source, IpAddr::V6(v6) if v6.is_unicast_link_local()), "{hop:?}");
    });
}

#[test]
fn what_is_ours_or_for_many_or_nowhere_is_told_apart() {
    on_a_host(|_| {
        ip(&["route", "add", "unreachable", "198.51.100.1"]);
        ip(&["route", "add", "prohibit", "198.51.100.2"]);
        ip(&["route", "add", "blackhole", "198.51.100.3"]);
        ip(&["route", "add", "unreachable", "2001:db8::1"]);
        ip(&["route", "add", "blackhole", "2001:db8::3"]);
        let mut scene = Scene::open("wire");
        for remote in ["10.75.0.1", "127.0.0.1", "fd75::1", "::1"] {
            assert_eq!(scene.way_to(remote), Way::Kernel(KernelReason::Local), "{remote}");
        }
        for remote in ["10.75.0.255", "255.255.255.255", "224.0.0.251", "ff02::1"] {
            let way = scene.way_to(remote);
            let is_refused = matches!(way, Way::Unreachable | Way::Kernel(KernelReason::NotUnicast));
            assert!(is_refused, "{remote}: {way:?}");
        }
        let refused = ["198.51.100.1", "198.51.100.2", "198.51.100.3", "2001:db8::1", "2001:db8::3"];
        // The last two have no route at all.
        for remote in refused.into_iter().chain(["203.0.113.1", "2001:db8:5::1"]) {
            assert_eq!(scene.way_to(remote), Way::Unreachable, "{remote}");
        }
    });
}

#[test]
fn beyond_a_gateway_the_gateway_is_the_neighbour() {
    on_a_host(|peer| {
        ip(&["route", "add", "198.51.100.0/24", "via", "10.75.0.2"]);
        ip(&["route", "add", "203.0.113.0/24", "via", "inet6", "fd75::2", "mtu", "lock", "1300"]);
        ip(&["route", "add", "2001:db8::/32", "via", "fd75::2", "mtu", "1400"]);
        let mut scene = Scene::open("wire");
        for (remote, mtu) in [("198.51.100.7", 1500), ("203.0.113.7", 1300), ("2001:db8::7", 1400)] {
            let hop = scene.hop_to(remote);
            assert_eq!((hop.ether_destination, hop.mtu), (peer.mac("wire"), mtu), "{remote}");
        }
        ip(&["route", "replace", "198.51.100.0/24", "via", "10.75.0.2", "src", "10.75.0.1", "mtu", "1200"]);
        scene.way_until("198.51.100.7", |way| matches!(way, Way::Direct(hop) if hop.mtu == 1200));
    });
}

#[test]
fn several_gateways_and_rules_are_resolved_by_the_kernel() {
    on_a_host(|peer| {
        peer.ip(&["address", "add", "10.75.0.3/24", "dev", "wire"]);
        ip(&["route", "add", "198.51.100.0/24", "nexthop", "via", "10.75.0.2", "nexthop", "via", "10.75.0.3"]);
        let mut scene = Scene::open("wire");
        for last in 1..20 {
            assert_eq!(scene.hop_to(&format!("198.51.100.{last}")).ether_destination, peer.mac("wire"));
        }
        ip(&["rule", "add", "to", "198.51.100.1", "prohibit"]);
        scene.way_until("198.51.100.1", |way| way == Way::Unreachable);
        assert!(matches!(scene.way_to("198.51.100.2"), Way::Direct(_)));
    });
}

#[test]
fn a_route_over_a_vlan_on_our_interface_is_tagged() {
    on_a_host(|peer| {
        if !has_vlans() {
            return;
        }
        for (arguments, end) in [(vec![], "1"), (vec!["-n", peer.name.as_str()], "2")] {
            let ip = |more: &[&str]| ip(&[&arguments, more].concat());
            ip(&["link", "add", "link", "wire", "name", "tagged", "type", "vlan", "id", "44"]);
            ip(&["link", "set", "tagged", "address", &format!("02:00:00:00:44:0{end}"), "mtu", "1450", "up"]);
            ip(&["address", "add", &format!("10.76.0.{end}/24"), "dev", "tagged"]);
        }
        let mut scene = Scene::open("wire");
        let expected = NextHop {
            ether_source: [2, 0, 0, 0, 0x44, 1],
            ether_destination: [2, 0, 0, 0, 0x44, 2],
            vlan: Some(44),
            source: address("10.76.0.1"),
            mtu: 1450,
        };
        assert_eq!(scene.hop_to("10.76.0.2"), expected);
        // One on top of that carries two tags, and a service tag is another kind: both are left to the kernel.
        for (link, kind, network) in [("tagged", "802.1Q", "10.77.0"), ("wire", "802.1ad", "10.78.0")] {
            let name = &kind[4..];
            ip(&["link", "add", "link", link, "name", name, "type", "vlan", "protocol", kind, "id", "45"]);
            ip(&["address", "add", &format!("{network}.1/24"), "dev", name]);
            ip(&["link", "set", name, "up"]);
            scene.way_until(&format!("{network}.2"), |way| way == Way::Kernel(KernelReason::OtherInterface));
        }
        // The VLAN's own frames go out through ours, untagged as far as it is concerned.
        assert_eq!(Scene::open("tagged").hop_to("10.76.0.2").vlan, None);
    });
}

#[test]
fn a_neighbour_that_moves_to_another_card_is_followed() {
    on_a_host(|peer| {
        let mut scene = Scene::open("wire");
        scene.hop_to("10.75.0.2");
        peer.ip(&["link", "set", "wire", "address", "02:00:00:00:00:99"]);
        // What the peer sends now shows its new address, as an announcement would.
        let new = [2, 0, 0, 0, 0, 0x99];
        ip(&["neighbour", "replace", "10.75.0.2", "dev", "wire", "lladdr", "02:00:00:00:00:99", "nud", "stale"]);
        scene.way_until("10.75.0.2", |way| matches!(way, Way::Direct(hop) if hop.ether_destination == new));
        ip(&["neighbour", "delete", "10.75.0.2", "dev", "wire"]);
        scene.way_until("10.75.0.2", |way| way == Way::Kernel(KernelReason::Unresolved));
        assert_eq!(scene.hop_to("10.75.0.2").ether_destination, new);
    });
}

#[test]
fn an_announced_move_is_followed() {
    on_a_host(|peer| {
        let mut scene = Scene::open("wire");
        scene.hop_to("10.75.0.2");
        // The peer announces its address when it is changed.
        let setting = "echo 1 > /proc/sys/net/ipv4/conf/wire/arp_notify";
        output("ip", &["netns", "exec", &peer.name, "sh", "-c", setting]);
        peer.ip(&["link", "set", "wire", "address", "02:00:00:00:00:98"]);
        let new = [2, 0, 0, 0, 0, 0x98];
        scene.way_until("10.75.0.2", |way| matches!(way, Way::Direct(hop) if hop.ether_destination == new));
    });
}

#[test]
fn a_neighbour_that_is_gone_is_left_to_the_kernel() {
    on_a_host(|peer| {
        let mut scene = Scene::open("wire");
        scene.hop_to("10.75.0.2");
        peer.ip(&["address", "delete", "10.75.0.2/24", "dev", "wire"]);
        ip(&["neighbour", "replace", "10.75.0.2", "dev", "wire", "nud", "failed"]);
        scene.way_until("10.75.0.2", |way| way == Way::Kernel(KernelReason::Unresolved));
    });
}

#[test]
fn a_route_that_turns_to_another_interface_is_left_to_the_kernel() {
    on_a_host(|_| {
        ip(&["route", "add", "198.51.100.0/24", "via", "10.75.0.2"]);
        let mut scene = Scene::open("wire");
        scene.hop_to("198.51.100.7");
        ip(&["link", "add", "other", "type", "veth", "peer", "name", "end"]);
        ip(&["link", "set", "end", "up"]);
        ip(&["address", "add", "10.79.0.1/24", "dev", "other"]);
        ip(&["link", "set", "other", "up"]);
        ip(&["route", "replace", "198.51.100.0/24", "via", "10.79.0.2"]);
        scene.way_until("198.51.100.7", |way| way == Way::Kernel(KernelReason::OtherInterface));
        ip(&["route", "delete", "198.51.100.0/24"]);
        scene.way_until("198.51.100.7", |way| way == Way::Unreachable);
        // A longer prefix takes what a shorter one had.
        ip(&["route", "add", "default", "via", "10.75.0.2"]);
        scene.hop_to("198.51.100.7");
        ip(&["route", "add", "198.51.100.7/32", "dev", "other"]);
        scene.way_until("198.51.100.7", |way| way == Way::Kernel(KernelReason::OtherInterface));
    });
}

#[test]
fn next_hop_objects_are_followed() {
    on_a_host(|_| {
        ip(&["nexthop", "add", "id", "5", "via", "10.75.0.2", "dev", "wire"]);
        ip(&["route", "add", "198.51.100.0/24", "nhid", "5"]);
        let mut scene = Scene::open("wire");
        scene.hop_to("198.51.100.7");
        ip(&["nexthop", "replace", "id", "5", "blackhole"]);
        scene.way_until("198.51.100.7", |way| way == Way::Unreachable);
    });
}

#[test]
fn a_link_that_goes_down_and_comes_back_is_followed() {
    on_a_host(|peer| {
        let mut scene = Scene::open("wire");
        scene.hop_to("10.75.0.2");
        peer.ip(&["link", "set", "wire", "down"]);
        scene.changes_until(|changes| changes.link);
        assert!(scene.hops.link().is_up && !scene.hops.link().has_carrier);
        peer.ip(&["link", "set", "wire", "up"]);
        scene.changes_until(|changes| changes.link);
        assert!(scene.hops.link().has_carrier);
        scene.hop_to("10.75.0.2");
        ip(&["link", "set", "wire", "down"]);
        scene.changes_until(|changes| changes.link);
        assert!(!scene.hops.link().is_up);
        scene.way_until("10.75.0.2", |way| way == Way::Unreachable);
        ip(&["link", "set", "wire", "up"]);
        scene.changes_until(|changes| changes.link);
        scene.hop_to("10.75.0.2");
    });
}

#[test]
fn the_link_s_mtu_and_address_are_followed() {
    on_a_host(|_| {
        let mut scene = Scene::open("wire");
        scene.hop_to("10.75.0.2");
        scene.hop_to("fd75::2");
        ip(&["link", "set", "wire", "mtu", "1400"]);
        scene.changes_until(|changes| changes.link);
        assert_eq!(scene.hops.link().mtu, 1400);
        for remote in ["10.75.0.2", "fd75::2"] {
            assert_eq!(scene.hop_to(remote).mtu, 1400, "{remote}");
        }
        // A limit of IPv6 alone, as a router may announce; of the setting itself the kernel tells nobody.
        output("sh", &["-c", "echo 1300 > /proc/sys/net/ipv6/conf/wire/mtu"]);
        ip(&["link", "set", "wire", "address", "02:00:00:00:00:97"]);
        scene.changes_until(|changes| changes.link);
        let (v4, v6) = (scene.hop_to("10.75.0.2"), scene.hop_to("fd75::2"));
        assert_eq!((v4.ether_source, v4.mtu), ([2, 0, 0, 0, 0, 0x97], 1400));
        assert_eq!(v6.mtu, 1300);
    });
}

#[test]
fn addresses_are_followed() {
    on_a_host(|_| {
        let mut scene = Scene::open("wire");
        let expected = ["10.75.0.1", "fd75::1", "127.0.0.1", "::1"];
        assert!(expected.iter().all(|ours| scene.hops.local_addresses().contains(&address(ours))));
        ip(&["address", "add", "10.75.0.66/32", "dev", "lo"]);
        scene.changes_until(|changes| changes.addresses);
        assert!(scene.hops.local_addresses().contains(&address("10.75.0.66")));
        scene.way_until("10.75.0.66", |way| way == Way::Kernel(KernelReason::Local));
        scene.hop_to("10.75.0.2");
        ip(&["address", "delete", "10.75.0.66/32", "dev", "lo"]);
        ip(&["address", "delete", "10.75.0.1/24", "dev", "wire"]);
        scene.changes_until(|changes| changes.addresses);
        scene.way_until("10.75.0.2", |way| way == Way::Unreachable);
        assert!(!scene.hops.local_addresses().contains(&address("10.75.0.1")));
        assert_eq!(scene.refresh(), Changes::default());
    });
}

#[test]
fn an_interface_that_is_deleted_is_told_once() {
    on_a_host(|_| {
        let mut scene = Scene::open("wire");
        scene.hop_to("10.75.0.2");
        ip(&["link", "delete", "wire"]);
        scene.changes_until(|changes| changes.gone);
        assert!(!scene.hops.link().is_up && !scene.hops.link().has_carrier);
        assert!(!matches!(scene.way_to("10.75.0.2"), Way::Direct(_)));
        assert!(!scene.refresh().gone);
    });
}

#[test]
fn interfaces_without_frames_are_refused() {
    on_a_host(|_| {
        assert!(matches!(NextHops::open(4_000_000), Err(OpenError::NoInterface(4_000_000))));
        ip(&["tuntap", "add", "name", "packets", "mode", "tun"]);
        let refused = NextHops::open(index_of("packets"));
        assert!(matches!(refused, Err(OpenError::NotEthernet(_))), "{refused:?}");
    });
}

/// What does not fit into the socket is lost, and that is noticed.
#[test]
fn a_flood_of_changes_loses_nothing_for_good() {
    on_a_host(|_| {
        let mut scene = Scene::open("wire");
        scene.hop_to("10.75.0.2");
        let batch: String = (0..4_000)
            .map(|n| format!("route add 10.90.{}.{} via 10.75.0.2\n", n / 250, n % 250))
            .chain(["link set wire mtu 1280\naddress add 10.75.0.88/32 dev lo\n".to_owned()])
            .collect();
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), batch).unwrap();
        ip(&["-batch", file.path().to_str().unwrap()]);
        scene.way_until("10.75.0.2", |way| matches!(way, Way::Direct(hop) if hop.mtu == 1280));
        assert_eq!(scene.hops.link().mtu, 1280);
        let begun = scene.clock.now();
        while !scene.hops.local_addresses().contains(&address("10.75.0.88")) {
            scene.refresh();
            assert!(scene.clock.now().saturating_since(begun) < PATIENCE);
        }
    });
}

/// The kernel's entry leaves STALE only when something is sent to the neighbour, or this is asked.
#[test]
fn a_stale_neighbour_is_probed_again_while_it_is_in_use() {
    on_a_host(|peer| {
        for setting in ["delay_first_probe_time", "retrans_time_ms"] {
            let value = if setting == "retrans_time_ms" { "100" } else { "1" };
            let path = format!("/proc/sys/net/ipv4/neigh/wire/{setting}");
            output("sh", &["-c", &format!("echo {value} > {path}")]);
        }
        let mut scene = Scene::open("wire");
        scene.hop_to("10.75.0.2");
        ip(&["neighbour", "change", "10.75.0.2", "dev", "wire", "lladdr", &text(peer.mac("wire")), "nud", "stale"]);
        let state = || output("ip", &["neighbour", "show", "10.75.0.2", "dev", "wire"]);
        assert!(state().contains("STALE"), "{}", state());
        let begun = scene.clock.now();
        while !state().contains("REACHABLE") {
            scene.refresh();
            scene.hop_to("10.75.0.2");
            let now = scene.clock.now();
            scene.hops.keep_alive(now);
            assert!(now.saturating_since(begun) < PATIENCE, "{}", state());
            sleep(time::Duration::from_millis(20));
        }
        // What an administrator has set stays as it is.
        ip(&["neighbour", "replace", "10.75.0.2", "dev", "wire", "lladdr", "02:00:00:00:00:96", "nud", "permanent"]);
        let set = [2, 0, 0, 0, 0, 0x96];
        scene.way_until("10.75.0.2", |way| matches!(way, Way::Direct(hop) if hop.ether_destination == set));
        scene.hops.keep_alive(scene.clock.now() + Duration::from_secs(60));
        assert!(state().contains("PERMANENT"), "{}", state());
    });
}

fn text(mac: [u8; 6]) -> String {
    mac.map(|byte| format!("{byte:02x}")).join(":")
}

// --- without a kernel ---

#[test]
fn a_route_into_a_tunnel_is_not_for_frames() {
    let mut message = RouteMessage::default();
    message.header.kind = RouteType::Unicast;
    let remote = address("198.51.100.7");
    assert_eq!(questions::read_route(remote, &message), None, "no interface is no answer");
    message.attributes.push(RouteAttribute::Oif(3));
    let on_link = Route::Unicast { interface: 3, neighbour: remote, source: None, mtu: None };
    assert_eq!(questions::read_route(remote, &message), Some(on_link));
    message.attributes.push(RouteAttribute::EncapType(RouteLwEnCapType::Mpls));
    assert_eq!(questions::read_route(remote, &message), Some(Route::Encapsulated));
    message.header.kind = RouteType::Nat;
    assert_eq!(questions::read_route(remote, &message), None);
}

#[test]
fn a_vlan_counts_only_on_our_interface_and_with_a_customer_s_tag() {
    let ours = 3;
    let link = |index, attributes: &[LinkAttribute]| {
        let mut message = LinkMessage::default();
        message.header.index = index;
        message.attributes = vec![LinkAttribute::Address(vec![2, 0, 0, 0, 0, index as u8]), LinkAttribute::Mtu(1500)];
        message.attributes.extend_from_slice(attributes);
        message
    };
    let vlan = |parent, protocol| {
        let facts = vec![InfoVlan::Id(44), InfoVlan::Protocol(protocol)];
        [LinkAttribute::Link(parent), LinkAttribute::LinkInfo(vec![LinkInfo::Data(InfoData::Vlan(facts))])]
    };
    let mut links = Links::new(ours);
    assert!(links.apply(&link(ours, &[])) && !links.apply(&link(ours, &[])), "news only once");
    links.apply(&link(4, &vlan(ours, VlanProtocol::Ieee8021Q)));
    links.apply(&link(5, &vlan(ours, VlanProtocol::Ieee8021Ad)));
    links.apply(&link(6, &vlan(4, VlanProtocol::Ieee8021Q)));
    let elsewhere = [&vlan(ours, VlanProtocol::Ieee8021Q)[..], &[LinkAttribute::LinkNetNsId(0)]].concat();
    links.apply(&link(7, &elsewhere));
    let tags: Vec<_> = (ours..9).map(|index| links.port(index).map(|port| (port.ether_source[5], port.vlan))).collect();
    assert_eq!(tags, [Some((3, None)), Some((4, Some(44))), None, None, None, None]);
    links.remove(4);
    assert_eq!(links.port(4), None);
}

#[test]
fn notifications_that_make_no_sense_count_as_lost() {
    let link = RouteNetlinkMessage::DelLink(LinkMessage::default());
    let mut message = NetlinkMessage::new(NetlinkHeader::default(), NetlinkPayload::from(link));
    message.finalize();
    let mut bytes = vec![0; message.buffer_len()];
    message.serialize(&mut bytes);
    let read = |bytes: &[u8]| {
        let mut found = Vec::new();
        notices::notices(bytes, &mut |notice| found.push(notice));
        found
    };
    assert!(matches!(read(&bytes)[..], [Notice::LinkGone(0)]));
    let twice = [bytes.clone(), bytes.clone()].concat();
    assert!(matches!(read(&twice)[..], [Notice::LinkGone(0), Notice::LinkGone(0)]));
    for len in 1..bytes.len() {
        assert!(matches!(read(&bytes[..len])[..], [Notice::Lost]), "{len} bytes");
    }
    // RTM_NEWNEXTHOP, which the crate does not know; and a type that nobody knows.
    for (kind, is_about_routes) in [(104, true), (999, false)] {
        let mut unknown = bytes.clone();
        unknown[4..6].copy_from_slice(&u16::to_ne_bytes(kind));
        assert_eq!(matches!(read(&unknown)[..], [Notice::Rules]), is_about_routes);
        assert_eq!(matches!(read(&unknown)[..], [Notice::Lost]), !is_about_routes);
    }
}
