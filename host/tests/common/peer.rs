//! Peers that do not keep the rules: a sender that says whatever a test wants, built from the library.

use std::os::fd::{AsFd, BorrowedFd};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use nix::sys::eventfd::EventFd;
use wirehaul::clock::Clock;
use wirehaul::crypto::{HostAcceptor, NoiseHandshake, StaticKey, local_suites};
use wirehaul::drive::{HostWorker, Role, drive};
use wirehaul::memory::{SessionSize, WorkerMemory};
use wirehaul::transfer::message::{Message, MessageDecoder};
use wirehaul::transfer::streams::{CONTROL, DATA, Inbox, MANIFEST};
use wirehaul::transfer::ticket::Ticket;
use wirehaul::udp::{Options, UdpDevice};
use wirehaul_core::session::{CloseCode, CloseReason, Config, Event, Session, Source};
use wirehaul_core::time::{Duration, Instant};
use wirehaul_core::wire::StreamId;
use wirehaul_core::worker::{Application, SessionId, Worker};

/// How long a hostile sender waits for an answer.
const PATIENCE: Duration = Duration::from_secs(30);

/// What a hostile sender puts on each stream, as soon as it is connected.
#[derive(Default)]
pub struct Script {
    pub control: Vec<u8>,
    pub manifest: Vec<u8>,
    pub manifest_ends: bool,
    pub data: Vec<u8>,
}

/// What the receiver made of it.
#[derive(Debug, Default)]
pub struct Answer {
    pub messages: Vec<Message>,
    pub closed: Option<CloseReason>,
}

/// Sends `script` to the receiver that made `ticket`, until it refuses, hangs up or says a result.
pub fn send(ticket: &str, script: Script) -> Answer {
    let ticket: Ticket = ticket.parse().unwrap();
    let identity = Arc::new(StaticKey::generate().unwrap());
    let config = Config { suites: local_suites(), ..Config::default() };
    let clock = Clock::start();
    let mut device = UdpDevice::bind("127.0.0.1:0".parse().unwrap(), &Options::default()).unwrap();
    let mut memory = WorkerMemory::new(1, SessionSize::SENDER).unwrap();
    let mut streams = Vec::new();
    let mut slots = memory.slots::<NoiseHandshake>(&mut streams);
    let acceptor = HostAcceptor::new(Arc::clone(&identity)).unwrap();
    let mut worker = Worker::new(config.clone(), acceptor, false, &mut slots);
    let psk = ticket.psk();
    let handshake = NoiseHandshake::initiator(identity, psk.clone(), ticket.responder()).unwrap();
    let now = clock.now();
    worker.connect(now, handshake, psk.id(), ticket.addresses()[0], config).unwrap();
    let stop = Arc::new(AtomicBool::new(false));
    let mut sender = Hostile {
        script: Bytes(script),
        answer: Answer::default(),
        inbox: Inbox::default(),
        decoder: MessageDecoder::default(),
        never: EventFd::new().unwrap(),
        give_up_at: now + PATIENCE,
        stop: Arc::clone(&stop),
        over: false,
    };
    drive(clock, &mut device, &mut worker, &mut sender, &stop).unwrap();
    sender.answer
}

struct Hostile {
    script: Bytes,
    answer: Answer,
    inbox: Inbox,
    decoder: MessageDecoder,
    never: EventFd,
    give_up_at: Instant,
    stop: Arc<AtomicBool>,
    over: bool,
}

/// The script as the source of the session's bytes.
struct Bytes(Script);

impl Source for Bytes {
    fn fill(&mut self, stream: StreamId, offset: u64, out: &mut [u8]) {
        let bytes = match stream {
            CONTROL => &self.0.control,
            MANIFEST => &self.0.manifest,
            _ => &self.0.data,
        };
        out.copy_from_slice(&bytes[offset as usize..offset as usize + out.len()]);
    }
}

impl Application<NoiseHandshake> for Hostile {
    type Source = Bytes;

    fn on_event(
        &mut self,
        now: Instant,
        _: SessionId,
        session: &mut Session<'_, NoiseHandshake>,
        event: Event,
        datagram: &[u8],
    ) {
        match event {
            Event::Connected => {
                for stream in [CONTROL, MANIFEST, DATA] {
                    session.open_stream(stream, now);
                }
                let Script { control, manifest, manifest_ends, data } = &self.script.0;
                session.provide(CONTROL, control.len() as u64, false);
                session.provide(MANIFEST, manifest.len() as u64, *manifest_ends);
                session.provide(DATA, data.len() as u64, false);
            }
            Event::Data { stream: CONTROL, offset, start, end } => {
                let (decoder, messages) = (&mut self.decoder, &mut self.answer.messages);
                let bytes = &datagram[usize::from(start)..usize::from(end)];
                let taken =
                    self.inbox.receive(offset, bytes, |bytes| decoder.push(bytes, |m| messages.push(m))).unwrap();
                session.consume(CONTROL, taken, now);
                if messages.iter().any(|message| matches!(message, Message::Refused { .. } | Message::Result(_))) {
                    session.close(now, CloseCode::DONE, "");
                }
            }
            Event::Closed(reason) => {
                self.answer.closed = Some(reason);
                self.over = true;
            }
            _ => {}
        }
    }

    fn source(&mut self, _: SessionId) -> &mut Bytes {
        &mut self.script
    }
}

impl Role for Hostile {
    fn pump(&mut self, now: Instant, _: &mut HostWorker<'_>) -> bool {
        if now >= self.give_up_at {
            self.stop.store(true, Ordering::Relaxed);
        }
        false
    }

    fn prepare_wait(&mut self) -> (bool, BorrowedFd<'_>) {
        (false, self.never.as_fd())
    }

    fn deadline(&self) -> Option<Instant> {
        Some(self.give_up_at)
    }

    fn is_over(&self) -> bool {
        self.over
    }
}

/// Writes records of a manifest without any of the rules; `host/src/transfer/manifest/codec.rs` has the layout.
#[derive(Default)]
pub struct RawManifest {
    pub bytes: Vec<u8>,
    last_path: Vec<u8>,
}

impl RawManifest {
    fn number(&mut self, mut number: u64) {
        while number >= 0x80 {
            self.bytes.push(number as u8 | 0x80);
            number >>= 7;
        }
        self.bytes.push(number as u8);
    }

    fn entry(&mut self, kind: u64, path: &[u8]) {
        let shared = path.iter().zip(&self.last_path).take_while(|(a, b)| a == b).count();
        self.number(kind);
        self.number(shared as u64);
        self.number((path.len() - shared) as u64);
        self.bytes.extend_from_slice(&path[shared..]);
        // Mode, and a time equal to the entry's before.
        self.number(0o644);
        self.number(0);
        self.number(0);
        self.last_path = path.to_vec();
    }

    pub fn file(mut self, path: &str, len: u64) -> Self {
        self.entry(1, path.as_bytes());
        self.number(len);
        self
    }

    pub fn dir(mut self, path: &str) -> Self {
        self.entry(2, path.as_bytes());
        self
    }

    pub fn link(mut self, path: &str, target: &str) -> Self {
        self.entry(3, path.as_bytes());
        self.number(target.len() as u64);
        self.bytes.extend_from_slice(target.as_bytes());
        self
    }

    /// An entry of a kind that there is not.
    pub fn unknown(mut self, kind: u64, path: &str) -> Self {
        self.entry(kind, path.as_bytes());
        self
    }

    pub fn end(mut self) -> Vec<u8> {
        self.number(0);
        self.bytes
    }
}
