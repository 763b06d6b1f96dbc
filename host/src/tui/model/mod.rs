//! All that a screen shows, and what of it is shown now. It is told what happens and what time it is, and does nothing by itself.
//!
//! However much happens, it keeps a bounded part: the last lines, the last transfers, sums of the rest.

mod cdn;
mod history;
mod log;
mod look;
mod transfers;
mod workers;

use std::sync::Arc;

use wirehaul_core::time::{Duration, Instant};

use crate::events::{Event, Heard, Level, Placement, SessionState, Stage, SurveyState, TransferEnd, TransferState};
use crate::units::{format_duration, format_size};

pub use cdn::{Cdn, MAX_LATEST, MAX_PROVIDERS, Provider};
pub use history::{BUCKETS, Flow, History};
pub use log::{Line, Log, MAX_LINES};
pub use look::{Key, Look, View, Wanted};
pub use transfers::{MAX_LIVE, MAX_OVER, Shown, Transfer, Transfers};
pub use workers::{Pace, Seen, Workers};

/// A survey under way.
#[derive(Clone, Debug, Default)]
pub struct Survey {
    /// How it stands.
    pub state: SurveyState,
    /// Packets that leave.
    pub sending: Flow,
    /// Valid replies that come.
    pub replies: Flow,
}

/// All that is known, and what of it is looked at.
#[derive(Clone, Debug)]
pub struct Model {
    command: &'static str,
    began: Instant,
    now: Instant,
    transfers: Transfers,
    workers: Workers,
    survey: Option<Survey>,
    placement: Option<Arc<Placement>>,
    cdn: Cdn,
    log: Log,
    look: Look,
}

impl Model {
    /// Nothing has happened yet. `command` is that of the process: `send`, `recv`, `serve` or `scan`.
    #[must_use]
    pub fn new(command: &'static str, now: Instant) -> Self {
        Self {
            command,
            began: now,
            now,
            transfers: Transfers::default(),
            workers: Workers::default(),
            survey: None,
            placement: None,
            cdn: Cdn::default(),
            log: Log::default(),
            look: Look::default(),
        }
    }

    /// Something was heard.
    pub fn hear(&mut self, heard: Heard) {
        match heard {
            Heard::Event(event) => self.take(event),
            Heard::Missed(count) => self.log.miss(count),
        }
    }

    fn take(&mut self, event: Event) {
        match event {
            Event::Transfer(state) => self.transfers.hear(&state),
            Event::Session { transfer, state } => {
                self.transfers.hear(&transfer);
                if let Some((level, words)) = words_of_session(&transfer, &state) {
                    self.say(level, &words, false);
                }
            }
            Event::Finished(end) => {
                let (level, words) = words_of_end(&end);
                self.transfers.end(&end);
                self.say(level, &words, false);
            }
            Event::Worker(state) => {
                self.transfers.forget_silent(state.number, state.at);
                self.workers.hear(state);
            }
            Event::Survey(state) => {
                let survey = self.survey.get_or_insert_default();
                survey.sending.observe(state.at, state.packets);
                survey.replies.observe(state.at, state.received);
                survey.state = state;
            }
            Event::Placement(placement) => self.placement = Some(placement),
            Event::CdnDetection(detection) => self.cdn.add(detection),
            Event::Note { level, text } => self.say(level, &text, true),
        }
    }

    /// Adds a line to the log. What transfers do is not added where the command itself has a log, whose lines are notes.
    fn say(&mut self, level: Level, words: &str, is_note: bool) {
        if self.command == "serve" && !is_note {
            return;
        }
        if self.log.add(self.now, level, words, is_note) {
            self.look.stay_at_line(self.log.lines().len());
        }
    }

    /// It is that late now.
    pub fn tick(&mut self, now: Instant) {
        self.now = self.now.max(now);
        self.transfers.tick(self.now);
    }

