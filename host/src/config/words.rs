//! Values that the command line and the configuration write alike.

use std::net::{IpAddr, Ipv6Addr, SocketAddr};

use crate::{file_io, transport};

/// The UDP port that a receiver listens on where none is given.
pub const DEFAULT_PORT: u16 = 7420;

/// An address, and its port where it has one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Address {
    /// The address.
    pub ip: IpAddr,
    /// The port.
    pub port: Option<u16>,
}

/// `1.2.3.4`, `1.2.3.4:5`, `::1`, `[::1]` or `[::1]:5`.
#[must_use]
pub fn parse_address(text: &str) -> Option<Address> {
    if let Ok(address) = text.parse::<SocketAddr>() {
        return Some(Address { ip: address.ip(), port: Some(address.port()) });
    }
    let bare = text.strip_prefix('[').and_then(|text| text.strip_suffix(']')).unwrap_or(text);
    bare.parse().ok().map(|ip| Address { ip, port: None })
}

/// Where to listen: an address, an address and a port, or a port.
///
/// # Errors
/// What would do, in words.
pub fn parse_listen(text: &str) -> Result<SocketAddr, String> {
    if let Some(address) = parse_address(text) {
        return Ok(SocketAddr::new(address.ip, address.port.unwrap_or(DEFAULT_PORT)));
    }
    // Zero lets the system choose.
    match text.strip_prefix(':').unwrap_or(text).parse() {
        Ok(port) => Ok(SocketAddr::new(Ipv6Addr::UNSPECIFIED.into(), port)),
        Err(_) => Err("expected an address of this host and a port, like 192.0.2.1:7420, [::]:7420 or 7420".to_owned()),
    }
}

/// One of these, by its name.
///
/// # Errors
/// All names that would do, in words.
pub fn parse_name<T: Copy>(all: &[(&str, T)], text: &str) -> Result<T, String> {
    if let Some((_, named)) = all.iter().find(|(name, _)| *name == text) {
        return Ok(*named);
    }
    let names: Vec<_> = all.iter().map(|(name, _)| *name).collect();
    Err(match names.split_last() {
        Some((last, [])) => format!("expected {last}"),
        Some((last, others)) => format!("expected {} or {last}", others.join(", ")),
        None => "there is nothing to choose from".to_owned(),
    })
}

/// How packets travel.
///
/// # Errors
/// What would do, in words.
pub fn parse_transport(text: &str) -> Result<transport::Choice, String> {
    parse_name(&transport::Choice::ALL, text)
}

/// How files are read and written.
///
/// # Errors
/// What would do, in words.
pub fn parse_file_io(text: &str) -> Result<file_io::Choice, String> {
    parse_name(&file_io::Choice::ALL, text)
}

/// The name of a network interface, which need not exist.
///
/// # Errors
/// What would do, in words.
pub fn parse_iface(text: &str) -> Result<String, String> {
    #[cfg(target_os = "linux")]
    let is_name = crate::interface::is_name(text);
    // Elsewhere there is nothing to look at.
    #[cfg(not(target_os = "linux"))]
    let is_name = !text.is_empty();
    if is_name {
        return Ok(text.to_owned());
    }
    Err("expected the name of an interface, like eth0: 1 to 15 bytes, no space, slash or colon".to_owned())
}
