//! Blocking calls: pread(2) and pwrite(2) on as many threads as operations are to be under way, but not more than 16.

use std::fs::File;
use std::os::unix::fs::FileExt as _;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::Duration;

use wirehaul::io::buffer::Buffer;

use super::subject::Subject;
use super::{IoError, Load, Offsets, Run, cpu_seconds, percentile};
use crate::clock::Stopwatch;

const MAX_THREADS: u32 = 16;

/// Works for `time`, after a while of warming up.
///
/// # Errors
/// An operation failed.
pub fn run(subject: &Subject, load: Load, time: Duration) -> Result<Run, IoError> {
    let file = subject.open()?;
    let count = AtomicU64::new(0);
    let warm = time / 4;
    thread::scope(|scope| {
        let threads = (0..load.depth.min(MAX_THREADS)).map(|number| {
            let (file, count) = (&file, &count);
            scope.spawn(move || work(file, subject.size(), load, number, warm + time, count))
        });
        let threads: Vec<_> = threads.collect();
        thread::sleep(warm);
        let (cpu, before, watch) = (cpu_seconds(), count.load(Ordering::Relaxed), Stopwatch::start());
        thread::sleep(time.saturating_sub(Duration::from_millis(50)));
        let ios = (count.load(Ordering::Relaxed) - before) as f64;
        let (seconds, cpu) = (watch.seconds(), cpu_seconds() - cpu);
        let mut latencies = Vec::new();
        for thread in threads {
            latencies.extend(thread.join().map_err(|_| IoError::Operation("a thread panicked".to_owned()))??);
        }
        let latency_us = (load.depth == 1).then(|| (percentile(&mut latencies, 0.5), percentile(&mut latencies, 0.99)));
        Ok(Run { iops: ios / seconds, cpu_us: cpu * 1e6 / ios, per_call: None, latency_us })
    })
}

fn work(
    file: &File,
    size: u64,
    load: Load,
    number: u32,
    time: Duration,
    count: &AtomicU64,
) -> Result<Vec<f64>, IoError> {
    let mut offsets = Offsets::new(load.scenario, size, u64::from(number));
    let mut buffer = Buffer::new();
    buffer.resize(load.scenario.block_bytes() as usize);
    let mut latencies = Vec::new();
    let watch = Stopwatch::start();
    while watch.elapsed() < time {
        let begun = Stopwatch::start();
        let offset = offsets.next_offset();
        if load.scenario.is_write() {
            file.write_all_at(&buffer, offset).map_err(IoError::file("pwrite"))?;
        } else {
            file.read_exact_at(&mut buffer, offset).map_err(IoError::file("pread"))?;
        }
        if load.depth == 1 {
            latencies.push(begun.seconds() * 1e6);
        }
        count.fetch_add(1, Ordering::Relaxed);
    }
    Ok(latencies)
}
