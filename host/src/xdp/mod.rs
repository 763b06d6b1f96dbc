//! Packets straight between a network card's queues and this process: AF_XDP sockets (Documentation/networking/af_xdp.rst).
//!
//! ```text
//! datapath  the filter on the interface (bpf, attach), and how frames and sockets have to be for it
//! device    sockets and UMEM under the core's device; opened anew when they fail; the kernel's own socket beside them
//! port      whole frames of one queue, without sessions
//! socket    system calls of one queue        umem   frames, in the memory of `numa`
//! paired    rings without a socket, for tests and benches
//! ```
//!
//! What is lent to whom, and what a packet is, is decided in [`wirehaul_core::xsk`].

pub mod attach;
pub mod bpf;
mod datapath;
mod device;
pub mod paired;
mod port;
mod socket;
mod system;
#[cfg(test)]
mod testing;
mod umem;

pub use datapath::{Datapath, MAX_FRAME_MTU, Mode, OpenError, queue_bytes};
pub use device::{FrameGauge, MemoryReport, Statistics, XdpDevice};
pub use port::Port;
pub use socket::{BindMode, SocketError, SocketOptions, SocketStatistics};
pub use umem::{UmemError, UmemSize};
