//! The network, the workers, and time between them.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet, BinaryHeap, VecDeque};
use std::net::{IpAddr, Ipv4Addr};

use wirehaul_core::cdn::prefix::{Prefix, Span};
use wirehaul_core::numa::Partition;
use wirehaul_core::scan::cookie::Key;
use wirehaul_core::scan::dedup::{Seen, Window};
use wirehaul_core::scan::link::NeighbourSlot;
use wirehaul_core::scan::parked::Parked;
use wirehaul_core::scan::ports;
use wirehaul_core::scan::probe::{PortWindow, Sender};
use wirehaul_core::scan::reply::{Class, Judge, Reply};
use wirehaul_core::scan::routes::{Hop, LinkKind, Routes};
use wirehaul_core::scan::survey::{Outside, Pace, Plan, SentCounters, Storage, Survey};
use wirehaul_core::scan::targets::{self, Targets};
use wirehaul_core::scan::wire::Wire;
use wirehaul_core::scan::{Course, Probe, Shard, SubnetSlot, Subnets, Walk};
use wirehaul_core::time::{Duration, Instant};
use wirehaul_core::wire::net::MacAddress;

use super::frames::{self, Sent, Syn};
use super::{Fate, SurveyConfig, SurveyOutcome, fate, is_there};
use crate::crypto::Digest;
use crate::rng::{Purpose, Stream, mix};

/// Our address, and the gateway's, which lie in no target.
const OURS: Ipv4Addr = Ipv4Addr::new(192, 168, 77, 1);
const GATEWAY: Ipv4Addr = Ipv4Addr::new(192, 168, 77, 254);
/// Who says that packets must not pass.
const ROUTER: Ipv4Addr = Ipv4Addr::new(172, 16, 0, 1);
const OUR_MAC: [u8; 6] = [2, 0, 0, 0, 0, 1];
const GATEWAY_MAC: [u8; 6] = [2, 0, 0, 0, 0, 0xfe];
/// How late an answer is that is late.
const LATE: Duration = Duration::from_secs(2);
/// How much later somebody takes what was refused before.
const CHANGE_OF_MIND: Duration = Duration::from_millis(40);
/// How long answers are waited for when everything is sent.
const COOL_DOWN: Duration = Duration::from_secs(5);
/// Nothing that these tests survey takes longer: then it is stuck.
const LIMIT: Duration = Duration::from_secs(36_000);

/// The link-layer address of a host on the link.
fn mac_of(address: Ipv4Addr) -> [u8; 6] {
    let [a, b, c, d] = address.octets();
    [2, 1, a, b, c, d]
}

/// Runs a survey to its end, or until it is killed.
///
/// # Panics
/// Where the configuration makes no sense, or the survey does not come to an end.
#[must_use]
pub fn run(config: &SurveyConfig) -> SurveyOutcome {
    let mut spans: Vec<Span<u32>> = config.targets.iter().map(|text| span_of(text)).collect();
    let count = targets::join(&mut spans);
    let mut runs = Vec::new();
    targets::number(&spans[..count], |run| runs.push(run));
    let targets = Targets::new(&runs, &[]).unwrap_or_else(|| panic!("runs in order"));
    let mut probes: Vec<Probe> = Vec::new();
    ports::parse(&config.ports, |probe| probes.push(probe)).unwrap_or_else(|error| panic!("{error}"));
    let count = ports::sort(&mut probes);
    probes.truncate(count);

    let hop = Hop {
        gateway: config.is_behind_gateway.then_some(IpAddr::V4(GATEWAY)),
        source: OURS.into(),
        ether_source: MacAddress(OUR_MAC),
        vlan: None,
        link: LinkKind::Ethernet,
    };
    let (everywhere, hops) = ([(Span { first: 0, last: u32::MAX }, 0)], [hop]);
    let routes = Routes::new(&everywhere, &[], &hops).unwrap_or_else(|| panic!("one route"));
    let key = Key::new([config.seed.0, 7]);
    let window = PortWindow::DEFAULT;
    let sender = Sender::new(key, window, b"").unwrap_or_else(|| panic!("no contact is too long"));
    let plan = Plan {
        targets: &targets,
        probes: &probes,
        routes: &routes,
        sender: &sender,
        judge: &Judge::new(key, window),
        sends_resets: true,
        is_ethernet: true,
    };
    World::new(config, &plan).run()
}

