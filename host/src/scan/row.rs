//! What is known of a reply, flat: one row, in whichever format (SCAN-8). Who analyses files of many shards joins nothing: each row
//! says of which scan and shard it is, and which lists the provider is from.

use std::net::{IpAddr, SocketAddr};

use wirehaul_core::scan::ports::Protocol;
use wirehaul_core::scan::reply::Reply;

use super::cdn::Edge;

/// What all rows of a run have in common.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Run {
    /// The scan, the same in all its shards where the user gave it a name.
    pub scan_id: String,
    /// Which part of the scan, from 1.
    pub shard: u32,
    /// Which lists of providers' addresses: their newest date, and a hash of them all.
    pub list_version: String,
}

/// One row.
#[derive(Clone, Copy, Debug)]
pub struct Row<'r> {
    /// When the reply came, in nanoseconds since 1970.
    pub at_ns: u64,
    /// What it says.
    pub reply: &'r Reply,
    /// Whether the target and port were reported before, with less.
    pub is_repeat: bool,
    /// The queue of the card that it came by.
    pub queue: u32,
    /// The NUMA node of the worker that took it, where that is known.
    pub node: Option<u32>,
    /// What is known of the target offline; `None` where nobody looked.
    pub edge: Option<&'r Edge>,
}

/// The names of the columns, in their order.
pub const COLUMNS: [&str; 21] = [
    "scan_id",
    "shard",
    "ts_ns",
    "saddr",
    "sport",
    "daddr",
    "dport",
    "proto",
    "class",
    "success",
    "repeat",
    "ttl",
    "rtt_us",
    "responder",
    "icmp_type",
    "icmp_code",
    "queue",
    "node",
    "cdn_provider",
    "cdn_evidence",
    "list_version",
];

impl Row<'_> {
    /// The address that was probed, which is who answers unless a router does.
    #[must_use]
    pub fn target(&self) -> IpAddr {
        self.reply.target
    }

    /// The address and port of ours that the reply came to; port 0 where there are no ports.
    #[must_use]
    pub const fn ours(&self) -> SocketAddr {
        self.reply.local
    }

    /// `tcp`, `udp` or `icmp`.
    #[must_use]
    pub fn protocol(&self) -> &'static str {
        self.reply.probe.protocol.name()
    }

    /// Whether ports mean nothing here.
    #[must_use]
    pub fn is_icmp(&self) -> bool {
        self.reply.probe.protocol == Protocol::Icmp
    }

    /// Whether somebody answered who takes what was sent.
    #[must_use]
    pub fn is_success(&self) -> bool {
        self.reply.class.is_positive()
    }

    /// From the probe to the reply, in microseconds, where the reply tells.
    #[must_use]
    pub fn rtt_us(&self) -> Option<u64> {
        self.reply.rtt.map(|rtt| rtt.as_micros())
    }

    /// Whose edge the target is, by the provider's key.
    #[must_use]
    pub fn provider(&self) -> Option<&'static str> {
        self.edge.and_then(|edge| edge.provider)
    }

    /// What speaks for that, and against it; empty where nothing does.
    #[must_use]
    pub fn evidence(&self) -> &str {
        self.edge.map_or("", |edge| &edge.evidence)
    }
}
