//! The engine of ordinary threads and blocking calls (URING-2): what every system can run.

use std::os::fd::BorrowedFd;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::thread::JoinHandle;

use crossbeam_channel::{Receiver, Sender, bounded};
use thiserror::Error;

use super::wake::Alarm;
use super::{FileEngine, Job};

/// Why the engine could not start.
#[derive(Debug, Error)]
pub enum ThreadsError {
    /// No event descriptor.
    #[error("cannot create the file threads' wake-up descriptor: {0}")]
    Wake(#[source] std::io::Error),
    /// No thread.
    #[error("cannot start a file thread: {0}")]
    Spawn(#[source] std::io::Error),
}

/// A pool of threads behind two bounded queues.
pub struct ThreadEngine<J: Job> {
    /// `None` only while the engine is dropped.
    jobs: Option<Sender<J>>,
    done: Receiver<J::Done>,
    wake: Arc<Alarm>,
    in_flight: usize,
    capacity: usize,
    threads: Vec<JoinHandle<()>>,
}

/// How many threads serve this machine: as many as it has CPUs, 2 to 4. File work mostly waits, or hashes.
pub fn default_threads() -> usize {
    std::thread::available_parallelism().map_or(2, usize::from).clamp(2, 4)
}

impl<J: Job> ThreadEngine<J> {
    /// Starts `threads` threads (at least one) that have at most `capacity` jobs (at least one) under way.
    ///
    /// # Errors
    /// The system refuses a descriptor or a thread.
    pub fn new(threads: usize, capacity: usize) -> Result<Self, ThreadsError> {
        let capacity = capacity.max(1);
        let wake = Arc::new(Alarm::new().map_err(ThreadsError::Wake)?);
        let (jobs, job_queue) = bounded(capacity);
        let (done_queue, done) = bounded(capacity);
        let mut engine = Self { jobs: Some(jobs), done, wake, in_flight: 0, capacity, threads: Vec::new() };
        for index in 0..threads.max(1) {
            let (jobs, done, wake) = (job_queue.clone(), done_queue.clone(), engine.wake.clone());
            let thread = std::thread::Builder::new()
                .name(format!("file-{index}"))
                .spawn(move || work(&jobs, &done, &wake))
                .map_err(ThreadsError::Spawn)?;
            engine.threads.push(thread);
        }
        Ok(engine)
    }
}

fn work<J: Job>(jobs: &Receiver<J>, done: &Sender<J::Done>, wake: &Alarm) {
    while let Ok(mut job) = jobs.recv() {
        // A job is dropped after a panic, apart from what `abandon` takes out: nothing half-changed is used again.
        let outcome = catch_unwind(AssertUnwindSafe(|| job.run())).unwrap_or_else(|_| job.abandon());
        // The queue holds as many as can be in flight, so this never blocks; it fails once the engine is dropped.
        if done.send(outcome).is_err() {
            return;
        }
        wake.notify();
    }
}

impl<J: Job> FileEngine<J> for ThreadEngine<J> {
    fn submit(&mut self, job: J) -> Result<(), J> {
        match &self.jobs {
            Some(jobs) if self.in_flight < self.capacity => {
                jobs.try_send(job).map_err(crossbeam_channel::TrySendError::into_inner)?;
                self.in_flight += 1;
                Ok(())
            }
            _ => Err(job),
        }
    }

    fn poll(&mut self) -> Option<J::Done> {
        let done = self.done.try_recv().ok()?;
        self.in_flight -= 1;
        Some(done)
    }

    fn in_flight(&self) -> usize {
        self.in_flight
    }

    fn capacity(&self) -> usize {
        self.capacity
    }

    fn prepare_wait(&mut self) -> bool {
        self.wake.arm();
        !self.done.is_empty()
    }

    fn wake_fd(&self) -> BorrowedFd<'_> {
        self.wake.fd()
    }

    fn name(&self) -> &'static str {
        "sync"
    }
}

impl<J: Job> Drop for ThreadEngine<J> {
    fn drop(&mut self) {
        // The threads leave when the queue is closed and empty. Jobs that are queued still run: they are writes of
        // data that was received and verified.
        self.jobs = None;
        for thread in self.threads.drain(..) {
            let _ = thread.join();
        }
    }
}

#[cfg(test)]
mod tests {
    use rustix::event::{PollFd, PollFlags, Timespec, poll};

    use super::*;

    struct Square(u64);

    impl Job for Square {
        type Done = Result<u64, u64>;

        fn run(&mut self) -> Self::Done {
            assert!(self.0 != 13, "a job that panics (expected by the test)");
            Ok(self.0 * self.0)
        }

        fn abandon(&mut self) -> Self::Done {
            Err(self.0)
        }
    }

    fn sleep_until_done(engine: &mut ThreadEngine<Square>) {
        if !engine.prepare_wait() {
            let mut fds = [PollFd::from_borrowed_fd(engine.wake_fd(), PollFlags::IN)];
            let ready = poll(&mut fds, Some(&Timespec { tv_sec: 20, tv_nsec: 0 })).unwrap();
            assert_eq!(ready, 1, "the wake-up never came");
        }
    }

    #[test]
    fn every_job_comes_back_once_and_a_full_engine_gives_the_job_back() {
        let mut engine = ThreadEngine::new(3, 8).unwrap();
        let (mut sum, mut next, mut failed) = (0, 0, Vec::new());
        while next < 2000 || engine.in_flight() > 0 {
            while next < 2000 && engine.submit(Square(next)).is_ok() {
                next += 1;
            }
            assert!(engine.in_flight() <= engine.capacity());
            sleep_until_done(&mut engine);
            while let Some(done) = engine.poll() {
                match done {
                    Ok(square) => sum += square,
                    Err(job) => failed.push(job),
                }
            }
        }
        assert_eq!(failed, [13]);
        assert_eq!(sum, (0..2000_u64).map(|n| n * n).sum::<u64>() - 169);
    }

    #[test]
    fn dropping_the_engine_finishes_what_was_submitted() {
        let mut engine = ThreadEngine::new(1, 64).unwrap();
        for n in 20..60 {
            assert!(engine.submit(Square(n)).is_ok());
        }
        drop(engine);
    }
}
