//! The look at the target directory before anything is written to it (XFER-3, XFER-5).

use std::collections::HashSet;
use std::sync::Arc;

use rustix::fs::{FileType, Mode, mkdirat, readlinkat};
use rustix::io::Errno;

use super::commit::{CommitItem, kind_at};
use super::error::{Conflict, EntryError, StoreError};
use super::files::{Place, StoreFiles};
use super::staging::{Key, Target, key_of};
use super::{Group, State, Store, StoreOptions, StoreOutcome};
use crate::transfer::manifest::{Kind, Manifest};
use crate::transfer::want::Want;

/// What is known of a directory of the manifest.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum DirState {
    /// Not there yet: nothing is below it, so nothing below it is looked for.
    Missing,
    Exists,
    /// In conflict or not usable, and so is all below it.
    Blocked,
}

impl Store {
    /// Compares the manifest with what is in the target directory, finds every conflict that can be found without the
    /// data, then makes the directories, and says what is wanted in the first round.
    ///
    /// # Errors
    /// A failure that ends the transfer. Conflicts and failures of single entries are in [`Store::outcome`].
    pub fn examine(target: Target, manifest: Arc<Manifest>, options: StoreOptions) -> Result<(Self, Want), StoreError> {
        let keys = target.keys().map_err(StoreError::staging("list the partial files"))?;
        let files = StoreFiles::new(target, manifest.clone()).map_err(StoreError::staging("open a directory"))?;
        if !keys.is_empty() {
            // What is compared is to come from the disk. After a write that failed the page cache has what the disk has not, and
            // takes it for written: a sync would say nothing of it any more. So that it can be forgotten, no page may wait to be
            // written. Where that fails now, what is missing is found when it is compared.
            let _ = files.sync_all();
        }
        let mut store = Self {
            files: Arc::new(files),
            states: vec![State::Settled; manifest.len() as usize],
            manifest,
            options,
            partials: Default::default(),
            group: Group::default(),
            commit_under_way: false,
            blocks_under_way: 0,
            rounds: 0,
            data_complete: false,
            finished: false,
            fatal: None,
            outcome: StoreOutcome::default(),
        };
        let mut dirs = store.look(&keys);
        if let Some(fatal) = store.fatal.take() {
            return Err(fatal);
        }
        let is_wanted = |index: u32| store.states[index as usize] == State::Deferred;
        store.files.take_room(options.overwrite, options.quota, is_wanted)?;
        store.make_dirs(&mut dirs);
        if let Some(fatal) = store.fatal.take() {
            return Err(fatal);
        }
        store.commit_empty_files();
        let want = store.build_want();
        match store.fatal.take() {
            Some(fatal) => Err(fatal),
            None => Ok((store, want)),
        }
    }

    fn look(&mut self, keys: &HashSet<Key>) -> Vec<DirState> {
        let manifest = self.manifest.clone();
        let mut dirs = vec![DirState::Missing; manifest.len() as usize];
        let mut path = Vec::new();
        for index in 0..manifest.len() {
            let entry = manifest.entry(index);
            let above = entry.parent.map_or(DirState::Exists, |parent| dirs[parent as usize]);
            let found = match above {
                DirState::Exists => self.files.parent_dir(index).and_then(|dir| kind_at(dir, entry.name)),
                DirState::Missing => Ok(None),
                DirState::Blocked => {
                    dirs[index as usize] = DirState::Blocked;
                    self.conflict(index, Conflict::Blocked);
                    continue;
                }
            };
            let verdict = match (found, entry.kind) {
                (Err(errno), _) => {
                    dirs[index as usize] = DirState::Blocked;
                    self.fail_with(index, "look at", errno);
                    continue;
                }
                (Ok(found), Kind::Dir) => {
                    let (state, verdict) = look_at_dir(found);
                    dirs[index as usize] = state;
                    verdict
                }
                (Ok(found), Kind::Symlink { target }) => self.look_at_link(index, found, target),
                (Ok(found), Kind::File { size_bytes }) => self.look_at_file(index, found, size_bytes),
            };
            match verdict {
                Ok(state) => self.states[index as usize] = state,
                Err(conflict) => self.conflict(index, conflict),
            }
            let is_wanted = self.states[index as usize] == State::Deferred;
            if is_wanted && !keys.is_empty() && keys.contains(&key_of(&manifest, index, &mut path)) {
                match self.files.place(index) {
                    Place::Final => self.files.remove_second_name(index),
                    Place::Fresh | Place::Staged => self.files.set_place(index, Place::Staged),
                }
            }
        }
        dirs
    }

