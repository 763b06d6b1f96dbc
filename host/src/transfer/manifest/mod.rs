//! What a transfer consists of: directories, files and symlinks in one order that both sides share (XFER-2, XFER-3).
//!
//! Entries are strictly ascending in component-wise order, so a name cannot come twice and a directory precedes all
//! that is below it. An entry is accepted only below a directory that the manifest itself declares. Both the sender's
//! walk and the receiver's decoder build through [`ManifestBuilder`], so a manifest that exists is valid.

mod codec;
#[cfg(test)]
mod tests;

pub use codec::{MAX_RECORD_BYTES, ManifestDecoder, ManifestEncoder};

use std::cmp::Ordering;

use thiserror::Error;

use super::path::{self, Escaped, PathError};

/// Bytes of a chunk: the unit that is hashed, verified and re-sent (XFER-4). The last chunk of a file may be shorter.
pub const CHUNK_BYTES: u64 = 256 * 1024;
/// Most entries of one manifest.
pub const MAX_ENTRIES: usize = 1 << 23;
/// Most bytes of names and symlink targets of one manifest.
pub const MAX_NAME_BYTES: usize = 1 << 29;
/// Most bytes of all files of one manifest together. With the hashes beside them the data stream stays below 2^48.
pub const MAX_TOTAL_BYTES: u64 = 1 << 47;
/// Most hole runs of one manifest; holes beyond are sent as zeros.
pub const MAX_HOLE_RUNS: usize = 1 << 20;
/// Longest symlink target in bytes (PATH_MAX without its NUL).
pub const MAX_TARGET_BYTES: usize = 4095;

/// Chunks of a file of `size_bytes`; 0 for an empty file.
pub const fn chunk_count(size_bytes: u64) -> u64 {
    size_bytes.div_ceil(CHUNK_BYTES)
}

/// Bytes of chunk `chunk` of a file of `size_bytes`; `chunk` is below [`chunk_count`].
pub const fn chunk_len(size_bytes: u64, chunk: u64) -> u32 {
    let rest = size_bytes - chunk * CHUNK_BYTES;
    if rest < CHUNK_BYTES { rest as u32 } else { CHUNK_BYTES as u32 }
}

/// A time of the file system: seconds since the epoch (negative before it) and 0..1e9 nanoseconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Timestamp {
    /// Whole seconds, rounded down.
    pub secs: i64,
    /// Nanoseconds on top, below 1,000,000,000.
    pub nanos: u32,
}

/// What an entry is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind<'a> {
    /// A regular file.
    File {
        /// Length in bytes.
        size_bytes: u64,
    },
    /// A directory.
    Dir,
    /// A symbolic link that stays inside the tree.
    Symlink {
        /// What the link says.
        target: &'a [u8],
    },
}

/// Permission bits and modification time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Meta {
    /// Permission bits, 0o7777 at most. The receiver does not apply set-uid, set-gid and sticky.
    pub mode: u16,
    /// Last modification.
    pub mtime: Timestamp,
}

/// Chunks `first..first + count` of a file are entirely holes: they read as zeros and take no space.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct HoleRun {
    /// Index of the first chunk.
    pub first: u32,
    /// Number of chunks, at least one.
    pub count: u32,
}

/// One entry of a manifest, borrowed from it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Entry<'a> {
    /// The last component of its path.
    pub name: &'a [u8],
    /// Index of the directory that it lies in; `None` at the top.
    pub parent: Option<u32>,
    /// What it is.
    pub kind: Kind<'a>,
    /// Mode and time.
    pub meta: Meta,
}

/// The rule that a manifest broke. Meeting one refuses the transfer (exit code 3).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum ManifestRule {
    /// The path itself is not acceptable.
    #[error(transparent)]
    Path(#[from] PathError),
    /// Not after the entry before it, or the same name twice.
    #[error("it is not in ascending order, or its name comes twice")]
    Order,
    /// The directory above was not declared.
    #[error("the directory that it lies in is not part of the transfer")]
    ParentMissing,
    /// The entry above is a file or a symlink.
    #[error("it lies below something that is not a directory")]
    BelowNonDirectory,
    /// Neither file, directory nor symlink.
    #[error("it is neither a file, a directory nor a symlink")]
    UnknownKind,
    /// Bits outside 0o7777.
    #[error("its mode has bits that are no permissions")]
    Mode,
    /// A billion nanoseconds or more.
    #[error("its time has more than 999,999,999 nanoseconds")]
    Time,
    /// An empty or too long target, or one with a NUL.
    #[error("its symlink target is empty, too long or holds a NUL byte")]
    Target,
    /// The target is absolute or climbs out of the tree.
    #[error("its symlink target leads out of the tree")]
    TargetEscapes,
    /// Hole runs out of order, outside the file, or not behind a file.
    #[error("its list of holes is not ascending inside the file")]
    Holes,
    /// More entries, names, holes or bytes than the limits of this version.
    #[error("the transfer is larger than this version's limits")]
    TooLarge,
    /// The encoding is broken.
    #[error("the list of files is malformed")]
    Malformed,
    /// The list ended before its end mark.
    #[error("the list of files is cut short")]
    Truncated,
}

