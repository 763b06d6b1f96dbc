//! Devices that exist in memory, and what becomes of datagrams that come to the wrong one.

use std::collections::VecDeque;
use std::os::fd::AsFd;
use std::thread;

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::eventfd::EventFd;
use wirehaul_core::wire::{PacketFlags, PacketHeader, PacketKind};

use super::*;

/// A device whose datagrams the test has written.
#[derive(Default)]
struct Scripted {
    runs: VecDeque<(Vec<u8>, usize)>,
}

impl Device for Scripted {
    fn receive(&mut self, mut sink: impl FnMut(Received<'_>)) -> usize {
        let mut count = 0;
        for (mut bytes, stride) in self.runs.drain(..) {
            count += bytes.len().div_ceil(stride);
            sink(Received { remote: peer(), ecn: Ecn::Ce, stride, bytes: &mut bytes });
        }
        count
    }

    fn transmit_buffer(&mut self) -> Option<&mut [u8]> {
        None
    }

    fn max_segments(&self) -> usize {
        1
    }

    fn submit(&mut self, _: &Transmit) -> Submitted {
        Submitted::Full
    }

    fn flush(&mut self) {}
}

impl HostDevice for Scripted {
    fn wait(&mut self, extra: &[BorrowedFd<'_>], timeout: Option<Duration>) -> io::Result<bool> {
        let mut fds: Vec<_> = extra.iter().map(|fd| PollFd::new(*fd, PollFlags::POLLIN)).collect();
        let millis = timeout.map_or(-1, |span| i32::try_from(span.as_millis()).unwrap());
        Ok(poll(&mut fds, PollTimeout::try_from(millis).unwrap())? > 0)
    }
}

fn peer() -> SocketAddr {
    "192.0.2.7:4000".parse().unwrap()
}

fn number(number: usize) -> WorkerNumber {
    WorkerNumber::new(number).unwrap()
}

/// A packet of `len` bytes for slot 3 of a worker, with a mark at its end.
fn packet(worker: u32, len: usize, mark: u8) -> Vec<u8> {
    let mut bytes = vec![0; len];
    let receiver = 0x8000_0003 | worker << 11;
    let kind = PacketKind::Protected;
    PacketHeader { kind, flags: PacketFlags::empty(), receiver, packet_number_low: 9 }.write(&mut bytes).unwrap();
    *bytes.last_mut().unwrap() = mark;
    bytes
}

/// So many workers on scripted devices.
fn workers(count: usize) -> (Arc<Exchange>, Vec<Handover<Scripted>>) {
    let exchange = Exchange::new(count).unwrap();
    let devices = (0..count).map(|at| exchange.device(number(at), Scripted::default())).collect();
    (exchange, devices)
}

/// What a worker is shown: the run, and the bytes of each datagram in it.
fn shown(device: &mut Handover<Scripted>) -> Vec<(Vec<u8>, usize)> {
    let mut shown = Vec::new();
    let said = device.receive(|run| {
        assert_eq!((run.remote, run.ecn), (peer(), Ecn::Ce));
        shown.push((run.bytes.to_vec(), run.stride));
    });
    assert!(said >= shown.len());
    shown
}

/// XDP-7
#[test]
fn what_is_for_another_worker_gets_there_unchanged() {
    let (exchange, mut devices) = workers(3);
    let theirs = packet(2, 1400, 7);
    devices[0].device().runs.push_back((theirs.clone(), 1400));
    assert!(shown(&mut devices[0]).is_empty() && shown(&mut devices[1]).is_empty());
    assert_eq!(shown(&mut devices[2]), [(theirs, 1400)]);
    assert!(shown(&mut devices[2]).is_empty(), "and once");
    assert_eq!(exchange.counters(number(2)), Counters { handed_over: 1, dropped: 0 });
    assert_eq!(exchange.counters(number(1)), Counters::default());
}

/// A merged run is split only where it is for several.
#[test]
fn a_run_is_sorted_datagram_by_datagram() {
    let (_, mut devices) = workers(2);
    let own = [packet(0, 100, 1), packet(0, 100, 2), packet(0, 60, 3)].concat();
    devices[0].device().runs.push_back((own.clone(), 100));
    assert_eq!(shown(&mut devices[0]), [(own, 100)]);
    let mixed = [packet(0, 100, 1), packet(1, 100, 2), packet(0, 100, 3), packet(1, 60, 4)];
    devices[0].device().runs.push_back((mixed.concat(), 100));
    let [first, second, third, fourth] = mixed;
    assert_eq!(shown(&mut devices[0]), [(first, 100), (third, 100)]);
    assert_eq!(shown(&mut devices[1]), [(second, 100), (fourth, 60)]);
}

/// Nobody else can say more about them.
#[test]
fn first_messages_garbage_and_unknown_workers_stay_where_they_came() {
    let (_, mut devices) = workers(2);
    let mut init = vec![0; 1200];
    let (kind, flags) = (PacketKind::Init, PacketFlags::empty());
    PacketHeader { kind, flags, receiver: 0, packet_number_low: 0 }.write(&mut init).unwrap();
    for bytes in [init, vec![0xff; 300], vec![0], packet(2, 200, 0), packet(63, 200, 0)] {
        let len = bytes.len();
        devices[1].device().runs.push_back((bytes.clone(), len));
        assert_eq!(shown(&mut devices[1]), [(bytes, len)]);
        assert!(shown(&mut devices[0]).is_empty());
    }
}

#[test]
fn one_worker_has_no_mailbox_and_keeps_everything() {
    let (exchange, mut devices) = workers(1);
    assert!(exchange.pool.is_none());
    let bytes = packet(5, 200, 1);
    devices[0].device().runs.push_back((bytes.clone(), 200));
    assert_eq!(shown(&mut devices[0]), [(bytes, 200)]);
}

/// A worker that does not come to look loses what does not fit, and nobody waits for it.
#[test]
fn a_full_mailbox_loses_and_gives_every_slot_back() {
    let (exchange, mut devices) = workers(2);
    for round in 1..=2 {
        for _ in 0..MAILBOX_DATAGRAMS + 100 {
            devices[0].device().runs.push_back((packet(1, 64, 0), 64));
        }
        assert!(shown(&mut devices[0]).is_empty());
        let dropped = round * 100;
        let handed_over = round * MAILBOX_DATAGRAMS as u64;
        assert_eq!(exchange.counters(number(1)), Counters { handed_over, dropped });
        let mut got = 0;
        loop {
            let batch = shown(&mut devices[1]).len();
            assert!(batch <= COLLECT_BATCH, "a turn is bounded");
            if batch == 0 {
                break;
            }
            got += batch;
        }
        assert_eq!(got, MAILBOX_DATAGRAMS);
    }
    let pool = exchange.pool.unwrap();
    drop(devices);
    assert_eq!(pool.stats().free, pool.slots());
}

/// The largest datagram that a session may have fits.
#[test]
fn the_largest_datagram_fits_and_a_larger_one_is_nobody_s() {
    let (exchange, mut devices) = workers(2);
    let bytes = packet(1, MAX_DATAGRAM_BYTES, 5);
    devices[0].device().runs.push_back((bytes.clone(), bytes.len()));
    assert!(shown(&mut devices[0]).is_empty());
    assert_eq!(shown(&mut devices[1]), [(bytes.clone(), bytes.len())]);
    let longer = [&bytes[..], &[0]].concat();
    devices[0].device().runs.push_back((longer.clone(), longer.len()));
    assert_eq!(shown(&mut devices[0]).len(), 1, "its own worker refuses it");
    assert_eq!(exchange.counters(number(1)), Counters { handed_over: 1, dropped: 0 });
}

/// Neither a worker that sleeps nor one that is about to is left asleep.
#[test]
fn a_sleeping_worker_is_woken() {
    let (_, devices) = workers(2);
    let mut devices = devices.into_iter();
    let (mut first, mut second) = (devices.next().unwrap(), devices.next().unwrap());
    let rounds = 2000;
    let sleeper = thread::spawn(move || {
        let event = EventFd::new().unwrap();
        let mut got = 0;
        while got < rounds {
            let woken = second.wait(&[event.as_fd()], Some(Duration::from_secs(30))).unwrap();
            assert!(woken, "asleep after {got}");
            got += second.receive(|_| {});
        }
    });
    for at in 0..rounds {
        first.device().runs.push_back((packet(1, 80, 0), 80));
        first.receive(|_| panic!("not for this one"));
        if at % 3 == 0 {
            thread::yield_now();
        }
    }
    sleeper.join().unwrap();
}

/// Whoever waits is told by its own alarm as well.
#[test]
fn all_can_be_woken_at_once() {
    let (exchange, mut devices) = workers(2);
    let event = EventFd::new().unwrap();
    assert!(!devices[1].wait(&[event.as_fd()], Some(Duration::from_millis(5))).unwrap());
    exchange.wake_all();
    // It was armed by the wait before; the next one begins anew.
    let mut device = devices.pop().unwrap();
    let waiting = thread::spawn(move || device.wait(&[event.as_fd()], Some(Duration::from_secs(30))).unwrap());
    while !waiting.is_finished() {
        exchange.wake_all();
        thread::yield_now();
    }
    assert!(waiting.join().unwrap());
}
