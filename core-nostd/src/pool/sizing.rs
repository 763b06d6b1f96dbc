//! How many slots a pool needs (POOL-6).

/// Slots per worker and session: what one session has under way at a time, on average over busy and idle ones.
pub const SLOTS_PER_SESSION: u32 = 10;
/// Bytes of a slot: a packet of an ordinary link with room for headers, in a power of two.
pub const SLOT_BYTES: u32 = 2048;

/// What a pool is sized by. Start from [`Sizing::new`] and change what is to be different.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sizing {
    /// Workers that share the pool; 0 counts as 1.
    pub workers: u32,
    /// Sessions at once on each; 0 counts as 1.
    pub sessions: u32,
    /// Slots for each of them.
    pub slots_per_session: u32,
    /// Bytes of a slot.
    pub slot_bytes: u32,
}

impl Sizing {
    /// For so many workers with so many sessions each: [`SLOTS_PER_SESSION`] slots of [`SLOT_BYTES`] per session.
    #[must_use]
    pub const fn new(workers: u32, sessions: u32) -> Self {
        Self { workers, sessions, slots_per_session: SLOTS_PER_SESSION, slot_bytes: SLOT_BYTES }
    }

    /// Slots of the pool: workers times sessions times slots per session, at least 1 and below 2^32 - 1.
    #[must_use]
    pub const fn slots(&self) -> u32 {
        let sessions = at_least_one(self.workers).saturating_mul(at_least_one(self.sessions));
        match sessions.saturating_mul(at_least_one(self.slots_per_session)) {
            u32::MAX => u32::MAX - 1,
            slots => slots,
        }
    }

    /// Bytes of its memory.
    #[must_use]
    pub const fn bytes(&self) -> u64 {
        self.slots() as u64 * self.slot_bytes as u64
    }
}

const fn at_least_one(count: u32) -> u32 {
    if count == 0 { 1 } else { count }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pool_has_ten_slots_per_worker_and_session_unless_said_otherwise() {
        let sizing = Sizing::new(4, 100);
        assert_eq!((sizing.slots(), sizing.bytes()), (4000, 4000 * 2048));
        let jumbo = Sizing { slot_bytes: 9216, slots_per_session: 3, ..sizing };
        assert_eq!((jumbo.slots(), jumbo.bytes()), (1200, 1200 * 9216));
        assert_eq!(Sizing::new(0, 0).slots(), 10);
        assert_eq!(Sizing { slots_per_session: 0, ..sizing }.slots(), 400);
        assert_eq!(Sizing::new(u32::MAX, u32::MAX).slots(), u32::MAX - 1);
    }
}
