//! A folder takes the place of another at once: whoever dies in between leaves either the old one or the new one.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use crate::cdn::folder::{FACT_FILES, LIST_FOLDERS};

/// Why a folder was not written.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// What is there is no folder of facts, and must not be replaced.
    #[error("{} has files and is no folder of facts (it has no ranges/); nothing was written: name another one", path.display())]
    NotOurs {
        /// Which.
        path: PathBuf,
    },
    /// It cannot be written.
    #[error("cannot write {}: {source}; the old facts are as they were", path.display())]
    Write {
        /// What.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// It is in place, and what else was in the old one is not.
    #[error("the new facts are in place, but files that were beside the old ones are still in {}: {source}", path.display())]
    LeftBehind {
        /// Where the old one is now.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
}

/// Writes the files as a folder in the place of the one that is there, if one is. What else is in there goes along.
///
/// # Errors
/// The system does not let it, or there is a folder of something else.
pub fn store(folder: &Path, files: &BTreeMap<String, String>) -> Result<(), StoreError> {
    // A link stays one.
    let folder = &fs::canonicalize(folder).unwrap_or_else(|_| folder.to_owned());
    let is_there = check_is_ours(folder)?;
    let failed = |path: &Path| {
        let path = path.to_owned();
        move |source| StoreError::Write { path, source }
    };
    let parent = folder.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let name = folder.file_name().unwrap_or_default().to_string_lossy();
    fs::create_dir_all(parent).map_err(failed(parent))?;
    let beside = parent.join(format!(".{name}.new-{}", std::process::id()));
    let written = write(&beside, files).map_err(failed(&beside)).and_then(|()| {
        if is_there { exchange(&beside, folder) } else { fs::rename(&beside, folder) }.map_err(failed(folder))
    });
    if let Err(error) = written {
        // It is not in use; if it stays, it is in nobody's way.
        let _ = fs::remove_dir_all(&beside);
        return Err(error);
    }
    sync(parent).map_err(failed(parent))?;
    if is_there {
        take_along(&beside, folder).map_err(|source| StoreError::LeftBehind { path: beside, source })?;
    }
    Ok(())
}

/// Whether there is a folder of facts or an empty one.
fn check_is_ours(folder: &Path) -> Result<bool, StoreError> {
    let failed = |source| StoreError::Write { path: folder.to_owned(), source };
    match fs::read_dir(folder) {
        Ok(mut entries) => {
            let is_ours = folder.join(LIST_FOLDERS[0]).is_dir() || entries.next().is_none();
            if is_ours { Ok(true) } else { Err(StoreError::NotOurs { path: folder.to_owned() }) }
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(error) => Err(failed(error)),
    }
}

fn write(folder: &Path, files: &BTreeMap<String, String>) -> io::Result<()> {
    fs::create_dir(folder)?;
    for (name, text) in files {
        let path = folder.join(name);
        if let Some(parent) = path.parent() {
            fs::create_dir_all(parent)?;
        }
        let mut file = File::create_new(path)?;
        file.write_all(text.as_bytes())?;
        file.sync_all()?;
    }
    for name in LIST_FOLDERS.into_iter().chain(["facts"]).map(|name| folder.join(name)).filter(|path| path.exists()) {
        sync(&name)?;
    }
    sync(folder)
}

/// Names in a folder are on the disk.
#[cfg(unix)]
fn sync(folder: &Path) -> io::Result<()> {
    File::open(folder)?.sync_all()
}

/// Elsewhere folders are not synced.
#[cfg(not(unix))]
fn sync(_: &Path) -> io::Result<()> {
    Ok(())
}

/// Both change places in one step, where the system can do that.
fn exchange(new: &Path, old: &Path) -> io::Result<()> {
    #[cfg(target_os = "linux")]
    {
        use rustix::fs::{CWD, RenameFlags, renameat_with};
        match renameat_with(CWD, new, CWD, old, RenameFlags::EXCHANGE) {
            // Not every file system can.
            Err(rustix::io::Errno::INVAL | rustix::io::Errno::NOSYS) => {}
            done => return Ok(done?),
        }
    }
    let aside = new.with_extension("old");
    fs::rename(old, &aside)?;
    if let Err(error) = fs::rename(new, old) {
        fs::rename(&aside, old)?;
        return Err(error);
    }
    fs::rename(&aside, new)
}

/// Removes the files of the old facts, and moves what else is beside them to the same place in the new folder.
fn take_along(old: &Path, new: &Path) -> io::Result<()> {
    for name in FACT_FILES {
        remove(&old.join(name))?;
    }
    for name in LIST_FOLDERS.into_iter().chain(["facts"]) {
        let folder = old.join(name);
        if !folder.is_dir() {
            continue;
        }
        for entry in fs::read_dir(&folder)? {
            let path = entry?.path();
            if name != "facts" && path.extension().is_some_and(|ending| ending == "txt") {
                remove(&path)?;
            } else {
                fs::create_dir_all(new.join(name))?;
                move_into(&path, &new.join(name))?;
            }
        }
        fs::remove_dir(&folder)?;
    }
    for entry in fs::read_dir(old)? {
        move_into(&entry?.path(), new)?;
    }
    fs::remove_dir(old)
}

fn remove(path: &Path) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

fn move_into(path: &Path, folder: &Path) -> io::Result<()> {
    let target = folder.join(path.file_name().unwrap_or_default());
    if target.exists() {
        return Err(io::Error::new(io::ErrorKind::AlreadyExists, format!("{} is there already", target.display())));
    }
    fs::rename(path, target)
}
