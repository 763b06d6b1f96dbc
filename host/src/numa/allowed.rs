//! What this process may use: cgroups, `taskset`, `numactl` and service managers say so (cpuset(7), sched_setaffinity(2)).

use wirehaul_core::numa::{Allowed, CpuSet, Topology};

use crate::kernel_files::{Files, list_of, value_of};

/// CPUs and nodes that the calling thread is allowed, as the kernel shows them (Documentation/filesystems/proc.rst). What is
/// not told is all of it.
pub(super) fn of(files: &Files, topology: &Topology) -> Allowed {
    let all = Allowed::all(topology);
    let status = files.text("proc/thread-self/status").or_else(|| files.text("proc/self/status")).unwrap_or_default();
    let list = |key| value_of(&status, key);
    let cpus = list("Cpus_allowed_list").and_then(CpuSet::from_list).filter(|cpus| !cpus.is_empty());
    // Of nodes that do not exist, too: all that a kernel could have.
    let mask = |list| list_of(list).into_iter().filter(|node| *node < u64::BITS).fold(0, |mask, node| mask | 1 << node);
    let memory: Option<u64> = list("Mems_allowed_list").map(mask);
    Allowed { cpus: cpus.unwrap_or(all.cpus), memory: memory.filter(|memory| *memory != 0).unwrap_or(all.memory) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;
    use wirehaul_core::numa::Node;

    fn allowed(status: &str) -> Allowed {
        let root = tempfile::tempdir().unwrap();
        fs::create_dir_all(root.path().join("proc/self")).unwrap();
        fs::write(root.path().join("proc/self/status"), status).unwrap();
        let cpus = (0..4).collect();
        let topology = Topology::new([Node { cpus, memory_bytes: 1, ..Node::default() }]).unwrap();
        of(&Files::below(root.path()), &topology)
    }

    #[test]
    fn what_the_kernel_says_is_allowed() {
        let found = allowed("Cpus_allowed_list:\t1,3\nMems_allowed_list:\t0-1,99\n");
        assert_eq!(found, Allowed { cpus: [1, 3].into_iter().collect(), memory: 0b11 });
    }

    #[test]
    fn what_is_not_told_is_all_of_it() {
        let all = Allowed { cpus: (0..4).collect(), memory: 1 };
        for status in ["", "Cpus_allowed_list:\t\nMems_allowed_list:\t\n", "Cpus_allowed_list:\tx\n"] {
            assert_eq!(allowed(status), all, "{status:?}");
        }
    }
}
