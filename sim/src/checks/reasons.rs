//! Every byte that a session handed to its device arrived at a session, waits somewhere, or was dropped or cut for a
//! counted reason.

use super::Violation;
use crate::run::Run;

/// Bytes over a whole run: those that came into being, and those that went, by where they went.
#[derive(Clone, Copy, Debug, Default)]
struct Books {
    submitted: u64,
    injected: u64,
    duplicated: u64,
    received: u64,
    waiting: u64,
    on_the_way: u64,
    unroutable: u64,
    to_nobody: u64,
    cut: u64,
    dropped_by_links: u64,
    dropped_by_devices: u64,
}

/// Every dropped byte has a reason.
///
/// # Errors
/// [`Violation::NoReason`] with the books.
pub fn reasons(run: &mut Run<'_>) -> Result<(), Violation> {
    balance(&books(run))
}

fn books(run: &mut Run<'_>) -> Books {
    let mut books = Books { to_nobody: run.to_nobody().bytes, ..Books::default() };
    for id in run.host_ids() {
        let endpoint = run.host(id).endpoint();
        books.submitted += endpoint.stats().submitted.bytes;
        books.received += endpoint.stats().received.bytes;
        books.waiting += endpoint.waiting().bytes;
        books.dropped_by_devices += endpoint.stats().dropped.iter().map(|count| count.bytes).sum::<u64>();
    }
    let network = run.network();
    books.injected = network.ledger().injected.bytes;
    books.unroutable = network.ledger().unroutable.bytes;
    books.on_the_way = network.on_the_way().bytes;
    for link in network.links() {
        books.duplicated += link.stats().duplicated.bytes;
        books.cut += link.stats().cut_bytes;
        books.dropped_by_links += link.stats().dropped_total().bytes;
    }
    books
}

fn balance(books: &Books) -> Result<(), Violation> {
    let made = books.submitted + books.injected + books.duplicated;
    let there = books.received + books.waiting + books.on_the_way;
    let dropped = books.cut + books.dropped_by_links + books.dropped_by_devices;
    if made == there + dropped + books.unroutable + books.to_nobody {
        Ok(())
    } else {
        Err(Violation::NoReason(format!("{books:?}")))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_byte_without_a_reason_is_noticed() {
        let books = Books { submitted: 100, received: 60, waiting: 10, dropped_by_links: 29, ..Books::default() };
        assert!(balance(&books).is_err());
        assert_eq!(balance(&Books { cut: 1, ..books }), Ok(()));
    }
}
