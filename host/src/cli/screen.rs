//! The screen of a command, where `--tui` asks for one (OPS-1).

use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use super::args::OutputArgs;
use super::exit::Exit;
use super::placement::{Known, Telling};
use crate::clock::Clock;
use crate::events::{Bus, Level, WorkerPlace};
use crate::notes::note;
use crate::tui::{self, Screen, ScreenError, Wishes};

/// Says why there can be no screen here, before anything is done.
///
/// # Errors
/// How the process is to end.
pub fn check() -> Result<(), Exit> {
    tui::check().map_err(|error| refuse(&error))
}

/// Says why there is no screen, and how the process is to end.
fn refuse(error: &ScreenError) -> Exit {
    note(Level::Error, &error.to_string());
    match error {
        ScreenError::NoTerminal => Exit::Usage,
        ScreenError::Terminal(_) => Exit::Device,
        ScreenError::Thread(_) => Exit::Failed,
    }
}

/// A screen while the command works, and what is told for it alone.
#[derive(Debug)]
pub struct Shown {
    /// In this order: what tells goes first.
    placement: Telling,
    _screen: Screen,
    detached: Arc<AtomicBool>,
}

/// Shows a screen where one was asked for, until what is returned is dropped. Where none can be had, says so and lets the work go on.
/// `command` is `send`, `recv`, `serve` or `scan`; the screen sets `stop` when the work is to stop.
#[must_use = "dropped at once it shows nothing"]
pub fn show(
    output: OutputArgs,
    command: &'static str,
    bus: &Bus,
    clock: Clock,
    stop: &Arc<AtomicBool>,
) -> Option<Shown> {
    if !output.tui {
        return None;
    }
    let detached = Arc::new(AtomicBool::new(false));
    let wishes = Wishes { command, stop: Arc::clone(stop), detached: Arc::clone(&detached) };
    match Screen::start(bus, clock, wishes) {
        Ok(screen) => Some(Shown { placement: Telling::start(bus.clone()), _screen: screen, detached }),
        Err(error) => {
            refuse(&error);
            None
        }
    }
}

impl Shown {
    /// Set when the screen is gone and the work is not: time for the ordinary progress line.
    #[must_use]
    pub fn detached(&self) -> Arc<AtomicBool> {
        Arc::clone(&self.detached)
    }

    /// Says where workers are, and what is not at its best place.
    pub fn place(&self, workers: Vec<WorkerPlace>, shortfalls: Vec<String>) {
        self.placement.tell(Known { workers, shortfalls });
    }
}
