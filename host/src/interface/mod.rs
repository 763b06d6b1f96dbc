//! Facts about a network interface: what it is, how it stands, what XDP can do on it. Everything here only asks.

use std::collections::BTreeMap;
use std::io;

mod attributes;
mod ethtool;
mod generic;
mod interrupts;
mod link;
mod netdev;
mod sysfs;
#[cfg(test)]
mod tests;

pub use ethtool::{ChannelCount, Channels, HashedFields, Offload, Offloads, Rss};
pub use interrupts::{Interrupt, Serves, serves};
pub use netdev::XdpFeatures;
pub use sysfs::VirtioNet;

use ethtool::Ethtool;
use link::{Link, Which};
use netdev::Netdev;

/// The longest name that an interface can have, in bytes (`IFNAMSIZ - 1`, include/uapi/linux/if.h).
pub const MAX_NAME_BYTES: usize = 15;

/// A network interface of this thread's network namespace, as it stood when it was asked about.
///
/// What is `None` is not told: by the kernel, because it is too old, or by the driver, because there is nothing to tell.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Interface {
    /// Its name.
    pub name: String,
    /// Its index, which stays when it is renamed.
    pub index: u32,
    /// Its link-layer address, where that is one of Ethernet's.
    pub mac: Option<[u8; 6]>,
    /// Its MTU in bytes: the largest IP packet.
    pub mtu: u32,
    /// Whether it is set up.
    pub is_up: bool,
    /// Whether there is a link.
    pub has_carrier: bool,
    /// Whether it is a loopback device.
    pub is_loopback: bool,
    /// Whether its packets begin with an Ethernet header, as those of a card do and those of a tunnel do not.
    pub is_ethernet: bool,
    /// What kind of virtual interface it is: `veth`, `vlan`, `bond`, `bridge`; none for a card.
    pub kind: Option<String>,
    /// What it is a port of.
    pub master: Option<Master>,
    /// Its VLAN id, and the index of the interface that carries it (which may be in another namespace).
    pub vlan: Option<(u16, u32)>,
    /// The queueing discipline that packets leave through, by its name; several queues have `mq`, and one each below it.
    pub qdisc: Option<String>,
    /// The XDP programs that are attached: at most one of each mode.
    pub xdp: Vec<AttachedProgram>,
    /// The name of its driver.
    pub driver: Option<String>,
    /// What a virtio card has agreed on with its host.
    pub virtio: Option<VirtioNet>,
    /// The NUMA node of the card.
    pub numa_node: Option<u32>,
    /// Its channels.
    pub channels: Option<Channels>,
    /// Receive queues in use.
    pub rx_queues: u32,
    /// Transmit queues in use.
    pub tx_queues: u32,
    /// What XDP can do on it, as the driver says. See [`Interface::virtio`] for what may still be in the way.
    pub xdp_features: Option<XdpFeatures>,
    /// Its offloads.
    pub offloads: Option<Offloads>,
    /// How packets are spread over its receive queues.
    pub rss: Option<Rss>,
}

/// The bridge, bond or the like that an interface is a port of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Master {
    /// Its name.
    pub name: String,
    /// What it is: `bridge`, `bond`, `team`, `vrf`.
    pub kind: String,
}

/// An XDP program on an interface.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AttachedProgram {
    /// Where it runs.
    pub mode: XdpMode,
    /// Its number, as `bpftool prog` shows it.
    pub id: u32,
}

/// Where an XDP program runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum XdpMode {
    /// In the driver, before there is a socket buffer.
    Native,
    /// In the kernel's stack, on socket buffers.
    Generic,
    /// On the card.
    Offload,
}

impl XdpMode {
    /// Its name: `native`, `generic` or `offload`.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Native => "native",
            Self::Generic => "generic",
            Self::Offload => "offload",
        }
    }
}

/// Why there are no facts about an interface.
#[derive(Debug, thiserror::Error)]
pub enum InterfaceError {
    /// It is no name that an interface can have.
    #[error("`{}` cannot be the name of an interface: a name has 1 to {MAX_NAME_BYTES} bytes, no space and no slash; {}", .name.escape_debug(), there_are(existing))]
    BadName {
        /// What was asked for.
        name: String,
        /// The names of those that exist.
        existing: Vec<String>,
    },
    /// There is none of that name.
    #[error("there is no interface `{name}`; {}", there_are(existing))]
    NoSuchName {
        /// What was asked for.
        name: String,
        /// The names of those that exist.
        existing: Vec<String>,
    },
    /// There is none with that index.
    #[error("there is no interface with index {0} any more")]
    NoSuchIndex(u32),
    /// The kernel does not tell.
    #[error("the kernel does not tell about its interfaces: {0}")]
    Kernel(#[from] io::Error),
}

fn there_are(existing: &[String]) -> String {
    if existing.is_empty() { "there is none at all".to_owned() } else { format!("there are {}", existing.join(", ")) }
}

impl Interface {
    /// The interface called `name`.
    ///
    /// # Errors
    /// [`InterfaceError::BadName`] and [`InterfaceError::NoSuchName`], which list those that exist;
    /// [`InterfaceError::Kernel`].
    pub fn by_name(name: &str) -> Result<Self, InterfaceError> {
        if !is_name(name) {
            return Err(InterfaceError::BadName { name: name.to_owned(), existing: names()? });
        }
        match link::one(&Which::Name(name))? {
            Some(link) => Ok(Self::of(link)),
            None => Err(InterfaceError::NoSuchName { name: name.to_owned(), existing: names()? }),
        }
    }

