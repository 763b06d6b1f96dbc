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
mod marks;
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

impl SessionId {
    /// Its place among the sessions of its worker, below [`MAX_SESSIONS`]: no two that live at the same time share one.
    #[must_use]
    pub const fn place(self) -> usize {
        slots::Slot::of_index(self.0).get()
    }
}

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

    /// The session with this id, while it lives, to be looked at.
    #[must_use]
    pub fn look_at(&self, id: SessionId) -> Option<&Session<'a, A::Handshake>> {
        self.slots.at(slots::Slot::of_index(id.0)).filter(|session| session.id() == id.0)
    }

    /// The sessions that live.
    pub fn sessions(&mut self) -> impl Iterator<Item = (SessionId, &mut Session<'a, A::Handshake>)> {
        self.slots.iter_mut().map(|session| (SessionId(session.id()), session))
    }

    /// The sessions that live, to be looked at: in a turn after [`Worker::sessions`] every one of them is asked what it has to send.
    pub fn look(&self) -> impl Iterator<Item = (SessionId, &Session<'a, A::Handshake>)> {
        self.slots.iter().map(|session| (SessionId(session.id()), session))
    }

    /// Says that the owner has nothing else to do now and will wait; returns when the first packet may leave that a pacer alone
    /// holds back ([`Session::await_departure`]).
    pub fn await_departure(&mut self) -> Option<Instant> {
        self.slots.await_departures()
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

    /// The window that sessions begin with which peers start from now on, in bytes ([`Config::initial_window_bytes`]).
    pub const fn set_initial_window(&mut self, bytes: u64) {
        self.config.initial_window_bytes = bytes;
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
        let next_timeout = if self.has_more { Some(now) } else { self.slots.earliest_timer() };
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
        let mut from = 0;
        while let Some(slot) = self.slots.next_due(now, from) {
            from = slot.get() + 1;
            if self.slots.at(slot).and_then(Session::poll_timeout).is_none_or(|at| at > now) {
                continue;
            }
            if let Some(session) = self.slots.at_mut(slot) {
                session.handle_timeout(now);
                drain_events(now, session, &[], app);
            }
        }
    }

    fn transmit<D: Device>(&mut self, now: Instant, device: &mut D, app: &mut impl Application<A::Handshake>) -> usize {
        let mut sent = 0;
        self.rotation = (self.rotation + 1) % self.slots.capacity().max(1);
        self.has_more = false;
        for (mut from, end) in [(self.rotation, usize::MAX), (0, self.rotation)] {
            while let Some(slot) = self.slots.next_to_ask(from).filter(|slot| slot.get() < end) {
                from = slot.get() + 1;
                let asked = self.slots.at_mut(slot).map(|session| ask(now, session, device, app));
                let asked = asked.unwrap_or_default();
                self.has_more |= asked.has_more;
                sent += asked.runs;
                self.slots.was_asked(slot, asked.ask_again);
            }
        }
        device.flush();
        sent
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

/// What came of asking a session for what it has to send.
#[derive(Clone, Copy, Default)]
struct Asked {
    runs: usize,
    /// It used up its share of the turn.
    has_more: bool,
    /// It may have more to send, although nothing happens.
    ask_again: bool,
}

fn ask<H: Handshake, D: Device>(
    now: Instant,
    session: &mut Session<'_, H>,
    device: &mut D,
    app: &mut impl Application<H>,
) -> Asked {
    let (runs, is_dry) = transmit_session(now, session, device, app);
    // Closing, or finding the peer unreachable, is an event too.
    let was_told = drain_events(now, session, &[], app);
    Asked { runs, has_more: runs == runs_per_session(device.max_segments()), ask_again: was_told || !is_dry }
}

/// Hands over what may leave; returns how many runs, and whether the session said that this is all.
fn transmit_session<H: Handshake, D: Device>(
    now: Instant,
    session: &mut Session<'_, H>,
    device: &mut D,
    app: &mut impl Application<H>,
) -> (usize, bool) {
    let id = SessionId(session.id());
    let max_segments = device.max_segments();
    let runs = runs_per_session(max_segments);
    for run in 0..runs {
        let Some(buffer) = device.transmit_buffer() else { return (run, false) };
        let Some(transmit) = session.poll_transmit(now, app.source(id), buffer, max_segments) else {
            return (run, true);
        };
        match device.submit(&transmit) {
            Submitted::Unreachable => session.on_unreachable(),
            Submitted::TooBig => session.on_too_big(transmit.segment_bytes, now),
            Submitted::Sent | Submitted::Full => {}
        }
    }
    (runs, false)
}

const fn runs_per_session(max_segments: usize) -> usize {
    let runs = DATAGRAMS_PER_SESSION / if max_segments == 0 { 1 } else { max_segments };
    if runs > RUNS_PER_SESSION { runs } else { RUNS_PER_SESSION }
}

/// Hands events to the application, which may change the session in turn; returns whether there were any.
fn drain_events<H: Handshake>(
    now: Instant,
    session: &mut Session<'_, H>,
    datagram: &[u8],
    app: &mut impl Application<H>,
) -> bool {
    let id = SessionId(session.id());
    let mut was_told = false;
    while let Some(event) = session.poll_event() {
        app.on_event(now, id, session, event, datagram);
        was_told = true;
    }
    was_told
}
