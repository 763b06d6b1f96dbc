//! The command line: what can be asked, and how answers, progress and exit codes look.

pub mod args;
pub mod cdn;
pub mod completions;
#[cfg(target_os = "linux")]
pub mod doctor;
pub mod exit;
pub mod key;
pub mod man;
pub mod origin;
#[cfg(unix)]
pub mod output;
#[cfg(unix)]
mod place;
mod placement;
#[cfg(unix)]
pub mod progress;
#[cfg(unix)]
pub mod receiving;
#[cfg(unix)]
pub mod recv;
pub mod scan;
pub mod screen;
#[cfg(unix)]
pub mod send;
#[cfg(unix)]
pub mod serve;
#[cfg(unix)]
mod session;
mod stop;
#[cfg(target_os = "linux")]
pub mod topo;
#[cfg(unix)]
mod transport;
#[cfg(target_os = "linux")]
mod wrap;
