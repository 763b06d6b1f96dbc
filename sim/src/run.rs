//! A run: hosts and network, moved from event to event until something holds or time is up.

use std::{collections::BTreeMap, net::SocketAddr};

use wirehaul_core::{
    session::{Session, Stats},
    time::{Duration, Instant},
    worker::SessionId,
};

use crate::{
    crypto::{Digest, SimHandshake},
    faults::{
        Fault,
        timeline::{Change, Timeline},
    },
    host::{Arena, Host, HostConfig, HostTurn},
    link::{Count, LinkConfig},
    metrics::{delays::Delays, histogram::Histogram},
    network::{Delivered, LinkId, Network},
    rng::Seed,
};

/// Turns in a row, without a datagram and without the clock moving, after which a host is taken to spin.
const MAX_IDLE_TURNS: u32 = 1_000;

/// When a run starts: an hour after the clock's origin, as no host's clock starts at zero.
pub const START: Instant = Instant::from_nanos(3_600_000_000_000);

/// Names a host of a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct HostId(usize);

impl HostId {
    /// Its number, in the order in which hosts were added, from 0.
    #[must_use]
    pub const fn number(self) -> usize {
        self.0
    }
}

/// How [`Run::until`] ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// What was waited for holds.
    Done,
    /// Virtual time is up.
    TimeLimit,
    /// Nothing is on its way and no timer runs: nothing will ever happen again.
    Idle,
    /// A host's timer is due again and again, and nothing comes of it.
    Spinning(HostId),
}

/// A run. See the module.
pub struct Run<'a> {
    arena: &'a Arena,
    seed: Seed,
    now: Instant,
    network: Network,
    hosts: Vec<Host<'a>>,
    /// Where in `hosts` the host at an address is.
    places: BTreeMap<SocketAddr, usize>,
    /// What datagrams between watched hosts meet with, by the place of the host that gets them.
    delays: Vec<Option<Delays>>,
    trace: Digest,
    idle_turns: u32,
    timeline: Timeline,
    to_nobody: Count,
}

impl<'a> Run<'a> {
    /// An empty run.
    #[must_use]
    pub fn new(arena: &'a Arena, seed: u64) -> Self {
        let seed = Seed(seed);
        Self {
            arena,
            seed,
            now: START,
            network: Network::new(seed),
            hosts: Vec::new(),
            places: BTreeMap::new(),
            delays: Vec::new(),
            trace: Digest::new(0),
            idle_turns: 0,
            timeline: Timeline::default(),
            to_nobody: Count::default(),
        }
    }

    /// Adds a host.
    pub fn add_host(&mut self, config: HostConfig) -> HostId {
        let id = HostId(self.hosts.len());
        self.places.entry(config.address).or_insert(id.0);
        self.delays.push(None);
        self.hosts.push(Host::new(config, self.arena, self.seed, id.0 as u64));
        id
    }

    /// Gives a host another address, unknown to all others: what is on its way to the old one gets there and finds nobody.
    ///
    /// # Panics
    /// Where the id is of another run.
    pub fn move_host(&mut self, id: HostId, address: SocketAddr) {
        let old = self.hosts[id.0].move_to(address);
        self.network.rename(old, address);
        self.places.remove(&old);
        self.places.insert(address, id.0);
    }

    /// Measures from now on how long datagrams take from `sender` to `receiver` and back.
    ///
    /// # Panics
    /// Where an id is of another run.
    pub fn measure_delays(&mut self, sender: HostId, receiver: HostId) {
        self.delays[sender.0] = Some(Delays::of_acknowledgements());
        self.delays[receiver.0] = Some(Delays::of_data(sender.0));
    }

    /// Round trips over `receiver`, as [`Run::measure_delays`] has it, since the last call of [`Run::forget_delays`].
    ///
    /// # Panics
    /// Where the id is of another run.
    #[must_use]
    pub fn round_trips(&self, receiver: HostId) -> Option<&Histogram> {
        self.delays[receiver.0].as_ref().map(Delays::round_trips)
    }

    /// Measures delays anew from now on.
    pub fn forget_delays(&mut self) {
        self.delays.iter_mut().flatten().for_each(Delays::forget);
    }

