//! Medians of runs, and ratios of ours to the others'.

use std::fmt::Write as _;

use serde::Serialize;

use super::run::Run;
use super::tool::{Order, Tool};
use crate::machine::Machine;
use crate::stats::{median, range};

/// All of a comparison.
#[derive(Debug, Serialize)]
pub struct Report {
    /// Always "summary".
    #[serde(rename = "type")]
    pub kind: &'static str,
    /// When it began.
    pub started: String,
    /// On what.
    pub machine: Machine,
    /// Over what.
    pub testbed: String,
    /// What was compared.
    pub scenarios: Vec<ScenarioReport>,
}

/// All contestants in one scenario.
#[derive(Debug, Serialize)]
pub struct ScenarioReport {
    /// Its name.
    pub name: String,
    /// Targets, each asked once.
    pub targets: u32,
    /// Packets per second that were asked for; none is as many as go.
    pub rate: Option<u32>,
    /// Whether every probe was answered.
    pub is_answered: bool,
    /// In the order of [`Tool::ALL`].
    pub contestants: Vec<ContestantReport>,
}

/// One contestant in one scenario.
#[derive(Debug, Serialize)]
pub struct ContestantReport {
    /// Its name.
    pub name: &'static str,
    /// Every run that counts.
    pub runs: Vec<Run>,
    /// Why there are no more.
    pub failure: Option<String>,
    /// Packets per second of ours, by its own: the median of the ratios round by round. None for ours.
    pub ours_by_this: Option<f64>,
}

impl ScenarioReport {
    /// A scenario in which nobody ran yet.
    #[must_use]
    pub fn new(name: String, order: &Order, is_answered: bool, tools: &[Tool]) -> Self {
        let contestant =
            |tool: &Tool| ContestantReport { name: tool.name(), runs: Vec::new(), failure: None, ours_by_this: None };
        let contestants = tools.iter().map(contestant).collect();
        Self { name, targets: order.targets, rate: order.rate, is_answered, contestants }
    }

    /// Fills in the ratios, once all have run.
    pub fn compare(&mut self) {
        let speeds = |contestant: &ContestantReport| -> Vec<(u32, f64)> {
            contestant.runs.iter().map(|run| (run.round, run.packets_per_s)).collect()
        };
        let ours = Tool::ALL[0].name();
        let Some(ours) = self.contestants.iter().find(|one| one.name == ours).map(speeds) else { return };
        for contestant in self.contestants.iter_mut().skip(1) {
            let theirs = speeds(contestant);
            let ratio = |(round, own): &(u32, f64)| {
                let (_, other) = theirs.iter().find(|(other, _)| other == round)?;
                (*other > 0.0).then(|| own / other)
            };
            contestant.ours_by_this = median(&ours.iter().filter_map(ratio).collect::<Vec<_>>());
        }
    }
}

impl Report {
    /// For people.
    #[must_use]
    pub fn to_text(&self) -> String {
        let mut out = format!("{}\n{}\n", self.machine.describe(), self.testbed);
        for scenario in &self.scenarios {
            let rate = scenario.rate.map_or("as fast as it goes".to_owned(), |rate| format!("{rate} packets/s"));
            let answered = if scenario.is_answered { "every probe answered" } else { "no probe answered" };
            let _ = writeln!(out, "\n{}: {} targets, {rate}, {answered}", scenario.name, scenario.targets);
            for contestant in &scenario.contestants {
                write_contestant(&mut out, contestant);
            }
        }
        out
    }
}

fn write_contestant(out: &mut String, contestant: &ContestantReport) {
    let ContestantReport { name, runs, failure, ours_by_this } = contestant;
    let of = |value: fn(&Run) -> f64| median(&runs.iter().map(value).collect::<Vec<_>>()).unwrap_or_default();
    if let Some(first) = runs.first() {
        let speeds: Vec<f64> = runs.iter().map(|run| run.packets_per_s).collect();
        let (low, high) = range(&speeds).unwrap_or_default();
        let _ = write!(out, "  {name:<18} {:>9.0} packets/s ({low:.0} to {high:.0})", of(|run| run.packets_per_s));
        if let Some(ratio) = ours_by_this {
            let _ = write!(out, ", ours is {ratio:.2}x");
        }
        let _ = writeln!(out);
        let error = if first.rate_error_pct.is_some() {
            format!(
                "; rate error {:+.3} %, most in a second {:.0}",
                of(|run| run.rate_error_pct.unwrap_or_default()),
                of(|run| run.most_in_a_second as f64)
            )
        } else {
            String::new()
        };
        let _ = writeln!(
            out,
            "  {:<18} {:.0} of {} probes arrived, {:.0} answers returned ({:.0} had no room), {:.0} in the output: {:.4} % lost{error}",
            "",
            of(|run| run.probes as f64),
            first.ordered,
            of(|run| run.answers as f64),
            of(|run| run.answers_without_room as f64),
            of(|run| run.found as f64),
            of(|run| run.lost_pct),
        );
        let _ = writeln!(
            out,
            "  {:<18} {:.2} CPU s per million probes, {:.2} of the whole machine; {:.0} MiB",
            "",
            of(|run| run.cpu_seconds_per_million),
            of(|run| run.machine_cpu_seconds_per_million),
            of(|run| run.peak_rss_bytes as f64) / f64::from(1 << 20),
        );
    }
    if let Some(failure) = failure {
        let _ = writeln!(out, "  {name:<18} not measured: {failure}");
    }
}
