//! Names that lead to the same edge, so that it is looked at once (CDN-9).

use std::collections::HashMap;
use std::net::IpAddr;

use wirehaul_core::cdn::{Probability, ProviderId};

use super::detection::Detection;

/// Targets that are the same edge: the same provider, and the same addresses.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Group {
    /// Whose edge it is; `None` for a target that is no edge, which is alone.
    pub provider: Option<ProviderId>,
    /// The first of them, by its place in the input.
    pub representative: usize,
    /// The others, by their places in the input.
    pub others: Vec<usize>,
}

/// Puts targets together that are the same edge, in the order of the first of each.
///
/// Who is no edge stays alone, even where others have the same addresses: an origin is to be looked at by each of its names.
#[must_use]
pub fn canonical<'a, 'd: 'a>(
    detections: impl IntoIterator<Item = &'a Detection<'d>>,
    threshold: Probability,
) -> Vec<Group> {
    let mut groups: Vec<Group> = Vec::new();
    let mut known: HashMap<(ProviderId, Vec<IpAddr>), usize> = HashMap::new();
    for (place, detection) in detections.into_iter().enumerate() {
        let provider = detection.verdict.provider(threshold);
        if let Some(provider) = provider {
            let mut addresses = detection.ips.to_vec();
            addresses.sort_unstable();
            addresses.dedup();
            let group = *known.entry((provider, addresses)).or_insert(groups.len());
            if let Some(group) = groups.get_mut(group) {
                group.others.push(place);
                continue;
            }
        }
        groups.push(Group { provider, representative: place, others: Vec::new() });
    }
    groups
}

#[cfg(test)]
mod tests {
    use smallvec::SmallVec;
    use wirehaul_core::cdn::{Verdict, calibration};
    use wirehaul_core::time::Duration;

    use super::*;

    fn detection(provider: Option<usize>, ips: &[&str]) -> Detection<'static> {
        let ips: SmallVec<[IpAddr; 1]> = ips.iter().map(|ip| ip.parse().unwrap()).collect();
        let likeliest = provider.and_then(ProviderId::of_place);
        let posterior = Probability::of_ppm(if provider.is_some() { 999_000 } else { 1_000 });
        let verdict = Verdict { likeliest, posterior, seed_tenths: 0, seed_provider: None };
        Detection { ip: ips.first().copied(), ips, asn: None, verdict, evidence: Vec::new(), took: Duration::ZERO }
    }

    /// CDN-9: targets by name that land on the same edge collapse to one.
    #[test]
    fn names_of_one_edge_are_one() {
        let seen = [
            detection(Some(1), &["192.0.2.1", "2001:db8::1"]),
            detection(None, &["192.0.2.9"]),
            detection(Some(1), &["2001:db8::1", "192.0.2.1"]),
            detection(Some(2), &["192.0.2.1", "2001:db8::1"]),
            detection(None, &["192.0.2.9"]),
            detection(Some(1), &["192.0.2.1"]),
            detection(Some(1), &["192.0.2.1", "2001:db8::1"]),
        ];
        let groups = canonical(&seen, calibration::DEFAULT_THRESHOLD);
        let found: Vec<_> = groups.iter().map(|group| (group.representative, group.others.as_slice())).collect();
        let none: &[usize] = &[];
        assert_eq!(found, [(0, [2, 6].as_slice()), (1, none), (3, none), (4, none), (5, none)]);
        assert_eq!(groups[0].provider, ProviderId::of_place(1));
        assert_eq!(canonical(&[], calibration::DEFAULT_THRESHOLD), []);
    }
}
