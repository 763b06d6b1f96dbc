//! The part of a survey that one worker does, without sockets and clocks: probes out, answers in.
//!
//! ```text
//! out  walk (or parked) -> target and probe -> excluded? -> route -> neighbour -> subnet's cap -> cap -> sender -> wire
//! in   wire -> judge: cookie -> is it a target? -> found
//! ```
//!
//! A step that cannot be taken yet, because its neighbour's link-layer address is asked for or its subnet has had its share, is parked
//! and tried again; none is lost, and [`Survey::done_before`] says how far everything is done.

use core::net::IpAddr;

use heapless::Deque;

use super::cap::{Cap, CapPacer};
use super::ears::{Ears, HeardCounters};
use super::link::{Link, NeighbourSlot, Neighbours, write_request};
use super::parked::{Parked, ParkingLot, Stage};
use super::ports::{Probe, Protocol};
use super::probe::{Header, Sender};
use super::reply::{Class, Heard, Judge, Reply};
use super::routes::{Hop, LinkKind, Routes};
use super::subnets::{SubnetSlot, Subnets};
use super::targets::Targets;
use super::walk::Walk;
use super::wire::Wire;
use crate::time::{Duration, Instant};
use crate::wire::net::MacAddress;

/// Steps that a turn takes at most, and so packets that it sends: what the kernel is called once for.
const STEPS_PER_TURN: usize = 64;
/// Resets that wait at most. One that finds no room is left out: the target gives up by itself after a minute.
const RESETS: usize = 1024;
/// At most every so many-th packet is a reset.
const RESET_EVERY: u32 = 4;
/// A neighbour that was asked is looked for after this time, and after four times as long again and again: it mostly answers at once.
const FIRST_LOOK: Duration = Duration::from_millis(2);
/// Looks that come sooner than the next request.
const MAX_LOOKS: u8 = 5;

/// What a survey needs from whoever drives it.
pub trait Outside {
    /// Whether this target is not to be probed, although it is one.
    fn is_excluded(&mut self, ip: IpAddr) -> bool;

    /// A target answered.
    fn found(&mut self, now: Instant, reply: &Reply);

    /// Whether answers can be taken: while they cannot, no probe is sent.
    fn has_room(&mut self) -> bool;
}

/// What all workers of a survey share.
#[derive(Clone, Copy, Debug)]
pub struct Plan<'a> {
    /// Who is asked.
    pub targets: &'a Targets<'a>,
    /// What each is asked: sorted, each once.
    pub probes: &'a [Probe],
    /// Which way each goes.
    pub routes: &'a Routes<'a>,
    /// Who writes the probes.
    pub sender: &'a Sender,
    /// Who judges the answers.
    pub judge: &'a Judge,
    /// Whether answers to probes of TCP do not reach the kernel, so that resets are ours to send.
    pub sends_resets: bool,
    /// Whether frames begin with an Ethernet header.
    pub is_ethernet: bool,
}

/// What one worker keeps to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pace {
    /// The most that it may send in any second.
    pub cap: Cap,
    /// The least time between two packets of it to one /24 or /48; `None` for no cap.
    pub subnet_interval: Option<Duration>,
    /// How many packets a subnet may get at once after a pause: 1 or more.
    pub subnet_burst: u32,
    /// The least time from the first probe of one attempt to the first of the next, where all of an attempt are made before the next
    /// begins: in a survey that is over sooner.
    pub retry_after: Duration,
}

/// Memory for one worker.
#[derive(Debug)]
pub struct Storage<'a> {
    /// Subnets that had packets lately.
    pub subnets: &'a mut [SubnetSlot],
    /// Neighbours on the link.
    pub neighbours: &'a mut [NeighbourSlot],
    /// Steps that wait.
    pub parked: &'a mut [Parked],
}

/// What became of the probes so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SentCounters {
    /// Probes that were handed to the link.
    pub sent: u64,
    /// Bytes of the frames of all packets that were handed to the link.
    pub bytes: u64,
    /// Resets that were sent.
    pub resets: u64,
    /// Resets that were left out, because too many waited.
    pub resets_left_out: u64,
    /// Requests for link-layer addresses that were sent.
    pub requests: u64,
    /// Steps that were not taken because the target is excluded.
    pub excluded: u64,
    /// Steps that were not taken because the host on the link, or the gateway, has no link-layer address.
    pub absent: u64,
    /// Steps that were not taken because there is no way.
    pub no_route: u64,
    /// Probes that no template fits. No input leads here.
    pub unwritable: u64,
    /// Times that a step was parked.
    pub parked: u64,
    /// Times that the link had no room.
    pub no_room: u64,
}

