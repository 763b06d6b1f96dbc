//! Transfers from one directory to another without a network: blocks that were read are written.

use std::ffi::OsStr;
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{FileExt, MetadataExt, PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration as StdDuration, SystemTime};

use wirehaul_core::time::Instant;

use super::*;
use crate::io::engine::FileEngine;
use crate::io::plain::Plain;
use crate::transfer::manifest::{CHUNK_BYTES, ManifestDecoder, ManifestEncoder};
use crate::transfer::plan::Plan;
use crate::transfer::source::{FileSource, RootMerger};
use crate::transfer::walk::{Walked, walk};

const CHUNK: usize = CHUNK_BYTES as usize;

/// The engine that this module is for.
fn engine() -> FileEngine<TransferJob> {
    #[cfg(target_os = "linux")]
    if module_path!().ends_with("on_rings") {
        match crate::uring::start(crate::uring::Settings { threads: 2, jobs: 8, blocks: None }) {
            Ok(engine) => return engine,
            Err(refused) => {
                let required = std::env::var("WIREHAUL_REQUIRE").unwrap_or_default();
                assert!(!required.split(',').any(|name| name == "uring"), "required, and not here: {refused}");
                eprintln!("not on a ring, but by ordinary calls: {refused}");
            }
        }
    }
    FileEngine::plain(2, 8).unwrap()
}

/// Bytes that differ from chunk to chunk.
fn bytes(len: usize, seed: u64) -> Vec<u8> {
    let mut state = seed | 1;
    let next = |_| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 40) as u8
    };
    (0..len).map(next).collect()
}

struct Pair {
    _temp: tempfile::TempDir,
    source: PathBuf,
    target: PathBuf,
}

fn pair() -> Pair {
    let temp = tempfile::tempdir().unwrap();
    let (source, target) = (temp.path().join("tree"), temp.path().join("target"));
    fs::create_dir(&source).unwrap();
    fs::create_dir(&target).unwrap();
    Pair { _temp: temp, source, target }
}

impl Pair {
    fn put(&self, name: &str, data: &[u8]) {
        let path = self.source.join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, data).unwrap();
    }

    fn got(&self, name: &str) -> Vec<u8> {
        fs::read(self.target.join("tree").join(name)).unwrap()
    }

    fn run(&self, overwrite: bool) -> StoreOutcome {
        Run::new(self, overwrite).run_all().unwrap()
    }

    fn part_files(&self) -> Vec<PathBuf> {
        let names = |dir: PathBuf| fs::read_dir(dir).into_iter().flatten().map(|entry| entry.unwrap().path());
        let shelves = names(self.target.join(".wirehaul"));
        shelves.flat_map(names).filter(|path| path.extension() == Some(OsStr::new("part"))).collect()
    }
}

type Tamper = Box<dyn FnMut(&Block, &mut Buffer)>;

/// One transfer, block by block.
struct Run {
    engine: FileEngine<TransferJob>,
    source: Arc<FileSource>,
    store: Store,
    want: Want,
    walked_skips: usize,
    /// Called on each block between reading and writing.
    tamper: Tamper,
    /// Data bytes that crossed from the source to the target.
    sent_bytes: u64,
    rounds: u32,
    /// Stop without an end after this many blocks, as a killed process would.
    kill_after: usize,
    /// Called when everything is staged; `true` stops without an end.
    at_commit: Box<dyn FnMut() -> bool>,
}

impl Run {
    fn new(pair: &Pair, overwrite: bool) -> Self {
        let Walked { manifest, roots, skipped } = walk(std::slice::from_ref(&pair.source)).unwrap();
        let target = Target::open(&pair.target).unwrap();
        // The receiver has the manifest from the wire.
        let (mut encoded, mut decoder) = (Vec::new(), ManifestDecoder::new());
        ManifestEncoder::new().encode(&manifest, usize::MAX, &mut encoded);
        encoded.chunks(1400).for_each(|piece| decoder.push(piece).unwrap());
        let received = Arc::new(decoder.finish().unwrap().0);
        assert_eq!(*received, manifest);
        let (store, want) = Store::examine(target, received, StoreOptions { overwrite, quota: None }).unwrap();
        Self {
            engine: engine(),
            source: Arc::new(FileSource::new(Arc::new(manifest), roots)),
            store,
            want,
            walked_skips: skipped.len(),
            tamper: Box::new(|_, _| {}),
            sent_bytes: 0,
            rounds: 0,
            kill_after: usize::MAX,
            at_commit: Box::new(|| false),
        }
    }

