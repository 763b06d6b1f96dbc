//! What it costs to work on the wrong NUMA node (NUMA-7), and what looking at nodes costs where there is one (NUMA-6).

use std::net::Ipv4Addr;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::thread::{self, sleep};
use std::time::Duration;

use clap::Args;
use serde::Serialize;
use wirehaul::interface::Interface;
use wirehaul::numa::irq::Steered;
use wirehaul::numa::{Home, Machine, threads};
use wirehaul_core::numa::{Choice, CpuSet, Node};

use super::contest::{Contestant, Scenario};
use super::cost::{WORKS, run_on_node};
use super::perf::Counting;
use super::transfer::Transfers;
use super::veth::{Extent, Lab, Seat, VethError};
use crate::clock::Stopwatch;
use crate::stats::{median, range};

/// Times that nodes are looked at.
const LOOKS: usize = 50;
/// For a process to be at work.
const START: Duration = Duration::from_millis(1500);

/// What is measured.
#[derive(Debug, Args)]
pub struct NumaArgs {
    /// The program, for transfers with nodes and without
    #[arg(long)]
    wirehaul: PathBuf,
    /// Pairs of transfers, one with nodes and one without
    #[arg(long, default_value_t = 15)]
    rounds: usize,
    /// Bytes of each transfer
    #[arg(long, default_value_t = 2 << 30)]
    bytes: u64,
    /// How often all processes of a comparison of rates are started anew
    #[arg(long, default_value_t = 8)]
    starts: usize,
    /// Pairs of slices between two starts
    #[arg(long, default_value_t = 6)]
    pairs: usize,
    /// Batches of 64 packets for the cost of the rings
    #[arg(long, default_value_t = 20_000)]
    batches: usize,
    /// Seconds for each figure of a card
    #[arg(long, default_value_t = 5)]
    seconds: u64,
    /// A card that another host sends to all the time: `xdp role --role send` there, as this program says
    #[arg(long)]
    iface: Option<String>,
    /// This host's address on that card
    #[arg(long, requires = "iface")]
    own: Option<Ipv4Addr>,
    /// The other host's address
    #[arg(long, requires = "iface")]
    other: Option<Ipv4Addr>,
}

/// Ours beside ours elsewhere.
#[derive(Clone, Debug, Serialize)]
pub struct Finding {
    /// What was measured.
    pub what: String,
    /// Where both were.
    pub places: String,
    /// How much faster the first place is: the median over pairs.
    pub ratio: f64,
    /// The smallest and the largest.
    pub range: [f64; 2],
    /// Of the first place and the second: packets or Gbit per second, or nanoseconds.
    pub figures: [f64; 2],
    /// The part of the loads from memory that another node had, where perf counts it.
    pub remote_loads: Option<[f64; 2]>,
}

/// All of it.
#[derive(Clone, Debug, Serialize)]
pub struct Report {
    /// NUMA nodes with CPUs that this process may use, and those with memory.
    pub nodes: [usize; 2],
    /// Milliseconds for all that is known of the machine: the median.
    pub detect_ms: f64,
    /// Microseconds for the decision where to work, as a transfer makes it: the median.
    pub decide_us: f64,
    /// Ratios.
    pub findings: Vec<Finding>,
}