/// A rule and the path that broke it (empty where no path is at fault).
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("refused {}: {rule}", Escaped(.path))]
pub struct ManifestError {
    /// Which rule.
    pub rule: ManifestRule,
    /// Which entry, as bytes.
    pub path: Box<[u8]>,
}

impl ManifestError {
    fn new(rule: impl Into<ManifestRule>, path: &[u8]) -> Self {
        let shown = if path.is_empty() { b"the list of files" } else { &path[..path.len().min(path::MAX_PATH_BYTES)] };
        Self { rule: rule.into(), path: shown.into() }
    }
}

/// 32 bytes an entry; its name, and its target behind the name, lie in the arena.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Record {
    /// Length of a file or of a symlink's target.
    size_bytes: u64,
    secs: i64,
    nanos: u32,
    name_at: u32,
    /// `NO_PARENT` at the top.
    parent: u32,
    mode: u16,
    name_len: u8,
    tag: Tag,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
enum Tag {
    File,
    Dir,
    Symlink,
}

const NO_PARENT: u32 = u32::MAX;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct HoleRecord {
    entry: u32,
    run: HoleRun,
}

/// A valid list of entries. About 32 bytes and one name per entry, so a million files take some 50 MB.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Manifest {
    records: Vec<Record>,
    arena: Vec<u8>,
    holes: Vec<HoleRecord>,
    total_bytes: u64,
    total_chunks: u64,
    files: u32,
}

impl Manifest {
    /// Number of entries.
    pub fn len(&self) -> u32 {
        // MAX_ENTRIES keeps it far below 2^32.
        self.records.len() as u32
    }

    /// Whether there is no entry at all.
    pub fn is_empty(&self) -> bool {
        self.records.is_empty()
    }

    /// Number of regular files.
    pub fn files(&self) -> u32 {
        self.files
    }

    /// Bytes of all files together, holes included.
    pub fn total_bytes(&self) -> u64 {
        self.total_bytes
    }

    /// Chunks of all files together, holes included: the length of the piece index space.
    pub fn total_chunks(&self) -> u64 {
        self.total_chunks
    }

    /// The entry at `index`, below [`Manifest::len`].
    pub fn entry(&self, index: u32) -> Entry<'_> {
        let record = &self.records[index as usize];
        let name_end = record.name_at as usize + usize::from(record.name_len);
        let kind = match record.tag {
            Tag::File => Kind::File { size_bytes: record.size_bytes },
            Tag::Dir => Kind::Dir,
            Tag::Symlink => Kind::Symlink { target: &self.arena[name_end..name_end + record.size_bytes as usize] },
        };
        Entry {
            name: &self.arena[record.name_at as usize..name_end],
            parent: (record.parent != NO_PARENT).then_some(record.parent),
            kind,
            meta: Meta { mode: record.mode, mtime: Timestamp { secs: record.secs, nanos: record.nanos } },
        }
    }

    /// All entries in order.
    pub fn entries(&self) -> impl Iterator<Item = Entry<'_>> {
        (0..self.len()).map(|index| self.entry(index))
    }

    /// Length of the file at `index`; `None` where the entry is no file.
    pub fn file_size(&self, index: u32) -> Option<u64> {
        let record = &self.records[index as usize];
        (record.tag == Tag::File).then_some(record.size_bytes)
    }

    /// The hole runs of the file at `index`, ascending and disjoint.
    pub fn holes(&self, index: u32) -> impl Iterator<Item = HoleRun> + '_ {
        let first = self.holes.partition_point(|hole| hole.entry < index);
        self.holes[first..].iter().take_while(move |hole| hole.entry == index).map(|hole| hole.run)
    }

    /// Whether the file at `index` has holes at all.
    pub fn is_sparse(&self, index: u32) -> bool {
        self.holes.binary_search_by_key(&index, |hole| hole.entry).is_ok()
    }

    /// Writes the path of the entry at `index` into `out`, replacing what it held.
    pub fn path_into(&self, index: u32, out: &mut Vec<u8>) {
        out.clear();
        let mut chain = [0_u32; path::MAX_COMPONENTS];
        let mut depth = 0;
        let mut next = index;
        while next != NO_PARENT {
            chain[depth] = next;
            depth += 1;
            next = self.records[next as usize].parent;
        }
        for &link in chain[..depth].iter().rev() {
            if !out.is_empty() {
                out.push(b'/');
            }
            out.extend_from_slice(self.entry(link).name);
        }
    }

    /// Whether both have a file of one path, length and time: then they share its partial file too.
    pub fn shares_a_file_with(&self, other: &Self) -> bool {
        let (mut left, mut right) = (0, 0);
        let (mut left_path, mut right_path) = (Vec::new(), Vec::new());
        while left < self.len() && right < other.len() {
            self.path_into(left, &mut left_path);
            other.path_into(right, &mut right_path);
            let order = path::compare(&left_path, &right_path);
            if order == Ordering::Equal {
                let size_bytes = self.file_size(left);
                let same_time = self.entry(left).meta.mtime == other.entry(right).meta.mtime;
                if size_bytes.is_some() && size_bytes == other.file_size(right) && same_time {
                    return true;
                }
            }
            left += u32::from(order != Ordering::Greater);
            right += u32::from(order != Ordering::Less);
        }
        false
    }

    /// The path of the entry at `index` for people.
    pub fn display(&self, index: u32) -> String {
        let mut bytes = Vec::new();
        self.path_into(index, &mut bytes);
        Escaped(&bytes).to_string()
    }
}

