//! One queue at each end: XDP-4, XDP-6, XDP-10.

use std::time::Duration;

use wirehaul::xdp::{Mode, Port};
use wirehaul_core::xsk::Kick;

use crate::wire::{
    NAMES, address, assert_conserved, both, datapath, frame, ip, number_of, on_a_wire, payload, payload_of, put,
    receive, until,
};

const MODES: [Mode; 2] = [Mode::Copy, Mode::Generic];
/// Entries of each ring of a port.
const ENTRIES: u32 = 2048;

/// SEND_RECEIVE: packets of every length arrive as they were, in their order, behind the headroom that the kernel keeps.
#[test]
fn packets_of_every_length_arrive_as_they_were() {
    on_a_wire("packets of every length", 1500, 1, || {
        for mode in MODES {
            let [mut here, mut there] = both(mode);
            for lengths in [4..700, 700..1473] {
                let sent: Vec<_> = lengths.map(|len| payload(len as u32, len)).collect();
                assert!(sent.iter().all(|payload| put(&mut here, &frame(0, payload))));
                until(|| here.flush() == Kick::Done && here.whereabouts().sent == 0);
                let mut came = Vec::new();
                until(|| {
                    there.receive(64, |frame| {
                        assert!(frame.as_ptr().addr() % 2048 >= 256, "in front of the headroom");
                        came.push(payload_of(frame));
                    });
                    came.len() == sent.len()
                });
                assert_eq!(came, sent);
            }
            [&mut here, &mut there].into_iter().for_each(assert_conserved);
        }
    });
}

/// BIDIRECTIONAL: both ends send at once.
#[test]
fn both_ends_send_at_once() {
    on_a_wire("both ends at once", 1500, 1, || {
        for mode in MODES {
            let mut ports = both(mode);
            let mut next = [[0_u32; 2]; 2];
            until(|| {
                for end in [0, 1] {
                    while next[end][0] < 5000 && next[end][0] < next[1 - end][1] + 500 {
                        if !put(&mut ports[end], &frame(end, &payload(next[end][0], 100))) {
                            break;
                        }
                        next[end][0] += 1;
                    }
                    ports[end].flush();
                    ports[end].receive(64, |frame| {
                        assert_eq!(number_of(&payload_of(frame)), next[end][1]);
                        next[end][1] += 1;
                    });
                }
                next == [[5000; 2]; 2]
            });
            for port in &mut ports {
                assert_conserved(port);
            }
        }
    });
}

/// RX_FULL, FILL_EMPTY, statistics: nobody receives. As many packets as there are frames come later, the first that were sent; the
/// kernel counted the others.
#[test]
fn what_nobody_receives_is_dropped_and_counted() {
    on_a_wire("a receiver that does not receive", 1500, 1, || {
        for mode in MODES {
            let [mut here, mut there] = both(mode);
            let count = ENTRIES + 700;
            for number in 0..count {
                until(|| {
                    here.flush();
                    put(&mut here, &frame(0, &payload(number, 60)))
                });
            }
            assert_conserved(&mut here);
            let lost = |port: &Port| {
                let told = port.statistics();
                told.rx_ring_full + told.rx_fill_ring_empty + told.rx_dropped
            };
            until(|| lost(&there) >= 700);
            assert_eq!(there.whereabouts().filled, ENTRIES, "all are with the kernel");
            let came = receive(&mut there, ENTRIES as usize);
            let numbers: Vec<_> = came.iter().map(|frame| number_of(&payload_of(frame))).collect();
            assert_eq!(numbers, (0..ENTRIES).collect::<Vec<_>>());
            assert_eq!(lost(&there), 700, "{:?}", there.statistics());
            // Nothing is stuck.
            assert!(put(&mut here, &frame(0, &payload(count, 60))));
            here.flush();
            assert_eq!(number_of(&payload_of(&receive(&mut there, 1)[0])), count);
            [&mut here, &mut there].into_iter().for_each(assert_conserved);
        }
    });
}

