//! What a registry says of a domain, over RDAP (RFC 7480, RFC 9082, RFC 9083): the name servers that it has on record, and their
//! addresses.

use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::str::FromStr;

use hyper::Uri;
use serde_json::Value;

use super::super::detection::NotTried;
use super::super::dns::Dns;
use super::super::http::{self, Response};
use super::super::tls::{Asked, Greeting};
use super::candidates::Source;
use super::contact::Contact;
use super::leaks::{Host, name_of_host};

/// Bytes of an answer at most; usual ones have ten thousand.
const MOST_BYTES: usize = 1 << 20;

/// How often the answer is "ask there": a service for all registries sends to the one in charge (RFC 7480, section 5.2).
const MOST_REDIRECTS: usize = 3;

/// Name servers of a domain that are looked at.
const MOST_SERVERS: usize = 16;

/// What answers have to be (RFC 7480, section 4.2).
const MEDIA_TYPE: &str = "application/rdap+json";

/// Where an RDAP service is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Registry {
    is_https: bool,
    host: Host,
    port: u16,
    /// Without a slash at its end.
    path: String,
}

/// Why a text is no place of a service.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("expected the URL of an RDAP service, like https://rdap.org or https://rdap.example/v1")]
pub struct NoRegistry;

impl FromStr for Registry {
    type Err = NoRegistry;

    fn from_str(text: &str) -> Result<Self, NoRegistry> {
        let uri: Uri = text.parse().map_err(|_| NoRegistry)?;
        let is_https = match uri.scheme_str() {
            Some("https") => true,
            Some("http") => false,
            _ => return Err(NoRegistry),
        };
        let authority = uri.authority().filter(|authority| !authority.as_str().contains('@')).ok_or(NoRegistry)?;
        let name = authority.host().trim_start_matches('[').trim_end_matches(']');
        let host = match name.parse::<IpAddr>() {
            Ok(ip) => Host::Ip(ip),
            Err(_) => Host::Name(name_of_host(name).ok_or(NoRegistry)?),
        };
        if uri.query().is_some() {
            return Err(NoRegistry);
        }
        let port = authority.port_u16().unwrap_or(if is_https { 443 } else { 80 });
        Ok(Self { is_https, host, port, path: uri.path().trim_end_matches('/').to_owned() })
    }
}

impl fmt::Display for Registry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let scheme = if self.is_https { "https" } else { "http" };
        write!(f, "{scheme}://{}{}", self.authority(), self.path)
    }
}

impl Registry {
    /// Host and port as a request names them.
    fn authority(&self) -> String {
        let host = match &self.host {
            Host::Ip(IpAddr::V6(ip)) => format!("[{ip}]"),
            Host::Ip(ip) => ip.to_string(),
            Host::Name(name) => name.clone(),
        };
        let usual = if self.is_https { 443 } else { 80 };
        if self.port == usual { host } else { format!("{host}:{}", self.port) }
    }

    /// The hosts that the registry has on record for a domain.
    ///
    /// # Errors
    /// It cannot be asked, or answers with something else than what it has on record.
    pub async fn hosts_of(&self, domain: &str, dns: &Dns, contact: &Contact) -> Result<Vec<(Host, Source)>, NotTried> {
        let mut place = Self { path: format!("{}/domain/{domain}", self.path), ..self.clone() };
        for _ in 0..=MOST_REDIRECTS {
            let (response, body) = place.get(dns, contact).await?;
            match (response.status, response.location()) {
                (200, _) => {
                    let value: Value = serde_json::from_slice(&body).map_err(|_| NotTried::BadAnswer)?;
                    return Ok(hosts_in(&value));
                }
                // It knows no such domain.
                (404, _) => return Ok(Vec::new()),
                (301 | 302 | 303 | 307 | 308, Some(location)) => {
                    let next: Self = location.parse().map_err(|_| NotTried::BadAnswer)?;
                    // Whoever begins in private stays there.
                    if place.is_https && !next.is_https {
                        return Err(NotTried::BadAnswer);
                    }
                    place = next;
                }
                _ => return Err(NotTried::BadAnswer),
            }
        }
        Err(NotTried::BadAnswer)
    }

