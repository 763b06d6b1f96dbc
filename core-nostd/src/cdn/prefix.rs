//! Prefixes of addresses as lists write them, and the spans that they cover.

use core::fmt;
use core::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// An address of either family as a number.
pub trait Address: Copy + Ord + fmt::Debug {
    /// The half of it that tables are searched by.
    type High: Copy + Ord + fmt::Debug;
    /// The rest of it.
    type Low: Copy + Ord + fmt::Debug;
    /// The lowest one.
    const ZERO: Self;
    /// The highest one.
    const MAX: Self;
    /// Bits of one.
    const BITS: u32;
    /// How many entries the index of a table has.
    const BUCKETS: usize;

    /// Its halves: addresses are in the order of the high ones, and of the low ones among equals.
    fn split(self) -> (Self::High, Self::Low);

    /// The address of these halves.
    fn join(high: Self::High, low: Self::Low) -> Self;

    /// Which entry of the index belongs to it: never falls as addresses rise.
    fn bucket(self) -> usize;

    /// The lowest address of the bucket; the lowest that is in no bucket before it.
    fn bucket_start(bucket: usize) -> Self;

    /// The next one, or `None` after the highest.
    fn next(self) -> Option<Self>;

    /// The one before, or `None` before the lowest.
    fn previous(self) -> Option<Self>;

    /// The highest bit in which they differ, from 0 for the lowest; `None` for equal ones.
    fn highest_difference(self, other: Self) -> Option<u32>;

    /// It with so many of its low bits cleared.
    fn without_low_bits(self, bits: u32) -> Self;

    /// It with so many of its low bits set.
    fn with_low_bits(self, bits: u32) -> Self;

    /// For people.
    fn ip(self) -> IpAddr;
}

macro_rules! low_bits {
    ($number:ty, $bits:expr) => {
        <$number>::MAX.checked_shr(<$number>::BITS - $bits.min(<$number>::BITS)).unwrap_or(0)
    };
}

macro_rules! address_arithmetic {
    ($number:ty) => {
        const ZERO: Self = 0;
        const MAX: Self = <$number>::MAX;
        const BITS: u32 = <$number>::BITS;

        fn next(self) -> Option<Self> {
            self.checked_add(1)
        }

        fn previous(self) -> Option<Self> {
            self.checked_sub(1)
        }

        fn highest_difference(self, other: Self) -> Option<u32> {
            (self ^ other).checked_ilog2()
        }

        fn without_low_bits(self, bits: u32) -> Self {
            self & !low_bits!($number, bits)
        }

        fn with_low_bits(self, bits: u32) -> Self {
            self | low_bits!($number, bits)
        }
    };
}

impl Address for u32 {
    type High = Self;
    type Low = ();

    address_arithmetic!(u32);
    const BUCKETS: usize = 1 << 16;

    #[inline]
    fn split(self) -> (Self, ()) {
        (self, ())
    }

    fn join(high: Self, (): ()) -> Self {
        high
    }

    #[inline]
    fn bucket(self) -> usize {
        (self >> 16) as usize
    }

    fn bucket_start(bucket: usize) -> Self {
        // Callers stay below BUCKETS.
        (bucket as u32) << 16
    }

    fn ip(self) -> IpAddr {
        Ipv4Addr::from(self).into()
    }
}

/// The buckets are the 2^16 blocks of length 19 in 2000::/3, where all global unicast addresses are; the first and the last
/// bucket also hold what is below and above.
impl Address for u128 {
    type High = u64;
    type Low = u64;

    address_arithmetic!(u128);
    const BUCKETS: usize = 1 << 16;

    #[inline]
    fn split(self) -> (u64, u64) {
        // The low half is meant to lose the high one.
        ((self >> 64) as u64, self as u64)
    }

    fn join(high: u64, low: u64) -> Self {
        Self::from(high) << 64 | Self::from(low)
    }

