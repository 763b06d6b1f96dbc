//! A receiver among very many senders grants each a small window; when they leave, those who stay get the usual one. Both ends
//! share this thread and a made-up clock, so that each run is the same.
#![cfg(unix)]
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test that meets the unexpected should stop there")]

use std::collections::{BTreeMap, VecDeque};
use std::net::SocketAddr;
use std::sync::Arc;

use wirehaul::crypto::{HostAcceptor, NoiseHandshake, StaticKey, local_suites};
use wirehaul::drive::{HostWorker, Role};
use wirehaul::events::Bus;
use wirehaul::file_io::{self, Choice, Wish};
use wirehaul::memory::{SessionSize, WorkerMemory};
use wirehaul::pools::{LastingPool, lasting};
use wirehaul::transfer::blocks::{CROWD, CROWD_WINDOW_BYTES, SLOT_BYTES};
use wirehaul::transfer::message::{Content, Hello, Message};
use wirehaul::transfer::policy::{Grant, InForce, Policy};
use wirehaul::transfer::receiver::{Receiver, ReceiverOptions};
use wirehaul::transfer::streams::{CONTROL, DATA};
use wirehaul::transfer::telling::Teller;
use wirehaul::transfer::ticket::Ticket;
use wirehaul_core::device::{Device, Ecn, Received, Submitted, Transmit};
use wirehaul_core::pool::{PoolStats, Sizing};
use wirehaul_core::rate::Rate;
use wirehaul_core::session::{CloseCode, Config, Event, Session, Source};
use wirehaul_core::time::{Duration, Instant};
use wirehaul_core::wire::StreamId;
use wirehaul_core::worker::{Application, SessionId, Worker};

/// What each sender has: more than any window.
const OFFERED_BYTES: u64 = 16 << 20;
/// How fast all of them together are granted more. It is so little that what a sender gets through in a few seconds is its window.
const GRANTED: Rate = Rate::from_bits_per_sec(1_000_000);
/// What each look at the windows takes.
const SECONDS: u64 = 3;
/// The time from one turn to the next, which is that from end to end, too.
const STEP: Duration = Duration::from_micros(500);

#[test]
fn those_who_stay_get_the_usual_window_when_the_crowd_leaves() {
    with_ends(|mut ends| {
        // The first ones only fill the room: they say nothing, and what is silent is not looked at.
        let mut crowd: Vec<_> = (0..CROWD + 4).map(|_| ends.connect(0)).collect();
        let stays = ends.connect(OFFERED_BYTES);
        let usual = Config::default().initial_window_bytes;
        ends.run(SECONDS);
        let small = ends.senders.acknowledged(stays);
        assert_window(small, CROWD_WINDOW_BYTES, "in a crowd");

        // Down to one more than is no crowd.
        while ends.receiver.transfers() > CROWD + 1 {
            ends.disconnect(crowd.pop().unwrap());
        }
        ends.run(SECONDS);
        let before = ends.senders.acknowledged(stays);
        assert_window(before - small, 0, "more in a crowd that is about to end");

        ends.disconnect(crowd.pop().unwrap());
        ends.run(SECONDS);
        let more = ends.senders.acknowledged(stays) - before;
        assert_window(more, usual - CROWD_WINDOW_BYTES, "more where the crowd has left");

        // And so does who called in a crowd, which has left by the time that it is let in.
        crowd.push(ends.connect(0));
        ends.step();
        let late = ends.call(OFFERED_BYTES);
        for id in crowd.split_off(crowd.len() - 2) {
            ends.hang_up(id);
        }
        ends.run(SECONDS);
        assert_eq!(ends.receiver.transfers(), CROWD);
        assert_window(ends.senders.acknowledged(late), usual, "for who called in a crowd");

        // Somebody new, who takes the place of one more that left, has it from the start.
        ends.disconnect(crowd.pop().unwrap());
        let new = ends.connect(OFFERED_BYTES);
        ends.run(SECONDS);
        assert_window(ends.senders.acknowledged(new), usual, "for somebody new");
    });
}

