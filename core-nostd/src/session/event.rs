//! What a session tells its owner.

use core::net::SocketAddr;

use super::close::CloseReason;
use crate::{time::Duration, wire::StreamId};

/// Something that happened, in the order in which it happened.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Event {
    /// The handshake is through: data may be sent, and the peer is who it should be.
    Connected,
    /// Stream bytes arrived that were not there before. They need not be in order.
    ///
    /// The bytes are `start..end` of the datagram that was handed in last, decrypted in place; take them before the
    /// next datagram.
    Data {
        /// The stream.
        stream: StreamId,
        /// Where in the stream the bytes belong.
        offset: u64,
        /// First byte in the datagram.
        start: u16,
        /// One behind the last byte in the datagram.
        end: u16,
    },
    /// All bytes of the stream arrived, and its end is known.
    StreamFinished {
        /// The stream.
        stream: StreamId,
    },
    /// The peer gave the stream up.
    StreamReset {
        /// The stream.
        stream: StreamId,
        /// The peer's reason.
        code: u16,
    },
    /// The peer has every byte of the stream below `upto`: they will not be asked for again.
    Acknowledged {
        /// The stream.
        stream: StreamId,
        /// One behind the last byte.
        upto: u64,
    },
    /// The peer takes no new streams.
    GoingAway,
    /// The peer has moved: packets go to its new address from now on, which has answered a challenge.
    PathChanged {
        /// Where the peer is.
        remote: SocketAddr,
    },
    /// The answer to [`super::Session::ping`].
    Pong {
        /// From the PING's leaving to this, with what the peer took for it.
        round_trip: Duration,
    },
    /// The session is over.
    Closed(CloseReason),
}
