//! Trees of files as a user sees them, to be compared.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

/// What an entry is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Kind {
    Dir,
    File { len: u64, hash: String },
    Link { target: PathBuf },
    Other,
}

/// An entry with what a transfer must keep of it (XFER-2).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    pub kind: Kind,
    /// Permissions; of a link always the same.
    pub mode: u32,
    /// Modification time; zero for a link.
    pub mtime: (i64, i64),
}

/// Everything below `dir`, by its path from there.
pub fn snapshot(dir: &Path) -> BTreeMap<OsString, Entry> {
    let mut tree = BTreeMap::new();
    add(dir, dir, &mut tree);
    tree
}

fn add(root: &Path, dir: &Path, tree: &mut BTreeMap<OsString, Entry>) {
    for entry in fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        let name = path.strip_prefix(root).unwrap().as_os_str().to_owned();
        tree.insert(name, look(&path));
        if path.is_dir() && !path.is_symlink() {
            add(root, &path, tree);
        }
    }
}

fn look(path: &Path) -> Entry {
    let meta = fs::symlink_metadata(path).unwrap();
    if meta.is_symlink() {
        return Entry { kind: Kind::Link { target: fs::read_link(path).unwrap() }, mode: 0o777, mtime: (0, 0) };
    }
    let kind = if meta.is_dir() {
        Kind::Dir
    } else if meta.is_file() {
        Kind::File { len: meta.len(), hash: hash(path) }
    } else {
        Kind::Other
    };
    Entry { kind, mode: meta.mode() & 0o7777, mtime: (meta.mtime(), meta.mtime_nsec()) }
}

/// BLAKE3 of a file.
pub fn hash(path: &Path) -> String {
    let mut hasher = blake3::Hasher::new();
    std::io::copy(&mut fs::File::open(path).unwrap(), &mut hasher).unwrap();
    hasher.finalize().to_hex().to_string()
}

/// Panics with the first few differences unless both trees are the same, names, contents, modes and times.
#[track_caller]
pub fn assert_same(from: &Path, to: &Path) {
    let (from, to) = (snapshot(from), snapshot(to));
    let names: std::collections::BTreeSet<_> = from.keys().chain(to.keys()).collect();
    let differ = names.into_iter().filter(|name| from.get(*name) != to.get(*name));
    let shown: Vec<_> = differ.map(|name| (name, from.get(name), to.get(name))).take(5).collect();
    assert!(shown.is_empty(), "the trees differ: {shown:#?}");
}

/// Panics unless both files have the same bytes.
#[track_caller]
pub fn assert_same_file(from: &Path, to: &Path) {
    assert_eq!(look(from), look(to), "{} and {} differ", from.display(), to.display());
}
