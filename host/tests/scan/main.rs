//! `wirehaul scan` as a user runs it, against whole networks that a thread plays in another network namespace.
//!
//! ```text
//! frames      packets, written out once more
//! world       how each address and port behaves: a function; and so what has to be found
//! responder   the thread that behaves so, and writes down what it saw
//! rig         a scanning host, a link, and the rows that came of it
//! ```
//! All need root and namespaces, and some AF_XDP, nmap or tshark; they skip without, and `WIREHAUL_REQUIRE=net,xdp,scan` makes that
//! a failure.
#![cfg(target_os = "linux")]
#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs)]
#![expect(clippy::disallowed_methods, reason = "a test waits for real processes, and so reads the clock")]

#[allow(dead_code)]
#[path = "../common/mod.rs"]
mod common;

mod exactness;
mod frames;
mod inputs;
mod pace;
mod peers;
mod responder;
mod resume;
mod rig;
mod world;
