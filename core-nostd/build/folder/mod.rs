//! A folder of facts about CDNs, read, checked and made into tables. The build script of the core does it for the tables that are
//! compiled in, and the host for a folder that a user names: both take this file, so that both see the same.

use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};

use super::core_cdn::calibration::{ALIAS, CERTIFICATE, HEADER, name_weight, network_weight};
use super::core_cdn::facts::{
    AsnFact, CertificateFact, HeaderFact, Holds, List, ListId, Mark, NameKind, Provenance, Provider, ProviderId,
    ProviderSet, SuffixFact,
};
use super::core_cdn::prefix::{Address, Prefix, Span};
use super::core_cdn::rows::{
    self, AntiRow, AsnRow, CertificateRow, HeaderRow, ProviderRow, RatioOf, RatioRow, RowError, ShareRow, SuffixRow,
};
use super::core_cdn::table::{self, Table};
use super::core_cdn::{CentiNats, Database, name};

/// The folders of lists.
pub const LIST_FOLDERS: [&str; 3] = ["ranges", "ranges-neg", "ranges-asn"];

/// The other files.
pub const FACT_FILES: [&str; 8] = [
    "facts/providers.tsv",
    "facts/anti.tsv",
    "facts/asns.tsv",
    "facts/suffixes.tsv",
    "facts/headers.tsv",
    "facts/tls.tsv",
    "asn_precision.tsv",
    "likelihoods.tsv",
];

/// Bytes of a file at most; the largest has some 300 kB.
const MOST_FILE_BYTES: u64 = 64 << 20;

/// The largest prefixes that a list may have: whoever owns more is no provider, and the list is broken.
const SHORTEST_V4: u128 = 1 << (32 - 8);
const SHORTEST_V6: u128 = 1 << (128 - 16);

/// What is wrong with a folder.
#[derive(Debug)]
pub struct FolderError {
    /// The file, as found.
    pub path: PathBuf,
    /// The line, from 1; `None` where it is the file as a whole.
    pub line: Option<usize>,
    /// What it is.
    pub problem: Problem,
}

/// What is wrong with a file of a folder.
#[derive(Debug)]
pub enum Problem {
    /// It cannot be read.
    Read(std::io::Error),
    /// It is larger than any such file.
    TooLarge,
    /// It is no text.
    NoText,
    /// The folder has no `ranges` with lists in it.
    NoLists,
    /// A list without a prefix.
    Empty,
    /// More lists than can be told apart.
    TooManyLists,
    /// More providers than can be told apart.
    TooManyProviders,
    /// A row is not as it has to be.
    Row(RowError),
    /// A file or row about somebody whom `facts/providers.tsv` does not have.
    UnknownProvider(String),
    /// A prefix that no provider can have: larger than all that they have together.
    TooLargePrefix,
    /// Two lists, or two rows of one, have addresses in common: with which file and line.
    Overlap(PathBuf, usize),
    /// What this row says was said before, in this line.
    Duplicate(usize),
    /// The name of a file in `ranges-asn` is no number of a network.
    NoAsn,
}

impl fmt::Display for FolderError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.path.display())?;
        if let Some(line) = self.line {
            write!(f, ":{line}")?;
        }
        f.write_str(": ")?;
        match &self.problem {
            Problem::Read(error) => write!(f, "cannot be read: {error}"),
            Problem::TooLarge => write!(f, "has more than {} MiB: this is no file of facts", MOST_FILE_BYTES >> 20),
            Problem::NoText => f.write_str("is not UTF-8 text"),
            Problem::NoLists => {
                f.write_str("has no lists: a folder of facts has a file ranges/PROVIDER.txt for each provider")
            }
            Problem::Empty => {
                f.write_str("has no prefixes; a list that lost its content would turn every edge into an origin")
            }
            Problem::TooManyLists => write!(f, "is one list too many: there can be {}", ListId::MOST),
            Problem::TooManyProviders => write!(f, "is one provider too many: there can be {}", ProviderId::MOST),
            Problem::Row(error) => error.fmt(f),
            Problem::UnknownProvider(key) => {
                write!(f, "there is no provider {key:?}; facts/providers.tsv has those that there are")
            }
            Problem::TooLargePrefix => {
                f.write_str("this prefix is larger than any provider's: at most /8, and /16 for IPv6")
            }
            Problem::Overlap(path, line) => write!(f, "has addresses that {}:{line} has, too", path.display()),
            Problem::Duplicate(line) => write!(f, "says again what line {line} says"),
            Problem::NoAsn => f.write_str("the name of this file has to be the number of a network, as 13335.txt"),
        }
    }
}

