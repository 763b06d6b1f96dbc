//! Cookies: what only the target of a probe, and who sees the probe on its way, can send back (SCAN-3).

use core::fmt;
use core::hint::black_box;
use core::net::IpAddr;

use super::{Probe, Protocol};

/// The secret of one survey.
///
/// The cookie of a target and a probe is SipHash-2-4 (Aumasson, Bernstein: SipHash, 2012) of the address, the port and the
/// protocol: who has seen any number of cookies still has to guess the next one.
#[derive(Clone, Copy)]
pub struct Key {
    /// The state that every hash starts from.
    start: [u64; 4],
}

/// The cookie of one address, protocol and port: 64 bits, of which each kind of probe carries as many as it has room for.
///
/// | bits | where |
/// |-|-|
/// | 0 to 31 | TCP: sequence number. ICMP echo: id and sequence number |
/// | 32 to 43 | TCP and UDP: source port, within the window |
/// | 44 to 63 | IPv6: flow label. IPv4: id, of which the upper four bits are left out |
/// | all or some | what the protocol of a datagram brings back |
///
/// All 64 stand in the payload of an echo request.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Cookie(u64);

/// A secret is not for logs.
impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Key(..)")
    }
}

/// Nor is what is made of it: a log is read while the survey runs.
impl fmt::Debug for Cookie {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Cookie(..)")
    }
}

impl Key {
    /// The key of these 128 bits, which are random and used for one survey.
    #[must_use]
    pub const fn new(secret: [u64; 2]) -> Self {
        let [low, high] = secret;
        Self {
            start: [
                low ^ 0x736f_6d65_7073_6575,
                high ^ 0x646f_7261_6e64_6f6d,
                low ^ 0x6c79_6765_6e65_7261,
                high ^ 0x7465_6462_7974_6573,
            ],
        }
    }

    /// The cookie of a probe of `target`.
    #[must_use]
    #[inline]
    pub fn cookie(&self, target: IpAddr, probe: Probe) -> Cookie {
        // The bytes that are hashed: the address, the port, the protocol; little-endian words, the length in the last byte
        // of the last one. The families differ in length.
        let what = u64::from(probe.port) | number(probe.protocol) << 16;
        Cookie(match target {
            IpAddr::V4(target) => self.hash([u64::from(target.to_bits()) | what << 32 | 7 << 56]),
            IpAddr::V6(target) => {
                let bits = target.to_bits();
                self.hash([bits as u64, (bits >> 64) as u64, what | 19 << 56])
            }
        })
    }

    /// SipHash-2-4 of padded words.
    #[inline]
    fn hash<const N: usize>(&self, words: [u64; N]) -> u64 {
        let mut state = self.start;
        for word in words {
            state[3] ^= word;
            state = round(round(state));
            state[0] ^= word;
        }
        state[2] ^= 0xff;
        let [a, b, c, d] = round(round(round(round(state))));
        a ^ b ^ c ^ d
    }
}

/// One round of SipHash.
#[inline]
const fn round([mut a, mut b, mut c, mut d]: [u64; 4]) -> [u64; 4] {
    a = a.wrapping_add(b);
    b = b.rotate_left(13) ^ a;
    a = a.rotate_left(32);
    c = c.wrapping_add(d);
    d = d.rotate_left(16) ^ c;
    a = a.wrapping_add(d);
    d = d.rotate_left(21) ^ a;
    c = c.wrapping_add(b);
    b = b.rotate_left(17) ^ c;
    c = c.rotate_left(32);
    [a, b, c, d]
}

/// The protocol in what is hashed.
const fn number(protocol: Protocol) -> u64 {
    match protocol {
        Protocol::Tcp => 6,
        Protocol::Udp => 17,
        Protocol::Icmp => 1,
    }
}

impl Cookie {
    /// All of it.
    #[must_use]
    pub(super) const fn bits(self) -> u64 {
        self.0
    }

    /// The sequence number of a SYN; the id (upper half) and the sequence number of an echo request.
    #[must_use]
    pub const fn seq(self) -> u32 {
        self.0 as u32
    }

    /// How far into the window of source ports the probe's lies: 0 to 4095.
    #[must_use]
    pub const fn port_offset(self) -> u16 {
        (self.0 >> 32) as u16 & 0xfff
    }

    /// The flow label of an IPv6 header, 20 bits.
    #[must_use]
    pub const fn flow_label(self) -> u32 {
        (self.0 >> 44) as u32
    }

