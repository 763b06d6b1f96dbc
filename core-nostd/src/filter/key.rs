//! What the filter looks for in its maps.

use core::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use zerocopy::byteorder::big_endian::U16;
use zerocopy::{Immutable, IntoBytes};

/// UDP's number among the protocols that IP carries.
pub(super) const PROTOCOL_UDP: u8 = 17;
/// The same of TCP.
pub(super) const PROTOCOL_TCP: u8 = 6;

/// An address and port whose datagrams go to the sockets: a key of the filter's hash map.
#[derive(Clone, Copy, Debug, PartialEq, Eq, IntoBytes, Immutable)]
#[repr(C)]
pub struct PortKey {
    /// An IPv6 address, or an IPv4 address mapped into IPv6 (RFC 4291 section 2.5.5.2).
    address: [u8; 16],
    port: U16,
    /// What IP carries. One byte more than needed now, so that other protocols can share the map.
    protocol: u8,
    zero: u8,
}

impl PortKey {
    /// Bytes of a key.
    pub const BYTES: usize = 20;
    /// Where the port lies in a key.
    pub(super) const PORT_AT: usize = 16;
    /// Where the protocol lies in a key, and a zero behind it.
    pub(super) const PROTOCOL_AT: usize = 18;

    /// The key of UDP datagrams to this address and port. A mapped IPv4 address counts as IPv4.
    ///
    /// The filter knows no wildcards: a socket on all addresses needs a key for each.
    #[must_use]
    pub fn udp(address: IpAddr, port: u16) -> Self {
        let address = match address {
            IpAddr::V4(address) => address.to_ipv6_mapped(),
            IpAddr::V6(address) => address,
        };
        Self { address: Ipv6Addr::octets(&address), port: U16::new(port), protocol: PROTOCOL_UDP, zero: 0 }
    }

    /// The key as it lies in the map.
    #[must_use]
    pub fn bytes(&self) -> [u8; Self::BYTES] {
        zerocopy::transmute!(*self)
    }
}

const _: () = assert!(size_of::<PortKey>() == PortKey::BYTES);

/// The first few IPv4 addresses and ports of the hash map once more, each as one number that the filter compares without a call:
/// the value of an array with one entry.
///
/// A number is replaced as a whole, also while the filter reads it: the kernel copies values of arrays in words of 8 bytes
/// (`bpf_long_memcpy` of linux/bpf.h).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Front {
    /// Zero is an empty place: no pair is zero, since [`PROTOCOL_UDP`] is part of each.
    places: [u64; Self::PLACES],
}

impl Front {
    /// How many pairs have a place. A host has an address or two; more are found in the hash map, some 20 ns later.
    pub const PLACES: usize = 4;
    /// Bytes of the array's value.
    pub const BYTES: usize = Self::PLACES * size_of::<u64>();
    /// Bits that a pair's address is shifted by, and those of its port, so that the protocol fits behind them.
    pub(super) const ADDRESS_SHIFT: i32 = 32;
    pub(super) const PORT_SHIFT: i32 = 16;

    /// Gives this pair a place, where it is one of IPv4 and a place is left; `true` where it has one now that it did not have.
    pub fn add(&mut self, address: IpAddr, port: u16) -> bool {
        let Some(pair) = Self::pair(address, port) else { return false };
        if self.places.contains(&pair) {
            return false;
        }
        let empty = self.places.iter_mut().find(|place| **place == 0);
        empty.map(|place| *place = pair).is_some()
    }

    /// Takes this pair's place from it; `true` where it had one.
    pub fn remove(&mut self, address: IpAddr, port: u16) -> bool {
        let Some(pair) = Self::pair(address, port) else { return false };
        let place = self.places.iter_mut().find(|place| **place == pair);
        place.map(|place| *place = 0).is_some()
    }

    /// The value as it lies in the array.
    #[must_use]
    pub fn bytes(&self) -> [u8; Self::BYTES] {
        zerocopy::transmute!(self.places)
    }

    /// The number that the filter makes of what it reads from a packet: address and port as the machine reads their bytes.
    fn pair(address: IpAddr, port: u16) -> Option<u64> {
        let IpAddr::V4(address) = address.to_canonical() else { return None };
        let address = u64::from(u32::from_ne_bytes(Ipv4Addr::octets(&address)));
        let port = u64::from(u16::from_ne_bytes(port.to_be_bytes()));
        Some(address << Self::ADDRESS_SHIFT | port << Self::PORT_SHIFT | u64::from(PROTOCOL_UDP))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pairs_come_and_go_and_those_without_a_place_are_left_out() {
        let address = |last: u8| IpAddr::from([10, 74, 0, last]);
        let mut front = Front::default();
        assert_eq!(front.bytes(), [0; Front::BYTES]);
        assert!(!front.add("fd74::2".parse().unwrap(), 7421), "IPv6 is found in the hash map");
        for last in 1..=4 {
            assert!(front.add(address(last), 7421));
        }
        assert!(!front.add(address(2), 7421), "it has its place");
        assert!(!front.add(address(5), 7421), "no place is left");
        let full = front;
        assert!(!front.remove(address(2), 7420));
        assert!(front.remove("::ffff:10.74.0.2".parse().unwrap(), 7421));
        assert!(!front.remove(address(2), 7421));
        assert_ne!(front, full);
        assert!(front.add(address(2), 7421));
        assert_eq!(front, full);
    }

    #[test]
    #[cfg(target_endian = "little")]
    fn a_pair_is_one_number() {
        let mut front = Front::default();
        assert!(front.add("10.74.0.2".parse().unwrap(), 7421));
        assert_eq!(front.bytes()[..8], [17, 0, 0x1c, 0xfd, 10, 74, 0, 2]);
        assert!(front.add("0.0.0.0".parse().unwrap(), 0));
        assert_eq!(front.bytes()[8..16], [17, 0, 0, 0, 0, 0, 0, 0]);
    }

    #[test]
    fn keys_are_in_network_order_and_ipv4_is_mapped() {
        let expected = [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, 10, 74, 0, 2, 0x1c, 0xfd, 17, 0];
        assert_eq!(PortKey::udp("10.74.0.2".parse().unwrap(), 7421).bytes(), expected);
        assert_eq!(PortKey::udp("::ffff:10.74.0.2".parse().unwrap(), 7421).bytes(), expected);
        let bytes = PortKey::udp("fd74::2".parse().unwrap(), 0x0102).bytes();
        assert_eq!(bytes, [0xfd, 0x74, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 2, 1, 2, 17, 0]);
    }
}
