//! `wirehaul topo` beside lscpu and lstopo, under cpusets, and with what nobody should give it (NUMA-1, NUMA-2, OPS-4).

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::PathBuf;
use std::process::{Command, Stdio};

use serde_json::Value;

use crate::common::machine::{Link, is_privileged};
use crate::common::process::{Finished, Process};
use crate::common::shared;

const BINARY: &str = env!("CARGO_BIN_EXE_wirehaul");
const TWO: &str = "pack:2 [numa(memory=32GB)] core:4 pu:2";

fn topo(flags: &[&str]) -> Finished {
    let mut command = Command::new(BINARY);
    command.arg("topo").args(flags);
    Process::spawn(command).wait()
}

/// What another program prints; `None`, with a word about it, where it is not there.
fn other(program: &str, flags: &[&str]) -> Option<String> {
    match Command::new(program).args(flags).stderr(Stdio::null()).output() {
        Ok(output) if output.status.success() => String::from_utf8(output.stdout).ok(),
        _ => {
            eprintln!("skipped: {program} is not here, or does not answer");
            None
        }
    }
}

/// Whether this build reads descriptions of machines. One that does not says so, and what to do.
fn reads_descriptions() -> bool {
    if !cfg!(feature = "hwloc") {
        let refused = topo(&["--synthetic", TWO]).expect(2);
        assert!(refused.one_line().contains("built without hwloc"), "{}", refused.output());
    }
    cfg!(feature = "hwloc")
}

/// Numbers as in `0-3,8`.
fn numbers(list: &str) -> BTreeSet<u32> {
    let run = |part: &str| {
        let (first, last) = part.split_once('-').unwrap_or((part, part));
        first.parse::<u32>().unwrap()..=last.parse().unwrap()
    };
    list.split(',').filter(|part| !part.is_empty()).flat_map(run).collect()
}

fn cpus(line: &Value, key: &str) -> BTreeSet<u32> {
    numbers(line[key].as_str().unwrap())
}

/// The CPUs of each node.
fn nodes(finished: &Finished) -> BTreeMap<u64, BTreeSet<u32>> {
    finished.events("node").iter().map(|node| (node["node"].as_u64().unwrap(), cpus(node, "cpus"))).collect()
}

#[test]
fn nodes_and_cpus_are_those_that_lscpu_shows() {
    let _guard = shared();
    let found = topo(&["--json"]).expect(0);
    eprintln!("this machine was found in {} ms", found.summary()["detect_ms"]);
    let Some(text) = other("lscpu", &["--parse=CPU,NODE,CORE"]) else { return };
    let mut expected: BTreeMap<u64, BTreeSet<u32>> = BTreeMap::new();
    let mut cores = BTreeSet::new();
    for line in text.lines().filter(|line| !line.starts_with('#')) {
        let mut columns = line.split(',');
        let (cpu, node, core) = (columns.next().unwrap(), columns.next().unwrap(), columns.next().unwrap());
        // Without NUMA the column is empty.
        expected.entry(node.parse().unwrap_or(0)).or_default().insert(cpu.parse().unwrap());
        cores.insert(core.to_owned());
    }
    let with_cpus: BTreeMap<_, _> = nodes(&found).into_iter().filter(|(_, cpus)| !cpus.is_empty()).collect();
    assert_eq!(with_cpus, expected);
    let of_nodes: u64 = found.events("node").iter().map(|node| node["cores"].as_u64().unwrap()).sum();
    assert_eq!(of_nodes as usize, cores.len());
}

#[test]
fn memory_and_cpus_are_those_that_lstopo_shows() {
    let _guard = shared();
    if !reads_descriptions() {
        return;
    }
    let Some(xml) = other("lstopo", &["--of", "xml", "--whole-system"]) else { return };
    let place = tempfile::tempdir().unwrap();
    let file = place.path().join("machine.xml");
    fs::write(&file, xml).unwrap();
    let here = topo(&["--json"]).expect(0);
    let told = topo(&["--json", "--xml", file.to_str().unwrap()]).expect(0);
    assert_eq!(told.summary()["source"], "xml");
    assert_eq!(nodes(&here), nodes(&told));
    let facts = |finished: &Finished| -> Vec<Value> {
        let keys = ["node", "memory_bytes", "cores", "distances"];
        finished.events("node").iter().map(|node| keys.iter().map(|key| node[key].clone()).collect()).collect()
    };
    assert_eq!(facts(&here), facts(&told));
    // The same from standard input.
    let mut command = Command::new(BINARY);
    command.args(["topo", "--json", "--xml", "-"]).stdin(fs::File::open(&file).unwrap());
    let output = command.output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    let without_time =
        |text: &str| text.lines().filter(|line| !line.contains("detect_ms")).collect::<Vec<_>>().join("\n");
    assert_eq!(without_time(&text), without_time(&told.stdout));
}

