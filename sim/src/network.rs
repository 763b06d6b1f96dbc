//! Links joined into paths, and what is on its way over them: an event heap in virtual time.

use std::{
    cmp::Reverse,
    collections::{BTreeMap, BinaryHeap, VecDeque},
    net::SocketAddr,
    rc::Rc,
};

use wirehaul_core::{device::Ecn, rate::Rate, time::Instant};

use crate::{
    faults::Fault,
    link::{Arrival, Count, Link, LinkConfig, Step, rescaled},
    rng::Seed,
};

/// A datagram on its way.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Datagram {
    /// Who sent it.
    pub from: SocketAddr,
    /// Who is to get it.
    pub to: SocketAddr,
    /// Its ECN field.
    pub ecn: Ecn,
    /// Its UDP payload.
    pub bytes: Vec<u8>,
}

/// Names a link of a network.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct LinkId(usize);

impl LinkId {
    /// The link of this number, in the order in which links were added, from 0.
    #[must_use]
    pub const fn nth(number: usize) -> Self {
        Self(number)
    }
}

/// The links, the routes over them, and the datagrams on their way.
#[derive(Debug)]
pub struct Network {
    seed: Seed,
    links: Vec<Lane>,
    routes: BTreeMap<(SocketAddr, SocketAddr), Rc<[LinkId]>>,
    /// The first of each lane that is not empty: when it arrives, its place in the order of sending, and the lane.
    heads: BinaryHeap<Reverse<(Instant, u64, usize)>>,
    /// What overtakes or was overtaken, and what no link carries.
    strays: BinaryHeap<Reverse<OnTheWay>>,
    /// What will change, when, and in which order.
    steps: BTreeMap<(Instant, u64), (LinkId, Step)>,
    /// The rates of links on which faults change the rate, to have them back.
    own_rates: BTreeMap<LinkId, Rate>,
    sequence: u64,
    ledger: Ledger,
    recording: Option<Vec<Datagram>>,
    arrivals: Vec<Arrival>,
    /// Buffers of datagrams that arrived, to be used again.
    spare: Vec<Vec<u8>>,
}

/// A link, and what it carries in order: a queue, so that a long path costs no more than a short one.
#[derive(Debug)]
struct Lane {
    link: Link,
    in_order: VecDeque<OnTheWay>,
}

/// A datagram that has reached its destination.
#[derive(Debug)]
pub struct Delivered {
    /// The datagram.
    pub datagram: Datagram,
    /// When it was sent; when it was put in, where it came from outside.
    pub sent_at: Instant,
}

/// What entered and left the network as a whole.
#[derive(Clone, Copy, Debug, Default)]
pub struct Ledger {
    /// Sent by endpoints.
    pub sent: Count,
    /// Put in from outside of any endpoint.
    pub injected: Count,
    /// Handed to endpoints.
    pub delivered: Count,
    /// Sent to an address to which there is no route.
    pub unroutable: Count,
}

#[derive(Debug)]
struct OnTheWay {
    at: Instant,
    /// When its last byte left the queue of the link that carries it.
    serialised_at: Instant,
    sent_at: Instant,
    /// Ties are broken by the order of sending, so that a run never depends on the heap.
    sequence: u64,
    datagram: Datagram,
    route: Rc<[LinkId]>,
    /// How many links of the route lie behind it.
    passed: usize,
}

impl Network {
    /// An empty network whose faults come from `seed`.
    #[must_use]
    pub fn new(seed: Seed) -> Self {
        Self {
            seed,
            links: Vec::new(),
            routes: BTreeMap::new(),
            heads: BinaryHeap::new(),
            strays: BinaryHeap::new(),
            steps: BTreeMap::new(),
            own_rates: BTreeMap::new(),
            sequence: 0,
            ledger: Ledger::default(),
            recording: None,
            arrivals: Vec::new(),
            spare: Vec::new(),
        }
    }

    /// Adds a link.
    pub fn add_link(&mut self, config: LinkConfig) -> LinkId {
        let id = LinkId(self.links.len());
        let link = Link::new(config, self.seed, id.0 as u64);
        self.links.push(Lane { link, in_order: VecDeque::new() });
        id
    }

    /// An address becomes another: what is sent from there or to there takes the ways of before, and the old one is nobody's.
    pub fn rename(&mut self, old: SocketAddr, new: SocketAddr) {
        let other = |address| if address == old { new } else { address };
        let routes = core::mem::take(&mut self.routes);
        self.routes = routes.into_iter().map(|((from, to), links)| ((other(from), other(to)), links)).collect();
    }

