//! The core of Wirehaul: every decision that the product makes about packets, as pure state machines.
//!
//! Nothing here reads a clock, draws a random number, allocates, or touches a float or the operating system. Time,
//! randomness and storage come in as arguments, so the host and the simulator run exactly the same code and a run
//! can be replayed from its seed.
#![no_std]
#![forbid(unsafe_code)]

pub mod crypto;
pub mod device;
pub mod limits;
pub mod rate;
pub mod time;
pub mod wire;
