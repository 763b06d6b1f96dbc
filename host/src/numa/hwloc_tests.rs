//! What hwloc finds is what /sys shows, and whatever it is given to read does no harm (NUMA-1).

use std::fmt::Write as _;
use std::fs;
use std::path::Path;

use proptest::prelude::*;
use wirehaul_core::numa::{Allowed, CpuSet, Node, Topology};

use super::description::{Description, DescriptionError};
use super::machine::{Machine, Source};
use super::{hwloc, sysfs};
use crate::kernel_files::Files;

const TWO: &str = "pack:2 [numa(memory=32GB)] core:4 pu:2";

fn list(text: &str) -> CpuSet {
    CpuSet::from_list(text).unwrap()
}

// --- the same from both ---

/// All that is told, but not the size of what is not.
fn words(topology: &Topology) -> String {
    let ids: Vec<u32> = topology.nodes().iter().map(|node| node.id).collect();
    let told = |from: u32| ids.iter().map(move |to| topology.told_distance(from, *to));
    let distances: Vec<Vec<_>> = ids.iter().map(|from| told(*from).collect()).collect();
    format!("{:#?}\n{distances:?}", topology.nodes())
}

#[test]
fn both_see_the_same_machine() {
    let found = hwloc::here().expect("hwloc tells of this machine");
    assert_eq!(words(&found), words(&sysfs::topology(&Files::of_machine())));
    let machine = Machine::here();
    assert_eq!((machine.source, words(&machine.topology)), (Source::Hwloc, words(&found)));
    assert_eq!(machine.allowed.cpus.without(&found.cpus()), CpuSet::EMPTY);
}

/// A machine whose /sys and /proc are made up.
struct Made<'a> {
    /// Number, CPUs, memory in KiB.
    nodes: &'a [(u32, &'a str, u64)],
    online: &'a str,
    /// So many CPUs in a row share a core; or with `interleaved`, CPUs that are `cpus / threads` apart.
    threads: u32,
    is_interleaved: bool,
}

impl Made<'_> {
    fn write(&self, root: &Path) {
        let write = |path: String, content: String| {
            let path = root.join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, content + "\n").unwrap();
        };
        let all = self.nodes.iter().fold(CpuSet::EMPTY, |all, (_, cpus, _)| all.or(&list(cpus)));
        let online = list(self.online);
        const NODES: &str = "sys/devices/system/node";
        const CPUS: &str = "sys/devices/system/cpu";
        let ids: Vec<_> = self.nodes.iter().map(|(id, ..)| id.to_string()).collect();
        for file in ["online", "possible"] {
            write(format!("{NODES}/{file}"), ids.join(","));
        }
        for (from, (id, cpus, kib)) in self.nodes.iter().enumerate() {
            let folder = format!("{NODES}/node{id}");
            let cpus = list(cpus).and(&online);
            let distance = |to: usize| if from == to { 10 } else { 20 + from.abs_diff(to) };
            let distances: Vec<_> = (0..self.nodes.len()).map(|to| distance(to).to_string()).collect();
            write(format!("{folder}/cpulist"), cpus.list().to_string());
            write(format!("{folder}/cpumap"), mask(&cpus));
            write(format!("{folder}/distance"), distances.join(" "));
            write(format!("{folder}/meminfo"), format!("Node {id} MemTotal: {kib} kB\nNode {id} MemFree: 1 kB"));
        }
        for (file, cpus) in [("online", &online), ("possible", &all), ("present", &all)] {
            write(format!("{CPUS}/{file}"), cpus.list().to_string());
        }
        let mut cpuinfo = String::new();
        for cpu in online.iter() {
            let _ = write!(cpuinfo, "processor\t: {cpu}\n\n");
            let cores = all.len() / self.threads;
            let core = |cpu: u32| if self.is_interleaved { cpu % cores } else { cpu / self.threads };
            let siblings = online.iter().filter(|other| core(*other) == core(cpu)).collect();
            let folder = format!("{CPUS}/cpu{cpu}/topology");
            for (files, cpus) in
                [(["core_cpus", "thread_siblings"], siblings), (["package_cpus", "core_siblings"], online)]
            {
                for file in files {
                    write(format!("{folder}/{file}"), mask(&cpus));
                    write(format!("{folder}/{file}_list"), cpus.list().to_string());
                }
            }
            write(format!("{folder}/physical_package_id"), "0".to_owned());
            write(format!("{folder}/core_id"), core(cpu).to_string());
        }
        write("proc/cpuinfo".to_owned(), cpuinfo);
        write("proc/meminfo".to_owned(), "MemTotal: 4096 kB".to_owned());
    }
}

