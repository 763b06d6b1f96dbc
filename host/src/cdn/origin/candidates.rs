//! Where an origin could be, and who says so.

use std::collections::BTreeMap;
use std::fmt;
use std::net::IpAddr;

use super::super::core_cdn::prefix::Prefix;

/// Addresses that are looked at in one run.
pub const MOST_ADDRESSES: usize = 1024;

/// Prefixes of others that are listed in one run.
const MOST_PREFIXES: usize = 256;

/// Sources of an address that are kept.
const MOST_SOURCES: usize = 16;

/// Labels that people put in front of their domain for hosts that are behind no CDN.
pub const COMMON_LABELS: [&str; 44] = [
    "www",
    "origin",
    "origin-www",
    "direct",
    "direct-connect",
    "backend",
    "server",
    "host",
    "web",
    "mail",
    "smtp",
    "imap",
    "pop",
    "webmail",
    "mx",
    "ftp",
    "sftp",
    "ssh",
    "vpn",
    "remote",
    "cpanel",
    "whm",
    "plesk",
    "admin",
    "panel",
    "dev",
    "test",
    "stage",
    "staging",
    "beta",
    "demo",
    "old",
    "new",
    "api",
    "app",
    "portal",
    "blog",
    "shop",
    "static",
    "cdn",
    "ns1",
    "ns2",
    "git",
    "status",
];

/// The domain that a site belongs to: without `www.`, unless nothing of anybody's would be left.
#[must_use]
pub fn base(domain: &str) -> &str {
    domain.strip_prefix("www.").filter(|base| base.contains('.')).unwrap_or(domain)
}

/// The names to ask for: the domain itself, and the common ones next to it.
#[must_use]
pub fn names(domain: &str) -> Vec<String> {
    let base = base(domain);
    let mut names = vec![domain.to_owned()];
    if base != domain {
        names.push(base.to_owned());
    }
    for label in COMMON_LABELS {
        let name = format!("{label}.{base}");
        if name != domain && name.len() <= 253 {
            names.push(name);
        }
    }
    names
}

/// What led to an address.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Source {
    /// The user: it is an address, or a small prefix, of `--owned`.
    Owned,
    /// This name has it.
    Name(String),
    /// This host takes the domain's mail.
    Mail(String),
    /// This term of the SPF record.
    Spf(String),
    /// An answer sends clients to this host.
    Redirect(String),
    /// A header of an answer: its name, and the host in it.
    Header(String, String),
    /// This name is in a certificate.
    Certificate(String),
    /// The registry has this name server on record.
    Registry(String),
}

impl Source {
    /// The host that it names, where it names one.
    #[must_use]
    pub fn host(&self) -> Option<&str> {
        match self {
            Self::Owned | Self::Spf(_) => None,
            Self::Name(host)
            | Self::Mail(host)
            | Self::Redirect(host)
            | Self::Header(_, host)
            | Self::Certificate(host)
            | Self::Registry(host) => Some(host),
        }
    }
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Owned => f.write_str("--owned"),
            Self::Name(name) => write!(f, "name {name}"),
            Self::Mail(host) => write!(f, "mx {host}"),
            Self::Spf(term) => write!(f, "spf {term}"),
            Self::Redirect(host) => write!(f, "redirect to {host}"),
            Self::Header(header, host) => write!(f, "header {header}: {host}"),
            Self::Certificate(name) => write!(f, "certificate {name}"),
            Self::Registry(server) => write!(f, "registry {server}"),
        }
    }
}

/// Addresses with what led to them, in the order in which they were found.
#[derive(Clone, Debug, Default)]
pub struct Candidates {
    found: Vec<(IpAddr, Vec<Source>)>,
    places: BTreeMap<IpAddr, usize>,
    prefixes: Vec<(Prefix, Source)>,
    has_more: bool,
}

impl Candidates {
    /// Adds what led to an address.
    pub fn add(&mut self, ip: IpAddr, source: Source) {
        let ip = ip.to_canonical();
        let place = *self.places.entry(ip).or_insert(self.found.len());
        if place == self.found.len() {
            if place == MOST_ADDRESSES {
                self.places.remove(&ip);
                self.has_more = true;
                return;
            }
            self.found.push((ip, Vec::new()));
        }
        if let Some((_, sources)) = self.found.get_mut(place)
            && sources.len() < MOST_SOURCES
            && !sources.contains(&source)
        {
            sources.push(source);
        }
    }

    /// Adds a prefix that holds more than single addresses, and nothing that is owned.
    pub fn add_prefix(&mut self, prefix: Prefix, source: Source) {
        if self.prefixes.iter().any(|(known, _)| *known == prefix) {
            return;
        }
        if self.prefixes.len() < MOST_PREFIXES {
            self.prefixes.push((prefix, source));
        } else {
            self.has_more = true;
        }
    }

    /// The addresses from the `from`-th on.
    pub fn since(&self, from: usize) -> impl Iterator<Item = &(IpAddr, Vec<Source>)> {
        self.found.iter().skip(from)
    }

    /// The prefixes that are nobody's here.
    #[must_use]
    pub fn prefixes(&self) -> &[(Prefix, Source)] {
        &self.prefixes
    }

    /// How many addresses there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.found.len()
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.found.is_empty()
    }

    /// Whether more was found than is kept.
    #[must_use]
    pub const fn has_more(&self) -> bool {
        self.has_more
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_those_next_to_the_domain_each_once() {
        for domain in ["example.com", "www.example.com"] {
            let mut names = names(domain);
            assert_eq!(names.first().map(String::as_str), Some(domain));
            for name in ["example.com", "www.example.com", "direct.example.com", "mail.example.com"] {
                assert!(names.iter().any(|found| found == name), "{name}");
            }
            let count = names.len();
            names.sort();
            names.dedup();
            assert_eq!(names.len(), count);
        }
        // What is left of it would be no domain of anybody's.
        assert_eq!(names("www.com").get(1).map(String::as_str), Some("www.www.com"));
    }

    #[test]
    fn an_address_is_listed_once_with_all_that_led_to_it() {
        let mut candidates = Candidates::default();
        let ip: IpAddr = "192.0.2.1".parse().unwrap();
        candidates.add(ip, Source::Owned);
        candidates.add("::ffff:192.0.2.1".parse().unwrap(), Source::Name("a.example.com".to_owned()));
        candidates.add(ip, Source::Owned);
        assert_eq!(candidates.since(0).next().unwrap().1.len(), 2);
        assert_eq!(candidates.len(), 1);
        for number in 0..2000_u32 {
            candidates.add(IpAddr::V4(number.into()), Source::Owned);
        }
        assert_eq!((candidates.len(), candidates.has_more()), (MOST_ADDRESSES, true));
    }
}
