//! What comes out of a comparison: every run, medians, ratios of medians; as JSON and as a plain table.

use std::fmt::Write as _;

use serde::Serialize;
use serde_json::{Map, Value};

use crate::contestants::{ContestantError, Measurement};
use crate::machine::Machine;
use crate::stats::{median, range};
use crate::targets::{PEAK_RSS_LIMIT_BYTES, Quantity, Scenario, TARGETS};

/// The name of the product among the contestants.
pub const OURS: &str = "wirehaul";

/// A whole comparison.
#[derive(Debug, Serialize)]
pub struct Report {
    /// Always `summary`.
    #[serde(rename = "type")]
    pub kind: &'static str,
    /// When it began, UTC.
    pub started: String,
    /// On what.
    pub machine: Machine,
    /// Between which places.
    pub testbed: String,
    /// How CPU time was counted.
    pub cpu_time_from: &'static str,
    /// Each scenario that was run.
    pub scenarios: Vec<ScenarioReport>,
}

/// One scenario.
#[derive(Debug, Serialize)]
pub struct ScenarioReport {
    /// Which.
    pub scenario: Scenario,
    /// What was moved, in words.
    pub what: String,
    /// Rounds asked for.
    pub rounds: u32,
    /// Each contestant.
    pub contestants: Vec<ContestantReport>,
    /// Wirehaul against each peer.
    pub comparisons: Vec<Comparison>,
}

/// One contestant in one scenario.
#[derive(Debug, Serialize)]
pub struct ContestantReport {
    /// Who.
    pub name: &'static str,
    /// How set up.
    pub settings: String,
    /// Measured, missing or failed.
    pub status: Status,
    /// Why it is missing or what failed.
    pub reason: Option<String>,
    /// Medians of all runs; none without a run.
    pub median: Option<Medians>,
    /// Each run.
    pub runs: Vec<RunReport>,
}

/// How it went for a contestant.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Status {
    /// Every round was run.
    Measured,
    /// A program of it is not installed.
    Missing,
    /// It could not be prepared, or a run failed; it was not run again after that.
    Failed,
}

/// One run.
#[derive(Debug, Serialize)]
pub struct RunReport {
    /// From 1.
    pub round: u32,
    /// Payload bytes.
    pub bytes: u64,
    /// For them.
    pub seconds: f64,
    /// Their rate.
    pub gbit_per_s: f64,
    /// CPU time of both ends.
    pub cpu_seconds: f64,
    /// The same for each GiB.
    pub cpu_seconds_per_gib: f64,
    /// Peak resident memory of the sender.
    pub sender_peak_rss_bytes: Option<u64>,
    /// Peak resident memory of the receiver.
    pub receiver_peak_rss_bytes: Option<u64>,
    /// What the contestant itself says.
    pub details: Map<String, Value>,
}

/// Medians of the runs of one contestant; memory is the largest of all runs.
#[derive(Debug, Clone, Copy, Serialize)]
pub struct Medians {
    /// Of the duration.
    pub seconds: f64,
    /// Of the rate.
    pub gbit_per_s: f64,
    /// Smallest and largest rate.
    pub gbit_per_s_range: (f64, f64),
    /// Of the CPU time for each GiB.
    pub cpu_seconds_per_gib: f64,
    /// Largest of the sender.
    pub sender_peak_rss_bytes: Option<u64>,
    /// Largest of the receiver.
    pub receiver_peak_rss_bytes: Option<u64>,
}

/// One ratio of medians and what it has to be.
#[derive(Debug, Serialize)]
pub struct Comparison {
    /// Against whom.
    pub peer: &'static str,
    /// Of what.
    pub quantity: Quantity,
    /// What it has to be at least.
    pub at_least: f64,
    /// What it is; none when one of the two was not measured.
    pub ratio: Option<f64>,
    /// Whether that is enough.
    pub reached: Option<bool>,
}

impl RunReport {
    /// Of a measurement.
    pub fn new(round: u32, measurement: Measurement) -> Self {
        Self {
            round,
            bytes: measurement.bytes,
            seconds: measurement.seconds,
            gbit_per_s: measurement.gbit_per_s(),
            cpu_seconds: measurement.cpu_seconds,
            cpu_seconds_per_gib: measurement.cpu_seconds_per_gib(),
            sender_peak_rss_bytes: measurement.sender_peak_rss_bytes,
            receiver_peak_rss_bytes: measurement.receiver_peak_rss_bytes,
            details: measurement.details,
        }
    }
}

