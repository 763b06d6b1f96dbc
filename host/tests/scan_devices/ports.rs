//! Ports of AF_XDP with the filter of a survey: SCAN-1.

use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::time::Duration;

use wirehaul::interface::Interface;
use wirehaul::xdp::{Datapath, Mode, Port};
use wirehaul_core::scan::Wire;

use crate::machine::{Link, has_xdp};
use crate::{on_a_thread, until};

const WINDOW: u16 = 0xf000;
const OURS: [&str; 2] = ["10.74.0.1", "fd74::1"];

/// Runs `test` in the left one of two namespaces, with sockets of the right one's kernel to send from: IPv4 and IPv6.
fn beside_a_peer(name: &str, queues: u32, mtu: u32, test: impl FnOnce(&Interface, [UdpSocket; 2]) + Send + 'static) {
    if !has_xdp(name) {
        return;
    }
    let link = Link::with(queues, mtu);
    let peers = on_a_thread({
        let name = link.right.name().to_owned();
        move || {
            crate::machine::enter(&name);
            ["10.74.0.2:53", "[fd74::2]:53"].map(|address| UdpSocket::bind(address).unwrap())
        }
    });
    let left = link.left.name().to_owned();
    on_a_thread(move || {
        crate::machine::enter(&left);
        test(&Interface::by_name("wire").unwrap(), peers);
    });
}

fn ours() -> [IpAddr; 2] {
    OURS.map(|address| address.parse().unwrap())
}

/// The payloads of datagrams that come until there are so many.
fn receive(ports: &mut [Port], count: usize) -> Vec<Vec<u8>> {
    let mut came = Vec::new();
    until(|| {
        for port in ports.iter_mut() {
            Wire::receive(port, |frame| {
                let headers = if frame[12..14] == [0x86, 0xdd] { 14 + 40 + 8 } else { 14 + 20 + 8 };
                came.push(frame[headers..].to_vec());
            });
        }
        came.len() >= count
    });
    came
}

/// What is in the window comes to the ports, and sockets of this host on other ports have theirs as ever.
#[test]
fn answers_come_to_the_port_and_all_else_to_the_kernel() {
    for mode in [Mode::Copy, Mode::Generic] {
        beside_a_peer("the filter of a survey on a link", 1, 1500, move |interface, peers| {
            let datapath = Datapath::open_for_scan(interface, mode, WINDOW, &ours()).unwrap();
            let mut ports = [datapath.port(0).unwrap()];
            for (peer, ours) in peers.iter().zip(ours()) {
                let socket = UdpSocket::bind(SocketAddr::new(ours, WINDOW - 1)).unwrap();
                socket.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
                for port in [WINDOW - 1, WINDOW, WINDOW + 77, WINDOW + 4095] {
                    peer.send_to(&port.to_be_bytes(), SocketAddr::new(ours, port)).unwrap();
                }
                let came = receive(&mut ports, 3);
                let expected = [WINDOW, WINDOW + 77, WINDOW + 4095].map(|port| port.to_be_bytes().to_vec());
                // The kernel may pad what is shorter than a frame of Ethernet.
                assert!(
                    came.len() == 3 && came.iter().zip(&expected).all(|(came, sent)| came.starts_with(sent)),
                    "{came:?}"
                );
                let mut room = [0; 16];
                assert_eq!(socket.recv_from(&mut room).unwrap().1, peer.local_addr().unwrap());
                assert_eq!(room[..2], (WINDOW - 1).to_be_bytes());
            }
            // The kernel still finds its neighbours, and answers echo requests.
            let ping = std::process::Command::new("ping").args(["-c1", "-W5", "10.74.0.2"]).output();
            if let Ok(ping) = ping {
                assert!(ping.status.success(), "{}", String::from_utf8_lossy(&ping.stdout));
            }
            drop((datapath, ports));
            let shown = std::process::Command::new("ip").args(["link", "show", "dev", "wire"]).output().unwrap();
            assert!(!String::from_utf8_lossy(&shown.stdout).contains("xdp"), "the filter is gone with its last port");
        });
    }
}

/// Several ports on one filter: each queue's packets come to its own, and all come.
#[test]
fn several_ports_share_a_filter() {
    beside_a_peer("several ports of a survey", 2, 1500, |interface, [peer, _]| {
        let datapath = Datapath::open_for_scan(interface, Mode::Copy, WINDOW, &ours()).unwrap();
        let mut ports = [0, 1].map(|queue| datapath.port(queue).unwrap());
        for number in 0..500_u16 {
            peer.send_to(&number.to_be_bytes(), SocketAddr::new(ours()[0], WINDOW + number)).unwrap();
        }
        let mut came: Vec<_> = receive(&mut ports, 500).iter().map(|bytes| [bytes[0], bytes[1]]).collect();
        came.sort_unstable();
        assert_eq!(came, (0..500).map(u16::to_be_bytes).collect::<Vec<_>>());
    });
}

/// Of a packet in several chunks the first is shown, with the headers, and what comes behind it is not taken for a frame.
#[test]
fn of_a_long_packet_the_first_chunk_is_shown() {
    beside_a_peer("long answers to a survey", 1, 9000, |interface, [peer, _]| {
        let datapath = Datapath::open_for_scan(interface, Mode::Copy, WINDOW, &ours()).unwrap();
        let mut ports = [datapath.port(0).unwrap()];
        for (number, len) in [(1_u8, 8000), (2, 100), (3, 5000), (4, 3)] {
            peer.send_to(&vec![number; len], SocketAddr::new(ours()[0], WINDOW + 5)).unwrap();
        }
        let came = receive(&mut ports, 4);
        assert_eq!(came.iter().map(|bytes| bytes[0]).collect::<Vec<_>>(), [1, 2, 3, 4]);
        let told = ports[0].statistics();
        assert_eq!((told.rx_dropped, told.rx_ring_full, told.rx_fill_ring_empty), (0, 0, 0));
    });
}
