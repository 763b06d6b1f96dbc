//! What is sent, made from a seed so that every run sends the same, and the check that it arrived.

use std::fs::{self, File};
use std::io::{self, BufWriter, Read, Write};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use nix::fcntl::{PosixFadviseAdvice, posix_fadvise};

/// How much is read or written at once.
const BLOCK_BYTES: usize = 1 << 20;
/// Files of a tree per directory.
const FILES_PER_DIRECTORY: u32 = 1000;
/// Smallest and largest file of a tree, in bytes.
const SMALL_FILE_BYTES: (u64, u64) = (1024, 4096);

/// Files and bytes below a path, and a digest over their names and contents.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Contents {
    /// Regular files.
    pub files: u64,
    /// Their bytes.
    pub bytes: u64,
    /// BLAKE3 over names below the path, lengths and contents, in the order of the names.
    pub digest: blake3::Hash,
}

/// An endless stream of incompressible bytes, the same for the same seed.
fn random_stream(seed: &str) -> blake3::OutputReader {
    let mut hasher = blake3::Hasher::new_derive_key("wirehaul benches: data that every run can make again");
    hasher.update(seed.as_bytes());
    hasher.finalize_xof()
}

/// Writes a file of incompressible bytes, and has the page cache forget it: what is read later is cached as a file that
/// was on the disk is, in large pages, not in the small ones that a writer leaves behind.
///
/// # Errors
/// What the operating system says.
pub fn write_random_file(path: &Path, bytes: u64, seed: &str) -> io::Result<()> {
    let mut stream = random_stream(seed);
    let mut file = File::create(path)?;
    let mut block = vec![0; BLOCK_BYTES];
    let mut left = bytes;
    while left > 0 {
        let length = left.min(BLOCK_BYTES as u64) as usize;
        let part = block.get_mut(..length).unwrap_or_default();
        stream.fill(part);
        file.write_all(part)?;
        left -= length as u64;
    }
    file.sync_all()?;
    Ok(posix_fadvise(&file, 0, 0, PosixFadviseAdvice::POSIX_FADV_DONTNEED)?)
}

/// Writes a tree of small files (1 to 4 KiB, 1000 per directory) below `root`, which must not exist.
///
/// # Errors
/// What the operating system says.
pub fn write_small_files(root: &Path, files: u32, seed: &str) -> io::Result<()> {
    let mut stream = random_stream(seed);
    let mut block = vec![0; SMALL_FILE_BYTES.1 as usize];
    for index in 0..files {
        let directory = root.join(format!("d{:03}", index / FILES_PER_DIRECTORY));
        if index % FILES_PER_DIRECTORY == 0 {
            fs::create_dir_all(&directory)?;
        }
        let mut draw = [0; 8];
        stream.fill(&mut draw);
        let (smallest, largest) = SMALL_FILE_BYTES;
        let length = smallest + u64::from_le_bytes(draw) % (largest - smallest + 1);
        let part = block.get_mut(..length as usize).unwrap_or_default();
        stream.fill(part);
        fs::write(directory.join(format!("f{index:06}")), part)?;
    }
    Ok(())
}

/// Reads a file or a tree and says what is in it. Symbolic links are not followed and not counted.
///
/// # Errors
/// What the operating system says; that nothing is at the path is one of it.
pub fn contents(path: &Path) -> io::Result<Contents> {
    let mut hasher = blake3::Hasher::new();
    let (mut files, mut bytes) = (0, 0);
    for file in regular_files(path)? {
        let length = file.metadata()?.len();
        let name = file.strip_prefix(path).unwrap_or(&file);
        hasher.update(name.as_os_str().as_encoded_bytes()).update(&[0]).update(&length.to_le_bytes());
        hash_file(&file, &mut hasher)?;
        files += 1;
        bytes += length;
    }
    Ok(Contents { files, bytes, digest: hasher.finalize() })
}

fn hash_file(path: &Path, hasher: &mut blake3::Hasher) -> io::Result<()> {
    let mut file = File::open(path)?;
    let mut block = vec![0; BLOCK_BYTES];
    loop {
        let length = file.read(&mut block)?;
        if length == 0 {
            return Ok(());
        }
        hasher.update(block.get(..length).unwrap_or_default());
    }
}

/// The regular files at or below a path, sorted.
///
/// # Errors
/// What the operating system says.
pub fn regular_files(path: &Path) -> io::Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    let mut to_visit = vec![path.to_owned()];
    while let Some(path) = to_visit.pop() {
        let kind = fs::symlink_metadata(&path)?.file_type();
        if kind.is_dir() {
            for entry in fs::read_dir(&path)? {
                to_visit.push(entry?.path());
            }
        } else if kind.is_file() {
            found.push(path);
        }
    }
    found.sort();
    Ok(found)
}

/// Bytes of disk that everything at or below a path occupies; what vanishes while it is being counted counts nothing.
pub fn allocated_bytes(path: &Path) -> u64 {
    /// The unit of `st_blocks`, whatever the file system's own block size.
    const STAT_BLOCK_BYTES: u64 = 512;
    let mut total = 0;
    let mut to_visit = vec![path.to_owned()];
    while let Some(path) = to_visit.pop() {
        let Ok(metadata) = fs::symlink_metadata(&path) else { continue };
        if metadata.is_file() {
            total += metadata.blocks() * STAT_BLOCK_BYTES;
        }
        if let Ok(entries) = fs::read_dir(&path) {
            to_visit.extend(entries.filter_map(Result::ok).map(|entry| entry.path()));
        }
    }
    total
}

/// Reads everything once, so that every contestant finds its source in the page cache.
///
/// # Errors
/// What the operating system says.
pub fn warm(path: &Path) -> io::Result<()> {
    for file in regular_files(path)? {
        io::copy(&mut File::open(file)?, &mut BufWriter::with_capacity(BLOCK_BYTES, io::sink()))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::{contents, write_random_file, write_small_files};
    use crate::scratch::Scratch;
    use std::fs;

    #[test]
    fn the_same_seed_gives_the_same_tree_and_a_change_is_seen() {
        let scratch = Scratch::create(&std::env::temp_dir(), "data-test").expect("a directory");
        let (one, two) = (scratch.path().join("one"), scratch.path().join("two"));
        write_small_files(&one, 1500, "seed").expect("written");
        write_small_files(&two, 1500, "seed").expect("written");
        let expected = contents(&one).expect("read");
        assert_eq!(expected.files, 1500);
        assert!((1500 * 1024..=1500 * 4096).contains(&expected.bytes));
        assert_eq!(contents(&two).expect("read"), expected);
        fs::rename(two.join("d001/f001200"), two.join("d001/g001200")).expect("renamed");
        assert_ne!(contents(&two).expect("read").digest, expected.digest);
    }

    #[test]
    fn a_random_file_has_its_length() {
        let scratch = Scratch::create(&std::env::temp_dir(), "random-test").expect("a directory");
        let path = scratch.path().join("file");
        write_random_file(&path, (1 << 20) + 17, "seed").expect("written");
        assert_eq!(contents(&path).expect("read").bytes, (1 << 20) + 17);
    }
}
