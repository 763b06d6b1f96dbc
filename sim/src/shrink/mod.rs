//! From a failing scenario to a small one that still breaks the same rule (SIM-3).
//!
//! First the scenario runs once with all that happens by chance recorded, so that it is a script. Then faults are taken
//! away by delta debugging, those that are left are made shorter, and the options are made plainer: fewer callers, fewer
//! and smaller streams, defaults. That repeats until nothing more can go.

mod ddmin;

use std::cell::Cell;

use crate::swarm::{Scenario, options::HostOptions};

pub use ddmin::ddmin;

/// What came of it.
#[derive(Clone, Debug)]
pub struct Shrunk {
    /// The small scenario: a script, nothing in it happens by chance.
    pub scenario: Scenario,
    /// The rule that it breaks.
    pub rule: &'static str,
    /// How many faults there were before.
    pub faults_before: usize,
    /// How many runs it took.
    pub runs: u32,
}

/// Makes `scenario` smaller, in `most_runs` runs at most; `None` where it breaks no rule.
#[must_use]
pub fn shrink(scenario: &Scenario, most_runs: u32) -> Option<Shrunk> {
    let (outcome, recorded) = scenario.run_recorded();
    let rule = outcome.err()?.violation.rule();
    let search = Search { rule, runs: Cell::new(1), most_runs };
    // A script of what happened is the same run; where the two differ, the seed is still worth having.
    let mut best = if search.fails(&recorded) { recorded.clone() } else { scenario.clone() };
    let faults_before = best.faults.len();
    loop {
        let before = best.clone();
        best = search.fewer_faults(best);
        best = search.milder_faults(best);
        best = search.plainer_options(best);
        if best == before || search.is_out_of_runs() {
            break;
        }
    }
    Some(Shrunk { scenario: best, rule, faults_before, runs: search.runs.get() })
}

struct Search {
    rule: &'static str,
    runs: Cell<u32>,
    most_runs: u32,
}

impl Search {
    fn is_out_of_runs(&self) -> bool {
        self.runs.get() >= self.most_runs
    }

    /// Whether the scenario breaks the rule. Nothing does when there are no runs left.
    fn fails(&self, scenario: &Scenario) -> bool {
        if self.is_out_of_runs() {
            return false;
        }
        self.runs.set(self.runs.get() + 1);
        scenario.run().is_err_and(|failure| failure.violation.rule() == self.rule)
    }

    fn fewer_faults(&self, scenario: Scenario) -> Scenario {
        let faults =
            ddmin(&scenario.faults, |faults| self.fails(&Scenario { faults: faults.to_vec(), ..scenario.clone() }));
        Scenario { faults, ..scenario }
    }

    /// Halves what has a length, one fault after the other, for as long as the rule stays broken.
    fn milder_faults(&self, mut scenario: Scenario) -> Scenario {
        for index in 0..scenario.faults.len() {
            while let Some(milder) = scenario.faults.get(index).and_then(crate::faults::Fault::milder) {
                let mut candidate = scenario.clone();
                candidate.faults[index] = milder;
                if !self.fails(&candidate) {
                    break;
                }
                scenario = candidate;
            }
        }
        scenario
    }

    /// Tries every way to make the options plainer until none works any more.
    fn plainer_options(&self, mut scenario: Scenario) -> Scenario {
        while let Some(plainer) = plainer(&scenario).into_iter().find(|candidate| self.fails(candidate)) {
            scenario = plainer;
        }
        scenario
    }
}

/// The scenario with one option plainer, in every way there is; the ways that save most come first.
fn plainer(scenario: &Scenario) -> Vec<Scenario> {
    let mut found = Vec::new();
    let mut add = |change: &dyn Fn(&mut Scenario)| {
        let mut candidate = scenario.clone();
        change(&mut candidate);
        if candidate != *scenario {
            found.push(candidate);
        }
    };
    add(&drop_last_caller);
    for host in 0..=scenario.options.callers.len() {
        for change in HOST_CHANGES {
            add(&|scenario| change(host_options(scenario, host)));
        }
    }
    for way in 0..2 {
        add(&|scenario| scenario.options.path[way].mark_above_bytes = None);
        add(&|scenario| scenario.options.path[way].buffer_bytes = None);
        add(&|scenario| scenario.options.path[way].rate_bps = None);
    }
    for caller in 0..scenario.options.callers.len() {
        add(&|scenario| scenario.options.callers[caller].own_delay_us = 0);
    }
    found
}

fn drop_last_caller(scenario: &mut Scenario) {
    if scenario.options.callers.len() > 1 {
        scenario.options.callers.pop();
        let options = scenario.options.clone();
        scenario.faults.retain(|fault| options.has_place_of(fault));
    }
}

fn host_options(scenario: &mut Scenario, host: usize) -> &mut HostOptions {
    match host.checked_sub(1) {
        Some(caller) => &mut scenario.options.callers[caller].host,
        None => &mut scenario.options.listener,
    }
}

/// Ways to make a host plainer.
const HOST_CHANGES: &[fn(&mut HostOptions)] = &[
    |host| host.send.truncate(host.send.len().saturating_sub(1)),
    |host| host.send.iter_mut().for_each(|bytes| *bytes /= 2),
    |host| host.wake_lateness_us = 0,
    |host| (host.eat_delay_ms, host.eat_rate_bps) = (0, None),
    |host| {
        let HostOptions { rekey_packets, rekey_interval_ms, .. } = HostOptions::default();
        (host.rekey_packets, host.rekey_interval_ms) = (rekey_packets, rekey_interval_ms);
    },
    |host| {
        let HostOptions { initial_window_bytes, max_window_bytes, .. } = HostOptions::default();
        (host.initial_window_bytes, host.max_window_bytes) = (initial_window_bytes, max_window_bytes);
    },
    |host| {
        let HostOptions { sent_records, packet_gaps, streams, stream_gaps, .. } = HostOptions::default();
        (host.sent_records, host.packet_gaps) = (sent_records, packet_gaps);
        (host.streams, host.stream_gaps) = (streams, stream_gaps);
    },
    |host| {
        let HostOptions { datagram_bytes, max_segments, max_ack_delay_us, .. } = HostOptions::default();
        (host.datagram_bytes, host.max_segments, host.max_ack_delay_us) =
            (datagram_bytes, max_segments, max_ack_delay_us);
    },
    |host| host.rate_cap_bps = None,
    |host| host.pacing = true,
];
