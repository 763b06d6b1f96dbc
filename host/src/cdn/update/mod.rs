//! A folder of facts, renewed from what providers publish (CDN-1): lists that lost much are refused, the whole is checked before
//! anything of it is used, and it takes the place of the old one at once.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs::File;
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};

use wirehaul_core::cdn::prefix::Prefix;
use wirehaul_core::cdn::{Date, rows};

use super::folder::{FACT_FILES, FolderError, LIST_FOLDERS, Problem, Tables, Texts};
use addresses::Addresses;
use formats::{FormatError, ListName, Said};

pub mod addresses;
pub mod formats;
mod store;
#[cfg(test)]
mod tests;

pub use store::{StoreError, store};

/// Bytes of a file at most; Azure's has some 10 MB.
const MOST_FILE_BYTES: u64 = 64 << 20;

/// A list may lose a fifth of its addresses of a family, and no more.
const MOST_LOST_PERCENT: u128 = 20;

/// Why nothing was renewed.
#[derive(Debug, thiserror::Error)]
pub enum UpdateError {
    /// A file or folder cannot be read.
    #[error("{} cannot be read: {source}", path.display())]
    Read {
        /// Which.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// A file is too large, or no text.
    #[error("{} is no list: it is not UTF-8 text of at most {} MiB", path.display(), MOST_FILE_BYTES >> 20)]
    NoText {
        /// Which.
        path: PathBuf,
    },
    /// A folder without files in it.
    #[error("{} has no files with lists in it", path.display())]
    NoFiles {
        /// Which.
        path: PathBuf,
    },
    /// A file is in no known format.
    #[error("{}{} {error}", path.display(), line.map_or_else(|| ":".to_owned(), |line| format!(":{line}:")))]
    Format {
        /// Which.
        path: PathBuf,
        /// In which line.
        line: Option<usize>,
        /// What is wrong with it.
        error: FormatError,
    },
    /// There is nobody of the name that a file has.
    #[error(
        "{}: there is no provider {key:?}; name the file after one of those in facts/providers.tsv, as imperva.txt",
        path.display()
    )]
    UnknownProvider {
        /// The file.
        path: PathBuf,
        /// Its name without ending.
        key: String,
    },
    /// Two files say different things about one list.
    #[error("{} speaks of {list}, of which {} did already; leave one of them out", path.display(), first.display())]
    Twice {
        /// The second.
        path: PathBuf,
        /// The first.
        first: PathBuf,
        /// The list.
        list: String,
    },
    /// A list lost too much.
    #[error(
        "{}: {list} would shrink from {before} to {after} {family}, by more than {MOST_LOST_PERCENT} %; get the file again, or, if \
         it is right, use --allow-shrink",
        path.display()
    )]
    Shrunk {
        /// The file.
        path: PathBuf,
        /// The list.
        list: String,
        /// What is counted.
        family: &'static str,
        /// How many there were.
        before: u128,
        /// How many there would be.
        after: u128,
    },
    /// The folder would not be one that can be used.
    #[error("{error} (out of {})", from.display())]
    Folder {
        /// What is wrong with it.
        error: FolderError,
        /// The file that it is out of.
        from: PathBuf,
    },
    /// The same, where it is not because of a file that was given.
    #[error(transparent)]
    Base(FolderError),
}

/// A file that somebody published.
#[derive(Clone, Debug)]
pub struct Source {
    /// Where it is.
    pub path: PathBuf,
    /// What stands in it.
    pub text: String,
    /// Its name in a folder of facts, if it is out of one: then it is taken as it is.
    place: Option<String>,
}

/// What became of a list.
#[derive(Clone, Debug)]
pub struct Change {
    /// Its name in the folder.
    pub list: String,
    /// Out of which files.
    pub from: Vec<PathBuf>,
    /// Of which day it is.
    pub date: Option<Date>,
    /// What was on it; `None` where there was no such list.
    pub before: Option<Addresses>,
    /// What is on it now.
    pub after: Addresses,
}

impl Change {
    /// Addresses that were not on it.
    #[must_use]
    pub fn added(&self) -> Addresses {
        self.before.as_ref().map_or_else(|| self.after.clone(), |before| self.after.minus(before))
    }

