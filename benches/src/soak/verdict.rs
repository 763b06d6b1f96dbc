//! Whether hours of work left anything behind: the end compared with the beginning.

use std::time::Duration;

use serde::Serialize;

use super::round::Tally;
use super::sample::Sample;
use crate::stats::median;

/// After so long every kind of incident has come several times. The changes of keys are the last: they want a transfer of minutes, and
/// the server tells of them at its end.
const ALL_HAPPEN: Duration = Duration::from_secs(600);

/// What counts as constant.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// Memory may grow by so many bytes an hour.
    pub slope_bytes_per_hour: f64,
    /// And by so many on top of that: pages that are touched once, and then stay.
    pub noise_bytes: f64,
    /// So many seconds from the start on do not count: pools and caches fill. Nor does the first tenth.
    pub warm_up_s: u64,
}

impl Default for Limits {
    fn default() -> Self {
        Self { slope_bytes_per_hour: f64::from(1 << 20), noise_bytes: f64::from(1 << 20), warm_up_s: 1200 }
    }
}

/// One thing that had to hold.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Check {
    /// Which.
    pub name: &'static str,
    /// Whether it did; `None` where it could not be seen.
    pub passed: Option<bool>,
    /// The figures.
    pub figures: String,
}

/// What the idle moments among the samples say.
pub fn compare(samples: &[Sample], limits: &Limits) -> Vec<Check> {
    let last_s = samples.last().map_or(0, |sample| sample.at_s);
    let warm = limits.warm_up_s.max(last_s / 10);
    let idle: Vec<_> = samples.iter().filter(|sample| sample.idle && sample.at_s >= warm).collect();
    let quarter = idle.len().div_ceil(4);
    let (Some(first), Some(last)) = (idle.get(..quarter), idle.get(idle.len() - quarter..)) else { return Vec::new() };
    let medians = |of: &dyn Fn(&Sample) -> Option<u64>| {
        let of = |samples: &[&Sample]| {
            median(&samples.iter().filter_map(|sample| of(sample)).map(|value| value as f64).collect::<Vec<_>>())
        };
        Some((of(first)?, of(last)?))
    };
    let hours = medians(&|sample| Some(sample.at_s)).map_or(0.0, |(from, to)| (to - from) / 3600.0);
    let is_enough = last_s >= 2 * warm && hours > 0.0;
    let memory = medians(&|sample| Some(sample.resident_bytes)).map(|(from, to)| {
        let (growth, allowed) = (to - from, limits.slope_bytes_per_hour * hours + limits.noise_bytes);
        let figures = format!(
            "{:.0} KiB, then {:.0} KiB: {:+.0} KiB in {hours:.2} h, of which {:.0} KiB are allowed ({:.0} KiB an hour and {:.0} KiB)",
            from / 1024.0,
            to / 1024.0,
            growth / 1024.0,
            allowed / 1024.0,
            limits.slope_bytes_per_hour / 1024.0,
            limits.noise_bytes / 1024.0
        );
        (growth <= allowed, figures)
    });
    let same = |of: &dyn Fn(&Sample) -> Option<u64>| {
        medians(of).map(|(from, to)| (from == to, format!("{from:.0}, then {to:.0}")))
    };
    let check = |name, found: Option<(bool, String)>| match found {
        Some((passed, figures)) if is_enough => Check { name, passed: Some(passed), figures },
        Some((_, figures)) => Check {
            name,
            passed: None,
            figures: format!("{figures}: too short to say, with {} idle moments", idle.len()),
        },
        None if last_s < 2 * warm => {
            let figures = format!("too short to say: {last_s} s, of which the first {warm} s would not count");
            Check { name, passed: None, figures }
        }
        None => Check { name, passed: None, figures: "the server does not say".to_owned() },
    };
    vec![
        check("memory is constant", memory),
        check("descriptors are constant", same(&|sample| Some(sample.descriptors))),
        check("threads are constant", same(&|sample| Some(sample.threads))),
        check("slots of the pools come back", same(&|sample| sample.slots_in_use)),
        check("frames come back", same(&|sample| sample.frames_held)),
    ]
}

