//! From evidence to a verdict: log-odds of a provider, and the score of the older rule beside it (CDN-2).
//!
//! Signals that follow from the same cause are not added up: who owns the network shows in the lists, in the ASN and in the names of
//! addresses, and who serves the site shows in aliases, headers and certificates. Of each such group the strongest counts.
//! What speaks against a provider is added to both, and so is that a list which the provider publishes does not have the address. A
//! network counts for less where a list of its edges does not have it.

use super::calibration::{MOST_OF_SHARED_NETWORK, MOST_OF_UNLISTED_NETWORK, NOT_LISTED};
use super::facts::{Listing, ProviderId};
use super::weight::{CentiNats, Probability};

/// What kind of evidence.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Signal {
    /// The autonomous system that announces the address.
    Asn,
    /// Lists of edges.
    Prefix,
    /// Lists of what is no edge, and networks that are none.
    Anti,
    /// The name of the address.
    Ptr,
    /// Names that the asked one is an alias of.
    Cname,
    /// Headers of an answer.
    Http,
    /// A certificate.
    Tls,
}

impl Signal {
    /// Its name in output. Both kinds of names are `dns`.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Asn => "asn",
            Self::Prefix => "prefix",
            Self::Anti => "anti",
            Self::Ptr | Self::Cname => "dns",
            Self::Http => "http",
            Self::Tls => "tls",
        }
    }

    const fn is_of_network(self) -> bool {
        matches!(self, Self::Asn | Self::Prefix | Self::Ptr)
    }

    /// The place of the signal in the older rule, which knows five.
    const fn seed_place(self) -> Option<usize> {
        match self {
            Self::Asn => Some(0),
            Self::Prefix => Some(1),
            Self::Ptr | Self::Cname => Some(2),
            Self::Http => Some(3),
            Self::Tls => Some(4),
            Self::Anti => None,
        }
    }
}

/// Tenths that the older rule gives for each signal.
const SEED_TENTHS: [u8; 5] = [4, 3, 2, 3, 2];

/// From how many tenths on the older rule names a provider.
const SEED_THRESHOLD_TENTHS: u8 = 5;

/// One piece of evidence.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Clue {
    /// What kind.
    pub signal: Signal,
    /// Whom it speaks of; `None` for all.
    pub provider: Option<ProviderId>,
    /// What it says. What speaks against is added; of what speaks for, the strongest of its group counts.
    pub weight: CentiNats,
}

/// What all evidence comes to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Verdict {
    /// Whose edge it is, if it is one.
    pub likeliest: Option<ProviderId>,
    /// How likely it is that it is one.
    pub posterior: Probability,
    /// What the older rule gives, in tenths, 0 to 10.
    pub seed_tenths: u8,
    /// Whom the older rule names.
    pub seed_provider: Option<ProviderId>,
}

impl Verdict {
    /// Whose edge it is, if that is likely enough.
    #[must_use]
    pub fn provider(&self, threshold: Probability) -> Option<ProviderId> {
        self.likeliest.filter(|_| self.posterior >= threshold)
    }
}

/// Weighs the evidence. `listing` tells what lists there are of a provider's edges, so that an address that is on none speaks against
/// it.
#[must_use]
pub fn weigh(clues: &[Clue], prior: Probability, listing: impl Fn(ProviderId) -> Listing) -> Verdict {
    let mut best: Option<(CentiNats, ProviderId)> = None;
    let mut seed: Option<(u8, ProviderId)> = None;
    for provider in clues.iter().filter_map(|clue| clue.provider) {
        let odds = log_odds(clues, provider, prior, listing(provider));
        let speaks_for = clues.iter().any(|clue| clue.provider == Some(provider) && clue.weight > CentiNats::ZERO);
        // Of equals the one with the smaller number, so that the order of evidence makes no difference.
        if speaks_for && best.is_none_or(|(most, other)| odds > most || (odds == most && provider < other)) {
            best = Some((odds, provider));
        }
        let tenths = seed_tenths(clues, provider);
        if tenths > 0 && seed.is_none_or(|(most, other)| tenths > most || (tenths == most && provider < other)) {
            seed = Some((tenths, provider));
        }
    }
    let nobody = || prior.log_odds() + NOT_LISTED + against(clues, None);
    Verdict {
        likeliest: best.map(|(_, provider)| provider),
        posterior: best.map_or_else(nobody, |(odds, _)| odds).probability(),
        seed_tenths: seed.map_or(0, |(tenths, _)| tenths),
        seed_provider: seed.filter(|(tenths, _)| *tenths >= SEED_THRESHOLD_TENTHS).map(|(_, provider)| provider),
    }
}

fn log_odds(clues: &[Clue], provider: ProviderId, prior: Probability, listing: Listing) -> CentiNats {
    let own = || clues.iter().filter(|clue| clue.provider == Some(provider) && clue.weight > CentiNats::ZERO);
    let is_listed = own().any(|clue| clue.signal == Signal::Prefix);
    let of_network = own().filter(|clue| clue.signal.is_of_network()).map(|clue| match clue.signal {
        Signal::Asn if !is_listed && listing != Listing::None => clue.weight.min(MOST_OF_UNLISTED_NETWORK),
        _ => clue.weight,
    });
    let of_service = own().filter(|clue| !clue.signal.is_of_network()).map(|clue| clue.weight);
    // An address in the provider's own network may be one that a customer brought: it is on no list.
    let is_in_network = own().any(|clue| clue.signal == Signal::Asn && clue.weight > MOST_OF_SHARED_NETWORK);
    let is_absent = listing == Listing::Published && !is_listed && !is_in_network;
    let absence = if is_absent { NOT_LISTED } else { CentiNats::ZERO };
    let strongest = |weights: Option<CentiNats>| weights.unwrap_or(CentiNats::ZERO);
    prior.log_odds()
        + strongest(of_network.max())
        + strongest(of_service.max())
        + absence
        + against(clues, Some(provider))
}

/// All that speaks against the provider, or against all.
fn against(clues: &[Clue], provider: Option<ProviderId>) -> CentiNats {
    let speaks = |clue: &&Clue| clue.weight < CentiNats::ZERO && (clue.provider.is_none() || clue.provider == provider);
    clues.iter().filter(speaks).fold(CentiNats::ZERO, |sum, clue| sum + clue.weight)
}

fn seed_tenths(clues: &[Clue], provider: ProviderId) -> u8 {
    let mut has = [false; 5];
    for place in clues.iter().filter(|clue| clue.provider == Some(provider)).filter_map(|clue| clue.signal.seed_place())
    {
        has[place] = true;
    }
    let tenths: u8 = has.into_iter().zip(SEED_TENTHS).filter(|(has, _)| *has).map(|(_, tenths)| tenths).sum();
    tenths.min(10)
}
