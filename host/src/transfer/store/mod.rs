//! The receiver's side of the disk (XFER-3, XFER-4, XFER-5).
//!
//! The target directory is opened once and everything below it is reached name by name, never through a symlink.
//! Files grow in `.wirehaul` under names that depend on what they are, so the next run finds what this one leaves.
//! A [`Store`] decides and counts; the file threads do the work through [`StoreFiles`].
//!
//! Use: [`Target::open`], [`Store::examine`], then for each block of the plan [`Store::write_job`]; every finished job
//! goes to [`Store::on_done`]; [`Store::poll_job`] gives the jobs that the store itself needs. When all blocks of a
//! round are done, [`Store::end_round`] says what is wanted next. When nothing is, `poll_job` goes on to give jobs
//! until [`Store::is_finished`], and [`Store::close`] sums up.

mod commit;
mod direct;
mod error;
mod examine;
mod files;
mod staging;
mod targets;
#[cfg(test)]
mod tests;
/// The same once more, with rings in place of ordinary calls (URING-2).
#[cfg(all(test, target_os = "linux"))]
#[allow(clippy::duplicate_mod, reason = "what it does differently it reads off its own name")]
#[path = "tests.rs"]
mod tests_on_rings;
mod usage;

pub use commit::{CommitFault, CommitGroup, CommitItem, CommitReport, FinishJob, FinishReport};
pub use error::{Conflict, EntryError, StoreError};
pub use files::{Outcomes, PieceOutcome, StoreFiles};
pub use staging::Target;
pub use targets::Targets;

use std::collections::HashMap;
use std::sync::Arc;

use wirehaul_core::time::{Duration, Instant};

use super::job::{TransferDone, TransferJob};
use super::manifest::{Manifest, chunk_count};
use super::plan::{Block, Piece};
use super::quota::Quota;
use super::tree::Hash;
use super::want::{PieceMode, Want};
use crate::io::buffer::Buffer;
use files::Place;

/// A group of files is committed when it has this many,
const GROUP_FILES: usize = 16_384;
/// or this many bytes,
const GROUP_BYTES: u64 = 256 * 1024 * 1024;
/// or when it is this old.
const GROUP_AGE: Duration = Duration::from_secs(1);
/// What is tried with the journal of a partial file.
const JOURNAL_READ: &str = "read the journal of";
/// A chunk that does not match its hash in this many rounds fails its file.
const MAX_ROUNDS: u32 = 5;

/// What the user chose.
#[derive(Debug, Clone, Copy, Default)]
pub struct StoreOptions {
    /// Replace existing files and links that differ.
    pub overwrite: bool,
    /// What the directory may hold.
    pub quota: Option<Quota>,
}

/// Where an entry stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    /// Nothing more happens to it: done, failed or in conflict.
    Settled,
    /// To be wanted, for the first time or from the start.
    Deferred,
    /// Wanted in this round.
    Wanted,
    /// Wanted again: what did not match.
    Retry,
    /// Differs from the file under its name, which may be replaced: wanted from the start in the next round.
    Restage,
    /// All chunks are on disk; it waits for its commit.
    Committing,
    /// A link or directory, to be done at the end.
    AtEnd,
}

/// A file of several chunks, some of which are done.
#[derive(Debug, Default)]
struct Partial {
    done: Vec<u64>,
    done_count: u64,
    root: Option<Hash>,
}

impl Partial {
    fn new(chunks: u64) -> Self {
        Self { done: vec![0; chunks.div_ceil(64) as usize], ..Self::default() }
    }

    fn insert(&mut self, chunk: u64) {
        let (word, bit) = (&mut self.done[(chunk / 64) as usize], 1 << (chunk % 64));
        self.done_count += u64::from(*word & bit == 0);
        *word |= bit;
    }

    fn contains(&self, chunk: u64) -> bool {
        self.done[(chunk / 64) as usize] & 1 << (chunk % 64) != 0
    }
}

/// What a transfer came to.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct StoreOutcome {
    /// Files that are now whole under their names, whether they came now or were there.
    pub files_done: u64,
    /// Links and directories likewise.
    pub others_done: u64,
    /// Bytes of files that came in this run and matched their hash (holes included).
    pub stored_bytes: u64,
    /// Bytes that were on disk already and matched their hash.
    pub resumed_bytes: u64,
    /// Entries that something was in the way of.
    pub conflicts: Vec<(u32, Conflict)>,
    /// Entries that failed.
    pub failures: Vec<(u32, EntryError)>,
}

