//! What happens, for whoever wants to know: a bus with many listeners that never holds up those who speak (CDN-8).

use tokio::sync::broadcast::{self, error};
use wirehaul_core::cdn::Probability;
use wirehaul_core::time::Instant;

/// Events that wait for the slowest listener at most; it misses the older ones.
pub const DEFAULT_CAPACITY: usize = 1024;

/// Something that happened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// It was found out whether a target is an edge of a CDN.
    CdnDetection {
        /// When, by the clock of the process.
        at: Instant,
        /// What was asked about, as it was written.
        target: String,
        /// Whose edge it is: the provider's key; `None` for nobody's.
        provider: Option<String>,
        /// How likely it is that it is an edge.
        confidence: Probability,
        /// Whether it is taken for an origin: no edge, of whomever.
        origin: bool,
    },
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
#[derive(Clone, Debug, PartialEq, Eq)]
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
        Event::CdnDetection {
            at: Instant::ZERO,
            target: number.to_string(),
            provider: None,
            confidence: Probability::HALF,
            origin: true,
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
            assert_eq!(listener.try_next(), Some(Heard::Event(detection(1))));
            assert_eq!(listener.try_next(), Some(Heard::Event(detection(2))));
            assert_eq!(listener.try_next(), None);
        }
    }

    #[test]
    fn a_slow_listener_is_told_what_it_missed_and_holds_up_nobody() {
        let bus = Bus::new(4);
        let mut slow = bus.listen();
        for number in 0..10 {
            bus.send(detection(number));
        }
        assert_eq!(slow.try_next(), Some(Heard::Missed(6)));
        assert_eq!(slow.try_next(), Some(Heard::Event(detection(6))));
    }
}
