//! File threads behind two bounded queues: jobs in, outcomes out.

use std::os::fd::BorrowedFd;
use std::sync::Arc;
use std::thread::JoinHandle;

use crossbeam_channel::{Receiver, Sender, bounded};
use thiserror::Error;

use super::plain::Plain;
use super::wake::Alarm;
use super::{Job, complete};

/// Why the engine could not start.
#[derive(Debug, Error)]
pub enum EngineError {
    /// No event descriptor.
    #[error("cannot create the file threads' wake-up descriptor: {0}")]
    Wake(#[source] std::io::Error),
    /// No thread.
    #[error("cannot start a file thread: {0}")]
    Spawn(#[source] std::io::Error),
}

/// Runs jobs somewhere else than on the calling thread. Jobs may finish in any order.
pub struct FileEngine<J: Job> {
    /// `None` only while the engine is dropped.
    jobs: Option<Sender<J>>,
    done: Receiver<J::Done>,
    wake: Arc<Alarm>,
    /// One for each thread that sleeps elsewhere than at the queue of jobs.
    bells: Vec<Arc<Alarm>>,
    in_flight: usize,
    capacity: usize,
    threads: Vec<JoinHandle<()>>,
    name: &'static str,
}

/// What a file thread has to do with.
pub struct Desk<J: Job> {
    /// Its jobs, and those of the other threads: whoever is free takes the next.
    pub jobs: Receiver<J>,
    done: Sender<J::Done>,
    wake: Arc<Alarm>,
}

impl<J: Job> Desk<J> {
    /// Hands in what came of a job; `false` where nobody takes it any more.
    #[must_use]
    pub fn hand_in(&self, done: J::Done) -> bool {
        // The queue holds as many as can be in flight, so this never blocks; it fails once the engine is dropped.
        let taken = self.done.send(done).is_ok();
        if taken {
            self.wake.notify();
        }
        taken
    }
}

/// How many threads serve this machine: as many as it has CPUs, 2 to 4. File work mostly waits, or hashes.
pub fn default_threads() -> usize {
    std::thread::available_parallelism().map_or(2, usize::from).clamp(2, 4)
}

impl<J: Job> FileEngine<J> {
    /// Ordinary threads and blocking calls (URING-2), which every system can run: `threads` of them (at least one), that have at
    /// most `capacity` jobs (at least one) under way.
    ///
    /// # Errors
    /// The system refuses a descriptor or a thread.
    pub fn plain(threads: usize, capacity: usize) -> Result<Self, EngineError> {
        let (mut engine, desk) = Self::unmanned("sync", capacity)?;
        for _ in 0..threads.max(1) {
            engine.man(desk(), None, |desk| {
                while let Ok(job) = desk.jobs.recv() {
                    if !desk.hand_in(Plain::run(complete(job, &Plain))) {
                        return;
                    }
                }
            })?;
        }
        Ok(engine)
    }

    /// An engine without threads, and what gives a desk for each.
    pub(crate) fn unmanned(name: &'static str, capacity: usize) -> Result<(Self, impl Fn() -> Desk<J>), EngineError> {
        let capacity = capacity.max(1);
        let wake = Arc::new(Alarm::new().map_err(EngineError::Wake)?);
        let (jobs, job_queue) = bounded(capacity);
        let (done_queue, done) = bounded(capacity);
        let desk = {
            let wake = Arc::clone(&wake);
            move || Desk { jobs: job_queue.clone(), done: done_queue.clone(), wake: Arc::clone(&wake) }
        };
        let (bells, threads) = (Vec::new(), Vec::new());
        Ok((Self { jobs: Some(jobs), done, wake, bells, in_flight: 0, capacity, threads, name }, desk))
    }

    /// Starts a thread that runs `work`. One that sleeps elsewhere than at its queue of jobs is woken by its `bell`.
    pub(crate) fn man(
        &mut self,
        desk: Desk<J>,
        bell: Option<Arc<Alarm>>,
        work: impl FnOnce(Desk<J>) + Send + 'static,
    ) -> Result<(), EngineError> {
        let name = format!("file-{}", self.threads.len());
        let thread = std::thread::Builder::new().name(name).spawn(move || work(desk)).map_err(EngineError::Spawn)?;
        self.threads.push(thread);
        self.bells.extend(bell);
        Ok(())
    }

    /// Starts `job`.
    ///
    /// # Errors
    /// Gives the job back if [`FileEngine::capacity`] jobs are under way: poll first.
    pub fn submit(&mut self, job: J) -> Result<(), J> {
        match &self.jobs {
            Some(jobs) if self.in_flight < self.capacity => {
                jobs.try_send(job).map_err(crossbeam_channel::TrySendError::into_inner)?;
                self.in_flight += 1;
                // Whoever is awake looks at the queue before it sleeps.
                let _ = self.bells.iter().any(|bell| bell.notify());
                Ok(())
            }
            _ => Err(job),
        }
    }

    /// The next finished job, if one is. Never blocks.
    pub fn poll(&mut self) -> Option<J::Done> {
        let done = self.done.try_recv().ok()?;
        self.in_flight -= 1;
        Some(done)
    }

    /// Jobs submitted and not yet polled.
    #[must_use]
    pub fn in_flight(&self) -> usize {
        self.in_flight
    }

    /// Most jobs under way at once.
    #[must_use]
    pub fn capacity(&self) -> usize {
        self.capacity
    }

    /// To be called before the caller sleeps on [`FileEngine::wake_fd`]: from now on the next finished job makes it
    /// readable. Gives `true` if one is finished already; then the caller polls instead of sleeping. Without this call
    /// no wake-up is written, so a caller that is busy anyway costs no system calls.
    pub fn prepare_wait(&mut self) -> bool {
        self.wake.arm();
        !self.done.is_empty()
    }

    /// Becomes readable when a job finishes after [`FileEngine::prepare_wait`]; for `poll` or `epoll` only.
    #[must_use]
    pub fn wake_fd(&self) -> BorrowedFd<'_> {
        self.wake.fd()
    }

    /// The engine's name for people and summaries.
    #[must_use]
    pub const fn name(&self) -> &'static str {
        self.name
    }
}

