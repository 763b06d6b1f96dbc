//! Datagrams are conserved: what entered a link left it, was dropped for a counted reason, or is on its way.

use super::Violation;
use crate::{link::LinkStats, network::Network};

/// Every datagram that entered a link, or the network, left it, was dropped for a counted reason, or is on its way.
///
/// # Errors
/// [`Violation::Conservation`] where the books do not balance.
pub fn conservation(network: &Network) -> Result<(), Violation> {
    let ledger = network.ledger();
    let mut made = ledger.sent.datagrams + ledger.injected.datagrams;
    let mut gone = ledger.delivered.datagrams + network.on_the_way().datagrams;
    for (index, link) in network.links().enumerate() {
        let stats = link.stats();
        balances(stats).map_err(|books| Violation::Conservation(format!("link {index} {books}")))?;
        made += stats.duplicated.datagrams;
        gone += stats.dropped_total().datagrams;
    }
    if made == gone { Ok(()) } else { Err(Violation::Conservation(format!("{made} datagrams in, {gone} out"))) }
}

/// A link's books, datagrams and bytes.
fn balances(stats: &LinkStats) -> Result<(), String> {
    let dropped = stats.dropped_total();
    let got = (stats.entered.datagrams + stats.duplicated.datagrams, stats.entered.bytes + stats.duplicated.bytes);
    let gave = (stats.left.datagrams + dropped.datagrams, stats.left.bytes + dropped.bytes + stats.cut_bytes);
    if got == gave { Ok(()) } else { Err(format!("got {got:?} datagrams and bytes, and gave {gave:?}")) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::link::Count;

    #[test]
    fn a_datagram_that_is_nowhere_is_noticed() {
        let count = |datagrams, bytes| Count { datagrams, bytes };
        let stats = LinkStats { entered: count(10, 100), left: count(9, 90), ..LinkStats::default() };
        assert!(balances(&stats).is_err());
        let mut dropped = stats.clone();
        dropped.dropped[1] = count(1, 10);
        assert_eq!(balances(&dropped), Ok(()));
        let cut = LinkStats { left: count(10, 90), cut_bytes: 10, ..stats.clone() };
        assert_eq!(balances(&cut), Ok(()));
        let made_up = LinkStats { left: count(11, 110), ..stats };
        assert!(balances(&made_up).is_err());
    }
}
