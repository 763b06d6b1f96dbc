//! What a scenario is, in numbers that a script can hold and that can be made smaller one by one.

use serde::{Deserialize, Serialize};

use wirehaul_core::{rate::Rate, session::Config, time::Duration, wire::StreamId};

use crate::{
    bulk::{Appetite, Plan},
    host::{HostConfig, Room},
    link::{Burst, LinkConfig},
    planted::Bug,
    scenario::controller,
};

/// Callers that share a path to one listener. The listener is host 0 and the callers are those behind it. Link 0 leads
/// to the listener and link 1 back; links 2 and 3 are the first caller's own, there and back, 4 and 5 the second's.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Options {
    /// The listener.
    pub listener: HostOptions,
    /// The callers.
    pub callers: Vec<Caller>,
    /// The shared links, to the listener and back.
    pub path: [PathOptions; 2],
    /// The bug that every host has, if any.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub planted: Option<Bug>,
}

/// A caller.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Caller {
    /// Its end.
    pub host: HostOptions,
    /// Delay of its own links, each way.
    pub own_delay_us: u64,
}

/// One direction of the shared path.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PathOptions {
    /// Bits per second; `None` is without limit.
    pub rate_bps: Option<u64>,
    /// Propagation delay.
    pub delay_us: u64,
    /// What the queue holds; `None` is without limit.
    pub buffer_bytes: Option<u64>,
    /// Above how much waiting ECN-capable datagrams are marked.
    pub mark_above_bytes: Option<u64>,
    /// See [`LinkConfig::mtu_bytes`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mtu_bytes: Option<u64>,
}

/// What happens to single datagrams by chance, in parts per million.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Chances {
    /// See [`LinkConfig::loss_ppm`].
    pub loss_ppm: u32,
    /// See [`LinkConfig::burst`]: enter, leave, lose.
    pub burst_ppm: Option<[u32; 3]>,
    /// See [`LinkConfig::duplicate_ppm`].
    pub duplicate_ppm: u32,
    /// See [`LinkConfig::reorder_ppm`].
    pub reorder_ppm: u32,
    /// See [`LinkConfig::reorder_by`].
    pub reorder_by_us: u64,
    /// See [`LinkConfig::jitter`].
    pub jitter_us: u64,
    /// See [`LinkConfig::corrupt_ppm`].
    pub corrupt_ppm: u32,
    /// See [`LinkConfig::truncate_ppm`].
    pub truncate_ppm: u32,
}

/// One host.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct HostOptions {
    /// Bytes of each stream that it sends in each of its sessions.
    pub send: Vec<u64>,
    /// One of [`crate::scenario::CONTROLLERS`].
    pub controller: String,
    /// See [`Config::pacing`].
    pub pacing: bool,
    /// See [`Config::rate_cap`].
    pub rate_cap_bps: Option<u64>,
    /// See [`Config::datagram_bytes`].
    pub datagram_bytes: usize,
    /// See [`Config::max_datagram_bytes`].
    pub max_datagram_bytes: usize,
    /// See [`HostConfig::max_segments`].
    pub max_segments: usize,
    /// See [`HostConfig::wake_lateness`].
    pub wake_lateness_us: u64,
    /// See [`Config::max_ack_delay`].
    pub max_ack_delay_us: u64,
    /// See [`Config::initial_window_bytes`].
    pub initial_window_bytes: u64,
    /// See [`Config::max_window_bytes`].
    pub max_window_bytes: u64,
    /// See [`Config::rekey_packets`].
    pub rekey_packets: u64,
    /// See [`Config::rekey_interval`].
    pub rekey_interval_ms: u64,
    /// See [`Room::sent`].
    pub sent_records: usize,
    /// See [`Room::packet_gaps`].
    pub packet_gaps: usize,
    /// See [`Room::streams`].
    pub streams: usize,
    /// See [`Room::stream_gaps`].
    pub stream_gaps: usize,
    /// See [`Appetite::delay`].
    pub eat_delay_ms: u64,
    /// See [`Appetite::rate`].
    pub eat_rate_bps: Option<u64>,
}

