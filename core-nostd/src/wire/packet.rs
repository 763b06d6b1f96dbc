//! The outer header: 12 bytes in the clear, authenticated as associated data.
//!
//! ```text
//!  0      1       2          4                8               12
//! | kind | flags | reserved | receiver index | packet number |
//! ```

use bitflags::bitflags;
use zerocopy::byteorder::big_endian::{U16, U32, U64};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, TryCastError, TryFromBytes, Unaligned};

use super::Reject;
use crate::limits::{MAX_DATAGRAM_BYTES, MAX_PACKET_NUMBER_DISTANCE, PACKET_HEADER_BYTES, PACKET_OVERHEAD_BYTES};

/// What a packet is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, TryFromBytes, IntoBytes, KnownLayout, Immutable, Unaligned)]
#[repr(u8)]
pub enum PacketKind {
    /// The initiator's first handshake message, padded to 1200 bytes.
    Init = 1,
    /// A responder under load asks for the INIT again, with this cookie.
    Cookie = 2,
    /// The responder's handshake message.
    Response = 3,
    /// The initiator's second handshake message.
    Finish = 4,
    /// The versions that the responder speaks, in answer to an INIT of another version.
    Version = 5,
    /// The responder will not take the INIT, and says why. It proves nothing: the initiator goes on waiting a while.
    Refused = 6,
    /// Frames, encrypted.
    Protected = 0x10,
}

bitflags! {
    /// Flags of the outer header.
    #[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
    pub struct PacketFlags: u8 {
        /// The lowest bit of the epoch whose keys seal this packet. In protected packets only.
        const KEY_PHASE = 0x01;
    }
}

/// The outer header of a datagram. [`PacketHeader::parse`] gives only ones that keep the rules.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct PacketHeader {
    /// What the packet is for.
    pub kind: PacketKind,
    /// Flags; empty but in protected packets.
    pub flags: PacketFlags,
    /// The index that the receiver chose for this session and path; zero in INIT, where there is none yet.
    pub receiver: u32,
    /// The low half of the packet number; zero but in protected packets.
    pub packet_number_low: u32,
}

#[derive(TryFromBytes, IntoBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
struct RawPacketHeader {
    kind: PacketKind,
    flags: u8,
    reserved: U16,
    receiver: U32,
    packet_number_low: U32,
}

/// The same 12 bytes as words, for those rules that one comparison can hold together.
#[derive(FromBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
struct HeaderWords {
    /// Kind, flags, reserved bits, and the receiver's index in the low half.
    start: U64,
    packet_number_low: U32,
}

const _: () = assert!(size_of::<RawPacketHeader>() == PACKET_HEADER_BYTES);
const _: () = assert!(size_of::<HeaderWords>() == PACKET_HEADER_BYTES);

/// What of [`HeaderWords::start`] is the same in all protected packets: all but the key phase and the receiver.
const PROTECTED_MASK: u64 = !((PacketFlags::KEY_PHASE.bits() as u64) << 48 | u32::MAX as u64);
const PROTECTED_START: u64 = (PacketKind::Protected as u64) << 56;

/// The header of a datagram, where it lies in the datagram: only one that keeps the rules.
///
/// What [`PacketHeader::parse`] returns shares its bytes with the reason of a refusal. Compilers then move it through
/// memory in pieces that overlap, where the processor waits for everything that was stored before, such as the payload of
/// the packet before: 100 ns a packet when that went to a cold buffer. A reference shares nothing.
#[derive(Clone, Copy)]
pub struct HeaderView<'a>(&'a HeaderWords);

impl<'a> HeaderView<'a> {
    /// Checks the header of a datagram, by the rules of [`PacketHeader::parse`].
    ///
    /// # Errors
    /// As [`PacketHeader::parse`].
    #[inline]
    pub fn parse(datagram: &'a [u8]) -> Result<Self, Reject> {
        // Nearly every packet is a protected one that keeps all rules (FRAME-7); which rule another breaks is told after.
        if let Ok((words, _)) = HeaderWords::ref_from_prefix(datagram)
            && words.is_protected()
            && (PACKET_OVERHEAD_BYTES..=MAX_DATAGRAM_BYTES).contains(&datagram.len())
        {
            return Ok(Self(words));
        }
        Self::parse_any(datagram)
    }

