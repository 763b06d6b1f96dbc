//! A scenario at work: hosts and links are made, flows start and stop, and what happens is measured.
//!
//! Measuring looks and does not touch: how often it is done changes nothing in the run.

use serde_json::json;
use wirehaul_core::{
    congestion::Model,
    limits::MAX_STREAM_OFFSET,
    rate::Rate,
    session::{CloseReason, Stats},
    time::{Duration, Instant},
    wire::StreamId,
    worker::SessionId,
};

use super::{FlowSpec, LinkSpec, Scenario, controller_name};
use crate::{
    bulk::{Appetite, Plan},
    checks,
    host::{Arena, HostConfig, Room},
    link::{LinkConfig, Occupancy},
    metrics::{Figures, FlowReport, LinkReport, Report, RunReport, micros, ppm, seconds},
    network::LinkId,
    run::{HostId, Outcome, Run, START},
};

/// How often smoothed round-trip times are looked at; in long runs less often.
const TICK: Duration = Duration::from_millis(1);
/// The most ticks of a run.
const MAX_TICKS: u64 = 100_000;

/// How one flow stood at one time.
#[derive(Clone, Copy, Debug)]
pub struct Sample {
    /// When, from the start of the run.
    pub at: Duration,
    /// Which flow.
    pub flow: usize,
    /// Bytes that reached the receiving application so far.
    pub delivered_bytes: u64,
    /// The rate of the sender's pacer; `None` where nothing is paced.
    pub pacing_rate: Option<Rate>,
    /// The sender's smoothed round-trip time; `None` before it has one.
    pub srtt: Option<Duration>,
    /// Its congestion window.
    pub cwnd_bytes: u64,
    /// What it has in flight.
    pub inflight_bytes: u64,
    /// What waits in the queues on the way there.
    pub queue_bytes: u64,
    /// What its controller believes.
    pub model: Model,
}

impl Sample {
    /// The sample as it is written; `flow` is the flow's name.
    #[must_use]
    pub fn figures(&self, flow: &str) -> Figures {
        let bits = |rate: Option<Rate>| rate.map(Rate::as_bits_per_sec);
        let figures = json!({
            "t_s": seconds(self.at),
            "flow": flow,
            "delivered_bytes": self.delivered_bytes,
            "pacing_bps": bits(self.pacing_rate),
            "srtt_us": self.srtt.map(micros),
            "cwnd_bytes": self.cwnd_bytes,
            "inflight_bytes": self.inflight_bytes,
            "queue_bytes": self.queue_bytes,
            "state": self.model.state,
            "max_bw_bps": bits(self.model.max_bw),
            "bw_bps": bits(self.model.bw),
            "min_rtt_us": self.model.min_rtt.map(micros),
            "inflight_longterm_bytes": self.model.inflight_longterm_bytes,
            "inflight_shortterm_bytes": self.model.inflight_shortterm_bytes,
        });
        if let serde_json::Value::Object(figures) = figures { figures } else { Figures::new() }
    }
}

/// What a run of a scenario gives.
#[derive(Debug)]
pub struct Outcomes {
    /// Its figures.
    pub report: Report,
    /// How its flows stood, where that was asked for.
    pub samples: Vec<Sample>,
}

impl Scenario {
    /// Runs the scenario; `sample_every` asks for samples.
    #[must_use]
    pub fn run(&self, sample_every: Option<Duration>) -> Outcomes {
        let arena = Arena::new();
        let mut driver = Driver::new(self, Run::new(&arena, self.seed), sample_every);
        driver.go();
        Outcomes { report: driver.report(), samples: driver.samples }
    }
}

struct Driver<'s, 'a> {
    scenario: &'s Scenario,
    run: Run<'a>,
    links: Vec<(LinkId, LinkId)>,
    flows: Vec<Running>,
    /// What each direction of each link had done when measuring began: there, and back.
    begun: Vec<(Occupancy, Occupancy)>,
    measure_from: Instant,
    sample_every: Option<Duration>,
    samples: Vec<Sample>,
    violations: Vec<String>,
}

