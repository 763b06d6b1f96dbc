//! How a survey stands, while it runs: a line on a terminal, objects for scripts.

use std::io::{self, Write};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use serde_json::json;
use wirehaul_core::time::{Duration, Instant};

use super::live::is_watched;
use crate::cli::args::OutputArgs;
use crate::scan::collect::Tally;
use crate::scan::counters::Progress;
use crate::units::format_duration;

/// How often the line is drawn.
const REDRAW: Duration = Duration::from_millis(200);
/// How often an object is printed.
const JSON_EVERY: Duration = Duration::from_secs(1);

/// Shows it.
pub(super) struct View {
    bar: Option<ProgressBar>,
    is_json: bool,
    steps: u64,
    from: u64,
    began: Instant,
    due: Instant,
    /// When it was shown last, and how many packets had been sent by then.
    last: (Instant, u64),
}

impl View {
    /// A line on a terminal, objects with `--json`, nothing with `-q` or where nobody watches.
    pub(super) fn new(output: OutputArgs, steps: u64, from: u64, began: Instant) -> Self {
        let is_json = output.json && !output.quiet;
        let bar = (is_watched() && !output.quiet && !output.json).then(|| bar(steps));
        let every = if is_json { JSON_EVERY } else { REDRAW };
        Self { bar, is_json, steps, from, began, due: began + every, last: (began, 0) }
    }

    pub(super) fn show(&mut self, now: Instant, progress: &Progress, tally: &Tally) {
        if now < self.due || (self.bar.is_none() && !self.is_json) {
            return;
        }
        self.due = now + if self.is_json { JSON_EVERY } else { REDRAW };
        let sent = progress.sent.packets();
        let span = now.saturating_since(self.last.0);
        let pps = per_second(sent.saturating_sub(self.last.1), span);
        self.last = (now, sent);
        let done = progress.done_before.clamp(self.from, self.steps.max(self.from));
        let left = eta(done - self.from, self.steps.saturating_sub(done), now.saturating_since(self.began));
        if self.is_json {
            self.print(now, progress, tally, pps, left);
        } else if let Some(bar) = &self.bar {
            let left = left.map_or_else(|| "?".to_owned(), format_duration);
            let dropped = progress.drops.of_replies();
            bar.set_position(done);
            bar.set_message(format!(
                "{} sent, {pps}/s, {} received, {} hits, {dropped} dropped, {left} left",
                progress.sent.sent,
                tally.received,
                tally.hits(),
            ));
        }
    }

    fn print(&self, now: Instant, progress: &Progress, tally: &Tally, pps: u64, left: Option<Duration>) {
        let object = json!({
            "type": "progress",
            "seconds": now.saturating_since(self.began).as_millis() as f64 / 1e3,
            "sent": progress.sent.sent,
            "pps": pps,
            "received": tally.received,
            "hits": tally.hits(),
            "dropped": progress.drops.of_replies(),
            "done_steps": progress.done_before.min(self.steps),
            "steps": self.steps,
            "eta_s": left.map(|left| left.as_millis() as f64 / 1e3),
        });
        // Who is gone needs to know nothing.
        let _ = writeln!(io::stdout().lock(), "{object}");
    }

    /// Takes the line away.
    pub(super) fn end(&self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }
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

    #[test]
    fn rates_and_what_is_left_need_no_time_to_have_passed() {
        assert_eq!(per_second(5, Duration::ZERO), 0);
        assert_eq!(per_second(5_000, Duration::from_millis(500)), 10_000);
        assert_eq!(per_second(u64::MAX, Duration::from_nanos(1)), u64::MAX);
        assert_eq!(eta(0, 10, Duration::from_secs(1)), None);
        assert_eq!(eta(10, 30, Duration::from_secs(1)), Some(Duration::from_secs(3)));
    }
}