impl SentCounters {
    /// Both together.
    #[must_use]
    pub const fn plus(self, other: &Self) -> Self {
        Self {
            sent: self.sent + other.sent,
            bytes: self.bytes + other.bytes,
            resets: self.resets + other.resets,
            resets_left_out: self.resets_left_out + other.resets_left_out,
            requests: self.requests + other.requests,
            excluded: self.excluded + other.excluded,
            absent: self.absent + other.absent,
            no_route: self.no_route + other.no_route,
            unwritable: self.unwritable + other.unwritable,
            parked: self.parked + other.parked,
            no_room: self.no_room + other.no_room,
        }
    }

    /// Packets of any kind that were handed to the link: what the cap is about.
    #[must_use]
    pub const fn packets(&self) -> u64 {
        self.sent + self.resets + self.requests
    }
}

/// What a turn did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Turn {
    /// Frames that came.
    pub received: usize,
    /// Packets that were handed to the link.
    pub sent: usize,
    /// Whether it stopped because the link had no room.
    pub is_blocked: bool,
}

/// An answer to the answer: the target is to forget the connection that it thinks it has.
#[derive(Clone, Copy, Debug)]
struct Reset {
    target: IpAddr,
    probe: Probe,
    ack: u32,
}

/// What became of a step.
enum Outcome {
    /// A frame of so many bytes is on its way.
    Sent(usize),
    /// It is done without one, or waits.
    Nothing,
    /// The link has no room.
    Blocked,
}

/// One worker's part of a survey; see the module.
#[derive(Debug)]
pub struct Survey<'a> {
    plan: Plan<'a>,
    ears: Ears<'a>,
    walk: Walk,
    is_walk_over: bool,
    is_stopped: bool,
    /// The attempt that is being made, and when it began.
    attempt: Option<(u8, Instant)>,
    /// When the next attempt may begin.
    rests_until: Option<Instant>,
    retry_after: Duration,
    pacer: CapPacer,
    subnets: Subnets<'a>,
    neighbours: Neighbours<'a>,
    lot: ParkingLot<'a>,
    /// The step for which the link had no room.
    held: Option<Parked>,
    /// Everybody may wait for it.
    gateway_heard: bool,
    resets: Deque<Reset, RESETS>,
    since_reset: u32,
    counters: SentCounters,
}

impl<'a> Survey<'a> {
    /// A worker that takes the steps of `walk`.
    #[must_use]
    pub fn new(plan: Plan<'a>, walk: Walk, pace: Pace, storage: Storage<'a>) -> Self {
        Self {
            ears: Ears::new(*plan.judge, plan.targets, plan.probes, plan.is_ethernet),
            plan,
            walk,
            is_walk_over: false,
            is_stopped: false,
            attempt: None,
            rests_until: None,
            retry_after: pace.retry_after,
            pacer: CapPacer::new(pace.cap),
            subnets: Subnets::new(storage.subnets, pace.subnet_interval, pace.subnet_burst),
            neighbours: Neighbours::new(storage.neighbours),
            lot: ParkingLot::new(storage.parked),
            held: None,
            gateway_heard: false,
            resets: Deque::new(),
            since_reset: RESET_EVERY,
            counters: SentCounters::default(),
        }
    }

    /// A bounded amount of work: a batch of frames in, then as many packets out as the caps allow. It never waits.
    pub fn turn(&mut self, now: Instant, wire: &mut impl Wire, outside: &mut impl Outside) -> Turn {
        let received = self.receive(now, wire, outside);
        if core::mem::take(&mut self.gateway_heard) {
            self.lot.wake(now);
        }
        let mut turn = Turn { received, ..Turn::default() };
        if self.has_work(now, outside) && self.pacer.open(now) {
            let is_out_of_work = self.send(now, wire, outside, &mut turn);
            self.pacer.close(now, is_out_of_work);
        }
        // Also without a packet of this turn: the kernel may not have taken those of the last.
        wire.flush();
        turn
    }