/// Accepts entries one by one and refuses the first that breaks a rule.
#[derive(Debug, Default)]
pub struct ManifestBuilder {
    manifest: Manifest,
    last_path: Vec<u8>,
    /// The declared directories that the last entry lies in (itself included, if one): index and path length.
    open_dirs: Vec<(u32, usize)>,
}

impl ManifestBuilder {
    /// An empty manifest.
    pub fn new() -> Self {
        Self::default()
    }

    /// Appends an entry and gives its index.
    ///
    /// # Errors
    /// The rule that the entry breaks; the builder is then as before.
    pub fn push(&mut self, path: &[u8], kind: Kind<'_>, meta: Meta) -> Result<u32, ManifestError> {
        self.push_inner(path, kind, meta).map_err(|rule| ManifestError::new(rule, path))
    }

    /// Says that a run of chunks of the file pushed last is a hole.
    ///
    /// # Errors
    /// [`ManifestRule::Holes`] if the run is not behind the run before it and inside the file.
    pub fn push_hole(&mut self, run: HoleRun) -> Result<(), ManifestError> {
        self.push_hole_inner(run).map_err(|rule| ManifestError::new(rule, &self.last_path))
    }

    /// Whether a further hole run still fits the limit.
    pub fn has_room_for_hole(&self) -> bool {
        self.manifest.holes.len() < MAX_HOLE_RUNS
    }

    /// The finished manifest.
    pub fn finish(mut self) -> Manifest {
        self.manifest.records.shrink_to_fit();
        self.manifest.arena.shrink_to_fit();
        self.manifest
    }

    fn push_inner(&mut self, path: &[u8], kind: Kind<'_>, meta: Meta) -> Result<u32, ManifestRule> {
        path::validate(path)?;
        if !self.last_path.is_empty() && path::compare(&self.last_path, path) != Ordering::Less {
            return Err(ManifestRule::Order);
        }
        check_meta(meta)?;
        let name_at = path.iter().rposition(|&byte| byte == b'/').map_or(0, |slash| slash + 1);
        let (parent, open) = self.find_parent(path, name_at)?;
        if let Kind::Symlink { target } = kind {
            check_target(target, path[..name_at].iter().filter(|&&byte| byte == b'/').count())?;
        }
        let index = self.store(&path[name_at..], parent, kind, meta)?;
        self.open_dirs.truncate(open);
        if kind == Kind::Dir {
            self.open_dirs.push((index, path.len()));
        }
        self.last_path.clear();
        self.last_path.extend_from_slice(path);
        Ok(index)
    }

