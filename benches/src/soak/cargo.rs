//! What is sent: trees of files of all sizes, and the look at what became of them.

use std::fs;
use std::path::{Path, PathBuf};

use super::SoakError;
use super::draw::Draw;
use crate::contestants::ContestantError;
use crate::data::{self, Contents};

/// Bytes of the tree for each small file in it.
const BYTES_PER_SMALL_FILE: u64 = 100_000;
/// Small files at most.
const MOST_SMALL_FILES: u64 = 400;
/// Files of a size in between: from smallest to largest.
const MIDDLING_BYTES: (u64, u64) = (10_000, 1_500_000);

/// Directories of the tree that has many.
const DIRECTORIES: u32 = 1000;

/// A tree that is to be sent, removed when dropped, here and where it arrived.
#[derive(Debug)]
pub struct Cargo {
    path: PathBuf,
    arrived: PathBuf,
    contents: Contents,
}

impl Cargo {
    /// Writes a tree of about so many bytes: some small files, some larger ones, and one that is half of it.
    ///
    /// # Errors
    /// What the operating system says.
    pub fn load(outbox: &Path, inbox: &Path, name: &str, bytes: u64, draw: &mut Draw) -> Result<Self, SoakError> {
        let path = outbox.join(name);
        let failed = |error| ContestantError::files("write", &path)(error);
        let seed = format!("{name} {}", draw.number());
        fs::create_dir_all(&path).map_err(failed)?;
        let small = (bytes / BYTES_PER_SMALL_FILE).clamp(3, MOST_SMALL_FILES) as u32;
        data::write_small_files(&path.join("small"), small, &seed).map_err(failed)?;
        fs::write(path.join("empty"), "").map_err(failed)?;
        data::write_random_file(&path.join("large"), bytes / 2, &seed).map_err(failed)?;
        let mut left = bytes / 2;
        for number in 0.. {
            let (least, most) = MIDDLING_BYTES;
            let length = draw.between(least, most).min(left);
            if length == 0 {
                break;
            }
            data::write_random_file(&path.join(format!("m{number:03}")), length, &format!("{seed} {number}"))
                .map_err(failed)?;
            left -= length;
        }
        let contents = data::contents(&path).map_err(failed)?;
        Ok(Self { path, arrived: inbox.join(name), contents })
    }

    /// Writes a tree of many directories with a small file each: it takes everything that a receiver keeps for directories into use.
    ///
    /// # Errors
    /// What the operating system says.
    pub fn of_directories(outbox: &Path, inbox: &Path, name: &str) -> Result<Self, SoakError> {
        let path = outbox.join(name);
        let failed = |error| ContestantError::files("write", &path)(error);
        for number in 0..DIRECTORIES {
            let below = path.join(format!("{number:04}"));
            fs::create_dir_all(&below).map_err(failed)?;
            fs::write(below.join("file"), number.to_string()).map_err(failed)?;
        }
        let contents = data::contents(&path).map_err(failed)?;
        Ok(Self { path, arrived: inbox.join(name), contents })
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Its bytes.
    pub fn bytes(&self) -> u64 {
        self.contents.bytes
    }

    /// Looks whether it has arrived as it was sent, by names, lengths and hashes of both sides.
    ///
    /// # Errors
    /// That it has not.
    pub fn verify(&self) -> Result<(), SoakError> {
        let found =
            data::contents(&self.arrived).map_err(ContestantError::files("read what arrived at", &self.arrived))?;
        if found == self.contents {
            return Ok(());
        }
        let words = format!(
            "{}: {} files and {} bytes were sent, {} and {} arrived{}",
            self.arrived.display(),
            self.contents.files,
            self.contents.bytes,
            found.files,
            found.bytes,
            if found.digest == self.contents.digest { "" } else { ", and the hashes differ" }
        );
        Err(ContestantError::Corrupted(words).into())
    }
}

impl Drop for Cargo {
    fn drop(&mut self) {
        // What cannot be removed goes with the folder of the whole soak.
        let _ = fs::remove_dir_all(&self.path);
        let _ = fs::remove_dir_all(&self.arrived);
    }
}
