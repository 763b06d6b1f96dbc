//! What is told about a survey.

use wirehaul_core::time::{Duration, Instant};

/// How a survey stands. Counts are since it began.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SurveyState {
    /// When this was so.
    pub at: Instant,
    /// When it began.
    pub began: Instant,
    /// Probes sent, repeated ones among them.
    pub sent: u64,
    /// Packets of all kinds sent: probes, resets, requests.
    pub packets: u64,
    /// Bytes of their frames.
    pub bytes: u64,
    /// Packets a second, of all kinds, since the state before this one.
    pub pps: u64,
    /// The cap on these, in packets a second; `None` where it is none, or counts bits.
    pub cap_pps: Option<u64>,
    /// Valid replies.
    pub received: u64,
    /// Replies that were as one hopes: open ports, hosts that are alive.
    pub hits: u64,
    /// Replies that said nothing new.
    pub duplicates: u64,
    /// Replies from edges of CDNs.
    pub of_edges: u64,
    /// Packets that were no answer.
    pub rejects: u64,
    /// Where packets were dropped.
    pub drops: SurveyDrops,
    /// Steps that are done, and all of them; a step is one probe of one port of one target.
    pub done_steps: u64,
    /// See `done_steps`.
    pub steps: u64,
    /// How long the rest takes if it goes on like this; `None` before that can be said.
    pub left: Option<Duration>,
    /// Whether all probes are sent, so that only replies are awaited.
    pub is_cooling_down: bool,
}

impl SurveyDrops {
    /// Replies that may have been among what was dropped by what is ours: rings and memory.
    #[must_use]
    pub const fn of_replies(&self) -> u64 {
        self.xdp + self.packet + self.ours
    }
}

/// Packets that were dropped, by who dropped them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SurveyDrops {
    /// AF_XDP's rings.
    pub xdp: u64,
    /// Packet sockets, the one that hears ICMP and ARP among them.
    pub packet: u64,
    /// Our own memory.
    pub ours: u64,
    /// The interface, of what came, whatever it was.
    pub interface_rx: u64,
    /// The interface, of what went out.
    pub interface_tx: u64,
    /// Frames that the kernel refused to send.
    pub refused: u64,
}
