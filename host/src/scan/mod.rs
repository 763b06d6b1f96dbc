//! The network survey: what is to be asked, read from the command line and from files, who asks, and what becomes of the answers
//! (SCAN-1 to SCAN-9).
//!
//! ```text
//! engine    a survey under way: threads, devices, how it stands        devices   AF_XDP or packet sockets, and why
//! worker    one thread of it: turns of the core's survey, and sleep    tap       hears ICMP, ARP and neighbour discovery
//! routes    which interface, and which way each target goes            window    source ports that nobody else has
//! results   what was found, on its way to `collect`                    counters  what was sent, came, and was dropped
//! ```
//!
//! What is decided about it, from the order to the policy, is in `wirehaul_core::scan`.

pub mod addresses;
pub mod allow;
pub mod audit;
pub mod cdn;
pub mod checkpoint;
mod choice;
pub mod collect;
#[cfg(target_os = "linux")]
pub mod counters;
pub mod csv;
#[cfg(target_os = "linux")]
pub mod devices;
pub mod digits;
#[cfg(target_os = "linux")]
pub mod engine;
pub mod exclude;
#[cfg(target_os = "linux")]
pub mod excluded;
pub mod expression;
pub mod files;
pub mod format;
pub mod json;
pub mod metadata;
#[cfg(feature = "parquet")]
pub mod parquet;
#[cfg(not(feature = "parquet"))]
#[path = "parquet_absent.rs"]
pub mod parquet;
#[cfg(target_os = "linux")]
mod results;
pub mod rotate;
#[cfg(target_os = "linux")]
pub mod routes;
pub mod row;
pub mod sink;
#[cfg(target_os = "linux")]
mod tap;
pub mod text;
#[cfg(target_os = "linux")]
pub mod window;
#[cfg(target_os = "linux")]
mod worker;
pub mod zgrab;

pub use addresses::{Addresses, Spans, TargetRuns};
pub use allow::AllowFile;
pub use choice::Choice;
pub use collect::Found;
pub use exclude::ExcludeFiles;
#[cfg(target_os = "linux")]
pub use excluded::{Excluded, Exclusions};
pub use expression::{Expression, ExpressionError};
pub use files::{FileError, LineError, Name, TargetList};
