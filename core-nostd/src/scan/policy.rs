//! The policy: whom a survey may ask (SCAN-6).
//!
//! 1. Without targets there is no survey.
//! 2. Some addresses are refused whoever asks: those of no single host, those that mean something else, and those that nobody may
//!    have yet. Loopback is refused but for the loopback interface itself.
//! 3. Private addresses are asked when they are named: nobody beyond the user's own networks has them.
//! 4. All others are somebody's, on the Internet. They are asked only when an allow-list has them that names who is responsible and
//!    what permits it, and that has not expired.
//! 5. Exclusions win over everything. They were taken out of the targets before anything here is decided.
//!
//! Which addresses are which is in [`V4`] and [`V6`]: IANA's registries of special-purpose addresses as of [`REGISTRIES_OF`].

use core::fmt;
use core::net::IpAddr;

use super::targets::Targets;
use crate::cdn::Date;
use crate::cdn::prefix::{Address, Span};

mod registry;

use registry::use_of;
pub use registry::{Entry, REGISTRIES_OF, Use, V4, V6, purpose};

/// Why a survey is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// Nothing is left to ask.
    NoTargets,
    /// 0.0.0.0/8 and `::`.
    ThisNetwork,
    /// 127.0.0.0/8 and `::1`, off the loopback interface.
    Loopback,
    /// 224.0.0.0/4 and ff00::/8.
    Multicast,
    /// 255.255.255.255.
    Broadcast,
    /// 240.0.0.0/4, and what of IPv6 is not given out.
    Reserved,
    /// ::ffff:0:0/96.
    V4Mapped,
    /// On the Internet, and there is no allow-list.
    NoAllowList,
    /// On the Internet, and no allow-list has it.
    NotAllowed,
    /// On the Internet, and only an allow-list has it that has expired.
    Expired,
}

impl Refusal {
    /// All of them.
    pub const ALL: [Self; 10] = [
        Self::NoTargets,
        Self::ThisNetwork,
        Self::Loopback,
        Self::Multicast,
        Self::Broadcast,
        Self::Reserved,
        Self::V4Mapped,
        Self::NoAllowList,
        Self::NotAllowed,
        Self::Expired,
    ];

    /// For scripts and logs.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::NoTargets => "no-targets",
            Self::ThisNetwork => "this-network",
            Self::Loopback => "loopback",
            Self::Multicast => "multicast",
            Self::Broadcast => "broadcast",
            Self::Reserved => "reserved",
            Self::V4Mapped => "v4-mapped",
            Self::NoAllowList => "no-allow-list",
            Self::NotAllowed => "not-allowed",
            Self::Expired => "allow-list-expired",
        }
    }

    /// The rule that refuses, and what to do.
    #[must_use]
    pub const fn rule(self) -> &'static str {
        match self {
            Self::NoTargets => "there are no targets; name addresses, prefixes, ranges or hosts that are not excluded",
            Self::ThisNetwork => "\"this network\" (0.0.0.0/8, ::) is no destination; exclude it",
            Self::Loopback => "loopback (127.0.0.0/8, ::1) is asked through lo only; exclude it, or use --iface lo",
            Self::Multicast => "multicast (224.0.0.0/4, ff00::/8) is never asked; exclude it",
            Self::Broadcast => "broadcast (255.255.255.255) is never asked; exclude it",
            Self::Reserved => {
                "reserved addresses (240.0.0.0/4, IPv6 outside of what is given out) are never asked; exclude them"
            }
            Self::V4Mapped => "IPv4-mapped addresses (::ffff:0:0/96) are on no wire; write them as IPv4",
            Self::NoAllowList => {
                "public addresses need an allow-list that says who is responsible, what permits it, and until when; give one with --allow-file"
            }
            Self::NotAllowed => {
                "public addresses are asked only where an allow-list has them; add them to it if that is permitted"
            }
            Self::Expired => "the allow-list that has these public addresses has expired; renew it",
        }
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.rule())
    }
}

/// What is refused, and why.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Refused {
    /// Why.
    pub refusal: Refusal,
    /// The first addresses that are refused for this reason, from the lowest to the highest; none for [`Refusal::NoTargets`].
    pub addresses: Option<(IpAddr, IpAddr)>,
}

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.addresses {
            Some((first, last)) if first == last => write!(f, "{first}: {}", self.refusal),
            Some((first, last)) => write!(f, "{first}-{last}: {}", self.refusal),
            None => self.refusal.fmt(f),
        }
    }
}

impl core::error::Error for Refused {}

/// Public addresses that somebody may ask.
#[derive(Clone, Copy, Debug)]
pub struct AllowList<'a> {
    /// Of IPv4, as [`join`](super::targets::join) leaves them.
    pub v4: &'a [Span<u32>],
    /// Of IPv6, likewise.
    pub v6: &'a [Span<u128>],
    /// The last day on which it holds, in UTC.
    pub expires: Date,
}

