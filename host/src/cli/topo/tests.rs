//! What is printed of machines that are made up.

use wirehaul_core::numa::{Allowed, Choice, CpuSet, Node, Topology};

use super::*;
use crate::cli::wrap::WIDTH;
use crate::numa::Source;

const PLAIN: OutputArgs = OutputArgs { json: false, quiet: false, verbose: 0, tui: false };

/// Nodes of four CPUs in two cores.
fn machine(nodes: u32) -> Box<Machine> {
    let node = |id: u32| {
        let cpus: CpuSet = (id * 4..id * 4 + 4).collect();
        let cores = cpus.iter().filter(|cpu| cpu % 4 < 2).collect();
        Node { id, cpus, cores, memory_bytes: 3 << 30 }
    };
    let mut topology = Topology::new((0..nodes).map(node)).unwrap();
    for (from, to) in (0..nodes).flat_map(|from| (0..nodes).map(move |to| (from, to))) {
        topology.set_distance(from, to, if from == to { 10 } else { 21 });
    }
    let allowed = Allowed::all(&topology);
    Box::new(Machine { topology, allowed, source: Source::Xml })
}

fn card(node: Option<u32>) -> Card {
    let interrupt =
        |queue: u32| Interrupt { number: 30 + queue, queue: Some(queue), cpus: vec![queue, 5], ..Interrupt::default() };
    Card {
        iface: "eth0".to_owned(),
        driver: Some("virtio_net".to_owned()),
        node,
        is_up: true,
        queues: 3,
        interrupts: vec![interrupt(0), interrupt(1)],
    }
}

fn printed(report: &Report, output: OutputArgs) -> String {
    let mut out = Vec::new();
    print(report, Duration::from_micros(1500), output, &mut out).unwrap();
    String::from_utf8(out).unwrap()
}

fn report_of(machine: Box<Machine>, cards: Vec<Card>, choice: Choice) -> Report {
    Report::of(machine, cards, false, choice, transport::shares)
}

/// NUMA-5: what a process that died has left is shown.
#[test]
fn what_was_left_behind_is_marked() {
    let mut report = report_of(machine(2), vec![card(Some(1))], Choice::Auto);
    report.left_behind = vec!["the interrupts 38 are elsewhere".to_owned()];
    let text = text::of(&report, Duration::ZERO);
    assert!(text.contains("\n    ! the interrupts 38 are elsewhere\n"), "{text}");
    assert_eq!(report.shortfalls(), ["the interrupts 38 are elsewhere"]);
}

/// NUMA-1: what people read.
#[test]
fn the_map_of_two_nodes() {
    let mut machine = machine(2);
    machine.allowed.cpus.remove(7);
    let mut report = report_of(machine, vec![card(Some(1))], Choice::Auto);
    report.machine.source = Source::Hwloc;
    report.nodes[1].free_bytes = Some(1 << 30);
    report.nodes[1].huge_pages = vec![HugePages { page_bytes: 2 << 20, total: 8, free: 3 }];
    let expected = "\
2 NUMA nodes, 8 CPUs, from hwloc in 1.50 ms

node 0
  CPUs        0-3 (2 cores with 4 threads)
  memory      3.00 GiB

node 1
  CPUs        4-7 (2 cores with 4 threads)
  allowed     4-6, to this process
  memory      3.00 GiB, 1.00 GiB free
  huge pages  2 MiB: 3 of 8 free

distances
  node     0     1
     0    10    21
     1    21    10

cards
  eth0 virtio_net, node 1, up, 3 queues
    queue 0: interrupt 30, CPUs 0, 5
    queue 1: interrupt 31, CPUs 1, 5

placement
  eth0: CPUs 4-6 of node 1, memory of node 1
    worker 0: CPU 4 on node 1, queue 0
    worker 1: CPU 5 on node 1, queue 1
    worker 2: CPU 6 on node 1, queue 2
";
    assert_eq!(printed(&report, PLAIN), expected);
}

#[test]
fn one_node_makes_no_noise() {
    let report = report_of(machine(1), Vec::new(), Choice::Auto);
    let expected = "\
1 NUMA node, 4 CPUs, from an XML file

node 0
  CPUs        0-3 (2 cores with 4 threads)
  memory      3.00 GiB

placement
  any card: CPUs 0-3, memory as the system gives it
";
    assert_eq!(printed(&report, PLAIN), expected);
}

#[test]
fn lines_end_before_the_edge_whatever_the_machine() {
    for nodes in [1, 2, 13, 64] {
        let mut machine = machine(nodes);
        machine.allowed.cpus = (0..256).filter(|cpu| cpu % 3 > 0).collect();
        machine.allowed.memory = 1;
        for choice in [Choice::Auto, Choice::Off, Choice::Node(nodes - 1), Choice::Node(99)] {
            let mut report = report_of(machine.clone(), vec![card(Some(nodes - 1)), card(None)], choice);
            report.machine.source = Source::Sysfs;
            for line in printed(&report, PLAIN).lines() {
                assert!(line.len() <= WIDTH, "{line}");
            }
        }
    }
}

#[test]
fn json_has_a_line_for_each_thing_and_ends_with_a_summary() {
    let mut machine = machine(2);
    machine.allowed.memory = 0b01;
    let report = report_of(machine, vec![card(Some(1))], Choice::Auto);
    let text = printed(&report, OutputArgs { json: true, ..PLAIN });
    let lines: Vec<Value> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let types: Vec<_> = lines.iter().map(|line| line["type"].as_str().unwrap()).collect();
    assert_eq!(types, ["node", "node", "card", "placement", "summary"]);
    assert_eq!((&lines[1]["cpus"], &lines[1]["distances"]["0"]), (&json!("4-7"), &json!(21)));
    assert_eq!(lines[1]["memory_allowed"], json!(false));
    assert_eq!(lines[2]["interrupts"][1]["irq"], json!(31));
    let place = &lines[3];
    assert_eq!((&place["node"], &place["memory_node"], &place["iface"]), (&json!(1), &json!(0), &json!("eth0")));
    assert_eq!(place["workers"][0], json!({ "cpu": 4, "node": 1, "queues": [0] }));
    let summary = &lines[4];
    assert_eq!((&summary["source"], &summary["nodes"], &summary["cpus"]), (&json!("xml"), &json!(2), &json!(8)));
    assert_eq!((&summary["detect_ms"], &summary["exit_code"]), (&json!(1.5), &json!(0)));
    assert_eq!(summary["shortfalls"].as_array().unwrap().len(), 1);
}

#[test]
fn a_mistake_is_one_line_and_with_json_a_summary() {
    let error = TopoError::Description(DescriptionError::Synthetic { shown: "pack:x".to_owned() });
    let (mut out, mut remarks) = (Vec::new(), Vec::new());
    print_error(&error, OutputArgs { json: true, ..PLAIN }, &mut out, &mut remarks).unwrap();
    let summary: Value = serde_json::from_slice(&out).unwrap();
    assert_eq!((&summary["command"], &summary["exit_code"]), (&json!("topo"), &json!(2)));
    let remarks = String::from_utf8(remarks).unwrap();
    assert!(
        remarks.starts_with("wirehaul: `pack:x` describes no machine") && remarks.lines().count() == 1,
        "{remarks}"
    );
}
