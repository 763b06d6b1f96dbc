//! How long datagrams of one flow take, as the network sees it: what a perfect observer of both hosts would measure.

use wirehaul_core::time::Duration;

use super::histogram::Histogram;

/// Delays of what arrives at one host.
#[derive(Clone, Debug)]
pub struct Delays {
    /// Of the newest datagram.
    last: Option<Duration>,
    /// The place of the host that gets the acknowledgements, at a receiver of data.
    partner: Option<usize>,
    round_trips: Histogram,
}

impl Delays {
    /// At the host that sends data.
    #[must_use]
    pub fn of_acknowledgements() -> Self {
        Self { last: None, partner: None, round_trips: Histogram::default() }
    }

    /// At the host that receives the data of the host at `partner`.
    #[must_use]
    pub fn of_data(partner: usize) -> Self {
        Self { partner: Some(partner), ..Self::of_acknowledgements() }
    }

    /// The place of the host that sends the data; `None` at that host itself.
    #[must_use]
    pub const fn partner(&self) -> Option<usize> {
        self.partner
    }

    /// The delay of the newest datagram.
    #[must_use]
    pub const fn last(&self) -> Option<Duration> {
        self.last
    }

    /// A datagram took `delay`, and the newest one the other way `back`.
    pub fn note(&mut self, delay: Duration, back: Option<Duration>) {
        self.last = Some(delay);
        if let Some(back) = back {
            self.round_trips.add(delay + back);
        }
    }

    /// For each datagram of data its delay and that of the newest acknowledgement.
    #[must_use]
    pub const fn round_trips(&self) -> &Histogram {
        &self.round_trips
    }

    /// Counts round trips from nothing again.
    pub fn forget(&mut self) {
        self.round_trips.clear();
    }
}
