//! A simulated host: the core's own worker and sessions, over a simulated socket, under a simple application.

use std::net::SocketAddr;

use bumpalo::Bump;
use wirehaul_core::{
    crypto::{Suite, SuiteSet},
    device::Ecn,
    ranges::Range,
    session::{CloseReason, Config, SentPacket, Session, Stats, Storage, StreamSlot, StreamStorage},
    time::{Duration, Instant},
    wire::{Reject, RejectCounters},
    worker::{Application, NoRoom, SessionId, SessionSlot, Worker},
};

use crate::{
    bulk::{Bulk, Plan},
    content::Content,
    crypto::{Identity, SimAcceptor, SimHandshake, Work},
    endpoint::Endpoint,
    network::Network,
    rng::{Purpose, Seed, Stream},
};

/// The memory of a run's sessions. It is freed when the run is over.
#[derive(Debug, Default)]
pub struct Arena(Bump);

impl Arena {
    /// An empty arena.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }
}

/// What a host is and does.
#[derive(Clone, Debug)]
pub struct HostConfig {
    /// Where its socket is. The port also names the content that it sends.
    pub address: SocketAddr,
    /// Settings of its sessions.
    pub session: Config,
    /// Whether it lets peers in.
    pub listening: bool,
    /// How many sessions it has room for.
    pub sessions: usize,
    /// How much room each session has.
    pub room: Room,
    /// How many datagrams its socket sends in one call.
    pub max_segments: usize,
    /// By up to how much it wakes late from a timer, as a real host does that sleeps.
    pub wake_lateness: Duration,
    /// Its keys.
    pub identity: Identity,
    /// What its application does.
    pub plan: Plan,
}

/// Lengths of a session's storage.
#[derive(Clone, Copy, Debug)]
pub struct Room {
    /// Records of sent packets.
    pub sent: usize,
    /// Gaps in acknowledged and in received packet numbers, each.
    pub packet_gaps: usize,
    /// Streams.
    pub streams: usize,
    /// Gaps in each stream's received, acknowledged and lost bytes, each.
    pub stream_gaps: usize,
}

impl Default for Room {
    fn default() -> Self {
        Self { sent: 4096, packet_gaps: 512, streams: 8, stream_gaps: 512 }
    }
}

/// The address of the simulated host with this number.
#[must_use]
pub fn address(number: u16) -> SocketAddr {
    let [high, low] = number.to_be_bytes();
    SocketAddr::from(([10, 0, high, low], 1000 + number))
}

impl HostConfig {
    /// The host with this number, with room for four sessions; it neither listens nor sends.
    #[must_use]
    pub fn new(number: u16) -> Self {
        let suites = SuiteSet::EMPTY.with(Suite::Aes128Gcm).with(Suite::ChaCha20Poly1305);
        Self {
            address: address(number),
            session: Config { suites, ..Config::default() },
            listening: false,
            sessions: 4,
            room: Room::default(),
            max_segments: 44,
            wake_lateness: Duration::ZERO,
            identity: Identity::new(u64::from(number)),
            plan: Plan::default(),
        }
    }
}

/// A host at work.
pub struct Host<'a> {
    config: Config,
    worker: Worker<'a, SimAcceptor>,
    /// Makes the initiating side of handshakes; the worker has an acceptor of its own.
    initiators: SimAcceptor,
    work: Work,
    app: Bulk,
    endpoint: Endpoint,
    wake_at: Option<Instant>,
    wake_lateness: Duration,
    random: Stream,
}

/// What a turn of a host did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct HostTurn {
    /// Datagrams received.
    pub received: usize,
    /// Runs of datagrams sent.
    pub sent: usize,
}

impl<'a> Host<'a> {
    /// A host whose secrets come from `seed`; `component` names it within the run.
    pub fn new(config: HostConfig, arena: &'a Arena, seed: Seed, component: u64) -> Self {
        let acceptor = SimAcceptor::new(config.identity.clone(), seed.stream(component, Purpose::Keys));
        let initiators = SimAcceptor::new(config.identity, seed.stream(component + (1 << 32), Purpose::Keys));
        let slots = arena.0.alloc_slice_fill_with(config.sessions, |_| SessionSlot::Free(storage(arena, config.room)));
        let work = acceptor.work();
        Self {
            worker: Worker::new(config.session.clone(), acceptor, config.listening, slots),
            config: config.session,
            initiators,
            work,
            app: Bulk::new(config.plan, Content::of(u64::from(config.address.port()))),
            endpoint: Endpoint::new(config.address, config.max_segments),
            wake_at: None,
            wake_lateness: config.wake_lateness,
            random: seed.stream(component, Purpose::Wake),
        }
    }

    /// Calls `remote`.
    ///
    /// # Errors
    /// [`NoRoom`] where every session slot is taken.
    pub fn connect(&mut self, now: Instant, remote: SocketAddr) -> Result<SessionId, NoRoom> {
        let (handshake, psk_id) = self.initiators.initiate();
        self.wake_at = Some(now);
        self.worker.connect(now, handshake, psk_id, remote, self.config.clone())
    }

    /// Its address.
    #[must_use]
    pub const fn address(&self) -> SocketAddr {
        self.endpoint.address()
    }

    /// Its application, and with it all that its sessions said.
    #[must_use]
    pub const fn app(&self) -> &Bulk {
        &self.app
    }

