//! One direction of a path: a queue in front of a wire, and everything that can go wrong on it.
//!
//! ```text
//! datagram -> outage? -> policed? -> room in the buffer? -> marked? -> serialised at the rate
//!          -> lost at random or in a burst? -> cut? corrupted? -> delay, jitter, overtaken? -> arrives, perhaps twice
//! ```
//! All arithmetic is in whole nanoseconds and bits, with the remainder of each division carried, so a link's rate is
//! exact over any number of datagrams. Every dropped datagram has a counted [`DropReason`].

use wirehaul_core::{
    device::Ecn,
    rate::Rate,
    time::{Duration, Instant},
};

use crate::{
    faults::{
        Fault,
        mishap::{Mishap, Mishaps},
        span,
    },
    network::Datagram,
    rng::Seed,
};

/// What each datagram costs on the wire beside its UDP payload: IPv4 and UDP headers.
pub const HEADER_BYTES: u64 = 28;
const BIT_NANOS_PER_BYTE: u128 = 8_000_000_000;

/// How a link behaves. The default is perfect: no delay, no limit, no fault.
#[derive(Clone, Debug, Default)]
pub struct LinkConfig {
    /// How fast bytes leave the queue, headers included; `None` is without limit.
    pub rate: Option<Rate>,
    /// Propagation delay.
    pub delay: Duration,
    /// Up to this much more delay, different for each datagram; datagrams stay in order.
    pub jitter: Duration,
    /// Datagrams arrive in lumps, at multiples of this time, as on radio links; zero: each by itself.
    pub lumps: Duration,
    /// Datagrams of more bytes than this are dropped, IP and UDP headers included; `None`: all are carried.
    pub mtu_bytes: Option<u64>,
    /// Bytes that may wait in the queue; more are dropped at its tail. `None` is without limit.
    pub buffer_bytes: Option<u64>,
    /// Datagrams that find more than this waiting are marked, if they are ECN-capable.
    pub mark_above_bytes: Option<u64>,
    /// Datagrams lost independently of each other, in parts per million.
    pub loss_ppm: u32,
    /// Losses that come together.
    pub burst: Option<Burst>,
    /// Datagrams that arrive twice, in parts per million.
    pub duplicate_ppm: u32,
    /// Datagrams that are held back, and so overtaken, in parts per million.
    pub reorder_ppm: u32,
    /// For how long they are held back, at most.
    pub reorder_by: Duration,
    /// Datagrams in which up to eight bits are flipped, in parts per million.
    pub corrupt_ppm: u32,
    /// Datagrams cut short, in parts per million.
    pub truncate_ppm: u32,
    /// While one of these lasts, nothing enters the link: start, and end.
    pub outages: Vec<(Instant, Instant)>,
    /// Drops what is above a rate, without a queue.
    pub policer: Option<Policer>,
}

/// A token bucket in front of the queue: what finds too few tokens is dropped. It is full at the start.
#[derive(Clone, Copy, Debug)]
pub struct Policer {
    /// How fast tokens come, for bytes with headers.
    pub rate: Rate,
    /// How many bytes of tokens there can be.
    pub burst_bytes: u64,
}

/// A change of a link at some time. What is `None` stays.
#[derive(Clone, Copy, Debug, Default)]
pub struct Step {
    /// The new rate, also for what waits already.
    pub rate: Option<Rate>,
    /// The new delay, for what enters from now on.
    pub delay: Option<Duration>,
    /// The new random loss.
    pub loss_ppm: Option<u32>,
    /// The new policer with a full bucket, or none any more.
    pub policer: Option<Option<Policer>>,
    /// The new lumps, for what enters from now on.
    pub lumps: Option<Duration>,
}

/// What a link did from the start of the run up to some time. The difference of two of these gives means.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Occupancy {
    /// How long the wire was busy.
    pub busy: Duration,
    /// The integral of the bytes that waited, over nanoseconds.
    pub queue_byte_nanos: u128,
}

/// Losses in bursts, after Gilbert and Elliott: two states, one of which loses. In parts per million, per datagram.
#[derive(Clone, Copy, Debug)]
pub struct Burst {
    /// From the good state into the bad.
    pub enter_ppm: u32,
    /// From the bad state into the good.
    pub leave_ppm: u32,
    /// Lost while in the bad state.
    pub loss_ppm: u32,
}

/// Why a datagram did not arrive.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum DropReason {
    /// The buffer was full.
    BufferFull,
    /// Random loss.
    Loss,
    /// Loss in a burst.
    Burst,
    /// The link was down.
    Outage,
    /// The policer had too few tokens.
    Policed,
    /// It was larger than the link carries.
    TooBig,
}

