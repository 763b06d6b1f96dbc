//! The Internet checksum (RFC 1071).

/// Bytes that one turn of the loop adds: eight lanes, which compilers turn into vectors.
const BLOCK_BYTES: usize = 32;
/// Bytes of a lane's summand. Sums of 16-bit words may be folded from wider ones at the end (RFC 1071 section 2 (C)).
const WORD_BYTES: usize = 4;

/// The ones' complement sum of 16-bit words, taken part by part.
///
/// Words are added in the byte order of the machine, which changes the sum only by a swap of its bytes (RFC 1071
/// section 2 (B)).
#[derive(Clone, Copy, Debug, Default)]
pub struct Checksum(u64);

impl Checksum {
    /// The sum of nothing.
    #[must_use]
    pub const fn new() -> Self {
        Self(0)
    }

    /// Goes on over `bytes`. All parts but the last have an even length: a byte left over is taken as followed by a zero.
    ///
    /// Any amount of bytes that fits into memory is summed exactly.
    #[must_use]
    #[inline]
    pub fn over(self, bytes: &[u8]) -> Self {
        let (blocks, rest) = bytes.as_chunks::<BLOCK_BYTES>();
        let sum = if blocks.is_empty() { self.0 } else { add_folded(self.0, sum_of_blocks(blocks)) };
        let (words, tail) = rest.as_chunks::<WORD_BYTES>();
        let mut last = [0; WORD_BYTES];
        last.iter_mut().zip(tail).for_each(|(to, byte)| *to = *byte);
        // At most eight of 32 bits.
        let rest = words.iter().chain([&last]).fold(0, |sum, word| sum + u64::from(u32::from_ne_bytes(*word)));
        Self(add_folded(sum, rest))
    }

    /// Goes on over a header, whose length is known when this is compiled, and a multiple of four.
    #[must_use]
    #[inline]
    pub fn over_header<const N: usize>(self, header: &[u8; N]) -> Self {
        const { assert!(N.is_multiple_of(WORD_BYTES)) };
        let (words, _) = header.as_chunks::<WORD_BYTES>();
        Self(add_folded(self.0, words.iter().fold(0, |sum, word| sum + u64::from(u32::from_ne_bytes(*word)))))
    }

    /// The checksum: the complement of the sum, as the number whose big-endian bytes go into the packet.
    ///
    /// Zero over bytes that include a right checksum.
    #[must_use]
    #[inline]
    pub const fn finish(self) -> u16 {
        let sum = (self.0 & 0xffff_ffff) + (self.0 >> 32);
        let sum = (sum & 0xffff) + (sum >> 16);
        let sum = (sum & 0xffff) + (sum >> 16);
        let sum = (sum & 0xffff) + (sum >> 16);
        u16::from_be(!(sum as u16))
    }
}

impl Checksum {
    /// Goes on over one word, as the number that its bytes say in big-endian order.
    #[must_use]
    #[inline]
    pub(crate) const fn over_u16(self, word: u16) -> Self {
        Self(add_folded(self.0, word.to_be() as u64))
    }

    /// Goes on over two words, as the number that their bytes say in big-endian order.
    #[must_use]
    #[inline]
    pub(crate) const fn over_u32(self, words: u32) -> Self {
        Self(add_folded(self.0, words.to_be() as u64))
    }

    /// Goes on over four words, as the number that their bytes say in big-endian order.
    #[must_use]
    #[inline]
    pub(crate) const fn over_u64(self, words: u64) -> Self {
        // A 64-bit number is its two halves, and the carry that is brought around is theirs (RFC 1071 section 2 (C)).
        Self(add_folded(self.0, words.to_be()))
    }

    /// Goes on over what was summed apart from this, from an even place on: constant parts are summed once.
    #[must_use]
    #[inline]
    pub(crate) const fn and(self, other: Self) -> Self {
        Self(add_folded(self.0, other.0))
    }

    /// The checksum as UDP has it: zero says that there is none, and all ones is the same number in ones' complement
    /// (RFC 768).
    #[must_use]
    #[inline]
    pub(crate) const fn finish_udp(self) -> u16 {
        match self.finish() {
            0 => u16::MAX,
            checksum => checksum,
        }
    }
}