/// As the kernel writes sets of CPUs: words of 32 bits in hexadecimal, the highest first.
fn mask(cpus: &CpuSet) -> String {
    let word =
        |index: u32| (0..32).filter(|bit| cpus.contains(index * 32 + bit)).fold(0_u32, |word, bit| word | 1 << bit);
    (0..4).rev().map(|index| format!("{:08x}", word(index))).collect::<Vec<_>>().join(",")
}

/// NUMA-1: nodes without CPUs, without memory, with gaps between their numbers, with CPUs that are off.
#[test]
fn both_see_the_same_of_machines_of_every_shape() {
    let made = |nodes, online, threads, is_interleaved| Made { nodes, online, threads, is_interleaved };
    for (what, made) in [
        ("one node", made(&[(0, "0-3", 4096)], "0-3", 1, false)),
        ("one node with threads", made(&[(0, "0-7", 4096)], "0-7", 2, true)),
        ("two nodes", made(&[(0, "0-3", 4096), (1, "4-7", 8192)], "0-7", 2, false)),
        ("two nodes, odd and even", made(&[(0, "0,2,4,6", 4096), (1, "1,3,5,7", 8192)], "0-7", 2, true)),
        (
            "four nodes",
            made(
                &[(0, "0-3,16-19", 1), (1, "4-7,20-23", 2), (2, "8-11,24-27", 3), (3, "12-15,28-31", 4)],
                "0-31",
                2,
                true,
            ),
        ),
        ("a gap", made(&[(0, "0-1", 4096), (2, "2-3", 4096)], "0-3", 1, false)),
        ("memory without CPUs", made(&[(0, "0-3", 4096), (1, "", 8192)], "0-3", 1, false)),
        ("memory without CPUs first", made(&[(0, "", 4096), (1, "0-3", 8192)], "0-3", 1, false)),
        ("CPUs without memory", made(&[(0, "0-3", 4096), (1, "4-7", 0)], "0-7", 1, false)),
        ("a CPU that is off", made(&[(0, "0-3", 4096), (1, "4-7", 4096)], "0-2,4-7", 2, false)),
        ("a node whose CPUs are off", made(&[(0, "0-3", 4096), (1, "4-7", 4096)], "0-3", 1, false)),
        ("far apart", made(&[(0, "0-1", 4096), (1, "64-65", 4096)], "0-1,64-65", 1, false)),
    ] {
        let root = tempfile::tempdir().unwrap();
        made.write(root.path());
        let expected = sysfs::topology(&Files::below(root.path()));
        assert_eq!(expected.nodes().len(), made.nodes.len(), "{what}");
        let found = hwloc::below(root.path()).map(|found| words(&found));
        assert_eq!(found, Some(words(&expected)), "{what}");
    }
}

// --- descriptions ---

#[test]
fn a_synthetic_machine_is_what_its_description_says() {
    let machine = Machine::from_synthetic(TWO).unwrap();
    let node = |id: u32, cpus: &str, cores: &str| Node {
        id,
        cpus: list(cpus),
        cores: list(cores),
        memory_bytes: 32_000_000_000,
    };
    let expected = Topology::new([node(0, "0-7", "0,2,4,6"), node(1, "8-15", "8,10,12,14")]).unwrap();
    assert_eq!(machine.topology.nodes(), expected.nodes());
    assert_eq!((machine.source, machine.allowed), (Source::Synthetic, Allowed::all(&expected)));
    assert_eq!(machine.topology.told_distance(0, 1), None);
    let nodes = |text: &str| Machine::from_synthetic(text).unwrap().topology.nodes().len();
    assert_eq!((nodes("pu:4"), nodes("numa:4 core:2 pu:2"), nodes("pack:2 numa:2 core:1 pu:1")), (1, 4, 4));
    // A node of memory alone beside one with CPUs.
    let both = Machine::from_synthetic("[numa(memory=1GB)] [numa(memory=2GB)] core:2 pu:1").unwrap();
    let cpus: Vec<_> = both.topology.nodes().iter().map(|node| node.cpus).collect();
    assert_eq!(cpus, [list("0-1"), CpuSet::EMPTY]);
}

