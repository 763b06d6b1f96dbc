//! The thread of a ring: jobs come in, their operations go to the kernel together, and what is finished wakes them.

use std::sync::Arc;

use crossbeam_channel::TryRecvError;

use super::disk::RingDisk;
use super::queue::{Queue, Wait};
use super::ring::Ring;
use super::tasks::Tasks;
use crate::io::engine::Desk;
use crate::io::file::File;
use crate::io::wake::Alarm;
use crate::io::{Job, complete};

/// Jobs of one thread under way at once: each has one operation under way or two, and a disk is busy with half as many.
const JOBS_AT_ONCE: usize = 32;

/// Does jobs until there are none to come.
pub(super) fn work<J: Job, R: Ring>(desk: Desk<J>, bell: Arc<Alarm>, queue: Queue<R>) {
    let Ok(watched) = bell.fd().try_clone_to_owned() else { return };
    let watched = Arc::new(File::new(watched));
    let disk = RingDisk::new(queue);
    let mut tasks = Tasks::new(JOBS_AT_ONCE, Arc::clone(&bell));
    let (mut is_watching, mut is_closing) = (false, false);
    // One at a time: what is in the queue of jobs, another thread may take.
    let take_job = |tasks: &mut Tasks<_>, is_closing: &mut bool| {
        if !tasks.has_room() || *is_closing {
            return false;
        }
        match desk.jobs.try_recv() {
            Ok(job) => {
                let disk = disk.clone();
                tasks.start(async move { complete(job, &disk).await }).is_ok()
            }
            Err(TryRecvError::Empty) => false,
            Err(TryRecvError::Disconnected) => {
                *is_closing = true;
                true
            }
        }
    };
    while !(is_closing && tasks.is_empty()) {
        let (rung, mut worked) = disk.collect();
        is_watching &= !rung;
        worked |= tasks.run(|done| {
            // Where nobody takes it, the engine is gone, and this thread is the last to know.
            let _ = desk.hand_in(done);
        });
        worked |= take_job(&mut tasks, &mut is_closing);
        if worked {
            // What is finished is not seen before the kernel is asked (IORING_SETUP_DEFER_TASKRUN).
            disk.enter(Wait::No);
            continue;
        }
        bell.arm();
        // What came before the bell was armed rings no bell.
        if !tasks.is_ready() && !take_job(&mut tasks, &mut is_closing) {
            is_watching = is_watching || disk.watch(Arc::clone(&watched));
            disk.enter(Wait::One);
        }
        bell.disarm();
    }
}
