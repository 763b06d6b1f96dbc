//! The loop that host and simulator both run: one bounded, run-to-completion turn over a device, sessions and timers.
//!
//! ```text
//! turn = receive one batch -> route each datagram to its session (or `accept`) -> events to the application
//!      -> timers that are due
//!      -> sessions in rotation: poll_transmit -> device
//!      -> sessions that are over give their storage back
//! ```
//!
//! A turn never waits. Between turns the owner sleeps until the device has something, the application has something
//! (a finished disk job), or [`Turn::next_timeout`] is reached.

mod accept;
mod number;
mod slots;

use core::net::SocketAddr;

use heapless::Deque;

pub use number::{MAX_WORKERS, WorkerNumber, owner_of};
pub use slots::{MAX_SESSIONS, SessionSlot};

use crate::{
    crypto::{Acceptor, Handshake, PSK_ID_BYTES},
    device::{Device, Ecn, Received, Submitted},
    limits::PACKET_HEADER_BYTES,
    session::{Config, Event, INDEX_PLACE_MASK, Session, Source},
    time::Instant,
    wire::{HeaderView, PacketKind, Reject, RejectCounters},
};
use accept::Reply;
use slots::SlotTable;

/// Runs that one session may send in a turn before the next one has its chance; more where a run holds few datagrams.
const RUNS_PER_SESSION: usize = 4;
/// Datagrams that it may send in a turn at least, where a device takes them one by one.
const DATAGRAMS_PER_SESSION: usize = 64;
/// Answers without a session that can wait to be sent; more INITs than this in one batch get none.
const REPLY_CAPACITY: usize = 32;

/// Names a session; never used twice in a row. No two workers of a process have the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SessionId(u32);

/// What happens on top of the sessions.
pub trait Application<H: Handshake> {
    /// Where a session's bytes come from when they leave.
    type Source: Source;

    /// Something happened to a session. `datagram` holds the bytes that [`Event::Data`] points into; they are gone
    /// afterwards. The session may be told anything in turn.
    fn on_event(&mut self, now: Instant, id: SessionId, session: &mut Session<'_, H>, event: Event, datagram: &[u8]);

    /// The source of this session's bytes.
    fn source(&mut self, id: SessionId) -> &mut Self::Source;
}

/// What a turn did, and when the next should be.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Turn {
    /// Datagrams received.
    pub received: usize,
    /// Runs of datagrams sent.
    pub sent: usize,
    /// The next timer, if any runs. It may lie in the past, or be now where a session has more to send than one turn
    /// lets it: then turn again at once.
    pub next_timeout: Option<Instant>,
}

/// Sessions that share a device. See the module.
pub struct Worker<'a, A: Acceptor> {
    config: Config,
    acceptor: A,
    listening: bool,
    number: WorkerNumber,
    slots: SlotTable<'a, A::Handshake>,
    replies: Deque<Reply, REPLY_CAPACITY>,
    /// Which session sends first in the next turn.
    rotation: usize,
    /// Whether a session used its share of the last turn up, and so may have more to send at once.
    has_more: bool,
    drawn: u64,
    rejects: RejectCounters,
}

/// No session can be started now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NoRoom;

