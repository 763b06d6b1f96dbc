//! A simulated host: the core's own worker and sessions, over a simulated socket, under a simple application.

use std::net::SocketAddr;

use bumpalo::Bump;
use wirehaul_core::{
    crypto::{Suite, SuiteSet},
    device::Ecn,
    pacer::Pacer,
    ranges::Range,
    session::{CloseReason, Config, SentPacket, Session, Stats, Storage, StreamSlot, StreamStorage},
    time::{Duration, Instant},
    wire::{Reject, RejectCounters, StreamId},
    worker::{Application, NoRoom, SessionId, SessionSlot, Worker, WorkerNumber},
};

use crate::{
    bulk::{Breach, Bulk, Plan},
    checks::pacing::{Pace, PaceWatch},
    content::Content,
    crypto::{Identity, SimAcceptor, SimHandshake, Vigilance, Work},
    endpoint::Endpoint,
    faults::{Fault, device::Shortages},
    network::{Datagram, Network},
    planted::Bug,
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
    /// Which worker it stands for, of those that a real host may have.
    pub worker: WorkerNumber,
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
    /// What is wrong with it on purpose.
    pub planted: Option<Bug>,
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
            worker: WorkerNumber::FIRST,
            sessions: 4,
            room: Room::default(),
            max_segments: 44,
            wake_lateness: Duration::ZERO,
            identity: Identity::new(u64::from(number)),
            plan: Plan::default(),
            planted: None,
        }
    }
}

/// A host at work.
pub struct Host<'a> {
    config: HostConfig,
    arena: &'a Arena,
    seed: Seed,
    component: u64,
    worker: Worker<'a, SimAcceptor>,
    /// Makes the initiating side of handshakes; the worker has an acceptor of its own.
    initiators: SimAcceptor,
    work: Work,
    app: Bulk,
    endpoint: Endpoint,
    wake_at: Option<Instant>,
    random: Stream,
    /// By how much its clock is ahead of the run's.
    clock_ahead: Duration,
    is_down: bool,
    crashes: u64,
    past: Past,
    pace: Option<PaceWatch>,
}