impl Default for HostOptions {
    /// A host with room for everything that sends nothing.
    fn default() -> Self {
        Self {
            send: Vec::new(),
            controller: "cubic".to_owned(),
            pacing: true,
            rate_cap_bps: None,
            datagram_bytes: 1472,
            max_datagram_bytes: 1472,
            max_segments: 44,
            wake_lateness_us: 0,
            max_ack_delay_us: 5_000,
            initial_window_bytes: 2 << 20,
            max_window_bytes: 64 << 20,
            rekey_packets: 1 << 20,
            rekey_interval_ms: 120_000,
            sent_records: 4096,
            packet_gaps: 512,
            streams: 16,
            stream_gaps: 512,
            eat_delay_ms: 0,
            eat_rate_bps: None,
        }
    }
}

impl HostOptions {
    /// The host with this number; `sessions` is how many it has room for.
    #[must_use]
    pub fn host(&self, number: u16, sessions: usize, planted: Option<Bug>) -> HostConfig {
        let mut config = HostConfig::new(number);
        config.session = Config {
            datagram_bytes: self.datagram_bytes,
            max_datagram_bytes: self.max_datagram_bytes,
            suites: config.session.suites,
            idle_timeout: Duration::from_secs(30),
            handshake_timeout: Duration::from_secs(30),
            max_ack_delay: Duration::from_micros(self.max_ack_delay_us),
            initial_window_bytes: self.initial_window_bytes,
            max_window_bytes: self.max_window_bytes,
            controller: controller(&self.controller).unwrap_or_default(),
            pacing: self.pacing,
            rate_cap: self.rate_cap_bps.map(Rate::from_bits_per_sec),
            rekey_packets: self.rekey_packets,
            rekey_interval: Duration::from_millis(self.rekey_interval_ms),
            ..Config::default()
        };
        config.sessions = sessions;
        config.room = Room {
            sent: self.sent_records,
            packet_gaps: self.packet_gaps,
            streams: self.streams,
            stream_gaps: self.stream_gaps,
        };
        config.max_segments = self.max_segments;
        config.wake_lateness = Duration::from_micros(self.wake_lateness_us);
        config.plan = self.plan();
        config.planted = planted;
        config
    }

    fn plan(&self) -> Plan {
        let ids = (0..).filter_map(|index: u16| StreamId::new(16 + index * 3));
        let rate = self.eat_rate_bps.map(Rate::from_bits_per_sec);
        Plan {
            send: ids.zip(self.send.iter().copied()).collect(),
            appetite: Appetite { delay: Duration::from_millis(self.eat_delay_ms), rate, ..Appetite::default() },
            ..Plan::default()
        }
    }
}

impl PathOptions {
    /// The link, with what happens by chance on it.
    #[must_use]
    pub fn link(&self, chances: &Chances) -> LinkConfig {
        let burst = |[enter_ppm, leave_ppm, loss_ppm]: [u32; 3]| Burst { enter_ppm, leave_ppm, loss_ppm };
        LinkConfig {
            rate: self.rate_bps.map(Rate::from_bits_per_sec),
            delay: Duration::from_micros(self.delay_us),
            jitter: Duration::from_micros(chances.jitter_us),
            buffer_bytes: self.buffer_bytes,
            mark_above_bytes: self.mark_above_bytes,
            mtu_bytes: self.mtu_bytes,
            loss_ppm: chances.loss_ppm,
            burst: chances.burst_ppm.map(burst),
            duplicate_ppm: chances.duplicate_ppm,
            reorder_ppm: chances.reorder_ppm,
            reorder_by: Duration::from_micros(chances.reorder_by_us),
            corrupt_ppm: chances.corrupt_ppm,
            truncate_ppm: chances.truncate_ppm,
            ..LinkConfig::default()
        }
    }
}
