//! The sender's arguments as a manifest (XFER-2, XFER-6): one pass over the directories, no file is read.

use std::collections::BTreeMap;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use rustix::fd::{AsFd, OwnedFd};
use rustix::fs::{AtFlags, CWD, FileType, Mode, OFlags, SeekFrom, Stat, openat, readlinkat, seek, statat};
use rustix::io::Errno;
use thiserror::Error;

use super::dirs::open_dir;
use super::manifest::{
    CHUNK_BYTES, HoleRun, Kind, Manifest, ManifestBuilder, ManifestError, ManifestRule, Meta, Timestamp, check_target,
    chunk_count,
};
use super::path::{Escaped, MAX_COMPONENTS, RelPath};
use crate::io::os;

/// Why there is nothing to send. All of these are usage errors (exit code 2) but the last.
#[derive(Debug, Error)]
pub enum WalkError {
    /// No PATH at all.
    #[error("no file or directory given to send: name at least one PATH")]
    NoPaths,
    /// A PATH that cannot be opened.
    #[error("cannot send {}: {source}", Escaped(.path.as_os_str().as_bytes()))]
    Argument {
        /// The PATH as given.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// A PATH without a name that could be given at the receiver (`/`).
    #[error("cannot send {}: it has no name of its own; name what lies in it instead", Escaped(.0.as_os_str().as_bytes()))]
    NoName(PathBuf),
    /// A PATH that is no file and no directory.
    #[error("cannot send {}: it is neither a file nor a directory", Escaped(.0.as_os_str().as_bytes()))]
    NotAFile(PathBuf),
    /// Two PATHs would get one name at the receiver.
    #[error("{} and {} have the same name: send them one after the other, or the directory above", Escaped(.0.as_os_str().as_bytes()), Escaped(.1.as_os_str().as_bytes()))]
    SameName(PathBuf, PathBuf),
    /// The tree breaks a limit of the manifest (exit code 3).
    #[error(transparent)]
    Manifest(#[from] ManifestError),
}

/// Why an entry of the tree is not sent.
#[derive(Debug, Error)]
pub enum SkipReason {
    /// A socket, FIFO or device.
    #[error("skipped: it is a socket, a FIFO or a device")]
    SpecialFile,
    /// A symlink out of the tree, or a name that no receiver accepts.
    #[error("skipped: {0}")]
    Rule(ManifestRule),
    /// It cannot be read.
    #[error("not sent: {0}")]
    Unreadable(std::io::Error),
}

/// An entry that is not sent. The others are.
#[derive(Debug)]
pub struct Skipped {
    /// Its path in the transfer, or the part of it that was read.
    pub path: Box<[u8]>,
    /// Why.
    pub reason: SkipReason,
}

impl Skipped {
    /// Whether the user asked for something that is not delivered (exit code 1), as opposed to a thing that cannot be.
    pub fn is_failure(&self) -> bool {
        matches!(self.reason, SkipReason::Unreadable(_))
    }
}

impl std::fmt::Display for Skipped {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}: {}", Escaped(&self.path), self.reason)
    }
}

/// The tree to send.
#[derive(Debug)]
pub struct Walked {
    /// Its entries.
    pub manifest: Manifest,
    /// Where the top-level entries lie on this host: name, and absolute path without symlinks.
    pub roots: BTreeMap<Box<[u8]>, PathBuf>,
    /// What is left out.
    pub skipped: Vec<Skipped>,
}

/// Walks `paths`. A directory comes with its own name, however it is written (`dir`, `dir/`, `.`); a PATH that is a
/// symlink stands for what it leads to, under its own name. Below that, links are kept as links.
///
/// # Errors
/// The first argument that cannot be sent, or a limit of the manifest.
pub fn walk(paths: &[PathBuf]) -> Result<Walked, WalkError> {
    if paths.is_empty() {
        return Err(WalkError::NoPaths);
    }
    let mut arguments: BTreeMap<Box<[u8]>, (&Path, PathBuf)> = BTreeMap::new();
    for path in paths {
        let resolved =
            std::fs::canonicalize(path).map_err(|source| WalkError::Argument { path: path.clone(), source })?;
        let name = argument_name(path, &resolved).ok_or_else(|| WalkError::NoName(path.clone()))?;
        if let Some((other, _)) = arguments.insert(name, (path, resolved)) {
            return Err(WalkError::SameName(other.to_path_buf(), path.clone()));
        }
    }
    let mut walker = Walker::default();
    for (name, (given, resolved)) in &arguments {
        walker.argument(name, given, resolved)?;
    }
    let roots = arguments.into_iter().map(|(name, (_, resolved))| (name, resolved)).collect();
    Ok(Walked { manifest: walker.builder.finish(), roots, skipped: walker.skipped })
}