/// What is remembered of a host from before it crashed, for checkers.
#[derive(Clone, Debug, Default)]
struct Past {
    breaches: Vec<Breach>,
    rejects: RejectCounters,
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
        let mut identity = config.identity.clone();
        if config.planted == Some(Bug::InventedAck) {
            identity.vigilance = Vigilance::InventsAcks;
        }
        let mut endpoint = Endpoint::new(config.address, config.max_segments);
        if config.planted == Some(Bug::LostSlot) {
            endpoint.slots().lose_one();
        }
        let acceptor = SimAcceptor::new(identity.clone(), seed.stream(component, Purpose::Keys));
        let initiators = SimAcceptor::new(identity, seed.stream(component + (1 << 32), Purpose::Keys));
        let slots = arena.0.alloc_slice_fill_with(config.sessions, |_| SessionSlot::Free(storage(arena, config.room)));
        let work = acceptor.work();
        Self {
            worker: Worker::new(config.session.clone(), acceptor, config.listening, slots).numbered(config.worker),
            initiators,
            work,
            app: Bulk::new(config.plan.clone(), Content::of(u64::from(config.address.port()))),
            endpoint,
            wake_at: None,
            random: seed.stream(component, Purpose::Wake),
            config,
            arena,
            seed,
            component,
            clock_ahead: Duration::ZERO,
            is_down: false,
            crashes: 0,
            past: Past::default(),
            pace: None,
        }
    }

    /// Calls `remote`.
    ///
    /// # Errors
    /// [`NoRoom`] where every session slot is taken.
    pub fn connect(&mut self, now: Instant, remote: SocketAddr) -> Result<SessionId, NoRoom> {
        let (handshake, psk_id) = self.initiators.initiate();
        self.wake_at = Some(now);
        let now = now + self.clock_ahead;
        self.worker.connect(now, handshake, psk_id, remote, self.config.session.clone())
    }

    /// What it was made from.
    #[must_use]
    pub const fn config(&self) -> &HostConfig {
        &self.config
    }

    /// Gives its device and its disk those of these faults that befall the host with this number, in a run that began at
    /// `start`. A crash and a jump of the clock are the run's to cause.
    pub fn follow(&mut self, faults: &[Fault], this: usize, start: Instant) {
        self.endpoint.shortages().follow(faults, this, start);
        self.app.disk_mut().follow(faults, this);
    }

    /// From now on its device and its disk work.
    pub fn stop_faults(&mut self) {
        *self.endpoint.shortages() = Shortages::default();
        self.app.disk_mut().stop_faults();
    }

    /// Loses all that it knows but its keys, and is not heard of before [`Host::restart`]. Its disk is empty after that,
    /// and its clock is where it was.
    pub fn crash(&mut self) {
        self.crashes += 1;
        self.past.rejects = self.rejects();
        self.past.breaches = self.breaches();
        self.endpoint.drop_all(None);
        self.endpoint.slots().reset();
        // Another component: a host that made the same keys again would be no host that lost them.
        let fresh = Self::new(self.config.clone(), self.arena, self.seed, self.component + (self.crashes << 40));
        self.app.disk_mut().forget_files();
        let disk = std::mem::take(self.app.disk_mut());
        (self.worker, self.initiators, self.app) = (fresh.worker, fresh.initiators, fresh.app);
        (self.work, self.random) = (fresh.work, fresh.random);
        *self.app.disk_mut() = disk;
        self.is_down = true;
        self.wake_at = None;
    }

    /// Is back after a crash.
    pub const fn restart(&mut self) {
        self.is_down = false;
    }

    /// Whether it has crashed and is not back.
    #[must_use]
    pub const fn is_down(&self) -> bool {
        self.is_down
    }

    /// How often it crashed.
    #[must_use]
    pub const fn crashes(&self) -> u64 {
        self.crashes
    }

    /// Its clock jumps forward; `now` is the run's time. Nobody tells its sessions.
    pub fn jump(&mut self, now: Instant, by: Duration) {
        self.clock_ahead = self.clock_ahead + by;
        self.endpoint.set_clock_ahead(self.clock_ahead);
        self.wake(now);
    }

    /// Keeps what its disk gets from now on.
    pub fn keep_files(&mut self) {
        self.app.disk_mut().keep_files();
    }

    /// Watches from now on that no session sends more than its pacer allows.
    pub fn watch_pace(&mut self) {
        self.endpoint.watch();
        self.pace.get_or_insert_default();
    }

    /// What the watch of the pace saw.
    #[must_use]
    pub const fn pace(&self) -> Option<&PaceWatch> {
        self.pace.as_ref()
    }

    /// What its sessions did and must not, those from before a crash included.
    #[must_use]
    pub fn breaches(&self) -> Vec<Breach> {
        self.past.breaches.iter().cloned().chain(self.app.breaches()).collect()
    }

    /// Everything that the host refused: before it reached a session, by sessions that live, and by ended ones.
    #[must_use]
    pub fn rejects(&mut self) -> RejectCounters {
        let mut all = self.past.rejects.clone();
        all.merge(self.worker.rejects());
        self.worker.sessions().for_each(|(_, session)| all.merge(&session.stats().rejects));
        let lives: Vec<_> = self.worker.sessions().map(|(id, _)| id).collect();
        let ended = self.app.flows().filter(|(id, _)| !lives.contains(id));
        ended.filter_map(|(_, flow)| flow.last_stats.as_ref()).for_each(|stats| all.merge(&stats.rejects));
        all
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

    /// The network brings a datagram, at the run's time `now`.
    pub fn arrived(&mut self, now: Instant, datagram: Datagram) {
        if self.is_down {
            self.endpoint.drop_all(Some(datagram));
        } else {
            self.endpoint.arrived(now, datagram);
            self.wake(now);
        }
    }

    /// Sends so many bytes on a stream that is open, and ends it.
    pub fn promise(&mut self, id: SessionId, stream: StreamId, bytes: u64) {
        self.app.promise(id, stream, bytes);
        if let Some(session) = self.worker.session(id) {
            session.provide(stream, bytes, true);
        }
        self.wake(Instant::ZERO);
    }

    /// Its socket has another address from now on; returns the one of before. The sessions are not told.
    pub(crate) fn move_to(&mut self, address: SocketAddr) -> SocketAddr {
        self.endpoint.set_address(address);
        core::mem::replace(&mut self.config.address, address)
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

    /// One turn of the worker, and of the application before it; `now` is the run's time.
    pub fn turn(&mut self, now: Instant, network: &mut Network) -> HostTurn {
        let clock = now + self.clock_ahead;
        let Self { worker, app, endpoint, .. } = self;
        if self.config.planted == Some(Bug::CreditAtEveryPoll) {
            worker.sessions().for_each(|(_, session)| session.set_rate_cap(None, clock));
        }
        app.eat(clock, |id, stream, bytes| {
            if let Some(session) = worker.session(id) {
                session.consume(stream, bytes, clock);
            }
        });
        app.supply(clock, |id, stream, end, fin| {
            if let Some(session) = worker.session(id) {
                session.provide(stream, end, fin);
            }
        });
        let turn = worker.turn(clock, &mut endpoint.attach(network, now), app);
        if turn.next_timeout.is_none_or(|at| at > clock) {
            _ = worker.await_departure();
        }
        if self.config.planted == Some(Bug::CreditAtEveryPoll) {
            let cap = self.config.session.rate_cap;
            worker.sessions().for_each(|(_, session)| session.set_rate_cap(cap, clock));
        }
        self.check_pace(clock);
        self.wake_at = self.next_wake(now, turn.next_timeout);
        HostTurn { received: turn.received, sent: turn.sent }
    }

    fn next_wake(&mut self, now: Instant, timer: Option<Instant>) -> Option<Instant> {
        let ahead = self.clock_ahead;
        let on_the_run_s_clock = |at: Instant| Instant::from_nanos(at.as_nanos().saturating_sub(ahead.as_nanos()));
        // A timer that is due already needs no sleep, and so comes in time.
        let late = self.random.below(self.config.wake_lateness.as_nanos() + 1);
        let woken = |at| if at <= now { at } else { at + Duration::from_nanos(late) };
        let timer = timer.map(|at| woken(on_the_run_s_clock(at)));
        // A host that cannot send waits for a buffer: what is due already was to be sent.
        let blocked_until = self.endpoint.blocked_until();
        let timer = timer.filter(|at| blocked_until.is_none() || *at > now);
        let meal = self.app.next_meal().map(on_the_run_s_clock);
        let supply = self.app.next_supply().map(on_the_run_s_clock);
        let mail = self.endpoint.has_mail().then_some(now);
        [timer, blocked_until, meal, supply, mail].into_iter().flatten().min()
    }

    fn check_pace(&mut self, clock: Instant) {
        let Some(watch) = &mut self.pace else { return };
        let runs = self.endpoint.take_watched();
        let remotes: Vec<_> = self.worker.sessions().map(|(_, session)| session.remote()).collect();
        for (id, session) in self.worker.sessions().filter(|(_, session)| session.is_established()) {
            let remote = session.remote();
            // Of two with the same peer, one of which has lost it, nobody can tell which one sent.
            if remotes.iter().filter(|other| **other == remote).count() > 1 {
                continue;
            }
            let rate = session.pacing_rate();
            let mut pacer = Pacer::new(self.config.session.quantum);
            pacer.set_rate(rate);
            // A probe of the path's MTU is a packet like others to the pacer.
            let config = &self.config.session;
            let largest = config.datagram_bytes.max(config.max_datagram_bytes);
            let quantum_bytes = pacer.quantum(largest as u64);
            let pace = Pace { rate, quantum_bytes, probe_timeouts: session.stats().probe_timeouts };
            watch.after_turn(clock, id, pace, runs.iter().filter(|run| run.remote == remote));
        }
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
