//! Nodes as the kernel shows them below /sys/devices/system (Documentation/ABI/stable/sysfs-devices-node).

use wirehaul_core::numa::{CpuSet, MAX_NODES, Node, Topology};

use crate::kernel_files::{Files, list_of, value_of};

const NODES: &str = "sys/devices/system/node";
const CPUS: &str = "sys/devices/system/cpu";

/// The nodes of a machine. A kernel without NUMA has one, with everything.
pub(super) fn topology(files: &Files) -> Topology {
    let online = files.text(format!("{NODES}/online")).map(|list| list_of(&list)).unwrap_or_default();
    let ids: Vec<u32> = online.into_iter().filter(|id| (*id as usize) < MAX_NODES).collect();
    let mut topology = match ids.is_empty() {
        true => Topology::new([whole(files)]),
        false => Topology::new(ids.iter().map(|id| node(files, *id))),
    }
    // Numbers of a list that is out of order may come twice.
    .unwrap_or_default();
    // Of one node there is nothing to tell.
    for from in ids.iter().filter(|_| ids.len() > 1) {
        let distances = files.text(format!("{NODES}/node{from}/distance")).unwrap_or_default();
        // One for each node that is online, in order.
        for (to, distance) in ids.iter().zip(distances.split_whitespace()) {
            topology.set_distance(*from, *to, distance.parse().unwrap_or(0));
        }
    }
    topology
}

/// How many nodes there are; none where the kernel knows no nodes.
pub(super) fn node_count(files: &Files) -> usize {
    files.text(format!("{NODES}/online")).map_or(0, |list| list_of(&list).len())
}

fn node(files: &Files, id: u32) -> Node {
    let folder = format!("{NODES}/node{id}");
    let cpus = set(files, &format!("{folder}/cpulist")).unwrap_or_default().and(&online_cpus(files));
    let memory = files.text(format!("{folder}/meminfo")).unwrap_or_default();
    Node { id, cpus, cores: first_of_cores(files, &cpus), memory_bytes: kib(&memory, &format!("Node {id} MemTotal")) }
}

fn whole(files: &Files) -> Node {
    let cpus = online_cpus(files);
    let memory = files.text("proc/meminfo").unwrap_or_default();
    Node { id: 0, cpus, cores: first_of_cores(files, &cpus), memory_bytes: kib(&memory, "MemTotal") }
}

fn online_cpus(files: &Files) -> CpuSet {
    set(files, &format!("{CPUS}/online")).unwrap_or_default()
}

/// Of each core, the CPU with the lowest number.
pub(super) fn first_of_cores(files: &Files, cpus: &CpuSet) -> CpuSet {
    let is_first = |cpu: &u32| {
        let siblings = set(files, &format!("{CPUS}/cpu{cpu}/topology/thread_siblings_list"));
        siblings.is_none_or(|siblings| siblings.and(cpus).iter().next().is_none_or(|first| first == *cpu))
    };
    cpus.iter().filter(is_first).collect()
}

fn set(files: &Files, path: &str) -> Option<CpuSet> {
    files.text(path).and_then(|list| CpuSet::from_list(&list))
}

/// `MemTotal:  123 kB`, in bytes.
fn kib(text: &str, key: &str) -> u64 {
    let number = value_of(text, key).and_then(|value| value.split_whitespace().next()?.parse::<u64>().ok());
    number.unwrap_or(0).saturating_mul(1024)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    fn files(content: &[(&str, &str)]) -> (tempfile::TempDir, Files) {
        let root = tempfile::tempdir().unwrap();
        for (file, content) in content {
            let path = root.path().join(file);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, content).unwrap();
        }
        let files = Files::below(root.path());
        (root, files)
    }

    #[test]
    fn two_nodes_with_a_gap_are_read() {
        let (_root, files) = files(&[
            ("sys/devices/system/node/online", "0,2\n"),
            ("sys/devices/system/node/node0/cpulist", "0-3\n"),
            ("sys/devices/system/node/node0/meminfo", "Node 0 MemTotal:        1024 kB\nNode 0 MemFree: 1 kB\n"),
            ("sys/devices/system/node/node0/distance", "10 21\n"),
            ("sys/devices/system/node/node2/cpulist", "\n"),
            ("sys/devices/system/node/node2/distance", "21 10\n"),
            ("sys/devices/system/cpu/online", "0-2\n"),
            ("sys/devices/system/cpu/cpu0/topology/thread_siblings_list", "0,2\n"),
            ("sys/devices/system/cpu/cpu1/topology/thread_siblings_list", "1,3\n"),
            ("sys/devices/system/cpu/cpu2/topology/thread_siblings_list", "0,2\n"),
        ]);
        let topology = topology(&files);
        let expected = Node { id: 0, cpus: (0..3).collect(), cores: (0..2).collect(), memory_bytes: 1 << 20 };
        assert_eq!(topology.nodes(), [expected, Node { id: 2, ..Node::default() }]);
        assert_eq!((topology.distance(0, 2), topology.distance(2, 2)), (21, 10));
    }

    #[test]
    fn a_kernel_without_nodes_has_one() {
        let (_root, files) = files(&[("sys/devices/system/cpu/online", "0-1\n"), ("proc/meminfo", "MemTotal: 2 kB\n")]);
        let cpus = (0..2).collect();
        assert_eq!(topology(&files).nodes(), [Node { id: 0, cpus, cores: cpus, memory_bytes: 2048 }]);
    }

    #[test]
    fn this_machine_has_a_node_with_cpus_and_memory() {
        let topology = topology(&Files::of_machine());
        assert!(topology.nodes().iter().any(|node| !node.cpus.is_empty() && node.memory_bytes > 0), "{topology:?}");
    }
}