fn span_of(text: &str) -> Span<u32> {
    match Prefix::parse(text) {
        Ok(Prefix::V4(span)) => span,
        other => panic!("{text}: {other:?}"),
    }
}

/// A frame on its way.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Arrival {
    at: Instant,
    /// Keeps those of one moment in order.
    number: u64,
    worker: usize,
    frame: Vec<u8>,
}

/// A worker's device: what came, and what leaves with the next flush.
#[derive(Debug, Default)]
struct Port {
    inbox: VecDeque<Vec<u8>>,
    outbox: Vec<Vec<u8>>,
    flushed: Vec<Vec<u8>>,
    room: usize,
}

impl Wire for Port {
    fn receive(&mut self, mut sink: impl FnMut(&mut [u8])) -> usize {
        let count = self.inbox.len().min(64);
        self.inbox.drain(..count).for_each(|mut frame| sink(&mut frame));
        count
    }

    fn transmit(&mut self, write: impl FnOnce(&mut [u8]) -> usize) -> bool {
        if self.outbox.len() >= self.room {
            return false;
        }
        let mut frame = vec![0; 2048];
        let len = write(&mut frame);
        frame.truncate(len);
        if len > 0 {
            self.outbox.push(frame);
        }
        true
    }

    fn flush(&mut self) {
        self.flushed.append(&mut self.outbox);
    }
}

/// What is told.
struct Results<'w> {
    window: Window<'w>,
    found: BTreeMap<(Ipv4Addr, u16), Class>,
    repeated: u64,
}

impl Outside for Results<'_> {
    fn is_excluded(&mut self, _: IpAddr) -> bool {
        false
    }

    fn found(&mut self, _: Instant, reply: &Reply) {
        let IpAddr::V4(target) = reply.target else { return };
        if self.window.note(reply.target, reply.probe, reply.class) == Seen::Again {
            return;
        }
        let known = self.found.insert((target, reply.probe.port), reply.class);
        self.repeated += u64::from(known.is_some_and(|known| known.rank() >= reply.class.rank()));
    }

    fn has_room(&mut self) -> bool {
        true
    }
}

struct World<'c, 'p> {
    config: &'c SurveyConfig,
    plan: &'c Plan<'p>,
    now: Instant,
    arrivals: BinaryHeap<Reverse<Arrival>>,
    numbers: u64,
    loss: Stream,
    jitter: Stream,
    duplicate: Stream,
    wake: Stream,
    half_open: BTreeSet<(Ipv4Addr, u16)>,
    trace: Digest,
    outcome: SurveyOutcome,
}

impl<'c, 'p> World<'c, 'p> {
    fn new(config: &'c SurveyConfig, plan: &'c Plan<'p>) -> Self {
        let stream = |purpose| config.seed.stream(0, purpose);
        Self {
            config,
            plan,
            now: Instant::from_nanos(1_000_000_000),
            arrivals: BinaryHeap::new(),
            numbers: 0,
            loss: stream(Purpose::Loss),
            jitter: stream(Purpose::Jitter),
            duplicate: stream(Purpose::Duplicate),
            wake: stream(Purpose::Wake),
            half_open: BTreeSet::new(),
            trace: Digest::new(0),
            outcome: SurveyOutcome::default(),
        }
    }

