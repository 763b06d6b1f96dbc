//! A pair of sessions driven by bytes: each is an operation of an application, of the network between the two, or of an
//! attacker. A model that knows nothing of sessions says what must come of it.
//!
//! The first byte says which of two games is played. In the honest one tags are checked, the network may lose, repeat,
//! reorder and alter, and the model holds: each byte is reported once and as it was sent, nothing is acknowledged that did
//! not arrive, windows are kept, and in the end everything gets through. In the hostile one the attacker holds the keys
//! and may say anything to either end; all that holds then is that a refusal changes nothing and that no call goes on
//! for ever.

use std::collections::VecDeque;
use std::net::Ipv4Addr;

use wirehaul_core::congestion::ControllerKind;
use wirehaul_core::rate::Rate;
use wirehaul_core::session::{CloseCode, Event};
use wirehaul_core::time::Duration;
use wirehaul_core::wire::{PacketHeader, PacketKind, Reject, StreamId};

use crate::choices::Choices;
use crate::packets::protected_body;
use crate::pair::{End, Options, Pair, content, forge, handshake_packet, with_pair};

/// Streams of the game.
const STREAMS: usize = 4;
/// Most bytes that an end sends on one stream.
const MAX_STREAM_BYTES: usize = 20_000;
/// Datagrams that a network may hold each way; more are lost.
const MAX_FLIGHT: usize = 200;
/// Datagrams that a session may send without being told anything in between.
const MAX_RUN: usize = 2000;
/// Waits in which everything must get through once the network loses nothing.
const MAX_WAITS: usize = 3000;

/// The bytes that are left; zeros behind their end.
struct Script<'s>(&'s [u8]);

impl<'s> Script<'s> {
    fn byte(&mut self) -> u8 {
        self.take(1).first().copied().unwrap_or(0)
    }

    fn word(&mut self) -> u16 {
        u16::from_le_bytes([self.byte(), self.byte()])
    }

    fn end(&mut self) -> End {
        End::BOTH[usize::from(self.byte() & 1)]
    }

    fn below(&mut self, bound: usize) -> usize {
        usize::from(self.byte()) % bound.max(1)
    }

    fn take(&mut self, len: usize) -> &'s [u8] {
        let (taken, rest) = self.0.split_at(len.min(self.0.len()));
        self.0 = rest;
        taken
    }
}

/// What one end sends on one stream, and what the other has of it.
#[derive(Clone, Debug, Default)]
struct Lane {
    provided: usize,
    fin: bool,
    arrived: Vec<bool>,
    /// How many bytes arrived.
    count: usize,
    finished: bool,
    consumed: usize,
    acknowledged: usize,
    /// Why its sender gave it up, and whether the receiver heard.
    reset: Option<u16>,
    reset_heard: bool,
}

impl Lane {
    fn is_done(&self) -> bool {
        match self.reset {
            None => self.count == self.provided && self.finished == self.fin,
            Some(_) => self.reset_heard || self.finished,
        }
    }
}

/// The game.
struct Game<'p, 'a> {
    pair: &'p mut Pair<'a>,
    hostile: bool,
    max_window: usize,
    /// By receiver.
    flight: [VecDeque<Vec<u8>>; 2],
    /// By sender.
    lanes: [[Lane; STREAMS]; 2],
    closed: [bool; 2],
    /// Whether an application closed its session.
    ended: bool,
}

/// What came of a script.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Outcome {
    /// Datagrams that were taken.
    pub accepted: u64,
    /// Datagrams that were refused.
    pub refused: u64,
    /// Stream bytes that arrived.
    pub delivered: u64,
}