/// TX full: the ring takes as many as it has entries, no call and no frame is lost, and all of them leave.
#[test]
fn a_full_transmit_ring_takes_no_more_and_loses_nothing() {
    on_a_wire("a full transmit ring", 1500, 1, || {
        for mode in MODES {
            let [mut here, mut there] = both(mode);
            let put_in =
                (0..ENTRIES + 100).take_while(|number| put(&mut here, &frame(0, &payload(*number, 40)))).count();
            assert_eq!(put_in as u32, ENTRIES);
            let at = here.whereabouts();
            assert_eq!((at.sent, at.held()), (ENTRIES, 0), "{at:?}");
            assert_conserved(&mut here);
            let came = receive(&mut there, put_in);
            assert!(came.iter().zip(0..).all(|(frame, number)| number_of(&payload_of(frame)) == number));
            assert_conserved(&mut there);
        }
    });
}

/// Frames without a packet in them, and lengths beyond the frame, are refused and given back.
#[test]
fn lengths_that_make_no_packet_leave_the_frame_where_it_was() {
    on_a_wire("lengths that make no packet", 1500, 1, || {
        let [mut here, _there] = both(Mode::Copy);
        for len in [2049, 4096, usize::MAX] {
            assert!(!here.transmit(|_| len), "{len}");
        }
        assert_conserved(&mut here);
    });
}

/// POLL_RX, wake-up: who waits is woken by a packet, and by nothing else before the time is over.
#[test]
fn who_waits_is_woken() {
    on_a_wire("waiting for a packet", 1500, 1, || {
        let [mut here, mut there] = both(Mode::Copy);
        // What the kernel itself sends on a new link is not for this port.
        there.wait(20).unwrap();
        assert_eq!(there.receive(64, |_| ()), 0);
        for number in 0..50 {
            assert!(put(&mut here, &frame(0, &payload(number, 100))));
            here.flush();
            there.wait(10_000).unwrap();
            let mut numbers = Vec::new();
            there.receive(64, |frame| numbers.push(number_of(&payload_of(frame))));
            assert_eq!(numbers, [number]);
        }
        [&mut here, &mut there].into_iter().for_each(assert_conserved);
    });
}

/// Packets to other ports, and other packets, are the kernel's (XDP-8): a socket of the kernel gets them while the port gets its own.
#[test]
fn what_is_for_others_reaches_the_kernel() {
    on_a_wire("packets for others", 1500, 1, || {
        for mode in MODES {
            let [mut here, mut there] = both(mode);
            let mut other = address(1);
            other.set_port(9);
            let socket = std::net::UdpSocket::bind(other).unwrap();
            socket.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
            let mut to_other = frame(0, b"for the kernel");
            to_other[36..38].copy_from_slice(&9_u16.to_be_bytes());
            // No checksum, which IPv4 allows: the port was changed.
            to_other[40..42].fill(0);
            assert!(put(&mut here, &to_other) && put(&mut here, &frame(0, &payload(5, 50))));
            here.flush();
            let mut room = [0; 100];
            let (len, from) = socket.recv_from(&mut room).unwrap();
            assert_eq!((&room[..len], from), (&b"for the kernel"[..], address(0)));
            assert_eq!(number_of(&payload_of(&receive(&mut there, 1)[0])), 5);
            [&mut here, &mut there].into_iter().for_each(assert_conserved);
        }
    });
}

/// Packets that come are sent back as they are, without a copy: their frames go from one ring to the other and back.
#[test]
fn frames_that_came_are_sent_on() {
    on_a_wire("packets that are sent back", 1500, 1, || {
        for mode in MODES {
            let [mut here, mut there] = both(mode);
            let (mut next, mut back) = (0, 0);
            until(|| {
                while next < 6000 && next < back + 256 && put(&mut here, &frame(0, &payload(next, 300))) {
                    next += 1;
                }
                here.flush();
                let (came, went) = there.forward(|frame| {
                    turn_round(frame);
                    true
                });
                assert!(went <= came);
                there.flush();
                here.receive(64, |frame| {
                    assert_eq!(number_of(&payload_of(frame)), back);
                    back += 1;
                });
                back == 6000
            });
            let at = there.whereabouts();
            assert_eq!(at.held(), 0, "{at:?}");
            [&mut here, &mut there].into_iter().for_each(assert_conserved);
        }
    });
}

