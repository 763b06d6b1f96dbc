//! Whose edge a target is, by what is known offline: no packet more, and no allocation for an address of which the same is known as of
//! one before (CDN-8, SCAN-8).

use std::collections::HashMap;
use std::fmt::Write as _;
use std::hash::BuildHasherDefault;
use std::net::IpAddr;
use std::sync::OnceLock;

use wirehaul_core::cdn::calibration::{DEFAULT_PRIOR, DEFAULT_THRESHOLD};
use wirehaul_core::cdn::{Probability, Signal};
use wirehaul_core::cdn_data::{EMBEDDED, FILES};

use crate::cdn::asn::{AsnSource, Recent};
use crate::cdn::detection::{Evidence, Found};
use crate::cdn::offline::{Likeness, Offline};
use crate::cdn::rows::Spread;

/// Which network an address belongs to, out of the facts that are built in.
static ASNS: AsnSource<'static> = AsnSource::of_facts(EMBEDDED);

/// What is known of an address.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Edge {
    /// Whose edge it is, by the provider's key; `None` for nobody's.
    pub provider: Option<&'static str>,
    /// How likely it is that it is an edge.
    pub posterior: Probability,
    /// What speaks for it and against it: `asn:AS13335 prefix:cloudflare`. The same for all addresses of which the same is known, so
    /// that a list stands for the prefix in it.
    pub evidence: String,
}

/// Looks addresses up. For one thread: it remembers what it found.
#[derive(Debug)]
pub struct Edges {
    recent: Recent,
    known: HashMap<Likeness, Edge, BuildHasherDefault<Spread>>,
}

impl Edges {
    /// So many at most: there are some thousand combinations of lists and networks.
    const MOST: usize = 8_192;

    /// With the facts that are built in.
    #[must_use]
    pub fn new() -> Self {
        Self { recent: Recent::new(), known: HashMap::default() }
    }

    /// What is known of the address.
    pub fn find(&mut self, ip: IpAddr) -> &Edge {
        let offline = offline();
        let (likeness, _) = offline.likeness(ip, &mut self.recent);
        if self.known.len() >= Self::MOST && !self.known.contains_key(&likeness) {
            self.known.clear();
        }
        self.known.entry(likeness).or_insert_with(|| Edge::of(&offline, ip))
    }
}

impl Default for Edges {
    fn default() -> Self {
        Self::new()
    }
}

fn offline() -> Offline<'static, 'static> {
    Offline { database: EMBEDDED, asns: &ASNS, prior: DEFAULT_PRIOR }
}

impl Edge {
    fn of(offline: &Offline<'static, 'static>, ip: IpAddr) -> Self {
        let evidence = offline.evidence(ip);
        let verdict = offline.verdict(&evidence);
        let provider = verdict.provider(DEFAULT_THRESHOLD).and_then(|id| EMBEDDED.provider(id));
        let network = EMBEDDED.network(ip);
        let mut text = String::new();
        let mut last = None;
        for found in evidence.iter().filter(|evidence| matches!(evidence.found, Found::Fact { .. })) {
            let list = match found.signal {
                Signal::Prefix => network.edges,
                Signal::Anti => network.no_edges,
                _ => None,
            };
            let of_network = is_of_network(found).then_some(found.value.as_str());
            let Some(what) = of_network.or(list.map(|list| list.key)) else { continue };
            // A list that speaks against some providers is a piece of evidence for each of them.
            if last.replace((found.signal, what)) != Some((found.signal, what)) {
                let space = if text.is_empty() { "" } else { " " };
                // Memory takes everything.
                let _ = write!(text, "{space}{}:{what}", found.signal.name());
            }
        }
        Self { provider: provider.map(|provider| provider.key), posterior: verdict.posterior, evidence: text }
    }
}

/// Whether it is about the network that announces the address, and not about a list.
fn is_of_network(evidence: &Evidence<'_>) -> bool {
    evidence.signal == Signal::Asn || evidence.value.starts_with("AS")
}

/// Which lists are built in: their newest date, and the beginning of a hash of all facts.
#[must_use]
pub fn list_version() -> &'static str {
    static VERSION: OnceLock<String> = OnceLock::new();
    VERSION.get_or_init(|| {
        let mut hasher = blake3::Hasher::new();
        for (name, text) in FILES {
            // Lengths keep one file from being taken for the beginning of the next.
            hasher.update(&(name.len() as u64).to_le_bytes()).update(name.as_bytes());
            hasher.update(&(text.len() as u64).to_le_bytes()).update(text.as_bytes());
        }
        let hash = hasher.finalize().to_hex();
        let newest = EMBEDDED.lists.iter().filter_map(|list| list.provenance.date).max();
        let date = newest.map_or_else(|| "undated".to_owned(), |date| date.to_string());
        format!("{date}-{}", hash.get(..8).unwrap_or_default())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// SCAN-8, CDN-8: provider and evidence, as `wirehaul cdn` says of the same addresses.
    #[test]
    fn edges_are_named_with_what_says_so() {
        let mut edges = Edges::new();
        for (ip, provider) in [
            ("104.16.0.1", Some("cloudflare")),
            ("2606:4700::1", Some("cloudflare")),
            ("151.101.1.1", Some("fastly")),
            ("192.0.2.1", None),
            // Linode's, in Akamai's hands.
            ("45.33.1.1", None),
        ] {
            let ip: IpAddr = ip.parse().unwrap();
            let found = edges.find(ip).clone();
            assert_eq!(found.provider, provider, "{ip}");
            assert_eq!(found, Edge::of(&offline(), ip), "{ip}: what is remembered is of this address");
            assert_eq!(found.posterior, offline().detection(ip).verdict.posterior, "{ip}");
        }
        let cloudflare = edges.find("104.16.0.1".parse().unwrap());
        assert_eq!(cloudflare.evidence, "asn:AS13335 prefix:cloudflare");
        assert_eq!(edges.find("192.0.2.1".parse().unwrap()).evidence, "");
        assert!(edges.find("45.33.1.1".parse().unwrap()).evidence.contains("anti:"));
    }

    #[test]
    fn the_version_has_a_day_and_a_hash() {
        let (date, hash) = list_version().rsplit_once('-').unwrap();
        assert!(date.len() == 10 && date.starts_with("20"), "{date}");
        assert!(hash.len() == 8 && hash.bytes().all(|byte| byte.is_ascii_hexdigit()), "{hash}");
    }
}