impl DropReason {
    /// All of them, in order.
    pub const ALL: [Self; 6] = [Self::BufferFull, Self::Loss, Self::Burst, Self::Outage, Self::Policed, Self::TooBig];

    /// Its name in results.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::BufferFull => "buffer_full",
            Self::Loss => "loss",
            Self::Burst => "burst_loss",
            Self::Outage => "outage",
            Self::Policed => "policed",
            Self::TooBig => "too_big",
        }
    }
}

/// What a link has seen.
#[derive(Clone, Debug, Default)]
pub struct LinkStats {
    /// Datagrams and bytes of UDP payload that were to be carried.
    pub entered: Count,
    /// What came out at the other end.
    pub left: Count,
    /// What was added by duplication.
    pub duplicated: Count,
    /// Dropped, by reason in the order of [`DropReason`].
    pub dropped: [Count; DropReason::ALL.len()],
    /// Bytes cut off datagrams that arrived.
    pub cut_bytes: u64,
    /// Datagrams with flipped bits.
    pub corrupted: u64,
    /// Datagrams cut short.
    pub truncated: u64,
    /// Datagrams that were held back.
    pub reordered: u64,
    /// Datagrams marked with congestion experienced.
    pub marked: u64,
    /// The most bytes that ever waited.
    pub peak_queue_bytes: u64,
}

/// Datagrams and their bytes of UDP payload.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Count {
    /// Datagrams.
    pub datagrams: u64,
    /// Bytes.
    pub bytes: u64,
}

impl Count {
    /// Counts one datagram of `bytes`.
    pub const fn add(&mut self, bytes: usize) {
        self.datagrams += 1;
        self.bytes += bytes as u64;
    }
}

impl LinkStats {
    /// What was dropped for this reason.
    #[must_use]
    pub const fn dropped_for(&self, reason: DropReason) -> Count {
        self.dropped[reason as usize]
    }

    /// All datagrams that were dropped.
    #[must_use]
    pub fn dropped_total(&self) -> Count {
        self.dropped.iter().fold(Count::default(), |sum, count| Count {
            datagrams: sum.datagrams + count.datagrams,
            bytes: sum.bytes + count.bytes,
        })
    }
}

/// A link at work.
#[derive(Debug)]
pub struct Link {
    config: LinkConfig,
    /// When the last byte now in the queue will have left, and the fraction of a nanosecond beyond.
    free_at: Instant,
    remainder: u128,
    last_arrival: Instant,
    /// What the policer's bucket lacks to be full, in bits times nanoseconds, and since when.
    policer_lacks: u128,
    policer_at: Instant,
    /// Time that all datagrams so far take on the wire.
    worked: Duration,
    /// The integral of the queue up to `observed_at`.
    queue_byte_nanos: u128,
    observed_at: Instant,
    mishaps: Mishaps,
    stats: LinkStats,
}

/// A datagram that will arrive.
#[derive(Debug)]
pub struct Arrival {
    /// When its last byte leaves the queue.
    pub serialised_at: Instant,
    /// When it arrives.
    pub at: Instant,
    /// Whether it arrives behind all that entered before it.
    pub in_order: bool,
    /// As what it arrives.
    pub datagram: Datagram,
}

impl Link {
    /// A link whose faults come from `seed`; `component` names it within the run.
    #[must_use]
    pub fn new(config: LinkConfig, seed: Seed, component: u64) -> Self {
        let origin = Instant::ZERO;
        let (mishaps, stats) = (Mishaps::new(seed, component), LinkStats::default());
        Self {
            config,
            free_at: origin,
            remainder: 0,
            last_arrival: origin,
            policer_lacks: 0,
            policer_at: origin,
            worked: Duration::ZERO,
            queue_byte_nanos: 0,
            observed_at: origin,
            mishaps,
            stats,
        }
    }

    /// What the link has seen.
    #[must_use]
    pub const fn stats(&self) -> &LinkStats {
        &self.stats
    }

    /// The link's behaviour, to change it from now on.
    pub const fn config_mut(&mut self) -> &mut LinkConfig {
        &mut self.config
    }

    /// What happens to single datagrams, to record it.
    pub const fn mishaps(&mut self) -> &mut Mishaps {
        &mut self.mishaps
    }