    fn run(mut self) -> SurveyOutcome {
        let workers = self.config.workers;
        let mut memory: Vec<_> = (0..workers)
            .map(|_| {
                let (subnets, neighbours) = (vec![SubnetSlot::default(); 4096], vec![NeighbourSlot::default(); 4096]);
                (subnets, neighbours, vec![Parked::default(); 1024])
            })
            .collect();
        let mut surveys: Vec<_> =
            memory.iter_mut().enumerate().map(|(worker, memory)| self.survey(worker, memory)).collect();
        let mut ports: Vec<_> =
            surveys.iter().map(|_| Port { room: self.config.device_room, ..Port::default() }).collect();
        let mut slots = vec![0; 1 << 16];
        let window = Window::new(&mut slots, Key::new([3, 4]));
        let mut results = Results { window, found: BTreeMap::new(), repeated: 0 };
        let end_of_time = self.now + LIMIT;
        let mut ends_at = None;
        loop {
            assert!(self.now < end_of_time, "the survey does not come to an end: {:?}", self.outcome.sent);
            self.deliver(&mut ports);
            for (survey, port) in surveys.iter_mut().zip(&mut ports) {
                survey.turn(self.now, port, &mut results);
                let flushed = std::mem::take(&mut port.flushed);
                flushed.iter().for_each(|frame| self.carry(frame));
            }
            if surveys.iter().all(Survey::is_done) {
                ends_at.get_or_insert(self.now + COOL_DOWN);
            }
            let timers = surveys.iter_mut().filter_map(|survey| survey.poll_timeout(self.now, &mut results)).min();
            let timers =
                timers.map(|due| due + Duration::from_nanos(self.wake.below(self.config.lateness.as_nanos() + 1)));
            let next = [self.arrivals.peek().map(|arrival| arrival.0.at), timers, ends_at].into_iter().flatten().min();
            let is_killed = self.config.killed_at.is_some_and(|at| next.is_none_or(|next| next >= at));
            if is_killed || ends_at.is_some_and(|end| self.now >= end) {
                break;
            }
            // A worker that was blocked has room again after the flush: time stands still for it.
            self.now = self.now.max(next.unwrap_or(end_of_time));
        }
        self.outcome.done_before = surveys.iter().map(Survey::done_before).min().unwrap_or(u64::MAX);
        self.outcome.sent = surveys.iter().fold(SentCounters::default(), |sum, survey| sum.plus(survey.counters()));
        self.outcome.found = results.found;
        self.outcome.repeated = results.repeated;
        self.outcome.half_open = self.half_open.len() as u64;
        self.outcome.ended = self.now;
        self.outcome.trace_hash = self.trace.value();
        self.outcome
    }

