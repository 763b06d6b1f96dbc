//! Frames: what a protected packet carries once its tag was checked.

mod control;
mod header;
mod payload;

use bitflags::bitflags;
use zerocopy::FromBytes;
use zerocopy::byteorder::big_endian::{U16, U64};

use super::{AckFrame, FrameWriter, Reject, StreamId, all_zero};
use crate::crypto::PUBLIC_KEY_BYTES;
use crate::limits::{
    MAX_CLOSE_REASON_BYTES, MAX_CONNECTION_OFFSET, MAX_DATAGRAM_BYTES, MAX_STREAM_OFFSET, PACKET_HEADER_BYTES,
    TAG_BYTES,
};

pub use control::Control;
pub(super) use control::{ControlSubtype, RawControl};
use header::DataHeader;
pub use header::FrameKind;
pub(super) use header::{RawFrameHeader, offset_within};
pub(super) use payload::{RawGoAway, RawMigrate, RawRekey, RawStreamOpen};

bitflags! {
    /// Flags of a DATA frame.
    #[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
    pub struct DataFlags: u8 {
        /// The stream ends with this frame's last byte.
        const FIN = 0x01;
        /// The sender asks for an acknowledgement at once.
        const ACK_NOW = 0x02;
    }
}

bitflags! {
    /// Flags of a REKEY frame.
    #[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
    pub(super) struct RekeyFlags: u8 {
        /// This key answers one of the peer's.
        const ANSWER = 0x01;
    }
}

/// A frame that keeps every rule of the wire: there is no other way to get one than [`Frame::parse`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Frame<'a> {
    view: View<'a>,
}

