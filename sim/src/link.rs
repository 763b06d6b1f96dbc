//! One direction of a path: a queue in front of a wire, and everything that can go wrong on it.
//!
//! ```text
//! datagram -> outage? -> room in the buffer? -> marked? -> serialised at the rate
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
    network::Datagram,
    rng::{Purpose, Seed, Stream},
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
    pub dropped: [Count; 4],
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
    in_burst: bool,
    random: Streams,
    stats: LinkStats,
}

#[derive(Debug)]
struct Streams {
    loss: Stream,
    burst: Stream,
    jitter: Stream,
    duplicate: Stream,
    reorder: Stream,
    corrupt: Stream,
    truncate: Stream,
}

impl Link {
    /// A link whose faults come from `seed`; `component` names it within the run.
    #[must_use]
    pub fn new(config: LinkConfig, seed: Seed, component: u64) -> Self {
        let stream = |purpose| seed.stream(component, purpose);
        let random = Streams {
            loss: stream(Purpose::Loss),
            burst: stream(Purpose::Burst),
            jitter: stream(Purpose::Jitter),
            duplicate: stream(Purpose::Duplicate),
            reorder: stream(Purpose::Reorder),
            corrupt: stream(Purpose::Corrupt),
            truncate: stream(Purpose::Truncate),
        };
        let origin = Instant::ZERO;
        let stats = LinkStats::default();
        Self { config, free_at: origin, remainder: 0, last_arrival: origin, in_burst: false, random, stats }
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

    /// Bytes that wait in the queue, headers included.
    #[must_use]
    pub fn queued_bytes(&self, now: Instant) -> u64 {
        self.config.rate.map_or(0, |rate| rate.bytes_in(self.free_at.saturating_since(now)))
    }

    /// Takes a datagram in; appends when and as what it arrives to `arrivals`.
    pub fn carry(&mut self, now: Instant, mut datagram: Datagram, arrivals: &mut Vec<(Instant, Datagram)>) {
        self.stats.entered.add(datagram.bytes.len());
        if let Err(reason) = self.admit(now, &mut datagram) {
            self.stats.dropped[reason as usize].add(datagram.bytes.len());
            return;
        }
        let serialised_at = self.serialise(now, datagram.bytes.len());
        if let Err(reason) = self.survive() {
            self.stats.dropped[reason as usize].add(datagram.bytes.len());
            return;
        }
        self.damage(&mut datagram);
        let at = self.arrival(serialised_at);
        if self.random.duplicate.chance(self.config.duplicate_ppm) {
            self.stats.duplicated.add(datagram.bytes.len());
            self.stats.left.add(datagram.bytes.len());
            let later = at + Duration::from_nanos(self.random.duplicate.below(1_000_000));
            arrivals.push((later, datagram.clone()));
        }
        self.stats.left.add(datagram.bytes.len());
        arrivals.push((at, datagram));
    }

    fn admit(&mut self, now: Instant, datagram: &mut Datagram) -> Result<(), DropReason> {
        if self.config.outages.iter().any(|(from, to)| *from <= now && now < *to) {
            return Err(DropReason::Outage);
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

    /// When the last byte of the datagram is on the wire.
    fn serialise(&mut self, now: Instant, bytes: usize) -> Instant {
        let Some(rate) = self.config.rate else { return now };
        if self.free_at < now {
            self.free_at = now;
            self.remainder = 0;
        }
        let bits_per_sec = u128::from(rate.as_bits_per_sec().max(1));
        let total = (bytes as u128 + u128::from(HEADER_BYTES)) * BIT_NANOS_PER_BYTE + self.remainder;
        self.remainder = total % bits_per_sec;
        self.free_at += Duration::from_nanos(u64::try_from(total / bits_per_sec).unwrap_or(u64::MAX));
        self.free_at
    }

    fn survive(&mut self) -> Result<(), DropReason> {
        if self.random.loss.chance(self.config.loss_ppm) {
            return Err(DropReason::Loss);
        }
        let Some(burst) = self.config.burst else { return Ok(()) };
        let turn = if self.in_burst { burst.leave_ppm } else { burst.enter_ppm };
        self.in_burst ^= self.random.burst.chance(turn);
        let lost = self.in_burst && self.random.burst.chance(burst.loss_ppm);
        if lost { Err(DropReason::Burst) } else { Ok(()) }
    }

    fn damage(&mut self, datagram: &mut Datagram) {
        let bytes = &mut datagram.bytes;
        if self.random.truncate.chance(self.config.truncate_ppm) && !bytes.is_empty() {
            let kept = self.random.truncate.below(bytes.len() as u64);
            self.stats.truncated += 1;
            self.stats.cut_bytes += bytes.len() as u64 - kept;
            bytes.truncate(usize::try_from(kept).unwrap_or(0));
        }
        if self.random.corrupt.chance(self.config.corrupt_ppm) && !bytes.is_empty() {
            self.stats.corrupted += 1;
            // Neighbouring bits, each flipped once, so that the flips cannot cancel out.
            let first = self.random.corrupt.below(bytes.len() as u64 * 8);
            for flip in 0..=self.random.corrupt.below(8) {
                let bit = usize::try_from((first + flip) % (bytes.len() as u64 * 8)).unwrap_or(0);
                bytes[bit / 8] ^= 1 << (bit % 8);
            }
        }
    }

    fn arrival(&mut self, serialised_at: Instant) -> Instant {
        let jitter = Duration::from_nanos(match self.config.jitter.as_nanos() {
            0 => 0,
            bound => self.random.jitter.below(bound + 1),
        });
        let at = serialised_at + self.config.delay + jitter;
        if self.random.reorder.chance(self.config.reorder_ppm) {
            self.stats.reordered += 1;
            return at + Duration::from_nanos(self.random.reorder.below(self.config.reorder_by.as_nanos() + 1));
        }
        self.last_arrival = self.last_arrival.max(at);
        self.last_arrival
    }
}

#[cfg(test)]
#[path = "link_tests.rs"]
mod tests;
