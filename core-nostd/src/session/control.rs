//! Control frames that wait to be sent, as level-triggered bits: a lost one is set again and written anew from the
//! state of that moment, so what is sent is never stale.

use bitflags::bitflags;

bitflags! {
    /// Control frames of a session, other than ACK, whose content the session can write at any time.
    #[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
    pub struct Controls: u8 {
        /// WINDOW_UPDATE of the connection.
        const CONNECTION_WINDOW = 1 << 0;
        /// WINDOW_UPDATE of the streams in the mask beside this set.
        const STREAM_WINDOW = 1 << 1;
        /// REKEY with this end's offer.
        const REKEY_OFFER = 1 << 2;
        /// REKEY with this end's answer.
        const REKEY_ANSWER = 1 << 3;
        /// Something that the peer must acknowledge: a probe, or a sign of life.
        const PING = 1 << 4;
        /// The answer to a PING.
        const PONG = 1 << 5;
        /// The answer to a PATH_CHALLENGE.
        const PATH_RESPONSE = 1 << 6;
    }
}

impl Controls {
    /// Those that must arrive, and so are sent again when lost. A probe or an answer to one is worth nothing later.
    pub const RELIABLE: Self =
        Self::CONNECTION_WINDOW.union(Self::STREAM_WINDOW).union(Self::REKEY_OFFER).union(Self::REKEY_ANSWER);
}
