//! Packets straight between a network card's queues and this process: AF_XDP sockets (Documentation/networking/af_xdp.rst).

pub mod memory;
pub mod paired;
mod socket;
mod umem;

pub use socket::{BindMode, SocketError, SocketOptions, SocketStatistics};
pub use umem::{UmemError, UmemSize};
