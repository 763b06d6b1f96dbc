//! The application of a simulated host: sends streams of known bytes, checks those that it gets, and takes its time.
//!
//! It also watches the session's promises: bytes are reported once and as they were sent, no byte is asked for that was
//! not announced or is already acknowledged, and no more is held than flow control allows.

use std::{
    collections::{BTreeMap, VecDeque},
    net::SocketAddr,
};

use wirehaul_core::{
    pacer::{Allowance, Meter},
    rate::Rate,
    session::{CloseCode, CloseReason, Event, Session, Source, Stats},
    time::{Duration, Instant},
    wire::StreamId,
    worker::{Application, SessionId},
};

use crate::{
    content::Content,
    crypto::SimHandshake,
    faults::disk::{Disk, RETRY_AFTER},
    supply::Supply,
};

/// What the application does in each of its sessions.
#[derive(Clone, Debug, Default)]
pub struct Plan {
    /// Streams to send as soon as the session is up, each with its number of bytes.
    pub send: Vec<(StreamId, u64)>,
    /// How the application comes by the bytes of each stream; `None` has all of them from the start.
    pub supply: Option<Supply>,
    /// How fast received bytes are taken.
    pub appetite: Appetite,
    /// Close the session once everything sent is acknowledged and this many of the peer's streams have ended; `None`
    /// leaves it open.
    pub close_after_streams: Option<usize>,
}

/// How an application takes received bytes: each `delay` after it came, and never faster than `rate`.
#[derive(Clone, Copy, Debug, Default)]
pub struct Appetite {
    /// How long received bytes are held at least.
    pub delay: Duration,
    /// How fast they are taken; `None` is at once.
    pub rate: Option<Rate>,
    /// How fast the peers of all its sessions together may send again what was taken, each in its turn; `None` is at once.
    pub cap: Option<Rate>,
}

/// Something that a session did and must not.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Breach {
    /// Received bytes that are not what was sent: the stream, and the offset of the first wrong one.
    WrongContent(StreamId, u64),
    /// Bytes reported twice.
    DeliveredTwice(StreamId, u64),
    /// Bytes asked for that were never announced, or that the peer had acknowledged.
    AskedOutOfRange(StreamId, u64),
    /// A stream's end reported before all its bytes, or twice.
    EndedWrongly(StreamId),
    /// An event behind [`Event::Closed`], or a second one.
    EventAfterClose,
}

/// The application's side of one session.
#[derive(Debug, Default)]
pub struct Flow {
    /// Whether the handshake got through, and when.
    pub connected_at: Option<Instant>,
    /// Who the peer's content comes from: the port that it called from or was called at.
    pub key: u64,
    /// Where the peer was seen to move to, in order.
    pub moves: Vec<SocketAddr>,
    /// The streams that the peer gave up, and why.
    pub resets: Vec<(StreamId, u16)>,
    /// What PINGs measured.
    pub round_trips: Vec<Duration>,
    /// Whether the peer takes no new streams.
    pub peer_is_leaving: bool,
    /// How the session ended, and when.
    pub closed: Option<(CloseReason, Instant)>,
    /// The streams that this end sends.
    pub outgoing: BTreeMap<StreamId, Outgoing>,
    /// The streams that the peer sends.
    pub incoming: BTreeMap<StreamId, Incoming>,
    /// Bytes received and not yet taken, now and at most.
    pub held_bytes: u64,
    /// See `held_bytes`.
    pub peak_held_bytes: u64,
    /// When the last of the peer's streams ended.
    pub finished_at: Option<Instant>,
    /// The session's figures when it ended.
    pub last_stats: Option<Stats>,
}

/// A stream that this end sends.
#[derive(Clone, Copy, Debug, Default)]
pub struct Outgoing {
    /// Bytes in all.
    pub bytes: u64,
    /// The session was told of everything below.
    pub announced: u64,
    /// The peer has everything below.
    pub acknowledged: u64,
}

/// A stream that the peer sends.
#[derive(Clone, Debug, Default)]
pub struct Incoming {
    /// Bytes that came, each counted once.
    pub bytes: u64,
    /// What came: start of each run, and its end.
    runs: BTreeMap<u64, u64>,
    /// Whether all came and the end is known.
    pub finished: bool,
}

/// The application. See the module.
#[derive(Debug)]
pub struct Bulk {
    plan: Plan,
    flows: BTreeMap<SessionId, Flow>,
    source: WatchedSource,
    /// Bytes to take, each with the time from which on.
    meals: VecDeque<Meal>,
    eaten_until: Instant,
    /// When the next bytes to send are there.
    next_supply: Option<Instant>,
    breaches: Vec<Breach>,
    disk: Disk,
    milestones: u64,
    /// What keeps the appetite's cap, and what each stream has used of it.
    allowance: Allowance,
    meters: BTreeMap<(SessionId, StreamId), Meter>,
}

