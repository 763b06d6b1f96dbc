//! A folder of facts about CDNs, read, checked and made into tables. The build script of the core does it for the tables that are
//! compiled in, and the host for a folder that a user names: both take these files, so that both see the same.
//!
//! ```text
//! texts   the files     lists   prefixes, of edges, of what is none and of networks     facts   networks, names, headers, certificates
//! ```

mod facts;
mod lists;
mod texts;

use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;

use super::core_cdn::Database;
use super::core_cdn::facts::{
    AsnFact, CertificateFact, HeaderFact, List, ListId, Provenance, Provider, ProviderId, SuffixFact,
};
use super::core_cdn::rows::{ProviderRow, RowError};
use facts::Measured;
pub use lists::Segments;
use lists::{Lists, Networks};
use texts::MOST_FILE_BYTES;
pub use texts::Texts;

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
        let (cnames, ptrs) = facts::suffixes(texts, &registry, &measured)?;
        let (headers, leaks) = facts::headers(texts, &registry)?;
        Ok(Self {
            v4: lists.v4.segments(texts)?,
            v6: lists.v6.segments(texts)?,
            lists: lists.lists,
            announced_v4: networks.v4.segments(texts)?,
            announced_v6: networks.v6.segments(texts)?,
            announced: networks.provenance,
            asns: facts::asns(texts, &registry, &measured)?,
            cnames,
            ptrs,
            headers,
            leaks,
            certificates: facts::certificates(texts, &registry)?,
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
