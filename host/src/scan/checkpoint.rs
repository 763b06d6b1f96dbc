//! The checkpoint: how far a scan is, so that one that was interrupted, or whose machine lost its power, goes on and skips nothing
//! (SCAN-5).
//!
//! A step counts as done when it was sent a whole cool-down ago and all that came in since is on the disk: what is asked again after a
//! crash are some seconds' worth of probes.

use std::collections::VecDeque;
use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};

use serde::Deserialize;
use serde_json::json;
use wirehaul_core::time::{Duration, Instant};

use super::rotate::with_suffix;
use super::sink::{SinkError, rename};

/// The only layout that there is so far.
const VERSION: u32 = 1;
/// Far more than a checkpoint ever holds: what is longer is something else.
const MOST_BYTES: u64 = 1 << 20;

/// What makes a scan the same as another one: what is probed, in which order, and how often.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct Identity {
    /// A hash of the targets, what is excluded left out.
    pub targets: String,
    /// A hash of the ports.
    pub ports: String,
    /// What the order is drawn by.
    pub seed: u64,
    /// Which part: `2/7`.
    pub shard: String,
    /// How often each is asked.
    pub attempts: u8,
    /// Steps between two attempts.
    pub spacing: u64,
}

/// How far a scan is.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct Checkpoint {
    version: u32,
    /// Which scan it is, in rows and metadata.
    pub scan_id: String,
    /// What makes it this scan.
    pub identity: Identity,
    /// Every step below is done.
    pub done_before: u64,
    /// Steps in all.
    pub steps: u64,
    /// Whether nothing is left to do.
    pub is_complete: bool,
    /// When it began, in seconds since 1970.
    pub started_unix: u64,
    /// What was counted until now.
    pub counts: Counts,
}

/// What is counted over all runs of a scan.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct Counts {
    /// Probes sent.
    pub sent: u64,
    /// Valid replies.
    pub received: u64,
    /// Those that said nothing new.
    pub duplicates: u64,
    /// Packets lost on the way to us, by all layers.
    pub dropped: u64,
    /// Rows written.
    pub rows: u64,
}

/// Why there is no checkpoint to go on from.
#[derive(Debug, thiserror::Error)]
pub enum CheckpointError {
    /// It cannot be read.
    #[error("cannot read the checkpoint {}: {source}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// It is none.
    #[error("{} is no checkpoint of a scan: {why}", path.display())]
    NotOne {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        why: String,
    },
    /// It is one of another scan.
    #[error(
        "{} is the checkpoint of another scan: its {what} differ{}; give the command that wrote it{}", path.display(),
        if *is_one { "s" } else { "" },
        if *is_one { "" } else { ", and the files that it names as they were when it began" }
    )]
    Another {
        /// The file.
        path: PathBuf,
        /// What is not the same.
        what: &'static str,
        /// Whether that is a single thing.
        is_one: bool,
    },
}

impl Checkpoint {
    /// Of a scan that begins.
    #[must_use]
    pub fn new(scan_id: String, identity: Identity, steps: u64, started_unix: u64) -> Self {
        Self {
            version: VERSION,
            scan_id,
            identity,
            done_before: 0,
            steps,
            is_complete: false,
            started_unix,
            counts: Counts::default(),
        }
    }

    /// Reads one.
    ///
    /// # Errors
    /// [`CheckpointError::Read`], [`CheckpointError::NotOne`].
    pub fn read(path: &Path) -> Result<Self, CheckpointError> {
        let failed = |source| CheckpointError::Read { path: path.to_owned(), source };
        let mut text = String::new();
        let read = File::open(path).and_then(|file| file.take(MOST_BYTES).read_to_string(&mut text));
        let not_one = |why: String| CheckpointError::NotOne { path: path.to_owned(), why };
        match read {
            Err(error) if error.kind() == io::ErrorKind::InvalidData => return Err(not_one("it is no text".into())),
            read => read.map_err(failed)?,
        };
        let checkpoint: Self = serde_json::from_str(&text).map_err(|error| not_one(error.to_string()))?;
        if checkpoint.version != VERSION {
            return Err(not_one(format!(
                "it has layout {}, and this program knows layout {VERSION}",
                checkpoint.version
            )));
        }
        if checkpoint.done_before > checkpoint.steps {
            return Err(not_one("more is done than there is to do".into()));
        }
        Ok(checkpoint)
    }

