//! What is measured, and the report: integers inside, numbers with a point only where it is written out.

pub mod delays;
pub mod histogram;

use serde_json::{Map, Value, json};
use wirehaul_core::time::Duration;

use crate::link::{DropReason, LinkStats};

/// Figures by name, as they are written.
pub type Figures = Map<String, Value>;

/// What a run came to.
#[derive(Clone, Debug)]
pub struct Report {
    /// Each flow, in the order of the scenario.
    pub flows: Vec<FlowReport>,
    /// Each direction of each link.
    pub links: Vec<LinkReport>,
    /// The run as a whole.
    pub run: RunReport,
}

/// What one flow came to.
#[derive(Clone, Debug)]
pub struct FlowReport {
    /// Its name.
    pub name: String,
    /// The table that it comes from.
    pub table: String,
    /// Its congestion controller.
    pub cc: &'static str,
    /// Bits per second that reached the receiving application, once each, while it was measured.
    pub goodput_bps: u64,
    /// Bytes that reached the receiving application, once each, in the whole run.
    pub delivered_bytes: u64,
    /// Datagrams that the sender sent.
    pub sent_packets: u64,
    /// Of all stream bytes sent, those that were sent again.
    pub resent_ppm: u64,
    /// The mean over time of the sender's smoothed round-trip time; `None` before it had one.
    pub srtt_mean: Option<Duration>,
    /// The 99th percentile of the round trips of data; `None` where none came back.
    pub rtt_p99: Option<Duration>,
    /// The mean over time of what waited in the queues on its way there.
    pub queue_mean_bytes: u64,
    /// By how much its pacer fell short of its schedule; `None` where nothing was paced.
    pub pacing_error_ppm: Option<u64>,
    /// From its start until all its bytes were there; `None` where they were not, or had no end.
    pub fct: Option<Duration>,
}

/// What one direction of a link came to.
#[derive(Clone, Debug)]
pub struct LinkReport {
    /// Its name.
    pub name: String,
    /// `there` or `back`.
    pub direction: &'static str,
    /// The share of the measured time in which the wire was busy; `None` where it has no rate.
    pub utilisation_ppm: Option<u64>,
    /// The mean over time of what waited.
    pub queue_mean_bytes: u64,
    /// What it saw in the whole run.
    pub stats: LinkStats,
}

/// What a run as a whole came to.
#[derive(Clone, Debug)]
pub struct RunReport {
    /// Its seed.
    pub seed: u64,
    /// The digest of every delivered datagram.
    pub trace_hash: u64,
    /// How long it took in virtual time.
    pub virtual_time: Duration,
    /// Jain's index over the goodput of the flows.
    pub jain_ppm: u64,
    /// The utilisation of the busiest link that carries data; `None` where no link has a rate.
    pub utilisation_ppm: Option<u64>,
    /// What must hold whatever the scenario, and does not.
    pub violations: Vec<String>,
}

impl FlowReport {
    /// The figures as they are written.
    #[must_use]
    pub fn figures(&self) -> Figures {
        object(json!({
            "name": self.name,
            "cc": self.cc,
            "goodput_bps": self.goodput_bps,
            "delivered_bytes": self.delivered_bytes,
            "sent_packets": self.sent_packets,
            "retransmitted_pct": percent(self.resent_ppm),
            "srtt_mean_us": self.srtt_mean.map(micros),
            "rtt_p99_us": self.rtt_p99.map(micros),
            "queue_mean_bytes": self.queue_mean_bytes,
            "pacing_error_pct": self.pacing_error_ppm.map(percent),
            "fct_s": self.fct.map(seconds),
        }))
    }
}

impl LinkReport {
    /// The figures as they are written.
    #[must_use]
    pub fn figures(&self) -> Figures {
        let dropped = DropReason::ALL.map(|reason| (reason, self.stats.dropped_for(reason).datagrams));
        let dropped = dropped.iter().filter(|(_, count)| *count > 0);
        let dropped: Figures = dropped.map(|(reason, count)| (reason.name().to_owned(), json!(count))).collect();
        object(json!({
            "name": self.name,
            "direction": self.direction,
            "utilisation": self.utilisation_ppm.map(share),
            "queue_mean_bytes": self.queue_mean_bytes,
            "queue_peak_bytes": self.stats.peak_queue_bytes,
            "entered_packets": self.stats.entered.datagrams,
            "entered_bytes": self.stats.entered.bytes,
            "dropped_packets": dropped,
            "marked_packets": self.stats.marked,
        }))
    }
}

impl RunReport {
    /// The figures as they are written; `wall` is what a clock on the wall says.
    #[must_use]
    pub fn figures(&self, wall: std::time::Duration) -> Figures {
        object(json!({
            "seed": self.seed,
            // As text: readers of JSON that know only floats would round it.
            "trace_hash": format!("{:016x}", self.trace_hash),
            "virtual_s": seconds(self.virtual_time),
            "wall_s": wall.as_secs_f64(),
            "jain": share(self.jain_ppm),
            "utilisation": self.utilisation_ppm.map(share),
            "violations": self.violations.len(),
            "violation_reasons": self.violations,
        }))
    }
}

fn object(value: Value) -> Figures {
    match value {
        Value::Object(figures) => figures,
        _ => Figures::new(),
    }
}

/// Parts per million as a share of one.
#[must_use]
pub fn share(ppm: u64) -> f64 {
    ppm as f64 / 1e6
}

/// Parts per million as per cent.
#[must_use]
pub fn percent(ppm: u64) -> f64 {
    ppm as f64 / 1e4
}

/// A span in seconds.
#[must_use]
pub fn seconds(span: Duration) -> f64 {
    span.as_nanos() as f64 / 1e9
}

/// A span in microseconds.
#[must_use]
pub fn micros(span: Duration) -> f64 {
    span.as_nanos() as f64 / 1e3
}

/// `part` of `whole` in parts per million; zero where there is no whole.
#[must_use]
pub fn ppm(part: u128, whole: u128) -> u64 {
    u64::try_from((part * 1_000_000).checked_div(whole).unwrap_or(0)).unwrap_or(u64::MAX)
}