    /// The id of an IPv4 header.
    #[must_use]
    pub const fn ip_id(self) -> u16 {
        (self.0 >> 44) as u16
    }
}

/// Whether nothing differs: `difference` is the exclusive or of what is expected and what came, all fields in one number.
///
/// The time that this takes tells nothing of how much was right. With a comparison that ends at the first wrong byte, a
/// forger who can see how fast we go on (say, from our reset to a SYN-ACK that was taken) would find a cookie byte by byte in
/// a few thousand packets, instead of guessing 44 bits at once. One comparison of one number costs nothing; the black box
/// keeps the compiler from making several of it again.
#[inline]
pub(super) fn is_same(difference: u64) -> bool {
    black_box(difference) == 0
}

/// Whether both are the same bytes, in a time that depends on their length alone; see [`is_same`].
#[inline]
pub(super) fn are_same(expected: &[u8], came: &[u8]) -> bool {
    let differences = expected.iter().zip(came).fold(0, |seen, (a, b)| black_box(seen | (a ^ b)));
    expected.len() == came.len() && is_same(u64::from(differences))
}

#[cfg(test)]
mod tests {
    #![allow(deprecated, reason = "the standard library's SipHash-2-4 is an implementation that is not ours")]

    use core::hash::{Hasher, SipHasher};

    use super::*;

    const SECRET: [u64; 2] = [0x0706_0504_0302_0100, 0x0f0e_0d0c_0b0a_0908];

    fn probe(protocol: Protocol, port: u16) -> Probe {
        Probe { protocol, port }
    }

    #[test]
    fn the_vector_of_the_paper() {
        // Appendix A: the bytes 0 to 14 under the key of bytes 0 to 15.
        let words = [0x0706_0504_0302_0100, 0x0f0e_0d0c_0b0a_0908];
        assert_eq!(Key::new(SECRET).hash(words), 0xa129_ca61_49be_45e5);
    }

    /// SCAN-3: the whole of the address, the port and the protocol decide.
    #[test]
    fn a_cookie_is_siphash_of_address_port_and_protocol() {
        let targets = ["10.0.0.1", "255.255.255.255", "fd00::1", "2001:db8:1:2:3:4:5:6"];
        for (target, port) in targets.iter().zip([1_u16, 80, 443, 65535]) {
            let target: IpAddr = target.parse().unwrap();
            for (protocol, number) in [(Protocol::Tcp, 6), (Protocol::Udp, 17), (Protocol::Icmp, 1)] {
                let mut hasher = SipHasher::new_with_keys(SECRET[0], SECRET[1]);
                match target {
                    IpAddr::V4(target) => hasher.write(&target.to_bits().to_le_bytes()),
                    IpAddr::V6(target) => hasher.write(&target.to_bits().to_le_bytes()),
                }
                hasher.write(&port.to_le_bytes());
                hasher.write(&[number]);
                let cookie = Key::new(SECRET).cookie(target, probe(protocol, port));
                assert_eq!(cookie.bits(), hasher.finish(), "{target} {protocol:?} {port}");
            }
        }
    }

    #[test]
    fn the_parts_are_bits_of_the_whole() {
        let cookie = Cookie(0xabcd_e123_89ab_cdef);
        assert_eq!(cookie.seq(), 0x89ab_cdef);
        assert_eq!(cookie.port_offset(), 0x123);
        assert_eq!(cookie.flow_label(), 0xabcde);
        assert_eq!(cookie.ip_id(), 0xbcde);
    }

    #[test]
    fn what_differs_in_one_bit_is_not_the_same() {
        assert!(is_same(0));
        (0..64).for_each(|bit| assert!(!is_same(1 << bit)));
        let bytes = [7; 16];
        assert!(are_same(&bytes, &bytes));
        assert!(!are_same(&bytes, &bytes[..15]) && !are_same(&bytes[..15], &bytes));
        for bit in 0..128 {
            let mut other = bytes;
            other[bit / 8] ^= 1 << (bit % 8);
            assert!(!are_same(&bytes, &other), "{bit}");
        }
    }

    #[test]
    fn secrets_are_not_shown() {
        let mut shown = heapless::String::<40>::new();
        let key = Key::new(SECRET);
        let cookie = key.cookie("10.0.0.1".parse().unwrap(), probe(Protocol::Tcp, 1));
        fmt::write(&mut shown, format_args!("{key:?} {cookie:?}")).unwrap();
        assert_eq!(shown, "Key(..) Cookie(..)");
    }
}
