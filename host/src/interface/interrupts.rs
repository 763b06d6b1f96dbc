//! The interrupts that a card's receive queues raise, and where these are delivered.

use super::Interface;
use crate::kernel_files::{Files, list_of};

/// An interrupt of a receive queue.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Interrupt {
    /// Its number.
    pub number: u32,
    /// What the driver calls it.
    pub name: String,
    /// The queue that it serves, where that is told.
    pub queue: Option<u32>,
    /// The CPUs that it is delivered to.
    pub cpus: Vec<u32>,
}

/// What an interrupt is for, by its name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Serves {
    /// No receive queue.
    Nothing,
    /// A receive queue, and the name does not say which.
    SomeQueue,
    /// This receive queue.
    Queue(u32),
}

impl Interface {
    /// The interrupts of the receive queues: as the driver tells, or else those of the card whose name says so. In the order of
    /// the queues, as far as these are told.
    #[must_use]
    pub fn queue_interrupts(&self) -> Vec<Interrupt> {
        let files = Files::of_machine();
        let told = self.rx_interrupts();
        if !told.is_empty() {
            return told.into_iter().map(|(queue, number)| interrupt(&files, number, Some(queue))).collect();
        }
        let all = self.interrupts().into_iter().map(|number| interrupt(&files, number, None)).collect();
        by_name(&self.name, all)
    }
}

/// Those that serve queues. A card with a single interrupt calls it by its own name.
fn by_name(iface: &str, all: Vec<Interrupt>) -> Vec<Interrupt> {
    if let [only] = all.as_slice()
        && only.name == iface
    {
        return vec![Interrupt { queue: Some(0), ..only.clone() }];
    }
    let serving = all.into_iter().filter_map(|interrupt| match serves(&interrupt.name) {
        Serves::Nothing => None,
        Serves::SomeQueue => Some(interrupt),
        Serves::Queue(queue) => Some(Interrupt { queue: Some(queue), ..interrupt }),
    });
    let mut serving: Vec<_> = serving.collect();
    serving.sort_by_key(|interrupt| (interrupt.queue.unwrap_or(u32::MAX), interrupt.number));
    serving
}

/// Reads the name that a driver gave to an interrupt, such as `virtio2-input.0`, `eth0-TxRx-1` or `mlx5_comp3@pci:0000:01:00.0`.
#[must_use]
pub fn serves(name: &str) -> Serves {
    /// Before the number of a receive queue, or of one for both directions.
    const QUEUES: [&str; 6] = ["txrx", "tx-rx", "rxtx", "rx", "input", "comp"];
    /// Before the number of something that has queues: of gve, which numbers those that send first.
    const GROUPS: [&str; 2] = ["ntfy-blk", "ntfy-block"];
    const BETWEEN: [char; 4] = ['-', '.', '_', ':'];
    // Behind it stands the device.
    let name = name.split('@').next().unwrap_or_default().to_ascii_lowercase();
    let what = name.trim_end_matches(|c: char| c.is_ascii_digit());
    let number = name.get(what.len()..).and_then(|digits| digits.parse().ok());
    let what = what.trim_end_matches(BETWEEN);
    // A word of its own, and not the end of another one; queues that only send have `tx` there.
    let ends_with = |word: &&str| {
        let before = what.strip_suffix(*word);
        before.is_some_and(|before| before.is_empty() || before.ends_with(BETWEEN))
    };
    if QUEUES.iter().any(ends_with) {
        return number.map_or(Serves::SomeQueue, Serves::Queue);
    }
    if GROUPS.iter().any(ends_with) { Serves::SomeQueue } else { Serves::Nothing }
}

fn interrupt(files: &Files, number: u32, queue: Option<u32>) -> Interrupt {
    let cpus = ["effective_affinity_list", "smp_affinity_list"].into_iter();
    let cpus = cpus.filter_map(|file| files.text(format!("proc/irq/{number}/{file}"))).find(|list| !list.is_empty());
    Interrupt {
        number,
        name: files.text(format!("sys/kernel/irq/{number}/actions")).unwrap_or_default(),
        queue,
        cpus: cpus.map(|list| list_of(&list)).unwrap_or_default(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn drivers_number_their_queues_in_many_ways() {
        for (name, queue) in [
            ("virtio2-input.0", 0),
            ("virtio11-input.31", 31),
            ("eth0-TxRx-3", 3),
            ("enp1s0f0-TxRx-12", 12),
            ("i40e-eth0-TxRx-1", 1),
            ("iavf-ens5-TxRx-0", 0),
            ("ice-eth0-TxRx-7", 7),
            ("bnxt_en-eth0-TxRx-2", 2),
            ("eth0-Tx-Rx-2", 2),
            ("eth0-rxtx-4", 4),
            ("nfp-0000:02:00.0-rxtx-5", 5),
            ("hns3-0000:7d:00.0-TxRx-6", 6),
            ("eth0-rx-0", 0),
            ("eth0-rx9", 9),
            ("eth0:rx-1", 1),
            ("mlx5_comp3@pci:0000:01:00.0", 3),
            ("mlx5_comp17@pci:0000:01:00.1", 17),
        ] {
            assert_eq!(serves(name), Serves::Queue(queue), "{name}");
        }
    }

    #[test]
    fn what_serves_no_queue_or_does_not_say_which() {
        for name in [
            "virtio2-config",
            "virtio2-output.0",
            "virtio1-req.0",
            "eth0-tx-0",
            "eth0",
            "mlx5_async0@pci:0000:01:00.0",
            "ena-mgmnt@pci:0000:00:05.0",
            "i40e-0000:01:00.0:misc",
            "ice-0000:01:00.0:misc",
            "nvme0q1",
            "gve-mgmnt@pci:0000:00:04.0",
            "xhci_hcd",
            "",
            "7",
        ] {
            assert_eq!(serves(name), Serves::Nothing, "{name}");
        }
        for name in ["gve-ntfy-blk3@pci:0000:00:04.0", "eth0-ntfy-block.0", "eth0-rx", "eth0-rx-99999999999"] {
            assert_eq!(serves(name), Serves::SomeQueue, "{name}");
        }
    }

    #[test]
    fn interrupts_come_in_the_order_of_their_queues() {
        let of = |number, name: &str| Interrupt { number, name: name.to_owned(), ..Interrupt::default() };
        let all = vec![
            of(24, "virtio2-config"),
            of(25, "virtio2-input.1"),
            of(26, "virtio2-output.1"),
            of(27, "virtio2-input.0"),
        ];
        let found = by_name("eth0", all);
        let found: Vec<_> = found.iter().map(|interrupt| (interrupt.queue, interrupt.number)).collect();
        assert_eq!(found, [(Some(0), 27), (Some(1), 25)]);
        assert_eq!(by_name("eth0", vec![of(30, "eth0")])[0].queue, Some(0));
        assert!(by_name("eth0", vec![of(30, "eth0"), of(31, "eth0-TxRx-0")]).iter().all(|found| found.number == 31));
        assert!(by_name("eth0", Vec::new()).is_empty());
    }
}
