//! Nodes as hwloc finds them on this machine, or reads them from a description of another one.
//!
//! hwloc is C, trusts its input, and says on stderr what it makes of broken firmware: it runs apart.

use std::fmt::Write as _;

use hwlocality::Topology as Found;
use hwlocality::cpu::cpuset::CpuSet as FoundCpus;
use hwlocality::object::TopologyObject;
use hwlocality::object::attributes::ObjectAttributes;
use hwlocality::object::distance::DistancesKind;
use hwlocality::object::types::ObjectType;
use hwlocality::topology::builder::{BuildFlags, TopologyBuilder};
use wirehaul_core::numa::{CpuSet, MAX_CPUS, MAX_NODES, Node, Topology};

use super::apart::{ApartError, Variables, run_apart};
use super::description::{Description, DescriptionError};

/// What of a description is repeated in a message.
const SHOWN_CHARS: usize = 60;
/// Instead of a topology: the description is none.
const REFUSED: &str = "refused\n";
/// Instead of a topology: it has more CPUs or nodes than are told apart here.
const TOO_LARGE: &str = "too large\n";

/// The nodes of this machine, all of them; `None` where hwloc does not tell.
pub(super) fn here() -> Option<Topology> {
    found(&variables(&[]), Found::is_this_system)
}

/// The nodes of a machine whose /sys and /proc are below another root.
#[cfg(test)]
pub(super) fn below(root: &std::path::Path) -> Option<Topology> {
    found(&variables(&[("HWLOC_FSROOT", root.to_str()?)]), |_| true)
}

fn found(variables: &Variables, is_good: fn(&Found) -> bool) -> Option<Topology> {
    let detected = || detected().filter(is_good);
    let text = run_apart(variables, || detected().as_ref().map_or_else(|| REFUSED.to_owned(), tell)).ok()?;
    told(&text).filter(|topology| !topology.nodes().is_empty())
}

/// The nodes of a machine that is described.
pub(super) fn described(description: Description<'_>) -> Result<Topology, DescriptionError> {
    let text = run_apart(&variables(&[]), || match read(description) {
        None => REFUSED.to_owned(),
        Some(found) if is_too_large(&found) => TOO_LARGE.to_owned(),
        Some(found) => tell(&found),
    });
    match text {
        Err(error @ ApartError::Fork(_)) => Err(DescriptionError::NotRead { reason: error.to_string() }),
        Err(ApartError::Unfinished) => Err(DescriptionError::Unfinished),
        Ok(text) if text == TOO_LARGE => Err(DescriptionError::TooLarge),
        Ok(text) => told(&text).filter(|topology| !topology.nodes().is_empty()).ok_or_else(|| no_machine(description)),
    }
}

/// hwloc does not say what is wrong with it.
pub(super) fn no_machine(description: Description<'_>) -> DescriptionError {
    match description {
        Description::Xml(_) => DescriptionError::Xml,
        Description::Synthetic(text) => {
            let shown = text.chars().take(SHOWN_CHARS).flat_map(char::escape_debug).collect::<String>();
            let rest = if text.chars().nth(SHOWN_CHARS).is_some() { "..." } else { "" };
            DescriptionError::Synthetic { shown: shown + rest }
        }
    }
}

/// Whatever the user's environment says, it is this machine that is asked for, from code that is linked in, without a word on
/// stderr. `HWLOC_USE_NUMA_DISTANCES=1`: distances as they are told, and none to give the CPUs of others to a node without any.
fn variables(more: &[(&str, &str)]) -> Variables {
    let given = [
        ("HWLOC_HIDE_ERRORS", "2"),
        ("HWLOC_PLUGINS_PATH", ""),
        ("HWLOC_USE_NUMA_DISTANCES", "1"),
        ("HWLOC_KEEP_NVIDIA_GPU_NUMA_NODES", "1"),
    ];
    Variables::instead_of("HWLOC_", &[&given[..], more].concat())
}

fn detected() -> Option<Found> {
    let builder = TopologyBuilder::new().with_flags(BuildFlags::INCLUDE_DISALLOWED).ok()?;
    // It would move this thread from CPU to CPU, to learn of each what the kernel tells of all.
    #[cfg(target_arch = "x86_64")]
    let builder = builder.without_component("x86").ok()?;
    builder.build().ok()
}

