//! The parse that keeps within its buffer and checks nothing else: what any program in a safe language does that trusts its
//! peer. Beside [`super::validated`] it shows what the rules cost; beside [`super::unvalidated`], what bounds do.

/// See [`super::validated`]: the same number of the same packet; `None` where a length leads out of the packet.
#[inline(always)]
pub fn bounded(datagram: &[u8]) -> Option<u64> {
    let (header, rest) = datagram.split_first_chunk::<12>()?;
    let (mut body, _tag) = rest.split_last_chunk::<16>()?;
    let mut sum = u32_of(header, 4) ^ u32_of(header, 8) ^ u64::from(header[1]);
    while !body.is_empty() {
        let (frame, behind) = body.split_first_chunk::<16>()?;
        let len = u16::from_be_bytes([frame[4], frame[5]]);
        let (payload, behind) = behind.split_at_checked(usize::from(len))?;
        let said = if frame[0] == 1 {
            let offset = u32_of(frame, 8) << 32 | u32_of(frame, 12);
            u64::from(u16::from_be_bytes([frame[2], frame[3]])) ^ offset ^ payload.len() as u64 ^ u64::from(frame[1])
        } else {
            ack(payload)?
        };
        sum = sum.wrapping_add(said);
        body = behind;
    }
    Some(sum)
}

/// Apart, as in [`super::validated`]: beside DATA all are rare.
#[inline(never)]
fn ack(payload: &[u8]) -> Option<u64> {
    let (front, _ranges) = payload.split_first_chunk::<18>()?;
    let largest = u32_of(front, 0) << 32 | u32_of(front, 4);
    Some(largest ^ u32_of(front, 8) ^ u64::from(u16::from_be_bytes([front[16], front[17]])))
}

#[inline(always)]
fn u32_of<const N: usize>(bytes: &[u8; N], at: usize) -> u64 {
    u64::from(u32::from_be_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]]))
}

#[cfg(test)]
mod tests {
    use super::super::{packets, validated};
    use super::bounded;

    #[test]
    fn both_parses_read_the_same() {
        let small = packets::data::<{ packets::SMALL_BYTES }>(100);
        assert!(small.iter().all(|packet| validated(packet) == bounded(packet)));
        let large = packets::data::<{ packets::LARGE_BYTES }>(100);
        assert!(large.iter().all(|packet| validated(packet) == bounded(packet)));
        let acks = packets::ack_and_data(100);
        assert!(acks.iter().all(|packet| validated(packet) == bounded(packet)));
    }

    #[test]
    fn a_length_that_leads_out_of_the_packet_is_noticed() {
        let mut packet = packets::data::<{ packets::SMALL_BYTES }>(1)[0];
        packet[12 + 4] = 0xff;
        assert_eq!(bounded(&packet), None);
        assert_eq!(bounded(&packet[..20]), None);
    }
}
