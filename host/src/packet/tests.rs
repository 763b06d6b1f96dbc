//! Packet sockets on links whose other end is the test itself (tun(4)): what is let in, and what arrives as it was sent.

use std::fs::{File, OpenOptions};
use std::io::{Read, Write};
use std::os::fd::AsRawFd;
use std::process::Command;
use std::time::Duration;

use super::*;

/// Frames with what must become of them, as the XDP filter of a survey is shown too.
const FRAMES: &str = include_str!("../../../proptests/data/scan-filter-frames.txt");
const WINDOW: u16 = 0xe000;
/// The destination of those frames.
const MAC: &str = "02:00:00:00:00:02";

#[test]
fn a_packet_s_first_byte_says_what_it_is() {
    assert_eq!(ether_type(&[0x45, 0]), 0x0800);
    assert_eq!(ether_type(&[0x60]), 0x86dd);
    assert_eq!(ether_type(&[]), 0x0800);
}

#[test]
fn errors_of_the_link_are_told_from_others() {
    let of = |code| fault_of(&io::Error::from_raw_os_error(code));
    assert_eq!(of(libc::ENETDOWN), Some(Fault::Down));
    assert_eq!((of(libc::ENXIO), of(libc::ENODEV)), (Some(Fault::Gone), Some(Fault::Gone)));
    assert_eq!((of(libc::ENOBUFS), of(libc::EMSGSIZE)), (None, None));
}

/// Makes a link of this kind (IFF_TUN or IFF_TAP), whose other end is the file.
fn link(kind: libc::c_int) -> io::Result<(File, Link)> {
    let file = OpenOptions::new().read(true).write(true).open("/dev/net/tun")?;
    // SAFETY: the structure is plain numbers, for which zeros are valid.
    let mut request: libc::ifreq = unsafe { std::mem::zeroed() };
    request.ifr_name.iter_mut().zip(b"packets").for_each(|(to, byte)| *to = *byte as libc::c_char);
    request.ifr_ifru.ifru_flags = (kind | libc::IFF_NO_PI) as libc::c_short;
    // SAFETY: TUNSETIFF reads and writes one such structure.
    if unsafe { libc::ioctl(file.as_raw_fd(), libc::TUNSETIFF, &raw mut request) } != 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: the file is open; no memory is passed.
    unsafe { libc::fcntl(file.as_raw_fd(), libc::F_SETFL, libc::O_NONBLOCK) };
    if kind == libc::IFF_TAP {
        ip(&format!("link set dev packets address {MAC}"));
    }
    // What the kernel itself sends on a new link is not looked for.
    let _ = std::fs::write("/proc/sys/net/ipv6/conf/packets/disable_ipv6", "1");
    ip("link set dev packets up");
    let index = nix::net::if_::if_nametoindex("packets")?;
    let has_ethernet = kind == libc::IFF_TAP;
    Ok((file, Link { name: "packets".to_owned(), index, mtu: 1500, has_ethernet }))
}

fn ip(arguments: &str) {
    let output = Command::new("ip").args(arguments.split(' ')).output().unwrap();
    assert!(output.status.success(), "ip {arguments}: {}", String::from_utf8_lossy(&output.stderr));
}

/// Runs `test` with such a link in a namespace of its own. Where this process may not, says that `name` is skipped; with
/// `WIREHAUL_REQUIRE=net` that is a failure.
fn on_a_link(name: &str, kind: libc::c_int, test: impl FnOnce(&mut File, &Link) + Send + 'static) {
    let name = name.to_owned();
    let thread = std::thread::spawn(move || {
        let is_alone = nix::sched::unshare(nix::sched::CloneFlags::CLONE_NEWNET);
        match is_alone.map_err(io::Error::from).and_then(|()| link(kind)) {
            Ok((mut file, link)) => test(&mut file, &link),
            Err(error) => {
                let required = std::env::var("WIREHAUL_REQUIRE").unwrap_or_default();
                let is_required = required.split(',').any(|needed| needed.trim() == "net");
                assert!(!is_required, "{name} needs root, network namespaces and /dev/net/tun: {error}");
                eprintln!("skipped: {name} needs root, network namespaces and /dev/net/tun ({error})");
            }
        }
    });
    if let Err(panic) = thread.join() {
        std::panic::resume_unwind(panic);
    }
}

/// Calls `step` until it returns something.
#[track_caller]
fn patiently<T>(mut step: impl FnMut() -> Option<T>) -> T {
    for _ in 0..5000 {
        if let Some(found) = step() {
            return found;
        }
        std::thread::sleep(Duration::from_millis(2));
    }
    panic!("it did not happen within ten seconds");
}

/// Everything that is shown until this frame is.
fn shown_until(listener: &mut Listener, last: &[u8]) -> Vec<Vec<u8>> {
    let mut shown = Vec::new();
    patiently(|| {
        listener.receive(|frame| shown.push(frame.to_vec()));
        (shown.last().map(Vec::as_slice) == Some(last)).then_some(())
    });
    shown
}

fn bytes_of(hex: &str) -> Vec<u8> {
    let byte = |pair: &[u8]| u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16).unwrap();
    hex.as_bytes().chunks(2).map(byte).collect()
}