/// Holds `bytes`, which came in [`SECONDS`] and a little, against a window and what was granted beside it. The window is the
/// connection's, too, and the first message takes a few bytes of that.
#[track_caller]
fn assert_window(bytes: u64, window: u64, what: &str) {
    let (least, most) = (window.saturating_sub(100), window + GRANTED.bytes_in(Duration::from_secs(SECONDS + 1)));
    assert!((least..=most).contains(&bytes), "{bytes} and not {least} to {most} {what}");
}

/// A receiver that throws away what comes, and its senders.
struct Ends<'a> {
    now: Instant,
    receiver: Receiver,
    receiving: HostWorker<'a>,
    senders: Senders,
    sending: HostWorker<'a>,
    wires: [Wire; 2],
    identity: Arc<StaticKey>,
    ticket: Ticket,
}

fn with_ends(test: impl FnOnce(Ends<'_>)) {
    let size = SessionSize { packets: 8192, ..SessionSize::RECEIVER };
    let places = CROWD + 8;
    let (mut receiving, mut sending) =
        (WorkerMemory::new(places, size).unwrap(), WorkerMemory::new(places, size).unwrap());
    let (mut receiving_streams, mut sending_streams) = (Vec::new(), Vec::new());
    let mut receiving = receiving.slots::<NoiseHandshake>(&mut receiving_streams);
    let mut sending = sending.slots::<NoiseHandshake>(&mut sending_streams);
    let config = Config { suites: local_suites(), ..Config::default() };

    let (key, identity) = (Arc::new(StaticKey::generate().unwrap()), Arc::new(StaticKey::generate().unwrap()));
    let ticket = Ticket::new(key.public(), vec![RECEIVER]).unwrap();
    let mut acceptor = HostAcceptor::new(key).unwrap();
    acceptor.accept_ticket(ticket.secret());
    let nobody = HostAcceptor::new(Arc::clone(&identity)).unwrap();
    test(Ends {
        now: Instant::from_nanos(1_000_000_000),
        receiver: receiver(),
        receiving: Worker::new(config.clone(), acceptor, true, &mut receiving),
        senders: Senders::default(),
        sending: Worker::new(config, nobody, false, &mut sending),
        wires: [Wire::from(SENDERS), Wire::from(RECEIVER)],
        identity,
        ticket,
    });
}

fn receiver() -> Receiver {
    let grant = Grant { rate: Some(GRANTED), ..Grant::unbounded(None, false) };
    let policy = InForce::new(Policy::for_everyone(grant));
    let options = ReceiverOptions { policy, once: false, idle_secs: 15 };
    let blocks: LastingPool =
        lasting(&Sizing { slots_per_session: 4, slot_bytes: SLOT_BYTES, ..Sizing::new(1, 1) }).unwrap();
    let wish = Wish { choice: Choice::Sync, engines: 1, threads: 1, jobs: 8, blocks: Some(blocks) };
    let engine = file_io::open(&wish).unwrap().engines.pop().unwrap();
    Receiver::new(options, engine, blocks, Teller::new(Bus::default(), 0, Box::new(PoolStats::default)))
}

impl Ends<'_> {
    /// A sender of so many bytes calls.
    fn call(&mut self, bytes: u64) -> SessionId {
        let psk = self.ticket.psk();
        let handshake =
            NoiseHandshake::initiator(Arc::clone(&self.identity), psk.clone(), self.ticket.responder()).unwrap();
        let config = Config { suites: local_suites(), ..Config::default() };
        let id = self.sending.connect(self.now, handshake, psk.id(), RECEIVER, config).unwrap();
        self.senders.offers.insert(id, Offer { bytes, ..Offer::default() });
        id
    }

    /// The same, until it is let in.
    fn connect(&mut self, bytes: u64) -> SessionId {
        let id = self.call(bytes);
        let transfers = self.receiver.transfers();
        self.until(|ends| ends.receiver.transfers() > transfers);
        id
    }

    fn hang_up(&mut self, id: SessionId) {
        self.sending.session(id).unwrap().close(self.now, CloseCode::DONE, "");
    }

    fn disconnect(&mut self, id: SessionId) {
        let transfers = self.receiver.transfers();
        self.hang_up(id);
        self.until(|ends| ends.receiver.transfers() < transfers);
    }

    fn until(&mut self, is_so: impl Fn(&Self) -> bool) {
        let give_up_at = self.now + Duration::from_secs(5);
        while !is_so(self) {
            assert!(self.now < give_up_at, "it did not come to that");
            self.step();
        }
    }

    fn run(&mut self, seconds: u64) {
        let until = self.now + Duration::from_secs(seconds);
        while self.now < until {
            self.step();
        }
    }

    fn step(&mut self) {
        self.now += STEP;
        let [there, back] = &mut self.wires;
        self.sending.turn(self.now, there, &mut self.senders);
        self.receiving.turn(self.now, back, &mut self.receiver);
        self.receiver.pump(self.now, &mut self.receiving);
        std::mem::swap(&mut there.arrived, &mut back.sent);
        std::mem::swap(&mut back.arrived, &mut there.sent);
    }
}