    fn next_done(&mut self) -> TransferDone {
        loop {
            if let Some(done) = self.engine.poll() {
                return done;
            }
            if !self.engine.prepare_wait() {
                let mut fds =
                    [rustix::event::PollFd::from_borrowed_fd(self.engine.wake_fd(), rustix::event::PollFlags::IN)];
                rustix::event::poll(&mut fds, None).unwrap();
            }
        }
    }

    fn do_job(&mut self, job: TransferJob) -> TransferDone {
        assert!(self.engine.submit(job).is_ok());
        self.next_done()
    }

    /// Runs to the end; `None` if it was killed before.
    fn run_or_kill(mut self) -> Option<Result<StoreOutcome, StoreError>> {
        let mut merger = RootMerger::new();
        let mut blocks_left = self.kill_after;
        while !self.want.is_nothing() {
            self.rounds += 1;
            let plan = Plan::new(self.store.manifest().clone(), Arc::new(self.want.clone()));
            for block in plan {
                if blocks_left == 0 {
                    return None;
                }
                blocks_left -= 1;
                let TransferDone::Read { block, mut buf, .. } =
                    self.do_job(TransferJob::read(self.source.clone(), block, Buffer::new()))
                else {
                    panic!("a read gives a read")
                };
                self.sent_bytes += block.pieces.iter().map(|piece| piece.data_len() as u64).sum::<u64>();
                merger.merge(&block, &mut buf);
                (self.tamper)(&block, &mut buf);
                let job = self.store.write_job(block, buf);
                let done = self.do_job(job);
                self.store.on_done(done);
                if let Some(fatal) = self.store.take_fatal() {
                    return Some(Err(fatal));
                }
            }
            self.want = self.store.end_round();
        }
        if (self.at_commit)() {
            return None;
        }
        while !self.store.is_finished() {
            let job = self.store.poll_job(Instant::from_nanos(0)).expect("unfinished without a job");
            let done = self.do_job(job);
            self.store.on_done(done);
            if let Some(fatal) = self.store.take_fatal() {
                return Some(Err(fatal));
            }
        }
        Some(Ok(self.store.close()))
    }

    fn run_all(self) -> Result<StoreOutcome, StoreError> {
        self.run_or_kill().unwrap()
    }
}

fn set_mtime(path: &Path, secs: u64, nanos: u32) {
    let time = SystemTime::UNIX_EPOCH + StdDuration::new(secs, nanos);
    fs::File::open(path).unwrap().set_modified(time).unwrap();
}

#[test]
fn a_tree_of_everything_arrives_with_modes_and_times() {
    let pair = pair();
    let weird = OsStr::from_bytes(b"not-utf8-\xff\xfe\n");
    pair.put("empty", b"");
    pair.put("sub/deep/small", b"hello");
    pair.put("sub/chunk", &bytes(CHUNK, 1));
    pair.put("large", &bytes(3 * CHUNK + 77, 2));
    fs::write(pair.source.join(weird), b"weird").unwrap();
    fs::create_dir(pair.source.join("bare")).unwrap();
    symlink("sub/deep/small", pair.source.join("link")).unwrap();
    fs::set_permissions(pair.source.join("sub/chunk"), fs::Permissions::from_mode(0o444)).unwrap();
    fs::set_permissions(pair.source.join("large"), fs::Permissions::from_mode(0o4666)).unwrap();
    for name in ["empty", "sub/deep/small", "large", "bare", "sub/deep", "sub"] {
        set_mtime(&pair.source.join(name), 1_000_000_000, 123_456_789);
    }
    fs::set_permissions(pair.source.join("sub"), fs::Permissions::from_mode(0o755)).unwrap();

    let outcome = pair.run(false);
    assert!(outcome.conflicts.is_empty() && outcome.failures.is_empty(), "{outcome:?}");
    assert_eq!(outcome.files_done, 5);
    assert_eq!(outcome.others_done, 5);
    let target = pair.target.join("tree");
    assert_eq!(pair.got("large"), bytes(3 * CHUNK + 77, 2));
    assert_eq!(pair.got("sub/chunk"), bytes(CHUNK, 1));
    assert_eq!(pair.got("empty"), b"");
    assert_eq!(fs::read(target.join(weird)).unwrap(), b"weird");
    assert_eq!(fs::read_link(target.join("link")).unwrap(), Path::new("sub/deep/small"));
    for (name, mode) in [("sub/chunk", 0o444), ("large", 0o666), ("sub", 0o755)] {
        assert_eq!(fs::metadata(target.join(name)).unwrap().mode() & 0o7777, mode, "{name}");
    }
    for name in ["empty", "sub/deep/small", "large", "bare", "sub/deep", "sub"] {
        let meta = fs::metadata(target.join(name)).unwrap();
        assert_eq!((meta.mtime(), meta.mtime_nsec()), (1_000_000_000, 123_456_789), "{name}");
    }
    assert!(!pair.target.join(".wirehaul").exists());
}

