//! What AF_XDP costs (`./x bench xdp`): this end of the rings alone, and packets per second over a veth pair next to others.
//! And what it costs on the wrong NUMA node (`./x bench numa`).

pub mod contest;
pub mod cost;
pub mod numa;
pub mod peer;
pub mod perf;
pub mod player;
pub mod role;
pub mod transfer;
pub mod veth;

use std::net::{Ipv4Addr, SocketAddr};

use wirehaul_core::wire::net::{MacAddress, UdpHeaders};

/// The UDP port that all packets go to.
pub const PORT: u16 = 7420;
/// Bytes of a frame without its check sequence: the shortest that Ethernet knows, which is what rates are told for.
pub const FRAME_BYTES: usize = 60;

/// Writes a frame of [`FRAME_BYTES`] to the front of `bytes`, from one address to another; `false` where it does not fit.
#[must_use]
pub fn write_frame(bytes: &mut [u8], macs: [MacAddress; 2], addresses: [Ipv4Addr; 2]) -> bool {
    let headers = UdpHeaders {
        ether_source: macs[0],
        ether_destination: macs[1],
        vlan: None,
        source: SocketAddr::new(addresses[0].into(), PORT),
        destination: SocketAddr::new(addresses[1].into(), PORT),
        ecn: 0,
        hop_limit: 64,
    };
    headers.write_before(bytes, headers.len()..FRAME_BYTES) == Some(0)
}
