//! Control frames that wait to be sent, as level-triggered bits: a lost one is set again and written anew from the
//! state of that moment, so what is sent is never stale.

use bitflags::bitflags;
use zerocopy::FromZeros;

/// Control frames of a session, other than ACK, whose content the session can write at any time.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, FromZeros)]
pub struct Controls(u16);

bitflags! {
    impl Controls: u16 {
        /// WINDOW_UPDATE of the connection.
        const CONNECTION_WINDOW = 1 << 0;
        /// WINDOW_UPDATE of the streams in the mask beside this set.
        const STREAM_WINDOW = 1 << 1;
        /// REKEY with this end's offer.
        const REKEY_OFFER = 1 << 2;
        /// REKEY with this end's answer.
        const REKEY_ANSWER = 1 << 3;
        /// CONTROL KEEPALIVE, something that the peer must acknowledge: a probe, or a sign of life.
        const KEEPALIVE = 1 << 4;
        /// PING, to measure a round trip.
        const PING = 1 << 5;
        /// The answer to a PING.
        const PONG = 1 << 6;
        /// CONTROL MIGRATE with this end's new index.
        const MIGRATE = 1 << 7;
        /// CONTROL VERSION_NEGOTIATION with what this end speaks.
        const VERSIONS = 1 << 8;
        /// STREAM_OPEN of the streams that this end opened with a window or a priority of their own.
        const STREAM_OPEN = 1 << 9;
        /// STREAM_RESET of the streams that this end gave up.
        const STREAM_RESET = 1 << 10;
        /// GOAWAY.
        const GO_AWAY = 1 << 11;
    }
}

impl Controls {
    /// Those that must arrive, and so are sent again when lost. A probe or an answer to one is worth nothing later, and
    /// the list of versions is told in passing.
    pub const RELIABLE: Self = Self::CONNECTION_WINDOW
        .union(Self::STREAM_WINDOW)
        .union(Self::REKEY_OFFER)
        .union(Self::REKEY_ANSWER)
        .union(Self::MIGRATE)
        .union(Self::STREAM_OPEN)
        .union(Self::STREAM_RESET)
        .union(Self::GO_AWAY);
}
