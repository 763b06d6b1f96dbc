//! What was counted, in one place for summary, metadata and audit log.

use serde_json::{Map, Value, json};
use wirehaul_core::scan::{Cap, Class, NoReply};
use wirehaul_core::time::{Duration, Instant};

use super::print;
use crate::cli::args::OutputArgs;
use crate::cli::exit::Exit;
use crate::cli::scan::plan::Plan;
use crate::cli::scan::progress::per_second;
use crate::scan::checkpoint::Counts;
use crate::scan::collect::Tally;
use crate::scan::counters::{Drops, Progress};
use crate::scan::engine::About;
use crate::scan::metadata::big;

/// Shorter than this, nothing can be said of a rate.
const SHORTEST_FOR_A_RATE: Duration = Duration::from_secs(1);

/// What was counted in this run, and in those before it.
#[derive(Clone, Copy, Debug)]
pub(in crate::cli::scan) struct Figures {
    /// Replies, in this run.
    pub tally: Tally,
    /// Packets, in this run.
    pub last: Progress,
    /// Earlier runs.
    pub base: Counts,
    /// From the first packet to the last.
    pub sending: Duration,
    /// Two looks at it while packets left, as far apart as there were.
    pub paced: Option<(Mark, Mark)>,
    /// Probes that were not sent because the target is an edge of a CDN.
    pub edges_skipped: u64,
}

/// What had left by when.
#[derive(Clone, Copy, Debug)]
pub(in crate::cli::scan) struct Mark {
    /// When.
    pub at: Instant,
    /// Packets of any kind.
    pub packets: u64,
    /// Bytes of their frames.
    pub bytes: u64,
}

impl Figures {
    /// What was lost of what came in on this host, in millionths.
    pub(in crate::cli::scan) fn loss_ppm(&self) -> u64 {
        let dropped = u128::from(self.last.drops.of_replies());
        let all = u128::from(self.last.heard.received) + dropped;
        u64::try_from((dropped * 1_000_000).checked_div(all).unwrap_or(0)).unwrap_or(u64::MAX)
    }

    /// How far the rate was from the cap while packets left, in millionths of the cap: faster or slower. `None` without a cap, or
    /// where it took too short to tell.
    pub(in crate::cli::scan) fn rate_error_ppm(&self, cap: Cap) -> Option<u64> {
        let (first, last) = self.paced?;
        let (sent, most) = match cap {
            Cap::Packets(packets) => (u128::from(last.packets.saturating_sub(first.packets)), u128::from(packets)),
            Cap::Bits(rate) => {
                (u128::from(last.bytes.saturating_sub(first.bytes)) * 8, u128::from(rate.as_bits_per_sec()))
            }
            Cap::Unlimited => return None,
        };
        let span = last.at.saturating_since(first.at);
        if span < SHORTEST_FOR_A_RATE {
            return None;
        }
        let right = most * u128::from(span.as_nanos()) / 1_000_000_000;
        let error = (sent.abs_diff(right) * 1_000_000).checked_div(right)?;
        Some(u64::try_from(error).unwrap_or(u64::MAX))
    }
}

/// A scan that is over.
pub(in crate::cli::scan) struct Summary<'a> {
    pub plan: &'a Plan,
    pub cap: Cap,
    pub about: &'a About,
    pub figures: &'a Figures,
    pub is_complete: bool,
    pub error: Option<&'a str>,
    pub exit: Exit,
}

