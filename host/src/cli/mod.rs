//! The command line: what can be asked, and how answers, progress and exit codes look.

pub mod args;
pub mod exit;
pub mod key;
pub mod output;
pub mod receiving;
pub mod recv;
pub mod send;
pub mod serve;
mod session;
pub mod units;
