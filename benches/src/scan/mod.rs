//! A network survey next to masscan and zmap (`./x bench scan`), on two network namespaces with a veth pair between them.
//!
//! ```text
//! answer   the other host: an XDP program that answers every SYN where it arrives, or counts it and drops it
//! rig      both hosts, who plays the other one, what the interfaces have counted
//! series   what arrived when: rates, and the most in any second
//! tool     the contestants, their command lines, and what they say they sent and heard
//! run      one run, and whether what a tool says is what the interfaces saw
//! report   medians and ratios
//! ```

pub mod answer;
pub mod report;
pub mod rig;
pub mod run;
pub mod series;
pub mod tool;

use std::net::Ipv4Addr;

/// What all interfaces here are called.
pub const INTERFACE: &str = "veth0";
/// The TCP port that is asked for.
pub const PORT: u16 = 80;
/// The first target. All lie in 10.128.0.0/9, which is routed to the other host.
pub const FIRST_TARGET: Ipv4Addr = Ipv4Addr::new(10, 128, 0, 0);
/// How many targets that network has: 2^23.
pub const MOST_TARGETS: u32 = 1 << 23;
