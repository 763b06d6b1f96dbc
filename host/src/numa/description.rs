//! Descriptions of machines that are not this one.

use wirehaul_core::numa::{MAX_CPUS, MAX_NODES};

/// A machine in hwloc's own words.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Description<'a> {
    /// Levels with how many there are in each: `pack:2 [numa(memory=32GB)] core:4 pu:2`.
    Synthetic(&'a str),
    /// What `lstopo --of xml` writes.
    Xml(&'a str),
}

/// Why a description is of no use.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DescriptionError {
    /// It is no synthetic description.
    #[error(
        "`{shown}` describes no machine: name its levels and how many there are of each, down to the CPUs (pu), such as \
        `pack:2 [numa(memory=32GB)] core:4 pu:2`"
    )]
    Synthetic {
        /// It, or its beginning.
        shown: String,
    },
    /// It is no XML of hwloc's.
    #[error(
        "this is no XML that hwloc reads: make it with `lstopo --of xml FILE`, on the machine that it is to describe"
    )]
    Xml,
    /// It describes more than there can be.
    #[error("the machine described is too large: CPUs up to {} and NUMA nodes up to {} are known here", MAX_CPUS - 1, MAX_NODES - 1)]
    TooLarge,
    /// hwloc did not get through with it.
    #[error("hwloc gives up on this description: describe a smaller machine, or one without contradictions")]
    Unfinished,
    /// The system did not let it be read.
    #[error("the description cannot be read: {reason}")]
    NotRead {
        /// What it said.
        reason: String,
    },
    /// There is nobody to read it.
    #[error("this wirehaul was built without hwloc, which reads descriptions: build it with the feature `hwloc`")]
    WithoutHwloc,
}