#[test]
fn a_second_run_sends_nothing_and_changes_nothing() {
    let pair = pair();
    pair.put("large", &bytes(2 * CHUNK + 1, 1));
    pair.put("small", b"abc");
    pair.put("empty", b"");
    symlink("small", pair.source.join("link")).unwrap();
    pair.run(false);
    let mut run = Run::new(&pair, false);
    run.tamper = Box::new(|block, _| assert!(block.pieces.iter().all(|piece| piece.data_len() == 0)));
    let outcome = run.run_all().unwrap();
    assert_eq!((outcome.files_done, outcome.stored_bytes), (3, 0));
    assert_eq!(outcome.resumed_bytes, 2 * CHUNK_BYTES + 4);
    assert!(outcome.conflicts.is_empty());
}

#[test]
fn a_sparse_file_stays_sparse() {
    let pair = pair();
    let file = fs::File::create(pair.source.join("sparse")).unwrap();
    file.set_len(64 * CHUNK_BYTES).unwrap();
    file.write_all_at(b"data", 20 * CHUNK_BYTES).unwrap();
    let outcome = pair.run(false);
    assert_eq!(outcome.stored_bytes, 64 * CHUNK_BYTES);
    let got = fs::metadata(pair.target.join("tree/sparse")).unwrap();
    assert_eq!(got.len(), 64 * CHUNK_BYTES);
    assert!(got.blocks() * 512 <= 2 * CHUNK_BYTES, "{} blocks", got.blocks());
    assert_eq!(fs::read(pair.source.join("sparse")).unwrap(), pair.got("sparse"));
}

#[test]
fn killed_at_any_block_it_resumes_and_sends_only_what_is_missing() {
    for kill_after in 0..8 {
        let pair = pair();
        pair.put("a-small", b"first");
        pair.put("large", &bytes(6 * CHUNK + 9, 3));
        let mut run = Run::new(&pair, false);
        run.kill_after = kill_after;
        assert!(run.run_or_kill().is_none());
        let outcome = pair.run(false);
        assert_eq!(pair.got("large"), bytes(6 * CHUNK + 9, 3));
        assert_eq!(pair.got("a-small"), b"first");
        assert_eq!(outcome.stored_bytes + outcome.resumed_bytes, 6 * CHUNK_BYTES + 14);
        let received_before =
            [0, 5, 5 + CHUNK_BYTES][kill_after.min(2)] + kill_after.saturating_sub(2) as u64 * CHUNK_BYTES;
        assert_eq!(outcome.resumed_bytes, received_before, "killed after {kill_after} blocks");
        assert!(!pair.target.join(".wirehaul").exists());
    }
}

#[test]
fn a_corrupted_staged_chunk_is_found_and_sent_again() {
    let pair = pair();
    pair.put("large", &bytes(5 * CHUNK, 4));
    let mut run = Run::new(&pair, false);
    run.kill_after = 3;
    assert!(run.run_or_kill().is_none());
    let [part] = &pair.part_files()[..] else { panic!("one part file") };
    fs::OpenOptions::new().write(true).open(part).unwrap().write_all_at(b"rot", CHUNK_BYTES + 100).unwrap();
    let outcome = pair.run(false);
    assert_eq!(outcome.resumed_bytes, 2 * CHUNK_BYTES);
    assert_eq!(outcome.stored_bytes, 3 * CHUNK_BYTES);
    assert_eq!(pair.got("large"), bytes(5 * CHUNK, 4));
}

