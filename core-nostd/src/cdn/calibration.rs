//! How much each kind of evidence counts where no measured ratio says better. docs/cdn-detection.md tells how they were found.

use super::facts::{NameKind, Role};
use super::weight::{CentiNats, Probability};

/// How likely an address is an edge of the provider in question before anything is known of it.
pub const DEFAULT_PRIOR: Probability = Probability::of_ppm(20_000);

/// From which posterior on a provider is named.
pub const DEFAULT_THRESHOLD: Probability = Probability::HALF;

/// On a list of the provider's edges.
pub const LISTED: CentiNats = CentiNats(1_500);

/// Not on it although the provider publishes it: lists of three months ago lacked 3.5 % of what is edge today.
pub const NOT_LISTED: CentiNats = CentiNats(-335);

/// In a network of mostly edges, and not on the list of them: at most this. What is left of such a network is relays more often than
/// new edges or addresses that customers brought; with a header on top it is the latter.
pub const MOST_OF_UNLISTED_NETWORK: CentiNats = CentiNats(350);

/// On a list of what is no edge: for every provider, and on top of it for the companies that the list speaks of. Together they are
/// weaker than [`LISTED`].
pub const NO_EDGE: CentiNats = CentiNats(-250);
/// See [`NO_EDGE`].
pub const NO_EDGE_OF_THEIRS: CentiNats = CentiNats(-750);

/// In a network that a provider uses for machines for rent, or for traffic that leaves.
pub const NO_EDGE_NETWORK: CentiNats = CentiNats(-1_000);

/// In a network of which edges are a small part: at most this, which names nobody on its own.
pub const MOST_OF_SHARED_NETWORK: CentiNats = CentiNats(250);

/// In a network that is mostly edges, where nobody measured how much of it.
pub const EDGE_NETWORK: CentiNats = CentiNats(700);

/// An alias into the provider's own zone: it decides which address the name has.
pub const ALIAS: CentiNats = CentiNats(900);

/// A name of the provider's for the address, which leads back to the address.
pub const PTR: CentiNats = CentiNats(700);

/// The same where the name does not lead back: whoever owns the address can write what he likes.
pub const MOST_OF_UNCONFIRMED_PTR: CentiNats = CentiNats(100);

/// A certificate with a chain to a known root; without one it is as easy to write as a header.
pub const CERTIFICATE: CentiNats = CentiNats(900);
/// See [`CERTIFICATE`].
pub const MOST_OF_UNVERIFIED_CERTIFICATE: CentiNats = CentiNats(300);

/// A header: anybody can write it, so that on its own it names nobody at the default prior.
pub const HEADER: CentiNats = CentiNats(380);

/// How much a fact's own words say of its worth.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Strength {
    /// It names the product.
    Strong,
    /// It may mean something else.
    Medium,
    /// Others have it, too.
    Weak,
    /// Says nothing of edges.
    None,
}

impl Strength {
    /// The strength that a fact's remark begins with, or has in it: "weak: ...", "GTM, not necessarily CDN: weak".
    ///
    /// Without any such word it is strong, except where the remark says that it is not, or only for something else.
    #[must_use]
    pub fn of_remark(remark: &str) -> Self {
        let words = remark.split(|c: char| !c.is_ascii_alphabetic());
        let first = words.clone().next().unwrap_or_default();
        let has = |wanted: &str| words.clone().any(|word| word.eq_ignore_ascii_case(wanted));
        match first {
            "strong" => Self::Strong,
            "medium" => Self::Medium,
            "weak" => Self::Weak,
            "none" => Self::None,
            _ if has("weak") || has("defunct") => Self::Weak,
            _ if has("not") || has("only") => Self::None,
            _ => Self::Strong,
        }
    }

    /// This much of the weight.
    #[must_use]
    pub const fn of(self, strong: CentiNats) -> CentiNats {
        match self {
            Self::Strong => strong,
            Self::Medium => CentiNats(strong.0 / 2),
            Self::Weak => CentiNats(strong.0 / 8),
            Self::None => CentiNats::ZERO,
        }
    }
}

/// What an address in a network of this role says; `measured` is a likelihood ratio for it, `share_ppm` how much of it is edges.
#[must_use]
pub fn network_weight(role: Role, measured: Option<CentiNats>, share_ppm: Option<u32>) -> CentiNats {
    match role {
        Role::Egress | Role::Vm => NO_EDGE_NETWORK,
        Role::Shared => measured.unwrap_or(MOST_OF_SHARED_NETWORK).min(MOST_OF_SHARED_NETWORK),
        Role::Edge => measured.unwrap_or_else(|| match share_ppm {
            Some(900_000..) => EDGE_NETWORK + CentiNats(200),
            Some(..100_000) => MOST_OF_SHARED_NETWORK,
            _ => EDGE_NETWORK,
        }),
    }
}

/// What a name that ends in a provider's suffix says; `measured` is a likelihood ratio for it.
#[must_use]
pub fn name_weight(kind: NameKind, strength: Strength, measured: Option<CentiNats>) -> CentiNats {
    match (strength, kind) {
        (Strength::None, _) => CentiNats::ZERO,
        (_, NameKind::Cname) => measured.unwrap_or(strength.of(ALIAS)),
        (_, NameKind::Ptr) => measured.unwrap_or(strength.of(PTR)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn remarks_say_how_strong_a_fact_is() {
        for (remark, expected) in [
            ("-", Strength::Strong),
            ("", Strength::Strong),
            ("China", Strength::Strong),
            ("strong with x-timer", Strength::Strong),
            ("strong; wappalyzer mislabels it, not Azure", Strength::Strong),
            ("medium: may be off", Strength::Medium),
            ("weak alone", Strength::Weak),
            ("GTM, not necessarily CDN: weak", Strength::Weak),
            ("none: front ends", Strength::None),
            ("Google Sites/App Engine, not Cloud CDN", Strength::None),
            ("Google's own front ends only, 0 in scope=global", Strength::None),
            ("13922/14589 Akamai PTRs; suffix precision 13922/13935", Strength::Strong),
        ] {
            assert_eq!(Strength::of_remark(remark), expected, "{remark}");
        }
    }

    #[test]
    fn no_spoofable_signal_names_anybody_alone() {
        let prior = DEFAULT_PRIOR.log_odds();
        let weak = [HEADER, MOST_OF_UNVERIFIED_CERTIFICATE, MOST_OF_UNCONFIRMED_PTR, MOST_OF_SHARED_NETWORK];
        for weight in weak.into_iter().chain([MOST_OF_UNLISTED_NETWORK]) {
            assert!((prior + weight).probability() < DEFAULT_THRESHOLD, "{weight}");
        }
        let byoip = MOST_OF_UNLISTED_NETWORK + HEADER;
        for weight in [LISTED, EDGE_NETWORK, ALIAS + NOT_LISTED, CERTIFICATE + NOT_LISTED, PTR, byoip] {
            assert!((prior + weight).probability() > DEFAULT_THRESHOLD, "{weight}");
        }
        assert!((prior + LISTED + NO_EDGE + NO_EDGE_OF_THEIRS).probability() > DEFAULT_THRESHOLD);
        assert!((prior + EDGE_NETWORK + NO_EDGE + NO_EDGE_OF_THEIRS).probability() < DEFAULT_THRESHOLD);
    }
}
