//! Host names compared label by label, from the right: `a.fastly.net` ends in `fastly.net`, and neither `notfastly.net` nor
//! `fastly.net.example.com` does.

use core::cmp::Ordering;

/// A name without the dot of the root.
fn without_root(name: &str) -> &str {
    name.strip_suffix('.').unwrap_or(name)
}

/// Whether the name is `suffix`, or has labels in front of it. Case and the dot of the root make no difference.
#[must_use]
pub fn ends_in(name: &str, suffix: &str) -> bool {
    let (name, suffix) = (without_root(name).as_bytes(), without_root(suffix).as_bytes());
    let Some(front) = name.len().checked_sub(suffix.len()) else { return false };
    let (front, end) = name.split_at(front);
    end.eq_ignore_ascii_case(suffix) && (front.is_empty() || front.ends_with(b".")) && !suffix.is_empty()
}

/// The order of names by their labels from the right, without regard to case: a suffix stands right before the names that end in
/// it.
#[must_use]
pub fn compare(left: &str, right: &str) -> Ordering {
    let labels =
        |name| without_root(name).rsplit('.').map(|label: &str| label.bytes().map(|byte| byte.to_ascii_lowercase()));
    let (mut left, mut right) = (labels(left), labels(right));
    loop {
        match (left.next(), right.next()) {
            (None, None) => return Ordering::Equal,
            (None, Some(_)) => return Ordering::Less,
            (Some(_), None) => return Ordering::Greater,
            (Some(left), Some(right)) => match left.cmp(right) {
                Ordering::Equal => {}
                unequal => return unequal,
            },
        }
    }
}

/// The longest of the suffixes that the name ends in. They are sorted by [`compare`].
pub fn longest_suffix<'s, T>(sorted: &'s [T], suffix_of: impl Fn(&T) -> &str, name: &str) -> Option<&'s T> {
    let name = without_root(name);
    let mut rest = name;
    loop {
        if let Ok(at) = sorted.binary_search_by(|fact| compare(suffix_of(fact), rest)) {
            return sorted.get(at);
        }
        rest = rest.split_once('.')?.1;
    }
}

/// Whether the pattern describes the name. In it `*` is one label or more, at the beginning only, `?` is any character but a dot,
/// and `#` is a digit; a certificate's own `*` is a label, too.
#[must_use]
pub fn matches(pattern: &str, name: &str) -> bool {
    let name = without_root(name);
    match pattern.strip_prefix("*.") {
        Some(end) => {
            let labels = end.split('.').count();
            let mut starts = name.rmatch_indices('.').map(|(at, _)| at + 1);
            starts.nth(labels - 1).is_some_and(|start| start > 1 && same(end, name.get(start..).unwrap_or_default()))
        }
        None => same(pattern, name),
    }
}

fn same(pattern: &str, name: &str) -> bool {
    let fits = |(wanted, found): (u8, u8)| match wanted {
        b'#' => found.is_ascii_digit(),
        b'?' => found != b'.',
        _ => wanted.eq_ignore_ascii_case(&found),
    };
    pattern.len() == name.len() && pattern.bytes().zip(name.bytes()).all(fits)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn suffixes_are_aligned_with_labels() {
        for name in ["fastly.net", "a.fastly.net", "a.b.FASTLY.net.", "x.fastly.net."] {
            assert!(ends_in(name, "fastly.net"), "{name}");
        }
        for name in ["notfastly.net", "fastly.net.attacker.com", "net", "", ".", "afastly.net"] {
            assert!(!ends_in(name, "fastly.net"), "{name}");
        }
        assert!(!ends_in("example.com", ""));
    }

    #[test]
    fn the_longest_suffix_is_found() {
        let sorted = ["com", "cloudflare.com", "net", "cloudflare.net", "cdn.cloudflare.net"];
        let found = |name| longest_suffix(&sorted, |suffix| suffix, name).copied();
        assert!(sorted.windows(2).all(|pair| compare(pair[0], pair[1]) == Ordering::Less));
        assert_eq!(found("www.example.com.cdn.cloudflare.net."), Some("cdn.cloudflare.net"));
        assert_eq!(found("www.Cloudflare.NET"), Some("cloudflare.net"));
        assert_eq!(found("notcloudflare.net"), Some("net"));
        assert_eq!(found("example.org"), None);
        assert_eq!(found(""), None);
        assert_eq!(found("..."), None);
    }

    #[test]
    fn patterns_of_certificates() {
        assert!(matches("*.cloudfront.net", "*.cloudfront.net"));
        assert!(matches("*.cloudfront.net", "D111.cloudfront.net"));
        assert!(matches("ssl######.cloudflaressl.com", "ssl123456.cloudflaressl.com"));
        assert!(matches("?.sni-###-default.ssl.fastly.net", "q.sni-664-default.ssl.fastly.net"));
        for (pattern, name) in [
            ("*.cloudfront.net", "cloudfront.net"),
            ("*.cloudfront.net", ".cloudfront.net"),
            ("*.cloudfront.net", "a.notcloudfront.net"),
            ("*.cloudfront.net", "a.cloudfront.net.example.com"),
            ("ssl######.cloudflaressl.com", "ssl12345x.cloudflaressl.com"),
            ("a248.e.akamai.net", "x.a248.e.akamai.net"),
            ("?.example.com", "..example.com"),
        ] {
            assert!(!matches(pattern, name), "{pattern} and {name}");
        }
    }
}