    fn survey<'m>(
        &self,
        worker: usize,
        memory: &'m mut (Vec<SubnetSlot>, Vec<NeighbourSlot>, Vec<Parked>),
    ) -> Survey<'m>
    where
        'p: 'm,
    {
        let config = self.config;
        let shard = Shard::parse(&config.shard).unwrap_or_else(|error| panic!("{error}"));
        let elements = self.plan.targets.addresses() * self.plan.probes.len() as u128;
        let course = Course::new(elements, config.seed.0, shard, config.attempts, config.spacing);
        let course = course.unwrap_or_else(|error| panic!("{error}"));
        let weights = (0..config.workers).map(|_| 1);
        let partition = Partition::new(weights).unwrap_or_else(|| panic!("no workers"));
        let workers = config.workers as u64;
        let pace = Pace {
            cap: config.cap.share(1, u32::try_from(workers).unwrap_or(1)),
            subnet_interval: config.subnet_cap.map(|pps| Subnets::interval_of(pps / workers)),
            subnet_burst: 1,
            retry_after: config.retry_after,
        };
        let storage = Storage { subnets: &mut memory.0, neighbours: &mut memory.1, parked: &mut memory.2 };
        Survey::new(*self.plan, Walk::new(course, &partition, worker, config.from), pace, storage)
    }

    // --- the network ---

    fn deliver(&mut self, ports: &mut [Port]) {
        while self.arrivals.peek().is_some_and(|arrival| arrival.0.at <= self.now) {
            let Some(Reverse(Arrival { frame, worker, at, .. })) = self.arrivals.pop() else { break };
            self.trace.word(at.as_nanos());
            self.trace.bytes(&frame);
            if let Some(port) = ports.get_mut(worker) {
                port.inbox.push_back(frame);
            }
        }
    }

    /// A frame of ours leaves.
    fn carry(&mut self, frame: &[u8]) {
        self.outcome.departures.push(self.now);
        self.trace.word(self.now.as_nanos());
        self.trace.bytes(frame);
        match frames::read(frame) {
            Err(why) => self.outcome.malformed.push(why),
            Ok(Sent::WhoHas { address, sender, mac }) => self.answer_who_has(address, sender, mac),
            Ok(Sent::Syn(syn)) => {
                self.outcome.probes.push((self.now, syn.target, syn.port));
                let expected = if self.config.is_behind_gateway { GATEWAY_MAC } else { mac_of(syn.target) };
                if syn.next_hop() != expected {
                    self.outcome.malformed.push(format!("to {:02x?}", syn.next_hop()));
                } else if !self.loss.chance(self.config.loss_ppm) {
                    self.answer(&syn);
                }
            }
            Ok(Sent::Reset { target, port }) => {
                self.half_open.remove(&(target, port));
            }
        }
    }

    fn answer_who_has(&mut self, address: Ipv4Addr, sender: Ipv4Addr, mac: [u8; 6]) {
        let who = match address {
            GATEWAY => GATEWAY_MAC,
            host if !self.config.is_behind_gateway && is_there(host) => mac_of(host),
            _ => return,
        };
        // To all workers: it is not for one of them.
        for worker in 0..self.config.workers {
            self.send_back(frames::is_at(address, who, sender, mac), worker, Duration::ZERO);
        }
    }

    fn answer(&mut self, syn: &Syn) {
        // Another hash than that of the fate, or a worker would hear of some fates only.
        let flow = mix(u64::from(u32::from(syn.target)) << 16 ^ u64::from(syn.port) ^ 0x5ca1_ab1e);
        let worker = usize::try_from(flow % self.config.workers as u64).unwrap_or(0);
        let fate = fate(syn.target, syn.port);
        if super::verdict(fate) == Some(Class::Open) {
            self.half_open.insert((syn.target, syn.port));
        }
        match fate {
            Fate::Open => self.send_back(syn.accept(0), worker, Duration::ZERO),
            Fate::OpenTwice => {
                self.send_back(syn.accept(0), worker, Duration::ZERO);
                self.send_back(syn.accept(0), worker, CHANGE_OF_MIND);
            }
            Fate::OpenLate => self.send_back(syn.accept(0), worker, LATE),
            Fate::RefusedThenOpen => {
                self.send_back(syn.refuse(), worker, Duration::ZERO);
                self.send_back(syn.accept(0), worker, CHANGE_OF_MIND);
            }
            Fate::Closed => self.send_back(syn.refuse(), worker, Duration::ZERO),
            // By another way, and so to another worker.
            Fate::Forbidden => self.send_back(syn.unreachable(ROUTER, 13), 0, Duration::ZERO),
            Fate::Silent => {}
            Fate::Forged => {
                self.send_back(syn.accept(1), worker, Duration::ZERO);
                self.send_back(syn.accept(0x8000_0000), worker, Duration::ZERO);
                let neighbour = Ipv4Addr::from(u32::from(syn.target) ^ 1);
                self.send_back(syn.accept_from(neighbour), worker, Duration::ZERO);
            }
        }
    }

    /// A frame to us leaves after `wait`.
    fn send_back(&mut self, frame: Vec<u8>, worker: usize, wait: Duration) {
        let copies = 1 + u64::from(self.duplicate.chance(self.config.duplicate_ppm));
        for _ in 0..copies {
            if self.loss.chance(self.config.loss_ppm) {
                continue;
            }
            let jitter = Duration::from_nanos(self.jitter.below(self.config.jitter.as_nanos().max(1)));
            let at = self.now + self.config.delay + self.config.delay + wait + jitter;
            self.numbers += 1;
            self.arrivals.push(Reverse(Arrival { at, number: self.numbers, worker, frame: frame.clone() }));
        }
    }
}