/// What a frame says. Each type's layout is in `docs/frame-types.md`.
///
/// A [`View`] got from a [`Frame`] keeps the rules; one made by hand is checked when it is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum View<'a> {
    /// Bytes of a stream.
    Data {
        /// The stream that they belong to.
        stream: StreamId,
        /// Where in the stream they begin.
        offset: u64,
        /// The bytes; none only with [`DataFlags::FIN`].
        payload: &'a [u8],
        /// Flags.
        flags: DataFlags,
    },
    /// Which packets arrived.
    Ack(AckFrame<'a>),
    /// A message about the session itself.
    Control(Control<'a>),
    /// A public key for the next epoch.
    Rekey(RekeyFrame<'a>),
    /// Asks for a PONG with the same token.
    Ping {
        /// Chosen by the sender.
        token: u64,
    },
    /// Answers a PING.
    Pong {
        /// The PING's token.
        token: u64,
    },
    /// Ends the session.
    Close {
        /// Why, for machines.
        code: u16,
        /// Why, for people: at most 64 bytes, no control characters.
        reason: &'a str,
    },
    /// Zeros that fill a packet up.
    Pad {
        /// How many bytes follow the frame header.
        len: usize,
    },
    /// Opens a stream.
    StreamOpen {
        /// The stream.
        stream: StreamId,
        /// How far the peer may send on it: an absolute offset, at most 2^48.
        window: u64,
        /// Lower goes first.
        priority: u8,
    },
    /// Tells a stream's final size where the last DATA frame could not.
    StreamClose {
        /// The stream.
        stream: StreamId,
        /// How many bytes it has in all.
        final_size: u64,
    },
    /// Gives up on a stream: nothing of it is sent again.
    StreamReset {
        /// The stream.
        stream: StreamId,
        /// How many bytes of it count for the connection's flow control.
        final_size: u64,
        /// Why, for machines.
        code: u16,
    },
    /// Raises a flow-control limit.
    WindowUpdate {
        /// The stream; `None` for the connection as a whole.
        stream: Option<StreamId>,
        /// How far the peer may send: an absolute offset in the stream (at most 2^48), or the sum over all streams
        /// (at most 2^62).
        limit: u64,
    },
    /// No new streams are taken; those up to the last one named go on.
    GoAway {
        /// Why, for machines.
        code: u16,
        /// The last stream that goes on; `None` where none does.
        last_stream: Option<StreamId>,
    },
    /// Asks whether a path carries packets both ways.
    PathChallenge {
        /// Not to be guessed.
        data: [u8; 8],
    },
    /// Answers a PATH_CHALLENGE on the path that it came by.
    PathResponse {
        /// The challenge's bytes.
        data: [u8; 8],
    },
}

/// A public key for the next epoch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RekeyFrame<'a> {
    /// Whether this answers the peer's offer for the same epoch.
    pub answer: bool,
    /// The epoch that the key is for: 1 or above, since epoch 0 comes from the handshake.
    pub epoch: u32,
    /// An X25519 public key.
    pub public_key: &'a [u8; PUBLIC_KEY_BYTES],
}

impl<'a> Frame<'a> {
    /// Reads the frame at the front of `bytes`; returns it and the bytes behind it.
    ///
    /// # Errors
    /// One of the rules of frames that [`Reject`] lists; the first that is broken, from the header to the payload.
    #[inline]
    pub fn parse(bytes: &'a [u8]) -> Result<(Self, &'a [u8]), Reject> {
        // Nearly every packet is DATA that keeps all rules (FRAME-7); which rule another frame breaks is told after.
        match DataHeader::split(bytes) {
            Some((view, rest)) => Ok((Self { view }, rest)),
            None => Self::parse_any(bytes),
        }
    }

    /// Rule by rule.
    #[inline(never)]
    fn parse_any(bytes: &'a [u8]) -> Result<(Self, &'a [u8]), Reject> {
        let (header, payload, rest) = RawFrameHeader::split(bytes)?;
        Ok((Self { view: view(header, payload)? }, rest))
    }

    /// What the frame says.
    #[inline]
    #[must_use]
    pub const fn view(&self) -> View<'a> {
        self.view
    }

    /// The frame's type.
    #[inline]
    #[must_use]
    pub const fn kind(&self) -> FrameKind {
        self.view.kind()
    }

    /// Whether the peer is to acknowledge a packet with this frame: not for ACK, CLOSE and PAD alone (RFC 9002 2).
    #[inline]
    #[must_use]
    pub const fn is_ack_eliciting(&self) -> bool {
        self.view.is_ack_eliciting()
    }

    /// Writes the frame again, byte for byte as it was; `false`, with nothing written, where there is no room.
    #[must_use]
    pub fn write_to(&self, writer: &mut FrameWriter<'_>) -> bool {
        writer.view(&self.view)
    }
}

impl View<'_> {
    /// The type of frame that says this.
    #[inline]
    #[must_use]
    pub const fn kind(&self) -> FrameKind {
        match self {
            Self::Data { .. } => FrameKind::Data,
            Self::Ack(_) => FrameKind::Ack,
            Self::Control(_) => FrameKind::Control,
            Self::Rekey(_) => FrameKind::Rekey,
            Self::Ping { .. } => FrameKind::Ping,
            Self::Pong { .. } => FrameKind::Pong,
            Self::Close { .. } => FrameKind::Close,
            Self::Pad { .. } => FrameKind::Pad,
            Self::StreamOpen { .. } => FrameKind::StreamOpen,
            Self::StreamClose { .. } => FrameKind::StreamClose,
            Self::StreamReset { .. } => FrameKind::StreamReset,
            Self::WindowUpdate { .. } => FrameKind::WindowUpdate,
            Self::GoAway { .. } => FrameKind::GoAway,
            Self::PathChallenge { .. } => FrameKind::PathChallenge,
            Self::PathResponse { .. } => FrameKind::PathResponse,
        }
    }

    /// Whether the peer is to acknowledge a packet with this frame: not for ACK, CLOSE and PAD alone (RFC 9002 2).
    #[inline]
    #[must_use]
    pub const fn is_ack_eliciting(&self) -> bool {
        !matches!(self, Self::Ack(_) | Self::Close { .. } | Self::Pad { .. })
    }
}