/// Measures all that this machine lets measure.
///
/// # Errors
/// [`VethError`].
pub fn measure(args: &NumaArgs) -> Result<Report, VethError> {
    let machine = Machine::here();
    let nodes = machine.topology.nodes();
    let cpus: Vec<(u32, Vec<u32>)> = nodes
        .iter()
        .map(|node| (node.id, node.cpus.and(&machine.allowed.cpus).iter().collect::<Vec<_>>()))
        .filter(|(_, cpus)| !cpus.is_empty())
        .collect();
    let is_usable = |node: &&Node| node.memory_bytes > 0 && machine.allowed.memory & node.mask() != 0;
    let memory: Vec<u32> = nodes.iter().filter(is_usable).map(|node| node.id).collect();
    let detect_ms = times(|| drop(Machine::here())) * 1e3;
    let decide_us = times(|| drop(Home::find(Choice::Auto, true, || None))) * 1e6;
    let mut findings = transfers(args)?;
    if memory.len() > 1 || cpus.len() > 1 {
        findings.extend(rings(args, &cpus, &memory));
        findings.extend(rates(args, &cpus, &memory)?);
    }
    if let Some(name) = &args.iface {
        findings.extend(card(args, name, &cpus, &memory)?);
    }
    Ok(Report { nodes: [cpus.len(), memory.len()], detect_ms, decide_us, findings })
}

/// The median time of doing it, in seconds.
fn times(work: impl Fn()) -> f64 {
    let once = |_| {
        let watch = Stopwatch::start();
        work();
        watch.seconds()
    };
    median(&(0..LOOKS).map(once).collect::<Vec<_>>()).unwrap_or_default()
}

/// Whole transfers as they are, next to ones that look at no nodes.
fn transfers(args: &NumaArgs) -> Result<Vec<Finding>, VethError> {
    let lab = Transfers::new(&args.wirehaul)?;
    let mut found = Vec::new();
    for way in ["udp", "xdp-copy"] {
        let mut pairs = Vec::new();
        for round in 0..args.rounds.max(1) {
            let with = |flags: &[&str]| lab.run_with(way, args.bytes, flags);
            let pair = if round % 2 == 0 {
                let ours = with(&[])?;
                [ours, with(&["--no-numa"])?]
            } else {
                let without = with(&["--no-numa"])?;
                [with(&[])?, without]
            };
            pairs.push(pair);
        }
        found.extend(finding(format!("transfer, {way}"), "as chosen | --no-numa".to_owned(), &pairs, |[a, b]| a / b));
    }
    Ok(found)
}

/// The rings alone, with frames on the thread's node and on each other one.
fn rings(args: &NumaArgs, cpus: &[(u32, Vec<u32>)], memory: &[u32]) -> Vec<Finding> {
    let batches = args.batches.max(1);
    let mut found = Vec::new();
    for (node, cpus) in cpus.iter().filter(|(node, _)| memory.contains(node)) {
        for other in memory.iter().filter(|other| *other != node) {
            for work in WORKS {
                let cost = |memory: u32| {
                    let cpu = cpus.first().copied().unwrap_or_default();
                    let run = move || {
                        threads::pin(cpu).ok()?;
                        median(&run_on_node(work, batches, Some(memory)))
                    };
                    thread::spawn(run).join().ok().flatten()
                };
                let pairs: Vec<_> = (0..5).filter_map(|_| Some([cost(*node)?, cost(*other)?])).collect();
                let places = format!("CPUs of {node}, frames on {node} | {other}");
                // Nanoseconds: less is faster.
                found.extend(finding(work.describe().to_owned(), places, &pairs, |[a, b]| b / a));
            }
        }
    }
    found
}

