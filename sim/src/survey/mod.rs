//! A survey under virtual time: the core's own workers against a network whose every host answers by a rule (SIM-1, SCAN-1 to 4).
//!
//! What a run is given and what it leaves behind are plain values, so that a test can compare them with the rule: see [`fate`].

pub mod frames;
mod world;

use std::collections::BTreeMap;
use std::net::Ipv4Addr;

use wirehaul_core::scan::cap::Cap;
use wirehaul_core::scan::reply::Class;
use wirehaul_core::scan::survey::SentCounters;
use wirehaul_core::time::{Duration, Instant};

use crate::rng::{Seed, mix};

pub use world::run;

/// What becomes of a probe: the rule of the network.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fate {
    /// Taken.
    Open,
    /// Taken, and said twice.
    OpenTwice,
    /// Taken after seconds.
    OpenLate,
    /// Refused by something on the way, and taken a moment later.
    RefusedThenOpen,
    /// Refused.
    Closed,
    /// A router says that it must not be.
    Forbidden,
    /// Nobody says anything.
    Silent,
    /// Forgers say that it is open, who have seen the probe but not all of it, or answer for another host.
    Forged,
}

/// What becomes of a probe of this address and port.
#[must_use]
pub fn fate(address: Ipv4Addr, port: u16) -> Fate {
    match mix(u64::from(u32::from(address)) << 16 | u64::from(port)) % 16 {
        0 | 1 => Fate::Open,
        2 => Fate::OpenTwice,
        3 => Fate::OpenLate,
        4 => Fate::RefusedThenOpen,
        5..8 => Fate::Closed,
        8 => Fate::Forbidden,
        9 => Fate::Forged,
        _ => Fate::Silent,
    }
}

/// What an honest survey says in the end of a probe with this fate, where nothing got lost.
#[must_use]
pub const fn verdict(fate: Fate) -> Option<Class> {
    match fate {
        Fate::Open | Fate::OpenTwice | Fate::OpenLate | Fate::RefusedThenOpen => Some(Class::Open),
        Fate::Closed => Some(Class::Closed),
        Fate::Forbidden => Some(Class::Filtered),
        Fate::Silent | Fate::Forged => None,
    }
}

/// Whether a host on the link is there at all, and answers when it is asked for its link-layer address.
#[must_use]
pub fn is_there(address: Ipv4Addr) -> bool {
    !mix(u64::from(u32::from(address)) ^ 0xabad_1dea).is_multiple_of(4)
}

/// What is surveyed, how, and over what kind of network.
#[derive(Clone, Debug)]
pub struct SurveyConfig {
    /// Of everything random.
    pub seed: Seed,
    /// Targets, as prefixes.
    pub targets: Vec<String>,
    /// Ports, as on the command line.
    pub ports: String,
    /// The part of the survey, as `1/1`.
    pub shard: String,
    /// How often each probe is sent, 1 or more.
    pub attempts: u8,
    /// Steps between two attempts.
    pub spacing: u64,
    /// Time between two attempts in a survey that is over sooner.
    pub retry_after: Duration,
    /// The cap of all workers together.
    pub cap: Cap,
    /// The cap per /24 of all workers together, in packets a second.
    pub subnet_cap: Option<u64>,
    /// How many workers share the work.
    pub workers: usize,
    /// The step to begin with.
    pub from: u64,
    /// When the process is killed, if it is.
    pub killed_at: Option<Instant>,
    /// Whether targets are behind a gateway, and not on the link.
    pub is_behind_gateway: bool,
    /// Delay of each direction, and by up to how much it varies.
    pub delay: Duration,
    /// See `delay`.
    pub jitter: Duration,
    /// Losses of each direction, in parts per million.
    pub loss_ppm: u32,
    /// Packets that arrive twice, in parts per million.
    pub duplicate_ppm: u32,
    /// Frames that the device takes before it has to be flushed; the rest finds no room.
    pub device_room: usize,
    /// By up to how much the workers wake late.
    pub lateness: Duration,
}

impl Default for SurveyConfig {
    fn default() -> Self {
        Self {
            seed: Seed(1),
            targets: vec!["10.0.0.0/24".to_owned()],
            ports: "80".to_owned(),
            shard: "1/1".to_owned(),
            attempts: 1,
            spacing: 0,
            retry_after: Duration::ZERO,
            cap: Cap::Packets(10_000),
            subnet_cap: None,
            workers: 1,
            from: 0,
            killed_at: None,
            is_behind_gateway: true,
            delay: Duration::from_millis(5),
            jitter: Duration::ZERO,
            loss_ppm: 0,
            duplicate_ppm: 0,
            device_room: 256,
            lateness: Duration::ZERO,
        }
    }
}

/// What a run leaves behind.
#[derive(Clone, Debug, Default)]
pub struct SurveyOutcome {
    /// Every probe, as the network saw it leave.
    pub probes: Vec<(Instant, Ipv4Addr, u16)>,
    /// When any packet left, resets and requests among them.
    pub departures: Vec<Instant>,
    /// What is known of each target and port in the end.
    pub found: BTreeMap<(Ipv4Addr, u16), Class>,
    /// Answers that were reported although the same was known already: zero, or the window is too small.
    pub repeated: u64,
    /// Every step below was taken.
    pub done_before: u64,
    /// Sums over all workers.
    pub sent: SentCounters,
    /// Connections that were taken and never given up by us.
    pub half_open: u64,
    /// Frames that no network would take, in words: none, or the survey is wrong.
    pub malformed: Vec<String>,
    /// When it was over.
    pub ended: Instant,
    /// Of everything that left and arrived.
    pub trace_hash: u64,
}
