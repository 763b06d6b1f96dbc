//! What happens to single datagrams on a link: drawn at random or read from a script, and recorded either way.

use std::collections::BTreeMap;

use wirehaul_core::time::Duration;

use super::Fault;
use crate::{
    link::{DropReason, LinkConfig},
    rng::{Purpose, Seed, Stream},
};

/// Neighbouring bits that one corruption flips at most.
const MAX_FLIPS: u64 = 8;
/// How long after the first copy the second one comes at most.
const MAX_DUPLICATE_GAP_NANOS: u64 = 1_000_000;

/// What happens to one datagram. The default is nothing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Mishap {
    /// It is lost.
    pub lost: Option<DropReason>,
    /// It is cut to so many bytes.
    pub cut_to: Option<u64>,
    /// So many bits are flipped, from this one on.
    pub flipped: Option<(u64, u64)>,
    /// It takes longer, and so do those behind it.
    pub delayed: Duration,
    /// It takes longer than those behind it.
    pub held_back: Option<Duration>,
    /// It comes a second time, so much later.
    pub twice: Option<Duration>,
}

/// Decides what happens to each datagram of a link.
#[derive(Debug)]
pub struct Mishaps {
    link: usize,
    entered: u64,
    in_burst: bool,
    random: Streams,
    /// Where there is a script, it alone decides on single datagrams.
    script: Option<BTreeMap<u64, Mishap>>,
    recording: Option<Vec<Fault>>,
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

impl Mishaps {
    /// Those of the link with this number, drawn from `seed`.
    #[must_use]
    pub fn new(seed: Seed, link: u64) -> Self {
        let stream = |purpose| seed.stream(link, purpose);
        let random = Streams {
            loss: stream(Purpose::Loss),
            burst: stream(Purpose::Burst),
            jitter: stream(Purpose::Jitter),
            duplicate: stream(Purpose::Duplicate),
            reorder: stream(Purpose::Reorder),
            corrupt: stream(Purpose::Corrupt),
            truncate: stream(Purpose::Truncate),
        };
        let link = usize::try_from(link).unwrap_or(usize::MAX);
        Self { link, entered: 0, in_burst: false, random, script: None, recording: None }
    }

    /// Takes what happens from these faults and no longer from chance, as the link with this number.
    pub fn follow(&mut self, faults: &[Fault], this: usize) {
        let mut script: BTreeMap<u64, Mishap> = BTreeMap::new();
        for fault in faults.iter().filter(|fault| fault.link() == Some(this)) {
            if let Some(datagram) = fault.datagram() {
                script.entry(datagram).or_default().add(fault);
            }
        }
        self.script = Some(script);
    }

    /// Keeps everything that happens from now on as faults.
    pub fn record(&mut self) {
        self.recording = Some(Vec::new());
    }

    /// What happened since [`Mishaps::record`].
    #[must_use]
    pub fn recorded(&self) -> &[Fault] {
        self.recording.as_deref().unwrap_or(&[])
    }

    /// From now on nothing happens that a script asks for.
    pub fn stop(&mut self) {
        if let Some(script) = &mut self.script {
            script.clear();
        }
    }

    /// Counts a datagram that enters the link, and returns its number.
    pub const fn count(&mut self) -> u64 {
        self.entered += 1;
        self.entered - 1
    }

    /// What happens to the datagram with this number, of `bytes`, that found room on the link.
    pub fn of(&mut self, datagram: u64, bytes: usize, config: &LinkConfig) -> Mishap {
        let mishap = match &mut self.script {
            Some(script) => script.remove(&datagram).unwrap_or_default(),
            None => self.draw(bytes as u64, config),
        };
        if let Some(recording) = &mut self.recording {
            mishap.describe(self.link, datagram, recording);
        }
        mishap
    }

