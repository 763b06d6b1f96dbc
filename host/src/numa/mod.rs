//! The nodes of this machine: what there is (NUMA-1), what this process may use of it, memory on a node (NUMA-4),
//! and a card's interrupts (NUMA-5).
//!
//! ```text
//! machine   all that is known of a machine, from sysfs        allowed   what is left to this process
//! memory    memory on a node, on pages as large as there are        irq   interrupts, and how they go back
//! ```
//!
//! Who goes where is decided in [`wirehaul_core::numa`].

mod allowed;
pub mod irq;
mod machine;
pub mod memory;
mod sysfs;

pub use machine::{Machine, Source};
