//! The nodes of this machine: what there is (NUMA-1), what this process may use of it, and memory on a node (NUMA-4).
//!
//! ```text
//! machine   all that is known of a machine                     hwloc, sysfs   where it is from
//! allowed   what is left to this process                       description    machines other than this one
//! cards     network cards, queues, interrupts                  report         all of it, for people and scripts
//! memory    memory on a node, on pages as large as there are   apart          a library in C at arm's length
//! ```
//!
//! Who goes where is decided in [`wirehaul_core::numa`].

mod allowed;
#[cfg(feature = "hwloc")]
mod apart;
pub mod cards;
mod description;
mod huge_pages;
#[cfg(feature = "hwloc")]
mod hwloc;
#[cfg(all(test, feature = "hwloc"))]
mod hwloc_tests;
mod machine;
pub mod memory;
pub mod report;
mod sysfs;
#[cfg(feature = "hwloc")]
mod udev;
pub mod words;

pub use description::DescriptionError;
pub use huge_pages::HugePages;
pub use machine::{Machine, Source};
