//! Edges of CDNs that were found, by whose they are, and the targets that are none.

use std::collections::{BTreeMap, VecDeque};

use wirehaul_core::cdn::Probability;

use crate::events::CdnDetection;

/// Providers that are told apart; what is more is one row.
pub const MAX_PROVIDERS: usize = 64;
/// Detections, and origins, that are kept.
pub const MAX_LATEST: usize = 100;
/// Characters of a name that are kept.
const MAX_CHARS: usize = 200;
/// The row of those that have none of their own.
const OTHERS: &str = "others";

/// What was found of a provider.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Provider {
    /// Its edges.
    pub count: u64,
    /// The highest confidence.
    pub highest: Probability,
    /// The sum of all, in parts per million.
    sum_ppm: u128,
}

impl Provider {
    const fn new() -> Self {
        Self { count: 0, highest: Probability::of_ppm(0), sum_ppm: 0 }
    }

    fn add(&mut self, confidence: Probability) {
        self.count += 1;
        self.highest = self.highest.max(confidence);
        self.sum_ppm += u128::from(confidence.ppm());
    }

    /// The mean confidence.
    #[must_use]
    pub fn mean(&self) -> Probability {
        let mean = self.sum_ppm.checked_div(u128::from(self.count)).unwrap_or(0);
        // A mean of such parts is one.
        Probability::of_ppm(u32::try_from(mean).unwrap_or(u32::MAX))
    }
}

/// What was found.
#[derive(Clone, Debug, Default)]
pub struct Cdn {
    providers: BTreeMap<String, Provider>,
    total: u64,
    origins: u64,
    latest: VecDeque<CdnDetection>,
    latest_origins: VecDeque<CdnDetection>,
}

impl Cdn {
    /// One more.
    pub fn add(&mut self, mut detection: CdnDetection) {
        shorten(&mut detection.target);
        detection.provider.iter_mut().for_each(shorten);
        self.total += 1;
        if let Some(name) = &detection.provider {
            match self.providers.get_mut(name) {
                Some(provider) => provider.add(detection.confidence),
                None => {
                    let name = if self.providers.len() + 1 < MAX_PROVIDERS { name } else { OTHERS };
                    let provider = self.providers.entry(name.to_owned()).or_insert_with(Provider::new);
                    provider.add(detection.confidence);
                }
            }
        }
        if detection.origin {
            self.origins += 1;
            keep(&mut self.latest_origins, detection.clone());
        }
        keep(&mut self.latest, detection);
    }

    /// The providers, those with the most edges first.
    #[must_use]
    pub fn providers(&self) -> Vec<(&str, &Provider)> {
        let mut all: Vec<_> = self.providers.iter().map(|(name, provider)| (name.as_str(), provider)).collect();
        all.sort_by_key(|(_, provider)| std::cmp::Reverse(provider.count));
        all
    }

    /// How many providers there are.
    #[must_use]
    pub fn provider_count(&self) -> usize {
        self.providers.len()
    }

    /// Targets that were looked at.
    #[must_use]
    pub const fn total(&self) -> u64 {
        self.total
    }

    /// Those of them that are taken for origins.
    #[must_use]
    pub const fn origins(&self) -> u64 {
        self.origins
    }

    /// Those of them that are edges.
    #[must_use]
    pub fn edges(&self) -> u64 {
        self.providers.values().map(|provider| provider.count).sum()
    }

    /// The last ones, the newest at the end.
    pub fn latest(&self) -> impl DoubleEndedIterator<Item = &CdnDetection> + ExactSizeIterator {
        self.latest.iter()
    }

    /// The last ones that are taken for origins, the newest at the end.
    pub fn latest_origins(&self) -> impl DoubleEndedIterator<Item = &CdnDetection> + ExactSizeIterator {
        self.latest_origins.iter()
    }
}

fn keep(latest: &mut VecDeque<CdnDetection>, detection: CdnDetection) {
    if latest.len() >= MAX_LATEST {
        latest.pop_front();
    }
    latest.push_back(detection);
}

fn shorten(text: &mut String) {
    if let Some((end, _)) = text.char_indices().nth(MAX_CHARS) {
        text.truncate(end);
        text.shrink_to_fit();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use wirehaul_core::time::Instant;

    fn detection(target: &str, provider: Option<&str>, ppm: u32) -> CdnDetection {
        CdnDetection {
            at: Instant::ZERO,
            target: target.to_owned(),
            provider: provider.map(str::to_owned),
            confidence: Probability::of_ppm(ppm),
            origin: provider.is_none(),
        }
    }

    /// CDN-8: per provider how many, and how sure.
    #[test]
    fn edges_are_counted_by_provider() {
        let mut cdn = Cdn::default();
        cdn.add(detection("1", Some("fastly"), 900_000));
        cdn.add(detection("2", Some("cloudflare"), 400_000));
        cdn.add(detection("3", Some("cloudflare"), 800_000));
        cdn.add(detection("4", None, 10_000));
        let found: Vec<_> =
            cdn.providers().iter().map(|(name, p)| (*name, p.count, p.highest.ppm(), p.mean().ppm())).collect();
        assert_eq!(found, [("cloudflare", 2, 800_000, 600_000), ("fastly", 1, 900_000, 900_000)]);
        assert_eq!((cdn.total(), cdn.edges(), cdn.origins()), (4, 3, 1));
        assert_eq!(cdn.latest_origins().map(|d| d.target.as_str()).collect::<Vec<_>>(), ["4"]);
    }

    #[test]
    fn however_much_comes_no_more_is_kept() {
        let mut cdn = Cdn::default();
        for number in 0..1000 {
            cdn.add(detection(&"x".repeat(9999), Some(&format!("provider-{number}")), 500_000));
            cdn.add(detection("origin", None, 0));
        }
        assert_eq!((cdn.provider_count(), cdn.edges()), (MAX_PROVIDERS, 1000));
        assert_eq!((cdn.latest().len(), cdn.latest_origins().len()), (MAX_LATEST, MAX_LATEST));
        assert!(cdn.latest().all(|detection| detection.target.len() <= MAX_CHARS));
    }
}
