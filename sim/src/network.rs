//! Links joined into paths, and what is on its way over them: an event heap in virtual time.

use std::{
    cmp::Reverse,
    collections::{BTreeMap, BinaryHeap},
    net::SocketAddr,
    rc::Rc,
};

use wirehaul_core::{device::Ecn, time::Instant};

use crate::{
    link::{Count, Link, LinkConfig},
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

/// The links, the routes over them, and the datagrams on their way.
#[derive(Debug)]
pub struct Network {
    seed: Seed,
    links: Vec<Link>,
    routes: BTreeMap<(SocketAddr, SocketAddr), Rc<[LinkId]>>,
    heap: BinaryHeap<Reverse<OnTheWay>>,
    sequence: u64,
    ledger: Ledger,
    recording: Option<Vec<Datagram>>,
    arrivals: Vec<(Instant, Datagram)>,
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
            heap: BinaryHeap::new(),
            sequence: 0,
            ledger: Ledger::default(),
            recording: None,
            arrivals: Vec::new(),
        }
    }

    /// Adds a link.
    pub fn add_link(&mut self, config: LinkConfig) -> LinkId {
        let id = LinkId(self.links.len());
        self.links.push(Link::new(config, self.seed, id.0 as u64));
        id
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
        &mut self.links[id.0]
    }

    /// All links.
    pub fn links(&self) -> impl Iterator<Item = &Link> {
        self.links.iter()
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
        self.heap.iter().for_each(|Reverse(entry)| count.add(entry.datagram.bytes.len()));
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
        self.forward(now, datagram, route, 0);
        true
    }

    /// Puts a datagram in front of its destination, whoever it claims to be from.
    pub fn inject(&mut self, at: Instant, datagram: Datagram) {
        self.ledger.injected.add(datagram.bytes.len());
        self.push(at, datagram, Rc::new([]), 0);
    }

    /// When the next datagram gets somewhere.
    #[must_use]
    pub fn next_at(&self) -> Option<Instant> {
        self.heap.peek().map(|Reverse(entry)| entry.at)
    }

    /// Moves everything along that is due at `now`; returns the next datagram that has reached its destination.
    pub fn deliver(&mut self, now: Instant) -> Option<Datagram> {
        while self.next_at().is_some_and(|at| at <= now) {
            let Reverse(OnTheWay { at, datagram, route, passed, .. }) = self.heap.pop()?;
            if passed >= route.len() {
                self.ledger.delivered.add(datagram.bytes.len());
                return Some(datagram);
            }
            self.forward(at, datagram, route, passed);
        }
        None
    }

    fn forward(&mut self, now: Instant, datagram: Datagram, route: Rc<[LinkId]>, passed: usize) {
        let Some(LinkId(link)) = route.get(passed) else {
            self.push(now, datagram, route, passed);
            return;
        };
        let mut arrivals = std::mem::take(&mut self.arrivals);
        self.links[*link].carry(now, datagram, &mut arrivals);
        for (at, datagram) in arrivals.drain(..) {
            self.push(at, datagram, Rc::clone(&route), passed + 1);
        }
        self.arrivals = arrivals;
    }

    fn push(&mut self, at: Instant, datagram: Datagram, route: Rc<[LinkId]>, passed: usize) {
        self.sequence += 1;
        self.heap.push(Reverse(OnTheWay { at, sequence: self.sequence, datagram, route, passed }));
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
