//! The metrics as Prometheus reads them. docs/metrics.md says what each means.

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeLabelSet, EncodeMetric, prometheus_text};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::counter::ConstCounter;
use prometheus_client::metrics::gauge::ConstGauge;
use prometheus_client::registry::Registry;

use super::process::Process;
use super::sums::Sums;
use crate::events::WorkerState;

/// What the text is called in HTTP.
pub(super) use prometheus_text::CONTENT_TYPE;

type Labels<'a, const N: usize> = [(&'static str, &'a str); N];

/// A number of a worker, and what it is called.
type Respect = (&'static str, fn(&WorkerState) -> u64);

/// Writes all metrics as they are now.
pub(super) fn write(sums: &Arc<Mutex<Sums>>, process: &Process) -> Result<String, fmt::Error> {
    let mut registry = Registry::default();
    registry.register_collector(Box::new(Scrape { sums: Arc::clone(sums), process: process.clone() }));
    let mut text = String::new();
    prometheus_text::encode(&mut text, &registry)?;
    Ok(text)
}

#[derive(Debug)]
struct Scrape {
    sums: Arc<Mutex<Sums>>,
    process: Process,
}

impl Collector for Scrape {
    fn encode(&self, encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let sums = self.sums.lock().unwrap_or_else(PoisonError::into_inner);
        let mut page = Page(encoder);
        page.info()?;
        page.daemon(&sums)?;
        page.workers(&sums)?;
        page.kernel(&sums)?;
        page.refused(&sums)?;
        page.pools(&sums)?;
        page.transfers(&sums)?;
        page.process(&self.process)
    }
}

/// The page while it is written.
struct Page<'a>(DescriptorEncoder<'a>);

impl Page<'_> {
    fn counter<S: EncodeLabelSet>(
        &mut self,
        name: &str,
        help: &str,
        values: impl IntoIterator<Item = (S, u64)>,
    ) -> fmt::Result {
        let mut family = self.0.encode_descriptor(name, help, None, MetricType::Counter)?;
        values
            .into_iter()
            .try_for_each(|(labels, value)| ConstCounter::new(value).encode(family.encode_family(&labels)?))
    }

    fn gauge<S: EncodeLabelSet>(
        &mut self,
        name: &str,
        help: &str,
        values: impl IntoIterator<Item = (S, u64)>,
    ) -> fmt::Result {
        let mut family = self.0.encode_descriptor(name, help, None, MetricType::Gauge)?;
        values.into_iter().try_for_each(|(labels, value)| ConstGauge::new(value).encode(family.encode_family(&labels)?))
    }

    /// One number for the whole process.
    fn one_gauge(&mut self, name: &str, help: &str, value: u64) -> fmt::Result {
        ConstGauge::new(value).encode(self.0.encode_descriptor(name, help, None, MetricType::Gauge)?)
    }

    fn one_counter(&mut self, name: &str, help: &str, value: u64) -> fmt::Result {
        ConstCounter::new(value).encode(self.0.encode_descriptor(name, help, None, MetricType::Counter)?)
    }

    /// A number of each worker.
    fn of_workers(&mut self, sums: &Sums, kind: Kind, of: impl Fn(&WorkerState) -> u64) -> fmt::Result {
        let numbers: Vec<_> = sums.workers.values().map(|worker| (worker.number.to_string(), of(worker))).collect();
        let values = numbers.iter().map(|(number, value)| ([("worker", number.as_str())], *value));
        match kind {
            Counter(name, help) => self.counter(name, help, values),
            Gauge(name, help) => self.gauge(name, help, values),
        }
    }

    /// A number of each worker in each of these respects.
    fn of_workers_by(
        &mut self,
        sums: &Sums,
        (name, help): (&str, &str),
        label: &'static str,
        respects: &[Respect],
    ) -> fmt::Result {
        let numbers: Vec<_> = sums.workers.values().map(|worker| (worker.number.to_string(), worker)).collect();
        let values = numbers.iter().flat_map(|(number, worker)| {
            let with = move |(word, of): &Respect| -> (Labels<'_, 2>, u64) {
                ([("worker", number.as_str()), (label, word)], of(worker))
            };
            respects.iter().map(with)
        });
        self.counter(name, help, values)
    }
}

/// A metric's kind, name and meaning.
enum Kind {
    Counter(&'static str, &'static str),
    Gauge(&'static str, &'static str),
}
use Kind::{Counter, Gauge};

