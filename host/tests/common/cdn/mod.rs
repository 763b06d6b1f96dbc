//! Name servers and web servers in the process that behave as CDNs do, and as nobody should (CDN-2, CDN-7).
//!
//! Every server has an address of its own in 127.0.0.0/8, so that many can stand on the same two ports, as edges stand on 80
//! and 443. They are threads that end when the server is dropped; nothing here needs a runtime.
#![allow(dead_code, reason = "each test binary uses a part of it")]

#[cfg(feature = "aws-lc")]
pub mod certificates;
pub mod names;
#[cfg(feature = "aws-lc")]
pub mod providers;
pub mod web;

use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};

/// The two ports that all servers of this process stand on.
#[derive(Clone, Copy, Debug)]
pub struct Ports {
    /// In place of 80.
    pub http: u16,
    /// In place of 443.
    pub https: u16,
}

/// Ports that were free on all addresses when this was first asked.
pub fn ports() -> Ports {
    static PORTS: OnceLock<Ports> = OnceLock::new();
    *PORTS.get_or_init(|| {
        let pick = || TcpListener::bind((Ipv4Addr::UNSPECIFIED, 0)).unwrap();
        let (http, https) = (pick(), pick());
        Ports { http: http.local_addr().unwrap().port(), https: https.local_addr().unwrap().port() }
    })
}

/// An address of the loopback network that no other server of this process has, and hardly one of another process.
pub fn own_address() -> IpAddr {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    let (process, here) = (std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed));
    let [.., third, fourth] = (here + 1).to_be_bytes();
    // 127.16.0.0 to 127.223.255.255: 208 processes at a time, with 65535 addresses each.
    Ipv4Addr::new(127, 16 + (process % 208) as u8, third, fourth).into()
}

/// Listens on this port of an address of its own.
fn listen(port: u16, ip: IpAddr) -> TcpListener {
    let address = SocketAddr::new(ip, port);
    TcpListener::bind(address).unwrap_or_else(|error| panic!("cannot listen on {address}: {error}"))
}