impl<'a, A: Acceptor> Worker<'a, A> {
    /// A worker with room for `slots.len()` sessions, at most [`MAX_SESSIONS`]. Only a `listening` one lets peers in.
    pub fn new(config: Config, acceptor: A, listening: bool, slots: &'a mut [SessionSlot<'a, A::Handshake>]) -> Self {
        Self {
            config,
            acceptor,
            listening,
            number: WorkerNumber::FIRST,
            slots: SlotTable::new(slots),
            replies: Deque::new(),
            rotation: 0,
            has_more: false,
            drawn: 0,
            rejects: RejectCounters::default(),
        }
    }

    /// The same worker as one of several. To be called before it has sessions: their peers address them by it.
    #[must_use]
    pub const fn numbered(mut self, number: WorkerNumber) -> Self {
        self.number = number;
        self
    }

    /// Which of several workers it is.
    #[must_use]
    pub const fn number(&self) -> WorkerNumber {
        self.number
    }

    /// Starts a session with `remote`.
    ///
    /// # Errors
    /// [`NoRoom`] where every slot is taken.
    pub fn connect(
        &mut self,
        now: Instant,
        handshake: A::Handshake,
        psk_id: [u8; PSK_ID_BYTES],
        remote: SocketAddr,
        config: Config,
    ) -> Result<SessionId, NoRoom> {
        let index = self.draw_index().ok_or(NoRoom)?;
        self.slots.fill(index, |storage| {
            Session::initiate(config, handshake, psk_id, remote, index, storage, now).map_err(|_| NoRoom)
        })?;
        Ok(SessionId(index))
    }

    /// The session with this id, while it lives.
    pub fn session(&mut self, id: SessionId) -> Option<&mut Session<'a, A::Handshake>> {
        self.slots.by_id(id.0)
    }

    /// The sessions that live.
    pub fn sessions(&mut self) -> impl Iterator<Item = (SessionId, &mut Session<'a, A::Handshake>)> {
        self.slots.iter_mut().map(|session| (SessionId(session.id()), session))
    }

    /// How many sessions live.
    #[must_use]
    pub fn session_count(&self) -> usize {
        self.slots.len()
    }

    /// Datagrams that were refused before they reached a session, by reason.
    #[must_use]
    pub const fn rejects(&self) -> &RejectCounters {
        &self.rejects
    }

    /// Whether new peers are let in from now on.
    pub fn set_listening(&mut self, listening: bool) {
        self.listening = listening;
    }

    /// Does everything that can be done at `now` without waiting, in bounded steps.
    pub fn turn<D: Device>(&mut self, now: Instant, device: &mut D, app: &mut impl Application<A::Handshake>) -> Turn {
        let received = device.receive(|run| self.on_run(now, run, app));
        self.fire_timers(now, app);
        let sent = self.send_replies(device) + self.transmit(now, device, app);
        self.slots.reap();
        let next_timeout = if self.has_more { Some(now) } else { self.next_timeout() };
        Turn { received, sent, next_timeout }
    }

    fn on_run(&mut self, now: Instant, run: Received<'_>, app: &mut impl Application<A::Handshake>) {
        for datagram in run.bytes.chunks_mut(run.stride.max(1)) {
            if let Err(reject) = self.on_datagram(now, run.remote, run.ecn, datagram, app) {
                self.rejects.count(reject);
            }
        }
    }

    /// Routes one datagram. What a session refuses, the session counts.
    fn on_datagram(
        &mut self,
        now: Instant,
        remote: SocketAddr,
        ecn: Ecn,
        datagram: &mut [u8],
        app: &mut impl Application<A::Handshake>,
    ) -> Result<(), Reject> {
        let header = HeaderView::parse(datagram)?;
        let receiver = header.receiver();
        if header.kind() == PacketKind::Init {
            let len = datagram.len();
            return self.on_init(now, remote, datagram.get(PACKET_HEADER_BYTES..).unwrap_or(&[]), len);
        }
        let session = self.slots.get_mut(receiver).ok_or(Reject::NotForUs)?;
        let _counted_by_the_session = session.handle_datagram(now, remote, ecn, datagram);
        drain_events(now, session, datagram, app);
        Ok(())
    }

    fn fire_timers(&mut self, now: Instant, app: &mut impl Application<A::Handshake>) {
        for session in self.slots.iter_mut() {
            if session.poll_timeout().is_some_and(|at| at <= now) {
                session.handle_timeout(now);
                drain_events(now, session, &[], app);
            }
        }
    }

    fn transmit<D: Device>(&mut self, now: Instant, device: &mut D, app: &mut impl Application<A::Handshake>) -> usize {
        let mut sent = 0;
        let count = self.slots.capacity();
        self.rotation = (self.rotation + 1) % count.max(1);
        self.has_more = false;
        for place in 0..count {
            let Some(session) = self.slots.at_mut((self.rotation + place) % count) else { continue };
            let runs = transmit_session(now, session, device, app);
            self.has_more |= runs == runs_per_session(device.max_segments());
            sent += runs;
            // Closing, or finding the peer unreachable, is an event too.
            drain_events(now, session, &[], app);
        }
        device.flush();
        sent
    }

    fn next_timeout(&mut self) -> Option<Instant> {
        self.slots.iter_mut().filter_map(|session| session.poll_timeout()).min()
    }

    /// A session index: this worker and the slot in its place, the rest not to be guessed from outside.
    fn draw_index(&mut self) -> Option<u32> {
        let slot = self.slots.free_slot()?;
        self.drawn += 1;
        // Workers of one process share the key of the cookies: what they draw is to differ all the same.
        let drawn = (u64::from(self.number.get()) << 56) | self.drawn;
        let [high, middle, low, ..] = self.acceptor.cookie(&drawn.to_be_bytes());
        // The top bit, so that none is zero: the wire keeps that for INIT.
        let random = u32::from_be_bytes([high | 0x80, middle, low, 0]) & !INDEX_PLACE_MASK;
        Some(random | self.number.place(slot))
    }
}

fn transmit_session<H: Handshake, D: Device>(
    now: Instant,
    session: &mut Session<'_, H>,
    device: &mut D,
    app: &mut impl Application<H>,
) -> usize {
    let id = SessionId(session.id());
    let max_segments = device.max_segments();
    let runs = runs_per_session(max_segments);
    for run in 0..runs {
        let Some(buffer) = device.transmit_buffer() else { return run };
        let Some(transmit) = session.poll_transmit(now, app.source(id), buffer, max_segments) else { return run };
        match device.submit(&transmit) {
            Submitted::Unreachable => session.on_unreachable(),
            Submitted::TooBig => session.on_too_big(transmit.segment_bytes, now),
            Submitted::Sent | Submitted::Full => {}
        }
    }
    runs
}

const fn runs_per_session(max_segments: usize) -> usize {
    let runs = DATAGRAMS_PER_SESSION / if max_segments == 0 { 1 } else { max_segments };
    if runs > RUNS_PER_SESSION { runs } else { RUNS_PER_SESSION }
}

fn drain_events<H: Handshake>(
    now: Instant,
    session: &mut Session<'_, H>,
    datagram: &[u8],
    app: &mut impl Application<H>,
) {
    let id = SessionId(session.id());
    while let Some(event) = session.poll_event() {
        app.on_event(now, id, session, event, datagram);
    }
}