impl std::error::Error for FolderError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match &self.problem {
            Problem::Read(error) => Some(error),
            Problem::Row(error) => Some(error),
            _ => None,
        }
    }
}

// --- texts ---

/// The files of a folder, by their names in it (`ranges/akamai.txt`).
#[derive(Clone, Debug, Default)]
pub struct Texts {
    folder: PathBuf,
    files: BTreeMap<String, String>,
}

impl Texts {
    /// Reads a folder. What belongs to no folder of facts is left alone.
    ///
    /// # Errors
    /// An error names the file that cannot be read.
    pub fn read(folder: &Path) -> Result<Self, FolderError> {
        let mut texts = Self { folder: folder.to_owned(), files: BTreeMap::new() };
        for name in FACT_FILES {
            if folder.join(name).exists() {
                texts.read_file(name.to_owned())?;
            }
        }
        for list_folder in LIST_FOLDERS {
            let path = folder.join(list_folder);
            if !path.exists() {
                continue;
            }
            let failed = |error| FolderError { path: path.clone(), line: None, problem: Problem::Read(error) };
            for entry in std::fs::read_dir(&path).map_err(failed)? {
                let file_name = entry.map_err(failed)?.file_name();
                let Some(file_name) = file_name.to_str() else { continue };
                if file_name.ends_with(".txt") && !file_name.starts_with('.') {
                    texts.read_file(format!("{list_folder}/{file_name}"))?;
                }
            }
        }
        Ok(texts)
    }

    /// Texts that are there already, by their names in a folder.
    pub fn of(folder: &Path, files: impl IntoIterator<Item = (String, String)>) -> Self {
        Self { folder: folder.to_owned(), files: files.into_iter().collect() }
    }

    /// The folder that they are of.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// The file of this name.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.files.get(name).map(String::as_str)
    }

    /// All files, by name.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.files.iter().map(|(name, text)| (name.as_str(), text.as_str()))
    }

    /// Takes what this folder has none of from another: files of facts, what is no edge, and the prefixes of networks. The lists of
    /// edges are its own in any case.
    pub fn or_from(&mut self, other: &Self) {
        let is_missing = |folder: &str| !self.files.keys().any(|name| name.starts_with(folder));
        let missing: Vec<_> = ["ranges-neg/", "ranges-asn/"].into_iter().filter(|folder| is_missing(folder)).collect();
        for (name, text) in other.iter() {
            let is_fact = FACT_FILES.contains(&name) && !self.files.contains_key(name);
            if is_fact || missing.iter().any(|folder| name.starts_with(folder)) {
                self.files.insert(name.to_owned(), text.to_owned());
            }
        }
    }

    fn read_file(&mut self, name: String) -> Result<(), FolderError> {
        use std::io::Read as _;
        let path = self.folder.join(&name);
        let failed = |problem| FolderError { path: path.clone(), line: None, problem };
        let file = std::fs::File::open(&path).map_err(|error| failed(Problem::Read(error)))?;
        let mut bytes = Vec::new();
        file.take(MOST_FILE_BYTES + 1).read_to_end(&mut bytes).map_err(|error| failed(Problem::Read(error)))?;
        if bytes.len() as u64 > MOST_FILE_BYTES {
            return Err(failed(Problem::TooLarge));
        }
        let text = String::from_utf8(bytes).map_err(|_| failed(Problem::NoText))?;
        self.files.insert(name, text);
        Ok(())
    }

    fn error(&self, name: &str, line: impl Into<Option<usize>>, problem: Problem) -> FolderError {
        FolderError { path: self.folder.join(name), line: line.into(), problem }
    }

    /// The lists of a folder: the files' names, what stands before `.txt` in them, and the texts.
    fn lists<'t>(&'t self, folder: &'static str) -> impl Iterator<Item = (&'t str, &'t str, &'t str)> {
        self.iter().filter_map(move |(name, text)| {
            let key = name.strip_prefix(folder)?.strip_prefix('/')?.strip_suffix(".txt")?;
            Some((name, key, text))
        })
    }

    /// The rows of a file that need not be there, each read by `parse`, with its line.
    fn parsed<'t, T>(
        &'t self,
        name: &'static str,
        parse: impl Fn(&'t str) -> Result<T, RowError>,
    ) -> Result<Vec<(usize, T)>, FolderError> {
        let rows = rows::rows(self.get(name).unwrap_or_default());
        rows.map(|(line, row)| match parse(row) {
            Ok(row) => Ok((line, row)),
            Err(error) => Err(self.error(name, line, Problem::Row(error))),
        })
        .collect()
    }
}

