//! How a session ends.

use heapless::String;

/// Longest reason that a CLOSE frame carries.
pub const MAX_REASON_BYTES: usize = 64;

/// Codes of CLOSE frames. Those from 256 on belong to the application.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct CloseCode(pub u16);

impl CloseCode {
    /// Done; nothing is wrong.
    pub const DONE: Self = Self(0);
    /// The peer broke a rule of the wire that only a session can see.
    pub const PROTOCOL: Self = Self(1);
    /// This end failed.
    pub const INTERNAL: Self = Self(2);
    /// The operator stopped this end.
    pub const INTERRUPTED: Self = Self(3);
    /// The peer's static key is not one that this end accepts.
    pub const UNKNOWN_PEER: Self = Self(4);
    /// First code of the application.
    pub const APPLICATION: u16 = 256;
}

/// Why a session is over.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum CloseReason {
    /// This end closed it.
    Local(CloseCode),
    /// The peer closed it.
    Peer(CloseCode),
    /// Nothing that authenticates was heard for the idle time-out.
    IdleTimeout,
    /// The handshake got no answer in time.
    HandshakeTimeout,
    /// The peer speaks other versions of the wire; the highest that it named.
    Version(u16),
    /// The handshake was refused: another pre-shared key, or a static key that is not accepted.
    Refused(crate::crypto::HandshakeError),
    /// The two ends share no AEAD.
    NoCommonSuite,
    /// The peer has no room for another session.
    Busy,
    /// The network cannot reach the peer.
    Unreachable,
    /// The peer broke rules in too many packets in a row ([`super::MAX_FAULTS`]); this one last.
    Misbehaved(crate::wire::Reject),
}

/// A CLOSE frame to send.
#[derive(Clone, Debug, Hash)]
pub(super) struct ClosePending {
    pub(super) code: CloseCode,
    pub(super) reason: String<MAX_REASON_BYTES>,
}

impl ClosePending {
    /// Cuts `reason` at a character's edge so that it fits.
    pub(super) fn new(code: CloseCode, reason: &str) -> Self {
        let mut text = String::new();
        for character in reason.chars().filter(|character| !character.is_control()) {
            if text.push(character).is_err() {
                break;
            }
        }
        Self { code, reason: text }
    }
}
