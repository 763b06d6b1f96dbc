//! The real binary, both ends of it, over real sockets: what a user sees.
//!
//! Tests that need root or namespaces skip without them; `WIREHAUL_REQUIRE=net` makes a skip a failure. With
//! `WIREHAUL_TEST_FULL=1` the long tests run at their full size.
#![cfg(target_os = "linux")]
#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs)]
#![expect(clippy::disallowed_methods, reason = "a test waits for real processes, and so reads the clock")]

#[path = "../common/mod.rs"]
mod common;

mod conduct;
mod conflicts;
mod daemon;
mod damage;
mod descriptors;
mod disk;
mod doctor;
mod file_io;
mod greeting;
mod hostile;
mod interrupt;
mod keys;
mod load;
mod migration;
mod namespaces;
mod numa;
mod output;
mod policy;
mod queues;
mod rate;
mod resume;
mod serve;
mod sources;
mod topo;
mod trees;
mod xdp;
