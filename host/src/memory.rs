//! The storage that the core's sessions work in, allocated once when a worker starts.

use wirehaul_core::crypto::Handshake;
use wirehaul_core::ranges::Range;
use wirehaul_core::session::{SentPacket, Storage, StreamSlot, StreamStorage};
use wirehaul_core::worker::SessionSlot;
use zerocopy::FromZeros;

/// How much a session may have outstanding.
#[derive(Clone, Copy, Debug)]
pub struct SessionSize {
    /// Packets in flight; a power of two.
    pub packets: usize,
    /// Gaps remembered among packets and among each stream's bytes.
    pub gaps: usize,
    /// Streams.
    pub streams: usize,
}

impl SessionSize {
    /// For the end that sends the data: 64 MiB in flight, and a loss rate of a few percent at that.
    pub const SENDER: Self = Self { packets: 65_536, gaps: 4096, streams: 4 };
    /// For the end that mostly acknowledges.
    pub const RECEIVER: Self = Self { packets: 2048, gaps: 4096, streams: 4 };
}

/// The system does not give the memory for sessions.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the system gives no memory for so many transfers at once: allow fewer")]
pub struct NoMemory;

/// The memory of all sessions of one worker: each kind of record in one piece, which is so large that it comes from the system zeroed and
/// untouched. Pages that a session never touches are never backed.
pub struct WorkerMemory {
    count: usize,
    size: SessionSize,
    sent: Vec<SentPacket>,
    gaps: Vec<Range>,
}

/// Sets of gaps of a session beside those of its streams: packets acknowledged, and packets received.
const OWN_SETS: usize = 2;
/// And of each of its streams: bytes received, acknowledged, lost.
const SETS_OF_STREAM: usize = 3;

impl WorkerMemory {
    /// Memory for `count` sessions of this size: address space that the system backs where it is touched.
    ///
    /// # Errors
    /// [`NoMemory`]: the system does not give so much.
    pub fn new(count: usize, size: SessionSize) -> Result<Self, NoMemory> {
        let sets = count * (OWN_SETS + SETS_OF_STREAM * size.streams);
        Ok(Self { count, size, sent: zeroed(count * size.packets)?, gaps: zeroed(sets * size.gaps)? })
    }

    /// The memory cut into slots: stream slots go to `streams`, which must outlive what is returned.
    pub fn slots<'a, H: Handshake>(&'a mut self, streams: &'a mut Vec<Vec<StreamSlot<'a>>>) -> Vec<SessionSlot<'a, H>> {
        let mut sets = self.gaps.chunks_exact_mut(self.size.gaps.max(1));
        let mut set = || sets.next().unwrap_or_default();
        let mut own = Vec::with_capacity(self.count);
        for sent in self.sent.chunks_exact_mut(self.size.packets.max(1)) {
            own.push((sent, set(), set()));
            let stream = |_| StreamSlot::Free(StreamStorage { received: set(), acked: set(), lost: set() });
            streams.push((0..self.size.streams).map(stream).collect());
        }
        own.into_iter()
            .zip(streams.iter_mut())
            .map(|((sent, acked_packets, received_packets), streams)| {
                SessionSlot::Free(Storage { sent, acked_packets, received_packets, streams })
            })
            .collect()
    }
}

/// Records of zeros, as the system gives memory; writing defaults there would have it back every page.
fn zeroed<T: FromZeros>(count: usize) -> Result<Vec<T>, NoMemory> {
    T::new_vec_zeroed(count).map_err(|_| NoMemory)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::crypto::NoiseHandshake;

    #[test]
    fn every_session_has_all_that_it_needs_of_its_own() {
        let size = SessionSize { packets: 64, gaps: 8, streams: 4 };
        let mut memory = WorkerMemory::new(3, size).unwrap();
        let mut streams = Vec::new();
        let slots = memory.slots::<NoiseHandshake>(&mut streams);
        assert_eq!(slots.len(), 3);
        for slot in &slots {
            let SessionSlot::Free(storage) = slot else { panic!("not free") };
            assert_eq!(storage.check(), Ok(()));
            assert_eq!((storage.sent.len(), storage.acked_packets.len(), storage.streams.len()), (64, 8, 4));
        }
    }

    #[test]
    fn more_than_there_is_is_an_error() {
        assert!(WorkerMemory::new(usize::MAX >> 24, SessionSize::SENDER).is_err());
    }
}
