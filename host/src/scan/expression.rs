//! What a TARGET is: an address, a prefix, a range from one address to another, or the name of a host (SCAN-1).

use std::net::IpAddr;

use wirehaul_core::cdn::prefix::{Prefix, PrefixError, Span};

use crate::cdn::target::{Host, Item, Target, TargetError};

/// A target as it was written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Expression {
    /// Addresses of IPv4.
    V4(Span<u32>),
    /// Addresses of IPv6.
    V6(Span<u128>),
    /// A host whose addresses are to be looked up; in lower case and without the dot of the root.
    Name(String),
}

/// Why something is no target.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ExpressionError {
    /// A prefix that is none.
    #[error("this is no prefix: {0}")]
    Prefix(PrefixError),
    /// The part of a range behind the hyphen is no address.
    #[error("behind the hyphen belongs a whole address, as in 192.0.2.10-192.0.2.20")]
    RangeEnd,
    /// A range from one family to the other.
    #[error("a range is of one family: both addresses of IPv4, or both of IPv6")]
    Families,
    /// A range that ends before it begins.
    #[error("this range ends before it begins")]
    Backwards,
    /// A port.
    #[error("a target has no port of its own; leave it out, and say with -p which ports are asked")]
    Port,
    /// A URL.
    #[error("a URL is no target; give its host alone")]
    Url,
    /// Neither an address nor a name.
    #[error(transparent)]
    Host(#[from] TargetError),
}

impl Expression {
    /// Reads `192.0.2.7`, `192.0.2.0/24`, `192.0.2.10-192.0.2.20`, `2001:db8::/64`, `2001:db8::1-2001:db8::ff` or
    /// `host.example`. An address with a length stands for the prefix around it.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn parse(text: &str) -> Result<Self, ExpressionError> {
        let text = text.trim();
        if let Ok(ip) = text.parse::<IpAddr>() {
            return Self::range(ip, ip);
        }
        if text.contains("://") {
            return Err(ExpressionError::Url);
        }
        if text.contains('/') {
            let (prefix, _) = Prefix::parse_lenient(text).map_err(ExpressionError::Prefix)?;
            return Ok(prefix.into());
        }
        if let Some((first, last)) = text.split_once('-')
            && let Ok(first) = first.trim_end().parse::<IpAddr>()
        {
            let last = last.trim_start();
            // A name may begin like this: 192.0.2.1-reverse.example.
            let is_number = last.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.');
            return match last.parse() {
                Ok(last) => Self::range(first, last),
                Err(_) if is_number => Err(ExpressionError::RangeEnd),
                Err(_) => Self::host(text).map_err(|_| ExpressionError::RangeEnd),
            };
        }
        Self::host(text)
    }

    fn range(first: IpAddr, last: IpAddr) -> Result<Self, ExpressionError> {
        let expression = match (first, last) {
            (IpAddr::V4(first), IpAddr::V4(last)) => Self::V4(Span { first: first.to_bits(), last: last.to_bits() }),
            (IpAddr::V6(first), IpAddr::V6(last)) => Self::V6(Span { first: first.to_bits(), last: last.to_bits() }),
            _ => return Err(ExpressionError::Families),
        };
        if first <= last { Ok(expression) } else { Err(ExpressionError::Backwards) }
    }

    /// A name, or an address of IPv6 in brackets.
    fn host(text: &str) -> Result<Self, ExpressionError> {
        match Item::parse(text)? {
            Item::Host(Target { port: Some(_), .. }) => Err(ExpressionError::Port),
            Item::Host(Target { host: Host::Name(name), .. }) => Ok(Self::Name(name)),
            Item::Host(Target { host: Host::Ip(ip), .. }) => Self::range(ip, ip),
            Item::Range(prefix) => Ok(prefix.into()),
        }
    }
}

impl From<Prefix> for Expression {
    fn from(prefix: Prefix) -> Self {
        match prefix {
            Prefix::V4(span) => Self::V4(span),
            Prefix::V6(span) => Self::V6(span),
        }
    }
}

#[cfg(test)]
mod tests {
    use wirehaul_core::cdn::prefix::Address;

    use super::*;

    fn span<A: Address>(span: Span<A>) -> String {
        format!("{}-{}", span.first.ip(), span.last.ip())
    }

    fn shown(text: &str) -> String {
        match Expression::parse(text).unwrap_or_else(|error| panic!("{text}: {error}")) {
            Expression::V4(found) => span(found),
            Expression::V6(found) => span(found),
            Expression::Name(name) => name,
        }
    }

    /// SCAN-1: the targets that the user names.
    #[test]
    fn every_kind_of_target() {
        for (text, expected) in [
            ("192.0.2.7", "192.0.2.7-192.0.2.7"),
            (" 192.0.2.7\r", "192.0.2.7-192.0.2.7"),
            ("192.0.2.0/24", "192.0.2.0-192.0.2.255"),
            ("192.0.2.7/24", "192.0.2.0-192.0.2.255"),
            ("0.0.0.0/0", "0.0.0.0-255.255.255.255"),
            ("192.0.2.10-192.0.2.20", "192.0.2.10-192.0.2.20"),
            ("192.0.2.10 - 192.0.2.10", "192.0.2.10-192.0.2.10"),
            ("2001:db8::1", "2001:db8::1-2001:db8::1"),
            ("[2001:db8::1]", "2001:db8::1-2001:db8::1"),
            ("2001:db8::/126", "2001:db8::-2001:db8::3"),
            ("2001:db8::1-2001:db8::ff", "2001:db8::1-2001:db8::ff"),
            ("::ffff:192.0.2.1", "::ffff:192.0.2.1-::ffff:192.0.2.1"),
            ("Host-1.Example.", "host-1.example"),
            ("10-20.example", "10-20.example"),
            ("192.0.2.1-reverse.example", "192.0.2.1-reverse.example"),
        ] {
            assert_eq!(shown(text), expected, "{text}");
        }
    }

    #[test]
    fn what_is_no_target_says_why() {
        for (text, expected) in [
            ("", ExpressionError::Host(TargetError::Empty)),
            ("192.0.2.1 192.0.2.2", ExpressionError::Host(TargetError::Space)),
            ("192.0.2.256", ExpressionError::Host(TargetError::Ipv4)),
            ("192.0.2", ExpressionError::Host(TargetError::Ipv4)),
            ("2001:db8::g", ExpressionError::Host(TargetError::Ipv6)),
            ("fe80::1%eth0", ExpressionError::Host(TargetError::Zone)),
            ("b\u{fc}cher.example", ExpressionError::Host(TargetError::NotAscii)),
            ("192.0.2.0/33", ExpressionError::Prefix(PrefixError::Length)),
            ("host.example/24", ExpressionError::Prefix(PrefixError::Address)),
            ("192.0.2.1-20", ExpressionError::RangeEnd),
            ("192.0.2.1-", ExpressionError::RangeEnd),
            ("192.0.2.1-192.0.2.300", ExpressionError::RangeEnd),
            ("192.0.2.1-2001:db8::1", ExpressionError::Families),
            ("192.0.2.2-192.0.2.1", ExpressionError::Backwards),
            ("2001:db8::2-2001:db8::1", ExpressionError::Backwards),
            ("192.0.2.1:80", ExpressionError::Port),
            ("host.example:80", ExpressionError::Port),
            ("[2001:db8::1]:80", ExpressionError::Port),
            ("https://host.example/", ExpressionError::Url),
        ] {
            assert_eq!(Expression::parse(text), Err(expected), "{text}");
        }
    }
}
