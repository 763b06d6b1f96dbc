//! The host of Wirehaul: everything that touches the operating system, driving the state machines of `wirehaul-core`.
#![deny(unsafe_code)]

pub mod io;
pub mod transfer;
