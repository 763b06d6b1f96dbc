//! Two sessions that talk through the hands of a test: nothing moves unless the test moves it.

use std::net::{Ipv4Addr, SocketAddr};

use wirehaul_core::crypto::{Acceptor, SuiteSet};
use wirehaul_core::crypto::{PSK_ID_BYTES, Suite};
use wirehaul_core::device::{Ecn, Transmit};
use wirehaul_core::limits::{MAX_DATAGRAM_BYTES, PACKET_HEADER_BYTES, TAG_BYTES};
use wirehaul_core::ranges::Range;
use wirehaul_core::session::{
    Config, Event, Incoming, SentPacket, Session, Source, Storage, StreamSlot, StreamStorage,
};
use wirehaul_core::time::{Duration, Instant};
use wirehaul_core::wire::{InitBody, PacketFlags, PacketHeader, PacketKind, Reject, RejectCounters, StreamId};
use wirehaul_sim::crypto::{Identity, SimAcceptor, SimHandshake, Vigilance};
use wirehaul_sim::rng::{Purpose, Seed};

use crate::agreement::{Agreement, Fault};

/// One of the two.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// The one that sent the first message.
    Caller,
    /// The one that answered it.
    Listener,
}

impl End {
    /// Both.
    pub const BOTH: [Self; 2] = [Self::Caller, Self::Listener];

    /// The other one.
    #[must_use]
    pub const fn peer(self) -> Self {
        match self {
            Self::Caller => Self::Listener,
            Self::Listener => Self::Caller,
        }
    }

    /// Its address.
    #[must_use]
    pub fn address(self) -> SocketAddr {
        (Ipv4Addr::new(192, 0, 2, 1 + self as u8), 4000).into()
    }

    const fn local_index(self) -> u32 {
        0x1000 + self as u32
    }
}

/// How the two are set up.
#[derive(Clone, Debug)]
pub struct Options {
    /// What their AEADs do of their work.
    pub vigilance: Vigilance,
    /// Settings of both sessions.
    pub config: Config,
    /// Records of sent packets; gaps in packet numbers; streams; gaps in a stream.
    pub room: [usize; 4],
    /// Static keys that both accept; `None` accepts any. Theirs are 1 and 2.
    pub known: Option<Vec<u64>>,
    /// Where their secrets come from.
    pub seed: u64,
}

impl Default for Options {
    fn default() -> Self {
        let config = Config {
            suites: SuiteSet::EMPTY.with(Suite::Aes128Gcm),
            initial_window_bytes: 1 << 16,
            max_window_bytes: 1 << 18,
            ..Config::default()
        };
        Self { vigilance: Vigilance::Strict, config, room: [64, 16, 4, 8], known: None, seed: 1 }
    }
}

impl Options {
    /// Nothing is encrypted and every tag passes: the test can speak as a peer that holds the keys.
    #[must_use]
    pub fn transparent() -> Self {
        Self { vigilance: Vigilance::Transparent, ..Self::default() }
    }

    fn identity(&self, end: End) -> Identity {
        let mut identity = Identity::new(1 + end as u64);
        identity.known.clone_from(&self.known);
        identity.vigilance = self.vigilance;
        identity
    }
}

/// The byte that an end sends at this place of a stream.
#[must_use]
pub const fn content(end: End, stream: StreamId, offset: u64) -> u8 {
    let place = offset.wrapping_add((stream.get() as u64) << 20).wrapping_add((end as u64) << 40);
    (place.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 56) as u8
}

/// Writes [`content`].
#[derive(Clone, Copy, Debug)]
struct Contents(End);

impl Source for Contents {
    fn fill(&mut self, stream: StreamId, offset: u64, out: &mut [u8]) {
        out.iter_mut().zip(offset..).for_each(|(byte, at)| *byte = content(self.0, stream, at));
    }
}

/// What a session made of a datagram.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Shown {
    /// What it returned.
    pub outcome: Result<(), Reject>,
    /// By how much its counters of refused datagrams went up.
    pub counted: RejectCounters,
    /// Whether the digest of its state is what it was.
    pub unchanged: bool,
}

