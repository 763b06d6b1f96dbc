//! Sets of addresses as a survey needs them: sorted, without overlaps, and numbered. How is in `wirehaul_core::scan::targets`.

use std::net::IpAddr;

use wirehaul_core::cdn::prefix::{Prefix, Span};
use wirehaul_core::scan::targets::{Run, Targets, is_in, join, number, subtract};

/// Spans as they come: in any order, with overlaps.
#[derive(Clone, Debug, Default)]
pub struct Spans {
    /// Of IPv4.
    pub v4: Vec<Span<u32>>,
    /// Of IPv6.
    pub v6: Vec<Span<u128>>,
}

impl Spans {
    /// One more address.
    pub fn push_ip(&mut self, ip: IpAddr) {
        match ip {
            IpAddr::V4(ip) => self.v4.push(Span { first: ip.to_bits(), last: ip.to_bits() }),
            IpAddr::V6(ip) => self.v6.push(Span { first: ip.to_bits(), last: ip.to_bits() }),
        }
    }

    /// All addresses of a prefix.
    pub fn push(&mut self, prefix: Prefix) {
        match prefix {
            Prefix::V4(span) => self.v4.push(span),
            Prefix::V6(span) => self.v6.push(span),
        }
    }

    /// All of these.
    pub fn push_all(&mut self, addresses: &Addresses) {
        self.v4.extend_from_slice(&addresses.v4);
        self.v6.extend_from_slice(&addresses.v6);
    }

    /// The set of their addresses.
    #[must_use]
    pub fn joined(mut self) -> Addresses {
        let kept = join(&mut self.v4);
        self.v4.truncate(kept);
        let kept = join(&mut self.v6);
        self.v6.truncate(kept);
        Addresses { v4: self.v4, v6: self.v6 }
    }
}

/// A set of addresses of both families.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Addresses {
    v4: Vec<Span<u32>>,
    v6: Vec<Span<u128>>,
}

impl Addresses {
    /// Those of IPv4: spans in order, with a gap between each two.
    #[must_use]
    pub fn v4(&self) -> &[Span<u32>] {
        &self.v4
    }

    /// Those of IPv6, likewise.
    #[must_use]
    pub fn v6(&self) -> &[Span<u128>] {
        &self.v6
    }

    /// Whether the address is one of them.
    #[must_use]
    pub fn contains(&self, ip: IpAddr) -> bool {
        match ip {
            IpAddr::V4(ip) => is_in(&self.v4, ip.to_bits()),
            IpAddr::V6(ip) => is_in(&self.v6, ip.to_bits()),
        }
    }

    /// Whether there are none.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.v4.is_empty() && self.v6.is_empty()
    }

    /// Those that are not in the other.
    #[must_use]
    pub fn minus(&self, other: &Self) -> Self {
        let mut left = Self::default();
        subtract(&self.v4, &other.v4, |span| left.v4.push(span));
        subtract(&self.v6, &other.v6, |span| left.v6.push(span));
        left
    }
}

/// The targets of a survey: a set of addresses, numbered.
#[derive(Clone, Debug, Default)]
pub struct TargetRuns {
    v4: Vec<Run<u32>>,
    v6: Vec<Run<u128>>,
}

impl TargetRuns {
    /// Of these addresses.
    #[must_use]
    pub fn of(addresses: &Addresses) -> Self {
        let mut runs = Self { v4: Vec::with_capacity(addresses.v4.len()), v6: Vec::with_capacity(addresses.v6.len()) };
        number(&addresses.v4, |run| runs.v4.push(run));
        number(&addresses.v6, |run| runs.v6.push(run));
        runs
    }

    /// As the core takes them.
    #[must_use]
    pub fn targets(&self) -> Targets<'_> {
        Targets::new(&self.v4, &self.v6).unwrap_or(Targets::NONE)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn addresses(prefixes: &[&str]) -> Addresses {
        let mut spans = Spans::default();
        prefixes.iter().for_each(|prefix| spans.push(Prefix::parse(prefix).unwrap()));
        spans.joined()
    }

    /// SCAN-6: exclusions are taken out of the targets.
    #[test]
    fn exclusions_leave_holes() {
        let wanted = addresses(&["10.0.0.0/24", "10.0.0.128/25", "2001:db8::/64"]);
        let left = wanted.minus(&addresses(&["10.0.0.0/31", "10.0.0.255", "2001:db8::/65", "192.0.2.1"]));
        let runs = TargetRuns::of(&left);
        let targets = runs.targets();
        assert_eq!(targets.addresses(), 253 + (1 << 63));
        assert_eq!(targets.at(0), Some("10.0.0.2".parse().unwrap()));
        assert_eq!(targets.at(253), Some("2001:db8:0:0:8000::".parse().unwrap()));
        for (ip, expected) in [("10.0.0.1", false), ("10.0.0.2", true), ("10.0.0.255", false), ("2001:db8::1", false)] {
            assert_eq!(
                (left.contains(ip.parse().unwrap()), targets.contains(ip.parse().unwrap())),
                (expected, expected)
            );
        }
        assert!(wanted.minus(&wanted).is_empty() && TargetRuns::of(&wanted.minus(&wanted)).targets().is_empty());
    }
}
