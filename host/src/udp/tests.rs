//! Over loopback, with and without segmentation, over IPv4, IPv6 and both at once.

use std::os::fd::AsFd;
use std::sync::Mutex;

use nix::sys::eventfd::EventFd;
use wirehaul_core::pool::Sizing;
use wirehaul_core::time::{Duration, Instant};

use super::*;

const SECOND: Duration = Duration::from_secs(1);

fn device(local: &str, segmentation: bool) -> UdpDevice {
    let options = Options { segmentation, ..Options::default() };
    UdpDevice::bind(local.parse().unwrap(), &options).unwrap()
}

fn transmit(remote: SocketAddr, len: usize, segment_bytes: usize, ecn: Ecn) -> Transmit {
    Transmit { remote, len, segment_bytes, ecn, depart_at: Instant::ZERO }
}

/// Writes `bytes` as a run and submits it, split as far as the device wants it split.
fn send(device: &mut UdpDevice, remote: SocketAddr, bytes: &[u8], segment_bytes: usize, ecn: Ecn) {
    let per_run = device.max_segments() * segment_bytes;
    for run in bytes.chunks(per_run.min(40 * segment_bytes)) {
        device.transmit_buffer().unwrap()[..run.len()].copy_from_slice(run);
        assert_eq!(device.submit(&transmit(remote, run.len(), segment_bytes, ecn)), Submitted::Sent);
    }
    device.flush();
}

/// A datagram as it arrived.
#[derive(Debug, PartialEq, Eq)]
struct Arrived {
    remote: SocketAddr,
    ecn: Ecn,
    bytes: Vec<u8>,
}

/// Receives until `count` datagrams are there, or a second passes without any.
fn receive(device: &mut UdpDevice, count: usize) -> Vec<Arrived> {
    let idle = EventFd::new().unwrap();
    let mut arrived = Vec::new();
    while arrived.len() < count {
        if !device.wait_for(&[idle.as_fd()], Some(SECOND)).unwrap().readable {
            break;
        }
        let before = arrived.len();
        let said = device.receive(|received| {
            for bytes in received.bytes.chunks(received.stride) {
                arrived.push(Arrived { remote: received.remote, ecn: received.ecn, bytes: bytes.to_vec() });
            }
        });
        assert_eq!(said, arrived.len() - before);
    }
    arrived
}

fn pattern(bytes: usize) -> Vec<u8> {
    (0..bytes).map(|n| (n / 7) as u8).collect()
}

/// Datagrams with a short last one, there and back, with both ECN codepoints.
fn exchange(mut one: UdpDevice, mut two: UdpDevice, one_from_two: SocketAddr, two_from_one: SocketAddr) {
    one_way(&mut one, &mut two, two_from_one, one_from_two, Ecn::Ect0);
    one_way(&mut two, &mut one, one_from_two, two_from_one, Ecn::Ce);
}

/// Sends to `remote`; all must arrive whole, in order and from `seen`.
fn one_way(sender: &mut UdpDevice, receiver: &mut UdpDevice, remote: SocketAddr, seen: SocketAddr, ecn: Ecn) {
    let bytes = pattern(100 * 1472 + 99);
    send(sender, remote, &bytes, 1472, ecn);
    let arrived = receive(receiver, 101);
    assert_eq!(arrived.len(), 101);
    assert_eq!(arrived.iter().flat_map(|datagram| datagram.bytes.clone()).collect::<Vec<_>>(), bytes);
    assert!(arrived.iter().all(|datagram| datagram.remote == seen && datagram.ecn == ecn), "{:?}", arrived[0]);
    assert!(arrived[..100].iter().all(|datagram| datagram.bytes.len() == 1472));
    assert_eq!(sender.counters().datagrams_sent, 101);
    assert_eq!(receiver.counters().datagrams_received, 101);
}

/// Whether this machine has IPv6 on its loopback interface; a container may not.
fn has_ipv6() -> bool {
    static SAID: Mutex<bool> = Mutex::new(false);
    let has = UdpSocket::bind("[::1]:0").is_ok();
    if !has && !std::mem::replace(&mut *SAID.lock().unwrap(), true) {
        assert!(!required("net"), "WIREHAUL_REQUIRE names net, and this machine has no IPv6 loopback");
        eprintln!("skipped: no IPv6 on the loopback interface");
    }
    has
}

fn required(what: &str) -> bool {
    std::env::var("WIREHAUL_REQUIRE").is_ok_and(|list| list.split(',').any(|item| item == what))
}

