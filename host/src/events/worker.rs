//! What is told about the workers: sums since they began, so that whoever misses one event knows all from the next.

use wirehaul_core::pool::PoolStats;
use wirehaul_core::time::Instant;
use wirehaul_core::wire::RejectCounters;
use wirehaul_core::xsk::Whereabouts;

/// How a worker stands. All counts are since it began and never fall.
#[derive(Clone, Debug, Default)]
pub struct WorkerState {
    /// Its number.
    pub number: u8,
    /// When this was so.
    pub at: Instant,
    /// Sessions that are open, those in their handshake among them.
    pub sessions: u32,
    /// Transfers under way.
    pub transfers: u32,
    /// What was moved and refused.
    pub totals: Totals,
    /// Where its packets lie.
    pub packets: PoolStats,
    /// Where blocks of files lie: of all workers of the process together.
    pub blocks: PoolStats,
    /// What the kernel counts.
    pub kernel: KernelCounters,
}

/// What a worker has done, the sessions that are over among it.
#[derive(Clone, Debug, Default)]
pub struct Totals {
    /// Transfers that were begun.
    pub transfers_begun: u64,
    /// Of those, the ones that came to their end complete.
    pub transfers_done: u64,
    /// And those that did not.
    pub transfers_failed: u64,
    /// Datagrams sent.
    pub sent_packets: u64,
    /// Bytes of these.
    pub sent_bytes: u64,
    /// Datagrams received that kept every rule.
    pub received_packets: u64,
    /// Bytes of these.
    pub received_bytes: u64,
    /// Packets declared lost.
    pub lost_packets: u64,
    /// Stream bytes sent for the first time.
    pub stream_bytes_sent: u64,
    /// Stream bytes sent again.
    pub stream_bytes_resent: u64,
    /// Bytes that were written to files, or read from them, and verified.
    pub file_bytes: u64,
    /// Files that came to be complete.
    pub files: u64,
    /// Refused datagrams by reason.
    pub rejects: RejectCounters,
}

/// What the kernel counts of a worker's packets, and what it has of its memory. Zero where a transport has no such thing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct KernelCounters {
    /// Sockets: datagrams that found no room in the receive buffer.
    pub socket_overflows: u64,
    /// AF_XDP: packets dropped because the receive ring was full.
    pub xdp_rx_ring_full: u64,
    /// AF_XDP: packets dropped because the fill ring was empty.
    pub xdp_rx_fill_ring_empty: u64,
    /// AF_XDP: packets dropped for another reason.
    pub xdp_rx_dropped: u64,
    /// AF_XDP: descriptors and addresses that were none.
    pub xdp_invalid: u64,
    /// AF_XDP: times that the transmit ring was found empty.
    pub xdp_tx_ring_empty: u64,
    /// AF_XDP: calls that woke the kernel to send.
    pub xdp_kicks: u64,
    /// AF_XDP: where the frames were when the kernel was asked last. No count: it rises and falls.
    pub xdp_frames: Option<Whereabouts>,
}