/// Plays a script to its end.
///
/// # Panics
/// Where the model, or what holds in any case, is broken.
pub fn play(bytes: &[u8]) -> Outcome {
    let mut script = Script(bytes);
    let rules = script.byte();
    let hostile = rules & 1 == 1;
    let mut options = if hostile { Options::transparent() } else { Options::default() };
    options.room = if rules & 2 == 0 { [64, 8, STREAMS, 2] } else { [128, 32, STREAMS, 16] };
    options.config.controller = if rules & 4 == 0 { ControllerKind::Bbr } else { ControllerKind::Cubic };
    options.config.pacing = rules & 8 == 0;
    options.config.rekey_packets = if rules & 16 == 0 { 1 << 20 } else { 10 };
    options.config.initial_window_bytes = if rules & 32 == 0 { 1 << 16 } else { 3000 };
    options.config.max_window_bytes = if rules & 64 == 0 { 1 << 16 } else { 6000 };
    let max_window = options.config.max_window_bytes.max(options.config.initial_window_bytes) as usize;
    with_pair(&options, |pair| {
        if rules & 128 == 0 {
            pair.settle();
        }
        let (flight, lanes) = (Default::default(), Default::default());
        let mut game = Game { pair, hostile, max_window, flight, lanes, closed: [false; 2], ended: false };
        game.play(&mut script)
    })
}

impl Game<'_, '_> {
    fn play(&mut self, script: &mut Script<'_>) -> Outcome {
        let mut outcome = Outcome::default();
        // What was said while the two shook hands.
        End::BOTH.into_iter().for_each(|end| self.note_events(end));
        while !script.0.is_empty() {
            match self.step(script) {
                None => {}
                Some(Ok(())) => outcome.accepted += 1,
                Some(Err(_)) => outcome.refused += 1,
            }
        }
        if !self.hostile && !self.ended && self.closed == [false; 2] && self.pair.has_listener() {
            self.finish();
        }
        outcome.delivered = self.lanes.iter().flatten().map(|lane| lane.count as u64).sum();
        outcome
    }

    /// One operation; what a session made of a datagram, if it was handed one.
    fn step(&mut self, script: &mut Script<'_>) -> Option<Result<(), Reject>> {
        let operation = script.byte();
        match operation % 24 {
            0 => self.pair.now += Duration::from_micros(u64::from(script.word())),
            1..5 => self.send(script.end(), 1 + usize::from(operation >> 3)),
            5..11 => {
                let to = script.end();
                let datagram = self.flight[to as usize].pop_front()?;
                return self.hand(to, &datagram);
            }
            11 => {
                let to = script.end();
                let place = script.below(self.flight[to as usize].len());
                let datagram = self.flight[to as usize].remove(place)?;
                return self.hand(to, &datagram);
            }
            12 => {
                let (to, place) = (script.end(), script.byte());
                let flight = &mut self.flight[to as usize];
                if !flight.is_empty() {
                    flight.remove(usize::from(place) % flight.len());
                }
            }
            13 => {
                let datagram = self.copy_in_flight(script)?;
                return self.hand(datagram.0, &datagram.1);
            }
            14 => return self.alter(script),
            15 | 16 => self.provide(script),
            17 | 18 => self.consume(script),
            19 => self.wait(Duration::from_micros(u64::from(script.word()))),
            20 => self.inject(script)?,
            21 => self.change(script),
            22 => return self.forge(script),
            _ => {
                let to = script.end();
                if self.has(to) {
                    self.pair.fire(to);
                    self.note_events(to);
                }
            }
        }
        None
    }

    fn has(&self, end: End) -> bool {
        end == End::Caller || self.pair.has_listener()
    }

    /// Lets this end send at most so many datagrams.
    fn send(&mut self, from: End, most: usize) {
        for _ in 0..most {
            let Some(datagram) = self.pair.send(from) else { break };
            let flight = &mut self.flight[from.peer() as usize];
            flight.push_back(datagram);
            if flight.len() > MAX_FLIGHT {
                flight.pop_front();
            }
        }
        if self.has(from) {
            self.pair.take_events(from);
            self.note_events(from);
        }
    }

