//! How transfers stand while they go on: a bar on a terminal, objects for scripts. Both hear it from the bus, as every other watcher does.

use std::collections::BTreeMap;
use std::io::IsTerminal;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use serde_json::json;
use wirehaul_core::rate::Rate;

use super::args::OutputArgs;
use super::output::line;
use crate::events::{Bus, Event, Heard, Listener, Stage, TransferId, TransferState};

/// How often the bar is redrawn.
const REDRAW: Duration = Duration::from_millis(200);
/// How many times of that there are from one JSON line to the next.
const JSON_EVERY: u32 = 5;

/// Shows progress on a thread of its own until it is dropped.
pub struct ProgressView {
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl ProgressView {
    /// A bar on a terminal, JSON lines with `--json`, nothing with `-q` or where stderr is no terminal. With a flag, only once that is
    /// set: when a screen is gone.
    #[must_use]
    pub fn start(output: OutputArgs, events: &Bus, begin: Option<Arc<AtomicBool>>) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let bar = std::io::stderr().is_terminal() && !output.quiet && !output.json;
        let wanted = !output.quiet && (bar || output.json);
        let flag = Arc::clone(&stop);
        let thread = wanted.then(|| {
            let mut under_way = UnderWay::of(events.listen());
            let show = move || {
                while begin.as_ref().is_some_and(|begin| !begin.load(Ordering::Relaxed))
                    && !flag.load(Ordering::Relaxed)
                {
                    std::thread::park_timeout(REDRAW);
                    under_way.hear();
                }
                if output.json { show_json(&flag, under_way) } else { show_bar(&flag, under_way) }
            };
            std::thread::Builder::new().name("progress".to_owned()).spawn(show).ok()
        });
        Self { stop, thread: thread.flatten() }
    }
}

impl Drop for ProgressView {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            thread.thread().unpark();
            let _ = thread.join();
        }
    }
}

/// The transfers under way, as far as was heard.
struct UnderWay {
    listener: Listener,
    transfers: BTreeMap<TransferId, TransferState>,
}

/// All of them together.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Sum {
    transfers: usize,
    /// What the one that is least far is doing.
    stage: Stage,
    done_bytes: u64,
    total_bytes: u64,
}

impl UnderWay {
    fn of(listener: Listener) -> Self {
        Self { listener, transfers: BTreeMap::new() }
    }

    /// Hears what there is to hear.
    fn hear(&mut self) {
        while let Some(heard) = self.listener.try_next() {
            match heard {
                Heard::Event(Event::Transfer(state) | Event::Session { transfer: state, .. }) => {
                    if state.stage == Stage::Over {
                        self.transfers.remove(&state.id);
                    } else {
                        self.transfers.insert(state.id, state);
                    }
                }
                Heard::Event(Event::Finished(end)) => {
                    self.transfers.remove(&end.state.id);
                }
                // Ends may be among what was missed: those that go on are told about again.
                Heard::Missed(_) => self.transfers.clear(),
                Heard::Event(_) => {}
            }
        }
    }

    fn sum(&self) -> Sum {
        let add = |sum: Sum, state: &TransferState| Sum {
            transfers: sum.transfers + 1,
            stage: if sum.transfers == 0 || order(state.stage) < order(sum.stage) { state.stage } else { sum.stage },
            done_bytes: sum.done_bytes + state.done_bytes,
            total_bytes: sum.total_bytes + state.total_bytes,
        };
        self.transfers.values().fold(Sum::default(), add)
    }
}

const fn order(stage: Stage) -> u8 {
    match stage {
        // What moves is what people watch; the others are soon over.
        Stage::Moving => 0,
        Stage::Finishing => 1,
        Stage::Comparing => 2,
        Stage::Connecting => 3,
        Stage::Listing => 4,
        Stage::Waiting => 5,
        Stage::Over => 6,
    }
}

