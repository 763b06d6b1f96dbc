//! What comes out: every run, the medians of each cell, and which targets they meet; as JSON and as a table.

use std::fmt::Write as _;

use serde::Serialize;

use super::arrivals::Figures;
use crate::machine::Machine;
use crate::stats::median;

/// All of it.
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
    /// Seconds of each run that count.
    pub seconds: u64,
    /// Each sender at each rate and round-trip time.
    pub cells: Vec<Cell>,
}

/// One sender at one rate over one path.
#[derive(Debug, Serialize)]
pub struct Cell {
    /// Who.
    pub sender: &'static str,
    /// The rate asked for, in bits of UDP payload per second.
    pub bits_per_s: u64,
    /// The round-trip time that was added, in milliseconds.
    pub round_trip_ms: u64,
    /// Every run.
    pub runs: Vec<Run>,
    /// Why runs are missing.
    pub failures: Vec<String>,
}

/// One run.
#[derive(Debug, Clone, Serialize)]
pub struct Run {
    /// How exactly it paced.
    #[serde(flatten)]
    pub figures: Figures,
    /// CPU time of the sending process over the duration of its transfer, in per cent of one CPU.
    pub cpu_pct: f64,
    /// What the sender itself says of it.
    pub says_error_pct: Option<f64>,
}

impl Cell {
    fn median(&self, figure: impl Fn(&Run) -> f64) -> Option<f64> {
        median(&self.runs.iter().map(figure).collect::<Vec<_>>())
    }

    /// BBR-6: the mean within 1 %, the variation within 5 %, the 99th percentile of bursts within a quantum.
    fn meets_targets(&self) -> Option<bool> {
        let mean = self.median(|run| run.figures.mean_error_pct)?;
        let variation = self.median(|run| run.figures.rate_cv_pct)?;
        let burst = self.median(burst_share)?;
        Some(mean.abs() <= 1.0 && variation <= 5.0 && burst <= 1.0)
    }
}

/// A figure, and with how many digits it is shown.
type Column = (fn(&Run) -> f64, usize);

fn burst_share(run: &Run) -> f64 {
    run.figures.p99_burst_bytes as f64 / run.figures.quantum_bytes as f64
}

fn excess_share(run: &Run) -> f64 {
    run.figures.p99_excess_bytes as f64 / run.figures.quantum_bytes as f64
}

impl Report {
    /// A table for people, medians of all runs of a cell.
    pub fn table(&self) -> String {
        let mut out = format!("{}\n{}\n\n", self.machine.describe(), self.testbed);
        let title = "| rate Mbit/s | RTT ms | sender | mean error % | rate CV % | over ms | gap CV | p99 burst / quantum | \
                     p99 excess / quantum | CPU % | meets BBR-6 |";
        // Writing to a string does not fail.
        let _ = writeln!(out, "{title}\n|{}", " --- |".repeat(11));
        for cell in &self.cells {
            let _ = write!(out, "| {} | {} | {} |", cell.bits_per_s / 1_000_000, cell.round_trip_ms, cell.sender);
            let columns: [Column; 7] = [
                (|run| run.figures.mean_error_pct, 2),
                (|run| run.figures.rate_cv_pct, 2),
                (|run| run.figures.window_ms, 1),
                (|run| run.figures.gap_cv, 3),
                (burst_share, 2),
                (excess_share, 2),
                (|run| run.cpu_pct, 1),
            ];
            for (figure, digits) in columns {
                let _ = match cell.median(figure) {
                    Some(value) => write!(out, " {value:.digits$} |"),
                    None => write!(out, " - |"),
                };
            }
            let verdict = match cell.meets_targets() {
                Some(true) => "yes",
                Some(false) => "no",
                None => cell.failures.first().map_or("no run", String::as_str),
            };
            let _ = writeln!(out, " {verdict} |");
        }
        out
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(mean_error_pct: f64, rate_cv_pct: f64, p99_burst_bytes: u64) -> Run {
        let figures = Figures {
            mean_error_pct,
            rate_cv_pct,
            window_ms: 20.0,
            gap_cv: 0.1,
            p99_burst_bytes,
            p99_excess_bytes: 1472,
            quantum_bytes: 5000,
            arrivals: 1000,
        };
        Run { figures, cpu_pct: 10.0, says_error_pct: None }
    }

    #[test]
    fn a_cell_is_judged_by_its_medians() {
        let cell = |runs: Vec<Run>| Cell {
            sender: "wirehaul",
            bits_per_s: 40_000_000,
            round_trip_ms: 1,
            runs,
            failures: vec!["gone".to_owned()],
        };
        assert_eq!(cell(Vec::new()).meets_targets(), None);
        let good = run(-0.2, 4.9, 5000);
        assert_eq!(cell(vec![good.clone(), run(-9.0, 4.0, 1472), good.clone()]).meets_targets(), Some(true));
        for bad in [run(1.1, 1.0, 1472), run(-1.1, 1.0, 1472), run(0.0, 5.1, 1472), run(0.0, 1.0, 5001)] {
            assert_eq!(cell(vec![bad]).meets_targets(), Some(false));
        }
    }
}
