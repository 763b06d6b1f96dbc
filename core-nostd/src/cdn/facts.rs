//! What is known of providers: lists of their addresses, their networks, and the names and headers that they leave behind.

use super::pattern::Match;
use super::rows::Date;
use super::weight::CentiNats;

/// A provider's place in [`Database::providers`](super::Database::providers).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ProviderId(u8);

impl ProviderId {
    /// How many providers a database can have.
    pub const MOST: usize = 128;

    /// The id of the provider at this place; `None` beyond [`ProviderId::MOST`].
    #[must_use]
    pub fn of_place(place: usize) -> Option<Self> {
        u8::try_from(place).ok().filter(|_| place < Self::MOST).map(Self)
    }

    /// The same for a place that is known to be below [`ProviderId::MOST`], in constants.
    #[must_use]
    pub const fn trusted(place: u8) -> Self {
        Self(place % Self::MOST as u8)
    }

    /// Its place.
    #[must_use]
    pub const fn place(self) -> usize {
        self.0 as usize
    }
}

/// Some providers of a database.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ProviderSet(u128);

impl ProviderSet {
    /// The same from its bits.
    #[must_use]
    pub const fn of_bits(bits: u128) -> Self {
        Self(bits)
    }

    /// A bit for each place.
    #[must_use]
    pub const fn bits(self) -> u128 {
        self.0
    }

    /// With one more.
    #[must_use]
    pub const fn with(self, provider: ProviderId) -> Self {
        Self(self.0 | 1 << provider.0)
    }

    /// Whether there is none in it.
    #[must_use]
    pub const fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// Whether it is in it.
    #[must_use]
    pub const fn has(self, provider: ProviderId) -> bool {
        self.0 >> provider.0 & 1 == 1
    }

    /// Those in it, by place.
    pub fn iter(self) -> impl Iterator<Item = ProviderId> {
        (0..Self::BITS).filter(move |place| self.0 >> place & 1 == 1).map(ProviderId)
    }

    // As many as there can be providers.
    const BITS: u8 = ProviderId::MOST as u8;
}

/// What a provider is first of all.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Delivers what others publish, from edges near their users.
    Cdn,
    /// Stands in front of others to keep attacks away.
    Waf,
    /// Rents machines or runs programs, and has edges of its own for them.
    Cloud,
}

impl Kind {
    /// Its name in files and output.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Cdn => "cdn",
            Self::Waf => "waf",
            Self::Cloud => "cloud",
        }
    }

    /// The kind of this name.
    #[must_use]
    pub fn of_name(name: &str) -> Option<Self> {
        [Self::Cdn, Self::Waf, Self::Cloud].into_iter().find(|kind| kind.name() == name)
    }
}

/// Somebody who answers for others.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Provider<'a> {
    /// The name of its files, and the one in output.
    pub key: &'a str,
    /// The name that people know.
    pub name: &'a str,
    /// What it is.
    pub kind: Kind,
}

/// Where a fact is from, and of when.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Provenance<'a> {
    /// Who says so; empty where nobody is named.
    pub source: &'a str,
    /// Of which day; `None` where nobody said.
    pub date: Option<Date>,
}

/// Whose addresses a list holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Holds {
    /// The edges of a provider. `is_published`: the provider says itself which they are, so that others are none.
    Edges {
        /// Whose.
        provider: ProviderId,
        /// The provider's own list.
        is_published: bool,
    },
    /// No edges, although they belong to companies that have some: machines for rent, ways out for relays.
    NoEdges {
        /// Companies that it speaks of most of all; none stands for all.
        against: ProviderSet,
    },
}

/// What is known of all edges of a provider.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Listing {
    /// No list.
    None,
    /// A list that somebody made.
    Made,
    /// The provider's own, which is complete.
    Published,
}

/// A list of prefixes: a file in `ranges/` or `ranges-neg/`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct List<'a> {
    /// The file's name without its ending.
    pub key: &'a str,
    /// What is in it.
    pub holds: Holds,
    /// Where it is from.
    pub provenance: Provenance<'a>,
}

/// A list's place in [`Database::lists`](super::Database::lists), below 255.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ListId(u8);

impl ListId {
    /// How many lists a database can have.
    pub const MOST: usize = 255;

