//! How a survey stands, while it runs: told to the bus, and heard there by a line on a terminal or objects for scripts.

use std::io::{self, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use serde_json::json;
use wirehaul_core::scan::Cap;
use wirehaul_core::time::{Duration, Instant};

use super::live::is_watched;
use crate::cli::args::OutputArgs;
use crate::events::{Bus, Event, Heard, Listener, SurveyDrops, SurveyState};
use crate::scan::collect::Tally;
use crate::scan::counters::{Drops, Progress};
use crate::units::format_duration;

/// How often it is told.
const TELL_EVERY: Duration = Duration::from_millis(200);
/// How often an object is printed.
const JSON_EVERY: Duration = Duration::from_secs(1);

/// Tells how a survey stands.
pub(super) struct Teller {
    events: Bus,
    cap: Cap,
    steps: u64,
    from: u64,
    began: Instant,
    due: Instant,
    /// When it was told last, and how many packets had been sent by then.
    last: (Instant, u64),
}

impl Teller {
    /// Of a survey that goes from step `from` to `steps`.
    pub(super) fn new(events: Bus, cap: Cap, (from, steps): (u64, u64), began: Instant) -> Self {
        Self { events, cap, steps, from, began, due: began + TELL_EVERY, last: (began, 0) }
    }

    /// Tells how it stands, where it is time and somebody listens.
    pub(super) fn tell(&mut self, now: Instant, progress: &Progress, tally: &Tally) {
        if now < self.due || !self.events.is_heard() {
            return;
        }
        self.due = now + TELL_EVERY;
        let state = self.state(now, progress, tally);
        self.events.send(Event::Survey(state));
    }

    fn state(&mut self, now: Instant, progress: &Progress, tally: &Tally) -> SurveyState {
        let packets = progress.sent.packets();
        let pps = per_second(packets.saturating_sub(self.last.1), now.saturating_since(self.last.0));
        self.last = (now, packets);
        let steps = self.steps.max(self.from);
        // Those that wait are anywhere among those that were begun: below the first of them there may be few.
        let done = progress.begun_before.min(steps).saturating_sub(progress.waiting);
        let done = done.max(progress.done_before).clamp(self.from, steps);
        let left = eta(done - self.from, self.steps.saturating_sub(done), now.saturating_since(self.began));
        SurveyState {
            at: now,
            began: self.began,
            sent: progress.sent.sent,
            packets,
            bytes: progress.sent.bytes,
            pps,
            cap_pps: match self.cap {
                Cap::Packets(packets) => Some(packets),
                Cap::Bits(_) | Cap::Unlimited => None,
            },
            received: tally.received,
            hits: tally.hits(),
            duplicates: tally.duplicates,
            of_edges: tally.of_edges,
            rejects: progress.heard.rejects.iter().sum(),
            drops: SurveyDrops::from(&progress.drops),
            done_steps: done,
            steps: self.steps,
            left,
            is_cooling_down: progress.is_done,
        }
    }
}

impl From<&Drops> for SurveyDrops {
    fn from(drops: &Drops) -> Self {
        Self {
            xdp: drops.xdp_ring_full + drops.xdp_fill_ring_empty + drops.xdp_other,
            packet: drops.packet + drops.tap,
            ours: drops.replies,
            interface_rx: drops.interface_rx,
            interface_tx: drops.interface_tx,
            refused: drops.refused,
        }
    }
}

/// Shows it.
pub(super) struct View {
    listener: Option<Listener>,
    bar: Option<ProgressBar>,
    begin: Option<Arc<AtomicBool>>,
    due: Instant,
}

impl View {
    /// A line on a terminal, objects with `--json`, nothing with `-q` or where nobody watches. With a flag, only once that is set:
    /// when a screen is gone.
    pub(super) fn new(
        output: OutputArgs,
        events: &Bus,
        (steps, began): (u64, Instant),
        begin: Option<Arc<AtomicBool>>,
    ) -> Self {
        let is_json = output.json && !output.quiet;
        let bar = (is_watched() && !output.quiet && !output.json).then(|| bar(steps));
        let listener = (is_json || bar.is_some()).then(|| events.listen());
        Self { listener, bar, begin, due: began + JSON_EVERY }
    }

    /// Shows what was told.
    pub(super) fn show(&mut self) {
        let Some(listener) = &mut self.listener else { return };
        let mut newest = None;
        while let Some(heard) = listener.try_next() {
            if let Heard::Event(Event::Survey(state)) = heard {
                newest = Some(state);
            }
        }
        if self.begin.as_ref().is_some_and(|begin| !begin.load(Ordering::Relaxed)) {
            return;
        }
        let Some(state) = newest else { return };
        if let Some(bar) = &self.bar {
            let left = state.left.map_or_else(|| "?".to_owned(), format_duration);
            bar.set_position(state.done_steps);
            bar.set_message(format!(
                "{} sent, {}/s, {} received, {} hits, {} dropped, {left} left",
                state.sent,
                state.pps,
                state.received,
                state.hits,
                state.drops.of_replies(),
            ));
        } else if state.at >= self.due {
            self.due = state.at + JSON_EVERY;
            print(&state);
        }
    }

    /// Takes the line away.
    pub(super) fn end(&self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }
}

fn print(state: &SurveyState) {
    let object = json!({
        "type": "progress",
        "seconds": state.at.saturating_since(state.began).as_millis() as f64 / 1e3,
        "sent": state.sent,
        "pps": state.pps,
        "received": state.received,
        "hits": state.hits,
        "dropped": state.drops.of_replies(),
        "done_steps": state.done_steps,
        "steps": state.steps,
        "eta_s": state.left.map(|left| left.as_millis() as f64 / 1e3),
    });
    // Who is gone needs to know nothing.
    let _ = writeln!(io::stdout().lock(), "{object}");
}

fn bar(steps: u64) -> ProgressBar {
    let bar = ProgressBar::with_draw_target(Some(steps), ProgressDrawTarget::stderr());
    if let Ok(style) = ProgressStyle::with_template("[{bar:16}] {percent:>3}% {msg}") {
        bar.set_style(style.progress_chars("=> "));
    }
    bar
}

/// Things a second; 0 where no time has passed.
pub(super) fn per_second(count: u64, span: Duration) -> u64 {
    let nanos = u128::from(span.as_nanos());
    let rate = (u128::from(count) * 1_000_000_000).checked_div(nanos).unwrap_or(0);
    u64::try_from(rate).unwrap_or(u64::MAX)
}

/// How long the rest takes if it goes on like this; `None` before anything is done.
fn eta(done: u64, left: u64, took: Duration) -> Option<Duration> {
    (done > 0).then(|| took.mul_ratio(left, done))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A step that waits holds up where a resumed survey would begin, and not what people see.
    #[test]
    fn what_is_done_is_more_than_what_is_below_the_first_that_waits() {
        let cap = Cap::Unlimited;
        let done = |(from, steps), done_before, begun_before, waiting| {
            let mut teller = Teller::new(Bus::default(), cap, (from, steps), Instant::ZERO);
            let progress = Progress { done_before, begun_before, waiting, ..Progress::default() };
            teller.state(Instant::ZERO, &progress, &Tally::default()).done_steps
        };
        assert_eq!(done((0, 4_000), 26, 3_000, 1_500), 1_500);
        assert_eq!(done((0, 4_000), 26, u64::MAX, 500), 3_500);
        assert_eq!(done((0, 4_000), 26, 100, 500), 26);
        assert_eq!(done((1_000, 4_000), 1_000, 1_000, 0), 1_000);
        assert_eq!(done((1_000, 4_000), u64::MAX, u64::MAX, 0), 4_000);
    }

    #[test]
    fn rates_and_what_is_left_need_no_time_to_have_passed() {
        assert_eq!(per_second(5, Duration::ZERO), 0);
        assert_eq!(per_second(5_000, Duration::from_millis(500)), 10_000);
        assert_eq!(per_second(u64::MAX, Duration::from_nanos(1)), u64::MAX);
        assert_eq!(eta(0, 10, Duration::from_secs(1)), None);
        assert_eq!(eta(10, 30, Duration::from_secs(1)), Some(Duration::from_secs(3)));
    }
}