fn show_json(stop: &AtomicBool, mut under_way: UnderWay) {
    let mut ticks = 0;
    let mut last = 0;
    while !stop.load(Ordering::Relaxed) {
        std::thread::park_timeout(REDRAW);
        ticks += 1;
        if ticks % JSON_EVERY != 0 {
            under_way.hear();
            continue;
        }
        // Held until the line is out. The end of a transfer is told before its summary is printed, so that no line comes behind that of
        // the last one.
        let _stdout = std::io::stdout().lock();
        under_way.hear();
        let sum = under_way.sum();
        if sum.transfers == 0 || stop.load(Ordering::Relaxed) {
            last = 0;
            continue;
        }
        let moved = sum.done_bytes.saturating_sub(last);
        let rate = Rate::from_bytes_over(moved, wirehaul_core::time::Duration::from_secs(1));
        last = sum.done_bytes;
        let event = json!({
            "type": "progress",
            "stage": sum.stage.name(),
            "transfers": sum.transfers,
            "bytes": sum.done_bytes,
            "total_bytes": sum.total_bytes,
            "bits_per_s": rate.as_bits_per_sec(),
        });
        line(&event.to_string());
    }
}

fn show_bar(stop: &AtomicBool, mut under_way: UnderWay) {
    let bar = ProgressBar::with_draw_target(Some(0), ProgressDrawTarget::stderr());
    let mut shown = None;
    while !stop.load(Ordering::Relaxed) {
        under_way.hear();
        let sum = under_way.sum();
        bar.set_length(sum.total_bytes);
        bar.set_position(sum.done_bytes);
        if shown != Some((sum.stage, sum.transfers, template(&sum))) {
            if let Ok(style) = ProgressStyle::with_template(template(&sum)) {
                bar.set_style(style.progress_chars("=> "));
            }
            let message = match sum.transfers {
                0 | 1 => sum.stage.name().to_owned(),
                transfers => format!("{transfers} at once"),
            };
            bar.set_message(message);
            // What was there before this stage, or came in its first instant, says nothing about its speed.
            bar.reset_eta();
            shown = Some((sum.stage, sum.transfers, template(&sum)));
        }
        std::thread::park_timeout(REDRAW);
    }
    bar.finish_and_clear();
}

/// What is shown. A bar without anything to do would be a full one, with nothing left.
const fn template(sum: &Sum) -> &'static str {
    match sum.total_bytes {
        0 => "{msg:>10}",
        _ => "{msg:>10} [{bar:24}] {binary_bytes} of {binary_total_bytes}, {binary_bytes_per_sec}, {eta} left",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::events::{Direction, SessionFigures};
    use wirehaul_core::time::Instant;

    fn state(number: u64, stage: Stage, done_bytes: u64) -> TransferState {
        TransferState {
            id: TransferId { worker: 0, number },
            at: Instant::ZERO,
            began: Instant::ZERO,
            direction: Direction::Receiving,
            peer: None,
            remote: None,
            stage,
            total_bytes: 100,
            done_bytes,
            figures: SessionFigures::default(),
        }
    }

    /// XFER-7: several transfers are one bar.
    #[test]
    fn transfers_add_up_until_they_are_over() {
        let bus = Bus::new(16);
        let mut under_way = UnderWay::of(bus.listen());
        bus.send(Event::Transfer(state(1, Stage::Moving, 10)));
        bus.send(Event::Transfer(state(2, Stage::Comparing, 0)));
        bus.send(Event::Transfer(state(1, Stage::Moving, 30)));
        under_way.hear();
        assert_eq!(under_way.sum(), Sum { transfers: 2, stage: Stage::Moving, done_bytes: 30, total_bytes: 200 });
        bus.send(Event::Transfer(state(1, Stage::Over, 100)));
        under_way.hear();
        assert_eq!(under_way.sum(), Sum { transfers: 1, stage: Stage::Comparing, done_bytes: 0, total_bytes: 100 });
    }

    #[test]
    fn a_bar_is_drawn_only_where_there_is_something_to_do() {
        let waiting = Sum::default();
        let moving = Sum { transfers: 1, stage: Stage::Moving, done_bytes: 0, total_bytes: 1 };
        assert!(!template(&waiting).contains("bar") && template(&moving).contains("{bar:"));
    }

    #[test]
    fn what_was_missed_may_have_been_an_end() {
        let bus = Bus::new(2);
        let mut under_way = UnderWay::of(bus.listen());
        bus.send(Event::Transfer(state(1, Stage::Moving, 10)));
        under_way.hear();
        for number in 2..9 {
            bus.send(Event::Transfer(state(number, Stage::Moving, number)));
        }
        under_way.hear();
        assert_eq!(under_way.sum().transfers, 2);
    }
}
