//! Whose addresses may be contacted: those that the user says are his own.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use super::super::core_cdn::prefix::Prefix;

/// A prefix of so many addresses at most is taken for the origin itself, and looked at whether anything leads there or not.
const MOST_NAMED: u128 = 16;

/// Addresses of a prefix that something else names, such as an SPF record, that are looked at.
const MOST_OF_PREFIX: usize = 256;

/// Nobody owns more.
const SHORTEST_V4: u128 = 1 << (32 - 8);
const SHORTEST_V6: u128 = 1 << (128 - 16);

/// Prefixes that the user owns.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Owned(Vec<Prefix>);

/// Why a text is no prefix that somebody owns.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum OwnedError {
    /// It is no prefix.
    #[error("{0}; expected a prefix or an address of yours, like 198.51.100.0/24, 198.51.100.7 or 2001:db8::/48")]
    NoPrefix(#[from] super::super::core_cdn::prefix::PrefixError),
    /// It is larger than what anybody owns.
    #[error("this is more than anybody owns; name your own prefixes, at most a /8 of IPv4 or a /16 of IPv6")]
    TooLarge,
}

/// Reads a prefix that somebody may own.
///
/// # Errors
/// What is wrong with it.
pub fn parse_owned(text: &str) -> Result<Prefix, OwnedError> {
    let prefix = Prefix::parse(text)?;
    let most = if matches!(prefix, Prefix::V4(_)) { SHORTEST_V4 } else { SHORTEST_V6 };
    if prefix.addresses() > most { Err(OwnedError::TooLarge) } else { Ok(prefix) }
}

impl Owned {
    /// These.
    #[must_use]
    pub const fn new(prefixes: Vec<Prefix>) -> Self {
        Self(prefixes)
    }

    /// Whether the address is in one of them. One of IPv4 that is written as one of IPv6 is one of IPv4.
    #[must_use]
    pub fn has(&self, ip: IpAddr) -> bool {
        self.0.iter().any(|prefix| match (prefix, ip.to_canonical()) {
            (Prefix::V4(span), IpAddr::V4(ip)) => span.contains(ip.into()),
            (Prefix::V6(span), IpAddr::V6(ip)) => span.contains(ip.into()),
            _ => false,
        })
    }

    /// The addresses of those prefixes that are so small that the user must mean them.
    pub fn named(&self) -> impl Iterator<Item = IpAddr> + '_ {
        self.0.iter().filter(|prefix| prefix.addresses() <= MOST_NAMED).flat_map(|prefix| addresses(*prefix))
    }

    /// The addresses of a prefix that are in one of these; no more than 256, and whether there are more.
    #[must_use]
    pub fn within(&self, prefix: Prefix) -> (Vec<IpAddr>, bool) {
        let mut found: Vec<IpAddr> = Vec::new();
        for own in &self.0 {
            let Some(common) = common(*own, prefix) else { continue };
            found.extend(addresses(common).take(MOST_OF_PREFIX + 1 - found.len()));
        }
        let has_more = found.len() > MOST_OF_PREFIX;
        found.truncate(MOST_OF_PREFIX);
        (found, has_more)
    }
}

fn common(left: Prefix, right: Prefix) -> Option<Prefix> {
    // Of two prefixes that have an address in common, one is within the other.
    let within = |inner: Prefix, outer: Prefix| match (inner, outer) {
        (Prefix::V4(inner), Prefix::V4(outer)) => outer.contains(inner.first) && outer.contains(inner.last),
        (Prefix::V6(inner), Prefix::V6(outer)) => outer.contains(inner.first) && outer.contains(inner.last),
        _ => false,
    };
    match () {
        () if within(left, right) => Some(left),
        () if within(right, left) => Some(right),
        () => None,
    }
}

fn addresses(prefix: Prefix) -> Box<dyn Iterator<Item = IpAddr>> {
    match prefix {
        Prefix::V4(span) => Box::new((span.first..=span.last).map(|ip| Ipv4Addr::from(ip).into())),
        Prefix::V6(span) => Box::new((span.first..=span.last).map(|ip| Ipv6Addr::from(ip).into())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn owned(prefixes: &[&str]) -> Owned {
        Owned::new(prefixes.iter().map(|text| parse_owned(text).unwrap()).collect())
    }

    #[test]
    fn only_own_addresses_are_own() {
        let owned = owned(&["192.0.2.0/24", "2001:db8::/48"]);
        for ip in ["192.0.2.0", "192.0.2.255", "::ffff:192.0.2.7", "2001:db8::1"] {
            assert!(owned.has(ip.parse().unwrap()), "{ip}");
        }
        for ip in ["192.0.3.0", "192.0.1.255", "2001:db8:1::", "::192.0.2.7"] {
            assert!(!owned.has(ip.parse().unwrap()), "{ip}");
        }
        assert!(!Owned::default().has("192.0.2.1".parse().unwrap()));
    }

    #[test]
    fn a_prefix_of_somebody_else_is_cut_to_what_is_own() {
        let own = owned(&["192.0.2.0/30", "198.51.100.0/22"]);
        assert_eq!(own.within(Prefix::parse("192.0.0.0/16").unwrap()).0.len(), 4);
        assert_eq!(own.within(Prefix::parse("192.0.2.1").unwrap()).0, ["192.0.2.1".parse::<IpAddr>().unwrap()]);
        let (found, has_more) = own.within(Prefix::parse("0.0.0.0/0").unwrap());
        assert!(found.len() == 256 && has_more);
        assert_eq!(own.within(Prefix::parse("203.0.113.0/24").unwrap()), (Vec::new(), false));
        assert_eq!(owned(&["2001:db8::/32"]).within(Prefix::parse("::/0").unwrap()).0.len(), 256);
    }

    #[test]
    fn small_prefixes_are_meant_themselves() {
        assert_eq!(owned(&["192.0.2.0/28", "198.51.100.0/27", "2001:db8::1"]).named().count(), 17);
    }

    #[test]
    fn nobody_owns_the_internet() {
        for text in ["0.0.0.0/0", "::/0", "0.0.0.0/7", "2000::/3"] {
            assert_eq!(parse_owned(text), Err(OwnedError::TooLarge), "{text}");
        }
        for text in ["", "example.com", "192.0.2.1/24", "192.0.2.0/33"] {
            assert!(matches!(parse_owned(text), Err(OwnedError::NoPrefix(_))), "{text}");
        }
        assert!(parse_owned("10.0.0.0/8").is_ok() && parse_owned("127.0.0.1").is_ok());
    }
}
