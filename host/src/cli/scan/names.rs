//! Hosts that are named, as addresses; names that are the same edge of a CDN are asked once (CDN-9).

use std::collections::HashMap;
use std::io;
use std::net::{IpAddr, ToSocketAddrs as _};
use std::time::Duration;

use futures_util::StreamExt as _;
use tokio::runtime::Builder;
use wirehaul_core::cdn_data::EMBEDDED;

use crate::cdn::asn::AsnSource;
use crate::cdn::detection::Detection;
use crate::cdn::detector::{Detector, Options, Timeouts};
use crate::cdn::target::{Host, Target};
use crate::scan::Name;

/// How long a name server has for an answer. Nothing is sent before it, so that there is time.
const PATIENCE: Duration = Duration::from_secs(3);
/// Names that are asked about at a time.
const AT_A_TIME: usize = 64;

/// Addresses of names.
#[derive(Debug, Default)]
pub(super) struct Resolved {
    /// All of them, those of edges that have more than one name once, with the first name that each is from.
    pub names: HashMap<IpAddr, String>,
    /// Names that are not asked by themselves.
    pub collapsed: Vec<Collapsed>,
}

/// A name that is the same edge as another one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Collapsed {
    /// The name.
    pub name: String,
    /// The one that is asked in its place.
    pub same_as: String,
    /// Whose edge it is.
    pub provider: &'static str,
}

/// Why a name is no address.
#[derive(Debug, thiserror::Error)]
pub(super) enum NameError {
    /// Nobody knows it, or nobody answers.
    #[error("{place}cannot find an address of {name}: {why}; check the name, or give an address")]
    NoAddress {
        /// Where it stands, where that is a file.
        place: String,
        /// The name.
        name: String,
        /// What the resolver says.
        why: String,
    },
    /// The system gives no means to ask.
    #[error("cannot ask for the addresses of names: {0}")]
    Runtime(io::Error),
}

/// Looks names up. With `collapses`, those that are the same edge are taken for one.
pub(super) fn resolve(names: &[Name], collapses: bool) -> Result<Resolved, NameError> {
    static ASNS: AsnSource<'static> = AsnSource::of_facts(EMBEDDED);
    if names.is_empty() {
        return Ok(Resolved::default());
    }
    let options = Options { timeouts: Timeouts::of(PATIENCE), concurrency: AT_A_TIME, ..Options::default() };
    let detector = Detector::new(EMBEDDED, &ASNS, options);
    let runtime = Builder::new_current_thread().enable_all().build().map_err(NameError::Runtime)?;
    let target = |name: &Name| {
        let name = name.name.clone();
        Target { text: name.clone(), host: Host::Name(name), port: None, scheme: None }
    };
    let targets: Vec<_> = names.iter().map(target).collect();
    let found: Vec<_> = runtime.block_on(detector.detect_all(targets).collect());
    let known = names.iter().zip(found).map(|(name, (_, detection))| with_addresses(name, detection, &detector));
    let detections = known.collect::<Result<Vec<_>, _>>()?;
    Ok(put_together(names, &detections, &detector, collapses))
}

/// What the system's own resolver knows, from its files and other services, where name servers know nothing.
fn with_addresses<'d>(
    name: &Name,
    detection: Detection<'d>,
    detector: &Detector<'d>,
) -> Result<Detection<'d>, NameError> {
    if !detection.ips.is_empty() {
        return Ok(detection);
    }
    let place = || name.place.as_ref().map_or_else(String::new, |place| format!("{place}: "));
    let no_address = |why: String| NameError::NoAddress { place: place(), name: name.name.clone(), why };
    let found = (name.name.as_str(), 0).to_socket_addrs().map_err(|error| no_address(error.to_string()))?;
    let mut ips: Vec<IpAddr> = found.map(|address| address.ip().to_canonical()).collect();
    ips.sort_unstable();
    ips.dedup();
    let first = ips.first().ok_or_else(|| no_address("it has none".to_owned()))?;
    Ok(Detection { ips: ips.iter().copied().collect(), ..detector.offline(*first) })
}

fn put_together(
    names: &[Name],
    detections: &[Detection<'static>],
    detector: &Detector<'static>,
    collapses: bool,
) -> Resolved {
    let mut resolved = Resolved::default();
    let mut add = |name: &Name, detection: &Detection<'_>| {
        for ip in &detection.ips {
            resolved.names.entry(*ip).or_insert_with(|| name.name.clone());
        }
    };
    let mut collapsed = Vec::new();
    for group in detector.canonical(detections) {
        let of = |place: usize| names.get(place).zip(detections.get(place));
        let Some((representative, detection)) = of(group.representative) else { continue };
        add(representative, detection);
        let provider = group.provider.and_then(|id| EMBEDDED.provider(id)).map_or("", |provider| provider.key);
        for (name, detection) in group.others.iter().filter_map(|other| of(*other)) {
            if collapses {
                collapsed.push(Collapsed { name: name.name.clone(), same_as: representative.name.clone(), provider });
            } else {
                add(name, detection);
            }
        }
    }
    resolved.collapsed = collapsed;
    resolved
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name(name: &str) -> Name {
        Name { name: name.to_owned(), place: None }
    }

    /// CDN-9: names that land on the same edge are asked once, and who is left out is said.
    #[test]
    fn names_of_one_edge_collapse_to_the_first() {
        static ASNS: AsnSource<'static> = AsnSource::of_facts(EMBEDDED);
        let detector = Detector::new(EMBEDDED, &ASNS, Options::default());
        let names = ["a.example", "b.example", "c.example", "d.example"].map(name);
        let edge: IpAddr = "104.16.0.1".parse().unwrap();
        let origin: IpAddr = "192.0.2.1".parse().unwrap();
        let detections = [edge, origin, edge, origin].map(|ip| detector.offline(ip));
        let together = put_together(&names, &detections, &detector, true);
        assert_eq!(
            together.collapsed,
            [Collapsed { name: "c.example".into(), same_as: "a.example".into(), provider: "cloudflare" }]
        );
        let expected = [(edge, names[0].name.clone()), (origin, names[1].name.clone())];
        assert_eq!(together.names, HashMap::from(expected.clone()));
        let apart = put_together(&names, &detections, &detector, false);
        assert_eq!((apart.names, apart.collapsed), (HashMap::from(expected), Vec::new()));
    }

    #[test]
    fn names_that_the_system_knows_need_no_name_server() {
        let resolved = resolve(&[name("localhost")], true).unwrap();
        assert!(resolved.names.keys().all(IpAddr::is_loopback) && !resolved.names.is_empty());
    }
}
