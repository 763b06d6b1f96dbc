//! Scenarios drawn at random: options that nobody would think of putting together (SIM-6).
//!
//! A run has a safety phase, in which everything may go wrong, and a liveness phase, in which the path is whole again
//! and every transfer must get through. A scenario is a function of its seed alone.

use std::fmt;

use wirehaul_core::{
    rate::Rate,
    session::{CloseReason, Config},
    time::{Duration, Instant},
    wire::StreamId,
};

use crate::{
    bulk::{Appetite, Flow, Plan},
    checks::{self, Violation},
    host::{Arena, HostConfig, Room},
    link::{Burst, LinkConfig},
    rng::{Purpose, Seed, Stream},
    run::{HostId, Outcome, Run},
};

/// How long faults may last.
const SAFETY_PHASE: Duration = Duration::from_secs(10);
/// How long a transfer may take once they are over.
const LIVENESS_PHASE: Duration = Duration::from_secs(120);
/// How long sessions may take to settle what is in flight after the last byte was acknowledged.
const SETTLING: Duration = Duration::from_secs(30);

/// A pair of hosts and the path between them, there and back.
#[derive(Clone, Debug)]
pub struct Scenario {
    /// What it was drawn from.
    pub seed: u64,
    /// The hosts; the first calls the second.
    pub hosts: [HostConfig; 2],
    /// The links, from the first host to the second and back.
    pub links: [LinkConfig; 2],
}

/// What a run of a scenario came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Report {
    /// Digest of every delivered datagram.
    pub trace_hash: u64,
    /// Virtual time until everything was delivered.
    pub took: Duration,
    /// Datagrams that were sent.
    pub datagrams: u64,
}

/// Why a scenario failed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    /// What must hold and does not.
    pub violation: Violation,
    /// How the hosts stood.
    pub state: String,
}

impl fmt::Display for Failure {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{}{}", self.violation, self.state)
    }
}

impl Scenario {
    /// The scenario of this seed.
    #[must_use]
    pub fn draw(seed: u64) -> Self {
        let mut random = Seed(seed).stream(0, Purpose::Scenario);
        let rate = 1_000_000 << random.below(8);
        let delay = Duration::from_micros(50 << random.below(11));
        let links = [draw_link(&mut random, rate, delay), draw_link(&mut random, rate, delay)];
        let mut hosts = [draw_host(&mut random, 1, rate), draw_host(&mut random, 2, rate)];
        hosts[1].listening = true;
        // What one sends, the other must have streams for.
        let streams = hosts[0].room.streams.min(hosts[1].room.streams);
        for host in &mut hosts {
            host.plan.send.truncate(streams);
        }
        if hosts.iter().all(|host| host.plan.send.is_empty()) {
            hosts[0].plan.send.push((StreamId::FIRST, 1));
        }
        Self { seed, hosts, links }
    }

    /// Runs the scenario.
    ///
    /// # Errors
    /// The first thing that must hold and does not, with how the hosts stood then.
    pub fn run(&self) -> Result<Report, Failure> {
        let arena = Arena::new();
        let mut run = Run::new(&arena, self.seed);
        self.go_through(&mut run).map_err(|violation| Failure { violation, state: run.describe() })
    }

    fn go_through(&self, run: &mut Run<'_>) -> Result<Report, Violation> {
        let [a, b] = self.hosts.clone().map(|host| run.add_host(host));
        let (there, back) = run.join(a, b, self.links[0].clone(), self.links[1].clone());
        run.connect(a, b);
        let start = run.now();
        let mut outcome = run.until_delivered(SAFETY_PHASE);
        for link in [there, back] {
            heal(run.network().link(link).config_mut());
        }
        if outcome == Outcome::TimeLimit {
            outcome = run.until_delivered(LIVENESS_PHASE);
        }
        let took = run.now().saturating_since(start);
        if self.was_talked_out_of_it(run) {
            checks::promises(run)?;
            return Ok(Report { trace_hash: run.trace_hash(), took, datagrams: run.network().ledger().sent.datagrams });
        }
        checks::all(run, outcome)?;
        settles(run, &[a, b])?;
        checks::all(run, Outcome::Done)?;
        let datagrams = run.network().ledger().sent.datagrams;
        Ok(Report { trace_hash: run.trace_hash(), took, datagrams })
    }
}

impl Scenario {
    /// A refusal in the clear is believed after a while, so a corrupted INIT can end a call. No fault of the session's.
    fn was_talked_out_of_it(&self, run: &mut Run<'_>) -> bool {
        let corrupts = self.links.iter().any(|link| link.corrupt_ppm > 0);
        let refused =
            |(_, flow): (_, &Flow)| matches!(flow.closed, Some((CloseReason::Refused(_) | CloseReason::Version(_), _)));
        corrupts && run.hosts().any(|host| host.app().flows().any(refused))
    }
}

