//! The constants of draft-ietf-ccwg-bbr, by the names of its section 2; gains are exact fractions.

use crate::time::Duration;

/// A gain as numerator and denominator.
pub(super) type Gain = (u64, u64);

/// The path's rate, or its volume, as estimated.
pub(super) const UNITY: Gain = (1, 1);

/// StartupPacingGain: 4 ln 2, the least that doubles the rate each round (section 2.5).
pub(super) const STARTUP_PACING_GAIN: Gain = (277, 100);
/// DrainPacingGain (section 2.5).
pub(super) const DRAIN_PACING_GAIN: Gain = (1, 2);
/// Of ProbeBW_DOWN (section 5.3.3.1).
pub(super) const DOWN_PACING_GAIN: Gain = (9, 10);
/// Of ProbeBW_UP (section 5.3.3.5).
pub(super) const UP_PACING_GAIN: Gain = (5, 4);
/// PacingMarginPercent: packets are paced at 1 % below what the path takes (section 5.6.2).
pub(super) const PACING_MARGIN: Gain = (99, 100);

/// DefaultCwndGain (section 2.6).
pub(super) const DEFAULT_CWND_GAIN: Gain = (2, 1);
/// Of ProbeBW_UP (section 5.3.3.5).
pub(super) const UP_CWND_GAIN: Gain = (9, 4);
/// ProbeRTTCwndGain (section 2.16.2).
pub(super) const PROBE_RTT_CWND_GAIN: Gain = (1, 2);

/// LossThresh: the loss rate that a probe may cause (section 2.8).
pub(super) const LOSS_THRESH: Gain = (2, 100);
/// The square of how many standard deviations beyond LossThresh losses must be.
pub(super) const LOSS_CERTAINTY: u128 = 4;
/// A round whose every round-trip time is longer than the least one by more than this share had a queue.
pub(super) const QUEUE_SIGN: Gain = (1, 8);
/// The least of `max_bw` that a queue without losses leaves of the rate.
pub(super) const QUEUED_BW: Gain = (9, 10);
/// Beta: the least that is kept of a bound after a round with losses (section 2.8).
pub(super) const BETA: Gain = (7, 10);
/// Headroom: the share of `inflight_longterm` that is left to others (section 2.8).
pub(super) const HEADROOM: Gain = (15, 100);
/// MinPipeCwnd in packets (section 2.8).
pub(super) const MIN_PIPE_CWND_PACKETS: u64 = 4;

/// Initial window in packets (RFC 6928, RFC 9002 section 7.2).
pub(super) const INITIAL_CWND_PACKETS: u64 = 10;
/// Growth of the delivery rate that keeps a search going: 25 % in a round (section 5.3.1.2).
pub(super) const FULL_BW_GROWTH: Gain = (5, 4);
/// Rounds without that growth that end it (section 5.3.1.2).
pub(super) const FULL_BW_ROUNDS: u8 = 3;
/// StartupFullLossCnt: stretches of lost packets in a round that end Startup (section 5.3.1.3).
pub(super) const STARTUP_FULL_LOSS_COUNT: u32 = 6;
/// Drain lasts at most this many rounds (section 5.3.2).
pub(super) const DRAIN_ROUNDS: u64 = 3;

/// From this share of the user's cap on, the cap and not the path is taken to limit the rate.
pub(super) const CAPPED_SHARE: Gain = (95, 100);

/// ExtraAckedFilterLen in rounds (section 2.12); in Startup it is one round.
pub(super) const EXTRA_ACKED_ROUNDS: u64 = 10;
/// MinRTTFilterLen (section 2.16.1).
pub(super) const MIN_RTT_FILTER: Duration = Duration::from_secs(10);
/// ProbeRTTInterval (section 2.16.2).
pub(super) const PROBE_RTT_INTERVAL: Duration = Duration::from_secs(5);
/// On paths longer than ProbeRTTDuration a round-trip time this little above the least of the interval renews it: at 600 ms
/// ProbeRTT costs a tenth of the rate, so it is left out there while the queue is seen to be empty.
pub(super) const RENEWAL: Gain = (1, 256);
/// ProbeRTTDuration (section 2.16.2).
pub(super) const PROBE_RTT_DURATION: Duration = Duration::from_millis(200);
/// ProbeRTT withholds no more than this much of the path's rate: half a BDP on paths up to ProbeRTTDuration.
pub(super) const PROBE_RTT_WITHHELD: Duration = Duration::from_millis(100);

/// A path is short where a round trip, and the departure of a whole quantum, take less than this: no timer of a host tells
/// the packets of one window apart there, so the window does what pacing does elsewhere.
pub(super) const SHORT_PATH: Duration = Duration::from_micros(250);
/// Of ProbeBW on such a path: what the window allows in a round trip.
pub(super) const SHORT_PATH_PACING_GAIN: Gain = DEFAULT_CWND_GAIN;

/// The shortest wait between probes for bandwidth; up to a second more is drawn (section 5.3.3.8).
pub(super) const PROBE_WAIT: Duration = Duration::from_secs(2);
/// What is drawn beyond it, in nanoseconds.
pub(super) const PROBE_WAIT_SPREAD_NANOS: u64 = 1_000_000_000;
/// Rounds after which a flow of any size probes, for the sake of flows of Reno and CUBIC (section 5.3.3.8).
pub(super) const RENO_ROUNDS: u64 = 63;
/// Doublings of the growth of `inflight_longterm` (section 5.3.3.9).
pub(super) const MAX_UP_ROUNDS: u32 = 30;

/// `bytes * gain`, rounded down, saturating.
pub(super) const fn scale(bytes: u64, gain: Gain) -> u64 {
    let wide = bytes as u128 * gain.0 as u128 / gain.1 as u128;
    if wide > u64::MAX as u128 { u64::MAX } else { wide as u64 }
}