    /// The declared directory that `path` lies in, and how many of the open ones are above `path`.
    fn find_parent(&self, path: &[u8], name_at: usize) -> Result<(u32, usize), ManifestRule> {
        let is_above = |len: usize| path.get(len) == Some(&b'/') && path[..len] == self.last_path[..len];
        let open = self.open_dirs.iter().rposition(|&(_, len)| is_above(len)).map_or(0, |at| at + 1);
        let above = open.checked_sub(1).map(|at| self.open_dirs[at]);
        match above {
            None if name_at == 0 => Ok((NO_PARENT, 0)),
            Some((parent, len)) if len + 1 == name_at => Ok((parent, open)),
            // Whatever lies below a path sorts directly behind it: only the last entry can be in the way.
            _ if above.is_none_or(|(_, len)| len < self.last_path.len()) && is_above(self.last_path.len()) => {
                Err(ManifestRule::BelowNonDirectory)
            }
            _ => Err(ManifestRule::ParentMissing),
        }
    }

    fn store(&mut self, name: &[u8], parent: u32, kind: Kind<'_>, meta: Meta) -> Result<u32, ManifestRule> {
        let manifest = &mut self.manifest;
        let (tag, size_bytes, target) = match kind {
            Kind::File { size_bytes } => (Tag::File, size_bytes, &[][..]),
            Kind::Dir => (Tag::Dir, 0, &[][..]),
            Kind::Symlink { target } => (Tag::Symlink, target.len() as u64, target),
        };
        let file_bytes = if tag == Tag::File { size_bytes } else { 0 };
        let total_bytes = manifest.total_bytes.checked_add(file_bytes).ok_or(ManifestRule::TooLarge)?;
        if total_bytes > MAX_TOTAL_BYTES
            || manifest.records.len() >= MAX_ENTRIES
            || manifest.arena.len() + name.len() + target.len() > MAX_NAME_BYTES
        {
            return Err(ManifestRule::TooLarge);
        }
        let index = manifest.len();
        manifest.total_bytes = total_bytes;
        manifest.total_chunks += chunk_count(file_bytes);
        manifest.files += u32::from(tag == Tag::File);
        manifest.records.push(Record {
            size_bytes,
            secs: meta.mtime.secs,
            nanos: meta.mtime.nanos,
            // MAX_NAME_BYTES and MAX_COMPONENT_BYTES bound both.
            name_at: manifest.arena.len() as u32,
            parent,
            mode: meta.mode,
            name_len: name.len() as u8,
            tag,
        });
        manifest.arena.extend_from_slice(name);
        manifest.arena.extend_from_slice(target);
        Ok(index)
    }

    fn push_hole_inner(&mut self, run: HoleRun) -> Result<(), ManifestRule> {
        let manifest = &mut self.manifest;
        let last = manifest.records.last().ok_or(ManifestRule::Holes)?;
        let entry = manifest.records.len() as u32 - 1;
        let end = u64::from(run.first) + u64::from(run.count);
        // Runs that touch would be one run: there is one way to say each list of holes.
        let behind_previous = manifest.holes.last().is_none_or(|previous| {
            previous.entry < entry
                || u64::from(previous.run.first) + u64::from(previous.run.count) < u64::from(run.first)
        });
        if last.tag != Tag::File || run.count == 0 || end > chunk_count(last.size_bytes) || !behind_previous {
            return Err(ManifestRule::Holes);
        }
        if manifest.holes.len() >= MAX_HOLE_RUNS {
            return Err(ManifestRule::TooLarge);
        }
        manifest.holes.push(HoleRecord { entry, run });
        Ok(())
    }
}

fn check_meta(meta: Meta) -> Result<(), ManifestRule> {
    if meta.mode & !0o7777 != 0 {
        return Err(ManifestRule::Mode);
    }
    if meta.mtime.nanos >= 1_000_000_000 { Err(ManifestRule::Time) } else { Ok(()) }
}

/// Checks that a link `depth` directories below the root cannot lead out of the tree.
///
/// `..` is accepted only at the front of the target, at most `depth` times: there the directories that it climbs are
/// declared ones. Behind a name it could climb out of wherever another link leads (`link/..`), which no check of the
/// text alone can see. By induction every link of the manifest thus ends inside the tree.
///
/// # Errors
/// [`ManifestRule::Target`] or [`ManifestRule::TargetEscapes`].
pub fn check_target(target: &[u8], depth: usize) -> Result<(), ManifestRule> {
    if target.is_empty() || target.len() > MAX_TARGET_BYTES || target.contains(&0) {
        return Err(ManifestRule::Target);
    }
    if target.starts_with(b"/") {
        return Err(ManifestRule::TargetEscapes);
    }
    let (mut climbed, mut descended) = (0, false);
    for component in target.split(|&byte| byte == b'/') {
        match component {
            b"" | b"." => {}
            b".." if descended || climbed == depth => return Err(ManifestRule::TargetEscapes),
            b".." => climbed += 1,
            _ => descended = true,
        }
    }
    Ok(())
}
