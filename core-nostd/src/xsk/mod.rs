//! AF_XDP sockets without the system calls: the rings that are shared with the kernel, who owns which frame, and the
//! [`crate::device::Device`] that sessions send and receive packets through.
//!
//! ```text
//! in:  kernel -> receive ring -> frames (whose is it?) -> wire::net (what is it?) -> session, in place -> fill ring
//! out: session, in place, behind room for headers -> wire::net in front of it -> transmit ring -> completion ring
//! ```
//!
//! Nothing here is `unsafe`: shared memory is atomics, frames are tokens of a [`crate::pool`]. What the kernel's end does
//! wrong (addresses that it was not lent, indices that run backwards, completions that never come) is counted and left
//! aside. The host makes sockets and memory; tests play the kernel.

mod atomic;
mod descriptor;
mod device;
mod frames;
mod queue;
pub mod ring;

pub use descriptor::{CONTINUED, Descriptor};
pub use device::{Counters, HEADROOM_BYTES, Kick, MAX_QUEUES, Outside, Queues, XskDevice};
pub use frames::{Frame, Frames, Loan, NoFrames, Whereabouts};
pub use queue::{Incoming, Queue, QueueCounters, QueueMemory};
