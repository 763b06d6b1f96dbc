//! Attributes of netlink messages: a length, a kind and a value each (include/uapi/linux/netlink.h, `struct nlattr`).

use netlink_packet_core::{DefaultNla, Emitable, NLA_F_NESTED, NLA_HEADER_SIZE, NlasIterator};

/// The attributes in `bytes`, up to the first that is cut short.
pub(super) fn each(bytes: &[u8]) -> impl Iterator<Item = (u16, &[u8])> {
    NlasIterator::new(bytes).map_while(Result::ok).filter_map(|attribute| {
        let (kind, end) = (attribute.kind(), usize::from(attribute.length()));
        Some((kind, attribute.into_inner().get(NLA_HEADER_SIZE..end)?))
    })
}

/// The value of the first attribute of `kind`.
pub(super) fn find(bytes: &[u8], kind: u16) -> Option<&[u8]> {
    each(bytes).find_map(|(other, value)| (other == kind).then_some(value))
}

/// The first attribute of `kind`, a number of 32 bits.
pub(super) fn find_u32(bytes: &[u8], kind: u16) -> Option<u32> {
    find(bytes, kind).and_then(u32_of)
}

/// A number of 32 bits, as the machine keeps it.
pub(super) fn u32_of(value: &[u8]) -> Option<u32> {
    value.try_into().ok().map(u32::from_ne_bytes)
}

/// A number that takes 64 bits, or 32 where that is enough (`uint` in the kernel's specifications).
pub(super) fn uint_of(value: &[u8]) -> Option<u64> {
    value.try_into().ok().map(u64::from_ne_bytes).or_else(|| u32_of(value).map(u64::from))
}

/// Text that ends at its NUL.
pub(super) fn text_of(value: &[u8]) -> Option<&str> {
    std::str::from_utf8(value.split(|byte| *byte == 0).next()?).ok()
}

/// An attribute that holds a number of 32 bits.
pub(super) fn u32_attribute(kind: u16, value: u32) -> Vec<u8> {
    emit(&DefaultNla::new(kind, value.to_ne_bytes().to_vec()))
}

/// An attribute that holds attributes.
pub(super) fn nest(kind: u16, inner: Vec<u8>) -> Vec<u8> {
    emit(&DefaultNla::new(kind | NLA_F_NESTED, inner))
}

fn emit(attribute: &DefaultNla) -> Vec<u8> {
    let mut bytes = vec![0; attribute.buffer_len()];
    attribute.emit(&mut bytes);
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read() {
        let bytes = [u32_attribute(1, 7), nest(2, u32_attribute(3, 9))].concat();
        assert_eq!(find_u32(&bytes, 1), Some(7));
        assert_eq!(find(&bytes, 2).and_then(|inner| find_u32(inner, 3)), Some(9));
        assert_eq!(find(&bytes, 3), None);
        assert_eq!(each(&bytes).count(), 2);
    }

    #[test]
    fn attributes_that_are_cut_end_the_list() {
        let bytes = [u32_attribute(1, 7), u32_attribute(2, 8)].concat();
        for len in 0..bytes.len() {
            assert_eq!(each(&bytes[..len]).count(), len / 8, "{len} bytes");
        }
        // A length below that of its own header would never get on.
        assert_eq!(each(&[0; 8]).count(), 0);
        assert_eq!((u32_of(&[1, 2]), uint_of(&[]), text_of(&[0xff, 0])), (None, None, None));
    }

    #[test]
    fn numbers_take_the_room_they_need() {
        assert_eq!(uint_of(&7_u32.to_ne_bytes()), Some(7));
        assert_eq!(uint_of(&(7_u64 << 32).to_ne_bytes()), Some(7 << 32));
        assert_eq!(text_of(b"wire\0\0"), Some("wire"));
    }
}
