//! Addresses on dual-stack sockets.

use std::net::{IpAddr, SocketAddr, SocketAddrV6};

/// The address with an IPv4 address in IPv6 clothing (`::ffff:a.b.c.d`) undressed.
pub(super) fn canonical(address: SocketAddr) -> SocketAddr {
    match address {
        SocketAddr::V6(v6) => match v6.ip().to_ipv4_mapped() {
            Some(v4) => SocketAddr::new(IpAddr::V4(v4), v6.port()),
            None => address,
        },
        SocketAddr::V4(_) => address,
    }
}

/// The address as an IPv6 socket wants it; unchanged where `mapped` is false.
pub(super) fn for_socket(address: SocketAddr, mapped: bool) -> SocketAddr {
    match address {
        SocketAddr::V4(v4) if mapped => SocketAddr::V6(SocketAddrV6::new(v4.ip().to_ipv6_mapped(), v4.port(), 0, 0)),
        _ => address,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(text: &str) -> SocketAddr {
        text.parse().unwrap()
    }

    #[test]
    fn mapped_addresses_come_and_go() {
        let v4 = address("192.0.2.7:99");
        assert_eq!(for_socket(v4, true), address("[::ffff:192.0.2.7]:99"));
        assert_eq!(canonical(for_socket(v4, true)), v4);
        assert_eq!(for_socket(v4, false), v4);
        let v6 = address("[2001:db8::1]:99");
        assert_eq!((canonical(v6), for_socket(v6, true)), (v6, v6));
    }
}
