//! XDP-5, XDP-10: two devices whose kernels are played by the test, which carries frames from one to the other, loses some,
//! tears some, and answers calls as kernels do when they are busy, down, or gone.
#![cfg(target_os = "linux")]
#![allow(clippy::expect_used, reason = "a test that meets the unexpected should stop there")]

use std::cell::RefCell;
use std::collections::VecDeque;
use std::net::{IpAddr, SocketAddr};
use std::rc::Rc;

use proptest::collection::vec;
use proptest::prelude::*;
use wirehaul::xdp::UmemSize;
use wirehaul::xdp::paired::{self, KernelEnd};
use wirehaul_core::device::{Device, Ecn, Submitted, Transmit};
use wirehaul_core::hops::{KernelReason, NextHop, Way};
use wirehaul_core::time::Instant;
use wirehaul_core::xsk::{CONTINUED, Descriptor, Frames, Kick, Outside, Queue, Queues, XskDevice};

const SIZE: UmemSize = UmemSize { chunk_bytes: 2048, receive_frames: 32, transmit_frames: 16, chunks_per_transmit: 1 };
const JUMBO: UmemSize = UmemSize { chunk_bytes: 4096, chunks_per_transmit: 3, ..SIZE };
const ENTRIES: u32 = 32;
const MTU: u32 = 1500;
const MACS: [[u8; 6]; 2] = [[2, 0, 0, 0, 0, 1], [2, 0, 0, 0, 0, 2]];

/// The system of one end: what it answers is set by the test.
#[derive(Clone)]
struct System(Rc<RefCell<Answers>>);

struct Answers {
    way: Way,
    kick: Kick,
    kicks: usize,
    by_kernel: Vec<Vec<u8>>,
}

impl Outside for System {
    fn kick_transmit(&mut self, _: usize) -> Kick {
        let mut answers = self.0.borrow_mut();
        answers.kicks += 1;
        answers.kick
    }

    fn kick_receive(&mut self, _: usize) -> Kick {
        Kick::Done
    }

    fn way_to(&mut self, _: IpAddr) -> Way {
        self.0.borrow().way
    }

    fn submit_to_kernel(&mut self, _: &Transmit, datagram: &[u8]) -> Submitted {
        self.0.borrow_mut().by_kernel.push(datagram.to_vec());
        Submitted::Sent
    }
}

/// One of the two.
struct End<'m, 'p> {
    device: XskDevice<'m, 'p, System>,
    kernel: KernelEnd<'m>,
    answers: Rc<RefCell<Answers>>,
    address: SocketAddr,
}

impl<'m> End<'m, '_> {
    fn send(&mut self, remote: SocketAddr, datagram: &[u8], ecn: Ecn) -> Option<Submitted> {
        self.device.transmit_buffer()?.get_mut(..datagram.len())?.copy_from_slice(datagram);
        let (len, depart_at) = (datagram.len(), Instant::ZERO);
        Some(self.device.submit(&Transmit { remote, len, segment_bytes: len, ecn, depart_at }))
    }

    fn receive(&mut self) -> Vec<(SocketAddr, Ecn, Vec<u8>)> {
        let mut found = Vec::new();
        let count = self.device.receive(|received| {
            assert_eq!(received.stride, received.bytes.len());
            found.push((received.remote, received.ecn, received.bytes.to_vec()));
        });
        assert_eq!(count, found.len());
        found
    }

    /// Every frame is somewhere, and none is in the hands of anybody but the one that is being written.
    fn check(&self) {
        let found = self.device.whereabouts();
        assert!(found.held() <= 1, "{found:?}");
        assert_eq!(found.free + found.filled + found.sent + found.held(), found.frames);
    }

    /// Takes packets off the wire until there are none.
    fn drain(&mut self) -> Vec<Vec<u8>> {
        std::iter::from_fn(|| self.kernel.send()).collect()
    }
}

fn with_ends(size: UmemSize, addresses: [&str; 2], mtu: u32, run: impl FnOnce(&mut End<'_, '_>, &mut End<'_, '_>)) {
    let addresses = addresses.map(|text| text.parse::<SocketAddr>().expect("an address"));
    let answers = [0, 1].map(|own: usize| {
        let hop = NextHop {
            ether_source: MACS[own],
            ether_destination: MACS[1 - own],
            vlan: None,
            source: addresses[own].ip(),
            mtu,
        };
        let answers = Answers { way: Way::Direct(hop), kick: Kick::Done, kicks: 0, by_kernel: Vec::new() };
        Rc::new(RefCell::new(answers))
    });
    let [first, second] = answers;
    paired::with(size, ENTRIES, u32::MAX - 9, |frames, queue, kernel| {
        let device = build(System(Rc::clone(&first)), frames, queue, addresses[0]);
        let mut one = End { device, kernel, answers: Rc::clone(&first), address: addresses[0] };
        paired::with(size, ENTRIES, 7, |frames, queue, kernel| {
            let device = build(System(Rc::clone(&second)), frames, queue, addresses[1]);
            let mut two = End { device, kernel, answers: Rc::clone(&second), address: addresses[1] };
            run(&mut one, &mut two);
        })
        .expect("memory");
    })
    .expect("memory");
}

