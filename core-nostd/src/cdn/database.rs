//! All facts together, and the questions that are asked of them.

use core::net::IpAddr;

use super::calibration::{LISTED, NO_EDGE, NO_EDGE_OF_THEIRS};
use super::facts::{
    AsnFact, CertificateFact, CertificateField, HeaderFact, Holds, List, Listing, Mark, NameKind, Provenance, Provider,
    ProviderId, Role, SuffixFact,
};
use super::name;
use super::prefix::{Address, Prefix, Span};
use super::score::{Clue, Signal};
use super::table::Table;

/// Facts that somebody else keeps; cheap to copy.
#[derive(Clone, Copy, Debug)]
pub struct Database<'a> {
    /// Everybody whom the facts speak of.
    pub providers: &'a [Provider<'a>],
    /// The lists of addresses.
    pub lists: &'a [List<'a>],
    /// On which lists each address of IPv4 is: [`Mark`]s as bits.
    pub v4: Table<'a, u32, u16>,
    /// The same for IPv6.
    pub v6: Table<'a, u128, u16>,
    /// Which of the networks in `asns` announces an address of IPv4, 0 for none of them: for whoever has no database of all networks.
    pub announced_v4: Table<'a, u32, u32>,
    /// The same for IPv6.
    pub announced_v6: Table<'a, u128, u32>,
    /// Where those are from.
    pub announced: Provenance<'a>,
    /// Networks, by rising number.
    pub asns: &'a [AsnFact<'a>],
    /// Suffixes of aliases, in the order of [`name::compare`].
    pub cnames: &'a [SuffixFact<'a>],
    /// Suffixes of addresses' names, in the same order.
    pub ptrs: &'a [SuffixFact<'a>],
    /// Headers, by name.
    pub headers: &'a [HeaderFact<'a>],
    /// Certificates.
    pub certificates: &'a [CertificateFact<'a>],
    /// Headers, in lower case, that tell where an origin is; sorted.
    pub leaks: &'a [&'a str],
}

/// What lists say of an address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Network<'a> {
    /// The lists as bits, which say it all; 0 for none.
    pub mark: Mark,
    /// The list of edges that it is on.
    pub edges: Option<&'a List<'a>>,
    /// The list of what is no edge that it is on.
    pub no_edges: Option<&'a List<'a>>,
    /// The largest prefix around it of which the same is known.
    pub prefix: Prefix,
}

impl<'a> Database<'a> {
    /// The lists that an address is on, as bits.
    #[inline]
    #[must_use]
    pub fn mark(&self, ip: IpAddr) -> Mark {
        Mark::of_bits(match canonical(ip) {
            IpAddr::V4(ip) => self.v4.get(ip.into()),
            IpAddr::V6(ip) => self.v6.get(ip.into()),
        })
    }

