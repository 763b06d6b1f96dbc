//! What answers say: aliases, names of addresses, headers and certificates, held against the facts. Nothing here asks anybody.

use std::fmt::Write;

use wirehaul_core::cdn::calibration::{MOST_OF_UNCONFIRMED_PTR, MOST_OF_UNVERIFIED_CERTIFICATE};
use wirehaul_core::cdn::facts::{CertificateField, NameKind};
use wirehaul_core::cdn::{CentiNats, Clue, Database, Provenance, ProviderId, Signal};

use super::detection::{Evidence, NotTried};
use super::dns::Answer;
use super::http::Response;
use super::tls::{Greeting, Shown};

/// Characters of a header's value that are shown.
const MOST_SHOWN: usize = 100;

/// The strongest fact of each provider, in the order in which providers were met.
struct Strongest<'d> {
    signal: Signal,
    found: Vec<(Clue, String, Provenance<'d>)>,
}

impl<'d> Strongest<'d> {
    const fn of(signal: Signal) -> Self {
        Self { signal, found: Vec::new() }
    }

    fn add(
        &mut self,
        provider: ProviderId,
        weight: CentiNats,
        provenance: Provenance<'d>,
        value: impl FnOnce() -> String,
    ) {
        let clue = Clue { signal: self.signal, provider: Some(provider), weight };
        match self.found.iter_mut().find(|(known, _, _)| known.provider == clue.provider) {
            Some((known, _, _)) if known.weight >= weight => {}
            Some(known) => *known = (clue, value(), provenance),
            None => self.found.push((clue, value(), provenance)),
        }
    }

    /// The evidence; `seen` is what stands there if no fact fits.
    fn or_nothing(self, seen: impl FnOnce() -> String) -> Vec<Evidence<'d>> {
        if self.found.is_empty() {
            return vec![Evidence::nothing(self.signal, seen())];
        }
        self.found.into_iter().map(|(clue, value, provenance)| Evidence::fact(clue, value, provenance)).collect()
    }
}

/// What the aliases of a name say.
#[must_use]
pub fn of_aliases<'d>(database: &Database<'d>, answer: &Answer) -> Vec<Evidence<'d>> {
    let mut found = Strongest::of(Signal::Cname);
    for alias in &answer.aliases {
        if let Some(fact) = database.suffix(NameKind::Cname, alias) {
            found.add(fact.provider, fact.weight, fact.provenance, || alias.clone());
        }
    }
    found.or_nothing(|| match answer.aliases.last() {
        Some(alias) => alias.clone(),
        None if answer.exists => "no alias".to_owned(),
        None => "no such name".to_owned(),
    })
}

/// What the names of an address say; `is_confirmed` tells of those that facts fit whether they lead back to the address.
#[must_use]
pub fn of_names<'d>(
    database: &Database<'d>,
    names: &[String],
    is_confirmed: impl Fn(&str) -> bool,
) -> Vec<Evidence<'d>> {
    let mut found = Strongest::of(Signal::Ptr);
    for name in names {
        let Some(fact) = database.suffix(NameKind::Ptr, name) else { continue };
        if is_confirmed(name) {
            found.add(fact.provider, fact.weight, fact.provenance, || name.clone());
        } else {
            let weight = fact.weight.min(MOST_OF_UNCONFIRMED_PTR);
            found.add(fact.provider, weight, fact.provenance, || format!("{name} (does not lead back)"));
        }
    }
    found.or_nothing(|| names.first().map_or_else(|| "no name".to_owned(), Clone::clone))
}

/// Whether it makes a difference if the name of an address leads back to it.
#[must_use]
pub fn wants_confirmation(database: &Database<'_>, name: &str) -> bool {
    database.suffix(NameKind::Ptr, name).is_some_and(|fact| fact.weight > MOST_OF_UNCONFIRMED_PTR)
}

