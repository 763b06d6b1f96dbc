//! TCP headers (RFC 9293), and the options that a SYN carries (RFC 7323, RFC 2018).

use zerocopy::byteorder::big_endian::{U16, U32};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

/// Bytes of a header without options.
pub(crate) const TCP_BYTES: usize = 20;

/// The sender has no more to send.
pub(crate) const FIN: u8 = 0x01;
/// The sequence number is the first.
pub(crate) const SYN: u8 = 0x02;
/// There is no such connection.
pub(crate) const RST: u8 = 0x04;
/// The acknowledgement number counts.
pub(crate) const ACK: u8 = 0x10;

/// Options: the end of them, and the one of a single byte that says nothing.
const OPTION_END: u8 = 0;
const OPTION_NOP: u8 = 1;
/// The timestamps option's kind and length (RFC 7323 section 3.2).
const OPTION_TIMESTAMPS: u8 = 8;
const TIMESTAMPS_BYTES: u8 = 10;

#[derive(Clone, Copy, FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
pub(crate) struct TcpHeader {
    pub(crate) source: U16,
    pub(crate) destination: U16,
    pub(crate) sequence: U32,
    pub(crate) acknowledgement: U32,
    /// Header length in units of four bytes (4 bits), reserved (4 bits).
    pub(crate) length: u8,
    pub(crate) flags: u8,
    pub(crate) window: U16,
    pub(crate) checksum: U16,
    pub(crate) urgent: U16,
}

impl TcpHeader {
    /// A header with these flags, and nothing in it yet; `options` is the number of their bytes, a multiple of four up to 40.
    pub(crate) const fn new(flags: u8, options: usize) -> Self {
        Self {
            source: U16::ZERO,
            destination: U16::ZERO,
            sequence: U32::ZERO,
            acknowledgement: U32::ZERO,
            length: (((TCP_BYTES + options) / 4) << 4) as u8,
            flags,
            window: U16::ZERO,
            checksum: U16::ZERO,
            urgent: U16::ZERO,
        }
    }

    /// Finds the header in front of a segment; returns it and its options. `None` where it is not whole.
    #[inline]
    pub(crate) fn parse(segment: &[u8]) -> Option<(&Self, &[u8])> {
        let (header, rest) = Self::ref_from_prefix(segment).ok()?;
        let options = (usize::from(header.length >> 4) * 4).checked_sub(TCP_BYTES)?;
        Some((header, rest.get(..options)?))
    }
}

/// The options of a SYN in the order in which Linux writes them (`tcp_options_write`, net/ipv4/tcp_output.c).
#[derive(Clone, Copy, FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
pub(crate) struct SynOptions {
    segment_size_kind: [u8; 2],
    segment_size: U16,
    selective: [u8; 2],
    timestamps_kind: [u8; 2],
    pub(crate) timestamp: U32,
    echo: U32,
    no_operation: u8,
    window_scale: [u8; 3],
}

/// Bytes of the options of a SYN.
pub(crate) const SYN_OPTIONS_BYTES: usize = 20;

const _: () = assert!(size_of::<TcpHeader>() == TCP_BYTES && size_of::<SynOptions>() == SYN_OPTIONS_BYTES);

impl SynOptions {
    /// The options of a host that takes segments of up to `segment_size` bytes.
    pub(crate) const fn new(segment_size: u16) -> Self {
        Self {
            segment_size_kind: [2, 4],
            segment_size: U16::from_bytes(segment_size.to_be_bytes()),
            selective: [4, 2],
            timestamps_kind: [OPTION_TIMESTAMPS, TIMESTAMPS_BYTES],
            timestamp: U32::ZERO,
            echo: U32::ZERO,
            no_operation: OPTION_NOP,
            window_scale: [3, 3, 7],
        }
    }
}

/// A SYN.
#[derive(Clone, Copy, FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
pub(crate) struct SynSegment {
    pub(crate) tcp: TcpHeader,
    pub(crate) options: SynOptions,
}

/// The timestamp that is sent back in the timestamps option; `None` where there is none, or the options make no sense.
#[inline]
pub(crate) fn echoed_timestamp(mut options: &[u8]) -> Option<u32> {
    // Each turn takes at least one byte.
    while let Some((kind, rest)) = options.split_first() {
        match *kind {
            OPTION_END => return None,
            OPTION_NOP => options = rest,
            kind => {
                let length = usize::from(*rest.first()?);
                let value = options.get(2..length)?;
                if kind == OPTION_TIMESTAMPS && length == usize::from(TIMESTAMPS_BYTES) {
                    return value.last_chunk().map(|echo| u32::from_be_bytes(*echo));
                }
                options = options.get(length..)?;
            }
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_echo_is_found_wherever_it_stands() {
        let timestamps = [8, 10, 1, 2, 3, 4, 5, 6, 7, 8];
        let mut options = [1; 40];
        for start in 0..=30 {
            options.fill(1);
            options[start..start + 10].copy_from_slice(&timestamps);
            assert_eq!(echoed_timestamp(&options), Some(0x0506_0708), "{start}");
            assert_eq!(echoed_timestamp(&options[..start + 9]), None, "cut");
        }
        options[..4].copy_from_slice(&[2, 4, 5, 0xb4]);
        assert_eq!(echoed_timestamp(&options), Some(0x0506_0708));
    }

    #[test]
    fn options_that_make_no_sense_have_no_echo() {
        for options in
            [&[][..], &[8], &[8, 0], &[8, 1, 0], &[2, 0, 8, 10], &[0, 8, 10, 0, 0, 0, 0, 0, 0, 0, 1], &[3, 9]]
        {
            assert_eq!(echoed_timestamp(options), None, "{options:?}");
        }
        assert_eq!(echoed_timestamp(&[8, 9, 0, 0, 0, 0, 0, 0, 1]), None, "another length is another option");
    }

    #[test]
    fn a_header_says_how_long_it_is() {
        let mut segment = [0; 60];
        for (length, options) in [(0, None), (4, None), (5, Some(0)), (6, Some(4)), (15, Some(40))] {
            segment[12] = length << 4;
            assert_eq!(TcpHeader::parse(&segment).map(|(_, options)| options.len()), options);
        }
        assert!(TcpHeader::parse(&segment[..59]).is_none());
        assert!(TcpHeader::parse(&segment[..19]).is_none());
    }
}
