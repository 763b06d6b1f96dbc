//! The host of Wirehaul: everything that touches the operating system, driving the state machines of `wirehaul-core`.
#![deny(unsafe_code)]
// A test that meets the unexpected should stop there and say so.
#![cfg_attr(test, allow(clippy::unwrap_used, clippy::expect_used))]

pub mod cdn;
pub mod cli;
pub mod clock;
pub mod config;
pub mod crypto;
#[cfg(unix)]
pub mod daemon;
#[cfg(unix)]
pub mod device;
#[cfg(target_os = "linux")]
pub mod doctor;
#[cfg(unix)]
pub mod drive;
pub mod events;
pub mod file_io;
#[cfg(unix)]
pub mod handover;
#[cfg(target_os = "linux")]
pub mod interface;
#[cfg(unix)]
pub mod io;
#[cfg(target_os = "linux")]
mod kernel_files;
pub mod memory;
pub mod metrics;
#[cfg(target_os = "linux")]
pub mod neighbours;
#[cfg(target_os = "linux")]
pub mod netlink;
pub mod notes;
#[cfg(target_os = "linux")]
#[allow(unsafe_code, reason = "where memory lies is asked and said in system calls without safe wrappers")]
pub mod numa;
#[cfg(target_os = "linux")]
#[allow(
    unsafe_code,
    reason = "packet sockets are system calls and memory shared with the kernel, without safe wrappers"
)]
pub mod packet;
pub mod pools;
#[cfg(target_os = "linux")]
pub mod privileges;
pub mod scan;
pub mod transfer;
pub mod transport;
pub mod tui;
pub mod udp;
pub mod units;
#[cfg(target_os = "linux")]
#[allow(unsafe_code, reason = "the kernel reads and writes memory while nobody waits; the compiler cannot see that")]
pub mod uring;
#[cfg(target_os = "linux")]
#[allow(
    unsafe_code,
    reason = "the kernel's interfaces for AF_XDP and BPF are memory and system calls without safe wrappers"
)]
pub mod xdp;
