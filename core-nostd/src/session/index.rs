//! The names by which two ends address a session in packets: receiver indexes, chosen by the end that receives.
//!
//! A new path gets new ones, so that an onlooker who sees both paths cannot link them by the index (CONTROL MIGRATE).

/// The bits of an index by which its owner finds the session: eleven for the slot, and above these six for the worker. They never
/// change while the session lives; the others are not to be guessed.
pub const INDEX_PLACE_MASK: u32 = 0x1_ffff;

/// The indexes of both ends, and how often each was changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct Indexes {
    /// The first index of this end: its owner's name for the session, for as long as it lives.
    pub(super) first: u32,
    /// What the peer is to put into packets for this end.
    pub(super) local: u32,
    /// What it may still put there, because it has not heard of the change.
    previous: u32,
    /// What this end puts into packets for the peer; zero before the handshake told it.
    pub(super) peer: u32,
    /// Changes of `local`, and of `peer`.
    pub(super) migrations: u32,
    peer_migrations: u32,
}

impl Indexes {
    /// Those of a session that this end calls `local`.
    pub(super) const fn new(local: u32) -> Self {
        Self { first: local, local, previous: local, peer: 0, migrations: 0, peer_migrations: 0 }
    }

    /// Whether packets with this index are for this session.
    pub(super) const fn is_local(&self, index: u32) -> bool {
        index == self.local || index == self.previous
    }

    /// Another index for this end: the place stays ([`INDEX_PLACE_MASK`]), and the top bit that keeps it from zero.
    /// `migration` counts the changes; an old one changes nothing.
    pub(super) fn renew(&mut self, random: [u8; 8], migration: u32) {
        if migration <= self.migrations {
            return;
        }
        let [high, middle, low, ..] = random;
        let drawn = u32::from_be_bytes([high | 0x80, middle, low, 0]) & !INDEX_PLACE_MASK;
        let drawn = drawn | (self.local & INDEX_PLACE_MASK);
        self.previous = self.local;
        // The one value that would not be a change: one bit further is.
        self.local = if drawn == self.local { drawn ^ (INDEX_PLACE_MASK + 1) } else { drawn };
        self.migrations = migration;
    }

    /// The peer asks to be addressed by another index; whether that is news.
    pub(super) const fn adopt(&mut self, peer: u32, migration: u32) -> bool {
        if migration <= self.peer_migrations {
            return false;
        }
        self.peer = peer;
        self.peer_migrations = migration;
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_new_index_keeps_the_place_and_the_old_one_still_works() {
        let mut indexes = Indexes::new(0x8123_4507);
        indexes.renew([0; 8], 1);
        assert_eq!((indexes.local, indexes.first), (0x8001_4507, 0x8123_4507));
        assert!(indexes.is_local(0x8001_4507) && indexes.is_local(0x8123_4507));
        indexes.renew([0xff; 8], 1);
        assert_eq!(indexes.local, 0x8001_4507, "the same change again");
        indexes.renew([0xff; 8], 2);
        assert!(indexes.is_local(0xffff_4507) && indexes.is_local(0x8001_4507) && !indexes.is_local(0x8123_4507));
        indexes.renew([0xff; 8], 3);
        assert_eq!(indexes.local, 0xfffd_4507, "what is drawn again is changed all the same");
    }

    #[test]
    fn a_change_of_the_peer_that_comes_late_or_twice_is_known_as_such() {
        let mut indexes = Indexes::new(0x8000_0001);
        assert!(indexes.adopt(5, 2));
        assert!(!indexes.adopt(6, 2) && !indexes.adopt(7, 1) && !indexes.adopt(8, 0));
        assert_eq!(indexes.peer, 5);
        assert!(indexes.adopt(9, u32::MAX));
    }
}