    /// Joins two hosts by a link in each direction; returns the links from `a` to `b` and back.
    pub fn join(&mut self, a: HostId, b: HostId, there: LinkConfig, back: LinkConfig) -> (LinkId, LinkId) {
        let (there, back) = (self.network.add_link(there), self.network.add_link(back));
        let (from, to) = (self.host(a).address(), self.host(b).address());
        self.network.route(from, to, &[there]);
        self.network.route(to, from, &[back]);
        (there, back)
    }

    /// Lets host `from` call host `to`.
    ///
    /// # Panics
    /// Where `from` has no room for another session: the scenario is wrong.
    pub fn connect(&mut self, from: HostId, to: HostId) -> SessionId {
        let remote = self.host(to).address();
        self.connect_to(from, remote)
    }

    /// Lets host `from` call whatever is at `remote`.
    ///
    /// # Panics
    /// As [`Run::connect`].
    pub fn connect_to(&mut self, from: HostId, remote: SocketAddr) -> SessionId {
        let now = self.now;
        match self.host(from).connect(now, remote) {
            Ok(id) => id,
            Err(error) => panic!("host {from:?} cannot call {remote}: {error:?}; give it more sessions"),
        }
    }

    /// Lets these faults happen. Hosts and links are numbered in the order in which they were added, and times count from
    /// now. Where `by_chance` is false, nothing else happens to single datagrams.
    pub fn follow(&mut self, faults: &[Fault], by_chance: bool) {
        self.network.follow(faults, by_chance, self.now);
        for (index, host) in self.hosts.iter_mut().enumerate() {
            host.follow(faults, index, self.now);
        }
        self.timeline.follow(faults, self.now);
    }

    /// From now on nothing goes wrong, and hosts that are down come back when they would.
    pub fn stop_faults(&mut self) {
        self.network.heal(self.now);
        self.hosts.iter_mut().for_each(Host::stop_faults);
        self.timeline.stop();
    }

    /// What was delivered to addresses at which there is no host.
    #[must_use]
    pub const fn to_nobody(&self) -> Count {
        self.to_nobody
    }

    /// Every host, by its number.
    pub fn host_ids(&self) -> impl Iterator<Item = HostId> + use<> {
        (0..self.hosts.len()).map(HostId)
    }

    /// The virtual time.
    #[must_use]
    pub const fn now(&self) -> Instant {
        self.now
    }

    /// The seed of the run.
    #[must_use]
    pub const fn seed(&self) -> Seed {
        self.seed
    }

    /// The network.
    pub const fn network(&mut self) -> &mut Network {
        &mut self.network
    }

