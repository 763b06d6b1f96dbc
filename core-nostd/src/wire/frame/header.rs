//! The frame header: 16 bytes in front of each frame's payload.
//!
//! ```text
//!  0      1       2           4                6          8        16
//! | type | flags | stream id | payload length | reserved | offset |
//! ```

use zerocopy::byteorder::big_endian::{U16, U64};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, TryCastError, TryFromBytes, Unaligned};

use super::{DataFlags, View};

use crate::limits::{FRAME_HEADER_BYTES, MAX_FRAME_PAYLOAD_BYTES, MAX_STREAM_OFFSET};
use crate::wire::{Reject, StreamId};

/// The frame types (FRAME-1).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, TryFromBytes, IntoBytes, KnownLayout, Immutable, Unaligned)]
#[repr(u8)]
pub enum FrameKind {
    /// Bytes of a stream.
    Data = 0x01,
    /// Which packets arrived.
    Ack = 0x02,
    /// A message about the session itself: see [`super::Control`].
    Control = 0x03,
    /// A public key for the next epoch.
    Rekey = 0x04,
    /// Asks for a PONG.
    Ping = 0x05,
    /// Answers a PING.
    Pong = 0x06,
    /// Ends the session.
    Close = 0x07,
    /// Fills a packet up.
    Pad = 0x08,
    /// Opens a stream.
    StreamOpen = 0x09,
    /// Tells a stream's final size.
    StreamClose = 0x0A,
    /// Gives up on a stream.
    StreamReset = 0x0B,
    /// Raises a flow-control limit.
    WindowUpdate = 0x0C,
    /// Announces that no new streams are taken.
    GoAway = 0x0D,
    /// Asks whether a path carries packets both ways.
    PathChallenge = 0x0E,
    /// Answers a PATH_CHALLENGE.
    PathResponse = 0x0F,
}

impl FrameKind {
    /// Every frame type, in the order of their numbers.
    pub const ALL: [Self; 15] = [
        Self::Data,
        Self::Ack,
        Self::Control,
        Self::Rekey,
        Self::Ping,
        Self::Pong,
        Self::Close,
        Self::Pad,
        Self::StreamOpen,
        Self::StreamClose,
        Self::StreamReset,
        Self::WindowUpdate,
        Self::GoAway,
        Self::PathChallenge,
        Self::PathResponse,
    ];

    /// The type's name, as the documents write it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Data => "DATA",
            Self::Ack => "ACK",
            Self::Control => "CONTROL",
            Self::Rekey => "REKEY",
            Self::Ping => "PING",
            Self::Pong => "PONG",
            Self::Close => "CLOSE",
            Self::Pad => "PAD",
            Self::StreamOpen => "STREAM_OPEN",
            Self::StreamClose => "STREAM_CLOSE",
            Self::StreamReset => "STREAM_RESET",
            Self::WindowUpdate => "WINDOW_UPDATE",
            Self::GoAway => "GOAWAY",
            Self::PathChallenge => "PATH_CHALLENGE",
            Self::PathResponse => "PATH_RESPONSE",
        }
    }
}

/// A frame header as it lies in the packet.
#[derive(TryFromBytes, IntoBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
pub(in crate::wire) struct RawFrameHeader {
    pub(in crate::wire) kind: FrameKind,
    pub(in crate::wire) flags: u8,
    pub(in crate::wire) stream: U16,
    pub(in crate::wire) payload_len: U16,
    pub(in crate::wire) reserved: U16,
    pub(in crate::wire) offset: U64,
}

const _: () = assert!(size_of::<RawFrameHeader>() == FRAME_HEADER_BYTES);

/// The same 16 bytes as words, for those rules of DATA that one comparison can hold together.
#[derive(FromBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
pub(super) struct DataHeader {
    /// Type, flags, stream id, payload length and reserved bits.
    start: U64,
    offset: U64,
}

const _: () = assert!(size_of::<DataHeader>() == FRAME_HEADER_BYTES);

