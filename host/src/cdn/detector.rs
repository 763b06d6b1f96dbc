//! Finds out whether targets are edges: what is known offline, and on request names, headers and certificates, within limits of
//! time and of what others are asked (CDN-2, CDN-4, CDN-5).

use std::net::{IpAddr, SocketAddr};
use std::sync::{Mutex, OnceLock, PoisonError};
use std::time::Duration;

use futures_util::StreamExt;
use futures_util::future::join;
use futures_util::stream::{self, Stream};
use smallvec::{SmallVec, smallvec};
use wirehaul_core::cdn::calibration::{DEFAULT_PRIOR, DEFAULT_THRESHOLD};
use wirehaul_core::cdn::{Database, Probability, Provider, Signal};
use wirehaul_core::time::{Duration as Span, Instant};

use super::asn::AsnSource;
use super::cache::{Cache, DEFAULT_ENTRIES, DEFAULT_HOLDS};
use super::canonical::{Group, canonical};
use super::clues;
use super::detection::{Detection, Evidence, NotTried};
use super::dns::{self, Dns};
use super::http;
use super::limits::{DEFAULT_CONCURRENCY, Limits};
use super::offline::Offline;
use super::target::{Host, Scheme, Target};
use super::tls::Tls;
use super::visit::{Deadline, Ports, Visit, Visited, Wanted, Way};
use crate::clock::Clock;
use crate::events::{Bus, CdnDetection, Event};

/// Names of an address that are asked whether they lead back to it.
const MOST_CONFIRMED: usize = 2;

/// Which signals are looked at beyond what is known offline.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Probes {
    /// Aliases of names, and names of addresses.
    pub dns: bool,
    /// Headers.
    pub http: bool,
    /// Certificates.
    pub tls: bool,
}

impl Probes {
    /// None.
    pub const NONE: Self = Self { dns: false, http: false, tls: false };
    /// Names only.
    pub const DNS: Self = Self { dns: true, http: false, tls: false };
    /// All.
    pub const ALL: Self = Self { dns: true, http: true, tls: true };
}

/// How long others have for their answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Timeouts {
    /// For one question to a resolver.
    pub dns: Duration,
    /// For a connection to come about.
    pub connect: Duration,
    /// For all that is asked about one address; what has no answer by then is not tried. CDN-4 wants less than 100 ms. What it
    /// took to resolve a name goes off it, down to one half.
    pub address: Duration,
}

impl Default for Timeouts {
    fn default() -> Self {
        let address = Duration::from_millis(90);
        Self { dns: dns::DEFAULT_TIMEOUT, connect: http::DEFAULT_CONNECT_TIMEOUT, address }
    }
}

impl Timeouts {
    /// So long for a question or a connection, and twice as long for an address.
    #[must_use]
    pub const fn of(patience: Duration) -> Self {
        Self { dns: patience, connect: patience, address: patience.saturating_mul(2) }
    }
}

/// How it is looked.
#[derive(Clone, Debug)]
pub struct Options {
    /// At addresses.
    pub of_addresses: Probes,
    /// At names. A name is resolved for any of them.
    pub of_names: Probes,
    /// How likely an address is an edge before anything is known of it.
    pub prior: Probability,
    /// From which posterior on a provider is named: for events and groups.
    pub threshold: Probability,
    /// How long others have.
    pub timeouts: Timeouts,
    /// Targets that are looked at at a time.
    pub concurrency: usize,
    /// The resolver; `None` for those of the system.
    pub resolver: Option<SocketAddr>,
    /// Where web servers stand that no port was given for.
    pub ports: Ports,
    /// Certificates of authorities in DER, beside those that the system trusts.
    pub more_roots: Vec<Vec<u8>>,
    /// Detections that are remembered.
    pub cache_entries: usize,
    /// For how long they are; those for which others had no answer in time, too, so that nobody is asked again at once.
    pub cache_holds: Span,
    /// What time it is.
    pub clock: Clock,
    /// Who is told.
    pub events: Option<Bus>,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            of_addresses: Probes::NONE,
            of_names: Probes::DNS,
            prior: DEFAULT_PRIOR,
            threshold: DEFAULT_THRESHOLD,
            timeouts: Timeouts::default(),
            concurrency: DEFAULT_CONCURRENCY,
            resolver: None,
            ports: Ports::default(),
            more_roots: Vec::new(),
            cache_entries: DEFAULT_ENTRIES,
            cache_holds: DEFAULT_HOLDS,
            clock: Clock::start(),
            events: None,
        }
    }
}

