//! Which of a host's addresses each of its peers talks to.

use core::net::{IpAddr, SocketAddr};

const SLOTS: usize = 64;
/// Datagrams to another of our addresses, with none to the recorded one between them, before that one is believed.
const MISMATCHES_TO_BELIEVE: u8 = 16;

/// Which of this host's addresses each peer talks to, so that answers leave from there.
///
/// A socket bound to every address would otherwise answer from whichever one the routing table prefers, which a peer
/// behind a firewall never sees. What is recorded stays for as long as datagrams to it arrive, so a forged datagram to
/// another of our addresses does not turn the answers away.
#[derive(Debug)]
pub struct SourceAddresses {
    /// Direct-mapped by the peer's address.
    slots: [Option<Entry>; SLOTS],
    /// Not where the socket has one address anyway.
    records: bool,
}

#[derive(Clone, Copy, Debug)]
struct Entry {
    remote: SocketAddr,
    local: IpAddr,
    mismatches: u8,
}

impl SourceAddresses {
    /// For a socket that is bound to `local`.
    #[must_use]
    pub const fn for_socket(local: SocketAddr) -> Self {
        Self { slots: [None; SLOTS], records: local.ip().is_unspecified() }
    }

    /// A datagram came from `remote` to our address `local`, both as the socket says them.
    pub fn heard(&mut self, remote: SocketAddr, local: Option<IpAddr>) {
        let Some(local) = local else { return };
        let Some(slot) = self.slot(remote) else { return };
        match slot {
            Some(entry) if entry.remote == remote && entry.local == local => entry.mismatches = 0,
            Some(entry) if entry.mismatches < MISMATCHES_TO_BELIEVE => entry.mismatches += 1,
            _ => *slot = Some(Entry { remote, local, mismatches: 0 }),
        }
    }

    /// The address to answer `remote` (as the socket wants it) from; `None` leaves it to the routing table.
    #[must_use]
    pub fn of(&self, remote: SocketAddr) -> Option<IpAddr> {
        let entry = self.slots.get(index(remote))?.as_ref()?;
        (entry.remote == remote).then_some(entry.local)
    }

    /// Forgets what was recorded for `remote`: the address is no longer ours.
    pub fn forget(&mut self, remote: SocketAddr) {
        if let Some(slot) = self.slot(remote) {
            *slot = None;
        }
    }

    fn slot(&mut self, remote: SocketAddr) -> Option<&mut Option<Entry>> {
        self.slots.get_mut(index(remote)).filter(|_| self.records)
    }
}

fn index(remote: SocketAddr) -> usize {
    let ip = match remote.ip() {
        IpAddr::V4(v4) => u128::from(v4.to_bits()),
        IpAddr::V6(v6) => v6.to_bits(),
    };
    // Neighbours differ in the low bits and in the port; an odd multiplier spreads both (Knuth, 6.4).
    let folded = (ip ^ (ip >> 64)) as u64 ^ (u64::from(remote.port()) << 32);
    let spread = folded.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 32;
    spread as usize % SLOTS
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(text: &str) -> SocketAddr {
        text.parse().unwrap()
    }

    #[test]
    fn answers_leave_from_where_the_peer_sent_to() {
        let mut sources = SourceAddresses::for_socket(address("[::]:1"));
        let remote = address("[2001:db8::1]:99");
        let (ours, other) = (address("[::1]:1").ip(), address("[::2]:1").ip());
        assert_eq!(sources.of(remote), None);
        sources.heard(remote, Some(ours));
        assert_eq!(sources.of(remote), Some(ours));
        // Forged ones between genuine ones change nothing.
        for _ in 0..100 {
            sources.heard(remote, Some(other));
            sources.heard(remote, Some(ours));
        }
        assert_eq!(sources.of(remote), Some(ours));
        for _ in 0..=MISMATCHES_TO_BELIEVE {
            sources.heard(remote, Some(other));
        }
        assert_eq!(sources.of(remote), Some(other));
        sources.forget(remote);
        assert_eq!(sources.of(remote), None);
    }

    #[test]
    fn a_socket_with_one_address_records_nothing() {
        let mut sources = SourceAddresses::for_socket(address("127.0.0.1:1"));
        sources.heard(address("127.0.0.2:9"), Some(address("127.0.0.1:1").ip()));
        assert_eq!(sources.of(address("127.0.0.2:9")), None);
    }
}
