//! The port filter (XDP-8): an XDP program that hands datagrams for chosen addresses and ports to AF_XDP sockets, and
//! leaves everything else to the kernel.
//!
//! The program is put together here, instruction by instruction, so that what the kernel runs is source that can be read
//! and tests run it under an interpreter. Loading it is the host's part.

pub mod asm;
mod key;
mod program;

pub use key::{Front, PortKey};
pub use program::{Maps, PROGRAM_CAPACITY, Program, Verdict, port_filter};