/// What of [`DataHeader::start`] is the same in all DATA frames: the type, the flags that there are not, the reserved bits.
const DATA_MASK: u64 = 0xff << 56 | (!DataFlags::all().bits() as u64) << 48 | 0xffff;
const DATA_START: u64 = (FrameKind::Data as u64) << 56;
/// The flag and the length, of which a DATA frame has one at least.
const FIN_OR_BYTES: u64 = (DataFlags::FIN.bits() as u64) << 48 | 0xffff << 16;

impl DataHeader {
    /// The DATA frame at the front of `bytes`, and the bytes behind it; `None` for another frame, and where a rule is broken.
    #[inline]
    pub(super) fn split(bytes: &[u8]) -> Option<(View<'_>, &[u8])> {
        let (header, rest) = Self::ref_from_prefix(bytes).ok()?;
        let (start, offset) = (header.start.get(), header.offset.get());
        let payload_len = usize::from((start >> 16) as u16);
        let stream = StreamId::new((start >> 32) as u16)?;
        // Without a branch for each.
        let keeps_rules = (start & DATA_MASK == DATA_START)
            & (start & FIN_OR_BYTES != 0)
            & (payload_len <= MAX_FRAME_PAYLOAD_BYTES)
            & (offset <= MAX_STREAM_OFFSET - payload_len as u64);
        let (payload, rest) = rest.split_at_checked(payload_len).filter(|_| keeps_rules)?;
        let flags = DataFlags::from_bits_truncate((start >> 48) as u8);
        Some((View::Data { stream, offset, payload, flags }, rest))
    }
}

impl RawFrameHeader {
    /// Splits `bytes` into a header, its payload, and what follows.
    #[inline]
    pub(super) fn split(bytes: &[u8]) -> Result<(&Self, &[u8], &[u8]), Reject> {
        let (header, rest) = match Self::try_ref_from_prefix(bytes) {
            Ok(split) => split,
            // Every field but the type takes any value, so a header that is there and not valid has an unknown type.
            Err(TryCastError::Validity(_)) => return Err(Reject::FrameTypeUnknown),
            Err(_) => return Err(Reject::FrameTruncated),
        };
        if header.reserved.get() != 0 {
            return Err(Reject::FrameReservedNotZero);
        }
        let payload_len = usize::from(header.payload_len.get());
        if payload_len > MAX_FRAME_PAYLOAD_BYTES {
            return Err(Reject::PayloadTooLong);
        }
        let (payload, rest) = rest.split_at_checked(payload_len).ok_or(Reject::PayloadTruncated)?;
        Ok((header, payload, rest))
    }

    /// The rule of frame types without flags.
    #[inline]
    pub(super) fn no_flags(&self) -> Result<(), Reject> {
        if self.flags == 0 { Ok(()) } else { Err(Reject::FrameFlagsUnknown) }
    }

    /// The rule of frame types that belong to no stream.
    #[inline]
    pub(super) fn no_stream(&self) -> Result<(), Reject> {
        if self.stream.get() == 0 { Ok(()) } else { Err(Reject::StreamNotZero) }
    }

    /// The rule of frame types that belong to a stream.
    #[inline]
    pub(super) fn stream(&self) -> Result<StreamId, Reject> {
        StreamId::new(self.stream.get()).ok_or(Reject::StreamReserved)
    }

    /// The rule of frame types that do not use the offset.
    #[inline]
    pub(super) fn no_offset(&self) -> Result<(), Reject> {
        if self.offset.get() == 0 { Ok(()) } else { Err(Reject::OffsetNotZero) }
    }

    /// The rule of frame types that use the offset, for `len` bytes that begin there.
    #[inline]
    pub(super) fn offset(&self, len: usize) -> Result<u64, Reject> {
        offset_within(self.offset.get(), len).ok_or(Reject::OffsetTooLarge)
    }

    /// The three rules of frame types that use nothing of the header but the payload length.
    #[inline]
    pub(super) fn plain(&self) -> Result<(), Reject> {
        self.no_flags()?;
        self.no_stream()?;
        self.no_offset()
    }
}

/// `offset`, where `len` bytes from there end within 2^48 (FRAME-3).
#[inline]
pub(in crate::wire) fn offset_within(offset: u64, len: usize) -> Option<u64> {
    let end = offset.checked_add(len as u64)?;
    (end <= MAX_STREAM_OFFSET).then_some(offset)
}
