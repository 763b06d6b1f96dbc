//! `--dry-run`: what would be sent, in the order of sending, and nothing else.

use std::io::{self, Write};
use std::sync::atomic::{AtomicBool, Ordering};

use wirehaul_core::numa::Partition;
use wirehaul_core::scan::walk::split;
use wirehaul_core::scan::{Course, Probe, Targets, Walk};

use crate::scan::cdn::Edges;
use crate::scan::digits::{push_ip, push_number};

/// Lines are written so many bytes at a time.
const BLOCK_BYTES: usize = 64 << 10;
/// The longest line: an address of IPv6, a comma, a port.
const MOST_LINE_BYTES: usize = 64;

/// What would be sent.
pub(super) struct Order<'a> {
    /// Whom.
    pub targets: Targets<'a>,
    /// What.
    pub probes: &'a [Probe],
    /// In which order.
    pub course: Course,
    /// From which step on.
    pub from: u64,
    /// Whose edges are left out, where they are.
    pub skipped: Option<Edges>,
}

/// Prints `address,port` for each packet, one a line; an echo request has port 0. Ends early when `stop` is set: returns whether it
/// came to the end.
pub(super) fn print(order: Order<'_>, out: &mut impl Write, stop: &AtomicBool) -> io::Result<bool> {
    let Order { targets, probes, course, from, mut skipped } = order;
    let Some(whole) = Partition::new([1]) else { return Ok(true) };
    // A list has fewer probes than 2^17.
    let count = probes.len() as u32;
    let walk = Walk::new(course, &whole, 0, from);
    let mut lines = Vec::with_capacity(BLOCK_BYTES + MOST_LINE_BYTES);
    for step in walk {
        let (address, probe) = split(step.element, count);
        let Some((ip, probe)) = targets.at(address).zip(probes.get(probe as usize)) else { continue };
        if skipped.as_mut().is_some_and(|edges| edges.find(ip).provider.is_some()) {
            continue;
        }
        push_ip(&mut lines, ip);
        lines.push(b',');
        push_number(&mut lines, probe.port.into());
        lines.push(b'\n');
        if lines.len() >= BLOCK_BYTES {
            out.write_all(&lines)?;
            lines.clear();
            if stop.load(Ordering::Relaxed) {
                return Ok(false);
            }
        }
    }
    out.write_all(&lines)?;
    out.flush()?;
    Ok(true)
}
