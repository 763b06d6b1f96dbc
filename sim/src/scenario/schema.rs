//! The shape of a scenario file: every key there is, before anything refers to anything. See `docs/simulator.md`.

use std::collections::BTreeMap;

use serde::Deserialize;
use toml::Spanned;

use super::units::{Depth, RateText, Seconds, Share, Size, Span};

/// A whole file.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, expecting = "a scenario")]
pub struct File {
    /// What the scenario is about, for people.
    #[serde(default)]
    pub description: String,
    /// How long, and from which seed.
    pub run: RunTable,
    /// The links, by name.
    #[serde(default)]
    pub link: BTreeMap<Spanned<String>, LinkTable>,
    /// The flows, by name.
    #[serde(default)]
    pub flow: BTreeMap<Spanned<String>, FlowTable>,
    /// What the figures must be.
    #[serde(default)]
    pub expect: ExpectTable,
}

/// `[run]`.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, expecting = "a table [run]")]
pub struct RunTable {
    /// Virtual seconds; with `until = "delivered"` at most.
    pub duration_s: Spanned<Seconds>,
    /// When the run is over before its time.
    #[serde(default)]
    pub until: Until,
    /// Where its randomness starts from.
    #[serde(default = "default_seed")]
    pub seed: u64,
    /// From when on goodput, delays, queues, fairness and utilisation are measured.
    #[serde(default)]
    pub measure_from_s: Option<Spanned<Seconds>>,
}

const fn default_seed() -> u64 {
    1
}

/// When a run is over before its time.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Until {
    /// Never.
    #[default]
    Duration,
    /// Once every flow that has an end is through.
    Delivered,
}

/// `[link.NAME]`: the way there, and the way back where that differs.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, expecting = "a table [link.NAME]")]
pub struct LinkTable {
    /// How fast bytes leave, headers included; without it there is no limit.
    pub rate: Option<RateText>,
    /// Propagation delay, one way.
    pub delay: Option<Span>,
    /// Up to this much more delay per datagram, in order.
    pub jitter: Option<Span>,
    /// Datagrams arrive in lumps, at multiples of this time.
    pub lumps: Option<Span>,
    /// Bytes of the largest IP packet that it carries; without it there is no limit.
    pub mtu: Option<Size>,
    /// What may wait in the queue; without it there is no limit.
    pub buffer: Option<Spanned<Depth>>,
    /// ECN-capable datagrams that find more than this waiting are marked.
    pub mark_above: Option<Spanned<Depth>>,
    /// Lost independently of each other.
    #[serde(default)]
    pub loss: Share,
    /// Losses that come together.
    pub burst_loss: Option<BurstTable>,
    /// Held back and so overtaken.
    pub reorder: Option<ReorderTable>,
    /// Arrive twice.
    #[serde(default)]
    pub duplicate: Share,
    /// Arrive with flipped bits.
    #[serde(default)]
    pub corrupt: Share,
    /// Arrive cut short.
    #[serde(default)]
    pub truncate: Share,
    /// Drops what is above a rate, without a queue.
    pub policer: Option<PolicerTable>,
    /// Changes during the run.
    #[serde(default)]
    pub steps: Vec<Spanned<StepTable>>,
    /// When nothing passes, in either direction.
    #[serde(default)]
    pub outages: Vec<OutageTable>,
    /// The way back: it has the same rate, delay, buffer, steps and outages, but for the keys given here.
    pub back: Option<Spanned<Box<LinkTable>>>,
}

/// `burst_loss`: two states, after Gilbert and Elliott.
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(deny_unknown_fields, expecting = "a table such as { enter = \"1%\", leave = \"20%\" }")]
pub struct BurstTable {
    /// Chance per datagram to enter the bad state.
    pub enter: Share,
    /// Chance per datagram to leave it.
    pub leave: Share,
    /// Lost while in it.
    #[serde(default = "all")]
    pub loss: Share,
}

const fn all() -> Share {
    Share(1_000_000)
}

/// `reorder`.
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(deny_unknown_fields, expecting = "a table such as { share = \"1%\", by = \"5ms\" }")]
pub struct ReorderTable {
    /// How many are held back.
    pub share: Share,
    /// For how long at most.
    pub by: Span,
}

/// `policer`: a token bucket.
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(deny_unknown_fields, expecting = "a table such as { rate = \"10mbit\", burst = \"64kib\" }")]
pub struct PolicerTable {
    /// How fast tokens come.
    pub rate: RateText,
    /// How many bytes of them there can be.
    pub burst: Size,
}

