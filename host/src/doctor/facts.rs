//! What the doctor looks at: plain values, so that any machine can be made up in a test.

use wirehaul_core::numa::Shortfalls;

use crate::interface::Interface;
pub use crate::interface::Interrupt;
pub use crate::numa::HugePages;

/// What holds for every interface of a host.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Host {
    /// The kernel's release, such as `6.12.9-amd64`.
    pub release: String,
    /// Whether sockets of AF_XDP can be opened.
    pub af_xdp: AfXdp,
    /// Whether the kernel has bpf(2).
    pub has_bpf: bool,
    /// Whether BPF programs are compiled; `None` where that may not be read.
    pub has_bpf_jit: Option<bool>,
    /// `kernel.unprivileged_bpf_disabled`: 0 allows programs of anybody, though none of XDP.
    pub unprivileged_bpf_disabled: Option<u32>,
    /// The kernel's lockdown, `none`, `integrity` or `confidentiality`; `None` where it is not told.
    pub lockdown: Option<String>,
    /// What this process may do.
    pub capabilities: Capabilities,
    /// Whether it may do that only in a user namespace, such as a rootless container's.
    pub is_in_user_namespace: bool,
    /// How many bytes this process may lock in memory; `None` for any number.
    pub memlock_bytes: Option<u64>,
    /// NUMA nodes, at least one.
    pub nodes: Vec<Node>,
    /// The CPUs that this process may run on, in ascending order.
    pub allowed_cpus: Vec<u32>,
    /// `kernel.io_uring_disabled`: 0 for nobody, 1 for all without a privilege, 2 for all; `None` before kernel 6.6.
    pub io_uring_disabled: Option<u32>,
    /// Whether irqbalance runs.
    pub has_irqbalance: bool,
}

impl Host {
    /// The kernel's major and minor version.
    #[must_use]
    pub fn kernel(&self) -> Option<(u32, u32)> {
        let mut numbers = self.release.split(|c: char| !c.is_ascii_digit()).map(str::parse);
        Some((numbers.next()?.ok()?, numbers.next()?.ok()?))
    }

    /// Whether the kernel is known to be older than that.
    #[must_use]
    pub fn is_before(&self, version: (u32, u32)) -> bool {
        self.kernel().is_some_and(|kernel| kernel < version)
    }

    /// Whether this process has a capability that the whole system respects, and not only a user namespace.
    #[must_use]
    pub const fn may(&self, capability: Capabilities) -> bool {
        self.capabilities.have(capability) && !self.is_in_user_namespace
    }

    /// The node that a CPU belongs to.
    #[must_use]
    pub fn node_of(&self, cpu: u32) -> Option<u32> {
        self.nodes.iter().find(|node| node.cpus.contains(&cpu)).map(|node| node.id)
    }
}

/// Whether sockets of AF_XDP can be opened.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum AfXdp {
    /// One was opened, and closed again.
    #[default]
    Opens,
    /// This process may not.
    Refused,
    /// The kernel has none.
    Missing,
    /// Something else is wrong.
    Fails(String),
}

/// The effective capabilities of a process, a bit each (include/uapi/linux/capability.h).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Capabilities(pub u64);

impl Capabilities {
    /// To attach programs and to change settings of interfaces.
    pub const NET_ADMIN: Self = Self(1 << 12);
    /// To open sockets of AF_XDP.
    pub const NET_RAW: Self = Self(1 << 13);
    /// To lock any number of bytes in memory.
    pub const IPC_LOCK: Self = Self(1 << 14);
    /// Everything that no other capability is about.
    pub const SYS_ADMIN: Self = Self(1 << 21);
    /// To load programs (kernel 5.8 on).
    pub const BPF: Self = Self(1 << 39);

    /// Whether all of `others` are among these.
    #[must_use]
    pub const fn have(self, others: Self) -> bool {
        self.0 & others.0 == others.0
    }
}

/// A NUMA node.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Node {
    /// Its number.
    pub id: u32,
    /// Its CPUs.
    pub cpus: Vec<u32>,
    /// Its huge pages, by size, ascending.
    pub huge_pages: Vec<HugePages>,
}

/// An interface with what surrounds it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Card {
    /// The interface itself.
    pub interface: Interface,
    /// The VLAN interfaces on top of it.
    pub vlans: Vec<String>,
    /// The interface that carries it, where it is a VLAN.
    pub carrier: Option<String>,
    /// The interrupts of its receive queues.
    pub interrupts: Vec<Interrupt>,
    /// What of CPUs and memory cannot be had on the card's node.
    pub shortfalls: Shortfalls,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn releases_of_all_kinds_are_read() {
        let of = |release: &str| Host { release: release.to_owned(), ..Host::default() };
        for (release, expected) in [
            ("6.12.9-amd64", Some((6, 12))),
            ("5.3.0", Some((5, 3))),
            ("6.1-rc1", Some((6, 1))),
            ("4.18.0-553.el8.x86_64", Some((4, 18))),
            ("99999999999.1", None),
            ("six", None),
            ("", None),
        ] {
            assert_eq!(of(release).kernel(), expected, "{release}");
        }
        assert!(of("5.3.0").is_before((5, 9)) && !of("5.10.0").is_before((5, 9)) && !of("six").is_before((5, 9)));
    }
}
