//! All that is known of the machine that this process runs on.

use wirehaul_core::numa::{Allowed, Topology};

use super::{allowed, sysfs};
use crate::kernel_files::Files;

/// Where what is known comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Source {
    /// Files below /sys/devices/system.
    Sysfs,
}

impl Source {
    /// What it is called.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Sysfs => "sysfs",
        }
    }
}

/// Nodes, and what this process may use of them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Machine {
    /// The nodes: at least one.
    pub topology: Topology,
    /// What cpusets, `taskset`, `numactl` and containers leave to this process.
    pub allowed: Allowed,
    /// Where that comes from.
    pub source: Source,
}

/// Whether there is one node, so that nothing need be decided: a single small file tells.
#[must_use]
pub fn has_one_node() -> bool {
    sysfs::node_count(&Files::of_machine()) < 2
}

impl Machine {
    /// The machine that this process runs on.
    #[must_use]
    pub fn here() -> Box<Self> {
        Self::of_files(&Files::of_machine())
    }

    fn of_files(files: &Files) -> Box<Self> {
        let topology = sysfs::topology(files);
        let allowed = allowed::of(files, &topology);
        Box::new(Self { topology, allowed, source: Source::Sysfs })
    }
}