fn build<'m, 'p>(
    system: System,
    frames: Frames<'m, 'p>,
    queue: Queue<'m>,
    address: SocketAddr,
) -> XskDevice<'m, 'p, System> {
    let mut queues = Queues::new();
    assert!(queues.push(queue).is_ok());
    // Bound to every address, as a receiver is.
    let unspecified = if address.is_ipv4() { "0.0.0.0" } else { "::" }.parse::<IpAddr>().expect("an address");
    XskDevice::new(system, frames, queues, SocketAddr::new(unspecified, address.port()))
}

const V4: [&str; 2] = ["192.0.2.1:7420", "192.0.2.2:40000"];
const V6: [&str; 2] = ["[2001:db8::1]:7420", "[2001:db8::2]:40000"];

/// What happens to a datagram on its way.
#[derive(Clone, Copy, Debug)]
enum Fate {
    Arrives,
    Lost,
    Torn(usize),
    Strange(u8),
}

fn fate() -> impl Strategy<Value = Fate> {
    prop_oneof![
        8 => Just(Fate::Arrives),
        1 => Just(Fate::Lost),
        1 => (0_usize..60).prop_map(Fate::Torn),
        1 => any::<u8>().prop_map(Fate::Strange),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, ..ProptestConfig::default() })]

    /// Datagrams that the network carries arrive as they were sent, in order; what it tears is not taken for one; and no frame
    /// is lost, whatever share of completions come, and when.
    #[test]
    fn datagrams_arrive_as_they_were_sent(
        is_v6 in any::<bool>(),
        rounds in vec((vec((1_usize..1400, fate()), 0..20), 0_usize..40), 1..20),
    ) {
        with_ends(SIZE, if is_v6 { V6 } else { V4 }, MTU, |one, two| {
            let (from, to) = (one.address, two.address);
            let mut number = 0_u8;
            for (datagrams, completions) in rounds {
                let mut expected = VecDeque::new();
                for (len, fate) in datagrams {
                    number = number.wrapping_add(1);
                    let datagram: Vec<u8> = (0..len).map(|at| at as u8 ^ number).collect();
                    let ecn = [Ecn::NotEct, Ecn::Ect0, Ecn::Ect1, Ecn::Ce][usize::from(number % 4)];
                    match one.send(to, &datagram, ecn) {
                        Some(Submitted::Sent) => expected.push_back((fate, (from, ecn, datagram))),
                        None => break,
                        other => panic!("{other:?}"),
                    }
                    one.check();
                }
                one.device.flush();
                let on_wire = one.drain();
                assert_eq!(on_wire.len(), expected.len());
                let mut arrived = Vec::new();
                for (mut packet, (fate, datagram)) in on_wire.into_iter().zip(expected) {
                    match fate {
                        Fate::Arrives => {
                            if two.kernel.deliver(&packet) {
                                arrived.push(datagram);
                            }
                        }
                        Fate::Lost => {}
                        Fate::Torn(len) => drop(two.kernel.deliver(&packet[..len.min(packet.len() - 1)])),
                        // Another protocol, fragment, port: none of it is ours.
                        Fate::Strange(byte) => {
                            packet[12] ^= byte | 1;
                            two.kernel.deliver(&packet);
                        }
                    }
                }
                assert_eq!(two.receive(), arrived);
                one.kernel.complete(completions);
                one.device.flush();
                one.check();
                two.check();
            }
            // With the rest of the completions, every frame is free again.
            one.kernel.complete(usize::MAX);
            one.device.flush();
            assert_eq!(one.device.whereabouts().sent, 0);
            assert_eq!((one.device.faults(), two.device.faults()), ((0, 0), (0, 0)));
        });
    }
}

/// Without completions the device has no room, says so, and goes on when its sockets were opened anew (XDP-10).
#[test]
fn lost_completions_stop_nothing_for_good() {
    with_ends(SIZE, V4, MTU, |one, two| {
        let to = two.address;
        let mut sent = 0;
        while one.send(to, b"hello", Ecn::NotEct) == Some(Submitted::Sent) {
            sent += 1;
        }
        assert_eq!(sent, SIZE.transmit_frames);
        one.device.flush();
        assert_eq!(one.drain().len() as u32, SIZE.transmit_frames);
        while one.kernel.lose_completion().is_some() {}
        one.device.flush();
        assert!(one.device.transmit_buffer().is_none() && !one.device.has_frames_to_send());
        one.device.put_up(Queues::new());
        assert_eq!(one.device.whereabouts().free, SIZE.transmit_frames + SIZE.receive_frames);
        assert!(one.device.has_frames_to_send());
        // While there is no queue, datagrams go through the kernel's socket.
        assert_eq!(one.send(to, b"by the kernel", Ecn::NotEct), Some(Submitted::Sent));
        assert_eq!(one.answers.borrow().by_kernel, [b"by the kernel"]);
    });
}

