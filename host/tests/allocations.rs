//! No allocation per packet and none per block (POOL-1): a transfer over loopback, both ends in this process, under an
//! allocator that counts. Between a quarter and three quarters of a large file, nothing is allocated by any thread: neither
//! worker, nor the file threads of either.
//!
//! The only test of its binary, so that no other allocates meanwhile.
#![cfg(unix)]
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test that meets the unexpected should stop there")]

use std::fs;
use std::io::Write;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::thread::{self, JoinHandle};
use std::time::Duration;

use wirehaul::clock::Clock;
use wirehaul::crypto::{HostAcceptor, NoiseHandshake, StaticKey, local_suites};
use wirehaul::drive::drive;
use wirehaul::io::threads::ThreadEngine;
use wirehaul::memory::{SessionSize, WorkerMemory};
use wirehaul::pools::LastingPool;
use wirehaul::transfer::blocks::{receiver_pool, sender_pool};
use wirehaul::transfer::progress::Progress;
use wirehaul::transfer::receiver::{Received, Receiver, ReceiverOptions};
use wirehaul::transfer::sender::{Cargo, Sender, Sent};
use wirehaul::transfer::source::FileSource;
use wirehaul::transfer::store::Target;
use wirehaul::transfer::ticket::Ticket;
use wirehaul::transfer::walk::walk;
use wirehaul::udp::{Options, UdpDevice};
use wirehaul_core::rate::Rate;
use wirehaul_core::session::Config;
use wirehaul_core::worker::Worker;

#[global_allocator]
static ALLOCATOR: dhat::Alloc = dhat::Alloc;

const MIB: u64 = 1 << 20;
const FILE_BYTES: u64 = 200 * MIB;
/// Slow enough for both marks to be seen in time: the file takes a second.
const RATE_BITS_PER_SEC: u64 = 1_600_000_000;
const IDLE_SECS: u64 = 30;

/// A receiver on a thread of its own; ends after one transfer.
fn receive(dir: &Path, blocks: LastingPool, progress: Arc<Progress>) -> (Ticket, JoinHandle<Received>) {
    let mut device = UdpDevice::bind("127.0.0.1:0".parse().unwrap(), &Options::default()).unwrap();
    let identity = Arc::new(StaticKey::generate().unwrap());
    let mut acceptor = HostAcceptor::new(Arc::clone(&identity)).unwrap();
    let ticket = Ticket::new(identity.public(), vec![device.local_addr()]).unwrap();
    acceptor.accept_ticket(ticket.secret());
    let target = Some(Target::open(dir).unwrap());
    let options = ReceiverOptions { target, overwrite: false, once: true, idle_secs: IDLE_SECS };
    let work = move || {
        let engine = ThreadEngine::new(2, 128).unwrap();
        let mut memory = WorkerMemory::new(2, SessionSize::RECEIVER);
        let mut streams = Vec::new();
        let mut slots = memory.slots::<NoiseHandshake>(&mut streams);
        let config = Config { suites: local_suites(), ..Config::default() };
        let mut worker = Worker::new(config, acceptor, true, &mut slots);
        let mut receiver = Receiver::new(options, engine, blocks, progress);
        drive(Clock::start(), &mut device, &mut worker, &mut receiver, &AtomicBool::new(false)).unwrap();
        receiver.take_finished().pop().expect("a transfer has ended")
    };
    (ticket, thread::spawn(work))
}