    fn hand(&mut self, to: End, datagram: &[u8]) -> Option<Result<(), Reject>> {
        let outcome = if self.has(to) { self.pair.hand_checked(to, datagram) } else { self.pair.hand(to, datagram) };
        if self.has(to) {
            self.note_events(to);
        }
        Some(outcome)
    }

    fn copy_in_flight(&self, script: &mut Script<'_>) -> Option<(End, Vec<u8>)> {
        let to = script.end();
        let place = script.below(self.flight[to as usize].len());
        Some((to, self.flight[to as usize].get(place)?.clone()))
    }

    /// An altered copy of a datagram arrives.
    fn alter(&mut self, script: &mut Script<'_>) -> Option<Result<(), Reject>> {
        let (to, mut datagram) = self.copy_in_flight(script)?;
        let sealed = PacketHeader::parse(&datagram).is_ok_and(|(header, _)| header.kind == PacketKind::Protected);
        let place = usize::from(script.word()) % datagram.len();
        let cut = script.byte();
        if cut == 0 {
            datagram.truncate(place);
        } else {
            datagram[place] ^= cut;
        }
        let outcome = self.hand(to, &datagram);
        let still_sealed = PacketHeader::parse(&datagram).is_ok_and(|(header, _)| header.kind == PacketKind::Protected);
        let noticed = self.hostile || !sealed || !still_sealed || matches!(outcome, Some(Err(_)));
        assert!(noticed, "an altered packet was taken: {datagram:02x?}");
        outcome
    }

    fn provide(&mut self, script: &mut Script<'_>) {
        let (from, stream, bytes) = (script.end(), script.below(STREAMS), script.word());
        if !self.has(from) {
            return;
        }
        let now = self.pair.now;
        let session = self.pair.session(from);
        session.open_stream(id(stream), now);
        let lane = &mut self.lanes[from as usize][stream];
        if lane.fin || lane.reset.is_some() {
            return;
        }
        let end = (lane.provided + usize::from(bytes >> 2)).min(MAX_STREAM_BYTES);
        let fin = bytes & 3 == 3;
        // A stream that the session has no room for is none of this end's.
        if session.provide(id(stream), end as u64, fin) {
            lane.provided = end;
            lane.fin = fin;
        }
    }

    fn consume(&mut self, script: &mut Script<'_>) {
        let (to, stream, share) = (script.end(), script.below(STREAMS), script.byte());
        let lane = &mut self.lanes[to.peer() as usize][stream];
        let bytes = (lane.count - lane.consumed) * usize::from(share) / 255;
        lane.consumed += bytes;
        if self.has(to) {
            let now = self.pair.now;
            self.pair.session(to).consume(id(stream), bytes as u64, now);
        }
    }

    /// Time passes until something is due, but no more than `most`; what is due then happens.
    fn wait(&mut self, most: Duration) {
        let ends: Vec<_> = End::BOTH.into_iter().filter(|end| self.has(*end)).collect();
        let next = ends.iter().filter_map(|end| self.pair.session(*end).poll_timeout()).min();
        let now = self.pair.now;
        self.pair.now = next.unwrap_or(now).clamp(now, now + most);
        for end in ends {
            self.pair.fire(end);
            self.note_events(end);
        }
    }

    /// An attacker who holds the keys sends frames; one who does not sends the same.
    fn inject(&mut self, script: &mut Script<'_>) -> Option<()> {
        let (to, number, len) = (script.end(), script.word(), script.byte());
        let bytes = script.take(16 + usize::from(len) % 100);
        // As they stand, or as choices of what well-formed frames say.
        let body = if number & 1 == 1 { bytes.to_vec() } else { protected_body(&mut Choices::Bytes(bytes)) };
        if self.has(to) && body.len() <= 8000 {
            // Above what the other end has sent so far, mostly.
            let outcome = self.hand(to, &forge(to, 200 + u64::from(number >> 4), &body))?;
            assert!(self.hostile || outcome.is_err(), "taken without a tag: {body:02x?}");
        }
        Some(())
    }