#[test]
fn damaged_staging_files_never_damage_the_result() {
    let damages: [fn(&Path); 4] = [
        |part| fs::write(part, b"short").unwrap(),
        |part| fs::write(part.with_extension("journal"), b"garbage that is no journal at all.......").unwrap(),
        |part| fs::remove_file(part.with_extension("journal")).unwrap(),
        |part| {
            fs::remove_file(part).unwrap();
            symlink("/etc/passwd", part).unwrap();
        },
    ];
    for damage in damages {
        let pair = pair();
        pair.put("large", &bytes(4 * CHUNK, 5));
        let mut run = Run::new(&pair, false);
        run.kill_after = 2;
        assert!(run.run_or_kill().is_none());
        damage(&pair.part_files()[0]);
        let outcome = pair.run(false);
        assert!(outcome.failures.is_empty(), "{outcome:?}");
        assert_eq!(pair.got("large"), bytes(4 * CHUNK, 5));
        assert!(fs::symlink_metadata(pair.target.join("tree/large")).unwrap().is_file());
    }
}

/// Killed between the rename and what comes after it, or between making a link and naming it.
#[test]
fn what_a_killed_run_left_beside_its_files_is_removed() {
    let pair = pair();
    pair.put("large", &bytes(4 * CHUNK, 5));
    pair.run(false);
    let staging = pair.target.join(".wirehaul");
    let shelf = staging.join("0a");
    fs::create_dir_all(&shelf).unwrap();
    fs::write(shelf.join("00112233445566778899aabbccddeeff.journal"), b"of a file that is done").unwrap();
    symlink("nowhere", staging.join("0.link")).unwrap();
    pair.run(false);
    assert!(!staging.exists());
}

/// Killed between giving a file its name and taking the staged one away.
#[test]
fn a_file_that_kept_its_staged_name_loses_it() {
    let pair = pair();
    pair.put("small", &bytes(100, 5));
    let mut run = Run::new(&pair, false);
    run.at_commit = Box::new(|| true);
    assert!(run.run_or_kill().is_none());
    let [part] = &pair.part_files()[..] else { panic!("one part file") };
    fs::hard_link(part, pair.target.join("tree/small")).unwrap();
    pair.run(false);
    assert_eq!(pair.got("small"), bytes(100, 5));
    assert!(!pair.target.join(".wirehaul").exists());
}

/// So many that several threads name them; one name is taken meanwhile.
#[test]
fn a_large_group_gets_its_names_and_replaces_nothing() {
    let pair = pair();
    for at in 0..5000 {
        pair.put(&format!("d{}/f{at}", at % 3), format!("file {at}").as_bytes());
    }
    let mut run = Run::new(&pair, false);
    let taken = pair.target.join("tree/d2/f2");
    run.at_commit = Box::new(move || fs::write(&taken, b"theirs").is_err());
    let outcome = run.run_all().unwrap();
    assert_eq!(outcome.files_done, 4999);
    assert!(matches!(outcome.conflicts[..], [(_, Conflict::Appeared)]), "{:?}", outcome.conflicts);
    for at in 0..5000 {
        let expected = if at == 2 { "theirs".to_owned() } else { format!("file {at}") };
        assert_eq!(pair.got(&format!("d{}/f{at}", at % 3)), expected.as_bytes());
    }
}

#[test]
fn data_that_does_not_match_its_hash_is_wanted_again() {
    let pair = pair();
    pair.put("large", &bytes(3 * CHUNK, 6));
    pair.put("small", b"abc");
    let mut run = Run::new(&pair, false);
    let mut damaged = 0;
    run.tamper = Box::new(move |_, buf| {
        damaged += 1;
        // The second chunk and the small file, in the first round.
        if damaged == 2 || damaged == 4 {
            buf[1] ^= 1;
        }
    });
    let outcome = run.run_all().unwrap();
    assert_eq!((pair.got("large"), pair.got("small")), (bytes(3 * CHUNK, 6), b"abc".to_vec()));
    assert!(outcome.failures.is_empty());
}