/// What was asked, and how.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Key {
    host: Host,
    port: Option<u16>,
    scheme: Option<Scheme>,
    probes: Probes,
}

/// Finds out whether targets are edges.
pub struct Detector<'d> {
    offline: Offline<'d, 'd>,
    options: Options,
    limits: Limits,
    cache: Mutex<Cache<Key, Detection<'d>>>,
    // Made when they are first needed: a look at what is known offline is over before either is.
    dns: OnceLock<Result<Dns, NotTried>>,
    tls: OnceLock<Result<Tls, NotTried>>,
}

impl<'d> Detector<'d> {
    /// With these facts, and this source of networks.
    #[must_use]
    pub fn new(database: Database<'d>, asns: &'d AsnSource<'d>, options: Options) -> Self {
        Self {
            offline: Offline { database, asns, prior: options.prior },
            limits: Limits::new(options.concurrency),
            cache: Mutex::new(Cache::new(options.cache_entries, options.cache_holds)),
            dns: OnceLock::new(),
            tls: OnceLock::new(),
            options,
        }
    }

    /// What is known of an address without asking anybody.
    #[must_use]
    pub fn offline(&self, ip: IpAddr) -> Detection<'d> {
        self.offline.detection(ip)
    }

    /// Whose edge it was found to be, by the threshold.
    #[must_use]
    pub fn provider(&self, detection: &Detection<'_>) -> Option<&'d Provider<'d>> {
        let id = detection.verdict.provider(self.options.threshold)?;
        self.offline.database.provider(id)
    }

    /// Detections that are one edge (CDN-9); see [`canonical`].
    pub fn canonical<'a>(&self, detections: impl IntoIterator<Item = &'a Detection<'d>>) -> Vec<Group>
    where
        'd: 'a,
    {
        canonical(detections, self.options.threshold)
    }

    /// Looks at all targets, so many at a time, and gives what was found in their order.
    pub fn detect_all<I>(&self, targets: I) -> impl Stream<Item = (Target, Detection<'d>)>
    where
        I: IntoIterator<Item = Target>,
    {
        let looked_at = stream::iter(targets).map(async |target: Target| {
            let detection = self.detect(&target).await;
            (target, detection)
        });
        looked_at.buffered(self.options.concurrency.max(1))
    }

    /// Looks at a target as far as the options say. Needs a tokio runtime if that is more than what is known offline. Never
    /// fails: what could not be looked at says so, and why.
    pub async fn detect(&self, target: &Target) -> Detection<'d> {
        let probes = match target.host {
            Host::Ip(_) => self.options.of_addresses,
            Host::Name(_) => self.options.of_names,
        };
        let detection = if probes == Probes::NONE {
            match target.host {
                Host::Ip(ip) => self.offline(ip),
                Host::Name(_) => {
                    self.unresolved(NotTried::Off, vec![Evidence::not_tried(Signal::Cname, NotTried::Off)])
                }
            }
        } else {
            self.remembered_or_new(target, probes).await
        };
        self.tell(target, &detection);
        detection
    }

    async fn remembered_or_new(&self, target: &Target, probes: Probes) -> Detection<'d> {
        let key = Key { host: target.host.clone(), port: target.port, scheme: target.scheme, probes };
        let asked = self.now();
        if let Some(known) = self.known(&key, asked) {
            return known;
        }
        let _one_of_all = self.limits.enter().await;
        let _turn_of_host = match &target.host {
            Host::Ip(ip) => self.limits.host(&ip.to_string()).await,
            Host::Name(name) => self.limits.host(name).await,
        };
        // Somebody may have asked the same while this waited.
        let asked = self.now();
        if let Some(known) = self.known(&key, asked) {
            return known;
        }
        let look = Look { detector: self, target, probes };
        let detection = match &target.host {
            Host::Ip(ip) => look.at_address(*ip, asked).await,
            Host::Name(name) => look.at_name(name, asked).await,
        };
        let mut cache = self.cache.lock().unwrap_or_else(PoisonError::into_inner);
        cache.insert(key, detection.clone(), self.now());
        detection
    }

    /// What is remembered of it: to ask for that took no time to speak of.
    fn known(&self, key: &Key, now: Instant) -> Option<Detection<'d>> {
        let mut cache = self.cache.lock().unwrap_or_else(PoisonError::into_inner);
        let known = cache.get(key, now)?;
        Some(Detection { took: Span::ZERO, ..known })
    }

    /// A name without an address, or whose addresses nobody told.
    fn unresolved(&self, why: NotTried, dns: Vec<Evidence<'d>>) -> Detection<'d> {
        let mut evidence = vec![Evidence::not_tried(Signal::Asn, why), Evidence::not_tried(Signal::Prefix, why)];
        evidence.extend(dns);
        evidence.extend([Signal::Http, Signal::Tls].map(|signal| Evidence::not_tried(signal, why)));
        let verdict = self.offline.verdict(&evidence);
        Detection { ip: None, ips: SmallVec::new(), asn: None, verdict, evidence, took: Span::ZERO }
    }

    fn tell(&self, target: &Target, detection: &Detection<'_>) {
        let Some(bus) = self.options.events.as_ref().filter(|bus| bus.is_heard()) else { return };
        let provider = self.provider(detection).map(|provider| provider.key.to_owned());
        bus.send(Event::CdnDetection(CdnDetection {
            at: self.now(),
            target: target.text.clone(),
            origin: provider.is_none() && detection.ip.is_some(),
            provider,
            confidence: detection.verdict.posterior,
        }));
    }

    fn dns(&self) -> Result<&Dns, NotTried> {
        let new = || Dns::new(self.options.resolver, self.options.timeouts.dns);
        self.dns.get_or_init(new).as_ref().map_err(|why| *why)
    }

    fn tls(&self) -> &Result<Tls, NotTried> {
        self.tls.get_or_init(|| {
            let tls = Tls::new(&self.options.more_roots)?;
            tls.prepare();
            Ok(tls)
        })
    }

    fn now(&self) -> Instant {
        self.options.clock.now()
    }
}

