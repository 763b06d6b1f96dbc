//! Figures of one session.

#[cfg(doc)]
use super::Session;
use crate::{time::Duration, wire::RejectCounters};

/// What a session counted and measured; bytes are those of whole datagrams unless said otherwise.
#[derive(Clone, Debug, Default)]
pub struct Stats {
    /// Datagrams sent, those of the handshake included.
    pub sent_packets: u64,
    /// Bytes of these datagrams.
    pub sent_bytes: u64,
    /// Datagrams that authenticated and kept every rule.
    pub received_packets: u64,
    /// Bytes of these datagrams.
    pub received_bytes: u64,
    /// Stream bytes sent for the first time.
    pub stream_bytes_sent: u64,
    /// Stream bytes sent again.
    pub stream_bytes_resent: u64,
    /// Packets declared lost.
    pub lost_packets: u64,
    /// Of those, the ones that turned out to have arrived.
    pub spurious_losses: u64,
    /// Probe time-outs.
    pub probe_timeouts: u64,
    /// Congestion episodes.
    pub congestion_episodes: u64,
    /// Packets that arrived with a congestion mark.
    pub ce_packets: u64,
    /// Time for which the owner waited for the pacer and for nothing else (see [`Session::await_departure`]), with the
    /// lateness that was made up for.
    pub paced: Duration,
    /// Lateness after such a wait that could not be made up for: by so much longer than `paced` did packets wait.
    pub paced_lost: Duration,
    /// Smoothed round-trip time; zero before the first sample.
    pub srtt: Duration,
    /// Lowest round-trip time; zero before the first sample.
    pub min_rtt: Duration,
    /// Congestion window in bytes.
    pub cwnd_bytes: u64,
    /// Bytes of datagrams on their way: neither acknowledged nor given up.
    pub inflight_bytes: u64,
    /// The largest datagram that is sent, as far as the path is known to carry it.
    pub datagram_bytes: usize,
    /// Times that the peer moved to another address.
    pub migrations: u32,
    /// Packets that were sent to find out how large they may be, and of those the ones that were lost.
    pub mtu_probes: u32,
    /// See `mtu_probes`.
    pub mtu_probes_lost: u32,
    /// The newest version of the wire that the peer said it speaks; zero before it said so.
    pub peer_newest_version: u16,
    /// Key changes since the handshake.
    pub epochs: u32,
    /// Refused datagrams by reason.
    pub rejects: RejectCounters,
}

impl Stats {
    /// By how much the mean rate fell short of what the pacer asked for, in parts per million, over the time in which
    /// its owner waited for the pacer and for nothing else; `None` where there was no such time.
    ///
    /// Lateness that is made up for is no error. Nor is a rate that the path, the peer or this host's processor does not
    /// reach: then it is not the pacer that holds packets back.
    #[must_use]
    pub fn pacing_error_ppm(&self) -> Option<u64> {
        let lost = u128::from(self.paced_lost.as_nanos()) * 1_000_000;
        let all = u128::from(self.paced.as_nanos()) + u128::from(self.paced_lost.as_nanos());
        lost.checked_div(all).map(|ppm| u64::try_from(ppm).unwrap_or(u64::MAX))
    }

    /// Share of stream bytes that were sent more than once, in parts per million.
    #[must_use]
    pub fn resent_ppm(&self) -> u64 {
        let total = u128::from(self.stream_bytes_sent) + u128::from(self.stream_bytes_resent);
        u64::try_from((u128::from(self.stream_bytes_resent) * 1_000_000).checked_div(total).unwrap_or(0)).unwrap_or(0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_pacing_error_is_what_was_lost_of_the_time_that_the_pacer_took() {
        let stats = |paced, lost| Stats {
            paced: Duration::from_millis(paced),
            paced_lost: Duration::from_millis(lost),
            ..Stats::default()
        };
        assert_eq!(stats(990, 10).pacing_error_ppm(), Some(10_000));
        assert_eq!(stats(1_000, 0).pacing_error_ppm(), Some(0));
        assert_eq!(stats(0, 0).pacing_error_ppm(), None);
        let ages = Stats { paced: Duration::MAX, paced_lost: Duration::MAX, ..Stats::default() };
        assert_eq!(ages.pacing_error_ppm(), Some(500_000));
    }
}
