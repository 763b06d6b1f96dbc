//! Addresses and host names in the values of headers: what an answer tells about the server behind it.

use std::net::{IpAddr, Ipv6Addr, SocketAddr};

/// Bytes of a value that are looked at.
const MOST_BYTES: usize = 4096;

/// Hosts of a value that are looked at.
const MOST_HOSTS: usize = 16;

/// A host.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Host {
    /// By address.
    Ip(IpAddr),
    /// By name, in lower case.
    Name(String),
}

/// The hosts that a value names: `10.0.0.7:8080`, `origin.example.com`, `https://origin.example.com/path`.
#[must_use]
pub fn hosts(value: &[u8]) -> Vec<Host> {
    let value = String::from_utf8_lossy(value.get(..MOST_BYTES).unwrap_or(value));
    let is_between = |c: char| c.is_whitespace() || c.is_control() || ",;\"'=()<>|".contains(c);
    let mut found: Vec<Host> = Vec::new();
    for word in value.split(is_between) {
        let Some(host) = host(word) else { continue };
        if found.len() < MOST_HOSTS && !found.contains(&host) {
            found.push(host);
        }
    }
    found
}

fn host(word: &str) -> Option<Host> {
    let word = word.split_once("://").map_or(word, |(_, rest)| rest);
    let word = word.split(['/', '?', '#']).next()?;
    let word = word.rsplit_once('@').map_or(word, |(_, host)| host);
    if let Ok(ip) = word.parse::<IpAddr>() {
        return Some(Host::Ip(ip.to_canonical()));
    }
    if let Ok(address) = word.parse::<SocketAddr>() {
        return Some(Host::Ip(address.ip().to_canonical()));
    }
    let bracketed = word.strip_prefix('[').and_then(|word| word.strip_suffix(']'));
    if let Some(ip) = bracketed.and_then(|word| word.parse::<Ipv6Addr>().ok()) {
        return Some(Host::Ip(IpAddr::from(ip).to_canonical()));
    }
    let name = match word.rsplit_once(':') {
        Some((name, port)) if port.parse::<u16>().is_ok() => name,
        _ => word,
    };
    name_of_host(name).map(Host::Name)
}

/// The name in lower case and without the dot of the root, if it is one of at least two labels.
#[must_use]
pub fn name_of_host(text: &str) -> Option<String> {
    let name = text.strip_suffix('.').unwrap_or(text);
    let is_label = |label: &str| {
        (1..=63).contains(&label.len())
            && !label.starts_with('-')
            && !label.ends_with('-')
            && label.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_'))
    };
    // Versions and addresses end in a number, names do not (RFC 3696, section 2).
    let last_is_word = name.rsplit('.').next().is_some_and(|label| !label.bytes().all(|byte| byte.is_ascii_digit()));
    let is_name = name.len() <= 253 && name.contains('.') && name.split('.').all(is_label) && last_is_word;
    is_name.then(|| name.to_ascii_lowercase())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn hosts_are_found_in_values() {
        let ip = |text: &str| Host::Ip(text.parse().unwrap());
        let name = |text: &str| Host::Name(text.to_owned());
        for (value, expected) in [
            ("192.0.2.7", vec![ip("192.0.2.7")]),
            ("10.0.0.7:8080", vec![ip("10.0.0.7")]),
            ("[2001:db8::7]:443, ::ffff:192.0.2.9", vec![ip("2001:db8::7"), ip("192.0.2.9")]),
            ("[2001:db8::7]", vec![ip("2001:db8::7")]),
            ("https://user@Origin.Example.com:8443/path?x=1", vec![name("origin.example.com")]),
            ("web1.internal.example.com.", vec![name("web1.internal.example.com")]),
            ("default-src 'self' https://a.example.com *.example.net", vec![name("a.example.com")]),
            ("sid=1; Domain=.example.com; Path=/", vec![]),
            ("nginx/1.24.0", vec![]),
            ("1.24.0 42 backend-7", vec![]),
            ("", vec![]),
        ] {
            assert_eq!(hosts(value.as_bytes()), expected, "{value}");
        }
    }

    #[test]
    fn no_value_names_more_hosts_than_are_looked_at() {
        let value: String = (0..500).map(|number| format!("h{number}.example.com ")).collect();
        assert_eq!(hosts(value.as_bytes()).len(), MOST_HOSTS);
    }

    proptest! {
        #[test]
        fn any_bytes_are_read(value in proptest::collection::vec(any::<u8>(), 0..200)) {
            for host in hosts(&value) {
                if let Host::Name(name) = host {
                    prop_assert_eq!(name_of_host(&name), Some(name.clone()));
                }
            }
        }
    }
}
