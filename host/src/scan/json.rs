//! Rows as JSON lines (RFC 8259): every row has every column, and what is not known is null.

use super::digits::{push_ip, push_number};
use super::row::{Row, Run};

/// Writes rows of one run.
#[derive(Clone, Debug)]
pub struct Json {
    /// What each row begins with.
    front: Vec<u8>,
    /// What each ends with.
    back: Vec<u8>,
}

impl Json {
    /// For this run. `is_typed`: rows stand among other objects, and say what they are.
    #[must_use]
    pub fn new(run: &Run, is_typed: bool) -> Self {
        let mut front = if is_typed { b"{\"type\":\"reply\",\"scan_id\":".to_vec() } else { b"{\"scan_id\":".to_vec() };
        push_string(&mut front, &run.scan_id);
        front.extend_from_slice(b",\"shard\":");
        push_number(&mut front, run.shard.into());
        front.extend_from_slice(b",\"ts_ns\":");
        let mut back = b",\"list_version\":".to_vec();
        push_string(&mut back, &run.list_version);
        back.extend_from_slice(b"}\n");
        Self { front, back }
    }

    /// Writes a row, with the end of its line.
    pub fn push(&self, row: &Row<'_>, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.front);
        push_number(out, row.at_ns);
        out.extend_from_slice(b",\"saddr\":\"");
        push_ip(out, row.target());
        out.extend_from_slice(b"\",\"sport\":");
        push_number(out, row.reply.probe.port.into());
        out.extend_from_slice(b",\"daddr\":\"");
        push_ip(out, row.ours().ip());
        out.extend_from_slice(b"\",\"dport\":");
        push_number(out, row.ours().port().into());
        // Names of protocols and classes are in need of no escapes.
        out.extend_from_slice(b",\"proto\":\"");
        out.extend_from_slice(row.protocol().as_bytes());
        out.extend_from_slice(b"\",\"class\":\"");
        out.extend_from_slice(row.reply.class.name().as_bytes());
        out.extend_from_slice(if row.is_success() { b"\",\"success\":true" } else { b"\",\"success\":false" });
        out.extend_from_slice(if row.is_repeat { b",\"repeat\":true" } else { b",\"repeat\":false" });
        out.extend_from_slice(b",\"ttl\":");
        push_number(out, row.reply.ttl.into());
        push_optional(out, b",\"rtt_us\":", row.rtt_us());
        out.extend_from_slice(b",\"responder\":\"");
        push_ip(out, row.reply.responder);
        out.push(b'"');
        push_optional(out, b",\"icmp_type\":", row.reply.icmp.map(|(kind, _)| kind.into()));
        push_optional(out, b",\"icmp_code\":", row.reply.icmp.map(|(_, code)| code.into()));
        out.extend_from_slice(b",\"queue\":");
        push_number(out, row.queue.into());
        push_optional(out, b",\"node\":", row.node.map(u64::from));
        out.extend_from_slice(b",\"cdn_provider\":");
        push_text(out, row.provider());
        out.extend_from_slice(b",\"cdn_evidence\":");
        push_text(out, Some(row.evidence()).filter(|evidence| !evidence.is_empty()));
        out.extend_from_slice(&self.back);
    }
}

fn push_optional(out: &mut Vec<u8>, name: &[u8], value: Option<u64>) {
    out.extend_from_slice(name);
    match value {
        Some(value) => push_number(out, value),
        None => out.extend_from_slice(b"null"),
    }
}

fn push_text(out: &mut Vec<u8>, text: Option<&str>) {
    match text {
        Some(text) => push_string(out, text),
        None => out.extend_from_slice(b"null"),
    }
}

/// A string with its quotes.
fn push_string(out: &mut Vec<u8>, text: &str) {
    out.push(b'"');
    for byte in text.bytes() {
        match byte {
            b'"' | b'\\' => out.extend_from_slice(&[b'\\', byte]),
            0..0x20 => out.extend_from_slice(format!("\\u{byte:04x}").as_bytes()),
            _ => out.push(byte),
        }
    }
    out.push(b'"');
}