/// What the headers of a web server say.
#[must_use]
pub fn of_response<'d>(database: &Database<'d>, response: &Result<Response, NotTried>) -> Vec<Evidence<'d>> {
    let response = match response {
        Ok(response) => response,
        Err(why) => return vec![Evidence::not_tried(Signal::Http, *why)],
    };
    let mut found = Strongest::of(Signal::Http);
    for (name, value) in &response.headers {
        for fact in database.header(name, value) {
            found.add(fact.provider, fact.weight, fact.provenance, || legible_header(name, value));
        }
    }
    found.or_nothing(|| match response.header("server") {
        Some(value) => legible_header("server", value),
        None => format!("status {}", response.status),
    })
}

/// What a handshake says; `is_named`: the client asked for a host by name.
#[must_use]
pub fn of_greeting<'d>(
    database: &Database<'d>,
    greeting: &Result<Greeting, NotTried>,
    is_named: bool,
) -> Vec<Evidence<'d>> {
    let mut found = Strongest::of(Signal::Tls);
    let seen = match greeting {
        Err(why) => return vec![Evidence::not_tried(Signal::Tls, *why)],
        Ok(Greeting::Alert) if is_named => "alert".to_owned(),
        Ok(Greeting::Alert) => {
            let seen = "alert where no host is named";
            if let Some(fact) = database.certificate(CertificateField::Alert, "") {
                let weight = fact.weight.min(MOST_OF_UNVERIFIED_CERTIFICATE);
                found.add(fact.provider, weight, fact.provenance, || seen.to_owned());
            }
            seen.to_owned()
        }
        Ok(Greeting::Certificate(shown)) => {
            add_certificate(database, shown, &mut found);
            let name = shown.common_name.as_ref().or_else(|| shown.alternative_names.first());
            with_trust(name.map_or("certificate without a name", String::as_str), shown.is_trusted)
        }
    };
    found.or_nothing(|| seen)
}

fn add_certificate<'d>(database: &Database<'d>, shown: &Shown, found: &mut Strongest<'d>) {
    // Where a name stands makes no difference to who may have it: authorities check both (CA/Browser Forum, 7.1.4.3).
    let fields = [CertificateField::CommonName, CertificateField::AlternativeName];
    for name in shown.common_name.iter().chain(&shown.alternative_names) {
        for fact in fields.into_iter().filter_map(|field| database.certificate(field, name)) {
            let most = if shown.is_trusted { fact.weight } else { MOST_OF_UNVERIFIED_CERTIFICATE };
            found.add(fact.provider, fact.weight.min(most), fact.provenance, || with_trust(name, shown.is_trusted));
        }
    }
}

fn with_trust(name: &str, is_trusted: bool) -> String {
    if is_trusted { name.to_owned() } else { format!("{name} (not verified)") }
}

/// A header as it may be shown on a terminal: control characters and what is no ASCII are escaped, and what is long is cut.
fn legible_header(name: &str, value: &[u8]) -> String {
    let mut legible = format!("{name}: ");
    let value = value.trim_ascii();
    for byte in value.iter().take(MOST_SHOWN) {
        match byte {
            b' '..=b'~' => legible.push(char::from(*byte)),
            _ => {
                // Writing to a string does not fail.
                let _ = write!(legible, "\\x{byte:02x}");
            }
        }
    }
    if value.len() > MOST_SHOWN {
        legible.push_str("...");
    }
    legible
}

#[cfg(test)]
mod tests {
    use wirehaul_core::cdn_data::EMBEDDED;

    use super::*;
    use crate::cdn::detection::Found;

    /// Providers, weights and values of evidence.
    fn read(evidence: &[Evidence<'_>]) -> Vec<(Option<&'static str>, i32, String)> {
        let read = |evidence: &Evidence<'_>| {
            let clue = evidence.clue();
            let provider = clue.and_then(|clue| clue.provider).and_then(|id| EMBEDDED.provider(id));
            (provider.map(|provider| provider.key), clue.map_or(0, |clue| clue.weight.0), evidence.value.clone())
        };
        evidence.iter().map(read).collect()
    }

    fn names(names: &[&str]) -> Vec<String> {
        names.iter().map(|name| (*name).to_owned()).collect()
    }

