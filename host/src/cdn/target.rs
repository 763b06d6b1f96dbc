//! What users ask about: addresses, prefixes, names, URLs, and hosts with a port (CDN-6).

use std::net::{IpAddr, Ipv6Addr};

use wirehaul_core::cdn::prefix::{Prefix, PrefixError};

/// Bytes of a name at most, without the dot of the root (RFC 1035, section 2.3.4).
const MOST_NAME_BYTES: usize = 253;

/// Bytes of a label at most.
const MOST_LABEL_BYTES: usize = 63;

/// Who is asked about.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Host {
    /// An address.
    Ip(IpAddr),
    /// A name, in lower case and without the dot of the root.
    Name(String),
}

/// What a URL says of how to ask.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Scheme {
    /// In the clear.
    Http,
    /// Over TLS.
    Https,
}

/// A host, and what was said of how to reach it.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Target {
    /// As the user wrote it, without space around it.
    pub text: String,
    /// Who.
    pub host: Host,
    /// At which port, where one was said.
    pub port: Option<u16>,
    /// How, where it was a URL.
    pub scheme: Option<Scheme>,
}

/// One thing that is asked about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Item {
    /// A host.
    Host(Target),
    /// All addresses of a prefix.
    Range(Prefix),
}

/// Why something is nothing that can be asked about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TargetError {
    /// There is nothing.
    #[error("there is nothing here")]
    Empty,
    /// There are spaces or control characters in it.
    #[error("spaces and control characters belong in none; give one address, prefix, name or URL a line")]
    Space,
    /// A prefix that is none.
    #[error("this is no prefix: {0}")]
    Prefix(PrefixError),
    /// Digits and dots that are no address.
    #[error("this looks like an address and is none: IPv4 has four numbers up to 255, without zeros in front")]
    Ipv4,
    /// Colons that are neither an address nor in front of a port.
    #[error("this is neither an IPv6 address nor HOST:PORT; an IPv6 address with a port is written [ADDRESS]:PORT")]
    Ipv6,
    /// An address with the name of an interface.
    #[error("an address of one link only; leave out what is behind the %, or give a global address")]
    Zone,
    /// Brackets without an address in them, or not closed.
    #[error("in brackets belongs an IPv6 address, as in [2001:db8::1]:443")]
    Brackets,
    /// A port that is none.
    #[error("the port has to be a number from 1 to 65535")]
    Port,
    /// A URL of something else.
    #[error("only http:// and https:// can be asked about")]
    Scheme,
    /// A URL with a user or a password in it.
    #[error("leave out what is before the @: it is of no use here, and it may be a secret")]
    User,
    /// A name with characters beyond ASCII.
    #[error("write this name in punycode, the form that begins with xn--")]
    NotAscii,
    /// A character that no name has.
    #[error("a name has letters, digits, hyphens and dots only")]
    Character,
    /// Two dots in a row, or one in front.
    #[error("a label of this name is empty: there are two dots in a row, or one in front")]
    EmptyLabel,
    /// A label begins or ends with a hyphen.
    #[error("no label of a name begins or ends with a hyphen")]
    Hyphen,
    /// A label is too long.
    #[error("a label of this name has more than 63 bytes")]
    LongLabel,
    /// The name is too long.
    #[error("this name has more than 253 bytes")]
    LongName,
}

impl Item {
    /// Reads an address, a prefix, a name, a URL, `HOST:PORT` or `[ADDRESS]:PORT`.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn parse(text: &str) -> Result<Self, TargetError> {
        let text = text.trim();
        if text.is_empty() {
            return Err(TargetError::Empty);
        }
        if text.chars().any(|c| c.is_whitespace() || c.is_control()) {
            return Err(TargetError::Space);
        }
        let target = |host, port, scheme| Self::Host(Target { text: text.to_owned(), host, port, scheme });
        if let Ok(ip) = text.parse() {
            return Ok(target(Host::Ip(ip), None, None));
        }
        if let Some((scheme, rest)) = text.split_once("://") {
            let scheme = scheme_of(scheme)?;
            // Neither path nor question goes anywhere: `/` is what is asked for.
            let authority = rest.split(['/', '?', '#', '\\']).next().unwrap_or_default();
            if authority.contains('@') {
                return Err(TargetError::User);
            }
            let (host, port) = host_and_port(authority)?;
            return Ok(target(host, port, Some(scheme)));
        }
        if text.contains('/') {
            return prefix(text).map(Self::Range);
        }
        let (host, port) = host_and_port(text)?;
        Ok(target(host, port, None))
    }
}

