//! Says how packets travel, and how they did.

use serde_json::{Value, json};

use super::args::OutputArgs;
use super::output::{line, remark};
use crate::transport::{Step, Transport};

/// Says which way was taken. With `-v` each step of the ladder is said with its reason; with `--json` it is a line of its own.
pub(super) fn announce(transport: &Transport, steps: &[Step], output: OutputArgs) {
    if output.json {
        line(&to_json(transport, steps).to_string());
    } else if output.verbose > 0 {
        steps.iter().for_each(|step| remark(&format!("transport {}: {}", step.way, step.reason)));
        #[cfg(target_os = "linux")]
        if let Transport::Xdp(device) = transport {
            remark(&frames_in_words(&device.memory()));
        }
    }
}

fn to_json(transport: &Transport, steps: &[Step]) -> Value {
    let steps: Vec<_> = steps.iter().map(|step| json!({ "way": step.way, "reason": step.reason })).collect();
    let mut value = json!({ "type": "transport", "transport": transport.name(), "steps": steps });
    #[cfg(target_os = "linux")]
    if let Transport::Xdp(device) = transport {
        let memory = device.memory();
        value["iface"] = json!(device.interface());
        value["queues"] = json!(device.queues());
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
fn frames_in_words(memory: &crate::xdp::MemoryReport) -> String {
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