    /// Whether a scan can go on from here.
    ///
    /// # Errors
    /// [`CheckpointError::Another`] names the first thing that is not the same.
    pub fn check(&self, identity: &Identity, path: &Path) -> Result<(), CheckpointError> {
        let own = &self.identity;
        let differences = [
            (own.targets != identity.targets, "targets (or exclusions)", false),
            (own.ports != identity.ports, "ports", false),
            (own.seed != identity.seed, "seed", true),
            (own.shard != identity.shard, "shard", true),
            (own.attempts != identity.attempts, "number of retries", true),
            (own.spacing != identity.spacing, "time between retries", true),
        ];
        match differences.into_iter().find(|(differs, ..)| *differs) {
            Some((_, what, is_one)) => Err(CheckpointError::Another { path: path.to_owned(), what, is_one }),
            None => Ok(()),
        }
    }

    /// Writes it: beside the old one, to the disk, and then in its place, so that there is a whole one at any time.
    ///
    /// # Errors
    /// What the system says; the old one is still there.
    pub fn write(&self, path: &Path) -> Result<(), SinkError> {
        let new = with_suffix(path, ".new");
        let failed = |source| SinkError::Io { action: "write the checkpoint", path: path.to_owned(), source };
        let written = File::create(&new).and_then(|mut file| {
            file.write_all(format!("{}\n", self.to_json()).as_bytes())?;
            file.sync_data()
        });
        if let Err(error) = written {
            // What there is of it is of no use, and may be what the disk is full of.
            let _ = fs::remove_file(&new);
            return Err(failed(error));
        }
        rename(&new, path)
    }

    fn to_json(&self) -> serde_json::Value {
        let Identity { targets, ports, seed, shard, attempts, spacing } = &self.identity;
        let Counts { sent, received, duplicates, dropped, rows } = self.counts;
        json!({
            "version": self.version,
            "scan_id": self.scan_id,
            "identity": {
                "targets": targets, "ports": ports, "seed": seed, "shard": shard, "attempts": attempts, "spacing": spacing,
            },
            "done_before": self.done_before,
            "steps": self.steps,
            "is_complete": self.is_complete,
            "started_unix": self.started_unix,
            "counts": {
                "sent": sent, "received": received, "duplicates": duplicates, "dropped": dropped, "rows": rows,
            },
        })
    }
}

/// Finds out which steps are over: sent so long ago that no reply comes any more.
#[derive(Clone, Debug)]
pub struct Watermark {
    patience: Duration,
    samples: VecDeque<(Instant, u64)>,
    over: u64,
}

impl Watermark {
    /// Steps are over so long after they were sent. Those below `done_before` are already.
    #[must_use]
    pub fn new(patience: Duration, done_before: u64) -> Self {
        Self { patience, samples: VecDeque::new(), over: done_before }
    }

    /// All steps below `done_before` are sent. Returns the number below which all are over.
    pub fn note(&mut self, now: Instant, done_before: u64) -> u64 {
        while let Some((at, steps)) = self.samples.front().copied() {
            if now.saturating_since(at) < self.patience {
                break;
            }
            self.over = self.over.max(steps);
            self.samples.pop_front();
        }
        if self.samples.back().is_none_or(|(_, last)| *last < done_before) {
            self.samples.push_back((now, done_before));
        }
        self.over
    }
}

#[cfg(test)]
#[path = "checkpoint_tests.rs"]
mod tests;
