//! Which CPUs a card's interrupts go to, and when they go back to where they were (NUMA-5).
//!
//! Several processes may work on one card, come and go in any order, or be killed, and others may move interrupts, too. What a
//! process did is its [`Claim`], which is written down before anything is changed. Whoever leaves last puts back what was there
//! before the first came; where somebody else has moved an interrupt since, it stays there.

use super::cpus::CpuSet;
use super::placement::Placement;

/// What was done to an interrupt. Several processes may have the same claim.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Claim {
    /// Its number.
    pub interrupt: u32,
    /// The CPUs that it had, and goes back to.
    pub before: CpuSet,
    /// The CPUs that it was given.
    pub set: CpuSet,
    /// Claims of one interrupt with the same number are the same. A higher one was made after somebody else had moved the
    /// interrupt away from what the lower one set, which is void since then.
    pub round: u32,
}

/// What is to be done about an interrupt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Steering {
    /// Nothing: there are no CPUs to move it to.
    Leave,
    /// It is where it should be. The claim keeps it there: others who come later see it, and whoever moved it leaves it.
    Hold(Claim),
    /// It is to be moved to the CPUs of this claim.
    Move(Claim),
    /// Nothing: others who are still there have it on CPUs that are not those wanted. They came first.
    Taken,
}

/// Says what is to be done about an interrupt that now has the CPUs `now`, for a process that wants it on `cpus`. `living` are the
/// claims of all processes that are there, in any order; those on other interrupts are passed over.
#[must_use]
pub fn steer<'a>(interrupt: u32, now: &CpuSet, cpus: &CpuSet, living: impl IntoIterator<Item = &'a Claim>) -> Steering {
    let (mut newest, mut in_force) = (None, None::<&Claim>);
    for claim in living.into_iter().filter(|claim| claim.interrupt == interrupt) {
        newest = newest.max(Some(claim.round));
        if claim.set == *now && in_force.is_none_or(|known| known.round < claim.round) {
            in_force = Some(claim);
        }
    }
    let is_within = now.without(cpus).is_empty() && !now.is_empty();
    let round = newest.map_or(0, |newest| newest.saturating_add(1));
    match in_force {
        Some(claim) if is_within => Steering::Hold(*claim),
        Some(_) => Steering::Taken,
        None if cpus.is_empty() => Steering::Leave,
        None if is_within => Steering::Hold(Claim { interrupt, before: *now, set: *now, round }),
        None => Steering::Move(Claim { interrupt, before: *now, set: *cpus, round }),
    }
}

/// What becomes of a claim whose process leaves, or has died.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Return {
    /// The interrupt gets the CPUs back that it had.
    PutBack,
    /// Others who are still there have the same claim, or a newer one.
    LeftToOthers,
    /// Somebody else has moved it since: it stays there.
    MovedSince,
}

/// Says what becomes of a claim on an interrupt that now has the CPUs `now`. `living` are the claims of the other processes that
/// are there.
///
/// Who leaves gives back the claims of the dead before its own, which may be older: until then it is one of the living. Of the dead,
/// the claims with the highest [`Claim::round`] come first.
#[must_use]
pub fn give_back<'a>(claim: &Claim, now: &CpuSet, living: impl IntoIterator<Item = &'a Claim>) -> Return {
    let has_heir = living.into_iter().any(|other| other.interrupt == claim.interrupt && other.round >= claim.round);
    match (has_heir, *now == claim.set) {
        (true, _) => Return::LeftToOthers,
        (false, true) => Return::PutBack,
        (false, false) => Return::MovedSince,
    }
}