    /// What the lists say of an address.
    #[must_use]
    pub fn network(&self, ip: IpAddr) -> Network<'a> {
        let (bits, prefix) = match canonical(ip) {
            IpAddr::V4(ip) => {
                let (bits, prefix) = with_prefix(&self.v4, u32::from(ip));
                (bits, Prefix::V4(prefix))
            }
            IpAddr::V6(ip) => {
                let (bits, prefix) = with_prefix(&self.v6, u128::from(ip));
                (bits, Prefix::V6(prefix))
            }
        };
        let mark = Mark::of_bits(bits);
        let list = |list: Option<super::ListId>| list.and_then(|list| self.lists.get(list.place()));
        Network { mark, edges: list(mark.edges()), no_edges: list(mark.no_edges()), prefix }
    }

    /// The network of `asns` that announces the address, as far as is known without a database of all networks.
    #[must_use]
    pub fn announced_by(&self, ip: IpAddr) -> Option<u32> {
        let asn = match canonical(ip) {
            IpAddr::V4(ip) => self.announced_v4.get(ip.into()),
            IpAddr::V6(ip) => self.announced_v6.get(ip.into()),
        };
        Some(asn).filter(|asn| *asn != 0)
    }

    /// What is known of a network.
    #[must_use]
    pub fn asn(&self, asn: u32) -> Option<&'a AsnFact<'a>> {
        self.asns.binary_search_by_key(&asn, |fact| fact.asn).ok().and_then(|at| self.asns.get(at))
    }

    /// The longest suffix of this kind that the name ends in.
    #[must_use]
    pub fn suffix(&self, kind: NameKind, name: &str) -> Option<&'a SuffixFact<'a>> {
        let sorted = match kind {
            NameKind::Cname => self.cnames,
            NameKind::Ptr => self.ptrs,
        };
        name::longest_suffix(sorted, |fact| fact.suffix, name)
    }

    /// The facts that a header fits. Names are compared without regard to case.
    pub fn header<'q>(&self, name: &'q str, value: &'q [u8]) -> impl Iterator<Item = &'a HeaderFact<'a>> + use<'a, 'q> {
        let of_name = self.headers.iter().filter(move |fact| fact.header.eq_ignore_ascii_case(name));
        of_name.filter(move |fact| fact.how.fits(fact.words, value))
    }

    /// Whether a header of this name tells where an origin is.
    #[must_use]
    pub fn leaks_origin(&self, name: &str) -> bool {
        self.leaks.iter().any(|leak| leak.eq_ignore_ascii_case(name))
    }

    /// The strongest fact that a name in a certificate fits; for an alert the name is empty.
    #[must_use]
    pub fn certificate(&self, field: CertificateField, name: &str) -> Option<&'a CertificateFact<'a>> {
        let fits = |fact: &&CertificateFact<'_>| {
            fact.field == field && (field == CertificateField::Alert || name::matches(fact.pattern, name))
        };
        self.certificates.iter().filter(fits).max_by_key(|fact| fact.weight)
    }

    /// The provider of this key.
    #[must_use]
    pub fn provider_of_key(&self, key: &str) -> Option<ProviderId> {
        self.providers.iter().position(|provider| provider.key == key).and_then(ProviderId::of_place)
    }

    /// The provider; `None` for the id of another database.
    #[must_use]
    pub fn provider(&self, id: ProviderId) -> Option<&'a Provider<'a>> {
        self.providers.get(id.place())
    }

    /// What lists there are of a provider's edges.
    #[must_use]
    pub fn listing(&self, id: ProviderId) -> Listing {
        let own = self.lists.iter().filter_map(|list| match list.holds {
            Holds::Edges { provider, is_published } if provider == id => Some(is_published),
            _ => None,
        });
        match own.max() {
            None => Listing::None,
            Some(false) => Listing::Made,
            Some(true) => Listing::Published,
        }
    }

    // --- evidence ---

    /// What the lists say, as evidence.
    pub fn clues_of_network(&self, network: &Network<'_>, mut tell: impl FnMut(Clue)) {
        if let Some(Holds::Edges { provider, .. }) = network.edges.map(|list| list.holds) {
            tell(Clue { signal: Signal::Prefix, provider: Some(provider), weight: LISTED });
        }
        if let Some(Holds::NoEdges { against }) = network.no_edges.map(|list| list.holds) {
            let weight = if against.is_empty() { NO_EDGE + NO_EDGE_OF_THEIRS } else { NO_EDGE };
            tell(Clue { signal: Signal::Anti, provider: None, weight });
            for provider in against.iter() {
                tell(Clue { signal: Signal::Anti, provider: Some(provider), weight: NO_EDGE_OF_THEIRS });
            }
        }
    }
}

impl AsnFact<'_> {
    /// What it says, as evidence.
    #[must_use]
    pub const fn clue(&self) -> Clue {
        let signal = match self.role {
            Role::Edge | Role::Shared => Signal::Asn,
            Role::Egress | Role::Vm => Signal::Anti,
        };
        Clue { signal, provider: Some(self.provider), weight: self.weight }
    }
}

/// An address of IPv4 that is written as one of IPv6 is one of IPv4 (RFC 4291, section 2.5.5.2).
const fn canonical(ip: IpAddr) -> IpAddr {
    ip.to_canonical()
}

fn with_prefix<A: Address>(table: &Table<'_, A, u16>, address: A) -> (u16, Span<A>) {
    let (bits, span) = table.get_with_span(address);
    let (first, length) = span.prefix_around(address);
    // The lowest of the addresses that share those bits, and the highest.
    let last = first.with_low_bits(A::BITS - length);
    (bits, Span { first, last })
}
