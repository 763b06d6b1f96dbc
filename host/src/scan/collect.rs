//! What becomes of replies: each is looked at once, those that say something new become rows, and all are counted (SCAN-3, SCAN-8).

use std::net::IpAddr;

use wirehaul_core::scan::dedup::{Seen, Window};
use wirehaul_core::scan::{Class, Reply};

use super::cdn::{Edge, Edges};
use super::row::Row;
use super::sink::{Sink, SinkError};
use crate::clock::Clock;
use crate::events::{Bus, CdnDetection, Event};

/// A reply as a worker found it: valid, and from a target. Duplicates are not taken out yet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Found {
    /// When, in nanoseconds since 1970.
    pub at_ns: u64,
    /// What it says.
    pub reply: Reply,
    /// The queue that it came by; of a worker with several, the first.
    pub queue: u32,
    /// The worker's NUMA node, where one was chosen.
    pub node: Option<u32>,
}

/// Which replies become rows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Show {
    /// Ports that are open, and hosts that are alive.
    Open,
    /// Every reply that says something new.
    All,
}

/// What was counted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    /// Valid replies.
    pub received: u64,
    /// Those that say nothing new.
    pub duplicates: u64,
    /// New ones of each class, in the order of [`Class::ALL`]; what was reported with a lower class before counts again.
    pub classes: [u64; Class::ALL.len()],
    /// New ones from edges of CDNs.
    pub of_edges: u64,
}

impl Tally {
    /// New replies of a class.
    #[must_use]
    pub fn of(&self, class: Class) -> u64 {
        place_of(class).and_then(|place| self.classes.get(place)).copied().unwrap_or(0)
    }

    /// New replies that are as one hopes: open ports, and hosts that are alive.
    #[must_use]
    pub fn hits(&self) -> u64 {
        Class::ALL.into_iter().filter(|class| class.is_positive()).map(|class| self.of(class)).sum()
    }
}

fn place_of(class: Class) -> Option<usize> {
    Class::ALL.into_iter().position(|other| other == class)
}

/// Takes replies, and keeps rows of them.
pub struct Collector<'a> {
    window: Window<'a>,
    edges: Option<Edges>,
    bus: Option<Bus>,
    clock: Clock,
    show: Show,
    sink: Sink,
    tally: Tally,
}

impl<'a> Collector<'a> {
    /// With a window of what was reported before, whoever knows edges, and those who want to hear of them.
    #[must_use]
    pub fn new(
        window: Window<'a>,
        edges: Option<Edges>,
        bus: Option<Bus>,
        clock: Clock,
        show: Show,
        sink: Sink,
    ) -> Self {
        Self { window, edges, bus, clock, show, sink, tally: Tally::default() }
    }

    /// Takes replies in the order in which they came.
    ///
    /// # Errors
    /// A row could not be written. What comes behind it is lost.
    pub fn take(&mut self, batch: &[Found]) -> Result<(), SinkError> {
        batch.iter().try_for_each(|found| self.take_one(found))
    }

    #[inline]
    fn take_one(&mut self, found: &Found) -> Result<(), SinkError> {
        let reply = &found.reply;
        self.tally.received += 1;
        let is_repeat = match self.window.note(reply.target, reply.probe, reply.class) {
            Seen::First => false,
            Seen::Better => true,
            Seen::Again => {
                self.tally.duplicates += 1;
                return Ok(());
            }
        };
        if let Some(count) = place_of(reply.class).and_then(|place| self.tally.classes.get_mut(place)) {
            *count += 1;
        }
        let edge = self.edges.as_mut().map(|edges| edges.find(reply.target));
        if let Some(edge) = edge.filter(|edge| edge.provider.is_some()) {
            self.tally.of_edges += 1;
            if let Some(bus) = self.bus.as_ref().filter(|bus| bus.is_heard()) {
                bus.send(event(self.clock, reply.target, edge));
            }
        }
        if self.show == Show::Open && !reply.class.is_positive() {
            return Ok(());
        }
        let Found { at_ns, queue, node, .. } = *found;
        self.sink.write(&Row { at_ns, reply, is_repeat, queue, node, edge })
    }

    /// What was counted so far.
    #[must_use]
    pub const fn tally(&self) -> &Tally {
        &self.tally
    }

    /// Where rows go.
    pub const fn sink(&mut self) -> &mut Sink {
        &mut self.sink
    }

    /// What was counted, and where the rows are.
    #[must_use]
    pub fn into_parts(self) -> (Tally, Sink) {
        (self.tally, self.sink)
    }
}

#[cold]
fn event(clock: Clock, target: IpAddr, edge: &Edge) -> Event {
    Event::CdnDetection(CdnDetection {
        at: clock.now(),
        target: target.to_string(),
        provider: edge.provider.map(str::to_owned),
        confidence: edge.posterior,
        origin: edge.provider.is_none(),
    })
}

#[cfg(test)]
#[path = "collect_tests.rs"]
mod tests;
