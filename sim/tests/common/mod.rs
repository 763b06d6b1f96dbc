//! What the tests share: ordinary hosts on ordinary paths.

#![allow(dead_code, reason = "each test file uses a part of it")]

use wirehaul_core::{rate::Rate, time::Duration, wire::StreamId};
use wirehaul_sim::{
    checks,
    host::{Arena, HostConfig},
    link::LinkConfig,
    run::{HostId, Outcome, Run},
};

pub mod flight;

pub const MIB: u64 = 1 << 20;

/// A scenario without an expectation, to be changed by tests.
pub const PLAIN: &str = r#"[run]
duration_s = 1

[link.path]
rate = "20mbit"
delay = "5ms"
buffer = "1bdp"

[flow.a]
"#;

pub fn ms(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

pub fn secs(secs: u64) -> Duration {
    Duration::from_secs(secs)
}

pub fn mbit(megabits: u64) -> Rate {
    Rate::from_bits_per_sec(megabits * 1_000_000)
}

/// The nth stream that is not reserved.
pub fn stream(n: u16) -> StreamId {
    StreamId::new(16 + n).expect("not reserved")
}

/// A link of this rate and one-way delay with a buffer of one bandwidth-delay product of the round trip.
pub fn link(megabits: u64, delay: Duration) -> LinkConfig {
    let round_trip = delay.saturating_mul(2);
    let buffer = mbit(megabits).bytes_in(round_trip).max(30_000);
    LinkConfig { rate: Some(mbit(megabits)), delay, buffer_bytes: Some(buffer), ..LinkConfig::default() }
}

/// A host that calls and sends these streams.
pub fn sender(number: u16, streams: &[u64]) -> HostConfig {
    let mut config = HostConfig::new(number);
    config.plan.send = streams.iter().zip(0..).map(|(bytes, n)| (stream(n), *bytes)).collect();
    config
}

/// A host that listens.
pub fn listener(number: u16) -> HostConfig {
    HostConfig { listening: true, ..HostConfig::new(number) }
}

/// Two joined hosts, the first of which has called the second.
pub struct Pair<'a> {
    pub run: Run<'a>,
    pub a: HostId,
    pub b: HostId,
    pub call: wirehaul_core::worker::SessionId,
    pub there: wirehaul_sim::network::LinkId,
    pub back: wirehaul_sim::network::LinkId,
}

impl<'a> Pair<'a> {
    pub fn new(arena: &'a Arena, seed: u64, a: HostConfig, b: HostConfig, there: LinkConfig, back: LinkConfig) -> Self {
        let mut run = Run::new(arena, seed);
        let (a, b) = (run.add_host(a), run.add_host(b));
        let (there, back) = run.join(a, b, there, back);
        let call = run.connect(a, b);
        Self { run, a, b, call, there, back }
    }

    /// Runs until everything is delivered and checks all that must hold.
    #[track_caller]
    pub fn complete(&mut self, limit: Duration) -> Duration {
        let start = self.run.now();
        let outcome = self.run.until_delivered(limit);
        if let Err(violation) = checks::all(&mut self.run, outcome) {
            panic!("seed {}: {violation}\n{}", self.run.seed().0, self.describe());
        }
        self.run.now().saturating_since(start)
    }

    /// How both ends stand, for a failed assertion.
    pub fn describe(&mut self) -> String {
        self.run.describe()
    }
}

/// Bits per second that `bytes` in `span` are.
pub fn bits_per_sec(bytes: u64, span: Duration) -> u64 {
    Rate::from_bytes_over(bytes, span).as_bits_per_sec()
}

/// Asserts that a run is over because what it waited for holds.
#[track_caller]
pub fn done(outcome: Outcome) {
    assert_eq!(outcome, Outcome::Done);
}
