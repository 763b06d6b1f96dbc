//! `wirehaul topo`: the NUMA nodes of a machine, its cards, and where their packets would be worked on (NUMA-1).

use std::fs::File;
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};

use serde_json::{Value, json};
use wirehaul_core::numa::Placement;
use wirehaul_core::time::Duration;

use super::args::{OutputArgs, TopoArgs};
use super::exit::Exit;
use crate::clock::Clock;
use crate::interface::{InterfaceError, Interrupt};
use crate::numa::cards::{Card, cards};
use crate::numa::check::{NodeCheck, check};
use crate::numa::memory::Residency;
use crate::numa::report::{NodeState, Place, Report, Worker};
use crate::numa::{DescriptionError, HugePages, Machine};
use crate::transport;

#[cfg(test)]
mod tests;
mod text;

/// Bytes of an XML file at most; that of a machine with a thousand CPUs has some two million.
const MOST_XML_BYTES: u64 = 16 << 20;

/// Why there is no map.
#[derive(Debug, thiserror::Error)]
enum TopoError {
    #[error(transparent)]
    Description(#[from] DescriptionError),
    #[error("{}: {error}", named(.path))]
    InFile { path: PathBuf, error: DescriptionError },
    #[error("cannot read {}: {source}", named(.path))]
    Read { path: PathBuf, source: io::Error },
    #[error("{} has more than {} MiB: no machine takes so much to describe", named(.path), MOST_XML_BYTES >> 20)]
    TooLong { path: PathBuf },
    #[error(transparent)]
    Interface(#[from] InterfaceError),
}

/// The file as people know it.
fn named(path: &Path) -> String {
    if path == Path::new("-") { "standard input".to_owned() } else { path.display().to_string() }
}

impl TopoError {
    const fn exit(&self) -> Exit {
        match self {
            Self::Interface(InterfaceError::Kernel(_)) => Exit::Failed,
            Self::Interface(_) => Exit::Device,
            Self::Description(DescriptionError::NotRead { .. })
            | Self::InFile { error: DescriptionError::NotRead { .. }, .. } => Exit::Failed,
            Self::Description(_) | Self::InFile { .. } | Self::Read { .. } | Self::TooLong { .. } => Exit::Usage,
        }
    }
}

/// Looks, and draws what it found.
///
/// The map goes to `out`, errors go to `remarks`.
pub fn run(args: &TopoArgs, output: OutputArgs, out: &mut impl Write, remarks: &mut impl Write) -> Exit {
    let clock = Clock::start();
    let began = clock.now();
    let found = look(args).map(|machine| (machine, clock.now().saturating_since(began)));
    let drawn = found.and_then(|(machine, took)| Ok((report(args, machine)?, took)));
    let exit = drawn.as_ref().map_or_else(TopoError::exit, |(report, _)| exit_of(report));
    let printed = match &drawn {
        Ok((report, took)) => print(report, *took, output, out),
        Err(error) => print_error(error, output, out, remarks),
    };
    exit.once_printed(printed, "what was found", remarks)
}

/// What was tried out and is not where it belongs is a failure; what is only shown is none.
fn exit_of(report: &Report) -> Exit {
    let is_good = report.checks.iter().flatten().all(NodeCheck::is_good);
    if is_good { Exit::Done } else { Exit::Failed }
}

fn look(args: &TopoArgs) -> Result<Box<Machine>, TopoError> {
    match (&args.synthetic, &args.xml) {
        (Some(description), _) => Ok(Machine::from_synthetic(description)?),
        (None, Some(path)) => {
            let xml = read(path)?;
            Machine::from_xml(&xml).map_err(|error| TopoError::InFile { path: path.clone(), error })
        }
        (None, None) => Ok(Machine::here()),
    }
}

fn read(path: &Path) -> Result<String, TopoError> {
    let failed = |source| TopoError::Read { path: path.to_owned(), source };
    let from: Box<dyn Read> =
        if path == Path::new("-") { Box::new(io::stdin()) } else { Box::new(File::open(path).map_err(failed)?) };
    let mut bytes = Vec::new();
    from.take(MOST_XML_BYTES + 1).read_to_end(&mut bytes).map_err(failed)?;
    if bytes.len() as u64 > MOST_XML_BYTES {
        return Err(TopoError::TooLong { path: path.to_owned() });
    }
    let no_text = |_| TopoError::InFile { path: path.to_owned(), error: DescriptionError::Xml };
    String::from_utf8(bytes).map_err(no_text)
}

fn report(args: &TopoArgs, machine: Box<Machine>) -> Result<Report, TopoError> {
    let iface = args.iface.as_deref();
    let cards = if machine.source.is_here() { cards(iface)? } else { Vec::new() };
    let checks = args.check.then(|| check(&machine));
    let report = Report::of(machine, cards, iface.is_some(), args.numa.choice(), transport::shares);
    Ok(Report { checks, ..report })
}

fn print(report: &Report, took: Duration, output: OutputArgs, out: &mut impl Write) -> io::Result<()> {
    if output.json {
        print_json(report, took, out)?;
    } else if !output.quiet {
        write!(out, "{}", text::of(report, took))?;
    }
    out.flush()
}

fn print_error(
    error: &TopoError,
    output: OutputArgs,
    out: &mut impl Write,
    remarks: &mut impl Write,
) -> io::Result<()> {
    writeln!(remarks, "wirehaul: {error}")?;
    if output.json {
        let exit_code = error.exit().code();
        let summary =
            json!({ "type": "summary", "command": "topo", "error": error.to_string(), "exit_code": exit_code });
        writeln!(out, "{summary}")?;
    }
    out.flush()
}

// --- JSON ---

fn print_json(report: &Report, took: Duration, out: &mut impl Write) -> io::Result<()> {
    for state in &report.nodes {
        writeln!(out, "{}", node_json(report, state))?;
    }
    for card in &report.cards {
        writeln!(out, "{}", card_json(card))?;
    }
    for place in &report.places {
        writeln!(out, "{}", place_json(place))?;
    }
    for check in report.checks.iter().flatten() {
        writeln!(out, "{}", check_json(check))?;
    }
    let summary = json!({
        "type": "summary",
        "command": "topo",
        "source": report.machine.source.name(),
        "nodes": report.nodes.len(),
        "cpus": report.machine.topology.cpus().len(),
        "allowed_cpus": report.machine.allowed.cpus.list().to_string(),
        "cards": report.cards.len(),
        "detect_ms": took.as_nanos() as f64 / 1e6,
        "shortfalls": report.shortfalls(),
        "error": null,
        "exit_code": exit_of(report).code(),
    });
    writeln!(out, "{summary}")
}

fn node_json(report: &Report, state: &NodeState) -> Value {
    let topology = &report.machine.topology;
    let node = &state.node;
    let distance = |to: u32| (to.to_string(), json!(topology.distance(node.id, to)));
    let distances: serde_json::Map<_, _> = topology.nodes().iter().map(|to| distance(to.id)).collect();
    let is_told = topology.nodes().iter().any(|to| topology.told_distance(node.id, to.id).is_some());
    json!({
        "type": "node",
        "node": node.id,
        "cpus": node.cpus.list().to_string(),
        "cores": node.cores.len(),
        "allowed_cpus": state.allowed_cpus.list().to_string(),
        "memory_bytes": node.memory_bytes,
        "free_bytes": state.free_bytes,
        "memory_allowed": state.is_memory_allowed,
        "huge_pages": state.huge_pages.iter().map(huge_pages_json).collect::<Vec<_>>(),
        "distances": is_told.then_some(distances),
    })
}

fn huge_pages_json(pages: &HugePages) -> Value {
    json!({ "page_bytes": pages.page_bytes, "total": pages.total, "free": pages.free })
}

fn card_json(card: &Card) -> Value {
    json!({
        "type": "card",
        "iface": card.iface,
        "driver": card.driver,
        "node": card.node,
        "up": card.is_up,
        "queues": card.queues,
        "interrupts": card.interrupts.iter().map(interrupt_json).collect::<Vec<_>>(),
    })
}

fn interrupt_json(interrupt: &Interrupt) -> Value {
    json!({ "irq": interrupt.number, "name": interrupt.name, "queue": interrupt.queue, "cpus": interrupt.cpus })
}

fn place_json(place: &Place) -> Value {
    let Placement { cpu_node, memory_node, .. } = place.placement;
    json!({
        "type": "placement",
        "iface": place.iface,
        "node": cpu_node,
        "memory_node": memory_node,
        "cpus": place.placement.cpus.list().to_string(),
        "workers": place.workers.iter().map(worker_json).collect::<Vec<_>>(),
        "shortfalls": place.shortfalls,
    })
}

/// `frames` and `heap` are null on a node without memory for this process.
fn check_json(check: &NodeCheck) -> Value {
    let pages = |found: Residency| json!({ "pages": found.pages, "misplaced": found.misplaced });
    json!({
        "type": "check",
        "node": check.node,
        "good": check.is_good(),
        "threads": check.threads,
        "misplaced_threads": check.misplaced_threads,
        "cpus": check.cpus.list().to_string(),
        "frames": check.frames.map(|(found, size)| {
            json!({ "page_bytes": size.bytes(), "pages": found.pages, "misplaced": found.misplaced })
        }),
        "heap": check.heap.map(pages),
        "remarks": check.remarks,
    })
}

fn worker_json(worker: &Worker) -> Value {
    json!({ "cpu": worker.cpu, "node": worker.node, "queues": worker.queues })
}