#[test]
fn data_that_never_matches_fails_its_file_alone() {
    let pair = pair();
    pair.put("bad", &bytes(CHUNK, 7));
    pair.put("good", b"abc");
    let mut run = Run::new(&pair, false);
    run.tamper = Box::new(|block, buf| {
        if block.pieces[0].len as usize == CHUNK {
            buf[0] ^= 1;
        }
    });
    let outcome = run.run_all().unwrap();
    assert_eq!(outcome.failures, [(1, EntryError::Verification)]);
    assert!(!pair.target.join("tree/bad").exists());
    assert_eq!(pair.got("good"), b"abc");
}

#[test]
fn a_wrong_hash_of_the_whole_file_keeps_it_from_its_name() {
    let pair = pair();
    pair.put("large", &bytes(2 * CHUNK, 8));
    let mut run = Run::new(&pair, false);
    run.tamper = Box::new(|block, buf| {
        if let Some(range) = block.pieces[0].root_range() {
            buf[range.start] ^= 1;
        }
    });
    let outcome = run.run_all().unwrap();
    assert_eq!(outcome.failures, [(1, EntryError::Verification)]);
    assert!(!pair.target.join("tree/large").exists());
    assert!(pair.part_files().is_empty());
}

#[test]
fn a_different_file_stays_without_overwrite_and_goes_with_it() {
    for existing in [bytes(2 * CHUNK, 99), b"shorter".to_vec()] {
        let pair = pair();
        pair.put("file", &bytes(2 * CHUNK, 9));
        pair.put("other", b"arrives anyway");
        fs::create_dir(pair.target.join("tree")).unwrap();
        fs::write(pair.target.join("tree/file"), &existing).unwrap();
        let outcome = pair.run(false);
        assert_eq!(outcome.conflicts, [(1, Conflict::DifferentFile)]);
        assert_eq!((pair.got("file"), pair.got("other")), (existing, b"arrives anyway".to_vec()));
        let outcome = pair.run(true);
        assert!(outcome.conflicts.is_empty() && outcome.failures.is_empty(), "{outcome:?}");
        assert_eq!(pair.got("file"), bytes(2 * CHUNK, 9));
    }
}

#[test]
fn a_file_that_appears_meanwhile_is_not_overwritten() {
    let pair = pair();
    pair.put("file", b"from the sender");
    let mut run = Run::new(&pair, false);
    let name = pair.target.join("tree/file");
    run.tamper = Box::new(move |_, _| fs::write(&name, b"mine").unwrap());
    let outcome = run.run_all().unwrap();
    assert_eq!(outcome.conflicts, [(1, Conflict::Appeared)]);
    assert_eq!(pair.got("file"), b"mine");
}

#[test]
fn symlinks_in_the_target_never_lead_out_of_it() {
    for overwrite in [false, true] {
        let pair = pair();
        let outside = pair.target.parent().unwrap().join("outside");
        fs::create_dir(&outside).unwrap();
        fs::write(outside.join("victim"), b"untouched").unwrap();
        pair.put("dir/file", b"payload");
        pair.put("victim", b"payload");
        fs::create_dir(pair.target.join("tree")).unwrap();
        symlink(&outside, pair.target.join("tree/dir")).unwrap();
        symlink(outside.join("victim"), pair.target.join("tree/victim")).unwrap();
        let outcome = pair.run(overwrite);
        assert!(outcome.conflicts.contains(&(1, Conflict::NotADirectory)), "{outcome:?}");
        assert!(outcome.conflicts.contains(&(2, Conflict::Blocked)), "{outcome:?}");
        assert_eq!(fs::read(outside.join("victim")).unwrap(), b"untouched");
        assert_eq!(fs::read_dir(&outside).unwrap().count(), 1);
        assert_eq!(fs::symlink_metadata(pair.target.join("tree/victim")).unwrap().is_file(), overwrite);
    }
}

