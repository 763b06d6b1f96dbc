//! When this end acknowledges, and what.
//!
//! The sender asks for an ACK with a flag where it needs one (four times per window, and at the end of a flight), so
//! the receiver need not guess. Without the flag an ACK waits for the delay that this end promised, and goes at once
//! when packets are missing.

use crate::{
    ranges::RangeSet,
    time::{Duration, Instant},
};

/// Most ranges in one ACK frame. Older gaps have been reported many times by then.
pub(super) const MAX_ACK_RANGES: usize = 64;
/// Packets without the flag after which an ACK goes all the same.
const MAX_UNACKED_PACKETS: u32 = 256;

/// The packets received, and the ACK that is owed for them.
#[derive(Debug, Hash)]
pub(super) struct AckPolicy<'a> {
    received: RangeSet<'a>,
    largest_at: Instant,
    /// Packets in need of an ACK since the last one.
    owed: u32,
    due: bool,
    deadline: Option<Instant>,
    pub(super) ce_count: u32,
}

impl<'a> AckPolicy<'a> {
    pub(super) fn new(received: RangeSet<'a>) -> Self {
        Self { received, largest_at: Instant::ZERO, owed: 0, due: false, deadline: None, ce_count: 0 }
    }

    pub(super) fn into_storage(self) -> &'a mut [crate::ranges::Range] {
        self.received.into_storage()
    }

    /// Records a packet. `eliciting` packets are owed an ACK, `now_please` ones at once.
    pub(super) fn on_packet(
        &mut self,
        number: u64,
        now: Instant,
        eliciting: bool,
        now_please: bool,
        max_delay: Duration,
    ) {
        let expected = self.received.last().map_or(0, |range| range.end);
        if number >= expected {
            self.largest_at = now;
        }
        if self.received.insert(number, number + 1).is_err() {
            self.received.forget_lowest();
            // One slot is free now, so this fits.
            let _ = self.received.insert(number, number + 1);
        }
        if !eliciting {
            return;
        }
        self.owed += 1;
        self.due |= now_please || number != expected || self.owed >= MAX_UNACKED_PACKETS;
        self.deadline.get_or_insert(now + max_delay);
    }

    /// The delay has run out: the ACK is due.
    pub(super) fn on_timeout(&mut self, now: Instant) {
        self.due |= self.deadline.is_some_and(|deadline| deadline <= now);
    }

    /// When the ACK is due, if something is owed and it is not due yet.
    pub(super) fn deadline(&self) -> Option<Instant> {
        self.deadline.filter(|_| !self.due)
    }

    /// Whether an ACK must go now, even alone.
    pub(super) const fn is_due(&self) -> bool {
        self.due
    }

    /// Whether an ACK would tell the peer anything.
    pub(super) const fn is_owed(&self) -> bool {
        self.owed > 0
    }

    /// The ranges to acknowledge, highest first, as (first, last) packet numbers.
    pub(super) fn ranges(&self) -> impl Iterator<Item = (u64, u64)> + Clone + '_ {
        self.received.as_slice().iter().rev().map(|range| (range.start, range.end - 1))
    }

    /// How long the newest packet has waited for its ACK.
    pub(super) fn delay(&self, now: Instant) -> Duration {
        now.saturating_since(self.largest_at)
    }

    /// An ACK is on its way.
    pub(super) fn on_sent(&mut self) {
        self.owed = 0;
        self.due = false;
        self.deadline = None;
    }
}
