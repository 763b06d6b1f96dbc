//! How far a transfer is, for whoever shows it on another thread.

use std::sync::atomic::{AtomicU64, Ordering};

/// Counters that a worker thread sets and any thread reads; each is right by itself.
#[derive(Debug, Default)]
pub struct Progress {
    total_bytes: AtomicU64,
    done_bytes: AtomicU64,
    stage: AtomicU64,
}

/// What a transfer is doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u64)]
pub enum Stage {
    /// Nobody has come yet.
    Waiting = 0,
    /// Looking at the files to send.
    Listing = 6,
    /// The handshake.
    Connecting = 1,
    /// The two ends agree on what is to be sent; the receiver may be comparing what it has.
    Comparing = 2,
    /// Data moves.
    Moving = 3,
    /// All data is there; names are given and the disk is flushed.
    Finishing = 4,
    /// Over.
    Over = 5,
}

impl Stage {
    const ALL: [Self; 7] =
        [Self::Waiting, Self::Listing, Self::Connecting, Self::Comparing, Self::Moving, Self::Finishing, Self::Over];

    /// The stage in words.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Waiting => "waiting",
            Self::Listing => "listing",
            Self::Connecting => "connecting",
            Self::Comparing => "comparing",
            Self::Moving => "moving",
            Self::Finishing => "finishing",
            Self::Over => "over",
        }
    }
}

impl Progress {
    /// Sets how many bytes the transfer has in all.
    pub fn set_total(&self, bytes: u64) {
        self.total_bytes.store(bytes, Ordering::Relaxed);
    }

    /// Sets how many bytes are done.
    pub fn set_done(&self, bytes: u64) {
        self.done_bytes.store(bytes, Ordering::Relaxed);
    }

    /// Sets the stage.
    pub fn set_stage(&self, stage: Stage) {
        self.stage.store(stage as u64, Ordering::Relaxed);
    }

    /// Bytes in all.
    #[must_use]
    pub fn total(&self) -> u64 {
        self.total_bytes.load(Ordering::Relaxed)
    }

    /// Bytes done.
    #[must_use]
    pub fn done(&self) -> u64 {
        self.done_bytes.load(Ordering::Relaxed)
    }

    /// The stage.
    #[must_use]
    pub fn stage(&self) -> Stage {
        let stage = self.stage.load(Ordering::Relaxed);
        Stage::ALL.into_iter().find(|known| *known as u64 == stage).unwrap_or(Stage::Over)
    }
}
