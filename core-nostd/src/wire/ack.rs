//! The payload of an ACK frame: which packets arrived, newest first.
//!
//! ```text
//!  0         8               12          16            18         20                  24
//! | largest | ack delay, us | CE count  | range count | reserved | first range length |
//! | gap (4) | range length (4) |   ... range count - 1 times
//! ```
//! A range's length counts its packets; a gap counts the packets between two ranges. Both are 1 or more, so that
//! one set of packets has one encoding.

use zerocopy::byteorder::big_endian::{U16, U32, U64};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

use super::Reject;
use crate::limits::MAX_FRAME_PAYLOAD_BYTES;

/// Packets `first` to `last`, both included; `first` is not above `last`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct AckRange {
    /// The oldest packet of the range.
    pub first: u64,
    /// The newest packet of the range.
    pub last: u64,
}

impl AckRange {
    /// How many packets the range holds; zero where `first` is above `last`.
    #[inline]
    #[must_use]
    pub const fn packets(self) -> u64 {
        match self.last.checked_sub(self.first) {
            Some(more) => more.saturating_add(1),
            None => 0,
        }
    }

    /// Whether the packet is in the range.
    #[inline]
    #[must_use]
    pub const fn contains(self, packet_number: u64) -> bool {
        self.first <= packet_number && packet_number <= self.last
    }
}

/// The fixed part of an ACK's payload.
#[derive(Clone, Copy, Debug, PartialEq, Eq, FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
struct RawAck {
    largest: U64,
    delay_us: U32,
    ce_count: U32,
    range_count: U16,
    reserved: U16,
    first_range_len: U32,
}

/// One further range.
#[derive(Clone, Copy, Debug, PartialEq, Eq, FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
struct RawRange {
    gap: U32,
    len: U32,
}

const ACK_BYTES: usize = size_of::<RawAck>();
const RANGE_BYTES: usize = size_of::<RawRange>();
const _: () = assert!(ACK_BYTES == 24 && RANGE_BYTES == 8);

/// Ranges that fit the longest payload.
pub const MAX_ACK_RANGES: usize = 1 + (MAX_FRAME_PAYLOAD_BYTES - ACK_BYTES) / RANGE_BYTES;

/// A valid acknowledgement.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AckFrame<'a> {
    fixed: &'a RawAck,
    more: &'a [RawRange],
}

impl<'a> AckFrame<'a> {
    /// Reads an ACK's payload and walks all its ranges.
    pub(super) fn parse(payload: &'a [u8]) -> Result<Self, Reject> {
        let (fixed, rest) = RawAck::ref_from_prefix(payload).map_err(|_| Reject::AckLength)?;
        if fixed.reserved.get() != 0 {
            return Err(Reject::FrameReservedNotZero);
        }
        let more_count = fixed.range_count.get().checked_sub(1).ok_or(Reject::AckRangeCountZero)?;
        let more =
            <[RawRange]>::ref_from_bytes_with_elems(rest, usize::from(more_count)).map_err(|_| Reject::AckLength)?;
        let mut oldest = range_below(fixed.largest.get(), fixed.first_range_len.get())?.first;
        for raw in more {
            oldest = next_range(oldest, raw)?.first;
        }
        Ok(Self { fixed, more })
    }

    /// The newest packet that arrived.
    #[inline]
    #[must_use]
    pub fn largest(&self) -> u64 {
        self.fixed.largest.get()
    }

    /// How long the receiver held back this acknowledgement of [`AckFrame::largest`], in microseconds.
    #[inline]
    #[must_use]
    pub fn delay_us(&self) -> u32 {
        self.fixed.delay_us.get()
    }

    /// Packets that came with Congestion Experienced since the session began, modulo 2^32.
    #[inline]
    #[must_use]
    pub fn ce_count(&self) -> u32 {
        self.fixed.ce_count.get()
    }

    /// How many ranges there are: 1 or more.
    #[must_use]
    pub fn range_count(&self) -> usize {
        1 + self.more.len()
    }

    /// The ranges, from newest to oldest; between two of them lies at least one packet.
    #[inline]
    #[must_use]
    pub fn ranges(&self) -> AckRanges<'a> {
        AckRanges { first: Some(self.fixed), oldest: 0, more: self.more.iter() }
    }
}

