//! The files of a folder, as text.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use super::super::core_cdn::rows::{self, RowError};
use super::{FACT_FILES, FolderError, LIST_FOLDERS, Problem};

/// Bytes of a file at most; the largest has some 300 kB.
pub(super) const MOST_FILE_BYTES: u64 = 64 << 20;

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

    pub(super) fn error(&self, name: &str, line: impl Into<Option<usize>>, problem: Problem) -> FolderError {
        FolderError { path: self.folder.join(name), line: line.into(), problem }
    }

    /// The lists of a folder: the files' names, what stands before `.txt` in them, and the texts.
    pub(super) fn lists<'t>(&'t self, folder: &'static str) -> impl Iterator<Item = (&'t str, &'t str, &'t str)> {
        self.iter().filter_map(move |(name, text)| {
            let key = name.strip_prefix(folder)?.strip_prefix('/')?.strip_suffix(".txt")?;
            Some((name, key, text))
        })
    }

    /// The rows of a file that need not be there, each read by `parse`, with its line.
    pub(super) fn parsed<'t, T>(
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
