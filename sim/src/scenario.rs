//! Scenario files (SIM-5): what to run, and what its figures must be. `docs/simulator.md` has every key.
//!
//! ```text
//! source   the text and the overrides of the command line      units    rates, times, sizes, shares
//! schema   every key there is                                  resolve  names become links, defaults become values
//! drive    the run: hosts, links, starts, stops, samples       expect   figures held against what the file says
//! ```

pub mod drive;
pub mod expect;
pub mod resolve;
pub mod schema;
pub mod source;
pub mod units;

use wirehaul_core::{
    congestion::ControllerKind,
    pacer::Quantum,
    rate::Rate,
    time::{Duration, Instant},
};

use crate::{
    link::{LinkConfig, Step},
    supply::Supply,
};
use expect::Expectation;
pub use source::{ScenarioError, Source};

/// The names of the congestion controllers.
pub const CONTROLLERS: &[(&str, ControllerKind)] = &[("bbr", ControllerKind::Bbr), ("cubic", ControllerKind::Cubic)];

/// The controller with this name.
#[must_use]
pub fn controller(name: &str) -> Option<ControllerKind> {
    CONTROLLERS.iter().find(|(known, _)| *known == name).map(|(_, kind)| *kind)
}

/// The name of a controller.
#[must_use]
pub fn controller_name(kind: ControllerKind) -> &'static str {
    CONTROLLERS.iter().find(|(_, known)| *known == kind).map_or("unknown", |(name, _)| name)
}

/// A scenario that makes sense.
#[derive(Clone, Debug)]
pub struct Scenario {
    /// What it is about.
    pub description: String,
    /// Where its randomness starts from.
    pub seed: u64,
    /// How long it takes at most.
    pub duration: Duration,
    /// Whether it is over once every flow that has an end is through.
    pub until_delivered: bool,
    /// From when on means are taken.
    pub measure_from: Duration,
    /// The links.
    pub links: Vec<LinkSpec>,
    /// The flows.
    pub flows: Vec<FlowSpec>,
    /// What the figures must be.
    pub expectations: Vec<Expectation>,
}

/// A link, both ways.
#[derive(Clone, Debug)]
pub struct LinkSpec {
    /// Its name.
    pub name: String,
    /// The way there.
    pub there: DirectionSpec,
    /// The way back.
    pub back: DirectionSpec,
}

/// One direction of a link.
#[derive(Clone, Debug, Default)]
pub struct DirectionSpec {
    /// How it is at the start.
    pub config: LinkConfig,
    /// How it changes, and when.
    pub steps: Vec<(Instant, Step)>,
}

/// A flow: a sender and a receiver, and what passes between them.
#[derive(Clone, Debug)]
pub struct FlowSpec {
    /// Its name.
    pub name: String,
    /// The name of its table in the file, which several flows may share.
    pub table: String,
    /// Its congestion controller.
    pub controller: ControllerKind,
    /// The links that it crosses, by index, from sender to receiver.
    pub path: Vec<usize>,
    /// Whether it crosses them against their direction.
    pub reverse: bool,
    /// One-way delay of a link of its own at the sender.
    pub access_delay: Duration,
    /// How much it sends; `None` has no end.
    pub bytes: Option<u64>,
    /// When it starts.
    pub start: Duration,
    /// When it gives up.
    pub stop: Option<Duration>,
    /// How its application comes by its bytes.
    pub supply: Option<Supply>,
    /// Never sends faster than this.
    pub rate_cap: Option<Rate>,
    /// Bytes of UDP payload of its largest datagram.
    pub datagram_bytes: usize,
    /// The same, up to which larger ones are tried.
    pub max_datagram_bytes: usize,
    /// Whether the pacer is on.
    pub pacing: bool,
    /// How much leaves back to back.
    pub quantum: Quantum,
    /// The most that the receiver lets the sender have under way.
    pub window_bytes: Option<u64>,
    /// How fast the receiver takes bytes.
    pub read_rate: Option<Rate>,
    /// By up to how much the sender's timers are late.
    pub wake_lateness: Duration,
}

impl FlowSpec {
    /// The links from sender to receiver.
    fn there<'s>(&self, links: &'s [LinkSpec]) -> impl Iterator<Item = &'s DirectionSpec> {
        let reverse = self.reverse;
        let links = self.path.iter().filter_map(|index| links.get(*index)).collect::<Vec<_>>();
        links.into_iter().map(move |link| if reverse { &link.back } else { &link.there })
    }

    /// The time that a packet takes there and back through empty queues, at the start of the run.
    #[must_use]
    pub fn base_round_trip(&self, links: &[LinkSpec]) -> Duration {
        let links = self.path.iter().filter_map(|index| links.get(*index));
        links.fold(self.access_delay.saturating_mul(2), |sum, link| {
            sum + link.there.config.delay + link.back.config.delay
        })
    }
}
