//! The thread that keeps what comes: rows into files, and every second a checkpoint behind what is on the disk (SCAN-5).

use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Duration as StdDuration;

use crossbeam_channel::{Receiver, RecvTimeoutError};
use wirehaul_core::time::{Duration, Instant};

use crate::clock::Clock;
use crate::scan::Found;
use crate::scan::checkpoint::{Checkpoint, Counts, Watermark};
use crate::scan::collect::{Collector, Tally};
use crate::scan::counters::Progress;
use crate::scan::sink::{Sink, SinkError};

/// How long a row waits for others before who reads sees it.
const PATIENCE: StdDuration = StdDuration::from_millis(100);
/// How often a checkpoint is written.
const EVERY: Duration = Duration::from_secs(1);
/// How long a reply may be on its way from a worker to here, beyond the cool-down.
const ON_ITS_WAY: Duration = Duration::from_secs(1);

/// What the two threads tell each other.
#[derive(Debug, Default)]
pub(super) struct Posted {
    progress: Mutex<Progress>,
    tally: Mutex<Tally>,
    has_failed: AtomicBool,
}

impl Posted {
    /// How the survey stands.
    pub(super) fn post(&self, progress: &Progress) {
        *self.progress.lock().unwrap_or_else(PoisonError::into_inner) = *progress;
    }

    fn progress(&self) -> Progress {
        *self.progress.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What was counted of replies.
    pub(super) fn tally(&self) -> Tally {
        *self.tally.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether what comes is not kept any more.
    pub(super) fn has_failed(&self) -> bool {
        self.has_failed.load(Ordering::Relaxed)
    }
}

/// Keeps what comes.
pub(super) struct Keeper<'a> {
    collector: Collector<'a>,
    path: Option<PathBuf>,
    checkpoint: Checkpoint,
    /// What was counted in earlier runs.
    base: Counts,
    watermark: Watermark,
    posted: &'a Posted,
    clock: Clock,
    due: Instant,
}

/// What is left when nothing comes any more.
pub(super) struct Kept {
    /// What was counted in this run.
    pub tally: Tally,
    /// The rows; `None` where they could not be kept.
    pub sink: Option<Sink>,
    /// How far it is.
    pub checkpoint: Checkpoint,
    /// What was counted in earlier runs.
    pub base: Counts,
    /// Why what came was not kept.
    pub error: Option<SinkError>,
}

impl<'a> Keeper<'a> {
    pub(super) fn new(
        collector: Collector<'a>,
        path: Option<PathBuf>,
        checkpoint: Checkpoint,
        cooldown: Duration,
        posted: &'a Posted,
        clock: Clock,
    ) -> Self {
        let watermark = Watermark::new(cooldown + ON_ITS_WAY, checkpoint.done_before);
        let due = clock.now() + EVERY;
        Self { collector, path, base: checkpoint.counts, checkpoint, watermark, posted, clock, due }
    }

    /// Takes what comes until nothing will.
    pub(super) fn run(mut self, results: &Receiver<Vec<Found>>) -> Kept {
        let error = self.keep(results).err();
        if error.is_some() {
            self.posted.has_failed.store(true, Ordering::Relaxed);
            // Nobody waits for room in the channel.
            while results.recv().is_ok() {}
        }
        let (tally, sink) = self.collector.into_parts();
        let sink = error.is_none().then_some(sink);
        Kept { tally, sink, checkpoint: self.checkpoint, base: self.base, error }
    }

    fn keep(&mut self, results: &Receiver<Vec<Found>>) -> Result<(), SinkError> {
        loop {
            match results.recv_timeout(PATIENCE) {
                Ok(batch) => self.take(&batch)?,
                Err(RecvTimeoutError::Timeout) => self.collector.sink().flush()?,
                Err(RecvTimeoutError::Disconnected) => break,
            }
            if results.is_empty() || self.clock.now() >= self.due {
                self.tell();
            }
            if self.clock.now() >= self.due {
                // What waits came before the step that the checkpoint will name was over.
                let waiting = results.len();
                for batch in results.try_iter().take(waiting) {
                    self.take(&batch)?;
                }
                self.write_checkpoint()?;
                self.due = self.clock.now() + EVERY;
            }
        }
        self.tell();
        self.write_checkpoint()
    }

    fn take(&mut self, batch: &[Found]) -> Result<(), SinkError> {
        self.collector.take(batch)
    }

    fn tell(&self) {
        *self.posted.tally.lock().unwrap_or_else(PoisonError::into_inner) = *self.collector.tally();
    }

    fn write_checkpoint(&mut self) -> Result<(), SinkError> {
        let progress = self.posted.progress();
        let over = self.watermark.note(self.clock.now(), progress.done_before);
        self.collector.sink().sync()?;
        let Some(path) = &self.path else { return Ok(()) };
        // A survey that is done is beyond every step.
        self.checkpoint.done_before = over.min(self.checkpoint.steps).max(self.checkpoint.done_before);
        let tally = *self.collector.tally();
        self.checkpoint.counts = Counts {
            sent: self.base.sent + progress.sent.sent,
            received: self.base.received + tally.received,
            duplicates: self.base.duplicates + tally.duplicates,
            dropped: self.base.dropped + progress.drops.of_replies(),
            rows: self.base.rows + self.collector.sink().rows(),
        };
        self.checkpoint.write(path)
    }
}
