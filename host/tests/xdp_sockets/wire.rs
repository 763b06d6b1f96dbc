//! A veth pair in a namespace of its own, and frames on it.

use std::net::SocketAddr;
use std::process::Command;
use std::time::{Duration, Instant};

use nix::sched::{CloneFlags, unshare};
use wirehaul::interface::Interface;
use wirehaul::xdp::attach::AttachError;
use wirehaul::xdp::{Datapath, Mode, OpenError, Port};
use wirehaul_core::wire::net::{MacAddress, UdpHeaders, parse_udp};

use crate::machine::has_xdp;

pub const NAMES: [&str; 2] = ["wire0", "wire1"];
pub const ENDS: [&str; 2] = ["10.74.0.1:7001", "10.74.0.2:7002"];
const PATIENCE: Duration = Duration::from_secs(20);

/// Runs `test` in a namespace with a veth pair of this MTU and so many queues, which ends with it.
pub fn on_a_wire(name: &str, mtu: u32, queues: u32, test: impl FnOnce() + Send + 'static) {
    if !has_xdp(name) {
        return;
    }
    let thread = std::thread::spawn(move || {
        unshare(CloneFlags::CLONE_NEWNET).unwrap();
        let of = format!("numtxqueues {queues} numrxqueues {queues}");
        ip(&format!("link add wire0 {of} type veth peer name wire1 {of}"));
        for (name, end) in NAMES.iter().zip(1..) {
            ip(&format!("link set dev {name} address 02:00:00:00:74:0{end}"));
            ip(&format!("link set dev {name} mtu {mtu} up"));
        }
        // The kernel knows the second end's address, and the first end as a neighbour.
        ip("address add 10.74.0.2/24 dev wire1");
        ip("neighbour add 10.74.0.1 lladdr 02:00:00:00:74:01 dev wire1 nud permanent");
        ip("link set dev lo up");
        test();
    });
    if let Err(panic) = thread.join() {
        std::panic::resume_unwind(panic);
    }
}

#[track_caller]
pub fn ip(arguments: &str) {
    let output = Command::new("ip").args(arguments.split_whitespace()).output().unwrap();
    assert!(output.status.success(), "ip {arguments}: {}", String::from_utf8_lossy(&output.stderr));
}

pub fn address(end: usize) -> SocketAddr {
    ENDS[end].parse().unwrap()
}

/// Waits for the filter of the datapath before: a child that another test has begun to start has its descriptor too, until it runs
/// its program.
pub fn datapath(end: usize, mode: Mode) -> Datapath {
    let interface = Interface::by_name(NAMES[end]).unwrap();
    let mut opened = None;
    until(|| match Datapath::open(&interface, mode, address(end)) {
        Err(OpenError::Attach(AttachError::Occupied { .. })) => false,
        other => {
            opened = Some(other.unwrap());
            true
        }
    });
    opened.unwrap()
}

/// Queue 0 of both ends.
pub fn both(mode: Mode) -> [Port; 2] {
    [0, 1].map(|end| datapath(end, mode).port(0).unwrap())
}

/// A frame from this end to the other, with this payload.
pub fn frame(from: usize, payload: &[u8]) -> Vec<u8> {
    let mac = |end: usize| MacAddress([2, 0, 0, 0, 0x74, end as u8 + 1]);
    let headers = UdpHeaders {
        ether_source: mac(from),
        ether_destination: mac(1 - from),
        vlan: None,
        source: address(from),
        destination: address(1 - from),
        ecn: 2,
        hop_limit: 1,
    };
    let mut bytes = [&[0; 128], payload].concat();
    let begin = headers.write_before(&mut bytes, 128..128 + payload.len()).unwrap();
    bytes.split_off(begin)
}

/// A payload that tells its number.
pub fn payload(number: u32, len: usize) -> Vec<u8> {
    number.to_be_bytes().into_iter().chain((4..len).map(|at| (at as u32 ^ number) as u8)).take(len.max(4)).collect()
}

pub fn number_of(payload: &[u8]) -> u32 {
    u32::from_be_bytes(*payload.first_chunk().unwrap())
}

/// The payload of a frame whose headers are in order.
#[track_caller]
pub fn payload_of(frame: &[u8]) -> Vec<u8> {
    frame[parse_udp(frame).unwrap().payload].to_vec()
}

/// Puts a frame into the transmit ring; `false` where it has no room.
pub fn put(port: &mut Port, frame: &[u8]) -> bool {
    port.transmit(|room| {
        room[..frame.len()].copy_from_slice(frame);
        frame.len()
    })
}

/// Calls `step` until it says that all is done.
#[track_caller]
pub fn until(mut step: impl FnMut() -> bool) {
    let begin = Instant::now();
    while !step() {
        assert!(begin.elapsed() < PATIENCE, "it did not come to its end");
        std::thread::yield_now();
    }
}

/// Receives until so many came.
#[track_caller]
pub fn receive(port: &mut Port, count: usize) -> Vec<Vec<u8>> {
    let mut frames = Vec::new();
    until(|| {
        port.receive(64, |frame| frames.push(frame.to_vec()));
        frames.len() >= count
    });
    frames
}

/// Waits until all that was sent is completed. Then every frame is free or with the kernel to receive into, and neither end
/// found anything of the other's invalid (XDP-6).
#[track_caller]
pub fn assert_conserved(port: &mut Port) {
    until(|| {
        port.flush();
        port.whereabouts().sent == 0
    });
    let at = port.whereabouts();
    assert_eq!(at.free + at.filled, at.frames, "{at:?}");
    assert_eq!(at.held(), 0, "{at:?}");
    let told = port.statistics();
    assert_eq!((told.rx_invalid, told.tx_invalid), (0, 0), "{told:?}");
    assert_eq!(port.faults(), (0, 0));
}