/// Packets per second over veth: worker and frames on one node, next to each of both on another.
fn rates(args: &NumaArgs, cpus: &[(u32, Vec<u32>)], memory: &[u32]) -> Result<Vec<Finding>, VethError> {
    let mut lab = Lab::new(false)?;
    let extent = Extent { starts: args.starts.max(1), pairs: args.pairs.max(1), slice: Duration::from_millis(500) };
    // CPU 0 sends.
    let seats: Vec<(u32, u32)> =
        cpus.iter().filter_map(|(node, cpus)| Some((*node, cpus.iter().copied().find(|cpu| *cpu != 0)?))).collect();
    let mut found = Vec::new();
    for (node, cpu) in seats.iter().filter(|(node, _)| memory.contains(node)) {
        let here = Seat { cpu: *cpu, memory_node: Some(*node) };
        let elsewhere = memory.iter().filter(|other| *other != node);
        let far_memory =
            elsewhere.map(|other| (format!("frames on {node} | {other}"), Seat { memory_node: Some(*other), ..here }));
        let far_threads = seats.iter().filter(|(other, _)| other != node);
        let far_threads =
            far_threads.map(|(other, cpu)| (format!("worker on {node} | {other}"), Seat { cpu: *cpu, ..here }));
        for (places, there) in far_memory.chain(far_threads) {
            for scenario in [Scenario::Receive, Scenario::Forward] {
                let compared = lab.compare_seats(scenario, Contestant::Wirehaul, [here, there], extent)?;
                let pairs: Vec<_> =
                    compared.pairs.iter().map(|pair| [pair.ours.packets_per_s, pair.theirs.packets_per_s]).collect();
                let what = format!("veth, {}", scenario.name());
                found.extend(finding(what, format!("node {node}: {places}"), &pairs, |[a, b]| a / b));
            }
        }
    }
    Ok(found)
}

/// Packets per second that a card's queues give to a worker, everything on the card's node next to one thing elsewhere.
fn card(args: &NumaArgs, name: &str, cpus: &[(u32, Vec<u32>)], memory: &[u32]) -> Result<Vec<Finding>, VethError> {
    let failed = |output: String| VethError::Failed { who: "the card", output };
    let interface = Interface::by_name(name).map_err(|error| failed(error.to_string()))?;
    let Some(node) = interface.numa_node else {
        return Err(failed(format!("{name} belongs to no node: there is nothing to compare")));
    };
    let cpu_of = |node: u32| cpus.iter().find(|(id, _)| *id == node).and_then(|(_, cpus)| cpus.first().copied());
    let Some(cpu) = cpu_of(node).filter(|_| memory.contains(&node)) else {
        return Err(failed(format!("node {node}, where {name} is, has no CPU or no memory for this process")));
    };
    let all_of = |node: u32| machine_cpus(cpus, node);
    let here = At { seat: Seat { cpu, memory_node: Some(node) }, interrupts: all_of(node) };
    let mut places = Vec::new();
    for other in memory.iter().filter(|other| **other != node) {
        let seat = Seat { memory_node: Some(*other), ..here.seat };
        places.push((format!("frames on {node} | {other}"), At { seat, ..here }));
    }
    for (other, cpus) in cpus.iter().filter(|(other, _)| *other != node) {
        let seat = Seat { cpu: cpus.first().copied().unwrap_or(cpu), ..here.seat };
        places.push((format!("worker on {node} | {other}"), At { seat, ..here }));
        places.push((format!("interrupts on {node} | {other}"), At { interrupts: all_of(*other), ..here }));
    }
    let mut found = Vec::new();
    for (places, there) in places {
        let (mut pairs, mut remote) = (Vec::new(), Vec::new());
        for round in 0..args.rounds.max(1) {
            let order = if round % 2 == 0 { [here, there] } else { [there, here] };
            let mut results = [receive(args, &interface, order[0])?, receive(args, &interface, order[1])?];
            if round % 2 == 1 {
                results.swap(0, 1);
            }
            pairs.push(results.map(|(rate, _)| rate));
            remote.push(results.map(|(_, remote)| remote));
        }
        let share = |at: usize| median(&remote.iter().filter_map(|pair| pair[at]).collect::<Vec<_>>());
        let (what, places) = (format!("{name}, receive and drop"), format!("card on {node}: {places}"));
        let finding = finding(what, places, &pairs, |[a, b]| a / b);
        let remote_loads = share(0).zip(share(1)).map(Into::into);
        found.extend(finding.map(|finding| Finding { remote_loads, ..finding }));
    }
    Ok(found)
}

/// Where a card's packets are worked on.
#[derive(Clone, Copy, Debug)]
struct At {
    seat: Seat,
    /// The CPUs of the card's interrupts.
    interrupts: CpuSet,
}

