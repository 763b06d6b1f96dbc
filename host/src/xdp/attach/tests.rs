//! The filter on interfaces of a namespace: a veth pair and loopback.

use std::io::{BufRead, BufReader};
use std::net::{SocketAddr, UdpSocket};
use std::process::{Command, Stdio};
use std::time::Duration;

use wirehaul_core::wire::net::{MacAddress, UdpHeaders, parse_udp};

use super::*;
use crate::xdp::testing::{in_namespace, ip, veth_pair};

const MODES: [AttachMode; 2] = [AttachMode::Native, AttachMode::Generic];

fn filter() -> PortFilter {
    PortFilter::load(1, false).unwrap()
}

/// What ip(8) says of programs on `wire0`.
fn programs() -> Option<&'static str> {
    let shown = ip("-o link show dev wire0");
    [" xdpgeneric ", " xdp "].into_iter().find(|what| shown.contains(what))
}

/// XDP-8: attached by a link that goes with its owner.
#[test]
fn the_filter_is_attached_in_both_modes_and_goes_with_its_link() {
    in_namespace("a filter on a veth pair", || {
        let [interface, _] = veth_pair(1500);
        let filter = filter();
        for (mode, shown) in MODES.into_iter().zip([" xdp ", " xdpgeneric "]) {
            let link = filter.attach(interface, mode).unwrap();
            assert_eq!((link.mode(), programs()), (mode, Some(shown)));
            drop(link);
            assert_eq!(programs(), None);
        }
        let link = filter.attach(interface, AttachMode::Native).unwrap();
        drop(filter);
        assert_eq!(programs(), Some(" xdp "), "the link alone holds it");
        // As a child has one that another thread is starting.
        let _copy = link.descriptor.try_clone().unwrap();
        drop(link);
        assert_eq!(programs(), None);
    });
}

#[test]
fn a_second_program_is_refused_in_every_mode() {
    in_namespace("a second filter", || {
        let [interface, _] = veth_pair(1500);
        for first in MODES {
            let link = filter().attach(interface, first).unwrap();
            for second in MODES {
                let error = filter().attach(interface, second).unwrap_err();
                assert!(matches!(&error, AttachError::Occupied { interface } if interface == "wire0"), "{error:?}");
                assert!(error.to_string().contains("ip link set dev wire0 xdp off"), "{error}");
            }
            drop(link);
        }
    });
}

#[test]
fn what_a_driver_cannot_do_is_told_apart() {
    in_namespace("drivers that cannot", || {
        let loopback = nix::net::if_::if_nametoindex("lo").unwrap();
        let error = filter().attach(loopback, AttachMode::Native).unwrap_err();
        assert!(matches!(error, AttachError::NotSupported { mode: AttachMode::Native, .. }), "{error:?}");
        let _link = filter().attach(loopback, AttachMode::Generic).unwrap();

        let [interface, _] = veth_pair(9000);
        let error = filter().attach(interface, AttachMode::Native).unwrap_err();
        assert!(matches!(error, AttachError::MtuTooLarge { mode: AttachMode::Native, .. }), "{error:?}");
        let with_frags = PortFilter::load(1, true).unwrap();
        drop(with_frags.attach(interface, AttachMode::Native).unwrap());

        let error = filter().attach(9999, AttachMode::Native).unwrap_err();
        assert!(matches!(error, AttachError::NoInterface { index: 9999 }), "{error:?}");
    });
}

#[test]
fn each_errno_has_its_error() {
    let error = |errno| {
        AttachError::new("eth7".to_owned(), AttachMode::Native, io::Error::from_raw_os_error(errno)).to_string()
    };
    let cases = [
        (libc::EPERM, "no permission"),
        (libc::EBUSY, "another XDP program"),
        (libc::EEXIST, "another XDP program"),
        (libc::EOPNOTSUPP, "does not run native"),
        (libc::ERANGE, "too large for native XDP"),
        (libc::EINVAL, "refuses native XDP"),
        (libc::ENOMEM, "refuses native XDP"),
        (libc::EIO, "cannot attach"),
    ];
    for (errno, words) in cases {
        let error = error(errno);
        assert!(error.contains(words) && error.contains("eth7"), "{errno}: {error}");
    }
}

/// In the environment of the child that holds a link: the interface's index.
const HOLD: &str = "WIREHAUL_TEST_HOLD_LINK";