/// The name that a PATH gets at the receiver: its last component as written, else that of the directory it means.
fn argument_name(path: &Path, resolved: &Path) -> Option<Box<[u8]>> {
    let written = path.as_os_str().as_bytes();
    let ends_in_dots = written.ends_with(b"/.") || written == b"." || written.ends_with(b"..");
    let name = if ends_in_dots { resolved.file_name() } else { path.file_name().or_else(|| resolved.file_name()) };
    name.map(|name| name.as_bytes().into())
}

#[derive(Default)]
struct Walker {
    builder: ManifestBuilder,
    skipped: Vec<Skipped>,
    /// Path of the entry at hand.
    path: Vec<u8>,
}

/// A directory that is being walked.
struct Level {
    dir: OwnedFd,
    /// Names still to come, last first.
    names: Vec<Box<[u8]>>,
    path_len: usize,
}

impl Walker {
    fn argument(&mut self, name: &[u8], given: &Path, resolved: &Path) -> Result<(), WalkError> {
        RelPath::new(name).map_err(|rule| ManifestError { rule: rule.into(), path: name.into() })?;
        let failed = |errno: Errno| WalkError::Argument { path: given.to_path_buf(), source: errno.into() };
        let stat = statat(CWD, resolved, AtFlags::SYMLINK_NOFOLLOW).map_err(failed)?;
        self.path.clear();
        self.path.extend_from_slice(name);
        match FileType::from_raw_mode(stat.st_mode) {
            FileType::RegularFile => self.file(&stat, || open_file(CWD, resolved.as_os_str().as_bytes())),
            FileType::Directory => {
                let dir = open_dir(CWD, resolved.as_os_str().as_bytes()).map_err(failed)?;
                self.push(Kind::Dir, &stat)?;
                self.tree(dir)
            }
            _ => Err(WalkError::NotAFile(given.to_path_buf())),
        }
    }

    /// Everything below the directory at `self.path`, whose entry is pushed already.
    fn tree(&mut self, dir: OwnedFd) -> Result<(), WalkError> {
        let mut levels = Vec::new();
        self.enter(dir, &mut levels);
        while let depth = levels.len()
            && let Some(level) = levels.last_mut()
        {
            self.path.truncate(level.path_len);
            let Some(name) = level.names.pop() else {
                levels.pop();
                continue;
            };
            self.path.push(b'/');
            self.path.extend_from_slice(&name);
            if let Some(dir) = self.entry(&level.dir, &name, depth)? {
                self.enter(dir, &mut levels);
            }
        }
        Ok(())
    }

    fn enter(&mut self, dir: OwnedFd, levels: &mut Vec<Level>) {
        let (names, result) = sorted_names(&dir);
        if let Err(errno) = result {
            self.unreadable(errno);
        }
        levels.push(Level { dir, names, path_len: self.path.len() });
    }

    /// Pushes the entry `name` of `dir`; gives the directory to go into, if it is one.
    fn entry(&mut self, dir: &OwnedFd, name: &[u8], depth: usize) -> Result<Option<OwnedFd>, WalkError> {
        let stat = match statat(dir, name, AtFlags::SYMLINK_NOFOLLOW) {
            Ok(stat) => stat,
            // It vanished between the listing and now: as if it never was.
            Err(Errno::NOENT) => return Ok(None),
            Err(errno) => {
                self.unreadable(errno);
                return Ok(None);
            }
        };
        match FileType::from_raw_mode(stat.st_mode) {
            FileType::RegularFile => self.file(&stat, || open_file(dir, name))?,
            FileType::Directory if depth < MAX_COMPONENTS => match open_dir(dir, name) {
                Ok(inner) => return Ok(self.push(Kind::Dir, &stat)?.then_some(inner)),
                Err(errno) => {
                    // The directory itself is known; what is in it is not.
                    self.push(Kind::Dir, &stat)?;
                    self.unreadable(errno);
                }
            },
            FileType::Directory => self.skip(SkipReason::Rule(super::path::PathError::TooDeep.into())),
            FileType::Symlink => match readlinkat(dir, name, Vec::new()) {
                Ok(target) => self.symlink(target.as_bytes(), depth, &stat)?,
                Err(errno) => self.unreadable(errno),
            },
            _ => self.skip(SkipReason::SpecialFile),
        }
        Ok(None)
    }