fn scheme_of(text: &str) -> Result<Scheme, TargetError> {
    match text {
        _ if text.eq_ignore_ascii_case("http") => Ok(Scheme::Http),
        _ if text.eq_ignore_ascii_case("https") => Ok(Scheme::Https),
        _ => Err(TargetError::Scheme),
    }
}

/// A prefix; an address in it stands for it. What has a slash and does not look like one is a URL without its beginning.
fn prefix(text: &str) -> Result<Prefix, TargetError> {
    Prefix::parse_lenient(text).map(|(prefix, _)| prefix).map_err(|error| match error {
        PrefixError::Address if looks_like_name(text) => TargetError::Scheme,
        error => TargetError::Prefix(error),
    })
}

fn looks_like_name(text: &str) -> bool {
    let host = text.split('/').next().unwrap_or_default();
    host.contains('.') && host.bytes().any(|byte| byte.is_ascii_alphabetic()) && !host.contains(':')
}

fn host_and_port(text: &str) -> Result<(Host, Option<u16>), TargetError> {
    if let Some(inner) = text.strip_prefix('[') {
        let (address, rest) = inner.split_once(']').ok_or(TargetError::Brackets)?;
        let zone_free = |_| if address.contains('%') { TargetError::Zone } else { TargetError::Brackets };
        let ip: Ipv6Addr = address.parse().map_err(zone_free)?;
        let port = match rest.strip_prefix(':') {
            Some(port) => Some(parse_port(port)?),
            None if rest.is_empty() => None,
            None => return Err(TargetError::Brackets),
        };
        return Ok((Host::Ip(ip.into()), port));
    }
    match text.split_once(':') {
        None => Ok((host(text)?, None)),
        Some((_, rest)) if rest.contains(':') => {
            Err(if text.contains('%') { TargetError::Zone } else { TargetError::Ipv6 })
        }
        Some((name, port)) => Ok((host(name)?, Some(parse_port(port)?))),
    }
}

fn parse_port(text: &str) -> Result<u16, TargetError> {
    let is_number = matches!(text.len(), 1..=5) && text.bytes().all(|byte| byte.is_ascii_digit());
    text.parse().ok().filter(|port| is_number && *port > 0).ok_or(TargetError::Port)
}

/// An address of IPv4, or a name of labels (RFC 1123, section 2.1), in which an underscore is let through as resolvers do.
fn host(text: &str) -> Result<Host, TargetError> {
    if let Ok(ip) = text.parse() {
        return Ok(Host::Ip(ip));
    }
    if !text.is_ascii() {
        return Err(TargetError::NotAscii);
    }
    let name = text.strip_suffix('.').unwrap_or(text);
    if name.is_empty() {
        return Err(if text.is_empty() { TargetError::Empty } else { TargetError::EmptyLabel });
    }
    if let Some(other) = name.bytes().find(|byte| !is_of_name(*byte)) {
        return Err(if other == b'%' { TargetError::Zone } else { TargetError::Character });
    }
    if name.len() > MOST_NAME_BYTES {
        return Err(TargetError::LongName);
    }
    name.split('.').try_for_each(check_label)?;
    // No top-level domain is a number, and what ends in one is read as an address by many (RFC 3696, section 2).
    let last = name.rsplit('.').next().unwrap_or_default();
    if last.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(TargetError::Ipv4);
    }
    Ok(Host::Name(name.to_ascii_lowercase()))
}

const fn is_of_name(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_')
}