impl AllowList<'_> {
    /// Whether it holds on this day.
    #[must_use]
    pub fn holds_on(&self, today: Date) -> bool {
        today <= self.expires
    }
}

/// What is known of a survey besides its targets.
#[derive(Clone, Copy, Debug)]
pub struct Circumstances<'a> {
    /// The allow-lists.
    pub allowed: &'a [AllowList<'a>],
    /// The day, in UTC.
    pub today: Date,
    /// Whether packets leave through the loopback interface and no other.
    pub is_loopback: bool,
}

/// Whether a survey of these targets, which has no excluded address among them, may begin.
///
/// # Errors
/// The lowest addresses that are refused, those of IPv4 first, and why.
pub fn decide(targets: &Targets<'_>, circumstances: &Circumstances<'_>) -> Result<(), Refused> {
    if targets.is_empty() {
        return Err(Refused { refusal: Refusal::NoTargets, addresses: None });
    }
    targets.v4().try_for_each(|span| decide_span(span, V4, Use::Public, circumstances))?;
    targets.v6().try_for_each(|span| decide_span(span, V6, Use::Refused(Refusal::Reserved), circumstances))
}

/// Goes through a span in parts that have one answer each.
fn decide_span<A: Family>(
    span: Span<A>,
    registry: &[Entry<A>],
    otherwise: Use,
    circumstances: &Circumstances<'_>,
) -> Result<(), Refused> {
    let mut rest = Some(span.first);
    while let Some(first) = rest {
        let (purpose, last) = use_of(registry, first, otherwise);
        let part = Span { first, last: last.min(span.last) };
        let (refusal, last) = match purpose {
            Use::Private => (None, part.last),
            Use::Loopback if circumstances.is_loopback => (None, part.last),
            Use::Loopback => (Some(Refusal::Loopback), part.last),
            Use::Refused(refusal) => (Some(refusal), part.last),
            Use::Public => permission(part, circumstances),
        };
        if let Some(refusal) = refusal {
            return Err(Refused { refusal, addresses: Some((first.ip(), last.ip())) });
        }
        rest = last.next().filter(|next| *next <= span.last);
    }
    Ok(())
}

/// Whether the first of these public addresses is refused, and up to which of them the answer is the same.
fn permission<A: Family>(public: Span<A>, circumstances: &Circumstances<'_>) -> (Option<Refusal>, A) {
    if circumstances.allowed.is_empty() {
        return (Some(Refusal::NoAllowList), public.last);
    }
    let lists =
        |holds: bool| circumstances.allowed.iter().filter(move |list| list.holds_on(circumstances.today) == holds);
    if let Some(end) = lists(true).filter_map(|list| covered_to(A::allowed(list), public.first)).max() {
        return (None, end.min(public.last));
    }
    // Refused up to where the answer may be another: where a list begins, or one that has expired ends.
    let begins_in = |holds| lists(holds).filter_map(|list| next_covered(A::allowed(list), public.first)).min();
    let expired_to = lists(false).filter_map(|list| covered_to(A::allowed(list), public.first)).max();
    let (refusal, begins, ends) = match expired_to {
        Some(end) => (Refusal::Expired, begins_in(true), end),
        None => (Refusal::NotAllowed, begins_in(true).into_iter().chain(begins_in(false)).min(), public.last),
    };
    let before = begins.and_then(A::previous).unwrap_or(A::MAX);
    (Some(refusal), before.min(ends).min(public.last))
}

/// Where the span ends that has this address.
fn covered_to<A: Address>(spans: &[Span<A>], address: A) -> Option<A> {
    let after = spans.partition_point(|span| span.first <= address);
    spans.get(after.checked_sub(1)?).filter(|span| address <= span.last).map(|span| span.last)
}

/// The first address of a span behind this one.
fn next_covered<A: Address>(spans: &[Span<A>], address: A) -> Option<A> {
    spans.get(spans.partition_point(|span| span.first <= address)).map(|span| span.first)
}

/// A family of addresses, in an allow-list.
trait Family: Address {
    fn allowed<'a>(list: &AllowList<'a>) -> &'a [Span<Self>];
}

impl Family for u32 {
    fn allowed<'a>(list: &AllowList<'a>) -> &'a [Span<Self>] {
        list.v4
    }
}

impl Family for u128 {
    fn allowed<'a>(list: &AllowList<'a>) -> &'a [Span<Self>] {
        list.v6
    }
}

#[cfg(test)]
mod tests {
    extern crate std;

    use std::format;
    use std::string::{String, ToString};
    use std::vec::Vec;

