//! What was reported lately: a window of fixed size that knows duplicates, and never takes a better answer for one (SCAN-3).

use core::net::IpAddr;

use super::{Class, Key, Probe};

/// Answers of one set: a cache line of 64 bytes. Which set an answer belongs to follows from its fingerprint.
const WAYS: usize = 8;
/// The bits of an entry that hold the rank; all others are the fingerprint. No class has rank 0: that is a free place.
const RANK_MASK: u64 = 0b111;

/// What an answer is next to those before it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Seen {
    /// The first to this probe, or the first that is remembered.
    First,
    /// Of a higher rank than those before it, such as a SYN-ACK after a router's error: to be reported again.
    Better,
    /// A duplicate, or less than what was reported.
    Again,
}

/// The answers that were reported, in 64 bits each: a fingerprint of target and probe, and the highest rank.
///
/// The fingerprint is keyed, so that nobody can make an answer that is taken for another's: among n entries, one of 2^58 answers is
/// taken for a duplicate by chance for each of the eight that it is compared with. In a full set, what was not heard again for
/// longest goes, and would be reported twice.
#[derive(Debug)]
pub struct Window<'a> {
    sets: &'a mut [[u64; WAYS]],
    key: Key,
}

impl<'a> Window<'a> {
    /// A window over `slots`, which are all zeros; each remembers one answer. Of a number that is no power of two, or below 8, only
    /// the largest power of two is used, or nothing: without slots, every answer is the first.
    #[must_use]
    pub fn new(slots: &'a mut [u64], key: Key) -> Self {
        let (sets, _) = slots.as_chunks_mut::<WAYS>();
        let count = sets.len().checked_ilog2().map_or(0, |bits| 1 << bits);
        Self { sets: sets.get_mut(..count).unwrap_or_default(), key }
    }

    /// How many answers are remembered at most.
    #[must_use]
    pub const fn capacity(&self) -> usize {
        self.sets.len() * WAYS
    }

    /// Takes note of an answer.
    #[inline]
    pub fn note(&mut self, target: IpAddr, probe: Probe, class: Class) -> Seen {
        // The cookie is a keyed function of the same things. What its upper bits choose is the set; the lowest give way to the rank.
        let bits = self.key.cookie(target, probe).bits();
        let fingerprint = bits & !RANK_MASK;
        let rank = u64::from(class.rank());
        let mask = self.sets.len().wrapping_sub(1);
        let Some(set) = self.sets.get_mut((bits >> 32) as usize & mask) else { return Seen::First };
        let is_this = |entry: &u64| *entry & RANK_MASK != 0 && *entry & !RANK_MASK == fingerprint;
        let (place, seen, highest) = match set.iter().position(is_this) {
            None => (WAYS - 1, Seen::First, rank),
            Some(place) => match set.get(place).map_or(0, |entry| entry & RANK_MASK) {
                before if before < rank => (place, Seen::Better, rank),
                before => (place, Seen::Again, before),
            },
        };
        // The latest comes first; those that were in front of it step back, and the last of a full set drops out.
        if let Some(front) = set.get_mut(..=place) {
            front.rotate_right(1);
        }
        set[0] = fingerprint | highest;
        seen
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEY: Key = Key::new([1, 2]);

    fn target(number: u32) -> IpAddr {
        IpAddr::V4((0x0a00_0000 | number).into())
    }

    /// SCAN-3: whatever comes first, what says more is reported when it comes.
    #[test]
    fn a_better_answer_is_reported_after_any_other() {
        for first in Class::ALL {
            for then in Class::ALL {
                let mut slots = [0; 64];
                let mut window = Window::new(&mut slots, KEY);
                assert_eq!(window.note(target(1), Probe::tcp(80), first), Seen::First);
                let expected = if then.rank() > first.rank() { Seen::Better } else { Seen::Again };
                assert_eq!(window.note(target(1), Probe::tcp(80), then), expected, "{first:?} {then:?}");
                for class in [first, then] {
                    assert_eq!(window.note(target(1), Probe::tcp(80), class), Seen::Again);
                }
            }
        }
    }

    /// SCAN-3: the case that hides open ports elsewhere.
    #[test]
    fn a_reset_and_an_error_do_not_hide_a_syn_ack() {
        let mut slots = [0; 64];
        let mut window = Window::new(&mut slots, KEY);
        let mut note = |class| window.note(target(1), Probe::tcp(80), class);
        let classes =
            [Class::TimeExceeded, Class::Unreachable, Class::Filtered, Class::Closed, Class::Open, Class::Closed];
        let expected = [Seen::First, Seen::Better, Seen::Again, Seen::Better, Seen::Better, Seen::Again];
        assert_eq!(classes.map(&mut note), expected);
    }

    #[test]
    fn answers_differ_by_target_port_and_protocol() {
        let mut slots = [0; 64];
        let mut window = Window::new(&mut slots, KEY);
        let others =
            [(1, Probe::tcp(80)), (2, Probe::tcp(80)), (1, Probe::tcp(81)), (1, Probe::udp(80)), (1, Probe::ECHO)];
        for expected in [Seen::First, Seen::Again] {
            for (host, probe) in others {
                assert_eq!(window.note(target(host), probe, Class::Open), expected, "{host} {probe:?}");
            }
        }
    }

    #[test]
    fn what_was_not_heard_for_longest_goes() {
        let mut slots = [0; WAYS];
        let mut window = Window::new(&mut slots, KEY);
        let mut note = |host| window.note(target(host), Probe::ECHO, Class::Alive);
        (0..8).for_each(|host| assert_eq!(note(host), Seen::First));
        assert_eq!(note(0), Seen::Again, "and it is the latest now");
        assert_eq!(note(8), Seen::First, "in the place of 1");
        assert_eq!(note(0), Seen::Again);
        assert_eq!(note(1), Seen::First);
    }

    #[test]
    fn only_a_power_of_two_is_used() {
        for (slots, capacity) in [(0, 0), (7, 0), (8, 8), (15, 8), (16, 16), (24, 16), (63, 32), (64, 64)] {
            assert_eq!(Window::new(&mut [0; 64][..slots], KEY).capacity(), capacity);
        }
        let mut window = Window::new(&mut [], KEY);
        for _ in 0..2 {
            assert_eq!(window.note(target(1), Probe::ECHO, Class::Alive), Seen::First);
        }
    }
}