    /// Sends datagrams from one address to another over these links, in this order. No link means at once.
    pub fn route(&mut self, from: SocketAddr, to: SocketAddr, links: &[LinkId]) {
        self.routes.insert((from, to), links.into());
    }

    /// A link, to look at it or to change it.
    ///
    /// # Panics
    /// Where the id is of another network.
    pub fn link(&mut self, id: LinkId) -> &mut Link {
        &mut self.links[id.0].link
    }

    /// All links.
    pub fn links(&self) -> impl Iterator<Item = &Link> {
        self.links.iter().map(|lane| &lane.link)
    }

    /// Changes a link at `at`.
    pub fn step_at(&mut self, at: Instant, id: LinkId, step: Step) {
        self.sequence += 1;
        self.steps.insert((at, self.sequence), (id, step));
    }

    /// Lets these faults happen, in a run that began at `start`. Where `by_chance` is false, nothing else happens to single
    /// datagrams.
    pub fn follow(&mut self, faults: &[Fault], by_chance: bool, start: Instant) {
        for index in 0..self.links.len() {
            self.links[index].link.follow(faults, by_chance, index, start);
        }
        for (at, id, step) in faults.iter().flat_map(|fault| fault.steps(start)) {
            let Some(lane) = self.links.get_mut(id.0) else { continue };
            if let (Some(own), Some(_)) = (lane.link.config_mut().rate, step.rate) {
                self.own_rates.entry(id).or_insert(own);
            }
            self.step_at(at, id, step);
        }
    }

    /// From now on nothing goes wrong; delay and buffer stay, and so does the rate, but where faults changed that.
    pub fn heal(&mut self, now: Instant) {
        self.steps.clear();
        for (id, own) in std::mem::take(&mut self.own_rates) {
            self.apply(now, id, Step { rate: Some(own), ..Step::default() });
        }
        self.links.iter_mut().for_each(|lane| lane.link.heal());
    }

    /// What entered and left.
    #[must_use]
    pub const fn ledger(&self) -> Ledger {
        self.ledger
    }

    /// Datagrams and bytes that have not arrived yet.
    #[must_use]
    pub fn on_the_way(&self) -> Count {
        let mut count = Count::default();
        let in_order = self.links.iter().flat_map(|lane| &lane.in_order);
        let strays = self.strays.iter().map(|Reverse(entry)| entry);
        in_order.chain(strays).for_each(|entry| count.add(entry.datagram.bytes.len()));
        count
    }

    /// Keeps a copy of everything that is sent from now on, to be sent again by [`Network::inject`].
    pub fn record(&mut self) {
        self.recording = Some(Vec::new());
    }

    /// What was recorded so far.
    #[must_use]
    pub fn recorded(&self) -> &[Datagram] {
        self.recording.as_deref().unwrap_or(&[])
    }

    /// Takes a datagram from an endpoint. `false` where no route leads to its destination.
    pub fn send(&mut self, now: Instant, datagram: Datagram) -> bool {
        let Some(route) = self.routes.get(&(datagram.from, datagram.to)).cloned() else {
            self.ledger.unroutable.add(datagram.bytes.len());
            return false;
        };
        self.ledger.sent.add(datagram.bytes.len());
        if let Some(recording) = &mut self.recording {
            recording.push(datagram.clone());
        }
        self.forward(now, now, datagram, route, 0);
        true
    }

    /// Puts a datagram in front of its destination, whoever it claims to be from.
    pub fn inject(&mut self, at: Instant, datagram: Datagram) {
        self.ledger.injected.add(datagram.bytes.len());
        let sequence = self.next_sequence();
        let (sent_at, serialised_at) = (at, at);
        let route = Rc::new([]);
        self.strays.push(Reverse(OnTheWay { at, serialised_at, sent_at, sequence, datagram, route, passed: 0 }));
    }

    /// An empty buffer for a datagram.
    #[must_use]
    pub fn buffer(&mut self) -> Vec<u8> {
        self.spare.pop().unwrap_or_default()
    }

    /// Takes the buffer of a datagram back.
    pub fn recycle(&mut self, mut buffer: Vec<u8>) {
        buffer.clear();
        self.spare.push(buffer);
    }

    /// When the next datagram gets somewhere, or a link changes.
    #[must_use]
    pub fn next_at(&self) -> Option<Instant> {
        let step = self.steps.first_key_value().map(|((at, _), _)| *at);
        self.next_datagram().map(|(at, _)| at).into_iter().chain(step).min()
    }