    fn response(headers: &[(&str, &str)]) -> Result<Response, NotTried> {
        let headers = headers.iter().map(|(name, value)| ((*name).to_owned(), value.as_bytes().to_vec())).collect();
        Ok(Response { status: 200, headers })
    }

    #[test]
    fn aliases_name_a_provider_by_their_labels() {
        let answer = |aliases: &[&str]| Answer { aliases: names(aliases), exists: true, addresses: Vec::new() };
        let found = of_aliases(&EMBEDDED, &answer(&["www.example.com.edgekey.net", "e1.a.akamaiedge.net"]));
        assert_eq!(read(&found), [(Some("akamai"), 900, "www.example.com.edgekey.net".to_owned())]);
        let look_alike = of_aliases(&EMBEDDED, &answer(&["fastly.net.attacker.example"]));
        assert_eq!(read(&look_alike), [(None, 0, "fastly.net.attacker.example".to_owned())]);
        assert_eq!(of_aliases(&EMBEDDED, &answer(&[]))[0].value, "no alias");
        assert_eq!(of_aliases(&EMBEDDED, &Answer::default())[0].value, "no such name");
    }

    #[test]
    fn names_of_addresses_count_where_they_lead_back() {
        let name = "server-1.fra2.r.cloudfront.net";
        let confirmed = read(&of_names(&EMBEDDED, &names(&[name]), |_| true));
        let unconfirmed = read(&of_names(&EMBEDDED, &names(&[name]), |_| false));
        assert!(confirmed[0].1 >= 700 && confirmed[0].0 == Some("cloudfront"));
        assert_eq!(unconfirmed, [(Some("cloudfront"), 100, format!("{name} (does not lead back)"))]);
        assert!(wants_confirmation(&EMBEDDED, name));
        assert!(!wants_confirmation(&EMBEDDED, "1.0.0.10.bc.googleusercontent.com"));
        assert_eq!(of_names(&EMBEDDED, &[], |_| true)[0].value, "no name");
    }

    #[test]
    fn headers_name_each_provider_once() {
        let found =
            of_response(&EMBEDDED, &response(&[("server", "cloudflare"), ("cf-ray", "1"), ("via", "1.1 google")]));
        let found: Vec<_> = read(&found).into_iter().map(|(provider, _, value)| (provider, value)).collect();
        assert_eq!(
            found,
            [(Some("cloudflare"), "server: cloudflare".to_owned()), (Some("google"), "via: 1.1 google".to_owned())]
        );
        let plain = of_response(&EMBEDDED, &response(&[("server", "nginx\x1b[2J")]));
        assert_eq!(read(&plain), [(None, 0, "server: nginx\\x1b[2J".to_owned())]);
        let long = of_response(&EMBEDDED, &response(&[("server", &"x".repeat(5_000))]));
        assert!(long[0].value.len() < 120);
        assert_eq!(of_response(&EMBEDDED, &Err(NotTried::Timeout))[0].found, Found::NotTried(NotTried::Timeout));
    }

    #[test]
    fn certificates_that_nobody_vouches_for_say_little() {
        let shown = |is_trusted| {
            let shown = Shown {
                common_name: Some("default.ssl.fastly.net".to_owned()),
                alternative_names: names(&["*.map.fastly.net"]),
                is_trusted,
            };
            read(&of_greeting(&EMBEDDED, &Ok(Greeting::Certificate(shown)), false))
        };
        assert_eq!(shown(true), [(Some("fastly"), 900, "default.ssl.fastly.net".to_owned())]);
        assert_eq!(shown(false), [(Some("fastly"), 300, "default.ssl.fastly.net (not verified)".to_owned())]);
        let alert = |is_named| read(&of_greeting(&EMBEDDED, &Ok(Greeting::Alert), is_named));
        assert_eq!(alert(false)[0].0, Some("cloudflare"));
        assert!(alert(false)[0].1 < 300);
        assert_eq!(alert(true), [(None, 0, "alert".to_owned())]);
    }
}
