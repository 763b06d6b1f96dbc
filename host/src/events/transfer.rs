//! What is told about transfers and their sessions.

use std::net::SocketAddr;
use std::sync::Arc;

use wirehaul_core::session::Stats;
use wirehaul_core::time::{Duration, Instant};

/// Names a transfer within this process; never used twice.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TransferId {
    /// The worker that carries it.
    pub worker: u8,
    /// Its number among that worker's, from 1 in the order in which they came.
    pub number: u64,
}

/// Which way the files go.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Direction {
    /// Away from this host.
    Sending,
    /// To this host.
    Receiving,
}

/// What a transfer is doing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Stage {
    /// Nobody has come yet.
    #[default]
    Waiting,
    /// Looking at the files to send.
    Listing,
    /// The handshake.
    Connecting,
    /// The two ends agree on what is to be sent; the receiver may be comparing what it has.
    Comparing,
    /// Data moves.
    Moving,
    /// All data is there; names are given and the disk is flushed.
    Finishing,
    /// Over.
    Over,
}

/// A transfer begins, or its peer does something other than moving data.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SessionState {
    /// The handshake is through.
    Connected,
    /// The peer moved to another address.
    Moved,
    /// The peer takes nothing new.
    GoingAway,
    /// It is over; in words, why. [`super::Event::Finished`] says what became of the transfer.
    Closed(Arc<str>),
}

/// How a transfer stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TransferState {
    /// Which.
    pub id: TransferId,
    /// When this was so, by the clock of the process.
    pub at: Instant,
    /// When it began.
    pub began: Instant,
    /// Which way the files go.
    pub direction: Direction,
    /// The other end's name, where it has one here.
    pub peer: Option<Arc<str>>,
    /// Its address.
    pub remote: Option<SocketAddr>,
    /// What is being done.
    pub stage: Stage,
    /// Bytes in all; 0 before they are known.
    pub total_bytes: u64,
    /// Bytes that are at the receiver, those that were there before among them.
    pub done_bytes: u64,
    /// The session's figures.
    pub figures: SessionFigures,
}

/// Those of a session's figures that are worth watching. Counts are since it began.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SessionFigures {
    /// Smoothed round-trip time; zero before the first sample.
    pub srtt: Duration,
    /// Lowest round-trip time; zero before the first sample.
    pub min_rtt: Duration,
    /// Congestion window.
    pub cwnd_bytes: u64,
    /// Bytes on their way.
    pub inflight_bytes: u64,
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
    /// Stream bytes sent again, in parts per million of all stream bytes sent.
    pub resent_ppm: u64,
    /// By how much the pacer fell short, in parts per million; `None` where it held nothing back.
    pub pacing_error_ppm: Option<u64>,
    /// The largest datagram that is sent.
    pub datagram_bytes: usize,
    /// Key changes.
    pub epochs: u32,
    /// Times that the peer moved.
    pub migrations: u32,
    /// Datagrams that were refused.
    pub rejects: u64,
}

/// What became of a transfer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TransferEnd {
    /// How it stood at its end.
    pub state: TransferState,
    /// From the handshake's end to the last word.
    pub took: Duration,
    /// Files that are complete at the receiver.
    pub files: u64,
    /// Bytes that came through this transfer.
    pub stored_bytes: u64,
    /// Bytes that were there already.
    pub resumed_bytes: u64,
    /// Whether every file was checked against its hash.
    pub verified: bool,
    /// Why it is not complete, in words; `None` where it is.
    pub failure: Option<Arc<str>>,
    /// As the process would exit with (OPS-4): 0 where it is complete.
    pub exit_code: u8,
}

impl Stage {
    /// The stage in words.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Waiting => "waiting",
            Self::Listing => "listing",
            Self::Connecting => "connecting",
            Self::Comparing => "comparing",
            Self::Moving => "moving",
            Self::Finishing => "finishing",
            Self::Over => "over",
        }
    }
}

impl Direction {
    /// In one word.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Sending => "send",
            Self::Receiving => "recv",
        }
    }
}

impl From<&Stats> for SessionFigures {
    fn from(stats: &Stats) -> Self {
        Self {
            srtt: stats.srtt,
            min_rtt: stats.min_rtt,
            cwnd_bytes: stats.cwnd_bytes,
            inflight_bytes: stats.inflight_bytes,
            sent_packets: stats.sent_packets,
            sent_bytes: stats.sent_bytes,
            received_packets: stats.received_packets,
            received_bytes: stats.received_bytes,
            lost_packets: stats.lost_packets,
            resent_ppm: stats.resent_ppm(),
            pacing_error_ppm: stats.pacing_error_ppm(),
            datagram_bytes: stats.datagram_bytes,
            epochs: stats.epochs,
            migrations: stats.migrations,
            rejects: stats.rejects.total(),
        }
    }
}
