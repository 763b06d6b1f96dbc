//! Gathers facts: files of /proc and /sys, netlink, and one socket that is opened and closed again.

mod host;
mod interfaces;

pub use host::host;
pub use interfaces::cards;
