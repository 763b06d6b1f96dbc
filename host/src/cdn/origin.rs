//! Whether the origin of a site answers for it past the CDN that stands in front (CDN-7).
//!
//! Names, mail and SPF say where it could be; only addresses that the user owns are asked. What an answer means is decided in
//! [`verdict`], from what was seen alone.

use std::net::IpAddr;

use futures_util::StreamExt;
use futures_util::stream;

use super::core_cdn::facts::{Holds, NameKind};
use super::core_cdn::prefix::Prefix;
use super::core_cdn::{Database, Provider, ProviderId};
use super::detection::NotTried;
use super::dns::{Answer, Dns};
use super::http::Response;
use super::tls::Greeting;
use candidates::{Candidates, Source, base};
use contact::Contact;
use gather::Gatherer;
use leaks::{Host, hosts, name_of_host};
use owned::Owned;
use registry::Registry;
use verdict::{Exchange, Finding, Seen, Verdict, answer_in_words, judge};

pub mod advice;
pub mod candidates;
pub mod contact;
pub mod gather;
pub mod leaks;
pub mod owned;
pub mod registry;
pub mod spf;
pub mod verdict;

/// Addresses that are asked at the same time.
const AT_ONCE: usize = 8;

/// How often what answers lead to is followed.
const ROUNDS: usize = 3;

/// Hosts that one answer may lead to.
const MOST_LEADS: usize = 64;

/// Why there is nothing to say.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum OriginError {
    /// The resolver gave no answer about the domain.
    #[error("cannot look up {domain}: {}; is the resolver reachable? --resolver names another", .why.reason())]
    NotResolved {
        /// The domain.
        domain: String,
        /// Why not.
        why: NotTried,
    },
    /// There is no such domain.
    #[error("there is no {domain}: the resolver knows no such name")]
    NoSuchName {
        /// The domain.
        domain: String,
    },
}

/// What to look at.
pub struct Question<'q> {
    /// The site's name, in lower case.
    pub domain: &'q str,
    /// Whose addresses may be asked.
    pub owned: &'q Owned,
    /// Whether the CDN's edge is asked for the site, too, to compare with.
    pub probes_front: bool,
    /// The RDAP service that is asked about the domain, if any is.
    pub registry: Option<&'q Registry>,
    /// How addresses are asked.
    pub contact: &'q Contact,
    /// How names are.
    pub dns: &'q Dns,
}

/// Where a candidate is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// At this address.
    Address(IpAddr),
    /// Somewhere in this prefix, which is not owned.
    Prefix(Prefix),
}

/// What came of a candidate.
#[derive(Clone, Debug)]
pub struct Row {
    /// Where it is.
    pub place: Place,
    /// What led there.
    pub sources: Vec<Source>,
    /// Whether the user owns it.
    pub is_owned: bool,
    /// Whether it was asked.
    pub was_tried: bool,
    /// How it answered.
    pub finding: Finding,
}

/// What came of it all.
#[derive(Clone, Debug)]
pub struct Report {
    /// The domain's own addresses.
    pub addresses: Vec<IpAddr>,
    /// Who stands in front of it.
    pub in_front: Vec<ProviderId>,
    /// Candidates: those that are exposed first, and otherwise in the order in which they were found.
    pub rows: Vec<Row>,
    /// What was not found out, and why.
    pub notes: Vec<String>,
}

impl Report {
    /// How many candidates have this verdict.
    #[must_use]
    pub fn count(&self, verdict: Verdict) -> usize {
        self.rows.iter().filter(|row| row.finding.verdict == verdict).count()
    }

    /// The names in the zone of `domain` that lead to exposed addresses, each once.
    #[must_use]
    pub fn exposed_names(&self, domain: &str) -> Vec<&str> {
        let base = base(domain);
        let exposed = self.rows.iter().filter(|row| row.finding.verdict == Verdict::Exposed);
        let mut names: Vec<&str> = exposed
            .flat_map(|row| row.sources.iter().filter_map(Source::host))
            .filter(|name| *name != domain && super::core_cdn::name::ends_in(name, base))
            .collect();
        names.sort_unstable();
        names.dedup();
        names
    }
}