impl ContestantReport {
    /// Of one that is ready to run.
    pub fn ready(name: &'static str, settings: String) -> Self {
        Self { name, settings, status: Status::Measured, reason: None, median: None, runs: Vec::new() }
    }

    /// Records why it is out.
    pub fn fail(&mut self, error: &ContestantError) {
        self.status = if error.is_missing() { Status::Missing } else { Status::Failed };
        self.reason = Some(error.to_string());
    }

    /// Records a run.
    pub fn add(&mut self, run: RunReport) {
        self.runs.push(run);
        self.median = Medians::of(&self.runs);
    }
}

impl Medians {
    fn of(runs: &[RunReport]) -> Option<Self> {
        let all = |value: fn(&RunReport) -> f64| runs.iter().map(value).collect::<Vec<f64>>();
        let rates = all(|run| run.gbit_per_s);
        Some(Self {
            seconds: median(&all(|run| run.seconds))?,
            gbit_per_s: median(&rates)?,
            gbit_per_s_range: range(&rates)?,
            cpu_seconds_per_gib: median(&all(|run| run.cpu_seconds_per_gib))?,
            sender_peak_rss_bytes: runs.iter().filter_map(|run| run.sender_peak_rss_bytes).max(),
            receiver_peak_rss_bytes: runs.iter().filter_map(|run| run.receiver_peak_rss_bytes).max(),
        })
    }
}

impl ScenarioReport {
    /// Of all contestants of a scenario, with the ratios that it has to reach.
    pub fn new(scenario: Scenario, what: String, rounds: u32, contestants: Vec<ContestantReport>) -> Self {
        let medians = |name: &str| contestants.iter().find(|one| one.name == name).and_then(|one| one.median);
        let targets = TARGETS.iter().filter(|target| target.scenario == scenario);
        let comparisons = targets
            .map(|target| {
                let ratio = medians(OURS).zip(medians(target.peer)).map(|(ours, peers)| match target.quantity {
                    Quantity::Speed => ours.gbit_per_s / peers.gbit_per_s,
                    Quantity::CpuThrift => peers.cpu_seconds_per_gib / ours.cpu_seconds_per_gib,
                });
                let (peer, quantity, at_least) = (target.peer, target.quantity, target.at_least);
                Comparison { peer, quantity, at_least, ratio, reached: ratio.map(|ratio| ratio >= at_least) }
            })
            .collect();
        Self { scenario, what, rounds, contestants, comparisons }
    }

    /// False when a run of Wirehaul itself failed.
    pub fn ours_succeeded(&self) -> bool {
        self.contestants.iter().all(|one| one.name != OURS || one.status == Status::Measured)
    }

    fn write_table(&self, out: &mut String) {
        let _ = writeln!(out, "\n{}: {} ({} rounds, medians)", self.scenario.name(), self.what, self.rounds);
        let heading = ["contestant", "Gbit/s", "lowest", "highest", "seconds", "CPU s/GiB", "RSS send", "RSS recv"];
        let [name, columns @ ..] = heading;
        let _ = write!(out, "  {name:<10}");
        for column in columns {
            let _ = write!(out, " {column:>9}");
        }
        out.push('\n');
        for one in &self.contestants {
            one.write_row(out);
        }
        for one in &self.contestants {
            let _ = writeln!(out, "  {}: {}", one.name, one.settings);
        }
        for comparison in &self.comparisons {
            comparison.write_line(out);
        }
        self.write_memory_line(out);
    }

    fn write_memory_line(&self, out: &mut String) {
        let ours = self.contestants.iter().find(|one| one.name == OURS).and_then(|one| one.median);
        let Some(ours) = ours else { return };
        let largest = ours.sender_peak_rss_bytes.max(ours.receiver_peak_rss_bytes);
        let Some(largest) = largest else { return };
        let verdict = if largest < PEAK_RSS_LIMIT_BYTES { "reached" } else { "NOT reached" };
        let limit = PEAK_RSS_LIMIT_BYTES >> 20;
        let _ = writeln!(out, "  peak memory of wirehaul: {} MiB, wanted below {limit} MiB: {verdict}", largest >> 20);
    }
}

