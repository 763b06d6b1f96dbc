//! What came is judged: answers to our probes, neighbours, and everything else, which is counted by its reason (SCAN-3).

use super::ports::Probe;
use super::reply::{Heard, Judge, NoReply, Reply};
use super::targets::Targets;
use crate::time::Instant;

/// What came so far.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HeardCounters {
    /// Packets that came.
    pub received: u64,
    /// Valid answers from targets, those that were heard before among them.
    pub replies: u64,
    /// Answers to requests for link-layer addresses.
    pub neighbours: u64,
    /// Answers that are valid but for their target or their port, which is none of ours.
    pub strangers: u64,
    /// Packets that are no answer, by the reason.
    pub rejects: [u64; NoReply::COUNT],
}

impl Default for HeardCounters {
    fn default() -> Self {
        Self { received: 0, replies: 0, neighbours: 0, strangers: 0, rejects: [0; NoReply::COUNT] }
    }
}

impl HeardCounters {
    /// Both together.
    #[must_use]
    pub fn plus(mut self, other: &Self) -> Self {
        self.received += other.received;
        self.replies += other.replies;
        self.neighbours += other.neighbours;
        self.strangers += other.strangers;
        self.rejects.iter_mut().zip(other.rejects).for_each(|(sum, more)| *sum += more);
        self
    }

    /// The reasons for which packets were no answer, and how often.
    pub fn rejects(&self) -> impl Iterator<Item = (NoReply, u64)> + '_ {
        NoReply::ALL.into_iter().zip(self.rejects).filter(|(_, count)| *count > 0)
    }
}

/// Judges packets. Stateless but for its counters: any number of them hear the same survey.
#[derive(Clone, Debug)]
pub struct Ears<'a> {
    judge: Judge,
    targets: &'a Targets<'a>,
    probes: &'a [Probe],
    is_ethernet: bool,
    counters: HeardCounters,
}

impl<'a> Ears<'a> {
    /// Ears for the answers of `targets` to these probes, which are sorted, on a link whose frames begin with an Ethernet header, or
    /// with the IP header.
    #[must_use]
    pub fn new(judge: Judge, targets: &'a Targets<'a>, probes: &'a [Probe], is_ethernet: bool) -> Self {
        Self { judge, targets, probes, is_ethernet, counters: HeardCounters::default() }
    }

    /// What came so far.
    #[must_use]
    pub const fn counters(&self) -> &HeardCounters {
        &self.counters
    }

    /// The cookie of some answers is but the twelve bits of a port: it has to be one of a question that there was.
    #[inline]
    fn was_asked(&self, reply: &Reply) -> bool {
        self.targets.contains(reply.target) && self.probes.binary_search(&reply.probe).is_ok()
    }

    /// What a frame says, where that is an answer to us.
    #[inline]
    pub fn hear(&mut self, now: Instant, frame: &[u8]) -> Option<Heard> {
        self.counters.received += 1;
        match self.judge.judge(frame, self.is_ethernet, now) {
            Ok(Heard::Reply(reply)) if !self.was_asked(&reply) => {
                self.counters.strangers += 1;
                None
            }
            Ok(heard) => {
                match heard {
                    Heard::Reply(_) => self.counters.replies += 1,
                    Heard::Neighbour { .. } => self.counters.neighbours += 1,
                }
                Some(heard)
            }
            Err(reason) => {
                if let Some(count) = self.counters.rejects.get_mut(reason as usize) {
                    *count += 1;
                }
                None
            }
        }
    }
}
