//! What handling a packet costs all in all: two sessions with the handshake and the AEAD that ship, in one thread and
//! without a network.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration as Span;

use wirehaul::crypto::{NoiseHandshake, PeerPolicy, Psk, StaticKey, local_suites};
use wirehaul_core::crypto::HandshakeError;
use wirehaul_core::device::Ecn;
use wirehaul_core::ranges::Range;
use wirehaul_core::session::{
    Config, Event, Incoming, SentPacket, Session, Source, Storage, StreamSlot, StreamStorage, TooSmall,
};
use wirehaul_core::time::{Duration, Instant};
use wirehaul_core::wire::{InitBody, Reject, StreamId};

use super::packets::LARGE_BYTES;
use crate::clock::Stopwatch;

/// Packets that the sender hands over at a time: as many as one GSO call may take.
const RUN_PACKETS: usize = 32;
const SENT_PACKETS: usize = 4096;
const GAPS: usize = 64;

/// Why two sessions could not talk.
#[derive(Debug, thiserror::Error)]
pub enum HandlingError {
    /// No keys.
    #[error("the handshake failed: {0:?}")]
    Handshake(HandshakeError),
    /// A packet was refused.
    #[error("a packet was refused: {}", .0.rule())]
    Refused(Reject),
    /// Storage.
    #[error("the storage is too small for a session")]
    TooSmall,
    /// The sender fell silent.
    #[error("the sender has nothing to send")]
    Silent,
}

impl From<HandshakeError> for HandlingError {
    fn from(error: HandshakeError) -> Self {
        Self::Handshake(error)
    }
}

impl From<Reject> for HandlingError {
    fn from(reject: Reject) -> Self {
        Self::Refused(reject)
    }
}

impl From<TooSmall> for HandlingError {
    fn from(TooSmall: TooSmall) -> Self {
        Self::TooSmall
    }
}

/// A payload that costs nothing to make.
struct Zeros;

impl Source for Zeros {
    fn fill(&mut self, _stream: StreamId, _offset: u64, _out: &mut [u8]) {}
}

/// What sessions keep elsewhere.
struct Memory {
    sent: Vec<SentPacket>,
    ranges: [Vec<Range>; 5],
}

impl Memory {
    fn new() -> Self {
        let ranges = std::array::from_fn(|_| vec![Range::default(); GAPS]);
        Self { sent: vec![SentPacket::default(); SENT_PACKETS], ranges }
    }

    fn lend<'a>(&'a mut self, slots: &'a mut Vec<StreamSlot<'a>>) -> Storage<'a> {
        let [acked_packets, received_packets, received, acked, lost] = &mut self.ranges;
        slots.push(StreamSlot::Free(StreamStorage { received, acked, lost }));
        Storage { sent: &mut self.sent, acked_packets, received_packets, streams: slots }
    }
}

/// How long the receiver takes for a full packet of an MTU of 1500 bytes: opened, checked, recorded, and its event taken.
/// The mean over `count` packets, in nanoseconds.
///
/// # Errors
/// See [`HandlingError`].
pub fn nanos_per_packet(count: u64) -> Result<f64, HandlingError> {
    let (mut memories, mut slots) = ([Memory::new(), Memory::new()], [Vec::new(), Vec::new()]);
    let [sender_memory, receiver_memory] = &mut memories;
    let [sender_slots, receiver_slots] = &mut slots;
    let config = Config {
        suites: local_suites(),
        datagram_bytes: LARGE_BYTES,
        pacing: false,
        initial_window_bytes: 1 << 30,
        max_window_bytes: 1 << 30,
        ..Config::default()
    };
    let addresses = [1, 2].map(|host| SocketAddr::from((Ipv4Addr::new(192, 0, 2, host), 4000)));
    let key = |secret| Arc::new(StaticKey::from_secret(&[secret; 32]));
    let psk = || Psk::of_ticket(b"a bench's ticket");
    let now = Instant::from_nanos(1_000_000_000);

    let handshake = NoiseHandshake::initiator(key(1), psk(), key(2).public())?;
    let storage = sender_memory.lend(sender_slots);
    let mut sender = Session::initiate(config.clone(), handshake, [0; 8], addresses[1], 1, storage, now)?;
    let mut buffer = vec![0; RUN_PACKETS * LARGE_BYTES];
    let init = sender.poll_transmit(now, &mut Zeros, &mut buffer, 1).ok_or(HandlingError::Silent)?;
    let handshake = NoiseHandshake::responder(key(2), psk(), PeerPolicy::Any)?;
    let body = InitBody::parse(&buffer[12..init.len])?;
    let incoming = Incoming::open(handshake, &body, &config, init.len)?;
    let storage = receiver_memory.lend(receiver_slots);
    let receiver = Session::respond(config, incoming, addresses[0], 2, storage, now)?;
    Exchange { sender, receiver, addresses, now, buffer, handled: 0, spent: Span::ZERO }.run(count)
}

struct Exchange<'a> {
    sender: Session<'a, NoiseHandshake>,
    receiver: Session<'a, NoiseHandshake>,
    addresses: [SocketAddr; 2],
    now: Instant,
    buffer: Vec<u8>,
    handled: u64,
    spent: Span,
}

impl Exchange<'_> {
    fn run(mut self, count: u64) -> Result<f64, HandlingError> {
        self.answer()?;
        let opened = self.sender.open_stream(StreamId::FIRST, self.now);
        if !opened || !self.sender.provide(StreamId::FIRST, 1 << 48, false) {
            return Err(HandlingError::Silent);
        }
        let mut silent = 0;
        while self.handled < count {
            silent = if self.run_of_packets()? { 0 } else { silent + 1 };
            if silent > 1000 {
                return Err(HandlingError::Silent);
            }
            self.answer()?;
            self.now += Duration::from_micros(100);
            self.sender.handle_timeout(self.now);
            self.receiver.handle_timeout(self.now);
        }
        Ok(self.spent.as_nanos() as f64 / self.handled as f64)
    }

    /// The sender's next run, to the receiver; `false` where it has none.
    fn run_of_packets(&mut self) -> Result<bool, HandlingError> {
        let sent = self.sender.poll_transmit(self.now, &mut Zeros, &mut self.buffer, RUN_PACKETS);
        let Some(transmit) = sent else { return Ok(false) };
        let watch = Stopwatch::start();
        for datagram in self.buffer[..transmit.len].chunks_mut(transmit.segment_bytes) {
            self.receiver.handle_datagram(self.now, self.addresses[0], Ecn::Ect0, datagram)?;
            while let Some(event) = self.receiver.poll_event() {
                if let Event::Data { stream, start, end, .. } = event {
                    self.receiver.consume(stream, u64::from(end - start), self.now);
                }
            }
        }
        // Of a stream without an end all are full packets, but for the first few that carry control frames alone.
        if transmit.len >= LARGE_BYTES {
            self.spent += watch.elapsed();
            self.handled += transmit.len.div_ceil(LARGE_BYTES) as u64;
        }
        Ok(true)
    }

    /// What the receiver says, to the sender.
    fn answer(&mut self) -> Result<(), HandlingError> {
        while let Some(transmit) = self.receiver.poll_transmit(self.now, &mut Zeros, &mut self.buffer, 1) {
            let datagram = &mut self.buffer[..transmit.len];
            self.sender.handle_datagram(self.now, self.addresses[1], Ecn::Ect0, datagram)?;
            while self.sender.poll_event().is_some() {}
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::nanos_per_packet;

    #[test]
    fn packets_are_handled() {
        assert!(nanos_per_packet(1000).is_ok_and(|nanos| nanos > 0.0));
    }
}
