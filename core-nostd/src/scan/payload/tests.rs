//! Questions and their answers, as servers of each protocol give them.

use super::*;
use crate::scan::{Key, Probe};

const KEY: Key = Key::new([3, 4]);

/// The ports that we have a question for.
const PORTS: [u16; 26] = [
    7, 53, 111, 123, 137, 161, 177, 389, 443, 500, 623, 1194, 1434, 1900, 2049, 2123, 2152, 3478, 4500, 5060, 5351,
    5353, 5683, 6881, 11211, 27015,
];

type Bytes = heapless::Vec<u8, MAX_PAYLOAD_BYTES>;

fn cookie(port: u16) -> Cookie {
    KEY.cookie("192.0.2.7".parse().unwrap(), Probe::udp(port))
}

fn asked(port: u16, attempt: u8) -> Bytes {
    let payloads = Payloads::new(b"ask@example.net").unwrap();
    let mut out = Bytes::new();
    out.resize(usize::from(payloads.len(port, attempt)), 0xaa).unwrap();
    let sum = payloads.write(port, attempt, cookie(port), &mut out, Checksum::new()).unwrap();
    assert_eq!(sum.finish(), Checksum::new().over(&out).finish(), "{port}: the sum over the whole");
    out
}

fn join(parts: &[&[u8]]) -> Bytes {
    let mut out = Bytes::new();
    parts.iter().for_each(|part| out.extend_from_slice(part).unwrap());
    out
}

/// What a server says to our question, and which of its bytes vouch for it.
fn answer(port: u16, asked: &[u8]) -> (Bytes, core::ops::Range<usize>) {
    match port {
        53 | 5353 => (join(&[&asked[..2], &[0x84, 0], &asked[4..]]), 0..2),
        137 => (join(&[&asked[..2], &[0x84, 0, 0, 0, 0, 1]]), 0..2),
        11211 => (join(&[&asked[..8], b"VERSION 1.6.9\r\n"]), 0..2),
        111 | 2049 => (join(&[&asked[..4], &[0, 0, 0, 1], &[0; 16]]), 0..4),
        123 => (join(&[&[0x24, 2], &[9; 22], &asked[40..48], &[1; 16]]), 24..32),
        161 if asked[4] == 3 => {
            let id = &asked[9..13];
            // A report, whose lengths are in the long form.
            let global = join(&[&[0x30, 0x81, 0x11, 0x02, 0x04], id, &[2, 3, 0, 0xff, 0xe3, 4, 1, 0, 2, 1, 3]]);
            let message = join(&[&[2, 1, 3], &global, &[4, 2, 0x30, 0], &[0x30, 0]]);
            (join(&[&[0x30, 0x82, 0, message.len() as u8], &message]), 4 + 3 + 5..4 + 3 + 9)
        }
        161 => (join(&[&asked[..13], &[0xa2], &asked[14..]]), 17..21),
        389 => (join(&[&[0x30, 0x84, 0, 0, 0, 9, 2, 4], &asked[4..8], &[0x65, 1, 0]]), 8..12),
        443 => (join(&[&[0xca, 0, 0, 0, 0, 8], &asked[15..23], &[8], &asked[6..14], &[0, 0, 0, 1]]), 6..14),
        500 => (join(&[&asked[..8], &[7; 8], &asked[16..]]), 0..8),
        4500 => (join(&[&asked[..12], &[7; 8], &asked[20..]]), 4..12),
        623 => (join(&[&asked[..8], &[0x40, asked[9], 0, 16], &[0; 16]]), 9..10),
        1194 => (join(&[&[0x40], &[5; 8], &[2], &[0; 8], &asked[1..9], &[0; 4]]), 18..26),
        2123 | 2152 => (join(&[&[0x32, 2, 0, 6], &[0; 4], &asked[8..10], &[0, 0, 14, 1]]), 8..10),
        3478 => (join(&[&[1, 1, 0, 0], &asked[4..20]]), 8..16),
        5060 => {
            let head: &[u8] = b"SIP/2.0 200 OK\r\nVia: SIP/2.0/UDP localhost\r\ncall-id :  ";
            let at = asked.windows(9).position(|window| window == b"Call-ID: ").unwrap() + 9;
            (join(&[head, &asked[at..at + 16], b" \r\nCSeq: 1 OPTIONS\r\n\r\n"]), head.len()..head.len() + 16)
        }
        5683 => (join(&[&[0x68, 0x45], &asked[2..12], &[0xff], b"</x>"]), 4..12),
        6881 => {
            let head: &[u8] = b"d1:rd2:id20:01234567890123456789e1:t8:";
            let at = asked.windows(5).position(|window| window == b"1:t8:").unwrap() + 5;
            (join(&[head, &asked[at..at + 8], b"1:y1:re"]), head.len()..head.len() + 8)
        }
        _ => (join(&[asked]), 0..if port == 7 { 16 } else { 0 }),
    }
}

