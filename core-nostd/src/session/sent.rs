//! The ring of sent packets, by packet number.

use super::storage::{Fate, SentPacket};

/// Packets from `base` to `next`, one record each.
#[derive(Debug, Hash)]
pub(super) struct SentRing<'a> {
    slots: &'a mut [SentPacket],
    mask: u64,
    base: u64,
    next: u64,
}

impl<'a> SentRing<'a> {
    /// An empty ring over the largest power of two of `slots`.
    pub(super) fn new(slots: &'a mut [SentPacket]) -> Self {
        let capacity = if slots.is_empty() { 0 } else { 1u64 << slots.len().ilog2() };
        Self { slots, mask: capacity.wrapping_sub(1), base: 0, next: 0 }
    }

    pub(super) fn into_storage(self) -> &'a mut [SentPacket] {
        self.slots
    }

    /// The number that the next packet gets.
    pub(super) const fn next_number(&self) -> u64 {
        self.next
    }

    /// The oldest packet that is still remembered.
    pub(super) const fn oldest(&self) -> u64 {
        self.base
    }

    /// How many more packets can be remembered.
    pub(super) const fn room(&self) -> u64 {
        (self.mask + 1) - (self.next - self.base)
    }

    pub(super) fn get(&self, number: u64) -> Option<&SentPacket> {
        let live = number >= self.base && number < self.next;
        self.slots.get(self.place(number)).filter(|_| live)
    }

    pub(super) fn get_mut(&mut self, number: u64) -> Option<&mut SentPacket> {
        let (live, place) = (number >= self.base && number < self.next, self.place(number));
        self.slots.get_mut(place).filter(|_| live)
    }

    /// Remembers the packet that takes [`SentRing::next_number`]. The caller checked [`SentRing::room`].
    pub(super) fn push(&mut self, packet: SentPacket) {
        if self.room() == 0 {
            // Only a CLOSE comes here: what it overwrites no longer matters.
            self.base += 1;
        }
        let place = self.place(self.next);
        if let Some(slot) = self.slots.get_mut(place) {
            *slot = packet;
        }
        self.next += 1;
    }

    /// Uses a packet number up without remembering a packet, where the ring holds nothing.
    pub(super) fn skip(&mut self) {
        self.push(SentPacket::default());
        self.settle(|_| true);
    }

    /// Forgets the oldest packets that are settled, and those lost ones of which `forget` says so.
    pub(super) fn settle(&mut self, forget: impl Fn(&SentPacket) -> bool) {
        while self.base < self.next {
            let Some(packet) = self.slots.get(self.place(self.base)) else { return };
            let keep = match packet.fate {
                Fate::Settled => false,
                Fate::InFlight => true,
                Fate::Lost | Fate::Left => !forget(packet),
            };
            if keep {
                return;
            }
            self.base += 1;
        }
    }

    fn place(&self, number: u64) -> usize {
        // The mask is below the slice's length, so the cast cannot lose anything.
        (number & self.mask) as usize
    }
}
