//! A thousand devices, one after the other: memory, descriptors and what the kernel holds stay as they are (XDP-3, XDP-10).
//! A test binary of its own, since what is counted is the whole process's.
#![cfg(target_os = "linux")]
#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs)]
#![expect(clippy::disallowed_methods, reason = "a test waits for the kernel, and so reads the clock")]

#[allow(dead_code)]
#[path = "common/machine.rs"]
mod machine;
#[allow(dead_code)]
#[path = "xdp_sockets/wire.rs"]
mod wire;

use wirehaul::clock::Clock;
use wirehaul::device::HostDevice;
use wirehaul::interface::Interface;
use wirehaul::udp::{Options, UdpDevice};
use wirehaul::xdp::{Mode, Port};
use wirehaul_core::device::{Device, Ecn, Submitted, Transmit};

use machine::is_full_size;
use wire::{NAMES, address, assert_conserved, datapath, frame, number_of, on_a_wire, payload, payload_of, put, until};

/// What this process holds.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Held {
    descriptors: Vec<String>,
    locked_kib: u64,
    pinned_kib: u64,
    mappings: usize,
}

fn status(key: &str) -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix(key)).unwrap();
    line.trim().trim_end_matches(" kB").parse().unwrap()
}

fn held() -> Held {
    let links = std::fs::read_dir("/proc/self/fd").unwrap().flatten();
    let mut descriptors: Vec<_> = links
        .filter_map(|entry| std::fs::read_link(entry.path()).ok())
        // Sockets and pipes have a number behind their kind.
        .map(|target| target.to_string_lossy().split('[').next().unwrap_or_default().to_owned())
        .collect();
    descriptors.sort();
    let mappings = std::fs::read_to_string("/proc/self/maps").unwrap().lines().count();
    Held { descriptors, locked_kib: status("VmLck:"), pinned_kib: status("VmPin:"), mappings }
}

/// A device that receives one datagram and sends one, and is gone again. Two queues share its memory.
fn live_and_die(peer: &mut Port, number: u32) {
    let mode = if number.is_multiple_of(2) { Mode::Copy } else { Mode::Generic };
    let kernel = Box::new(UdpDevice::bind(address(1), &Options::default()).unwrap());
    let clock = Clock::start();
    let mut device = datapath(1, mode).device(&[0, 1], kernel, clock.now()).map_err(|(error, _)| error).unwrap();
    device.maintain(clock.now());
    let mut came = Vec::new();
    assert!(put(peer, &frame(0, &payload(number, 200))));
    until(|| {
        peer.flush();
        device.receive(|received| came.push(number_of(received.bytes)));
        !came.is_empty()
    });
    assert_eq!(came, [number]);
    // To a neighbour that the kernel was not asked for yet: by either way it arrives.
    let bytes = payload(number, 300);
    device.transmit_buffer().unwrap()[..300].copy_from_slice(&bytes);
    let transmit =
        Transmit { remote: address(0), len: 300, segment_bytes: 300, ecn: Ecn::NotEct, depart_at: clock.now() };
    assert_eq!(device.submit(&transmit), Submitted::Sent);
    let mut back = Vec::new();
    until(|| {
        device.flush();
        peer.receive(64, |frame| back.push(payload_of(frame)));
        !back.is_empty()
    });
    assert_eq!(back, [bytes]);
}

/// Teardown and re-binding, in both modes by turns.
#[test]
fn a_thousand_devices_leave_nothing_behind() {
    on_a_wire("a thousand devices", 1500, 2, || {
        let mut peer = datapath(0, Mode::Copy).port(0).unwrap();
        (0..20).for_each(|number| live_and_die(&mut peer, number));
        let (before, rss) = (held(), status("VmRSS:"));
        let count = if is_full_size() { 1000 } else { 200 };
        (20..20 + count).for_each(|number| live_and_die(&mut peer, number));
        assert_eq!(held(), before);
        let grown = status("VmRSS:").saturating_sub(rss);
        assert!(grown < 2048, "{grown} KiB more after {count} devices");
        assert!(Interface::by_name(NAMES[1]).unwrap().xdp.is_empty());
        assert_conserved(&mut peer);
    });
}
