//! Rows for people: `ADDRESS PORT/PROTO CLASS CDN`, in columns.

use super::digits::{push_ip, push_number};
use super::row::Row;

/// Where the second and the third column begin where what is before them leaves room: most addresses have 15 characters at most.
const PORT_COLUMN: usize = 16;
const CLASS_WIDTH: usize = 10;

/// Writes a row, with the end of its line.
pub fn push(row: &Row<'_>, out: &mut Vec<u8>) {
    let start = out.len();
    push_ip(out, row.target());
    pad(out, start, PORT_COLUMN);
    let port = out.len();
    if !row.is_icmp() {
        push_number(out, row.reply.probe.port.into());
        out.push(b'/');
    }
    out.extend_from_slice(row.protocol().as_bytes());
    pad(out, port, CLASS_WIDTH);
    out.extend_from_slice(row.reply.class.name().as_bytes());
    if let Some(provider) = row.provider() {
        out.push(b' ');
        out.extend_from_slice(provider.as_bytes());
    }
    out.push(b'\n');
}

/// Spaces up to so many bytes behind `start`, one at least.
fn pad(out: &mut Vec<u8>, start: usize, width: usize) {
    let end = (start + width).max(out.len() + 1);
    out.resize(end, b' ');
}