    /// When the next datagram gets somewhere, and its place in the order of sending.
    fn next_datagram(&self) -> Option<(Instant, u64)> {
        let head = self.heads.peek().map(|Reverse((at, sequence, _))| (*at, *sequence));
        let stray = self.strays.peek().map(|Reverse(entry)| (entry.at, entry.sequence));
        head.into_iter().chain(stray).min()
    }

    /// Moves everything along that is due at `now`; returns the next datagram that has reached its destination.
    pub fn deliver(&mut self, now: Instant) -> Option<Delivered> {
        loop {
            self.take_steps(now);
            if self.next_datagram().is_none_or(|(at, _)| at > now) {
                return None;
            }
            let OnTheWay { at, sent_at, datagram, route, passed, .. } = self.take_next()?;
            if passed >= route.len() {
                self.ledger.delivered.add(datagram.bytes.len());
                return Some(Delivered { datagram, sent_at });
            }
            self.forward(at, sent_at, datagram, route, passed);
        }
    }

    fn take_next(&mut self) -> Option<OnTheWay> {
        let stray = self.strays.peek().map(|Reverse(entry)| (entry.at, entry.sequence));
        let head = self.heads.peek().map(|Reverse((at, sequence, _))| (*at, *sequence));
        if head.is_none() || stray.is_some_and(|stray| head.is_some_and(|head| stray < head)) {
            return self.strays.pop().map(|Reverse(entry)| entry);
        }
        let Reverse((_, _, index)) = self.heads.pop()?;
        let lane = self.links.get_mut(index)?;
        let entry = lane.in_order.pop_front();
        if let Some(next) = lane.in_order.front() {
            self.heads.push(Reverse((next.at, next.sequence, index)));
        }
        entry
    }

    fn forward(&mut self, now: Instant, sent_at: Instant, datagram: Datagram, route: Rc<[LinkId]>, passed: usize) {
        let Some(LinkId(index)) = route.get(passed).copied() else {
            let sequence = self.next_sequence();
            let entry = OnTheWay { at: now, serialised_at: now, sent_at, sequence, datagram, route, passed };
            self.strays.push(Reverse(entry));
            return;
        };
        let mut arrivals = std::mem::take(&mut self.arrivals);
        self.links[index].link.carry(now, datagram, &mut arrivals);
        for Arrival { at, serialised_at, in_order, datagram } in arrivals.drain(..) {
            let sequence = self.next_sequence();
            let route = Rc::clone(&route);
            let entry = OnTheWay { at, serialised_at, sent_at, sequence, datagram, route, passed: passed + 1 };
            if !in_order {
                self.strays.push(Reverse(entry));
                continue;
            }
            let lane = &mut self.links[index].in_order;
            if lane.is_empty() {
                self.heads.push(Reverse((at, sequence, index)));
            }
            lane.push_back(entry);
        }
        self.arrivals = arrivals;
    }

    const fn next_sequence(&mut self) -> u64 {
        self.sequence += 1;
        self.sequence
    }

    /// Does the changes that are due before any datagram gets somewhere.
    fn take_steps(&mut self, now: Instant) {
        while let Some(((at, _), (id, step))) = self.steps.first_key_value().map(|(key, value)| (*key, *value)) {
            if at > now || self.next_datagram().is_some_and(|(arrival, _)| arrival < at) {
                return;
            }
            self.steps.pop_first();
            self.apply(at, id, step);
        }
    }

    /// What waits in the queue leaves at the new rate.
    fn apply(&mut self, now: Instant, LinkId(index): LinkId, step: Step) {
        let Some(Lane { link, in_order }) = self.links.get_mut(index) else { return };
        let Some((old, new)) = link.step(now, step) else { return };
        let mut last = now;
        for entry in in_order.iter_mut() {
            let leaves_at = rescaled(entry.serialised_at, now, old, new);
            let behind = entry.at.saturating_since(entry.serialised_at);
            if leaves_at != entry.serialised_at {
                entry.serialised_at = leaves_at;
                entry.at = (leaves_at + behind).max(last);
            }
            last = last.max(entry.at);
        }
        link.set_last_arrival(last);
        self.heads.retain(|Reverse((_, _, lane))| *lane != index);
        if let Some(first) = self.links[index].in_order.front() {
            self.heads.push(Reverse((first.at, first.sequence, index)));
        }
    }
}

impl PartialEq for OnTheWay {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other).is_eq()
    }
}

impl Eq for OnTheWay {}

impl PartialOrd for OnTheWay {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for OnTheWay {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        (self.at, self.sequence).cmp(&(other.at, other.sequence))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use wirehaul_core::time::Duration;

    fn ms(millis: u64) -> Instant {
        Instant::ZERO + Duration::from_millis(millis)
    }

