//! What happens, for whoever wants to know: a bus with many listeners that never holds up those who speak (CDN-8).
//!
//! Progress bars, screens, JSON lines, logs and metrics all hear the same. The bus is bounded and forgets the oldest: a slow listener
//! misses events, and is told how many. So states carry sums since the beginning, and the next one makes up for those that were missed.

mod placement;
mod survey;
mod transfer;
mod worker;

use std::sync::Arc;

use tokio::sync::broadcast::{self, error};
use wirehaul_core::cdn::Probability;
use wirehaul_core::time::Instant;

pub use placement::{CardPlace, NodePlace, Placement, WorkerPlace};
pub use survey::{SurveyDrops, SurveyState};
pub use transfer::{Direction, SessionFigures, SessionState, Stage, TransferEnd, TransferId, TransferState};
pub use worker::{KernelCounters, Totals, WorkerState};

/// Events that wait for the slowest listener at most; it misses the older ones.
pub const DEFAULT_CAPACITY: usize = 1024;

/// Something that happened. Those that a worker sends while packets move own nothing on the heap that was made for them.
#[derive(Clone, Debug)]
#[expect(
    clippy::large_enum_variant,
    reason = "a box would be an allocation on a worker's thread, a few times a second"
)]
pub enum Event {
    /// How a transfer stands: a few times a second while it goes on.
    Transfer(TransferState),
    /// A transfer's session changed.
    Session {
        /// How the transfer stands.
        transfer: TransferState,
        /// What happened.
        state: SessionState,
    },
    /// A transfer is over.
    Finished(Arc<TransferEnd>),
    /// How a worker stands: a few times a second.
    Worker(WorkerState),
    /// How a survey stands: a few times a second.
    Survey(SurveyState),
    /// Where the process works: when it starts, and now and then.
    Placement(Arc<Placement>),
    /// It was found out whether a target is an edge of a CDN.
    CdnDetection(CdnDetection),
    /// Something that people should read.
    Note {
        /// How much it matters.
        level: Level,
        /// The words.
        text: Arc<str>,
    },
}

/// It was found out whether a target is an edge of a CDN.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CdnDetection {
    /// When, by the clock of the process.
    pub at: Instant,
    /// What was asked about, as it was written.
    pub target: String,
    /// Whose edge it is: the provider's key; `None` for nobody's.
    pub provider: Option<String>,
    /// How likely it is that it is an edge.
    pub confidence: Probability,
    /// Whether it is taken for an origin: no edge, of whomever.
    pub origin: bool,
}

/// How much a note matters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Level {
    /// Good to know.
    Info,
    /// Not as it should be; the work goes on.
    Warning,
    /// Something failed.
    Error,
}

impl Level {
    /// In one word, as logs write it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Info => "info",
            Self::Warning => "warning",
            Self::Error => "error",
        }
    }
}

/// Takes events from many and gives them to many. Copies are the same bus.
#[derive(Clone, Debug)]
pub struct Bus {
    sender: broadcast::Sender<Event>,
}

/// Hears what happens from now on.
#[derive(Debug)]
pub struct Listener {
    receiver: broadcast::Receiver<Event>,
}

/// What a listener hears.
#[derive(Clone, Debug)]
#[expect(clippy::large_enum_variant, reason = "it holds an event, and is looked at where it lies")]
pub enum Heard {
    /// Something happened.
    Event(Event),
    /// So many events were missed, because the listener was too slow; those after them follow.
    Missed(u64),
}

impl Bus {
    /// A bus that keeps so many events for listeners, one at least.
    #[must_use]
    pub fn new(capacity: usize) -> Self {
        // tokio rounds up to a power of two, and refuses more than half of all numbers.
        Self { sender: broadcast::Sender::new(capacity.clamp(1, 1 << 20)) }
    }

    /// Says that something happened. Does not wait, and does not mind whether anybody listens.
    pub fn send(&self, event: Event) {
        let _ = self.sender.send(event);
    }

    /// Whether anybody listens: events are not even made for nobody.
    #[must_use]
    pub fn is_heard(&self) -> bool {
        self.sender.receiver_count() > 0
    }

    /// Listens from now on.
    #[must_use]
    pub fn listen(&self) -> Listener {
        Listener { receiver: self.sender.subscribe() }
    }
}

impl Default for Bus {
    fn default() -> Self {
        Self::new(DEFAULT_CAPACITY)
    }
}

impl Listener {
    /// Waits for the next event; `None` when the bus is gone and all was heard.
    pub async fn next(&mut self) -> Option<Heard> {
        match self.receiver.recv().await {
            Ok(event) => Some(Heard::Event(event)),
            Err(error::RecvError::Lagged(missed)) => Some(Heard::Missed(missed)),
            Err(error::RecvError::Closed) => None,
        }
    }

    /// The next event, if there is one already.
    pub fn try_next(&mut self) -> Option<Heard> {
        match self.receiver.try_recv() {
            Ok(event) => Some(Heard::Event(event)),
            Err(error::TryRecvError::Lagged(missed)) => Some(Heard::Missed(missed)),
            Err(error::TryRecvError::Empty | error::TryRecvError::Closed) => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn detection(number: usize) -> Event {
        Event::CdnDetection(CdnDetection {
            at: Instant::ZERO,
            target: number.to_string(),
            provider: None,
            confidence: Probability::HALF,
            origin: true,
        })
    }

    /// What was heard, in a word: the target, or how many were missed.
    fn word(heard: Option<Heard>) -> Option<String> {
        match heard? {
            Heard::Event(Event::CdnDetection(detection)) => Some(detection.target),
            Heard::Event(_) => None,
            Heard::Missed(missed) => Some(format!("missed {missed}")),
        }
    }

    /// CDN-8: many hear the same, in order.
    #[test]
    fn every_listener_hears_what_happens_after_it_came() {
        let bus = Bus::new(8);
        bus.send(detection(0));
        assert!(!bus.is_heard());
        let (mut one, mut two) = (bus.listen(), bus.listen());
        assert!(bus.is_heard());
        bus.send(detection(1));
        bus.clone().send(detection(2));
        for listener in [&mut one, &mut two] {
            assert_eq!(word(listener.try_next()).as_deref(), Some("1"));
            assert_eq!(word(listener.try_next()).as_deref(), Some("2"));
            assert!(listener.try_next().is_none());
        }
    }

    #[test]
    fn a_slow_listener_is_told_what_it_missed_and_holds_up_nobody() {
        let bus = Bus::new(4);
        let mut slow = bus.listen();
        for number in 0..10 {
            bus.send(detection(number));
        }
        assert_eq!(word(slow.try_next()).as_deref(), Some("missed 6"));
        assert_eq!(word(slow.try_next()).as_deref(), Some("6"));
    }
}