/// Looks for the origin of a site.
///
/// # Errors
/// [`OriginError`]: the domain cannot be looked up.
pub async fn check(question: &Question<'_>, database: Database<'_>) -> Result<Report, OriginError> {
    let domain = question.domain;
    let answer = match question.dns.addresses(domain).await {
        Ok(answer) if answer.exists => answer,
        Ok(_) => return Err(OriginError::NoSuchName { domain: domain.to_owned() }),
        Err(why) => return Err(OriginError::NotResolved { domain: domain.to_owned(), why }),
    };
    let in_front = in_front(&answer, database);
    let mut gatherer = Gatherer::new(question.dns, question.owned);
    gatherer.add_names(domain).await;
    let base = Some(base(domain)).filter(|base| *base != domain);
    for domain in [Some(domain), base].into_iter().flatten() {
        gatherer.add_mail(domain).await;
        gatherer.add_spf(domain).await;
    }
    add_registry(question, &mut gatherer).await;
    let front = front(question, &answer, database, &mut gatherer).await;
    let seen = see_all(question, database, &mut gatherer).await;
    let (candidates, notes) = gatherer.finish();
    let judged = |ip: IpAddr| {
        let seen = seen.iter().find(|(seen_ip, _)| *seen_ip == ip);
        seen.map(|(_, seen)| judge(domain, seen, front.as_ref()))
    };
    let rows = rows(&candidates, question.owned, database, judged);
    Ok(Report { addresses: answer.addresses, in_front, rows, notes })
}

/// Adds what the registry has on record.
async fn add_registry(question: &Question<'_>, gatherer: &mut Gatherer<'_>) {
    let Some(registry) = question.registry else {
        gatherer.notes.push("the registry: not asked; --rdap names its service".to_owned());
        return;
    };
    match registry.hosts_of(base(question.domain), question.dns, question.contact).await {
        Ok(hosts) => gatherer.add_hosts(hosts).await,
        Err(why) => gatherer.notes.push(format!("the registry at {registry}: not tried: {}", why.reason())),
    }
}

/// Whose edge an address is, as far as lists say.
fn edge(ip: IpAddr, database: Database<'_>) -> Option<ProviderId> {
    match database.network(ip).edges?.holds {
        Holds::Edges { provider, .. } => Some(provider),
        Holds::NoEdges { .. } => None,
    }
}

/// The provider of this id.
#[must_use]
pub fn provider<'d>(database: &Database<'d>, id: ProviderId) -> Option<&'d Provider<'d>> {
    database.providers.get(id.place())
}

/// Who stands in front of a name: the lists know its addresses, or the names that it is an alias of.
fn in_front(answer: &Answer, database: Database<'_>) -> Vec<ProviderId> {
    let by_address = answer.addresses.iter().filter_map(|ip| edge(*ip, database));
    let by_alias = answer.aliases.iter().filter_map(|alias| database.suffix(NameKind::Cname, alias));
    let mut found = Vec::new();
    for provider in by_address.chain(by_alias.map(|fact| fact.provider)) {
        if !found.contains(&provider) {
            found.push(provider);
        }
    }
    found
}

/// What the CDN answers for the site; `None` where nobody asked, or nothing answered.
async fn front(
    question: &Question<'_>,
    answer: &Answer,
    database: Database<'_>,
    gatherer: &mut Gatherer<'_>,
) -> Option<Response> {
    if !question.probes_front {
        return None;
    }
    // A name that is an alias of a CDN's leads to its edges, whether a list has them or not.
    let leads_to_edges = answer.aliases.iter().any(|alias| database.suffix(NameKind::Cname, alias).is_some());
    let is_edge = |ip: &IpAddr| edge(*ip, database).is_some() || leads_to_edges;
    let Some(ip) = answer.addresses.iter().copied().find(is_edge) else {
        gatherer.notes.push("the front: not tried: no address of the domain is a known edge of a CDN".to_owned());
        return None;
    };
    match question.contact.ask_front(ip, question.domain).await {
        Ok((greeting, response)) => {
            let mut leads = leads_of_response(&response, database);
            leads.extend(greeting.iter().flat_map(leads_of_greeting));
            gatherer.add_hosts(leads).await;
            gatherer.notes.push(format!("the front at {ip} answers {}", answer_in_words(&response)));
            Some(response)
        }
        Err(why) => {
            gatherer.notes.push(format!("the front at {ip}: not tried: {}", why.reason()));
            None
        }
    }
}