    use super::*;
    use crate::cdn::prefix::Prefix;
    use crate::scan::targets::{Run, join, number};

    const TODAY: Date = Date::new(2026, 6, 15);

    struct Spans {
        v4: Vec<Span<u32>>,
        v6: Vec<Span<u128>>,
    }

    fn spans(prefixes: &str) -> Spans {
        let mut spans = Spans { v4: Vec::new(), v6: Vec::new() };
        for prefix in prefixes.split_whitespace() {
            match Prefix::parse(prefix).unwrap() {
                Prefix::V4(span) => spans.v4.push(span),
                Prefix::V6(span) => spans.v6.push(span),
            }
        }
        let (v4, v6) = (join(&mut spans.v4), join(&mut spans.v6));
        spans.v4.truncate(v4);
        spans.v6.truncate(v6);
        spans
    }

    fn answer(targets: &str, lists: &[(&str, Date)], is_loopback: bool) -> Result<(), Refused> {
        let targets = spans(targets);
        let (mut v4, mut v6): (Vec<Run<u32>>, Vec<Run<u128>>) = (Vec::new(), Vec::new());
        number(&targets.v4, |run| v4.push(run));
        number(&targets.v6, |run| v6.push(run));
        let lists: Vec<_> = lists.iter().map(|(prefixes, expires)| (spans(prefixes), *expires)).collect();
        let allowed: Vec<_> = lists
            .iter()
            .map(|(spans, expires)| AllowList { v4: &spans.v4, v6: &spans.v6, expires: *expires })
            .collect();
        let circumstances = Circumstances { allowed: &allowed, today: TODAY, is_loopback };
        decide(&Targets::new(&v4, &v6).unwrap(), &circumstances)
    }

    fn refused(targets: &str, lists: &[(&str, Date)]) -> (Refusal, String) {
        let refused = answer(targets, lists, false).unwrap_err();
        let addresses = refused.addresses.map_or_else(String::new, |(first, last)| format!("{first}-{last}"));
        (refused.refusal, addresses)
    }

    /// SCAN-6: no targets means refuse.
    #[test]
    fn nothing_is_refused() {
        assert_eq!(refused("", &[]), (Refusal::NoTargets, String::new()));
        assert_eq!(refused("", &[("0.0.0.0/0", TODAY)]).0, Refusal::NoTargets);
    }

    /// SCAN-6: special-use space is refused, whatever is allowed.
    #[test]
    fn what_is_never_asked_is_refused_with_its_own_rule() {
        let all = [("0.0.0.0/0 ::/0", TODAY)];
        for (targets, refusal, addresses) in [
            ("0.0.0.0", Refusal::ThisNetwork, "0.0.0.0-0.0.0.0"),
            ("0.1.2.0/24 10.0.0.0/8", Refusal::ThisNetwork, "0.1.2.0-0.1.2.255"),
            ("0.0.0.0/0", Refusal::ThisNetwork, "0.0.0.0-0.255.255.255"),
            ("126.0.0.0/7", Refusal::Loopback, "127.0.0.0-127.255.255.255"),
            ("192.0.2.1 224.0.0.251", Refusal::Multicast, "224.0.0.251-224.0.0.251"),
            ("192.0.0.0/2", Refusal::Multicast, "224.0.0.0-239.255.255.255"),
            ("240.0.0.0/4", Refusal::Reserved, "240.0.0.0-255.255.255.254"),
            ("255.255.255.255", Refusal::Broadcast, "255.255.255.255-255.255.255.255"),
            ("::", Refusal::ThisNetwork, "::-::"),
            ("::1", Refusal::Loopback, "::1-::1"),
            ("::192.0.2.1", Refusal::Reserved, "::c000:201-::c000:201"),
            ("::ffff:192.0.2.0/120", Refusal::V4Mapped, "::ffff:192.0.2.0-::ffff:192.0.2.255"),
            ("4000::/64", Refusal::Reserved, "4000::-4000::ffff:ffff:ffff:ffff"),
            ("fec0::1", Refusal::Reserved, "fec0::1-fec0::1"),
            ("fe80::1 ff02::1", Refusal::Multicast, "ff02::1-ff02::1"),
        ] {
            assert_eq!(refused(targets, &all), (refusal, addresses.to_string()), "{targets}");
        }
        let message = refused_text("0.0.0.0/7");
        assert_eq!(message, "0.0.0.0-0.255.255.255: \"this network\" (0.0.0.0/8, ::) is no destination; exclude it");
    }

    fn refused_text(targets: &str) -> String {
        answer(targets, &[], false).unwrap_err().to_string()
    }

