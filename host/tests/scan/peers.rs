//! Others look at the same: a kernel, nmap, and tshark.

use std::collections::BTreeMap;
use std::process::Command;
use std::time::Duration;

use crate::common::machine::{Link, has_xdp, is_privileged};
use crate::common::process::Process;
use crate::common::shared;
use crate::frames::{What, checksum, octets, parse};
use crate::responder::{World, everybody};
use crate::rig::{Found, Rig};
use crate::world::open;

/// Whether a program is installed; with `WIREHAUL_REQUIRE=scan` it must be.
fn has(program: &str, test: &str) -> bool {
    let is_here = Command::new(program).arg("--version").output().is_ok_and(|output| output.status.success());
    let required = std::env::var("WIREHAUL_REQUIRE").unwrap_or_default();
    let is_required = required.split(',').any(|feature| feature.trim() == "scan");
    assert!(is_here || !is_required, "{test} needs {program}, and WIREHAUL_REQUIRE says that it is here");
    if !is_here {
        eprintln!("skipped: {test} needs {program}");
    }
    is_here
}

/// Ports on which somebody listens in the right namespace, until dropped.
struct Listeners {
    stop: std::sync::mpsc::Sender<()>,
    thread: Option<std::thread::JoinHandle<()>>,
}

impl Listeners {
    /// On these TCP ports of every address. Nobody accepts.
    fn on(link: &Link, ports: &[u16]) -> Self {
        let (stop, stopped) = std::sync::mpsc::channel();
        let (ready, is_ready) = std::sync::mpsc::channel();
        let ports = ports.to_vec();
        let file = std::thread::scope(|scope| {
            let open = || {
                link.right.enter();
                let all: Vec<_> =
                    ports.iter().map(|port| std::net::TcpListener::bind(("::", *port)).unwrap()).collect();
                all
            };
            scope.spawn(open).join().unwrap()
        });
        let thread = std::thread::spawn(move || {
            ready.send(()).unwrap();
            let _ = stopped.recv();
            drop(file);
        });
        is_ready.recv().unwrap();
        Self { stop, thread: Some(thread) }
    }
}

impl Drop for Listeners {
    fn drop(&mut self) {
        let _ = self.stop.send(());
        let _ = self.thread.take().map(std::thread::JoinHandle::join);
    }
}

const LISTENING: [u16; 9] = [22, 80, 443, 1000, 1001, 1999, 2000, 3306, 5432];

/// Scans from the left host; what is found, by port, of all ports that answered.
#[track_caller]
fn scan(link: &Link, arguments: &[&str]) -> (BTreeMap<(String, u16), String>, String) {
    let folder = tempfile::tempdir().unwrap();
    let output = folder.path().join("found.jsonl");
    let mut command = link.left.command(env!("CARGO_BIN_EXE_wirehaul"));
    command.env("HOME", folder.path()).env("XDG_CONFIG_HOME", folder.path());
    command.args(["scan", "--json", "--subnet-rate", "unlimited", "--cooldown", "700ms", "--output"]);
    command.arg(&output).args(arguments);
    let finished = Process::spawn(command).wait().expect(0);
    let found = Found::read(&output).by_probe();
    let found = found
        .into_iter()
        .map(|(asked, (classes, _))| ((asked.protocol.to_owned(), asked.port), classes.last().unwrap().clone()));
    (found.collect(), finished.stdout)
}

/// SCAN-7: the kernel of the other side keeps no half-open connections, since each SYN-ACK that is not wanted is reset, whichever
/// way packets travel.
#[test]
fn no_half_open_connection_is_left_at_the_target() {
    let _guard = shared();
    if !has_xdp("resets") {
        return;
    }
    for transport in ["xdp-copy", "xdp-skb", "packet"] {
        let link = Link::new();
        let ports: Vec<u16> = (2000..2200).collect();
        let _listeners = Listeners::on(&link, &ports);
        let options =
            ["10.74.0.2", "fd74::2", "-p", "2000-2199", "--rate", "2k", "--iface", "wire", "--transport", transport];
        let (found, _) = scan(&link, &options);
        assert_eq!(found.len(), 200);
        assert!(found.values().all(|class| class == "open"), "{found:?}");
        let state = || {
            let output = link.right.command("cat").args(["/proc/net/tcp", "/proc/net/tcp6"]).output().unwrap();
            // SYN_RECV of include/net/tcp_states.h.
            let text = String::from_utf8(output.stdout).unwrap();
            text.lines().filter(|line| line.split_whitespace().nth(3) == Some("03")).count()
        };
        assert_eq!(state(), 0, "half-open connections are left by {transport}");
    }
}

