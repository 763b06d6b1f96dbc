//! What did not go as it should, for people.

use std::path::PathBuf;

use thiserror::Error;
use wirehaul_core::numa::CpuSet;

use super::journal::JournalError;

/// An interrupt, as it is shown.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Named {
    /// Its number.
    pub number: u32,
    /// What its handlers are called, as in /proc/interrupts; empty where it has none.
    pub name: String,
}

/// What did not go as it should. Nothing of it keeps packets from moving.
#[derive(Debug, Error)]
pub enum Warning {
    /// The kernel shows none of a card's interrupts.
    #[error("the interrupts of {interface} cannot be read, and stay where they are: {why}")]
    Unreadable {
        /// The interface.
        interface: String,
        /// What the system said.
        why: String,
    },
    /// This process may not move interrupts.
    #[error(
        "the interrupts {} of {interface} stay where they are: {why}; as root: {}",
        listed(interrupts),
        by_hand(interrupts, cpus)
    )]
    NotAllowed {
        /// The interface.
        interface: String,
        /// Those that should be elsewhere.
        interrupts: Vec<Named>,
        /// Where.
        cpus: CpuSet,
        /// What the system said.
        why: String,
    },
    /// The kernel keeps some where they are: it manages them itself, or so does their hardware.
    #[error(
        "the interrupts {} of {interface} stay where they are: the kernel lets nobody move them ({why})",
        listed(interrupts)
    )]
    Refused {
        /// The interface.
        interface: String,
        /// Which.
        interrupts: Vec<Named>,
        /// What the system said.
        why: String,
    },
    /// Other processes have them elsewhere.
    #[error(
        "the interrupts {} of {interface} stay where they are: process {} has them there, and came first",
        listed(interrupts),
        numbers(processes)
    )]
    Taken {
        /// The interface.
        interface: String,
        /// Which.
        interrupts: Vec<Named>,
        /// The numbers of those processes.
        processes: Vec<u32>,
    },
    /// Where interrupts were cannot be written down, and so none is moved.
    #[error("the interrupts of {interface} stay where they are, since nothing would bring them back: {source}")]
    NoJournal {
        /// The interface.
        interface: String,
        /// Why not.
        source: JournalError,
    },
    /// The folder of journals cannot be used.
    #[error("whether interrupts were left elsewhere by a process that died is not known: {0}")]
    NoFolder(#[source] JournalError),
    /// Another process holds the lock of the folder of journals.
    #[error("another process holds the lock of {} for seconds: interrupts stay where they are until the next start", folder.display())]
    Locked {
        /// The folder.
        folder: PathBuf,
    },
    /// A file in that folder is no journal. It was given another name.
    #[error("{} is no journal of interrupts ({why}), and was renamed to end with .aside; nothing was put back by it", file.display())]
    SetAside {
        /// Its name before.
        file: PathBuf,
        /// What is wrong with it.
        why: String,
    },
    /// A living process keeps a journal that cannot be read: of a newer version, perhaps.
    #[error("{} is kept by a process that runs, and cannot be read ({why}): interrupts stay where they are", file.display())]
    Unknown {
        /// The journal.
        file: PathBuf,
        /// What is wrong with it.
        why: String,
    },
    /// One was moved and cannot be put back.
    #[error("the interrupt {} was on the CPUs {} and cannot be put back: {why}", listed(std::slice::from_ref(interrupt)), before.list())]
    NotPutBack {
        /// Which.
        interrupt: Named,
        /// Where it was.
        before: CpuSet,
        /// What the system said.
        why: String,
    },
    /// irqbalance will move them again.
    #[error(
        "irqbalance runs, and moves interrupts as it likes: stop it, or start it with{} (IRQBALANCE_ARGS in /etc/default/irqbalance)",
        banned(interrupts)
    )]
    Balanced {
        /// Those that should stay.
        interrupts: Vec<u32>,
    },
}

/// `38 (virtio2-input.0), 39`.
fn listed(interrupts: &[Named]) -> String {
    let one = |Named { number, name }: &Named| match name.is_empty() {
        true => number.to_string(),
        false => format!("{number} ({name})"),
    };
    interrupts.iter().map(one).collect::<Vec<_>>().join(", ")
}

fn numbers(numbers: &[u32]) -> String {
    numbers.iter().map(u32::to_string).collect::<Vec<_>>().join(", ")
}

/// The command for the first of them: the others are alike.
fn by_hand(interrupts: &[Named], cpus: &CpuSet) -> String {
    let first = interrupts.first().map_or(0, |interrupt| interrupt.number);
    format!("echo {} > /proc/irq/{first}/smp_affinity_list", cpus.list())
}

fn banned(interrupts: &[u32]) -> String {
    interrupts.iter().map(|number| format!(" --banirq={number}")).collect()
}