/// Two sessions; see the module.
pub struct Pair<'a> {
    options: Options,
    caller: Session<'a, Agreement>,
    listener: Option<Session<'a, Agreement>>,
    room: Option<Storage<'a>>,
    acceptor: SimAcceptor,
    /// What time it is.
    pub now: Instant,
    /// Makes handshake messages fail at either end.
    pub fault: Fault,
    /// Where each end is.
    addresses: [SocketAddr; 2],
    buffer: Vec<u8>,
    events: [Vec<Event>; 2],
    received: [Vec<u8>; 2],
}

/// What sessions keep elsewhere.
pub(crate) struct Memory {
    sent: Vec<SentPacket>,
    ranges: Vec<Range>,
}

impl Memory {
    pub(crate) fn new([sent, packet_gaps, streams, stream_gaps]: [usize; 4]) -> Self {
        let ranges = 2 * packet_gaps + 3 * streams * stream_gaps;
        Self { sent: vec![SentPacket::default(); sent], ranges: vec![Range::default(); ranges] }
    }

    pub(crate) fn lend<'a>(&'a mut self, room: [usize; 4], slots: &'a mut Vec<StreamSlot<'a>>) -> Storage<'a> {
        let [_, packet_gaps, _, stream_gaps] = room;
        let (acked_packets, rest) = self.ranges.split_at_mut(packet_gaps);
        let (received_packets, rest) = rest.split_at_mut(packet_gaps);
        let mut pieces = rest.chunks_exact_mut(stream_gaps);
        while let (Some(received), Some(acked), Some(lost)) = (pieces.next(), pieces.next(), pieces.next()) {
            slots.push(StreamSlot::Free(StreamStorage { received, acked, lost }));
        }
        Storage { sent: &mut self.sent, acked_packets, received_packets, streams: slots }
    }
}

