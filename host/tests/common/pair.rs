//! Both ends of a transfer over loopback, each on a thread of this process, with pools that the test sizes.

use std::fs;
use std::io::Write;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::thread::{self, JoinHandle};

use wirehaul::clock::Clock;
use wirehaul::crypto::{HostAcceptor, NoiseHandshake, StaticKey, local_suites};
use wirehaul::drive::drive;
use wirehaul::events::{Bus, Event, Heard, Listener};
use wirehaul::file_io::{self, Choice, Wish};
use wirehaul::io::Job;
use wirehaul::io::engine::FileEngine;
use wirehaul::memory::{SessionSize, WorkerMemory};
use wirehaul::pools::LastingPool;
use wirehaul::transfer::policy::{Grant, InForce, Policy};
use wirehaul::transfer::receiver::{Received, Receiver, ReceiverOptions};
use wirehaul::transfer::sender::{Cargo, Sender, Sent};
use wirehaul::transfer::source::FileSource;
use wirehaul::transfer::store::Target;
use wirehaul::transfer::telling::Teller;
use wirehaul::transfer::ticket::Ticket;
use wirehaul::transfer::walk::walk;
use wirehaul::transfer::watch::Watch;
use wirehaul::udp::{Options, UdpDevice};
use wirehaul_core::pool::PoolStats;
use wirehaul_core::rate::Rate;
use wirehaul_core::session::Config;
use wirehaul_core::worker::Worker;

pub const MIB: u64 = 1 << 20;
const IDLE_SECS: u64 = 30;

/// Writes a file of `bytes` (whole MiB) that looks like no zeros; returns the MiB that it repeats.
pub fn write_file(path: &Path, bytes: u64) -> Vec<u8> {
    let pattern: Vec<u8> = (0..MIB as u32).map(|index| (index.wrapping_mul(2_654_435_761) >> 13) as u8).collect();
    let mut file = fs::File::create(path).unwrap();
    (0..bytes / MIB).for_each(|_| file.write_all(&pattern).unwrap());
    pattern
}

fn engine<J: Job>(choice: Choice, jobs: usize, blocks: LastingPool) -> FileEngine<J> {
    let wish = Wish { choice, engines: 1, threads: 2, jobs, blocks: Some(blocks) };
    let mut opened = file_io::open(&wish).unwrap();
    if let Some(refused) = opened.refused {
        eprintln!("by ordinary calls, and not with io_uring: {refused}");
    }
    opened.engines.pop().unwrap()
}

/// How far a receiver is, as it tells the bus.
pub struct Done {
    listener: Listener,
    bytes: u64,
}

impl Done {
    /// By what is told from now on.
    pub fn of(events: &Bus) -> Self {
        Self { listener: events.listen(), bytes: 0 }
    }

    /// Bytes that are done.
    pub fn bytes(&mut self) -> u64 {
        while let Some(heard) = self.listener.try_next() {
            if let Heard::Event(Event::Transfer(state)) = heard {
                self.bytes = state.done_bytes;
            }
        }
        self.bytes
    }
}

/// A receiver on a thread of its own; ends after one transfer.
pub fn receive(dir: &Path, blocks: LastingPool, io: Choice, events: &Bus) -> (Ticket, JoinHandle<Received>) {
    let mut device = UdpDevice::bind("127.0.0.1:0".parse().unwrap(), &Options::default()).unwrap();
    let identity = Arc::new(StaticKey::generate().unwrap());
    let mut acceptor = HostAcceptor::new(Arc::clone(&identity)).unwrap();
    let ticket = Ticket::new(identity.public(), vec![device.local_addr()]).unwrap();
    acceptor.accept_ticket(ticket.secret());
    let grant = Grant::unbounded(Some(Target::open(dir).unwrap()), false);
    let policy = InForce::new(Policy::for_everyone(grant));
    let options = ReceiverOptions { policy, once: true, idle_secs: IDLE_SECS };
    let events = events.clone();
    let work = move || {
        let engine = engine(io, 128, blocks);
        let mut memory = WorkerMemory::new(2, SessionSize::RECEIVER).unwrap();
        let mut streams = Vec::new();
        let mut slots = memory.slots::<NoiseHandshake>(&mut streams);
        let config = Config { suites: local_suites(), ..Config::default() };
        let mut worker = Worker::new(config, acceptor, true, &mut slots);
        let mut receiver = Receiver::new(options, engine, blocks, Teller::new(events, 0, Box::new(PoolStats::default)));
        drive(Clock::start(), &mut device, &mut worker, &mut receiver, &AtomicBool::new(false)).unwrap();
        receiver.take_finished().pop().expect("a transfer has ended")
    };
    (ticket, thread::spawn(work))
}

/// Sends `file` to whoever made `ticket`, on a thread of its own, at this rate at most.
pub fn send(file: &Path, ticket: Ticket, blocks: LastingPool, io: Choice, rate_cap: Option<Rate>) -> JoinHandle<Sent> {
    let walked = walk(&[file.to_path_buf()]).unwrap();
    let manifest = Arc::new(walked.manifest);
    let source = Arc::new(FileSource::new(Arc::clone(&manifest), walked.roots));
    let cargo = Cargo::Files { manifest, source, unread: 0, blocks };
    thread::spawn(move || {
        let mut device = UdpDevice::bind("127.0.0.1:0".parse().unwrap(), &Options::default()).unwrap();
        let identity = Arc::new(StaticKey::generate().unwrap());
        let config = Config { suites: local_suites(), rate_cap, ..Config::default() };
        let mut memory = WorkerMemory::new(1, SessionSize::SENDER).unwrap();
        let mut streams = Vec::new();
        let mut slots = memory.slots::<NoiseHandshake>(&mut streams);
        let acceptor = HostAcceptor::new(Arc::clone(&identity)).unwrap();
        let mut worker = Worker::new(config.clone(), acceptor, false, &mut slots);
        let (clock, psk) = (Clock::start(), ticket.psk());
        let handshake = NoiseHandshake::initiator(identity, psk.clone(), ticket.responder()).unwrap();
        worker.connect(clock.now(), handshake, psk.id(), ticket.addresses()[0], config).unwrap();
        let engine = engine(io, 64, blocks);
        let addresses = ticket.addresses().to_vec();
        // Somebody listens, as most often.
        let events = Bus::default();
        let _listener = events.listen();
        let watch = Watch::new(events, Box::new(PoolStats::default), None, clock.now());
        let mut sender = Sender::new(cargo, engine, addresses, IDLE_SECS, watch);
        drive(clock, &mut device, &mut worker, &mut sender, &AtomicBool::new(false)).unwrap();
        sender.finish()
    })
}
