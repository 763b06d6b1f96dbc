//! What a host's device lacks at times, where its transmit buffers are, and what became of every datagram at it.

use std::collections::VecDeque;

use wirehaul_core::time::Instant;

use super::Fault;
use crate::link::Count;

/// Transmit buffers of a device.
const TRANSMIT_SLOTS: usize = 64;

/// Why a device dropped a datagram.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum DeviceDrop {
    /// It arrived, and no buffer was there to receive it into.
    FillRingEmpty,
    /// It arrived or waited when the host was down.
    HostDown,
    /// It was to be sent, and the device had no room.
    TransmitFull,
}

/// What a device has seen.
#[derive(Clone, Debug, Default)]
pub struct DeviceStats {
    /// What the network brought.
    pub arrived: Count,
    /// What the host took.
    pub received: Count,
    /// What the host wanted to send.
    pub submitted: Count,
    /// What went to the network, routable or not.
    pub sent: Count,
    /// Dropped, by reason in the order of [`DeviceDrop`].
    pub dropped: [Count; 3],
}

impl DeviceStats {
    /// What was dropped for this reason.
    #[must_use]
    pub const fn dropped_for(&self, reason: DeviceDrop) -> Count {
        self.dropped[reason as usize]
    }

    /// Counts a datagram that is dropped.
    pub const fn drop(&mut self, reason: DeviceDrop, bytes: usize) {
        self.dropped[reason as usize].add(bytes);
    }
}

/// Spans of time: start, and end.
type Windows = Vec<(Instant, Instant)>;

/// When a device lacks what. Nothing, by default.
#[derive(Clone, Debug, Default)]
pub struct Shortages {
    full: Windows,
    empty_fill_ring: Windows,
    late_completions: Windows,
    exhausted: Windows,
}

impl Shortages {
    /// Adds those faults that befall the device of this host; `start` is when the run began.
    pub fn follow(&mut self, faults: &[Fault], this: usize, start: Instant) {
        for fault in faults.iter().filter(|fault| fault.host() == Some(this)) {
            let (windows, from_ns, to_ns) = match fault {
                Fault::DeviceFull { from_ns, to_ns, .. } => (&mut self.full, from_ns, to_ns),
                Fault::EmptyFillRing { from_ns, to_ns, .. } => (&mut self.empty_fill_ring, from_ns, to_ns),
                Fault::LateCompletions { from_ns, to_ns, .. } => (&mut self.late_completions, from_ns, to_ns),
                Fault::PoolExhausted { from_ns, to_ns, .. } => (&mut self.exhausted, from_ns, to_ns),
                _ => continue,
            };
            windows.push(crate::faults::span(start, *from_ns, *to_ns));
        }
    }

    /// Whether what is submitted is dropped.
    #[must_use]
    pub fn is_full(&self, now: Instant) -> bool {
        end_of(&self.full, now).is_some()
    }

    /// Whether what arrives is dropped.
    #[must_use]
    pub fn is_fill_ring_empty(&self, now: Instant) -> bool {
        end_of(&self.empty_fill_ring, now).is_some()
    }

    /// Until when there is no buffer to send from.
    #[must_use]
    pub fn exhausted_until(&self, now: Instant) -> Option<Instant> {
        end_of(&self.exhausted, now)
    }

    /// When the buffer of what is sent now comes back.
    #[must_use]
    pub fn completion(&self, now: Instant) -> Instant {
        end_of(&self.late_completions, now).unwrap_or(now)
    }
}

fn end_of(windows: &Windows, now: Instant) -> Option<Instant> {
    windows.iter().filter(|(from, to)| *from <= now && now < *to).map(|(_, to)| *to).max()
}

/// A device's transmit buffers: free, in the hands of the host, or with the device until they are completed.
#[derive(Clone, Debug)]
pub struct Slots {
    total: usize,
    free: usize,
    in_hand: bool,
    /// When each buffer that the device has comes back.
    in_flight: VecDeque<Instant>,
    /// A planted bug: of several buffers that come back late together, one does not.
    loses_one: bool,
}

impl Default for Slots {
    fn default() -> Self {
        let free = TRANSMIT_SLOTS;
        Self { total: free, free, in_hand: false, in_flight: VecDeque::new(), loses_one: false }
    }
}

impl Slots {
    /// Loses buffers from now on: see [`crate::planted::Bug::LostSlot`].
    pub const fn lose_one(&mut self) {
        self.loses_one = true;
    }

    /// The host starts anew: every buffer is free.
    pub fn reset(&mut self) {
        *self = Self { loses_one: self.loses_one, ..Self::default() };
    }

    /// Takes a buffer, or keeps the one that was taken; `false` where none is free.
    pub fn take(&mut self, now: Instant) -> bool {
        self.reclaim(now);
        if !self.in_hand && self.free > 0 {
            self.free -= 1;
            self.in_hand = true;
        }
        self.in_hand
    }

    /// The buffer that was taken goes to the device, and comes back at `until`.
    pub fn submit(&mut self, until: Instant) {
        if std::mem::take(&mut self.in_hand) {
            // Buffers come back in the order in which they went.
            let until = self.in_flight.back().map_or(until, |last| until.max(*last));
            self.in_flight.push_back(until);
        }
    }

    /// The buffer that was taken is given back unused.
    pub fn give_back(&mut self) {
        self.free += usize::from(std::mem::take(&mut self.in_hand));
    }

    /// Gives back what is due.
    pub fn reclaim(&mut self, now: Instant) {
        let due = self.in_flight.iter().take_while(|until| **until <= now).count();
        self.in_flight.drain(..due);
        let lost = usize::from(self.loses_one && due > 1);
        self.free += due - lost;
    }

    /// When the next buffer comes back.
    #[must_use]
    pub fn next_completion(&self) -> Option<Instant> {
        self.in_flight.front().copied()
    }

    /// Buffers in all; and those that are free, in hand, and with the device.
    #[must_use]
    pub fn counts(&self) -> (usize, [usize; 3]) {
        (self.total, [self.free, usize::from(self.in_hand), self.in_flight.len()])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn at(nanos: u64) -> Instant {
        Instant::from_nanos(nanos)
    }

    #[test]
    fn a_shortage_lasts_from_its_start_to_just_before_its_end() {
        let mut shortages = Shortages::default();
        let faults = [
            Fault::PoolExhausted { host: 1, from_ns: 10, to_ns: 20 },
            Fault::PoolExhausted { host: 1, from_ns: 15, to_ns: 30 },
            Fault::DeviceFull { host: 0, from_ns: 0, to_ns: 99 },
        ];
        shortages.follow(&faults, 1, at(100));
        let until = |now| shortages.exhausted_until(at(now));
        assert_eq!(
            (until(109), until(110), until(117), until(129), until(130)),
            (None, Some(at(120)), Some(at(130)), Some(at(130)), None)
        );
        assert!(!shortages.is_full(at(110)));
    }

    #[test]
    fn every_slot_is_somewhere() {
        let mut slots = Slots::default();
        for _ in 0..TRANSMIT_SLOTS {
            assert!(slots.take(at(0)));
            slots.submit(at(50));
        }
        assert!(!slots.take(at(49)));
        assert_eq!(slots.counts(), (TRANSMIT_SLOTS, [0, 0, TRANSMIT_SLOTS]));
        assert!(slots.take(at(50)));
        assert_eq!(slots.counts(), (TRANSMIT_SLOTS, [TRANSMIT_SLOTS - 1, 1, 0]));
        slots.give_back();
        assert_eq!(slots.counts(), (TRANSMIT_SLOTS, [TRANSMIT_SLOTS, 0, 0]));
    }
}
