//! What is sent to each address: TCP SYN or UDP to ports, and ICMP echo.

use core::fmt;

/// How an address is asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Protocol {
    /// A SYN (RFC 9293).
    Tcp,
    /// A datagram (RFC 768).
    Udp,
    /// An echo request: of ICMP for IPv4 (RFC 792), of ICMPv6 for IPv6 (RFC 4443).
    Icmp,
}

impl Protocol {
    /// `tcp`, `udp` or `icmp`.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Tcp => "tcp",
            Self::Udp => "udp",
            Self::Icmp => "icmp",
        }
    }
}

impl fmt::Display for Protocol {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// One thing that an address is asked. A survey has a sorted list of them without duplicates.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Probe {
    /// How.
    pub protocol: Protocol,
    /// The port, from 1; 0 for [`Protocol::Icmp`], which has none.
    pub port: u16,
}

impl Probe {
    /// The echo request.
    pub const ECHO: Self = Self { protocol: Protocol::Icmp, port: 0 };

    /// A SYN to this port.
    #[must_use]
    pub const fn tcp(port: u16) -> Self {
        Self { protocol: Protocol::Tcp, port }
    }

    /// A datagram to this port.
    #[must_use]
    pub const fn udp(port: u16) -> Self {
        Self { protocol: Protocol::Udp, port }
    }
}

/// As it is written in a list of ports: `tcp:22`, `icmp`.
impl fmt::Display for Probe {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.protocol {
            Protocol::Icmp => f.write_str("icmp"),
            protocol => write!(f, "{protocol}:{}", self.port),
        }
    }
}

/// More probes than this no list has: every port of TCP and of UDP, and the echo request.
pub const MAX_PROBES: usize = 2 * 65_535 + 1;

/// What is wrong with an item of a list of ports.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PortsReason {
    /// There is nothing between two commas, behind a protocol, or at all.
    Empty,
    /// What should be a port is no number from 1 to 65535.
    Port,
    /// The range ends before it begins.
    Backwards,
    /// Before a colon stands something else than a protocol.
    Protocol,
    /// Echo requests have no ports.
    EchoWithPort,
}

impl fmt::Display for PortsReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Empty => "a port is missing",
            Self::Port => "a port is a number from 1 to 65535",
            Self::Backwards => "this range ends before it begins",
            Self::Protocol => "before the colon belongs tcp or udp, as in udp:53",
            Self::EchoWithPort => "icmp has no ports: write it alone",
        })
    }
}

/// An item of a list of ports that is none, and why.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PortsError<'t> {
    /// The item as it was written.
    pub item: &'t str,
    /// What is wrong with it.
    pub reason: PortsReason,
}

impl fmt::Display for PortsError<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.item {
            "" => write!(f, "{} in the list of ports, which is written like 22,80,8000-8100,udp:53,icmp", self.reason),
            item => write!(f, "`{item}` in the list of ports: {}", self.reason),
        }
    }
}

impl core::error::Error for PortsError<'_> {}

/// Reads `22,80,1000-2000,udp:53,100-200,tcp:443,icmp` and hands out each probe in the order of the list, repeated ones too.
///
/// A protocol holds for all ports behind it until the next one; the first is TCP. It may be written as nmap does, `U:` and `T:`.
/// Upper case and space around items do not matter.
///
/// # Errors
/// The first item that is wrong. What stood before it was handed out.
pub fn parse(text: &str, mut found: impl FnMut(Probe)) -> Result<(), PortsError<'_>> {
    let mut protocol = Protocol::Tcp;
    for item in text.split(',').map(str::trim) {
        let wrong = |reason| PortsError { item, reason };
        let ports = match item.split_once(':') {
            Some((name, ports)) => {
                protocol = protocol_of(name.trim()).map_err(wrong)?;
                ports.trim()
            }
            None if is_echo(item) => {
                found(Probe::ECHO);
                continue;
            }
            None => item,
        };
        let (first, last) = range(ports).map_err(wrong)?;
        (first..=last).for_each(|port| found(Probe { protocol, port }));
    }
    Ok(())
}

fn is_echo(text: &str) -> bool {
    text.eq_ignore_ascii_case("icmp")
}

