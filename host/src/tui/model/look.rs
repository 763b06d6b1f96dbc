//! What of all is looked at, and how keys change that.

use super::transfers::Transfers;
use crate::events::TransferId;

/// How far a page is.
const PAGE: usize = 10;

/// A view.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum View {
    /// Something of everything.
    #[default]
    Overview,
    /// Each transfer.
    Transfers,
    /// The survey.
    Scan,
    /// Nodes, and what works where.
    Numa,
    /// Edges of CDNs.
    Cdn,
    /// What was said.
    Log,
}

impl View {
    /// All of them, in the order of their keys from 1.
    pub const ALL: [Self; 6] = [Self::Overview, Self::Transfers, Self::Scan, Self::Numa, Self::Cdn, Self::Log];

    /// Its name.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Overview => "Overview",
            Self::Transfers => "Transfers",
            Self::Scan => "Scan",
            Self::Numa => "NUMA",
            Self::Cdn => "CDN",
            Self::Log => "Log",
        }
    }

    fn beside(self, step: usize) -> Self {
        let place = Self::ALL.iter().position(|view| *view == self).unwrap_or(0);
        Self::ALL[(place + step) % Self::ALL.len()]
    }
}

/// A key, as far as it means something here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Key {
    /// A letter, digit or sign.
    Char(char),
    /// Arrows.
    Up,
    /// See `Up`.
    Down,
    /// See `Up`.
    Left,
    /// See `Up`.
    Right,
    /// A page back.
    PageUp,
    /// A page on.
    PageDown,
    /// To the first.
    Home,
    /// To the last.
    End,
    /// To the next view.
    Tab,
    /// To the view before.
    BackTab,
    /// Yes.
    Enter,
    /// Back.
    Escape,
    /// Ctrl-C.
    Interrupt,
    /// Ctrl-Z.
    Suspend,
    /// Ctrl-L.
    Redraw,
}

/// What the whole process is to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wanted {
    /// Stop the work, so that it can be gone on with.
    Stop,
    /// Leave the screen; the work goes on.
    Leave,
    /// Pause until the shell says otherwise.
    Suspend,
    /// Draw everything anew.
    Redraw,
}

/// What is looked at.
#[derive(Clone, Debug, Default)]
pub struct Look {
    /// The view.
    pub view: View,
    /// Whether the keys are explained.
    pub is_helping: bool,
    /// Whether it is asked how to leave.
    pub is_asking: bool,
    /// The transfer that is chosen; `None` is the first.
    pub transfer: Option<TransferId>,
    /// Rows of the node map above the first that is shown.
    pub numa: usize,
    /// Providers above the first that is shown.
    pub cdn: usize,
    /// Lines of the log below the last that is shown.
    pub log: usize,
}

/// How much there is to move over.
#[derive(Debug)]
pub(super) struct Extent<'a> {
    pub(super) transfers: &'a Transfers,
    pub(super) providers: usize,
    pub(super) lines: usize,
    pub(super) places: usize,
}

/// A step over a list.
#[derive(Clone, Copy, Debug)]
enum Step {
    Back(usize),
    On(usize),
    First,
    Last,
}

impl Step {
    fn of(key: Key) -> Option<Self> {
        Some(match key {
            Key::Up | Key::Char('k') => Self::Back(1),
            Key::Down | Key::Char('j') => Self::On(1),
            Key::PageUp => Self::Back(PAGE),
            Key::PageDown => Self::On(PAGE),
            Key::Home | Key::Char('g') => Self::First,
            Key::End | Key::Char('G') => Self::Last,
            _ => return None,
        })
    }

    /// From a place on a list of so many.
    const fn from(self, place: usize, count: usize) -> usize {
        let last = count.saturating_sub(1);
        let to = match self {
            Self::Back(by) => place.saturating_sub(by),
            Self::On(by) => place.saturating_add(by),
            Self::First => 0,
            Self::Last => last,
        };
        if to < last { to } else { last }
    }

    /// The same where places are counted from the end.
    const fn reversed(self) -> Self {
        match self {
            Self::Back(by) => Self::On(by),
            Self::On(by) => Self::Back(by),
            Self::First => Self::Last,
            Self::Last => Self::First,
        }
    }
}

impl Look {
    pub(super) fn press(&mut self, key: Key, extent: &Extent<'_>) -> Option<Wanted> {
        match key {
            Key::Suspend => return Some(Wanted::Suspend),
            Key::Redraw => return Some(Wanted::Redraw),
            _ => {}
        }
        if self.is_asking {
            return self.answer(key);
        }
        if self.is_helping {
            // Whatever is pressed has been read.
            self.is_helping = false;
            if matches!(key, Key::Escape | Key::Enter | Key::Char('?' | 'h' | 'q')) {
                return None;
            }
        }
        match key {
            Key::Char('q') | Key::Interrupt => self.is_asking = true,
            Key::Char('?' | 'h') => self.is_helping = true,
            Key::Tab | Key::Right => self.view = self.view.beside(1),
            Key::BackTab | Key::Left => self.view = self.view.beside(View::ALL.len() - 1),
            Key::Escape => self.view = View::Overview,
            Key::Enter if self.view == View::Overview => self.view = View::Transfers,
            Key::Char(digit @ '1'..='6') => self.view = View::ALL[digit as usize - '1' as usize],
            key => {
                if let Some(step) = Step::of(key) {
                    self.step(step, extent);
                }
            }
        }
        None
    }

    /// The answer to how to leave. A second Ctrl-C means what it means elsewhere.
    fn answer(&mut self, key: Key) -> Option<Wanted> {
        match key {
            Key::Char('s') | Key::Interrupt => {
                self.is_asking = false;
                Some(Wanted::Stop)
            }
            Key::Char('d') => {
                self.is_asking = false;
                Some(Wanted::Leave)
            }
            Key::Escape | Key::Char('q') => {
                self.is_asking = false;
                None
            }
            _ => None,
        }
    }

    fn step(&mut self, step: Step, extent: &Extent<'_>) {
        match self.view {
            View::Overview | View::Transfers => {
                let chosen = self.transfer.and_then(|id| extent.transfers.position(id)).unwrap_or(0);
                let to = step.from(chosen, extent.transfers.len());
                self.transfer = extent.transfers.shown().nth(to).map(|shown| shown.state().id);
            }
            View::Scan => {}
            View::Numa => self.numa = step.from(self.numa, extent.places),
            View::Cdn => self.cdn = step.from(self.cdn, extent.providers),
            View::Log => self.log = step.reversed().from(self.log, extent.lines),
        }
    }

    /// The log has a line more, and so many in all: who reads older ones goes on reading them.
    pub(super) fn stay_at_line(&mut self, lines: usize) {
        if self.log > 0 {
            self.log = (self.log + 1).min(lines.saturating_sub(1));
        }
    }
}