    /// The interface with this index.
    ///
    /// # Errors
    /// [`InterfaceError::NoSuchIndex`], [`InterfaceError::Kernel`].
    pub fn by_index(index: u32) -> Result<Self, InterfaceError> {
        // Indices are positive numbers of 31 bits; to the kernel, zero means that none is given.
        let is_index = i32::try_from(index).is_ok_and(|index| index > 0);
        let link = if is_index { link::one(&Which::Index(index))? } else { None };
        link.map(Self::of).ok_or(InterfaceError::NoSuchIndex(index))
    }

    /// All interfaces, by their index.
    ///
    /// # Errors
    /// [`InterfaceError::Kernel`].
    pub fn all() -> Result<Vec<Self>, InterfaceError> {
        let mut links = link::all()?;
        links.sort_by_key(|link| link.index);
        Ok(links.into_iter().map(Self::of).collect())
    }

    fn of(link: Link) -> Self {
        let files = sysfs::Files::of(&link.name, link.index);
        let queues = files.as_ref().and_then(sysfs::Files::queues);
        let ethtool = Ethtool::open().ok();
        let (rx_queues, tx_queues) = queues.unwrap_or((link.rx_queues, link.tx_queues));
        let of_driver = ethtool.as_ref();
        Self {
            master: link.master.map(|index| master_of(index, link.port_kind.as_deref())),
            driver: files.as_ref().and_then(sysfs::Files::driver),
            virtio: files.as_ref().and_then(sysfs::Files::virtio),
            numa_node: files.as_ref().and_then(sysfs::Files::numa_node),
            channels: of_driver.and_then(|driver| driver.channels(link.index).ok()),
            offloads: of_driver.and_then(|driver| driver.offloads(link.index).ok()),
            rss: of_driver.and_then(|driver| driver.rss(link.index).ok()),
            xdp_features: Netdev::open().and_then(|netdev| netdev.xdp_features(link.index)).ok(),
            vlan: link.vlan_id.zip(link.parent),
            rx_queues,
            tx_queues,
            name: link.name,
            index: link.index,
            mac: link.mac,
            mtu: link.mtu,
            is_up: link.is_up,
            has_carrier: link.has_carrier,
            is_loopback: link.is_loopback,
            is_ethernet: link.is_ethernet,
            kind: link.kind,
            qdisc: link.qdisc,
            xdp: link.xdp,
        }
    }

    /// Receive queues that an AF_XDP socket can be bound to: ids from 0 up to, not including, this number. At least one.
    ///
    /// An interface may have more queues than are in use, and binding one that is not is refused with `EINVAL`
    /// (net/xdp/xsk.c, `xsk_bind`). Channels tell which are; where they do not, the queues that /sys shows.
    #[must_use]
    pub fn usable_queues(&self) -> u32 {
        let of_channels = self.channels.map(|channels| channels.rx.current.saturating_add(channels.combined.current));
        match (of_channels.unwrap_or(0), self.rx_queues) {
            (0, 0) => 1,
            (0, queues) | (queues, 0) => queues,
            (channels, queues) => channels.min(queues),
        }
    }

    /// The interrupt of each receive queue, by queue. Empty where the kernel (before 6.8) or the driver does not tell.
    #[must_use]
    pub fn rx_interrupts(&self) -> BTreeMap<u32, u32> {
        Netdev::open().and_then(|netdev| netdev.rx_interrupts(self.index)).unwrap_or_default()
    }

    /// All interrupts of the card, also those that serve no queue, in ascending order.
    #[must_use]
    pub fn interrupts(&self) -> Vec<u32> {
        sysfs::Files::of(&self.name, self.index).map(|files| files.interrupts()).unwrap_or_default()
    }
}

/// Whether an interface can be called so, as the kernel checks it (net/core/dev.c, `dev_valid_name`).
#[must_use]
pub fn is_name(name: &str) -> bool {
    let allowed = |byte: u8| byte != b'/' && byte != b':' && byte != 0 && !byte.is_ascii_whitespace() && byte != 0x0b;
    (1..=MAX_NAME_BYTES).contains(&name.len()) && name != "." && name != ".." && name.bytes().all(allowed)
}

fn names() -> io::Result<Vec<String>> {
    Ok(link::all()?.into_iter().map(|link| link.name).collect())
}

/// A master that is gone by now, or is not shown in this namespace, still has its index.
fn master_of(index: u32, port_kind: Option<&str>) -> Master {
    let link = link::one(&Which::Index(index)).ok().flatten();
    let kind = port_kind.map(str::to_owned).or_else(|| link.as_ref().and_then(|link| link.kind.clone()));
    Master {
        name: link.map_or_else(|| format!("index {index}"), |link| link.name),
        kind: kind.unwrap_or_else(|| "another interface".to_owned()),
    }
}