    fn symlink(&mut self, target: &[u8], depth: usize, stat: &Stat) -> Result<(), WalkError> {
        match check_target(target, depth) {
            Ok(()) => self.push(Kind::Symlink { target }, stat).map(|_| ()),
            Err(rule) => {
                self.skip(SkipReason::Rule(rule));
                Ok(())
            }
        }
    }

    fn file(&mut self, stat: &Stat, open: impl FnOnce() -> Result<OwnedFd, Errno>) -> Result<(), WalkError> {
        let size_bytes = stat.st_size as u64;
        // Only a file that takes less space than it is long can have holes worth asking for.
        let is_sparse = (stat.st_blocks as u64).saturating_mul(512) < size_bytes;
        if self.push(Kind::File { size_bytes }, stat)?
            && is_sparse
            && let Ok(fd) = open()
        {
            for run in hole_runs(&fd, size_bytes) {
                if !self.builder.has_room_for_hole() {
                    break;
                }
                self.builder.push_hole(run)?;
            }
        }
        Ok(())
    }

    /// Pushes the entry at `self.path`; `false` if a rule about its name keeps it out.
    fn push(&mut self, kind: Kind<'_>, stat: &Stat) -> Result<bool, WalkError> {
        let meta = Meta {
            mode: (stat.st_mode & 0o7777) as u16,
            mtime: Timestamp { secs: stat.st_mtime, nanos: stat.st_mtime_nsec as u32 },
        };
        match self.builder.push(&self.path, kind, meta) {
            Ok(_) => Ok(true),
            Err(error) if error.rule == ManifestRule::TooLarge => Err(error.into()),
            Err(error) => {
                self.skip(SkipReason::Rule(error.rule));
                Ok(false)
            }
        }
    }

    fn skip(&mut self, reason: SkipReason) {
        self.skipped.push(Skipped { path: self.path[..].into(), reason });
    }

    fn unreadable(&mut self, errno: Errno) {
        self.skip(SkipReason::Unreadable(errno.into()));
    }
}

fn open_file(dir: impl AsFd, name: &[u8]) -> Result<OwnedFd, Errno> {
    openat(dir, name, OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC, Mode::empty())
}

/// The names in `dir` in descending order of their bytes; on an error, those read so far.
fn sorted_names(dir: &OwnedFd) -> (Vec<Box<[u8]>>, Result<(), Errno>) {
    let mut names = Vec::<Box<[u8]>>::new();
    let result = os::for_each_name(dir, |name| names.push(name.into()));
    names.sort_unstable_by(|a, b| b.cmp(a));
    (names, result)
}