    /// Lets those of these faults happen that befall the link with this number, in a run that began at `start`. Where
    /// `by_chance` is false, nothing else happens to single datagrams.
    pub fn follow(&mut self, faults: &[Fault], by_chance: bool, this: usize, start: Instant) {
        if !by_chance {
            self.mishaps.follow(faults, this);
        }
        for fault in faults.iter().filter(|fault| fault.link() == Some(this)) {
            if let Fault::Outage { from_ns, to_ns, .. } = fault {
                self.config.outages.push(span(start, *from_ns, *to_ns));
            }
        }
    }

    /// From now on nothing goes wrong; rate, delay and buffer stay.
    pub fn heal(&mut self) {
        let LinkConfig { rate, delay, buffer_bytes, .. } = self.config;
        self.config = LinkConfig { rate, delay, buffer_bytes, ..LinkConfig::default() };
        self.mishaps.stop();
    }

    /// Bytes that wait in the queue, headers included.
    #[must_use]
    pub fn queued_bytes(&self, now: Instant) -> u64 {
        self.config.rate.map_or(0, |rate| rate.bytes_in(self.free_at.saturating_since(now)))
    }

    /// What it did up to `now`.
    #[must_use]
    pub fn occupancy(&self, now: Instant) -> Occupancy {
        let busy = self.worked.saturating_sub(self.free_at.saturating_since(now));
        Occupancy { busy, queue_byte_nanos: self.queue_byte_nanos + self.queued_since_observed(now) }
    }

    /// The integral of the queue from `observed_at` to `now`: it falls in a straight line until it is empty.
    fn queued_since_observed(&self, now: Instant) -> u128 {
        let Some(rate) = self.config.rate else { return 0 };
        let backlog = |at| u128::from(self.free_at.saturating_since(at).as_nanos());
        let (before, after) = (backlog(self.observed_at), backlog(now));
        let area = (before * before).saturating_sub(after * after) / 2;
        area.saturating_mul(u128::from(rate.as_bits_per_sec())) / BIT_NANOS_PER_BYTE
    }

    fn observe(&mut self, now: Instant) {
        self.queue_byte_nanos += self.queued_since_observed(now);
        self.observed_at = self.observed_at.max(now);
    }

    /// Changes the link. Where that changes how fast the queue drains, returns the old rate and the new one: the
    /// caller holds what waits, and [`rescaled`] says when each of it now leaves.
    pub fn step(&mut self, now: Instant, step: Step) -> Option<(Rate, Rate)> {
        self.config.delay = step.delay.unwrap_or(self.config.delay);
        self.config.loss_ppm = step.loss_ppm.unwrap_or(self.config.loss_ppm);
        self.config.lumps = step.lumps.unwrap_or(self.config.lumps);
        if let Some(policer) = step.policer {
            self.config.policer = policer;
            (self.policer_lacks, self.policer_at) = (0, now);
        }
        let (old, new) = (self.config.rate?, step.rate?);
        self.observe(now);
        let waiting = self.free_at.saturating_since(now);
        self.free_at = rescaled(self.free_at, now, old, new);
        let waiting_now = self.free_at.saturating_since(now);
        self.worked = self.worked.saturating_sub(waiting) + waiting_now;
        self.remainder = 0;
        self.config.rate = Some(new);
        Some((old, new))
    }

    /// Tells the link when the last datagram that it carries in order will arrive, after [`Link::step`].
    pub const fn set_last_arrival(&mut self, at: Instant) {
        self.last_arrival = at;
    }

    /// Takes a datagram in; appends when and as what it arrives to `arrivals`.
    pub fn carry(&mut self, now: Instant, mut datagram: Datagram, arrivals: &mut Vec<Arrival>) {
        self.stats.entered.add(datagram.bytes.len());
        let number = self.mishaps.count();
        if let Err(reason) = self.admit(now, &mut datagram) {
            self.stats.dropped[reason as usize].add(datagram.bytes.len());
            return;
        }
        let serialised_at = self.serialise(now, datagram.bytes.len());
        let mishap = self.mishaps.of(number, datagram.bytes.len(), &self.config);
        if let Some(reason) = mishap.lost {
            self.stats.dropped[reason as usize].add(datagram.bytes.len());
            return;
        }
        let (cut_bytes, flipped) = mishap.damage(&mut datagram.bytes);
        self.stats.cut_bytes += cut_bytes;
        self.stats.truncated += u64::from(cut_bytes > 0);
        self.stats.corrupted += u64::from(flipped);
        let (at, in_order) = self.arrival(serialised_at, &mishap);
        if let Some(after) = mishap.twice {
            self.stats.duplicated.add(datagram.bytes.len());
            self.stats.left.add(datagram.bytes.len());
            let datagram = datagram.clone();
            arrivals.push(Arrival { serialised_at, at: at + after, in_order: false, datagram });
        }
        self.stats.left.add(datagram.bytes.len());
        arrivals.push(Arrival { serialised_at, at, in_order, datagram });
    }