    /// A key was pressed; what the whole process is to do about it, if anything.
    pub fn press(&mut self, key: Key) -> Option<Wanted> {
        self.look.press(
            key,
            &look::Extent {
                transfers: &self.transfers,
                providers: self.cdn.provider_count(),
                lines: self.log.lines().len(),
                places: self.placement.as_ref().map_or(0, |placement| {
                    2 * placement.nodes.len()
                        + placement.cards.len()
                        + placement.workers.len()
                        + placement.shortfalls.len()
                }),
            },
        )
    }

    // --- what there is to show ---

    /// The command of the process.
    #[must_use]
    pub const fn command(&self) -> &'static str {
        self.command
    }

    /// How long it has been watched.
    #[must_use]
    pub const fn elapsed(&self) -> Duration {
        self.now.saturating_since(self.began)
    }

    /// How long it was watched when that happened.
    #[must_use]
    pub const fn since_begin(&self, at: Instant) -> Duration {
        at.saturating_since(self.began)
    }

    /// The time.
    #[must_use]
    pub const fn now(&self) -> Instant {
        self.now
    }

    /// Transfers.
    #[must_use]
    pub const fn transfers(&self) -> &Transfers {
        &self.transfers
    }

    /// Workers.
    #[must_use]
    pub const fn workers(&self) -> &Workers {
        &self.workers
    }

    /// The survey, where there is one.
    #[must_use]
    pub const fn survey(&self) -> Option<&Survey> {
        self.survey.as_ref()
    }

    /// Where the process works, where that was told.
    #[must_use]
    pub fn placement(&self) -> Option<&Placement> {
        self.placement.as_deref()
    }

    /// Edges of CDNs.
    #[must_use]
    pub const fn cdn(&self) -> &Cdn {
        &self.cdn
    }

    /// What was said.
    #[must_use]
    pub const fn log(&self) -> &Log {
        &self.log
    }

    /// What is looked at.
    #[must_use]
    pub const fn look(&self) -> &Look {
        &self.look
    }
}

/// Who is at the other end: a name, else an address, else nobody yet.
#[must_use]
pub fn peer_of(state: &TransferState) -> String {
    match (&state.peer, state.remote) {
        (Some(name), _) => name.to_string(),
        (None, Some(remote)) => remote.to_string(),
        (None, None) => "nobody yet".to_owned(),
    }
}

/// A transfer in words: `recv from backup`.
#[must_use]
pub fn words_of(state: &TransferState) -> String {
    match state.direction {
        crate::events::Direction::Sending => format!("send to {}", peer_of(state)),
        crate::events::Direction::Receiving => format!("recv from {}", peer_of(state)),
    }
}

fn words_of_session(transfer: &TransferState, state: &SessionState) -> Option<(Level, String)> {
    let which = words_of(transfer);
    Some(match state {
        SessionState::Connected => (Level::Info, format!("{which}: connected")),
        SessionState::Moved => {
            let remote = transfer.remote.map_or_else(String::new, |remote| format!(", now at {remote}"));
            (Level::Info, format!("{which}: the peer moved{remote}"))
        }
        SessionState::GoingAway => (Level::Warning, format!("{which}: the peer takes nothing new")),
        // A transfer that had begun has an end, which is told with its reason.
        SessionState::Closed(reason) if matches!(transfer.stage, Stage::Waiting | Stage::Connecting) => {
            (Level::Warning, format!("{which}: closed: {reason}"))
        }
        SessionState::Closed(_) => return None,
    })
}

fn words_of_end(end: &TransferEnd) -> (Level, String) {
    let which = words_of(&end.state);
    match &end.failure {
        Some(failure) => (Level::Error, format!("{which}: {failure}")),
        None => {
            let files = match end.files {
                1 => "1 file".to_owned(),
                files => format!("{files} files"),
            };
            let checked = if end.verified { ", verified" } else { "" };
            let (bytes, took) = (format_size(end.stored_bytes), format_duration(end.took));
            (Level::Info, format!("{which}: complete: {files}, {bytes} in {took}{checked}"))
        }
    }
}