#[test]
fn ipv4_with_and_without_segmentation() {
    for segmentation in [true, false] {
        let (one, two) = (device("127.0.0.1:0", segmentation), device("127.0.0.1:0", segmentation));
        let (a, b) = (one.local_addr(), two.local_addr());
        exchange(one, two, a, b);
    }
}

#[test]
fn ipv6_with_and_without_segmentation() {
    if !has_ipv6() {
        return;
    }
    for segmentation in [true, false] {
        let (one, two) = (device("[::1]:0", segmentation), device("[::1]:0", segmentation));
        let (a, b) = (one.local_addr(), two.local_addr());
        exchange(one, two, a, b);
    }
}

#[test]
fn a_dual_stack_socket_speaks_both_and_names_ipv4_peers_as_ipv4() {
    if !has_ipv6() {
        return;
    }
    for segmentation in [true, false] {
        for family in ["127.0.0.1", "::1"] {
            let (one, two) = (device("[::]:0", segmentation), device("[::]:0", segmentation));
            let on = |device: &UdpDevice| SocketAddr::new(family.parse().unwrap(), device.local_addr().port());
            let (a, b) = (on(&one), on(&two));
            exchange(one, two, a, b);
        }
    }
}

/// 127.0.0.2 is no address that the routing table would choose for an answer to 127.0.0.1.
#[test]
fn an_answer_leaves_from_the_address_that_was_asked() {
    for wildcard in ["0.0.0.0:0", "[::]:0"] {
        for segmentation in [true, false] {
            let mut server = device(wildcard, segmentation);
            let mut client = device("127.0.0.1:0", segmentation);
            let asked = SocketAddr::new("127.0.0.2".parse().unwrap(), server.local_addr().port());
            send(&mut client, asked, b"question", 1472, Ecn::NotEct);
            let question = receive(&mut server, 1);
            send(&mut server, question[0].remote, b"answer", 1472, Ecn::NotEct);
            let answer = receive(&mut client, 1);
            assert_eq!((answer[0].remote, &answer[0].bytes[..]), (asked, &b"answer"[..]));
        }
    }
}

#[test]
fn a_source_address_that_is_gone_costs_neither_the_datagram_nor_segmentation() {
    for segmentation in [true, false] {
        let mut server = device("0.0.0.0:0", segmentation);
        let mut client = device("127.0.0.1:0", segmentation);
        // As if the client had once talked to an address that this host no longer has (TEST-NET-1, RFC 5737).
        server.carrier.sources.heard(client.local_addr(), Some("192.0.2.1".parse().unwrap()));
        send(&mut server, client.local_addr(), b"answer", 1472, Ecn::NotEct);
        assert_eq!(receive(&mut client, 1)[0].bytes, b"answer");
        assert_eq!(server.transport_name(), if segmentation { "udp-gso" } else { "udp" });
        assert_eq!(server.counters().send_errors, 0);
    }
}

#[test]
fn the_transport_is_named_after_what_it_does() {
    assert_eq!(device("127.0.0.1:0", false).transport_name(), "udp");
    assert_eq!(device("127.0.0.1:0", false).max_segments(), 1);
    let segmented = device("127.0.0.1:0", true);
    // Every kernel since 4.18 has it.
    assert_eq!((segmented.transport_name(), segmented.max_segments()), ("udp-gso", MAX_SEGMENTS));
}

#[test]
fn a_refused_segmentation_goes_on_without_and_loses_nothing() {
    let (mut one, mut two) = (device("127.0.0.1:0", true), device("127.0.0.1:0", true));
    let bytes = pattern(44 * 1472);
    one.transmit_buffer().unwrap()[..bytes.len()].copy_from_slice(&bytes);
    let run = transmit(two.local_addr(), bytes.len(), 1472, Ecn::Ect0);
    assert_eq!(one.give_up_segmentation(&run), Submitted::Sent);
    assert_eq!((one.transport_name(), one.counters().segmentation_refused), ("udp", 1));
    let arrived = receive(&mut two, 44);
    assert_eq!(arrived.iter().flat_map(|datagram| datagram.bytes.clone()).collect::<Vec<_>>(), bytes);
    send(&mut one, two.local_addr(), b"next", 1472, Ecn::Ect0);
    assert_eq!(receive(&mut two, 1)[0].bytes, b"next");
}

