//! Says how packets travel, and how they did.

use serde_json::{Value, json};

use super::args::OutputArgs;
use super::output::{line, remark};
use crate::transport::{Step, Transport};
#[cfg(target_os = "linux")]
use crate::xdp::{MemoryReport, XdpDevice};

/// A worker's part of the way, to be shown.
pub(super) struct Seen<'a> {
    pub(super) transport: &'a Transport,
    /// The CPU that it stays on.
    pub(super) cpu: Option<u32>,
}

/// Says which way was taken. With `-v` each step of the ladder is said with its reason; with `--json` it is a line of its own.
pub(super) fn announce(workers: &[Seen<'_>], steps: &[Step], output: OutputArgs) {
    if output.json {
        line(&to_json(workers, steps).to_string());
    } else if output.verbose > 0 {
        steps.iter().for_each(|step| remark(&format!("transport {}: {}", step.way, step.reason)));
        workers.iter().enumerate().filter_map(in_words).for_each(|words| remark(&words));
        #[cfg(target_os = "linux")]
        if let Some(memory) = MemoryReport::of_all(devices(workers).map(XdpDevice::memory)) {
            remark(&frames_in_words(&memory));
        }
    }
}

fn to_json(workers: &[Seen<'_>], steps: &[Step]) -> Value {
    let steps: Vec<_> = steps.iter().map(|step| json!({ "way": step.way, "reason": step.reason })).collect();
    let name = workers.first().map_or("none", |worker| worker.transport.name());
    let mut value = json!({ "type": "transport", "transport": name, "steps": steps });
    if workers.iter().any(|worker| !worker.transport.queues().is_empty()) {
        let worker = |worker: &Seen<'_>| json!({ "cpu": worker.cpu, "queues": worker.transport.queues() });
        value["workers"] = workers.iter().map(worker).collect();
    }
    #[cfg(target_os = "linux")]
    if let Some(device) = devices(workers).next()
        && let Some(memory) = MemoryReport::of_all(devices(workers).map(XdpDevice::memory))
    {
        let mut queues: Vec<u32> = devices(workers).flat_map(XdpDevice::queues).copied().collect();
        queues.sort_unstable();
        value["iface"] = json!(device.interface());
        value["queues"] = json!(queues);
        value["frames"] = json!({
            "bytes": memory.bytes,
            "page_bytes": memory.pages.bytes(),
            "huge_page_hit_pct": memory.huge_page_percent(),
            "numa_node": memory.node,
            "locked": memory.is_locked,
            "not_had": memory.steps,
        });
    }
    value
}

#[cfg(target_os = "linux")]
fn devices<'a>(workers: &'a [Seen<'a>]) -> impl Iterator<Item = &'a XdpDevice> {
    workers.iter().filter_map(|worker| match worker.transport {
        Transport::Xdp(device) => Some(&**device),
        Transport::Udp(_) => None,
    })
}

/// A worker with its place and its queues, where it has queues of its own.
fn in_words((number, Seen { transport, cpu }): (usize, &Seen<'_>)) -> Option<String> {
    let queues: Vec<_> = transport.queues().iter().map(u32::to_string).collect();
    let place = cpu.map_or_else(String::new, |cpu| format!(" on CPU {cpu}"));
    (!queues.is_empty()).then(|| format!("worker {number}{place}: queues {}", queues.join(", ")))
}

#[cfg(target_os = "linux")]
fn frames_in_words(memory: &MemoryReport) -> String {
    let node = memory.node.map_or_else(String::new, |node| format!(" of NUMA node {node}, every page verified"));
    let locked = if memory.is_locked { "locked" } else { "not locked (limit of locked memory)" };
    let missing: String = memory.steps.iter().map(|step| format!("; {step}")).collect();
    format!(
        "frames: {} bytes on {} pages{node}, huge page hit rate {} %, {locked}{missing}",
        memory.bytes,
        memory.pages,
        memory.huge_page_percent()
    )
}

/// Says what became of the packets, where AF_XDP carried them.
pub(super) fn remark_on(transport: &mut Transport) {
    #[cfg(target_os = "linux")]
    if let Transport::Xdp(device) = transport {
        for (reject, count) in device.rejects() {
            remark(&format!("{count} packets left aside: {} ({})", reject.name(), reject.rule()));
        }
        let found = device.statistics();
        let (device, sockets, frames) = (found.device, found.sockets, found.frames);
        remark(&format!(
            "{} received, {} sent, {} by the kernel's socket; {} calls to send, {} not done at once",
            device.datagrams_received, device.datagrams_sent, device.by_kernel, device.kicks, device.again
        ));
        remark(&format!(
            "kernel dropped {} for a full receive ring, {} for an empty fill ring, {} otherwise; {} addresses and {} indices made no sense",
            sockets.rx_ring_full, sockets.rx_fill_ring_empty, sockets.rx_dropped, found.faults.0, found.faults.1
        ));
        remark(&format!(
            "frames: {} free + {} to receive into + {} being sent + {} held = {}",
            frames.free,
            frames.filled,
            frames.sent,
            frames.held(),
            frames.frames
        ));
    }
    #[cfg(not(target_os = "linux"))]
    let _ = transport;
}