/// A flow of the run.
struct Running {
    sender: HostId,
    receiver: HostId,
    /// The links that its data crosses.
    path: Vec<LinkId>,
    session: Option<SessionId>,
    stopped: bool,
    /// While it is measured: how it stood at the beginning, and at the end.
    begun: Option<Snapshot>,
    ended: Option<Snapshot>,
    srtt_sum: u128,
    srtt_count: u64,
}

#[derive(Clone, Copy)]
struct Snapshot {
    at: Instant,
    delivered_bytes: u64,
    queue_byte_nanos: u128,
}

impl<'s, 'a> Driver<'s, 'a> {
    fn new(scenario: &'s Scenario, mut run: Run<'a>, sample_every: Option<Duration>) -> Self {
        let mut links = Vec::new();
        for link in &scenario.links {
            let [there, back] = [&link.there, &link.back].map(|direction| {
                let id = run.network().add_link(direction.config.clone());
                direction.steps.iter().for_each(|(at, step)| run.network().step_at(*at, id, *step));
                id
            });
            links.push((there, back));
        }
        let mut driver = Self {
            scenario,
            run,
            links,
            flows: Vec::new(),
            begun: Vec::new(),
            measure_from: START + scenario.measure_from,
            sample_every,
            samples: Vec::new(),
            violations: Vec::new(),
        };
        for (number, flow) in (1..).step_by(2).zip(&scenario.flows) {
            let running = driver.add_flow(number, flow);
            driver.flows.push(running);
        }
        driver
    }

    fn add_flow(&mut self, number: u16, flow: &FlowSpec) -> Running {
        let [sender, receiver] = hosts(number, flow, &self.scenario.links).map(|host| self.run.add_host(host));
        let links = flow.path.iter().filter_map(|index| self.links.get(*index));
        let oriented = links.map(|(there, back)| if flow.reverse { (*back, *there) } else { (*there, *back) });
        let (path, mut back): (Vec<_>, Vec<_>) = oriented.unzip();
        back.reverse();
        let mut there = path.clone();
        if flow.access_delay > Duration::ZERO {
            let access = LinkConfig { delay: flow.access_delay, ..LinkConfig::default() };
            there.insert(0, self.run.network().add_link(access.clone()));
            back.push(self.run.network().add_link(access));
        }
        let [from, to] = [sender, receiver].map(|host| self.run.host(host).address());
        self.run.network().route(from, to, &there);
        self.run.network().route(to, from, &back);
        self.run.measure_delays(sender, receiver);
        let (session, begun, ended) = (None, None, None);
        Running { sender, receiver, path, session, stopped: false, begun, ended, srtt_sum: 0, srtt_count: 0 }
    }

    fn go(&mut self) {
        let end = START + self.scenario.duration;
        let tick = TICK.max(self.scenario.duration.mul_ratio(1, MAX_TICKS));
        let mut next_sample = START;
        loop {
            let now = self.run.now();
            if now >= self.measure_from && self.begun.is_empty() {
                self.begin_measuring();
            }
            self.start_and_stop(now);
            self.look(now);
            if let Some(every) = self.sample_every.filter(|_| now >= next_sample) {
                next_sample = now + every;
                self.sample(now);
            }
            if now >= end {
                return;
            }
            let next = self.next_action(now).into_iter().fold(end.min(now + tick), Instant::min);
            if !self.advance(next.saturating_since(now)) {
                return;
            }
        }
    }

    /// Lets virtual time pass; `false` where the run is over.
    fn advance(&mut self, span: Duration) -> bool {
        if !self.scenario.until_delivered {
            let outcome = self.run.for_span(span);
            return self.is_sane(outcome);
        }
        let ends: Vec<_> =
            self.flows.iter().zip(&self.scenario.flows).filter(|(_, flow)| flow.bytes.is_some()).collect();
        let receivers: Vec<_> = ends.iter().map(|(running, _)| running.receiver).collect();
        let outcome = self.run.until(span, |run| receivers.iter().all(|host| finished_at(run, *host).is_some()));
        if outcome == Outcome::Done {
            self.look(self.run.now());
            return false;
        }
        self.is_sane(outcome)
    }

