//! Ethernet, IP and UDP headers, for packets that reach this process past the kernel's own network stack (XDP-5).
//!
//! [`parse_udp`] reads a frame down to the payload of its UDP datagram, [`UdpHeaders`] writes the headers in front of
//! one. Both work where the frame lies; nothing is copied but headers.
//!
//! ```text
//! Ethernet II (14) · VLAN tags (0 to 2, 4 each) · IPv4 (20 to 60) or IPv6 (40) · UDP (8) · payload · padding
//! ```
//!
//! What the kernel does better stays with it: fragments, IPv6 extension headers and all protocols other than UDP are
//! refused here, and the port filter lets the kernel have them in the first place. The survey, which speaks TCP, ICMP, ARP and
//! neighbour discovery as well, takes the headers of those from here too.

pub(crate) mod arp;
mod checksum;
pub(crate) mod ether;
pub(crate) mod icmp;
pub(crate) mod ip;
pub(crate) mod ndp;
mod reject;
pub(crate) mod tcp;
pub(crate) mod udp;

#[cfg(test)]
mod tests;

pub use checksum::Checksum;
pub use ether::MacAddress;
pub use reject::NetReject;
pub use udp::{UdpHeaders, UdpPacket, parse_udp};