    /// Its socket.
    pub const fn endpoint(&mut self) -> &mut Endpoint {
        &mut self.endpoint
    }

    /// The core's worker.
    pub const fn worker(&mut self) -> &mut Worker<'a, SimAcceptor> {
        &mut self.worker
    }

    /// What the handshakes that it answered cost it.
    #[must_use]
    pub const fn work(&self) -> &Work {
        &self.work
    }

    /// The session with this id, while it lives. The host takes a turn right after, whatever is done to it.
    pub fn session(&mut self, id: SessionId) -> Option<&mut Session<'a, SimHandshake>> {
        self.wake_at = Some(Instant::ZERO);
        self.worker.session(id)
    }

    /// Hands a datagram to a session past the socket and the worker, and what comes of it to the application.
    ///
    /// # Errors
    /// What the session says, or [`Reject::NotForUs`] where there is no such session.
    pub fn hand_in(&mut self, now: Instant, id: SessionId, datagram: &mut [u8]) -> Result<(), Reject> {
        let session = self.worker.session(id).ok_or(Reject::NotForUs)?;
        let remote = session.remote();
        let outcome = session.handle_datagram(now, remote, Ecn::NotEct, datagram);
        while let Some(event) = session.poll_event() {
            self.app.on_event(now, id, session, event, datagram);
        }
        outcome
    }

    /// How the session ended, if it has.
    #[must_use]
    pub fn close_reason(&self, id: SessionId) -> Option<CloseReason> {
        self.app.flow(id).and_then(|flow| flow.closed).map(|(reason, _)| reason)
    }

    /// How the host and its sessions stand, for people; of ended sessions the first few.
    #[must_use]
    pub fn describe(&mut self, now: Instant) -> String {
        let mut text = format!("\nhost {}: rejects {}", self.address(), counted(self.worker.rejects()));
        for (session, flow) in self.app.flows().take(8) {
            text += &format!("\n  {session:?}: connected {}, closed {:?}", flow.connected_at.is_some(), flow.closed);
            text += &format!(", sends {:?}", flow.outgoing);
            if let Some(stats) = &flow.last_stats {
                text += &format!(", ended with epoch {} and rejects {}", stats.epochs, counted(&stats.rejects));
            }
            text += &format!(", got {} B in {} ended streams", flow.received_bytes(), flow.finished_streams());
        }
        for (id, session) in self.worker.sessions() {
            let due = session.poll_timeout().map(|at| at.saturating_since(now));
            let Stats { rejects, .. } = session.stats();
            let stats = Stats { rejects: RejectCounters::new(), ..session.stats() };
            let figures = format!("{stats:?}");
            let figures = figures.split(", rejects:").next().unwrap_or_default();
            text += &format!("\n  {id:?} lives: due in {due:?}, rejects {}, {figures}", counted(&rejects));
        }
        text
    }

    /// When it wants its next turn, mail aside.
    #[must_use]
    pub const fn wake_at(&self) -> Option<Instant> {
        self.wake_at
    }

    /// Wakes the host no later than at `at`.
    pub fn wake(&mut self, at: Instant) {
        self.wake_at = Some(self.wake_at.map_or(at, |earlier| earlier.min(at)));
    }

    /// One turn of the worker, and of the application before it.
    pub fn turn(&mut self, now: Instant, network: &mut Network) -> HostTurn {
        let Self { worker, app, endpoint, .. } = self;
        app.eat(now, |id, stream, bytes| {
            if let Some(session) = worker.session(id) {
                session.consume(stream, bytes, now);
            }
        });
        app.supply(now, |id, stream, end, fin| {
            if let Some(session) = worker.session(id) {
                session.provide(stream, end, fin);
            }
        });
        let turn = worker.turn(now, &mut endpoint.attach(network, now), app);
        if turn.next_timeout.is_none_or(|at| at > now) {
            worker.sessions().for_each(|(_, session)| _ = session.await_departure());
        }
        // A timer that is due already needs no sleep, and so comes in time.
        let late = self.random.below(self.wake_lateness.as_nanos() + 1);
        let woken = |at| if at <= now { at } else { at + Duration::from_nanos(late) };
        let supply = app.next_supply();
        let timers = [turn.next_timeout.map(woken), app.next_meal(), supply, endpoint.has_mail().then_some(now)];
        self.wake_at = timers.into_iter().flatten().min();
        HostTurn { received: turn.received, sent: turn.sent }
    }
}

fn counted(rejects: &RejectCounters) -> String {
    let counted: Vec<_> = rejects.iter().filter(|(_, count)| *count > 0).collect();
    format!("{counted:?}")
}

fn storage(arena: &Arena, room: Room) -> Storage<'_> {
    let ranges = |count| &mut *arena.0.alloc_slice_fill_copy(count, Range::default());
    let stream = |_| {
        let gaps = room.stream_gaps;
        StreamSlot::Free(StreamStorage { received: ranges(gaps), acked: ranges(gaps), lost: ranges(gaps) })
    };
    Storage {
        sent: arena.0.alloc_slice_fill_copy(room.sent, SentPacket::default()),
        acked_packets: ranges(room.packet_gaps),
        received_packets: ranges(room.packet_gaps),
        streams: arena.0.alloc_slice_fill_with(room.streams, stream),
    }
}