// --- tables ---

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

/// The facts of a folder, made into tables.
#[derive(Clone, Debug)]
pub struct Tables<'t> {
    /// See [`Database::providers`], as for all that follow.
    pub providers: Vec<Provider<'t>>,
    /// Lists.
    pub lists: Vec<List<'t>>,
    /// Lists of each address of IPv4.
    pub v4: Segments<u32, u16>,
    /// Lists of each address of IPv6.
    pub v6: Segments<u128, u16>,
    /// Networks of addresses of IPv4.
    pub announced_v4: Segments<u32, u32>,
    /// Networks of addresses of IPv6.
    pub announced_v6: Segments<u128, u32>,
    /// Where those are from.
    pub announced: Provenance<'t>,
    /// Networks.
    pub asns: Vec<AsnFact<'t>>,
    /// Suffixes of aliases.
    pub cnames: Vec<SuffixFact<'t>>,
    /// Suffixes of addresses' names.
    pub ptrs: Vec<SuffixFact<'t>>,
    /// Headers.
    pub headers: Vec<HeaderFact<'t>>,
    /// Certificates.
    pub certificates: Vec<CertificateFact<'t>>,
    /// Headers that tell where an origin is.
    pub leaks: Vec<&'t str>,
}

impl<'t> Tables<'t> {
    /// Checks the texts and makes tables of them.
    ///
    /// # Errors
    /// An error names file and line of what is wrong.
    pub fn build(texts: &'t Texts) -> Result<Self, FolderError> {
        let registry = Registry::of(texts)?;
        let lists = Lists::of(texts, &registry)?;
        let networks = Networks::of(texts)?;
        let measured = Measured::of(texts)?;
        let (cnames, ptrs) = suffixes(texts, &registry, &measured)?;
        let (headers, leaks) = headers(texts, &registry)?;
        Ok(Self {
            v4: lists.v4.segments(texts)?,
            v6: lists.v6.segments(texts)?,
            lists: lists.lists,
            announced_v4: networks.v4.segments(texts)?,
            announced_v6: networks.v6.segments(texts)?,
            announced: networks.provenance,
            asns: asns(texts, &registry, &measured)?,
            cnames,
            ptrs,
            headers,
            leaks,
            certificates: certificates(texts, &registry)?,
            providers: registry.providers,
        })
    }

    /// The tables to ask.
    pub fn view(&self) -> Database<'_> {
        Database {
            providers: &self.providers,
            lists: &self.lists,
            v4: self.v4.view(),
            v6: self.v6.view(),
            announced_v4: self.announced_v4.view(),
            announced_v6: self.announced_v6.view(),
            announced: self.announced,
            asns: &self.asns,
            cnames: &self.cnames,
            ptrs: &self.ptrs,
            headers: &self.headers,
            certificates: &self.certificates,
            leaks: &self.leaks,
        }
    }
}

/// Who there is.
struct Registry<'t> {
    providers: Vec<Provider<'t>>,
    rows: Vec<ProviderRow<'t>>,
}

impl<'t> Registry<'t> {
    fn of(texts: &'t Texts) -> Result<Self, FolderError> {
        const FILE: &str = "facts/providers.tsv";
        let rows = texts.parsed(FILE, ProviderRow::parse)?;
        let lines = rows.iter().map(|(line, row)| (row.key, *line));
        first_of_each(lines).map_err(|(line, first)| texts.error(FILE, line, Problem::Duplicate(first)))?;
        if let Some((line, _)) = rows.get(ProviderId::MOST) {
            return Err(texts.error(FILE, *line, Problem::TooManyProviders));
        }
        let rows: Vec<_> = rows.into_iter().map(|(_, row)| row).collect();
        let providers = rows.iter().map(|row| Provider { key: row.key, name: row.name, kind: row.kind }).collect();
        Ok(Self { providers, rows })
    }

