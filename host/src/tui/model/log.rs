//! What was said: the last lines.

use std::collections::VecDeque;
use std::sync::Arc;

use wirehaul_core::time::Instant;

use crate::events::Level;

/// Lines that are kept.
pub const MAX_LINES: usize = 500;
/// Characters of a line that are kept: a ticket has less than a thousand.
const MAX_CHARS: usize = 2000;

/// A line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Line {
    /// When it was heard, for the last time if more than once.
    pub at: Instant,
    /// How much it matters.
    pub level: Level,
    /// The words, without characters that a terminal would act on.
    pub text: Arc<str>,
    /// How often it was said, without another one between.
    pub times: u64,
    /// Whether it is a note, which people read on stderr where there is no screen.
    pub is_note: bool,
}

/// The last lines, and how much was missed.
#[derive(Clone, Debug, Default)]
pub struct Log {
    lines: VecDeque<Line>,
    missed: u64,
}

impl Log {
    /// Adds a line; whether it became one of its own.
    pub fn add(&mut self, at: Instant, level: Level, text: &str, is_note: bool) -> bool {
        let text = plain(text);
        if let Some(last) = self.lines.back_mut()
            && (last.level, &*last.text, last.is_note) == (level, &*text, is_note)
        {
            (last.at, last.times) = (at, last.times.saturating_add(1));
            return false;
        }
        if let Some(last) = self.lines.back_mut()
            && is_note
            && !last.is_note
            && last.text.ends_with(&text)
        {
            // A transfer's end is told with its reason, which the command then says as well.
            last.is_note = true;
            return false;
        }
        if self.lines.len() >= MAX_LINES {
            self.lines.pop_front();
        }
        self.lines.push_back(Line { at, level, text: text.into(), times: 1, is_note });
        true
    }

    /// So many events were missed.
    pub fn miss(&mut self, count: u64) {
        self.missed = self.missed.saturating_add(count);
    }

    /// The lines, the newest at the end.
    pub fn lines(&self) -> impl DoubleEndedIterator<Item = &Line> + ExactSizeIterator {
        self.lines.iter()
    }

    /// Events that were missed: notes may have been among them.
    #[must_use]
    pub const fn missed(&self) -> u64 {
        self.missed
    }
}

/// Without control characters: words may come from a peer, and terminals act on some.
fn plain(text: &str) -> String {
    text.trim_end().chars().take(MAX_CHARS).map(|c| if c.is_control() { ' ' } else { c }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_that_repeat_are_one_and_the_oldest_go() {
        let mut log = Log::default();
        for _ in 0..3 {
            log.add(Instant::ZERO, Level::Info, "again", true);
        }
        assert_eq!(log.lines().map(|line| line.times).collect::<Vec<_>>(), [3]);
        for number in 0..MAX_LINES {
            log.add(Instant::ZERO, Level::Info, &number.to_string(), true);
        }
        assert_eq!((log.lines().len(), log.lines().next().map(|line| line.times)), (MAX_LINES, Some(1)));
    }

    #[test]
    fn what_is_told_and_then_said_is_one_line_that_is_a_note() {
        let mut log = Log::default();
        log.add(Instant::ZERO, Level::Error, "recv from lab-7: the disk is full", false);
        log.add(Instant::ZERO, Level::Info, "the disk is full", true);
        let lines: Vec<_> = log.lines().map(|line| (&*line.text, line.level, line.is_note)).collect();
        assert_eq!(lines, [("recv from lab-7: the disk is full", Level::Error, true)]);
    }

    #[test]
    fn what_a_terminal_would_act_on_is_taken_out() {
        let mut log = Log::default();
        log.add(Instant::ZERO, Level::Error, "a\u{1b}[2Jb\nc\u{9b}d\n", true);
        assert_eq!(&*log.lines().next().unwrap().text, "a [2Jb c d");
        log.add(Instant::ZERO, Level::Error, &"x".repeat(1 << 20), true);
        assert_eq!(log.lines().last().unwrap().text.len(), MAX_CHARS);
    }
}
