//! XDP-7: a session whose datagrams come to another worker than its own, from the first after INIT to the last.
#![cfg(target_os = "linux")]
#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs)]
#![allow(dead_code, reason = "what tests share is not all used here")]

#[path = "common/pair.rs"]
mod pair;

use std::fs;
use std::io::ErrorKind;
use std::net::{SocketAddr, UdpSocket};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use pair::MIB;
use wirehaul::clock::Clock;
use wirehaul::crypto::{HostAcceptor, NoiseHandshake, StaticKey, local_suites};
use wirehaul::drive::drive;
use wirehaul::events::Bus;
use wirehaul::file_io::Choice;
use wirehaul::handover::Exchange;
use wirehaul::io::engine::FileEngine;
use wirehaul::memory::{SessionSize, WorkerMemory};
use wirehaul::transfer::blocks::{receiver_pool, sender_pool};
use wirehaul::transfer::policy::{Grant, InForce, Policy};
use wirehaul::transfer::receiver::{Received, Receiver, ReceiverOptions};
use wirehaul::transfer::store::Target;
use wirehaul::transfer::telling::Teller;
use wirehaul::transfer::ticket::Ticket;
use wirehaul::udp::{Options, UdpDevice};
use wirehaul_core::pool::PoolStats;
use wirehaul_core::rate::Rate;
use wirehaul_core::session::Config;
use wirehaul_core::wire::PacketKind;
use wirehaul_core::worker::{Worker, WorkerNumber};

/// Small enough for a relay that takes datagrams one by one.
const FILE_BYTES: u64 = 8 * MIB;

/// Sets flags when it is dropped.
struct Stops<'a>([&'a AtomicBool; 2]);

impl Drop for Stops<'_> {
    fn drop(&mut self) {
        self.0.iter().for_each(|flag| flag.store(true, Ordering::Relaxed));
    }
}

/// Brings INIT to one worker and everything else to the other, as a card does whose table was changed.
fn misdirect(front: &UdpSocket, owner: SocketAddr, other: SocketAddr, stop: &AtomicBool) {
    let behind = UdpSocket::bind("127.0.0.1:0").unwrap();
    for socket in [front, &behind] {
        socket.set_read_timeout(Some(Duration::from_millis(1))).unwrap();
    }
    let (mut buffer, mut client) = ([0; 65_536], None);
    // Not for as long as any come, so that the answers do not wait.
    let mut receive = |socket: &UdpSocket, sink: &mut dyn FnMut(&[u8], SocketAddr)| {
        for _ in 0..64 {
            match socket.recv_from(&mut buffer) {
                Ok((len, from)) => sink(&buffer[..len], from),
                Err(error) if [ErrorKind::WouldBlock, ErrorKind::TimedOut].contains(&error.kind()) => return,
                Err(error) => panic!("{error}"),
            }
        }
    };
    while !stop.load(Ordering::Relaxed) {
        receive(front, &mut |datagram, from| {
            client = Some(from);
            let to = if datagram[0] == PacketKind::Init as u8 { owner } else { other };
            let _ = behind.send_to(datagram, to);
        });
        receive(&behind, &mut |datagram, _| {
            if let Some(client) = client {
                let _ = front.send_to(datagram, client);
            }
        });
    }
}

/// A transfer into `dir` of which worker `owner` of two has the session, and the other one gets the datagrams. Returns what
/// the owner says, and how many datagrams it was handed.
fn transfer(file: &Path, dir: &Path, owner: usize) -> (Received, u64) {
    let devices = [(); 2].map(|()| UdpDevice::bind("127.0.0.1:0".parse().unwrap(), &Options::default()).unwrap());
    let [first, second] = [&devices[owner], &devices[1 - owner]].map(UdpDevice::local_addr);
    let front = UdpSocket::bind("127.0.0.1:0").unwrap();
    let identity = Arc::new(StaticKey::generate().unwrap());
    let mut acceptor = HostAcceptor::new(Arc::clone(&identity)).unwrap();
    let ticket = Ticket::new(identity.public(), vec![front.local_addr().unwrap()]).unwrap();
    acceptor.accept_ticket(ticket.secret());
    let grant = Grant::unbounded(Some(Target::open(dir).unwrap()), false);
    let policy = InForce::new(Policy::for_everyone(grant));
    let options = ReceiverOptions { policy, once: true, idle_secs: 30 };
    let (exchange, blocks, clock) = (Exchange::new(2).unwrap(), receiver_pool(2).unwrap(), Clock::start());
    let (stop, relay_stop) = (AtomicBool::new(false), AtomicBool::new(false));
    let work = |number: WorkerNumber, device: UdpDevice| {
        let mut memory = WorkerMemory::new(2, SessionSize::RECEIVER).unwrap();
        let mut streams = Vec::new();
        let mut slots = memory.slots::<NoiseHandshake>(&mut streams);
        let config = Config { suites: local_suites(), ..Config::default() };
        let mut worker = Worker::new(config, acceptor.clone(), true, &mut slots).numbered(number);
        let engine = FileEngine::plain(2, 128).unwrap();
        let teller = Teller::new(Bus::default(), number.get(), Box::new(PoolStats::default));
        let mut receiver = Receiver::new(options.clone(), engine, blocks, teller);
        let mut device = exchange.device(number, device);
        drive(clock, &mut device, &mut worker, &mut receiver, &stop).unwrap();
        receiver.take_finished()
    };
    thread::scope(|scope| {
        // Also where the test fails, or it would wait for threads that nobody ends.
        let _at_the_end = Stops([&stop, &relay_stop]);
        scope.spawn(|| misdirect(&front, first, second, &relay_stop));
        let mut workers: Vec<_> = devices
            .into_iter()
            .enumerate()
            .map(|(at, device)| (WorkerNumber::new(at).unwrap(), device))
            .map(|(number, device)| scope.spawn(move || work(number, device)))
            .collect();
        let rate = Some(Rate::from_bits_per_sec(400_000_000));
        let sent = pair::send(file, ticket.clone(), sender_pool().unwrap(), Choice::Auto, rate);
        let of_owner = workers.remove(owner).join().unwrap();
        stop.store(true, Ordering::Relaxed);
        let of_other = workers.remove(0).join().unwrap();
        sent.join().unwrap();
        assert!(of_other.is_empty(), "the other worker has no session");
        let [received] = <[Received; 1]>::try_from(of_owner).unwrap();
        (received, exchange.counters(WorkerNumber::new(owner).unwrap()).handed_over)
    })
}

#[test]
fn a_transfer_whose_datagrams_all_come_to_the_wrong_worker_gets_through() {
    let temp = tempfile::tempdir().unwrap();
    let file = temp.path().join("file");
    pair::write_file(&file, FILE_BYTES);
    for owner in [1, 0] {
        let dir = temp.path().join(owner.to_string());
        fs::create_dir(&dir).unwrap();
        let (received, handed_over) = transfer(&file, &dir, owner);
        assert!(received.verified, "{:?}", received.outcome);
        assert_eq!(received.outcome.unwrap().stored_bytes, FILE_BYTES);
        assert!(fs::read(&file).unwrap() == fs::read(dir.join("file")).unwrap());
        assert!(handed_over > FILE_BYTES / 9000, "{handed_over} datagrams handed over");
    }
}
