//! What is known of an address without asking anybody: its network, and the lists that it is on.

use std::net::IpAddr;

use smallvec::smallvec;
use wirehaul_core::cdn::facts::AsnFact;
use wirehaul_core::cdn::prefix::{Address, Prefix, Span};
use wirehaul_core::cdn::{Clue, Database, Mark, Probability, Signal, weigh};
use wirehaul_core::time::Duration;

use super::asn::{AsnSource, BadRecord, Recent};
use super::detection::{Detection, Evidence, NotTried};

/// What is asked offline.
#[derive(Clone, Copy, Debug)]
pub struct Offline<'s, 'd> {
    /// The facts.
    pub database: Database<'d>,
    /// Which network announces what.
    pub asns: &'s AsnSource<'d>,
    /// How likely an address is an edge before anything is known of it.
    pub prior: Probability,
}

/// All that a row about an address depends on, but for the numbers that stand in it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Likeness {
    mark: Mark,
    network: NetworkLikeness,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum NetworkLikeness {
    Unknown,
    /// One of which nothing is known.
    Other,
    /// One of those among the facts.
    Known(u32),
    Unreadable,
}

impl<'d> Offline<'_, 'd> {
    /// All that is known of an address.
    #[must_use]
    pub fn detection(&self, ip: IpAddr) -> Detection<'d> {
        let mut evidence = self.evidence(ip);
        for signal in [Signal::Ptr, Signal::Http, Signal::Tls] {
            evidence.push(Evidence::not_tried(signal, NotTried::Off));
        }
        Detection {
            ip: Some(ip),
            ips: smallvec![ip],
            asn: self.asns.asn(ip),
            verdict: self.verdict(&evidence),
            evidence,
            took: Duration::ZERO,
        }
    }

    /// What network and lists say: asn, prefix and what speaks against it.
    #[must_use]
    pub fn evidence(&self, ip: IpAddr) -> Vec<Evidence<'d>> {
        let mut evidence = Vec::with_capacity(6);
        self.add_network(self.asns.lookup(ip), &mut evidence);
        self.add_lists(ip, &mut evidence);
        // What speaks against an edge stands behind both.
        evidence.sort_by_key(|evidence| evidence.signal);
        evidence
    }

    /// What evidence comes to.
    #[must_use]
    pub fn verdict(&self, evidence: &[Evidence<'d>]) -> wirehaul_core::cdn::Verdict {
        let clues: smallvec::SmallVec<[Clue; 16]> = evidence.iter().filter_map(Evidence::clue).collect();
        weigh(&clues, self.prior, |provider| self.database.listing(provider))
    }

    fn add_network(&self, asn: Result<Option<u32>, BadRecord>, evidence: &mut Vec<Evidence<'d>>) {
        let Ok(asn) = asn else { return evidence.push(Evidence::not_tried(Signal::Asn, NotTried::BadAnswer)) };
        let value = asn.map_or_else(String::new, |asn| format!("AS{asn}"));
        let Some(fact) = asn.and_then(|asn| self.database.asn(asn)) else {
            return evidence.push(Evidence::nothing(Signal::Asn, value));
        };
        if fact.clue().signal != Signal::Asn {
            evidence.push(Evidence::nothing(Signal::Asn, value.clone()));
        }
        evidence.push(Evidence::fact(fact.clue(), value, fact.provenance));
    }

    fn add_lists(&self, ip: IpAddr, evidence: &mut Vec<Evidence<'d>>) {
        let network = self.database.network(ip);
        if network.edges.is_none() {
            evidence.push(Evidence::nothing(Signal::Prefix, String::new()));
        }
        let value = network.prefix.to_string();
        self.database.clues_of_network(&network, |clue| {
            let list = if clue.signal == Signal::Prefix { network.edges } else { network.no_edges };
            if let Some(list) = list {
                evidence.push(Evidence::fact(clue, value.clone(), list.provenance));
            }
        });
    }

    /// What a row about the address depends on, and the network that is in it.
    #[inline]
    #[must_use]
    pub fn likeness(&self, ip: IpAddr, recent: &mut Recent) -> (Likeness, Option<u32>) {
        let mark = self.database.mark(ip);
        let (network, asn) = match self.asns.lookup_through(ip, recent) {
            Err(BadRecord) => (NetworkLikeness::Unreadable, None),
            Ok(None) => (NetworkLikeness::Unknown, None),
            Ok(Some(asn)) => match self.database.asn(asn) {
                Some(AsnFact { asn, .. }) => (NetworkLikeness::Known(*asn), Some(*asn)),
                None => (NetworkLikeness::Other, Some(asn)),
            },
        };
        (Likeness { mark, network }, asn)
    }

    /// The largest prefix around the address in which both lists and network are the same.
    #[must_use]
    pub fn part_around(&self, ip: IpAddr) -> Prefix {
        let of_lists = self.database.network(ip).prefix;
        match self.asns.lookup_with_prefix(ip) {
            // Both are around the address: one lies in the other.
            Ok((_, of_network)) if of_network.addresses() < of_lists.addresses() => of_network,
            _ => of_lists,
        }
    }

    /// The parts of a prefix in each of which the same is known of all addresses, in order.
    pub fn parts_of(&self, prefix: Prefix) -> impl Iterator<Item = Prefix> + '_ {
        let mut next = Some(first_of(prefix));
        std::iter::from_fn(move || {
            let at = next?;
            let around = self.part_around(at);
            let part = if around.addresses() < prefix.addresses() { around } else { prefix };
            next = after(part, prefix);
            Some(part)
        })
    }
}

