//! What is told in files below /sys/class/net (Documentation/ABI/testing/sysfs-class-net).

use std::fs;
use std::path::{Path, PathBuf};

const CLASS: &str = "/sys/class/net";

/// The files of one interface.
#[derive(Debug)]
pub(super) struct Files {
    folder: PathBuf,
}

impl Files {
    /// Those of the interface with this name and index. `None` where /sys is not mounted, or shows another network
    /// namespace than the one that this thread is in.
    pub(super) fn of(name: &str, index: u32) -> Option<Self> {
        Self::below(Path::new(CLASS), name, index)
    }

    fn below(class: &Path, name: &str, index: u32) -> Option<Self> {
        let files = Self { folder: class.join(name) };
        (read_number(&files.folder.join("ifindex"))? == i64::from(index)).then_some(files)
    }

    /// The driver's name; none for an interface without a device, such as a bridge.
    pub(super) fn driver(&self) -> Option<String> {
        let link = fs::read_link(self.folder.join("device/driver")).ok()?;
        Some(link.file_name()?.to_str()?.to_owned())
    }

    /// The NUMA node of the card; none where it belongs to all.
    pub(super) fn numa_node(&self) -> Option<u32> {
        u32::try_from(self.bus_devices().find_map(|device| read_number(&device.join("numa_node")))?).ok()
    }

    /// The interrupts of the card.
    pub(super) fn interrupts(&self) -> Vec<u32> {
        let numbers = |device: PathBuf| -> Option<Vec<u32>> {
            let entries = fs::read_dir(device.join("msi_irqs")).ok()?.flatten();
            Some(entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok()).collect())
        };
        let mut found = self.bus_devices().find_map(numbers).unwrap_or_default();
        found.sort_unstable();
        found
    }

    /// What a virtio card and its host agreed on; none for other cards.
    pub(super) fn virtio(&self) -> Option<VirtioNet> {
        let is_virtio = self.driver()? == "virtio_net";
        let bits = fs::read_to_string(self.folder.join("device/features")).ok().filter(|_| is_virtio)?;
        Some(VirtioNet::of(bits.trim()))
    }

    /// How many receive and transmit queues are in use.
    pub(super) fn queues(&self) -> Option<(u32, u32)> {
        let (mut rx, mut tx) = (0, 0);
        for entry in fs::read_dir(self.folder.join("queues")).ok()?.flatten() {
            match entry.file_name().to_str().map(|name| name.split_once('-')) {
                Some(Some(("rx", _))) => rx += 1,
                Some(Some(("tx", _))) => tx += 1,
                _ => {}
            }
        }
        Some((rx, tx))
    }

    /// The device and what it hangs on, upwards: a virtio device has neither node nor interrupts, the PCI device above has.
    fn bus_devices(&self) -> impl Iterator<Item = PathBuf> {
        let device = fs::canonicalize(self.folder.join("device")).ok();
        let upwards = device.into_iter().flat_map(|device| device.ancestors().map(Path::to_owned).collect::<Vec<_>>());
        upwards.take_while(|device| device.join("uevent").exists() || device.join("subsystem").exists())
    }
}

/// What decides about XDP on a virtio card (drivers/net/virtio_net.c, `virtnet_xdp_set` and `virtnet_xsk_pool_enable`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct VirtioNet {
    /// The host merges packets or leaves out checksums, and offers no way to stop it: a native program is refused.
    pub has_fixed_guest_offloads: bool,
    /// The card reaches memory through the DMA interface (`iommu_platform=on` in QEMU): zero-copy needs it.
    pub has_platform_access: bool,
}

