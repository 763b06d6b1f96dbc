//! Which of several workers a session belongs to: its receiver index says so, in the clear.
//!
//! ```text
//! receiver index:  1 | 14 bits that are not to be guessed | 6 bits: the worker | 11 bits: its slot
//! ```

use super::slots::Slot;
use crate::{
    session::INDEX_PLACE_MASK,
    wire::{HeaderView, PacketKind},
};

/// Most workers of one process: their number takes six bits of a receiver index.
pub const MAX_WORKERS: usize = 64;
/// Where these bits are: above those of the slot.
const SHIFT: u32 = super::slots::SLOT_BITS;

/// The number of a worker, below [`MAX_WORKERS`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct WorkerNumber(u8);

impl WorkerNumber {
    /// The first, and the one of a process that has no others.
    pub const FIRST: Self = Self(0);

    /// `None` for [`MAX_WORKERS`] and above.
    #[must_use]
    pub fn new(number: usize) -> Option<Self> {
        u8::try_from(number).ok().filter(|_| number < MAX_WORKERS).map(Self)
    }

    /// As a number.
    #[must_use]
    pub const fn get(self) -> u8 {
        self.0
    }

    /// Whose session a packet with this receiver index is for.
    #[must_use]
    pub const fn of_index(index: u32) -> Self {
        Self(((index & INDEX_PLACE_MASK) >> SHIFT) as u8)
    }

    /// The bits of an index that lead to this slot.
    pub(super) const fn place(self, slot: Slot) -> u32 {
        (self.0 as u32) << SHIFT | slot.bits()
    }
}

/// The worker whose session `datagram` is for, as its header says. `None` for one that starts a session, and for one that no
/// session would take: those are for whichever worker they come to.
///
/// Nothing is proved by it yet: who sends a wrong number has its packet refused by another worker.
#[inline]
#[must_use]
pub fn owner_of(datagram: &[u8]) -> Option<WorkerNumber> {
    let header = HeaderView::parse(datagram).ok()?;
    (header.kind() != PacketKind::Init).then(|| WorkerNumber::of_index(header.receiver()))
}

#[cfg(test)]
mod tests {
    use super::{super::slots::MAX_SESSIONS, *};
    use crate::{
        limits::PACKET_OVERHEAD_BYTES,
        wire::{PacketFlags, PacketHeader},
    };

    fn packet(kind: PacketKind, receiver: u32) -> [u8; PACKET_OVERHEAD_BYTES] {
        let mut datagram = [0; PACKET_OVERHEAD_BYTES];
        let header = PacketHeader { kind, flags: PacketFlags::empty(), receiver, packet_number_low: 0 };
        header.write(&mut datagram).expect("a header that keeps the rules");
        datagram
    }

    #[test]
    fn there_are_as_many_numbers_as_six_bits_have() {
        let numbers = (0..1000).map_while(WorkerNumber::new);
        assert!(numbers.map(WorkerNumber::get).eq(0..64));
    }

    #[test]
    fn a_place_is_found_again_whatever_stands_above_it() {
        for number in (0..MAX_WORKERS).map_while(WorkerNumber::new) {
            // Miri takes a minute and more for all of them.
            for slot in (0..MAX_SESSIONS).step_by(if cfg!(miri) { 97 } else { 1 }).map_while(Slot::new) {
                let place = number.place(slot);
                assert_eq!(place & !INDEX_PLACE_MASK, 0);
                for index in [place, place | !INDEX_PLACE_MASK, place | 0x8000_0000] {
                    assert_eq!((WorkerNumber::of_index(index), Slot::of_index(index)), (number, slot));
                }
            }
        }
    }

    #[test]
    fn every_packet_but_the_first_names_its_worker() {
        let ninth = WorkerNumber::new(9).zip(Slot::new(1200)).map(|(number, slot)| 0x8124_0000 | number.place(slot));
        let index = ninth.expect("there is a ninth");
        for kind in [PacketKind::Cookie, PacketKind::Response, PacketKind::Finish, PacketKind::Protected] {
            assert_eq!(owner_of(&packet(kind, index)), WorkerNumber::new(9), "{kind:?}");
        }
        assert_eq!(owner_of(&packet(PacketKind::Init, 0)), None);
    }

    #[test]
    fn what_is_no_packet_has_no_owner() {
        let packet = packet(PacketKind::Protected, 0x8000_4800);
        for len in 0..packet.len() {
            assert_eq!(owner_of(&packet[..len]), None, "{len} bytes");
        }
        assert_eq!(owner_of(&[0xff; 100]), None);
        assert_eq!(owner_of(&[0; 100]), None);
    }
}
