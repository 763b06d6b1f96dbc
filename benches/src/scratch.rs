//! A directory for the files of one run, removed with everything in it when the run ends, however it ends.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

/// A directory that is removed when this value is dropped.
#[derive(Debug)]
pub struct Scratch {
    path: PathBuf,
}

impl Scratch {
    /// Makes `parent/wirehaul-NAME-PID`, and `parent` where it is missing. The path is absolute.
    ///
    /// # Errors
    /// What the operating system says, with the path in the message.
    pub fn create(parent: &Path, name: &str) -> io::Result<Self> {
        let explain = |path: &Path, error: io::Error| {
            io::Error::new(error.kind(), format!("cannot make the directory {}: {error}", path.display()))
        };
        fs::create_dir_all(parent).map_err(|error| explain(parent, error))?;
        let parent = parent.canonicalize()?;
        let path = parent.join(format!("wirehaul-{name}-{}", std::process::id()));
        fs::create_dir(&path).map_err(|error| explain(&path, error))?;
        Ok(Self { path })
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Makes an empty directory below it, after removing what an earlier step left under that name.
    ///
    /// # Errors
    /// What the operating system says.
    pub fn fresh_dir(&self, name: &str) -> io::Result<PathBuf> {
        let path = self.path.join(name);
        match fs::remove_dir_all(&path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        fs::create_dir_all(&path)?;
        Ok(path)
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        if let Err(error) = fs::remove_dir_all(&self.path) {
            eprintln!("could not remove {}: {error}; it can be deleted by hand", self.path.display());
        }
    }
}
