//! Sockets that are closed and opened anew under a device, on a veth pair (XDP-10).

use std::net::{SocketAddr, UdpSocket};

use wirehaul_core::device::Ecn;
use wirehaul_core::wire::net::{MacAddress, UdpHeaders, parse_udp};

use super::*;
use crate::interface::Interface;
use crate::udp::Options;
use crate::xdp::Port;
use crate::xdp::testing::{in_namespace, ip, veth_pair};

const PEER: &str = "10.74.0.1:7001";
const OURS: &str = "10.74.0.2:7002";
const PEER_MAC: [u8; 6] = [2, 0, 0, 0, 0x74, 1];

fn datapath(interface: &str, local: &str) -> Datapath {
    Datapath::open(&Interface::by_name(interface).unwrap(), Mode::Copy, local.parse().unwrap()).unwrap()
}

fn seconds(count: u64) -> Instant {
    Instant::ZERO + Duration::from_secs(count)
}

/// A device on `wire1` with the datapath that it came from, and its neighbour on `wire0`, which the kernel does not know as a host of its own.
fn device_and_peer() -> (Datapath, XdpDevice, Port) {
    veth_pair(1500);
    ip("link set dev wire0 address 02:00:00:00:74:01");
    ip("address add 10.74.0.2/24 dev wire1");
    ip("neighbour add 10.74.0.1 lladdr 02:00:00:00:74:01 dev wire1 nud permanent");
    let kernel = UdpDevice::bind(OURS.parse().unwrap(), &Options::default()).unwrap();
    let datapath_here = datapath("wire1", OURS);
    let device = datapath_here.device(&[0], Box::new(kernel), Instant::ZERO);
    (datapath_here, device.map_err(|(error, _)| error).unwrap(), datapath("wire0", PEER).port(0).unwrap())
}

fn submit(device: &mut XdpDevice, datagram: &[u8]) -> Submitted {
    device.transmit_buffer().unwrap()[..datagram.len()].copy_from_slice(datagram);
    let remote: SocketAddr = PEER.parse().unwrap();
    let (len, depart_at) = (datagram.len(), Instant::ZERO);
    device.submit(&Transmit { remote, len, segment_bytes: len, ecn: Ecn::Ect0, depart_at })
}

/// A datagram in each direction.
#[track_caller]
fn exchange(device: &mut XdpDevice, peer: &mut Port, datagram: &[u8]) {
    assert_eq!(submit(device, datagram), Submitted::Sent);
    device.flush();
    let mut came = Vec::new();
    for _ in 0..100 {
        peer.wait(100).unwrap();
        peer.receive(64, |frame| came.push(frame[parse_udp(frame).unwrap().payload].to_vec()));
        if came.iter().any(|came| came == datagram) {
            break;
        }
    }
    assert!(came.iter().any(|came| came == datagram), "nothing came of {} packets", came.len());

    let mac = device.core.outside().hops.link().mac;
    let headers = UdpHeaders {
        ether_source: MacAddress(PEER_MAC),
        ether_destination: MacAddress(mac),
        vlan: None,
        source: PEER.parse().unwrap(),
        destination: OURS.parse().unwrap(),
        ecn: 0,
        hop_limit: 1,
    };
    assert!(peer.transmit(|slot| {
        let payload = 128..128 + datagram.len();
        slot[payload.clone()].copy_from_slice(datagram);
        let begin = headers.write_before(slot, payload.clone()).unwrap();
        slot.copy_within(begin..payload.end, 0);
        payload.end - begin
    }));
    peer.flush();
    let mut back = Vec::new();
    let nothing = UdpSocket::bind("127.0.0.1:0").unwrap();
    for _ in 0..100 {
        device.wait(&[nothing.as_fd()], Some(Duration::from_millis(10))).unwrap();
        device.receive(|received| back.push(received.bytes.to_vec()));
        if !back.is_empty() {
            break;
        }
    }
    assert_eq!(back, [datagram]);
}

#[track_caller]
fn assert_conserved(device: &mut XdpDevice) {
    device.flush();
    let found = device.statistics();
    let at = found.frames;
    assert_eq!(at.free + at.filled + at.sent + at.held(), at.frames, "{at:?}");
    assert!(at.held() <= 1 && at.sent == 0, "{at:?}");
    // What metrics are told is the same, and frames that are kept at hand are in nobody's use.
    assert_eq!(device.kernel_counters().xdp_frames, Some(at));
    assert_eq!(device.core.transmit_stats().in_use(), at.held());
    assert_eq!((found.faults, found.sockets.rx_invalid, found.sockets.tx_invalid), ((0, 0), 0, 0), "{found:?}");
}

/// What was in the rings comes back, and the same memory goes on under new sockets, behind the same filter.
#[test]
fn sockets_opened_anew_go_on_over_the_same_memory() {
    in_namespace("sockets opened anew", || {
        let (_datapath, mut device, mut peer) = device_and_peer();
        for round in 1..=5 {
            for _ in 0..10 {
                assert_eq!(submit(&mut device, b"never sent"), Submitted::Sent);
            }
            let before = device.statistics();
            assert_eq!(before.frames.sent, 10);
            device.reopen();
            let after = device.statistics();
            let lent = u64::from(before.frames.filled + before.frames.sent);
            assert_eq!((after.reopened, after.device.reclaimed - before.device.reclaimed), (round, lent));
            exchange(&mut device, &mut peer, format!("round {round}").as_bytes());
            assert_conserved(&mut device);
        }
        assert_eq!(device.statistics().device.by_kernel, 0);
    });
}

/// Somebody else has the queue: packets go through the kernel's socket until it is free, and then through new ones.
#[test]
fn sockets_that_are_not_to_be_had_are_tried_again() {
    in_namespace("sockets that are not to be had", || {
        let (datapath, mut device, mut peer) = device_and_peer();
        exchange(&mut device, &mut peer, b"in the beginning");
        device.core.take_down();
        device.core.outside().sockets.clear();
        let other = datapath.port(0).unwrap();
        device.reopen();
        assert!(device.core.outside().sockets.is_empty());
        let at = device.statistics().frames;
        assert_eq!(at.free + at.held(), at.frames, "{at:?}");
        assert_eq!(submit(&mut device, b"by the kernel"), Submitted::Sent);
        device.flush();
        assert_eq!(device.statistics().device.by_kernel, 1);
        drop(other);
        device.maintain(seconds(2));
        assert_eq!(device.core.outside().sockets.len(), 1);
        exchange(&mut device, &mut peer, b"in the end");
        assert_conserved(&mut device);
    });
}

/// An interface that is gone is not asked for again; nothing fails, and nothing goes anywhere.
#[test]
fn a_device_outlives_its_interface() {
    in_namespace("a device without an interface", || {
        let (_datapath, mut device, mut peer) = device_and_peer();
        exchange(&mut device, &mut peer, b"in the beginning");
        ip("link delete dev wire0");
        for second in 1..5 {
            device.maintain(seconds(second));
            submit(&mut device, b"to nobody");
            device.flush();
            assert_eq!(device.receive(|_| ()), 0);
        }
        assert_eq!((device.is_gone, device.reopened), (true, 0));
        let at = device.statistics().frames;
        assert_eq!(at.free + at.filled + at.sent + at.held(), at.frames, "{at:?}");
    });
}