/// Files waiting to be committed together.
#[derive(Debug, Default)]
struct Group {
    items: Vec<CommitItem>,
    bytes: u64,
    since: Option<Instant>,
}

/// The receiver's view of a transfer: what is there, what is wanted, what is done.
#[derive(Debug)]
pub struct Store {
    files: Arc<StoreFiles>,
    manifest: Arc<Manifest>,
    options: StoreOptions,
    states: Vec<State>,
    partials: HashMap<u32, Partial>,
    group: Group,
    commit_under_way: bool,
    blocks_under_way: u64,
    rounds: u32,
    /// Nothing is wanted any more.
    data_complete: bool,
    finished: bool,
    fatal: Option<StoreError>,
    outcome: StoreOutcome,
}

impl Store {
    /// The manifest of the transfer.
    pub fn manifest(&self) -> &Arc<Manifest> {
        &self.manifest
    }

    /// What the transfer came to so far.
    pub fn outcome(&self) -> &StoreOutcome {
        &self.outcome
    }

    /// What the file threads share, for jobs that the caller makes itself.
    pub fn files(&self) -> &Arc<StoreFiles> {
        &self.files
    }

    /// The failure that ends the transfer, once. After it no job is of use; what was received can be resumed.
    pub fn take_fatal(&mut self) -> Option<StoreError> {
        self.fatal.take()
    }

    /// The job that stores `buf`, which is as long as `block`.
    pub fn write_job(&mut self, block: Block, buf: Buffer) -> TransferJob {
        for piece in block.pieces.iter().filter(|piece| piece.root_follows) {
            let Some(range) = piece.root_range() else { continue };
            if let Some(bytes) = buf.get(range)
                && let Ok(root) = Hash::try_from(bytes)
            {
                self.partial(piece.file).root = Some(root);
            }
        }
        self.blocks_under_way += 1;
        TransferJob::write(self.files.clone(), block, buf)
    }

    /// Takes the outcome of a job. Gives back its buffer, if it had one.
    pub fn on_done(&mut self, done: TransferDone) -> Option<Buffer> {
        match done {
            TransferDone::Write { block, outcomes, buf } => {
                self.blocks_under_way -= 1;
                for (piece, outcome) in block.pieces.iter().zip(outcomes) {
                    if self.states[piece.file as usize] == State::Wanted {
                        self.on_piece(piece, outcome);
                    }
                }
                Some(buf)
            }
            TransferDone::Commit(report) => {
                self.on_commit(&report);
                None
            }
            TransferDone::Finish(report) => {
                self.on_finish(report);
                None
            }
            TransferDone::Read { buf, .. } => Some(buf),
        }
    }

    /// The next job that the store needs, if one is due: call it after [`Store::on_done`] and at [`Store::deadline`].
    pub fn poll_job(&mut self, now: Instant) -> Option<TransferJob> {
        if self.fatal.is_some() || self.finished {
            return None;
        }
        if !self.group.items.is_empty() {
            self.group.since.get_or_insert(now);
        }
        if !self.commit_under_way && self.group_is_due(now) {
            let group = std::mem::take(&mut self.group);
            self.commit_under_way = true;
            let overwrite = self.options.overwrite;
            return Some(TransferJob::Commit(CommitGroup {
                files: self.files.clone(),
                items: group.items.into(),
                overwrite,
            }));
        }
        if self.data_complete && !self.commit_under_way && self.group.items.is_empty() {
            return self.finish_job();
        }
        None
    }

    /// When [`Store::poll_job`] may have a job without a job being done before.
    pub fn deadline(&self) -> Option<Instant> {
        let since = self.group.since.filter(|_| !self.commit_under_way)?;
        Some(Instant::from_nanos(since.as_nanos().saturating_add(GROUP_AGE.as_nanos())))
    }

    /// Says what is wanted in the next round; when that is nothing, the data is complete. To be called when every
    /// block of the round went through [`Store::write_job`] and [`Store::on_done`].
    pub fn end_round(&mut self) -> Want {
        debug_assert_eq!(self.blocks_under_way, 0, "blocks are still being written");
        self.rounds += 1;
        for file in 0..self.manifest.len() {
            match self.states[file as usize] {
                State::Wanted | State::Retry if self.rounds >= MAX_ROUNDS => self.fail(file, EntryError::Verification),
                State::Wanted => self.states[file as usize] = State::Retry,
                State::Restage => {
                    self.files.close(file);
                    self.files.set_place(file, Place::Fresh);
                    self.partials.remove(&file);
                    self.states[file as usize] = State::Deferred;
                }
                _ => {}
            }
        }
        self.build_want()
    }

