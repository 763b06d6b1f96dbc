//! What it means how an address answers for a domain.

use super::super::detection::NotTried;
use super::super::http::Response;
use super::super::tls::{Greeting, Shown};

/// A name that is nobody's (RFC 6761, section 6.4): how a server answers for it is how it answers for all.
pub const CONTROL: &str = "wirehaul-control.invalid";

/// Names of a certificate that are shown.
const MOST_NAMES_SHOWN: usize = 3;

/// Characters of a header that are shown.
const MOST_SHOWN: usize = 80;

/// Whether an address gives the site away; the later the worse.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Verdict {
    /// Nobody looked: it is not owned, or an edge of a CDN.
    NotTried,
    /// Nothing listens there, or a firewall drops what comes.
    Closed,
    /// It answers, and not with the site.
    NotExposed,
    /// It answers, and whether that is the site cannot be told.
    Unclear,
    /// It answers for the site, past the CDN.
    Exposed,
}

impl Verdict {
    /// Its name in output.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::NotTried => "not tried",
            Self::Closed => "closed",
            Self::NotExposed => "not exposed",
            Self::Unclear => "unclear",
            Self::Exposed => "exposed",
        }
    }
}

/// How an address answered two requests for `/`.
#[derive(Clone, Debug)]
pub struct Exchange {
    /// As the domain.
    pub site: Result<Response, NotTried>,
    /// As [`CONTROL`]; only where it makes a difference.
    pub control: Option<Result<Response, NotTried>>,
}

/// All that an address answered.
#[derive(Clone, Debug)]
pub struct Seen {
    /// To a handshake for the domain.
    pub greeting: Result<Greeting, NotTried>,
    /// Within it; `None` without one.
    pub https: Option<Exchange>,
    /// Without TLS.
    pub http: Result<Exchange, NotTried>,
}

/// What that comes to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// The worse of what both ports say.
    pub verdict: Verdict,
    /// Why, a line for each port.
    pub evidence: Vec<String>,
}

/// What the answers of an address say about `domain`, next to what the CDN answers, where that was asked.
#[must_use]
pub fn judge(domain: &str, seen: &Seen, front: Option<&Response>) -> Finding {
    let (https, https_why) = judge_https(domain, seen, front);
    let (http, http_why) = match &seen.http {
        Err(why) => (without_connection(*why), in_words(*why).to_owned()),
        Ok(exchange) => judge_exchange(&Question { domain, front, has_certificate: false }, exchange),
    };
    let evidence = vec![format!("https: {https_why}"), format!("http: {http_why}")];
    Finding { verdict: https.max(http), evidence }
}

fn judge_https(domain: &str, seen: &Seen, front: Option<&Response>) -> (Verdict, String) {
    let shown = match &seen.greeting {
        Err(NotTried::BadAnswer) => return (Verdict::NotExposed, "the TLS handshake fails".to_owned()),
        Err(why) => return (without_connection(*why), in_words(*why).to_owned()),
        Ok(Greeting::Alert) => {
            return (Verdict::NotExposed, format!("the server refuses the TLS handshake for {domain}"));
        }
        Ok(Greeting::Certificate(shown)) => shown,
    };
    let has_certificate = covers(shown, domain);
    let (verdict, why) = match &seen.https {
        Some(exchange) => judge_exchange(&Question { domain, front, has_certificate }, exchange),
        None => (Verdict::NotExposed, "no request was answered".to_owned()),
    };
    (verdict, format!("{}; {why}", certificate_in_words(shown, domain, has_certificate)))
}

/// What stays the same for both ports.
struct Question<'q> {
    domain: &'q str,
    front: Option<&'q Response>,
    /// Whether the certificate of this connection is for the domain.
    has_certificate: bool,
}

fn judge_exchange(question: &Question<'_>, exchange: &Exchange) -> (Verdict, String) {
    let answer = match &exchange.site {
        Ok(answer) => answer,
        // As a server does that wants a certificate of its clients, too.
        Err(NotTried::BadAnswer) => return (Verdict::NotExposed, "no request is answered".to_owned()),
        Err(NotTried::Timeout) => return (Verdict::Unclear, "the request was not answered in time".to_owned()),
        Err(why) => return (without_connection(*why), in_words(*why).to_owned()),
    };
    let said = answer_in_words(answer);
    let agreement = question.front.and_then(|front| agreement(front, answer));
    let knows = knows_domain(question.domain, exchange);
    let (verdict, why) = match (answer.status, agreement) {
        (_, Some(Agreement::Same(header))) => (Verdict::Exposed, format!("the same {header} as through the CDN")),
        (403 | 421, _) => (Verdict::NotExposed, "the server refuses".to_owned()),
        (200..400, _) if question.has_certificate => (Verdict::Exposed, "the site answers".to_owned()),
        (200..400, _) if knows == Some(true) => {
            (Verdict::Exposed, format!("the server knows {}: other names get another answer", question.domain))
        }
        (300..400, _) if knows == Some(false) => (Verdict::NotExposed, "every name is redirected alike".to_owned()),
        (200..400, Some(Agreement::Different(header))) => {
            (Verdict::NotExposed, format!("another {header} than through the CDN, and the same for every name"))
        }
        (200..400, None) if knows.is_none() => {
            (Verdict::Unclear, "it does not answer for other names, so that this may be the site or another".to_owned())
        }
        (200..400, None) => (Verdict::Unclear, "the same answer for every name: this site or another".to_owned()),
        _ if question.has_certificate || knows == Some(true) => {
            (Verdict::Unclear, "the server knows the site, and answers with an error".to_owned())
        }
        _ => (Verdict::NotExposed, "an error, as for every name".to_owned()),
    };
    (verdict, format!("{said}: {why}"))
}

