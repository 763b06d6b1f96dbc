//! Gathers candidates from DNS: the domain's names, its mail hosts and its SPF record.

use std::collections::{BTreeSet, VecDeque};
use std::net::IpAddr;

use futures_util::StreamExt;
use futures_util::stream;

use super::super::core_cdn::prefix::Prefix;
use super::super::detection::NotTried;
use super::super::dns::Dns;
use super::candidates::{Candidates, Source, base, names};
use super::leaks::{Host, name_of_host};
use super::owned::Owned;
use super::spf::{Term, terms};

/// A label that nobody gives to a host.
const NOBODY: &str = "wirehaul-control";

/// Questions that are under way together.
const AT_ONCE: usize = 16;

/// Names that are asked for in one run.
const MOST_NAMES: usize = 512;

/// Terms of SPF that need questions (RFC 7208, section 4.6.4).
const MOST_SPF_LOOKUPS: usize = 10;

/// Hosts of one domain's mail that are looked at (RFC 7208, section 4.6.4).
const MOST_MAIL_HOSTS: usize = 10;

/// What is found on the way.
pub struct Gatherer<'g> {
    dns: &'g Dns,
    owned: &'g Owned,
    /// What was found.
    pub candidates: Candidates,
    /// What was not found out, and why.
    pub notes: Vec<String>,
    asked: BTreeSet<String>,
    unanswered: usize,
    wildcard: Option<Wildcard>,
}

/// What a zone answers for names that are nobody's.
struct Wildcard {
    name: String,
    addresses: Vec<IpAddr>,
}

impl<'g> Gatherer<'g> {
    /// With what the user named himself.
    #[must_use]
    pub fn new(dns: &'g Dns, owned: &'g Owned) -> Self {
        let mut candidates = Candidates::default();
        for ip in owned.named() {
            candidates.add(ip, Source::Owned);
        }
        Self { dns, owned, candidates, notes: Vec::new(), asked: BTreeSet::new(), unanswered: 0, wildcard: None }
    }

    /// Adds the addresses of the domain, and of common names next to it.
    pub async fn add_names(&mut self, domain: &str) {
        let base = base(domain);
        let nobody = format!("{NOBODY}.{base}");
        // Where this one has addresses, so has every name, and none of them was made for a host.
        let addresses = self.dns.addresses(&nobody).await.map(|answer| answer.addresses).unwrap_or_default();
        self.add_hosts(vec![(Host::Name(domain.to_owned()), Source::Name(domain.to_owned()))]).await;
        self.wildcard = Some(Wildcard { name: format!("*.{base}"), addresses });
        let names = names(domain).into_iter();
        self.add_hosts(names.map(|name| (Host::Name(name.clone()), Source::Name(name))).collect()).await;
    }

    /// Adds the addresses of these hosts. A name is asked for once.
    pub async fn add_hosts(&mut self, hosts: Vec<(Host, Source)>) {
        let mut names = Vec::new();
        for (host, source) in hosts {
            match host {
                Host::Ip(ip) => self.candidates.add(ip, source),
                Host::Name(name) if self.asked.len() < MOST_NAMES && self.asked.insert(name.clone()) => {
                    names.push((name, source));
                }
                Host::Name(_) => {}
            }
        }
        let dns = self.dns;
        let answers = stream::iter(names).map(|(name, source)| async move { (dns.addresses(&name).await, source) });
        let answers: Vec<_> = answers.buffered(AT_ONCE).collect().await;
        for (answer, source) in answers {
            match answer {
                Ok(answer) => {
                    for ip in answer.addresses {
                        self.candidates.add(ip, self.unless_wildcard(ip, &source));
                    }
                }
                Err(_) => self.unanswered += 1,
            }
        }
    }

    /// A name that has an address only because every name has it is named so.
    fn unless_wildcard(&self, ip: IpAddr, source: &Source) -> Source {
        match (&self.wildcard, source) {
            (Some(wildcard), Source::Name(_)) if wildcard.addresses.contains(&ip) => {
                Source::Name(wildcard.name.clone())
            }
            _ => source.clone(),
        }
    }

    /// Adds the hosts that take the domain's mail.
    pub async fn add_mail(&mut self, domain: &str) {
        match self.dns.mx(domain).await {
            Ok(hosts) => {
                let hosts = hosts.iter().take(MOST_MAIL_HOSTS).filter_map(|host| name_of_host(host));
                let hosts = hosts.map(|host| (Host::Name(host.clone()), Source::Mail(host))).collect();
                self.add_hosts(hosts).await;
            }
            Err(why) => self.note(&format!("the mail hosts of {domain}"), why),
        }
    }