    /// When a turn may have something to send, at the latest; `None` where only what comes gives it something to do. Changed by turns,
    /// [`Survey::learn`] and [`Survey::stop`], and by the outside having room again.
    pub fn poll_timeout(&mut self, now: Instant, outside: &mut impl Outside) -> Option<Instant> {
        if self.has_work(now, outside) {
            return Some(self.pacer.departure(now));
        }
        let due = self.lot.next_due().into_iter().chain(self.rests_until).min();
        due.filter(|_| !self.is_stopped)
    }

    /// An address on the link was heard of.
    pub fn learn(&mut self, now: Instant, ip: IpAddr, mac: MacAddress) {
        self.neighbours.learn(now, ip, mac);
        self.gateway_heard |= self.plan.is_gateway(ip);
    }

    /// An address on the link is known for good, as by the kernel's table.
    pub fn pin(&mut self, ip: IpAddr, mac: MacAddress) {
        self.neighbours.pin(ip, mac);
    }

    /// Takes no more steps. What is left is not done, and [`Survey::done_before`] says so.
    pub const fn stop(&mut self) {
        self.is_stopped = true;
    }

    /// Whether all steps are taken, or no more will be.
    #[must_use]
    pub fn is_done(&self) -> bool {
        self.is_stopped || self.is_walk_over && self.held.is_none() && self.lot.len() == 0
    }

    /// Every step of this worker with a lower number is done with: [`u64::MAX`] where all are.
    #[must_use]
    pub fn done_before(&self) -> u64 {
        let waiting = self.held.map(|held| held.step.number).into_iter().chain(self.lot.lowest_step()).min();
        self.walk.done_before().min(waiting.unwrap_or(u64::MAX))
    }

    /// Every step of this worker with a lower number was begun: [`u64::MAX`] where all were. Of these [`Survey::waiting`] are not done.
    #[must_use]
    pub fn begun_before(&self) -> u64 {
        self.walk.done_before()
    }

    /// Steps that were begun and wait.
    #[must_use]
    pub fn waiting(&self) -> u64 {
        self.lot.len() as u64 + u64::from(self.held.is_some())
    }

    /// What became of the probes so far.
    #[must_use]
    pub const fn counters(&self) -> &SentCounters {
        &self.counters
    }

    /// What came so far.
    #[must_use]
    pub const fn heard(&self) -> &HeardCounters {
        self.ears.counters()
    }

    // --- in ---

    fn receive(&mut self, now: Instant, wire: &mut impl Wire, outside: &mut impl Outside) -> usize {
        let Self { plan, ears, resets, neighbours, counters, gateway_heard, .. } = self;
        wire.receive(|frame| match ears.hear(now, frame) {
            Some(Heard::Reply(reply)) => {
                if plan.sends_resets
                    && reply.class == Class::Open
                    && reply.probe.protocol == Protocol::Tcp
                    && let Some(ack) = reply.ack
                {
                    let reset = Reset { target: reply.target, probe: reply.probe, ack };
                    counters.resets_left_out += u64::from(resets.push_back(reset).is_err());
                }
                outside.found(now, &reply);
            }
            Some(Heard::Neighbour { ip, mac }) => {
                neighbours.learn(now, ip, mac);
                *gateway_heard |= plan.is_gateway(ip);
            }
            None => {}
        })
    }

    // --- out ---

    fn has_work(&self, now: Instant, outside: &mut impl Outside) -> bool {
        !self.resets.is_empty() || self.has_steps(now) && outside.has_room()
    }

    fn has_steps(&self, now: Instant) -> bool {
        let is_at_rest = self.rests_until.is_some_and(|until| now < until);
        let is_one_due = self.held.is_some() && !is_at_rest || self.lot.next_due().is_some_and(|due| due <= now);
        !self.is_stopped && (is_one_due || !is_at_rest && !self.is_walk_over && !self.lot.is_full())
    }

    /// Sends until the run is full; whether it ended for want of work.
    fn send(&mut self, now: Instant, wire: &mut impl Wire, outside: &mut impl Outside, turn: &mut Turn) -> bool {
        for _ in 0..STEPS_PER_TURN {
            if !self.pacer.has_room() {
                return false;
            }
            let Some(outcome) = self.send_one(now, wire, outside) else { return true };
            match outcome {
                Outcome::Sent(bytes) => {
                    self.pacer.sent(bytes);
                    self.counters.bytes += bytes as u64;
                    turn.sent += 1;
                }
                Outcome::Nothing => {}
                Outcome::Blocked => {
                    self.counters.no_room += 1;
                    turn.is_blocked = true;
                    return false;
                }
            }
        }
        false
    }