/// The ranges of an [`AckFrame`], from newest to oldest.
#[derive(Clone, Debug)]
pub struct AckRanges<'a> {
    first: Option<&'a RawAck>,
    oldest: u64,
    more: core::slice::Iter<'a, RawRange>,
}

impl Iterator for AckRanges<'_> {
    type Item = AckRange;

    #[inline]
    fn next(&mut self) -> Option<AckRange> {
        // `AckFrame::parse` walked these ranges, so neither call can fail.
        let range = match self.first.take() {
            Some(fixed) => range_below(fixed.largest.get(), fixed.first_range_len.get()).ok()?,
            None => next_range(self.oldest, self.more.next()?).ok()?,
        };
        self.oldest = range.first;
        Some(range)
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        let left = usize::from(self.first.is_some()) + self.more.len();
        (left, Some(left))
    }
}

impl ExactSizeIterator for AckRanges<'_> {}

/// The range of `len` packets whose newest is `last`.
#[inline]
fn range_below(last: u64, len: u32) -> Result<AckRange, Reject> {
    let more = len.checked_sub(1).ok_or(Reject::AckRangeEmpty)?;
    let first = last.checked_sub(u64::from(more)).ok_or(Reject::AckUnderflow)?;
    Ok(AckRange { first, last })
}

/// The range after (that is: older than) the one that ends at `oldest`.
#[inline]
fn next_range(oldest: u64, raw: &RawRange) -> Result<AckRange, Reject> {
    let gap = u64::from(raw.gap.get());
    if gap == 0 {
        return Err(Reject::AckGapEmpty);
    }
    let last = oldest.checked_sub(gap + 1).ok_or(Reject::AckUnderflow)?;
    range_below(last, raw.len.get())
}

/// Writes an ACK's payload to the front of `out`, with as many of `ranges` as fit there and into `max_ranges` (at
/// least one); returns its length and how many ranges those are.
///
/// `None` where there is no range, the first one is empty, or `out` has no room for one.
pub(super) fn write_payload(
    out: &mut [u8],
    delay_us: u32,
    ce_count: u32,
    ranges: impl IntoIterator<Item = AckRange>,
    max_ranges: usize,
) -> Option<(usize, usize)> {
    let mut ranges = ranges.into_iter();
    let newest = ranges.next()?;
    let (first_range_len, mut complete) = wire_len(newest)?;
    let (fixed, rest) = RawAck::mut_from_prefix(out).ok()?;
    let (places, _) = <[RawRange]>::mut_from_prefix_with_elems(rest, rest.len() / RANGE_BYTES).ok()?;

    let mut oldest = newest.first;
    let mut count = 1;
    for (place, range) in places.iter_mut().zip(ranges).take(max_ranges.clamp(1, MAX_ACK_RANGES) - 1) {
        // Older ranges may be left out, and must be where one before them could not be told in full.
        let Some((raw, whole)) = raw_range(oldest, range).filter(|_| complete) else { break };
        *place = raw;
        complete = whole;
        oldest = range.first;
        count += 1;
    }
    *fixed = RawAck {
        largest: U64::new(newest.last),
        delay_us: U32::new(delay_us),
        ce_count: U32::new(ce_count),
        range_count: U16::new(u16::try_from(count).ok()?),
        reserved: U16::ZERO,
        first_range_len: U32::new(first_range_len),
    };
    Some((ACK_BYTES + (count - 1) * RANGE_BYTES, count))
}

/// The encoding of `range` below a range that ends at `oldest`, and whether it tells the range in full; `None` where
/// the two touch, or are in the wrong order, or too far apart.
fn raw_range(oldest: u64, range: AckRange) -> Option<(RawRange, bool)> {
    let gap = oldest.checked_sub(range.last)?.checked_sub(1)?;
    let gap = u32::try_from(gap).ok().filter(|gap| *gap > 0)?;
    let (len, whole) = wire_len(range)?;
    Some((RawRange { gap: U32::new(gap), len: U32::new(len) }, whole))
}

/// The length of a range as it goes on the wire, and whether it is the whole of it; `None` for an empty range.
fn wire_len(range: AckRange) -> Option<(u32, bool)> {
    match u32::try_from(range.packets()) {
        Ok(0) => None,
        Ok(len) => Some((len, true)),
        Err(_) => Some((u32::MAX, false)),
    }
}

#[cfg(test)]
#[path = "ack_tests.rs"]
mod tests;
