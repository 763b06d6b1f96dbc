//! The parse without checks: what a program does that trusts its peer.
//!
//! It takes the layout of `docs/frame-types.md` at its word, for DATA and ACK. Lengths are compared only to find the end of
//! the packet. The compiler's own bounds checks are out of its way: packets have a length that it knows.

/// See [`super::validated`]: the same number of the same packet.
#[inline(always)]
pub fn unvalidated<const N: usize>(datagram: &[u8; N]) -> u64 {
    let mut sum = u32_at(datagram, 4) ^ u32_at(datagram, 8) ^ u64::from(datagram[1]);
    let (end, mut at) = (N - 16, 12);
    // The first frame is where the compiler knows; further ones are rare.
    let len = frame(datagram, at, &mut sum);
    at += 16 + len;
    while at < end {
        at += 16 + frame(datagram, at, &mut sum);
    }
    sum
}

/// Adds up the frame at this place; returns the length of its payload.
#[inline(always)]
fn frame<const N: usize>(datagram: &[u8; N], at: usize, sum: &mut u64) -> usize {
    let u16_at = |at: usize| u64::from(u16::from_be_bytes([datagram[at], datagram[at + 1]]));
    let u64_at = |at: usize| u32_at(datagram, at) << 32 | u32_at(datagram, at + 4);
    let len = u16_at(at + 4);
    let said = if datagram[at] == 1 {
        u16_at(at + 2) ^ u64_at(at + 8) ^ len ^ u64::from(datagram[at + 1])
    } else {
        u64_at(at + 16) ^ u32_at(datagram, at + 24) ^ u16_at(at + 32)
    };
    *sum = sum.wrapping_add(said);
    len as usize
}

#[inline(always)]
fn u32_at<const N: usize>(datagram: &[u8; N], at: usize) -> u64 {
    u64::from(u32::from_be_bytes([datagram[at], datagram[at + 1], datagram[at + 2], datagram[at + 3]]))
}

#[cfg(test)]
mod tests {
    use super::super::{packets, validated};
    use super::unvalidated;

    #[test]
    fn both_parses_read_the_same() {
        let small = packets::data::<{ packets::SMALL_BYTES }>(100);
        assert!(small.iter().all(|packet| validated(packet) == Some(unvalidated(packet))));
        let large = packets::data::<{ packets::LARGE_BYTES }>(100);
        assert!(large.iter().all(|packet| validated(packet) == Some(unvalidated(packet))));
        let acks = packets::ack_and_data(100);
        assert!(acks.iter().all(|packet| validated(packet) == Some(unvalidated(packet))));
    }
}