/// Whether each kind of incident happened at all. A transfer that nobody disturbed says nothing.
pub fn all_happened(tally: &Tally, lasted: Duration) -> Check {
    let kinds = [
        ("senders killed", tally.senders_killed),
        ("receivers killed", tally.receivers_killed),
        ("moves", tally.moves),
        ("moves that the server saw", tally.migrations),
        ("changes of keys", tally.rekeys),
        ("surveys", tally.scans),
        ("reloads", tally.reloads),
    ];
    let figures = kinds.map(|(kind, count)| format!("{kind} {count}")).join(", ");
    let passed = match kinds.iter().all(|(_, count)| *count > 0) {
        false if lasted < ALL_HAPPEN => None,
        all => Some(all),
    };
    let figures = if passed.is_none() { format!("{figures}: too short for all") } else { figures };
    Check { name: "every kind of incident happened", passed, figures }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn samples(count: u64, of: impl Fn(u64) -> (u64, u64)) -> Vec<Sample> {
        let sample = |minute| {
            let (resident_bytes, descriptors) = of(minute);
            let (at_s, idle, slots_in_use) = (minute * 60, true, Some(4));
            Sample { at_s, idle, resident_bytes, descriptors, threads: 5, slots_in_use, frames_held: None }
        };
        (0..count).map(sample).collect()
    }

    fn passed(samples: &[Sample]) -> Vec<Option<bool>> {
        compare(samples, &Limits::default()).iter().map(|check| check.passed).collect()
    }

    #[test]
    fn what_stays_is_constant_and_what_is_not_told_is_not_judged() {
        let samples = samples(120, |minute| (50 << 20 | (minute % 7) << 12, 20));
        assert_eq!(passed(&samples), [Some(true), Some(true), Some(true), Some(true), None]);
    }

    #[test]
    fn warming_up_does_not_count() {
        let of = |minute| (if minute < 20 { minute << 20 } else { 50 << 20 }, 20);
        assert_eq!(passed(&samples(120, of))[0], Some(true));
        // Half an hour is too short for the twenty minutes that it takes.
        assert_eq!(passed(&samples(30, of))[0], None);
    }

    #[test]
    fn what_grows_is_seen() {
        // 64 KiB a minute are 4 MiB an hour.
        assert_eq!(passed(&samples(120, |minute| (50 << 20 | minute << 16, 20)))[0], Some(false));
        assert_eq!(passed(&samples(120, |minute| (50 << 20, 20 + minute / 50)))[1], Some(false));
    }

    #[test]
    fn incidents_that_never_came_are_missed() {
        let mut tally = Tally { senders_killed: 1, receivers_killed: 1, moves: 2, migrations: 2, ..Tally::default() };
        (tally.rekeys, tally.scans) = (1, 1);
        let after = |tally: &Tally, seconds| all_happened(tally, Duration::from_secs(seconds)).passed;
        assert_eq!((after(&tally, 60), after(&tally, 3600)), (None, Some(false)));
        tally.reloads = 1;
        assert_eq!((after(&tally, 60), after(&tally, 3600)), (Some(true), Some(true)));
        // Moved, and the server noticed nothing.
        tally.migrations = 0;
        assert_eq!(after(&tally, 3600), Some(false));
    }

    #[test]
    fn busy_moments_and_too_few_of_them_say_nothing() {
        let mut samples = samples(120, |minute| (50 << 20 | minute << 16, 20 + minute));
        samples.iter_mut().skip(1).for_each(|sample| sample.idle = false);
        assert!(compare(&samples, &Limits { warm_up_s: 0, ..Limits::default() }).iter().all(|c| c.passed.is_none()));
        assert!(compare(&[], &Limits::default()).iter().all(|check| check.passed.is_none()));
    }
}
