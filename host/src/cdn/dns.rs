//! Questions to a resolver, each with an end: names, addresses and what stands in the zone of a domain.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use hickory_resolver::TokioResolver;
use hickory_resolver::config::{NameServerConfig, ResolveHosts, ResolverConfig, ResolverOpts};
use hickory_resolver::lookup::Lookup;
use hickory_resolver::net::runtime::TokioRuntimeProvider;
use hickory_resolver::net::{DnsError, NetError};
use hickory_resolver::proto::op::ResponseCode;
use hickory_resolver::proto::rr::{Name, RData, Record, RecordType};
use hickory_resolver::system_conf::read_system_conf;
use tokio::time::timeout;

use super::detection::NotTried;

/// How long a resolver has for an answer where nobody says otherwise.
pub const DEFAULT_TIMEOUT: Duration = Duration::from_millis(80);

/// Records of one answer that are looked at.
const MOST_RECORDS: usize = 64;

/// Aliases that are followed within one answer.
const MOST_ALIASES: usize = 32;

/// Bytes of one text that are kept; RFC 7208, section 3.4 recommends that those for SPF fit into 512.
const MOST_TEXT_BYTES: usize = 4096;

/// Answers that are remembered.
const CACHED_ANSWERS: u64 = 8192;

/// How long any answer is remembered at most, whatever its records say.
const MOST_TTL: Duration = Duration::from_secs(600);

/// A resolver that is asked at most so long.
#[derive(Clone)]
pub struct Dns {
    resolver: TokioResolver,
    timeout: Duration,
}

/// What is known of a name.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Answer {
    /// Its addresses, those of IPv4 first, each once.
    pub addresses: Vec<IpAddr>,
    /// The names that it is an alias of, in the order in which they lead to the addresses; without the dot of the root.
    pub aliases: Vec<String>,
    /// Whether there is such a name at all.
    pub exists: bool,
}

impl Dns {
    /// A resolver: the one at `server`, or those that the system knows. Asking takes `timeout` at most.
    ///
    /// # Errors
    /// [`NotTried::NoResolver`]: the system knows none.
    pub fn new(server: Option<SocketAddr>, timeout: Duration) -> Result<Self, NotTried> {
        let (config, mut options) = match server {
            Some(server) => (config_of(server), ResolverOpts::default()),
            None => read_system_conf().map_err(|_| NotTried::NoResolver)?,
        };
        if config.name_servers().is_empty() {
            return Err(NotTried::NoResolver);
        }
        options.timeout = timeout;
        options.attempts = 1;
        options.use_hosts_file = ResolveHosts::Never;
        options.preserve_intermediates = true;
        options.cache_size = CACHED_ANSWERS;
        options.positive_max_ttl = Some(MOST_TTL);
        options.negative_max_ttl = Some(MOST_TTL);
        // Scans ask about many names at a time.
        options.max_active_requests = 1024;
        let builder = TokioResolver::builder_with_config(config, TokioRuntimeProvider::default());
        let resolver = builder.with_options(options).build().map_err(|_| NotTried::NoResolver)?;
        Ok(Self { resolver, timeout })
    }

    /// The addresses of a name, and what it is an alias of.
    ///
    /// # Errors
    /// Nobody answered in time, or the resolver failed. A name that does not exist is an answer.
    pub async fn addresses(&self, name: &str) -> Result<Answer, NotTried> {
        let Some(asked) = parsed(name) else { return Ok(Answer::default()) };
        let v4 = self.records(&asked, RecordType::A);
        let v6 = self.records(&asked, RecordType::AAAA);
        let (v4, v6) = futures_util::future::join(v4, v6).await;
        let mut answer = Answer::default();
        let mut failed = None;
        for records in [v4, v6] {
            match records {
                Ok(Records { records, exists }) => answer.add(&asked, &records, exists),
                Err(why) => failed = failed.or(Some(why)),
            }
        }
        match failed {
            // No such name for one kind of address is none for the other either.
            Some(why) if answer.addresses.is_empty() && answer.exists => Err(why),
            Some(why) if answer == Answer::default() => Err(why),
            _ => Ok(answer),
        }
    }

    /// The names of an address, without the dot of the root.
    ///
    /// # Errors
    /// As of [`Self::addresses`].
    pub async fn names(&self, ip: IpAddr) -> Result<Vec<String>, NotTried> {
        let found = self.records(&Name::from(ip.to_canonical()), RecordType::PTR).await?;
        let name = |record: &Record| match &record.data {
            RData::PTR(name) => Some(written(name)),
            _ => None,
        };
        Ok(found.records.iter().filter_map(name).collect())
    }