fn protocol_of(name: &str) -> Result<Protocol, PortsReason> {
    match name {
        _ if name.eq_ignore_ascii_case("tcp") || name.eq_ignore_ascii_case("t") => Ok(Protocol::Tcp),
        _ if name.eq_ignore_ascii_case("udp") || name.eq_ignore_ascii_case("u") => Ok(Protocol::Udp),
        _ if is_echo(name) => Err(PortsReason::EchoWithPort),
        _ => Err(PortsReason::Protocol),
    }
}

fn range(text: &str) -> Result<(u16, u16), PortsReason> {
    let Some((first, last)) = text.split_once('-') else {
        return port(text).map(|port| (port, port));
    };
    let (first, last) = (port(first.trim())?, port(last.trim())?);
    if first <= last { Ok((first, last)) } else { Err(PortsReason::Backwards) }
}

/// Digits only: a sign would be read as a part of the number otherwise.
fn port(text: &str) -> Result<u16, PortsReason> {
    match text {
        "" => Err(PortsReason::Empty),
        _ if !text.bytes().all(|byte| byte.is_ascii_digit()) => Err(PortsReason::Port),
        _ => text.parse().ok().filter(|port| *port > 0).ok_or(PortsReason::Port),
    }
}

/// Puts probes in order, each once, at the front of the slice, and says how many those are.
pub fn sort(probes: &mut [Probe]) -> usize {
    probes.sort_unstable();
    let mut kept = 0;
    for at in 0..probes.len() {
        if kept == 0 || probes[kept - 1] != probes[at] {
            probes[kept] = probes[at];
            kept += 1;
        }
    }
    kept
}

#[cfg(test)]
mod tests {
    extern crate std;

    use std::string::{String, ToString};
    use std::vec::Vec;

    use super::*;

    fn list(text: &str) -> Result<String, String> {
        let mut probes = Vec::new();
        parse(text, |probe| probes.push(probe)).map_err(|error| error.to_string())?;
        let kept = sort(&mut probes);
        Ok(probes[..kept].iter().map(ToString::to_string).collect::<Vec<_>>().join(" "))
    }

    /// SCAN-1: many ports, of both protocols, and echo.
    #[test]
    fn lists_of_ports() {
        for (text, expected) in [
            ("80", "tcp:80"),
            ("443,80,443", "tcp:80 tcp:443"),
            ("22,80-82,udp:53,icmp,100-101,tcp:21", "tcp:21 tcp:22 tcp:80 tcp:81 tcp:82 udp:53 udp:100 udp:101 icmp"),
            ("U:53,T:22,23", "tcp:22 tcp:23 udp:53"),
            (" UDP: 5 - 6 , ICMP", "udp:5 udp:6 icmp"),
            ("65535,1", "tcp:1 tcp:65535"),
        ] {
            assert_eq!(list(text).as_deref(), Ok(expected), "{text}");
        }
        let mut count = 0;
        parse("1-65535,udp:1-65535,icmp", |_| count += 1).unwrap();
        assert_eq!(count, MAX_PROBES);
    }

    #[test]
    fn what_is_no_list_says_which_item_is_wrong() {
        let wrong = |text| parse(text, |_| {}).map_err(|error| (error.item, error.reason)).unwrap_err();
        for (text, item, reason) in [
            ("", "", PortsReason::Empty),
            ("80,,81", "", PortsReason::Empty),
            ("80,", "", PortsReason::Empty),
            ("udp:", "udp:", PortsReason::Empty),
            ("80-", "80-", PortsReason::Empty),
            ("-80", "-80", PortsReason::Empty),
            ("0", "0", PortsReason::Port),
            ("80,0-5", "0-5", PortsReason::Port),
            ("65536", "65536", PortsReason::Port),
            ("+80", "+80", PortsReason::Port),
            ("http", "http", PortsReason::Port),
            ("1-2-3", "1-2-3", PortsReason::Port),
            ("99999999999999999999", "99999999999999999999", PortsReason::Port),
            ("90-80", "90-80", PortsReason::Backwards),
            ("sctp:80", "sctp:80", PortsReason::Protocol),
            ("udp:53:54", "udp:53:54", PortsReason::Port),
            ("icmp:8", "icmp:8", PortsReason::EchoWithPort),
        ] {
            assert_eq!(wrong(text), (item, reason), "{text}");
        }
        assert_eq!(list("80,9x").unwrap_err(), "`9x` in the list of ports: a port is a number from 1 to 65535");
    }
}