/// Sends it back: who it is for becomes who it is from. No checksum changes by that.
fn turn_round(frame: &mut [u8]) {
    for (first, second, len) in [(0, 6, 6), (26, 30, 4), (34, 36, 2)] {
        (0..len).for_each(|at| frame.swap(first + at, second + at));
    }
}

/// XDP-10: a link that is down, and one that is deleted, are told from each other; frames come back in both cases.
#[test]
fn links_that_are_down_or_gone_are_told() {
    on_a_wire("links that are down or gone", 1500, 1, || {
        let [mut here, mut there] = both(Mode::Copy);
        ip(&format!("link set dev {} down", NAMES[0]));
        assert!(put(&mut here, &frame(0, &payload(1, 50))));
        assert_eq!(here.flush(), Kick::Down);
        ip(&format!("link set dev {} up", NAMES[0]));
        // What was in the ring leaves now, or was dropped with the link; what is sent from now on arrives.
        until(|| {
            put(&mut here, &frame(0, &payload(2, 50)));
            here.flush();
            let mut found = false;
            there.receive(64, |frame| found |= number_of(&payload_of(frame)) == 2);
            found
        });
        [&mut here, &mut there].into_iter().for_each(assert_conserved);
        ip(&format!("link delete dev {}", NAMES[0]));
        put(&mut here, &frame(0, &payload(3, 50)));
        assert_eq!(here.flush(), Kick::Unbound);
    });
}

/// Multi-buffer: packets of any length up to 9000 bytes, in as many chunks of 4096 bytes as they need. (On veth, the generic mode
/// leaves them to the kernel.)
#[test]
fn long_packets_come_in_several_chunks() {
    on_a_wire("packets in several chunks", 9000, 1, || {
        let [mut here, mut there] = both(Mode::Copy);
        let lengths = (3700..3900).step_by(7).chain((7600..7800).step_by(7)).chain([4, 1500, 8000, 9000 - 28]);
        for (len, number) in lengths.zip(0..) {
            let sent = frame(0, &payload(number, len));
            assert!(put(&mut here, &sent));
            until(|| here.flush() == Kick::Done && here.whereabouts().sent == 0);
            let (mut came, mut chunks) = (Vec::new(), 0);
            until(|| {
                chunks += there.receive(64, |chunk| came.extend_from_slice(chunk));
                came.len() >= sent.len()
            });
            assert_eq!(came, sent, "{len}");
            assert_eq!(chunks, sent.len().div_ceil(4096 - 256), "{len}");
        }
        [&mut here, &mut there].into_iter().for_each(assert_conserved);
    });
}

/// 2K and 4K chunks: what an MTU needs.
#[test]
fn chunks_are_as_large_as_packets_are_long() {
    for (mtu, chunk) in [(1500, 2048), (1750, 2048), (1751, 4096), (3400, 4096)] {
        on_a_wire("chunks of 2048 and 4096 bytes", mtu, 1, move || {
            let [mut here, mut there] = both(Mode::Copy);
            let len = mtu as usize - 28;
            assert!(put(&mut here, &frame(0, &payload(1, len))));
            here.flush();
            assert_eq!(payload_of(&receive(&mut there, 1)[0]), payload(1, len));
            let mut room = 0;
            assert!(put(&mut here, &[0; 60]));
            here.transmit(|slot| {
                room = slot.len();
                60
            });
            assert_eq!(room, chunk);
        });
    }
}

/// Teardown: a port that is dropped gives its queue back; the next one has it at once, in another mode too.
#[test]
fn a_queue_is_had_again_when_its_port_is_dropped() {
    on_a_wire("queues that are given back", 1500, 1, || {
        for mode in [MODES, [Mode::Generic, Mode::Copy]].concat() {
            let first = datapath(0, mode);
            let port = first.port(0).unwrap();
            let error = first.port(0).unwrap_err().to_string();
            assert!(error.contains("queue 0 is used by another AF_XDP socket"), "{error}");
            drop((first, port));
        }
    });
}

/// A queue that the interface does not have.
#[test]
fn a_queue_that_is_not_there_is_said() {
    on_a_wire("a queue that is not there", 1500, 1, || {
        let error = datapath(0, Mode::Copy).port(7).unwrap_err().to_string();
        assert!(error.contains("queue 7") && error.contains("ethtool -l"), "{error}");
    });
}