/// XDP-8: a crash detaches.
#[test]
fn a_process_that_is_killed_leaves_nothing_on_the_interface() {
    in_namespace("a filter whose process is killed", || {
        let [interface, _] = veth_pair(1500);
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "--nocapture", "xdp::attach::tests::child_that_holds_a_link"])
            .env(HOLD, interface.to_string())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        assert!(lines.any(|line| line.unwrap().contains("holding")), "the child has ended");
        assert_eq!(programs(), Some(" xdp "));
        child.kill().unwrap();
        child.wait().unwrap();
        // The kernel closes a dead process's files soon, but not before its end is told.
        for _ in 0..500 {
            if programs().is_none() {
                return;
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        panic!("{}", ip("link show dev wire0"));
    });
}

/// No test by itself: what the test above starts and kills. It ends when its standard input does, too.
#[test]
fn child_that_holds_a_link() {
    let Ok(interface) = std::env::var(HOLD) else { return };
    let _link = filter().attach(interface.parse().unwrap(), AttachMode::Native).unwrap();
    println!("holding");
    let _ = io::stdin().read_line(&mut String::new());
}

/// XDP-8 with packets on a wire: what has no AF_XDP socket goes to the kernel's, through the attached filter. And XDP-5: the
/// kernel takes the headers that we write for right, checksums included.
#[test]
fn datagrams_without_a_socket_of_ours_reach_the_kernel_s() {
    in_namespace("datagrams through the filter", || {
        let [interface, peer] = veth_pair(1500);
        ip("address add 10.74.0.2/24 dev wire0");
        ip("address add fd74::2/64 dev wire0 nodad");
        // Not by sysfs, which shows the namespace that it was mounted in.
        let mac = parse_mac(ip("-br link show dev wire0").split_whitespace().nth(2).unwrap());
        for (mode, remote, local) in [
            (AttachMode::Native, "10.74.0.1:40000", "10.74.0.2:7421"),
            (AttachMode::Generic, "10.74.0.1:40000", "10.74.0.2:7421"),
            (AttachMode::Native, "[fd74::1]:40000", "[fd74::2]:7421"),
            (AttachMode::Generic, "[fd74::1]:40000", "[fd74::2]:7421"),
        ] {
            let (remote, local): (SocketAddr, SocketAddr) = (remote.parse().unwrap(), local.parse().unwrap());
            let filter = filter();
            filter.add(local.ip(), local.port()).unwrap();
            let _link = filter.attach(interface, mode).unwrap();
            let socket = UdpSocket::bind(local).unwrap();
            socket.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
            for bytes in [0, 1, 5, 1428, 1451] {
                let payload: Vec<u8> = (0..bytes).map(|n| n as u8).collect();
                let mut frame = [vec![0; UdpHeaders::MAX_BYTES], payload.clone()].concat();
                let headers = UdpHeaders {
                    ether_source: MacAddress([2, 0, 0, 0, 0, 1]),
                    ether_destination: mac,
                    vlan: None,
                    source: remote,
                    destination: local,
                    ecn: 2,
                    hop_limit: 64,
                };
                let end = frame.len();
                let begin = headers.write_before(&mut frame, UdpHeaders::MAX_BYTES..end).unwrap();
                assert!(parse_udp(&frame[begin..]).is_ok());
                send_frame(peer, &frame[begin..]);
                let mut buffer = [0; 2000];
                let (length, from) = socket.recv_from(&mut buffer).unwrap();
                assert_eq!((&buffer[..length], from), (&payload[..], remote), "{mode:?} {bytes}");
            }
        }
    });
}

fn parse_mac(text: &str) -> MacAddress {
    let bytes: Vec<u8> = text.split(':').map(|byte| u8::from_str_radix(byte, 16).unwrap()).collect();
    MacAddress(bytes.try_into().unwrap())
}

/// Puts a frame on the wire at this interface, past the kernel's own layers.
fn send_frame(interface: u32, frame: &[u8]) {
    // SAFETY: a socket of our own and an address that is all zeros but for the fields that are set; the frame is as long as
    // said. Nothing outlives the calls.
    let sent = unsafe {
        let socket = libc::socket(libc::AF_PACKET, libc::SOCK_RAW, 0);
        assert!(socket >= 0, "{}", io::Error::last_os_error());
        let mut address: libc::sockaddr_ll = std::mem::zeroed();
        address.sll_family = libc::AF_PACKET as u16;
        address.sll_ifindex = interface as i32;
        let length = size_of_val(&address) as u32;
        let sent = libc::sendto(socket, frame.as_ptr().cast(), frame.len(), 0, (&raw const address).cast(), length);
        libc::close(socket);
        sent
    };
    assert_eq!(sent, frame.len() as isize, "{}", io::Error::last_os_error());
}