    /// Rule by rule.
    #[cold]
    fn parse_any(datagram: &'a [u8]) -> Result<Self, Reject> {
        if datagram.len() > MAX_DATAGRAM_BYTES {
            return Err(Reject::DatagramTooLong);
        }
        let raw = match RawPacketHeader::try_ref_from_prefix(datagram) {
            Ok((raw, _)) => raw,
            // Every field but the kind takes any value, so a header that is there and not valid has an unknown kind.
            Err(TryCastError::Validity(_)) => return Err(Reject::PacketKindUnknown),
            Err(_) => return Err(Reject::DatagramTooShort),
        };
        if raw.reserved.get() != 0 {
            return Err(Reject::PacketReservedNotZero);
        }
        let flags = PacketFlags::from_bits(raw.flags).ok_or(Reject::PacketFlagsUnknown)?;
        let (receiver, packet_number_low) = (raw.receiver.get(), raw.packet_number_low.get());
        PacketHeader { kind: raw.kind, flags, receiver, packet_number_low }.check()?;
        if raw.kind == PacketKind::Protected && datagram.len() < PACKET_OVERHEAD_BYTES {
            return Err(Reject::DatagramTooShort);
        }
        HeaderWords::ref_from_prefix(datagram).map(|(words, _)| Self(words)).map_err(|_| Reject::DatagramTooShort)
    }

    /// What kind of packet it is.
    #[inline]
    pub fn kind(self) -> PacketKind {
        // `parse` lets no other number pass.
        match self.0.start.get() >> 56 {
            1 => PacketKind::Init,
            2 => PacketKind::Cookie,
            3 => PacketKind::Response,
            4 => PacketKind::Finish,
            5 => PacketKind::Version,
            6 => PacketKind::Refused,
            _ => PacketKind::Protected,
        }
    }

    /// Whose it is: the receiver's index, 0 where there is none yet.
    #[inline]
    pub fn receiver(self) -> u32 {
        (self.0.start.get() & u64::from(u32::MAX)) as u32
    }

    /// All of it.
    #[inline]
    pub fn header(self) -> PacketHeader {
        PacketHeader {
            kind: self.kind(),
            flags: PacketFlags::from_bits_truncate((self.0.start.get() >> 48) as u8),
            receiver: self.receiver(),
            packet_number_low: self.0.packet_number_low.get(),
        }
    }
}

impl HeaderWords {
    /// Whether this is the header of a protected packet and keeps every rule, but for those of length.
    #[inline]
    fn is_protected(&self) -> bool {
        let start = self.start.get();
        start & PROTECTED_MASK == PROTECTED_START && start & u64::from(u32::MAX) != 0
    }
}

impl PacketHeader {
    /// Reads the header of a datagram; returns it and where the body begins.
    ///
    /// The datagram's length is checked here too: at most 9000 bytes, and in a protected packet at least a frame
    /// header and a tag.
    ///
    /// # Errors
    /// [`Reject::DatagramTooShort`], [`Reject::DatagramTooLong`], [`Reject::PacketKindUnknown`],
    /// [`Reject::PacketFlagsUnknown`], [`Reject::PacketReservedNotZero`], [`Reject::PacketReceiverInvalid`] or
    /// [`Reject::PacketNumberNotZero`].
    #[inline]
    pub fn parse(datagram: &[u8]) -> Result<(Self, usize), Reject> {
        HeaderView::parse(datagram).map(|view| (view.header(), PACKET_HEADER_BYTES))
    }

    /// Writes the header to the front of `out`; returns its length.
    ///
    /// `None`, with nothing written, where `out` is too small or [`PacketHeader::parse`] would refuse the header.
    #[inline]
    pub fn write(&self, out: &mut [u8]) -> Option<usize> {
        self.check().ok()?;
        let raw = RawPacketHeader {
            kind: self.kind,
            flags: self.flags.bits(),
            reserved: U16::ZERO,
            receiver: U32::new(self.receiver),
            packet_number_low: U32::new(self.packet_number_low),
        };
        raw.write_to_prefix(out).ok()?;
        Some(PACKET_HEADER_BYTES)
    }

    /// The rules that tie the fields to the kind.
    #[inline]
    fn check(&self) -> Result<(), Reject> {
        if (self.receiver == 0) != (self.kind == PacketKind::Init) {
            return Err(Reject::PacketReceiverInvalid);
        }
        if self.kind == PacketKind::Protected {
            return Ok(());
        }
        if !self.flags.is_empty() {
            return Err(Reject::PacketFlagsUnknown);
        }
        if self.packet_number_low != 0 {
            return Err(Reject::PacketNumberNotZero);
        }
        Ok(())
    }
}

/// The packet number whose low half is `low`, nearest to the newest authenticated one (after RFC 4304, and RFC 9000
/// A.3 in that both directions count).
///
/// `None` where that is further than 2^20 away, or would lie below 0 or above 2^64 - 1.
#[inline]
#[must_use]
pub const fn extend_packet_number(newest_authenticated: u64, low: u32) -> Option<u64> {
    // The difference modulo 2^32, read as signed, is the shortest way from one to the other across any wrap.
    let step = low.wrapping_sub(newest_authenticated as u32) as i32;
    if step.unsigned_abs() as u64 > MAX_PACKET_NUMBER_DISTANCE {
        return None;
    }
    newest_authenticated.checked_add_signed(step as i64)
}