    /// Addresses that no longer are.
    #[must_use]
    pub fn removed(&self) -> Addresses {
        self.before.as_ref().map_or_else(Addresses::default, |before| before.minus(&self.after))
    }
}

/// A folder before it is written.
#[derive(Clone, Debug)]
pub struct Renewed {
    /// Its files, by their names in it.
    pub files: BTreeMap<String, String>,
    /// What became of lists that something was said of.
    pub changes: Vec<Change>,
}

// --- reading ---

/// Reads files, and the files in folders. Of a folder of facts the lists and facts are taken, of another folder all files but hidden
/// ones, those of MMDB format and those that are about the folder itself.
///
/// # Errors
/// Something cannot be read, or a folder has nothing to read.
pub fn read(paths: &[PathBuf]) -> Result<Vec<Source>, UpdateError> {
    let mut sources = Vec::new();
    for path in paths {
        if !path.is_dir() {
            sources.push(read_file(path.clone(), None)?);
            continue;
        }
        let before = sources.len();
        if path.join(LIST_FOLDERS[0]).is_dir() {
            let texts = Texts::read(path).map_err(UpdateError::Base)?;
            sources.extend(texts.iter().map(|(name, text)| Source {
                path: path.join(name),
                text: text.to_owned(),
                place: Some(name.to_owned()),
            }));
        } else {
            for file in files_in(path)? {
                sources.push(read_file(file, None)?);
            }
        }
        if sources.len() == before {
            return Err(UpdateError::NoFiles { path: path.clone() });
        }
    }
    Ok(sources)
}

fn files_in(folder: &Path) -> Result<Vec<PathBuf>, UpdateError> {
    let failed = |source| UpdateError::Read { path: folder.to_owned(), source };
    let mut files = Vec::new();
    for entry in std::fs::read_dir(folder).map_err(failed)? {
        let path = entry.map_err(failed)?.path();
        let name = path.file_name().unwrap_or_default().to_string_lossy().to_ascii_lowercase();
        let is_other =
            name.starts_with(['.', '_']) || ["readme", "license"].iter().any(|about| name.starts_with(about));
        if path.is_file() && !is_other && ![".md", ".mmdb"].iter().any(|ending| name.ends_with(ending)) {
            files.push(path);
        }
    }
    // The order of a folder is nobody's.
    files.sort();
    Ok(files)
}

fn read_file(path: PathBuf, place: Option<String>) -> Result<Source, UpdateError> {
    let failed = |source| UpdateError::Read { path: path.clone(), source };
    let mut bytes = Vec::new();
    let file = File::open(&path).map_err(failed)?;
    file.take(MOST_FILE_BYTES + 1).read_to_end(&mut bytes).map_err(failed)?;
    let text = String::from_utf8(bytes).ok().filter(|text| text.len() as u64 <= MOST_FILE_BYTES);
    match text {
        Some(text) => Ok(Source { path, text, place }),
        None => Err(UpdateError::NoText { path }),
    }
}

// --- renewing ---

/// What was said of one list by all files together.
struct Together {
    from: Vec<PathBuf>,
    addresses: Addresses,
    is_all: bool,
    publisher: Option<String>,
    date: Option<Date>,
    /// The text, where it is taken as it is.
    text: Option<String>,
}

/// The files of `base` with what the sources say; `embedded` has what a folder may lack. `today` is the date of what has none.
///
/// # Errors
/// A source is in no known format, a list lost too much, or what comes out cannot be used.
pub fn renew(
    base: &Texts,
    embedded: &Texts,
    sources: &[Source],
    today: Option<Date>,
    may_shrink: bool,
) -> Result<Renewed, UpdateError> {
    let mut files: BTreeMap<String, String> =
        base.iter().map(|(name, text)| (name.to_owned(), text.to_owned())).collect();
    let mut said: BTreeMap<String, Together> = BTreeMap::new();
    for source in sources {
        gather(source, base, embedded, &mut files, &mut said)?;
    }
    let mut changes = Vec::new();
    for (list, together) in said {
        let before = base.get(&list).and_then(addresses_of);
        let (change, text) = renew_list(list, together, before, base, today);
        if !may_shrink {
            refuse_shrunk(&change)?;
        }
        files.insert(change.list.clone(), text);
        changes.push(change);
    }
    check(base.folder(), &files, embedded, &changes)?;
    Ok(Renewed { files, changes })
}

