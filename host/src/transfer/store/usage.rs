//! What a target directory holds, what a transfer has still to bring to it, and the promise of room for that.

use std::collections::HashSet;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError, Weak};

use rustix::fd::OwnedFd;
use rustix::fs::{AtFlags, FileType, Stat, statat};
use rustix::io::Errno;

use super::error::StoreError;
use super::files::StoreFiles;
use super::staging::Target;
use crate::io::os;
use crate::transfer::dirs::open_dir;
use crate::transfer::manifest::Kind;
use crate::transfer::path::RESERVED_NAME;
use crate::transfer::quota::{HolderId, Ledger, Quota};

/// The books of a target directory.
#[derive(Debug, Default)]
pub(super) struct Usage {
    /// Held while somebody looks, on a file thread: others who would look, too, wait for what it finds.
    look: Mutex<()>,
    /// Held for a moment, also by workers.
    ledger: Mutex<Ledger<Transfer>>,
}

#[derive(Clone, Debug)]
struct Transfer {
    files: Weak<StoreFiles>,
    overwrite: bool,
}

/// A transfer's place in the books, until its last job is done.
#[derive(Debug, Default)]
pub(super) struct Room {
    holder: OnceLock<HolderId>,
    /// All that was to come is there.
    is_complete: AtomicBool,
}

impl Usage {
    fn ledger(&self) -> MutexGuard<'_, Ledger<Transfer>> {
        self.ledger.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Room {
    pub(super) fn complete(&self) {
        self.is_complete.store(true, Ordering::Relaxed);
    }

    /// To be called when nothing is written any more.
    pub(super) fn leave(&self, target: &Target) {
        if let Some(holder) = self.holder.get() {
            target.0.usage.ledger().release(*holder, self.is_complete.load(Ordering::Relaxed));
        }
    }
}

impl StoreFiles {
    /// Has room promised for the files that `is_wanted` picks, which is all that will be written. Looks at the directory where
    /// what is known of it is too old, or says that there is no room.
    pub(super) fn take_room(
        self: &Arc<Self>,
        overwrite: bool,
        quota: Option<Quota>,
        is_wanted: impl Fn(u32) -> bool,
    ) -> Result<(), StoreError> {
        let usage = &self.target.0.usage;
        let transfer = Transfer { files: Arc::downgrade(self), overwrite };
        let Some(quota) = quota else {
            let _ = self.room.holder.set(usage.ledger().let_in(transfer));
            return Ok(());
        };
        let _look = usage.look.lock().unwrap_or_else(PoisonError::into_inner);
        let to_come = self.to_come(overwrite, is_wanted);
        let promised = usage.ledger().promise(transfer.clone(), quota, to_come);
        let holder = match promised {
            Ok(holder) => holder,
            Err(_) => {
                // What they have still to bring is asked first: what comes in between is counted twice then, and not never.
                let holders = usage.ledger().holders();
                let still = |transfer: Transfer| {
                    transfer.files.upgrade().map(|files| files.to_come(transfer.overwrite, |_| true))
                };
                let coming: Vec<_> =
                    holders.into_iter().map(|(id, transfer)| (id, still(transfer).unwrap_or(0))).collect();
                let held = held_bytes(&self.target).map_err(|errno| StoreError::looking(self.target.path(), errno))?;
                let mut ledger = usage.ledger();
                ledger.measure(quota.asked_at, held, &coming);
                match ledger.promise(transfer, quota, to_come) {
                    Ok(holder) => holder,
                    Err(shortage) => return Err(shortage.map_or(StoreError::Quota, StoreError::Allotment)),
                }
            }
        };
        let _ = self.room.holder.set(holder);
        Ok(())
    }