    /// Whether every job is done: links made, directories finished.
    pub fn is_finished(&self) -> bool {
        self.finished
    }

    /// Gives up the target directory, and says what the transfer came to.
    pub fn close(self) -> StoreOutcome {
        if self.finished && self.outcome.conflicts.is_empty() && self.outcome.failures.is_empty() {
            self.files.room.complete();
        }
        self.outcome
    }

    fn group_is_due(&self, now: Instant) -> bool {
        let group = &self.group;
        let Some(since) = group.since else { return false };
        self.data_complete
            || group.items.len() >= GROUP_FILES
            || group.bytes >= GROUP_BYTES
            || now.saturating_since(since) >= GROUP_AGE
    }

    fn finish_job(&mut self) -> Option<TransferJob> {
        let entries: Vec<u32> =
            (0..self.manifest.len()).filter(|&entry| self.states[entry as usize] == State::AtEnd).collect();
        self.commit_under_way = true;
        let overwrite = self.options.overwrite;
        Some(TransferJob::Finish(FinishJob { files: self.files.clone(), entries, overwrite }))
    }

    fn on_piece(&mut self, piece: &Piece, outcome: PieceOutcome) {
        let len = u64::from(piece.len);
        match outcome {
            PieceOutcome::Stored => self.outcome.stored_bytes += len,
            PieceOutcome::Verified => self.outcome.resumed_bytes += len,
            PieceOutcome::Mismatch => return self.on_mismatch(piece.file),
            PieceOutcome::SourceFailed => return self.fail(piece.file, EntryError::Source),
            PieceOutcome::Internal => return self.fail(piece.file, EntryError::Internal),
            PieceOutcome::Failed { operation, errno } => return self.fail_with(piece.file, operation, errno),
        }
        if !piece.is_only_chunk {
            let chunks = chunk_count(self.manifest.file_size(piece.file).unwrap_or(0));
            let partial = self.partial(piece.file);
            partial.insert(piece.chunk);
            if partial.done_count < chunks {
                return;
            }
        }
        self.on_complete(piece.file);
    }

    fn on_complete(&mut self, file: u32) {
        let partial = self.partials.remove(&file);
        self.files.close(file);
        if self.files.place(file) == Place::Final {
            self.states[file as usize] = State::Settled;
            self.outcome.files_done += 1;
            return;
        }
        // A file of several chunks has a hash to be checked, even if it never came: then the commit refuses it.
        let root = partial.map(|partial| partial.root.unwrap_or_default());
        self.commit(CommitItem { file, root });
    }

    fn commit(&mut self, item: CommitItem) {
        self.states[item.file as usize] = State::Committing;
        self.group.bytes += self.manifest.file_size(item.file).unwrap_or(0);
        self.group.items.push(item);
    }

    fn on_mismatch(&mut self, file: u32) {
        if self.files.place(file) != Place::Final {
            // The chunks that do match stay; those that do not are found missing at the end of the round.
            return;
        }
        if self.options.overwrite {
            self.states[file as usize] = State::Restage;
        } else {
            self.conflict(file, Conflict::DifferentFile);
        }
    }

    fn on_commit(&mut self, report: &CommitReport) {
        self.commit_under_way = false;
        let mut faults = report.faults.iter().peekable();
        for (at, item) in report.items.iter().enumerate() {
            match faults.next_if(|(fault_at, _)| *fault_at == at) {
                Some(&(_, fault)) => self.on_fault(item.file, fault),
                None => {
                    self.states[item.file as usize] = State::Settled;
                    self.outcome.files_done += 1;
                }
            }
        }
    }

    fn on_finish(&mut self, report: FinishReport) {
        self.commit_under_way = false;
        self.outcome.others_done += report.done.len() as u64;
        report.done.iter().for_each(|&entry| self.states[entry as usize] = State::Settled);
        report.faults.into_iter().for_each(|(entry, fault)| self.on_fault(entry, fault));
        self.finished = self.fatal.is_none();
    }

    fn on_fault(&mut self, entry: u32, fault: CommitFault) {
        match fault {
            CommitFault::Conflict(conflict) => self.conflict(entry, conflict),
            CommitFault::System(operation, errno) => self.fail_with(entry, operation, errno),
            CommitFault::Entry(error) => {
                if error == EntryError::Verification {
                    // Its chunks match and their sum does not: none of it can be trusted.
                    let _ = self.files.remove_staged(entry);
                }
                self.fail(entry, error);
            }
        }
    }

