//! A peer whose key is genuine and whose packets are not: from some packet on, everything that it seals has a frame type
//! that there is not.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use wirehaul::clock::Clock;
use wirehaul::crypto::{DataKey, NoiseHandshake, StaticKey, local_suites};
use wirehaul::memory::{SessionSize, WorkerMemory};
use wirehaul::transfer::ticket::Ticket;
use wirehaul::udp::{Options, UdpDevice};
use wirehaul_core::crypto::{
    Acceptor, Aead, EpochKeys, Forged, Handshake, HandshakeError, PSK_ID_BYTES, PUBLIC_KEY_BYTES, Suite,
};
use wirehaul_core::session::{CloseReason, Config, Event, Session, Source};
use wirehaul_core::time::{Duration, Instant};
use wirehaul_core::wire::StreamId;
use wirehaul_core::worker::{Application, SessionId, Worker};

/// How long it waits to be cut off.
const PATIENCE: Duration = Duration::from_secs(20);

/// Calls the receiver that made `ticket`, and seals nonsense from the packet of this number on. Returns how the session
/// ended, how many packets were nonsense, and the caller's key.
pub fn call(ticket: &str, from: u64) -> (Option<CloseReason>, u64, String) {
    let ticket: Ticket = ticket.parse().unwrap();
    let identity = Arc::new(StaticKey::generate().unwrap());
    let key = identity.public().to_string();
    let clock = Clock::start();
    let mut device = UdpDevice::bind("127.0.0.1:0".parse().unwrap(), &Options::default()).unwrap();
    let mut memory = WorkerMemory::new(1, SessionSize::SENDER).unwrap();
    let mut streams = Vec::new();
    let mut slots = memory.slots::<FaultyHandshake>(&mut streams);
    let config = Config { suites: local_suites(), ..Config::default() };
    let mut worker = Worker::new(config.clone(), Nobody, false, &mut slots);
    let psk = ticket.psk();
    let noise = NoiseHandshake::initiator(identity, psk.clone(), ticket.responder()).unwrap();
    let nonsense = Arc::new(AtomicU64::new(0));
    let handshake = FaultyHandshake { noise, from, nonsense: Arc::clone(&nonsense) };
    let start = clock.now();
    let id = worker.connect(start, handshake, psk.id(), ticket.addresses()[0], config).unwrap();
    let mut caller = Caller::default();
    while caller.closed.is_none() && clock.now().saturating_since(start) < PATIENCE {
        let now = clock.now();
        worker.turn(now, &mut device, &mut caller);
        if let Some(session) = worker.session(id) {
            // A packet every turn, whatever the peer says.
            session.ping();
        }
        std::thread::sleep(std::time::Duration::from_millis(2));
    }
    (caller.closed, nonsense.load(Ordering::Relaxed), key)
}

#[derive(Default)]
struct Caller {
    closed: Option<CloseReason>,
    nothing: Nothing,
}

#[derive(Default)]
struct Nothing;

impl Source for Nothing {
    fn fill(&mut self, _: StreamId, _: u64, _: &mut [u8]) {}
}

impl Application<FaultyHandshake> for Caller {
    type Source = Nothing;

    fn on_event(&mut self, _: Instant, _: SessionId, _: &mut Session<'_, FaultyHandshake>, event: Event, _: &[u8]) {
        if let Event::Closed(reason) = event {
            self.closed = Some(reason);
        }
    }

    fn source(&mut self, _: SessionId) -> &mut Nothing {
        &mut self.nothing
    }
}

/// It only calls.
struct Nobody;

impl Acceptor for Nobody {
    type Handshake = FaultyHandshake;

    fn accept(&mut self, _: &[u8; PSK_ID_BYTES]) -> Option<FaultyHandshake> {
        None
    }

    fn cookie(&self, input: &[u8]) -> [u8; 16] {
        let mut cookie = [7; 16];
        for (place, byte) in cookie.iter_mut().zip(input) {
            *place ^= byte;
        }
        cookie
    }
}

/// Noise, with keys that seal nonsense.
pub struct FaultyHandshake {
    noise: NoiseHandshake,
    from: u64,
    nonsense: Arc<AtomicU64>,
}

impl FaultyHandshake {
    fn spoiled(&self, keys: EpochKeys<DataKey>) -> EpochKeys<FaultyKey> {
        let key = |key| FaultyKey { key, from: self.from, nonsense: Arc::clone(&self.nonsense) };
        EpochKeys { seal: key(keys.seal), open: key(keys.open) }
    }
}

/// One direction's key.
pub struct FaultyKey {
    key: DataKey,
    from: u64,
    nonsense: Arc<AtomicU64>,
}

impl Aead for FaultyKey {
    fn seal_in_place(&self, packet_number: u64, associated: &[u8], buf: &mut [u8]) {
        if packet_number >= self.from {
            buf[0] = 0x77;
            self.nonsense.fetch_add(1, Ordering::Relaxed);
        }
        self.key.seal_in_place(packet_number, associated, buf);
    }

    fn open_in_place(&self, packet_number: u64, associated: &[u8], buf: &mut [u8]) -> Result<usize, Forged> {
        self.key.open_in_place(packet_number, associated, buf)
    }
}

impl Handshake for FaultyHandshake {
    type Aead = FaultyKey;

    fn write_message(&mut self, payload: &[u8], out: &mut [u8]) -> Result<usize, HandshakeError> {
        self.noise.write_message(payload, out)
    }

    fn read_message(&mut self, message: &[u8], payload: &mut [u8]) -> Result<usize, HandshakeError> {
        self.noise.read_message(message, payload)
    }

    fn first_keys(&mut self, suite: Suite) -> Result<EpochKeys<FaultyKey>, HandshakeError> {
        let keys = self.noise.first_keys(suite)?;
        Ok(self.spoiled(keys))
    }

    fn rekey_offer(&mut self) -> Result<[u8; PUBLIC_KEY_BYTES], HandshakeError> {
        self.noise.rekey_offer()
    }

    fn rekey_answer(
        &mut self,
        offer: &[u8; PUBLIC_KEY_BYTES],
    ) -> Result<([u8; PUBLIC_KEY_BYTES], EpochKeys<FaultyKey>), HandshakeError> {
        let (answer, keys) = self.noise.rekey_answer(offer)?;
        Ok((answer, self.spoiled(keys)))
    }

    fn rekey_finish(&mut self, answer: &[u8; PUBLIC_KEY_BYTES]) -> Result<EpochKeys<FaultyKey>, HandshakeError> {
        let keys = self.noise.rekey_finish(answer)?;
        Ok(self.spoiled(keys))
    }

    fn random(&mut self) -> Result<[u8; 8], HandshakeError> {
        self.noise.random()
    }
}
