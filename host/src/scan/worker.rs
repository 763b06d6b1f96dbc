//! One thread of a survey: turns of the core's survey over a device, and sleep in between.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use crossbeam_channel::Receiver;
use wirehaul_core::scan::{LinkKind, NeighbourSlot, Pace, Parked, Plan, Storage, SubnetSlot, Survey, Turn, Walk};
use wirehaul_core::time::{Duration, Instant};

use super::counters::Drops;
use super::devices::Device;
use super::engine::{Failure, Heard, Part, Shared, Task};
use super::results::Results;
use crate::drive::{Precision, precise_timers};
use crate::packet::Fault;

/// Longest sleep: how late a stop is noticed at worst.
const MAX_SLEEP: Duration = Duration::from_millis(50);
/// How long before a departure a sleep ends: more than it takes most machines to wake a thread.
const SPIN: Duration = Duration::from_micros(50);
/// How long to wait for room at the link, where nothing else is to be done.
const NO_ROOM: Duration = Duration::from_micros(100);
/// How often a worker says how it stands, and looks whether its link does.
const REPORT_EVERY: Duration = Duration::from_millis(20);

/// Subnets whose last packets are remembered, where their rate is capped.
const SUBNET_SLOTS: usize = 1 << 16;
/// Neighbours that are remembered, where targets are on the link, and where they are all behind routers.
const NEIGHBOUR_SLOTS: usize = 1 << 16;
const ROUTER_SLOTS: usize = 1 << 10;
/// Steps that wait for a neighbour or their subnet: hosts that are not there are waited for three seconds.
const PARKED_ON_LINK: usize = 1 << 16;
const PARKED_BEHIND_ROUTERS: usize = 1 << 13;

/// What one worker has.
pub(super) struct Worker {
    pub(super) number: usize,
    pub(super) device: Device,
    pub(super) results: Results,
    /// Neighbours that the tap has heard of.
    pub(super) neighbours: Receiver<Heard>,
    pub(super) pace: Pace,
    pub(super) cpu: Option<u32>,
}

impl Worker {
    /// Runs until the survey is ended, or its link is.
    pub(super) fn run(mut self, task: &Task, shared: &Arc<Shared>) {
        if let Some(cpu) = self.cpu {
            // One that was taken away meanwhile costs speed and nothing else.
            let _ = crate::numa::threads::pin(cpu);
        }
        precise_timers();
        let targets = task.runs.targets();
        // Both were there when the survey began.
        let Some(routes) = task.routes.routes() else { return };
        let plan = Plan {
            targets: &targets,
            probes: &task.probes,
            routes: &routes,
            sender: &task.sender,
            judge: &task.sender.judge(),
            sends_resets: self.device.hides_answers(),
            is_ethernet: task.is_ethernet(),
        };
        let mut memory = Memory::of(task, self.pace);
        let walk = Walk::new(task.course, &task.partition, self.number, task.from);
        let mut survey = Survey::new(plan, walk, self.pace, memory.storage());
        for (ip, mac) in task.routes.pinned() {
            survey.pin(*ip, *mac);
        }
        let outcome = self.drive(&mut survey, shared);
        self.results.finish();
        self.report(&survey, shared);
        if let Err(failure) = outcome {
            shared.fail(failure);
        }
    }

    fn drive(&mut self, survey: &mut Survey<'_>, shared: &Shared) -> Result<(), Failure> {
        let precision = Precision::of_environment();
        let mut next_report = Instant::ZERO;
        loop {
            let now = shared.clock.now();
            while let Ok(Heard { ip, mac }) = self.neighbours.try_recv() {
                survey.learn(now, ip, mac);
            }
            let turn = survey.turn(now, &mut self.device, &mut self.results);
            self.results.pump(now);
            if now >= next_report {
                next_report = now + REPORT_EVERY;
                self.report(survey, shared);
                self.check_link(shared)?;
            }
            if shared.is_stopped.load(Ordering::Relaxed) {
                survey.stop();
            }
            if shared.is_ended.load(Ordering::Relaxed) && turn.received == 0 {
                return Ok(());
            }
            if turn.received > 0 || turn.sent > 0 {
                continue;
            }
            self.sleep(survey, turn, precision, next_report, shared).map_err(Failure::Wait)?;
        }
    }

    /// Sleeps until frames came, a packet may leave, or something else is to be done.
    fn sleep(
        &mut self,
        survey: &mut Survey<'_>,
        turn: Turn,
        precision: Precision,
        next_report: Instant,
        shared: &Shared,
    ) -> std::io::Result<()> {
        let now = shared.clock.now();
        if turn.is_blocked {
            self.device.wait(NO_ROOM)?;
            return Ok(());
        }
        let due = survey.poll_timeout(now, &mut self.results);
        let early = if precision == Precision::Spin { SPIN } else { Duration::ZERO };
        let deadlines = [due.map(|at| at - early), self.results.deadline(), Some(next_report)];
        let until = deadlines.into_iter().flatten().min().unwrap_or(now);
        let span = until.saturating_since(now).min(MAX_SLEEP);
        // A backlog that finds no room is tried again soon, and not at once.
        let span = if self.results.deadline() == Some(Instant::ZERO) { span.max(NO_ROOM) } else { span };
        if span > Duration::ZERO && self.device.wait(span)? {
            return Ok(());
        }
        let Some(at) = due.filter(|at| early > Duration::ZERO && at.saturating_since(shared.clock.now()) <= early)
        else {
            return Ok(());
        };
        while shared.clock.now() < at {
            if self.device.wait(Duration::ZERO)? {
                return Ok(());
            }
        }
        Ok(())
    }

    fn check_link(&mut self, shared: &Shared) -> Result<(), Failure> {
        let name = || shared.interface.clone();
        match self.device.fault() {
            None => Ok(()),
            Some(Fault::Down) => Err(Failure::Down(name())),
            Some(Fault::Gone) => Err(Failure::Gone(name())),
        }
    }

    fn report(&mut self, survey: &Survey<'_>, shared: &Shared) {
        let drops = self.device.drops().plus(&Drops { replies: self.results.dropped(), ..Drops::NONE });
        shared.report(
            self.number,
            Part {
                sent: *survey.counters(),
                heard: *survey.heard(),
                drops,
                done_before: survey.done_before(),
                begun_before: survey.begun_before(),
                waiting: survey.waiting(),
                is_done: survey.is_done(),
            },
        );
    }
}

/// What the survey of a worker lies in.
struct Memory {
    subnets: Vec<SubnetSlot>,
    neighbours: Vec<NeighbourSlot>,
    parked: Vec<Parked>,
}

impl Memory {
    fn of(task: &Task, pace: Pace) -> Self {
        let hops = task.routes.routes().map_or(&[][..], |routes| routes.hops());
        let is_on_link = hops.iter().any(|hop| hop.gateway.is_none() && hop.link == LinkKind::Ethernet);
        let (neighbours, parked) = match is_on_link {
            true => (NEIGHBOUR_SLOTS, PARKED_ON_LINK),
            false => (ROUTER_SLOTS, PARKED_BEHIND_ROUTERS),
        };
        let subnets = if pace.subnet_interval.is_some() { SUBNET_SLOTS } else { 0 };
        Self {
            subnets: vec![SubnetSlot::default(); subnets],
            neighbours: vec![NeighbourSlot::default(); neighbours],
            parked: vec![Parked::default(); parked],
        }
    }

    fn storage(&mut self) -> Storage<'_> {
        Storage { subnets: &mut self.subnets, neighbours: &mut self.neighbours, parked: &mut self.parked }
    }
}
