//! AF_XDP sockets on a veth pair, without sessions: what the kernel's own tests look at (tools/testing/selftests/bpf/xskxceiver.c),
//! as far as this library lets it happen. Its invalid descriptors, unaligned chunks and sizes of rings have no counterpart: frames
//! are tokens, whose addresses the library makes, in aligned chunks and rings of sizes that it chooses. That the kernel found no
//! descriptor invalid is checked everywhere instead.
#![cfg(target_os = "linux")]
#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs)]
#![expect(clippy::disallowed_methods, reason = "a test waits for the kernel, and so reads the clock")]

#[allow(dead_code)]
#[path = "../common/machine.rs"]
mod machine;

mod devices;
mod ports;
mod wire;