#[test]
fn no_way_to_a_destination_is_said_and_does_not_stop_the_rest() {
    for segmentation in [true, false] {
        let mut one = device("127.0.0.1:0", segmentation);
        let mut two = device("127.0.0.1:0", segmentation);
        // A socket bound to loopback has no way out, and an IPv4 socket none to IPv6.
        for remote in ["192.0.2.1:9", "[2001:db8::1]:9"] {
            let run = transmit(remote.parse().unwrap(), 100, 100, Ecn::NotEct);
            let before = one.counters().unreachable + one.counters().send_errors;
            one.transmit_buffer().unwrap();
            let first = one.submit(&run);
            one.flush();
            // Without segmentation the verdict comes with the next submit.
            one.transmit_buffer().unwrap();
            let second = one.submit(&transmit(two.local_addr(), 100, 100, Ecn::NotEct));
            one.flush();
            assert_eq!(one.counters().unreachable + one.counters().send_errors, before + 1, "{remote}");
            assert!(remote.starts_with("192") || [first, second].contains(&Submitted::Unreachable), "{remote}");
            assert_eq!(receive(&mut two, 1).len(), 1);
        }
    }
}

/// Runs `test` in a network namespace of its own, whose loopback interface has an MTU of 1500.
#[cfg(target_os = "linux")]
fn with_a_short_loopback(test: fn()) {
    std::thread::spawn(move || {
        let ip = |arguments: &[&str]| {
            std::process::Command::new("ip").args(arguments).status().is_ok_and(|status| status.success())
        };
        if nix::sched::unshare(nix::sched::CloneFlags::CLONE_NEWNET).is_err()
            || !ip(&["link", "set", "lo", "mtu", "1500", "up"])
        {
            assert!(!required("net"), "WIREHAUL_REQUIRE names net, and no network namespace can be made here");
            eprintln!("skipped: making a network namespace takes root and the ip command");
            return;
        }
        test();
    })
    .join()
    .unwrap();
}

#[cfg(target_os = "linux")]
#[test]
fn datagrams_beyond_the_mtu_are_counted_and_segmentation_stays() {
    with_a_short_loopback(|| {
        for segmentation in [true, false] {
            let mut one = device("127.0.0.1:0", segmentation);
            let mut two = device("127.0.0.1:0", segmentation);
            let before = one.transport_name();
            // A probe of the path's MTU, and a whole run laid out for a link that has since shrunk.
            for count in [1, if segmentation { 10 } else { 1 }] {
                one.transmit_buffer().unwrap();
                let run = transmit(two.local_addr(), count * 1473, 1473, Ecn::Ect0);
                // Single datagrams leave later: of them it is only counted.
                let said = if segmentation { Submitted::TooBig } else { Submitted::Sent };
                assert_eq!(one.submit(&run), said);
                one.flush();
            }
            assert_eq!(one.counters().too_big, if segmentation { 11 } else { 2 });
            assert_eq!((one.counters().segmentation_refused, one.transport_name()), (0, before));
            send(&mut one, two.local_addr(), &pattern(10 * 1472), 1472, Ecn::Ect0);
            let arrived = receive(&mut two, 10);
            assert_eq!(arrived.len(), 10);
            assert!(arrived.iter().all(|datagram| datagram.ecn == Ecn::Ect0), "marking was lost to the error");
        }
    });
}

#[test]
fn a_run_beyond_the_buffer_is_refused() {
    for segmentation in [true, false] {
        let mut one = device("127.0.0.1:0", segmentation);
        let remote = one.local_addr();
        let len = one.transmit_buffer().unwrap().len() + 1;
        assert_eq!(one.submit(&transmit(remote, len, len, Ecn::NotEct)), Submitted::Full);
    }
}

#[test]
fn empty_runs_are_no_panic() {
    for segmentation in [true, false] {
        let mut one = device("127.0.0.1:0", segmentation);
        let remote = one.local_addr();
        for (len, segment_bytes) in [(0, 0), (0, 100), (100, 0)] {
            assert_eq!(one.submit(&transmit(remote, len, segment_bytes, Ecn::NotEct)), Submitted::Sent);
        }
        one.flush();
        assert_eq!(one.counters().datagrams_sent, 0);
        assert_eq!(one.receive(|_| panic!("nothing was sent")), 0);
    }
}

#[test]
fn what_the_kernel_has_no_room_for_is_held_back() {
    let (mut two, bytes) = (device("127.0.0.1:0", true), pattern(40 * 1472));
    for segmentation in [true, false] {
        let mut one = device("127.0.0.1:0", segmentation);
        let remote = two.local_addr();
        // Loopback delivers at once, so a full send buffer is played: the run is put where a refusal would leave it.
        match &mut one.path {
            TransmitPath::Segmented(run) => {
                run.buffer(&mut one.buffers).unwrap()[..bytes.len()].copy_from_slice(&bytes);
                run.hold_for_test(transmit(remote, bytes.len(), 1472, Ecn::NotEct));
            }
            TransmitPath::Single(batch) => {
                for datagram in bytes.chunks(1472) {
                    batch.slot(&mut one.buffers).unwrap()[..1472].copy_from_slice(datagram);
                    assert_eq!(batch.submit(&transmit(remote, 1472, 1472, Ecn::NotEct)), Submitted::Sent);
                }
                batch.hold_for_test();
            }
        }
        assert!(one.is_holding_back());
        let idle = EventFd::new().unwrap();
        assert!(one.wait_for(&[idle.as_fd()], Some(SECOND)).unwrap().writable, "room was not waited for");
        assert!(one.transmit_buffer().is_some(), "what was held back was not sent again");
        assert!(!one.is_holding_back());
        assert_eq!(receive(&mut two, 40).len(), 40);
    }
}