/// SCAN-1: nmap finds the same of a kernel with some listening ports.
#[test]
fn nmap_finds_the_same() {
    let _guard = shared();
    if !is_privileged("a comparison with nmap") || !has("nmap", "a comparison with nmap") {
        return;
    }
    let link = Link::new();
    // No limit on resets and errors, so that nobody waits and nothing is missing.
    link.right.sh("echo 0 > /proc/sys/net/ipv4/icmp_ratelimit; echo 0 > /proc/sys/net/ipv4/icmp_ratemask");
    let _listeners = Listeners::on(&link, &LISTENING);
    let mut nmap = link.left.command("nmap");
    nmap.args(["-sS", "-n", "-Pn", "-p", "1-6000", "-oG", "-", "-T5", "--max-retries", "3", "-v", "10.74.0.2"]);
    let nmap = Process::spawn(nmap).wait().expect(0);
    let open_by_nmap: Vec<u16> = nmap
        .stdout
        .lines()
        .filter_map(|line| line.split("Ports: ").nth(1))
        .flat_map(|ports| ports.split(", "))
        .filter(|port| port.contains("/open/"))
        .filter_map(|port| port.split('/').next()?.trim().parse().ok())
        .collect();
    assert_eq!(open_by_nmap, LISTENING, "{}", nmap.output());
    for target in ["10.74.0.2", "fd74::2"] {
        let (found, _) = scan(&link, &[target, "-p", "1-6000,icmp", "--rate", "5k"]);
        let of = |wanted: &str| -> Vec<u16> {
            let tcp = found.iter().filter(|((protocol, _), class)| protocol == "tcp" && *class == wanted);
            tcp.map(|((_, port), _)| *port).collect()
        };
        assert_eq!(of("open"), open_by_nmap, "{target}");
        assert_eq!(of("closed").len(), 6000 - LISTENING.len(), "{target}");
        assert_eq!(found.get(&("icmp".to_owned(), 0)).map(String::as_str), Some("alive"), "{target}");
    }
}

/// UDP ports whose services have a payload of their own, and one that has none.
const SERVICES: &str =
    "22,80,443,65535,udp:7,53,69,111,123,137,161,443,500,623,1194,1434,1900,3478,4500,5060,5353,5683,11211,40000,icmp";

/// SCAN-1: every packet that is sent has right checksums, by our own reckoning, and no layer that tshark finds malformed.
#[test]
fn packets_are_well_formed() {
    let _guard = shared();
    if !is_privileged("a look at packets") {
        return;
    }
    let rig = Rig::of_world(World { conduct: open, neighbours: everybody }, 1, 100_000);
    // What the kernel sends itself, it leaves to the card to sum up; there is no card.
    rig.scanner.sh("ethtool -K wire tx off >/dev/null 2>&1 || true");
    let options = ["--contact", "noc@example.net", "--rate", "5k", "--subnet-rate", "unlimited", "--cooldown", "500ms"];
    rig.scan(&[&["10.20.1.0/26", "10.74.1.1-10.74.1.9", "fd20::1:0/122", "-p", SERVICES], &options[..]].concat());
    let frames = rig.responder.log().frames;
    let probes = frames.iter().filter(|frame| is_probe(&frame[14..])).count();
    assert_eq!(probes, (64 + 9 + 64) * SERVICES.split(',').count(), "frames are missing");
    for frame in &frames {
        assert_checksums(&frame[14..], u16::from_be_bytes([frame[12], frame[13]]));
    }
    if !has("tshark", "a comparison with tshark") {
        return;
    }
    let capture = rig.path("frames.pcap");
    std::fs::write(&capture, pcap(&frames)).unwrap();
    let bad = "_ws.malformed || ip.checksum.status == 0 || tcp.checksum.status == 0 || udp.checksum.status == 0 || \
        icmp.checksum.status == 0 || icmpv6.checksum.status == 0 || _ws.expert.group == \"Malformed\"";
    let shown = tshark(&capture, bad);
    assert_eq!(shown.len(), 0, "{}", shown.join("\n"));
    // And that it looked.
    let protocols = [
        "arp",
        "icmpv6.type == 135",
        "tcp.flags.syn == 1 && tcp.options.timestamp.tsval",
        "dns.id",
        "ntp",
        "snmp",
        "icmp.type == 8",
        "icmpv6.type == 128",
        "tcp.checksum.status == 1",
        "udp.checksum.status == 1",
    ];
    for protocol in protocols {
        assert!(!tshark(&capture, protocol).is_empty(), "tshark sees no {protocol}");
    }
}

