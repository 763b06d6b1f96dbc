//! Lists of prefixes, made into segments of all addresses.

use std::collections::BTreeMap;

use super::super::core_cdn::facts::{Holds, List, ListId, Mark, Provenance, ProviderSet};
use super::super::core_cdn::prefix::{Address, Prefix, Span};
use super::super::core_cdn::rows::{self, AntiRow, RowError};
use super::super::core_cdn::table::{self, Table};
use super::{FolderError, Problem, Registry, Texts};

/// The largest prefixes that a list may have: whoever owns more is no provider, and the list is broken.
const SHORTEST_V4: u128 = 1 << (32 - 8);
const SHORTEST_V6: u128 = 1 << (128 - 16);

/// Segments of all addresses of a family, with an index.
#[derive(Clone, Debug)]
pub struct Segments<A: Address, V> {
    /// The high half of the lowest address of each segment.
    pub highs: Vec<A::High>,
    /// The low half.
    pub lows: Vec<A::Low>,
    /// What is known of each.
    pub values: Vec<V>,
    /// See [`table::index`].
    pub index: Vec<u32>,
}

impl<A: Address, V: Copy + Default + PartialEq> Segments<A, V> {
    fn of<U: Copy>(over: &[(Span<A>, U)], under: &[(Span<A>, U)], join: impl Fn(Option<U>, Option<U>) -> V) -> Self {
        let (mut starts, mut values, mut index) = (Vec::new(), Vec::new(), Vec::with_capacity(A::BUCKETS + 1));
        table::segments(over, under, join, |start, value| {
            starts.push(start);
            values.push(value);
        });
        table::index(&starts, |entry| index.push(entry));
        let (highs, lows) = starts.into_iter().map(A::split).unzip();
        Self { highs, lows, values, index }
    }

    /// As a table to ask.
    pub fn view(&self) -> Table<'_, A, V> {
        Table::trusted(&self.highs, &self.lows, &self.values, &self.index)
    }
}

/// Where a prefix is written, and what it stands for.
#[derive(Clone, Copy, Debug)]
pub(super) struct Entry<'t, U> {
    file: &'t str,
    line: usize,
    /// Spans of the same owner may overlap from file to file.
    owner: usize,
    value: U,
}

/// Prefixes of one family in two layers, of which the first wins.
pub(super) struct Layers<'t, A, U, V> {
    over: Vec<(Span<A>, Entry<'t, U>)>,
    under: Vec<(Span<A>, Entry<'t, U>)>,
    join: fn(Option<U>, Option<U>) -> V,
}

impl<A: Address, U: Copy, V: Copy + Default + PartialEq> Layers<'_, A, U, V> {
    pub(super) fn segments(&self, texts: &Texts) -> Result<Segments<A, V>, FolderError> {
        Ok(Segments::of(&disjoint(texts, &self.over)?, &disjoint(texts, &self.under)?, self.join))
    }
}

