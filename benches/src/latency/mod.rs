//! How long a receiver takes to answer, whatever else it does (`./x bench latency`, URING-5).

mod ping;
mod rig;

pub use ping::{Pings, ping};
pub use rig::{Disk, Load, Rig, RigError};