    /// A host.
    ///
    /// # Panics
    /// Where the id is of another run.
    pub fn host(&mut self, id: HostId) -> &mut Host<'a> {
        &mut self.hosts[id.0]
    }

    /// A host, to look at.
    ///
    /// # Panics
    /// Where the id is of another run.
    #[must_use]
    pub fn host_ref(&self, id: HostId) -> &Host<'a> {
        &self.hosts[id.0]
    }

    /// All hosts.
    pub fn hosts(&self) -> impl Iterator<Item = &Host<'a>> {
        self.hosts.iter()
    }

    /// The only session of a host that lives.
    ///
    /// # Panics
    /// Where it has none.
    pub fn only_session(&mut self, id: HostId) -> &mut Session<'a, SimHandshake> {
        let host = self.host(id);
        host.wake(Instant::ZERO);
        let Some((_, session)) = host.worker().sessions().next() else { panic!("host {id:?} has no session") };
        session
    }

    /// The figures of a host's session, living or ended.
    ///
    /// # Panics
    /// Where there never was such a session.
    pub fn stats(&mut self, host: HostId, session: SessionId) -> Stats {
        let host = self.host(host);
        if let Some(session) = host.worker().session(session) {
            return session.stats();
        }
        let ended = host.app().flow(session).and_then(|flow| flow.last_stats.clone());
        ended.unwrap_or_else(|| panic!("no session {session:?}"))
    }

    /// A digest of every datagram that was delivered (SIM-3): when, to whom, how long, its header and its tag. The tag
    /// depends on every byte between them.
    #[must_use]
    pub const fn trace_hash(&self) -> u64 {
        self.trace.value()
    }

    /// Whether every byte that any host sends has arrived, every stream has ended, and every sender knows.
    #[must_use]
    pub fn all_delivered(&self) -> bool {
        let flows = || self.hosts.iter().flat_map(|host| host.app().flows().map(|(_, flow)| flow));
        let sent: usize = flows().map(|flow| flow.outgoing.len()).sum();
        let ended: usize = flows().map(super::bulk::Flow::finished_streams).sum();
        sent > 0 && sent == ended && flows().all(super::bulk::Flow::all_acknowledged)
    }

    /// Runs until every transfer is through; see [`Run::until`].
    pub fn until_delivered(&mut self, limit: Duration) -> Outcome {
        self.until(limit, |run| run.all_delivered())
    }

    /// Runs for a span of virtual time, or until nothing can happen any more.
    pub fn for_span(&mut self, span: Duration) -> Outcome {
        self.until(span, |_| false)
    }

    /// Runs until `done` holds, for `limit` of virtual time at most.
    pub fn until(&mut self, limit: Duration, mut done: impl FnMut(&mut Self) -> bool) -> Outcome {
        let end = self.now + limit;
        loop {
            if done(self) {
                return Outcome::Done;
            }
            let Some(at) = self.next_at() else {
                self.now = end;
                return Outcome::Idle;
            };
            if at > end {
                self.now = end;
                return Outcome::TimeLimit;
            }
            if let Some(host) = self.step(at) {
                return Outcome::Spinning(host);
            }
        }
    }

    /// How every host and session stands, for people who look for the cause of a failure.
    #[must_use]
    pub fn describe(&mut self) -> String {
        let now = self.now;
        self.hosts.iter_mut().map(|host| host.describe(now)).collect()
    }

    fn note_delay(&mut self, index: usize, delay: Duration) {
        let Some(Some(delays)) = self.delays.get(index) else { return };
        let back = delays.partner().and_then(|sender| self.delays.get(sender)?.as_ref()?.last());
        if let Some(Some(delays)) = self.delays.get_mut(index) {
            delays.note(delay, back);
        }
    }

    fn next_at(&self) -> Option<Instant> {
        let timers = self.hosts.iter().filter_map(Host::wake_at);
        timers.chain(self.network.next_at()).chain(self.timeline.next_at()).min().map(|at| at.max(self.now))
    }

    fn change(&mut self, host: usize, change: Change) {
        let now = self.now;
        let id = HostId(host);
        let Some(host) = self.hosts.get_mut(host) else { return };
        match change {
            Change::Crash => host.crash(),
            Change::Restart => host.restart(),
            Change::ClockJump(by) => host.jump(now, by),
            Change::Move(to) => {
                let address = moved(host.address(), to);
                self.move_host(id, address);
            }
        }
    }

    /// Does all that is due at `at`; returns a host that spins.
    fn step(&mut self, at: Instant) -> Option<HostId> {
        if at > self.now {
            self.idle_turns = 0;
        }
        self.now = at;
        while let Some((host, change)) = self.timeline.take(at) {
            self.change(host, change);
        }
        while let Some(Delivered { datagram, sent_at }) = self.network.deliver(at) {
            let Some(index) = self.places.get(&datagram.to).copied() else {
                self.to_nobody.add(datagram.bytes.len());
                continue;
            };
            self.trace.word(at.as_nanos());
            self.trace.word(index as u64);
            self.trace.ends(&datagram.bytes);
            self.note_delay(index, at.saturating_since(sent_at));
            let Some(host) = self.hosts.get_mut(index) else { continue };
            host.arrived(at, datagram);
        }
        for (index, host) in self.hosts.iter_mut().enumerate() {
            if host.wake_at().is_none_or(|wake| wake > at) {
                continue;
            }
            if host.turn(at, &mut self.network) == HostTurn::default() {
                self.idle_turns += 1;
                if self.idle_turns > MAX_IDLE_TURNS {
                    return Some(HostId(index));
                }
            } else {
                self.idle_turns = 0;
            }
        }
        None
    }
}

/// The address with another second byte; those of simulated hosts are of IPv4.
fn moved(address: SocketAddr, to: u8) -> SocketAddr {
    match address {
        SocketAddr::V4(v4) => {
            let [first, _, third, fourth] = v4.ip().octets();
            SocketAddr::from(([first, to, third, fourth], v4.port()))
        }
        SocketAddr::V6(_) => address,
    }
}