    fn is_sane(&mut self, outcome: Outcome) -> bool {
        let Outcome::Spinning(host) = outcome else { return true };
        self.violations.push(format!("host {host:?} is due again and again, and nothing comes of it"));
        false
    }

    fn begin_measuring(&mut self) {
        let now = self.run.now();
        self.run.forget_delays();
        self.begun = self.occupancies(now);
    }

    fn occupancies(&mut self, now: Instant) -> Vec<(Occupancy, Occupancy)> {
        let network = self.run.network();
        let of = |(there, back): &(LinkId, LinkId)| {
            (network.link(*there).occupancy(now), network.link(*back).occupancy(now))
        };
        self.links.iter().map(of).collect()
    }

    // --- flows ---

    /// The next time at which something has to be done.
    fn next_action(&self, now: Instant) -> Option<Instant> {
        let flows = self.scenario.flows.iter();
        let times = flows.flat_map(|flow| [Some(flow.start), flow.stop]).flatten().map(|at| START + at);
        times.chain([self.measure_from]).filter(|at| *at > now).min()
    }

    fn start_and_stop(&mut self, now: Instant) {
        for (running, flow) in self.flows.iter_mut().zip(&self.scenario.flows) {
            if running.session.is_none() && START + flow.start <= now {
                running.session = Some(self.run.connect(running.sender, running.receiver));
            }
            let Some(session) = running.session else { continue };
            if !running.stopped && flow.stop.is_some_and(|stop| START + stop <= now) {
                running.stopped = true;
                running.ended = running.ended.or(Some(snapshot(&mut self.run, running)));
                if let Some(session) = self.run.host(running.sender).session(session) {
                    session.close(now, wirehaul_core::session::CloseCode::DONE, "stop_s");
                }
            }
        }
    }

    /// Takes note of what flows do.
    fn look(&mut self, now: Instant) {
        if now < self.measure_from {
            return;
        }
        for running in &mut self.flows {
            let (Some(session), None) = (running.session, &running.ended) else { continue };
            if running.begun.is_none() {
                running.begun = Some(snapshot(&mut self.run, running));
            }
            if finished_at(&self.run, running.receiver).is_some() {
                running.ended = Some(snapshot(&mut self.run, running));
            }
            let srtt = self.run.host(running.sender).worker().session(session).map(|session| session.stats().srtt);
            if let Some(srtt) = srtt.filter(|srtt| *srtt > Duration::ZERO) {
                running.srtt_sum += u128::from(srtt.as_nanos());
                running.srtt_count += 1;
            }
        }
    }

    fn sample(&mut self, now: Instant) {
        for (flow, running) in self.flows.iter().enumerate() {
            let Some(session) = running.session else { continue };
            let delivered_bytes = delivered(&self.run, running.receiver);
            let queue_bytes = running.path.iter().map(|link| self.run.network().link(*link).queued_bytes(now)).sum();
            let Some(session) = self.run.host(running.sender).worker().session(session) else { continue };
            let Stats { srtt, cwnd_bytes, inflight_bytes, .. } = session.stats();
            self.samples.push(Sample {
                at: now.saturating_since(START),
                flow,
                delivered_bytes,
                pacing_rate: session.pacing_rate(),
                srtt: (srtt > Duration::ZERO).then_some(srtt),
                cwnd_bytes,
                inflight_bytes,
                queue_bytes,
                model: session.congestion_model(),
            });
        }
    }

    // --- the report ---

    fn report(&mut self) -> Report {
        let now = self.run.now();
        let flows: Vec<_> = (0..self.flows.len()).map(|index| self.flow_report(index)).collect();
        let links = self.link_reports(now);
        self.check();
        let shares: Vec<_> = flows.iter().map(|flow| flow.goodput_bps).collect();
        // The direction in which data crosses; where it crosses in both, the busier one.
        let carries = |link: &LinkReport| {
            self.scenario.flows.iter().any(|flow| {
                let direction = if flow.reverse { "back" } else { "there" };
                let crosses = flow.path.iter().any(|index| self.scenario.links[*index].name == link.name);
                crosses && direction == link.direction
            })
        };
        let run = RunReport {
            seed: self.scenario.seed,
            trace_hash: self.run.trace_hash(),
            virtual_time: now.saturating_since(START),
            jain_ppm: checks::jain_ppm(&shares),
            utilisation_ppm: links.iter().filter(|link| carries(link)).filter_map(|link| link.utilisation_ppm).max(),
            violations: std::mem::take(&mut self.violations),
        };
        Report { flows, links, run }
    }