#[inline]
fn sum_of_blocks(blocks: &[[u8; BLOCK_BYTES]]) -> u64 {
    let mut lanes = [0_u64; BLOCK_BYTES / WORD_BYTES];
    for block in blocks {
        let (words, _) = block.as_chunks::<WORD_BYTES>();
        for (lane, word) in lanes.iter_mut().zip(words) {
            // 32 bits at a time into 64: no carry is lost before 2^32 blocks.
            *lane = lane.wrapping_add(u64::from(u32::from_ne_bytes(*word)));
        }
    }
    lanes.into_iter().fold(0, add_folded)
}

/// Adds with the carry brought around, so that no amount of parts overflows.
#[inline]
const fn add_folded(sum: u64, more: u64) -> u64 {
    let (sum, carry) = sum.overflowing_add(more);
    sum.wrapping_add(carry as u64)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// RFC 1071, word by word.
    fn naive(bytes: &[u8]) -> u16 {
        let mut sum = 0_u32;
        for pair in bytes.chunks(2) {
            sum += u32::from(pair[0]) << 8 | pair.get(1).map_or(0, |low| u32::from(*low));
            sum = (sum & 0xffff) + (sum >> 16);
        }
        !(sum as u16)
    }

    fn noise() -> [u8; 3000] {
        let mut state = 7_u32;
        core::array::from_fn(|_| {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            (state >> 24) as u8
        })
    }

    #[test]
    fn the_example_of_rfc_1071() {
        let sum = Checksum::new().over(&[0x00, 0x01, 0xf2, 0x03, 0xf4, 0xf5, 0xf6, 0xf7]);
        assert_eq!(sum.finish(), !0xddf2);
        assert_eq!(Checksum::new().finish(), 0xffff);
    }

    #[test]
    fn every_length_at_every_alignment_is_as_word_by_word() {
        let bytes = noise();
        for start in 0..16 {
            for length in 0..1600 {
                let part = &bytes[start..start + length];
                assert_eq!(Checksum::new().over(part).finish(), naive(part), "{start} {length}");
            }
        }
    }

    #[test]
    fn headers_are_summed_as_any_bytes() {
        let bytes = noise();
        let header: &[u8; 40] = bytes.first_chunk().unwrap();
        assert_eq!(Checksum(9).over_header(header).finish(), Checksum(9).over(header).finish());
        assert_eq!(Checksum(u64::MAX).over_header(&[0xff; 8]).finish(), Checksum(u64::MAX).over(&[0xff; 8]).finish());
    }

    #[test]
    fn numbers_are_summed_as_their_bytes() {
        let bytes = noise();
        for start in 0..200 {
            let (word, _) = bytes[start..].split_first_chunk::<8>().unwrap();
            let number = u64::from_be_bytes(*word);
            let by_number = Checksum(start as u64)
                .over_u16((number >> 48) as u16)
                .over_u32((number >> 16) as u32)
                .over_u16(number as u16);
            let by_bytes = Checksum(start as u64).over(word);
            assert_eq!(by_number.finish(), by_bytes.finish());
            assert_eq!(Checksum(start as u64).over_u64(number).finish(), by_bytes.finish());
            assert_eq!(Checksum(u64::MAX).and(Checksum::new().over(word)).finish(), naive(word));
        }
    }

    #[test]
    fn sums_at_the_carry_are_as_word_by_word() {
        for byte in [0x00, 0x01, 0x7f, 0x80, 0xff] {
            let bytes = [byte; 3000];
            for length in 0..bytes.len() {
                assert_eq!(Checksum::new().over(&bytes[..length]).finish(), naive(&bytes[..length]), "{byte} {length}");
            }
        }
        let full = Checksum(u64::MAX).over(&[0, 1]);
        assert_eq!(full.finish(), !1, "2^64 - 1 is a zero of ones' complement");
    }

    #[test]
    fn parts_sum_up_to_the_whole() {
        let bytes = noise();
        for cut in (0..bytes.len()).step_by(2) {
            let (front, back) = bytes[..2999].split_at(cut);
            assert_eq!(Checksum::new().over(front).over(back).finish(), naive(&bytes[..2999]), "{cut}");
        }
    }
}