    fn admit(&mut self, now: Instant, datagram: &mut Datagram) -> Result<(), DropReason> {
        if self.config.outages.iter().any(|(from, to)| *from <= now && now < *to) {
            return Err(DropReason::Outage);
        }
        if self.config.mtu_bytes.is_some_and(|mtu| datagram.bytes.len() as u64 + HEADER_BYTES > mtu) {
            return Err(DropReason::TooBig);
        }
        if !self.conforms(now, datagram.bytes.len()) {
            return Err(DropReason::Policed);
        }
        let queued = self.queued_bytes(now);
        let with_this = queued + datagram.bytes.len() as u64 + HEADER_BYTES;
        if self.config.buffer_bytes.is_some_and(|buffer| queued > 0 && with_this > buffer) {
            return Err(DropReason::BufferFull);
        }
        self.stats.peak_queue_bytes = self.stats.peak_queue_bytes.max(queued);
        let capable = matches!(datagram.ecn, Ecn::Ect0 | Ecn::Ect1);
        if capable && self.config.mark_above_bytes.is_some_and(|bound| queued > bound) {
            datagram.ecn = Ecn::Ce;
            self.stats.marked += 1;
        }
        Ok(())
    }

    /// Whether the policer lets the datagram through, and then takes its tokens.
    fn conforms(&mut self, now: Instant, bytes: usize) -> bool {
        let Some(Policer { rate, burst_bytes }) = self.config.policer else { return true };
        let span = u128::from(now.saturating_since(self.policer_at).as_nanos());
        let came = span * u128::from(rate.as_bits_per_sec());
        self.policer_at = now;
        self.policer_lacks = self.policer_lacks.saturating_sub(came);
        let with_this = self.policer_lacks + (bytes as u128 + u128::from(HEADER_BYTES)) * BIT_NANOS_PER_BYTE;
        let conforms = with_this <= u128::from(burst_bytes) * BIT_NANOS_PER_BYTE;
        if conforms {
            self.policer_lacks = with_this;
        }
        conforms
    }

    /// When the last byte of the datagram is on the wire.
    fn serialise(&mut self, now: Instant, bytes: usize) -> Instant {
        let Some(rate) = self.config.rate else { return now };
        self.observe(now);
        if self.free_at < now {
            self.free_at = now;
            self.remainder = 0;
        }
        let bits_per_sec = u128::from(rate.as_bits_per_sec().max(1));
        let total = (bytes as u128 + u128::from(HEADER_BYTES)) * BIT_NANOS_PER_BYTE + self.remainder;
        self.remainder = total % bits_per_sec;
        let on_the_wire = Duration::from_nanos(u64::try_from(total / bits_per_sec).unwrap_or(u64::MAX));
        self.worked = self.worked + on_the_wire;
        self.free_at += on_the_wire;
        self.free_at
    }

    /// When what left the queue at `serialised_at` arrives, and whether in order.
    fn arrival(&mut self, serialised_at: Instant, mishap: &Mishap) -> (Instant, bool) {
        let at = lumped(serialised_at + self.config.delay + mishap.delayed, self.config.lumps);
        if let Some(by) = mishap.held_back {
            self.stats.reordered += 1;
            return (at + by, false);
        }
        self.last_arrival = self.last_arrival.max(at);
        (self.last_arrival, true)
    }
}

/// The next multiple of `lumps`.
fn lumped(at: Instant, lumps: Duration) -> Instant {
    match at.as_nanos().checked_rem(lumps.as_nanos()) {
        None | Some(0) => at,
        Some(past) => at + Duration::from_nanos(lumps.as_nanos() - past),
    }
}

/// When that leaves which would have left at `leaves_at`, if the rate changes at `now`: the work that lies before it
/// takes longer or shorter by the ratio of the rates.
#[must_use]
pub fn rescaled(leaves_at: Instant, now: Instant, old: Rate, new: Rate) -> Instant {
    if leaves_at <= now {
        return leaves_at;
    }
    let waiting = leaves_at.saturating_since(now);
    now + waiting.mul_ratio(old.as_bits_per_sec(), new.as_bits_per_sec())
}

#[cfg(test)]
#[path = "link_tests.rs"]
mod tests;