fn read(description: Description<'_>) -> Option<Found> {
    let builder = TopologyBuilder::new();
    let builder = match description {
        Description::Synthetic(text) => builder.from_synthetic(text),
        Description::Xml(text) => builder.from_xml(text),
    };
    builder.ok()?.with_flags(BuildFlags::INCLUDE_DISALLOWED).ok()?.build().ok()
}

// --- what is told from one process to the other: a line for each node, and one for each distance ---

fn tell(found: &Found) -> String {
    let mut text = String::new();
    let nodes = nodes(found);
    for (node, cpus) in &nodes {
        let cores = first_of_cores(found, cpus);
        let memory = match node.attributes() {
            Some(ObjectAttributes::NUMANode(attributes)) => attributes.local_memory().map_or(0, u64::from),
            _ => 0,
        };
        let (cpus, cores) = (cpus.list(), cores.list());
        let _ = writeln!(text, "node\t{}\t{memory}\t{cpus}\t{cores}", index_of(node).unwrap_or(u32::MAX));
    }
    let latencies = found.distances_with_type(Some(DistancesKind::MEANS_LATENCY), ObjectType::NUMANode);
    for ((from, to), distance) in latencies.iter().flatten().take(1).flat_map(|matrix| matrix.object_distances()) {
        if let (Some(from), Some(to)) = (from.and_then(index_of), to.and_then(index_of)) {
            let _ = writeln!(text, "distance\t{from}\t{to}\t{distance}");
        }
    }
    text
}

fn told(text: &str) -> Option<Topology> {
    let mut nodes = Vec::new();
    let mut distances = Vec::new();
    for line in text.lines() {
        match line.split('\t').collect::<Vec<_>>().as_slice() {
            ["node", id, memory, cpus, cores] => nodes.push(Node {
                id: id.parse().ok()?,
                memory_bytes: memory.parse().ok()?,
                cpus: CpuSet::from_list(cpus)?,
                cores: CpuSet::from_list(cores)?,
            }),
            ["distance", from, to, distance] => {
                distances.push((from.parse().ok()?, to.parse().ok()?, distance.parse::<u64>().ok()?));
            }
            _ => return None,
        }
    }
    let mut topology = Topology::new(nodes.into_iter().filter(|node| (node.id as usize) < MAX_NODES)).ok()?;
    for (from, to, distance) in distances {
        topology.set_distance(from, to, u16::try_from(distance).unwrap_or(u16::MAX));
    }
    Some(topology)
}

/// The nodes with the CPUs of each. A CPU belongs to one node: hwloc shows memory without CPUs of its own, such as HBM beside
/// DRAM, as local to CPUs of another node. The node with the fewest CPUs has them, and of several the first.
fn nodes(found: &Found) -> Vec<(&TopologyObject, CpuSet)> {
    let all = found.objects_with_type(ObjectType::NUMANode);
    let mut nodes: Vec<_> = all.map(|node| (node, cpus_of(node))).collect();
    nodes.sort_by_key(|(_, cpus)| cpus.len());
    let mut taken = CpuSet::EMPTY;
    for (_, cpus) in &mut nodes {
        *cpus = cpus.without(&taken);
        taken = taken.or(cpus);
    }
    nodes
}

/// Of each core, the CPU with the lowest number; and CPUs that are in no core.
fn first_of_cores(found: &Found, cpus: &CpuSet) -> CpuSet {
    let mut first = *cpus;
    for core in found.objects_with_type(ObjectType::Core) {
        cpus_of(core).and(cpus).iter().skip(1).for_each(|cpu| first.remove(cpu));
    }
    first
}

fn cpus_of(object: &TopologyObject) -> CpuSet {
    object.cpuset().map_or(CpuSet::EMPTY, |cpus| numbers(&cpus).collect())
}

fn numbers(cpus: &FoundCpus) -> impl Iterator<Item = u32> {
    // A set that has no end is that of no object.
    let is_finite = cpus.weight().is_some();
    cpus.iter_set().take_while(move |_| is_finite).filter_map(|cpu| u32::try_from(usize::from(cpu)).ok())
}

fn index_of(object: &TopologyObject) -> Option<u32> {
    u32::try_from(object.os_index()?).ok()
}

fn is_too_large(found: &Found) -> bool {
    let last = |kind| found.objects_with_type(kind).filter_map(index_of).max();
    last(ObjectType::PU).is_some_and(|cpu| cpu >= MAX_CPUS)
        || last(ObjectType::NUMANode).is_some_and(|node| node as usize >= MAX_NODES)
}