    fn datagram(number: u8) -> Datagram {
        let [from, to] = [1, 2].map(|host| SocketAddr::from(([10, 0, 0, host], 1)));
        let mut bytes = vec![0; 972];
        bytes[0] = number;
        Datagram { from, to, ecn: Ecn::NotEct, bytes }
    }

    fn through(config: LinkConfig) -> (Network, LinkId) {
        let mut network = Network::new(Seed(1));
        let link = network.add_link(config);
        let Datagram { from, to, .. } = datagram(0);
        network.route(from, to, &[link]);
        (network, link)
    }

    /// What arrived, and when.
    fn drain(network: &mut Network) -> Vec<(u8, Instant)> {
        let mut arrived = Vec::new();
        while let Some(at) = network.next_at() {
            while let Some(Delivered { datagram, .. }) = network.deliver(at) {
                arrived.push((datagram.bytes[0], at));
            }
        }
        arrived
    }

    #[test]
    fn a_step_moves_what_waits_and_not_what_is_under_way() {
        let rate = |bits| Some(Rate::from_bits_per_sec(bits));
        let (mut network, link) =
            through(LinkConfig { rate: rate(8_000_000), delay: Duration::from_millis(10), ..LinkConfig::default() });
        (0..4).for_each(|number| assert!(network.send(Instant::ZERO, datagram(number))));
        network.step_at(ms(2), link, Step { rate: rate(1_000_000), ..Step::default() });
        // 1 ms each before the step, 8 ms each behind it.
        assert_eq!(drain(&mut network), [(0, ms(11)), (1, ms(12)), (2, ms(20)), (3, ms(28))]);
        assert_eq!(network.on_the_way(), Count::default());
    }

    #[test]
    fn a_shorter_delay_does_not_reorder() {
        let (mut network, link) = through(LinkConfig { delay: Duration::from_millis(10), ..LinkConfig::default() });
        network.step_at(ms(1), link, Step { delay: Some(Duration::from_millis(2)), ..Step::default() });
        network.send(Instant::ZERO, datagram(0));
        assert!(network.deliver(ms(1)).is_none());
        network.send(ms(1), datagram(1));
        network.send(ms(20), datagram(2));
        assert_eq!(drain(&mut network), [(0, ms(10)), (1, ms(10)), (2, ms(22))]);
    }

    #[test]
    fn lumps_and_a_policer_come_and_go_with_their_faults() {
        let (mut network, link) = through(LinkConfig::default());
        let nanos = |millis: u64| millis * 1_000_000;
        // One datagram of 1000 bytes at a time passes, and another each 10 ms.
        let police =
            Fault::Police { link: 0, from_ns: nanos(30), to_ns: nanos(60), rate_bps: 800_000, burst_bytes: 1_000 };
        let lumps = Fault::Lumps { link: 0, from_ns: 0, to_ns: nanos(30), every_ns: nanos(10) };
        network.follow(&[police, lumps], false, Instant::ZERO);
        let mut arrived = Vec::new();
        for number in 1..80 {
            let at = ms(u64::from(number));
            while let Some(Delivered { datagram, .. }) = network.deliver(at) {
                arrived.push((datagram.bytes[0], at));
            }
            assert!(network.send(at, datagram(number)));
        }
        arrived.extend(drain(&mut network));
        let expected = |number: u8| match number {
            1..30 => Some(ms(u64::from(number).div_ceil(10) * 10)),
            30..60 => number.is_multiple_of(10).then(|| ms(u64::from(number))),
            _ => Some(ms(u64::from(number))),
        };
        for (number, at) in (1..80).filter_map(|number| Some((number, expected(number)?))) {
            // What was sent at a moment is seen a turn later.
            let seen = arrived.iter().find(|(other, _)| *other == number).map(|(_, at)| *at);
            assert!(seen == Some(at) || seen == Some(at + Duration::from_millis(1)), "{number}: {seen:?}, not {at:?}");
        }
        assert_eq!(network.link(link).stats().dropped_total().datagrams, 27);
    }

    #[test]
    fn what_is_held_back_is_overtaken() {
        let held = LinkConfig { reorder_ppm: 300_000, reorder_by: Duration::from_millis(5), ..LinkConfig::default() };
        let (mut network, _) = through(held);
        (0..100).for_each(|number| assert!(network.send(ms(u64::from(number)), datagram(number))));
        let arrived = drain(&mut network);
        assert_eq!(arrived.len(), 100);
        assert!(arrived.is_sorted_by_key(|(_, at)| *at) && !arrived.is_sorted_by_key(|(number, _)| *number));
    }
}