    /// By how many bytes the directory can still grow by these files: what lies there of each of them, under its name or on the
    /// way to it, is counted off. What cannot be looked at is taken for not there.
    fn to_come(&self, overwrite: bool, is_wanted: impl Fn(u32) -> bool) -> u64 {
        let mut sum = 0_u64;
        for index in (0..self.manifest.len()).filter(|index| is_wanted(*index)) {
            let entry = self.manifest.entry(index);
            let Kind::File { size_bytes } = entry.kind else { continue };
            let named = self.parent_dir(index).and_then(|dir| stat_at(dir, entry.name)).ok();
            let there = match named.map(|stat| (FileType::from_raw_mode(stat.st_mode), stat.st_size as u64)) {
                Some((FileType::RegularFile, size)) if size == size_bytes || overwrite => size,
                // It stays, and so nothing comes.
                Some(_) if !overwrite => continue,
                _ => 0,
            };
            let missing = size_bytes.saturating_sub(there);
            if missing > 0 {
                let staged = self.staged(index).and_then(|staged| stat_at(staged.dir, staged.part().as_bytes()));
                sum = sum.saturating_add(missing.saturating_sub(staged.map_or(0, |stat| stat.st_size as u64)));
            }
        }
        sum
    }
}

/// The bytes of all files below the target directory, and of those on their way: by what they say that they are long.
fn held_bytes(target: &Target) -> Result<u64, Errno> {
    let mut sum = 0_u64;
    // A file with several names is one. Those on their way are first: who gets its name meanwhile is known then.
    let mut seen = HashSet::new();
    target.for_each_part(|stat| {
        if seen.insert(place_of(stat)) {
            sum = sum.saturating_add(stat.st_size as u64);
        }
    })?;
    let mut below = vec![Vec::new()];
    while let Some(path) = below.pop() {
        let Some(dir) = open_below(target, &path)? else { continue };
        let mut names = Vec::new();
        os::for_each_name(&dir, |name| names.push(name.to_vec()))?;
        for name in names {
            let Ok(stat) = stat_at(&dir, &name) else { continue };
            match FileType::from_raw_mode(stat.st_mode) {
                FileType::RegularFile => {
                    let place = place_of(&stat);
                    let is_new = if stat.st_nlink > 1 { seen.insert(place) } else { !seen.contains(&place) };
                    sum = sum.saturating_add(if is_new { stat.st_size as u64 } else { 0 });
                }
                FileType::Directory if !(path.is_empty() && name == RESERVED_NAME) => {
                    below.push([&path[..], &[name]].concat());
                }
                _ => {}
            }
        }
    }
    Ok(sum)
}

/// The directory at this path; `None` where it is gone, or closed to this user.
fn open_below(target: &Target, path: &[Vec<u8>]) -> Result<Option<OwnedFd>, Errno> {
    let mut dir = open_dir(target.root(), c".");
    for name in path {
        dir = dir.and_then(|dir| open_dir(dir, &name[..]));
    }
    match dir {
        Ok(dir) => Ok(Some(dir)),
        Err(Errno::NOENT | Errno::NOTDIR | Errno::LOOP | Errno::ACCESS | Errno::PERM) => Ok(None),
        Err(errno) => Err(errno),
    }
}

fn place_of(stat: &Stat) -> (u64, u64) {
    // Their types differ from system to system.
    #[allow(clippy::unnecessary_cast, reason = "they are narrower elsewhere")]
    (stat.st_dev as u64, stat.st_ino as u64)
}

fn stat_at(dir: impl rustix::fd::AsFd, name: &[u8]) -> Result<Stat, Errno> {
    statat(dir, name, AtFlags::SYMLINK_NOFOLLOW)
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::path::Path;

    use wirehaul_core::time::{Duration, Instant};

    use super::super::{Store, StoreOptions};
    use super::*;
    use crate::transfer::manifest::{ManifestBuilder, Meta};
    use crate::transfer::quota::Shortage;

    fn ask(target: &Target, files: &[(&str, u64)], quota_bytes: u64, overwrite: bool) -> Result<Store, StoreError> {
        let mut builder = ManifestBuilder::new();
        builder.push(b"d", Kind::Dir, Meta::default()).unwrap();
        for (name, size_bytes) in files {
            builder.push(name.as_bytes(), Kind::File { size_bytes: *size_bytes }, Meta::default()).unwrap();
        }
        let quota = Some(Quota { bytes: quota_bytes, asked_at: Instant::ZERO + Duration::from_secs(1) });
        Store::examine(target.clone(), Arc::new(builder.finish()), StoreOptions { overwrite, quota })
            .map(|(store, _)| store)
    }

    fn shortage(answer: Result<Store, StoreError>) -> (u64, u64) {
        match answer.map(|_| ()).unwrap_err() {
            StoreError::Allotment(Shortage { used_bytes, to_come_bytes, .. }) => (used_bytes, to_come_bytes),
            other => panic!("{other}"),
        }
    }

    fn fill(dir: &Path, name: &str, bytes: usize) {
        fs::write(dir.join(name), vec![1; bytes]).unwrap();
    }

    #[test]
    fn what_lies_there_and_what_was_promised_counts_until_it_is_gone() {
        let temp = tempfile::tempdir().unwrap();
        let target = Target::open(temp.path()).unwrap();
        fs::create_dir_all(temp.path().join("a/b")).unwrap();
        fill(temp.path(), "a/b/one", 600);
        fs::hard_link(temp.path().join("a/b/one"), temp.path().join("a/again")).unwrap();
        assert_eq!(shortage(ask(&target, &[("f", 401)], 1000, false)), (600, 401));
        assert!(!temp.path().join("d").exists(), "refused, and yet something was made");
        let first = ask(&target, &[("f", 300)], 1000, false).unwrap();
        assert_eq!(shortage(ask(&target, &[("g", 200)], 1000, false)), (900, 200));
        drop(first);
        let second = ask(&target, &[("g", 400)], 1000, false).unwrap();
        fs::remove_dir_all(temp.path().join("a")).unwrap();
        let third = ask(&target, &[("h", 600)], 1000, false).unwrap();
        assert_eq!(shortage(ask(&target, &[("i", 1)], 1000, false)), (1000, 1));
        drop((second, third));
    }

    #[test]
    fn what_is_replaced_counts_with_the_difference_and_what_stays_not_at_all() {
        let temp = tempfile::tempdir().unwrap();
        let target = Target::open(temp.path()).unwrap();
        fill(temp.path(), "f", 900);
        fill(temp.path(), "g", 100);
        assert_eq!(shortage(ask(&target, &[("f", 901), ("g", 50)], 1000, true)), (1000, 1));
        ask(&target, &[("f", 901), ("g", 50)], 1001, true).unwrap();
        // What is there, and what may not be replaced.
        ask(&target, &[("f", 900), ("g", 5000)], 10, false).unwrap();
    }

    #[test]
    fn a_shortage_is_told_in_words() {
        let shortage = Shortage { quota_bytes: 100 << 30, used_bytes: (98 << 30) + (1 << 28), to_come_bytes: 4 << 30 };
        let words = StoreError::Allotment(shortage).to_string();
        assert_eq!(words, "quota of 100 GiB: 98.2 GiB are used and 4.00 GiB are to come");
    }
}