/// SCAN-3: an answer brings back each bit of the field, and is refused without it.
#[test]
fn answers_bring_the_cookie_back() {
    for port in PORTS {
        for attempt in 0..2 {
            let asked = asked(port, attempt);
            let (answer, field) = answer(port, &asked);
            assert!(is_answer(port, cookie(port), &answer), "{port}");
            for bit in 0..8 * answer.len() {
                let mut damaged = answer.clone();
                damaged[bit / 8] ^= 1 << (bit % 8);
                // Elsewhere a bit may or may not matter; it does not make a panic.
                let is_taken = is_answer(port, cookie(port), &damaged);
                assert!(!is_taken || !field.contains(&(bit / 8)), "{port}: bit {bit}");
            }
            for cut in 0..answer.len() {
                let is_taken = is_answer(port, cookie(port), &answer[..cut]);
                assert!(!is_taken || cut >= field.end, "{port}: cut at {cut}");
            }
            let is_unsigned = field.is_empty();
            assert_eq!(is_answer(port, cookie(80), &answer), is_unsigned, "{port}: another's cookie");
            assert_eq!(is_answer(port, cookie(port), b""), is_unsigned, "{port}: empty");
        }
    }
}

/// The list that says where 12 bits of the source port are all there is.
#[test]
fn the_protocols_without_a_field_are_few() {
    let bare = |port: &u16| is_answer(*port, cookie(*port), b"anything");
    let found: heapless::Vec<u16, 26> = PORTS.into_iter().filter(bare).collect();
    assert_eq!(found, [177, 1434, 1900, 5351, 27015]);
    assert!(is_answer(9999, cookie(9999), b""), "no question, no field");
    let known = (0..=u16::MAX).filter(|port| !Talk::of_port(*port).is_empty());
    assert!(known.eq(PORTS));
}

#[test]
fn snmp_is_asked_in_both_versions_by_turns() {
    assert_eq!(asked(161, 0)[4], 0);
    assert_eq!(asked(161, 1)[4], 3);
    assert_eq!(asked(161, 0), asked(161, 2));
    for port in PORTS.into_iter().filter(|port| *port != 161) {
        assert_eq!(asked(port, 0), asked(port, 255));
    }
}

/// Lengths of BER count what is there: each value ends where the one around it does.
#[test]
fn questions_in_ber_are_well_formed() {
    fn walk(bytes: &[u8]) {
        let mut rest = bytes;
        while !rest.is_empty() {
            let length = usize::from(rest[1]);
            // Sequences and what is constructed otherwise, of context or application.
            if rest[0] & 0x20 != 0 {
                walk(&rest[2..2 + length]);
            }
            rest = &rest[2 + length..];
        }
    }
    for (port, attempt) in [(161, 0), (161, 1), (389, 0)] {
        let asked = asked(port, attempt);
        assert_eq!(usize::from(asked[1]), asked.len() - 2);
        walk(&asked);
    }
    // RFC 3414: the parameters of the security model are BER within an octet string.
    walk(&asked(161, 1)[26..42]);
}

#[test]
fn questions_have_the_lengths_that_their_protocols_say() {
    assert_eq!(asked(443, 0).len(), 1200);
    assert_eq!(asked(123, 0).len(), 48);
    assert_eq!((asked(500, 0).len(), asked(500, 0)[27]), (80, 80));
    assert_eq!(asked(4500, 0)[..4], [0; 4]);
    assert_eq!(asked(53, 0).len(), 30);
    assert_eq!(asked(137, 0).len(), 50);
    assert_eq!(asked(111, 0).len(), 40);
    assert_eq!(asked(3478, 0).len(), 20);
    assert_eq!(asked(1194, 0).len(), 14);
    assert!(asked(5060, 0).ends_with(b"Content-Length: 0\r\n\r\n"));
    assert_eq!(asked(9999, 0), *b"ask@example.net");
}

#[test]
fn an_empty_message_of_coap_vouches_by_its_id() {
    let asked = asked(5683, 0);
    let reset = join(&[&[0x70, 0], &asked[2..4]]);
    assert!(is_answer(5683, cookie(5683), &reset));
    assert!(!is_answer(5683, cookie(5683), &join(&[&[0x70, 0x45], &asked[2..4]])), "what is not empty has the token");
    assert!(!is_answer(5683, cookie(5683), &join(&[&[0x70, 0], &asked[2..3], &[asked[3] ^ 1]])));
}

#[test]
fn a_contact_that_is_too_long_is_refused() {
    assert!(Payloads::new(&[b'x'; MAX_CONTACT_BYTES]).is_some());
    assert!(Payloads::new(&[b'x'; MAX_CONTACT_BYTES + 1]).is_none());
}

#[test]
fn each_talk_is_at_its_number() {
    for (index, talk) in Talk::ALL.into_iter().enumerate() {
        assert_eq!(talk as usize, index);
    }
}
