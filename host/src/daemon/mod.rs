//! What makes a daemon of a receiver: signals, what the service manager wants to hear, and the log.
//!
//! All of it is one thread that listens to the bus. Packets move elsewhere, and nothing there waits for it.

mod log;
#[cfg(test)]
mod log_tests;
mod notify;
mod signals;

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time;

use wirehaul_core::time::{Duration, Instant};

use crate::clock::Clock;
use crate::events::{Event, Heard, Level, Listener};
use crate::notes::{note, record};
use crate::units::format_duration;
use log::{Entry, Log};
use notify::Manager;
pub use signals::{Signal, Signals};

/// How often signals and clocks are looked at.
const TICK: Duration = Duration::from_millis(100);

/// What the daemon is told to do, and what only its owner can do about it.
pub trait Duties: Send {
    /// Reads the configuration again, and says what came of it. Returns whether it is in force now.
    fn reload(&mut self) -> bool;

    /// How long transfers under way may go on once nobody new is let in.
    fn drain_limit(&self) -> Duration;

    /// Nobody new is let in from now on.
    fn draining(&mut self);
}

/// Flags of whoever moves the packets.
#[derive(Clone, Debug, Default)]
pub struct Flags {
    /// Stop: peers are told, and what arrived is kept.
    pub stop: Arc<AtomicBool>,
    /// Take nothing new, and leave when all is done.
    pub drain: Arc<AtomicBool>,
}

/// The thread, until this is dropped: then it says what it has not yet said, and ends.
#[derive(Debug)]
pub struct Daemon {
    over: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Daemon {
    /// Starts the thread, and says that the service is ready: `status` says what it does. What matters less than `least` is not
    /// written to the log.
    ///
    /// # Errors
    /// The system has no thread for it.
    pub fn start(
        listener: Listener,
        signals: Signals,
        flags: Flags,
        duties: Box<dyn Duties>,
        status: &str,
        least: Level,
    ) -> io::Result<Self> {
        let over = Arc::new(AtomicBool::new(false));
        let clock = Clock::start();
        let mut manager = Manager::of_environment();
        manager.ready(status);
        let control = Control {
            clock,
            listener,
            signals,
            flags,
            duties,
            manager,
            log: Log::default(),
            least,
            drain_until: None,
            over: Arc::clone(&over),
        };
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build()?;
        let run = move || runtime.block_on(control.run());
        let thread = thread::Builder::new().name("control".to_owned()).spawn(run)?;
        Ok(Self { over, thread: Some(thread) })
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        self.over.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

struct Control {
    clock: Clock,
    listener: Listener,
    signals: Signals,
    flags: Flags,
    duties: Box<dyn Duties>,
    manager: Manager,
    log: Log,
    /// What matters less is not written.
    least: Level,
    /// When what is under way is stopped; `None` while everybody is let in.
    drain_until: Option<Instant>,
    over: Arc<AtomicBool>,
}

impl Control {
    async fn run(mut self) {
        let tick = time::Duration::from_nanos(TICK.as_nanos());
        let mut next = self.clock.now();
        while !self.over.load(Ordering::Relaxed) {
            // The bus lives as long as anybody who may speak on it, and so longer than this.
            if let Ok(Some(heard)) = tokio::time::timeout(tick, self.listener.next()).await {
                self.hear(heard);
            }
            let now = self.clock.now();
            if now >= next {
                self.look_around(now);
                next = now + TICK;
            }
        }
        while let Some(heard) = self.listener.try_next() {
            self.hear(heard);
        }
        if self.drain_until.is_none() {
            self.manager.stopping();
        }
        self.say(Level::Info, "stopped");
    }

    fn hear(&mut self, heard: Heard) {
        let now = self.clock.now();
        if let Heard::Event(Event::Worker(state)) = &heard {
            self.manager.saw_worker(state, now);
        }
        if let Some(entry) = self.log.hear(&heard) {
            self.write(entry);
        }
    }

    fn say(&self, level: Level, words: &str) {
        if level >= self.least {
            note(level, words);
        }
    }

    fn write(&self, entry: Entry) {
        if entry.level >= self.least {
            record(entry.level, &entry.text, entry.fields);
        }
    }

    fn look_around(&mut self, now: Instant) {
        for signal in self.signals.pending() {
            match signal {
                Signal::Reload => self.reload(now),
                Signal::Terminate => self.terminate(now),
                // The flag is set by now.
                Signal::Interrupt => {
                    self.say(Level::Info, "SIGINT: stopping; what arrived is kept, and can be resumed")
                }
            }
        }
        if self.drain_until.is_some_and(|until| until <= now) && !self.flags.stop.swap(true, Ordering::Relaxed) {
            let words =
                "the time to drain is over: stopping what is under way; what arrived is kept, and can be resumed";
            self.say(Level::Warning, words);
        }
        for entry in self.log.look_around(now) {
            self.write(entry);
        }
        self.manager.look_around(now, self.drain_until.is_some());
    }

    fn reload(&mut self, now: Instant) {
        self.manager.reloading();
        self.say(Level::Info, "SIGHUP: reading the configuration again");
        self.duties.reload();
        self.manager.reloaded(now);
    }

    /// The first time it drains, the second time it stops.
    fn terminate(&mut self, now: Instant) {
        if self.drain_until.is_some() {
            self.flags.stop.store(true, Ordering::Relaxed);
            self.say(
                Level::Info,
                "SIGTERM again: stopping what is under way; what arrived is kept, and can be resumed",
            );
            return;
        }
        let limit = self.duties.drain_limit();
        self.drain_until = Some(now + limit);
        self.duties.draining();
        self.manager.stopping();
        self.flags.drain.store(true, Ordering::Relaxed);
        let words = "SIGTERM: nobody new is let in, and transfers under way may go on for";
        self.say(Level::Info, &format!("{words} {}; SIGTERM again stops them", format_duration(limit)));
    }
}
