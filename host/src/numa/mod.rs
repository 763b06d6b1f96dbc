//! The nodes of this machine: what there is (NUMA-1), what this process may use of it, memory on a node (NUMA-4),
//! and a card's interrupts (NUMA-5).
//!
//! ```text
//! machine   all that is known of a machine, from sysfs        allowed   what is left to this process
//! process   this process and all its threads on one node      pools     a runtime on each node
//! threads   the CPUs of a thread, its memory                  memory    memory on a node, on pages as large as there are
//! check     all of that tried out on each node                irq       interrupts of a card, and how they go back
//! ```
//!
//! Who goes where is decided in [`wirehaul_core::numa`].

mod allowed;
pub mod check;
pub mod irq;
mod machine;
pub mod memory;
pub mod pools;
mod process;
mod sysfs;
pub mod threads;
pub mod words;

pub use machine::{Machine, Source, has_one_node};
pub use process::Home;