/// Sends `file` to whoever made `ticket`, on a thread of its own.
fn send(file: &Path, ticket: Ticket, blocks: LastingPool) -> JoinHandle<Sent> {
    let walked = walk(&[file.to_path_buf()]).unwrap();
    let manifest = Arc::new(walked.manifest);
    let source = Arc::new(FileSource::new(Arc::clone(&manifest), walked.roots));
    let cargo = Cargo::Files { manifest, source, unread: 0, blocks };
    thread::spawn(move || {
        let mut device = UdpDevice::bind("127.0.0.1:0".parse().unwrap(), &Options::default()).unwrap();
        let identity = Arc::new(StaticKey::generate().unwrap());
        let rate_cap = Some(Rate::from_bits_per_sec(RATE_BITS_PER_SEC));
        let config = Config { suites: local_suites(), rate_cap, ..Config::default() };
        let mut memory = WorkerMemory::new(1, SessionSize::SENDER);
        let mut streams = Vec::new();
        let mut slots = memory.slots::<NoiseHandshake>(&mut streams);
        let acceptor = HostAcceptor::new(Arc::clone(&identity)).unwrap();
        let mut worker = Worker::new(config.clone(), acceptor, false, &mut slots);
        let (clock, psk) = (Clock::start(), ticket.psk());
        let handshake = NoiseHandshake::initiator(identity, psk.clone(), ticket.responder()).unwrap();
        worker.connect(clock.now(), handshake, psk.id(), ticket.addresses()[0], config).unwrap();
        let engine = ThreadEngine::new(2, 64).unwrap();
        let addresses = ticket.addresses().to_vec();
        let mut sender = Sender::new(cargo, engine, addresses, IDLE_SECS, Arc::default());
        drive(clock, &mut device, &mut worker, &mut sender, &AtomicBool::new(false)).unwrap();
        sender.finish()
    })
}

/// Waits until the receiver has stored `bytes`, or the transfer is over; returns how much it has, and the allocations so far.
fn mark(progress: &Progress, bytes: u64, receiver: &JoinHandle<Received>) -> (u64, u64) {
    while progress.done() < bytes && !receiver.is_finished() {
        thread::sleep(Duration::from_micros(500));
    }
    (progress.done(), dhat::HeapStats::get().total_blocks)
}

#[test]
fn in_steady_state_nothing_is_allocated_at_either_end() {
    let _profiler = dhat::Profiler::builder().testing().build();
    let dir = tempfile::tempdir().unwrap();
    let (file, target) = (dir.path().join("large"), dir.path().join("target"));
    fs::create_dir(&target).unwrap();
    let pattern: Vec<u8> = (0..MIB as u32).map(|index| (index.wrapping_mul(2_654_435_761) >> 13) as u8).collect();
    let mut large = fs::File::create(&file).unwrap();
    (0..FILE_BYTES / MIB).for_each(|_| large.write_all(&pattern).unwrap());
    drop(large);

    let (sending, receiving) = (sender_pool().unwrap(), receiver_pool(2).unwrap());
    let progress = Arc::new(Progress::default());
    let (ticket, receiver) = receive(&target, receiving, Arc::clone(&progress));
    let sender = send(&file, ticket, sending);
    let (from, before) = mark(&progress, FILE_BYTES / 4, &receiver);
    let (to, after) = mark(&progress, FILE_BYTES / 4 * 3, &receiver);
    let (sent, received) = (sender.join().unwrap(), receiver.join().unwrap());

    assert!(received.outcome.is_ok() && received.verified, "{:?}", received.outcome);
    assert_eq!(received.outcome.unwrap().stored_bytes, FILE_BYTES);
    assert!(fs::read(target.join("large")).unwrap().chunks(pattern.len()).all(|chunk| chunk == pattern));
    assert!(to - from > FILE_BYTES / 5 && to < FILE_BYTES, "the marks were met at {from} and {to} bytes");
    assert!(before > 100, "the allocator does not count: {before} allocations before the first mark");
    assert_eq!(after - before, 0, "allocations between {from} and {to} bytes");
    assert!(sent.outcome.is_ok());
    for pool in [sending, receiving] {
        let stats = pool.stats();
        assert!(stats.peak_in_use() > 0 && stats.exhausted == 0, "{stats:?}");
        assert_eq!(stats.in_use(), 0, "every block went home");
    }
}