/// Takes what a source says of each list to what others said of it.
fn gather(
    source: &Source,
    base: &Texts,
    embedded: &Texts,
    files: &mut BTreeMap<String, String>,
    said: &mut BTreeMap<String, Together>,
) -> Result<(), UpdateError> {
    let path = &source.path;
    if let Some(place) = &source.place {
        // A file of facts is taken as it is; so is a list, after a look at what is on it.
        if FACT_FILES.contains(&place.as_str()) || place.starts_with(LIST_FOLDERS[2]) {
            files.insert(place.clone(), source.text.clone());
            return Ok(());
        }
        let addresses = read_list(path, &source.text)?;
        let together = Together {
            from: vec![path.clone()],
            addresses,
            is_all: true,
            publisher: None,
            date: rows::date(&source.text),
            text: Some(source.text.clone()),
        };
        return match said.insert(place.clone(), together) {
            Some(first) => Err(twice(path, &first, place)),
            None => Ok(()),
        };
    }
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let lists = formats::read(&name, &source.text);
    for list in lists.map_err(|(line, error)| UpdateError::Format { path: path.clone(), line, error })? {
        let place = place_of(&list.list, path, base, embedded, files)?;
        match said.get_mut(&place) {
            // IPv4 in one file and IPv6 in the other.
            Some(others) if !others.is_all && !list.is_all => add(others, list, path),
            Some(first) => return Err(twice(path, first, &place)),
            None => {
                let Said { addresses, is_all, publisher, date, .. } = list;
                let publisher = publisher.map(str::to_owned);
                let together = Together { from: vec![path.clone()], addresses, is_all, publisher, date, text: None };
                said.insert(place, together);
            }
        }
    }
    Ok(())
}

fn add(others: &mut Together, list: Said, path: &Path) {
    others.addresses = others.addresses.plus(&list.addresses);
    others.from.push(path.to_owned());
    others.date = others.date.max(list.date);
}

fn twice(path: &Path, first: &Together, list: &str) -> UpdateError {
    let first = first.from.first().cloned().unwrap_or_default();
    UpdateError::Twice { path: path.to_owned(), first, list: list.to_owned() }
}

/// The prefixes of a list as it stands in a folder of facts.
fn read_list(path: &Path, text: &str) -> Result<Addresses, UpdateError> {
    let mut prefixes = Vec::new();
    for (line, row) in rows::rows(text) {
        let prefix = Prefix::parse(row.trim()).map_err(|error| {
            let error = FormatError::Prefix { text: row.chars().take(60).collect(), error };
            UpdateError::Format { path: path.to_owned(), line: Some(line), error }
        })?;
        prefixes.push(prefix);
    }
    let addresses = Addresses::of(prefixes);
    if addresses.is_empty() {
        let error = FormatError::Empty(path.file_stem().unwrap_or_default().to_string_lossy().into_owned());
        return Err(UpdateError::Format { path: path.to_owned(), line: None, error });
    }
    Ok(addresses)
}

fn addresses_of(text: &str) -> Option<Addresses> {
    let prefixes = rows::rows(text).map(|(_, row)| Prefix::parse(row.trim()));
    prefixes.collect::<Result<Vec<_>, _>>().ok().map(Addresses::of)
}

/// The name of a list in the folder.
fn place_of(
    list: &ListName,
    path: &Path,
    base: &Texts,
    embedded: &Texts,
    files: &BTreeMap<String, String>,
) -> Result<String, UpdateError> {
    let stem = match list {
        ListName::Edges(key) => return Ok(format!("ranges/{key}.txt")),
        ListName::NoEdges(key) => return Ok(format!("ranges-neg/{key}.txt")),
        ListName::Stem(stem) => stem,
    };
    let no_edges = format!("ranges-neg/{stem}.txt");
    if base.get(&no_edges).is_some() || embedded.get(&no_edges).is_some() {
        return Ok(no_edges);
    }
    const PROVIDERS: &str = "facts/providers.tsv";
    let providers = files.get(PROVIDERS).map(String::as_str).or_else(|| embedded.get(PROVIDERS)).unwrap_or_default();
    let mut rows = rows::rows(providers).filter_map(|(_, row)| rows::ProviderRow::parse(row).ok());
    match rows.find(|row| row.answers_to(stem)) {
        Some(_) => Ok(format!("ranges/{stem}.txt")),
        None => Err(UpdateError::UnknownProvider { path: path.to_owned(), key: stem.clone() }),
    }
}