/// Whether two answers are of the same site, and by which header that shows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Agreement {
    Same(&'static str),
    Different(&'static str),
}

/// Headers that CDNs hand through, and that hardly two sites have in common.
const TELLING: [&str; 3] = ["etag", "last-modified", "location"];

fn agreement(front: &Response, answer: &Response) -> Option<Agreement> {
    if front.status != answer.status {
        return Some(Agreement::Different("status"));
    }
    // A CDN that compresses makes a strong tag a weak one (RFC 9110, section 8.8.1).
    let value = |response: &Response, header: &str| {
        let value = response.header(header)?;
        Some(value.strip_prefix(b"W/").unwrap_or(value).to_vec())
    };
    TELLING.into_iter().find_map(|header| match (value(front, header), value(answer, header)) {
        (Some(front), Some(answer)) if front == answer => Some(Agreement::Same(header)),
        (Some(_), Some(_)) => Some(Agreement::Different(header)),
        _ => None,
    })
}

/// Whether the server answers for the domain otherwise than for a name that is nobody's; `None` where it was not asked or gave no
/// answer in time.
fn knows_domain(domain: &str, exchange: &Exchange) -> Option<bool> {
    let site = exchange.site.as_ref().ok()?;
    let control = match exchange.control.as_ref()? {
        Ok(control) => control,
        // It hangs up on names that it does not know.
        Err(NotTried::BadAnswer) => return Some(true),
        Err(_) => return None,
    };
    let location = |response: &Response, host: &str| response.location().map(|to| to.replace(host, ""));
    let same = site.status == control.status
        && location(site, domain) == location(control, CONTROL)
        && ["etag", "last-modified", "content-type"].iter().all(|header| site.header(header) == control.header(header));
    Some(!same)
}

/// Whether a server shows a certificate for this name.
#[must_use]
pub fn is_for(greeting: &Greeting, domain: &str) -> bool {
    matches!(greeting, Greeting::Certificate(shown) if covers(shown, domain))
}

/// Whether a certificate is for this name (RFC 9525, section 6.3: a `*` is one label, the first). One without alternative names
/// is for its common name, as clients had it for long.
fn covers(shown: &Shown, domain: &str) -> bool {
    let fits = |pattern: &str| match pattern.strip_prefix("*.") {
        Some(end) => domain.split_once('.').is_some_and(|(_, rest)| rest.eq_ignore_ascii_case(end)),
        None => pattern.eq_ignore_ascii_case(domain),
    };
    let common_name = shown.common_name.iter().filter(|_| shown.alternative_names.is_empty());
    common_name.chain(&shown.alternative_names).any(|name| fits(name))
}

/// Nothing came back, or nobody asked.
const fn without_connection(why: NotTried) -> Verdict {
    match why {
        NotTried::Timeout | NotTried::Refused | NotTried::Unreachable => Verdict::Closed,
        _ => Verdict::NotTried,
    }
}

/// As people say it who look at ports.
fn in_words(why: NotTried) -> &'static str {
    match why {
        NotTried::Timeout => "no answer: a firewall, or nobody there",
        why => why.reason(),
    }
}

fn certificate_in_words(shown: &Shown, domain: &str, is_for_domain: bool) -> String {
    let trust = if shown.is_trusted { "" } else { " (which nobody vouches for)" };
    if is_for_domain {
        return format!("the certificate is for {domain}{trust}");
    }
    let mut names: Vec<&str> = shown.alternative_names.iter().map(String::as_str).collect();
    if names.is_empty() {
        names.extend(shown.common_name.as_deref());
    }
    let more = if names.len() > MOST_NAMES_SHOWN { ", ..." } else { "" };
    names.truncate(MOST_NAMES_SHOWN);
    let names = if names.is_empty() { "nobody".to_owned() } else { names.join(", ") };
    format!("the certificate is for {names}{more}{trust}")
}

/// Status, and the headers that people look at first.
#[must_use]
pub fn answer_in_words(answer: &Response) -> String {
    let mut words = answer.status.to_string();
    for header in ["location", "server"] {
        if let Some(value) = answer.header(header) {
            let value: String = String::from_utf8_lossy(value).chars().take(MOST_SHOWN).collect();
            // What came from a server goes to a terminal.
            let value: String = value.chars().map(|c| if c.is_control() { '?' } else { c }).collect();
            words.push_str(&format!(", {header} {value}"));
        }
    }
    words
}

#[cfg(test)]
#[path = "verdict_tests.rs"]
mod tests;