/// SCAN-1, SCAN-7: TCP and UDP to the window are shown, whole and in order, and nothing else; a VLAN tag is taken off.
#[test]
fn a_window_s_answers_are_shown_and_nothing_else() {
    on_a_link("the filter of packet sockets", libc::IFF_TAP, |file, link| {
        let mut listener = Listener::open(link, &Listen::Window(WINDOW)).unwrap();
        let mut expected = Vec::new();
        let mut marker = Vec::new();
        for line in FRAMES.lines().filter(|line| !line.starts_with("open ")) {
            let [verdict, name, hex] = line.split(' ').collect::<Vec<_>>()[..] else { panic!("{line}") };
            // What IP headers say is checked by who reads them, and which addresses are ours the kernel knows by theirs.
            let is_left_out =
                ["cut-", "odd-version", "short-header", "other-address", "ends-swapped", "qinq", "two-vlans"];
            if is_left_out.iter().any(|what| name.contains(what)) || name.ends_with("one-tag-more") {
                continue;
            }
            let mut frame = bytes_of(hex);
            file.write_all(&frame).unwrap();
            if name.contains("-vlan-") {
                frame.drain(12..16);
            }
            if verdict == "redirect" {
                marker.clone_from(&frame);
                expected.push(frame);
            }
        }
        assert!(expected.len() > 50, "{}", expected.len());
        file.write_all(&marker).unwrap();
        expected.push(marker.clone());
        let mut shown = Vec::new();
        patiently(|| {
            listener.receive(|frame| shown.push(frame.to_vec()));
            (shown.len() >= expected.len()).then_some(())
        });
        assert_eq!(shown, expected);
        let told = listener.statistics();
        assert_eq!((told.packets, told.drops), (expected.len() as u64, 0));
    });
}

/// An Ethernet frame with this type and payload.
fn ethernet(kind: u16, payload: &[u8]) -> Vec<u8> {
    [&[2, 0, 0, 0, 0, 2, 2, 0, 0, 0, 0, 1][..], &kind.to_be_bytes(), payload].concat()
}

/// An IPv4 packet of this protocol, from 10.80.0.2 to 10.80.0.1.
fn ipv4(protocol: u8, payload: &[u8]) -> Vec<u8> {
    let length = (20 + payload.len()) as u16;
    let mut packet = vec![0x45, 0];
    packet.extend(length.to_be_bytes());
    packet.extend([0, 0, 0x40, 0, 64, protocol, 0, 0, 10, 80, 0, 2, 10, 80, 0, 1]);
    packet.extend(payload);
    packet
}

/// An IPv6 packet of this next header.
fn ipv6(next: u8, payload: &[u8]) -> Vec<u8> {
    let mut packet = vec![0x60, 0, 0, 0];
    packet.extend((payload.len() as u16).to_be_bytes());
    packet.extend([next, 255]);
    packet.extend([[0xfd; 16], [0xfe; 16]].concat());
    packet.extend(payload);
    packet
}

/// SCAN-7: of what stays with the kernel, the tap is shown what answers probes and requests.
#[test]
fn the_tap_is_shown_replies_and_errors_and_neighbours() {
    on_a_link("the filter of the tap", libc::IFF_TAP, |file, link| {
        let mut tap = Listener::open(link, &Listen::Tap).unwrap();
        let arp = |operation: u8| ethernet(0x0806, &[0, 1, 8, 0, 6, 4, 0, operation, 2, 0, 0, 0, 0, 1]);
        let icmp = |kind: u8| ethernet(0x0800, &ipv4(1, &[kind, 0, 0, 0, 0, 0, 0, 0]));
        let icmpv6 = |kind: u8| ethernet(0x86dd, &ipv6(58, &[kind, 0, 0, 0, 0, 0, 0, 0]));
        let wanted = [arp(2), icmp(0), icmp(3), icmp(11), icmpv6(1), icmpv6(3), icmpv6(129), icmpv6(136)];
        let others = [arp(1), icmp(8), icmp(5), icmpv6(128), icmpv6(133), icmpv6(134), icmpv6(135), icmpv6(137)];
        let segment = [0x01, 0xbb, 0xe1, 0x23, 0, 8, 0, 0];
        let foreign = [ethernet(0x0800, &ipv4(17, &segment)), ethernet(0x86dd, &ipv6(6, &segment))];
        let mut to_another = icmp(0);
        to_another[5] = 9;
        let last = icmp(0);
        let sent = [&others[..], &wanted, &foreign, &[to_another, last.clone()]].concat();
        sent.iter().for_each(|frame| file.write_all(frame).unwrap());
        // The first of those that are wanted is like the last.
        let mut shown = Vec::new();
        patiently(|| {
            tap.receive(|frame| shown.push(frame.to_vec()));
            (shown.len() > wanted.len()).then_some(())
        });
        assert_eq!(shown, [&wanted[..], &[last]].concat());
    });
}