/// The chunks of a file that lie entirely in holes. What the file system cannot tell is data.
fn hole_runs(fd: &OwnedFd, size_bytes: u64) -> Vec<HoleRun> {
    let mut runs = Vec::new();
    let mut at = 0;
    while at < size_bytes {
        let hole = match seek(fd, SeekFrom::Hole(at)) {
            Ok(hole) if hole < size_bytes => hole,
            _ => break,
        };
        let data = match seek(fd, SeekFrom::Data(hole)) {
            Ok(data) => data.min(size_bytes),
            Err(Errno::NXIO) => size_bytes,
            Err(_) => break,
        };
        let first = hole.div_ceil(CHUNK_BYTES);
        let end = if data == size_bytes { chunk_count(size_bytes) } else { data / CHUNK_BYTES };
        if first < end {
            // MAX_TOTAL_BYTES keeps chunk indices below 2^29.
            runs.push(HoleRun { first: first as u32, count: (end - first) as u32 });
        }
        at = data.max(hole + 1);
    }
    runs
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::{FileExt, PermissionsExt, symlink};

    use super::*;

    fn names(walked: &Walked) -> Vec<String> {
        (0..walked.manifest.len()).map(|index| walked.manifest.display(index)).collect()
    }

    #[test]
    fn a_tree_comes_in_order_with_its_own_name_however_it_is_written() {
        let temp = tempfile::tempdir().unwrap();
        let dir = temp.path().join("dir");
        fs::create_dir_all(dir.join("sub")).unwrap();
        fs::write(dir.join("sub.x"), b"1").unwrap();
        fs::write(dir.join("sub/inner"), b"").unwrap();
        fs::write(dir.join(std::ffi::OsStr::from_bytes(b"\xff")), b"22").unwrap();
        symlink("sub/inner", dir.join("link")).unwrap();
        for written in [dir.clone(), dir.join(""), dir.join("."), dir.join("sub/..")] {
            let walked = walk(&[written]).unwrap();
            assert_eq!(names(&walked), ["dir", "dir/link", "dir/sub", "dir/sub/inner", "dir/sub.x", "dir/\\xff"]);
            assert!(walked.skipped.is_empty());
            assert_eq!(walked.manifest.total_bytes(), 3);
        }
    }

    #[test]
    fn links_out_of_the_tree_and_special_files_are_skipped_with_a_reason() {
        let temp = tempfile::tempdir().unwrap();
        let dir = temp.path().join("d");
        fs::create_dir(&dir).unwrap();
        symlink("/etc", dir.join("absolute")).unwrap();
        symlink("../../x", dir.join("climbs")).unwrap();
        symlink("../d/ok", dir.join("fine")).unwrap();
        rustix::fs::mkfifoat(CWD, dir.join("fifo"), Mode::from(0o600)).unwrap();
        let walked = walk(&[dir]).unwrap();
        assert_eq!(names(&walked), ["d", "d/fine"]);
        let skipped: Vec<_> = walked.skipped.iter().map(ToString::to_string).collect();
        assert_eq!(skipped.len(), 3, "{skipped:?}");
        assert!(skipped[2].contains("d/fifo: skipped"), "{skipped:?}");
        assert!(!walked.skipped.iter().any(Skipped::is_failure));
    }

    #[test]
    fn bad_arguments_are_usage_errors() {
        let temp = tempfile::tempdir().unwrap();
        for dir in ["a", "b"] {
            fs::create_dir(temp.path().join(dir)).unwrap();
            fs::write(temp.path().join(dir).join("same"), b"").unwrap();
        }
        let same = walk(&[temp.path().join("a/same"), temp.path().join("b/same")]);
        assert!(matches!(same, Err(WalkError::SameName(..))));
        assert!(matches!(walk(&[temp.path().join("none")]), Err(WalkError::Argument { .. })));
        assert!(matches!(walk(&["/".into()]), Err(WalkError::NoName(_))));
        assert!(matches!(walk(&[]), Err(WalkError::NoPaths)));
        assert!(matches!(walk(&["/dev/null".into()]), Err(WalkError::NotAFile(_))));
        fs::create_dir(temp.path().join(".wirehaul")).unwrap();
        assert!(matches!(walk(&[temp.path().join(".wirehaul")]), Err(WalkError::Manifest(_))));
    }

    #[test]
    fn an_argument_that_is_a_link_stands_for_what_it_leads_to() {
        let temp = tempfile::tempdir().unwrap();
        fs::write(temp.path().join("real"), b"abc").unwrap();
        symlink("real", temp.path().join("latest")).unwrap();
        let walked = walk(&[temp.path().join("latest")]).unwrap();
        assert_eq!(names(&walked), ["latest"]);
        assert_eq!(walked.manifest.file_size(0), Some(3));
    }

    #[test]
    fn whole_chunks_in_holes_are_found() {
        let temp = tempfile::tempdir().unwrap();
        let path = temp.path().join("sparse");
        let file = fs::File::create(&path).unwrap();
        file.set_len(40 * CHUNK_BYTES + 7).unwrap();
        file.write_all_at(b"x", 10 * CHUNK_BYTES + 5).unwrap();
        let walked = walk(&[path]).unwrap();
        let holes: Vec<_> = walked.manifest.holes(0).collect();
        assert_eq!(holes, [HoleRun { first: 0, count: 10 }, HoleRun { first: 11, count: 30 }]);
    }

    #[test]
    fn an_unreadable_directory_is_a_failure_and_the_rest_goes_on() {
        let temp = tempfile::tempdir().unwrap();
        let dir = temp.path().join("d");
        fs::create_dir_all(dir.join("closed")).unwrap();
        fs::write(dir.join("open"), b"1").unwrap();
        fs::set_permissions(dir.join("closed"), fs::Permissions::from_mode(0o000)).unwrap();
        if fs::read_dir(dir.join("closed")).is_ok() {
            eprintln!("skipped: this user may read everything, so no directory is unreadable");
            return;
        }
        let walked = walk(std::slice::from_ref(&dir)).unwrap();
        fs::set_permissions(dir.join("closed"), fs::Permissions::from_mode(0o700)).unwrap();
        assert_eq!(names(&walked), ["d", "d/closed", "d/open"]);
        assert!(walked.skipped.len() == 1 && walked.skipped[0].is_failure());
    }
}