impl Page<'_> {
    fn info(&mut self) -> fmt::Result {
        let labels = [("version", env!("CARGO_PKG_VERSION"))];
        self.gauge("wirehaul_build_info", "The version that runs; always 1.", [(labels, 1)])
    }

    fn daemon(&mut self, sums: &Sums) -> fmt::Result {
        let [good, bad] = sums.reloads;
        let reloads = [([("result", "ok")], good), ([("result", "refused")], bad)];
        self.counter("wirehaul_config_reloads", "Times that the configuration was read again.", reloads)?;
        let help = "Whether the configuration was good when it was read last: 1 or 0.";
        self.one_gauge("wirehaul_config_last_reload_successful", help, u64::from(sums.is_config_good))?;
        let help = "Whether nobody new is let in because the process ends: 1 or 0.";
        self.one_gauge("wirehaul_draining", help, u64::from(sums.is_draining))?;
        let help = "Events that these metrics missed; states that follow make up for most.";
        self.one_counter("wirehaul_metrics_events_missed", help, sums.missed)
    }

    fn workers(&mut self, sums: &Sums) -> fmt::Result {
        let kind = Gauge("wirehaul_sessions", "Sessions that are open, those in their handshake among them.");
        self.of_workers(sums, kind, |worker| worker.sessions.into())?;
        let kind = Gauge("wirehaul_transfers_active", "Transfers under way.");
        self.of_workers(sums, kind, |worker| worker.transfers.into())?;
        let kind = Counter("wirehaul_transfers_begun", "Transfers that were begun.");
        self.of_workers(sums, kind, |worker| worker.totals.transfers_begun)?;
        let kind = Counter("wirehaul_transfers_done", "Transfers that came to their end complete.");
        self.of_workers(sums, kind, |worker| worker.totals.transfers_done)?;
        let kind = Counter("wirehaul_transfers_failed", "Transfers that ended before they were complete.");
        self.of_workers(sums, kind, |worker| worker.totals.transfers_failed)?;
        let packets =
            ("wirehaul_network_packets", "Datagrams moved; of those received, only those that kept every rule.");
        self.of_workers_by(
            sums,
            packets,
            "direction",
            &[("received", |w| w.totals.received_packets), ("sent", |w| w.totals.sent_packets)],
        )?;
        let bytes = ("wirehaul_network_bytes", "Bytes of these datagrams.");
        self.of_workers_by(
            sums,
            bytes,
            "direction",
            &[("received", |w| w.totals.received_bytes), ("sent", |w| w.totals.sent_bytes)],
        )?;
        let kind = Counter("wirehaul_lost_packets", "Sent packets that were declared lost.");
        self.of_workers(sums, kind, |worker| worker.totals.lost_packets)?;
        let kind = Counter("wirehaul_stream_bytes", "Stream bytes sent for the first time.");
        self.of_workers(sums, kind, |worker| worker.totals.stream_bytes_sent)?;
        let kind = Counter("wirehaul_retransmitted_bytes", "Stream bytes sent again.");
        self.of_workers(sums, kind, |worker| worker.totals.stream_bytes_resent)?;
        let kind = Counter("wirehaul_file_bytes", "Bytes written to files, or read from them, and verified.");
        self.of_workers(sums, kind, |worker| worker.totals.file_bytes)?;
        let kind = Counter("wirehaul_files", "Files that came to be complete.");
        self.of_workers(sums, kind, |worker| worker.totals.files)
    }

    fn kernel(&mut self, sums: &Sums) -> fmt::Result {
        let drops =
            ("wirehaul_kernel_dropped_packets", "Packets that the kernel dropped before they were ours, by cause.");
        self.of_workers_by(
            sums,
            drops,
            "cause",
            &[
                ("socket_buffer", |w| w.kernel.socket_overflows),
                ("xdp_rx_ring_full", |w| w.kernel.xdp_rx_ring_full),
                ("xdp_fill_ring_empty", |w| w.kernel.xdp_rx_fill_ring_empty),
                ("xdp_other", |w| w.kernel.xdp_rx_dropped),
            ],
        )?;
        let kind = Counter("wirehaul_xdp_invalid_descriptors", "Descriptors and addresses that the kernel refused.");
        self.of_workers(sums, kind, |worker| worker.kernel.xdp_invalid)?;
        let kind = Counter("wirehaul_xdp_tx_ring_empty", "Times that the kernel found the transmit ring empty.");
        self.of_workers(sums, kind, |worker| worker.kernel.xdp_tx_ring_empty)?;
        let kind = Counter("wirehaul_xdp_wakeups", "Calls that woke the kernel to send.");
        self.of_workers(sums, kind, |worker| worker.kernel.xdp_kicks)?;
        self.frames(sums)
    }

    /// Together they are all frames that a worker has: one that has none, since it has sockets, is left out.
    fn frames(&mut self, sums: &Sums) -> fmt::Result {
        let workers = sums.workers.values();
        let all: Vec<_> = workers.filter_map(|w| Some((w.number.to_string(), w.kernel.xdp_frames?))).collect();
        let values = all.iter().flat_map(|(number, at)| {
            let places = [("free", at.free), ("receive", at.filled), ("transmit", at.sent), ("held", at.held())];
            places.map(|(place, count)| ([("worker", number.as_str()), ("place", place)], count.into()))
        });
        self.gauge("wirehaul_xdp_frames", "Frames of AF_XDP, by where they are.", values)
    }

    fn refused(&mut self, sums: &Sums) -> fmt::Result {
        let rejects = sums.rejects();
        let values = rejects.iter().map(|(reject, count)| ([("reason", reject.name())], count));
        self.counter("wirehaul_rejects", "Datagrams that were refused, by the rule that they broke.", values)
    }

    fn pools(&mut self, sums: &Sums) -> fmt::Result {
        let pools = sums.pools();
        let of = |value: fn(&wirehaul_core::pool::PoolStats) -> u64| {
            pools.iter().map(move |(name, stats)| ([("pool", *name)], value(stats)))
        };
        self.gauge("wirehaul_pool_slots", "Slots for buffers.", of(|pool| pool.slots.into()))?;
        self.gauge("wirehaul_pool_slot_bytes", "Bytes of each slot.", of(|pool| pool.slot_bytes as u64))?;
        self.gauge("wirehaul_pool_slots_in_use", "Slots that are lent.", of(|pool| pool.in_use().into()))?;
        let help = "The most slots that ever were lent.";
        self.gauge("wirehaul_pool_slots_in_use_peak", help, of(|pool| pool.peak_in_use().into()))?;
        let help = "Times that a slot was asked for and there was none.";
        self.counter("wirehaul_pool_exhausted", help, of(|pool| pool.exhausted))
    }

    fn transfers(&mut self, sums: &Sums) -> fmt::Result {
        let active = sums.active();
        let values = active
            .iter()
            .map(|((direction, peer), count)| ([("direction", direction.name()), ("peer", &**peer)], *count));
        self.gauge("wirehaul_peer_transfers_active", "Transfers under way, by peer.", values)?;
        let results = sums.ended.iter().flat_map(|((direction, peer), ended)| {
            let with = |(result, count): (&&'static str, &u64)| {
                ([("direction", direction.name()), ("peer", &**peer), ("result", *result)], *count)
            };
            ended.results.iter().map(with)
        });
        self.counter("wirehaul_peer_transfers", "Transfers that are over, by peer and what became of them.", results)?;
        let of = |value: fn(&super::sums::Ended) -> u64| {
            sums.ended.iter().map(move |((direction, peer), ended)| {
                ([("direction", direction.name()), ("peer", &**peer)], value(ended))
            })
        };
        let help = "File bytes that came through transfers that are over.";
        self.counter("wirehaul_peer_bytes", help, of(|ended| ended.bytes))?;
        let help = "File bytes that were there already when these began.";
        self.counter("wirehaul_peer_resumed_bytes", help, of(|ended| ended.resumed_bytes))?;
        self.counter("wirehaul_peer_files", "Files that are complete through them.", of(|ended| ended.files))?;
        self.distributions(sums)?;
        let detections = sums.detections.iter().map(|(provider, count)| ([("provider", provider.as_str())], *count));
        self.counter("wirehaul_cdn_detections", "Targets that were looked at, by whose edge they are.", detections)
    }

    fn distributions(&mut self, sums: &Sums) -> fmt::Result {
        type Of = fn(&super::sums::Distributions) -> &prometheus_client::metrics::histogram::Histogram;
        let all: [(&str, &str, Of); 3] = [
            ("wirehaul_transfer_duration_seconds", "How long transfers took that are over.", |of| &of.seconds),
            ("wirehaul_transfer_srtt_seconds", "Their smoothed round-trip time at the end.", |of| &of.srtt),
            (
                "wirehaul_transfer_pacing_error_ratio",
                "By what share of the rate their pacer fell short, where it held anything back.",
                |of| &of.pacing_error,
            ),
        ];
        for (name, help, of) in all {
            let mut family = self.0.encode_descriptor(name, help, None, MetricType::Histogram)?;
            for (direction, distributions) in &sums.distributions {
                of(distributions).encode(family.encode_family(&[("direction", direction.name())])?)?;
            }
        }
        Ok(())
    }

    fn process(&mut self, process: &Process) -> fmt::Result {
        let now = process.look();
        let help = "User and system CPU time in seconds.";
        let encoder = self.0.encode_descriptor("process_cpu_seconds", help, None, MetricType::Counter)?;
        ConstCounter::new(now.cpu_seconds).encode(encoder)?;
        self.one_gauge("process_resident_memory_bytes", "Resident memory.", now.resident_bytes)?;
        if let Some(open) = now.open_fds {
            self.one_gauge("process_open_fds", "Open file descriptors.", open)?;
        }
        self.one_gauge("process_max_fds", "The most file descriptors that may be open.", now.max_fds)?;
        self.one_gauge("process_threads", "Threads.", now.threads)?;
        self.one_gauge("process_start_time_seconds", "When the process began, since 1970.", process.started_seconds)
    }
}