#[test]
fn described_machines_are_drawn() {
    let _guard = shared();
    if !reads_descriptions() {
        return;
    }
    let found = topo(&["--synthetic", TWO, "--json"]).expect(0);
    assert_eq!(nodes(&found), BTreeMap::from([(0, (0..8).collect()), (1, (8..16).collect())]));
    assert_eq!((&found.summary()["source"], &found.summary()["cpus"]), (&"synthetic".into(), &16.into()));
    let named = topo(&["--synthetic", TWO, "--numa-node", "1", "--json"]).expect(0);
    let place = named.events("placement").remove(0);
    assert_eq!((&place["node"], &place["memory_node"], &place["cpus"]), (&1.into(), &1.into(), &"8-15".into()));
    let off = topo(&["--synthetic", TWO, "--no-numa", "--json"]).expect(0).events("placement").remove(0);
    assert!(off["node"].is_null() && off["memory_node"].is_null(), "{off}");
    // A node that is not there: said, and the next best place.
    let missing = topo(&["--synthetic", TWO, "--numa-node", "7", "--json"]).expect(0);
    assert!(missing.summary()["shortfalls"][0].as_str().unwrap().contains("there is no NUMA node 7"));
    assert_eq!(missing.events("placement").remove(0)["node"], 0);
    let text = topo(&["--synthetic", TWO]).expect(0);
    assert!(text.stdout.starts_with("2 NUMA nodes, 16 CPUs, from a description\n"), "{}", text.output());
    assert_eq!(text.stderr, "");
}

#[test]
fn what_is_no_machine_is_one_line_and_exit_code_2() {
    let _guard = shared();
    let place = tempfile::tempdir().unwrap();
    let file = |name: &str, content: &[u8]| -> PathBuf {
        let path = place.path().join(name);
        fs::write(&path, content).unwrap();
        path
    };
    for description in
        ["", "nonsense", "pack:", "pu:4294967295", "pack:100 core:50 pu:1", "\n\n", "pack:2 [numa(memory=32GB)"]
    {
        let refused = topo(&["--synthetic", description, "--json"]).expect(2);
        assert_eq!(refused.summary()["error"], refused.one_line(), "{description:?}");
    }
    let files = [
        place.path().join("missing.xml"),
        place.path().to_owned(),
        file("empty.xml", b""),
        file("text.xml", b"not xml at all"),
        file("binary.xml", &[0xff, 0, 1, 2]),
        file("root.xml", b"<?xml version=\"1.0\"?>\n<topology version=\"2.0\">\n</topology>\n"),
        PathBuf::from("/dev/zero"),
        PathBuf::from("/dev/null"),
    ];
    for path in files {
        let refused = topo(&["--xml", path.to_str().unwrap(), "--json"]).expect(2);
        assert!(refused.one_line().contains(path.to_str().unwrap()), "{}", refused.output());
        assert_eq!(refused.summary()["exit_code"], 2);
    }
    assert!(topo(&["--iface", "wh-nobody"]).expect(4).one_line().contains("there is no interface `wh-nobody`"));
    for flags in [&["--synthetic", "pu:1", "--xml", "-"][..], &["--no-numa", "--numa-node", "0"], &["--numa-node", "x"]]
    {
        topo(flags).expect(2);
    }
}

/// Whatever hwloc is told by the environment, it is this machine that is shown, and nothing else is printed.
#[test]
fn the_environment_of_hwloc_changes_nothing() {
    let _guard = shared();
    let plain = topo(&["--json"]).expect(0);
    let mut command = Command::new(BINARY);
    command.args(["topo", "--json"]);
    let variables =
        ["HWLOC_SYNTHETIC=pack:7 pu:2", "HWLOC_COMPONENTS_VERBOSE=1", "HWLOC_HIDE_ERRORS=0", "HWLOC_FSROOT=/nowhere"];
    for (name, value) in variables.iter().map(|variable| variable.split_once('=').unwrap()) {
        command.env(name, value);
    }
    let found = Process::spawn(command).wait().expect(0);
    assert_eq!((nodes(&found), found.stderr.as_str()), (nodes(&plain), ""));
    assert_eq!(found.summary()["source"], plain.summary()["source"]);
}

