//! What this system uses, and what the others do instead, under the same tests.

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use rustix::fs::{Mode, OFlags};

use super::*;

fn open(path: &Path) -> OwnedFd {
    rustix::fs::open(path, OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty()).unwrap()
}

#[test]
fn a_rename_never_replaces() {
    type Rename = fn(&OwnedFd, &str, &OwnedFd, &[u8]) -> Result<(), Errno>;
    let native: Rename = |from, old, to, new| rename_no_replace(from, old, to, new);
    let portable: Rename = |from, old, to, new| portable::rename_no_replace(from, old, to, new);
    for rename in [native, portable] {
        let temp = tempfile::tempdir().unwrap();
        let (from, to) = (temp.path().join("from"), temp.path().join("to"));
        fs::create_dir(&from).unwrap();
        fs::create_dir(&to).unwrap();
        fs::write(from.join("old"), b"mine").unwrap();
        fs::write(to.join("taken"), b"theirs").unwrap();
        let (from_fd, to_fd) = (open(&from), open(&to));
        assert_eq!(rename(&from_fd, "old", &to_fd, b"taken"), Err(Errno::EXIST));
        assert_eq!(fs::read(to.join("taken")).unwrap(), b"theirs");
        assert_eq!(fs::read(from.join("old")).unwrap(), b"mine");
        rename(&from_fd, "old", &to_fd, b"free").unwrap();
        assert_eq!(fs::read(to.join("free")).unwrap(), b"mine");
        assert!(!from.join("old").exists());
        assert_eq!(rename(&from_fd, "old", &to_fd, b"other"), Err(Errno::NOENT));
    }
}

#[test]
fn every_name_of_a_directory_is_told_once_and_no_other() {
    type ForEachName = fn(&OwnedFd, &mut dyn FnMut(&[u8])) -> Result<(), Errno>;
    let native: ForEachName = |dir, each| for_each_name(dir, each);
    let portable: ForEachName = |dir, each| portable::for_each_name(dir, each);
    let temp = tempfile::tempdir().unwrap();
    let expected: BTreeSet<Vec<u8>> = (0..3000).map(|at| format!("a name of some length, {at}").into_bytes()).collect();
    for name in &expected {
        fs::write(temp.path().join(std::str::from_utf8(name).unwrap()), b"").unwrap();
    }
    for list in [native, portable] {
        let mut names = Vec::new();
        list(&open(temp.path()), &mut |name| names.push(name.to_vec())).unwrap();
        assert_eq!(names.len(), expected.len());
        assert_eq!(names.into_iter().collect::<BTreeSet<_>>(), expected);
    }
    let file = temp.path().join("a name of some length, 0");
    for list in [native, portable] {
        assert_eq!(list(&open(&file), &mut |_| ()), Err(Errno::NOTDIR));
    }
}

#[test]
fn what_cannot_be_opened_is_synced_and_keeps_its_mode() {
    for sync in [sync_unopened, portable::sync_unopened] {
        let temp = tempfile::tempdir().unwrap();
        let path = temp.path().join("closed");
        fs::write(&path, b"contents").unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o000)).unwrap();
        sync(&open(temp.path()), "closed").unwrap();
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o000);
    }
}

#[test]
fn contents_and_directories_can_be_synced() {
    let temp = tempfile::tempdir().unwrap();
    let path = temp.path().join("file");
    fs::write(&path, b"contents").unwrap();
    sync_data(open(&path)).unwrap();
    portable::sync_data(open(&path)).unwrap();
    sync_dir(open(temp.path())).unwrap();
    assert_eq!(syncfs(open(temp.path())).is_ok(), HAS_SYNCFS);
}

#[test]
fn what_other_systems_lack_is_refused_as_callers_expect_and_changes_nothing() {
    let temp = tempfile::tempdir().unwrap();
    let path = temp.path().join("file");
    fs::write(&path, b"contents").unwrap();
    let (dir, file) = (open(temp.path()), open(&path));
    // Callers write zeros, or through the page cache, on exactly this error.
    assert_eq!(portable::punch_hole(&file, 0, 4), Err(Errno::OPNOTSUPP));
    assert_eq!(portable::reserve(&file, 1 << 20), Err(Errno::OPNOTSUPP));
    assert_eq!(portable::open_direct(&dir, "file").map(|_| ()), Err(Errno::OPNOTSUPP));
    assert_eq!((portable::HAS_SYNCFS, portable::syncfs(&dir)), (false, Err(Errno::NOSYS)));
    assert_eq!(fs::read(&path).unwrap(), b"contents");
}
