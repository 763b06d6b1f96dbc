//! Stream ids.

use crate::limits::FIRST_STREAM_ID;

/// The id of a stream: 16 or above, since 0-15 are reserved (FRAME-3).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct StreamId(u16);

impl StreamId {
    /// The lowest id.
    pub const FIRST: Self = Self(FIRST_STREAM_ID);
    /// The highest id.
    pub const LAST: Self = Self(u16::MAX);

    /// The stream with this id; `None` where the id is reserved.
    #[inline]
    #[must_use]
    pub const fn new(id: u16) -> Option<Self> {
        if id >= FIRST_STREAM_ID { Some(Self(id)) } else { None }
    }

    /// The id as a number.
    #[inline]
    #[must_use]
    pub const fn get(self) -> u16 {
        self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sixteen_ids_are_reserved() {
        assert_eq!((0..16).find_map(StreamId::new), None);
        assert_eq!(StreamId::new(16), Some(StreamId::FIRST));
        assert_eq!(StreamId::new(u16::MAX).map(StreamId::get), Some(u16::MAX));
    }
}