#[test]
fn a_directory_swapped_for_a_symlink_during_the_transfer_is_not_followed() {
    let pair = pair();
    let outside = pair.target.parent().unwrap().join("outside");
    fs::create_dir(&outside).unwrap();
    pair.put("dir/file", b"payload");
    let mut run = Run::new(&pair, false);
    let (dir, to) = (pair.target.join("tree/dir"), outside.clone());
    run.tamper = Box::new(move |_, _| {
        fs::remove_dir(&dir).unwrap();
        symlink(&to, &dir).unwrap();
    });
    let outcome = run.run_all().unwrap();
    assert!(!outcome.failures.is_empty());
    assert_eq!(fs::read_dir(&outside).unwrap().count(), 0);
}

#[test]
fn directories_and_links_in_the_way_are_conflicts() {
    let pair = pair();
    pair.put("file", b"x");
    symlink("file", pair.source.join("link")).unwrap();
    pair.put("sub/inner", b"y");
    fs::create_dir_all(pair.target.join("tree/file")).unwrap();
    symlink("elsewhere", pair.target.join("tree/link")).unwrap();
    fs::write(pair.target.join("tree/sub"), b"a file").unwrap();
    let outcome = pair.run(false);
    let expected = [
        (1, Conflict::IsDirectory),
        (2, Conflict::DifferentLink),
        (3, Conflict::NotADirectory),
        (4, Conflict::Blocked),
    ];
    assert_eq!(outcome.conflicts, expected);
    let outcome = pair.run(true);
    assert_eq!(outcome.conflicts.len(), 3, "{outcome:?}");
    assert_eq!(fs::read_link(pair.target.join("tree/link")).unwrap(), Path::new("file"));
}

#[test]
fn a_source_file_that_vanishes_or_changes_fails_alone() {
    let pair = pair();
    pair.put("a-gone", b"1");
    pair.put("b-changed", &bytes(2 * CHUNK, 1));
    pair.put("c-stays", b"3");
    let run = Run::new(&pair, false);
    fs::remove_file(pair.source.join("a-gone")).unwrap();
    set_mtime(&pair.source.join("b-changed"), 5, 5);
    let outcome = run.run_all().unwrap();
    assert_eq!(outcome.failures, [(1, EntryError::Source), (2, EntryError::Source)]);
    assert_eq!(pair.got("c-stays"), b"3");
    assert!(!pair.target.join("tree/a-gone").exists() && !pair.target.join("tree/b-changed").exists());
}

#[test]
fn the_source_says_why_it_could_not_read() {
    let pair = pair();
    pair.put("gone", b"1");
    pair.put("link", b"2");
    let run = Run::new(&pair, false);
    fs::remove_file(pair.source.join("gone")).unwrap();
    fs::remove_file(pair.source.join("link")).unwrap();
    symlink("/etc/passwd", pair.source.join("link")).unwrap();
    let mut blocks = Plan::new(run.store.manifest().clone(), Arc::new(run.want.clone()));
    let block = blocks.next().unwrap();
    let mut buf = Buffer::new();
    buf.resize(block.len as usize);
    buf.fill(1);
    let failures = Plain::run(run.source.read_block(&Plain, &block, &mut buf));
    use crate::transfer::source::SourceError::{Changed, Vanished};
    assert_eq!(failures, [(0, Vanished), (1, Changed)]);
    assert!(buf.iter().all(|&byte| byte == 0));
    assert_eq!(run.walked_skips, 0);
}

/// As a child of this process has it between fork and exec.
#[test]
fn a_copy_of_the_lock_does_not_hold_the_target() {
    let pair = pair();
    let first = Target::open(&pair.target).unwrap();
    let copy = first.0.lock.as_ref().unwrap().try_clone().unwrap();
    // A partial file keeps the staging directory, and with it the lock.
    let shelf = pair.target.join(".wirehaul/00");
    fs::create_dir(&shelf).unwrap();
    fs::write(shelf.join(format!("{:032x}.part", 7)), "half").unwrap();
    drop(first);
    assert!(pair.target.join(".wirehaul/lock").exists());
    drop(Target::open(&pair.target).unwrap());
    drop(copy);
}

