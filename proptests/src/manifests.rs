//! What must hold for any bytes in the place of a manifest: they are refused, or they are a manifest with one encoding,
//! whose paths lead nowhere but into the tree.

use wirehaul::transfer::manifest::{
    CHUNK_BYTES, HoleRun, Kind, MAX_TARGET_BYTES, Manifest, ManifestBuilder, ManifestDecoder, ManifestEncoder, Meta,
    Timestamp,
};

use crate::choices::Choices;

/// Whether the bytes are a manifest.
///
/// # Panics
/// Where what must hold does not.
#[must_use]
pub fn ask(bytes: &[u8]) -> bool {
    let whole = decode(bytes, bytes.len().max(1));
    let in_pieces = decode(bytes, 3);
    assert_eq!(whole, in_pieces, "the pieces make a difference");
    let Some((manifest, digest)) = whole else { return false };
    let (mut encoder, mut again) = (ManifestEncoder::new(), Vec::new());
    assert!(encoder.encode(&manifest, usize::MAX, &mut again));
    assert_eq!(again, bytes, "another encoding of the same manifest was taken");
    assert_eq!(encoder.digest(), digest);
    check(&manifest);
    true
}

fn decode(bytes: &[u8], piece_bytes: usize) -> Option<(Manifest, [u8; 32])> {
    let mut decoder = ManifestDecoder::new();
    bytes.chunks(piece_bytes).try_for_each(|piece| decoder.push(piece)).ok()?;
    decoder.finish().ok()
}

/// The rules of paths once more, in plain words.
fn check(manifest: &Manifest) {
    let (mut path, mut total) = (Vec::new(), 0);
    for (index, entry) in (0..manifest.len()).zip(manifest.entries()) {
        manifest.path_into(index, &mut path);
        for name in path.split(|byte| *byte == b'/') {
            assert!((1..=255).contains(&name.len()) && !name.contains(&0) && name != b"." && name != b"..", "{path:?}");
        }
        match entry.kind {
            Kind::File { size_bytes } => total += size_bytes,
            Kind::Symlink { target } => {
                assert!((1..=MAX_TARGET_BYTES).contains(&target.len()) && target[0] != b'/', "{target:?}");
            }
            Kind::Dir => {}
        }
        let chunks = manifest.file_size(index).unwrap_or(0).div_ceil(CHUNK_BYTES);
        assert!(manifest.holes(index).all(|HoleRun { first, count }| u64::from(first) + u64::from(count) <= chunks));
    }
    assert_eq!(manifest.total_bytes(), total);
}

/// The bytes of a valid manifest.
pub fn draw(choices: &mut Choices<'_>) -> Vec<u8> {
    let mut builder = ManifestBuilder::new();
    let mut folder = String::new();
    for number in 0..choices.below(20) {
        let path = format!("{folder}{number:02}-{}", "name".repeat(choices.below(4)));
        let mode = choices.below(0o10000) as u16;
        let meta =
            Meta { mode, mtime: Timestamp { secs: choices.number() as i64, nanos: choices.below(1 << 29) as u32 } };
        let kind = match choices.below(6) {
            0 => Kind::Dir,
            1 => Kind::Symlink { target: b"some/where" },
            _ => Kind::File { size_bytes: choices.up_to(9 * CHUNK_BYTES) },
        };
        // What breaks a rule is left out.
        if builder.push(path.as_bytes(), kind, meta).is_ok() {
            if kind == Kind::Dir {
                folder = format!("{path}/");
            } else if choices.once_in(3) {
                let _ = builder.push_hole(HoleRun { first: choices.below(3) as u32, count: 1 });
            }
        }
    }
    let mut bytes = Vec::new();
    ManifestEncoder::new().encode(&builder.finish(), usize::MAX, &mut bytes);
    bytes
}
