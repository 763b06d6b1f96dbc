//! The map for people, 80 columns wide.

use std::fmt::Write as _;

use wirehaul_core::numa::{CpuSet, Topology};
use wirehaul_core::time::Duration;

use crate::cli::wrap::push_wrapped;
use crate::numa::cards::Card;
use crate::numa::check::NodeCheck;
use crate::numa::report::{NodeState, Place, Report, Worker};
use crate::numa::{HugePages, Machine, Source};
use crate::units::{format_duration, format_size};

/// Where the values of a node begin.
const VALUE: usize = 14;
/// Where lines below a card or a place begin.
const INDENT: usize = 4;
/// Columns of the matrix of distances beside each other.
const COLUMNS: usize = 12;

/// The whole map.
pub(super) fn of(report: &Report, took: Duration) -> String {
    let mut text = head(&report.machine, took);
    for state in &report.nodes {
        push_node(&mut text, state);
    }
    push_distances(&mut text, &report.machine.topology);
    push_cards(&mut text, &report.cards, report.machine.source);
    for words in &report.left_behind {
        text.push_str("    ! ");
        push_wrapped(&mut text, words, INDENT + 2, INDENT + 2);
    }
    push_places(&mut text, report);
    push_checks(&mut text, report);
    text
}

fn head(machine: &Machine, took: Duration) -> String {
    let (nodes, cpus) = (machine.topology.nodes().len() as u64, u64::from(machine.topology.cpus().len()));
    let from = match machine.source {
        Source::Hwloc => format!("from hwloc in {}", format_duration(took)),
        Source::Sysfs => format!("from /sys in {}", format_duration(took)),
        Source::Synthetic => "from a description".to_owned(),
        Source::Xml => "from an XML file".to_owned(),
    };
    format!("{}, {}, {from}\n", count(nodes, "NUMA node"), count(cpus, "CPU"))
}

fn push_node(text: &mut String, state: &NodeState) {
    let node = &state.node;
    let _ = writeln!(text, "\nnode {}", node.id);
    push_value(text, "CPUs", &cpus_in_words(&node.cpus, &node.cores));
    if state.allowed_cpus != node.cpus {
        let allowed = state.allowed_cpus;
        let words = if allowed.is_empty() {
            "none, to this process".to_owned()
        } else {
            format!("{}, to this process", allowed.list())
        };
        push_value(text, "allowed", &words);
    }
    push_value(text, "memory", &memory_in_words(state));
    if !state.huge_pages.is_empty() {
        let sizes: Vec<_> = state.huge_pages.iter().map(huge_pages_in_words).collect();
        push_value(text, "huge pages", &sizes.join("; "));
    }
}

fn push_value(text: &mut String, name: &str, value: &str) {
    let _ = write!(text, "  {name:<width$}", width = VALUE - 2);
    push_wrapped(text, value, VALUE, VALUE);
}

fn cpus_in_words(cpus: &CpuSet, cores: &CpuSet) -> String {
    match (u64::from(cpus.len()), u64::from(cores.len())) {
        (0, _) => "none".to_owned(),
        (all, cores) if all == cores => format!("{} ({})", spaced(cpus), count(cores, "core")),
        (all, cores) => format!("{} ({} with {})", spaced(cpus), count(cores, "core"), count(all, "thread")),
    }
}

/// A list that lines can be broken in.
fn spaced(cpus: &CpuSet) -> String {
    cpus.list().to_string().replace(',', ", ")
}

fn memory_in_words(state: &NodeState) -> String {
    let free = state.free_bytes.map(|bytes| format!(", {} free", format_size(bytes))).unwrap_or_default();
    match (state.node.memory_bytes, state.is_memory_allowed) {
        (0, _) => "none".to_owned(),
        (bytes, true) => format!("{}{free}", format_size(bytes)),
        (bytes, false) => format!("{}{free}; not allowed to this process", format_size(bytes)),
    }
}

fn huge_pages_in_words(pages: &HugePages) -> String {
    let size = match pages.page_bytes {
        bytes if bytes >= 1 << 30 => format!("{} GiB", bytes >> 30),
        bytes if bytes >= 1 << 20 => format!("{} MiB", bytes >> 20),
        bytes => format!("{} KiB", bytes >> 10),
    };
    if pages.total == 0 { format!("{size}: none") } else { format!("{size}: {} of {} free", pages.free, pages.total) }
}

/// Where there are several nodes, how far they are from each other; of more than fit beside each other, in several parts.
fn push_distances(text: &mut String, topology: &Topology) {
    let ids: Vec<u32> = topology.nodes().iter().map(|node| node.id).collect();
    let is_told = ids.iter().any(|from| ids.iter().any(|to| topology.told_distance(*from, *to).is_some()));
    if ids.len() < 2 {
        return;
    }
    if !is_told {
        let _ = writeln!(text, "\ndistances\n  not told");
        return;
    }
    for columns in ids.chunks(COLUMNS) {
        let _ = write!(text, "\ndistances\n  node");
        for to in columns {
            let _ = write!(text, " {to:>5}");
        }
        text.push('\n');
        for from in &ids {
            let _ = write!(text, "  {from:>4}");
            for to in columns {
                let _ = write!(text, " {:>5}", topology.distance(*from, *to));
            }
            text.push('\n');
        }
    }
}

