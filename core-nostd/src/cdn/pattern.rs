//! What a header's value has to look like: plain comparisons, and one small form of pattern for those that end in digits.

/// How a fact compares the value of a header with its words. Words are separated by `|`; one that fits is enough. Case makes no
/// difference.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Match {
    /// The header is there, with any value.
    Present,
    /// The value is a word.
    Equal,
    /// It begins with a word.
    Prefix,
    /// It ends in a word.
    Suffix,
    /// It has a word in it.
    Contains,
    /// A part of it looks like the pattern; see [`is_pattern`].
    Pattern,
}

impl Match {
    /// The word that stands for it before the colon.
    #[must_use]
    pub fn of_name(name: &str) -> Option<Self> {
        Some(match name {
            "present" => Self::Present,
            "eq" | "in" => Self::Equal,
            "prefix" => Self::Prefix,
            "suffix" => Self::Suffix,
            "contains" => Self::Contains,
            "regex" => Self::Pattern,
            _ => return None,
        })
    }

    /// Whether the value fits the words.
    #[must_use]
    pub fn fits(self, words: &str, value: &[u8]) -> bool {
        let mut words_of = words.split('|').map(str::as_bytes);
        let value = value.trim_ascii();
        match self {
            Self::Present => true,
            Self::Equal => words_of.any(|word| value.eq_ignore_ascii_case(word)),
            Self::Prefix => words_of.any(|word| begins_with(value, word)),
            Self::Suffix => words_of
                .any(|word| value.len().checked_sub(word.len()).is_some_and(|at| begins_with(&value[at..], word))),
            Self::Contains => words_of.any(|word| (0..=value.len()).any(|at| begins_with(&value[at..], word))),
            Self::Pattern => pattern_fits(words.as_bytes(), value),
        }
    }
}

fn begins_with(value: &[u8], word: &[u8]) -> bool {
    value.get(..word.len()).is_some_and(|front| front.eq_ignore_ascii_case(word))
}

/// Whether this is a pattern: bytes that stand for themselves, `[0-9]` for a digit, `[a-z]` for a letter, a number of repeats in
/// braces behind any of them, `^` in front and `$` behind. Nothing in it can make a search slow.
#[must_use]
pub fn is_pattern(pattern: &str) -> bool {
    let (body, _, _) = anchors(pattern.as_bytes());
    let mut rest = body;
    while !rest.is_empty() {
        match atom(rest) {
            Some((_, _, behind)) => rest = behind,
            None => return false,
        }
    }
    !body.is_empty()
}

/// The pattern without its anchors, and whether it has the one in front and the one behind.
fn anchors(pattern: &[u8]) -> (&[u8], bool, bool) {
    let (body, at_start) = pattern.strip_prefix(b"^").map_or((pattern, false), |body| (body, true));
    let (body, at_end) = body.strip_suffix(b"$").map_or((body, false), |body| (body, true));
    (body, at_start, at_end)
}

#[derive(Clone, Copy)]
enum Class {
    Digit,
    Letter,
    Byte(u8),
}

impl Class {
    const fn has(self, byte: u8) -> bool {
        match self {
            Self::Digit => byte.is_ascii_digit(),
            Self::Letter => byte.is_ascii_alphabetic(),
            Self::Byte(own) => byte.eq_ignore_ascii_case(&own),
        }
    }
}

/// What comes first in the pattern, how often, and what is behind it.
fn atom(pattern: &[u8]) -> Option<(Class, u8, &[u8])> {
    let (class, rest) = if let Some(rest) = pattern.strip_prefix(b"[0-9]") {
        (Class::Digit, rest)
    } else if let Some(rest) = pattern.strip_prefix(b"[a-z]").or_else(|| pattern.strip_prefix(b"[A-Z]")) {
        (Class::Letter, rest)
    } else {
        match pattern.split_first() {
            Some((
                b'[' | b']' | b'{' | b'}' | b'(' | b')' | b'*' | b'+' | b'?' | b'.' | b'\\' | b'|' | b'^' | b'$',
                _,
            ))
            | None => {
                return None;
            }
            Some((byte, rest)) => (Class::Byte(*byte), rest),
        }
    };
    match rest {
        [b'{', count @ b'1'..=b'9', b'}', rest @ ..] => Some((class, count - b'0', rest)),
        _ => Some((class, 1, rest)),
    }
}

fn pattern_fits(pattern: &[u8], value: &[u8]) -> bool {
    let (body, at_start, at_end) = anchors(pattern);
    let starts = if at_start { 0..=0 } else { 0..=value.len() };
    starts.into_iter().any(|start| match behind_match(body, &value[start..]) {
        Some(rest) => !at_end || rest.is_empty(),
        None => false,
    })
}

/// What of the value is behind the pattern, which begins where the value does.
fn behind_match<'v>(mut pattern: &[u8], mut value: &'v [u8]) -> Option<&'v [u8]> {
    while !pattern.is_empty() {
        let (class, count, rest) = atom(pattern)?;
        let (front, behind) = value.split_at_checked(count.into())?;
        if !front.iter().all(|byte| class.has(*byte)) {
            return None;
        }
        (pattern, value) = (rest, behind);
    }
    Some(value)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_compared_as_the_fact_says() {
        for (kind, words, value, expected) in [
            (Match::Present, "", "", true),
            (Match::Equal, "cloudflare", " CloudFlare ", true),
            (Match::Equal, "cloudflare", "cloudflare-nginx", false),
            (Match::Equal, "TCP_HIT|TCP_MISS", "tcp_miss", true),
            (Match::Prefix, "ECS (|ECAcc (", "ECAcc (dcd/7D5A)", true),
            (Match::Prefix, "cache-", "acache-", false),
            (Match::Suffix, "from cloudfront", "Miss from cloudfront", true),
            (Match::Suffix, "from cloudfront", "cloudfront", false),
            (Match::Contains, ".cloudfront.net (CloudFront)", "1.1 abc.cloudfront.net (CloudFront)", true),
            (Match::Contains, "ak_p", "", false),
            (Match::Pattern, "-gc[0-9]{2}$", "ed-up-gc42", true),
            (Match::Pattern, "-gc[0-9]{2}$", "ed-up-gc421", false),
            (Match::Pattern, "^[a-z]{3}-[0-9]", "LHR-7 and more", true),
            (Match::Pattern, "^[a-z]{3}-[0-9]", "xLHR-7", false),
        ] {
            assert_eq!(kind.fits(words, value.as_bytes()), expected, "{kind:?} {words} {value}");
        }
    }

    #[test]
    fn only_patterns_of_the_small_form_are_patterns() {
        for pattern in ["-gc[0-9]{2}$", "^a", "[a-z][0-9]"] {
            assert!(is_pattern(pattern), "{pattern}");
        }
        for pattern in ["", "^", "$", "a*", "(a|b)", "[0-9", "a{2,3}", "a{0}", "a{x}", ".", "a\\d", "{3}"] {
            assert!(!is_pattern(pattern), "{pattern}");
        }
    }
}
