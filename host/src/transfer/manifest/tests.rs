use proptest::prelude::*;

use super::*;

const FILE: Kind<'static> = Kind::File { size_bytes: 1 };

fn rule_of(entries: &[(&str, Kind<'_>)]) -> Result<(), ManifestRule> {
    let mut builder = ManifestBuilder::new();
    entries.iter().try_for_each(|(path, kind)| {
        builder.push(path.as_bytes(), *kind, Meta::default()).map(|_| ()).map_err(|error| error.rule)
    })
}

fn link(target: &str) -> Kind<'_> {
    Kind::Symlink { target: target.as_bytes() }
}

fn encode(manifest: &Manifest) -> Vec<u8> {
    let mut bytes = Vec::new();
    assert!(ManifestEncoder::new().encode(manifest, usize::MAX, &mut bytes));
    bytes
}

fn decode(bytes: &[u8], piece_bytes: usize) -> Result<Manifest, ManifestError> {
    let mut decoder = ManifestDecoder::new();
    for piece in bytes.chunks(piece_bytes) {
        decoder.push(piece)?;
    }
    decoder.finish().map(|(manifest, _)| manifest)
}

#[test]
fn hostile_names_are_refused_by_rule() {
    let cases: &[(&[(&str, Kind<'_>)], ManifestRule)] = &[
        (&[("../x", FILE)], ManifestRule::Path(PathError::DotComponent)),
        (&[("/etc/passwd", FILE)], ManifestRule::Path(PathError::Absolute)),
        (&[("a/../../x", FILE)], ManifestRule::Path(PathError::DotComponent)),
        (&[(".wirehaul", Kind::Dir)], ManifestRule::Path(PathError::Reserved)),
        (&[("a", FILE), ("a", FILE)], ManifestRule::Order),
        (&[("a", Kind::Dir), ("a/x", FILE), ("a/x", Kind::Dir)], ManifestRule::Order),
        (&[("b", FILE), ("a", FILE)], ManifestRule::Order),
        (&[("a", FILE), ("a/x", FILE)], ManifestRule::BelowNonDirectory),
        (&[("a", link("b")), ("a/x", FILE)], ManifestRule::BelowNonDirectory),
        (&[("a", Kind::Dir), ("a/l", link("..")), ("a/l/x", FILE)], ManifestRule::BelowNonDirectory),
        (&[("a/x", FILE)], ManifestRule::ParentMissing),
        (&[("a", Kind::Dir), ("a/b/x", FILE)], ManifestRule::ParentMissing),
        (&[("a", Kind::Dir), ("a/x", FILE), ("b/x", FILE)], ManifestRule::ParentMissing),
        (&[("l", link("/etc"))], ManifestRule::TargetEscapes),
        (&[("l", link(".."))], ManifestRule::TargetEscapes),
        (&[("a", Kind::Dir), ("a/l", link("../.."))], ManifestRule::TargetEscapes),
        (&[("a", Kind::Dir), ("a/l", link("b/.."))], ManifestRule::TargetEscapes),
        (&[("l", link(""))], ManifestRule::Target),
        (&[("big", Kind::File { size_bytes: MAX_TOTAL_BYTES + 1 })], ManifestRule::TooLarge),
        (&[("a", FILE), ("big", Kind::File { size_bytes: u64::MAX })], ManifestRule::TooLarge),
    ];
    for (entries, rule) in cases {
        assert_eq!(rule_of(entries), Err(*rule), "{entries:?}");
    }
}

#[test]
fn honest_trees_are_accepted() {
    let tree = [
        ("a", Kind::Dir),
        ("a/b", Kind::Dir),
        ("a/b/l", link("../../c/./d")),
        ("a/c", FILE),
        ("a.b", FILE),
        ("c", link("a/b")),
    ];
    assert_eq!(rule_of(&tree), Ok(()));
}

#[test]
fn device_kinds_bad_modes_and_bad_times_are_refused_by_the_decoder() {
    // tag · shared · length · "x" · mode · seconds · nanoseconds · size · end
    let cases = [
        (vec![5, 0, 1, b'x', 0, 0, 0, 0, 0], ManifestRule::UnknownKind),
        (vec![1, 0, 1, b'x', 0x80, 0x80, 0x01, 0, 0, 0, 0], ManifestRule::Mode),
        (vec![1, 0, 1, b'x', 0, 0, 0xff, 0xff, 0xff, 0xff, 0x0f, 0, 0], ManifestRule::Time),
        (vec![4, 0, 1, 0], ManifestRule::Holes),
        (vec![1, 1, 0, 0, 0, 0, 0, 0], ManifestRule::Malformed),
        (vec![0, 0], ManifestRule::Malformed),
        (vec![1, 0, 1, b'x', 0, 0, 0, 0], ManifestRule::Truncated),
    ];
    for (bytes, rule) in cases {
        for piece_bytes in [1, bytes.len()] {
            assert_eq!(decode(&bytes, piece_bytes).unwrap_err().rule, rule, "{bytes:?}");
        }
    }
}

#[test]
fn holes_lie_ascending_inside_their_file() {
    let size_bytes = 10 * CHUNK_BYTES;
    let with = |runs: &[(u32, u32)]| {
        let mut builder = ManifestBuilder::new();
        builder.push(b"f", Kind::File { size_bytes }, Meta::default()).unwrap();
        runs.iter()
            .try_for_each(|&(first, count)| builder.push_hole(HoleRun { first, count }))
            .map(|()| builder.finish())
    };
    let manifest = with(&[(0, 2), (3, 1), (8, 2)]).unwrap();
    assert_eq!(manifest.holes(0).count(), 3);
    assert_eq!(decode(&encode(&manifest), 3).unwrap(), manifest);
    for bad in [&[(0, 11)][..], &[(5, 0)], &[(3, 1), (2, 1)], &[(0, 2), (2, 1)], &[(u32::MAX, u32::MAX)]] {
        assert_eq!(with(bad).unwrap_err().rule, ManifestRule::Holes, "{bad:?}");
    }
}

#[test]
fn the_error_names_path_and_rule() {
    let error = ManifestBuilder::new().push(b"../x\x1b", FILE, Meta::default()).unwrap_err();
    assert_eq!(error.to_string(), "refused ../x\\u{1b}: a component of the path is `.` or `..`");
}

#[test]
fn a_million_entries_take_well_below_100_mb() {
    let mut builder = ManifestBuilder::new();
    builder.push(b"d", Kind::Dir, Meta::default()).unwrap();
    for index in 0..100_000 {
        builder.push(format!("d/file-{index:08}.bin").as_bytes(), FILE, Meta::default()).unwrap();
    }
    let manifest = builder.finish();
    let bytes = manifest.records.capacity() * size_of::<Record>() + manifest.arena.capacity();
    assert!(bytes < 100_000 * 64, "{bytes} bytes for 100,000 entries");
    assert!(encode(&manifest).len() < 100_000 * 16);
}

/// Trees as nested lists: what a walk could meet.
fn trees() -> impl Strategy<Value = Manifest> {
    let name = prop::collection::vec(prop::sample::select(&b"ab-.\xff0"[..]), 1..4);
    let paths = prop::collection::btree_set(prop::collection::vec(name, 1..4), 0..40);
    (paths, any::<u64>()).prop_map(|(paths, seed)| {
        let mut builder = ManifestBuilder::new();
        for (at, components) in paths.iter().enumerate() {
            let salt = seed.rotate_left(at as u32);
            let meta = Meta {
                mode: (salt & 0o7777) as u16,
                mtime: Timestamp { secs: salt as i64, nanos: (salt % 1_000_000_000) as u32 },
            };
            // Whatever the rules refuse is left out; what stays is a valid manifest.
            let kind = match salt % 4 {
                0 => Kind::Dir,
                1 => Kind::Symlink { target: b"x/y" },
                _ => Kind::File { size_bytes: salt % (8 * CHUNK_BYTES) },
            };
            let depth_dir = if components.len() < 3 && salt % 5 != 0 { Kind::Dir } else { kind };
            if builder.push(&components.join(&b'/'), depth_dir, meta).is_ok() && depth_dir != Kind::Dir && salt % 3 == 0
            {
                let _ = builder.push_hole(HoleRun { first: (salt % 3) as u32, count: 1 });
            }
        }
        builder.finish()
    })
}

proptest! {
    #[test]
    fn what_was_encoded_is_decoded_whatever_the_pieces(manifest in trees(), piece_bytes in 1_usize..50, budget in 1_usize..100) {
        let (mut encoder, mut bytes) = (ManifestEncoder::new(), Vec::new());
        while !encoder.encode(&manifest, budget, &mut bytes) {}
        let mut decoder = ManifestDecoder::new();
        for piece in bytes.chunks(piece_bytes) {
            decoder.push(piece).unwrap();
        }
        let (decoded, digest) = decoder.finish().unwrap();
        prop_assert_eq!(digest, encoder.digest());
        prop_assert_eq!(decoded, manifest);
    }

    #[test]
    fn damaged_bytes_are_refused_or_a_valid_manifest(manifest in trees(), at in any::<prop::sample::Index>(), byte in any::<u8>()) {
        let mut bytes = encode(&manifest);
        let at = at.index(bytes.len());
        bytes[at] = byte;
        if let Ok(decoded) = decode(&bytes, 7) {
            prop_assert_eq!(encode(&decoded), bytes);
        }
    }

    #[test]
    fn random_bytes_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
        let _ = decode(&bytes, 11);
    }
}

#[test]
fn manifests_share_a_file_only_if_path_length_and_time_agree() {
    let manifest = |entries: &[(&str, Kind<'_>, i64)]| {
        let mut builder = ManifestBuilder::new();
        for (path, kind, secs) in entries {
            let meta = Meta { mtime: Timestamp { secs: *secs, nanos: 0 }, ..Meta::default() };
            builder.push(path.as_bytes(), *kind, meta).unwrap();
        }
        builder.finish()
    };
    let ours = manifest(&[("a", Kind::Dir, 0), ("a/x", FILE, 1), ("b", FILE, 2), ("z", FILE, 3)]);
    let shares = |entries: &[(&str, Kind<'_>, i64)]| {
        let theirs = manifest(entries);
        assert_eq!(ours.shares_a_file_with(&theirs), theirs.shares_a_file_with(&ours));
        ours.shares_a_file_with(&theirs)
    };
    assert!(shares(&[("b", FILE, 2)]) && shares(&[("a", Kind::Dir, 5), ("a/w", FILE, 1), ("a/x", FILE, 1)]));
    assert!(shares(&[("a-", FILE, 1), ("z", FILE, 3)]));
    assert!(!shares(&[]) && !shares(&[("a", Kind::Dir, 0), ("c", FILE, 2)]));
    assert!(!shares(&[("b", FILE, 9)]) && !shares(&[("b", Kind::File { size_bytes: 7 }, 2)]));
    assert!(!shares(&[("b", link("z"), 2)]));
}