/// The CPUs that a card's interrupts are to be on: those of its workers, who share memory with them. `None` where nodes make no
/// difference or are not to be looked at, and interrupts stay where they are.
///
/// Interrupts follow the workers also where these cannot be on the card's node. What an interrupt does is mostly to copy packets
/// into the workers' memory, and to wake them.
#[must_use]
pub fn interrupt_cpus(placement: &Placement) -> Option<&CpuSet> {
    (placement.cpu_node.is_some() && !placement.cpus.is_empty()).then_some(&placement.cpus)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn list(text: &str) -> CpuSet {
        CpuSet::from_list(text).unwrap()
    }

    fn claim(interrupt: u32, before: &str, set: &str, round: u32) -> Claim {
        Claim { interrupt, before: list(before), set: list(set), round }
    }

    #[test]
    fn what_is_elsewhere_is_moved_and_what_is_within_is_held() {
        let wanted = list("4-7");
        let steer_to = |cpus: &CpuSet, now: &str| steer(40, &list(now), cpus, []);
        for now in ["4-7", "5", "4,7"] {
            assert_eq!(steer_to(&wanted, now), Steering::Hold(claim(40, now, now, 0)), "{now}");
        }
        for now in ["0-3", "0-7", "3-4", ""] {
            assert_eq!(steer_to(&wanted, now), Steering::Move(claim(40, now, "4-7", 0)), "{now}");
        }
        assert_eq!(steer_to(&CpuSet::EMPTY, "0-3"), Steering::Leave);
    }

    #[test]
    fn claims_are_shared_and_the_first_to_come_is_served() {
        let first = claim(40, "0-3", "4-7", 3);
        let other = claim(41, "0-3", "0-7", 9);
        let steer = |now: &str, wanted: &str| steer(40, &list(now), &list(wanted), [&other, &first]);
        assert_eq!(steer("4-7", "4-7"), Steering::Hold(first));
        assert_eq!(steer("4-7", "0-7"), Steering::Hold(first));
        assert_eq!(steer("4-7", "0-3"), Steering::Taken);
        assert_eq!(steer("4-7", "4-5"), Steering::Taken);
        assert_eq!(steer("4-7", ""), Steering::Taken);
        // Somebody else has moved it since: the claim is void, and that is where it goes back to.
        assert_eq!(steer("2", "4-7"), Steering::Move(claim(40, "2", "4-7", 4)));
        assert_eq!(steer("5", "4-7"), Steering::Hold(claim(40, "5", "5", 4)));
    }

    #[test]
    fn of_claims_that_set_the_same_the_newest_is_shared() {
        let (old, new) = (claim(40, "0-3", "4-7", 0), claim(40, "2", "4-7", 1));
        for living in [[&old, &new], [&new, &old]] {
            assert_eq!(steer(40, &list("4-7"), &list("4-7"), living), Steering::Hold(new));
        }
        let last = Claim { round: u32::MAX, ..old };
        assert_eq!(steer(40, &list("1"), &list("4-7"), [&last]), Steering::Move(claim(40, "1", "4-7", u32::MAX)));
    }

    #[test]
    fn the_last_one_puts_back_what_was_there_before_the_first() {
        let ours = claim(40, "0-3", "4-7", 1);
        let back = |now: &str, living: &[Claim]| give_back(&ours, &list(now), living);
        assert_eq!(back("4-7", &[]), Return::PutBack);
        assert_eq!(back("2", &[]), Return::MovedSince);
        assert_eq!(back("4-7", &[ours]), Return::LeftToOthers);
        assert_eq!(back("4-7", &[claim(40, "2", "4-7", 2)]), Return::LeftToOthers);
        // Void, or of another interrupt.
        assert_eq!(back("4-7", &[claim(40, "1", "4-7", 0), claim(41, "0-3", "4-7", 1)]), Return::PutBack);
    }

    #[test]
    fn interrupts_follow_the_workers() {
        let placement = Placement { cpu_node: Some(1), cpus: list("4-5"), ..Placement::default() };
        assert_eq!(interrupt_cpus(&placement), Some(&list("4-5")));
        assert_eq!(interrupt_cpus(&Placement { cpu_node: None, ..placement.clone() }), None);
        assert_eq!(interrupt_cpus(&Placement { cpus: CpuSet::EMPTY, ..placement }), None);
    }
}
