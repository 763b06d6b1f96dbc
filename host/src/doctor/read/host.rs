//! Facts about the host and this process.

use std::io;

use nix::libc;
use rustix::process::{Resource, getrlimit};
use socket2::{Domain, Socket, Type};

use crate::doctor::facts::{AfXdp, Capabilities, Host, HugePages, Node};
use crate::kernel_files::{Files, list_of, value_of};

/// What holds for this host and this process now. What cannot be read is left unknown.
#[must_use]
pub fn host() -> Host {
    Host {
        af_xdp: af_xdp_of(Socket::new(Domain::from(libc::AF_XDP), Type::from(libc::SOCK_RAW), None).map(drop)),
        memlock_bytes: getrlimit(Resource::Memlock).maximum,
        ..of_files(&Files::of_machine())
    }
}

/// A socket alone changes nothing; frames, rings and the queue come after it.
fn af_xdp_of(opened: io::Result<()>) -> AfXdp {
    match opened {
        Ok(()) => AfXdp::Opens,
        Err(error) => match error.raw_os_error() {
            Some(libc::EPERM | libc::EACCES) => AfXdp::Refused,
            Some(libc::EAFNOSUPPORT | libc::ESOCKTNOSUPPORT | libc::EPROTONOSUPPORT) => AfXdp::Missing,
            _ => AfXdp::Fails(error.to_string()),
        },
    }
}

fn of_files(files: &Files) -> Host {
    let status = files.text("proc/self/status").unwrap_or_default();
    let capabilities = value_of(&status, "CapEff").and_then(|bits| u64::from_str_radix(bits, 16).ok());
    Host {
        release: files.text("proc/sys/kernel/osrelease").unwrap_or_else(|| "of an unknown release".to_owned()),
        af_xdp: AfXdp::default(),
        // The setting is there exactly where bpf(2) is; without /proc nothing is known against it.
        has_bpf: files.exists("proc/sys/kernel/unprivileged_bpf_disabled") || !files.exists("proc/sys/kernel"),
        has_bpf_jit: files.number::<u32>("proc/sys/net/core/bpf_jit_enable").map(|value| value != 0),
        unprivileged_bpf_disabled: files.number("proc/sys/kernel/unprivileged_bpf_disabled"),
        lockdown: files.text("sys/kernel/security/lockdown").as_deref().and_then(lockdown_of),
        capabilities: Capabilities(capabilities.unwrap_or(0)),
        is_in_user_namespace: files.text("proc/self/uid_map").is_some_and(|map| !is_whole(&map)),
        memlock_bytes: None,
        nodes: nodes(files),
        allowed_cpus: value_of(&status, "Cpus_allowed_list").map(list_of).unwrap_or_default(),
        io_uring_disabled: files.number("proc/sys/kernel/io_uring_disabled"),
        has_irqbalance: files.runs("irqbalance"),
    }
}

/// The mode in brackets: `none [integrity] confidentiality`.
fn lockdown_of(text: &str) -> Option<String> {
    Some(text.split_once('[')?.1.split_once(']')?.0.to_owned())
}

/// The first user namespace maps every user to itself (user_namespaces(7)).
fn is_whole(uid_map: &str) -> bool {
    uid_map.split_whitespace().eq(["0", "0", "4294967295"])
}