    /// SCAN-6: loopback on lo and nowhere else.
    #[test]
    fn loopback_is_asked_through_lo() {
        assert_eq!(answer("127.0.0.0/8 ::1", &[], true), Ok(()));
        assert_eq!(refused("127.0.0.1", &[]).0, Refusal::Loopback);
        assert_eq!(answer("224.0.0.1", &[], true).unwrap_err().refusal, Refusal::Multicast);
        assert_eq!(answer("203.0.114.0", &[], true).unwrap_err().refusal, Refusal::NoAllowList);
    }

    /// SCAN-6: private space when it is named.
    #[test]
    fn private_addresses_are_asked_when_they_are_named() {
        let private = "10.0.0.0/8 100.64.0.0/10 169.254.0.0/16 172.16.0.0/12 192.0.0.0/29 192.0.2.0/24 192.168.0.0/16 \
                       198.18.0.0/15 198.51.100.0/24 203.0.113.0/24 100::/64 2001:2::/48 2001:db8::/32 3fff::/20 5f00::/16 \
                       fc00::/7 fe80::/10";
        assert_eq!(answer(private, &[], false), Ok(()));
        for (just_outside, refusal) in [
            ("9.255.255.255", Refusal::NoAllowList),
            ("11.0.0.0", Refusal::NoAllowList),
            ("100.63.255.255", Refusal::NoAllowList),
            ("100.128.0.0", Refusal::NoAllowList),
            ("172.15.255.255", Refusal::NoAllowList),
            ("172.32.0.0", Refusal::NoAllowList),
            ("192.0.0.9", Refusal::NoAllowList),
            ("192.167.255.255", Refusal::NoAllowList),
            ("192.169.0.0", Refusal::NoAllowList),
            ("198.20.0.0", Refusal::NoAllowList),
            ("203.0.112.255", Refusal::NoAllowList),
            ("203.0.114.0", Refusal::NoAllowList),
            ("100:0:0:2::", Refusal::Reserved),
            ("2001:db7:ffff::", Refusal::NoAllowList),
            ("2001:db9::", Refusal::NoAllowList),
            ("3fff:1000::", Refusal::NoAllowList),
            ("fe00::", Refusal::Reserved),
        ] {
            assert_eq!(refused(just_outside, &[]).0, refusal, "{just_outside}");
        }
    }

    /// A translator or a relay asks a host of IPv4 in the end, and which one only it knows.
    #[test]
    fn what_stands_for_addresses_of_ipv4_is_public() {
        for translated in ["64:ff9b::a00:1", "64:ff9b:1::808:808", "2002:a00:1::1", "2001::1"] {
            assert_eq!(refused(translated, &[]).0, Refusal::NoAllowList, "{translated}");
        }
    }

    /// SCAN-6: public space only with an allow-list that has it and holds.
    #[test]
    fn public_addresses_are_asked_when_they_are_allowed() {
        let yesterday = Date::new(2026, 6, 14);
        let public = "8.8.8.0/24 2606:4700::/32";
        assert_eq!(answer(public, &[("8.8.8.0/24 2606:4700::/32", TODAY)], false), Ok(()));
        // Several lists that have it together; neighbours within one.
        assert_eq!(
            answer(
                public,
                &[("8.8.8.0/25 2606:4700::/33", TODAY), ("8.8.8.64/26 8.8.8.128/25 2606::/16", TODAY)],
                false
            ),
            Ok(())
        );
        for (lists, refusal, addresses) in [
            (&[][..], Refusal::NoAllowList, "8.8.8.0-8.8.8.255"),
            (&[("9.0.0.0/8", TODAY)][..], Refusal::NotAllowed, "8.8.8.0-8.8.8.255"),
            (&[("8.8.8.0/25", TODAY)][..], Refusal::NotAllowed, "8.8.8.128-8.8.8.255"),
            (&[("8.8.8.128/25", TODAY)][..], Refusal::NotAllowed, "8.8.8.0-8.8.8.127"),
            (&[("8.8.8.0/24", TODAY)][..], Refusal::NotAllowed, "2606:4700::-2606:4700:ffff:ffff:ffff:ffff:ffff:ffff"),
            (&[("8.8.8.0/24", yesterday)][..], Refusal::Expired, "8.8.8.0-8.8.8.255"),
            (&[("8.8.8.0/24", yesterday), ("8.8.8.0/26", TODAY)][..], Refusal::Expired, "8.8.8.64-8.8.8.255"),
        ] {
            assert_eq!(refused(public, lists), (refusal, addresses.to_string()), "{lists:?}");
        }
    }

    #[test]
    fn names_and_rules_are_told_apart() {
        for (at, refusal) in Refusal::ALL.iter().enumerate() {
            for other in &Refusal::ALL[..at] {
                assert!(refusal.name() != other.name() && refusal.rule() != other.rule());
            }
        }
    }
}
