//! Rows as CSV (RFC 4180): lines end in CR LF, and the first has the names of the columns.

use super::digits::{push_ip, push_number};
use super::row::{COLUMNS, Row, Run};

/// Writes rows of one run.
#[derive(Clone, Debug)]
pub struct Csv {
    /// What each row begins with.
    front: Vec<u8>,
    /// What each ends with.
    back: Vec<u8>,
}

impl Csv {
    /// For this run.
    #[must_use]
    pub fn new(run: &Run) -> Self {
        let mut front = Vec::new();
        push_field(&mut front, &run.scan_id);
        front.push(b',');
        push_number(&mut front, run.shard.into());
        front.push(b',');
        let mut back = b",".to_vec();
        push_field(&mut back, &run.list_version);
        back.extend_from_slice(b"\r\n");
        Self { front, back }
    }

    /// The first line.
    pub fn push_header(out: &mut Vec<u8>) {
        out.extend_from_slice(COLUMNS.join(",").as_bytes());
        out.extend_from_slice(b"\r\n");
    }

    /// Writes a row, with the end of its line. What is not known is empty.
    pub fn push(&self, row: &Row<'_>, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.front);
        push_number(out, row.at_ns);
        out.push(b',');
        push_ip(out, row.target());
        out.push(b',');
        push_number(out, row.reply.probe.port.into());
        out.push(b',');
        push_ip(out, row.ours().ip());
        out.push(b',');
        push_number(out, row.ours().port().into());
        out.push(b',');
        out.extend_from_slice(row.protocol().as_bytes());
        out.push(b',');
        out.extend_from_slice(row.reply.class.name().as_bytes());
        push_bool(out, row.is_success());
        push_bool(out, row.is_repeat);
        out.push(b',');
        push_number(out, row.reply.ttl.into());
        push_optional(out, row.rtt_us());
        out.push(b',');
        push_ip(out, row.reply.responder);
        push_optional(out, row.reply.icmp.map(|(kind, _)| kind.into()));
        push_optional(out, row.reply.icmp.map(|(_, code)| code.into()));
        out.push(b',');
        push_number(out, row.queue.into());
        push_optional(out, row.node.map(u64::from));
        out.push(b',');
        push_field(out, row.provider().unwrap_or_default());
        out.push(b',');
        push_field(out, row.evidence());
        out.extend_from_slice(&self.back);
    }
}

fn push_bool(out: &mut Vec<u8>, value: bool) {
    out.extend_from_slice(if value { b",true" } else { b",false" });
}

fn push_optional(out: &mut Vec<u8>, value: Option<u64>) {
    out.push(b',');
    if let Some(value) = value {
        push_number(out, value);
    }
}

/// A field in quotes where it needs them, with quotes in it twice (RFC 4180, section 2, rules 6 and 7).
pub(super) fn push_field(out: &mut Vec<u8>, text: &str) {
    if !text.bytes().any(|byte| matches!(byte, b',' | b'"' | b'\r' | b'\n')) {
        return out.extend_from_slice(text.as_bytes());
    }
    out.push(b'"');
    for byte in text.bytes() {
        if byte == b'"' {
            out.push(b'"');
        }
        out.push(byte);
    }
    out.push(b'"');
}