/// The nodes, or where the kernel knows none, one with all CPUs.
fn nodes(files: &Files) -> Vec<Node> {
    const NODES: &str = "sys/devices/system/node";
    let id_of = |name: &String| name.strip_prefix("node")?.parse::<u32>().ok();
    let mut nodes: Vec<_> = files
        .names(NODES)
        .iter()
        .filter_map(id_of)
        .map(|id| Node {
            id,
            cpus: files.text(format!("{NODES}/node{id}/cpulist")).map(|list| list_of(&list)).unwrap_or_default(),
            huge_pages: HugePages::of_node(files, id),
        })
        .collect();
    if nodes.is_empty() {
        let cpus = files.text("sys/devices/system/cpu/online").map(|list| list_of(&list)).unwrap_or_default();
        nodes.push(Node { id: 0, cpus, huge_pages: HugePages::of_all_nodes(files) });
    }
    nodes.sort_by_key(|node| node.id);
    nodes
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;
    use std::path::Path;

    fn write(root: &Path, file: &str, content: &str) {
        let path = root.join(file);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, content).unwrap();
    }

    #[test]
    fn a_machine_of_two_nodes_is_read() {
        let root = tempfile::tempdir().unwrap();
        for (file, content) in [
            ("proc/self/status", "Name:\tx\nCapEff:\t0000008000003000\nCpus_allowed_list:\t0-1,4\n"),
            ("proc/self/uid_map", "         0          0 4294967295\n"),
            ("proc/sys/kernel/osrelease", "6.12.9-amd64\n"),
            ("proc/sys/kernel/unprivileged_bpf_disabled", "2\n"),
            ("proc/sys/kernel/io_uring_disabled", "1\n"),
            ("proc/sys/net/core/bpf_jit_enable", "0\n"),
            ("sys/kernel/security/lockdown", "none [integrity] confidentiality\n"),
            ("proc/17/comm", "irqbalance\n"),
            ("sys/devices/system/node/node0/cpulist", "0-3\n"),
            ("sys/devices/system/node/node1/cpulist", "4-7\n"),
            ("sys/devices/system/node/node1/hugepages/hugepages-1048576kB/nr_hugepages", "1\n"),
            ("sys/devices/system/node/node1/hugepages/hugepages-2048kB/nr_hugepages", "64\n"),
            ("sys/devices/system/node/node1/hugepages/hugepages-2048kB/free_hugepages", "60\n"),
            ("sys/devices/system/node/possible", "0-1\n"),
        ] {
            write(root.path(), file, content);
        }
        let mib = 1 << 20;
        let huge_pages = vec![
            HugePages { page_bytes: 2 * mib, total: 64, free: 60 },
            HugePages { page_bytes: 1024 * mib, total: 1, free: 0 },
        ];
        let expected = Host {
            release: "6.12.9-amd64".to_owned(),
            has_bpf: true,
            has_bpf_jit: Some(false),
            unprivileged_bpf_disabled: Some(2),
            lockdown: Some("integrity".to_owned()),
            capabilities: Capabilities(Capabilities::NET_ADMIN.0 | Capabilities::NET_RAW.0 | Capabilities::BPF.0),
            nodes: vec![
                Node { id: 0, cpus: vec![0, 1, 2, 3], huge_pages: Vec::new() },
                Node { id: 1, cpus: vec![4, 5, 6, 7], huge_pages },
            ],
            allowed_cpus: vec![0, 1, 4],
            io_uring_disabled: Some(1),
            has_irqbalance: true,
            ..Host::default()
        };
        assert_eq!(of_files(&Files::below(root.path())), expected);
    }

    #[test]
    fn a_machine_that_tells_nothing_has_one_node_and_no_capability() {
        let root = tempfile::tempdir().unwrap();
        let host = of_files(&Files::below(root.path()));
        assert_eq!(host.nodes, [Node::default()]);
        assert_eq!((host.capabilities, host.kernel(), host.has_bpf), (Capabilities(0), None, true));
        assert!(!host.is_in_user_namespace && !host.has_irqbalance);
        write(root.path(), "proc/sys/kernel/osrelease", "6.1.0");
        write(root.path(), "proc/self/uid_map", "0 1000 1");
        write(root.path(), "sys/devices/system/cpu/online", "0-1");
        write(root.path(), "sys/kernel/mm/hugepages/hugepages-2048kB/nr_hugepages", "3");
        let host = of_files(&Files::below(root.path()));
        assert!(!host.has_bpf && host.is_in_user_namespace);
        let huge_pages = vec![HugePages { page_bytes: 2 << 20, total: 3, free: 0 }];
        assert_eq!(host.nodes, [Node { id: 0, cpus: vec![0, 1], huge_pages }]);
    }

    #[test]
    fn what_opening_a_socket_says() {
        let failed = |errno| af_xdp_of(Err(io::Error::from_raw_os_error(errno)));
        assert_eq!(af_xdp_of(Ok(())), AfXdp::Opens);
        assert_eq!((failed(libc::EPERM), failed(libc::EAFNOSUPPORT)), (AfXdp::Refused, AfXdp::Missing));
        assert!(matches!(failed(libc::EMFILE), AfXdp::Fails(_)));
    }

    #[test]
    fn this_machine_can_be_read() {
        let host = host();
        assert!(host.kernel().is_some() && !host.allowed_cpus.is_empty() && !host.nodes.is_empty(), "{host:?}");
    }
}
