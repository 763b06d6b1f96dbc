//! How a transfer can fail, in words and with the exit code of OPS-4.

use std::net::SocketAddr;

use thiserror::Error;
use wirehaul_core::crypto::HandshakeError;
use wirehaul_core::limits::VERSION;
use wirehaul_core::session::{CloseCode, CloseReason, MAX_FAULTS};
use wirehaul_core::wire::Reject;

use super::message::{MessageError, RefusalClass};
use super::walk::WalkError;
use crate::crypto::{NoRandomness, PublicKey};
use crate::io::engine::EngineError;
use crate::memory::NoMemory;
use crate::pools::PoolsError;
use crate::udp::BindError;

/// CLOSE code: the peer broke a rule of the transfer.
pub const CLOSE_RULE: CloseCode = CloseCode(CloseCode::APPLICATION);
/// CLOSE code: this end cannot go on, and has said why on the control stream.
pub const CLOSE_GIVEN_UP: CloseCode = CloseCode(CloseCode::APPLICATION + 1);
/// CLOSE code: a newer transfer of the same files has begun.
pub const CLOSE_OVERTAKEN: CloseCode = CloseCode(CloseCode::APPLICATION + 2);

/// Why a transfer did not end as it should.
#[derive(Debug, Error)]
pub enum Failure {
    /// The paths to send are not usable.
    #[error(transparent)]
    Walk(#[from] WalkError),
    /// No socket.
    #[error(transparent)]
    Bind(#[from] BindError),
    /// No randomness for keys.
    #[error(transparent)]
    Randomness(#[from] NoRandomness),
    /// No file threads.
    #[error(transparent)]
    Threads(#[from] EngineError),
    /// No memory for blocks.
    #[error(transparent)]
    Pools(#[from] PoolsError),
    /// No memory for sessions.
    #[error(transparent)]
    Memory(#[from] NoMemory),
    /// The system refuses to wait on the socket.
    #[error("cannot wait for packets: {0}")]
    Wait(#[source] std::io::Error),
    /// The cryptographic library failed.
    #[error("cannot start a handshake: {0:?}")]
    Handshake(HandshakeError),
    /// Nobody answered.
    #[error("no answer from {0}: is the receiver running, and does its UDP port get through the firewall?")]
    NoAnswer(Addresses),
    /// The operating system has no way to the address.
    #[error("the network cannot reach {0}: check the address and this host's routes")]
    Unreachable(Addresses),
    /// The receiver does not know the ticket.
    #[error("the receiver does not know this ticket: use the one that it printed last")]
    UnknownTicket,
    /// The receiver does not know this host's key.
    #[error(
        "the receiver does not know this host's key: run `wirehaul key trust` there, with what `wirehaul key show` prints here"
    )]
    UnknownHere,
    /// The receiver is not the one that was meant.
    #[error(
        "the receiver has another key than expected: it is not the host that the ticket or the known-peers file means"
    )]
    WrongReceiver,
    /// Another version of the wire.
    #[error("the receiver speaks version {0} of the wire and this is version {VERSION}: update the older of the two")]
    Version(u16),
    /// No AEAD in common.
    #[error("the two ends share no cipher: update the older of the two")]
    NoCommonSuite,
    /// No room at the receiver.
    #[error("the receiver has no room for another transfer now: try again later")]
    Busy,
    /// The peer was there and is silent now.
    #[error(
        "the peer is gone: nothing was heard from it for {0} s. What arrived is kept: send again to resume, with the new ticket if the receiver was started anew"
    )]
    PeerGone(u64),
    /// The peer stopped.
    #[error(
        "the peer stopped the transfer. What arrived is kept: send again to resume, with the new ticket if the receiver was started anew"
    )]
    PeerStopped,
    /// The peer closed the session for a reason of the wire.
    #[error(
        "the peer closed the session (code {0}). What arrived is kept: send again to resume, with the new ticket if the receiver was started anew"
    )]
    PeerClosed(u16),
    /// This end was stopped by its user.
    #[error(
        "stopped. What arrived is kept: send again to resume, with the new ticket if the receiver was started anew"
    )]
    Interrupted,
    /// The receiver goes on with a newer transfer of the same files.
    #[error("a newer transfer of the same files took over: it goes on with what arrived")]
    Overtaken,
    /// The receiver refused.
    #[error("the receiver refused: {reason}")]
    Refused {
        /// The kind of refusal.
        class: RefusalClass,
        /// The receiver's words.
        reason: String,
    },
    /// The peer's messages make no sense.
    #[error(transparent)]
    Message(#[from] MessageError),
    /// The peer broke a rule of the transfer.
    #[error("the peer broke a rule of the transfer: {0}")]
    Rule(&'static str),
    /// The peer broke rules of the wire until it was cut off.
    #[error("{}", cut_off(peer.as_ref(), *rule))]
    Misbehaved {
        /// Its key, where it is known.
        peer: Option<PublicKey>,
        /// The rule that it broke last.
        rule: Reject,
    },
    /// The peer says the same of this end.
    #[error(
        "the peer cut this end off for breaking the rules of the wire: update the older of the two, and report it if both are new"
    )]
    CutOff,
    /// It did not come to a transfer.
    #[error("{message}")]
    NotStarted {
        /// Why.
        message: String,
        /// What the shell sees.
        exit_code: u8,
    },
    /// Some entries did not make it.
    #[error("{0}")]
    Incomplete(Incomplete),
}