/// Asks every candidate that may be asked, and those that their answers lead to.
async fn see_all(question: &Question<'_>, database: Database<'_>, gatherer: &mut Gatherer<'_>) -> Vec<(IpAddr, Seen)> {
    let mut all = Vec::new();
    let mut from = 0;
    for _ in 0..ROUNDS {
        let may_be_asked = |ip: &IpAddr| question.owned.has(*ip) && edge(*ip, database).is_none();
        let batch: Vec<IpAddr> = gatherer.candidates.since(from).map(|(ip, _)| *ip).filter(may_be_asked).collect();
        if batch.is_empty() {
            break;
        }
        from = gatherer.candidates.len();
        let (contact, domain) = (question.contact, question.domain);
        let answers = stream::iter(batch).map(|ip| async move { (ip, contact.see(ip, domain).await) });
        let answers: Vec<(IpAddr, Seen)> = answers.buffered(AT_ONCE).collect().await;
        let leads = answers.iter().flat_map(|(_, seen)| leads(seen, database)).collect();
        all.extend(answers);
        gatherer.add_hosts(leads).await;
    }
    all
}

/// The hosts that answers name.
fn leads(seen: &Seen, database: Database<'_>) -> Vec<(Host, Source)> {
    let of_exchange = |exchange: &Exchange| match &exchange.site {
        Ok(response) => leads_of_response(response, database),
        Err(_) => Vec::new(),
    };
    let mut leads: Vec<_> = seen.greeting.iter().flat_map(leads_of_greeting).collect();
    leads.extend(seen.https.iter().flat_map(of_exchange));
    leads.extend(seen.http.iter().flat_map(of_exchange));
    leads.truncate(MOST_LEADS);
    leads
}

fn leads_of_response(response: &Response, database: Database<'_>) -> Vec<(Host, Source)> {
    let mut leads = Vec::new();
    for (name, value) in &response.headers {
        let is_location = name == "location";
        if !is_location && !database.leaks_origin(name) {
            continue;
        }
        for host in hosts(value) {
            let written = match &host {
                Host::Ip(ip) => ip.to_string(),
                Host::Name(name) => name.clone(),
            };
            let source = if is_location { Source::Redirect(written) } else { Source::Header(name.clone(), written) };
            leads.push((host, source));
        }
    }
    leads.truncate(MOST_LEADS);
    leads
}

fn leads_of_greeting(greeting: &Greeting) -> Vec<(Host, Source)> {
    let Greeting::Certificate(shown) = greeting else { return Vec::new() };
    // A `*` stands for names that are asked for anyway.
    let names = shown.alternative_names.iter().filter_map(|name| name_of_host(name)).take(MOST_LEADS);
    names.map(|name| (Host::Name(name.clone()), Source::Certificate(name))).collect()
}

fn rows(
    candidates: &Candidates,
    owned: &Owned,
    database: Database<'_>,
    judged: impl Fn(IpAddr) -> Option<Finding>,
) -> Vec<Row> {
    let not_tried = |why: String| Finding { verdict: Verdict::NotTried, evidence: vec![why] };
    let row = |(ip, sources): &(IpAddr, Vec<Source>)| {
        let finding = judged(*ip);
        let was_tried = finding.is_some();
        let finding = finding.unwrap_or_else(|| {
            not_tried(match edge(*ip, database).and_then(|id| provider(&database, id)) {
                Some(provider) => format!("an edge of {}: not contacted", provider.name),
                None if owned.has(*ip) => "found too late: not contacted".to_owned(),
                None => "outside --owned: not contacted".to_owned(),
            })
        });
        Row { place: Place::Address(*ip), sources: sources.clone(), is_owned: owned.has(*ip), was_tried, finding }
    };
    let mut rows: Vec<Row> = candidates.since(0).map(row).collect();
    let elsewhere = candidates.prefixes().iter().map(|(prefix, source)| Row {
        place: Place::Prefix(*prefix),
        sources: vec![source.clone()],
        is_owned: false,
        was_tried: false,
        finding: not_tried("outside --owned: not contacted".to_owned()),
    });
    rows.extend(elsewhere);
    rows.sort_by_key(|row| std::cmp::Reverse(row.finding.verdict));
    rows
}
