//! Interrupts as the kernel shows them (Documentation/core-api/irq/irq-affinity.rst).

use std::io;

use wirehaul_core::numa::CpuSet;

use crate::kernel_files::Files;

/// Where interrupts are read and moved: the kernel, or what a test makes up.
pub(super) trait Interrupts: Send + Sync {
    /// The CPUs that an interrupt may go to.
    fn cpus(&self, interrupt: u32) -> io::Result<CpuSet>;

    /// Gives it others.
    fn set_cpus(&self, interrupt: u32, cpus: &CpuSet) -> io::Result<()>;

    /// What its handlers are called, as in /proc/interrupts. Empty where it has none.
    fn name(&self, interrupt: u32) -> String;

    /// Another one each time that the machine starts. Interrupts are then where the kernel puts them.
    fn boot(&self) -> String;

    /// Whether irqbalance runs, which moves interrupts.
    fn has_irqbalance(&self) -> bool;
}

impl Interrupts for Files {
    fn cpus(&self, interrupt: u32) -> io::Result<CpuSet> {
        let list = self.read(affinity(interrupt))?;
        CpuSet::from_list(&list).ok_or_else(|| io::Error::new(io::ErrorKind::InvalidData, "it has no list of CPUs"))
    }

    fn set_cpus(&self, interrupt: u32, cpus: &CpuSet) -> io::Result<()> {
        self.write(affinity(interrupt), &cpus.list().to_string())
    }

    fn name(&self, interrupt: u32) -> String {
        self.text(format!("sys/kernel/irq/{interrupt}/actions")).unwrap_or_default()
    }

    fn boot(&self) -> String {
        self.text("proc/sys/kernel/random/boot_id").unwrap_or_default()
    }

    fn has_irqbalance(&self) -> bool {
        self.runs("irqbalance")
    }
}

fn affinity(interrupt: u32) -> String {
    format!("proc/irq/{interrupt}/smp_affinity_list")
}
