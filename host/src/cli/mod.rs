//! The command line: what can be asked, and how answers, progress and exit codes look.

pub mod args;
pub mod exit;
pub mod key;
pub mod output;
pub mod recv;
pub mod send;
mod session;
pub mod units;