#[test]
fn two_receivers_in_one_directory_do_not_collide() {
    let pair = pair();
    let first = Target::open(&pair.target).unwrap();
    assert!(matches!(Target::open(&pair.target), Err(StoreError::Busy(_))));
    drop(first);
    drop(Target::open(&pair.target).unwrap());
    assert!(!pair.target.join(".wirehaul").exists());
    assert!(matches!(Target::open(&pair.target.join("none")), Err(StoreError::Open { .. })));
    symlink("/tmp", pair.target.join(".wirehaul")).unwrap();
    assert!(matches!(Target::open(&pair.target), Err(StoreError::Open { .. })));
}

#[test]
fn many_small_files_share_one_commit() {
    let pair = pair();
    for index in 0..700 {
        pair.put(&format!("d{}/f{index}", index % 7), &bytes(index, index as u64));
    }
    let outcome = pair.run(false);
    assert_eq!(outcome.files_done, 700);
    for index in 0..700 {
        assert_eq!(pair.got(&format!("d{}/f{index}", index % 7)), bytes(index, index as u64));
    }
}

#[test]
fn a_group_is_committed_by_age_and_not_before() {
    let pair = pair();
    pair.put("a", b"1");
    let mut run = Run::new(&pair, false);
    let block = Plan::new(run.store.manifest().clone(), Arc::new(run.want.clone())).next().unwrap();
    let TransferDone::Read { block, buf, .. } = run.do_job(TransferJob::read(run.source.clone(), block, Buffer::new()))
    else {
        panic!("a read gives a read")
    };
    let job = run.store.write_job(block, buf);
    let done = run.do_job(job);
    run.store.on_done(done);
    let at = |millis: u64| Instant::from_nanos(millis * 1_000_000);
    assert!(run.store.poll_job(at(10)).is_none());
    assert_eq!(run.store.deadline(), Some(at(1010)));
    assert!(run.store.poll_job(at(1009)).is_none());
    assert!(matches!(run.store.poll_job(at(1010)), Some(TransferJob::Commit(_))));
}

/// Says why a test cannot run here; a failure where the environment demands it.
fn skip(what: &str, why: &str) {
    let required = std::env::var("WIREHAUL_REQUIRE").unwrap_or_default();
    assert!(!required.split(',').any(|item| item == what), "required by WIREHAUL_REQUIRE, but {why}");
    eprintln!("skipped: {why}");
}

#[test]
fn a_full_disk_is_told_apart_and_the_next_run_continues() {
    let pair = pair();
    let mounted = std::process::Command::new("mount")
        .args(["-t", "tmpfs", "-o", "size=2m", "tmpfs"])
        .arg(&pair.target)
        .output()
        .is_ok_and(|output| output.status.success());
    if !mounted {
        return skip("root", "a small tmpfs cannot be mounted (needs root)");
    }
    pair.put("large", &bytes(12 * CHUNK, 3));
    let result = Run::new(&pair, false).run_all();
    let staged = pair.part_files().len();
    let remounted = std::process::Command::new("mount").args(["-o", "remount,size=8m"]).arg(&pair.target).status();
    let resumed = Run::new(&pair, false).run_all();
    let got = fs::read(pair.target.join("tree/large"));
    let unmounted = std::process::Command::new("umount").arg(&pair.target).status();
    assert!(matches!(result, Err(StoreError::DiskFull)), "{result:?}");
    assert_eq!(staged, 1);
    assert!(remounted.unwrap().success() && unmounted.unwrap().success());
    let resumed = resumed.unwrap();
    assert!(resumed.resumed_bytes >= 4 * CHUNK_BYTES, "{resumed:?}");
    assert_eq!(got.unwrap(), bytes(12 * CHUNK, 3));
}

#[test]
fn a_directory_without_write_permission_fails_its_files_alone() {
    let pair = pair();
    pair.put("closed/file", b"1");
    pair.put("open", b"2");
    let closed = pair.target.join("tree/closed");
    fs::create_dir_all(&closed).unwrap();
    fs::set_permissions(&closed, fs::Permissions::from_mode(0o555)).unwrap();
    if fs::write(closed.join("probe"), b"").is_ok() {
        eprintln!("skipped: this user may write everywhere, so no directory is closed to it");
        return;
    }
    let outcome = pair.run(false);
    assert_eq!(outcome.failures, [(2, EntryError::Denied)]);
    assert_eq!(pair.got("open"), b"2");
}
