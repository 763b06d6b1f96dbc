//! The product's queue.

use std::sync::Arc;
use std::time::Duration;

use wirehaul::io::buffer::Buffer;
use wirehaul::io::file::File;
use wirehaul::pools::{LastingPool, lasting};
use wirehaul::uring::{Finished, Operation, Output, Queue, QueueOptions, Region, Wait};
use wirehaul_core::pool::Sizing;

use super::subject::Subject;
use super::{IoError, Load, Offsets, Run, cpu_seconds, percentile};
use crate::clock::Stopwatch;

/// Operations between two looks at the clock.
const CLOCK_EVERY: u64 = 64;

/// Memory for the deepest queue of the largest blocks. It is never given back, so there is one for all runs.
#[derive(Debug)]
pub struct Ours {
    small: LastingPool,
    large: LastingPool,
}

impl Ours {
    /// Memory for queues of at most `depth` operations.
    ///
    /// # Errors
    /// There is none.
    pub fn new(depth: u32) -> Result<Self, IoError> {
        let pool = |slot_bytes| lasting(&Sizing { slots_per_session: depth, slot_bytes, ..Sizing::new(1, 1) });
        Ok(Self { small: pool(4096)?, large: pool(256 << 10)? })
    }

    /// Works for `time`, after a while of warming up.
    ///
    /// # Errors
    /// No ring, or an operation failed.
    pub fn run(&self, subject: &Subject, load: Load, time: Duration, iopoll: bool) -> Result<Run, IoError> {
        let pool = if load.scenario.block_bytes() == 4096 { self.small } else { self.large };
        let mut queue = Queue::open(&QueueOptions { entries: load.depth, iopoll, ..QueueOptions::default() })?;
        queue.register_buffers(&[Region::of(pool, usize::MAX)]).map_err(|e| IoError::Operation(e.to_string()))?;
        let mut worker = Worker {
            offsets: Offsets::new(load.scenario, subject.size(), 7),
            queue,
            is_write: load.scenario.is_write(),
            latencies: (load.depth == 1).then(Vec::new),
            begun: Stopwatch::start(),
        };
        worker.fill(&Arc::new(File::new(subject.open()?.into())), pool, load)?;
        worker.work(time / 4)?;
        let (cpu, before) = (cpu_seconds(), worker.queue.statistics());
        if let Some(latencies) = &mut worker.latencies {
            latencies.clear();
        }
        let watch = Stopwatch::start();
        let ios = worker.work(time)? as f64;
        let (seconds, cpu) = (watch.seconds(), cpu_seconds() - cpu);
        let calls = worker.queue.statistics().calls - before.calls;
        if let Some(refused) = worker.queue.polling_refused() {
            eprintln!("io: reads and writes are not polled: {refused}");
        }
        let latency_us = worker.latencies.map(|mut all| (percentile(&mut all, 0.5), percentile(&mut all, 0.99)));
        Ok(Run { iops: ios / seconds, cpu_us: cpu * 1e6 / ios, per_call: Some(ios / calls.max(1) as f64), latency_us })
    }
}

struct Worker {
    queue: Queue,
    offsets: Offsets,
    is_write: bool,
    latencies: Option<Vec<f64>>,
    /// The operation, at depth 1.
    begun: Stopwatch,
}

impl Worker {
    /// Begins as many operations as there are to be under way.
    fn fill(&mut self, file: &Arc<File>, pool: LastingPool, load: Load) -> Result<(), IoError> {
        let len = load.scenario.block_bytes() as usize;
        for _ in 0..load.depth {
            let slot = pool.take().ok_or_else(|| IoError::Operation("the pool is empty".to_owned()))?;
            let mut buffer = Buffer::in_slot(slot);
            buffer.resize(len);
            let offset = self.offsets.next_offset();
            let (file, range) = (file.clone(), 0..len);
            self.begin(if self.is_write {
                Operation::Write { file, buffer, range, offset }
            } else {
                Operation::Read { file, buffer, range, offset }
            })?;
        }
        Ok(())
    }

    #[inline]
    fn begin(&mut self, operation: Operation) -> Result<(), IoError> {
        if self.latencies.is_some() {
            self.begun = Stopwatch::start();
        }
        self.queue.submit(operation, 0).map_err(|_| IoError::Operation("the queue is full".to_owned()))
    }

    /// Replaces each finished operation by another, until the time is over; how many that were.
    fn work(&mut self, time: Duration) -> Result<u64, IoError> {
        let watch = Stopwatch::start();
        let (mut count, mut next_look) = (0, 0);
        loop {
            while let Some(finished) = self.queue.poll() {
                if let Some(latencies) = &mut self.latencies {
                    latencies.push(self.begun.seconds() * 1e6);
                }
                let operation = self.again(finished)?;
                self.begin(operation)?;
                count += 1;
            }
            if count >= next_look {
                if watch.elapsed() >= time {
                    return Ok(count);
                }
                next_look = count + CLOCK_EVERY;
            }
            self.queue.enter(Wait::One).map_err(|errno| IoError::Operation(errno.to_string()))?;
        }
    }

    #[inline]
    fn again(&mut self, finished: Finished) -> Result<Operation, IoError> {
        let Finished { operation, result, .. } = finished;
        match (result, operation) {
            (Ok(Output::Bytes(bytes)), Operation::Read { file, buffer, range, .. }) if bytes == range.len() as u64 => {
                let offset = self.offsets.next_offset();
                Ok(Operation::Read { file, buffer, range, offset })
            }
            (Ok(Output::Bytes(_)), Operation::Write { file, buffer, range, .. }) => {
                let offset = self.offsets.next_offset();
                Ok(Operation::Write { file, buffer, range, offset })
            }
            (result, operation) => Err(IoError::Operation(format!("{result:?} of {operation:?}"))),
        }
    }
}
