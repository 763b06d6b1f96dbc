//! What a session's owner decides before it starts.

use crate::{congestion::ControllerKind, crypto::SuiteSet, limits, pacer::Quantum, rate::Rate, time::Duration};

/// Settings of a session.
#[derive(Clone, Debug, Hash)]
pub struct Config {
    /// Largest datagram that a path is taken to carry before more is known of it, in bytes of UDP payload: 1200 to 9000; what
    /// is outside is taken as the nearer of the two. The peer's own bound applies too.
    pub datagram_bytes: usize,
    /// Largest datagram that is ever sent: where it is above `datagram_bytes`, a session with data to send finds out how much
    /// the path carries (RFC 8899). The same bounds.
    pub max_datagram_bytes: usize,
    /// The AEADs that this end runs fast.
    pub suites: SuiteSet,
    /// What the application above is; both ends must say the same.
    pub application: u8,
    /// The session ends after this long without a packet from the peer: 100 ms to an hour, else no handshake is
    /// possible. The shorter of both ends' counts.
    pub idle_timeout: Duration,
    /// The handshake is given up after this long.
    pub handshake_timeout: Duration,
    /// An idle session sends a sign of life this often; it must be well below the idle time-out.
    pub keepalive: Duration,
    /// This end acknowledges no later than this after a packet that needs it: a second at most, else no
    /// handshake is possible.
    pub max_ack_delay: Duration,
    /// Flow-control window of the connection and of each stream at the start, in bytes: 1 to 2^48.
    pub initial_window_bytes: u64,
    /// How far a window may grow, in bytes: the bound on the memory that a sender can make this end hold.
    pub max_window_bytes: u64,
    /// The congestion controller.
    pub controller: ControllerKind,
    /// Pace (BBR-3). Without pacing the congestion window alone holds packets back.
    pub pacing: bool,
    /// How much may leave back to back, and how much of that does while nothing is late (BBR-4).
    pub quantum: Quantum,
    /// How long before its departure a run may be handed to the device: zero, unless the device holds each run until
    /// [`crate::device::Transmit::depart_at`]; then a few milliseconds at most, as what was handed out is not taken back. Half of it
    /// is how late the owner's timers may be.
    pub transmit_horizon: Duration,
    /// Never send faster than this, headers included.
    pub rate_cap: Option<Rate>,
    /// New keys after this many packets in one direction (SEC-3).
    pub rekey_packets: u64,
    /// New keys after this long (SEC-3).
    pub rekey_interval: Duration,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            datagram_bytes: limits::DEFAULT_DATAGRAM_BYTES_V4,
            max_datagram_bytes: limits::DEFAULT_DATAGRAM_BYTES_V4,
            suites: SuiteSet::EMPTY,
            application: 1,
            idle_timeout: Duration::from_secs(15),
            handshake_timeout: Duration::from_secs(5),
            keepalive: Duration::from_secs(4),
            max_ack_delay: Duration::from_millis(5),
            initial_window_bytes: 2 << 20,
            max_window_bytes: 64 << 20,
            controller: ControllerKind::Bbr,
            pacing: true,
            quantum: Quantum::DRAFT,
            transmit_horizon: Duration::ZERO,
            rate_cap: None,
            rekey_packets: 1 << 20,
            rekey_interval: Duration::from_secs(120),
        }
    }
}
