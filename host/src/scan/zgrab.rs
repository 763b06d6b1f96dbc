//! Rows as zgrab2 reads them: `IP, DOMAIN, TAG, PORT`, a line for each port that is open. The domain is the name that the user gave,
//! where the address is from one.

use std::collections::HashMap;
use std::net::IpAddr;

use super::csv::push_field;
use super::digits::{push_ip, push_number};
use super::row::Row;

/// Writes rows.
#[derive(Clone, Debug, Default)]
pub struct Zgrab {
    /// Which name an address is from.
    pub names: HashMap<IpAddr, String>,
}

impl Zgrab {
    /// Writes a row, with the end of its line; nothing where zgrab2 has nothing to connect to.
    pub fn push(&self, row: &Row<'_>, out: &mut Vec<u8>) {
        if !row.is_success() || row.is_icmp() {
            return;
        }
        push_ip(out, row.target());
        out.push(b',');
        if let Some(name) = self.names.get(&row.target()) {
            push_field(out, name);
        }
        out.extend_from_slice(b",,");
        push_number(out, row.reply.probe.port.into());
        out.push(b'\n');
    }
}