    async fn get(&self, dns: &Dns, contact: &Contact) -> Result<(Response, Vec<u8>), NotTried> {
        let ip = match &self.host {
            Host::Ip(ip) => *ip,
            Host::Name(name) => *dns.addresses(name).await?.addresses.first().ok_or(NotTried::NoAddress)?,
        };
        let patience = contact.patience;
        let stream = http::connect(SocketAddr::new(ip, self.port), patience).await?;
        let authority = self.authority();
        let path = if self.path.is_empty() { "/" } else { &self.path };
        if !self.is_https {
            return http::get(stream, &authority, path, MEDIA_TYPE, MOST_BYTES, patience).await;
        }
        let tls = contact.tls.as_ref().map_err(|why| *why)?;
        let asked = match &self.host {
            Host::Ip(ip) => Asked::Address(*ip),
            Host::Name(name) => Asked::Name(name),
        };
        match tls.greet(stream, asked, patience).await? {
            // Anybody could answer in its place otherwise.
            (Greeting::Certificate(shown), Some(session)) if shown.is_trusted => {
                http::get(session, &authority, path, MEDIA_TYPE, MOST_BYTES, patience).await
            }
            _ => Err(NotTried::BadAnswer),
        }
    }
}

/// The name servers in a domain object (RFC 9083, sections 5.2 and 5.3), by name and by the addresses that are on record.
fn hosts_in(domain: &Value) -> Vec<(Host, Source)> {
    let mut hosts = Vec::new();
    for server in domain["nameservers"].as_array().into_iter().flatten().take(MOST_SERVERS) {
        let name = server["ldhName"].as_str().and_then(name_of_host);
        let source = |what: &str| Source::Registry(name.clone().unwrap_or_else(|| what.to_owned()));
        for family in ["v4", "v6"] {
            for address in server["ipAddresses"][family].as_array().into_iter().flatten().take(MOST_SERVERS) {
                if let Some(ip) = address.as_str().and_then(|text| text.parse::<IpAddr>().ok()) {
                    hosts.push((Host::Ip(ip), source(&ip.to_string())));
                }
            }
        }
        if let Some(name) = &name {
            hosts.push((Host::Name(name.clone()), Source::Registry(name.clone())));
        }
    }
    hosts
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn services_have_urls() {
        for text in ["https://rdap.org", "https://rdap.example/v1", "http://127.0.0.1:8080", "https://[::1]:8443/a/b"] {
            assert_eq!(text.parse::<Registry>().map(|registry| registry.to_string()).as_deref(), Ok(text));
        }
        assert_eq!("https://rdap.org:443/".parse::<Registry>().unwrap().to_string(), "https://rdap.org");
        for text in
            ["", "rdap.org", "ftp://rdap.org", "https://", "https://a b", "https://u@rdap.org", "https://rdap.org/?q"]
        {
            assert_eq!(text.parse::<Registry>(), Err(NoRegistry), "{text}");
        }
    }

    #[test]
    fn name_servers_and_their_addresses_are_hosts() {
        let domain = json!({ "objectClassName": "domain", "ldhName": "EXAMPLE.COM", "nameservers": [
            { "ldhName": "NS1.EXAMPLE.COM", "ipAddresses": { "v4": ["198.51.100.2", "nonsense"], "v6": ["2001:db8::2"] } },
            { "ldhName": "ns2.example.net" },
            { "ldhName": "not a name" },
            7,
        ]});
        let hosts: Vec<_> = hosts_in(&domain).into_iter().map(|(host, _)| host).collect();
        let ip = |text: &str| Host::Ip(text.parse().unwrap());
        let name = |text: &str| Host::Name(text.to_owned());
        assert_eq!(hosts, [ip("198.51.100.2"), ip("2001:db8::2"), name("ns1.example.com"), name("ns2.example.net")]);
        for nothing in
            [json!(null), json!([]), json!({ "nameservers": 1 }), json!({ "nameservers": [{ "ipAddresses": [] }] })]
        {
            assert!(hosts_in(&nothing).is_empty(), "{nothing}");
        }
    }
}