    /// A reset or a step, whichever is next; `None` where there is neither.
    fn send_one(&mut self, now: Instant, wire: &mut impl Wire, outside: &mut impl Outside) -> Option<Outcome> {
        let may_step = self.has_steps(now) && outside.has_room();
        if (self.since_reset + 1 >= RESET_EVERY || !may_step)
            && let Some(reset) = self.resets.pop_front()
        {
            return Some(self.reset(now, reset, wire));
        }
        let parked = self.next_step(now).filter(|_| may_step)?;
        Some(self.take(now, parked, wire, outside))
    }

    fn next_step(&mut self, now: Instant) -> Option<Parked> {
        if self.rests_until.is_some_and(|until| now < until) {
            return self.lot.pop_due(now);
        }
        self.rests_until = None;
        if let Some(parked) = self.held.take().or_else(|| self.lot.pop_due(now)) {
            return Some(parked);
        }
        if self.is_walk_over || self.lot.is_full() {
            return None;
        }
        let step = self.walk.next();
        self.is_walk_over = step.is_none();
        let parked = Parked { step: step?, ..Parked::default() };
        self.rests_until = self.rest_before(now, parked.step.attempt);
        if self.rests_until.is_some() {
            self.held = Some(parked);
            return None;
        }
        Some(parked)
    }

    /// Until when nothing new is begun before this attempt. Where all of one attempt are made before the next begins, the steps between
    /// them, at which there is nothing to do, take no time by themselves.
    fn rest_before(&mut self, now: Instant, attempt: u8) -> Option<Instant> {
        let course = self.walk.course();
        if u128::from(course.spacing()) <= course.elements() {
            return None;
        }
        let begins = match self.attempt {
            Some((made, _)) if attempt <= made => return None,
            Some((_, began)) => now.max(began + self.retry_after),
            // Or it goes on where another run was.
            None => now,
        };
        self.attempt = Some((attempt, begins));
        Some(begins).filter(|begins| *begins > now)
    }

    fn take(&mut self, now: Instant, parked: Parked, wire: &mut impl Wire, outside: &mut impl Outside) -> Outcome {
        let plan = self.plan;
        let Some((target, probe)) = plan.asked(parked.step.element) else {
            self.counters.unwritable += 1;
            return Outcome::Nothing;
        };
        if parked.stage == Stage::ForSubnet {
            self.subnets.returned(target);
        }
        if outside.is_excluded(target) {
            self.counters.excluded += 1;
            return Outcome::Nothing;
        }
        let Some(hop) = plan.routes.to(target) else {
            self.counters.no_route += 1;
            return Outcome::Nothing;
        };
        let header = match self.header(now, hop, target) {
            Ok(header) => header,
            Err(missing) => return self.without_neighbour(now, missing, parked, hop, target, wire),
        };
        if parked.stage != Stage::Admitted
            && let Err(due) = self.subnets.admit(now, target)
        {
            return self.park(Parked { due, stage: Stage::ForSubnet, ..parked });
        }
        self.probe(now, Parked { stage: Stage::Admitted, ..parked }, &header, (hop.source, target, probe), wire)
    }

    fn probe(
        &mut self,
        now: Instant,
        parked: Parked,
        header: &Header,
        (source, target, probe): (IpAddr, IpAddr, Probe),
        wire: &mut impl Wire,
    ) -> Outcome {
        let (sender, attempt) = (self.plan.sender, parked.step.attempt);
        let mut written = None;
        let has_room = wire.transmit(|out| {
            written = sender.write(out, header, source, target, probe, attempt, now);
            written.unwrap_or(0)
        });
        match written {
            Some(bytes) if has_room => {
                self.counters.sent += 1;
                self.since_reset = self.since_reset.saturating_add(1);
                Outcome::Sent(bytes)
            }
            None if has_room => {
                self.counters.unwritable += 1;
                Outcome::Nothing
            }
            _ => {
                self.held = Some(parked);
                Outcome::Blocked
            }
        }
    }