    /// The hosts that take mail for a domain, the preferred ones first.
    ///
    /// # Errors
    /// As of [`Self::addresses`].
    pub async fn mx(&self, domain: &str) -> Result<Vec<String>, NotTried> {
        let Some(asked) = parsed(domain) else { return Ok(Vec::new()) };
        let found = self.records(&asked, RecordType::MX).await?;
        let host = |record: &Record| match &record.data {
            // A root instead of a host: no mail here (RFC 7505).
            RData::MX(mx) if !mx.exchange.is_root() => Some((mx.preference, written(&mx.exchange))),
            _ => None,
        };
        let mut hosts: Vec<_> = found.records.iter().filter_map(host).collect();
        hosts.sort();
        Ok(hosts.into_iter().map(|(_, host)| host).collect())
    }

    /// The texts of a name, the strings of each put together (RFC 7208, section 3.3). Bytes that are no UTF-8 are replaced.
    ///
    /// # Errors
    /// As of [`Self::addresses`].
    pub async fn txt(&self, name: &str) -> Result<Vec<String>, NotTried> {
        let Some(asked) = parsed(name) else { return Ok(Vec::new()) };
        let found = self.records(&asked, RecordType::TXT).await?;
        let text = |record: &Record| match &record.data {
            RData::TXT(txt) => {
                let bytes: Vec<u8> = txt.txt_data.iter().flatten().copied().take(MOST_TEXT_BYTES).collect();
                Some(String::from_utf8_lossy(&bytes).into_owned())
            }
            _ => None,
        };
        Ok(found.records.iter().filter_map(text).collect())
    }

    async fn records(&self, name: &Name, kind: RecordType) -> Result<Records, NotTried> {
        match timeout(self.timeout, self.resolver.lookup(name.clone(), kind)).await {
            Ok(Ok(lookup)) => Ok(Records { records: first_records(&lookup), exists: true }),
            Ok(Err(error)) => without_records(&error),
            Err(_) => Err(NotTried::Timeout),
        }
    }
}

/// What one question was answered with.
struct Records {
    records: Vec<Record>,
    /// Whether there is such a name.
    exists: bool,
}

impl Answer {
    /// Takes over what one answer says: the addresses of the name, or of the one that its aliases lead to.
    fn add(&mut self, asked: &Name, records: &[Record], exists: bool) {
        self.exists |= exists;
        let mut names = vec![asked.clone()];
        while let Some(alias) = names.last().and_then(|name| alias_of(name, records)) {
            // A circle, or longer than anybody needs.
            if names.contains(alias) || names.len() > MOST_ALIASES {
                break;
            }
            names.push(alias.clone());
        }
        if self.aliases.is_empty() {
            self.aliases = names.iter().skip(1).map(written).collect();
        }
        for record in records.iter().filter(|record| names.contains(&record.name)) {
            let address = match &record.data {
                RData::A(address) => IpAddr::V4(address.0),
                RData::AAAA(address) => IpAddr::V6(address.0).to_canonical(),
                _ => continue,
            };
            if !self.addresses.contains(&address) {
                self.addresses.push(address);
            }
        }
    }
}

fn alias_of<'r>(name: &Name, records: &'r [Record]) -> Option<&'r Name> {
    records.iter().find_map(|record| match &record.data {
        RData::CNAME(alias) if record.name == *name => Some(&alias.0),
        _ => None,
    })
}

fn first_records(lookup: &Lookup) -> Vec<Record> {
    lookup.answers().iter().take(MOST_RECORDS).cloned().collect()
}

/// What it means that the question brought no records.
fn without_records(error: &NetError) -> Result<Records, NotTried> {
    match error {
        NetError::Timeout => Err(NotTried::Timeout),
        // Cut off over TCP, too.
        NetError::Truncated => Err(NotTried::BadAnswer),
        NetError::Dns(DnsError::NoRecordsFound(none)) => match none.response_code {
            ResponseCode::NXDomain => Ok(Records { records: Vec::new(), exists: false }),
            ResponseCode::NoError => Ok(Records { records: Vec::new(), exists: true }),
            _ => Err(NotTried::ResolverFailed),
        },
        // ICMP says that nobody listens; connected sockets are told so.
        NetError::Io(error) if error.kind() == io::ErrorKind::ConnectionRefused => Err(NotTried::Refused),
        NetError::Io(error)
            if matches!(error.kind(), io::ErrorKind::NetworkUnreachable | io::ErrorKind::HostUnreachable) =>
        {
            Err(NotTried::Unreachable)
        }
        _ => Err(NotTried::ResolverFailed),
    }
}

fn config_of(server: SocketAddr) -> ResolverConfig {
    let mut name_server = NameServerConfig::udp_and_tcp(server.ip());
    for connection in &mut name_server.connections {
        connection.port = server.port();
    }
    ResolverConfig::from_name_servers(vec![name_server])
}

/// A whole name: nothing is searched for in the domains of this machine. `None`: no name server could know it.
fn parsed(name: &str) -> Option<Name> {
    let mut name = Name::from_ascii(name).ok()?;
    name.set_fqdn(true);
    (!name.is_root()).then_some(name)
}

fn written(name: &Name) -> String {
    let mut written = name.to_ascii();
    if written.len() > 1 && written.ends_with('.') {
        written.pop();
    }
    written
}

#[cfg(test)]
#[path = "dns_tests.rs"]
mod tests;
