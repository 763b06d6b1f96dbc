//! What was found out about an address or a name.

use std::net::IpAddr;

use smallvec::SmallVec;
use wirehaul_core::cdn::{CentiNats, Clue, Provenance, ProviderId, Signal, Verdict};
use wirehaul_core::time::Duration;

/// Why a signal was not looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum NotTried {
    /// Nobody asked for it.
    Off,
    /// No answer in time.
    Timeout,
    /// Nobody listens there.
    Refused,
    /// There is no way there.
    Unreachable,
    /// This machine had no socket left.
    NoSocket,
    /// No resolver is known.
    NoResolver,
    /// The resolver failed.
    ResolverFailed,
    /// The answer was none that the protocol knows.
    BadAnswer,
    /// This program was built without it.
    NotBuiltIn,
    /// What was asked about has no such thing: a name server knows no address for the name.
    NoAddress,
}

impl NotTried {
    /// In words, after "not tried: ".
    #[must_use]
    pub const fn reason(self) -> &'static str {
        match self {
            Self::Off => "off",
            Self::Timeout => "timeout",
            Self::Refused => "connection refused",
            Self::Unreachable => "unreachable",
            Self::NoSocket => "no free socket here",
            Self::NoResolver => "no resolver",
            Self::ResolverFailed => "the resolver failed",
            Self::BadAnswer => "no valid answer",
            Self::NotBuiltIn => "not in this build",
            Self::NoAddress => "no address",
        }
    }
}

/// What came of looking at a signal.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Found<'d> {
    /// It was not looked at.
    NotTried(NotTried),
    /// It was, and no fact fits.
    Nothing,
    /// A fact fits.
    Fact {
        /// Whom it speaks of; `None` for all.
        provider: Option<ProviderId>,
        /// What it says.
        weight: CentiNats,
        /// Where the fact is from.
        provenance: Provenance<'d>,
    },
}

/// One piece of evidence, as people and scripts see it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Evidence<'d> {
    /// Of what kind.
    pub signal: Signal,
    /// What was seen, as `104.16.0.0/13`, `AS13335`, `server: cloudflare`; empty where nothing was.
    pub value: String,
    /// What that means.
    pub found: Found<'d>,
}

impl<'d> Evidence<'d> {
    /// A signal that was not looked at.
    #[must_use]
    pub const fn not_tried(signal: Signal, why: NotTried) -> Self {
        Self { signal, value: String::new(), found: Found::NotTried(why) }
    }

    /// A signal that says nothing; `value` is what was seen, if anything.
    #[must_use]
    pub const fn nothing(signal: Signal, value: String) -> Self {
        Self { signal, value, found: Found::Nothing }
    }

    /// A fact that fits.
    #[must_use]
    pub const fn fact(clue: Clue, value: String, provenance: Provenance<'d>) -> Self {
        let found = Found::Fact { provider: clue.provider, weight: clue.weight, provenance };
        Self { signal: clue.signal, value, found }
    }

    /// What it says to the verdict.
    #[must_use]
    pub const fn clue(&self) -> Option<Clue> {
        match self.found {
            Found::Fact { provider, weight, .. } => Some(Clue { signal: self.signal, provider, weight }),
            Found::NotTried(_) | Found::Nothing => None,
        }
    }
}

/// All that was found out about one address, or about one name and the address that speaks most for it.
#[derive(Clone, Debug)]
pub struct Detection<'d> {
    /// The address; `None` for a name without any.
    pub ip: Option<IpAddr>,
    /// All addresses of the name, or the one that was asked about.
    pub ips: SmallVec<[IpAddr; 1]>,
    /// The network that announces the address, where that is known.
    pub asn: Option<u32>,
    /// What it comes to.
    pub verdict: Verdict,
    /// What was looked at: at least an entry for each of asn, prefix, dns, http and tls, in that order.
    pub evidence: Vec<Evidence<'d>>,
    /// How long it took.
    pub took: Duration,
}
