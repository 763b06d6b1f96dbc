//! What a domain's SPF record says about hosts of its own (RFC 7208): a place where origins are named by accident.

use super::super::core_cdn::prefix::Prefix;

/// Bytes of a record that are looked at.
const MOST_BYTES: usize = 4096;

/// Terms of a record that are looked at.
const MOST_TERMS: usize = 128;

/// A term that leads to addresses. Whether it lets them send or forbids it makes no difference here.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Term<'t> {
    /// `ip4:` and `ip6:`.
    Prefix(Prefix),
    /// `a`: the addresses of this name, or of the domain itself.
    A(Option<&'t str>),
    /// `mx`: the hosts that take mail for this name, or for the domain itself.
    Mx(Option<&'t str>),
    /// `include:`: the record of another domain counts, too.
    Include(&'t str),
    /// `redirect=`: the record of another domain counts instead.
    Redirect(&'t str),
}

/// The terms of a record that lead to addresses; `None` for a text that is no SPF record (section 4.5).
#[must_use]
pub fn terms(record: &str) -> Option<Vec<Term<'_>>> {
    let record = record.get(..MOST_BYTES).unwrap_or(record);
    let mut words = record.split(' ').filter(|word| !word.is_empty());
    let is_spf = words.next()?.eq_ignore_ascii_case("v=spf1");
    is_spf.then(|| words.take(MOST_TERMS).filter_map(term).collect())
}

fn term(word: &str) -> Option<Term<'_>> {
    // Macros (section 7) stand for the sender of a mail, and there is none.
    if word.contains('%') {
        return None;
    }
    let word = word.strip_prefix(['+', '-', '~', '?']).unwrap_or(word);
    if let Some(domain) = after(word, "redirect=") {
        return (!domain.is_empty()).then_some(Term::Redirect(domain));
    }
    let (name, value) = match word.split_once(':') {
        Some((name, value)) => (name, Some(value).filter(|value| !value.is_empty())),
        // A bare `a/24`: the prefix around the domain's own addresses.
        None => (word.split_once('/').map_or(word, |(name, _)| name), None),
    };
    let is = |mechanism: &str| name.eq_ignore_ascii_case(mechanism);
    if is("ip4") || is("ip6") {
        let (prefix, _) = Prefix::parse_lenient(value?).ok()?;
        let is_right_family = matches!(prefix, Prefix::V4(_)) == is("ip4");
        return is_right_family.then_some(Term::Prefix(prefix));
    }
    // The lengths behind a name widen what may send; the host is the name's.
    let host = value.map(|value| value.split_once('/').map_or(value, |(host, _)| host));
    match () {
        () if is("a") => Some(Term::A(host)),
        () if is("mx") => Some(Term::Mx(host)),
        () if is("include") => host.map(Term::Include),
        () => None,
    }
}

/// What stands behind these first letters, whatever their case.
fn after<'t>(word: &'t str, start: &str) -> Option<&'t str> {
    word.get(..start.len()).filter(|found| found.eq_ignore_ascii_case(start)).and_then(|_| word.get(start.len()..))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn prefix(text: &str) -> Term<'static> {
        Term::Prefix(Prefix::parse(text).unwrap())
    }

    #[test]
    fn terms_that_lead_to_addresses_are_found() {
        let record = "v=spf1 +ip4:192.0.2.7 ip4:198.51.100.9/24 ip6:2001:db8::/32 a mx/24 A:direct.example.com/24//64 \
                      mx:example.net -include:_spf.example.org ~all redirect=spf.example.com exp=why.example.com ptr";
        let expected = [
            prefix("192.0.2.7"),
            prefix("198.51.100.0/24"),
            prefix("2001:db8::/32"),
            Term::A(None),
            Term::Mx(None),
            Term::A(Some("direct.example.com")),
            Term::Mx(Some("example.net")),
            Term::Include("_spf.example.org"),
            Term::Redirect("spf.example.com"),
        ];
        assert_eq!(terms(record), Some(expected.to_vec()));
    }

    #[test]
    fn what_is_broken_is_left_out() {
        assert_eq!(
            terms("v=spf1 ip4: ip4:x ip4:::1 ip6:192.0.2.1 ip4:1.2.3.4/33 include: redirect= a: exists:%{i}.x"),
            { Some(vec![Term::A(None)]) }
        );
        for text in ["", "v=spf10 a", "google-site-verification=x", " v=DKIM1", "spf1 a", "v=spf1a"] {
            assert_eq!(terms(text), None, "{text}");
        }
        assert_eq!(terms("V=SPF1"), Some(Vec::new()));
    }

    proptest! {
        #[test]
        fn any_text_is_read(text in "\\PC*") {
            let _ = terms(&text);
            let _ = terms(&format!("v=spf1 {text}"));
        }

        #[test]
        fn any_mixture_of_terms_is_read(
            words in proptest::collection::vec("[+?~-]?(ip4|ip6|a|mx|include|redirect|ptr|all)[:=/]{0,2}[0-9a-z.:/%{}é-]{0,12}", 0..300)
        ) {
            let record = format!("v=spf1 {}", words.join(" "));
            let found = terms(&record);
            prop_assert!(found.is_some_and(|terms| terms.len() <= words.len().min(MOST_TERMS)));
        }
    }
}
