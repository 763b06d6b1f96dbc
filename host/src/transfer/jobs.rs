//! The jobs of all transfers of a receiver, on their way to the file threads and back.
//!
//! A transfer's look at the target directory must not meet a write or a rename of a transfer that has ended: a sender
//! that was killed and started again would find its own files as conflicts. So examinations wait until every job of
//! ended transfers is done, and until those of other workers that were overtaken have let go of the files.

use std::collections::VecDeque;
use std::os::fd::BorrowedFd;
use std::sync::Arc;

use wirehaul_core::worker::SessionId;

use super::claims::{Claim, overtaken_so_far};
use super::job::{TransferDone, TransferJob};
use super::manifest::Manifest;
use super::store::{Store, StoreError, StoreOptions, Target};
use super::want::Want;
use crate::io::Job;
use crate::io::disk::Disk;
use crate::io::engine::FileEngine;

/// A job of one of the transfers.
pub struct TaggedJob {
    transfer: SessionId,
    work: Work,
}

enum Work {
    Examine { target: Target, manifest: Arc<Manifest>, options: StoreOptions },
    File(TransferJob),
}

/// What is left of a job.
pub struct TaggedDone {
    /// Whose job it was; that transfer may have ended.
    pub transfer: SessionId,
    /// What came of it.
    pub done: WorkDone,
}

/// What came of a job.
pub enum WorkDone {
    /// The target directory was looked at.
    Examined(Box<Result<(Store, Want), StoreError>>),
    /// A store's job is done.
    File(TransferDone),
    /// Looking at the target directory failed in a way that it never should.
    Abandoned,
}

impl Job for TaggedJob {
    type Done = TaggedDone;

    async fn run(&mut self, disk: &impl Disk) -> TaggedDone {
        let done = match &mut self.work {
            Work::Examine { target, manifest, options } => {
                let (target, manifest, options) = (target.clone(), Arc::clone(manifest), *options);
                let examined = disk.blocking(move || Store::examine(target, manifest, options)).await;
                WorkDone::Examined(Box::new(examined))
            }
            Work::File(job) => WorkDone::File(job.run(disk).await),
        };
        TaggedDone { transfer: self.transfer, done }
    }

    fn abandon(&mut self) -> TaggedDone {
        let done = match &mut self.work {
            Work::Examine { .. } => WorkDone::Abandoned,
            Work::File(job) => WorkDone::File(job.abandon()),
        };
        TaggedDone { transfer: self.transfer, done }
    }
}

/// The queue in front of the engine.
pub struct JobQueue {
    engine: FileEngine<TaggedJob>,
    /// Jobs that the engine had no room for.
    held_up: VecDeque<TaggedJob>,
    examinations: Vec<TaggedJob>,
    /// Jobs in the engine, by transfer; few transfers, so a linear search finds them fastest.
    running: Vec<(SessionId, usize)>,
    /// What is claimed, until the last job of the transfer is done.
    claims: Vec<(SessionId, Claim)>,
    /// How many claims of the process had been overtaken when ours were looked at.
    seen_overtaken: u64,
    /// Whether a transfer or its last job ended, or another one waits to begin, since claims were looked at.
    is_unsettled: bool,
}

impl JobQueue {
    /// A queue in front of `engine`.
    pub fn new(engine: FileEngine<TaggedJob>) -> Self {
        Self {
            engine,
            held_up: VecDeque::new(),
            examinations: Vec::new(),
            running: Vec::new(),
            claims: Vec::new(),
            seen_overtaken: 0,
            is_unsettled: false,
        }
    }

    /// Queues a job of a store.
    pub fn push(&mut self, transfer: SessionId, job: TransferJob) {
        self.held_up.push_back(TaggedJob { transfer, work: Work::File(job) });
    }

    /// Claims the files of a transfer, and queues the look at the target directory that it begins with.
    pub fn push_examination(
        &mut self,
        transfer: SessionId,
        target: Target,
        manifest: Arc<Manifest>,
        options: StoreOptions,
    ) {
        self.claims.push((transfer, target.claims().claim(Arc::clone(&manifest))));
        self.examinations.push(TaggedJob { transfer, work: Work::Examine { target, manifest, options } });
        self.is_unsettled = true;
    }

    /// Transfers whose files a newer one wants, also those that have ended and have jobs to come back. None where none came to be so
    /// since the last call.
    pub fn overtaken(&mut self) -> Vec<SessionId> {
        let overtaken = overtaken_so_far();
        if overtaken == self.seen_overtaken {
            return Vec::new();
        }
        self.seen_overtaken = overtaken;
        self.claims.iter().filter(|(_, claim)| claim.is_overtaken()).map(|(transfer, _)| *transfer).collect()
    }

    /// Forgets the jobs of a transfer that did not begin; those that did come back.
    pub fn forget(&mut self, transfer: SessionId) {
        self.held_up.retain(|job| job.transfer != transfer);
        self.examinations.retain(|job| job.transfer != transfer);
        self.is_unsettled = true;
    }

    /// A transfer has ended: what it claimed is free when its last job is done.
    pub const fn settle(&mut self) {
        self.is_unsettled = true;
    }

    /// Starts what can be started; `is_live` tells whether a transfer still goes on. Returns whether there was anything.
    pub fn submit(&mut self, is_live: impl Fn(SessionId) -> bool) -> bool {
        if self.is_unsettled {
            self.settle_claims(is_live);
        }
        let mut worked = false;
        while let Some(job) = self.held_up.pop_front() {
            let transfer = job.transfer;
            if let Err(job) = self.engine.submit(job) {
                self.held_up.push_front(job);
                break;
            }
            match self.running.iter_mut().find(|(running, _)| *running == transfer) {
                Some((_, count)) => *count += 1,
                None => self.running.push((transfer, 1)),
            }
            worked = true;
        }
        worked
    }

    /// Lets go of what nobody needs any more, and lets examinations begin that waited for it.
    fn settle_claims(&mut self, is_live: impl Fn(SessionId) -> bool) {
        let Self { running, claims, examinations, held_up, .. } = self;
        claims.retain(|(id, _)| is_live(*id) || running.iter().any(|(running, _)| running == id));
        if running.iter().all(|(transfer, _)| is_live(*transfer)) {
            let is_clear = |id: SessionId| claims.iter().all(|(claiming, claim)| *claiming != id || claim.is_clear());
            held_up.extend(examinations.extract_if(.., |examination| is_clear(examination.transfer)));
        }
        // Those that wait may be waiting for another worker, which does not tell.
        self.is_unsettled = !examinations.is_empty();
    }

    /// The next job that is done, if one is.
    pub fn poll(&mut self) -> Option<TaggedDone> {
        let done = self.engine.poll()?;
        if let Some(at) = self.running.iter().position(|(transfer, _)| *transfer == done.transfer) {
            self.running[at].1 -= 1;
            if self.running[at].1 == 0 {
                self.running.swap_remove(at);
                self.is_unsettled = true;
            }
        }
        Some(done)
    }

    /// See [`FileEngine::prepare_wait`].
    pub fn prepare_wait(&mut self) -> bool {
        self.engine.prepare_wait()
    }

    /// See [`FileEngine::wake_fd`].
    pub fn wake_fd(&self) -> BorrowedFd<'_> {
        self.engine.wake_fd()
    }
}