/// Received bytes on their way to the disk.
#[derive(Clone, Debug)]
struct Meal {
    at: Instant,
    session: SessionId,
    stream: StreamId,
    bytes: u64,
    /// The write that takes them.
    write: u64,
    offset: u64,
    /// What they are, where the disk keeps it; and the key of their content.
    data: Vec<u8>,
    key: u64,
}

/// The source of a host's bytes; it notes when it is asked for some that it need not have.
#[derive(Debug)]
pub struct WatchedSource {
    content: Content,
    /// The session that asks.
    session: Option<SessionId>,
    announced: BTreeMap<(SessionId, StreamId), Outgoing>,
    out_of_range: Vec<(StreamId, u64)>,
}

impl Source for WatchedSource {
    fn fill(&mut self, stream: StreamId, offset: u64, out: &mut [u8]) {
        let known = self.session.and_then(|session| self.announced.get(&(session, stream)));
        let known = known.copied().unwrap_or_default();
        if offset < known.acknowledged || offset + out.len() as u64 > known.announced {
            self.out_of_range.push((stream, offset));
        }
        self.content.write(stream, offset, out);
    }
}

impl Bulk {
    /// An application whose bytes are those of `content`.
    #[must_use]
    pub fn new(plan: Plan, content: Content) -> Self {
        let source = WatchedSource { content, session: None, announced: BTreeMap::new(), out_of_range: Vec::new() };
        Self {
            allowance: Allowance::new(plan.appetite.cap),
            meters: BTreeMap::new(),
            plan,
            flows: BTreeMap::new(),
            source,
            meals: VecDeque::new(),
            eaten_until: Instant::ZERO,
            next_supply: None,
            breaches: Vec::new(),
            disk: Disk::default(),
            milestones: 0,
        }
    }

    /// Its sessions, those that ended included.
    pub fn flows(&self) -> impl Iterator<Item = (SessionId, &Flow)> {
        self.flows.iter().map(|(id, flow)| (*id, flow))
    }

    /// One of its sessions.
    #[must_use]
    pub fn flow(&self, id: SessionId) -> Option<&Flow> {
        self.flows.get(&id)
    }

    /// What sessions did and must not.
    #[must_use]
    pub fn breaches(&self) -> Vec<Breach> {
        let asked = self.source.out_of_range.iter().map(|(stream, offset)| Breach::AskedOutOfRange(*stream, *offset));
        self.breaches.iter().cloned().chain(asked).collect()
    }

    /// Where received bytes go.
    #[must_use]
    pub const fn disk(&self) -> &Disk {
        &self.disk
    }

    /// Where received bytes go, to give it faults.
    pub const fn disk_mut(&mut self) -> &mut Disk {
        &mut self.disk
    }

    /// How many sessions came up or ended, streams ended, and streams were acknowledged to the end, so far: as long as
    /// it stays the same, no transfer has come through.
    #[must_use]
    pub const fn milestones(&self) -> u64 {
        self.milestones
    }

    /// What it does.
    #[must_use]
    pub const fn plan(&self) -> &Plan {
        &self.plan
    }

    /// When it wants to take bytes next.
    #[must_use]
    pub fn next_meal(&self) -> Option<Instant> {
        let granting = self.meters.values().filter_map(Meter::deadline);
        granting.chain(self.meals.front().map(|meal| meal.at)).min()
    }

    /// Takes what is due at `now`; `tell` passes it on to the session.
    pub fn eat(&mut self, now: Instant, mut tell: impl FnMut(SessionId, StreamId, u64)) {
        while self.meals.front().is_some_and(|meal| meal.at <= now) {
            let Some(mut meal) = self.meals.pop_front() else { return };
            let done = self.disk.complete(meal.write, meal.bytes);
            if let Some(flow) = self.flows.get_mut(&meal.session) {
                flow.held_bytes -= done;
            }
            let written = usize::try_from(done).unwrap_or(0).min(meal.data.len());
            let rest = meal.data.split_off(written);
            self.disk.keep(meal.session, meal.stream, meal.key, meal.offset, &meal.data);
            if self.plan.appetite.cap.is_some() {
                self.meters.entry((meal.session, meal.stream)).or_default().add(done);
            } else {
                tell(meal.session, meal.stream, done);
            }
            if done < meal.bytes {
                let (write, slower) = self.disk.submit();
                let (bytes, offset) = (meal.bytes - done, meal.offset + done);
                let at = now + RETRY_AFTER + slower;
                self.meals.push_back(Meal { at, bytes, write, offset, data: rest, ..meal });
            }
        }
        self.grant(now, tell);
    }

