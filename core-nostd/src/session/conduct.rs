//! How much a peer may break the rules.
//!
//! Only what authenticates is the peer's own: garbage and forgeries are counted, and anybody can send them, so they never
//! end a session. A rule that is broken under the session's keys is broken by the peer, or by a mistake in either
//! end's code; a peer that does nothing else is cut off after a bounded number.

use crate::wire::Reject;

/// Packets in a row that authenticate and break a rule, after which the peer is cut off: more than a mistake in one frame
/// that is sent again and again would take to show, and little beside what a datagram costs anyone.
pub const MAX_FAULTS: u32 = 64;

/// What the peer has broken of late.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Conduct {
    /// Faults since the last packet that kept all rules.
    faults: u32,
    last: Option<Reject>,
}

impl Conduct {
    /// A packet kept all rules.
    pub(super) const fn kept(&mut self) {
        self.faults = 0;
    }

    /// A packet that authenticates was refused.
    pub(super) const fn broke(&mut self, rule: Reject) {
        if is_fault(rule) {
            self.faults = self.faults.saturating_add(1);
            self.last = Some(rule);
        }
    }

    /// The rule that was broken last, once there were too many.
    pub(super) const fn verdict(&self) -> Option<Reject> {
        if self.faults >= MAX_FAULTS { self.last } else { None }
    }
}

/// Whether only a faulty peer breaks this rule. The others may be broken by packets that were on their way when something
/// changed, or because this end ran out of room.
const fn is_fault(rule: Reject) -> bool {
    !matches!(rule, Reject::RangesFull | Reject::StreamLimit | Reject::SessionClosed | Reject::PathResponseUnexpected)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_faults_in_a_row_count_and_only_those_of_the_peer() {
        let mut conduct = Conduct::default();
        for _ in 0..MAX_FAULTS - 1 {
            conduct.broke(Reject::FlowControl);
        }
        assert_eq!(conduct.verdict(), None);
        conduct.kept();
        for _ in 0..MAX_FAULTS - 1 {
            conduct.broke(Reject::FlowControl);
            conduct.broke(Reject::RangesFull);
        }
        assert_eq!(conduct.verdict(), None);
        conduct.broke(Reject::AckOfUnsent);
        assert_eq!(conduct.verdict(), Some(Reject::AckOfUnsent));
    }
}