/// NUMA-2: what is left to the process, and no more.
#[test]
fn cpus_that_are_not_allowed_get_no_worker() {
    let _guard = shared();
    let all = topo(&["--json"]).expect(0);
    let allowed = cpus(&all.summary(), "allowed_cpus");
    let last = allowed.iter().next_back().unwrap().to_string();
    if allowed.len() < 2 {
        eprintln!("skipped: this process has one CPU only");
        return;
    }
    let mut command = Command::new("taskset");
    command.args(["--cpu-list", &last, BINARY, "topo", "--json"]);
    let found = Process::spawn(command).wait().expect(0);
    assert_eq!(found.summary()["allowed_cpus"], last.as_str());
    assert_eq!(nodes(&found), nodes(&all), "the machine stays what it is");
    for place in found.events("placement") {
        assert_eq!(cpus(&place, "cpus"), numbers(&last), "{place}");
    }
}

/// The same for a cpuset of cgroups, as a container has one.
#[test]
fn a_cpuset_is_respected() {
    let _guard = shared();
    if !is_privileged("topo in a cpuset") {
        return;
    }
    let Some(group) = Cpuset::make("0") else {
        eprintln!("skipped: no cpuset can be made here");
        return;
    };
    let all = topo(&["--json"]).expect(0);
    let mut command = Command::new("sh");
    let line = format!("echo $$ > {}/cgroup.procs && exec {BINARY} topo --json", group.folder.display());
    command.args(["-c", &line]);
    let found = Process::spawn(command).wait().expect(0);
    assert_eq!((&found.summary()["allowed_cpus"], nodes(&found)), (&"0".into(), nodes(&all)));
}

/// A cgroup with a cpuset; gone when dropped.
struct Cpuset {
    folder: PathBuf,
}

impl Cpuset {
    fn make(cpus: &str) -> Option<Self> {
        let name = format!("wirehaul-test-{}", std::process::id());
        for root in ["/sys/fs/cgroup/cpuset", "/sys/fs/cgroup"] {
            let _ = fs::write(format!("{root}/cgroup.subtree_control"), "+cpuset");
            let folder = PathBuf::from(root).join(&name);
            if fs::create_dir(&folder).is_err() {
                continue;
            }
            let group = Self { folder };
            let _ = fs::write(group.folder.join("cpuset.mems"), "0");
            if fs::write(group.folder.join("cpuset.cpus"), cpus).is_ok() {
                return Some(group);
            }
        }
        None
    }
}

impl Drop for Cpuset {
    fn drop(&mut self) {
        let _ = fs::remove_dir(&self.folder);
    }
}

#[test]
fn a_card_is_shown_with_its_queues_and_workers() {
    let _guard = shared();
    if !is_privileged("topo on a veth pair") {
        return;
    }
    let link = Link::with(2, 1500);
    let mut command = link.left.command(BINARY);
    command.args(["topo", "--iface", "wire", "--json"]);
    let found = Process::spawn(command).wait().expect(0);
    let card = found.events("card").remove(0);
    assert_eq!((&card["iface"], &card["driver"], &card["up"]), (&"wire".into(), &"veth".into(), &true.into()));
    let place = found.events("placement").remove(0);
    let mut queues: Vec<u64> = Vec::new();
    for worker in place["workers"].as_array().unwrap() {
        assert!(cpus(&place, "cpus").contains(&(worker["cpu"].as_u64().unwrap() as u32)), "{place}");
        queues.extend(worker["queues"].as_array().unwrap().iter().map(|queue| queue.as_u64().unwrap()));
    }
    queues.sort_unstable();
    assert_eq!(queues, (0..card["queues"].as_u64().unwrap()).collect::<Vec<_>>(), "{place}");
    let mut command = link.left.command(BINARY);
    command.arg("topo");
    let text = Process::spawn(command).wait().expect(0);
    assert!(text.stdout.contains("\n  wire veth, no node of its own, up, "), "{}", text.output());
    assert!(text.stdout.lines().all(|line| line.len() <= 80), "{}", text.output());
}
