//! A digest over all that a session remembers: for tests and the simulator, which hold that a refused datagram changes
//! nothing (FRAME-5). Nothing that ships asks for it, and then it costs nothing.
//!
//! Every struct is taken apart without `..`, or derives [`Hash`], so that a new field cannot be forgotten.

use core::hash::{Hash, Hasher};

use super::{Session, Stats};
use crate::crypto::Handshake;

impl<H: Handshake> Session<'_, H> {
    /// A digest of the session's state; equal states give equal digests, on one machine and in one build.
    ///
    /// Left out are the counters of refused datagrams and of the peer's faults, which a refusal is meant to change, and what the session knows only
    /// by a trait: the key agreement and the keys themselves. Which keys there are, and for which epochs, is in it. So is
    /// storage that is not in use at the moment.
    #[must_use]
    pub fn digest(&self) -> u64 {
        let Self {
            config,
            initiator,
            paths,
            indexes,
            handshake: _,
            phase,
            epochs,
            connecting,
            peer,
            streams,
            connection_window,
            data_sent,
            data_received,
            replay,
            acks,
            recovery,
            congestion,
            pacer,
            mtu,
            controls,
            window_streams,
            acked_streams,
            opened_streams,
            reset_streams,
            leaving,
            peer_going_away,
            ping,
            pong_token,
            conduct: _,
            heard_at,
            spoke_at,
            hold,
            unasked_bytes,
            stats,
            events,
        } = self;
        let mut digest = Digest::default();
        (config, initiator, paths, indexes, phase, epochs, connecting, peer).hash(&mut digest);
        (streams, connection_window, data_sent, data_received, replay, acks, recovery).hash(&mut digest);
        (congestion, pacer, mtu, controls, window_streams, acked_streams, opened_streams, reset_streams)
            .hash(&mut digest);
        (leaving, peer_going_away, ping, pong_token, heard_at, spoke_at, hold, unasked_bytes).hash(&mut digest);
        hash_stats(stats, &mut digest);
        digest.write_usize(events.len());
        events.iter().for_each(|event| event.hash(&mut digest));
        digest.finish()
    }
}

/// All figures but the counters of refused datagrams.
fn hash_stats(stats: &Stats, digest: &mut Digest) {
    let Stats {
        sent_packets,
        sent_bytes,
        received_packets,
        received_bytes,
        stream_bytes_sent,
        stream_bytes_resent,
        lost_packets,
        spurious_losses,
        probe_timeouts,
        congestion_episodes,
        ce_packets,
        paced,
        paced_lost,
        srtt,
        min_rtt,
        cwnd_bytes,
        inflight_bytes,
        datagram_bytes,
        migrations,
        mtu_probes,
        mtu_probes_lost,
        peer_newest_version,
        epochs,
        rejects: _,
    } = stats;
    (sent_packets, sent_bytes, received_packets, received_bytes, stream_bytes_sent, stream_bytes_resent).hash(digest);
    (lost_packets, spurious_losses, probe_timeouts, congestion_episodes, ce_packets, paced, paced_lost).hash(digest);
    (srtt, min_rtt, cwnd_bytes, inflight_bytes, epochs).hash(digest);
    (datagram_bytes, migrations, mtu_probes, mtu_probes_lost, peer_newest_version).hash(digest);
}

/// A hasher for digests: sensitive to every bit and to the order, fast, and of no use against an attacker.
#[derive(Debug, Default)]
struct Digest(u64);

impl Digest {
    fn word(&mut self, word: u64) {
        // Odd, so that each step can be undone and no two states meet that differ in this word alone.
        self.0 = (self.0.rotate_left(23) ^ word).wrapping_mul(0x9fb2_1c65_1e98_df25);
    }
}

impl Hasher for Digest {
    fn write(&mut self, bytes: &[u8]) {
        let (words, rest) = bytes.as_chunks::<8>();
        words.iter().for_each(|word| self.word(u64::from_le_bytes(*word)));
        if !rest.is_empty() {
            let mut last = [0; 8];
            last.iter_mut().zip(rest).for_each(|(to, from)| *to = *from);
            self.word(u64::from_le_bytes(last));
        }
    }

    fn write_u8(&mut self, number: u8) {
        self.word(u64::from(number));
    }

    fn write_u16(&mut self, number: u16) {
        self.word(u64::from(number));
    }

    fn write_u32(&mut self, number: u32) {
        self.word(u64::from(number));
    }

    fn write_u64(&mut self, number: u64) {
        self.word(number);
    }

    fn write_usize(&mut self, number: usize) {
        self.word(number as u64);
    }

    fn finish(&self) -> u64 {
        self.0 ^ (self.0 >> 32)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn digest(value: impl Hash) -> u64 {
        let mut digest = Digest::default();
        value.hash(&mut digest);
        digest.finish()
    }

    #[test]
    fn every_bit_and_the_order_count() {
        let base = [1_u64, 2, 3];
        for word in 0..3 {
            for bit in 0..64 {
                let mut other = base;
                other[word] ^= 1 << bit;
                assert_ne!(digest(base), digest(other));
            }
        }
        assert_ne!(digest((1_u8, 2_u16)), digest((2_u8, 1_u16)));
        assert_ne!(digest([1_u8, 2, 3]), digest([1_u8, 2, 4]));
        assert_ne!(digest(None::<u8>), digest(Some(0_u8)));
    }

    #[test]
    fn of_the_figures_only_refusals_are_left_out() {
        let of = |stats: &Stats| {
            let mut digest = Digest::default();
            hash_stats(stats, &mut digest);
            digest.finish()
        };
        let mut refused = Stats::default();
        refused.rejects.count(crate::wire::Reject::Forged);
        assert_eq!(of(&refused), of(&Stats::default()));
        assert_ne!(of(&Stats { epochs: 1, ..Stats::default() }), of(&Stats::default()));
        assert_ne!(of(&Stats { ce_packets: 1, ..Stats::default() }), of(&Stats::default()));
    }
}
