//! The port filter (XDP-8): an XDP program that hands datagrams for chosen addresses and ports to AF_XDP sockets, and
//! leaves everything else to the kernel. A second form of it takes what answers a survey: TCP and UDP to a window of ports.
//!
//! The program is put together here, instruction by instruction, so that what the kernel runs is source that can be read
//! and tests run it under an interpreter. Loading it is the host's part.

pub mod asm;
mod key;
mod program;
mod scan;

pub use key::{Front, PortKey};
pub use program::{Maps, PROGRAM_CAPACITY, Program, Verdict, port_filter};
pub use scan::{WINDOW_PORTS, is_window, scan_filter};
