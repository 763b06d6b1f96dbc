//! FRAME-6: replays the corpora of the fuzz targets, so that what libFuzzer once found stays found without it.
//!
//! `WIREHAUL_WRITE_SEEDS=1` writes the seeds anew, after a change of the wire.

#![allow(clippy::expect_used)]

use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;

use wirehaul_proptests::choices::Choices;
use wirehaul_proptests::corpus::{TARGETS, seeds};
use wirehaul_proptests::mutate::mutate;

/// Seeds of a recorded transfer: another way to send the same, as a new controller has it, makes others that are as good.
const RECORDED: &[u8] = b"transfer-";

fn corpus() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../fuzz/corpus")
}

/// The inputs of one target, by file name.
fn inputs(target: &str) -> BTreeMap<String, Vec<u8>> {
    let folder = corpus().join(target);
    let entries = fs::read_dir(&folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
    entries
        .map(|entry| entry.expect("a folder that can be listed").path())
        .map(|path| {
            let name = path.file_name().expect("a file has a name").to_string_lossy().into_owned();
            (name, fs::read(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display())))
        })
        .collect()
}

#[test]
fn every_target_holds_on_its_corpus() {
    for (target, ask) in TARGETS {
        let inputs = inputs(target);
        let accepted = inputs.values().filter(|bytes| ask(bytes)).count();
        println!("{target}: {} inputs, {accepted} accepted", inputs.len());
        assert!(accepted > 0 && accepted < inputs.len(), "{target}: a corpus has inputs of both sorts");
    }
}

#[test]
fn the_committed_seeds_are_what_the_writers_write() {
    let write = std::env::var_os("WIREHAUL_WRITE_SEEDS").is_some();
    for (target, ask) in TARGETS {
        if write && let Ok(old) = fs::read_dir(corpus().join(target)) {
            let recorded = old.map(|entry| entry.expect("a folder that can be listed").path());
            let is_recorded =
                |path: &PathBuf| path.file_name().is_some_and(|name| name.as_encoded_bytes().starts_with(RECORDED));
            recorded.filter(is_recorded).for_each(|path| fs::remove_file(path).expect("can be written"));
        }
        for (name, bytes) in seeds(target) {
            assert!(name.starts_with("damaged-") || ask(&bytes), "{target}/{name}");
            if write {
                let folder = corpus().join(target);
                fs::create_dir_all(&folder).and_then(|()| fs::write(folder.join(name), bytes)).expect("can be written");
            } else if !name.as_bytes().starts_with(RECORDED) {
                let committed = inputs(target).remove(&name);
                assert_eq!(committed, Some(bytes), "{target}/{name}: run again with WIREHAUL_WRITE_SEEDS=1");
            }
        }
    }
}

#[test]
fn every_corpus_has_its_target_and_every_target_its_corpus() {
    let mut folders: Vec<_> = fs::read_dir(corpus())
        .expect("fuzz/corpus is committed")
        .map(|entry| entry.expect("a folder that can be listed").file_name().to_string_lossy().into_owned())
        .collect();
    let mut targets: Vec<_> = TARGETS.iter().map(|(target, _)| (*target).to_owned()).collect();
    folders.sort();
    targets.sort();
    assert_eq!(folders, targets);
}

/// A moment of what the fuzz targets do for hours: seeds, damaged again and again.
#[test]
fn every_target_holds_on_damaged_seeds() {
    for (target, ask) in TARGETS {
        let seeds = seeds(target);
        let mut choices = Choices::Seeded(11);
        for _ in 0..400 {
            let (_, seed) = &seeds[choices.below(seeds.len())];
            let (_, other) = &seeds[choices.below(seeds.len())];
            let mut bytes = seed.clone();
            (0..4).for_each(|_| mutate(&mut choices, &mut bytes, other));
            bytes.truncate(4096);
            let _ = ask(&bytes);
        }
    }
}