fn data<'a>(header: &RawFrameHeader, payload: &'a [u8]) -> Result<View<'a>, Reject> {
    let flags = DataFlags::from_bits(header.flags).ok_or(Reject::FrameFlagsUnknown)?;
    let stream = header.stream()?;
    let offset = header.offset(payload.len())?;
    if payload.is_empty() && !flags.contains(DataFlags::FIN) {
        return Err(Reject::DataEmpty);
    }
    Ok(View::Data { stream, offset, payload, flags })
}

fn view<'a>(header: &RawFrameHeader, payload: &'a [u8]) -> Result<View<'a>, Reject> {
    match header.kind {
        FrameKind::Data => data(header, payload),
        FrameKind::Rekey => rekey(header, payload),
        FrameKind::StreamOpen => stream_open(header, payload),
        FrameKind::StreamClose => stream_close(header, payload),
        FrameKind::StreamReset => stream_reset(header, payload),
        FrameKind::WindowUpdate => window_update(header, payload),
        _ => {
            header.plain()?;
            plain(header.kind, payload)
        }
    }
}

/// The types of which the header says nothing more.
fn plain(kind: FrameKind, payload: &[u8]) -> Result<View<'_>, Reject> {
    let token = |length| U64::read_from_bytes(payload).map(U64::get).map_err(|_| length);
    let path_data = |length| <[u8; 8]>::read_from_bytes(payload).map_err(|_| length);
    match kind {
        FrameKind::Ack => AckFrame::parse(payload).map(View::Ack),
        FrameKind::Control => Control::parse(payload).map(View::Control),
        FrameKind::Ping => Ok(View::Ping { token: token(Reject::PingLength)? }),
        FrameKind::Pong => Ok(View::Pong { token: token(Reject::PongLength)? }),
        FrameKind::Close => close(payload),
        FrameKind::Pad if all_zero(payload) => Ok(View::Pad { len: payload.len() }),
        FrameKind::Pad => Err(Reject::PadNotZero),
        FrameKind::GoAway => go_away(payload),
        FrameKind::PathChallenge => Ok(View::PathChallenge { data: path_data(Reject::PathChallengeLength)? }),
        FrameKind::PathResponse => Ok(View::PathResponse { data: path_data(Reject::PathResponseLength)? }),
        // `view` keeps these to itself; refusing them here is what remains without a panic.
        FrameKind::Data
        | FrameKind::Rekey
        | FrameKind::StreamOpen
        | FrameKind::StreamClose
        | FrameKind::StreamReset
        | FrameKind::WindowUpdate => Err(Reject::FrameTypeUnknown),
    }
}

fn rekey<'a>(header: &RawFrameHeader, payload: &'a [u8]) -> Result<View<'a>, Reject> {
    let flags = RekeyFlags::from_bits(header.flags).ok_or(Reject::FrameFlagsUnknown)?;
    header.no_stream()?;
    header.no_offset()?;
    let raw = RawRekey::ref_from_bytes(payload).map_err(|_| Reject::RekeyLength)?;
    if raw.epoch.get() == 0 {
        return Err(Reject::RekeyEpochZero);
    }
    let answer = flags.contains(RekeyFlags::ANSWER);
    Ok(View::Rekey(RekeyFrame { answer, epoch: raw.epoch.get(), public_key: &raw.public_key }))
}

fn close(payload: &[u8]) -> Result<View<'_>, Reject> {
    let (code, reason) = U16::ref_from_prefix(payload).map_err(|_| Reject::CloseLength)?;
    if reason.len() > MAX_CLOSE_REASON_BYTES {
        return Err(Reject::CloseLength);
    }
    // A reason may be shown on a terminal, where control characters do more than show.
    match core::str::from_utf8(reason) {
        Ok(reason) if !reason.contains(char::is_control) => Ok(View::Close { code: code.get(), reason }),
        _ => Err(Reject::CloseReasonText),
    }
}