    #[inline]
    fn bucket(self) -> usize {
        const FIRST: u32 = 0x2000_0000;
        let high = ((self >> 96) as u32).clamp(FIRST, FIRST + 0x1fff_ffff);
        ((high - FIRST) >> 13) as usize
    }

    fn bucket_start(bucket: usize) -> Self {
        if bucket == 0 { 0 } else { (0x2000_0000 + ((bucket as u128) << 13)) << 96 }
    }

    fn ip(self) -> IpAddr {
        Ipv6Addr::from(self).into()
    }
}

/// The addresses from `first` to `last`, both included.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Span<A> {
    /// The lowest.
    pub first: A,
    /// The highest; not below `first`.
    pub last: A,
}

impl<A: Address> Span<A> {
    /// Whether the address is one of them.
    #[must_use]
    pub fn contains(&self, address: A) -> bool {
        self.first <= address && address <= self.last
    }

    /// The largest prefix around one of its addresses that lies within: its lowest address and its length.
    #[must_use]
    pub fn prefix_around(&self, address: A) -> (A, u32) {
        // A block of 2^n addresses stays clear of a neighbour that differs in bit n or above.
        let room = |neighbour: Option<A>| match neighbour {
            Some(neighbour) => neighbour.highest_difference(address).unwrap_or(0),
            None => A::BITS,
        };
        let bits = room(self.first.previous()).min(room(self.last.next()));
        (address.without_low_bits(bits), A::BITS - bits)
    }
}

/// A prefix of either family.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Prefix {
    /// Of IPv4.
    V4(Span<u32>),
    /// Of IPv6.
    V6(Span<u128>),
}

/// Why a text is no prefix.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PrefixError {
    /// Its first part is no address.
    Address,
    /// Its length is no number, or larger than the address has bits.
    Length,
    /// Bits are set behind the length: it is an address in the prefix, not the prefix.
    HostBits,
}

impl fmt::Display for PrefixError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Address => "this is no IPv4 or IPv6 address",
            Self::Length => "behind the slash belongs a number of bits, at most 32 for IPv4 and 128 for IPv6",
            Self::HostBits => "bits are set behind the length of the prefix",
        })
    }
}

impl core::error::Error for PrefixError {}

impl Prefix {
    /// Reads `192.0.2.0/24`, `2001:db8::/32`, or an address, which is a prefix of full length.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn parse(text: &str) -> Result<Self, PrefixError> {
        let (prefix, has_host_bits) = Self::parse_lenient(text)?;
        if has_host_bits { Err(PrefixError::HostBits) } else { Ok(prefix) }
    }

    /// As [`Prefix::parse`], but an address with a length stands for the prefix around it; says whether it was one.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn parse_lenient(text: &str) -> Result<(Self, bool), PrefixError> {
        let (address, length) = match text.split_once('/') {
            Some((address, length)) => (address, Some(length)),
            None => (text, None),
        };
        let ip: IpAddr = address.parse().map_err(|_| PrefixError::Address)?;
        let full = if ip.is_ipv4() { u32::BITS } else { u128::BITS };
        let length = length.map_or(Ok(full), parse_length)?;
        let host_bits = full.checked_sub(length).ok_or(PrefixError::Length)?;
        Ok(match ip {
            IpAddr::V4(ip) => {
                let (number, mask) = (u32::from(ip), low_bits!(u32, host_bits));
                (Self::V4(Span { first: number & !mask, last: number | mask }), number & mask != 0)
            }
            IpAddr::V6(ip) => {
                let (number, mask) = (u128::from(ip), low_bits!(u128, host_bits));
                (Self::V6(Span { first: number & !mask, last: number | mask }), number & mask != 0)
            }
        })
    }

    /// How many addresses it has; 2^128 - 1 stands for 2^128, too.
    #[must_use]
    pub const fn addresses(&self) -> u128 {
        match self {
            Self::V4(span) => (span.last - span.first) as u128 + 1,
            Self::V6(span) => (span.last - span.first).saturating_add(1),
        }
    }
}

