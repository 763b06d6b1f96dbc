//! One run of one contestant.

use std::path::Path;
use std::time::Duration;

use serde::Serialize;

use super::answer::Manner;
use super::rig::{Rig, RigError};
use super::tool::{Order, Tool, ToolError};
use crate::clock::Stopwatch;

/// The longest that a run may take.
const TIMEOUT: Duration = Duration::from_secs(600);

/// Why there is no figure.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// The rig failed: nobody can be measured.
    #[error(transparent)]
    Rig(#[from] RigError),
    /// The tool failed.
    #[error(transparent)]
    Tool(#[from] ToolError),
    /// The kernel does not say how busy the CPUs are.
    #[error("cannot read the time of the CPUs: {0}")]
    Cpu(std::io::Error),
}

impl From<crate::process::ProcessError> for RunError {
    fn from(error: crate::process::ProcessError) -> Self {
        Self::Tool(error.into())
    }
}

/// What one run came to.
#[derive(Clone, Debug, Serialize)]
pub struct Run {
    /// Which round it was in.
    pub round: u32,
    /// Probes that were to be sent.
    pub ordered: u64,
    /// Probes that the tool says it sent.
    pub told_sent: Option<u64>,
    /// Probes that reached the other host.
    pub probes: u64,
    /// Answers that reached the scanner's interface.
    pub answers: u64,
    /// Answers that its interface had no room for: the other host's loss, not the tool's.
    pub answers_without_room: u64,
    /// Addresses that the tool found open.
    pub found: u64,
    /// Answers that reached the interface and are not in the output, of all that reached it.
    pub lost_pct: f64,
    /// Packets per second at the other host, without the first and the last twentieth.
    pub packets_per_s: f64,
    /// Packets per second at the other host, over all of the sending.
    pub mean_packets_per_s: f64,
    /// The most that certainly arrived within some second.
    pub most_in_a_second: u64,
    /// How far the mean is from what was asked for.
    pub rate_error_pct: Option<f64>,
    /// CPU time of the tool.
    pub cpu_seconds: f64,
    /// CPU time of the whole machine: also of what the kernel did for the packets, on both hosts.
    pub machine_cpu_seconds: f64,
    /// The first of these per million probes.
    pub cpu_seconds_per_million: f64,
    /// The second of these per million probes.
    pub machine_cpu_seconds_per_million: f64,
    /// Peak resident memory of the tool.
    pub peak_rss_bytes: u64,
    /// How long it took, from its start to its end.
    pub seconds: f64,
}

/// Where and how a tool is run.
#[derive(Clone, Copy, Debug)]
pub struct Place<'a> {
    /// Our own program.
    pub wirehaul: &'a Path,
    /// The CPUs that a tool may use, as taskset takes them.
    pub cpus: &'a str,
    /// For what it writes; emptied by the caller.
    pub dir: &'a Path,
}

/// Runs it once, and compares what it says with what the interfaces counted.
///
/// # Errors
/// [`RunError`].
pub fn run(
    rig: &mut Rig,
    tool: Tool,
    order: &Order,
    manner: Manner,
    place: Place<'_>,
    round: u32,
) -> Result<Run, RunError> {
    rig.respond(manner)?;
    let (before, watch) = (rig.counters()?, rig.watch(manner, order.rate.is_some())?);
    let (busy, stopwatch) = (busy_seconds().map_err(RunError::Cpu)?, Stopwatch::start());
    let finished = tool.start(rig, order, place.wirehaul, place.cpus, place.dir)?.wait_for_success(TIMEOUT)?;
    let (seconds, busy) = (stopwatch.seconds(), busy_seconds().map_err(RunError::Cpu)? - busy);
    let (series, counted) = (watch.end(), rig.counters()?.since(&before));
    let told = tool.told(&finished, place.dir)?;
    let mean = series.mean().unwrap_or_default();
    let millions = counted.probes.max(1) as f64 / 1e6;
    let arrived = counted.probes.saturating_sub(counted.answers_lost);
    Ok(Run {
        round,
        ordered: u64::from(order.targets),
        told_sent: told.sent,
        probes: counted.probes,
        answers: if manner == Manner::Answer { counted.answers } else { 0 },
        answers_without_room: counted.answers_lost,
        found: told.open,
        lost_pct: match manner {
            Manner::Answer if arrived > 0 => 100.0 * arrived.saturating_sub(told.open) as f64 / arrived as f64,
            _ => 0.0,
        },
        packets_per_s: series.steady().unwrap_or_default(),
        mean_packets_per_s: mean,
        most_in_a_second: series.most_in_a_second(),
        rate_error_pct: order.rate.map(|rate| 100.0 * (mean - f64::from(rate)) / f64::from(rate)),
        cpu_seconds: finished.cpu_seconds,
        machine_cpu_seconds: busy,
        cpu_seconds_per_million: finished.cpu_seconds / millions,
        machine_cpu_seconds_per_million: busy / millions,
        peak_rss_bytes: finished.peak_rss_bytes,
        seconds,
    })
}

/// Seconds that all CPUs together were not idle, since the machine was started.
fn busy_seconds() -> std::io::Result<f64> {
    let text = std::fs::read_to_string("/proc/stat")?;
    busy_ticks(&text).map(|ticks| ticks as f64 / TICKS_PER_SECOND).ok_or(std::io::ErrorKind::InvalidData.into())
}

/// USER_HZ, which is 100 on every architecture that has network cards for this.
const TICKS_PER_SECOND: f64 = 100.0;

/// user, nice, system, irq and softirq of the first line: all but idle, iowait and what hypervisor and guests took.
fn busy_ticks(stat: &str) -> Option<u64> {
    let fields: Vec<u64> =
        stat.lines().next()?.strip_prefix("cpu ")?.split_whitespace().map_while(|field| field.parse().ok()).collect();
    [0, 1, 2, 5, 6].iter().map(|index| fields.get(*index).copied()).sum()
}

#[cfg(test)]
mod tests {
    use super::busy_ticks;

    #[test]
    fn idle_time_is_not_busy() {
        let text = "cpu  100 2 30 4000 50 6 7 800 90 0\ncpu0 1 1 1 1 1 1 1 1 1 1\n";
        assert_eq!(busy_ticks(text), Some(145));
        assert_eq!(busy_ticks("intr 5"), None);
    }
}