impl Summary<'_> {
    /// Prints it as the user asked for it.
    pub(in crate::cli::scan) fn print(&self, output: OutputArgs) {
        if let Some(error) = self.error {
            crate::cli::scan::remark(error);
        }
        if output.json {
            print(&self.to_json());
        } else if !output.quiet && self.error.is_none() {
            crate::cli::scan::remark(&self.to_text());
        }
    }

    /// All figures, by name.
    pub(in crate::cli::scan) fn results(&self) -> Map<String, Value> {
        let Figures { tally, last, base, sending, edges_skipped, .. } = self.figures;
        let (sent, heard) = (&last.sent, &last.heard);
        let mut results = Map::new();
        let mut put = |name: &str, value: Value| {
            results.insert(name.to_owned(), value);
        };
        put("targets", big(self.plan.targets().addresses()));
        put("probes", big(self.plan.course.elements()));
        put("sent", json!(base.sent + sent.sent));
        put("received", json!(base.received + tally.received));
        put("duplicates", json!(base.duplicates + tally.duplicates));
        put("dropped", json!(base.dropped + last.drops.of_replies()));
        put("pps", json!(per_second(sent.packets(), *sending)));
        put("rate_error_pct", json!(self.figures.rate_error_ppm(self.cap).map(|ppm| ppm as f64 / 1e4)));
        put("seconds", json!(sending.as_nanos() as f64 / 1e9));
        put("hits", json!(tally.hits()));
        for class in Class::ALL {
            put(&class.name().replace('-', "_"), json!(tally.of(class)));
        }
        put("cdn_edges", json!(tally.of_edges));
        put("cdn_skipped", json!(edges_skipped));
        put("excluded", json!(sent.excluded.saturating_sub(*edges_skipped)));
        put("absent", json!(sent.absent));
        put("no_route", json!(sent.no_route));
        put("resets", json!(sent.resets));
        put("requests", json!(sent.requests));
        put("bytes_sent", json!(sent.bytes));
        put("packets_received", json!(heard.received));
        put("strangers", json!(heard.strangers));
        put("drops", drops(&last.drops));
        put("rejects", rejects(&heard.rejects));
        put("loss_pct", json!(self.figures.loss_ppm() as f64 / 1e4));
        results
    }

    fn to_json(&self) -> Value {
        let mut value = json!({ "type": "summary", "command": "scan" });
        if let Some(object) = value.as_object_mut() {
            object.extend(self.results());
        }
        value["scan_id"] = json!(self.plan.asked.scan_id);
        value["seed"] = json!(self.plan.asked.seed);
        value["shard"] = json!(self.plan.asked.shard);
        value["iface"] = json!(self.about.interface);
        value["transport"] = json!(self.about.transport);
        value["workers"] = json!(self.about.workers.len());
        value["node"] = json!(self.about.node);
        value["resumed"] = json!(self.plan.resumed.is_some());
        value["completed"] = json!(self.is_complete);
        value["error"] = json!(self.error);
        value["exit_code"] = json!(self.exit.code());
        value
    }

    fn to_text(&self) -> String {
        let Figures { tally, last, sending, edges_skipped, .. } = self.figures;
        let millis = sending.as_millis();
        let mut text = format!(
            "{} probes sent in {}.{:02} s, {} packets/s; {} replies, {} duplicates, {} dropped",
            last.sent.sent,
            millis / 1000,
            millis % 1000 / 10,
            per_second(last.sent.packets(), *sending),
            tally.received,
            tally.duplicates,
            last.drops.of_replies(),
        );
        let others = [
            ("absent", last.sent.absent),
            ("without a route", last.sent.no_route),
            ("CDN edges not asked", *edges_skipped),
        ];
        let classes = Class::ALL.map(|class| (class.name(), tally.of(class)));
        for (name, count) in classes.into_iter().chain(others).filter(|(_, count)| *count > 0) {
            text.push_str(&format!(", {count} {name}"));
        }
        text
    }
}

fn drops(drops: &Drops) -> Value {
    json!({
        "xdp_ring_full": drops.xdp_ring_full,
        "xdp_fill_ring_empty": drops.xdp_fill_ring_empty,
        "xdp_other": drops.xdp_other,
        "packet": drops.packet,
        "tap": drops.tap,
        "interface_rx": drops.interface_rx,
        "interface_tx": drops.interface_tx,
        "refused": drops.refused,
        "replies": drops.replies,
    })
}

fn rejects(counts: &[u64; NoReply::COUNT]) -> Value {
    let named = NoReply::ALL.into_iter().zip(counts).filter(|(_, count)| **count > 0);
    named.map(|(reason, count)| (reason.name().to_owned(), json!(count))).collect::<Map<_, _>>().into()
}

#[cfg(test)]
mod tests {
    use wirehaul_core::rate::Rate;

    use super::*;

    fn figures(sent: u64, received: u64, dropped: u64, millis: u64) -> Figures {
        let mut last = Progress::default();
        (last.sent.sent, last.heard.received, last.drops.packet) = (sent, received, dropped);
        Figures {
            tally: Tally::default(),
            last,
            base: Counts::default(),
            sending: Duration::from_millis(millis),
            paced: Some((
                Mark { at: Instant::from_nanos(7), packets: 10, bytes: 100 },
                Mark {
                    at: Instant::from_nanos(7) + Duration::from_millis(millis),
                    packets: sent.saturating_add(10),
                    bytes: sent.saturating_mul(60).saturating_add(100),
                },
            )),
            edges_skipped: 0,
        }
    }

    /// SCAN-4: its error is reported, faster or slower.
    #[test]
    fn the_rate_is_held_against_the_cap() {
        let error = |sent, millis, cap| figures(sent, 0, 0, millis).rate_error_ppm(cap);
        assert_eq!(error(10_000, 1_000, Cap::Packets(10_000)), Some(0));
        assert_eq!(error(9_900, 1_000, Cap::Packets(10_000)), Some(10_000));
        assert_eq!(error(10_100, 1_000, Cap::Packets(10_000)), Some(10_000));
        assert_eq!(error(10_000, 999, Cap::Packets(10_000)), None);
        assert_eq!(error(10_000, 2_000, Cap::Unlimited), None);
        assert_eq!(error(1_000, 2_000, Cap::Bits(Rate::from_bits_per_sec(240_000))), Some(0));
        assert_eq!(error(1, u64::MAX / 1_000_000, Cap::Packets(u64::MAX)), Some(999_999));
    }

    #[test]
    fn loss_is_a_part_of_what_came() {
        assert_eq!(figures(0, 0, 0, 0).loss_ppm(), 0);
        assert_eq!(figures(9, 99, 1, 1).loss_ppm(), 10_000);
        assert_eq!(figures(9, 0, 7, 1).loss_ppm(), 1_000_000);
    }
}