/// Runs `test` with storage for one session of this much room, as [`Options::room`] has it.
pub fn with_storage<R>(room: [usize; 4], test: impl FnOnce(Storage<'_>) -> R) -> R {
    let (mut memory, mut slots) = (Memory::new(room), Vec::new());
    test(memory.lend(room, &mut slots))
}

/// The source of a session that sends no data.
#[derive(Clone, Copy, Debug)]
pub struct Silent;

impl Source for Silent {
    fn fill(&mut self, _stream: StreamId, _offset: u64, _out: &mut [u8]) {}
}

/// Runs `test` on a caller that has sent nothing yet, and on a listener that has heard nothing.
///
/// # Panics
/// Where the options leave no room for a session.
pub fn with_pair<R>(options: &Options, test: impl FnOnce(&mut Pair<'_>) -> R) -> R {
    let mut memories = End::BOTH.map(|_| Memory::new(options.room));
    let [caller_memory, listener_memory] = &mut memories;
    let (mut caller_slots, mut listener_slots) = (Vec::new(), Vec::new());
    let storage = caller_memory.lend(options.room, &mut caller_slots);
    let room = listener_memory.lend(options.room, &mut listener_slots);

    let fault = Fault::default();
    let random = |end| Seed(options.seed).stream(end as u64, Purpose::Keys);
    let mut initiators = SimAcceptor::new(options.identity(End::Caller), random(End::Caller));
    let acceptor = SimAcceptor::new(options.identity(End::Listener), random(End::Listener));
    let now = Instant::from_nanos(1_000_000_000);
    let (handshake, psk_id) = initiators.initiate();
    let agreement = Agreement::new(handshake, fault.clone());
    let (remote, index) = (End::Listener.address(), End::Caller.local_index());
    let session = Session::initiate(options.config.clone(), agreement, psk_id, remote, index, storage, now);
    let Ok(caller) = session else { panic!("{:?} is too little room", options.room) };
    test(&mut Pair {
        options: options.clone(),
        caller,
        listener: None,
        room: Some(room),
        acceptor,
        now,
        fault,
        addresses: End::BOTH.map(End::address),
        buffer: vec![0; MAX_DATAGRAM_BYTES + 1000],
        events: Default::default(),
        received: Default::default(),
    })
}

/// Runs `test` on a pair that has shaken hands and has exchanged a few packets, none of which is on its way.
///
/// # Panics
/// Where the two cannot agree.
pub fn with_established<R>(options: &Options, test: impl FnOnce(&mut Pair<'_>) -> R) -> R {
    with_pair(options, |pair| {
        pair.settle();
        assert!(End::BOTH.iter().all(|end| pair.session(*end).is_established()), "no handshake");
        for end in End::BOTH {
            pair.events(end);
        }
        test(pair)
    })
}

impl<'a> Pair<'a> {
    /// The session of this end.
    ///
    /// # Panics
    /// For a listener that has not heard the first message.
    pub fn session(&mut self, end: End) -> &mut Session<'a, Agreement> {
        match (end, &mut self.listener) {
            (End::Caller, _) => &mut self.caller,
            (End::Listener, Some(listener)) => listener,
            (End::Listener, None) => panic!("the listener has not heard the first message"),
        }
    }

    /// Whether the listener has heard the first message.
    #[must_use]
    pub const fn has_listener(&self) -> bool {
        self.listener.is_some()
    }

    /// A key agreement on the listener's side that no session has, and the id of its pre-shared key.
    pub fn another_responder(&mut self, psk_id: &[u8; PSK_ID_BYTES]) -> Option<SimHandshake> {
        self.acceptor.accept(psk_id)
    }

    /// This end is at another address from now on, and nobody is told.
    pub fn move_to(&mut self, end: End, address: SocketAddr) {
        self.addresses[end as usize] = address;
    }

    /// The next datagram that this end sends to where its peer is; what it sends elsewhere is lost.
    pub fn send(&mut self, end: End) -> Option<Vec<u8>> {
        let (now, mut buffer) = (self.now, std::mem::take(&mut self.buffer));
        let transmit = match (end, &mut self.listener) {
            (End::Caller, _) => self.caller.poll_transmit(now, &mut Contents(end), &mut buffer, 1),
            (End::Listener, Some(listener)) => listener.poll_transmit(now, &mut Contents(end), &mut buffer, 1),
            (End::Listener, None) => None,
        };
        let there = self.addresses[end.peer() as usize];
        let lost = transmit.is_some_and(|transmit| transmit.remote != there);
        let datagram = transmit.map(|Transmit { len, .. }| buffer[..len].to_vec());
        self.buffer = buffer;
        if lost { self.send(end) } else { datagram }
    }

    /// Hands `datagram` to this end, as from its peer. The listener's first is to be an INIT.
    ///
    /// # Errors
    /// What the session says.
    pub fn hand(&mut self, end: End, datagram: &[u8]) -> Result<(), Reject> {
        self.hand_from(end, self.addresses[end.peer() as usize], datagram)
    }

    /// Hands `datagram` to this end, as from `remote`.
    ///
    /// # Errors
    /// What the session says.
    pub fn hand_from(&mut self, end: End, remote: SocketAddr, datagram: &[u8]) -> Result<(), Reject> {
        if end == End::Listener && self.listener.is_none() {
            return self.answer(datagram);
        }
        let (now, mut bytes) = (self.now, std::mem::take(&mut self.received[end as usize]));
        bytes.clear();
        bytes.extend_from_slice(datagram);
        let session = self.session(end);
        let outcome = session.handle_datagram(now, remote, Ecn::Ect0, &mut bytes);
        self.received[end as usize] = bytes;
        self.take_events(end);
        outcome
    }

    /// Starts the listener's session with this INIT.
    fn answer(&mut self, datagram: &[u8]) -> Result<(), Reject> {
        let (header, at) = PacketHeader::parse(datagram)?;
        if header.kind != PacketKind::Init {
            return Err(Reject::NotForUs);
        }
        let init = InitBody::parse(&datagram[at..])?;
        let handshake = self.acceptor.accept(&init.psk_id).ok_or(Reject::UnknownPsk)?;
        let agreement = Agreement::new(handshake, self.fault.clone());
        let incoming = Incoming::open(agreement, &init, &self.options.config, datagram.len())?;
        let (remote, index) = (self.addresses[End::Caller as usize], End::Listener.local_index());
        let room = self.room.take().ok_or(Reject::SessionsFull)?;
        let session = Session::respond(self.options.config.clone(), incoming, remote, index, room, self.now);
        self.listener = Some(session.map_err(|_| Reject::SessionsFull)?);
        Ok(())
    }

    /// Hands `datagram` to this end and says what changed.
    pub fn show(&mut self, end: End, datagram: &[u8]) -> Shown {
        self.show_from(end, end.peer().address(), datagram)
    }

    /// Hands `datagram` to this end, as from `remote`, and says what changed.
    pub fn show_from(&mut self, end: End, remote: SocketAddr, datagram: &[u8]) -> Shown {
        let before = (self.session(end).digest(), self.session(end).stats().rejects);
        let outcome = self.hand_from(end, remote, datagram);
        let session = self.session(end);
        let mut counted = RejectCounters::new();
        for (reject, count) in session.stats().rejects.iter() {
            (before.1.get(reject)..count).for_each(|_| counted.count(reject));
        }
        Shown { outcome, counted, unchanged: session.digest() == before.0 }
    }

    /// Hands `datagram` to this end; a refusal must count once, and change nothing else (FRAME-5).
    ///
    /// # Errors
    /// What the session says.
    ///
    /// # Panics
    /// Where a refusal changed something.
    pub fn hand_checked(&mut self, end: End, datagram: &[u8]) -> Result<(), Reject> {
        let session = self.session(end);
        let (digest, refused) = (session.digest(), session.stats().rejects.total());
        let outcome = self.hand(end, datagram);
        if let Err(reject) = outcome {
            let session = self.session(end);
            assert_eq!(session.stats().rejects.total(), refused + 1, "{reject:?} of {datagram:02x?}");
            let may_change = reject == Reject::UnknownPeer;
            assert!(may_change || session.digest() == digest, "{reject:?} changed the session: {datagram:02x?}");
        }
        outcome
    }

    /// Does what is due at this end now.
    pub fn fire(&mut self, end: End) {
        let now = self.now;
        self.session(end).handle_timeout(now);
        self.take_events(end);
    }

    /// Takes the events of this end that calls other than [`Pair::hand`] and [`Pair::fire`] made.
    pub fn take_events(&mut self, end: End) {
        while let Some(event) = self.session(end).poll_event() {
            self.events[end as usize].push(event);
        }
    }

    /// The events of this end since the last call, and the last datagram that was handed to it, as it was decrypted.
    pub fn events(&mut self, end: End) -> (Vec<Event>, &[u8]) {
        (std::mem::take(&mut self.events[end as usize]), &self.received[end as usize])
    }

    /// Lets each hear what the other has to say, until neither has more to say at once or within the next 200 ms.
    pub fn settle(&mut self) {
        let until = self.now + Duration::from_millis(200);
        for _ in 0..1000 {
            let mut moved = false;
            for end in End::BOTH {
                while let Some(datagram) = self.send(end) {
                    moved = true;
                    let _ = self.hand(end.peer(), &datagram);
                }
            }
            if moved {
                continue;
            }
            let next = End::BOTH.iter().filter_map(|end| match (end, &self.listener) {
                (End::Caller, _) => self.caller.poll_timeout(),
                (End::Listener, listener) => listener.as_ref()?.poll_timeout(),
            });
            let Some(next) = next.min().filter(|next| *next <= until) else { break };
            self.now = self.now.max(next);
            self.fire(End::Caller);
            if self.has_listener() {
                self.fire(End::Listener);
            }
        }
    }
}

/// A protected packet for this end with `body` in the clear and a tag of zeros, for [`Options::transparent`].
#[must_use]
pub fn forge(to: End, number: u64, body: &[u8]) -> Vec<u8> {
    let header = PacketHeader {
        kind: PacketKind::Protected,
        flags: PacketFlags::empty(),
        receiver: to.local_index(),
        packet_number_low: number as u32,
    };
    let mut datagram = vec![0; PACKET_HEADER_BYTES];
    let written = header.write(&mut datagram);
    debug_assert_eq!(written, Some(PACKET_HEADER_BYTES));
    datagram.extend_from_slice(body);
    datagram.extend_from_slice(&[0; TAG_BYTES]);
    datagram
}

/// A handshake packet for this end.
#[must_use]
pub fn handshake_packet(to: End, kind: PacketKind, body: &[u8]) -> Vec<u8> {
    let receiver = if kind == PacketKind::Init { 0 } else { to.local_index() };
    let header = PacketHeader { kind, flags: PacketFlags::empty(), receiver, packet_number_low: 0 };
    let mut datagram = vec![0; PACKET_HEADER_BYTES];
    let written = header.write(&mut datagram);
    debug_assert_eq!(written, Some(PACKET_HEADER_BYTES));
    datagram.extend_from_slice(body);
    datagram
}