/// The lowest address of a prefix.
#[must_use]
pub fn first_of(prefix: Prefix) -> IpAddr {
    match prefix {
        Prefix::V4(span) => span.first.ip(),
        Prefix::V6(span) => span.first.ip(),
    }
}

/// The address behind the part, if it is in the whole.
fn after(part: Prefix, whole: Prefix) -> Option<IpAddr> {
    fn next<A: Address>(part: Span<A>, whole: Span<A>) -> Option<IpAddr> {
        if part.last >= whole.last { None } else { part.last.next().map(Address::ip) }
    }
    match (part, whole) {
        (Prefix::V4(part), Prefix::V4(whole)) => next(part, whole),
        (Prefix::V6(part), Prefix::V6(whole)) => next(part, whole),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use wirehaul_core::cdn::calibration::{DEFAULT_PRIOR, DEFAULT_THRESHOLD};
    use wirehaul_core::cdn_data::EMBEDDED;

    use super::*;

    fn with_embedded<T>(run: impl FnOnce(Offline<'_, 'static>) -> T) -> T {
        let asns = AsnSource::of_facts(EMBEDDED);
        run(Offline { database: EMBEDDED, asns: &asns, prior: DEFAULT_PRIOR })
    }

    fn provider(detection: &Detection<'_>) -> Option<&'static str> {
        let id = detection.verdict.provider(DEFAULT_THRESHOLD)?;
        EMBEDDED.provider(id).map(|provider| provider.key)
    }

    /// CDN-2: each signal has a place, whether it was looked at or not.
    #[test]
    fn each_signal_has_an_entry() {
        with_embedded(|offline| {
            for ip in ["104.16.0.1", "2606:4700::1", "192.0.2.1", "172.224.7.1", "45.33.1.1", "::1", "255.255.255.255"]
            {
                let ip = ip.parse().unwrap();
                let detection = offline.detection(ip);
                let mut signals: Vec<_> = detection.evidence.iter().map(|evidence| evidence.signal.name()).collect();
                signals.dedup();
                signals.retain(|signal| *signal != "anti");
                assert_eq!(signals, ["asn", "prefix", "dns", "http", "tls"], "{ip}");
                assert!(detection.evidence.iter().map(|evidence| evidence.signal).is_sorted_by_key(order), "{ip}");
            }
        });
    }

    fn order(signal: Signal) -> u8 {
        match signal {
            Signal::Asn => 0,
            Signal::Prefix => 1,
            Signal::Anti => 2,
            Signal::Ptr | Signal::Cname => 3,
            Signal::Http => 4,
            Signal::Tls => 5,
        }
    }

    #[test]
    fn edges_and_what_is_none() {
        with_embedded(|offline| {
            let named = |ip: &str| provider(&offline.detection(ip.parse().unwrap()));
            assert_eq!(named("104.16.0.1"), Some("cloudflare"));
            assert_eq!(named("::ffff:104.16.0.1"), Some("cloudflare"));
            assert_eq!(named("2606:4700::1"), Some("cloudflare"));
            assert_eq!(named("151.101.1.1"), Some("fastly"));
            assert_eq!(named("192.0.2.1"), None);
            // Linode's, in Akamai's hands.
            assert_eq!(named("45.33.1.1"), None);
        });
    }

    #[test]
    fn parts_fill_a_prefix_and_are_alike_within() {
        with_embedded(|offline| {
            for text in ["104.0.0.0/8", "0.0.0.0/0", "104.16.0.0/32", "2606:4700::/28", "::/0"] {
                let whole = Prefix::parse(text).unwrap();
                let mut next = Some(first_of(whole));
                let mut parts = 0;
                for part in offline.parts_of(whole) {
                    assert_eq!(Some(first_of(part)), next, "{text}");
                    next = after(part, whole);
                    let last = match part {
                        Prefix::V4(span) => span.last.ip(),
                        Prefix::V6(span) => span.last.ip(),
                    };
                    let mut recent = Recent::new();
                    let (first, last) = (first_of(part), last);
                    assert_eq!(offline.likeness(first, &mut recent), offline.likeness(last, &mut recent), "{part}");
                    parts += 1;
                }
                assert!(next.is_none() && parts > 0, "{text}");
            }
        });
    }
}
