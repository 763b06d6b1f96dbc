//! Writes the frames of one packet body, one behind the other, into the buffer that will be sealed in place.

use zerocopy::byteorder::big_endian::{U16, U32, U64};
use zerocopy::{Immutable, IntoBytes};

use super::ack::{self, AckRange};
use super::frame::{
    Control, ControlSubtype, DataFlags, FrameKind, RawControl, RawFrameHeader, RawGoAway, RawMigrate, RawRekey,
    RawStreamOpen, RekeyFlags, RekeyFrame, View, max_window, offset_within,
};
use super::{StreamId, VersionList, versions};
use crate::limits::{
    FRAME_HEADER_BYTES, MAX_CLOSE_REASON_BYTES, MAX_FRAME_PAYLOAD_BYTES, MAX_STREAM_OFFSET, MAX_VERSIONS,
};

/// Writes frames into a packet body.
///
/// Every method writes a whole frame that parses, or nothing: `false` or `None` means that there is no room left or
/// that the values break a rule of the wire.
#[derive(Debug)]
pub struct FrameWriter<'a> {
    out: &'a mut [u8],
    used: usize,
}

impl<'a> FrameWriter<'a> {
    /// Writes to the front of `out`: the place of the body, between outer header and tag.
    #[inline]
    pub const fn new(out: &'a mut [u8]) -> Self {
        Self { out, used: 0 }
    }

    /// Bytes that are still free, frame headers included.
    #[inline]
    #[must_use]
    pub const fn remaining(&self) -> usize {
        self.out.len() - self.used
    }

    /// The longest payload that one more frame can have; zero also where no frame fits.
    #[inline]
    #[must_use]
    pub fn payload_room(&self) -> usize {
        self.remaining().saturating_sub(FRAME_HEADER_BYTES).min(MAX_FRAME_PAYLOAD_BYTES)
    }