/// Digits only: a sign or a space would be read as a number otherwise.
fn parse_length(text: &str) -> Result<u32, PrefixError> {
    let is_number = matches!(text.len(), 1..=3) && text.bytes().all(|byte| byte.is_ascii_digit());
    if !is_number {
        return Err(PrefixError::Length);
    }
    text.parse().map_err(|_| PrefixError::Length)
}

impl fmt::Display for Prefix {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::V4(span) => {
                let (first, length) = span.prefix_around(span.first);
                write!(f, "{}/{length}", first.ip())
            }
            Self::V6(span) => {
                let (first, length) = span.prefix_around(span.first);
                write!(f, "{}/{length}", first.ip())
            }
        }
    }
}

#[cfg(test)]
mod tests {
    extern crate std;

    use std::string::ToString;

    use super::*;

    #[test]
    fn prefixes_read_as_they_are_written() {
        for text in ["192.0.2.0/24", "0.0.0.0/0", "198.51.100.7/32", "2001:db8::/32", "::/0", "2001:db8::1/128"] {
            assert_eq!(Prefix::parse(text).unwrap().to_string(), text);
        }
        assert_eq!(Prefix::parse("192.0.2.7").unwrap().to_string(), "192.0.2.7/32");
        assert_eq!(Prefix::parse_lenient("192.0.2.7/24").unwrap(), (Prefix::parse("192.0.2.0/24").unwrap(), true));
    }

    #[test]
    fn what_is_no_prefix_is_refused() {
        for (text, error) in [
            ("", PrefixError::Address),
            ("192.0.2", PrefixError::Address),
            ("192.0.2.0/", PrefixError::Length),
            ("192.0.2.0/33", PrefixError::Length),
            ("192.0.2.0/+8", PrefixError::Length),
            ("192.0.2.0/ 8", PrefixError::Length),
            ("2001:db8::/129", PrefixError::Length),
            ("192.0.2.1/24", PrefixError::HostBits),
            ("2001:db8::1/64", PrefixError::HostBits),
        ] {
            assert_eq!(Prefix::parse(text), Err(error), "{text}");
        }
    }

    #[test]
    fn the_prefix_around_an_address_fills_the_span_and_no_more() {
        let span =
            |first: [u8; 4], last: [u8; 4]| Span { first: u32::from_be_bytes(first), last: u32::from_be_bytes(last) };
        let around = |span: Span<u32>, ip: [u8; 4]| {
            let (first, length) = span.prefix_around(u32::from_be_bytes(ip));
            (first.to_be_bytes(), length)
        };
        assert_eq!(around(span([10, 0, 0, 0], [10, 0, 2, 255]), [10, 0, 1, 9]), ([10, 0, 0, 0], 23));
        assert_eq!(around(span([10, 0, 0, 0], [10, 0, 2, 255]), [10, 0, 2, 9]), ([10, 0, 2, 0], 24));
        assert_eq!(around(span([10, 0, 0, 1], [10, 0, 0, 1]), [10, 0, 0, 1]), ([10, 0, 0, 1], 32));
        assert_eq!(around(span([0; 4], [255; 4]), [1, 2, 3, 4]), ([0; 4], 0));
        assert_eq!(around(span([0; 4], [127, 255, 255, 255]), [1, 2, 3, 4]), ([0; 4], 1));
    }

    #[test]
    fn buckets_rise_with_addresses() {
        assert_eq!((0_u128.bucket(), (0x2000_u128 << 112).bucket(), u128::MAX.bucket()), (0, 0, 0xffff));
        for bucket in [0, 1, 2, 0x1000, 0xffff] {
            assert_eq!(<u32 as Address>::bucket_start(bucket).bucket(), bucket);
            assert_eq!(<u128 as Address>::bucket_start(bucket).bucket(), bucket);
        }
        let before = <u128 as Address>::bucket_start(7).previous().unwrap();
        assert_eq!(before.bucket(), 6);
    }
}
