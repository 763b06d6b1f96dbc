//! Which chunks of a partial file are on disk (XFER-5): a hash per chunk, zero where there is none.
//!
//! ```text
//! 0   magic "WHJRNL1\n"     8   length of the file, u64 BE     16   bytes of a chunk, u32 BE     20   zero, 12 bytes
//! 32  one slot of 32 bytes per chunk: the chunk's hash, or zeros
//! ```
//! A slot is written after its chunk and neither is synced, so after a power loss a slot may stand for a chunk that is
//! not there. Therefore a slot only says what to compare: a resumed chunk is read and hashed again before it counts.

use rustix::fd::{AsFd, OwnedFd};
use rustix::fs::{Mode, OFlags, openat};
use rustix::io::Errno;

use super::manifest::{CHUNK_BYTES, chunk_count};
use super::tree::{FAILED, HASH_BYTES, Hash, TreeHasher};
use crate::io::plain::{read_at, write_all_at};

const HEADER_BYTES: u64 = 32;
const MAGIC: &[u8; 8] = b"WHJRNL1\n";
/// Slots read at once.
const BATCH_SLOTS: usize = 2048;

/// The open journal of one partial file.
#[derive(Debug)]
pub(super) struct Journal {
    fd: OwnedFd,
    chunks: u64,
}

impl Journal {
    /// A new, empty journal `name` in `dir` for a file of `size_bytes`; there is none of that name.
    pub(super) fn create(dir: impl AsFd, name: &str, size_bytes: u64) -> Result<Self, Errno> {
        let flags = OFlags::RDWR | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let fd = openat(dir, name, flags, Mode::from(0o600))?;
        write_all_at(&fd, &header(size_bytes), 0)?;
        Ok(Self { fd, chunks: chunk_count(size_bytes) })
    }

    /// The journal `name` in `dir`; `None` if there is none, or none of this version for a file of `size_bytes`.
    pub(super) fn open(dir: impl AsFd, name: &str, size_bytes: u64) -> Result<Option<Self>, Errno> {
        let fd = match openat(dir, name, OFlags::RDWR | OFlags::NOFOLLOW | OFlags::CLOEXEC, Mode::empty()) {
            Ok(fd) => fd,
            Err(Errno::NOENT | Errno::LOOP) => return Ok(None),
            Err(errno) => return Err(errno),
        };
        let mut found = [0; HEADER_BYTES as usize];
        let is_ours = read_at(&fd, &mut found, 0)? == found.len() && found == header(size_bytes);
        Ok(is_ours.then(|| Self { fd, chunks: chunk_count(size_bytes) }))
    }

    /// Notes that `chunk` is on disk and has the hash `cv`.
    pub(super) fn put(&self, chunk: u64, cv: &Hash) -> Result<(), Errno> {
        write_all_at(&self.fd, cv, HEADER_BYTES + chunk * HASH_BYTES as u64)
    }

    /// Calls `each` with the hash of every chunk in order; [`FAILED`] where there is none.
    pub(super) fn for_each(&self, mut each: impl FnMut(&Hash)) -> Result<(), Errno> {
        let mut batch = vec![FAILED; BATCH_SLOTS];
        let mut chunk = 0;
        while chunk < self.chunks {
            let count = BATCH_SLOTS.min((self.chunks - chunk) as usize);
            let bytes = batch[..count].as_flattened_mut();
            let read = read_at(&self.fd, bytes, HEADER_BYTES + chunk * HASH_BYTES as u64)?;
            // Behind the end of the journal no chunk was written yet.
            bytes[read - read % HASH_BYTES..].fill(0);
            batch[..count].iter().for_each(&mut each);
            chunk += count as u64;
        }
        Ok(())
    }

    /// The hash of the file that the chunks make; `None` if a chunk is missing.
    pub(super) fn root(&self) -> Result<Option<Hash>, Errno> {
        let (mut tree, mut complete) = (TreeHasher::new(), true);
        self.for_each(|cv| {
            complete &= *cv != FAILED;
            tree.push(*cv);
        })?;
        Ok(complete.then(|| tree.finish()))
    }
}

fn header(size_bytes: u64) -> [u8; HEADER_BYTES as usize] {
    let mut header = [0; HEADER_BYTES as usize];
    header[..8].copy_from_slice(MAGIC);
    header[8..16].copy_from_slice(&size_bytes.to_be_bytes());
    header[16..20].copy_from_slice(&(CHUNK_BYTES as u32).to_be_bytes());
    header
}

#[cfg(test)]
mod tests {
    use rustix::fs::CWD;

    use super::*;
    use crate::transfer::tree::chunk_cv;

    #[test]
    fn what_was_put_is_found_again_and_the_rest_is_missing() {
        let temp = tempfile::tempdir().unwrap();
        let path = temp.path().join("j");
        let name = path.to_str().unwrap();
        let size_bytes = 3 * CHUNK_BYTES;
        let data = vec![7; size_bytes as usize];
        let cvs: Vec<_> = data.chunks(CHUNK_BYTES as usize).zip(0..).map(|(d, i)| chunk_cv(i, false, d)).collect();
        let journal = Journal::create(CWD, name, size_bytes).unwrap();
        journal.put(0, &cvs[0]).unwrap();
        journal.put(2, &cvs[2]).unwrap();
        drop(journal);
        let journal = Journal::open(CWD, name, size_bytes).unwrap().unwrap();
        let mut slots = Vec::new();
        journal.for_each(|cv| slots.push(*cv)).unwrap();
        assert_eq!(slots, [cvs[0], FAILED, cvs[2]]);
        assert_eq!(journal.root().unwrap(), None);
        journal.put(1, &cvs[1]).unwrap();
        assert_eq!(journal.root().unwrap(), Some(*blake3::hash(&data).as_bytes()));
    }

    #[test]
    fn a_journal_of_another_length_or_a_damaged_one_counts_as_none() {
        let temp = tempfile::tempdir().unwrap();
        let path = temp.path().join("j");
        let name = path.to_str().unwrap();
        Journal::create(CWD, name, 5 * CHUNK_BYTES).unwrap();
        assert!(Journal::open(CWD, name, 6 * CHUNK_BYTES).unwrap().is_none());
        std::fs::write(&path, b"WHJRNL").unwrap();
        assert!(Journal::open(CWD, name, 5 * CHUNK_BYTES).unwrap().is_none());
        assert!(Journal::open(CWD, "/nonexistent-journal", 1).unwrap().is_none());
    }
}
