//! Faults that change how a link carries everything, from some time on.

use wirehaul_core::{
    rate::Rate,
    time::{Duration, Instant},
};

use super::{Fault, span};
use crate::{
    link::{Policer, Step},
    network::LinkId,
};

impl Fault {
    /// What changes on which link, and when, in a run that began at `start`: nothing, one change, or one that is taken back.
    /// Where two of a kind overlap, the end of one is the end of both.
    #[must_use]
    pub fn steps(&self, start: Instant) -> Vec<(Instant, LinkId, Step)> {
        let there_and_back = |link: usize, (from, to): (Instant, Instant), change: Step, back: Step| {
            vec![(from, LinkId::nth(link), change), (to, LinkId::nth(link), back)]
        };
        match *self {
            Self::Police { link, from_ns, to_ns, rate_bps, burst_bytes } => {
                let policer = Policer { rate: Rate::from_bits_per_sec(rate_bps), burst_bytes };
                let police = |policer| Step { policer: Some(policer), ..Step::default() };
                there_and_back(link, span(start, from_ns, to_ns), police(Some(policer)), police(None))
            }
            Self::Lumps { link, from_ns, to_ns, every_ns } => {
                let lump = |every| Step { lumps: Some(every), ..Step::default() };
                let every = Duration::from_nanos(every_ns);
                there_and_back(link, span(start, from_ns, to_ns), lump(every), lump(Duration::ZERO))
            }
            Self::RateStep { link, at_ns, rate_bps } => {
                let rate = Some(Rate::from_bits_per_sec(rate_bps.max(1)));
                vec![(start + Duration::from_nanos(at_ns), LinkId::nth(link), Step { rate, ..Step::default() })]
            }
            _ => Vec::new(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_change_comes_at_its_time_and_one_with_an_end_is_taken_back() {
        let at = |nanos| Instant::ZERO + Duration::from_nanos(nanos);
        let times = |fault: Fault| -> Vec<_> { fault.steps(at(100)).into_iter().map(|(at, ..)| at).collect() };
        let police = Fault::Police { link: 1, from_ns: 5, to_ns: 9, rate_bps: 8, burst_bytes: 3 };
        let steps = police.steps(at(100));
        assert!(steps.iter().all(|(_, link, _)| *link == LinkId::nth(1)));
        assert!(matches!(steps[0].2.policer, Some(Some(Policer { burst_bytes: 3, .. }))));
        assert!(matches!(steps[1].2.policer, Some(None)));
        assert_eq!(times(police), [at(105), at(109)]);
        assert_eq!(times(Fault::Lumps { link: 0, from_ns: 1, to_ns: 2, every_ns: 7 }), [at(101), at(102)]);
        assert_eq!(times(Fault::RateStep { link: 0, at_ns: 4, rate_bps: 0 }), [at(104)]);
        assert!(times(Fault::Outage { link: 0, from_ns: 1, to_ns: 2 }).is_empty());
    }
}
