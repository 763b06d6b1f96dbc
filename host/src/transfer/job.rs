//! The file work of a transfer, as jobs for a file engine.

use std::sync::Arc;

use super::plan::Block;
use super::source::{FileSource, SourceError};
use super::store::{
    CommitFault, CommitGroup, CommitReport, FinishJob, FinishReport, Outcomes, PieceOutcome, StoreFiles,
};
use crate::io::Job;
use crate::io::buffer::Buffer;
use crate::io::disk::Disk;

/// One job of a transfer.
pub enum TransferJob {
    /// Fills a block from the sender's files.
    Read {
        /// Where from.
        source: Arc<FileSource>,
        /// Which block.
        block: Block,
        /// Filled; made as long as the block.
        buf: Buffer,
    },
    /// Verifies and stores a block at the receiver.
    Write {
        /// Where to.
        sink: Arc<StoreFiles>,
        /// Which block.
        block: Block,
        /// As long as the block.
        buf: Buffer,
    },
    /// Gives finished files their names.
    Commit(CommitGroup),
    /// Makes links and finishes directories.
    Finish(FinishJob),
}

impl TransferJob {
    /// The job that fills `block`; `buf` is any buffer to be used again.
    pub fn read(source: Arc<FileSource>, block: Block, buf: Buffer) -> Self {
        Self::Read { source, block, buf }
    }

    /// The job that stores `buf`, which holds `block`.
    pub fn write(sink: Arc<StoreFiles>, block: Block, buf: Buffer) -> Self {
        Self::Write { sink, block, buf }
    }
}

/// What is left of a job.
#[derive(Debug)]
pub enum TransferDone {
    /// A block is filled; hashes of whole files are still to be merged in.
    Read {
        /// Which block.
        block: Block,
        /// Its bytes.
        buf: Buffer,
        /// The pieces that could not be read, by place in the block.
        failures: Vec<(usize, SourceError)>,
    },
    /// A block is stored as far as it could be.
    Write {
        /// Which block.
        block: Block,
        /// What became of each piece.
        outcomes: Outcomes,
        /// For reuse.
        buf: Buffer,
    },
    /// A group is committed.
    Commit(CommitReport),
    /// Links and directories are done.
    Finish(FinishReport),
}

impl Job for TransferJob {
    type Done = TransferDone;

    async fn run(&mut self, disk: &impl Disk) -> TransferDone {
        match self {
            Self::Read { source, block, buf } => {
                // Bytes that the block does not overwrite do not exist, so what was there need not be wiped.
                buf.resize(block.len as usize);
                let failures = source.read_block(disk, block, buf).await;
                TransferDone::Read { block: take_block(block), buf: std::mem::take(buf), failures }
            }
            Self::Write { sink, block, buf } => {
                let outcomes = if buf.len() == block.len as usize {
                    sink.write_block(disk, block, buf).await
                } else {
                    Outcomes::from_elem(PieceOutcome::Internal, block.pieces.len())
                };
                TransferDone::Write { block: take_block(block), outcomes, buf: std::mem::take(buf) }
            }
            Self::Commit(group) => TransferDone::Commit(group.run(disk).await),
            Self::Finish(job) => TransferDone::Finish(job.run(disk).await),
        }
    }

    fn abandon(&mut self) -> TransferDone {
        match self {
            Self::Read { block, buf, .. } => {
                buf.resize(block.len as usize);
                buf.fill(0);
                let failures = (0..block.pieces.len()).map(|at| (at, SourceError::Internal)).collect();
                TransferDone::Read { block: take_block(block), buf: std::mem::take(buf), failures }
            }
            Self::Write { block, buf, .. } => {
                let outcomes = Outcomes::from_elem(PieceOutcome::Internal, block.pieces.len());
                TransferDone::Write { block: take_block(block), outcomes, buf: std::mem::take(buf) }
            }
            Self::Commit(group) => {
                let fault = CommitFault::Entry(super::store::EntryError::Internal);
                let items = Arc::clone(&group.items);
                TransferDone::Commit(CommitReport { faults: (0..items.len()).map(|at| (at, fault)).collect(), items })
            }
            Self::Finish(job) => {
                let fault = CommitFault::Entry(super::store::EntryError::Internal);
                let faults = job.entries.drain(..).map(|entry| (entry, fault)).collect();
                TransferDone::Finish(FinishReport { done: Vec::new(), faults })
            }
        }
    }
}

fn take_block(block: &mut Block) -> Block {
    Block { pieces: std::mem::take(&mut block.pieces), ..*block }
}
