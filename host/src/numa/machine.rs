//! All that is known of the machine that this process runs on, or of another one.

use wirehaul_core::numa::{Allowed, CpuSet, Topology};

use super::allowed;
use super::description::{Description, DescriptionError};
#[cfg(feature = "hwloc")]
use super::hwloc;
use super::sysfs;
use crate::kernel_files::Files;

/// Where what is known comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Source {
    /// hwloc, which asks the system.
    Hwloc,
    /// Files below /sys/devices/system, where there is no hwloc or it does not tell.
    Sysfs,
    /// A synthetic description of hwloc's.
    Synthetic,
    /// An XML file of hwloc's.
    Xml,
}

impl Source {
    /// What it is called: `hwloc`, `sysfs`, `synthetic` or `xml`.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Hwloc => "hwloc",
            Self::Sysfs => "sysfs",
            Self::Synthetic => "synthetic",
            Self::Xml => "xml",
        }
    }

    /// Whether it is the machine that this process runs on.
    #[must_use]
    pub const fn is_here(self) -> bool {
        matches!(self, Self::Hwloc | Self::Sysfs)
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

/// Of these CPUs of this machine, the first of each core.
pub(super) fn first_of_cores(cpus: &CpuSet) -> CpuSet {
    sysfs::first_of_cores(&Files::of_machine(), cpus)
}

impl Machine {
    /// The machine that this process runs on. hwloc is asked in a process of its own, which is cheap as long as this one is small:
    /// at the start of a command.
    #[must_use]
    pub fn here() -> Box<Self> {
        let files = Files::of_machine();
        let found = Self::by_hwloc().map(|topology| (topology, Source::Hwloc));
        let (topology, source) = found.unwrap_or_else(|| (sysfs::topology(&files), Source::Sysfs));
        let allowed = allowed::of_this_thread(&files, &topology);
        Box::new(Self { topology, allowed, source })
    }

    /// The same out of files, without hwloc: cheap however large this process is.
    #[must_use]
    pub fn by_files() -> Box<Self> {
        let files = Files::of_machine();
        let topology = sysfs::topology(&files);
        let allowed = allowed::of_this_thread(&files, &topology);
        Box::new(Self { topology, allowed, source: Source::Sysfs })
    }

    #[cfg(feature = "hwloc")]
    fn by_hwloc() -> Option<Topology> {
        hwloc::here()
    }

    #[cfg(not(feature = "hwloc"))]
    const fn by_hwloc() -> Option<Topology> {
        None
    }

    /// A machine that is described in one line, as hwloc has it: `pack:2 [numa(memory=32GB)] core:4 pu:2`. All of it may be used,
    /// and distances are not told.
    ///
    /// # Errors
    /// [`DescriptionError`].
    pub fn from_synthetic(description: &str) -> Result<Box<Self>, DescriptionError> {
        Self::described(Description::Synthetic(description), Source::Synthetic)
    }

    /// A machine that `lstopo --of xml` has described. All of it may be used.
    ///
    /// # Errors
    /// [`DescriptionError`].
    pub fn from_xml(xml: &str) -> Result<Box<Self>, DescriptionError> {
        Self::described(Description::Xml(xml), Source::Xml)
    }

    #[cfg(feature = "hwloc")]
    fn described(description: Description<'_>, source: Source) -> Result<Box<Self>, DescriptionError> {
        let topology = hwloc::described(description)?;
        let allowed = Allowed::all(&topology);
        Ok(Box::new(Self { topology, allowed, source }))
    }

    #[cfg(not(feature = "hwloc"))]
    fn described(_: Description<'_>, _: Source) -> Result<Box<Self>, DescriptionError> {
        Err(DescriptionError::WithoutHwloc)
    }
}
