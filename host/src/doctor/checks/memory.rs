//! Memory for frames: on huge pages, on the card's node, locked.

use wirehaul_core::numa::Shortfall;

use super::{count, ranges};
use crate::doctor::Check;
use crate::doctor::facts::{Capabilities, Card, Host, HugePages};
use crate::numa::words;
use crate::xdp::queue_bytes;

const MIB: u64 = 1 << 20;

pub(super) fn numa_node(card: &Card, host: &Host) -> Check {
    const POINT: &str = "numa-node";
    let cpus = ranges(&host.allowed_cpus);
    let Some(node) = card.interface.numa_node else {
        return Check::ok(POINT, format!("no node of its own; this process may use CPUs {cpus}"));
    };
    let read = format!("card on node {node}; this process may use CPUs {cpus}");
    let is_there = |cpu: &u32| host.node_of(*cpu) == Some(node);
    let has_cpus = host.nodes.iter().any(|other| other.id == node && !other.cpus.is_empty());
    // Memory may have a node without CPUs: there is nowhere to go.
    if !has_cpus || host.allowed_cpus.iter().any(is_there) {
        return memory_of_node(card, Check::ok(POINT, read));
    }
    Check::warn(POINT, read, format!("no CPU that this process may use is on node {node}, where the card is"))
        .change(format!("numactl --cpunodebind={node} --membind={node} wirehaul ..."))
}

/// What else is not as good as it could be near the card, if there is anything.
fn memory_of_node(card: &Card, check: Check) -> Check {
    let Some(shortfall) = card.shortfalls.first() else { return check };
    let words = words::shortfall(shortfall);
    match shortfall {
        Shortfall::MemoryNotAllowed { node, .. } => Check::warn(check.point, check.read, words)
            .advise(format!("let this process have memory of node {node}: cpuset.mems, or numactl --membind={node}")),
        // The machine is made so.
        _ => Check::info(check.point, check.read).because(words),
    }
}

/// Where frames lie: near the card, or as near as there is memory for this process.
fn memory_node(card: &Card) -> Option<u32> {
    let instead = card.shortfalls.iter().find_map(|shortfall| match shortfall {
        Shortfall::NoMemory { instead, .. } | Shortfall::MemoryNotAllowed { instead, .. } => Some(*instead),
        _ => None,
    });
    instead.or(card.interface.numa_node)
}

/// What the frames of all queues take, each with a worker of its own.
pub(super) fn frames_bytes(card: &Card) -> u64 {
    u64::from(card.interface.usable_queues()).saturating_mul(queue_bytes(card.interface.mtu))
}

pub(super) fn huge_pages(card: &Card, host: &Host) -> Check {
    const POINT: &str = "huge-pages";
    let needed_bytes = frames_bytes(card);
    let fits = |pages: &&HugePages| pages.free.saturating_mul(pages.page_bytes) >= needed_bytes;
    let of_node = |node: Option<u32>| {
        let nodes = host.nodes.iter().filter(move |other| node.is_none_or(|node| other.id == node));
        nodes.flat_map(|node| &node.huge_pages)
    };
    let own = memory_node(card);
    let read = totals(host);
    if of_node(own).any(|pages| fits(&pages)) {
        return Check::ok(POINT, read);
    }
    let needed = format!("{} MiB of frames", needed_bytes / MIB);
    let why = if of_node(None).all(|pages| pages.total == 0) {
        format!("{needed} lie on pages of 4 KiB, which costs some speed")
    } else if let Some(node) = own.filter(|_| of_node(None).any(|pages| fits(&pages))) {
        format!("there are too few huge pages on node {node}, nearest to the card, for {needed}")
    } else {
        format!("too few huge pages are free for {needed}")
    };
    let check = Check::warn(POINT, read, why);
    let command = reserve(host, own.filter(|_| host.nodes.len() > 1), needed_bytes);
    match command {
        Some(command) => check.change(command),
        None => check.advise("a kernel with CONFIG_HUGETLBFS=y"),
    }
}

/// `2 MiB: 8 of 64 free; 1 GiB: none`, and with several nodes each for itself.
fn totals(host: &Host) -> String {
    let several = host.nodes.len() > 1;
    let mut parts = Vec::new();
    for node in &host.nodes {
        let sizes = node.huge_pages.iter().map(|pages| {
            let size = if pages.page_bytes >= 1024 * MIB {
                format!("{} GiB", pages.page_bytes / (1024 * MIB))
            } else {
                format!("{} MiB", pages.page_bytes / MIB)
            };
            let free =
                if pages.total == 0 { "none".to_owned() } else { format!("{} of {} free", pages.free, pages.total) };
            format!("{size}: {free}")
        });
        let sizes = sizes.collect::<Vec<_>>().join(", ");
        parts.push(if several { format!("node {}: {sizes}", node.id) } else { sizes });
    }
    let text = parts.join("; ");
    if text.is_empty() { "this kernel has none".to_owned() } else { text }
}

/// The command that sets aside what is needed, beside what is there, in the smallest huge pages.
fn reserve(host: &Host, node: Option<u32>, needed_bytes: u64) -> Option<String> {
    let of_node = host.nodes.iter().find(|other| node.is_none_or(|node| other.id == node))?;
    let pages = of_node.huge_pages.iter().min_by_key(|pages| pages.page_bytes).filter(|pages| pages.page_bytes > 0)?;
    let missing = needed_bytes.div_ceil(pages.page_bytes).saturating_sub(pages.free);
    let wanted = pages.total.saturating_add(missing);
    let kib = pages.page_bytes / 1024;
    Some(match node {
        Some(node) => format!(
            "echo {wanted} | sudo tee /sys/devices/system/node/node{node}/hugepages/hugepages-{kib}kB/nr_hugepages"
        ),
        None if pages.page_bytes == 2 * MIB => format!("sudo sysctl vm.nr_hugepages={wanted}"),
        None => format!("echo {wanted} | sudo tee /sys/kernel/mm/hugepages/hugepages-{kib}kB/nr_hugepages"),
    })
}

/// Frames count against the hard limit, to which the soft one is raised (net/xdp/xdp_umem.c, `xdp_umem_account_pages`), and beyond it there are `ENOBUFS`.
pub(super) fn memlock(card: &Card, host: &Host) -> Check {
    const POINT: &str = "memlock";
    let queues = u64::from(card.interface.usable_queues());
    let needed_bytes = frames_bytes(card);
    let Some(limit) = host.memlock_bytes else { return Check::ok(POINT, "no limit") };
    let limit_text = if limit < MIB { format!("{} KiB", limit / 1024) } else { format!("{} MiB", limit / MIB) };
    if host.may(Capabilities::IPC_LOCK) {
        return Check::ok(POINT, format!("a limit of {limit_text}, which CAP_IPC_LOCK lifts"));
    }
    let read = format!("a limit of {limit_text}");
    if limit >= needed_bytes {
        return Check::ok(POINT, read);
    }
    let why = format!(
        "frames of {} take {} MiB of locked memory, and the limit is {limit_text}; in a unit of systemd: LimitMEMLOCK=infinity",
        count(queues, "queue"),
        needed_bytes / MIB
    );
    Check::fail(POINT, read, why).change("ulimit -l unlimited")
}
