//! Faults one by one: what a script of faults can say, how it is written down, and what carries it out (SIM-2, SIM-3).
//!
//! ```text
//! mishap   what happens to one datagram on a link: drawn at random, or read from a script; recorded either way
//! path     times at which a link polices, carries at another rate, or lets datagrams arrive in lumps
//! device   times at which a host's device has no room, no buffer, nothing to receive, or gives buffers back late
//! disk     writes of received bytes that are short, fail or take long
//! timeline hosts that crash, come back, or have their clocks jump
//! ```
//! A script is text, one fault a line, each a JSON object whose key `fault` names it. Times are nanoseconds since the
//! run began; datagrams are numbered by link in the order in which they entered it, writes by host in the order in which
//! they were asked for, both from 0.

pub mod device;
pub mod disk;
pub mod mishap;
pub mod path;
pub mod timeline;

use serde::{Deserialize, Serialize};
use wirehaul_core::time::{Duration, Instant};

use crate::lines::plain;

/// One fault.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "fault", rename_all = "snake_case", deny_unknown_fields)]
pub enum Fault {
    /// The datagram does not arrive.
    Drop {
        /// Which link.
        link: usize,
        /// Which of its datagrams.
        datagram: u64,
    },
    /// The datagram arrives twice.
    Duplicate {
        /// Which link.
        link: usize,
        /// Which of its datagrams.
        datagram: u64,
        /// How long after the first the second comes.
        after_ns: u64,
    },
    /// Neighbouring bits of the datagram are flipped.
    Corrupt {
        /// Which link.
        link: usize,
        /// Which of its datagrams.
        datagram: u64,
        /// The first of them; beyond the end it wraps round.
        bit: u64,
        /// How many.
        bits: u64,
    },
    /// The datagram is cut short.
    Truncate {
        /// Which link.
        link: usize,
        /// Which of its datagrams.
        datagram: u64,
        /// How many bytes are left.
        bytes: u64,
    },
    /// The datagram takes longer, and so do those behind it: they stay in order.
    Delay {
        /// Which link.
        link: usize,
        /// Which of its datagrams.
        datagram: u64,
        /// How much longer.
        by_ns: u64,
    },
    /// The datagram takes longer, and is overtaken by those behind it.
    HoldBack {
        /// Which link.
        link: usize,
        /// Which of its datagrams.
        datagram: u64,
        /// How much longer.
        by_ns: u64,
    },
    /// Nothing enters the link.
    Outage {
        /// Which link.
        link: usize,
        /// From when.
        from_ns: u64,
        /// Until when.
        to_ns: u64,
    },
    /// The link drops what is above a rate: a token bucket in front of its queue, full at the start.
    Police {
        /// Which link.
        link: usize,
        /// From when.
        from_ns: u64,
        /// Until when.
        to_ns: u64,
        /// How fast tokens come, in bits per second, for bytes with headers.
        rate_bps: u64,
        /// How many bytes of them there can be.
        burst_bytes: u64,
    },
    /// The link carries at another rate, also what waits already, until the next of these. Nothing where it has no rate.
    RateStep {
        /// Which link.
        link: usize,
        /// When.
        at_ns: u64,
        /// The new rate, in bits per second.
        rate_bps: u64,
    },
    /// Datagrams arrive in lumps, at multiples of a time.
    Lumps {
        /// Which link.
        link: usize,
        /// From when.
        from_ns: u64,
        /// Until when.
        to_ns: u64,
        /// The time.
        every_ns: u64,
    },
    /// The host's device has no room: what is submitted is dropped, and the device says so.
    DeviceFull {
        /// Which host.
        host: usize,
        /// From when.
        from_ns: u64,
        /// Until when.
        to_ns: u64,
    },
    /// The host's device has no buffer to receive into: what arrives is dropped.
    EmptyFillRing {
        /// Which host.
        host: usize,
        /// From when.
        from_ns: u64,
        /// Until when.
        to_ns: u64,
    },
    /// Buffers of datagrams that leave come back only at the end of this.
    LateCompletions {
        /// Which host.
        host: usize,
        /// From when.
        from_ns: u64,
        /// Until when.
        to_ns: u64,
    },
    /// The host's device has no buffer to send from.
    PoolExhausted {
        /// Which host.
        host: usize,
        /// From when.
        from_ns: u64,
        /// Until when.
        to_ns: u64,
    },
    /// A write takes fewer bytes than it was given; the rest is written again.
    ShortWrite {
        /// Which host.
        host: usize,
        /// Which of its writes.
        write: u64,
        /// How many bytes are written at most.
        bytes: u64,
    },
    /// A write fails, and is tried again.
    FailingWrite {
        /// Which host.
        host: usize,
        /// Which of its writes.
        write: u64,
    },
    /// A write takes longer, and so do those behind it.
    SlowWrite {
        /// Which host.
        host: usize,
        /// Which of its writes.
        write: u64,
        /// How much longer.
        by_ns: u64,
    },
    /// The host loses everything it knows, and is back after a while with the same keys.
    Crash {
        /// Which host.
        host: usize,
        /// When.
        at_ns: u64,
        /// For how long it is down.
        down_ns: u64,
    },
    /// The host's clock jumps forward.
    ClockJump {
        /// Which host.
        host: usize,
        /// When.
        at_ns: u64,
        /// How far.
        by_ns: u64,
    },
    /// The host has another address from then on, and nobody told its sessions or their peers.
    Move {
        /// Which host.
        host: usize,
        /// When.
        at_ns: u64,
        /// The second byte of its new IPv4 address, not zero; the rest stays.
        to: u8,
    },
}

