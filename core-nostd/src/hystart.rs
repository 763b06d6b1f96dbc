//! HyStart++ (RFC 9406): leaves slow start when the round-trip time rises, before the buffer overflows.

use crate::{congestion::AckSample, time::Duration};

/// Bounds of the rise in round-trip time that ends slow start (RFC 9406 section 4.3).
const MIN_RTT_THRESHOLD: Duration = Duration::from_millis(4);
const MAX_RTT_THRESHOLD: Duration = Duration::from_millis(16);
const MIN_RTT_DIVISOR: u64 = 8;
/// RFC 9406 asks for 8 samples a round; this wire acknowledges four times a round trip, so 3 must do.
const SAMPLES_PER_ROUND: u32 = 3;
/// Growth in conservative slow start is divided by this.
const CSS_GROWTH_DIVISOR: u64 = 4;
/// Rounds of conservative slow start before the rise is believed.
const CSS_ROUNDS: u32 = 5;

/// The state of HyStart++ over one slow start.
#[derive(Clone, Debug, Default, Hash)]
pub struct HyStart {
    round_ends_at: Option<u64>,
    last_round_min: Option<Duration>,
    round_min: Option<Duration>,
    samples: u32,
    conservative: Option<Conservative>,
}

#[derive(Clone, Copy, Debug, Hash)]
struct Conservative {
    baseline: Duration,
    rounds: u32,
}

impl HyStart {
    /// By how much slow start grows the window for `acked_bytes`.
    #[must_use]
    pub fn growth(&self, acked_bytes: u64) -> u64 {
        if self.conservative.is_some() { acked_bytes / CSS_GROWTH_DIVISOR } else { acked_bytes }
    }

    /// Takes an ACK in; returns whether slow start ends here.
    pub fn on_ack(&mut self, sample: &AckSample) -> bool {
        let round_ends_at = *self.round_ends_at.get_or_insert(sample.next_packet_number);
        if let Some(rtt) = sample.rtt_sample {
            self.round_min = Some(self.round_min.map_or(rtt, |min| min.min(rtt)));
            self.samples += 1;
            self.judge();
        }
        sample.largest_acked >= round_ends_at && self.next_round(sample.next_packet_number)
    }

    fn judge(&mut self) {
        let (Some(last), Some(current)) = (self.last_round_min, self.round_min) else { return };
        if self.samples < SAMPLES_PER_ROUND {
            return;
        }
        match self.conservative {
            None => {
                let rise = last.mul_ratio(1, MIN_RTT_DIVISOR).clamp(MIN_RTT_THRESHOLD, MAX_RTT_THRESHOLD);
                if current >= last + rise {
                    self.conservative = Some(Conservative { baseline: current, rounds: 0 });
                }
            }
            // The rise was noise: back to slow start (RFC 9406 section 4.2).
            Some(css) if current < css.baseline => self.conservative = None,
            Some(_) => {}
        }
    }

    fn next_round(&mut self, next_packet_number: u64) -> bool {
        self.round_ends_at = Some(next_packet_number);
        self.last_round_min = self.round_min.take().or(self.last_round_min);
        self.samples = 0;
        let Some(css) = &mut self.conservative else { return false };
        css.rounds += 1;
        css.rounds >= CSS_ROUNDS
    }
}