/// The spans without those that lie in another one of the same owner's.
fn disjoint<A: Address, U: Copy>(
    texts: &Texts,
    layer: &[(Span<A>, Entry<'_, U>)],
) -> Result<Vec<(Span<A>, U)>, FolderError> {
    let mut sorted: Vec<_> = layer.iter().collect();
    sorted.sort_by_key(|(span, _)| (span.first, std::cmp::Reverse(span.last)));
    let mut kept: Vec<&(Span<A>, Entry<'_, U>)> = Vec::with_capacity(sorted.len());
    for next in sorted {
        match kept.last() {
            Some((span, entry)) if next.0.first <= span.last => {
                if entry.file == next.1.file || entry.owner != next.1.owner {
                    let other = texts.folder().join(entry.file);
                    return Err(texts.error(next.1.file, next.1.line, Problem::Overlap(other, entry.line)));
                }
            }
            _ => kept.push(next),
        }
    }
    Ok(kept.into_iter().map(|(span, entry)| (*span, entry.value)).collect())
}

/// The lists of edges and of what is none.
pub(super) struct Lists<'t> {
    pub(super) lists: Vec<List<'t>>,
    pub(super) v4: Layers<'t, u32, ListId, u16>,
    pub(super) v6: Layers<'t, u128, ListId, u16>,
}

impl<'t> Lists<'t> {
    pub(super) fn of(texts: &'t Texts, registry: &Registry<'t>) -> Result<Self, FolderError> {
        let join = |edges, no_edges| Mark::new(edges, no_edges).bits();
        let mut found = Self {
            lists: Vec::new(),
            v4: Layers { over: Vec::new(), under: Vec::new(), join },
            v6: Layers { over: Vec::new(), under: Vec::new(), join },
        };
        for (name, key, text) in texts.lists("ranges") {
            let provider = registry.find(key).map_err(|problem| texts.error(name, None, problem))?;
            let holds = Holds::Edges { provider, is_published: rows::is_published(text) };
            let list = found.add(texts, name, List { key, holds, provenance: provenance(text) })?;
            let owner = provider.place();
            for_each_prefix(texts, name, text, |line, prefix| {
                let entry = Entry { file: name, line, owner, value: list };
                match prefix {
                    Prefix::V4(span) => found.v4.over.push((span, entry)),
                    Prefix::V6(span) => found.v6.over.push((span, entry)),
                }
            })?;
        }
        if found.lists.is_empty() {
            return Err(texts.error("ranges", None, Problem::NoLists));
        }
        let against = against(texts, registry)?;
        for (name, key, text) in texts.lists("ranges-neg") {
            let holds = Holds::NoEdges { against: against.get(key).copied().unwrap_or_default() };
            let list = found.add(texts, name, List { key, holds, provenance: provenance(text) })?;
            for_each_prefix(texts, name, text, |line, prefix| {
                // What is on two of them is no edge either way.
                let entry = Entry { file: name, line, owner: 0, value: list };
                match prefix {
                    Prefix::V4(span) => found.v4.under.push((span, entry)),
                    Prefix::V6(span) => found.v6.under.push((span, entry)),
                }
            })?;
        }
        Ok(found)
    }

    fn add(&mut self, texts: &Texts, name: &str, list: List<'t>) -> Result<ListId, FolderError> {
        let id = ListId::of_place(self.lists.len());
        self.lists.push(list);
        id.ok_or_else(|| texts.error(name, None, Problem::TooManyLists))
    }
}

/// Of which providers a list in `ranges-neg` speaks most of all.
fn against<'t>(texts: &'t Texts, registry: &Registry<'t>) -> Result<BTreeMap<&'t str, ProviderSet>, FolderError> {
    const FILE: &str = "facts/anti.tsv";
    let mut found = BTreeMap::new();
    for (line, row) in texts.parsed(FILE, AntiRow::parse)? {
        let mut set = ProviderSet::default();
        for key in row.against() {
            set = set.with(registry.find(key).map_err(|problem| texts.error(FILE, line, problem))?);
        }
        found.insert(row.list, set);
    }
    Ok(found)
}

fn for_each_prefix(
    texts: &Texts,
    name: &str,
    text: &str,
    mut tell: impl FnMut(usize, Prefix),
) -> Result<(), FolderError> {
    let mut is_empty = true;
    for (line, row) in rows::rows(text) {
        let failed = |problem| texts.error(name, line, problem);
        let prefix = Prefix::parse(row.trim()).map_err(|error| failed(Problem::Row(RowError::Prefix(error))))?;
        let most = if matches!(prefix, Prefix::V4(_)) { SHORTEST_V4 } else { SHORTEST_V6 };
        if prefix.addresses() > most {
            return Err(failed(Problem::TooLargePrefix));
        }
        is_empty = false;
        tell(line, prefix);
    }
    if is_empty { Err(texts.error(name, None, Problem::Empty)) } else { Ok(()) }
}

fn provenance(text: &str) -> Provenance<'_> {
    Provenance { source: rows::source(text), date: rows::date(text) }
}

/// Which prefixes networks announce.
pub(super) struct Networks<'t> {
    pub(super) v4: Layers<'t, u32, u32, u32>,
    pub(super) v6: Layers<'t, u128, u32, u32>,
    pub(super) provenance: Provenance<'t>,
}

impl<'t> Networks<'t> {
    pub(super) fn of(texts: &'t Texts) -> Result<Self, FolderError> {
        let join = |asn: Option<u32>, _| asn.unwrap_or(0);
        let mut found = Self {
            v4: Layers { over: Vec::new(), under: Vec::new(), join },
            v6: Layers { over: Vec::new(), under: Vec::new(), join },
            provenance: Provenance { source: "", date: None },
        };
        for (name, key, text) in texts.lists("ranges-asn") {
            let asn: u32 = key.parse().map_err(|_| texts.error(name, None, Problem::NoAsn))?;
            found.provenance = provenance(text);
            for_each_prefix(texts, name, text, |line, prefix| {
                let entry = Entry { file: name, line, owner: asn as usize, value: asn };
                match prefix {
                    Prefix::V4(span) => found.v4.over.push((span, entry)),
                    Prefix::V6(span) => found.v6.over.push((span, entry)),
                }
            })?;
        }
        // All are from the same source; the words about one network are not about the others.
        if let Some((_, source)) = found.provenance.source.split_once(" in ") {
            found.provenance.source = source;
        }
        Ok(found)
    }
}
