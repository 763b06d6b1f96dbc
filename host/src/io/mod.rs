//! File I/O off the packet threads.
//!
//! A packet thread never waits for a disk: it submits jobs, goes on with its packets, and collects what is done. Jobs
//! own their buffers and give them back, so no buffer is shared and none is freed while the system still uses it.

pub mod buffer;
pub mod disk;
pub mod engine;
pub mod file;
pub(crate) mod os;
pub mod plain;
pub mod scratch;
pub mod wake;

use std::future::poll_fn;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::pin;
use std::task::Poll;

use disk::Disk;

/// A unit of file work.
pub trait Job: Send + 'static {
    /// What is left when the work is done: the outcome, and the buffers for reuse.
    type Done: Send + 'static;

    /// Does the work on a file thread. What may wait for a device is asked of `disk`.
    fn run(&mut self, disk: &impl Disk) -> impl Future<Output = Self::Done>;

    /// The outcome of a job whose [`Job::run`] panicked: everything in it failed.
    fn abandon(&mut self) -> Self::Done;
}

/// Does the work of `job`, and has an outcome also if it panics.
pub async fn complete<J: Job>(mut job: J, disk: &impl Disk) -> J::Done {
    let ran = {
        let mut run = pin!(job.run(disk));
        // After a panic the job is dropped, apart from what `abandon` takes out: nothing half-changed is used again.
        poll_fn(|context| match catch_unwind(AssertUnwindSafe(|| run.as_mut().poll(context))) {
            Ok(Poll::Ready(done)) => Poll::Ready(Some(done)),
            Ok(Poll::Pending) => Poll::Pending,
            Err(_) => Poll::Ready(None),
        })
        .await
    };
    ran.unwrap_or_else(|| job.abandon())
}
