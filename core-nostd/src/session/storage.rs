//! The storage that a session works in, given by its caller: whatever grows with bandwidth and delay.

use zerocopy::FromZeros;

use super::streams::Stream;
use crate::{congestion::SendRecord, ranges::Range, time::Instant};

/// Most streams that one session can hold: their window updates share one mask in [`SentPacket`].
pub const MAX_STREAMS: usize = 16;

/// Storage for one session. Lengths decide how much may be outstanding; [`Storage::check`] has the lower bounds.
#[derive(Debug)]
pub struct Storage<'a> {
    /// One record per packet in flight; the length is rounded down to a power of two. At a rate of `r` packets per
    /// second and a round trip of `t` seconds, `2 * r * t` keep the path full.
    pub sent: &'a mut [SentPacket],
    /// Gaps among the packets that the peer acknowledged.
    pub acked_packets: &'a mut [Range],
    /// Gaps among the packets received.
    pub received_packets: &'a mut [Range],
    /// One entry per stream, at most [`MAX_STREAMS`].
    pub streams: &'a mut [StreamSlot<'a>],
}

/// Storage for one stream, and the stream once it is open.
#[derive(Debug, Hash)]
pub enum StreamSlot<'a> {
    /// Not in use.
    Free(StreamStorage<'a>),
    /// In use.
    Open(Stream<'a>),
    /// Between the two, while storage is being moved.
    Moving,
}

impl StreamSlot<'_> {
    /// Whether a stream can work in this slot: one range for what lies at its start, and one for what lies ahead.
    fn is_enough(&self) -> bool {
        match self {
            Self::Free(storage) => [&storage.received, &storage.acked, &storage.lost].iter().all(|set| set.len() >= 2),
            Self::Open(_) | Self::Moving => false,
        }
    }
}

/// Storage for what a stream must remember out of order.
#[derive(Debug, Hash)]
pub struct StreamStorage<'a> {
    /// Gaps among the received bytes.
    pub received: &'a mut [Range],
    /// Gaps among the acknowledged bytes.
    pub acked: &'a mut [Range],
    /// Ranges to send again.
    pub lost: &'a mut [Range],
}

/// What is remembered of one sent packet until its fate is known. All zeros is the default: memory that the system gives zeroed need
/// not be touched to hold records.
#[derive(Clone, Copy, Debug, Default, Hash, FromZeros)]
pub struct SentPacket {
    /// When it left.
    pub(super) sent_at: Instant,
    /// Stream bytes that it carried.
    pub(super) offset: u64,
    pub(super) len: u16,
    /// Its whole datagram.
    pub(super) size: u16,
    /// Index of the stream in the storage; meaningless where `has_data` is false.
    pub(super) stream: u8,
    pub(super) fate: Fate,
    pub(super) has_data: bool,
    pub(super) fin: bool,
    /// Whether it was sent to find out whether packets of its size pass: its loss is no sign of congestion (RFC 8899 section 3).
    pub(super) is_mtu_probe: bool,
    /// Control frames that it carried, to be sent again if it is lost.
    pub(super) controls: super::control::Controls,
    /// Streams whose window it told.
    pub(super) window_streams: u16,
    /// The congestion episode in which it was lost.
    pub(super) episode: u8,
    /// What the congestion controller noted when it left.
    pub(super) record: SendRecord,
}

impl SentPacket {
    /// Whether the peer was to acknowledge it.
    pub(super) fn is_eliciting(&self) -> bool {
        self.has_data || !self.controls.is_empty()
    }
}

/// What became of a packet.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, FromZeros)]
#[repr(u8)]
pub(super) enum Fate {
    /// Acknowledged, or never in need of it.
    #[default]
    Settled,
    /// On its way.
    InFlight,
    /// Given up, its content queued again; remembered to notice that it arrived after all.
    Lost,
    /// Sent by a path that is no longer used, its content queued again: its fate says nothing of the path in use.
    Left,
}

/// The storage is too small to hold a session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TooSmall;

impl Storage<'_> {
    /// Whether a session can work in this storage at all.
    ///
    /// # Errors
    /// [`TooSmall`] below 64 packets, 8 gaps, one stream, or two gaps in a stream, or above [`MAX_STREAMS`].
    pub fn check(&self) -> Result<(), TooSmall> {
        let enough = self.sent.len() >= 64 && self.acked_packets.len() >= 8 && self.received_packets.len() >= 8;
        let streams = (1..=MAX_STREAMS).contains(&self.streams.len()) && self.streams.iter().all(StreamSlot::is_enough);
        if enough && streams { Ok(()) } else { Err(TooSmall) }
    }
}

#[cfg(test)]
mod tests {
    use core::hash::{Hash, Hasher};

    use super::*;

    /// The bytes that a value is made of, as its hash sees them.
    struct Bytes(heapless::Vec<u8, 256>);

    impl Hasher for Bytes {
        fn write(&mut self, bytes: &[u8]) {
            self.0.extend_from_slice(bytes).expect("room for every field");
        }

        fn finish(&self) -> u64 {
            0
        }
    }

    #[test]
    fn a_record_of_zeros_is_one_of_a_packet_that_never_was() {
        let bytes = |packet: SentPacket| {
            let mut hasher = Bytes(heapless::Vec::new());
            packet.hash(&mut hasher);
            hasher.0
        };
        assert_eq!(bytes(SentPacket::new_zeroed()), bytes(SentPacket::default()));
        assert_eq!(Range::new_zeroed(), Range::default());
    }
}