fn check_label(label: &str) -> Result<(), TargetError> {
    match label {
        "" => Err(TargetError::EmptyLabel),
        _ if label.len() > MOST_LABEL_BYTES => Err(TargetError::LongLabel),
        _ if label.starts_with('-') || label.ends_with('-') => Err(TargetError::Hyphen),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn host_of(text: &str) -> (Host, Option<u16>, Option<Scheme>) {
        match Item::parse(text).unwrap_or_else(|error| panic!("{text}: {error}")) {
            Item::Host(target) => (target.host, target.port, target.scheme),
            Item::Range(prefix) => panic!("{text} is the prefix {prefix}"),
        }
    }

    fn name(text: &str) -> Host {
        Host::Name(text.to_owned())
    }

    fn ip(text: &str) -> Host {
        Host::Ip(text.parse().unwrap())
    }

    /// CDN-6: addresses, host names, URLs and CIDRs.
    #[test]
    fn every_kind_of_item() {
        for (text, host, port, scheme) in [
            ("192.0.2.1", ip("192.0.2.1"), None, None),
            (" 192.0.2.1\r", ip("192.0.2.1"), None, None),
            ("192.0.2.1:80", ip("192.0.2.1"), Some(80), None),
            ("2001:db8::1", ip("2001:db8::1"), None, None),
            ("::ffff:192.0.2.1", ip("::ffff:192.0.2.1"), None, None),
            ("[2001:db8::1]", ip("2001:db8::1"), None, None),
            ("[2001:db8::1]:443", ip("2001:db8::1"), Some(443), None),
            ("Example.COM", name("example.com"), None, None),
            ("example.com.", name("example.com"), None, None),
            ("localhost", name("localhost"), None, None),
            ("_dmarc.example.com", name("_dmarc.example.com"), None, None),
            ("xn--bcher-kva.example", name("xn--bcher-kva.example"), None, None),
            ("1.2.3.4.example", name("1.2.3.4.example"), None, None),
            ("example.com:8443", name("example.com"), Some(8443), None),
            ("https://example.com", name("example.com"), None, Some(Scheme::Https)),
            ("HTTP://Example.com:8080/a?b#c", name("example.com"), Some(8080), Some(Scheme::Http)),
            ("https://[2001:db8::1]:8443/", ip("2001:db8::1"), Some(8443), Some(Scheme::Https)),
            ("http://192.0.2.1/x:y@z", ip("192.0.2.1"), None, Some(Scheme::Http)),
        ] {
            assert_eq!(host_of(text), (host, port, scheme), "{text}");
        }
        for (text, expected) in [
            ("192.0.2.0/24", "192.0.2.0/24"),
            ("192.0.2.7/24", "192.0.2.0/24"),
            ("2001:db8::/32", "2001:db8::/32"),
            ("0.0.0.0/0", "0.0.0.0/0"),
        ] {
            let Ok(Item::Range(prefix)) = Item::parse(text) else { panic!("{text}") };
            assert_eq!(prefix.to_string(), expected);
        }
    }

    #[test]
    fn what_is_none_says_why() {
        let label = "a".repeat(64);
        let long = ["a"; 128].join(".");
        for (text, expected) in [
            ("", TargetError::Empty),
            ("  ", TargetError::Empty),
            ("a b", TargetError::Space),
            ("a\tb", TargetError::Space),
            ("a\0b", TargetError::Space),
            ("192.0.2", TargetError::Ipv4),
            ("192.0.2.256", TargetError::Ipv4),
            ("192.0.2.01", TargetError::Ipv4),
            ("192.0.2.1.", TargetError::Ipv4),
            ("3221225985", TargetError::Ipv4),
            ("2001:db8::g", TargetError::Ipv6),
            ("1:2:3", TargetError::Ipv6),
            ("fe80::1%eth0", TargetError::Zone),
            ("[fe80::1%eth0]:80", TargetError::Zone),
            ("[192.0.2.1]:80", TargetError::Brackets),
            ("[2001:db8::1", TargetError::Brackets),
            ("[2001:db8::1]80", TargetError::Brackets),
            ("example.com:", TargetError::Port),
            ("example.com:0", TargetError::Port),
            ("example.com:+80", TargetError::Port),
            ("example.com:65536", TargetError::Port),
            ("ftp://example.com", TargetError::Scheme),
            ("example.com/path", TargetError::Scheme),
            ("https://", TargetError::Empty),
            ("https:///path", TargetError::Empty),
            ("https://user:secret@example.com/", TargetError::User),
            ("b\u{fc}cher.example", TargetError::NotAscii),
            ("exa$mple.com", TargetError::Character),
            ("a..b", TargetError::EmptyLabel),
            (".a", TargetError::EmptyLabel),
            (".", TargetError::EmptyLabel),
            ("a.-b", TargetError::Hyphen),
            ("-h", TargetError::Hyphen),
            ("a-.b", TargetError::Hyphen),
            (&label, TargetError::LongLabel),
            (&long, TargetError::LongName),
            ("192.0.2.0/33", TargetError::Prefix(PrefixError::Length)),
            ("192.0.2.0/", TargetError::Prefix(PrefixError::Length)),
            ("2001:db8::/129", TargetError::Prefix(PrefixError::Length)),
            ("x/8", TargetError::Prefix(PrefixError::Address)),
        ] {
            assert_eq!(Item::parse(text), Err(expected), "{text:?}");
        }
    }

    proptest::proptest! {
        /// What bad input gets: never a panic, and what is taken is taken again.
        #[test]
        fn anything_is_an_item_or_an_error(text in "\\PC{0,40}|[a-z0-9.:/%\\[\\]-]{0,40}") {
            if let Ok(Item::Host(target)) = Item::parse(&text) {
                assert_eq!(Item::parse(&target.text), Ok(Item::Host(target)));
            }
        }
    }
}