/// Nothing stays in flight for ever: a packet that is neither acknowledged nor lost would be counted for good.
fn settles(run: &mut Run<'_>, hosts: &[HostId]) -> Result<(), Violation> {
    // A session that changes keys all the time always has a REKEY on its way.
    const ONE_CONTROL_PACKET: u64 = 128;
    for host in hosts {
        let settled = |run: &mut Run<'_>| {
            run.host(*host).worker().sessions().all(|(_, session)| session.stats().inflight_bytes <= ONE_CONTROL_PACKET)
        };
        let outcome = run.until(SETTLING, settled);
        if outcome != Outcome::Done {
            return Err(Violation::Incomplete(outcome));
        }
    }
    Ok(())
}

/// Takes the faults away, and leaves rate, delay and buffer.
fn heal(config: &mut LinkConfig) {
    let LinkConfig { rate, delay, buffer_bytes, .. } = *config;
    *config = LinkConfig { rate, delay, buffer_bytes, ..LinkConfig::default() };
}

fn draw_link(random: &mut Stream, rate: u64, delay: Duration) -> LinkConfig {
    let rate = Rate::from_bits_per_sec(rate);
    let product = rate.bytes_in(delay.saturating_mul(2));
    let rare =
        |random: &mut Stream| if random.chance(300_000) { *random.pick(&[1_000, 10_000, 50_000, 200_000]) } else { 0 };
    let burst = Burst {
        enter_ppm: *random.pick(&[500, 5_000]),
        leave_ppm: *random.pick(&[20_000, 200_000]),
        loss_ppm: *random.pick(&[500_000, 1_000_000]),
    };
    LinkConfig {
        rate: random.chance(900_000).then_some(rate),
        delay,
        jitter: delay.mul_ratio(random.below(3), 4),
        buffer_bytes: random.chance(800_000).then(|| (product * random.between(1, 12) / 4).max(6_000)),
        mark_above_bytes: random.chance(200_000).then_some(product / 2),
        loss_ppm: rare(random),
        burst: random.chance(200_000).then_some(burst),
        duplicate_ppm: rare(random),
        reorder_ppm: rare(random),
        reorder_by: delay.mul_ratio(random.between(1, 8), 4),
        corrupt_ppm: rare(random),
        truncate_ppm: rare(random),
        outages: draw_outages(random),
        ..LinkConfig::default()
    }
}

fn draw_outages(random: &mut Stream) -> Vec<(Instant, Instant)> {
    let count = if random.chance(300_000) { random.between(1, 2) } else { 0 };
    let start = Instant::ZERO + Duration::from_secs(3600);
    let mut draw = || {
        let from = start + Duration::from_millis(random.below(4_000));
        (from, from + Duration::from_millis(random.below(2_500)))
    };
    (0..count).map(|_| draw()).collect()
}

fn draw_host(random: &mut Stream, number: u16, rate: u64) -> HostConfig {
    let mut config = HostConfig::new(number);
    let room = Room {
        sent: *random.pick(&[64, 100, 512, 4096]),
        packet_gaps: *random.pick(&[8, 32, 512]),
        streams: *random.pick(&[1, 3, 8, 16]),
        stream_gaps: *random.pick(&[2, 8, 64, 512]),
    };
    let suites = config.session.suites;
    config.session = Config {
        suites,
        datagram_bytes: *random.pick(&[1200, 1400, 1472]),
        idle_timeout: Duration::from_secs(30),
        handshake_timeout: Duration::from_secs(30),
        max_ack_delay: Duration::from_millis(*random.pick(&[1, 5, 25])),
        initial_window_bytes: *random.pick(&[5_000, 65_536, 1 << 20]),
        max_window_bytes: *random.pick(&[65_536, 64 << 20]),
        pacing: random.chance(800_000),
        rate_cap: random.chance(200_000).then(|| Rate::from_bits_per_sec(rate / 2)),
        rekey_packets: *random.pick(&[50, 1_000, 1 << 20]),
        rekey_interval: Duration::from_millis(*random.pick(&[20, 500, 120_000])),
        ..Config::default()
    };
    config.room = room;
    config.max_segments = *random.pick(&[1, 10, 44]);
    config.wake_lateness = Duration::from_micros(*random.pick(&[0, 0, 100, 2_000]));
    config.plan = draw_plan(random, room.streams, rate);
    config
}

fn draw_plan(random: &mut Stream, streams: usize, rate: u64) -> Plan {
    let most = (rate / 8 * 4).min(6_000_000);
    let count = random.below(streams.min(4) as u64 + 1);
    let send = (0..count).filter_map(|index| {
        let stream = StreamId::new(16 + u16::try_from(index).ok()? * 3)?;
        // As many small streams as large ones.
        let bound = most >> random.below(16);
        Some((stream, random.below(bound + 1)))
    });
    let send = send.collect();
    let rate = random.chance(200_000).then(|| Rate::from_bits_per_sec(rate / 2));
    let appetite = Appetite { delay: Duration::from_millis(*random.pick(&[0, 0, 3, 50])), rate };
    Plan { send, appetite, ..Plan::default() }
}
