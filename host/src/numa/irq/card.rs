//! Which interrupts are those of a card's queues.

use std::collections::BTreeSet;

use super::kernel::Interrupts;
use crate::interface::Interface;

/// What queues' interrupts have in their names: `virtio2-input.0`, `eth0-TxRx-1`, `mlx5_comp3@pci:0000:01:00.0`, `eth0-fp-0`. Others of
/// a card tell of links, mailboxes and errors.
const QUEUES: [&str; 6] = ["input", "output", "rx", "tx", "comp", "-fp-"];

/// The interrupts of an interface's queues, in ascending order: those that the driver tells of, and those of the card that are called
/// so. Where no name fits, all that are in use. None for an interface without a card, such as veth.
pub(super) fn queue_interrupts(interface: &Interface, kernel: &dyn Interrupts) -> Vec<u32> {
    let told = interface.rx_interrupts().into_values();
    let named: Vec<_> = interface.interrupts().into_iter().map(|number| (number, kernel.name(number))).collect();
    choose(told, &named)
}

fn choose(told: impl Iterator<Item = u32>, named: &[(u32, String)]) -> Vec<u32> {
    let serves = |name: &str| QUEUES.iter().any(|part| name.to_ascii_lowercase().contains(part));
    let queues = named.iter().filter(|(_, name)| serves(name)).map(|(number, _)| *number);
    let mut chosen: BTreeSet<_> = told.chain(queues).collect();
    if chosen.is_empty() {
        chosen = named.iter().filter(|(_, name)| !name.is_empty()).map(|(number, _)| *number).collect();
    }
    chosen.into_iter().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn chosen(told: &[u32], names: &[&str]) -> Vec<u32> {
        let named: Vec<_> = (40..).zip(names.iter().map(|name| (*name).to_owned())).collect();
        choose(told.iter().copied(), &named)
    }

    #[test]
    fn queues_are_told_or_known_by_name() {
        assert_eq!(chosen(&[], &["virtio2-config", "virtio2-input.0", "virtio2-output.0"]), [41, 42]);
        assert_eq!(chosen(&[40], &["mlx5_comp0@pci:0", "mlx5_async0@pci:0", "mlx5_comp1@pci:0"]), [40, 42]);
        assert_eq!(chosen(&[50], &["eth0"]), [50]);
        assert_eq!(chosen(&[], &["eth0", ""]), [40]);
        assert_eq!(chosen(&[], &[]), [0; 0]);
    }
}
