//! Nothing is refused that nobody spoiled: a session refuses packets of an honest peer only where a fault explains it.

use wirehaul_core::wire::{Reject, RejectCounters};

use super::Violation;
use crate::run::Run;

/// Rules that an honest peer's packet breaks where packets are lost or late, or where a session has ended: it is then
/// for nobody, comes before the handshake is through or after it, or leaves more gaps than there is room for. And where a
/// host moved: then a handshake packet comes from elsewhere, or an answer to a challenge that is no longer under way.
const CIRCUMSTANCES: &[Reject] = &[
    Reject::NotForUs,
    Reject::UnexpectedPacket,
    Reject::UnknownKeyPhase,
    Reject::RangesFull,
    Reject::SessionClosed,
    Reject::SessionsFull,
    Reject::CookieInvalid,
    Reject::PathUnknown,
    Reject::PathResponseUnexpected,
];

/// Rules that an honest peer's packet breaks where it comes twice or is overtaken. By then its keys may be gone.
const LATE: &[Reject] = &[Reject::Replayed, Reject::TooOld, Reject::Forged];

/// What was done to datagrams on their way, over the whole run.
#[derive(Clone, Copy, Debug, Default)]
struct Spoiled {
    damaged: u64,
    duplicated: u64,
    held_back: u64,
}

/// Nothing was refused beyond what was done to datagrams on their way.
///
/// # Errors
/// [`Violation::Rejects`] with the counts.
pub fn rejects(run: &mut Run<'_>) -> Result<(), Violation> {
    let mut all = RejectCounters::new();
    for id in run.host_ids() {
        all.merge(&run.host(id).rejects());
    }
    let mut spoiled = Spoiled::default();
    for link in run.network().links() {
        let stats = link.stats();
        spoiled.damaged += stats.corrupted + stats.truncated;
        spoiled.duplicated += stats.duplicated.datagrams;
        spoiled.held_back += stats.reordered;
    }
    explained(&all, spoiled)
}

fn explained(rejects: &RejectCounters, spoiled: Spoiled) -> Result<(), Violation> {
    let count = |reasons: &[Reject]| reasons.iter().map(|reject| rejects.get(*reject)).sum::<u64>();
    // A damaged datagram may have been doubled too.
    let damaged = spoiled.damaged + spoiled.damaged.min(spoiled.duplicated);
    let late = count(LATE);
    let broken = rejects.total() - count(CIRCUMSTANCES) - late;
    if broken <= damaged && broken + late <= damaged + spoiled.duplicated + spoiled.held_back {
        return Ok(());
    }
    let counted: Vec<_> = rejects.iter().filter(|(_, count)| *count > 0).collect();
    Err(Violation::Rejects(format!("{counted:?}, and only {spoiled:?}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_nobody_spoiled_must_not_be_refused() {
        let mut rejects = RejectCounters::new();
        rejects.count(Reject::NotForUs);
        assert_eq!(explained(&rejects, Spoiled::default()), Ok(()));
        rejects.count(Reject::Replayed);
        assert!(explained(&rejects, Spoiled::default()).is_err());
        let doubled = Spoiled { duplicated: 1, ..Spoiled::default() };
        assert_eq!(explained(&rejects, doubled), Ok(()));
        rejects.count(Reject::FlowControl);
        assert!(explained(&rejects, doubled).is_err());
        assert_eq!(explained(&rejects, Spoiled { damaged: 1, ..doubled }), Ok(()));
    }
}