/// The list as it becomes, and its text.
fn renew_list(
    list: String,
    together: Together,
    before: Option<Addresses>,
    base: &Texts,
    today: Option<Date>,
) -> (Change, String) {
    let mut after = together.addresses;
    if let Some(before) = before.as_ref().filter(|_| !together.is_all) {
        // Where a file speaks of one family only, the other stays as it was.
        if after.v4.is_empty() {
            after.v4 = before.v4.clone();
        }
        if after.v6.is_empty() {
            after.v6 = before.v6.clone();
        }
    }
    let is_written = together.text.is_none();
    let date = together.date.or(today.filter(|_| is_written));
    let text = together.text.unwrap_or_else(|| {
        let old = base.get(&list).unwrap_or_default();
        let publisher = together.publisher.or_else(|| rows::is_published(old).then(|| rows::source(old).to_owned()));
        text_of(&after, publisher.as_deref(), date, &together.from)
    });
    (Change { list, from: together.from, date, before, after }, text)
}

fn text_of(addresses: &Addresses, publisher: Option<&str>, date: Option<Date>, from: &[PathBuf]) -> String {
    let names = from.iter().map(|path| path.file_name().unwrap_or_default().to_string_lossy());
    let names = names.collect::<Vec<_>>().join(", ");
    let mut text = match publisher {
        Some(publisher) => format!("# publisher: {publisher}\n"),
        None => format!("# source: {names}\n"),
    };
    // Memory takes everything.
    if let Some(date) = date {
        let _ = writeln!(text, "# date: {date}");
    }
    let count = |is_v4: bool| addresses.prefixes().filter(|prefix| matches!(prefix, Prefix::V4(_)) == is_v4).count();
    let _ = writeln!(text, "# made by wirehaul cdn update out of {names}");
    let _ = writeln!(text, "# {} IPv4 + {} IPv6 prefixes after collapsing", count(true), count(false));
    for prefix in addresses.prefixes() {
        let _ = writeln!(text, "{prefix}");
    }
    text
}

/// CDN-1: a list that lost more than a fifth of either family is refused.
fn refuse_shrunk(change: &Change) -> Result<(), UpdateError> {
    let Some(before) = &change.before else { return Ok(()) };
    let families = [
        ("addresses of IPv4", u128::from(before.v4.count()), u128::from(change.after.v4.count())),
        ("addresses of IPv6", before.v6.count(), change.after.v6.count()),
    ];
    for (family, before, after) in families {
        let least = before - before / 100 * MOST_LOST_PERCENT - before % 100 * MOST_LOST_PERCENT / 100;
        if after < least {
            let path = change.from.first().cloned().unwrap_or_default();
            return Err(UpdateError::Shrunk { path, list: change.list.clone(), family, before, after });
        }
    }
    Ok(())
}

/// Makes tables of it, as whoever uses the folder will.
fn check(
    folder: &Path,
    files: &BTreeMap<String, String>,
    embedded: &Texts,
    changes: &[Change],
) -> Result<(), UpdateError> {
    let mut texts = Texts::of(folder, files.iter().map(|(name, text)| (name.clone(), text.clone())));
    texts.or_from(embedded);
    let Err(error) = Tables::build(&texts) else { return Ok(()) };
    let is_in = |change: &&Change| {
        let path = folder.join(&change.list);
        path == error.path || matches!(&error.problem, Problem::Overlap(other, _) if *other == path)
    };
    match changes.iter().find(is_in).and_then(|change| change.from.first()) {
        Some(from) => Err(UpdateError::Folder { error, from: from.clone() }),
        None => Err(UpdateError::Base(error)),
    }
}
