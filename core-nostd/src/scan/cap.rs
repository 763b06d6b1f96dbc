//! The cap on what a survey sends, kept by the pacer that transfers have, too (SCAN-4).
//!
//! The pacer promises that in every window of time no more leaves than what its rate sends in it, and one quantum. A cap is a
//! promise about seconds: so the rate is the cap less a quantum a second, and in no second leaves more than the cap.

use crate::pacer::{Held, Pacer, Quantum};
use crate::rate::Rate;
use crate::time::{Duration, Instant};

/// What a packet counts as where the cap is in packets: 125 bytes are 1000 bits, so a rate in bits is one in packets exactly.
const PACKET_BYTES: u64 = 125;
const PACKET_BITS: u64 = 8 * PACKET_BYTES;
/// Below this many packets a second, milliseconds apart, each leaves on its own time: nothing has to be made up for, and a quantum to
/// leave room for would be a large part of the cap.
const SINGLE_BELOW_PPS: u64 = 200;
/// A quantum is what is sent in this time.
const QUANTUM: Duration = Duration::from_millis(1);
/// While nothing is late, so much leaves together: at 10,000 packets a second two of them.
const RUN: Duration = Duration::from_micros(250);
/// A quantum is no less than this many packets, so that there is something to make up for lateness with.
const MIN_QUANTUM_PACKETS: u64 = 2;
/// The largest frame that a survey sends, to reckon the quantum of a cap in bits with: a probe is a few hundred bytes at most.
pub const MAX_FRAME_BYTES: u64 = 512;

/// The most that may leave in any second.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cap {
    /// Packets a second, of any size; at least 1.
    Packets(u64),
    /// Bits a second, of whole frames as they are handed to the link.
    Bits(Rate),
    /// As fast as it goes.
    Unlimited,
}

impl Cap {
    /// The part of this cap that belongs to one of several who share it: `weight` of `total`. Rounded down, so that all parts together
    /// are no more than the whole; but nobody gets less than one packet a second, or a cap of few packets among many would be none.
    #[must_use]
    pub fn share(self, weight: u32, total: u32) -> Self {
        let part = |whole: u64| {
            let part = u128::from(whole) * u128::from(weight) / u128::from(total.max(1));
            // No more than the whole where the weight is no more than the total.
            u64::try_from(part).unwrap_or(u64::MAX)
        };
        match self {
            Self::Packets(pps) => Self::Packets(part(pps).max(1)),
            Self::Bits(rate) => Self::Bits(Rate::from_bits_per_sec(part(rate.as_bits_per_sec()).max(1))),
            Self::Unlimited => Self::Unlimited,
        }
    }

    fn quantum(self) -> Quantum {
        match self {
            Self::Packets(pps) if pps < SINGLE_BELOW_PPS => Quantum::ONE_PACKET,
            _ => Quantum { time: QUANTUM, min_packets: MIN_QUANTUM_PACKETS, run_time: RUN },
        }
    }

    /// The rate at which the cap holds in every second.
    fn rate(self) -> Option<Rate> {
        let (whole, packet_bytes) = match self {
            Self::Packets(pps) => (Rate::from_bits_per_sec(pps.saturating_mul(PACKET_BITS)), PACKET_BYTES),
            Self::Bits(rate) => (rate, MAX_FRAME_BYTES),
            Self::Unlimited => return None,
        };
        let quantum = self.quantum();
        if quantum == Quantum::ONE_PACKET {
            return Some(whole);
        }
        let quantum_bits = quantum.bytes(Some(whole), packet_bytes).saturating_mul(8);
        let less = whole.as_bits_per_sec().saturating_sub(quantum_bits);
        // A cap in bits that is below two packets a second: they leave one by one, at half of it.
        Some(Rate::from_bits_per_sec(less.max(whole.as_bits_per_sec() / 2)))
    }
}

/// Says when the next packets of a survey may leave, and how many.
#[derive(Clone, Debug)]
pub struct CapPacer {
    pacer: Pacer,
    cap: Cap,
    /// What is left of the allowance that was asked for last, in the pacer's bytes.
    left: u64,
    /// What of it was used.
    used: u64,
    /// Since when packets wait for their time.
    waits_since: Option<Instant>,
}

impl CapPacer {
    /// A pacer that keeps this cap.
    #[must_use]
    pub fn new(cap: Cap) -> Self {
        let mut pacer = Pacer::new(cap.quantum());
        pacer.set_rate(cap.rate());
        Self { pacer, cap, left: 0, used: 0, waits_since: None }
    }

    /// The cap that it keeps.
    #[must_use]
    pub const fn cap(&self) -> Cap {
        self.cap
    }

    /// When the next packet may leave: `now` where it may at once.
    pub fn departure(&mut self, now: Instant) -> Instant {
        self.pacer.departure(now, self.packet_bytes())
    }

    /// Opens a run of packets; `false` where none may leave yet. It ends with [`CapPacer::close`], by the same `now`.
    pub fn open(&mut self, now: Instant) -> bool {
        if self.departure(now) > now {
            self.waits_since.get_or_insert(now);
            return false;
        }
        self.left = self.pacer.allowance(now, self.packet_bytes());
        self.used = 0;
        true
    }

    /// Whether another packet fits into the run.
    #[must_use]
    pub const fn has_room(&self) -> bool {
        self.left >= self.packet_bytes()
    }

    /// Says that a frame of this length left in the run.
    pub fn sent(&mut self, frame_bytes: usize) {
        let bytes = match self.cap {
            Cap::Bits(_) => frame_bytes as u64,
            Cap::Packets(_) | Cap::Unlimited => PACKET_BYTES,
        };
        self.left = self.left.saturating_sub(bytes);
        self.used = self.used.saturating_add(bytes);
    }

    /// Ends the run. `is_out_of_work` where packets were left out for want of anything to send, and not for want of time.
    pub fn close(&mut self, now: Instant, is_out_of_work: bool) {
        let waited = self.waits_since.take();
        if self.used > 0 {
            let held = match waited {
                Some(since) => Held::Since(since),
                None if is_out_of_work => Held::Not,
                None => Held::Passing,
            };
            self.pacer.on_sent(now, self.used, self.packet_bytes(), held);
        }
        (self.left, self.used) = (0, 0);
    }

    const fn packet_bytes(&self) -> u64 {
        match self.cap {
            Cap::Bits(_) => MAX_FRAME_BYTES,
            Cap::Packets(_) | Cap::Unlimited => PACKET_BYTES,
        }
    }
}
