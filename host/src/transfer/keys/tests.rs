use std::os::unix::fs::PermissionsExt;

use super::*;

fn store() -> (tempfile::TempDir, KeyStore) {
    let dir = tempfile::tempdir().unwrap();
    let store = KeyStore::at(dir.path().join("not/there/yet"));
    (dir, store)
}

fn mode(path: &Path) -> u32 {
    path.metadata().unwrap().permissions().mode() & 0o777
}

#[test]
fn a_key_is_made_once_and_only_for_its_owner() {
    let (_dir, store) = store();
    assert!(store.load_key().unwrap().is_none());
    let made = store.load_or_create_key().unwrap();
    assert_eq!(store.load_or_create_key().unwrap().public(), made.public());
    assert_eq!(store.load_key().unwrap().unwrap().public(), made.public());
    assert_eq!(mode(&store.key_path()), 0o600);
    assert_eq!(mode(store.key_path().parent().unwrap()), 0o700);
    let left: Vec<_> = fs::read_dir(store.key_path().parent().unwrap()).unwrap().collect();
    assert_eq!(left.len(), 1, "a draft was left behind: {left:?}");
}

#[test]
fn a_key_is_replaced_only_when_asked() {
    let (_dir, store) = store();
    let first = store.create_key(false).unwrap();
    assert!(matches!(store.create_key(false), Err(KeyError::Exists { .. })));
    assert_eq!(store.load_key().unwrap().unwrap().public(), first.public());
    let second = store.create_key(true).unwrap();
    assert_ne!(second.public(), first.public());
    assert_eq!(store.load_key().unwrap().unwrap().public(), second.public());
    assert_eq!(mode(&store.key_path()), 0o600);
}

#[test]
fn two_processes_that_both_make_a_key_agree_on_one() {
    let (_dir, store) = store();
    let store = &store;
    let keys: Vec<_> = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..8).map(|_| scope.spawn(|| store.load_or_create_key().unwrap().public())).collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).collect()
    });
    assert!(keys.iter().all(|key| *key == keys[0]));
}

#[test]
fn a_key_that_others_can_read_is_refused_with_what_to_do() {
    let (_dir, store) = store();
    store.create_key(false).unwrap();
    for exposed in [0o640, 0o604, 0o620, 0o666] {
        fs::set_permissions(store.key_path(), fs::Permissions::from_mode(exposed)).unwrap();
        let message = store.load_or_create_key().unwrap_err().to_string();
        assert!(message.contains(&format!("{exposed:04o}")) && message.contains("chmod 600"), "{message}");
    }
    fs::set_permissions(store.key_path(), fs::Permissions::from_mode(0o400)).unwrap();
    assert!(store.load_key().unwrap().is_some());
}

#[test]
fn a_damaged_key_is_not_replaced_by_a_new_one() {
    let (_dir, store) = store();
    store.create_key(false).unwrap();
    let whole = fs::read(store.key_path()).unwrap();
    let mut flipped = whole.clone();
    flipped[20] ^= 1;
    for damaged in [&b""[..], b"\xff\xfe", b"hello\n", &whole[..30], &flipped, &vec![b'a'; 10_000]] {
        fs::write(store.key_path(), damaged).unwrap();
        assert!(matches!(store.load_or_create_key(), Err(KeyError::Damaged { .. })));
    }
    fs::write(store.key_path(), &whole).unwrap();
    assert!(store.load_key().unwrap().is_some());
}

#[test]
fn errors_show_the_file_and_never_the_key() {
    let (_dir, store) = store();
    store.create_key(false).unwrap();
    let secret = fs::read_to_string(store.key_path()).unwrap();
    fs::write(store.key_path(), &secret[..40]).unwrap();
    let error = store.load_key().unwrap_err();
    let shown = format!("{error} {error:?}");
    assert!(shown.contains("not/there/yet/key") && !shown.contains(&secret[4..20]), "{shown}");
}

#[test]
fn trusted_peers_are_found_again() {
    let (_dir, store) = store();
    let key = |byte| PublicKey::from_bytes([byte; 32]);
    assert_eq!(store.load_known_peers().unwrap(), KnownPeers::default());
    assert_eq!(store.trust("alpha", key(1)).unwrap(), Trusted::Added);
    assert_eq!(store.trust("alpha", key(1)).unwrap(), Trusted::Already);
    assert!(matches!(store.trust("alpha", key(2)), Err(KeyError::NameTaken { .. })));
    assert!(matches!(store.trust("al pha", key(2)), Err(KeyError::Name(NameError::Character))));

    // Someone's editor left the last line without its end.
    let edited = format!("{}# a note", fs::read_to_string(store.known_peers_path()).unwrap());
    fs::write(store.known_peers_path(), edited).unwrap();
    assert_eq!(store.trust("beta", key(2)).unwrap(), Trusted::Added);
    let peers = store.load_known_peers().unwrap();
    assert_eq!(peers.keys(), [key(1), key(2)].into());
}

#[test]
fn a_mistake_in_the_peers_is_told_with_file_and_line() {
    let (_dir, store) = store();
    store.trust("alpha", PublicKey::from_bytes([1; 32])).unwrap();
    fs::write(store.known_peers_path(), "# fine\nalpha\n").unwrap();
    let message = store.load_known_peers().unwrap_err().to_string();
    assert!(message.contains("known_peers, line 2"), "{message}");
    assert!(store.trust("beta", PublicKey::from_bytes([2; 32])).is_err(), "a broken file was added to");
}