    fn flow_report(&mut self, index: usize) -> FlowReport {
        let (running, spec) = (&self.flows[index], &self.scenario.flows[index]);
        let end = snapshot(&mut self.run, running);
        let begun = running.begun.unwrap_or(end);
        let ended = running.ended.unwrap_or(end);
        let finished = finished_at(&self.run, running.receiver).filter(|_| spec.bytes.is_some());
        let span = finished.unwrap_or(ended.at).saturating_since(begun.at);
        let bytes = ended.delivered_bytes - begun.delivered_bytes;
        let stats = running.session.map(|session| self.run.stats(running.sender, session)).unwrap_or_default();
        let srtt = running.srtt_sum.checked_div(u128::from(running.srtt_count));
        let queue = ended.queue_byte_nanos - begun.queue_byte_nanos;
        let queue_span = u128::from(ended.at.saturating_since(begun.at).as_nanos());
        FlowReport {
            name: spec.name.clone(),
            table: spec.table.clone(),
            cc: controller_name(spec.controller),
            goodput_bps: if bytes == 0 { 0 } else { Rate::from_bytes_over(bytes, span).as_bits_per_sec() },
            delivered_bytes: end.delivered_bytes,
            sent_packets: stats.sent_packets,
            resent_ppm: stats.resent_ppm(),
            srtt_mean: srtt.and_then(|nanos| u64::try_from(nanos).ok()).map(Duration::from_nanos),
            rtt_p99: self.run.round_trips(running.receiver).and_then(|trips| trips.quantile(990_000)),
            queue_mean_bytes: u64::try_from(queue.checked_div(queue_span).unwrap_or(0)).unwrap_or(u64::MAX),
            pacing_error_ppm: stats.pacing_error_ppm(),
            fct: finished.map(|at| at.saturating_since(START + spec.start)),
        }
    }

    fn link_reports(&mut self, now: Instant) -> Vec<LinkReport> {
        let ended = self.occupancies(now);
        let span = now.saturating_since(self.measure_from);
        let mut reports = Vec::new();
        for (index, (there, back)) in self.links.clone().into_iter().enumerate() {
            let name = &self.scenario.links[index].name;
            let (begun, ended) = (self.begun.get(index).copied().unwrap_or_default(), ended[index]);
            for (direction, id, begun, ended) in [("there", there, begun.0, ended.0), ("back", back, begun.1, ended.1)]
            {
                let link = self.run.network().link(id);
                let busy = ended.busy.saturating_sub(begun.busy).as_nanos();
                let queue = ended.queue_byte_nanos - begun.queue_byte_nanos;
                let queue = queue.checked_div(u128::from(span.as_nanos())).unwrap_or(0);
                reports.push(LinkReport {
                    name: name.clone(),
                    direction,
                    utilisation_ppm: link.config_mut().rate.map(|_| ppm(u128::from(busy), u128::from(span.as_nanos()))),
                    queue_mean_bytes: u64::try_from(queue).unwrap_or(u64::MAX),
                    stats: link.stats().clone(),
                });
            }
        }
        reports
    }

    /// What must hold whatever the scenario.
    fn check(&mut self) {
        let checked = [checks::promises(&self.run), checks::conservation(self.run.network())];
        self.violations.extend(checked.into_iter().filter_map(Result::err).map(|violation| violation.to_string()));
        for (running, flow) in self.flows.iter().zip(&self.scenario.flows) {
            let closed = running.session.and_then(|session| self.run.host(running.sender).close_reason(session));
            if let Some(reason) = closed.filter(|reason| !(running.stopped && matches!(reason, CloseReason::Local(_))))
            {
                self.violations.push(format!("flow {}: its session ended: {reason:?}", flow.name));
            }
            let due = self.scenario.until_delivered && flow.bytes.is_some();
            if due && finished_at(&self.run, running.receiver).is_none() {
                self.violations.push(format!("flow {}: not everything was delivered in time", flow.name));
            }
        }
    }
}