fn machine_cpus(cpus: &[(u32, Vec<u32>)], node: u32) -> CpuSet {
    cpus.iter().filter(|(id, _)| *id == node).flat_map(|(_, cpus)| cpus.iter().copied()).collect()
}

/// Packets per second from the first queue of a card, and the part of the loads that another node had.
fn receive(args: &NumaArgs, interface: &Interface, at: At) -> Result<(f64, Option<f64>), VethError> {
    let missing = || VethError::Failed { who: "the card", output: "--own and --other say the addresses".to_owned() };
    let (own, other) = (args.own.ok_or_else(missing)?.to_string(), args.other.ok_or_else(missing)?.to_string());
    let mut command = Command::new("taskset");
    command.arg("-c").arg(at.seat.cpu.to_string()).arg(std::env::current_exe()?);
    command.args(["role", "--role", "drop", "--iface", &interface.name, "--own", &own, "--other", &other]);
    command.args(["--other-mac", "00:00:00:00:00:00"]);
    if let Some(node) = at.seat.memory_node {
        command.arg("--memory-node").arg(node.to_string());
    }
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn()?;
    let begun = Stopwatch::start();
    sleep(START);
    // Behind the driver's own changes; they go back at the end of this function.
    let steered = Steered::steer(interface, &at.interrupts);
    steered.warnings().iter().for_each(|warning| eprintln!("xdp: {warning}"));
    let counting = Counting::start(child.id());
    sleep(Duration::from_secs(args.seconds.max(1)));
    let remote = counting.and_then(Counting::finish);
    // It counts from its first packet on.
    let seconds = begun.seconds();
    drop(child.stdin.take());
    let output = child.wait_with_output()?;
    let told = String::from_utf8_lossy(&output.stdout).into_owned();
    let summary = told.lines().rev().find_map(|line| serde_json::from_str::<serde_json::Value>(line).ok());
    let packets = summary.and_then(|summary| summary["packets"].as_f64());
    let words = || String::from_utf8_lossy(&output.stderr).trim().to_owned();
    let failed = || VethError::Failed { who: "the card", output: words() };
    Ok((packets.ok_or_else(failed)? / seconds, remote))
}

fn finding(what: String, places: String, pairs: &[[f64; 2]], ratio: impl Fn([f64; 2]) -> f64) -> Option<Finding> {
    let ratios: Vec<f64> = pairs.iter().map(|pair| ratio(*pair)).collect();
    let figure = |at: usize| median(&pairs.iter().map(|pair| pair[at]).collect::<Vec<_>>());
    let (smallest, largest) = range(&ratios)?;
    Some(Finding {
        what,
        places,
        ratio: median(&ratios)?,
        range: [smallest, largest],
        figures: [figure(0)?, figure(1)?],
        remote_loads: None,
    })
}

impl Report {
    /// For people.
    #[must_use]
    pub fn to_text(&self) -> String {
        let [cpus, memory] = self.nodes;
        let mut text = format!(
            "nodes with CPUs: {cpus}, with memory: {memory}; detection {:.1} ms, the decision where to work {:.1} us\n",
            self.detect_ms, self.decide_us
        );
        if cpus < 2 && memory < 2 {
            text += "one node: no place is local or remote, and there is nothing to compare but the cost of looking\n";
        }
        for Finding { what, places, ratio, range: [low, high], figures: [first, second], remote_loads } in
            &self.findings
        {
            let remote = match remote_loads {
                Some([first, second]) => {
                    format!("; loads from another node {:.1} % | {:.1} %", first * 100.0, second * 100.0)
                }
                None => String::new(),
            };
            text += &format!(
                "{what:<36} {places:<42} {ratio:.3}x ({low:.3} to {high:.3}); {first:.1} | {second:.1}{remote}\n"
            );
        }
        text
    }
}
