//! Numbers and addresses as text, at the end of a buffer that grows: without the machinery of formatting, which takes longer than all
//! else about a row.

use std::io::Write as _;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// The digits of the numbers below 100, two each.
const PAIRS: [[u8; 2]; 100] = pairs();

/// Digits of the largest number of 64 bits.
const MOST_DIGITS: usize = 20;

const fn pairs() -> [[u8; 2]; 100] {
    let mut pairs = [[b'0'; 2]; 100];
    let mut number = 0;
    while number < 100 {
        // Below 10 each.
        pairs[number] = [b'0' + (number / 10) as u8, b'0' + (number % 10) as u8];
        number += 1;
    }
    pairs
}

/// Writes a number.
#[inline]
pub fn push_number(out: &mut Vec<u8>, number: u64) {
    let mut digits = [0; MOST_DIGITS];
    let mut at = MOST_DIGITS;
    let mut rest = number;
    while rest >= 100 {
        at -= 2;
        digits[at..at + 2].copy_from_slice(&PAIRS[(rest % 100) as usize]);
        rest /= 100;
    }
    let last = PAIRS[rest as usize];
    if rest >= 10 {
        at -= 2;
        digits[at..at + 2].copy_from_slice(&last);
    } else {
        at -= 1;
        digits[at] = last[1];
    }
    out.extend_from_slice(&digits[at..]);
}

/// Writes an address, as the standard library does (RFC 5952).
#[inline]
pub fn push_ip(out: &mut Vec<u8>, ip: IpAddr) {
    match ip {
        IpAddr::V4(ip) => push_v4(out, ip),
        IpAddr::V6(ip) => push_v6(out, ip),
    }
}

/// The longest is `255.255.255.255`.
const MOST_V4_BYTES: usize = 15;

#[inline]
fn push_v4(out: &mut Vec<u8>, ip: Ipv4Addr) {
    let mut text = [b'.'; MOST_V4_BYTES + 1];
    let mut at = 0;
    for octet in ip.octets() {
        let [tens, ones] = PAIRS[(octet % 100) as usize];
        if octet >= 100 {
            text[at] = b'0' + octet / 100;
            at += 1;
        }
        if octet >= 10 {
            text[at] = tens;
            at += 1;
        }
        text[at] = ones;
        // The dot behind it is there already, unless a longer number overwrote it.
        text[at + 1] = b'.';
        at += 2;
    }
    // Without the dot behind the last.
    out.extend_from_slice(&text[..at - 1]);
}

fn push_v6(out: &mut Vec<u8>, ip: Ipv6Addr) {
    let groups = ip.segments();
    // An address of IPv4 within is written as one: rare, and the standard library knows how.
    if groups[..5] == [0; 5] && groups[5] == 0xffff {
        // Memory takes everything.
        let _ = write!(out, "{ip}");
        return;
    }
    let (start, length) = longest_zeros(groups);
    for (place, group) in groups.into_iter().enumerate() {
        if length > 1 && (start..start + length).contains(&place) {
            if place == start {
                out.extend_from_slice(b"::");
            }
            continue;
        }
        if place > 0 && !(length > 1 && place == start + length) {
            out.push(b':');
        }
        push_hex(out, group);
    }
}

/// Where the first of the longest runs of zeros begins, and how long it is.
fn longest_zeros(groups: [u16; 8]) -> (usize, usize) {
    let (mut best, mut run) = ((0, 0), (0, 0));
    for (place, group) in groups.into_iter().enumerate() {
        run = match (group, run.1) {
            (0, 0) => (place, 1),
            (0, length) => (run.0, length + 1),
            _ => (0, 0),
        };
        if run.1 > best.1 {
            best = run;
        }
    }
    best
}

fn push_hex(out: &mut Vec<u8>, group: u16) {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let mut is_leading = true;
    for shift in [12, 8, 4, 0] {
        let digit = group >> shift & 0xf;
        is_leading &= digit == 0 && shift > 0;
        if !is_leading {
            out.push(DIGITS[digit as usize]);
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn number(number: u64) -> String {
        let mut out = Vec::new();
        push_number(&mut out, number);
        String::from_utf8(out).unwrap()
    }

    fn address(ip: IpAddr) -> String {
        let mut out = b"x".to_vec();
        push_ip(&mut out, ip);
        String::from_utf8(out[1..].to_vec()).unwrap()
    }

    #[test]
    fn numbers_at_every_length() {
        let mut at = 1_u64;
        for _ in 0..20 {
            for near in [at - 1, at, at.saturating_add(1), at.saturating_mul(9)] {
                assert_eq!(number(near), near.to_string());
            }
            at = at.saturating_mul(10);
        }
        assert_eq!(number(u64::MAX), u64::MAX.to_string());
    }

    #[test]
    fn addresses_that_are_written_in_ways_of_their_own() {
        for text in [
            "0.0.0.0",
            "255.255.255.255",
            "10.0.99.100",
            "::",
            "::1",
            "1::",
            "2001:db8::1",
            "2001:db8:0:1:1:1:1:1",
            "0:0:1::",
            "1:0:0:2::3",
            "::ffff:192.0.2.1",
            "::192.0.2.1",
            "fe80::1:0:0:1",
            "abcd:ef01:2345:6789:abcd:ef01:2345:6789",
        ] {
            let ip: IpAddr = text.parse().unwrap();
            assert_eq!(address(ip), ip.to_string());
        }
    }

    proptest! {
        #[test]
        fn any_number_is_written_as_the_standard_library_does(any: u64) {
            prop_assert_eq!(number(any), any.to_string());
        }

        #[test]
        fn any_address_is_written_as_the_standard_library_does(v4: u32, v6: u128, mask: u8) {
            prop_assert_eq!(address(IpAddr::V4(v4.into())), Ipv4Addr::from(v4).to_string());
            // Groups of zeros are rare among random numbers.
            let kept = (0..8).filter(|place| mask >> place & 1 == 1).fold(0_u128, |bits, place| bits | 0xffff << (place * 16));
            prop_assert_eq!(address(IpAddr::V6((v6 & kept).into())), Ipv6Addr::from(v6 & kept).to_string());
        }
    }
}
