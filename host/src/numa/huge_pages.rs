//! Huge pages that are set aside (Documentation/admin-guide/mm/hugetlbpage.rst).

use crate::kernel_files::Files;

/// The huge pages of a size on a node.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct HugePages {
    /// The size of each.
    pub page_bytes: u64,
    /// How many are set aside.
    pub total: u64,
    /// How many of these nobody uses.
    pub free: u64,
}

impl HugePages {
    /// Those of a node, by size, ascending.
    pub(crate) fn of_node(files: &Files, node: u32) -> Vec<Self> {
        Self::in_folder(files, &format!("sys/devices/system/node/node{node}/hugepages"))
    }

    /// Those of the whole machine, by size, ascending.
    pub(crate) fn of_all_nodes(files: &Files) -> Vec<Self> {
        Self::in_folder(files, "sys/kernel/mm/hugepages")
    }

    fn in_folder(files: &Files, folder: &str) -> Vec<Self> {
        let of = |name: &String| {
            let kib: u64 = name.strip_prefix("hugepages-")?.strip_suffix("kB")?.parse().ok()?;
            let number = |file: &str| files.number(format!("{folder}/{name}/{file}")).unwrap_or(0);
            let (total, free) = (number("nr_hugepages"), number("free_hugepages"));
            Some(Self { page_bytes: kib.checked_mul(1024)?, total, free })
        };
        let mut found: Vec<_> = files.names(folder).iter().filter_map(of).collect();
        found.sort_by_key(|pages| pages.page_bytes);
        found
    }
}
