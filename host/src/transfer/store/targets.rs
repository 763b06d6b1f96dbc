//! Target directories of several peers: each is opened once, by whatever names it goes.

use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError, Weak};

use rustix::fs::{Stat, fstat, stat};

use super::error::StoreError;
use super::staging::{Held, Target};

/// The target directories that are held.
#[derive(Debug, Default)]
pub struct Targets {
    held: Mutex<Vec<Weak<Held>>>,
}

impl Targets {
    /// The target at `dir`: the one that is held already, where it is the same directory, also under another name.
    ///
    /// # Errors
    /// As [`Target::open`].
    pub fn open(&self, dir: &Path) -> Result<Target, StoreError> {
        let mut held = self.held.lock().unwrap_or_else(PoisonError::into_inner);
        held.retain(|target| target.strong_count() > 0);
        let place = |stat: Stat| (stat.st_dev, stat.st_ino);
        let wanted = stat(dir).map(place).ok();
        let is_wanted = |target: &Arc<Held>| wanted.is_some() && fstat(&*target.root).map(place).ok() == wanted;
        if let Some(target) = held.iter().filter_map(Weak::upgrade).find(is_wanted) {
            return Ok(Target(target));
        }
        let opened = Target::open(dir)?;
        held.push(Arc::downgrade(&opened.0));
        Ok(opened)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_directory_is_held_once_and_let_go_with_its_last_user() {
        let temp = tempfile::tempdir().unwrap();
        let [one, two, link] = ["one", "two", "link"].map(|name| temp.path().join(name));
        std::fs::create_dir(&one).unwrap();
        std::fs::create_dir(&two).unwrap();
        std::os::unix::fs::symlink(&one, &link).unwrap();
        let targets = Targets::default();
        let first = targets.open(&one).unwrap();
        let again = targets.open(&link).unwrap();
        let other = targets.open(&two).unwrap();
        assert!(Arc::ptr_eq(&first.0, &again.0) && !Arc::ptr_eq(&first.0, &other.0));
        assert!(matches!(Target::open(&one), Err(StoreError::Busy(_))));
        drop((first, again));
        drop(Target::open(&one).unwrap());
        drop(targets.open(&link).unwrap());
    }
}
