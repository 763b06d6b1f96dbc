//! What blocks of addresses are for: IANA's registries of special-purpose addresses (RFC 6890, RFC 8190), and what else RFCs say of
//! whole blocks. Of entries within each other the smallest holds.

use core::net::IpAddr;

use super::Refusal;
use crate::cdn::Date;
use crate::cdn::prefix::{Address, Span};

/// The date of IANA's registries of special-purpose addresses that [`V4`] and [`V6`] follow.
pub const REGISTRIES_OF: Date = Date::new(2025, 10, 9);

/// What addresses are for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Use {
    /// Never asked.
    Refused(Refusal),
    /// This host's own.
    Loopback,
    /// Asked when they are named.
    Private,
    /// Asked when they are allowed.
    Public,
}

/// A block of addresses with a purpose.
#[derive(Clone, Copy, Debug)]
pub struct Entry<A> {
    /// The block.
    pub span: Span<A>,
    /// Its name in the registry.
    pub name: &'static str,
    /// Who says so.
    pub reference: &'static str,
    /// What the policy takes it for.
    pub purpose: Use,
}

/// What the address is for: the entry's word for it, and the last address up to which that is so.
pub(super) fn use_of<A: Address>(registry: &[Entry<A>], address: A, otherwise: Use) -> (Use, A) {
    let (mut purpose, mut last, mut lowest) = (otherwise, A::MAX, A::ZERO);
    for entry in registry {
        let is_smaller = entry.span.first >= lowest && entry.span.last <= last;
        if is_smaller && entry.span.contains(address) {
            (purpose, last, lowest) = (entry.purpose, entry.span.last, entry.span.first);
        }
    }
    for entry in registry {
        if entry.span.first > address && entry.span.first <= last {
            last = entry.span.first.previous().unwrap_or(last);
        }
    }
    (purpose, last)
}

/// What an address is for.
#[must_use]
pub fn purpose(ip: IpAddr) -> Use {
    match ip {
        IpAddr::V4(ip) => use_of(V4, ip.to_bits(), Use::Public).0,
        IpAddr::V6(ip) => use_of(V6, ip.to_bits(), Use::Refused(Refusal::Reserved)).0,
    }
}

const PRIVATE: Use = Use::Private;
const PUBLIC: Use = Use::Public;
const MULTICAST: Use = Use::Refused(Refusal::Multicast);
const RESERVED: Use = Use::Refused(Refusal::Reserved);
const THIS_NETWORK: Use = Use::Refused(Refusal::ThisNetwork);

/// IPv4. What is not here is public.
///
/// Blocks that the registry calls globally reachable are public, whatever they are for, and so are those of which it does not know:
/// packets to them may leave the user's networks.
pub const V4: &[Entry<u32>] = &[
    v4([0, 0, 0, 0], 8, "\"This network\"", "RFC 791, section 3.2", THIS_NETWORK),
    v4([10, 0, 0, 0], 8, "Private-Use", "RFC 1918", PRIVATE),
    v4([100, 64, 0, 0], 10, "Shared Address Space", "RFC 6598", PRIVATE),
    v4([127, 0, 0, 0], 8, "Loopback", "RFC 1122, section 3.2.1.3", Use::Loopback),
    v4([169, 254, 0, 0], 16, "Link Local", "RFC 3927", PRIVATE),
    v4([172, 16, 0, 0], 12, "Private-Use", "RFC 1918", PRIVATE),
    v4([192, 0, 0, 0], 24, "IETF Protocol Assignments", "RFC 6890, section 2.1", PRIVATE),
    v4([192, 0, 0, 0], 29, "IPv4 Service Continuity Prefix", "RFC 7335", PRIVATE),
    v4([192, 0, 0, 8], 32, "IPv4 dummy address", "RFC 7600", PRIVATE),
    v4([192, 0, 0, 9], 32, "Port Control Protocol Anycast", "RFC 7723", PUBLIC),
    v4([192, 0, 0, 10], 32, "Traversal Using Relays around NAT Anycast", "RFC 8155", PUBLIC),
    v4([192, 0, 0, 170], 31, "NAT64/DNS64 Discovery", "RFC 8880", PRIVATE),
    v4([192, 0, 2, 0], 24, "Documentation (TEST-NET-1)", "RFC 5737", PRIVATE),
    v4([192, 31, 196, 0], 24, "AS112-v4", "RFC 7535", PUBLIC),
    v4([192, 52, 193, 0], 24, "AMT", "RFC 7450", PUBLIC),
    v4([192, 88, 99, 0], 24, "Deprecated (6to4 Relay Anycast)", "RFC 7526", PUBLIC),
    v4([192, 88, 99, 2], 32, "6a44-relay anycast address", "RFC 6751", PUBLIC),
    v4([192, 168, 0, 0], 16, "Private-Use", "RFC 1918", PRIVATE),
    v4([192, 175, 48, 0], 24, "Direct Delegation AS112 Service", "RFC 7534", PUBLIC),
    v4([198, 18, 0, 0], 15, "Benchmarking", "RFC 2544", PRIVATE),
    v4([198, 51, 100, 0], 24, "Documentation (TEST-NET-2)", "RFC 5737", PRIVATE),
    v4([203, 0, 113, 0], 24, "Documentation (TEST-NET-3)", "RFC 5737", PRIVATE),
    v4([224, 0, 0, 0], 4, "Multicast", "RFC 5771", MULTICAST),
    v4([240, 0, 0, 0], 4, "Reserved", "RFC 1112, section 4", RESERVED),
    v4([255, 255, 255, 255], 32, "Limited Broadcast", "RFC 919, section 7", Use::Refused(Refusal::Broadcast)),
];

