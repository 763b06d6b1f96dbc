//! The file that all contestants work on.

use std::fs::{File, OpenOptions};
use std::io::Write as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use nix::fcntl::OFlag;

use super::IoError;

/// A file that is written whole before anything is measured, and removed afterwards.
#[derive(Debug)]
pub struct Subject {
    path: PathBuf,
    size: u64,
}

impl Subject {
    /// Writes a file of `size` bytes in `dir`, all of it on the device.
    ///
    /// # Errors
    /// What the system says.
    pub fn create(dir: &Path, size: u64) -> Result<Self, IoError> {
        let path = dir.join(format!("wirehaul-io-{}", std::process::id()));
        let failed = || IoError::file("cannot write the file that is measured");
        let mut file = File::create(&path).map_err(failed())?;
        // From here on it is removed, whatever happens.
        let subject = Self { path, size };
        // No two blocks are alike, should a device look for that.
        let mut hash = blake3::Hasher::new().finalize_xof();
        let mut block = vec![0; 1 << 20];
        for _ in 0..size.div_ceil(1 << 20) {
            hash.fill(&mut block);
            file.write_all(&block).map_err(failed())?;
        }
        file.sync_all().map_err(failed())?;
        Ok(subject)
    }

    /// Where it is.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Its bytes.
    #[must_use]
    pub const fn size(&self) -> u64 {
        self.size
    }

    /// Opens it for direct transfers.
    ///
    /// # Errors
    /// The file system has none.
    pub fn open(&self) -> Result<File, IoError> {
        let mut options = OpenOptions::new();
        options.read(true).write(true).custom_flags(OFlag::O_DIRECT.bits());
        options.open(&self.path).map_err(IoError::file("cannot open it for direct transfers"))
    }
}

impl Drop for Subject {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.path);
    }
}