    /// The application, or its device, changes something.
    fn change(&mut self, script: &mut Script<'_>) {
        let (end, what) = (script.end(), script.byte());
        if !self.has(end) {
            return;
        }
        let now = self.pair.now;
        let session = self.pair.session(end);
        match what {
            0..100 => session.set_rate_cap((what > 9).then(|| Rate::from_bits_per_sec(1_000_000 << (what / 10))), now),
            100..150 => session.on_absence(now),
            // Awaited only where the pacer holds something back.
            150..200 => drop(session.await_departure()),
            200 => {
                session.close(now, CloseCode(what.into()), "as the script says");
                self.ended = true;
            }
            201..220 => self.give_up(end, usize::from(what) % STREAMS),
            220..226 => session.go_away(what.into()),
            226..232 => session.ping(),
            232..238 => session.on_local_address_changed(),
            238..242 => session.on_too_big(1_200 + 10 * usize::from(what), now),
            242..246 => drop(session.open_stream_with(id(usize::from(what) % STREAMS), 5_000, what, now)),
            // Two that both move before either has heard of the other never meet again.
            246..250 => self.pair.move_to(End::Caller, (Ipv4Addr::new(198, 51, 100, what), 4000).into()),
            250 => self.pair.move_to(End::Caller, (Ipv4Addr::new(192, 0, 2, 1), 4001).into()),
            _ => session.on_repeated_init(usize::from(what)),
        }
        self.pair.take_events(end);
        self.note_events(end);
    }

    /// The application of this end gives up what it sends on a stream.
    fn give_up(&mut self, end: End, stream: usize) {
        let code = 1000 + stream as u16;
        let lane = &mut self.lanes[end as usize][stream];
        if self.pair.session(end).reset_stream(id(stream), code) {
            assert!(self.hostile || lane.reset.is_none(), "given up twice");
            lane.reset = Some(code);
        }
    }

    /// A handshake packet with any body arrives: hostile, as it may end a call that is not answered yet.
    fn forge(&mut self, script: &mut Script<'_>) -> Option<Result<(), Reject>> {
        use PacketKind::{Cookie, Finish, Init, Refused, Response, Version};
        let (to, kind, len) = (script.end(), script.below(6), script.byte());
        let body = script.take(usize::from(len) % 50);
        let kind = [Init, Cookie, Response, Finish, Version, Refused][kind];
        (self.hostile && self.has(to)).then(|| self.hand(to, &handshake_packet(to, kind, body)))?
    }

    /// Holds what this end was told against the model.
    fn note_events(&mut self, end: End) {
        let (events, datagram) = self.pair.events(end);
        for event in events {
            if self.hostile {
                continue;
            }
            assert!(!self.closed[end as usize], "{event:?} behind the end");
            match event {
                Event::Data { stream, offset, start, end: behind } => {
                    let bytes = &datagram[usize::from(start)..usize::from(behind)];
                    note_data(&mut self.lanes[end.peer() as usize][index(stream)], end.peer(), stream, offset, bytes);
                }
                Event::StreamFinished { stream } => {
                    let lane = &mut self.lanes[end.peer() as usize][index(stream)];
                    assert!(lane.fin && !lane.finished && lane.count == lane.provided, "{stream:?} is finished");
                    lane.finished = true;
                }
                Event::Acknowledged { stream, upto } => {
                    let lane = &mut self.lanes[end as usize][index(stream)];
                    let upto = upto as usize;
                    assert!(upto > lane.acknowledged, "acknowledged up to {upto} again");
                    let arrived = lane.arrived.get(..upto).is_some_and(|bytes| bytes.iter().all(|arrived| *arrived));
                    // Of a stream that was given up, bytes that are late arrive at nobody.
                    let arrived = arrived || lane.reset.is_some();
                    assert!(arrived, "{upto} bytes of {stream:?} are acknowledged and did not arrive");
                    lane.acknowledged = upto;
                }
                Event::Closed(_) => self.closed[end as usize] = true,
                Event::StreamReset { stream, code } => {
                    let lane = &mut self.lanes[end.peer() as usize][index(stream)];
                    assert!(lane.reset == Some(code) && !lane.reset_heard && !lane.finished, "{stream:?} is given up");
                    lane.reset_heard = true;
                }
                Event::PathChanged { .. } => assert_eq!(end, End::Listener, "the listener stays where it is"),
                Event::Connected | Event::GoingAway | Event::Pong { .. } => {}
            }
        }
        self.check_windows(end);
    }

