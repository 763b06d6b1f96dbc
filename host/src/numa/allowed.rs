//! What this process may use: cgroups, `taskset`, `numactl` and service managers say so (cpuset(7), sched_setaffinity(2)).

use libc::c_int;
use wirehaul_core::numa::{Allowed, CpuSet, NodeMask, Topology};

use crate::kernel_files::{Files, list_of, value_of};

/// Memory from these nodes and no others (include/uapi/linux/mempolicy.h).
const MPOL_BIND: c_int = 2;
/// Nodes that a kernel can have been built for: it refuses a shorter mask than its own.
const KERNEL_NODES: usize = 1024;

/// CPUs and nodes that the calling thread is allowed; where it is bound to nodes, as by `numactl --membind`, of these only.
pub(super) fn of_this_thread(files: &Files, topology: &Topology) -> Allowed {
    let allowed = of(files, topology);
    let bound = bound_nodes().map(|bound| allowed.memory & bound).filter(|memory| *memory != 0);
    Allowed { memory: bound.unwrap_or(allowed.memory), ..allowed }
}

/// The nodes that the memory policy of the calling thread binds it to; `None` where it does not.
fn bound_nodes() -> Option<NodeMask> {
    let mut policy: c_int = 0;
    let mut mask = [0_u64; KERNEL_NODES / 64];
    // SAFETY: get_mempolicy(2) writes an int, and at most as many bits as it is told that the mask has.
    let status = unsafe {
        let (policy, mask) = (&raw mut policy, mask.as_mut_ptr());
        libc::syscall(libc::SYS_get_mempolicy, policy, mask, KERNEL_NODES, std::ptr::null::<libc::c_void>(), 0)
    };
    // Above are flags, such as MPOL_F_STATIC_NODES.
    let is_bound = status == 0 && policy & 0xff == MPOL_BIND;
    is_bound.then(|| mask.first().copied().unwrap_or(0))
}

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

    /// NUMA-2: numactl is respected like a cpuset.
    #[test]
    fn a_thread_that_is_bound_to_a_node_has_that_one() {
        assert_eq!(bound_nodes(), None);
        let bound = std::thread::spawn(|| {
            let mask: u64 = 1;
            // SAFETY: set_mempolicy(2) reads one word.
            let status = unsafe { libc::syscall(libc::SYS_set_mempolicy, MPOL_BIND, &raw const mask, 65_usize) };
            (status == 0).then(|| (bound_nodes(), of_this_thread(&Files::of_machine(), &Topology::default()).memory))
        });
        match bound.join().unwrap() {
            Some(found) => assert_eq!(found, (Some(1), 1)),
            None => eprintln!("skipped: memory of this process cannot be bound"),
        }
    }

    #[test]
    fn what_is_not_told_is_all_of_it() {
        let all = Allowed { cpus: (0..4).collect(), memory: 1 };
        for status in ["", "Cpus_allowed_list:\t\nMems_allowed_list:\t\n", "Cpus_allowed_list:\tx\n"] {
            assert_eq!(allowed(status), all, "{status:?}");
        }
    }
}