    /// Whether nothing was written yet.
    #[inline]
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.used == 0
    }

    /// Bytes written so far.
    #[inline]
    #[must_use]
    pub const fn len(&self) -> usize {
        self.used
    }

    /// Ends the body; returns its length in bytes.
    #[inline]
    #[must_use]
    pub const fn finish(self) -> usize {
        self.used
    }

    /// Writes the header of a DATA frame and returns the place of its payload, to be filled by the caller.
    #[inline]
    pub fn data_header(
        &mut self,
        stream: StreamId,
        offset: u64,
        flags: DataFlags,
        payload_len: usize,
    ) -> Option<&mut [u8]> {
        let header = data_frame_header(stream, offset, flags, payload_len)?;
        self.reserve(&header, payload_len)
    }

    /// Acknowledges `ranges`, given from newest to oldest, as many as fit and at most `max_ranges`; returns how many
    /// those are.
    ///
    /// Stops before a range that touches the one before it, is empty, or is out of order.
    pub fn ack(
        &mut self,
        delay_us: u32,
        ce_count: u32,
        ranges: impl IntoIterator<Item = AckRange>,
        max_ranges: usize,
    ) -> Option<usize> {
        let (header, payload) = self.out.get_mut(self.used..)?.split_at_mut_checked(FRAME_HEADER_BYTES)?;
        let (payload_len, count) = ack::write_payload(payload, delay_us, ce_count, ranges, max_ranges)?;
        plain_header(FrameKind::Ack, payload_len)?.write_to(header).ok()?;
        self.used += FRAME_HEADER_BYTES + payload_len;
        Some(count)
    }

    /// CONTROL KEEPALIVE.
    #[must_use]
    pub fn keepalive(&mut self) -> bool {
        self.control(ControlSubtype::Keepalive, 0, 0).is_some()
    }

    /// CONTROL MIGRATE: address this end by `receiver` from now on. `receiver` must not be zero.
    #[must_use]
    pub fn migrate(&mut self, receiver: u32, sequence: u32) -> bool {
        let raw = RawMigrate { receiver: U32::new(receiver), sequence: U32::new(sequence) };
        receiver != 0
            && self
                .control(ControlSubtype::Migrate, 0, size_of::<RawMigrate>())
                .is_some_and(|rest| raw.write_to(rest).is_ok())
    }

    /// CONTROL VERSION_NEGOTIATION: `versions` must be 1 to 16, ascending, none zero.
    #[must_use]
    pub fn version_negotiation(&mut self, list: impl ExactSizeIterator<Item = u16> + Clone) -> bool {
        let Some(count) = versions::valid_count(list.clone()) else { return false };
        match self.control(ControlSubtype::VersionNegotiation, count, 2 * usize::from(count)) {
            Some(rest) => {
                VersionList::write(list, rest);
                true
            }
            None => false,
        }
    }

    /// REKEY. The epoch must be 1 or above.
    #[must_use]
    pub fn rekey(&mut self, rekey: &RekeyFrame<'_>) -> bool {
        let flags = if rekey.answer { RekeyFlags::ANSWER } else { RekeyFlags::empty() };
        let raw = RawRekey { epoch: U32::new(rekey.epoch), public_key: *rekey.public_key };
        rekey.epoch != 0 && self.fixed(frame_header(FrameKind::Rekey, flags.bits(), 0, size_of_val(&raw), 0), &raw)
    }

    /// PING.
    #[must_use]
    pub fn ping(&mut self, token: u64) -> bool {
        self.fixed(plain_header(FrameKind::Ping, 8), &U64::new(token))
    }

    /// PONG.
    #[must_use]
    pub fn pong(&mut self, token: u64) -> bool {
        self.fixed(plain_header(FrameKind::Pong, 8), &U64::new(token))
    }

    /// CLOSE. Of `reason` goes out what is before its first control character, cut to 64 bytes of whole characters:
    /// a session must not fail to close for its last words.
    #[must_use]
    pub fn close(&mut self, code: u16, reason: &str) -> bool {
        let reason = reason.split(char::is_control).next().unwrap_or_default();
        let reason = cut_to_bytes(reason, MAX_CLOSE_REASON_BYTES).as_bytes();
        let Some(header) = plain_header(FrameKind::Close, 2 + reason.len()) else { return false };
        let Some((code_place, reason_place)) =
            self.reserve(&header, 2 + reason.len()).and_then(|payload| payload.split_at_mut_checked(2))
        else {
            return false;
        };
        code_place.copy_from_slice(&code.to_be_bytes());
        reason_place.copy_from_slice(reason);
        true
    }

    /// PAD: `len` zeros behind a frame header.
    #[must_use]
    pub fn pad(&mut self, len: usize) -> bool {
        let header = plain_header(FrameKind::Pad, len);
        match header.and_then(|header| self.reserve(&header, len)) {
            Some(payload) => {
                payload.fill(0);
                true
            }
            None => false,
        }
    }

    /// STREAM_OPEN. `window` must be within 2^48.
    #[must_use]
    pub fn stream_open(&mut self, stream: StreamId, window: u64, priority: u8) -> bool {
        let raw = RawStreamOpen { window: U64::new(window), priority, reserved: [0; 7] };
        let header = frame_header(FrameKind::StreamOpen, 0, stream.get(), size_of_val(&raw), 0);
        window <= MAX_STREAM_OFFSET && self.fixed(header, &raw)
    }

    /// STREAM_CLOSE. `final_size` must be within 2^48.
    #[must_use]
    pub fn stream_close(&mut self, stream: StreamId, final_size: u64) -> bool {
        self.fixed(stream_header(FrameKind::StreamClose, stream, 0, final_size), &[0_u8; 0])
    }

    /// STREAM_RESET. `final_size` must be within 2^48.
    #[must_use]
    pub fn stream_reset(&mut self, stream: StreamId, final_size: u64, code: u16) -> bool {
        self.fixed(stream_header(FrameKind::StreamReset, stream, 2, final_size), &U16::new(code))
    }

    /// WINDOW_UPDATE. `limit` must be within 2^48 for a stream and 2^62 for the connection.
    #[must_use]
    pub fn window_update(&mut self, stream: Option<StreamId>, limit: u64) -> bool {
        let header = frame_header(FrameKind::WindowUpdate, 0, stream_number(stream), 8, 0);
        limit <= max_window(stream) && self.fixed(header, &U64::new(limit))
    }

    /// GOAWAY.
    #[must_use]
    pub fn go_away(&mut self, code: u16, last_stream: Option<StreamId>) -> bool {
        let raw = RawGoAway { code: U16::new(code), last_stream: U16::new(stream_number(last_stream)) };
        self.fixed(plain_header(FrameKind::GoAway, size_of_val(&raw)), &raw)
    }

    /// PATH_CHALLENGE.
    #[must_use]
    pub fn path_challenge(&mut self, data: &[u8; 8]) -> bool {
        self.fixed(plain_header(FrameKind::PathChallenge, 8), data)
    }

    /// PATH_RESPONSE.
    #[must_use]
    pub fn path_response(&mut self, data: &[u8; 8]) -> bool {
        self.fixed(plain_header(FrameKind::PathResponse, 8), data)
    }

    /// Writes whatever `view` says; `false`, with nothing written, where there is no room for all of it or it breaks
    /// a rule.
    #[must_use]
    pub fn view(&mut self, view: &View<'_>) -> bool {
        match *view {
            View::Data { stream, offset, payload, flags } => {
                match self.data_header(stream, offset, flags, payload.len()) {
                    Some(place) => {
                        place.copy_from_slice(payload);
                        true
                    }
                    None => false,
                }
            }
            View::Ack(frame) => self.whole_ack(&frame),
            View::Control(Control::Keepalive) => self.keepalive(),
            View::Control(Control::Migrate { receiver, sequence }) => self.migrate(receiver, sequence),
            View::Control(Control::VersionNegotiation { versions }) => self.version_negotiation(versions.iter()),
            View::Rekey(rekey) => self.rekey(&rekey),
            View::Ping { token } => self.ping(token),
            View::Pong { token } => self.pong(token),
            View::Close { code, reason } => {
                let whole = reason.len() <= MAX_CLOSE_REASON_BYTES && !reason.contains(char::is_control);
                whole && self.close(code, reason)
            }
            View::Pad { len } => self.pad(len),
            View::StreamOpen { stream, window, priority } => self.stream_open(stream, window, priority),
            View::StreamClose { stream, final_size } => self.stream_close(stream, final_size),
            View::StreamReset { stream, final_size, code } => self.stream_reset(stream, final_size, code),
            View::WindowUpdate { stream, limit } => self.window_update(stream, limit),
            View::GoAway { code, last_stream } => self.go_away(code, last_stream),
            View::PathChallenge { data } => self.path_challenge(&data),
            View::PathResponse { data } => self.path_response(&data),
        }
    }

    /// An ACK with all its ranges, or none.
    fn whole_ack(&mut self, frame: &ack::AckFrame<'_>) -> bool {
        let used = self.used;
        let count = frame.range_count();
        if self.ack(frame.delay_us(), frame.ce_count(), frame.ranges(), count) == Some(count) {
            return true;
        }
        self.used = used;
        false
    }

    /// Starts a CONTROL frame; returns the place of what follows its subtype.
    fn control(&mut self, subtype: ControlSubtype, count: u8, rest_len: usize) -> Option<&mut [u8]> {
        const PREFIX: usize = size_of::<RawControl>();
        debug_assert!(usize::from(count) <= MAX_VERSIONS);
        let header = plain_header(FrameKind::Control, PREFIX + rest_len)?;
        let (prefix, rest) = self.reserve(&header, PREFIX + rest_len)?.split_at_mut_checked(PREFIX)?;
        RawControl { subtype, count, reserved: U16::ZERO }.write_to(prefix).ok()?;
        Some(rest)
    }

    /// Writes a frame whose payload is `payload`.
    fn fixed(&mut self, header: Option<RawFrameHeader>, payload: &(impl IntoBytes + Immutable)) -> bool {
        header
            .and_then(|header| self.reserve(&header, size_of_val(payload)))
            .is_some_and(|place| payload.write_to(place).is_ok())
    }

    /// Writes a header and takes `payload_len` bytes behind it, or nothing where both do not fit.
    #[inline]
    fn reserve(&mut self, header: &RawFrameHeader, payload_len: usize) -> Option<&mut [u8]> {
        let end = self.used + FRAME_HEADER_BYTES + payload_len;
        let (place, payload) = self.out.get_mut(self.used..end)?.split_at_mut_checked(FRAME_HEADER_BYTES)?;
        header.write_to(place).ok()?;
        self.used = end;
        Some(payload)
    }
}