    /// Lets the peers send again what the cap gives.
    fn grant(&mut self, now: Instant, mut tell: impl FnMut(SessionId, StreamId, u64)) {
        let (Some(rate), allowance) = (self.plan.appetite.cap, &mut self.allowance) else { return };
        for ((session, stream), meter) in &mut self.meters {
            let bytes = meter.take(now, Meter::part_bytes(rate, 1), |bytes| allowance.book(now, bytes));
            if bytes > 0 {
                tell(*session, *stream, bytes);
            }
        }
    }

    /// Will send `bytes` on a stream that is open: whoever calls this tells the session.
    pub fn promise(&mut self, session: SessionId, stream: StreamId, bytes: u64) {
        let outgoing = Outgoing { bytes, announced: bytes, acknowledged: 0 };
        self.flows.entry(session).or_default().outgoing.insert(stream, outgoing);
        self.source.announced.insert((session, stream), outgoing);
    }

    /// When it has more bytes to send.
    #[must_use]
    pub const fn next_supply(&self) -> Option<Instant> {
        self.next_supply
    }

    /// Announces what is there to send at `now`; `announce` passes a stream's end, and whether it is the last, on to the
    /// session.
    pub fn supply(&mut self, now: Instant, mut announce: impl FnMut(SessionId, StreamId, u64, bool)) {
        let (Some(supply), Some(_)) = (self.plan.supply, self.next_supply.filter(|at| *at <= now)) else { return };
        let mut next = None;
        for (id, flow) in &mut self.flows {
            let Some(start) = flow.connected_at.filter(|_| flow.closed.is_none()) else { continue };
            for (stream, outgoing) in &mut flow.outgoing {
                if outgoing.announced == outgoing.bytes {
                    continue;
                }
                outgoing.announced = supply.bytes_at(now.saturating_since(start)).min(outgoing.bytes);
                self.source.announced.insert((*id, *stream), *outgoing);
                announce(*id, *stream, outgoing.announced, outgoing.announced == outgoing.bytes);
                let at = supply.next_after(start, now);
                next = Some(next.map_or(at, |earlier: Instant| earlier.min(at)));
            }
        }
        self.next_supply = next;
    }

    fn on_connected(&mut self, now: Instant, id: SessionId, session: &mut Session<'_, SimHandshake>) {
        let flow = self.flows.entry(id).or_default();
        flow.connected_at = Some(now);
        flow.key = u64::from(session.remote().port());
        self.milestones += 1;
        for (stream, bytes) in &self.plan.send {
            // The peer may have opened it already with bytes of its own: streams carry both directions.
            session.open_stream(*stream, now);
            let announced = if self.plan.supply.is_none() { *bytes } else { 0 };
            session.provide(*stream, announced, announced == *bytes);
            let outgoing = Outgoing { bytes: *bytes, announced, acknowledged: 0 };
            flow.outgoing.insert(*stream, outgoing);
            self.source.announced.insert((id, *stream), outgoing);
        }
        if let Some(supply) = self.plan.supply {
            let at = supply.next_after(now, now);
            self.next_supply = Some(self.next_supply.map_or(at, |earlier| earlier.min(at)));
        }
    }

    fn on_data(&mut self, now: Instant, id: SessionId, stream: StreamId, offset: u64, bytes: &[u8]) {
        let key = self.flows.entry(id).or_default().key;
        if let Some(wrong) = Content::of(key).first_difference(stream, offset, bytes) {
            self.breaches.push(Breach::WrongContent(stream, wrong));
        }
        let len = bytes.len() as u64;
        let flow = self.flows.entry(id).or_default();
        if !flow.incoming.entry(stream).or_default().add(offset, offset + len) {
            self.breaches.push(Breach::DeliveredTwice(stream, offset));
        }
        flow.held_bytes += len;
        flow.peak_held_bytes = flow.peak_held_bytes.max(flow.held_bytes);
        let Appetite { delay, rate, .. } = self.plan.appetite;
        let (write, slower) = self.disk.submit();
        let mut at = now + delay + slower;
        if let Some(rate) = rate {
            self.eaten_until = self.eaten_until.max(now) + rate.time_for(len);
            at = at.max(self.eaten_until);
        }
        let data = if self.disk.keeps_files() { bytes.to_vec() } else { Vec::new() };
        self.meals.push_back(Meal { at, session: id, stream, bytes: len, write, offset, data, key });
    }

    fn on_finished(&mut self, now: Instant, id: SessionId, stream: StreamId) {
        let flow = self.flows.entry(id).or_default();
        let incoming = flow.incoming.entry(stream).or_default();
        if incoming.finished || !incoming.is_whole() {
            self.breaches.push(Breach::EndedWrongly(stream));
        }
        incoming.finished = true;
        self.milestones += 1;
        flow.finished_at = Some(now);
    }