#[test]
fn calls_are_repeated_only_while_the_kernel_takes_something() {
    with_ends(SIZE, V4, MTU, |one, two| {
        one.kernel.set_need_wakeup(true);
        for (kick, kicks) in [(Kick::Done, 1), (Kick::Again, 1), (Kick::Down, 1), (Kick::Failed, 1)] {
            one.answers.borrow_mut().kick = kick;
            one.answers.borrow_mut().kicks = 0;
            assert_eq!(one.send(two.address, b"hello", Ecn::NotEct), Some(Submitted::Sent));
            one.device.flush();
            assert_eq!(one.answers.borrow().kicks, kicks, "{kick:?}");
            assert!(one.device.is_holding_back());
        }
        let counters = one.device.counters();
        assert_eq!((counters.again, counters.down, counters.failed), (1, 1, 1));
        assert!(!one.device.is_unbound());
        one.answers.borrow_mut().kick = Kick::Unbound;
        one.send(two.address, b"hello", Ecn::NotEct);
        one.device.flush();
        assert!(one.device.is_unbound());
        // What the kernel takes by itself is not held back, and needs no call.
        assert_eq!(one.drain().len(), 5);
        assert!(!one.device.is_holding_back());
        one.kernel.set_need_wakeup(false);
        one.answers.borrow_mut().kicks = 0;
        one.send(two.address, b"hello", Ecn::NotEct);
        one.device.flush();
        assert_eq!(one.answers.borrow().kicks, 0);
    });
}

#[test]
fn what_does_not_go_through_the_queues_goes_through_the_kernel_or_is_said_to_go_nowhere() {
    with_ends(SIZE, V4, MTU, |one, two| {
        one.answers.borrow_mut().way = Way::Kernel(KernelReason::Unresolved);
        assert_eq!(one.send(two.address, b"who has it?", Ecn::NotEct), Some(Submitted::Sent));
        assert_eq!(one.answers.borrow().by_kernel, [b"who has it?"]);
        one.answers.borrow_mut().way = Way::Unreachable;
        assert_eq!(one.send(two.address, b"nobody", Ecn::NotEct), Some(Submitted::Unreachable));
        one.device.flush();
        assert!(one.drain().is_empty());
        let counters = one.device.counters();
        assert_eq!((counters.by_kernel, counters.unreachable, counters.datagrams_sent), (1, 1, 0));
        one.check();
    });
}

#[test]
fn a_datagram_is_as_long_as_the_hop_carries_and_no_longer() {
    for (addresses, headers) in [(V4, 28), (V6, 48)] {
        with_ends(SIZE, addresses, MTU, |one, two| {
            let most = MTU as usize - headers;
            assert_eq!(one.send(two.address, &vec![1; most], Ecn::NotEct), Some(Submitted::Sent));
            assert_eq!(one.send(two.address, &vec![1; most + 1], Ecn::NotEct), Some(Submitted::TooBig));
            one.device.flush();
            assert_eq!(one.drain().iter().map(Vec::len).collect::<Vec<_>>(), [14 + MTU as usize]);
            assert_eq!(one.device.counters().too_big, 1);
        });
    }
}

/// Packets that do not fit into one chunk: sent from one buffer over several, gathered where they arrive (XDP-4).
#[test]
fn jumbo_frames_go_over_several_chunks() {
    with_ends(JUMBO, V4, 9000, |one, two| {
        for len in [4000, 4096 - 42 - 128, 4096, 8972, 100, 8000] {
            let datagram: Vec<u8> = (0..len).map(|at| (at / 7) as u8).collect();
            assert_eq!(one.send(two.address, &datagram, Ecn::Ect0), Some(Submitted::Sent));
            one.device.flush();
            let packet = one.kernel.send().expect("a packet");
            assert_eq!(packet.len(), len + 42);
            assert!(two.kernel.deliver(&packet));
            assert_eq!(two.receive(), [(one.address, Ecn::Ect0, datagram)]);
            one.kernel.complete(usize::MAX);
            one.device.flush();
            assert_eq!((one.device.whereabouts().sent, one.device.faults()), (0, (0, 0)));
            two.check();
        }
    });
}

/// A packet whose end never comes holds one frame, and those behind it still arrive.
#[test]
fn a_torn_jumbo_frame_does_no_harm() {
    with_ends(JUMBO, V4, 9000, |one, two| {
        let chunk = two.kernel.lose_filled().expect("a chunk that waits");
        assert!(two.kernel.claim_received(Descriptor { address: chunk + 256, len: 3000, options: CONTINUED }));
        assert!(two.receive().is_empty());
        two.check();
        let mut arrived = 0;
        for _ in 0..3 {
            one.send(two.address, b"good", Ecn::NotEct);
            one.device.flush();
            two.kernel.deliver(&one.kernel.send().expect("a packet"));
            arrived += two.receive().len();
        }
        // The first of them ended the torn packet, and was lost with it.
        assert_eq!(arrived, 2);
        assert_eq!(two.device.whereabouts().held(), 0);
    });
}
