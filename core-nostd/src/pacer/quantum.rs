//! How much may leave back to back.

use crate::{
    rate::Rate,
    time::{Duration, Instant},
};

/// The most bytes that leave back to back at high rates: one 64 KB segmentation offload (draft-ietf-ccwg-bbr section
/// 5.6.3).
pub const MAX_QUANTUM_BYTES: u64 = 64 * 1024;

/// The size of a quantum, and how much of it is used while the timer comes in time.
///
/// A quantum is the bound: in no window of time leaves more than what the rate sends in it, and one quantum. A *run* is
/// what leaves together while nothing is late. The difference between the two is what a sender that comes late can make
/// up for; a quantum of one packet leaves none, and suits a timer that is never late.
///
/// The default is the draft's quantum (section 5.6.3: what the rate sends in 1 ms, between two packets and 64 KB), in
/// runs of 250 us.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Quantum {
    /// A quantum is what the rate sends in this time, but never more than [`MAX_QUANTUM_BYTES`] or `min_packets`, whichever
    /// is larger. Any value; from 0 to 10 ms is of use.
    pub time: Duration,
    /// A quantum is no less than this many packets: 1 or more, and 0 is taken as 1.
    pub min_packets: u64,
    /// A run is what the rate sends in this time, between one packet and half a quantum. Any value.
    pub run_time: Duration,
}

impl Quantum {
    /// The draft's quantum, in runs of 250 us.
    pub const DRAFT: Self =
        Self { time: Duration::from_millis(1), min_packets: 2, run_time: Duration::from_micros(250) };

    /// Every packet on its own, with nothing made up for.
    pub const ONE_PACKET: Self = Self { time: Duration::ZERO, min_packets: 1, run_time: Duration::ZERO };

    /// The quantum at this rate for packets of `datagram_bytes`, in bytes; without a rate the largest there is.
    #[must_use]
    pub fn bytes(self, rate: Option<Rate>, datagram_bytes: u64) -> u64 {
        let least = self.min_packets.max(1).saturating_mul(datagram_bytes);
        let most = MAX_QUANTUM_BYTES.max(least);
        rate.map_or(most, |rate| rate.bytes_in(self.time).clamp(least, most))
    }

    /// What leaves together while nothing is late, in bytes: at least one packet, at most a quantum.
    #[must_use]
    pub fn run_bytes(self, rate: Option<Rate>, datagram_bytes: u64) -> u64 {
        let half = self.bytes(rate, datagram_bytes) / 2;
        rate.map_or(half, |rate| rate.bytes_in(self.run_time).min(half)).max(datagram_bytes)
    }
}

impl Default for Quantum {
    fn default() -> Self {
        Self::DRAFT
    }
}

/// What kept a run from leaving earlier.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Held {
    /// Something else than the pacer: there was nothing to send, or no permission.
    Not,
    /// The pacer alone, but its owner was too busy with other things to wait for it.
    Passing,
    /// The pacer alone, from this moment on, and its owner waited for nothing but the time.
    Since(Instant),
}

/// How long the pacer held packets back, and what that cost.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Punctuality {
    /// Time for which the owner waited for a departure, with the lateness that came after it, as far as that was made up
    /// for.
    pub held: Duration,
    /// Lateness after such a time that could not be made up for.
    pub lost: Duration,
}

impl Punctuality {
    /// A run that was held back from `since` on left at `left`, and `lost` of that is not made up for.
    pub(super) fn count(&mut self, since: Instant, left: Instant, lost: Duration) {
        self.held = self.held + left.saturating_since(since).saturating_sub(lost);
        self.lost = self.lost + lost;
    }
}