#[inline]
fn data_frame_header(stream: StreamId, offset: u64, flags: DataFlags, payload_len: usize) -> Option<RawFrameHeader> {
    if payload_len == 0 && !flags.contains(DataFlags::FIN) {
        return None;
    }
    // Flags that no name stands for can be made with `from_bits_retain`.
    let flags = DataFlags::from_bits(flags.bits())?;
    let offset = offset_within(offset, payload_len)?;
    frame_header(FrameKind::Data, flags.bits(), stream.get(), payload_len, offset)
}

/// The header of a frame that uses nothing of it but type and payload length.
fn plain_header(kind: FrameKind, payload_len: usize) -> Option<RawFrameHeader> {
    frame_header(kind, 0, 0, payload_len, 0)
}

/// The header of a frame that gives a stream's final size.
fn stream_header(kind: FrameKind, stream: StreamId, payload_len: usize, final_size: u64) -> Option<RawFrameHeader> {
    frame_header(kind, 0, stream.get(), payload_len, offset_within(final_size, 0)?)
}

#[inline]
fn frame_header(kind: FrameKind, flags: u8, stream: u16, payload_len: usize, offset: u64) -> Option<RawFrameHeader> {
    if payload_len > MAX_FRAME_PAYLOAD_BYTES {
        return None;
    }
    Some(RawFrameHeader {
        kind,
        flags,
        stream: U16::new(stream),
        payload_len: U16::new(u16::try_from(payload_len).ok()?),
        reserved: U16::ZERO,
        offset: U64::new(offset),
    })
}

/// The longest front of `text` that has at most `max` bytes and ends with a whole character.
fn cut_to_bytes(text: &str, max: usize) -> &str {
    (0..=max.min(text.len())).rev().find_map(|len| text.get(..len)).unwrap_or_default()
}

/// A stream id where zero stands for none.
fn stream_number(stream: Option<StreamId>) -> u16 {
    stream.map_or(0, StreamId::get)
}

#[cfg(test)]
#[path = "write_tests.rs"]
mod tests;
