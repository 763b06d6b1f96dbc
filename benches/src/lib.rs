//! Benchmarks of Wirehaul: the comparisons with its peers, the ceiling it is measured against, and the demo.
//!
//! The binaries are thin; what they share is here, one concept per module: where a run takes place ([`testbed`],
//! [`netns`]), how a program is run and what it used ([`process`], [`cgroup`]), what is sent ([`data`]), who takes
//! part ([`contestants`]), how exactly senders pace ([`pacing`]), what checking packets costs ([`validation`]), what the
//! buffer pool costs ([`pool`]), what file I/O costs (`io`), what telling edges from origins costs and how often it is right ([`cdn`]), whether hours of work leave
//! anything behind ([`soak`]), how a thousand transfers share a server ([`crowd`]), and what comes out ([`stats`], [`targets`], [`report`]).

pub mod cdn;
pub mod cgroup;
pub mod clock;

pub mod contestants;
pub mod crowd;
pub mod data;
pub mod interrupt;
#[cfg(target_os = "linux")]
pub mod io;
pub mod latency;
pub mod machine;
pub mod netns;
pub mod pacing;
pub mod pool;
pub mod process;
pub mod records;
pub mod report;
#[cfg(target_os = "linux")]
pub mod scan;
pub mod scratch;
pub mod soak;
pub mod stats;
pub mod targets;
pub mod testbed;
pub mod udp;
pub mod validation;
#[cfg(target_os = "linux")]
pub mod xdp;