    fn draw(&mut self, bytes: u64, config: &LinkConfig) -> Mishap {
        let lost = self.draw_loss(config);
        if lost.is_some() {
            return Mishap { lost, ..Mishap::default() };
        }
        let random = &mut self.random;
        let cut = random.truncate.chance(config.truncate_ppm) && bytes > 0;
        let cut_to = cut.then(|| random.truncate.below(bytes));
        let bits = cut_to.unwrap_or(bytes) * 8;
        let flips = random.corrupt.chance(config.corrupt_ppm) && bits > 0;
        let flipped = flips.then(|| (random.corrupt.below(bits), 1 + random.corrupt.below(MAX_FLIPS)));
        let delayed = match config.jitter.as_nanos() {
            0 => 0,
            bound => random.jitter.below(bound + 1),
        };
        let held = random.reorder.chance(config.reorder_ppm);
        let held_back = held.then(|| Duration::from_nanos(random.reorder.below(config.reorder_by.as_nanos() + 1)));
        let twice = random.duplicate.chance(config.duplicate_ppm);
        let twice = twice.then(|| Duration::from_nanos(random.duplicate.below(MAX_DUPLICATE_GAP_NANOS)));
        Mishap { lost, cut_to, flipped, delayed: Duration::from_nanos(delayed), held_back, twice }
    }

    fn draw_loss(&mut self, config: &LinkConfig) -> Option<DropReason> {
        if self.random.loss.chance(config.loss_ppm) {
            return Some(DropReason::Loss);
        }
        let burst = config.burst?;
        let turn = if self.in_burst { burst.leave_ppm } else { burst.enter_ppm };
        self.in_burst ^= self.random.burst.chance(turn);
        (self.in_burst && self.random.burst.chance(burst.loss_ppm)).then_some(DropReason::Burst)
    }
}

impl Mishap {
    /// Applies what damages the datagram; returns how many bytes were cut off, and whether bits were flipped.
    pub fn damage(&self, bytes: &mut Vec<u8>) -> (u64, bool) {
        let whole = bytes.len() as u64;
        bytes.truncate(self.cut_to.map_or(bytes.len(), |kept| usize::try_from(kept).unwrap_or(usize::MAX)));
        let bits = bytes.len() as u64 * 8;
        let Some((first, count)) = self.flipped.filter(|_| bits > 0) else { return (whole - bits / 8, false) };
        // Neighbouring bits, each flipped once, so that the flips cannot cancel out.
        for flip in 0..count.min(bits) {
            let bit = usize::try_from((first % bits + flip) % bits).unwrap_or(0);
            if let Some(byte) = bytes.get_mut(bit / 8) {
                *byte ^= 1 << (bit % 8);
            }
        }
        (whole - bits / 8, true)
    }

    const fn add(&mut self, fault: &Fault) {
        match fault {
            Fault::Drop { .. } => self.lost = Some(DropReason::Loss),
            Fault::Truncate { bytes, .. } => self.cut_to = Some(*bytes),
            Fault::Corrupt { bit, bits, .. } => self.flipped = Some((*bit, *bits)),
            Fault::Delay { by_ns, .. } => self.delayed = Duration::from_nanos(*by_ns),
            Fault::HoldBack { by_ns, .. } => self.held_back = Some(Duration::from_nanos(*by_ns)),
            Fault::Duplicate { after_ns, .. } => self.twice = Some(Duration::from_nanos(*after_ns)),
            _ => {}
        }
    }

    fn describe(&self, link: usize, datagram: u64, out: &mut Vec<Fault>) {
        if self.lost.is_some() {
            out.push(Fault::Drop { link, datagram });
            return;
        }
        out.extend(self.cut_to.map(|bytes| Fault::Truncate { link, datagram, bytes }));
        out.extend(self.flipped.map(|(bit, bits)| Fault::Corrupt { link, datagram, bit, bits }));
        if self.delayed > Duration::ZERO {
            out.push(Fault::Delay { link, datagram, by_ns: self.delayed.as_nanos() });
        }
        out.extend(self.held_back.map(|by| Fault::HoldBack { link, datagram, by_ns: by.as_nanos() }));
        out.extend(self.twice.map(|after| Fault::Duplicate { link, datagram, after_ns: after.as_nanos() }));
    }
}