    /// Adds what the domain's SPF record lets send mail, through at most ten terms that need questions.
    pub async fn add_spf(&mut self, domain: &str) {
        let mut left = MOST_SPF_LOOKUPS;
        let mut domains = VecDeque::from([domain.to_owned()]);
        let mut seen = BTreeSet::new();
        while let Some(domain) = domains.pop_front() {
            // A record that includes itself, or one that was read.
            if !seen.insert(domain.clone()) {
                continue;
            }
            let records = match self.dns.txt(&domain).await {
                Ok(records) => records,
                Err(why) => {
                    self.note(&format!("the SPF record of {domain}"), why);
                    continue;
                }
            };
            for term in records.iter().filter_map(|record| terms(record)).flatten() {
                if let Term::Prefix(prefix) = term {
                    self.add_prefix(prefix);
                    continue;
                }
                let Some(rest) = left.checked_sub(1) else {
                    self.notes.push(format!("the SPF record of {domain}: more than ten lookups, the rest is left out"));
                    return;
                };
                left = rest;
                if let Some(next) = self.add_term(&domain, &term).await {
                    domains.push_back(next);
                }
            }
        }
    }

    /// A term that needs questions; returns the domain whose record counts, too.
    async fn add_term(&mut self, domain: &str, term: &Term<'_>) -> Option<String> {
        match term {
            Term::Prefix(_) => None,
            Term::Include(next) | Term::Redirect(next) => name_of_host(next),
            Term::A(host) => {
                let host = name_of_host(host.unwrap_or(domain))?;
                let source = Source::Spf(format!("a:{host}"));
                self.add_addresses(&host, &source).await;
                None
            }
            Term::Mx(host) => {
                let host = name_of_host(host.unwrap_or(domain))?;
                let source = Source::Spf(format!("mx:{host}"));
                // What fails here was noted for the domain's own mail, or is somebody else's.
                let hosts = self.dns.mx(&host).await.unwrap_or_default();
                for mail_host in hosts.iter().take(MOST_MAIL_HOSTS) {
                    self.add_addresses(mail_host, &source).await;
                }
                None
            }
        }
    }

    /// Whether or not the name was asked for: the resolver remembers.
    async fn add_addresses(&mut self, host: &str, source: &Source) {
        match self.dns.addresses(host).await {
            Ok(answer) => answer.addresses.iter().for_each(|ip| self.candidates.add(*ip, source.clone())),
            Err(_) => self.unanswered += 1,
        }
    }

    fn add_prefix(&mut self, prefix: Prefix) {
        let mechanism = if matches!(prefix, Prefix::V4(_)) { "ip4" } else { "ip6" };
        if let Some(ip) = only_address(prefix) {
            self.candidates.add(ip, Source::Spf(format!("{mechanism}:{ip}")));
            return;
        }
        let source = Source::Spf(format!("{mechanism}:{prefix}"));
        let (own, has_more) = self.owned.within(prefix);
        if own.is_empty() {
            self.candidates.add_prefix(prefix, source);
            return;
        }
        if has_more {
            self.notes.push(format!("{source}: only its first {} addresses within --owned are looked at", own.len()));
        }
        for ip in own {
            self.candidates.add(ip, source.clone());
        }
    }

    fn note(&mut self, what: &str, why: NotTried) {
        self.notes.push(format!("{what}: not tried: {}", why.reason()));
    }

    /// All that was found, and what was not found out.
    #[must_use]
    pub fn finish(mut self) -> (Candidates, Vec<String>) {
        if self.unanswered > 0 {
            let names = if self.unanswered == 1 { "one name".to_owned() } else { format!("{} names", self.unanswered) };
            self.notes.push(format!("the addresses of {names}: the resolver did not answer"));
        }
        if self.asked.len() >= MOST_NAMES || self.candidates.has_more() {
            self.notes.push("more names or addresses were found than are looked at".to_owned());
        }
        (self.candidates, self.notes)
    }
}

fn only_address(prefix: Prefix) -> Option<IpAddr> {
    match prefix {
        Prefix::V4(span) if span.first == span.last => Some(IpAddr::V4(span.first.into())),
        Prefix::V6(span) if span.first == span.last => Some(IpAddr::V6(span.first.into())),
        _ => None,
    }
}