/// What did not make it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Incomplete {
    /// Entries that something different was in the way of.
    pub conflicts: u64,
    /// Entries that failed.
    pub failures: u64,
}

impl std::fmt::Display for Incomplete {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let counted = |count: u64, one: &str, more: &str| match count {
            1 => format!("1 file {one}"),
            count => format!("{count} files {more}"),
        };
        let conflicts = counted(
            self.conflicts,
            "at the receiver differs and was not overwritten: `wirehaul recv --overwrite` replaces it",
            "at the receiver differ and were not overwritten: `wirehaul recv --overwrite` replaces them",
        );
        let failures = counted(self.failures, "could not be moved", "could not be moved");
        match (self.conflicts, self.failures) {
            (0, _) => write!(f, "{failures}; all others are there"),
            (_, 0) => f.write_str(&conflicts),
            (_, _) => write!(f, "{conflicts}; and {failures}"),
        }
    }
}

/// Addresses as a list for people.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Addresses(pub Vec<SocketAddr>);

impl std::fmt::Display for Addresses {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        for (index, address) in self.0.iter().enumerate() {
            write!(f, "{}{address}", if index > 0 { ", " } else { "" })?;
        }
        Ok(())
    }
}

impl Failure {
    /// What the end of a session means for the transfer on it.
    #[must_use]
    pub fn of_close(reason: CloseReason, addresses: &[SocketAddr], idle_secs: u64) -> Self {
        let addresses = || Addresses(addresses.to_vec());
        match reason {
            CloseReason::HandshakeTimeout => Self::NoAnswer(addresses()),
            CloseReason::Unreachable => Self::Unreachable(addresses()),
            CloseReason::Version(version) => Self::Version(version),
            CloseReason::Refused(HandshakeError::UnknownPeer) => Self::WrongReceiver,
            CloseReason::Refused(_) => Self::UnknownTicket,
            CloseReason::NoCommonSuite => Self::NoCommonSuite,
            CloseReason::Busy => Self::Busy,
            CloseReason::IdleTimeout => Self::PeerGone(idle_secs),
            CloseReason::Local(CLOSE_OVERTAKEN) | CloseReason::Peer(CLOSE_OVERTAKEN) => Self::Overtaken,
            CloseReason::Local(_) => Self::Interrupted,
            CloseReason::Misbehaved(rule) => Self::Misbehaved { peer: None, rule },
            CloseReason::Peer(CloseCode::PROTOCOL) => Self::CutOff,
            CloseReason::Peer(CloseCode::UNKNOWN_PEER) => Self::UnknownHere,
            CloseReason::Peer(CloseCode::INTERRUPTED | CloseCode::DONE) => Self::PeerStopped,
            CloseReason::Peer(CloseCode(code)) => Self::PeerClosed(code),
        }
    }

    /// The same failure, with the peer's key where the words name it.
    #[must_use]
    pub fn of_peer(self, key: Option<PublicKey>) -> Self {
        match self {
            Self::Misbehaved { rule, .. } => Self::Misbehaved { peer: key, rule },
            other => other,
        }
    }

    /// The exit code of OPS-4.
    #[must_use]
    pub const fn exit_code(&self) -> u8 {
        match self {
            Self::Walk(WalkError::Manifest(_)) => 3,
            Self::Walk(_) => 2,
            Self::NotStarted { exit_code, .. } => *exit_code,
            Self::Bind(_)
            | Self::Randomness(_)
            | Self::Threads(_)
            | Self::Pools(_)
            | Self::Memory(_)
            | Self::Wait(_) => 4,
            Self::UnknownTicket
            | Self::UnknownHere
            | Self::WrongReceiver
            | Self::Rule(_)
            | Self::Misbehaved { .. }
            | Self::CutOff => 3,
            Self::PeerGone(_)
            | Self::PeerStopped
            | Self::PeerClosed(_)
            | Self::Interrupted
            | Self::Overtaken
            | Self::Busy => 5,
            Self::Refused { class: RefusalClass::Policy, .. } => 3,
            Self::Refused { class: RefusalClass::Device, .. } => 4,
            Self::Refused { class: RefusalClass::Resumable, .. } => 5,
            Self::Incomplete(Incomplete { failures: 0, .. }) => 3,
            Self::Handshake(_)
            | Self::NoAnswer(_)
            | Self::Unreachable(_)
            | Self::Version(_)
            | Self::NoCommonSuite
            | Self::Refused { class: RefusalClass::Failed, .. }
            | Self::Message(_)
            | Self::Incomplete(_) => 1,
        }
    }
}

/// Why a peer was cut off, with its key: by that, the operator knows whom to ask, or to trust no longer.
fn cut_off(peer: Option<&PublicKey>, rule: Reject) -> String {
    let who = peer.map_or_else(|| "the peer".to_owned(), |key| format!("the peer {key}"));
    let rule = rule.rule();
    format!(
        "{who} was cut off: {MAX_FAULTS} packets in a row under its key broke the rules of the wire; of the last one it was that {rule}"
    )
}
