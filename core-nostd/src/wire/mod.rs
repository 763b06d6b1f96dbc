//! The wire, version 1: what the bytes mean and which bytes are refused.
//!
//! Every view is parsed once from a byte slice, without a copy; holding one proves that its rules hold (FRAME-2).
//! Nothing here panics, allocates or keeps state. What the rules are is said by [`Reject`], one reason per rule, and
//! shown with worked bytes in `docs/frame-types.md`. What parses re-encodes to the same bytes (FRAME-5).
//!
//! ```text
//! datagram = PacketHeader (12, clear) · body · tag (16)          where protected
//!          | PacketHeader (12)        · handshake body           where not
//! body     = frame header (16) · payload, one or more times
//! ```

pub mod ack;
pub mod frame;
pub mod handshake;
pub mod net;
pub mod packet;
pub mod parameters;
pub(crate) mod reasons;
pub mod reject;
pub mod stream;
pub mod versions;
pub mod write;

pub use ack::{AckFrame, AckRange, AckRanges};
pub use frame::{
    BodyFrames, Control, DataFlags, Frame, FrameContext, FrameKind, Frames, PacketBody, RekeyFrame, View, validate,
};
pub use handshake::{Cookie, CookieBody, FinishBody, InitBody, RefusedBody, ResponseBody, VersionBody};
pub use packet::{HeaderView, PacketFlags, PacketHeader, PacketKind, extend_packet_number};
pub use parameters::TransportParameters;
pub use reject::{Reject, RejectCounters};
pub use stream::StreamId;
pub use versions::VersionList;
pub use write::FrameWriter;

/// Whether every byte is zero. Folds instead of searching, so that it runs a vector register at a time.
fn all_zero(bytes: &[u8]) -> bool {
    bytes.iter().fold(0, |seen, byte| seen | byte) == 0
}
