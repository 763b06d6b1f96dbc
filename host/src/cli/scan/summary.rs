//! The last word about a scan: for scripts an object, for people a line. And what goes into the audit log.

use std::io::{self, Write};

use serde_json::{Value, json};

#[cfg(target_os = "linux")]
use super::plan::Plan;
use crate::cli::exit::Exit;
#[cfg(target_os = "linux")]
use crate::clock::unix_seconds;
#[cfg(target_os = "linux")]
use crate::scan::metadata::{Allowed, big};
#[cfg(target_os = "linux")]
pub(super) use figures::{Figures, Mark, Summary};

#[cfg(target_os = "linux")]
mod figures;

/// Says why nothing was sent; where a script listens, with a summary all the same.
pub(super) fn not_started(message: &str, exit: Exit, is_told: bool) -> Exit {
    super::remark(message);
    if is_told {
        let summary = json!({
            "type": "summary",
            "command": "scan",
            "targets": 0,
            "sent": 0,
            "received": 0,
            "duplicates": 0,
            "dropped": 0,
            "pps": 0,
            "rate_error_pct": null,
            "error": message,
            "exit_code": exit.code(),
        });
        print(&summary);
    }
    exit
}

fn print(value: &Value) {
    let mut out = io::stdout().lock();
    // There is nowhere left to say it if this fails.
    let _ = writeln!(out, "{value}").and_then(|()| out.flush());
}

// --- the audit log ---

/// The entry before the first packet.
#[cfg(target_os = "linux")]
pub(super) fn audit_start(plan: &Plan) -> Value {
    let asked = &plan.asked;
    let allowed: Vec<_> = asked.allowed.iter().map(Allowed::to_json).collect();
    let mut entry = entry("start", plan);
    entry["version"] = json!(env!("CARGO_PKG_VERSION"));
    entry["command"] = json!(asked.command);
    entry["targets"] = asked.targets.to_json();
    entry["exclusions"] = asked.exclusions.to_json();
    entry["is_public"] = json!(asked.has_public);
    entry["allow_lists"] = json!(allowed);
    entry["ports"] = json!(asked.ports);
    entry["probes"] = big(plan.course.elements());
    entry["rate"] = json!(asked.rate);
    entry["subnet_rate"] = json!(asked.subnet_rate);
    entry["shard"] = json!(asked.shard);
    entry["seed"] = json!(asked.seed);
    entry["contact"] = json!(asked.contact);
    entry["resumed"] = json!(plan.resumed.is_some());
    entry
}

/// The entry behind the last one.
#[cfg(target_os = "linux")]
pub(super) fn audit_end(plan: &Plan, exit: Exit, figures: Option<&Figures>, error: Option<&str>) -> Value {
    let mut entry = entry("end", plan);
    entry["exit_code"] = json!(exit.code());
    entry["sent"] = json!(figures.map_or(0, |figures| figures.last.sent.sent));
    entry["received"] = json!(figures.map_or(0, |figures| figures.tally.received));
    entry["error"] = json!(error);
    entry
}

/// Who does it, when, and which scan it is.
#[cfg(target_os = "linux")]
fn entry(event: &str, plan: &Plan) -> Value {
    let host = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    json!({
        "event": event,
        "at_unix": unix_seconds(),
        "scan_id": plan.asked.scan_id,
        "uid": rustix::process::getuid().as_raw(),
        "host": host.trim_end(),
        "pid": std::process::id(),
    })
}