/// SCAN-7: links without an Ethernet header carry packets as they are, both families, both ways.
#[test]
fn a_link_without_ethernet_carries_packets_as_they_are() {
    on_a_link("packets without Ethernet", libc::IFF_TUN, |file, link| {
        let mut port = PacketPort::open(link, &Listen::Window(WINDOW)).unwrap();
        let probe = [0xe1, 0x23, 0, 53, 0, 8, 0, 0];
        for packet in [ipv4(17, &probe), ipv6(17, &probe), ipv4(6, &probe)] {
            assert!(port.transmit(|room| {
                room[..packet.len()].copy_from_slice(&packet);
                packet.len()
            }));
            port.flush();
            let mut room = [0; 2048];
            let len = patiently(|| file.read(&mut room).ok());
            assert_eq!(room[..len], packet);
        }
        assert_eq!((port.sent().sent, port.sent().refused, port.is_holding_back()), (3, 0, false));
        let answer = [0, 53, 0xe1, 0x23, 0, 8, 0, 0];
        let (before, behind) = ([0, 53, 0xdf, 0xff, 0, 8, 0, 0], [0, 53, 0xf0, 0, 0, 8, 0, 0]);
        let wanted = [ipv4(17, &answer), ipv6(6, &answer), ipv6(17, &answer), ipv4(6, &answer)];
        let others = [ipv4(17, &before), ipv6(6, &behind), ipv4(1, &answer)];
        others.iter().chain(&wanted).for_each(|packet| file.write_all(packet).unwrap());
        let shown = shown_until(&mut port.listener, &wanted[3]);
        assert_eq!(shown, wanted);
    });
}

/// What goes out is not shown as if it had come, and what is as long as the link allows arrives whole.
#[test]
fn what_goes_out_is_not_heard_and_arrives_whole() {
    on_a_link("frames out", libc::IFF_TAP, |file, link| {
        let mut port = PacketPort::open(link, &Listen::Window(WINDOW)).unwrap();
        // To a port of the window, as a probe of that port would be.
        let segment = |len: usize| [&[0xe1, 0x23, 0xe1, 0x24, 0, 8, 0, 0][..], &vec![7; len - 8]].concat();
        let frames: Vec<_> = [8, 100, 1480].map(|len| ethernet(0x0800, &ipv4(17, &segment(len)))).to_vec();
        let mut put = |frame: &[u8]| {
            port.transmit(|room| {
                room[..frame.len()].copy_from_slice(frame);
                frame.len()
            })
        };
        assert!(put(&ethernet(0x0800, &ipv4(17, &segment(1481)))), "one byte more than the link carries");
        assert!(frames.iter().all(|frame| put(frame)));
        assert!(port.transmit(|_| 0) && port.transmit(|_| usize::MAX), "no frames");
        port.flush();
        for frame in &frames {
            let mut room = [0; 2048];
            let len = patiently(|| file.read(&mut room).ok());
            assert_eq!(room[..len], frame[..]);
        }
        assert_eq!(port.sent(), SendCounters { sent: 3, refused: 1, no_room: 0 });
        file.write_all(&frames[0]).unwrap();
        assert_eq!(shown_until(&mut port.listener, &frames[0]).len(), 1);
    });
}

/// SCAN-9: sockets of a group share what comes, all of a flow at one of them.
#[test]
fn several_sockets_share_what_comes_by_flow() {
    on_a_link("a group of packet sockets", libc::IFF_TAP, |file, link| {
        let mut ports = PacketPort::open_several(link, &Listen::Window(WINDOW), 3).unwrap();
        let flow = |number: u16| {
            let [high, low] = (WINDOW + number).to_be_bytes();
            ethernet(0x0800, &ipv4(17, &[0, 53, high, low, 0, 8, 0, 0]))
        };
        for _ in 0..2 {
            (0..200).for_each(|number| file.write_all(&flow(number)).unwrap());
        }
        let mut came: [Vec<Vec<u8>>; 3] = Default::default();
        patiently(|| {
            ports.iter_mut().zip(&mut came).for_each(|(port, came)| {
                port.receive(|frame| came.push(frame.to_vec()));
            });
            (came.iter().map(Vec::len).sum::<usize>() >= 400).then_some(())
        });
        for (number, port) in came.iter().enumerate() {
            assert!(!port.is_empty(), "socket {number} gets nothing");
            assert!(port.iter().all(|frame| port.iter().filter(|other| *other == frame).count() == 2));
        }
    });
}

/// SCAN-7: a link that is set down, or deleted, is told.
#[test]
fn a_link_that_goes_is_told() {
    on_a_link("a link that goes", libc::IFF_TAP, |_, link| {
        let mut port = PacketPort::open(link, &Listen::Window(WINDOW)).unwrap();
        assert_eq!(port.fault(), None);
        ip("link set dev packets down");
        assert_eq!(patiently(|| port.fault()), Fault::Down);
        let error = PacketPort::open(link, &Listen::Tap).unwrap_err();
        assert!(matches!(&error, PacketError::Down(name) if name == "packets"), "{error:?}");
        ip("link delete dev packets");
        let error = PacketPort::open(link, &Listen::Tap).unwrap_err();
        assert!(matches!(error, PacketError::Gone(_)), "{error:?}");
    });
}