    /// The id of the list at this place; `None` beyond [`ListId::MOST`].
    #[must_use]
    pub fn of_place(place: usize) -> Option<Self> {
        u8::try_from(place).ok().filter(|place| *place < u8::MAX).map(Self)
    }

    /// Its place.
    #[must_use]
    pub const fn place(self) -> usize {
        self.0 as usize
    }
}

/// On which lists an address is, in 16 bits: at most one of edges, and one of what is none.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Mark(u16);

impl Mark {
    /// On these.
    #[must_use]
    pub fn new(edges: Option<ListId>, no_edges: Option<ListId>) -> Self {
        let place = |list: Option<ListId>| list.map_or(0, |list| u16::from(list.0) + 1);
        Self(place(edges) << 8 | place(no_edges))
    }

    /// The same from its bits.
    #[must_use]
    pub const fn of_bits(bits: u16) -> Self {
        Self(bits)
    }

    /// As a number, below 65536; 0 for an address on no list.
    #[must_use]
    pub const fn bits(self) -> u16 {
        self.0
    }

    /// The list of edges that it is on.
    #[must_use]
    pub const fn edges(self) -> Option<ListId> {
        Self::list(self.0 >> 8)
    }

    /// The list of what is no edge that it is on.
    #[must_use]
    pub const fn no_edges(self) -> Option<ListId> {
        Self::list(self.0 & 0xff)
    }

    const fn list(byte: u16) -> Option<ListId> {
        // Below 256 after the shift or the mask.
        if byte == 0 { None } else { Some(ListId((byte - 1) as u8)) }
    }
}

/// What a provider does with an autonomous system.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// Mostly edges.
    Edge,
    /// Edges are a small part of it.
    Shared,
    /// Traffic leaves there: relays, scrubbing.
    Egress,
    /// Machines for rent.
    Vm,
}

impl Role {
    /// Its name in files and output.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Edge => "edge",
            Self::Shared => "shared",
            Self::Egress => "egress",
            Self::Vm => "vm",
        }
    }

    /// The role of this name.
    #[must_use]
    pub fn of_name(name: &str) -> Option<Self> {
        [Self::Edge, Self::Shared, Self::Egress, Self::Vm].into_iter().find(|role| role.name() == name)
    }
}

/// An autonomous system of a provider.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AsnFact<'a> {
    /// Its number.
    pub asn: u32,
    /// Whose it is.
    pub provider: ProviderId,
    /// What for.
    pub role: Role,
    /// What an address in it says.
    pub weight: CentiNats,
    /// Where this is from.
    pub provenance: Provenance<'a>,
}

/// In which answer a name stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum NameKind {
    /// A name that the asked one is an alias of.
    Cname,
    /// The name of an address.
    Ptr,
}

/// A suffix of names that belongs to a provider.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SuffixFact<'a> {
    /// Labels, without a dot in front.
    pub suffix: &'a str,
    /// Where such names stand.
    pub kind: NameKind,
    /// Whose it is.
    pub provider: ProviderId,
    /// What such a name says.
    pub weight: CentiNats,
    /// Where this is from.
    pub provenance: Provenance<'a>,
}

/// A header in answers of a provider's edges.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HeaderFact<'a> {
    /// Its name, in lower case.
    pub header: &'a str,
    /// How its value is compared with `words`.
    pub how: Match,
    /// What with.
    pub words: &'a str,
    /// Whose it is.
    pub provider: ProviderId,
    /// What it says.
    pub weight: CentiNats,
    /// Where this is from.
    pub provenance: Provenance<'a>,
}

/// Where in a handshake something stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CertificateField {
    /// The common name of the subject.
    CommonName,
    /// One of the alternative names.
    AlternativeName,
    /// No certificate, but an alert, where the client named no host.
    Alert,
}

/// A certificate that a provider's edges show.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CertificateFact<'a> {
    /// Where to look.
    pub field: CertificateField,
    /// What for; see [`name::matches`](super::name::matches).
    pub pattern: &'a str,
    /// Whose it is.
    pub provider: ProviderId,
    /// What it says where the chain leads to a known root.
    pub weight: CentiNats,
    /// Where this is from.
    pub provenance: Provenance<'a>,
}