impl ContestantReport {
    fn write_row(&self, out: &mut String) {
        let _ = write!(out, "  {:<10}", self.name);
        if let Some(median) = &self.median {
            let (lowest, highest) = median.gbit_per_s_range;
            // Many small files go at a few hundredths of a Gbit/s.
            let digits = if highest < 1.0 { 4 } else { 2 };
            let _ = write!(out, " {:>9.digits$} {lowest:>9.digits$} {highest:>9.digits$}", median.gbit_per_s);
            let _ = write!(out, " {:>9.2} {:>9.2}", median.seconds, median.cpu_seconds_per_gib);
            for peak in [median.sender_peak_rss_bytes, median.receiver_peak_rss_bytes] {
                let text = peak.map_or_else(|| "-".to_owned(), |bytes| format!("{} MiB", bytes >> 20));
                let _ = write!(out, " {text:>9}");
            }
        }
        match (self.status, &self.reason) {
            (Status::Missing, Some(reason)) => {
                let _ = write!(out, " MISSING: {reason}");
            }
            (_, Some(reason)) => {
                let _ = write!(out, " FAILED after {} runs: {reason}", self.runs.len());
            }
            (_, None) => {}
        }
        out.push('\n');
    }
}

impl Comparison {
    fn write_line(&self, out: &mut String) {
        let Self { peer, quantity, at_least, ratio, reached } = self;
        let what = quantity.describe().replace("peer", peer);
        let _ = match (ratio, reached) {
            (Some(ratio), Some(true)) => writeln!(out, "  {what}: {ratio:.2}, wanted {at_least:.1}: reached"),
            (Some(ratio), _) => writeln!(out, "  {what}: {ratio:.2}, wanted {at_least:.1}: NOT reached"),
            (None, _) => writeln!(out, "  {what}: not measured, wanted {at_least:.1}"),
        };
    }
}

impl Report {
    /// Everything as plain text.
    pub fn table(&self) -> String {
        let mut out = String::new();
        let _ = writeln!(out, "{}, on {}", self.started, self.machine.describe());
        let _ = writeln!(out, "between {}; CPU time of both ends from {}", self.testbed, self.cpu_time_from);
        for scenario in &self.scenarios {
            scenario.write_table(&mut out);
        }
        out
    }
}

#[cfg(test)]
mod tests {
    use super::{ContestantReport, OURS, RunReport, ScenarioReport};
    use crate::contestants::Measurement;
    use crate::targets::Scenario;

    fn contestant(name: &'static str, seconds: &[f64]) -> ContestantReport {
        let mut report = ContestantReport::ready(name, String::new());
        for (round, seconds) in (1..).zip(seconds) {
            let measurement = Measurement {
                bytes: 1 << 30,
                seconds: *seconds,
                cpu_seconds: 2.0 * seconds,
                sender_peak_rss_bytes: Some(u64::from(round) << 20),
                receiver_peak_rss_bytes: None,
                details: serde_json::Map::new(),
            };
            report.add(RunReport::new(round, measurement));
        }
        report
    }

    #[test]
    fn ratios_are_of_medians_and_a_missing_peer_has_none() {
        let contestants = vec![contestant(OURS, &[1.0, 2.0, 9.0]), contestant("nginx", &[4.0, 4.2, 1.0])];
        let report = ScenarioReport::new(Scenario::File, "a file".to_owned(), 3, contestants);
        let of = |peer: &str| report.comparisons.iter().filter(|one| one.peer == peer).collect::<Vec<_>>();
        let ratios: Vec<_> = of("nginx").iter().map(|one| (one.ratio, one.reached)).collect();
        assert_eq!(ratios, [(Some(2.0), Some(true)), (Some(2.0), Some(true))]);
        assert!(of("scp").iter().all(|one| one.ratio.is_none() && one.reached.is_none()));
        let mut table = String::new();
        report.write_table(&mut table);
        assert!(table.contains("speed of wirehaul / nginx: 2.00, wanted 2.0: reached"), "{table}");
        assert!(table.contains("speed of wirehaul / scp: not measured"), "{table}");
        assert!(table.contains("peak memory of wirehaul: 3 MiB"), "{table}");
    }
}
