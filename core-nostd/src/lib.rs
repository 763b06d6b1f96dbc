//! The core of Wirehaul: every decision that the product makes about packets, as pure state machines.
//!
//! Nothing here reads a clock, draws a random number, allocates, or touches a float or the operating system. Time,
//! randomness and storage come in as arguments, so the host and the simulator run exactly the same code and a run
//! can be replayed from its seed.
#![no_std]
#![deny(unsafe_code)]

pub mod bbr;
pub mod cdn;
pub mod cdn_data;
pub mod congestion;
pub mod crypto;
pub mod cubic;
pub mod device;
pub mod disk;
pub mod filter;
pub mod hops;
mod hystart;
pub mod limits;
pub mod numa;
pub mod pacer;
#[cfg(target_has_atomic = "64")]
#[allow(unsafe_code, reason = "a slot of the pool is memory whose only owner it is; the compiler cannot see that")]
pub mod pool;
pub mod ranges;
pub mod rate;
pub mod scan;
pub mod session;
pub mod sources;
pub mod time;
pub mod wire;
pub mod worker;
#[cfg(target_has_atomic = "64")]
pub mod xsk;