#[test]
fn without_a_buffer_nothing_is_received_or_sent_until_there_is_one() {
    for segmentation in [true, false] {
        let pool = crate::pools::lasting(&Sizing { slots_per_session: 2, slot_bytes: 65_536, ..Sizing::new(1, 1) });
        let pool = pool.unwrap();
        let options = Options { segmentation, buffers: Some(pool), ..Options::default() };
        let mut one = UdpDevice::bind("127.0.0.1:0".parse().unwrap(), &options).unwrap();
        let mut two = device("127.0.0.1:0", true);
        send(&mut two, one.local_addr(), &pattern(1472), 1472, Ecn::NotEct);
        let taken = [pool.take(), pool.take()];
        assert!(taken.iter().all(Option::is_some) && one.transmit_buffer().is_none());
        assert_eq!(one.receive(|_| panic!("there is no buffer to receive into")), 0);
        assert_eq!((one.counters().without_buffer, one.counters().receive_errors), (2, 0));
        assert!(one.pool().stats().exhausted >= 2);
        drop(taken);
        assert_eq!(receive(&mut one, 1).len(), 1);
        send(&mut one, two.local_addr(), &pattern(1472), 1472, Ecn::NotEct);
        assert_eq!(receive(&mut two, 1).len(), 1);
        drop(one);
        assert_eq!(pool.stats().in_use(), 0);
    }
}

#[test]
fn a_pool_of_small_slots_serves_no_device() {
    let pool = crate::pools::lasting(&Sizing::new(1, 1)).unwrap();
    let options = Options { buffers: Some(pool), ..Options::default() };
    let refused = UdpDevice::bind("127.0.0.1:0".parse().unwrap(), &options);
    assert!(matches!(refused, Err(BindError::Buffers)));
}

#[test]
fn a_wait_ends_by_the_other_descriptor_and_by_time() {
    let one = device("127.0.0.1:0", true);
    let event = EventFd::new().unwrap();
    let clock = Clock::start();
    assert_eq!(one.wait_for(&[event.as_fd()], Some(Duration::from_micros(1500))).unwrap(), Ready::default());
    assert!(clock.now().as_nanos() >= 1_500_000);
    event.write(1).unwrap();
    let ready = one.wait_for(&[event.as_fd()], None).unwrap();
    assert_eq!(ready, Ready { extra: true, ..Ready::default() });
}

#[test]
fn buffers_and_drops_are_reported() {
    let options = Options { receive_buffer_bytes: 64 << 10, ..Options::default() };
    let mut small = UdpDevice::bind("127.0.0.1:0".parse().unwrap(), &options).unwrap();
    assert_eq!(small.buffer_bytes().receive, 64 << 10);
    assert!(small.buffer_bytes().send > 0);
    let mut sender = device("127.0.0.1:0", false);
    send(&mut sender, small.local_addr(), &pattern(400 * 1472), 1472, Ecn::NotEct);
    let arrived = receive(&mut small, 400).len() as u64;
    if cfg!(target_os = "linux") {
        assert!(arrived < 400);
        assert_eq!(small.receive_overflows(), Some(400 - arrived));
    }
}