const RECEIVER: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(std::net::Ipv4Addr::new(192, 0, 2, 1)), 7000);
const SENDERS: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(std::net::Ipv4Addr::new(192, 0, 2, 2)), 7001);

/// One end of a wire that loses nothing.
struct Wire {
    peer: SocketAddr,
    buffer: Vec<u8>,
    arrived: VecDeque<Vec<u8>>,
    sent: VecDeque<Vec<u8>>,
}

impl Wire {
    /// The end at `address`.
    fn from(address: SocketAddr) -> Self {
        let peer = if address == SENDERS { RECEIVER } else { SENDERS };
        Self { peer, buffer: vec![0; 9000], arrived: VecDeque::new(), sent: VecDeque::new() }
    }
}

impl Device for Wire {
    fn receive(&mut self, mut sink: impl FnMut(Received<'_>)) -> usize {
        let count = self.arrived.len();
        for mut bytes in self.arrived.drain(..) {
            sink(Received { remote: self.peer, ecn: Ecn::NotEct, stride: bytes.len(), bytes: &mut bytes });
        }
        count
    }

    fn transmit_buffer(&mut self) -> Option<&mut [u8]> {
        Some(&mut self.buffer)
    }

    fn max_segments(&self) -> usize {
        1
    }

    fn submit(&mut self, transmit: &Transmit) -> Submitted {
        self.sent.push_back(self.buffer[..transmit.len].to_vec());
        Submitted::Sent
    }

    fn flush(&mut self) {}
}

/// Senders of generated bytes that never leave on their own.
#[derive(Default)]
struct Senders {
    offers: BTreeMap<SessionId, Offer>,
}

/// What one of them sends.
#[derive(Default)]
struct Offer {
    bytes: u64,
    hello: Vec<u8>,
    acknowledged: u64,
}

impl Senders {
    /// How much of its data the receiver has.
    fn acknowledged(&self, id: SessionId) -> u64 {
        self.offers[&id].acknowledged
    }
}

impl Source for Offer {
    fn fill(&mut self, stream: StreamId, offset: u64, out: &mut [u8]) {
        match stream {
            CONTROL => out.copy_from_slice(&self.hello[offset as usize..offset as usize + out.len()]),
            _ => out.fill(0),
        }
    }
}

impl Application<NoiseHandshake> for Senders {
    type Source = Offer;

    fn on_event(
        &mut self,
        now: Instant,
        id: SessionId,
        session: &mut Session<'_, NoiseHandshake>,
        event: Event,
        _: &[u8],
    ) {
        let offer = self.offers.get_mut(&id).unwrap();
        match event {
            Event::Connected if offer.bytes > 0 => {
                let (total_bytes, content) = (offer.bytes, Content::Generated);
                offer.hello = Message::Hello(Hello { content, total_bytes, files: 0 }).encode();
                session.open_stream(CONTROL, now);
                session.open_stream(DATA, now);
                session.provide(CONTROL, offer.hello.len() as u64, false);
                session.provide(DATA, offer.bytes, false);
            }
            Event::Acknowledged { stream: DATA, upto } => offer.acknowledged = upto,
            _ => {}
        }
    }

    fn source(&mut self, id: SessionId) -> &mut Offer {
        self.offers.get_mut(&id).unwrap()
    }
}
