//! How packets travel: AF_XDP or UDP sockets, chosen once when a command starts.

mod choice;
#[cfg(target_os = "linux")]
mod ladder;
#[cfg(unix)]
mod way;

pub use choice::Choice;
#[cfg(target_os = "linux")]
pub(crate) use ladder::no_zero_copy;
#[cfg(target_os = "linux")]
pub use ladder::{interface_of, open, shares};
#[cfg(all(unix, not(target_os = "linux")))]
pub use way::open;
#[cfg(unix)]
pub use way::{Gauge, NoTransport, Opened, Step, Transport, Wish};
