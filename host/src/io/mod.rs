//! File I/O off the packet threads.
//!
//! A packet thread never waits for a disk: it submits jobs, goes on with its packets, and collects what is done. Jobs
//! own their buffers and give them back, so no buffer is shared and none is freed while the system still uses it.

pub mod buffer;
#[cfg(unix)]
pub mod file;
#[cfg(unix)]
pub mod threads;
#[cfg(unix)]
pub mod wake;

#[cfg(unix)]
use std::os::fd::BorrowedFd;

/// A unit of file work.
pub trait Job: Send + 'static {
    /// What is left when the work is done: the outcome, and the buffers for reuse.
    type Done: Send + 'static;

    /// Does the work; it may block.
    fn run(&mut self) -> Self::Done;

    /// The outcome of a job whose [`Job::run`] panicked: everything in it failed.
    fn abandon(&mut self) -> Self::Done;
}

/// Runs jobs somewhere else than on the calling thread. Jobs may finish in any order.
#[cfg(unix)]
pub trait FileEngine<J: Job> {
    /// Starts `job`.
    ///
    /// # Errors
    /// Gives the job back if [`FileEngine::capacity`] jobs are under way: poll first.
    fn submit(&mut self, job: J) -> Result<(), J>;

    /// The next finished job, if one is. Never blocks.
    fn poll(&mut self) -> Option<J::Done>;

    /// Jobs submitted and not yet polled.
    fn in_flight(&self) -> usize;

    /// Most jobs under way at once.
    fn capacity(&self) -> usize;

    /// To be called before the caller sleeps on [`FileEngine::wake_fd`]: from now on the next finished job makes it
    /// readable. Gives `true` if one is finished already; then the caller polls instead of sleeping. Without this call
    /// no wake-up is written, so a caller that is busy anyway costs no system calls.
    fn prepare_wait(&mut self) -> bool;

    /// Becomes readable when a job finishes after [`FileEngine::prepare_wait`]; for `poll` or `epoll` only.
    fn wake_fd(&self) -> BorrowedFd<'_>;

    /// The engine's name for people and summaries.
    fn name(&self) -> &'static str;
}