impl Fault {
    /// The link that it befalls.
    #[must_use]
    pub const fn link(&self) -> Option<usize> {
        match self {
            Self::Drop { link, .. }
            | Self::Duplicate { link, .. }
            | Self::Corrupt { link, .. }
            | Self::Truncate { link, .. }
            | Self::Delay { link, .. }
            | Self::HoldBack { link, .. }
            | Self::Outage { link, .. }
            | Self::Police { link, .. }
            | Self::RateStep { link, .. }
            | Self::Lumps { link, .. } => Some(*link),
            _ => None,
        }
    }

    /// The host that it befalls.
    #[must_use]
    pub const fn host(&self) -> Option<usize> {
        match self {
            Self::DeviceFull { host, .. }
            | Self::EmptyFillRing { host, .. }
            | Self::LateCompletions { host, .. }
            | Self::PoolExhausted { host, .. }
            | Self::ShortWrite { host, .. }
            | Self::FailingWrite { host, .. }
            | Self::SlowWrite { host, .. }
            | Self::Crash { host, .. }
            | Self::ClockJump { host, .. }
            | Self::Move { host, .. } => Some(*host),
            _ => None,
        }
    }

    /// The datagram of its link that it befalls.
    #[must_use]
    pub const fn datagram(&self) -> Option<u64> {
        match self {
            Self::Drop { datagram, .. }
            | Self::Duplicate { datagram, .. }
            | Self::Corrupt { datagram, .. }
            | Self::Truncate { datagram, .. }
            | Self::Delay { datagram, .. }
            | Self::HoldBack { datagram, .. } => Some(*datagram),
            _ => None,
        }
    }

    /// The same fault, milder: half as long. `None` where it has no length, or hardly any.
    #[must_use]
    pub fn milder(&self) -> Option<Self> {
        let mut milder = self.clone();
        let (from, length) = match &mut milder {
            Self::Outage { from_ns, to_ns, .. }
            | Self::Police { from_ns, to_ns, .. }
            | Self::Lumps { from_ns, to_ns, .. }
            | Self::DeviceFull { from_ns, to_ns, .. }
            | Self::EmptyFillRing { from_ns, to_ns, .. }
            | Self::LateCompletions { from_ns, to_ns, .. }
            | Self::PoolExhausted { from_ns, to_ns, .. } => (*from_ns, to_ns),
            Self::Duplicate { after_ns: length, .. }
            | Self::Delay { by_ns: length, .. }
            | Self::HoldBack { by_ns: length, .. }
            | Self::SlowWrite { by_ns: length, .. }
            | Self::Crash { down_ns: length, .. }
            | Self::ClockJump { by_ns: length, .. }
            | Self::Corrupt { bits: length, .. } => (0, length),
            _ => return None,
        };
        let half = length.saturating_sub(from) / 2;
        *length = from.saturating_add(half);
        (half > 0).then_some(milder)
    }
}

/// The span of virtual time of a fault in a run that began at `start`.
#[must_use]
pub fn span(start: Instant, from_ns: u64, to_ns: u64) -> (Instant, Instant) {
    (start + Duration::from_nanos(from_ns), start + Duration::from_nanos(to_ns))
}

/// Writes faults, one a line.
#[must_use]
pub fn to_lines(faults: &[Fault]) -> String {
    let lines = faults.iter().filter_map(|fault| serde_json::to_string(fault).ok());
    lines.map(|line| line + "\n").collect()
}

/// Reads one fault from its line.
///
/// # Errors
/// What is wrong with the line, for people.
pub fn parse_line(line: &str) -> Result<Fault, String> {
    serde_json::from_str(line).map_err(|error| plain(&error.to_string()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fault_is_a_line_and_back() {
        let faults = [
            Fault::Drop { link: 0, datagram: 17 },
            Fault::Corrupt { link: 1, datagram: 2, bit: 9, bits: 8 },
            Fault::Outage { link: 1, from_ns: 5, to_ns: 9 },
            Fault::Police { link: 0, from_ns: 5, to_ns: 9, rate_bps: 8_000, burst_bytes: 3_000 },
            Fault::RateStep { link: 1, at_ns: 5, rate_bps: 64_000 },
            Fault::Lumps { link: 0, from_ns: 5, to_ns: 9, every_ns: 3 },
            Fault::ShortWrite { host: 1, write: 4, bytes: 10 },
            Fault::Crash { host: 0, at_ns: 1_000, down_ns: 2_000 },
            Fault::Move { host: 1, at_ns: 1_000, to: 7 },
        ];
        let text = to_lines(&faults);
        assert!(text.starts_with("{\"fault\":\"drop\",\"link\":0,\"datagram\":17}\n"), "{text}");
        let read: Vec<_> = text.lines().map(|line| parse_line(line).unwrap()).collect();
        assert_eq!(read, faults);
    }

    #[test]
    fn what_is_no_fault_is_refused_with_the_reason() {
        assert!(parse_line(r#"{"fault":"melt","host":0}"#).unwrap_err().contains("melt"));
        assert!(parse_line(r#"{"fault":"drop","link":0,"datagram":-1}"#).is_err());
        assert!(parse_line(r#"{"fault":"drop","link":0}"#).unwrap_err().contains("datagram"));
        assert!(parse_line(r#"{"fault":"drop","link":0,"datagram":1,"host":3}"#).unwrap_err().contains("host"));
    }

    #[test]
    fn a_milder_fault_is_half_as_long_until_nothing_is_left() {
        let outage = Fault::Outage { link: 0, from_ns: 100, to_ns: 108 };
        assert_eq!(outage.milder(), Some(Fault::Outage { link: 0, from_ns: 100, to_ns: 104 }));
        let steps = std::iter::successors(Some(outage), Fault::milder).count();
        assert_eq!(steps, 4);
        assert_eq!(Fault::Drop { link: 0, datagram: 1 }.milder(), None);
    }
}
