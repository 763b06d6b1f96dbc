//! Measures the file path without a network: walk, read, hash, verify, write, commit, with the thread engine.
//!
//! `cargo run --release --example file_path -- DIR` makes its files in DIR and removes them.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::disallowed_methods)]

use std::path::Path;
use std::sync::Arc;
use std::time::Instant as Wall;

use wirehaul::io::engine::{FileEngine, default_threads};
use wirehaul::transfer::job::{TransferDone, TransferJob};
use wirehaul::transfer::plan::Plan;
use wirehaul::transfer::source::{FileSource, RootMerger};
use wirehaul::transfer::store::{Store, StoreOptions, Target};
use wirehaul::transfer::walk::walk;
use wirehaul_core::time::Instant;

/// Blocks under way.
const DEPTH: usize = 16;

fn main() {
    let dir = std::env::args().nth(1).expect("name a directory to measure in");
    let dir = tempfile::tempdir_in(dir).unwrap();
    // Set to keep the files: ext4 is slow to use inodes again that were freed within the last minute.
    let keep = std::env::var_os("KEEP").is_some();
    let threads = default_threads();
    println!("{threads} file threads");
    let only = std::env::args().nth(2);
    let small = dir.path().join("small");
    for index in 0..100_000_u32 {
        if index % 1000 == 0 {
            std::fs::create_dir_all(small.join(format!("{:03}", index / 1000))).unwrap();
        }
        let data = vec![index as u8; 1024 + index as usize % 3072];
        std::fs::write(small.join(format!("{:03}/{index:06}", index / 1000)), data).unwrap();
    }
    let large = dir.path().join("large");
    let block: Vec<u8> = (0..1 << 20).map(|index: u32| (index.wrapping_mul(2_654_435_761) >> 13) as u8).collect();
    let data: Vec<u8> = block.iter().copied().cycle().take(1 << 30).collect();
    std::fs::write(&large, data).unwrap();
    rustix::fs::syncfs(std::fs::File::open(dir.path()).unwrap()).unwrap();
    let dir = if keep { dir.keep() } else { dir.path().to_path_buf() };
    for round in 0..3 {
        for source in [&small, &large] {
            if only.as_deref().is_some_and(|only| !source.ends_with(only)) {
                continue;
            }
            let target = dir.join(format!("target-{round}"));
            std::fs::create_dir_all(&target).unwrap();
            measure(source, &target, threads);
        }
    }
}

fn measure(source: &Path, target: &Path, threads: usize) {
    let start = Wall::now();
    let walked = walk(&[source.to_path_buf()]).unwrap();
    let walk_s = start.elapsed().as_secs_f64();
    let manifest = Arc::new(walked.manifest);
    let source: Arc<FileSource> = Arc::new(FileSource::new(manifest.clone(), walked.roots));
    let (mut store, want) =
        Store::examine(Target::open(target).unwrap(), manifest.clone(), StoreOptions::default()).unwrap();
    let examine_s = start.elapsed().as_secs_f64() - walk_s;
    let now = || Instant::from_nanos(start.elapsed().as_nanos() as u64);
    let mut plan = Plan::new(manifest.clone(), Arc::new(want)).peekable();
    let mut engine = FileEngine::plain(threads, 2 * DEPTH).unwrap();
    let mut merger = RootMerger::new();
    // Reads may overtake each other; the file hash needs them in order.
    let (mut next, mut waiting) = (0, std::collections::BTreeMap::new());
    let mut spare: Vec<wirehaul::io::buffer::Buffer> = Vec::new();
    let mut data_s = 0.0;
    let mut ended = false;
    while !store.is_finished() {
        while engine.in_flight() + waiting.len() < DEPTH && plan.peek().is_some() {
            let block = plan.next().unwrap();
            let buf = spare.pop().unwrap_or_default();
            assert!(engine.submit(TransferJob::read(source.clone(), block, buf)).is_ok());
        }
        if !ended && plan.peek().is_none() && engine.in_flight() == 0 {
            data_s = start.elapsed().as_secs_f64();
            assert!(store.end_round().is_nothing());
            ended = true;
        }
        if let Some(job) = store.poll_job(now()) {
            assert!(engine.submit(job).is_ok());
        }
        if engine.in_flight() > 0 && !engine.prepare_wait() {
            let mut fds = [rustix::event::PollFd::from_borrowed_fd(engine.wake_fd(), rustix::event::PollFlags::IN)];
            rustix::event::poll(&mut fds, None).unwrap();
        }
        while let Some(done) = engine.poll() {
            match done {
                TransferDone::Read { block, buf, failures } => {
                    assert!(failures.is_empty());
                    waiting.insert(block.index, (block, buf));
                }
                done => spare.extend(store.on_done(done)),
            }
            assert!(store.take_fatal().is_none());
        }
        while let Some((block, mut buf)) = waiting.remove(&next) {
            merger.merge(&block, &mut buf);
            assert!(engine.submit(store.write_job(block, buf)).is_ok());
            next += 1;
        }
    }
    let total_s = start.elapsed().as_secs_f64();
    let outcome = store.close();
    assert!(outcome.conflicts.is_empty() && outcome.failures.is_empty());
    println!(
        "{:>6} files {:>11} bytes: walk {walk_s:.3} s, examine {examine_s:.3} s, data at {data_s:.3} s, durable at {total_s:.3} s, {:.2} GB/s",
        outcome.files_done,
        outcome.stored_bytes,
        outcome.stored_bytes as f64 / total_s / 1e9
    );
}
