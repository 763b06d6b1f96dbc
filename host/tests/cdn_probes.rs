//! What names, web servers and certificates say of edges and of those that pretend to be some: the detector against servers in
//! the process (CDN-2, CDN-4, CDN-5, CDN-8, CDN-9).
#![cfg(all(target_os = "linux", feature = "aws-lc"))]
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test that meets the unexpected should stop there")]

#[path = "cdn_probes/accuracy.rs"]
mod accuracy;
#[path = "common/cdn/mod.rs"]
mod cdn;
#[path = "cdn_probes/hostile.rs"]
mod hostile;
#[path = "cdn_probes/limits.rs"]
mod limits;
#[path = "cdn_probes/signals.rs"]
mod signals;

use std::future::Future;
use std::net::IpAddr;
use std::path::Path;
use std::time::Duration;

use cdn::certificates::Authority;
use cdn::names::NameServer;
use cdn::ports;
use wirehaul::cdn::asn::AsnSource;
use wirehaul::cdn::detection::{Detection, Evidence};
use wirehaul::cdn::detector::{Detector, Options, Probes, Timeouts};
use wirehaul::cdn::folder::{Tables, Texts};
use wirehaul::cdn::target::{Item, Target};
use wirehaul::cdn::visit::Ports;
use wirehaul_core::cdn::{Database, ProviderId};
use wirehaul_core::cdn_data::FILES;

/// Long enough for a machine that is busy.
const PATIENT: Timeouts =
    Timeouts { dns: Duration::from_secs(5), connect: Duration::from_secs(5), address: Duration::from_secs(10) };

/// Soon over, where nothing is to come.
const HASTY: Timeouts = Timeouts {
    dns: Duration::from_millis(50),
    connect: Duration::from_millis(50),
    address: Duration::from_millis(300),
};

fn run<F: Future>(future: F) -> F::Output {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(future)
}

fn target(text: &str) -> Target {
    match Item::parse(text) {
        Ok(Item::Host(target)) => target,
        other => panic!("{text}: {other:?}"),
    }
}

/// The facts that are compiled in, with these addresses on the lists of these providers.
fn facts_with(listed: &[(&str, IpAddr)]) -> Texts {
    let files = FILES.iter().map(|(name, text)| {
        let own = listed.iter().filter(|(key, _)| *name == format!("ranges/{key}.txt"));
        let more: String = own.map(|(_, ip)| format!("{ip}/32\n")).collect();
        ((*name).to_owned(), format!("{text}\n{more}"))
    });
    Texts::of(Path::new("facts"), files)
}

/// What servers in the process need: all signals, their ports, their authority and their resolver.
fn options(authority: &Authority, names: Option<&NameServer>) -> Options {
    Options {
        of_addresses: Probes { dns: names.is_some(), ..Probes::ALL },
        of_names: Probes::ALL,
        timeouts: PATIENT,
        resolver: names.map(|names| names.address),
        ports: Ports { http: ports().http, https: ports().https },
        more_roots: vec![authority.der().to_vec()],
        ..Options::default()
    }
}

/// Runs `test` with a detector that knows the compiled-in facts, and these addresses as edges.
fn with_detector<T>(listed: &[(&str, IpAddr)], options: Options, test: impl FnOnce(&Detector<'_>) -> T) -> T {
    let texts = facts_with(listed);
    let tables = Tables::build(&texts).unwrap();
    let database: Database<'_> = tables.view();
    let asns = AsnSource::of_facts(database);
    test(&Detector::new(database, &asns, options))
}

/// What a detector finds out about each.
fn detect<'d>(detector: &Detector<'d>, texts: &[&str]) -> Vec<Detection<'d>> {
    run(async {
        let mut found = Vec::new();
        for text in texts {
            found.push(detector.detect(&target(text)).await);
        }
        found
    })
}

/// The keys of the provider that was found, if any.
fn key<'d>(detector: &Detector<'d>, detection: &Detection<'_>) -> Option<&'d str> {
    detector.provider(detection).map(|provider| provider.key)
}

/// The evidence of a signal: `asn`, `prefix`, `anti`, `dns`, `http` or `tls`.
fn of_signal<'a, 'd>(detection: &'a Detection<'d>, signal: &str) -> Vec<&'a Evidence<'d>> {
    detection.evidence.iter().filter(|evidence| evidence.signal.name() == signal).collect()
}

/// Whom the evidence of a signal speaks for.
fn speaks_for(detection: &Detection<'_>, signal: &str) -> Vec<ProviderId> {
    let clues = of_signal(detection, signal).into_iter().filter_map(Evidence::clue);
    clues.filter(|clue| clue.weight.0 > 0).filter_map(|clue| clue.provider).collect()
}