#[cfg(target_os = "linux")]
#[test]
fn runs_with_departure_times_arrive_whole() {
    for (local, segmentation) in [("127.0.0.1:0", true), ("127.0.0.1:0", false), ("[::1]:0", true), ("[::]:0", false)] {
        let clock = Clock::start();
        let mut sender = device(local, segmentation);
        let mut receiver = device(local, true);
        let remote = match receiver.local_addr() {
            any if any.ip().is_unspecified() => SocketAddr::new("::1".parse().unwrap(), any.port()),
            bound => bound,
        };
        sender.carrier.departures = Some(departure::DepartureClock::enable(&sender.carrier.socket, clock).unwrap());
        assert!(sender.keeps_departures());
        let segments = sender.max_segments().min(10);
        for run in 0..10 {
            let len = segments * 1200 - run;
            sender.transmit_buffer().unwrap()[..len].fill(run as u8);
            let depart_at = clock.now() + Duration::from_micros(100);
            let submitted = sender.submit(&Transmit { depart_at, ..transmit(remote, len, 1200, Ecn::Ect0) });
            assert_eq!(submitted, Submitted::Sent);
        }
        sender.flush();
        let arrived = receive(&mut receiver, 10 * segments);
        assert_eq!(arrived.len(), 10 * segments, "{local} {segmentation}");
        for (index, datagram) in arrived.iter().enumerate() {
            let run = index / segments;
            let len = if index % segments == segments - 1 { 1200 - run } else { 1200 };
            assert_eq!((datagram.bytes.len(), datagram.ecn), (len, Ecn::Ect0), "{local} {segmentation} {index}");
            assert!(datagram.bytes.iter().all(|byte| *byte == run as u8));
        }
        assert_eq!((sender.counters().segmentation_refused, sender.counters().send_errors), (0, 0));
    }
}

#[cfg(target_os = "linux")]
#[test]
fn departures_are_kept_here_where_nothing_below_holds_packets() {
    let mut device = device("127.0.0.1:0", true);
    let refused = device.schedule_departures(Clock::start(), &["127.0.0.1:9".parse().unwrap()]).unwrap_err();
    assert!(refused.to_string().contains("noqueue"), "{refused}");
    assert!(!device.keeps_departures());
}

/// Needs sch_fq: `WIREHAUL_REQUIRE=fq` makes its absence a failure.
#[cfg(target_os = "linux")]
#[test]
fn the_fair_queue_holds_packets_until_their_departure() {
    with_a_short_loopback(|| {
        let fair = std::process::Command::new("tc").args(["qdisc", "replace", "dev", "lo", "root", "fq"]).output();
        if !fair.is_ok_and(|output| output.status.success()) {
            assert!(!required("fq"), "WIREHAUL_REQUIRE names fq, and this kernel has no such queueing discipline");
            eprintln!("skipped: this kernel has no fq queueing discipline, or there is no tc command");
            return;
        }
        for segmentation in [true, false] {
            let clock = Clock::start();
            let mut sender = device("127.0.0.1:0", segmentation);
            let mut receiver = device("127.0.0.1:0", true);
            let remote = receiver.local_addr();
            sender.schedule_departures(clock, &[remote]).unwrap();
            let wait = |run: u8| Duration::from_millis(50 * u64::from(run + 1));
            let begun = clock.now();
            let segments = sender.max_segments().min(10);
            for run in 0..5 {
                sender.transmit_buffer().unwrap()[..segments * 1000].fill(run);
                let depart_at = begun + wait(run);
                let run = Transmit { depart_at, ..transmit(remote, segments * 1000, 1000, Ecn::Ect0) };
                assert_eq!(sender.submit(&run), Submitted::Sent);
            }
            sender.flush();
            for _ in 0..5 {
                for datagram in receive(&mut receiver, segments) {
                    let passed = clock.now().saturating_since(begun);
                    assert!(passed >= wait(datagram.bytes[0]), "run {} after {passed:?}", datagram.bytes[0]);
                }
            }
            assert_eq!((sender.counters().segmentation_refused, sender.counters().send_errors), (0, 0));
            assert_eq!(sender.counters().datagrams_sent, 5 * segments as u64);
            assert_eq!(receiver.counters().datagrams_received, 5 * segments as u64);
        }
    });
}

/// XDP-7: workers beside the one that has the socket send from its port, and take nothing away from it.
#[test]
fn a_device_for_sending_shares_the_port_and_receives_nothing() {
    let (mut one, mut two) = (device("127.0.0.1:0", true), device("127.0.0.1:0", true));
    let mut beside = one.for_sending().unwrap();
    assert_eq!(beside.local_addr(), one.local_addr());
    let bytes = pattern(3000);
    send(&mut beside, two.local_addr(), &bytes, 1000, Ecn::Ect0);
    let arrived = receive(&mut two, 3);
    assert!(arrived.len() == 3 && arrived.iter().all(|datagram| datagram.remote == one.local_addr()));
    send(&mut two, one.local_addr(), &bytes, 1000, Ecn::Ect0);
    let idle = EventFd::new().unwrap();
    assert_eq!(beside.wait_for(&[idle.as_fd()], Some(Duration::from_millis(20))).unwrap(), Ready::default());
    assert_eq!(beside.receive(|_| panic!("that is for the other one")), 0);
    assert_eq!(receive(&mut one, 3).len(), 3);
}
