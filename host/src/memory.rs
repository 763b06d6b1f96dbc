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

/// The memory of one session. Pages that a session never touches are never backed.
struct SessionMemory {
    sent: Vec<SentPacket>,
    acked_packets: Vec<Range>,
    received_packets: Vec<Range>,
    streams: Vec<[Vec<Range>; 3]>,
}

/// The system does not give the memory for sessions.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the system gives no memory for so many transfers at once: allow fewer")]
pub struct NoMemory;

impl SessionMemory {
    fn new(size: SessionSize) -> Option<Self> {
        let gaps = || zeroed::<Range>(size.gaps);
        Some(Self {
            sent: zeroed(size.packets)?,
            acked_packets: gaps()?,
            received_packets: gaps()?,
            streams: (0..size.streams).map(|_| Some([gaps()?, gaps()?, gaps()?])).collect::<Option<_>>()?,
        })
    }
}

/// Records of zeros, as the system gives memory; writing defaults there would have it back every page.
fn zeroed<T: FromZeros>(count: usize) -> Option<Vec<T>> {
    T::new_vec_zeroed(count).ok()
}

/// The memory of all sessions of one worker.
pub struct WorkerMemory {
    sessions: Vec<SessionMemory>,
}

impl WorkerMemory {
    /// Memory for `count` sessions of this size: address space that the system backs where it is touched.
    ///
    /// # Errors
    /// [`NoMemory`]: the system does not give so much.
    pub fn new(count: usize, size: SessionSize) -> Result<Self, NoMemory> {
        (0..count)
            .map(|_| SessionMemory::new(size))
            .collect::<Option<_>>()
            .map(|sessions| Self { sessions })
            .ok_or(NoMemory)
    }

    /// The memory cut into slots: stream slots go to `streams`, which must outlive what is returned.
    pub fn slots<'a, H: Handshake>(&'a mut self, streams: &'a mut Vec<Vec<StreamSlot<'a>>>) -> Vec<SessionSlot<'a, H>> {
        let mut rest = Vec::with_capacity(self.sessions.len());
        for SessionMemory { sent, acked_packets, received_packets, streams: ranges } in &mut self.sessions {
            let slots = ranges
                .iter_mut()
                .map(|[received, acked, lost]| StreamSlot::Free(StreamStorage { received, acked, lost }));
            streams.push(slots.collect());
            rest.push((sent, acked_packets, received_packets));
        }
        rest.into_iter()
            .zip(streams.iter_mut())
            .map(|((sent, acked_packets, received_packets), streams)| {
                SessionSlot::Free(Storage { sent, acked_packets, received_packets, streams })
            })
            .collect()
    }
}