/// IPv6. What is not here is reserved by the IETF (RFC 4291, section 4): so are IPv4-compatible (`::/96`) and site-local addresses
/// (`fec0::/10`), both of which are deprecated.
///
/// Addresses that a translator or a relay turns into IPv4 ones are public, even where the prefix itself is local: who is asked in the
/// end is a host of IPv4.
pub const V6: &[Entry<u128>] = &[
    v6([0], 128, "Unspecified Address", "RFC 4291", THIS_NETWORK),
    v6([0, 0, 0, 0, 0, 0, 0, 1], 128, "Loopback Address", "RFC 4291", Use::Loopback),
    v6([0, 0, 0, 0, 0, 0xffff], 96, "IPv4-mapped Address", "RFC 4291", Use::Refused(Refusal::V4Mapped)),
    v6([0x64, 0xff9b], 96, "IPv4-IPv6 Translation", "RFC 6052", PUBLIC),
    v6([0x64, 0xff9b, 1], 48, "IPv4-IPv6 Translation", "RFC 8215", PUBLIC),
    v6([0x100], 64, "Discard-Only Address Block", "RFC 6666", PRIVATE),
    v6([0x100, 0, 0, 1], 64, "Dummy IPv6 Prefix", "RFC 9780", PRIVATE),
    v6([0x2000], 3, "Global Unicast", "RFC 4291, section 2.5.4", PUBLIC),
    v6([0x2001], 23, "IETF Protocol Assignments", "RFC 2928", PUBLIC),
    v6([0x2001], 32, "TEREDO", "RFC 4380", PUBLIC),
    v6([0x2001, 1, 0, 0, 0, 0, 0, 1], 128, "Port Control Protocol Anycast", "RFC 7723", PUBLIC),
    v6([0x2001, 1, 0, 0, 0, 0, 0, 2], 128, "Traversal Using Relays around NAT Anycast", "RFC 8155", PUBLIC),
    v6([0x2001, 1, 0, 0, 0, 0, 0, 3], 128, "DNS-SD Service Registration Protocol Anycast", "RFC 9665", PUBLIC),
    v6([0x2001, 2], 48, "Benchmarking", "RFC 5180", PRIVATE),
    v6([0x2001, 3], 32, "AMT", "RFC 7450", PUBLIC),
    v6([0x2001, 4, 0x112], 48, "AS112-v6", "RFC 7535", PUBLIC),
    v6([0x2001, 0x10], 28, "Deprecated (previously ORCHID)", "RFC 4843", PUBLIC),
    v6([0x2001, 0x20], 28, "ORCHIDv2", "RFC 7343", PUBLIC),
    v6([0x2001, 0x30], 28, "Drone Remote ID Protocol Entity Tags (DETs) Prefix", "RFC 9374", PUBLIC),
    v6([0x2001, 0xdb8], 32, "Documentation", "RFC 3849", PRIVATE),
    v6([0x2002], 16, "6to4", "RFC 3056", PUBLIC),
    v6([0x2620, 0x4f, 0x8000], 48, "Direct Delegation AS112 Service", "RFC 7534", PUBLIC),
    v6([0x3fff], 20, "Documentation", "RFC 9637", PRIVATE),
    v6([0x5f00], 16, "Segment Routing (SRv6) SIDs", "RFC 9602", PRIVATE),
    v6([0xfc00], 7, "Unique-Local", "RFC 4193", PRIVATE),
    v6([0xfe80], 10, "Link-Local Unicast", "RFC 4291", PRIVATE),
    v6([0xff00], 8, "Multicast", "RFC 4291, section 2.7", MULTICAST),
];

const fn v4(octets: [u8; 4], length: u32, name: &'static str, reference: &'static str, purpose: Use) -> Entry<u32> {
    let first = u32::from_be_bytes(octets);
    Entry { span: Span { first, last: first | low_bits(u32::BITS - length) as u32 }, name, reference, purpose }
}

const fn v6<const N: usize>(
    groups: [u16; N],
    length: u32,
    name: &'static str,
    reference: &'static str,
    purpose: Use,
) -> Entry<u128> {
    let (mut first, mut at) = (0, 0);
    while at < 8 {
        first = first << 16 | if at < N { groups[at] as u128 } else { 0 };
        at += 1;
    }
    Entry { span: Span { first, last: first | low_bits(u128::BITS - length) }, name, reference, purpose }
}

/// So many low bits, less than 128.
const fn low_bits(count: u32) -> u128 {
    (1 << count) - 1
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_registries_are_whole_blocks_and_answer_for_every_address() {
        for entry in V4 {
            let (first, length) = entry.span.prefix_around(entry.span.first);
            assert_eq!(
                (first, first.with_low_bits(32 - length)),
                (entry.span.first, entry.span.last),
                "{}",
                entry.name
            );
        }
        for entry in V6 {
            let (first, length) = entry.span.prefix_around(entry.span.first);
            assert_eq!(
                (first, first.with_low_bits(128 - length)),
                (entry.span.first, entry.span.last),
                "{}",
                entry.name
            );
        }
        for (ip, expected) in [
            ("8.8.8.8", PUBLIC),
            ("10.1.2.3", PRIVATE),
            ("127.1.2.3", Use::Loopback),
            ("255.255.255.254", RESERVED),
            ("2a00::1", PUBLIC),
            ("ff0e::1", MULTICAST),
            ("8000::", RESERVED),
        ] {
            assert_eq!(purpose(ip.parse().unwrap()), expected, "{ip}");
        }
    }
}