    fn conflict(&mut self, entry: u32, conflict: Conflict) {
        self.settle(entry);
        self.outcome.conflicts.push((entry, conflict));
    }

    fn fail(&mut self, entry: u32, error: EntryError) {
        self.settle(entry);
        self.outcome.failures.push((entry, error));
    }

    fn fail_with(&mut self, entry: u32, operation: &'static str, errno: rustix::io::Errno) {
        if !self.ends_with(entry, operation, errno) {
            self.fail(entry, EntryError::new(operation, errno));
        }
    }

    /// Whether a failure ends the transfer; then it is noted.
    fn ends_with(&mut self, entry: u32, operation: &'static str, errno: rustix::io::Errno) -> bool {
        let fatal = StoreError::fatal(operation, errno, || self.manifest.display(entry));
        let ends = fatal.is_some();
        self.fatal = self.fatal.take().or(fatal);
        ends
    }

    fn settle(&mut self, entry: u32) {
        self.states[entry as usize] = State::Settled;
        self.partials.remove(&entry);
        self.files.close(entry);
    }

    fn partial(&mut self, file: u32) -> &mut Partial {
        let chunks = chunk_count(self.manifest.file_size(file).unwrap_or(0));
        self.partials.entry(file).or_insert_with(|| Partial::new(chunks))
    }

    /// What is wanted, from the states: `Deferred` and `Retry` become `Wanted`.
    fn build_want(&mut self) -> Want {
        let mut want = Want::new();
        for file in 0..self.manifest.len() {
            let chunks = chunk_count(self.manifest.file_size(file).unwrap_or(0));
            let state = self.states[file as usize];
            if !matches!(state, State::Deferred | State::Retry) || !want.has_room() {
                want.push(PieceMode::Skip, chunks);
                continue;
            }
            self.states[file as usize] = State::Wanted;
            if state == State::Deferred {
                self.want_from_start(file, chunks, &mut want);
            } else {
                self.want_again(file, chunks, &mut want);
            }
        }
        self.data_complete = want.is_nothing();
        want
    }

    /// All chunks of `file`: those that are on disk are compared.
    fn want_from_start(&mut self, file: u32, chunks: u64, want: &mut Want) {
        let mode = match self.files.place(file) {
            Place::Final => PieceMode::Verify,
            Place::Staged if chunks == 1 => PieceMode::Verify,
            Place::Staged => return self.want_staged(file, chunks, want),
            Place::Fresh => PieceMode::Full,
        };
        want.push(mode, chunks);
    }

    /// A partial file of several chunks: those that its journal names are compared, the others sent.
    fn want_staged(&mut self, file: u32, chunks: u64, want: &mut Want) {
        let before = want.total();
        let open = || {
            let stat = rustix::fs::fstat(self.files.open_staged(file)?)?;
            let journal = self.files.open_journal(file)?;
            Ok(journal.filter(|_| Some(stat.st_size as u64) == self.manifest.file_size(file)))
        };
        let journal = match open() {
            Ok(journal) => journal,
            // A disk that fails is no reason to throw away what arrived: the next time it may be whole.
            Err(errno) if self.ends_with(file, JOURNAL_READ, errno) => return want.push(PieceMode::Skip, chunks),
            Err(_) => None,
        };
        let Some(journal) = journal else {
            self.files.set_place(file, Place::Fresh);
            return want.push(PieceMode::Full, chunks);
        };
        let listed = journal.for_each(|cv| {
            let is_known = *cv != super::tree::FAILED && want.has_room();
            want.push(if is_known { PieceMode::Verify } else { PieceMode::Full }, 1);
        });
        if let Err(errno) = listed {
            self.ends_with(file, JOURNAL_READ, errno);
        }
        // What cannot be read of the journal is sent.
        want.push(PieceMode::Full, chunks - (want.total() - before));
    }

    /// What did not match in the round before.
    fn want_again(&self, file: u32, chunks: u64, want: &mut Want) {
        let Some(partial) = self.partials.get(&file) else {
            return want.push(PieceMode::Full, chunks);
        };
        for chunk in 0..chunks {
            // What no longer fits the list is found missing again at the end of the round.
            let skip = partial.contains(chunk) || !want.has_room();
            let mode = if skip { PieceMode::Skip } else { PieceMode::Full };
            want.push(mode, 1);
        }
    }
}