    fn find(&self, key: &str) -> Result<ProviderId, Problem> {
        let place = self.rows.iter().position(|row| row.answers_to(key)).and_then(ProviderId::of_place);
        place.ok_or_else(|| Problem::UnknownProvider(key.to_owned()))
    }
}

/// Fails with the line of the first thing that was there before, and with the line of that.
fn first_of_each<K: Ord>(things: impl Iterator<Item = (K, usize)>) -> Result<(), (usize, usize)> {
    let mut seen = BTreeMap::new();
    for (thing, line) in things {
        if let Some(first) = seen.insert(thing, line) {
            return Err((line, first));
        }
    }
    Ok(())
}

/// Where a prefix is written, and what it stands for.
#[derive(Clone, Copy, Debug)]
struct Entry<'t, U> {
    file: &'t str,
    line: usize,
    /// Spans of the same owner may overlap from file to file.
    owner: usize,
    value: U,
}

/// Prefixes of one family in two layers, of which the first wins.
struct Layers<'t, A, U, V> {
    over: Vec<(Span<A>, Entry<'t, U>)>,
    under: Vec<(Span<A>, Entry<'t, U>)>,
    join: fn(Option<U>, Option<U>) -> V,
}

impl<A: Address, U: Copy, V: Copy + Default + PartialEq> Layers<'_, A, U, V> {
    fn segments(&self, texts: &Texts) -> Result<Segments<A, V>, FolderError> {
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
                    let other = texts.folder.join(entry.file);
                    return Err(texts.error(next.1.file, next.1.line, Problem::Overlap(other, entry.line)));
                }
            }
            _ => kept.push(next),
        }
    }
    Ok(kept.into_iter().map(|(span, entry)| (*span, entry.value)).collect())
}

/// The lists of edges and of what is none.
struct Lists<'t> {
    lists: Vec<List<'t>>,
    v4: Layers<'t, u32, ListId, u16>,
    v6: Layers<'t, u128, ListId, u16>,
}

impl<'t> Lists<'t> {
    fn of(texts: &'t Texts, registry: &Registry<'t>) -> Result<Self, FolderError> {
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
struct Networks<'t> {
    v4: Layers<'t, u32, u32, u32>,
    v6: Layers<'t, u128, u32, u32>,
    provenance: Provenance<'t>,
}

impl<'t> Networks<'t> {
    fn of(texts: &'t Texts) -> Result<Self, FolderError> {
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

/// What was measured of networks and names.
struct Measured<'t> {
    ratios: Vec<RatioRow<'t>>,
    shares: Vec<ShareRow>,
}

impl<'t> Measured<'t> {
    fn of(texts: &'t Texts) -> Result<Self, FolderError> {
        let ratios = texts.parsed("likelihoods.tsv", RatioRow::parse)?;
        let shares = texts.parsed("asn_precision.tsv", ShareRow::parse)?;
        Ok(Self {
            ratios: ratios.into_iter().filter_map(|(_, row)| row).collect(),
            shares: shares.into_iter().filter_map(|(_, row)| row).collect(),
        })
    }

    fn of_network(&self, asn: u32) -> (Option<CentiNats>, Option<u32>) {
        let ratio = self.ratios.iter().find(|row| row.of == RatioOf::Asn(asn)).map(|row| row.weight);
        (ratio, self.shares.iter().find(|row| row.asn == asn).map(|row| row.share_ppm))
    }

