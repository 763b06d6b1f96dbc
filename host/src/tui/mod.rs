//! The screen of `--tui` (OPS-1): all that the bus tells, drawn on a terminal.
//!
//! Three parts that know little of each other: what is known ([`model`]), what it looks like ([`draw`]) and the terminal
//! ([`terminal`]). A thread of its own joins them. It costs little: it sleeps, wakes ten times a second at most, takes what the
//! bus has for it, and writes only the cells that have changed.

pub mod draw;
pub mod model;
pub mod paint;
pub mod terminal;

use std::collections::VecDeque;
use std::io::{self, IsTerminal, Write};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;

use wirehaul_core::time::{Duration, Instant};

use crate::clock::Clock;
use crate::events::{Bus, Listener};
use crate::notes::{self, OnScreen, note};
use model::{Model, Wanted};
use paint::Paint;
use terminal::{Input, Terminal};

/// Between two drawings, at least.
const FRAME: Duration = Duration::from_millis(100);
/// Between two drawings where nothing happens: the clock goes on.
const IDLE: Duration = Duration::from_secs(1);
/// Events that are taken before the next look at keys: more than the bus keeps.
const MAX_EVENTS: usize = 4096;
/// Lines that are kept for stdout while a screen is on the same terminal.
const MAX_HELD: usize = 1000;

/// Lines that wait until the screen is gone; `None` where there is none.
static HELD: Mutex<Option<VecDeque<String>>> = Mutex::new(None);

/// What whoever sits at the screen may ask for, as flags that the owner of the work looks at, or sets.
#[derive(Clone, Debug)]
pub struct Wishes {
    /// The command, as the screen names it: `send`, `recv`, `serve` or `scan`.
    pub command: &'static str,
    /// Set when the work is to stop. Where something else has set it, such as a signal, the screen goes, so that what is said at the
    /// end can be read.
    pub stop: Arc<AtomicBool>,
    /// Set when the screen is gone and the work is not: time for the ordinary progress line.
    pub detached: Arc<AtomicBool>,
}

