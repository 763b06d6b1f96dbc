//! What the filter looks for in its map.

use core::net::{IpAddr, Ipv6Addr};

use zerocopy::byteorder::big_endian::U16;
use zerocopy::{Immutable, IntoBytes};

/// UDP's number among the protocols that IP carries.
pub(super) const PROTOCOL_UDP: u8 = 17;

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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_in_network_order_and_ipv4_is_mapped() {
        let expected = [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, 10, 74, 0, 2, 0x1c, 0xfd, 17, 0];
        assert_eq!(PortKey::udp("10.74.0.2".parse().unwrap(), 7421).bytes(), expected);
        assert_eq!(PortKey::udp("::ffff:10.74.0.2".parse().unwrap(), 7421).bytes(), expected);
        let bytes = PortKey::udp("fd74::2".parse().unwrap(), 0x0102).bytes();
        assert_eq!(bytes, [0xfd, 0x74, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 2, 1, 2, 17, 0]);
    }
}
