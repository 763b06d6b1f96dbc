//! Variable-length integers: 7 bits a byte, lowest first, the top bit set on all but the last; one encoding a value.

/// Longest encoding of a `u64` in bytes.
pub(super) const MAX_BYTES: usize = 10;

/// Why a varint could not be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum VarintError {
    /// The bytes end inside the number.
    Incomplete,
    /// Beyond 64 bits, or longer than needed.
    Malformed,
}

/// Appends `value`.
pub(super) fn put(out: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

/// Takes a number off the front of `input`.
pub(super) fn take(input: &mut &[u8]) -> Result<u64, VarintError> {
    let mut value = 0_u64;
    for (index, &byte) in input.iter().take(MAX_BYTES).enumerate() {
        let bits = u64::from(byte & 0x7f);
        // The tenth byte holds only the 64th bit.
        if index == MAX_BYTES - 1 && bits > 1 {
            return Err(VarintError::Malformed);
        }
        value |= bits << (7 * index);
        if byte & 0x80 == 0 {
            if byte == 0 && index > 0 {
                return Err(VarintError::Malformed);
            }
            *input = &input[index + 1..];
            return Ok(value);
        }
    }
    if input.len() < MAX_BYTES { Err(VarintError::Incomplete) } else { Err(VarintError::Malformed) }
}

/// Maps small magnitudes of either sign to small numbers.
pub(super) fn zigzag(value: i64) -> u64 {
    ((value << 1) ^ (value >> 63)) as u64
}

/// The inverse of [`zigzag`].
pub(super) fn unzigzag(value: u64) -> i64 {
    (value >> 1) as i64 ^ -((value & 1) as i64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_value_comes_back_and_no_prefix_is_a_number() {
        for value in [0, 1, 127, 128, 16_383, 16_384, u64::from(u32::MAX), u64::MAX - 1, u64::MAX] {
            let mut bytes = Vec::new();
            put(&mut bytes, value);
            assert_eq!(take(&mut &bytes[..]), Ok(value));
            for end in 0..bytes.len() {
                assert_eq!(take(&mut &bytes[..end]), Err(VarintError::Incomplete));
            }
        }
    }

    #[test]
    fn longer_than_needed_or_wider_than_64_bits_is_malformed() {
        assert_eq!(take(&mut &[0x80, 0x00][..]), Err(VarintError::Malformed));
        assert_eq!(take(&mut &[0xff; 10][..]), Err(VarintError::Malformed));
        let wide = [0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x02];
        assert_eq!(take(&mut &wide[..]), Err(VarintError::Malformed));
    }

    #[test]
    fn zigzag_inverts() {
        for value in [0, -1, 1, i64::MIN, i64::MAX, -123_456_789] {
            assert_eq!(unzigzag(zigzag(value)), value);
        }
    }
}