impl<J: Job> Drop for FileEngine<J> {
    fn drop(&mut self) {
        // The threads leave when the queue is closed and empty. Jobs that are queued still run: they are writes of
        // data that was received and verified.
        self.jobs = None;
        self.bells.iter().for_each(|bell| {
            bell.notify();
        });
        for thread in self.threads.drain(..) {
            let _ = thread.join();
        }
    }
}

#[cfg(test)]
mod tests {
    use rustix::event::{PollFd, PollFlags, Timespec, poll};

    use super::*;
    use crate::io::disk::Disk;

    struct Square(u64);

    impl Job for Square {
        type Done = Result<u64, u64>;

        async fn run(&mut self, _: &impl Disk) -> Self::Done {
            assert!(self.0 != 13, "a job that panics (expected by the test)");
            Ok(self.0 * self.0)
        }

        fn abandon(&mut self) -> Self::Done {
            Err(self.0)
        }
    }

    fn sleep_until_done(engine: &mut FileEngine<Square>) {
        if !engine.prepare_wait() {
            let mut fds = [PollFd::from_borrowed_fd(engine.wake_fd(), PollFlags::IN)];
            let ready = poll(&mut fds, Some(&Timespec { tv_sec: 20, tv_nsec: 0 })).unwrap();
            assert_eq!(ready, 1, "the wake-up never came");
        }
    }

    #[test]
    fn every_job_comes_back_once_and_a_full_engine_gives_the_job_back() {
        let mut engine = FileEngine::plain(3, 8).unwrap();
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
        let mut engine = FileEngine::plain(1, 64).unwrap();
        for n in 20..60 {
            assert!(engine.submit(Square(n)).is_ok());
        }
        drop(engine);
    }
}