#[test]
fn what_describes_no_machine_is_refused_with_what_to_do() {
    for text in ["", "nonsense", "pack:0 pu:1", "pu:-1", "pack:2", "a\0b", "numa:2 numa:2 pu:1"] {
        let error = Machine::from_synthetic(text).unwrap_err();
        assert!(matches!(error, DescriptionError::Synthetic { .. }), "{text:?}: {error:?}");
        assert!(error.to_string().contains("pack:2 [numa(memory=32GB)]"), "{error}");
    }
    for text in ["", "<", "<topology>", "<?xml version=\"1.0\"?><topology version=\"2.0\"></topology>", "a\0b"] {
        let error = Machine::from_xml(text).unwrap_err();
        assert!(matches!(error, DescriptionError::Xml | DescriptionError::Unfinished), "{text:?}: {error:?}");
    }
    assert_eq!(Machine::from_synthetic("pack:100 core:50 pu:1").unwrap_err(), DescriptionError::TooLarge);
    assert_eq!(Machine::from_synthetic("numa:65 pu:1").unwrap_err(), DescriptionError::TooLarge);
    assert_eq!(Machine::from_synthetic("pu:4294967295").unwrap_err(), DescriptionError::Unfinished);
}

#[test]
fn long_descriptions_are_cut_in_messages() {
    let error = hwloc::no_machine(Description::Synthetic(&"x\n".repeat(200))).to_string();
    assert!(error.lines().count() == 1 && error.len() < 400 && error.contains("..."), "{error}");
}

/// A description with pieces of it repeated, taken out, replaced.
fn mutated(valid: &'static str) -> impl Strategy<Value = String> {
    let edit = (any::<prop::sample::Index>(), 0_usize..12, "[0-9a-z:()\\[\\]=\"<>/ ,x-]{0,6}");
    prop::collection::vec(edit, 1..4).prop_map(move |edits| {
        let mut bytes = valid.as_bytes().to_vec();
        for (at, taken, put) in edits {
            let at = at.index(bytes.len().max(1)).min(bytes.len());
            let end = (at + taken).min(bytes.len());
            bytes.splice(at..end, put.bytes());
        }
        String::from_utf8_lossy(&bytes).into_owned()
    })
}

const XML: &str = include_str!("two_nodes.xml");

#[test]
fn the_xml_of_another_machine_is_read_with_its_distances() {
    let machine = Machine::from_xml(XML).unwrap();
    let cpus: Vec<_> = machine.topology.nodes().iter().map(|node| node.cpus).collect();
    assert_eq!((cpus, machine.source), (vec![list("0-3"), list("4-7")], Source::Xml));
    assert_eq!((machine.topology.told_distance(0, 1), machine.topology.told_distance(1, 1)), (Some(21), Some(10)));
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, failure_persistence: None, ..ProptestConfig::default() })]

    /// A machine, or one line that says why not: no panic, no crash, nothing that runs on.
    #[test]
    fn no_description_does_any_harm(text in prop_oneof![any::<String>(), mutated(TWO)]) {
        match Machine::from_synthetic(&text) {
            Ok(machine) => prop_assert!(!machine.topology.nodes().is_empty()),
            Err(error) => prop_assert_eq!(error.to_string().lines().count(), 1),
        }
    }

    #[test]
    fn no_xml_does_any_harm(text in prop_oneof![any::<String>(), mutated(XML)]) {
        match Machine::from_xml(&text) {
            Ok(machine) => prop_assert!(!machine.topology.nodes().is_empty()),
            Err(error) => prop_assert_eq!(error.to_string().lines().count(), 1),
        }
    }
}
