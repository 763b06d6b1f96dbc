//! Files through io_uring: many operations under way at once, without a thread for each (io_uring(7)).
//!
//! ```text
//! queue      operations in, finished ones out; goes on with those that were done in part
//! operation  what is to be done, with everything that the kernel touches meanwhile
//! buffers    memory that the kernel knows beforehand       files  files that it knows
//! ring       what a queue needs of a ring:   kernel  the real one     scripted  one for tests
//! engine     file threads with a queue each: owner  what such a thread does    tasks  the jobs that it has under way
//!            disk  their reads and writes as operations    elsewhere  what would hold them up
//! refusal    why there is no ring, and what to do about it
//! ```
//!
//! What a completion means, and what is tried next, is decided in [`wirehaul_core::disk`].

mod buffers;
mod disk;
mod elsewhere;
mod engine;
mod files;
mod kernel;
mod operation;
mod owner;
mod queue;
mod refusal;
mod ring;
pub mod scripted;
mod tasks;
#[cfg(test)]
mod umem_tests;

pub use buffers::Region;
pub use engine::{NoRing, Settings, start};
pub use kernel::{KernelRing, KernelSystem};
pub use operation::{Dir, Finished, Link, MakeDir, Open, Operation, Output, Rename, Stat, Unlink};
pub use queue::{Queue, QueueOptions, Statistics, Wait};
pub use refusal::{NotRegistered, Refused};
pub use ring::{Call, Completion, Entry, Ring, System, Target};
pub use rustix::fs::{AtFlags, Mode, OFlags, RenameFlags};