    /// No more waits for the application than the largest window.
    fn check_windows(&self, end: End) {
        let lanes = &self.lanes[end.peer() as usize];
        let ahead = |lane: &Lane| lane.arrived.len() - lane.consumed.min(lane.arrived.len());
        assert!(lanes.iter().all(|lane| ahead(lane) <= self.max_window), "a stream is beyond its window");
        assert!(lanes.iter().map(ahead).sum::<usize>() <= self.max_window, "the connection is beyond its window");
    }

    /// The network loses nothing from here on, and applications take all there is: everything gets through.
    fn finish(&mut self) {
        let now = self.pair.now;
        End::BOTH.into_iter().for_each(|end| self.pair.session(end).set_rate_cap(None, now));
        // A caller that has nothing to say would be found only by its next sign of life.
        self.pair.session(End::Caller).on_local_address_changed();
        for _ in 0..MAX_WAITS {
            for _ in 0..MAX_RUN {
                End::BOTH.into_iter().for_each(|end| self.send(end, MAX_FLIGHT / 2));
                if self.flight.iter().all(VecDeque::is_empty) {
                    break;
                }
                for to in End::BOTH {
                    while let Some(datagram) = self.flight[to as usize].pop_front() {
                        self.hand(to, &datagram);
                        self.consume_all(to);
                    }
                }
            }
            assert!(self.flight.iter().all(VecDeque::is_empty), "the two never fall silent");
            let done = self.lanes.iter().flatten().all(Lane::is_done);
            // One that was silent for the idle time-out while the script let time pass is gone, as it should be.
            if done || self.closed != [false; 2] {
                return;
            }
            self.wait(Duration::from_secs(60));
        }
        panic!("not everything gets through: {:?}", self.lanes.each_ref().map(|lanes| lanes.each_ref().map(told)));
    }

    fn consume_all(&mut self, to: End) {
        let now = self.pair.now;
        for stream in 0..STREAMS {
            let lane = &mut self.lanes[to.peer() as usize][stream];
            let bytes = lane.count - lane.consumed;
            lane.consumed += bytes;
            self.pair.session(to).consume(id(stream), bytes as u64, now);
        }
    }
}

fn id(stream: usize) -> StreamId {
    StreamId::new(16 + stream as u16).unwrap_or(StreamId::FIRST)
}

fn index(stream: StreamId) -> usize {
    usize::from(stream.get()) - 16
}

/// What is said of a lane in a failure.
fn told(lane: &Lane) -> (usize, usize, bool, bool) {
    (lane.provided, lane.count, lane.fin, lane.finished)
}

fn note_data(lane: &mut Lane, from: End, stream: StreamId, offset: u64, bytes: &[u8]) {
    let start = offset as usize;
    assert!(start + bytes.len() <= lane.provided, "bytes that nobody sent");
    lane.arrived.resize(lane.arrived.len().max(start + bytes.len()), false);
    for (place, byte) in (start..).zip(bytes) {
        assert!(!lane.arrived[place], "byte {place} of {stream:?} is reported twice");
        assert_eq!(*byte, content(from, stream, place as u64), "byte {place} of {stream:?}");
        lane.arrived[place] = true;
    }
    lane.count += bytes.len();
}