impl VirtioNet {
    /// `bits` has a character for each feature, the first for feature 0 (drivers/virtio/virtio.c, `features_show`).
    fn of(bits: &str) -> Self {
        // VIRTIO_NET_F_GUEST_{CSUM,TSO4,TSO6,ECN,UFO,USO4,USO6}, include/uapi/linux/virtio_net.h.
        const GUEST_OFFLOADS: [usize; 7] = [1, 7, 8, 9, 10, 54, 55];
        const CTRL_GUEST_OFFLOADS: usize = 2;
        const ACCESS_PLATFORM: usize = 33;
        let has = |bit: usize| bits.as_bytes().get(bit) == Some(&b'1');
        Self {
            has_fixed_guest_offloads: !has(CTRL_GUEST_OFFLOADS) && GUEST_OFFLOADS.into_iter().any(has),
            has_platform_access: has(ACCESS_PLATFORM),
        }
    }
}

fn read_number(file: &Path) -> Option<i64> {
    fs::read_to_string(file).ok()?.trim().parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::symlink;

    /// The shape of a virtio card on PCI.
    fn machine() -> tempfile::TempDir {
        let root = tempfile::tempdir().unwrap();
        let pci = root.path().join("devices/pci0/0000:00:03.0");
        let net = root.path().join("class/net/eth0");
        for folder in ["msi_irqs", "virtio2"] {
            fs::create_dir_all(pci.join(folder)).unwrap();
        }
        for queue in ["rx-0", "tx-0", "tx-1"] {
            fs::create_dir_all(net.join("queues").join(queue)).unwrap();
        }
        for (file, content) in [("uevent", ""), ("numa_node", "1\n"), ("msi_irqs/38", ""), ("msi_irqs/37", "")] {
            fs::write(pci.join(file), content).unwrap();
        }
        fs::write(pci.join("virtio2/uevent"), "").unwrap();
        fs::write(net.join("ifindex"), "3\n").unwrap();
        symlink("/bus/virtio/drivers/virtio_net", pci.join("virtio2/driver")).unwrap();
        symlink(pci.join("virtio2"), net.join("device")).unwrap();
        root
    }

    #[test]
    fn node_and_interrupts_are_those_of_the_card_that_a_virtio_device_hangs_on() {
        let machine = machine();
        let files = Files::below(&machine.path().join("class/net"), "eth0", 3).unwrap();
        assert_eq!(files.driver().as_deref(), Some("virtio_net"));
        assert_eq!((files.numa_node(), files.interrupts()), (Some(1), vec![37, 38]));
        assert_eq!(files.queues(), Some((1, 2)));
    }

    #[test]
    fn a_virtio_card_tells_what_its_host_does() {
        let bits = |set: &[usize]| (0..64).map(|bit| if set.contains(&bit) { '1' } else { '0' }).collect::<String>();
        let of = |set: &[usize]| {
            let VirtioNet { has_fixed_guest_offloads, has_platform_access } = VirtioNet::of(&bits(set));
            (has_fixed_guest_offloads, has_platform_access)
        };
        assert_eq!(of(&[5, 32]), (false, false));
        assert_eq!(of(&[1, 33]), (true, true));
        assert_eq!(of(&[8]), (true, false));
        assert_eq!(of(&[1, 2, 7, 8]), (false, false));
        assert_eq!(VirtioNet::of(""), VirtioNet::default());

        let machine = machine();
        let class = machine.path().join("class/net");
        fs::write(class.join("eth0/device/features"), bits(&[1])).unwrap();
        assert!(Files::below(&class, "eth0", 3).unwrap().virtio().is_some_and(|card| card.has_fixed_guest_offloads));
    }

    #[test]
    fn minus_one_is_no_node() {
        let machine = machine();
        fs::write(machine.path().join("devices/pci0/0000:00:03.0/numa_node"), "-1\n").unwrap();
        assert_eq!(Files::below(&machine.path().join("class/net"), "eth0", 3).unwrap().numa_node(), None);
    }

    #[test]
    fn files_of_another_network_namespace_are_left_alone() {
        let machine = machine();
        assert!(Files::below(&machine.path().join("class/net"), "eth0", 4).is_none());
        assert!(Files::below(&machine.path().join("class/net"), "eth1", 3).is_none());
    }
}