/// One of `steps`: from `at_s` on, what is given holds.
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(deny_unknown_fields, expecting = "a table such as { at_s = 5, rate = \"20mbit\" }")]
pub struct StepTable {
    /// When.
    pub at_s: Seconds,
    /// The new rate.
    pub rate: Option<RateText>,
    /// The new delay.
    pub delay: Option<Span>,
    /// The new random loss; not for the way back.
    pub loss: Option<Share>,
}

/// One of `outages`.
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(deny_unknown_fields, expecting = "a table such as { at_s = 5, for_s = 1 }")]
pub struct OutageTable {
    /// From when.
    pub at_s: Seconds,
    /// How long.
    pub for_s: Seconds,
}

/// `[flow.NAME]`: a transfer between two hosts of its own.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, expecting = "a table [flow.NAME]")]
pub struct FlowTable {
    /// The congestion controller.
    pub cc: Option<Spanned<String>>,
    /// The links from sender to receiver, in order; not needed where there is one link.
    pub path: Option<Spanned<Vec<Spanned<String>>>>,
    /// Sends against the direction of the links.
    #[serde(default)]
    pub reverse: bool,
    /// One-way delay of a link of its own between the sender and the first link.
    pub access_delay: Option<Span>,
    /// How much to send; without it there is no end.
    pub bytes: Option<Spanned<Size>>,
    /// When it starts.
    #[serde(default)]
    pub start_s: Seconds,
    /// When it gives up.
    pub stop_s: Option<Spanned<Seconds>>,
    /// The application has bytes only so fast.
    pub app: Option<Spanned<AppTable>>,
    /// Never sends faster than this.
    pub rate_cap: Option<RateText>,
    /// Bytes of the largest IP packet.
    pub mtu: Option<Spanned<Size>>,
    /// The same, up to which larger ones are tried.
    pub max_mtu: Option<Spanned<Size>>,
    /// Whether the pacer is on.
    pub pacing: Option<bool>,
    /// How much leaves back to back.
    pub quantum: Option<QuantumTable>,
    /// The most that the receiver lets the sender have under way; without it flow control holds nothing back.
    pub window: Option<Spanned<Size>>,
    /// How fast the receiver takes bytes.
    pub read_rate: Option<RateText>,
    /// By up to how much the sender's timers are late.
    pub wake_lateness: Option<Span>,
    /// So many flows like this one, called NAME-1, NAME-2...
    pub count: Option<Spanned<u64>>,
    /// How much later than the one before each of them starts.
    #[serde(default)]
    pub stagger_s: Seconds,
}

/// `quantum`: what the pacer lets leave back to back.
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(deny_unknown_fields, expecting = "a table such as { run_time = \"250us\" }")]
pub struct QuantumTable {
    /// A quantum is what the rate sends in this time.
    pub time: Option<Span>,
    /// And no less than so many packets.
    pub min_packets: Option<u64>,
    /// What leaves together while nothing is late is what the rate sends in this time.
    pub run_time: Option<Span>,
}

/// `app`: what the application has to send.
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(deny_unknown_fields, expecting = "a table such as { rate = \"5mbit\" }")]
pub struct AppTable {
    /// How fast bytes come while it is on.
    pub rate: RateText,
    /// How often some come.
    pub every: Option<Span>,
    /// How long it is on at a time; always, without it.
    pub on_s: Option<Seconds>,
    /// How long it is off in between.
    pub off_s: Option<Seconds>,
}

/// `[expect]`.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, expecting = "a table [expect]")]
pub struct ExpectTable {
    /// Figures of the run.
    #[serde(default)]
    pub run: Figures,
    /// Figures of every flow.
    #[serde(default)]
    pub each_flow: Figures,
    /// Figures of one flow, or of all that one table made.
    #[serde(default)]
    pub flow: BTreeMap<Spanned<String>, Figures>,
}

/// Bounds by the name of the figure.
pub type Figures = BTreeMap<Spanned<String>, Spanned<BoundsTable>>;

/// What a figure must be.
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(deny_unknown_fields, expecting = "a table such as { min = 1, max = 2 }")]
pub struct BoundsTable {
    /// At least this.
    pub min: Option<f64>,
    /// At most this.
    pub max: Option<f64>,
}
