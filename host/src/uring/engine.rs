//! File threads that have a ring each.

use std::sync::Arc;
use std::sync::mpsc::{Sender, channel};

use thiserror::Error;

use super::buffers::Region;
use super::kernel::KernelSystem;
use super::owner;
use super::queue::{Queue, QueueOptions};
use super::refusal::{NotRegistered, Refused};
use super::ring::System;
use crate::io::Job;
use crate::io::engine::{Desk, EngineError, FileEngine};
use crate::io::wake::Alarm;
use crate::pools::LastingPool;

/// Slots of the pool that the kernel knows beforehand: those that are lent first, and so most of the time. They stay in memory.
const REGISTERED_SLOTS: usize = 32;

/// Where a user may lock so much memory and no more, an engine takes this part of it: others need some as well.
const LOCKED_SHARE: u64 = 4;

/// What an engine is made for.
#[derive(Clone, Copy, Debug)]
pub struct Settings {
    /// Its threads, at least one.
    pub threads: usize,
    /// Jobs that may be under way, at least one.
    pub jobs: usize,
    /// Where the bytes lie that are read and written, to be registered with each ring.
    pub blocks: Option<LastingPool>,
}

/// Why there is no engine on rings.
#[derive(Debug, Error)]
pub enum NoRing {
    /// The kernel does not give a ring, or not all that belongs to it.
    #[error(transparent)]
    Refused(#[from] Refused),
    /// The kernel does not take memory that it is to know beforehand.
    #[error(transparent)]
    NotRegistered(#[from] NotRegistered),
    /// No file threads.
    #[error(transparent)]
    Threads(#[from] EngineError),
    /// A thread ended before it had its ring.
    #[error("a file thread ended before it had its ring; please report this")]
    Ended,
}

/// Starts file threads that have a ring each (URING-1).
///
/// # Errors
/// [`NoRing`]; then nothing is left of it.
pub fn start<J: Job>(settings: Settings) -> Result<FileEngine<J>, NoRing> {
    let (mut engine, desk) = FileEngine::unmanned("uring", settings.jobs)?;
    let (opened, answers) = channel();
    for _ in 0..settings.threads.max(1) {
        let bell = Arc::new(Alarm::new().map_err(EngineError::Wake)?);
        let (bell_of_thread, opened) = (Arc::clone(&bell), opened.clone());
        engine.man(desk(), Some(bell), move |desk| work(desk, bell_of_thread, settings, &opened))?;
    }
    drop(opened);
    for _ in 0..settings.threads.max(1) {
        answers.recv().map_err(|_| NoRing::Ended)??;
    }
    Ok(engine)
}

/// A ring belongs to the thread that opened it (IORING_SETUP_SINGLE_ISSUER).
fn work<J: Job>(desk: Desk<J>, bell: Arc<Alarm>, settings: Settings, opened: &Sender<Result<(), NoRing>>) {
    match open(settings) {
        Ok(queue) => {
            if opened.send(Ok(())).is_ok() {
                owner::work(desk, bell, queue);
            }
        }
        Err(refused) => {
            let _ = opened.send(Err(refused));
        }
    }
}

/// A queue that knows some of the memory of blocks.
fn open(settings: Settings) -> Result<Queue, NoRing> {
    let mut queue = Queue::open(&QueueOptions::default())?;
    let Some(pool) = settings.blocks else { return Ok(queue) };
    let mut slots = KernelSystem.memlock().map_or(REGISTERED_SLOTS, |limit_bytes| {
        let share = limit_bytes / LOCKED_SHARE / settings.threads.max(1) as u64;
        (share as usize / pool.slot_bytes()).clamp(1, REGISTERED_SLOTS)
    });
    // What is locked counts for all processes of a user.
    while let Err(refused) = queue.register_buffers(&[Region::of(pool, slots * pool.slot_bytes())]) {
        if slots == 1 {
            return Err(refused.into());
        }
        slots /= 2;
    }
    Ok(queue)
}

#[cfg(test)]
mod tests;