    fn of_name(&self, suffix: &str) -> Option<CentiNats> {
        let fits = |row: &&RatioRow<'_>| matches!(row.of, RatioOf::Ptr(known) if name::ends_in(suffix, known));
        self.ratios.iter().find(fits).map(|row| row.weight)
    }
}

fn asns<'t>(
    texts: &'t Texts,
    registry: &Registry<'t>,
    measured: &Measured<'_>,
) -> Result<Vec<AsnFact<'t>>, FolderError> {
    const FILE: &str = "facts/asns.tsv";
    let rows = texts.parsed(FILE, AsnRow::parse)?;
    let lines = rows.iter().map(|(line, row)| (row.asn, *line));
    first_of_each(lines).map_err(|(line, first)| texts.error(FILE, line, Problem::Duplicate(first)))?;
    let mut facts = Vec::with_capacity(rows.len());
    for (line, row) in rows {
        let provider = registry.find(row.provider).map_err(|problem| texts.error(FILE, line, problem))?;
        let (ratio, share) = measured.of_network(row.asn);
        facts.push(AsnFact {
            asn: row.asn,
            provider,
            role: row.role,
            weight: network_weight(row.role, ratio, share),
            provenance: provenance_of_row(texts, FILE, row.source),
        });
    }
    facts.sort_by_key(|fact| fact.asn);
    Ok(facts)
}

fn provenance_of_row<'t>(texts: &'t Texts, file: &str, codes: &'t str) -> Provenance<'t> {
    let text = texts.get(file).unwrap_or_default();
    Provenance { source: rows::source_of_row(text, codes), date: rows::date(text) }
}

type Suffixes<'t> = (Vec<SuffixFact<'t>>, Vec<SuffixFact<'t>>);

fn suffixes<'t>(
    texts: &'t Texts,
    registry: &Registry<'t>,
    measured: &Measured<'_>,
) -> Result<Suffixes<'t>, FolderError> {
    const FILE: &str = "facts/suffixes.tsv";
    let rows = texts.parsed(FILE, SuffixRow::parse)?;
    let (mut cnames, mut ptrs) = (Vec::new(), Vec::new());
    let named = rows.iter().filter(|(_, row)| !row.is_absence());
    let lines = named.map(|(line, row)| ((row.kind, row.suffix.to_ascii_lowercase()), *line));
    first_of_each(lines).map_err(|(line, first)| texts.error(FILE, line, Problem::Duplicate(first)))?;
    for (line, row) in rows {
        let provider = registry.find(row.provider).map_err(|problem| texts.error(FILE, line, problem))?;
        if row.is_absence() {
            continue;
        }
        let ratio = if row.kind == NameKind::Ptr { measured.of_name(row.suffix) } else { None };
        let fact = SuffixFact {
            suffix: row.suffix,
            kind: row.kind,
            provider,
            weight: name_weight(row.kind, row.strength, ratio).min(ALIAS + ALIAS),
            provenance: provenance_of_row(texts, FILE, row.source),
        };
        match row.kind {
            NameKind::Cname => cnames.push(fact),
            NameKind::Ptr => ptrs.push(fact),
        }
    }
    cnames.sort_by(|a, b| name::compare(a.suffix, b.suffix));
    ptrs.sort_by(|a, b| name::compare(a.suffix, b.suffix));
    Ok((cnames, ptrs))
}

type Headers<'t> = (Vec<HeaderFact<'t>>, Vec<&'t str>);

fn headers<'t>(texts: &'t Texts, registry: &Registry<'t>) -> Result<Headers<'t>, FolderError> {
    const FILE: &str = "facts/headers.tsv";
    let (mut facts, mut leaks) = (Vec::new(), Vec::new());
    for (line, row) in texts.parsed(FILE, HeaderRow::parse)? {
        match row {
            HeaderRow::Leak(names) => leaks.extend(rows::leaks(names)),
            HeaderRow::Edge { provider, header, how, words, strength, source } => facts.push(HeaderFact {
                header,
                how,
                words,
                provider: registry.find(provider).map_err(|problem| texts.error(FILE, line, problem))?,
                weight: strength.of(HEADER),
                provenance: provenance_of_row(texts, FILE, source),
            }),
        }
    }
    Ok((facts, leaks))
}

fn certificates<'t>(texts: &'t Texts, registry: &Registry<'t>) -> Result<Vec<CertificateFact<'t>>, FolderError> {
    const FILE: &str = "facts/tls.tsv";
    let mut facts = Vec::new();
    for (line, row) in texts.parsed(FILE, CertificateRow::parse)? {
        let provider = registry.find(row.provider).map_err(|problem| texts.error(FILE, line, problem))?;
        facts.extend(row.patterns().map(|pattern| CertificateFact {
            field: row.field,
            pattern,
            provider,
            weight: row.strength.of(CERTIFICATE),
            provenance: provenance_of_row(texts, FILE, row.source),
        }));
    }
    Ok(facts)
}