    fn close_if_done(&mut self, now: Instant, id: SessionId, session: &mut Session<'_, SimHandshake>) {
        let (Some(streams), Some(flow)) = (self.plan.close_after_streams, self.flows.get(&id)) else { return };
        if flow.connected_at.is_some() && flow.finished_streams() >= streams && flow.all_acknowledged() {
            session.close(now, CloseCode::DONE, "all done");
        }
    }
}

impl Application<SimHandshake> for Bulk {
    type Source = WatchedSource;

    fn on_event(
        &mut self,
        now: Instant,
        id: SessionId,
        session: &mut Session<'_, SimHandshake>,
        event: Event,
        datagram: &[u8],
    ) {
        if self.flows.entry(id).or_default().closed.is_some() {
            self.breaches.push(Breach::EventAfterClose);
        }
        match event {
            Event::Connected => self.on_connected(now, id, session),
            Event::Data { stream, offset, start, end } => {
                let bytes = datagram.get(usize::from(start)..usize::from(end)).unwrap_or(&[]);
                self.on_data(now, id, stream, offset, bytes);
            }
            Event::StreamFinished { stream } => self.on_finished(now, id, stream),
            Event::Acknowledged { stream, upto } => {
                let flow = self.flows.entry(id).or_default();
                if let Some(outgoing) = flow.outgoing.get_mut(&stream) {
                    outgoing.acknowledged = upto;
                    self.source.announced.insert((id, stream), *outgoing);
                    self.milestones += u64::from(upto == outgoing.bytes);
                }
            }
            Event::StreamReset { stream, code } => self.flows.entry(id).or_default().resets.push((stream, code)),
            Event::GoingAway => self.flows.entry(id).or_default().peer_is_leaving = true,
            Event::PathChanged { remote } => self.flows.entry(id).or_default().moves.push(remote),
            Event::Pong { round_trip } => self.flows.entry(id).or_default().round_trips.push(round_trip),
            Event::Closed(reason) => {
                let flow = self.flows.entry(id).or_default();
                flow.closed = Some((reason, now));
                self.milestones += 1;
                flow.last_stats = Some(session.stats());
            }
        }
        if session.is_established() {
            self.close_if_done(now, id, session);
        }
    }

    fn source(&mut self, id: SessionId) -> &mut WatchedSource {
        self.source.session = Some(id);
        &mut self.source
    }
}

impl Flow {
    /// How many of the peer's streams have ended.
    #[must_use]
    pub fn finished_streams(&self) -> usize {
        self.incoming.values().filter(|incoming| incoming.finished).count()
    }

    /// Bytes received over all streams.
    #[must_use]
    pub fn received_bytes(&self) -> u64 {
        self.incoming.values().map(|incoming| incoming.bytes).sum()
    }

    /// Whether the peer has every byte that this end sends.
    #[must_use]
    pub fn all_acknowledged(&self) -> bool {
        self.outgoing.values().all(|outgoing| outgoing.acknowledged == outgoing.bytes)
    }
}

impl Incoming {
    /// Adds `start..end`; `false` where some of it was there before.
    fn add(&mut self, start: u64, end: u64) -> bool {
        if start >= end {
            return true;
        }
        // Nearly always it is what comes next.
        if let Some(mut last) = self.runs.last_entry().filter(|last| *last.get() == start) {
            *last.get_mut() = end;
            self.bytes += end - start;
            return true;
        }
        let below = self.runs.range(..=start).next_back().map(|(from, to)| (*from, *to));
        let above = self.runs.range(start..).next().map(|(from, to)| (*from, *to));
        if below.is_some_and(|(_, to)| to > start) || above.is_some_and(|(from, _)| from < end) {
            return false;
        }
        self.bytes += end - start;
        let mut run = (start, end);
        if let Some((from, to)) = below.filter(|(_, to)| *to == start) {
            self.runs.remove(&from);
            run.0 = from;
            debug_assert_eq!(to, start);
        }
        if let Some((from, to)) = above.filter(|(from, _)| *from == end) {
            self.runs.remove(&from);
            run.1 = to;
        }
        self.runs.insert(run.0, run.1);
        true
    }

    /// Whether what came has no hole.
    fn is_whole(&self) -> bool {
        match self.runs.iter().next() {
            None => true,
            Some((from, _)) => *from == 0 && self.runs.len() == 1,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn runs_join_and_overlaps_are_noticed() {
        let mut incoming = Incoming::default();
        assert!(incoming.add(10, 20) && incoming.add(30, 40) && !incoming.is_whole());
        assert!(!incoming.add(19, 25) && !incoming.add(25, 31) && !incoming.add(5, 50) && !incoming.add(12, 13));
        assert!(incoming.add(20, 30) && incoming.add(0, 10));
        assert!(incoming.is_whole() && incoming.bytes == 40);
    }
}