#[cfg(test)]
mod tests {
    use super::*;

    const PROTECTED: PacketHeader = PacketHeader {
        kind: PacketKind::Protected,
        flags: PacketFlags::KEY_PHASE,
        receiver: 0x0102_0304,
        packet_number_low: 0xfffe_fdfc,
    };

    fn datagram(header: [u8; 12]) -> [u8; 44] {
        let mut bytes = [0; 44];
        bytes[..12].copy_from_slice(&header);
        bytes
    }

    #[test]
    fn the_bytes_of_a_header_are_as_documented() {
        let mut out = [0xaa; 44];
        assert_eq!(PROTECTED.write(&mut out), Some(12));
        assert_eq!(out[..13], [0x10, 1, 0, 0, 1, 2, 3, 4, 0xff, 0xfe, 0xfd, 0xfc, 0xaa]);
        assert_eq!(PacketHeader::parse(&out), Ok((PROTECTED, 12)));
        assert_eq!(PROTECTED.write(&mut [0; 11]), None);
    }

    #[test]
    fn kinds_outside_the_seven_are_refused() {
        for kind in 0..=u8::MAX {
            let index = u8::from(kind != 1);
            let parsed = PacketHeader::parse(&datagram([kind, 0, 0, 0, 0, 0, 0, index, 0, 0, 0, 0]));
            let known = matches!(kind, 1..=6 | 0x10);
            assert_eq!(parsed.is_ok(), known, "{kind:#x}");
            assert!(known || parsed == Err(Reject::PacketKindUnknown));
        }
    }

    #[test]
    fn each_rule_of_the_header_has_its_reason() {
        let cases = [
            ([0x10, 2, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0], Reject::PacketFlagsUnknown),
            ([0x03, 1, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0], Reject::PacketFlagsUnknown),
            ([0x10, 0, 1, 0, 0, 0, 0, 1, 0, 0, 0, 0], Reject::PacketReservedNotZero),
            ([0x10, 0, 0, 1, 0, 0, 0, 1, 0, 0, 0, 0], Reject::PacketReservedNotZero),
            ([0x10, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0], Reject::PacketReceiverInvalid),
            ([0x01, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0], Reject::PacketReceiverInvalid),
            ([0x03, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 1], Reject::PacketNumberNotZero),
        ];
        for (header, reject) in cases {
            assert_eq!(PacketHeader::parse(&datagram(header)), Err(reject), "{header:?}");
        }
    }

    #[test]
    fn lengths_are_checked_at_both_ends() {
        let bytes = datagram([0x10, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0]);
        assert!(PacketHeader::parse(&bytes).is_ok());
        for length in 0..44 {
            assert_eq!(PacketHeader::parse(&bytes[..length]), Err(Reject::DatagramTooShort));
        }
        let mut long = [0; 9001];
        long[..44].copy_from_slice(&bytes);
        assert!(PacketHeader::parse(&long[..9000]).is_ok());
        assert_eq!(PacketHeader::parse(&long), Err(Reject::DatagramTooLong));
    }

    #[test]
    fn what_parse_would_refuse_is_not_written() {
        let mut out = [0; 12];
        assert_eq!(PacketHeader { receiver: 0, ..PROTECTED }.write(&mut out), None);
        assert_eq!(PacketHeader { kind: PacketKind::Finish, ..PROTECTED }.write(&mut out), None);
        assert_eq!(out, [0; 12]);
    }

    #[test]
    fn packet_numbers_extend_across_every_wrap() {
        const FAR: u64 = 1 << 20;
        let wrap = 1_u64 << 32;
        for newest in [0, 1, FAR, wrap - 1, wrap, wrap + 1, 7 * wrap - 3, u64::MAX - FAR, u64::MAX - 1, u64::MAX] {
            for step in [0, 1, 2, FAR - 1, FAR] {
                for number in [newest.checked_add(step), newest.checked_sub(step)].into_iter().flatten() {
                    assert_eq!(extend_packet_number(newest, number as u32), Some(number), "{newest} {step}");
                }
            }
            for step in [FAR + 1, FAR + 2, wrap / 2, wrap - FAR - 1] {
                assert_eq!(extend_packet_number(newest, newest.wrapping_add(step) as u32), None, "{newest} {step}");
            }
        }
        assert_eq!(extend_packet_number(0, u32::MAX), None);
        assert_eq!(extend_packet_number(u64::MAX, 0), None);
    }
}