fn stream_open<'a>(header: &RawFrameHeader, payload: &'a [u8]) -> Result<View<'a>, Reject> {
    header.no_flags()?;
    let stream = header.stream()?;
    header.no_offset()?;
    let raw = RawStreamOpen::ref_from_bytes(payload).map_err(|_| Reject::StreamOpenLength)?;
    if raw.reserved != [0; 7] {
        return Err(Reject::FrameReservedNotZero);
    }
    if raw.window.get() > MAX_STREAM_OFFSET {
        return Err(Reject::WindowTooLarge);
    }
    Ok(View::StreamOpen { stream, window: raw.window.get(), priority: raw.priority })
}

fn stream_close<'a>(header: &RawFrameHeader, payload: &'a [u8]) -> Result<View<'a>, Reject> {
    header.no_flags()?;
    let stream = header.stream()?;
    let final_size = header.offset(0)?;
    if payload.is_empty() { Ok(View::StreamClose { stream, final_size }) } else { Err(Reject::StreamCloseLength) }
}

fn stream_reset<'a>(header: &RawFrameHeader, payload: &'a [u8]) -> Result<View<'a>, Reject> {
    header.no_flags()?;
    let stream = header.stream()?;
    let final_size = header.offset(0)?;
    let code = U16::ref_from_bytes(payload).map_err(|_| Reject::StreamResetLength)?.get();
    Ok(View::StreamReset { stream, final_size, code })
}

fn window_update<'a>(header: &RawFrameHeader, payload: &'a [u8]) -> Result<View<'a>, Reject> {
    header.no_flags()?;
    let stream = stream_or_none(header.stream)?;
    header.no_offset()?;
    let limit = U64::ref_from_bytes(payload).map_err(|_| Reject::WindowUpdateLength)?.get();
    if limit > max_window(stream) {
        return Err(Reject::WindowTooLarge);
    }
    Ok(View::WindowUpdate { stream, limit })
}

fn go_away(payload: &[u8]) -> Result<View<'_>, Reject> {
    let raw = RawGoAway::ref_from_bytes(payload).map_err(|_| Reject::GoAwayLength)?;
    Ok(View::GoAway { code: raw.code.get(), last_stream: stream_or_none(raw.last_stream)? })
}

/// A stream id where zero stands for none.
fn stream_or_none(id: U16) -> Result<Option<StreamId>, Reject> {
    match id.get() {
        0 => Ok(None),
        id => StreamId::new(id).map(Some).ok_or(Reject::StreamReserved),
    }
}

/// How far a limit may reach: on a stream, or on the connection.
pub(super) const fn max_window(stream: Option<StreamId>) -> u64 {
    match stream {
        Some(_) => MAX_STREAM_OFFSET,
        None => MAX_CONNECTION_OFFSET,
    }
}

/// The frames of a decrypted packet body, in order; ends after the first one that breaks a rule.
#[derive(Clone, Debug)]
pub struct Frames<'a> {
    rest: &'a [u8],
    /// Nothing was read yet: an empty body is then an error, not an end.
    fresh: bool,
}

impl<'a> Frames<'a> {
    /// The frames of `body`: a protected packet without outer header and tag.
    #[inline]
    #[must_use]
    pub const fn new(body: &'a [u8]) -> Self {
        Self { rest: body, fresh: true }
    }
}

impl<'a> Iterator for Frames<'a> {
    type Item = Result<Frame<'a>, Reject>;

    #[inline]
    fn next(&mut self) -> Option<Self::Item> {
        let fresh = core::mem::replace(&mut self.fresh, false);
        if self.rest.is_empty() {
            return fresh.then_some(Err(Reject::BodyEmpty));
        }
        match Frame::parse(self.rest) {
            Ok((frame, rest)) => {
                self.rest = rest;
                Some(Ok(frame))
            }
            Err(reject) => {
                self.rest = &[];
                Some(Err(reject))
            }
        }
    }
}

impl core::iter::FusedIterator for Frames<'_> {}

