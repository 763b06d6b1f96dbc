//! The nodes of this machine: what there is (NUMA-1), what this process may use of it, memory on a node (NUMA-4),
//! and a card's interrupts (NUMA-5).
//!
//! ```text
//! machine   all that is known of a machine                     hwloc, sysfs   where it is from
//! allowed   what is left to this process                       description    machines other than this one
//! cards     network cards, queues, interrupts                  report         all of it, for people and scripts
//! process   this process and all its threads on one node       pools          a runtime on each node
//! threads   the CPUs of a thread, its memory                   irq            interrupts, and how they go back
//! memory    memory on a node, on pages as large as there are   apart          a library in C at arm's length
//! check     all of that tried out on each node
//! ```
//!
//! Who goes where is decided in [`wirehaul_core::numa`].

mod allowed;
#[cfg(feature = "hwloc")]
mod apart;
pub mod cards;
pub mod check;
mod description;
mod huge_pages;
#[cfg(feature = "hwloc")]
mod hwloc;
#[cfg(all(test, feature = "hwloc"))]
mod hwloc_tests;
pub mod irq;
mod machine;
pub mod memory;
pub mod pools;
mod process;
pub mod report;
mod sysfs;
pub mod threads;
#[cfg(feature = "hwloc")]
mod udev;
pub mod words;

pub use description::DescriptionError;
pub use huge_pages::HugePages;
pub use machine::{Machine, Source, has_one_node};
pub use process::Home;