fn push_cards(text: &mut String, cards: &[Card], source: Source) {
    if !source.is_here() {
        return;
    }
    text.push_str("\ncards\n");
    if cards.is_empty() {
        text.push_str("  none that is up\n");
    }
    for card in cards {
        let driver = card.driver.as_deref().unwrap_or("no driver");
        let node = card.node.map_or_else(|| "no node of its own".to_owned(), |node| format!("node {node}"));
        let state = if card.is_up { "up" } else { "down" };
        let words = format!("{driver}, {node}, {state}, {}", count(u64::from(card.queues), "queue"));
        let _ = write!(text, "  {} ", card.iface);
        push_wrapped(text, &words, 3 + card.iface.len(), INDENT);
        for interrupt in &card.interrupts {
            let queue = interrupt.queue.map_or_else(|| interrupt.name.clone(), |queue| format!("queue {queue}"));
            let cpus: CpuSet = interrupt.cpus.iter().copied().collect();
            let cpus = if cpus.is_empty() { "no CPU is told".to_owned() } else { cpus_named(&cpus) };
            let _ = write!(text, "{:INDENT$}", "");
            push_wrapped(text, &format!("{queue}: interrupt {}, {cpus}", interrupt.number), INDENT, INDENT + 2);
        }
    }
}

fn push_places(text: &mut String, report: &Report) {
    text.push_str("\nplacement\n");
    for place in &report.places {
        let about = place.iface.as_deref().unwrap_or("any card");
        let _ = write!(text, "  {about}: ");
        push_wrapped(text, &place_in_words(place), 4 + about.len(), INDENT);
        for (number, worker) in place.workers.iter().enumerate() {
            let _ = write!(text, "{:INDENT$}", "");
            push_wrapped(text, &worker_in_words(number, worker), INDENT, INDENT + 2);
        }
        for shortfall in &place.shortfalls {
            text.push_str("    ! ");
            push_wrapped(text, shortfall, INDENT + 2, INDENT + 2);
        }
    }
}

fn push_checks(text: &mut String, report: &Report) {
    let Some(checks) = &report.checks else { return };
    text.push_str("\ncheck\n");
    for check in checks {
        let _ = write!(text, "  node {}: ", check.node);
        push_wrapped(text, &check_in_words(check), 8 + check.node.to_string().len(), INDENT);
        for remark in &check.remarks {
            text.push_str("    ! ");
            push_wrapped(text, remark, INDENT + 2, INDENT + 2);
        }
    }
}

fn check_in_words(check: &NodeCheck) -> String {
    let of = |misplaced: usize, all: u64, what: &str| match misplaced {
        0 => format!("{}, all there", count(all, what)),
        misplaced => format!("{}, {misplaced} of them ELSEWHERE", count(all, what)),
    };
    let looks = of(check.misplaced_threads, check.threads as u64, "look");
    let mut parts = vec![format!("threads on {} ({looks})", cpus_named(&check.cpus))];
    if let Some((found, size)) = check.frames {
        parts.push(format!("frames: {}", of(found.misplaced, found.pages as u64, &format!("{size} page"))));
    }
    if let Some(found) = check.heap {
        parts.push(format!("touched: {}", of(found.misplaced, found.pages as u64, "page")));
    }
    if check.frames.is_none() && check.heap.is_none() {
        parts.push("no memory to try".to_owned());
    }
    parts.join("; ")
}

fn place_in_words(place: &Place) -> String {
    let placement = &place.placement;
    let cpus = match placement.cpu_node {
        Some(node) => format!("{} of node {node}", cpus_named(&placement.cpus)),
        None => format!("{} of any node", cpus_named(&placement.cpus)),
    };
    match (placement.cpu_node, placement.memory_node) {
        (None, None) => format!("{}, memory as the system gives it", cpus_named(&placement.cpus)),
        (_, None) => format!("{cpus}, memory as the system gives it"),
        (_, Some(node)) => format!("{cpus}, memory of node {node}"),
    }
}

fn worker_in_words(number: usize, worker: &Worker) -> String {
    let cpu = worker.cpu.map_or_else(|| "any CPU".to_owned(), |cpu| format!("CPU {cpu}"));
    let node = worker.node.map(|node| format!(" on node {node}")).unwrap_or_default();
    let queues: CpuSet = worker.queues.iter().copied().collect();
    let plural = if worker.queues.len() == 1 { "queue" } else { "queues" };
    format!("worker {number}: {cpu}{node}, {plural} {}", spaced(&queues))
}

fn cpus_named(cpus: &CpuSet) -> String {
    let plural = if cpus.len() == 1 { "CPU" } else { "CPUs" };
    if cpus.is_empty() { "no CPUs".to_owned() } else { format!("{plural} {}", spaced(cpus)) }
}

/// `1 core`, `2 cores`.
fn count(number: u64, what: &str) -> String {
    if number == 1 { format!("1 {what}") } else { format!("{number} {what}s") }
}