/// What the rules of a packet body depend on besides its bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FrameContext {
    /// The largest datagram that the peer may send, outer header and tag included. Above 9000 counts as 9000.
    pub max_datagram_bytes: usize,
}

impl FrameContext {
    #[inline]
    fn max_body_bytes(self) -> usize {
        self.max_datagram_bytes.min(MAX_DATAGRAM_BYTES).saturating_sub(PACKET_HEADER_BYTES + TAG_BYTES)
    }
}

/// A whole packet body of which every frame is valid, so that its effects can be applied without a way back (FRAME-5).
#[derive(Clone, Copy, Debug)]
pub struct PacketBody<'a> {
    /// Kept as parsed: most packets hold no other, and are then walked once.
    first: Frame<'a>,
    rest: &'a [u8],
}

impl<'a> PacketBody<'a> {
    /// Checks every frame of a decrypted packet body.
    ///
    /// # Errors
    /// [`Reject::DatagramTooLong`], [`Reject::BodyEmpty`], or what [`Frame::parse`] says of a frame.
    #[inline]
    pub fn parse(body: &'a [u8], context: &FrameContext) -> Result<Self, Reject> {
        if body.len() > context.max_body_bytes() {
            return Err(Reject::DatagramTooLong);
        }
        if body.is_empty() {
            return Err(Reject::BodyEmpty);
        }
        let (first, rest) = Frame::parse(body)?;
        if !rest.is_empty() {
            Self::check_rest(rest)?;
        }
        Ok(Self { first, rest })
    }

    #[inline(never)]
    fn check_rest(mut unread: &[u8]) -> Result<(), Reject> {
        while !unread.is_empty() {
            (_, unread) = Frame::parse(unread)?;
        }
        Ok(())
    }

    /// The frames, in order.
    #[inline]
    #[must_use]
    pub const fn frames(&self) -> BodyFrames<'a> {
        BodyFrames { first: Some(self.first), rest: self.rest }
    }
}

/// The frames of a [`PacketBody`], in order.
#[derive(Clone, Debug)]
pub struct BodyFrames<'a> {
    first: Option<Frame<'a>>,
    /// What follows `first`: frames that [`PacketBody::parse`] has walked to their end, so that none among them is an error.
    rest: &'a [u8],
}

impl<'a> BodyFrames<'a> {
    /// Apart, since most packets have nothing there.
    #[inline(never)]
    fn fold_rest<B>(mut rest: &'a [u8], mut folded: B, mut f: impl FnMut(B, Frame<'a>) -> B) -> B {
        while let Ok((frame, behind)) = Frame::parse(rest) {
            folded = f(folded, frame);
            rest = behind;
            if rest.is_empty() {
                break;
            }
        }
        folded
    }
}

impl<'a> Iterator for BodyFrames<'a> {
    type Item = Frame<'a>;

    #[inline]
    fn next(&mut self) -> Option<Frame<'a>> {
        if let Some(first) = self.first.take() {
            return Some(first);
        }
        if self.rest.is_empty() {
            return None;
        }
        let (frame, rest) = Frame::parse(self.rest).ok()?;
        self.rest = rest;
        Some(frame)
    }

    #[inline]
    fn fold<B, F: FnMut(B, Frame<'a>) -> B>(self, init: B, mut f: F) -> B {
        let folded = match self.first {
            Some(first) => f(init, first),
            None => init,
        };
        if self.rest.is_empty() { folded } else { Self::fold_rest(self.rest, folded, f) }
    }
}

impl core::iter::FusedIterator for BodyFrames<'_> {}

/// Checks every frame of a decrypted packet body, for who wants to know before anything takes effect (FRAME-5).
///
/// [`PacketBody::parse`] checks the same and keeps what it read.
///
/// # Errors
/// As [`PacketBody::parse`].
#[inline]
pub fn validate(body: &[u8], context: &FrameContext) -> Result<(), Reject> {
    PacketBody::parse(body, context).map(|_| ())
}

#[cfg(test)]
mod tests;