/// One look at one target.
struct Look<'a, 'd> {
    detector: &'a Detector<'d>,
    target: &'a Target,
    probes: Probes,
}

impl<'d> Look<'_, 'd> {
    async fn at_address(&self, ip: IpAddr, asked: Instant) -> Detection<'d> {
        let known = self.detector.offline.evidence(ip);
        let resolved = self.detector.now().saturating_since(asked);
        let names = async {
            if self.probes.dns { self.names(ip).await } else { vec![Evidence::not_tried(Signal::Ptr, NotTried::Off)] }
        };
        self.detection(ip, smallvec![ip], known, names, resolved).await
    }

    async fn at_name(&self, name: &str, asked: Instant) -> Detection<'d> {
        let detector = self.detector;
        let answer = match detector.dns() {
            Ok(dns) => dns.addresses(name).await,
            Err(why) => Err(why),
        };
        let aliases = match &answer {
            _ if !self.probes.dns => vec![Evidence::not_tried(Signal::Cname, NotTried::Off)],
            Ok(answer) => clues::of_aliases(&detector.offline.database, answer),
            Err(why) => vec![Evidence::not_tried(Signal::Cname, *why)],
        };
        let resolved = detector.now().saturating_since(asked);
        let (why, addresses) = match answer {
            Ok(answer) => (NotTried::NoAddress, answer.addresses),
            Err(why) => (why, Vec::new()),
        };
        match self.likeliest(&addresses, &aliases) {
            Some((ip, known)) => {
                let ips = addresses.into_iter().collect();
                self.detection(ip, ips, known, std::future::ready(aliases), resolved).await
            }
            None => Detection { took: resolved, ..detector.unresolved(why, aliases) },
        }
    }

    /// The address that most speaks for, the first among equals, and what is known of it.
    fn likeliest(&self, addresses: &[IpAddr], aliases: &[Evidence<'d>]) -> Option<(IpAddr, Vec<Evidence<'d>>)> {
        let offline = &self.detector.offline;
        let mut best: Option<(Probability, IpAddr, Vec<Evidence<'d>>)> = None;
        for ip in addresses {
            let known = offline.evidence(*ip);
            let all: Vec<_> = known.iter().chain(aliases).cloned().collect();
            let posterior = offline.verdict(&all).posterior;
            if best.as_ref().is_none_or(|(most, _, _)| posterior > *most) {
                best = Some((posterior, *ip, known));
            }
        }
        best.map(|(_, ip, known)| (ip, known))
    }

    /// Asks what is to be asked about an address, side by side, and puts all evidence together.
    async fn detection(
        &self,
        ip: IpAddr,
        ips: SmallVec<[IpAddr; 1]>,
        mut evidence: Vec<Evidence<'d>>,
        names: impl Future<Output = Vec<Evidence<'d>>>,
        resolved: Span,
    ) -> Detection<'d> {
        let detector = self.detector;
        let wanted = Wanted { http: self.probes.http, tls: self.probes.tls };
        let way = Way::to(self.target, wanted, detector.options.ports);
        let off = Err(NotTried::Off);
        // A greeter that nobody needs is not made.
        let greeter = if way == Way::Nowhere { &off } else { detector.tls() };
        let _turn_at_address = detector.limits.address(ip, way.connections()).await;
        let begun = detector.now();
        let whole = detector.options.timeouts.address;
        let left = whole.saturating_sub(Duration::from_nanos(resolved.as_nanos())).max(whole / 2);
        let deadline = Deadline::after(detector.options.clock, left);
        let connect = detector.options.timeouts.connect;
        let visit = Visit { way, wanted, ip, host: &self.target.host, tls: greeter, connect, deadline };
        let (names, visited) = join(names, visit.go()).await;
        evidence.extend(names);
        evidence.extend(self.of_visit(visited));
        let verdict = detector.offline.verdict(&evidence);
        let took = resolved + detector.now().saturating_since(begun);
        Detection { ip: Some(ip), ips, asn: detector.offline.asns.asn(ip), verdict, evidence, took }
    }

    fn of_visit(&self, visited: Visited) -> Vec<Evidence<'d>> {
        let database = &self.detector.offline.database;
        let mut evidence = clues::of_response(database, &visited.http);
        let is_named = matches!(self.target.host, Host::Name(_));
        evidence.extend(clues::of_greeting(database, &visited.tls, is_named));
        evidence
    }

    /// What the names of an address say. A name counts in full if the address is one of its own.
    async fn names(&self, ip: IpAddr) -> Vec<Evidence<'d>> {
        let detector = self.detector;
        let not_tried = |why| vec![Evidence::not_tried(Signal::Ptr, why)];
        let deadline = Deadline::after(detector.options.clock, detector.options.timeouts.address);
        let dns = match detector.dns() {
            Ok(dns) => dns,
            Err(why) => return not_tried(why),
        };
        let names = match dns.names(ip).await {
            Ok(names) => names,
            Err(why) => return not_tried(why),
        };
        let database = &detector.offline.database;
        let mut confirmed: Vec<&str> = Vec::new();
        let asked = names.iter().filter(|name| clues::wants_confirmation(database, name)).take(MOST_CONFIRMED);
        for name in asked {
            let answer = tokio::time::timeout(deadline.remaining(), dns.addresses(name)).await;
            if answer.is_ok_and(|answer| answer.is_ok_and(|answer| answer.addresses.contains(&ip.to_canonical()))) {
                confirmed.push(name);
            }
        }
        clues::of_names(database, &names, |name| confirmed.contains(&name))
    }
}