/// Why there is no screen.
#[derive(Debug, thiserror::Error)]
pub enum ScreenError {
    /// Nothing to draw on. That is a mistake of whoever asked for it.
    #[error("--tui needs a terminal; leave it out where output goes to a file or a pipe")]
    NoTerminal,
    /// The terminal does not do what is asked of it.
    #[error("cannot use the terminal for --tui: {0}")]
    Terminal(#[source] io::Error),
    /// No thread for it.
    #[error("cannot start the thread of the screen: {0}")]
    Thread(#[source] io::Error),
}

/// Whether a screen could be shown here; to be asked before work begins.
///
/// # Errors
/// [`ScreenError::NoTerminal`].
pub fn check() -> Result<(), ScreenError> {
    if terminal::is_there() { Ok(()) } else { Err(ScreenError::NoTerminal) }
}

/// Keeps a line for stdout until the screen is gone, where it would be written across it; `false` where it can be printed at once.
#[must_use]
pub fn hold(line: &str) -> bool {
    let mut held = HELD.lock().unwrap_or_else(PoisonError::into_inner);
    let Some(lines) = held.as_mut().filter(|_| io::stdout().is_terminal()) else { return false };
    if lines.len() >= MAX_HELD {
        lines.pop_front();
    }
    lines.push_back(line.to_owned());
    true
}

/// A screen, until it is dropped or whoever sits there leaves it. Meanwhile notes go to it.
#[derive(Debug)]
pub struct Screen {
    end: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Screen {
    /// Takes the terminal, and shows on it what `bus` tells from now on. Times are those of `clock`, which has to be that of the
    /// events.
    ///
    /// # Errors
    /// [`ScreenError`].
    pub fn start(bus: &Bus, clock: Clock, on: Wishes) -> Result<Self, ScreenError> {
        check()?;
        let listener = bus.listen();
        let terminal = Terminal::enter(Paint::of_environment()).map_err(ScreenError::Terminal)?;
        let behind = Behind::begin(&on);
        let end = Arc::new(AtomicBool::new(false));
        let watch = Watch {
            model: Model::new(on.command, clock.now()),
            terminal,
            notes: notes::to_screen(bus),
            behind,
            listener,
            clock,
            on,
            end: Arc::clone(&end),
        };
        let thread = std::thread::Builder::new().name("screen".to_owned()).spawn(move || watch.run());
        let thread = thread.map_err(ScreenError::Thread)?;
        Ok(Self { end, thread: Some(thread) })
    }
}

impl Drop for Screen {
    fn drop(&mut self) {
        self.end.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

/// What is left to do when a screen is gone, even by a panic.
struct Behind {
    detached: Arc<AtomicBool>,
}

impl Behind {
    fn begin(on: &Wishes) -> Self {
        *HELD.lock().unwrap_or_else(PoisonError::into_inner) = Some(VecDeque::new());
        Self { detached: Arc::clone(&on.detached) }
    }
}

impl Drop for Behind {
    fn drop(&mut self) {
        let mut held = HELD.lock().unwrap_or_else(PoisonError::into_inner);
        let mut out = io::stdout().lock();
        // A reader that is gone is no reason to stop.
        held.take().into_iter().flatten().for_each(|line| _ = writeln!(out, "{line}"));
        drop(out);
        self.detached.store(true, Ordering::Relaxed);
    }
}

/// The thread of a screen. Where it panics, these go in the order in which they stand.
struct Watch {
    terminal: Terminal,
    notes: OnScreen,
    behind: Behind,
    model: Model,
    listener: Listener,
    clock: Clock,
    on: Wishes,
    end: Arc<AtomicBool>,
}

impl Watch {
    fn run(mut self) {
        // A terminal that is gone is no reason to stop the work.
        let _ = self.watch();
        let Self { terminal, notes, behind, mut model, mut listener, .. } = self;
        drop(terminal);
        // In this order: what was said up to here has come to the bus, and what is said from here on goes to stderr.
        drop(notes);
        while let Some(heard) = listener.try_next() {
            model.hear(heard);
        }
        say_again(&model);
        drop(behind);
    }

    /// Shows what happens until the screen is to go.
    fn watch(&mut self) -> io::Result<()> {
        let mut drawn: Option<Instant> = None;
        let mut is_changed = true;
        while !self.end.load(Ordering::Relaxed) && !self.on.stop.load(Ordering::Relaxed) {
            is_changed |= self.hear();
            let now = self.clock.now();
            self.model.tick(now);
            let since = drawn.map_or(IDLE, |drawn| now.saturating_since(drawn));
            if (is_changed && since >= FRAME) || since >= IDLE {
                if !self.terminal.draw(&self.model)? {
                    return Ok(());
                }
                (drawn, is_changed) = (Some(now), false);
            }
            let wait = if is_changed { FRAME.saturating_sub(since) } else { FRAME };
            match self.terminal.wait(std::time::Duration::from_nanos(wait.as_nanos().max(1_000_000))) {
                None | Some(Input::Other) => {}
                Some(Input::Resized) => is_changed = true,
                Some(Input::Key(key)) => {
                    is_changed = true;
                    match self.model.press(key) {
                        None => {}
                        Some(Wanted::Stop) => self.on.stop.store(true, Ordering::Relaxed),
                        Some(Wanted::Leave) => return Ok(()),
                        Some(Wanted::Suspend) => self.terminal.suspend()?,
                        Some(Wanted::Redraw) => self.terminal.clear()?,
                    }
                }
            }
        }
        Ok(())
    }

    /// Takes what happened; whether anything did.
    fn hear(&mut self) -> bool {
        let mut heard = 0;
        while heard < MAX_EVENTS
            && let Some(event) = self.listener.try_next()
        {
            self.model.hear(event);
            heard += 1;
        }
        heard > 0
    }
}

/// Notes that were on the screen are to be found behind it too.
fn say_again(model: &Model) {
    for line in model.log().lines().filter(|line| line.is_note) {
        note(line.level, &line.text);
    }
}

#[cfg(test)]
mod random_tests;
#[cfg(test)]
mod tests;
