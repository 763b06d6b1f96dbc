//! Binary values as text that survives copying, and tells when it did not: tickets and public keys.
//!
//! The form is a prefix that says what it is, then base32 (RFC 4648, lower case, no padding) of the value and a
//! 4-byte BLAKE3 checksum over prefix and value. Base32 has no 0/O or 1/l to confuse and no character that a shell,
//! a chat program or a double click would take apart.

use data_encoding::{BASE32_NOPAD, DecodeKind};
use zeroize::Zeroizing;

use super::schedule;

/// Bytes of the checksum.
pub const CHECKSUM_BYTES: usize = 4;

/// Why a text is not one of ours.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unreadable {
    /// It begins with something else.
    Prefix,
    /// It ends too early to hold even a checksum, or breaks off within a byte.
    Truncated,
    /// A character that the alphabet does not have, or a checksum that does not match.
    Damaged,
}

/// `value` behind `prefix`, which is lower-case ASCII. The copies that this makes are wiped, for a value may be secret.
#[must_use]
pub fn encode(prefix: &str, value: &[u8]) -> String {
    let mut bytes = Zeroizing::new(Vec::with_capacity(value.len() + CHECKSUM_BYTES));
    bytes.extend_from_slice(value);
    bytes.extend_from_slice(&checksum(prefix, value));
    let mut text = prefix.to_owned();
    let mut body = Zeroizing::new(BASE32_NOPAD.encode(&bytes));
    body.make_ascii_lowercase();
    text.push_str(&body);
    text
}

/// The value in `text`, which may be in upper case, as some terminals and scanners have it.
///
/// # Errors
/// [`Unreadable`] says what is wrong with it.
pub fn decode(prefix: &str, text: &str) -> Result<Zeroizing<Vec<u8>>, Unreadable> {
    let head = text.get(..prefix.len()).ok_or(Unreadable::Prefix)?;
    if !head.eq_ignore_ascii_case(prefix) {
        return Err(Unreadable::Prefix);
    }
    let body = Zeroizing::new(text[prefix.len()..].to_ascii_uppercase());
    let bytes = BASE32_NOPAD.decode(body.as_bytes()).map_err(|error| match error.kind {
        DecodeKind::Length => Unreadable::Truncated,
        DecodeKind::Symbol | DecodeKind::Trailing | DecodeKind::Padding => Unreadable::Damaged,
    })?;
    let mut bytes = Zeroizing::new(bytes);
    let value_bytes = bytes.len().checked_sub(CHECKSUM_BYTES).ok_or(Unreadable::Truncated)?;
    let (value, sum) = bytes.split_at(value_bytes);
    if sum != checksum(prefix, value) {
        return Err(Unreadable::Damaged);
    }
    bytes.truncate(value_bytes);
    Ok(bytes)
}

fn checksum(prefix: &str, value: &[u8]) -> [u8; CHECKSUM_BYTES] {
    let mut sum = [0; CHECKSUM_BYTES];
    schedule::derive("wirehaul 1 text checksum", &[prefix.as_bytes(), value], &mut sum);
    sum
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_comes_back_in_either_case() {
        for bytes in [0, 1, 2, 3, 4, 5, 32, 77] {
            let value: Vec<u8> = (0..bytes).map(|n| (n * 7) as u8).collect();
            let text = encode("wht1", &value);
            assert_eq!(*decode("wht1", &text).unwrap(), value);
            assert_eq!(*decode("wht1", &text.to_uppercase()).unwrap(), value);
            assert!(text.bytes().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit()), "{text}");
        }
    }

    #[test]
    fn what_is_wrong_is_told_apart() {
        let text = encode("wht1", b"a value");
        assert_eq!(decode("wht1", "hello there"), Err(Unreadable::Prefix));
        assert_eq!(decode("wht1", "wé"), Err(Unreadable::Prefix));
        assert_eq!(decode("wht1", ""), Err(Unreadable::Prefix));
        assert_eq!(decode("wht1", "wht1"), Err(Unreadable::Truncated));
        assert_eq!(decode("wht1", &text.replace(&text[6..7], "!")), Err(Unreadable::Damaged));
        assert_eq!(decode("wht2", &text.replace("wht1", "wht2")), Err(Unreadable::Damaged));
        for kept in 0..text.len() {
            assert!(decode("wht1", &text[..kept]).is_err(), "{kept} characters were taken for the whole");
        }
    }
}