    fn reset(&mut self, now: Instant, reset: Reset, wire: &mut impl Wire) -> Outcome {
        let plan = self.plan;
        let Some(hop) = plan.routes.to(reset.target) else { return Outcome::Nothing };
        // Its neighbour was known when the probe left. Where it is not any more, the target gives up by itself.
        let Ok(header) = self.header(now, hop, reset.target) else { return Outcome::Nothing };
        let mut written = None;
        let has_room = wire.transmit(|out| {
            written = plan.sender.write_reset(out, &header, hop.source, reset.target, reset.probe.port, reset.ack);
            written.unwrap_or(0)
        });
        match written {
            Some(bytes) if has_room => {
                self.counters.resets += 1;
                self.since_reset = 0;
                Outcome::Sent(bytes)
            }
            None if has_room => Outcome::Nothing,
            _ => {
                // It was taken out just now.
                let _ = self.resets.push_front(reset);
                Outcome::Blocked
            }
        }
    }

    // --- neighbours ---

    fn header(&mut self, now: Instant, hop: &Hop, target: IpAddr) -> Result<Header, Missing> {
        if hop.link == LinkKind::Ip {
            return Ok(Header::None);
        }
        let missing = match self.neighbours.find(now, hop.gateway.unwrap_or(target)) {
            Link::Known(destination) => {
                return Ok(Header::Ethernet { source: hop.ether_source, destination, vlan: hop.vlan });
            }
            Link::Ask => Missing::Ask,
            Link::Wait(until) | Link::Full(until) => Missing::Until(until),
            Link::Absent => Missing::Absent,
        };
        Err(missing)
    }

    fn without_neighbour(
        &mut self,
        now: Instant,
        missing: Missing,
        parked: Parked,
        hop: &Hop,
        target: IpAddr,
        wire: &mut impl Wire,
    ) -> Outcome {
        match missing {
            Missing::Absent => {
                self.counters.absent += 1;
                Outcome::Nothing
            }
            Missing::Until(until) => self.park_for_neighbour(now, until, parked),
            Missing::Ask => {
                let neighbour = hop.gateway.unwrap_or(target);
                let mut written = None;
                let has_room = wire.transmit(|out| {
                    written = write_request(out, hop.ether_source, hop.vlan, hop.source, neighbour);
                    written.unwrap_or(0)
                });
                // Where there was no room this request counts as one that got lost on the way.
                let _ = self.park_for_neighbour(now, Instant::FAR_FUTURE, Parked { looks: 0, ..parked });
                match written {
                    Some(bytes) if has_room => {
                        self.counters.requests += 1;
                        Outcome::Sent(bytes)
                    }
                    _ if has_room => Outcome::Nothing,
                    _ => Outcome::Blocked,
                }
            }
        }
    }

    fn park_for_neighbour(&mut self, now: Instant, until: Instant, parked: Parked) -> Outcome {
        let looks = parked.looks.saturating_add(1);
        let soon = now + FIRST_LOOK.saturating_mul(1 << (2 * u32::from(parked.looks.min(MAX_LOOKS))));
        self.park(Parked { due: soon.min(until.max(now + FIRST_LOOK)), looks, ..parked })
    }

    fn park(&mut self, parked: Parked) -> Outcome {
        self.counters.parked += 1;
        // There is room for it: the lot takes steps only while it has some, and one that comes out of it leaves its place.
        if let Err(parked) = self.lot.push(parked) {
            self.held = Some(parked);
        }
        Outcome::Nothing
    }
}

/// Why there is no link-layer header.
enum Missing {
    Ask,
    Until(Instant),
    Absent,
}

impl Plan<'_> {
    fn is_gateway(&self, ip: IpAddr) -> bool {
        self.routes.hops().iter().any(|hop| hop.gateway == Some(ip))
    }

    /// Who is asked what, by the number of the element.
    #[inline]
    #[must_use]
    pub fn asked(&self, element: u128) -> Option<(IpAddr, Probe)> {
        let probes = self.probes.len();
        let (address, probe) = match u64::try_from(element) {
            // Dividing 128 bits costs several times as much.
            Ok(element) => {
                let probes = probes as u64;
                (u128::from(element.checked_div(probes)?), element.checked_rem(probes)?)
            }
            Err(_) => {
                let probes = probes as u128;
                // Less than the number of probes.
                (element.checked_div(probes)?, element.checked_rem(probes)? as u64)
            }
        };
        let probe = usize::try_from(probe).ok().and_then(|probe| self.probes.get(probe))?;
        Some((self.targets.at(address)?, *probe))
    }
}