fn snapshot(run: &mut Run<'_>, running: &Running) -> Snapshot {
    let at = run.now();
    let queue = |link: &LinkId| run.network().link(*link).occupancy(at).queue_byte_nanos;
    let queue_byte_nanos = running.path.iter().map(queue).sum();
    Snapshot { at, delivered_bytes: delivered(run, running.receiver), queue_byte_nanos }
}

fn delivered(run: &Run<'_>, receiver: HostId) -> u64 {
    run.host_ref(receiver).app().flows().map(|(_, flow)| flow.received_bytes()).sum()
}

/// When all bytes were there.
fn finished_at(run: &Run<'_>, receiver: HostId) -> Option<Instant> {
    run.host_ref(receiver).app().flows().find_map(|(_, flow)| flow.finished_at)
}

/// The two hosts of a flow, with as much room as its path can have under way.
fn hosts(number: u16, flow: &FlowSpec, links: &[LinkSpec]) -> [HostConfig; 2] {
    let under_way = under_way_bytes(flow, links);
    let mut sender = HostConfig::new(number);
    let packets = usize::try_from(under_way / flow.datagram_bytes as u64).unwrap_or(usize::MAX);
    let sent = packets.saturating_mul(2).clamp(4096, 1 << 22);
    let gaps = (sent / 8).clamp(512, 16_384);
    sender.sessions = 1;
    sender.room = Room { sent, packet_gaps: gaps, streams: 1, stream_gaps: gaps };
    sender.wake_lateness = flow.wake_lateness;
    sender.session.controller = flow.controller;
    sender.session.datagram_bytes = flow.datagram_bytes;
    sender.session.max_datagram_bytes = flow.max_datagram_bytes;
    sender.session.pacing = flow.pacing;
    sender.session.quantum = flow.quantum;
    sender.session.rate_cap = flow.rate_cap;
    sender.session.idle_timeout = Duration::from_secs(60);
    sender.session.handshake_timeout = Duration::from_secs(30);
    sender.plan = Plan { supply: flow.supply, ..Plan::default() };
    sender.plan.send.push((StreamId::FIRST, flow.bytes.unwrap_or(MAX_STREAM_OFFSET)));
    let mut receiver = HostConfig::new(number + 1);
    receiver.listening = true;
    receiver.sessions = 1;
    receiver.room = Room { sent: 4096, ..sender.room };
    receiver.session = sender.session.clone();
    receiver.session.rate_cap = None;
    let window = flow.window_bytes.unwrap_or(under_way);
    receiver.session.initial_window_bytes = window;
    receiver.session.max_window_bytes = window;
    receiver.plan.appetite = Appetite { rate: flow.read_rate, ..Appetite::default() };
    [sender, receiver]
}

/// The most that a flow can have under way, with room to spare: three times what the path holds, and its buffers.
fn under_way_bytes(flow: &FlowSpec, links: &[LinkSpec]) -> u64 {
    const LEAST: u64 = 8 << 20;
    const UNBOUNDED: u64 = 64 << 20;
    let rate = |link: &super::DirectionSpec| {
        let steps = link.steps.iter().filter_map(|(_, step)| step.rate);
        link.config.rate.into_iter().chain(steps).max()
    };
    let Some(rate) = flow.there(links).filter_map(rate).min() else { return UNBOUNDED };
    let holds = rate.bytes_in(flow.base_round_trip(links));
    let buffers = flow.there(links).filter(|link| link.config.rate.is_some());
    let buffers: u64 = buffers.map(|link| link.config.buffer_bytes.unwrap_or(UNBOUNDED)).sum();
    holds.saturating_add(buffers).saturating_mul(3).max(LEAST)
}