    fn look_at_file(&mut self, index: u32, found: Option<(FileType, u64)>, size_bytes: u64) -> Result<State, Conflict> {
        match found {
            None => Ok(State::Deferred),
            Some((FileType::RegularFile, existing)) if existing == size_bytes && size_bytes == 0 => {
                self.outcome.files_done += 1;
                Ok(State::Settled)
            }
            Some((FileType::RegularFile, existing)) if existing == size_bytes => {
                self.files.set_place(index, Place::Final);
                Ok(State::Deferred)
            }
            Some((FileType::Directory, _)) => Err(Conflict::IsDirectory),
            Some(_) if self.options.overwrite => Ok(State::Deferred),
            Some((FileType::RegularFile, _)) => Err(Conflict::DifferentFile),
            Some(_) => Err(Conflict::NotAFile),
        }
    }

    fn look_at_link(&mut self, index: u32, found: Option<(FileType, u64)>, target: &[u8]) -> Result<State, Conflict> {
        match found {
            None => Ok(State::AtEnd),
            Some((FileType::Symlink, _)) if self.link_says(index, target) => {
                self.outcome.others_done += 1;
                Ok(State::Settled)
            }
            Some((FileType::Directory, _)) => Err(Conflict::IsDirectory),
            Some(_) if self.options.overwrite => Ok(State::AtEnd),
            Some((FileType::Symlink, _)) => Err(Conflict::DifferentLink),
            Some(_) => Err(Conflict::DifferentFile),
        }
    }

    fn link_says(&self, index: u32, target: &[u8]) -> bool {
        let read = || readlinkat(self.files.parent_dir(index)?, self.manifest.entry(index).name, Vec::new());
        read().is_ok_and(|found| found.as_bytes() == target)
    }

    /// Makes the missing directories, open to this user alone until the end.
    fn make_dirs(&mut self, dirs: &mut [DirState]) {
        let manifest = self.manifest.clone();
        for index in 0..manifest.len() {
            let entry = manifest.entry(index);
            let is_blocked = entry.parent.is_some_and(|parent| dirs[parent as usize] == DirState::Blocked);
            if is_blocked && self.states[index as usize] != State::Settled {
                dirs[index as usize] = DirState::Blocked;
                self.conflict(index, Conflict::Blocked);
            } else if entry.kind == Kind::Dir && dirs[index as usize] == DirState::Missing {
                let made = self.files.parent_dir(index).and_then(|dir| mkdirat(dir, entry.name, Mode::from(0o700)));
                match made {
                    Ok(()) => dirs[index as usize] = DirState::Exists,
                    Err(errno) => {
                        dirs[index as usize] = DirState::Blocked;
                        self.fail_dir(index, errno);
                    }
                }
            }
        }
    }

    fn fail_dir(&mut self, index: u32, errno: Errno) {
        match errno {
            Errno::EXIST => self.conflict(index, Conflict::Appeared),
            Errno::MLINK => self.fail(index, EntryError::Io { operation: "create", errno }),
            errno => self.fail_with(index, "create", errno),
        }
    }

    fn commit_empty_files(&mut self) {
        for file in 0..self.manifest.len() {
            if self.states[file as usize] == State::Deferred && self.manifest.file_size(file) == Some(0) {
                self.commit(CommitItem { file, root: None });
            }
        }
    }
}

fn look_at_dir(found: Option<(FileType, u64)>) -> (DirState, Result<State, Conflict>) {
    match found {
        None => (DirState::Missing, Ok(State::AtEnd)),
        Some((FileType::Directory, _)) => (DirState::Exists, Ok(State::AtEnd)),
        Some(_) => (DirState::Blocked, Err(Conflict::NotADirectory)),
    }
}