fn is_probe(ip: &[u8]) -> bool {
    parse(ip).is_some_and(|packet| crate::world::asked(&packet).is_some())
}

/// A sum over what was summed, with its checksum, is zero.
#[track_caller]
fn assert_checksums(packet: &[u8], ether_type: u16) {
    if !matches!(ether_type, 0x0800 | 0x86dd) {
        return;
    }
    let is_ipv4 = ether_type == 0x0800;
    if !is_ipv4 && packet[6] == 0 {
        // A report of the kernel's about groups, with an option in between.
        return;
    }
    let parsed = parse(packet).unwrap_or_else(|| panic!("cut short: {packet:02x?}"));
    let (header, protocol) = if is_ipv4 { (usize::from(packet[0] & 15) * 4, packet[9]) } else { (40, packet[6]) };
    assert!(!is_ipv4 || checksum(&packet[..header]) == 0, "of the IP header: {packet:02x?}");
    let len = if is_ipv4 {
        usize::from(u16::from_be_bytes([packet[2], packet[3]])) - header
    } else {
        usize::from(u16::from_be_bytes([packet[4], packet[5]]))
    };
    assert!(packet.len() >= header + len, "it ends too early: {packet:02x?}");
    let mut summed = Vec::new();
    if !(is_ipv4 && protocol == 1) {
        summed.extend(octets(parsed.source));
        summed.extend(octets(parsed.target));
        summed.extend((len as u32).to_be_bytes());
        summed.extend([0, 0, 0, protocol]);
    }
    summed.extend(&packet[header..header + len]);
    assert_eq!(checksum(&summed), 0, "of protocol {protocol}: {packet:02x?}");
    if let What::Tcp { flags: 2, options, .. } = &parsed.what {
        // MSS, SACK permitted, timestamps, no operation, window scale: as a Linux sends them.
        let kinds: Vec<u8> = [0, 4, 6, 16, 17].map(|at| options[at]).to_vec();
        assert_eq!((kinds, options.len()), (vec![2, 4, 8, 1, 3], 20), "{options:02x?}");
    }
}

/// Frames as a file of libpcap, version 2.4, of Ethernet.
fn pcap(frames: &[Vec<u8>]) -> Vec<u8> {
    let mut file = Vec::new();
    file.extend(0xa1b2_c3d4_u32.to_le_bytes());
    file.extend([2, 0, 4, 0, 0, 0, 0, 0, 0, 0, 0, 0]);
    file.extend(0x4_0000_u32.to_le_bytes());
    file.extend(1_u32.to_le_bytes());
    for (number, frame) in frames.iter().enumerate() {
        let len = (frame.len() as u32).to_le_bytes();
        file.extend((number as u32).to_le_bytes());
        file.extend([0; 4]);
        file.extend(len);
        file.extend(len);
        file.extend(frame);
    }
    file
}

/// The frames that a display filter takes, a line each. What is sent to learn the versions of QUIC is of a version that nobody has
/// (RFC 8999, section 6), and tshark reads it as one that it knows. And it takes an id of memcached that begins with 0x80 or 0x81 for the
/// binary protocol, which has no ids in front.
#[track_caller]
fn tshark(capture: &std::path::Path, filter: &str) -> Vec<String> {
    let checks = ["ip.check_checksum:TRUE", "tcp.check_checksum:TRUE", "udp.check_checksum:TRUE"];
    let mut command = Command::new("tshark");
    command
        .arg("-n")
        .arg("-r")
        .arg(capture)
        .args(checks.iter().flat_map(|check| ["-o", check]))
        .args(["--disable-protocol", "quic", "--disable-protocol", "memcache"])
        .args(["-Y", filter]);
    let finished = Process::spawn(command).wait_for(Duration::from_secs(60)).expect(0);
    finished.stdout.lines().map(str::to_owned).collect()
}
